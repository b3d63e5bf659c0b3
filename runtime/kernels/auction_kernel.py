"""Exact uniform-price clearing on a tree of buses: the compiled part of `auction.py`.

Every bus has a supply curve: what it exports net as the price rises. It starts at minus all its
bids; each price level reached sells the offers and stops serving the bids of that level. Curves are
composed from the leaves up (clipped at the edge, net of losses, dearer by the tariff), the root
must export 0, and quantities are handed back down exactly. docs/auction.md has the rules.

Invariant: the result is a function of the tree, the orders and their canonical order alone. Equal
levels of one source are merged before they are compared, so no sort and no merge order shows.

A level is `key = 2 * price + side`, offers (side 0) before bids (side 1). Cumulative exports go
through `export_map`, never single quantities: rounding is below 1 Wh per edge in all.

Bounds, checked by the caller: prices below 2**26 (raised ones below 2**27), quantities below 2**26,
their sum below 2**35, losses at most 500 000 ppm, tariffs below 2**24, capacities and exports
within 2**43. Then no product reaches 2**63, except in `ration`, which says how it avoids it.
"""

import numpy as np

from runtime.kernels.arrays import ARRAY, INT, PAIR, TABLE, Int64Array, Pair
from runtime.kernels.jit import kernel
from runtime.kernels.step_kernel import (
    BINS,
    KEY_END,
    bin_shift,
    first_at_least,
    keep_range,
    reach_bin,
    select_level,
    sort_by_digits,
    sort_runs,
)

Tree = tuple[Int64Array, Int64Array, Int64Array, Int64Array, Int64Array]
"""parent, cap_up, cap_down, loss_ppm, tariff."""
Orders = tuple[Int64Array, Int64Array, Int64Array, Int64Array]
"""bus, price, qty, isbid, in canonical order."""

TREE, ORDERS = f"UniTuple({ARRAY}, 5)", f"UniTuple({ARRAY}, 4)"

MILLION = 1_000_000
PRICE_LEVEL_MAX = 2**27 - 1
"""The dearest step; as an upper price it means "no further level" (0 as a lower: none yet)."""

NO_KEY = -1
"""Key of the margin when nothing is accepted: below every key."""
PRODUCT_MAX = 2**62

# Columns of the table of curves, one row per bus.
BASE = 0  # export when no level is accepted: minus all bids, plus what children then export
LEVELS = 1  # first of the bus's own levels
LEVELS_END = 2
STEPS = 3  # first of its steps as the parent sees them
STEPS_END = 4
RECEIVED_BASE = 5  # what the parent receives before the first of these steps
CURVE_COLUMNS = 6

# Columns of the table of margins, one row per bus: where its target cuts its curve.
KEY = 0
ACCEPTED = 1  # of the level at the margin
LEVEL = 2  # that level whole
LOW = 3  # price of the last accepted level, 0 if none
HIGH = 4  # price of the first level not wholly accepted, PRICE_LEVEL_MAX if none
CARRY = 5  # of the rationing so far
MARGIN_COLUMNS = 6


@kernel(f"{INT}({INT}, {INT})")
def deliver(sent: int, loss_ppm: int) -> int:
    """What arrives of `sent` >= 0."""
    return sent - (sent * loss_ppm + MILLION - 1) // MILLION


@kernel(f"{INT}({INT}, {INT})")
def send_for(wanted: int, loss_ppm: int) -> int:
    """The least that must be sent for `wanted` >= 0 to arrive."""
    if loss_ppm == 0:
        return wanted
    return (wanted * MILLION + MILLION - loss_ppm - 1) // (MILLION - loss_ppm)


@kernel(f"{INT}({INT}, {INT})")
def export_map(export: int, loss_ppm: int) -> int:
    """What the parent receives of an export; negative: what it must send for an import."""
    if export >= 0:
        return deliver(export, loss_ppm)
    return -send_for(-export, loss_ppm)


