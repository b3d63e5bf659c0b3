"""Quantities and prices from the root down: docs/auction.md, "Top-down". Compiled.

The margin of a bus is where its target cuts its curve. The root's is selected, never sorted for.

Invariant: what a bus is told to export lies inside its curve and its edge's limits, so every target
handed down is met exactly.
"""

import numpy as np

from runtime.kernels.arrays import ARRAY, INT, PAIR, TABLE, TREE, Int64Array, Pair, Tree
from runtime.kernels.book_kernel import (
    ACCEPTED,
    BASE,
    CARRY,
    HIGH,
    KEY,
    LEVEL,
    LEVELS,
    LEVELS_END,
    LOW,
    OWN,
    OWN_END,
    RECEIVED_BASE,
    STEPS,
    STEPS_END,
    ration,
)
from runtime.kernels.bounds import PRICE_LEVEL_MAX, QUANTITY_BITS
from runtime.kernels.edge_kernel import deliver, send_for
from runtime.kernels.jit import kernel
from runtime.kernels.step_kernel import (
    BINS,
    KEY_END,
    QUANTITY_MASK,
    add_to_bins,
    bin_shift,
    first_at_least,
    keep_range,
    reach_bin,
    select_level,
    total_of,
)

NO_KEY = -1
"""Key of the margin when nothing is accepted: below every key."""


@kernel(f"{INT}({INT}, {INT}, {INT})")
def root_price(low: int, high: int, reference_price: int) -> int:
    """Middle of the gap between the last accepted and the first refused level of the root."""
    if low == high:
        return low
    if low > 0 and high < PRICE_LEVEL_MAX:
        return (low + high) // 2
    if low > 0:
        return low
    return high if high < PRICE_LEVEL_MAX else reference_price


