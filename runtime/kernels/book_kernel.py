"""Passes over a book of orders: reading it into steps, its demand by bus, its fills. Compiled.

A level is `key = 2 * price + side`, offers (side 0) before bids (side 1). An order becomes the
step `key << QUANTITY_BITS | quantity` once, in canonical order; later passes read steps and buses
only, which is a third of the memory.
"""

import numpy as np

from runtime.kernels.arrays import ARRAY, INT, TABLE, TREE, Int64Array, Tree
from runtime.kernels.bounds import QUANTITY_BITS
from runtime.kernels.edge_kernel import send_for
from runtime.kernels.jit import kernel
from runtime.kernels.step_kernel import QUANTITY_MASK

Orders = tuple[Int64Array, Int64Array, Int64Array, Int64Array]
"""bus, price, qty, isbid, in canonical order."""

ORDERS = f"UniTuple({ARRAY}, 4)"

Triple = tuple[Int64Array, Int64Array, Int64Array]
"""ids, buses and steps of orders."""

TRIPLE = f"UniTuple({ARRAY}, 3)"

PRODUCT_MAX = 2**62

# Columns of the table of curves, one row per bus.
BASE = 0  # export when no level is accepted: minus all bids, plus what children then export
OWN = 1  # first of the bus's own orders among all, as steps
OWN_END = 2
LEVELS = 3  # first of its curve's steps: its own and those of its children
LEVELS_END = 4
STEPS = 5  # first of the steps as the parent sees them
STEPS_END = 6
RECEIVED_BASE = 7  # what the parent receives before the first of these
CURVE_COLUMNS = 8

# Columns of the table of margins, one row per bus: where its target cuts its curve.
KEY = 0
ACCEPTED = 1  # of the level at the margin
LEVEL = 2  # that level whole
LOW = 3  # price of the last accepted level, 0 if none
HIGH = 4  # price of the first level not wholly accepted, PRICE_LEVEL_MAX if none
CARRY = 5  # of the rationing so far
MARGIN_COLUMNS = 6


@kernel(f"UniTuple({INT}, 10)({ORDERS}, {ARRAY})")
def read_orders(
    orders: Orders, steps: Int64Array
) -> tuple[int, int, int, int, int, int, int, int, int, int]:
    """Write each order as a step; returns the least and greatest of each array (of at least one
    order), the sum of all quantities, and that of the bids.

    The steps are worth something only if these are within the bounds.
    """
    bus, price, qty, isbid = orders
    bus_low, bus_high = bus[0], bus[0]
    price_low, price_high = price[0], price[0]
    qty_low, qty_high = qty[0], qty[0]
    side_low, side_high = isbid[0], isbid[0]
    total, bids = 0, 0
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
        bids += qty[i] & -isbid[i]
        steps[i] = (2 * price[i] + isbid[i]) << QUANTITY_BITS | qty[i]
    return (
        bus_low, bus_high, price_low, price_high,
        qty_low, qty_high, side_low, side_high, total, bids,
    )  # fmt: skip


@kernel(f"UniTuple({INT}, 3)({TREE}, {ARRAY}, {ARRAY}, {INT}, {TABLE})")
def survey(
    tree: Tree, bus: Int64Array, orders: Int64Array, reach_max: int, curves: Int64Array
) -> tuple[int, int, int]:
    """How large curves can get: (bus, reach) of the first that reaches too far, and all steps.

    The reach of a bus bounds the absolute export anywhere on its curve: losses make it grow towards
    the root. The bus is -1 when all are at most `reach_max`. Steps are summed over all buses, each
    counting those of its whole subtree. Writes BASE and OWN_END of `curves`, the latter as a number
    of orders.
    """
    parent, cap_up, cap_down, loss_ppm, _ = tree
    reach = np.zeros(parent.size, np.int64)
    steps = np.zeros(parent.size, np.int64)
    for i in range(bus.size):
        quantity = orders[i] & QUANTITY_MASK
        v = bus[i]
        reach[v] += quantity
        curves[v, OWN_END] += 1
        curves[v, BASE] -= quantity * (orders[i] >> QUANTITY_BITS & 1)
    total = 0
    for v in range(parent.size - 1, -1, -1):
        if reach[v] > reach_max:
            return v, reach[v], 0
        steps[v] += curves[v, OWN_END]
        total += steps[v]
        if v > 0:
            passing = min(reach[v], max(cap_up[v], cap_down[v]))
            reach[parent[v]] += send_for(passing, loss_ppm[v])
            # The step that crosses export 0 leaves as two.
            steps[parent[v]] += steps[v] + 1
    return -1, 0, total