@kernel(f"UniTuple({INT}, 9)({ORDERS})")
def order_extremes(orders: Orders) -> tuple[int, int, int, int, int, int, int, int, int]:
    """Least and greatest of each array (of at least one order), and the sum of the quantities."""
    bus, price, qty, isbid = orders
    bus_low, bus_high = bus[0], bus[0]
    price_low, price_high = price[0], price[0]
    qty_low, qty_high = qty[0], qty[0]
    side_low, side_high = isbid[0], isbid[0]
    total = 0
    for i in range(bus.size):
        bus_low = min(bus_low, bus[i])
        bus_high = max(bus_high, bus[i])
        price_low = min(price_low, price[i])
        price_high = max(price_high, price[i])
        qty_low = min(qty_low, qty[i])
        qty_high = max(qty_high, qty[i])
        side_low = min(side_low, isbid[i])
        side_high = max(side_high, isbid[i])
        total += qty[i]
    return (
        bus_low, bus_high, price_low, price_high,
        qty_low, qty_high, side_low, side_high, total,
    )  # fmt: skip


@kernel(f"UniTuple({INT}, 3)({TREE}, {ORDERS}, {INT})")
def curve_bounds(tree: Tree, orders: Orders, reach_max: int) -> tuple[int, int, int]:
    """How large curves can get: (bus, reach) of the first that reaches too far, and all steps.

    The reach of a bus bounds the absolute export anywhere on its curve: losses make it grow towards
    the root. The bus is -1 when all are at most `reach_max`. Steps are summed over all buses, each
    counting those of its whole subtree.
    """
    parent, cap_up, cap_down, loss_ppm, _ = tree
    bus, _, qty, _ = orders
    reach = np.zeros(parent.size, np.int64)
    steps = np.zeros(parent.size, np.int64)
    for i in range(bus.size):
        reach[bus[i]] += qty[i]
        steps[bus[i]] += 1
    total = 0
    for v in range(parent.size - 1, -1, -1):
        if reach[v] > reach_max:
            return v, reach[v], 0
        total += steps[v]
        if v > 0:
            passing = min(reach[v], max(cap_up[v], cap_down[v]))
            reach[parent[v]] += send_for(passing, loss_ppm[v])
            # The step that crosses export 0 leaves as two.
            steps[parent[v]] += steps[v] + 1
    return -1, 0, total


@kernel(f"{INT}({ORDERS}, {INT}, {PAIR}, {PAIR})")
def sort_orders(orders: Orders, key_bits: int, own: Pair, spare: Pair) -> int:
    """Write the orders off the root as steps, sorted by bus and key; returns how many.

    The bus stands above the `key_bits` of the key. Equal keys may come in any order.
    """
    bus, price, qty, isbid = orders
    key, quantity = own
    count = 0
    for i in range(bus.size):
        if bus[i] > 0:
            key[count] = bus[i] << key_bits | 2 * price[i] + isbid[i]
            quantity[count] = qty[i]
            count += 1
    if count > 0 and sort_by_digits(own, count, spare):
        key[:count] = spare[0][:count]
        quantity[:count] = spare[1][:count]
    return count


@kernel(f"{INT}({PAIR}, {INT}, {INT}, {INT}, {PAIR})")
def write_levels(steps: Pair, count: int, base: int, start: int, levels: Pair) -> int:
    """Sorted steps of equal key become one level with its cumulative export; returns the end."""
    key, qty = steps
    level_key, level_export = levels
    end = start
    export = base
    last = NO_KEY
    for i in range(count):
        export += qty[i]
        if key[i] != last:
            last = key[i]
            level_key[end] = last
            end += 1
        level_export[end - 1] = export
    return end


@kernel(f"{INT}({INT}, {INT}, {INT}, {INT}, {INT}, {PAIR})")
def write_price(price: int, offers: int, bids: int, received: int, end: int, steps: Pair) -> int:
    """Append the offer and the bid step of one price after `received`; returns the new end."""
    step_key, step_received = steps
    if offers > 0:
        step_key[end] = 2 * price
        step_received[end] = received + offers
        end += 1
    if bids > 0:
        step_key[end] = 2 * price + 1
        step_received[end] = received + offers + bids
        end += 1
    return end


