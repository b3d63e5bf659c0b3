"""The auction's typed door: bounds, then exact clearing on a tree of buses.

Rules and their reasons: docs/auction.md. Orders come in canonical order (it decides who gets the
last Wh when a price level is shared). Units: Wh, micro-DRT per kWh, ppm; a price times a quantity
is nano-DRT, exactly.

Invariant: whatever passes the bounds here is cleared without any intermediate reaching 2**63.

The compiled part is loaded by the first clearing, or by `warm_up()`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from runtime.kernels.arrays import Int64Array

MILLION = 1_000_000
PRICE_MAX = 2**26 - 1  # 67 DRT/kWh; raised by tariffs and losses it stays below 2**27
QUANTITY_MAX = 2**26 - 1  # 67 MWh per order: price times quantity, summed, stays below 2**62
TOTAL_MAX = 2**35 - 1  # 34 GWh per book: a price times any flow stays below 2**63
LOSS_PPM_MAX = 500_000  # an edge that loses more than half is a fault, not a line
TARIFF_MAX = 2**24 - 1
CAPACITY_MAX = 2**62  # "unlimited"; no flow comes near
REACH_MAX = 2**42  # export times a million stays below 2**62
STEPS_MAX = 2**26  # 2 GiB of curves: a million orders, each on 60 buses from its own to the root

SPARE_MAX = 2**22  # 32 MiB of working memory kept, a book of 100 000 orders; usual ones need 1 %
SPARE: list[Int64Array] = []
"""Working memory of the last clearing: fresh pages would cost more than a clearing. Its content
is never read; taking it out of the list is atomic, so threads do not share it."""


class AuctionBoundsError(ValueError):
    """An entry of a tree or a book is outside the range for which clearing is exact."""

    def __init__(self, name: str, index: int, found: int, limit: str) -> None:
        """`index` is into the array `name`; -1 for a single number."""
        where = name if index < 0 else f"{name}[{index}]"
        super().__init__(f"{where} is {found}, expected {limit}")
        self.name = name
        self.index = index
        self.found = found
        self.limit = limit


@dataclass(frozen=True, slots=True)
class TreeArrays:
    """Buses 0 .. B-1; entry i > 0 also describes the edge from i to `parent[i]` < i."""

    parent: Int64Array
    cap_up: Int64Array
    cap_down: Int64Array
    loss_ppm: Int64Array
    tariff: Int64Array

    @classmethod
    def of(
        cls,
        parent: Sequence[int],
        cap_up: Sequence[int],
        cap_down: Sequence[int],
        loss_ppm: Sequence[int],
        tariff: Sequence[int],
    ) -> "TreeArrays":
        """From plain sequences."""
        return cls(*map(as_array, (parent, cap_up, cap_down, loss_ppm, tariff)))


@dataclass(frozen=True, slots=True)
class OrderArrays:
    """A book in canonical order; `isbid` is 1 for a bid, 0 for an offer."""

    bus: Int64Array
    price: Int64Array
    qty: Int64Array
    isbid: Int64Array

    @classmethod
    def of(
        cls, bus: Sequence[int], price: Sequence[int], qty: Sequence[int], isbid: Sequence[int]
    ) -> "OrderArrays":
        """From plain sequences."""
        return cls(*map(as_array, (bus, price, qty, isbid)))


@dataclass(frozen=True, slots=True)
class Clearing:
    """What a clearing decides. Per order `fill`; the rest per bus, index 0 the root."""

    fill: Int64Array
    price: Int64Array
    net_export: Int64Array
    """Wh at the child's end of the edge; negative: import. 0 for the root."""
    sent: Int64Array
    """Wh entering the edge at its sending end, >= 0."""
    received_parent: Int64Array
    """Wh at the parent's end; negative: what it sends down."""
    traded: bool
    """Some order is filled. When false the root price may be the reference price."""
    price_offset: int = 0
    """What was added to all prices to clear (see `clear_signed`); `price` is without it."""