@kernel(f"{INT}({INT}, {INT}, {INT}, {INT}, {INT}, {INT})")
def child_price(
    parent_price: int, tariff: int, export: int, received: int, low: int, high: int
) -> int:
    """Price below an edge: the parent's, less (exports) or plus (imports) tariff and realised loss.

    An import of which nothing arrives prices like no flow.
    """
    if export > 0:
        price = (parent_price - tariff) * received // export
    elif export < 0:
        price = -((parent_price + tariff) * received // -export)
    else:
        price = parent_price
    return min(max(price, low), high)


@kernel(f"UniTuple({INT}, 2)({INT}, {INT}, {PAIR}, {TABLE}, {ARRAY})")
def root_key_range(
    low: int, high: int, links: Pair, curves: Int64Array, steps: Int64Array
) -> tuple[int, int]:
    """`low` and `high` keys of the book, widened to the steps of the root's children."""
    first_child, next_sibling = links
    child: int = first_child[0]
    while child > 0:
        first: int = curves[child, STEPS]
        end: int = curves[child, STEPS_END]
        if end > first:
            low = min(low, steps[first] >> QUANTITY_BITS)
            high = max(high, steps[end - 1] >> QUANTITY_BITS)
        child = next_sibling[child]
    return low, high


@kernel(f"UniTuple({INT}, 4)({ARRAY}, {INT}, {INT}, {INT}, {PAIR}, {TABLE}, {ARRAY}, {ARRAY})")
def select_root_level(
    own: Int64Array,
    low: int,
    high: int,
    target: int,
    links: Pair,
    curves: Int64Array,
    steps: Int64Array,
    candidates: Int64Array,
) -> tuple[int, int, int, int]:
    """`select_level` over the root's orders and its children's steps, where they stand.

    The key is NO_KEY when there is neither an order nor a step.
    """
    first_child, next_sibling = links
    histogram = np.zeros(BINS, np.int64)
    shift = bin_shift(low, high)
    own = own[curves[0, OWN] : curves[0, OWN_END]]
    add_to_bins(own, low, shift, histogram)
    child: int = first_child[0]
    while child > 0:
        some = steps[curves[child, STEPS] : curves[child, STEPS_END]]
        add_to_bins(some, low, shift, histogram)
        child = next_sibling[child]
    found, target, following = reach_bin(histogram, target)
    if found == BINS:
        return NO_KEY, 0, 0, KEY_END
    last = high if following == BINS else low + ((following + 1) << shift) - 1
    low += found << shift
    high = min(high, low + (1 << shift) - 1)
    count, above = keep_range(own, low, high, last, KEY_END, candidates, 0)
    child = first_child[0]
    while child > 0:
        some = steps[curves[child, STEPS] : curves[child, STEPS_END]]
        count, above = keep_range(some, low, high, last, above, candidates, count)
        child = next_sibling[child]
    return select_level(candidates, count, target, low, high, above, histogram)


@kernel(f"void({ARRAY}, {INT}, {INT}, {PAIR}, {TABLE}, {ARRAY}, {ARRAY}, {TABLE})")
def cut_root(
    own: Int64Array,
    low: int,
    high: int,
    links: Pair,
    curves: Int64Array,
    steps: Int64Array,
    candidates: Int64Array,
    margins: Int64Array,
) -> None:
    """Margin of the root, whose export is 0. Its levels are selected from, never sorted."""
    low, high = root_key_range(low, high, links, curves, steps)
    margins[0, KEY] = NO_KEY
    margins[0, HIGH] = PRICE_LEVEL_MAX
    target = -curves[0, BASE]
    key, accepted, level, above = select_root_level(
        own, low, high, max(target, 1), links, curves, steps, candidates
    )
    if key == NO_KEY:
        return
    if target == 0:
        # Nothing is to be accepted: the level found is the first one refused.
        margins[0, HIGH] = key >> 1
        return
    margins[0, KEY] = key
    margins[0, ACCEPTED] = accepted
    margins[0, LEVEL] = level
    margins[0, LOW] = key >> 1
    if accepted < level:
        margins[0, HIGH] = key >> 1
    elif above < KEY_END:
        margins[0, HIGH] = above >> 1


@kernel(f"void({INT}, {INT}, {TABLE}, {ARRAY}, {TABLE})")
def cut_curve(
    bus: int, export: int, curves: Int64Array, levels: Int64Array, margins: Int64Array
) -> None:
    """Margin of a bus other than the root at its target `export`, which lies inside its curve."""
    start, end = curves[bus, LEVELS], curves[bus, LEVELS_END]
    missing = export - curves[bus, BASE]
    margins[bus, KEY] = NO_KEY
    margins[bus, HIGH] = PRICE_LEVEL_MAX
    if missing == 0:
        if start < end:
            margins[bus, HIGH] = levels[start] >> QUANTITY_BITS >> 1
        return
    at = start
    while levels[at] & QUANTITY_MASK < missing:
        missing -= levels[at] & QUANTITY_MASK
        at += 1
    key = levels[at] >> QUANTITY_BITS
    first = at
    while first > start and levels[first - 1] >> QUANTITY_BITS == key:
        first -= 1
        missing += levels[first] & QUANTITY_MASK
    following, level = first, 0
    while following < end and levels[following] >> QUANTITY_BITS == key:
        level += levels[following] & QUANTITY_MASK
        following += 1
    margins[bus, KEY] = key
    margins[bus, ACCEPTED] = missing
    margins[bus, LEVEL] = level
    margins[bus, LOW] = key >> 1
    if missing < level:
        margins[bus, HIGH] = key >> 1
    elif following < end:
        margins[bus, HIGH] = levels[following] >> QUANTITY_BITS >> 1


@kernel(f"{INT}({INT}, {INT}, {TABLE}, {ARRAY}, {TABLE})")
def receive(
    bus: int, child: int, curves: Int64Array, steps: Int64Array, margins: Int64Array
) -> int:
    """What `bus` receives of `child` (negative: sends it) when cut at its margin.

    The children's turn in the rationing comes before the bus's own orders.
    """
    some = steps[curves[child, STEPS] : curves[child, STEPS_END]]
    key = margins[bus, KEY]
    first = first_at_least(some, key)
    received: int = curves[child, RECEIVED_BASE] + total_of(some[:first])
    following = first + first_at_least(some[first:], key + 1)
    if following > first:
        share, margins[bus, CARRY] = ration(
            margins[bus, ACCEPTED],
            total_of(some[first:following]),
            margins[bus, CARRY],
            margins[bus, LEVEL],
        )
        received += share
    return received


@kernel(f"void({TREE}, {INT}, {PAIR}, {TABLE}, {ARRAY}, {ARRAY}, {TABLE}, {ARRAY}, {PAIR})")
def hand_down(
    tree: Tree,
    reference_price: int,
    links: Pair,
    curves: Int64Array,
    levels: Int64Array,
    steps: Int64Array,
    margins: Int64Array,
    price: Int64Array,
    flow: Pair,
) -> None:
    """Top-down: margin, price and flow of every bus; the root's margin is known."""
    parent, _, _, loss_ppm, tariff = tree
    first_child, next_sibling = links
    export, received = flow
    price[0] = root_price(margins[0, LOW], margins[0, HIGH], reference_price)
    export[0], received[0] = 0, 0
    for v in range(parent.size):
        if v > 0:
            y = received[v]
            # The least that makes y arrive: what would arrive nowhere is not accepted at all.
            x = send_for(y, loss_ppm[v]) if y >= 0 else -deliver(-y, loss_ppm[v])
            export[v] = x
            cut_curve(v, x, curves, levels, margins)
            low, high = margins[v, LOW], margins[v, HIGH]
            above: int = parent[v]
            price[v] = child_price(price[above], tariff[v], x, y, low, high)
        child: int = first_child[v]
        while child > 0:
            received[child] = receive(v, child, curves, steps, margins)
            child = next_sibling[child]
