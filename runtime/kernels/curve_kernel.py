"""Supply curves from the leaves up: docs/auction.md, "Bottom-up". Compiled.

Every bus has a curve: what it exports net as the price rises. It starts at minus all its bids; each
level reached sells the offers and stops serving the bids of that level. On its way to the parent a
curve is clipped at the edge, loses energy, and gets dearer or cheaper by the tariff.

Invariant: cumulative exports go through the edge, never single quantities, so the steps between
them depend neither on how a level is cut into steps nor on the order of steps within it.
"""

from runtime.kernels.arrays import ARRAY, INT, PAIR, TABLE, TREE, Int64Array, Pair, Tree
from runtime.kernels.book_kernel import (
    BASE,
    LEVELS,
    LEVELS_END,
    OWN,
    OWN_END,
    RECEIVED_BASE,
    STEPS,
    STEPS_END,
)
from runtime.kernels.bounds import MILLION, PRICE_LEVEL_MAX, QUANTITY_BITS
from runtime.kernels.edge_kernel import deliver, export_map, send_for
from runtime.kernels.jit import kernel
from runtime.kernels.step_kernel import QUANTITY_MASK, merge_steps, sort_steps


@kernel(f"void({ARRAY}, {PAIR})")
def link_children(parent: Int64Array, links: Pair) -> None:
    """Write (first child, next sibling): the children of each bus by rising id; 0 ends a list."""
    first_child, next_sibling = links
    first_child[:] = 0
    for v in range(parent.size - 1, 0, -1):
        next_sibling[v] = first_child[parent[v]]
        first_child[parent[v]] = v


@kernel(f"{INT}({INT}, {INT}, {INT}, {INT}, {ARRAY})")
def write_price(price: int, offers: int, bids: int, end: int, steps: Int64Array) -> int:
    """Append the offer and the bid step of one price, if they add anything; returns the new end.

    Both are written without asking, what is not kept is overwritten: two places are spare.
    """
    steps[end] = (2 * price) << QUANTITY_BITS | offers
    end += 1 if offers > 0 else 0
    steps[end] = (2 * price + 1) << QUANTITY_BITS | bids
    return end + (1 if bids > 0 else 0)


@kernel(f"UniTuple({INT}, 4)({ARRAY}, {INT}, {INT}, {INT}, {INT}, {ARRAY})")
def write_imports(
    levels: Int64Array, base: int, import_max: int, loss_ppm: int, tariff: int, steps: Int64Array
) -> tuple[int, int, int, int]:
    """The importing part of a curve as the parent sees it, to the start of `steps`.

    Returns how many steps it has, what the parent receives before them, the first of `levels` that
    exports, and the export before that. Imports never worth serving go into the base. Different
    prices may become one on the way up: offers and bids of a price are gathered until it changes.
    """
    level, export = 0, base
    while level < levels.size and export + (levels[level] & QUANTITY_MASK) <= import_max:
        export += levels[level] & QUANTITY_MASK
        level += 1
    received = export_map(max(export, import_max), loss_ppm)
    received_base = received
    end, last_price, offers, bids = 0, 0, 0, 0
    while level < levels.size and received < 0:
        step = levels[level]
        after = export + (step & QUANTITY_MASK)
        before = received
        received = -send_for(max(-after, 0), loss_ppm)
        if after <= 0:
            export = after
            level += 1
        price = step >> (QUANTITY_BITS + 1)
        is_bid = step >> QUANTITY_BITS & 1
        seen = price * (MILLION - loss_ppm) // MILLION - tariff
        if seen < 0:
            received_base = received
        else:
            if seen != last_price:
                end = write_price(last_price, offers, bids, end, steps)
                last_price, offers, bids = seen, 0, 0
            offers += (received - before) * (1 - is_bid)
            bids += (received - before) * is_bid
    return write_price(last_price, offers, bids, end, steps), received_base, level, export