def clear(tree: TreeArrays, orders: OrderArrays, reference_price: int) -> Clearing:
    """Clear a book of non-negative limit prices.

    `reference_price` prices a root that sees no order at all. Raises `AuctionBoundsError`.
    """
    from runtime.kernels import auction_kernel  # numba: only when something is cleared

    low, high = check_orders(tree, orders)
    steps_total = check_tree(tree, orders)
    if abs(reference_price) > PRICE_MAX:
        raise AuctionBoundsError("reference_price", -1, reference_price, f"at most {PRICE_MAX}")
    buses, count = tree.parent.size, orders.bus.size
    fill = np.empty(count, np.int64)
    price, net_export, received = (np.empty(buses, np.int64) for _ in range(3))
    needed = 4 * steps_total + 6 * (count + 2 * buses)
    memory = SPARE.pop() if SPARE else np.empty(0, np.int64)
    if memory.size < needed:
        memory = np.empty(needed, np.int64)
    auction_kernel.clear_tree(
        (
            tree.parent,
            np.minimum(tree.cap_up, 2 * REACH_MAX),
            np.minimum(tree.cap_down, 2 * REACH_MAX),
            tree.loss_ppm,
            tree.tariff,
        ),
        (orders.bus, orders.price, orders.qty, orders.isbid),
        2 * low,
        2 * high + 1,
        steps_total,
        reference_price,
        memory,
        fill,
        price,
        (net_export, received),
    )
    if memory.size <= SPARE_MAX:
        SPARE[:] = [memory]
    sent = np.where(received >= 0, net_export, -received)
    return Clearing(fill, price, net_export, sent, received, bool(fill.any()))


def clear_signed(
    tree: TreeArrays,
    orders: OrderArrays,
    reference_price: int,
    p_floor: int,
    latched: bool = False,
) -> Clearing:
    """Clear a book whose limit prices go down to `-p_floor`.

    Level 0 means "no level" to the kernel, so once a limit is below 1 all prices, the reference
    price too, are raised by `p_floor + 1`. `latched` says that an earlier batch of the same
    interval was raised: later ones are as well, so that no single order can switch it off.
    """
    price_max = PRICE_MAX - p_floor - 1
    check_range("price", orders.price, -p_floor, price_max)
    if not -p_floor <= reference_price <= price_max:
        limit = f"from {-p_floor} to {price_max}"
        raise AuctionBoundsError("reference_price", -1, reference_price, limit)
    offset = 0
    if latched or (orders.price.size > 0 and int(orders.price.min()) < 1):
        offset = p_floor + 1
    raised = replace(orders, price=orders.price + offset)
    cleared = clear(tree, raised, reference_price + offset)
    return replace(cleared, price=cleared.price - offset, price_offset=offset)


def check_orders(tree: TreeArrays, orders: OrderArrays) -> tuple[int, int]:
    """Refuse a book outside the bounds; otherwise its lowest and highest price."""
    from runtime.kernels import auction_kernel

    count, buses = orders.bus.size, tree.parent.size
    for name in ("price", "qty", "isbid"):
        size = getattr(orders, name).size
        if size != count:
            raise AuctionBoundsError(f"the length of {name}", -1, size, f"{count} as of bus")
    if count == 0:
        return 0, 0
    found = auction_kernel.order_extremes((orders.bus, orders.price, orders.qty, orders.isbid))
    bus_low, bus_high, price_low, price_high, qty_low, qty_high, side_low, side_high, total = found
    if bus_low < 0 or bus_high >= buses:
        check_range("bus", orders.bus, 0, buses - 1)
    if price_low < 0 or price_high > PRICE_MAX:
        check_range("price", orders.price, 0, PRICE_MAX)
    if qty_low < 1 or qty_high > QUANTITY_MAX:
        check_range("qty", orders.qty, 1, QUANTITY_MAX)
    if side_low < 0 or side_high > 1:
        check_range("isbid", orders.isbid, 0, 1)
    if total > TOTAL_MAX:
        running = np.cumsum(orders.qty)
        index = int(np.argmax(running > TOTAL_MAX))
        limit = f"the sum of all quantities at most {TOTAL_MAX}"
        raise AuctionBoundsError("running sum of qty", index, int(running[index]), limit)
    return price_low, price_high


