"""A book of orders kept from one clearing to the next: changing it costs what changes.

Orders are steps already, in places without an order: what leaves is replaced by what comes, or by
the last one. So only orders that share a margin are put in canonical order, which decides about
nothing else.

Invariant: a kept book clears to the same integers as a book of the same orders made anew, whatever
places they have.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from runtime.kernels.arrays import Int64Array
from runtime.kernels.auction import (
    Clearing,
    Extent,
    OrderArrays,
    TreeArrays,
    check_tree,
    clear_steps,
    offset_of,
    read_orders,
)
from runtime.kernels.bounds import (
    PRICE_MAX,
    QUANTITY_BITS,
    TOTAL_MAX,
    AuctionBoundsError,
    check_range,
)

Ranks = Callable[[Int64Array], list[bytes]]
"""The canonical rank of each of some orders, given their ids."""

CAPACITY_LEAST = 64
BUSES_MAX = 2**31


class KeptBook:
    """Orders in places 0 to `count` - 1, each with an id that its owner gives."""

    def __init__(self) -> None:
        self.count = 0
        self._ids, self._bus, self._steps = (np.empty(CAPACITY_LEAST, np.int64) for _ in range(3))
        self._bus_max = 0
        """No bus is above; it may be below when orders have left."""

    @property
    def ids(self) -> Int64Array:
        """The ids by place."""
        return self._ids[: self.count]

    def copy(self) -> "KeptBook":
        """Another book with the same orders."""
        other = KeptBook()
        other.count, other._bus_max = self.count, self._bus_max
        other._ids, other._bus, other._steps = (
            array.copy() for array in (self._ids, self._bus, self._steps)
        )
        return other

    def change(self, removed: Int64Array, ids: Int64Array, orders: OrderArrays) -> None:
        """Take out the orders in the places `removed` and put in `orders`, whose prices may be
        negative. Raises `AuctionBoundsError`, and nothing has changed then.
        """
        from runtime.kernels import book_kernel

        check_range("removed", removed, 0, self.count - 1)
        steps = np.empty(orders.bus.size, np.int64)
        if steps.size:
            read_orders(orders, BUSES_MAX, steps, price_least=-PRICE_MAX)
            self._bus_max = max(self._bus_max, int(orders.bus.max()))
        self._grow(self.count + max(steps.size - removed.size, 0))
        if removed.size > steps.size:
            removed = removed.copy()
            removed[steps.size :] = np.sort(removed[steps.size :])
        self.count = book_kernel.change_orders(
            (self._ids, self._bus, self._steps), self.count, removed, (ids, orders.bus, steps)
        )

    def clear(
        self,
        tree: TreeArrays,
        reference_price: int,
        p_floor: int,
        latched: bool = False,
        ranks: Ranks | None = None,
    ) -> Clearing:
        """What `clear_signed` gives for these orders in the canonical order of their ranks (without
        them, of their places); fills are by place.
        """
        from runtime.kernels import book_kernel

        check_tree(tree)
        bus, steps = self._bus[: self.count], self._steps[: self.count]
        if self._bus_max >= tree.parent.size:
            check_range("bus", bus, 0, tree.parent.size - 1)
        low, high, total_wh, bids_wh = 2, 2, 0, 0
        if self.count:
            low, high, total_wh, bids_wh = book_kernel.extent_of(steps)
            low, high = low >> QUANTITY_BITS, high >> QUANTITY_BITS
            if low >> 1 < -p_floor or high >> 1 > PRICE_MAX - p_floor - 1:
                price = steps >> (QUANTITY_BITS + 1)
                check_range("price", price, -p_floor, PRICE_MAX - p_floor - 1)
        if total_wh > TOTAL_MAX:
            raise AuctionBoundsError("sum of qty", -1, total_wh, f"at most {TOTAL_MAX}")
        offset = offset_of(p_floor, reference_price, latched or low >> 1 < 1)
        if offset:
            steps = steps + (2 * offset << QUANTITY_BITS)
        extent = Extent(low + 2 * offset, high + 2 * offset, total_wh, bids_wh)

        def canonical(places: Int64Array) -> Int64Array:
            assert ranks is not None, "asked for with ranks only"
            ranked = ranks(self._ids[places])
            order = sorted(range(places.size), key=ranked.__getitem__)
            return places[np.array(order, dtype=np.int64)]

        found = clear_steps(
            tree, bus, steps, extent, reference_price + offset, canonical if ranks else None
        )
        return replace(found, price=found.price - offset, price_offset=offset)

    def _grow(self, count: int) -> None:
        if count <= self._ids.size:
            return
        wanted = max(count, 2 * self._ids.size)
        self._ids, self._bus, self._steps = (
            np.concatenate((array[: self.count], np.empty(wanted - self.count, np.int64)))
            for array in (self._ids, self._bus, self._steps)
        )
