"""Sealed orders: the part of the market's pallet for orders that nobody can read before the gate.

Who places an order last sees all the others; the author of a block always does. So an order may be
sealed: a commitment (`runtime/primitives/sealed_order.py`) with a deposit and a fee, before its
interval is three ahead; opened in the two intervals before the gate, while the interval is quiet
(`quiet_periods.py`); cleared with everything else by the call of the gate. What becomes of it:
`sealed_orders.py`.

A side, a greatest quantity and that there is an order are public; the limit and the quantity are
not. Left out: commitments of several orders in one call, sealed coupled orders, and orders that
open themselves (threshold encryption).
"""

from typing import TYPE_CHECKING, cast

from runtime.frame import (
    AccountId,
    Compact,
    ConnectionId,
    EnergyWh,
    Hash,
    Identity,
    IntervalIndex,
    OrderId,
    Pallet,
    Pays,
    PricePerKwh,
    Signed,
    StorageDoubleMap,
    StorageMap,
    StorageValue,
    api,
    call,
)
from runtime.pallets.trading.config import Config
from runtime.pallets.trading.records import Side, order_id_of
from runtime.pallets.trading.sealed_orders import (
    ENDED_PER_BLOCK_MAX,
    ENDING_WEIGHT,
    reveal,
    seal,
    withdraw_sealed,
)
from runtime.pallets.trading.sealed_records import (
    SealedAhead,
    SealedEntry,
    SealedInterval,
    SealedOrder,
    SealedOrders,
)

if TYPE_CHECKING:
    from runtime.pallets.trading import Trading

SEALING_WEIGHT = 250_000_000  # 250 us: book, holding, what is sealed, three accounts, a schedule
REVEALING_WEIGHT = 200_000_000  # 200 us: a hash, book, holding, what is sealed, an account
WITHDRAWING_WEIGHT = 150_000_000  # 150 us: the same without book and hash
SEALED_WEIGHT = ENDED_PER_BLOCK_MAX * ENDING_WEIGHT
"""What ending unrevealed orders takes of a block at most."""


class Sealed(Pallet[Config]):
    sealed_intervals: StorageMap[IntervalIndex, SealedInterval | None, Identity]
    """Intervals with sealed orders, until their gate. Identity: time numbers them."""

    sealed_ahead: StorageValue[SealedAhead]
    """Which they are, rising."""

    sealed_orders: StorageDoubleMap[IntervalIndex, ConnectionId, SealedOrders, Identity, Identity]
    """Sealed orders that wait, by interval and connection."""

    @call(20, weight=SEALING_WEIGHT)
    def seal_order(
        self,
        who: Signed,
        connection: Compact[ConnectionId],
        interval: Compact[IntervalIndex],
        side: Side,
        quantity_wh: Compact[EnergyWh],
        commitment: Hash,
    ) -> None:
        """Commit to an order for at most `quantity_wh` of an interval that is more than three
        ahead. It keeps aside what such an order would at its dearest limit, and pays the grid
        operator 0.01 DRT. One call of the rate, that of its reveal included. The interval will be
        quiet: from the first block three intervals before it until its gate no order for it comes,
        goes or changes, and no call clears it.

        Emits `OrderSealed`. Fails with `NotForTheSupplier`, `ConnectionNotFound`,
        `NotConnectionOwner`, `SealingClosed`, `IntervalNotOpen`, `RateExceeded`,
        `QuantityOutOfBounds`, `TooManySealedOrders`, `AboveCapacity`, `BookFull`, or the
        currency's error when deposit and fee are not there.
        """
        seal(self.market, who, connection, interval, side, quantity_wh, commitment)

    @call(21, weight=REVEALING_WEIGHT, feeless=True)
    def reveal_order(
        self,
        who: Signed,
        order_id: Compact[OrderId],
        price_micro: PricePerKwh,
        quantity_wh: Compact[EnergyWh],
        salt: Hash,
    ) -> Pays:
        """Open a sealed order: from the first block three intervals before its interval, until the
        gate, whose call clears it with all that rests. What it does not need of the deposit is
        released. Free when it is right.

        Emits `SealedOrderRevealed` and `OrderPlaced`. Fails with `SealedOrderNotFound`,
        `NotOrderOwner`, `IntervalClosed`, `RevealTooEarly`, `AboveSealedQuantity`,
        `CommitmentMismatch`, `PriceOutOfBounds` or `QuantityOutOfBounds`.
        """
        reveal(self.market, who, order_id, price_micro, quantity_wh, salt)
        return Pays.NO

    @call(22, weight=WITHDRAWING_WEIGHT)
    def withdraw_sealed_order(self, who: Signed, order_id: Compact[OrderId]) -> None:
        """Take a commitment back before it closes. The deposit is released, the fee is not given
        back.

        Emits `SealedOrderWithdrawn`. Fails with `SealedOrderNotFound`, `NotOrderOwner`,
        `SealingClosed` or `RateExceeded`.
        """
        withdraw_sealed(self.market, who, order_id)

    @api("Trading_sealed_orders")
    def list_sealed_orders(self, account: AccountId) -> list[SealedEntry]:
        """The sealed orders of an account that wait, by interval, connection and sequence."""
        return [
            SealedEntry(order_id_of(interval, number, order.sequence), number, interval, order)
            for interval in self.sealed_ahead.get()
            for number, orders in sorted(self.sealed_orders.items_under(interval))
            if self.market.account_of(number) == account
            for order in orders
        ]

    @api("Trading_sealed_interval")
    def read_sealed_interval(self, interval: IntervalIndex) -> SealedInterval | None:
        """What an interval whose gate has not passed has of sealed orders; none: it will not be
        quiet, or the gate has passed.
        """
        return self.sealed_intervals[interval]

    @api("Trading_sealed_intervals")
    def list_sealed_intervals(self) -> list[tuple[IntervalIndex, SealedInterval]]:
        """All intervals with sealed orders, rising."""
        found = [
            (interval, self.sealed_intervals[interval]) for interval in self.sealed_ahead.get()
        ]
        return [(interval, known) for interval, known in found if known is not None]

    def sealed_of(self, interval: int, number: int) -> tuple[SealedOrder, ...]:
        """The sealed orders of a connection that wait."""
        if self.sealed_intervals[interval] is None:
            return ()
        return self.sealed_orders[interval, number]

    @property
    def market(self) -> "Trading":
        """The pallet that this is a part of."""
        return cast("Trading", self)  # nothing else inherits it