@kernel(f"void({INT}, {TREE}, {PAIR}, {TABLE}, {PAIR}, {INT})")
def write_steps(
    bus: int, tree: Tree, levels: Pair, curves: Int64Array, steps: Pair, start: int
) -> None:
    """The curve of `bus` as its parent sees it: keys and cumulative receipts, from `start` on.

    Imports never worth serving go into the base. Keys rise strictly: offers and bids of a price
    are gathered until the price changes, as different prices may become one on the way up.
    """
    _, cap_up, cap_down, loss, tariffs = tree
    level_key, level_export = levels
    export_max, loss_ppm, tariff = cap_up[bus], loss[bus], tariffs[bus]
    import_max = -deliver(cap_down[bus], loss_ppm)
    export = min(max(curves[bus, BASE], import_max), export_max)
    received = export_map(export, loss_ppm)
    curves[bus, RECEIVED_BASE] = received
    gathered_from, offers, bids, last_price = received, 0, 0, -1
    end = start
    level_end = curves[bus, LEVELS_END]
    level = first_at_least(level_export, curves[bus, LEVELS], level_end, import_max + 1)
    while level < level_end and export < export_max:
        price, side = level_key[level] >> 1, level_key[level] & 1
        if export < 0:
            # A level that crosses export 0 comes here first and then, unfinished, once more.
            export = min(level_export[level], 0)
            seen = price * (MILLION - loss_ppm) // MILLION - tariff
        else:
            export = min(level_export[level], export_max)
            seen = send_for(price, loss_ppm) + tariff
            if seen > PRICE_LEVEL_MAX:
                break
        level += 1 if level_export[level] <= export else 0
        before, received = received, export_map(export, loss_ppm)
        if seen < 0:
            curves[bus, RECEIVED_BASE] = received
            gathered_from = received
            continue
        if seen != last_price:
            end = write_price(last_price, offers, bids, gathered_from, end, steps)
            gathered_from, offers, bids, last_price = before, 0, 0, seen
        if side == 0:
            offers += received - before
        else:
            bids += received - before
    curves[bus, STEPS] = start
    curves[bus, STEPS_END] = write_price(last_price, offers, bids, gathered_from, end, steps)


@kernel(f"UniTuple({INT}, 2)({INT}, {INT}, {INT}, {INT})")
def ration(accepted: int, quantity: int, carry: int, level: int) -> tuple[int, int]:
    """Share of a member of the marginal level, and the carry: divmod(a * q + carry, level).

    Pro rata with error carry: the shares of all members sum to `accepted` <= `level` exactly. The
    product may need 86 bits when a member is a whole subtree; then it is divided bit by bit.
    """
    if accepted < PRODUCT_MAX // quantity:
        total = accepted * quantity + carry
        return total // level, total % level
    share, rest = 0, 0
    for bit in range(62, -1, -1):
        share, rest = 2 * share, 2 * rest
        if rest >= level:
            share, rest = share + 1, rest - level
        if quantity >> bit & 1 == 1:
            rest += accepted
            if rest >= level:
                share, rest = share + 1, rest - level
    rest += carry
    if rest >= level:
        share, rest = share + 1, rest - level
    return share, rest


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


@kernel(f"void({ORDERS}, {TABLE})")
def subtract_bids(orders: Orders, curves: Int64Array) -> None:
    """The base of each bus before its children's: minus its own bids."""
    bus, _, qty, isbid = orders
    if curves.shape[0] == 1:
        total = 0
        for i in range(bus.size):
            total += qty[i] * isbid[i]
        curves[0, BASE] = -total
        return
    for i in range(bus.size):
        curves[bus[i], BASE] -= qty[i] * isbid[i]


@kernel(f"void({ARRAY}, {PAIR})")
def link_children(parent: Int64Array, links: Pair) -> None:
    """Write (first child, next sibling): the children of each bus by rising id; 0 ends a list."""
    first_child, next_sibling = links
    first_child[:] = 0
    for v in range(parent.size - 1, 0, -1):
        next_sibling[v] = first_child[parent[v]]
        first_child[parent[v]] = v


