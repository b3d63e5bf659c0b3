"""The auction's typed door: bounds, then exact clearing on a tree of buses.

Rules and their reasons: docs/auction.md. Orders come in canonical order (it decides who gets the
last Wh when a price level is shared). Units: Wh, micro-DRT per kWh, ppm; a price times a quantity
is nano-DRT, exactly.

Invariant: whatever passes the bounds (`bounds.py`) is cleared without any intermediate reaching
2**63.

The compiled part is loaded by the first clearing, or by `warm_up()`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from runtime.kernels.arrays import Int64Array, Tree
from runtime.kernels.bounds import (
    CAPACITY_MAX,
    LOSS_PPM_MAX,
    MILLION,
    PRICE_MAX,
    QUANTITY_MAX,
    STEPS_MAX,
    TARIFF_MAX,
    TOTAL_MAX,
    AuctionBoundsError,
    check_range,
)

SPARE_MAX = 2**24  # 128 MiB of working memory kept, a book of a million orders; usual ones: 0.1 %


class Spare:
    """Working memory of the last clearing: fresh pages would cost more than a clearing.

    Its content is never read. Taking it out of the list is atomic, so threads do not share it.
    """

    def __init__(self) -> None:
        self._kept: list[Int64Array] = []

    def take(self, least: int) -> Int64Array:
        """Memory of at least so many entries, whatever they hold."""
        memory = self._kept.pop() if self._kept else np.empty(0, np.int64)
        return memory if memory.size >= least else np.empty(least, np.int64)

    def give(self, memory: Int64Array) -> None:
        """Keep memory for the next clearing."""
        if memory.size <= SPARE_MAX:
            self._kept[:] = [memory]


ORDERS_READ, WORK = Spare(), Spare()


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


Canonical = Callable[[Int64Array], Int64Array]
"""Puts indices of orders in canonical order."""


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
    check_tree(tree)
    count = orders.bus.size
    memory = ORDERS_READ.take(count)
    steps = memory[:count]
    extent = read_orders(orders, tree.parent.size, steps)
    found = clear_steps(tree, orders.bus, steps, extent, reference_price)
    ORDERS_READ.give(memory)
    return found


def clear_steps(
    tree: TreeArrays,
    bus: Int64Array,
    steps: Int64Array,
    extent: "Extent",
    reference_price: int,
    canonical: Canonical | None = None,
) -> Clearing:
    """Clear orders that were read as steps; they and the tree are within the bounds.

    `canonical` puts indices of orders that share a margin in canonical order; without it, the order
    of the book is canonical.
    """
    from runtime.kernels import auction_kernel, book_kernel  # numba: when something is cleared

    if abs(reference_price) > PRICE_MAX:
        raise AuctionBoundsError("reference_price", -1, reference_price, f"at most {PRICE_MAX}")
    buses, count = tree.parent.size, bus.size
    arrays = tree_tuple(tree)
    curves, steps_total = survey(arrays, bus, steps, extent)
    work = WORK.take(auction_kernel.memory_needed(buses, count, steps_total))
    fill = np.empty(count, np.int64)
    price, net_export, received = (np.empty(buses, np.int64) for _ in range(3))
    margins = np.zeros((buses, book_kernel.MARGIN_COLUMNS), np.int64)
    auction_kernel.clear_tree(
        arrays,
        bus,
        steps,
        extent.key_low,
        extent.key_high,
        steps_total,
        reference_price,
        curves,
        work,
        margins,
        price,
        (net_export, received),
    )
    shared = work[: book_kernel.fill_orders(bus, steps, margins, fill, work)]
    if canonical is not None and shared.size > 1:
        shared = canonical(shared.copy())
    book_kernel.ration_orders(shared, bus, steps, margins, fill)
    WORK.give(work)
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
    check_range("price", orders.price, -p_floor, PRICE_MAX - p_floor - 1)
    is_low = orders.price.size > 0 and int(orders.price.min()) < 1
    offset = offset_of(p_floor, reference_price, latched or is_low)
    raised = replace(orders, price=orders.price + offset)
    cleared = clear(tree, raised, reference_price + offset)
    return replace(cleared, price=cleared.price - offset, price_offset=offset)


def offset_of(p_floor: int, reference_price: int, is_raised: bool) -> int:
    """What is added to all prices; refuses a reference price outside theirs."""
    price_max = PRICE_MAX - p_floor - 1
    if not -p_floor <= reference_price <= price_max:
        limit = f"from {-p_floor} to {price_max}"
        raise AuctionBoundsError("reference_price", -1, reference_price, limit)
    return p_floor + 1 if is_raised else 0


class Extent(NamedTuple):
    """What a book spans."""

    key_low: int
    key_high: int
    total_wh: int
    bids_wh: int


def read_orders(orders: OrderArrays, buses: int, steps: Int64Array, price_least: int = 0) -> Extent:
    """Write the orders as steps of a curve and tell their extent, or refuse them."""
    from runtime.kernels import book_kernel

    count = orders.bus.size
    for name in ("price", "qty", "isbid"):
        size = getattr(orders, name).size
        if size != count:
            raise AuctionBoundsError(f"the length of {name}", -1, size, f"{count} as of bus")
    if count == 0:
        return Extent(0, 0, 0, 0)
    found = book_kernel.read_orders((orders.bus, orders.price, orders.qty, orders.isbid), steps)
    bus_low, bus_high, price_low, price_high, qty_low, qty_high, side_low, side_high, *sums = found
    if bus_low < 0 or bus_high >= buses:
        check_range("bus", orders.bus, 0, buses - 1)
    if price_low < price_least or price_high > PRICE_MAX:
        check_range("price", orders.price, price_least, PRICE_MAX)
    if qty_low < 1 or qty_high > QUANTITY_MAX:
        check_range("qty", orders.qty, 1, QUANTITY_MAX)
    if side_low < 0 or side_high > 1:
        check_range("isbid", orders.isbid, 0, 1)
    total_wh, bids_wh = sums
    if total_wh > TOTAL_MAX:
        running = np.cumsum(orders.qty)
        index = int(np.argmax(running > TOTAL_MAX))
        limit = f"the sum of all quantities at most {TOTAL_MAX}"
        raise AuctionBoundsError("running sum of qty", index, int(running[index]), limit)
    return Extent(2 * price_low, 2 * price_high + 1, total_wh, bids_wh)


def survey(
    tree: Tree, bus: Int64Array, steps: Int64Array, extent: Extent
) -> tuple[Int64Array, int]:
    """The table of curves with the demand of each bus, and how many steps all curves can have."""
    from runtime.kernels import book_kernel

    buses = tree[0].size
    curves = np.zeros((buses, book_kernel.CURVE_COLUMNS), np.int64)
    if buses == 1:
        curves[0, book_kernel.BASE] = -extent.bids_wh
        curves[0, book_kernel.OWN_END] = bus.size
        return curves, 0
    far, reach, steps_total = book_kernel.survey(tree, bus, steps, TOTAL_MAX, curves)
    if far >= 0:
        limit = f"at most {TOTAL_MAX} (losses multiply the demand of the buses below)"
        raise AuctionBoundsError("reach", far, reach, limit)
    if steps_total > STEPS_MAX:
        limit = f"at most {STEPS_MAX} (orders times their distance from the root)"
        raise AuctionBoundsError("steps of all curves", -1, steps_total, limit)
    return curves, steps_total


def tree_tuple(tree: TreeArrays) -> Tree:
    """The tree as the kernels take it; more capacity than any flow is as good as twice that."""
    cap_up, cap_down = (np.minimum(cap, 2 * TOTAL_MAX) for cap in (tree.cap_up, tree.cap_down))
    return tree.parent, cap_up, cap_down, tree.loss_ppm, tree.tariff


def check_tree(tree: TreeArrays) -> None:
    """Refuse a tree outside the bounds."""
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