@kernel(f"void({ARRAY}, {ARRAY}, {TABLE}, {ARRAY})")
def group_by_bus(bus: Int64Array, orders: Int64Array, curves: Int64Array, own: Int64Array) -> None:
    """Write the orders of each bus one after the other; OWN and OWN_END become where they stand."""
    start = 0
    for v in range(curves.shape[0]):
        count = curves[v, OWN_END]
        curves[v, OWN] = start
        curves[v, OWN_END] = start
        start += count
    for i in range(bus.size):
        v = bus[i]
        own[curves[v, OWN_END]] = orders[i]
        curves[v, OWN_END] += 1


@kernel(f"UniTuple({INT}, 2)({INT}, {INT}, {INT}, {INT})")
def ration(accepted: int, quantity: int, carry: int, level: int) -> tuple[int, int]:
    """Share of a member of the marginal level, and the carry: divmod(a * q + carry, level).

    Pro rata with error carry: the shares of all members sum to `accepted` <= `level` exactly. The
    product may need 70 bits when a member is a whole subtree; then it is divided bit by bit.
    """
    if accepted < PRODUCT_MAX // quantity:
        total = accepted * quantity + carry
        return total // level, total % level
    share, rest = 0, 0
    for bit in range(QUANTITY_BITS - 1, -1, -1):
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


@kernel(f"{INT}({ARRAY}, {ARRAY}, {TABLE}, {ARRAY}, {ARRAY})")
def fill_orders(
    bus: Int64Array,
    orders: Int64Array,
    margins: Int64Array,
    fill: Int64Array,
    shared: Int64Array,
) -> int:
    """What each order trades that is not at its bus's margin: all or nothing.

    Accepting the step of a bid means not serving it, hence the reversed comparison for bids. Writes
    the indices of those at the margin to `shared`, and returns how many they are.
    """
    margin = margins[:, KEY].copy()
    is_single = margin.size == 1
    v, count = 0, 0
    for i in range(orders.size):
        if not is_single:
            v = bus[i]
        key, quantity = orders[i] >> QUANTITY_BITS, orders[i] & QUANTITY_MASK
        is_accepted = 1 if key < margin[v] else 0
        fill[i] = quantity & -(is_accepted ^ key & 1)
        shared[count] = i
        count += 1 if key == margin[v] else 0
    return count


@kernel(f"void({ARRAY}, {ARRAY}, {ARRAY}, {TABLE}, {ARRAY})")
def ration_orders(
    shared: Int64Array, bus: Int64Array, orders: Int64Array, margins: Int64Array, fill: Int64Array
) -> None:
    """Give the orders at the margins their shares, in the order in which `shared` lists them."""
    for at in range(shared.size):
        i: int = shared[at]
        v: int = bus[i]
        quantity: int = orders[i] & QUANTITY_MASK
        share, margins[v, CARRY] = ration(
            margins[v, ACCEPTED], quantity, margins[v, CARRY], margins[v, LEVEL]
        )
        fill[i] = quantity - share if orders[i] >> QUANTITY_BITS & 1 == 1 else share


@kernel(f"UniTuple({INT}, 4)({ARRAY})")
def extent_of(orders: Int64Array) -> tuple[int, int, int, int]:
    """Least and greatest step of at least one, and the energy of all and of the bids."""
    low, high = orders[0], orders[0]
    total, bids = 0, 0
    for i in range(orders.size):
        step = orders[i]
        low = min(low, step)
        high = max(high, step)
        quantity = step & QUANTITY_MASK
        total += quantity
        bids += quantity & -(step >> QUANTITY_BITS & 1)
    return low, high, total, bids


@kernel(f"{INT}({TRIPLE}, {INT}, {ARRAY}, {TRIPLE})")
def change_orders(book: Triple, count: int, removed: Int64Array, added: Triple) -> int:
    """Put `added` orders into the places of `removed` ones, further ones behind the `count` there
    are; close places that stay empty with orders from the end. Returns how many there are then.

    `removed` rises from the number of `added` on.
    """
    ids, bus, steps = book
    new_ids, new_bus, new_steps = added
    for i in range(new_ids.size):
        place = removed[i] if i < removed.size else count
        count += 0 if i < removed.size else 1
        ids[place] = new_ids[i]
        bus[place] = new_bus[i]
        steps[place] = new_steps[i]
    for i in range(removed.size - 1, new_ids.size - 1, -1):
        count -= 1
        place = removed[i]
        ids[place] = ids[count]
        bus[place] = bus[count]
        steps[place] = steps[count]
    return count
