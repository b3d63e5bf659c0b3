"""Exact uniform-price clearing on a tree of buses: the compiled part of `auction.py`.

Curves are composed from the leaves up, the root must export 0, and quantities are handed back down
exactly. docs/auction.md has the rules.

Invariant: the result is a function of the tree, the orders and their canonical order alone. Equal
levels are added up wherever they are compared, so no sort and no merge order shows.

Bounds, checked by the caller: prices below 2**26 (raised ones below 2**27), quantities below 2**26,
losses at most 500 000 ppm, tariffs below 2**24, exports below 2**35, capacities within 2**43. Then
no product reaches 2**63, except in `ration`, which says how it avoids it.
"""

import numpy as np

from runtime.kernels.arrays import ARRAY, INT, PAIR, TABLE, TREE, Int64Array, Pair, Tree
from runtime.kernels.book_kernel import group_by_bus
from runtime.kernels.curve_kernel import build_curves, link_children
from runtime.kernels.jit import kernel
from runtime.kernels.margin_kernel import cut_root, hand_down
from runtime.kernels.step_kernel import BINS


@kernel(
    f"void({TREE}, {ARRAY}, {ARRAY}, {INT}, {INT}, {INT}, {INT}, {TABLE}, {ARRAY}, {TABLE}, "
    f"{ARRAY}, {PAIR})"
)
def clear_tree(
    tree: Tree,
    bus: Int64Array,
    orders: Int64Array,
    low: int,
    high: int,
    steps_total: int,
    reference_price: int,
    curves: Int64Array,
    memory: Int64Array,
    margins: Int64Array,
    price: Int64Array,
    flow: Pair,
) -> None:
    """Clear one book. Writes per bus the margin, the price and the flow.

    The flow is the export at the child's end and the parent's receipt. `orders` are steps by
    `read_orders`, all keys within `low` and `high`; `curves` and `steps_total` are from `survey`;
    `memory` has at least `memory_needed` entries, whatever they hold.
    """
    buses, count = tree[0].size, orders.size
    some = count + 2 * buses
    spare, rest = memory[:some], memory[some:]
    levels, rest = rest[:steps_total], rest[steps_total:]
    steps, rest = rest[: steps_total + 2], rest[steps_total + 2 :]
    links = (np.empty(buses, np.int64), np.empty(buses, np.int64))
    link_children(tree[0], links)
    own = orders
    if buses > 1:
        own = rest[:count]
        group_by_bus(bus, orders, curves, own)
        position = np.empty(BINS, np.int64)
        build_curves(tree, links, own, levels, steps, curves, spare, position)
    cut_root(own, low, high, links, curves, steps, spare, margins)
    hand_down(tree, reference_price, links, curves, levels, steps, margins, price, flow)


@kernel(f"{INT}({INT}, {INT}, {INT})")
def memory_needed(buses: int, count: int, steps_total: int) -> int:
    """How much working memory a clearing takes."""
    return count + 2 * buses + 2 * steps_total + 2 + count