def check_tree(tree: TreeArrays, orders: OrderArrays) -> int:
    """Refuse a tree outside the bounds; otherwise how many steps its curves can have in all."""
    from runtime.kernels import auction_kernel

    buses = tree.parent.size
    if buses == 0:
        raise AuctionBoundsError("the length of parent", -1, 0, "at least 1: the root")
    for name in ("cap_up", "cap_down", "loss_ppm", "tariff"):
        size = getattr(tree, name).size
        if size != buses:
            raise AuctionBoundsError(f"the length of {name}", -1, size, f"{buses} as of parent")
    check_range("parent", tree.parent[:1], -1, 0)
    unordered = (tree.parent < 0) | (tree.parent >= np.arange(buses))
    unordered[0] = False
    if unordered.any():
        index = int(np.argmax(unordered))
        limit = f"a bus before it: 0 to {index - 1}"
        raise AuctionBoundsError("parent", index, int(tree.parent[index]), limit)
    check_range("cap_up", tree.cap_up, 0, CAPACITY_MAX)
    check_range("cap_down", tree.cap_down, 0, CAPACITY_MAX)
    check_range("loss_ppm", tree.loss_ppm, 0, LOSS_PPM_MAX)
    check_range("tariff", tree.tariff, 0, TARIFF_MAX)
    if buses == 1:
        return orders.bus.size
    bus, reach, steps = auction_kernel.curve_bounds(
        (tree.parent, tree.cap_up, tree.cap_down, tree.loss_ppm, tree.tariff),
        (orders.bus, orders.price, orders.qty, orders.isbid),
        REACH_MAX,
    )
    if bus >= 0:
        limit = f"at most {REACH_MAX} (losses multiply the demand of the buses below)"
        raise AuctionBoundsError("reach", bus, reach, limit)
    if steps > STEPS_MAX:
        limit = f"at most {STEPS_MAX} (orders times their distance from the root)"
        raise AuctionBoundsError("steps of all curves", -1, steps, limit)
    return int(steps)


def check_range(name: str, values: Int64Array, low: int, high: int) -> None:
    """Refuse the first of `values` outside `low` to `high`."""
    if values.size == 0 or (low <= int(values.min()) and int(values.max()) <= high):
        return
    index = int(np.argmax((values < low) | (values > high)))
    raise AuctionBoundsError(name, index, int(values[index]), f"from {low} to {high}")


def deliver(sent: int, loss_ppm: int) -> int:
    """D: what arrives of `sent` >= 0."""
    return sent - (sent * loss_ppm + MILLION - 1) // MILLION


def send_for(wanted: int, loss_ppm: int) -> int:
    """U: the least that must be sent for `wanted` >= 0 to arrive."""
    return -(-wanted * MILLION // (MILLION - loss_ppm))


def export_map(export: int, loss_ppm: int) -> int:
    """T: what the parent receives of a net export (negative: must send for an import)."""
    return deliver(export, loss_ppm) if export >= 0 else -send_for(-export, loss_ppm)


def residual_capacities(
    cap_up: Int64Array, cap_down: Int64Array, loss_ppm: Int64Array, exported: Int64Array
) -> tuple[Int64Array, Int64Array]:
    """Capacities left after earlier batches whose net exports at the child's end are `exported`.

    An earlier flow up enlarges the room down and conversely. With these, the *net* flow respects
    the capacity at its sending end after every batch; both are >= 0 if it does so far.
    """
    down = [
        send_for(deliver(cap, loss) + net + 1, loss) - 1
        for cap, loss, net in zip(
            cap_down.tolist(), loss_ppm.tolist(), exported.tolist(), strict=True
        )
    ]
    return cap_up - exported, as_array(down)


def warm_up() -> None:
    """Load the kernels and clear a book of two orders."""
    tree = TreeArrays.of([0, 0], [0, 100], [0, 100], [0, 10_000], [0, 10])
    clear(tree, OrderArrays.of([1, 0], [10, 99], [50, 50], [0, 1]), 0)


def as_array(values: Sequence[int]) -> Int64Array:
    """A contiguous int64 array."""
    return np.array(values, dtype=np.int64)