@kernel(f"UniTuple({INT}, 2)({INT}, {PAIR}, {TABLE}, {PAIR}, {PAIR}, {ARRAY})")
def gather_steps(
    bus: int, links: Pair, curves: Int64Array, steps: Pair, gathered: Pair, run_end: Int64Array
) -> tuple[int, int]:
    """Copy the steps of the children of `bus`, a sorted run each; returns (steps, runs)."""
    first_child, next_sibling = links
    step_key, step_received = steps
    key, qty = gathered
    count, runs = 0, 0
    child = first_child[bus]
    while child > 0:
        received = curves[child, RECEIVED_BASE]
        for step in range(curves[child, STEPS], curves[child, STEPS_END]):
            key[count] = step_key[step]
            qty[count] = step_received[step] - received
            received = step_received[step]
            count += 1
        if curves[child, STEPS_END] > curves[child, STEPS]:
            run_end[runs] = count
            runs += 1
        child = next_sibling[child]
    return count, runs


@kernel(f"void({TREE}, {ORDERS}, {INT}, {PAIR}, {PAIR}, {PAIR}, {TABLE}, {PAIR}, {PAIR}, {PAIR})")
def build_curves(
    tree: Tree,
    orders: Orders,
    high: int,
    links: Pair,
    levels: Pair,
    steps: Pair,
    curves: Int64Array,
    own: Pair,
    gathered: Pair,
    spare: Pair,
) -> None:
    """Bottom-up: the levels of each bus but the root, and its steps as the parent sees them."""
    parent = tree[0]
    own_key, own_qty = own
    key_bits = 1
    while high >> key_bits > 0:
        key_bits += 1
    key_mask = (1 << key_bits) - 1
    left = sort_orders(orders, key_bits, own, gathered)
    run_end = np.empty(parent.size + 1, np.int64)
    levels_end, steps_end = 0, 0
    for v in range(parent.size - 1, 0, -1):
        key, qty = gathered
        count, runs = gather_steps(v, links, curves, steps, gathered, run_end)
        end = left
        while left > 0 and own_key[left - 1] >> key_bits == v:
            left -= 1
        for i in range(left, end):
            key[count] = own_key[i] & key_mask
            qty[count] = own_qty[i]
            count += 1
        run_end[runs] = count
        runs += 1 if end > left else 0
        if sort_runs(gathered, run_end, runs, spare):
            gathered, spare = spare, gathered
        curves[v, LEVELS] = levels_end
        levels_end = write_levels(gathered, count, curves[v, BASE], levels_end, levels)
        curves[v, LEVELS_END] = levels_end
        write_steps(v, tree, levels, curves, steps, steps_end)
        steps_end = curves[v, STEPS_END]
        curves[parent[v], BASE] += curves[v, RECEIVED_BASE]


@kernel(f"UniTuple({INT}, 2)({ORDERS}, {INT}, {INT}, {PAIR}, {TABLE}, {PAIR})")
def root_key_range(
    orders: Orders, low: int, high: int, links: Pair, curves: Int64Array, steps: Pair
) -> tuple[int, int]:
    """`low` and `high` keys of the book, widened to the steps of the root's children."""
    first_child, next_sibling = links
    step_key, _ = steps
    child: int = first_child[0]
    while child > 0:
        first: int = curves[child, STEPS]
        end: int = curves[child, STEPS_END]
        if end > first:
            low = min(low, step_key[first])
            high = max(high, step_key[end - 1])
        child = next_sibling[child]
    return low, high


@kernel(f"void({ORDERS}, {INT}, {INT}, {ARRAY})")
def add_root_orders(orders: Orders, low: int, shift: int, histogram: Int64Array) -> None:
    """Add the root's orders to a histogram of keys."""
    bus, price, qty, isbid = orders
    for i in range(bus.size):
        if bus[i] == 0:
            histogram[(2 * price[i] + isbid[i] - low) >> shift] += qty[i]


@kernel(f"{INT}({ORDERS}, {INT})")
def least_root_key_above(orders: Orders, high: int) -> int:
    """The least key above `high` of the root's orders. Without a branch: whole vectors at once."""
    bus, price, _, isbid = orders
    above = KEY_END
    for i in range(bus.size):
        key = 2 * price[i] + isbid[i]
        beyond = key if (key > high) & (bus[i] == 0) else KEY_END
        above = min(above, beyond)
    return above


