"""Coupled orders: the part of the market's pallet that orders over several intervals add.

Invariants: at most 64 orders wait, at most 4 of a connection; the money they keep aside is exactly
their worst case (`coupled_terms.py`); an order is accepted whole over all its intervals, at a
surplus of at least zero, at prices from feed-in to retail, or not at all (`coupled_call.py`). What
was accepted is remembered for the devices that follow it (`coupled_accepted.py`).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, cast

from runtime.frame import (
    U32,
    Compact,
    ConnectionId,
    Identity,
    IntervalIndex,
    MaxLen,
    OrderId,
    Pallet,
    Pays,
    Signed,
    StorageDoubleMap,
    StorageMap,
    StorageValue,
    api,
    call,
)
from runtime.pallets.trading.config import Config
from runtime.pallets.trading.coupled_accepted import CoupledSchedule, schedules_of
from runtime.pallets.trading.coupled_call import call_coupled
from runtime.pallets.trading.coupled_orders import (
    cancel_coupled,
    place_coupled,
    waiting_of,
    waiting_order,
)
from runtime.pallets.trading.coupled_records import (
    COUPLED_MAX,
    CoupledEntry,
    CoupledOrder,
    CoupledTerms,
)
from runtime.pallets.trading.coupled_terms import named_count, reach_at
from runtime.pallets.trading.records import Call, Side

if TYPE_CHECKING:
    from runtime.pallets.trading import Trading

PLACING_WEIGHT = 200_000_000  # 200 us: the order, its collateral, its account, its predecessors
REACH_WEIGHT = 25_000_000  # 25 us: holding, contracts and other orders of one interval

Waiting = Annotated[tuple[OrderId, ...], MaxLen(COUPLED_MAX)]


def weight_of_placing(market: "Coupled", connection: int, terms: CoupledTerms) -> int:
    """What placing an order over so many intervals takes."""
    return PLACING_WEIGHT + REACH_WEIGHT * named_count(terms)


class Coupled(Pallet[Config]):
    coupled_orders: StorageMap[OrderId, CoupledOrder | None, Identity]
    """Coupled orders that wait. Identity: an id says its first interval, connection, sequence."""

    coupled_waiting: StorageValue[Waiting]
    """Their ids, in the order of their placement, which decides nothing."""

    coupled_accepted: StorageDoubleMap[
        ConnectionId, OrderId, CoupledSchedule | None, Identity, Identity
    ]
    """What coupled orders of a connection were accepted with, until their intervals are settled."""

    @call(12, weight=weight_of_placing, feeless=True)
    def place_coupled(
        self, who: Signed, connection: Compact[ConnectionId], terms: CoupledTerms
    ) -> Pays:
        """Place an order over several intervals: a block or an exclusive group of them, a flexible
        load, a vehicle, a battery. From the next block on it takes part in every call until the
        gate of its first interval, and is accepted whole or not at all. Free when it is taken.

        Emits `CoupledPlaced`. Fails with `ConnectionNotFound`, `NotConnectionOwner`,
        `NotForTheSupplier`, `CoupledTermsInvalid`, `CoupledWindowInvalid`,
        `CoupledQuantityInvalid`, `CoupledOutOfReach`, `PriceOutOfBounds`, `IntervalClosed`,
        `IntervalNotOpen`, `IntervalSealed`, `TooManyCoupledOrders`, `AboveCapacity`,
        `RateExceeded`, or the currency's error when the collateral is not there.
        """
        place_coupled(self.market, who, connection, terms)
        return Pays.NO

    @call(13, weight=PLACING_WEIGHT, feeless=True)
    def cancel_coupled(self, who: Signed, order_id: Compact[OrderId]) -> Pays:
        """Take a waiting coupled order back and release its collateral. Free within the rate.

        Emits `CoupledCancelled`. Fails with `CoupledOrderNotFound`, `NotOrderOwner`,
        `IntervalClosed`, `IntervalSealed` or `RateExceeded`.
        """
        cancel_coupled(self.market, who, order_id)
        return Pays.NO

    @api("Trading_coupled_orders")
    def list_coupled_orders(self) -> list[CoupledEntry]:
        """The coupled orders that wait, by id."""
        return [
            CoupledEntry(order_id, waiting_order(self.market, order_id))
            for order_id in sorted(self.coupled_waiting.get())
        ]

    @api("Trading_coupled_schedules")
    def list_coupled_schedules(self, connection: ConnectionId) -> list[CoupledSchedule]:
        """What the coupled orders of a connection were accepted with: what its devices do."""
        return schedules_of(self.market, connection)

    @api("Trading_slot_of_day")
    def read_slot_of_day(self, interval: IntervalIndex) -> U32:
        """Which quarter hour of its day an interval is, from 0 to 95: for orders by the clock."""
        return self.market.slot_of_day(interval)

    def committed(self, interval: int, number: int) -> tuple[int, int]:
        """Import and export of a connection that contracts, waiting coupled orders and sealed ones
        may need.
        """
        return self.committed_with(waiting_of(self.market, number), interval, number)

    def committed_with(
        self, waiting: Sequence[CoupledOrder], interval: int, number: int
    ) -> tuple[int, int]:
        """The same with the coupled orders of the connection, which were read before."""
        import_wh, export_wh = self.market.contracted(interval, number)
        for order in waiting:
            reach = reach_at(order.terms, interval)
            import_wh += reach.import_wh
            export_wh += reach.export_wh
        for sealed in self.market.sealed_of(interval, number):
            if sealed.side == Side.BID:
                import_wh += sealed.quantity_wh
            else:
                export_wh += sealed.quantity_wh
        return import_wh, export_wh

    def call_coupled(self, call: Call, budget: int) -> int:
        """Let the waiting orders take part in a call that begins; what is left of its budget."""
        return call_coupled(self.market, call, budget)

    @property
    def market(self) -> "Trading":
        """The pallet that this is a part of."""
        return cast("Trading", self)  # nothing else inherits it