@kernel(f"{INT}({ARRAY}, {INT}, {INT}, {INT}, {INT}, {ARRAY})")
def write_exports(
    levels: Int64Array, export: int, export_max: int, loss_ppm: int, tariff: int, steps: Int64Array
) -> int:
    """The exporting part of a curve, `export` <= 0 before its first level, to the start of `steps`;
    returns how many they are. Equal levels become one step.
    """
    end, last_key, gathered, received, level = 0, 0, 0, 0, 0
    while level < levels.size and export < export_max:
        step = levels[level]
        seen = send_for(step >> (QUANTITY_BITS + 1), loss_ppm) + tariff
        if seen > PRICE_LEVEL_MAX:
            break
        export += step & QUANTITY_MASK
        level += 1
        key = 2 * seen + (step >> QUANTITY_BITS & 1)
        if key != last_key:
            steps[end] = last_key << QUANTITY_BITS | gathered
            end += 1 if gathered > 0 else 0
            last_key, gathered = key, 0
        before = received
        received = deliver(min(export, export_max), loss_ppm)
        gathered += received - before
    steps[end] = last_key << QUANTITY_BITS | gathered
    return end + (1 if gathered > 0 else 0)


@kernel(f"{INT}({INT}, {TREE}, {ARRAY}, {TABLE}, {ARRAY}, {INT})")
def write_steps(
    bus: int, tree: Tree, levels: Int64Array, curves: Int64Array, steps: Int64Array, start: int
) -> int:
    """The curve of `bus` as its parent sees it, from `start` on; returns the end of its steps."""
    _, cap_up, cap_down, loss, tariffs = tree
    loss_ppm, tariff = loss[bus], tariffs[bus]
    import_max = -deliver(cap_down[bus], loss_ppm)
    imports, received_base, level, export = write_imports(
        levels, curves[bus, BASE], import_max, loss_ppm, tariff, steps[start:]
    )
    end = start + imports
    if export == 0 or level < levels.size:
        end += write_exports(levels[level:], export, cap_up[bus], loss_ppm, tariff, steps[end:])
    curves[bus, RECEIVED_BASE] = received_base
    curves[bus, STEPS] = start
    curves[bus, STEPS_END] = end
    return end


@kernel(f"{INT}({INT}, {PAIR}, {ARRAY}, {ARRAY}, {TABLE}, {ARRAY}, {INT}, {ARRAY}, {ARRAY})")
def gather_levels(
    bus: int,
    links: Pair,
    own: Int64Array,
    steps: Int64Array,
    curves: Int64Array,
    levels: Int64Array,
    start: int,
    spare: Int64Array,
    position: Int64Array,
) -> int:
    """The curve of a bus from `start` on: its orders and its children's steps, sorted by key.

    Returns the end. Two sorted runs are merged; more are sorted by digits sooner.
    """
    first_child, next_sibling = links
    end = start
    for i in range(curves[bus, OWN], curves[bus, OWN_END]):
        levels[end] = own[i]
        end += 1
    own_end = end
    runs: int = 0
    child: int = first_child[bus]
    while child > 0:
        for i in range(curves[child, STEPS], curves[child, STEPS_END]):
            levels[end] = steps[i]
            end += 1
        runs += 1 if curves[child, STEPS_END] > curves[child, STEPS] else 0
        child = next_sibling[child]
    if runs > 1:
        sort_steps(levels[start:end], spare, position)
    elif own_end > start:
        sort_steps(levels[start:own_end], spare, position)
        if runs == 1:
            merge_steps(levels[start:end], own_end - start, spare)
    curves[bus, LEVELS] = start
    curves[bus, LEVELS_END] = end
    return end


@kernel(f"void({TREE}, {PAIR}, {ARRAY}, {ARRAY}, {ARRAY}, {TABLE}, {ARRAY}, {ARRAY})")
def build_curves(
    tree: Tree,
    links: Pair,
    own: Int64Array,
    levels: Int64Array,
    steps: Int64Array,
    curves: Int64Array,
    spare: Int64Array,
    position: Int64Array,
) -> None:
    """Bottom-up: the curve of each bus but the root, and its steps as the parent sees them."""
    parent = tree[0]
    levels_end, steps_end = 0, 0
    for v in range(parent.size - 1, 0, -1):
        start = levels_end
        levels_end = gather_levels(v, links, own, steps, curves, levels, start, spare, position)
        steps_end = write_steps(v, tree, levels[start:levels_end], curves, steps, steps_end)
        curves[parent[v], BASE] += curves[v, RECEIVED_BASE]