@kernel(f"{INT}({ORDERS}, {INT}, {INT}, {PAIR}, {INT})")
def keep_root_orders(orders: Orders, low: int, high: int, steps: Pair, count: int) -> int:
    """Append the root's orders with keys in the range to `count` steps; returns how many then."""
    bus, price, qty, isbid = orders
    key, quantity = steps
    for i in range(bus.size):
        k = 2 * price[i] + isbid[i]
        if low <= k <= high and bus[i] == 0:
            key[count] = k
            quantity[count] = qty[i]
            count += 1
    return count


@kernel(
    f"UniTuple({INT}, 4)({ORDERS}, {INT}, {INT}, {INT}, {PAIR}, {TABLE}, {PAIR}, {PAIR}, {ARRAY})"
)
def select_root_level(
    orders: Orders,
    low: int,
    high: int,
    target: int,
    links: Pair,
    curves: Int64Array,
    steps: Pair,
    candidates: Pair,
    run_end: Int64Array,
) -> tuple[int, int, int, int]:
    """`select_level` over the root's orders and its children's steps.

    Orders are read in place: into a first histogram, and for the few in the bin that counts.
    The key is NO_KEY when there is neither an order nor a step.
    """
    key, quantity = candidates
    histogram = np.zeros(BINS, np.int64)
    shift = bin_shift(low, high)
    add_root_orders(orders, low, shift, histogram)
    from_children, _ = gather_steps(0, links, curves, steps, candidates, run_end)
    for i in range(from_children):
        histogram[(key[i] - low) >> shift] += quantity[i]
    found, target = reach_bin(histogram, target)
    if found == BINS:
        return NO_KEY, 0, 0, KEY_END
    low += found << shift
    high = min(high, low + (1 << shift) - 1)
    count, above = keep_range(candidates, from_children, low, high, KEY_END)
    above = min(above, least_root_key_above(orders, high))
    count = keep_root_orders(orders, low, high, candidates, count)
    return select_level(candidates, count, target, low, high, above, histogram)


@kernel(f"void({ORDERS}, {INT}, {INT}, {PAIR}, {TABLE}, {PAIR}, {PAIR}, {ARRAY}, {TABLE})")
def cut_root(
    orders: Orders,
    low: int,
    high: int,
    links: Pair,
    curves: Int64Array,
    steps: Pair,
    candidates: Pair,
    run_end: Int64Array,
    margins: Int64Array,
) -> None:
    """Margin of the root, whose export is 0. Its levels are selected from, never sorted."""
    low, high = root_key_range(orders, low, high, links, curves, steps)
    margins[0, KEY] = NO_KEY
    margins[0, HIGH] = PRICE_LEVEL_MAX
    target = -curves[0, BASE]
    key, accepted, level, above = select_root_level(
        orders, low, high, max(target, 1), links, curves, steps, candidates, run_end
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


@kernel(f"void({INT}, {INT}, {TABLE}, {PAIR}, {TABLE})")
def cut_curve(bus: int, export: int, curves: Int64Array, levels: Pair, margins: Int64Array) -> None:
    """Margin of a bus other than the root at its target `export`, which lies inside its curve."""
    level_key, level_export = levels
    start, end, base = curves[bus, LEVELS], curves[bus, LEVELS_END], curves[bus, BASE]
    margins[bus, KEY] = NO_KEY
    margins[bus, HIGH] = PRICE_LEVEL_MAX
    if export == base:
        if start < end:
            margins[bus, HIGH] = level_key[start] >> 1
        return
    level = first_at_least(level_export, start, end, export)
    before = level_export[level - 1] if level > start else base
    margins[bus, KEY] = level_key[level]
    margins[bus, ACCEPTED] = export - before
    margins[bus, LEVEL] = level_export[level] - before
    margins[bus, LOW] = level_key[level] >> 1
    if export < level_export[level]:
        margins[bus, HIGH] = level_key[level] >> 1
    elif level + 1 < end:
        margins[bus, HIGH] = level_key[level + 1] >> 1


@kernel(f"{INT}({INT}, {INT}, {TABLE}, {PAIR}, {TABLE})")
def receive(bus: int, child: int, curves: Int64Array, steps: Pair, margins: Int64Array) -> int:
    """What `bus` receives of `child` (negative: sends it) when cut at its margin.

    The children's turn in the rationing comes before the bus's own orders.
    """
    step_key, step_received = steps
    start, end = curves[child, STEPS], curves[child, STEPS_END]
    key = margins[bus, KEY]
    step = first_at_least(step_key, start, end, key)
    received: int = step_received[step - 1] if step > start else curves[child, RECEIVED_BASE]
    if step < end and step_key[step] == key:
        quantity = step_received[step] - received
        share, margins[bus, CARRY] = ration(
            margins[bus, ACCEPTED], quantity, margins[bus, CARRY], margins[bus, LEVEL]
        )
        received += share
    return received


@kernel(f"void({TREE}, {INT}, {PAIR}, {TABLE}, {PAIR}, {PAIR}, {TABLE}, {ARRAY}, {PAIR})")
def hand_down(
    tree: Tree,
    reference_price: int,
    links: Pair,
    curves: Int64Array,
    levels: Pair,
    steps: Pair,
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


@kernel(f"void({ORDERS}, {TABLE}, {ARRAY})")
def fill_orders(orders: Orders, margins: Int64Array, fill: Int64Array) -> None:
    """What each order trades: all, nothing, or at the margin its share in canonical order.

    Accepting the step of a bid means not serving it, hence the reversed comparison for bids.
    """
    bus, price, qty, isbid = orders
    margin = margins[:, KEY].copy()
    for i in range(bus.size):
        v, q, side = bus[i], qty[i], isbid[i]
        key = 2 * price[i] + side
        is_accepted = 1 if key < margin[v] else 0
        fill[i] = q * (is_accepted ^ side)
        if key == margin[v]:
            share, margins[v, CARRY] = ration(
                margins[v, ACCEPTED], q, margins[v, CARRY], margins[v, LEVEL]
            )
            fill[i] = q - share if side == 1 else share


@kernel(f"void({TREE}, {ORDERS}, {INT}, {INT}, {INT}, {INT}, {ARRAY}, {ARRAY}, {ARRAY}, {PAIR})")
def clear_tree(
    tree: Tree,
    orders: Orders,
    low: int,
    high: int,
    steps_total: int,
    reference_price: int,
    memory: Int64Array,
    fill: Int64Array,
    price: Int64Array,
    flow: Pair,
) -> None:
    """Clear one book. Writes the fill per order, and per bus the price and the flow.

    The flow is the export at the child's end and the parent's receipt. All keys of the book are
    within `low` and `high`; `steps_total` is from `curve_bounds`; `memory` has at least
    4 * steps_total + 6 * (orders + 2 * buses) entries, whatever they hold.
    """
    buses, some = tree[0].size, orders[0].size + 2 * tree[0].size
    levels = (memory[:steps_total], memory[steps_total : 2 * steps_total])
    steps = (memory[2 * steps_total : 3 * steps_total], memory[3 * steps_total : 4 * steps_total])
    rest = memory[4 * steps_total :]
    own = (rest[:some], rest[some : 2 * some])
    gathered = (rest[2 * some : 3 * some], rest[3 * some : 4 * some])
    spare = (rest[4 * some : 5 * some], rest[5 * some : 6 * some])
    links = (np.empty(buses, np.int64), np.empty(buses, np.int64))
    run_end = np.empty(buses + 1, np.int64)
    curves = np.zeros((buses, CURVE_COLUMNS), np.int64)
    margins = np.zeros((buses, MARGIN_COLUMNS), np.int64)
    subtract_bids(orders, curves)
    link_children(tree[0], links)
    if buses > 1:
        build_curves(tree, orders, high, links, levels, steps, curves, own, gathered, spare)
    cut_root(orders, low, high, links, curves, steps, gathered, run_end, margins)
    hand_down(tree, reference_price, links, curves, levels, steps, margins, price, flow)
    fill_orders(orders, margins, fill)
