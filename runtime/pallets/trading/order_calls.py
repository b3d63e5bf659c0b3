"""Calls on single orders: place at a limit or at the market's, take back, replace.

They are free when they succeed, within the rate: each counts as one call of its connection and
interval, however many orders it moves. All of them rest until they are filled, taken back, or the
gate passes.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, cast

from runtime.frame import (
    Compact,
    ConnectionId,
    EnergyWh,
    IntervalIndex,
    MaxLen,
    OrderId,
    Pallet,
    Pays,
    PricePerKwh,
    Signed,
    SignedEnergyWh,
    call,
)
from runtime.pallets.trading.config import Config
from runtime.pallets.trading.errors import NoOrders
from runtime.pallets.trading.orders import cancel, market_price, place
from runtime.pallets.trading.records import ORDERS_PER_HOLDING_MAX, Side, Terms
from runtime.pallets.trading.replacing import replace_all, replace_one

if TYPE_CHECKING:
    from runtime.pallets.trading import Trading

PLACING_WEIGHT = 100_000_000  # 100 us: book, holding, account, and their place in the trie
ORDER_WEIGHT = 20_000_000  # 20 us: checks, collateral, event
TAKING_OUT_WEIGHT = 5_000_000 * ORDERS_PER_HOLDING_MAX  # 5 us: finding it, event

Curve = Annotated[tuple[Terms, ...], MaxLen(ORDERS_PER_HOLDING_MAX)]


def weight_of_orders(
    market: "OrderCalls", connection: int, interval: int, orders: Sequence[Terms]
) -> int:
    """What placing several orders takes."""
    return PLACING_WEIGHT + ORDER_WEIGHT * len(orders)


def weight_of_replacing(
    market: "OrderCalls", connection: int, interval: int, net_wh: int, orders: Sequence[Terms]
) -> int:
    """What placing several orders takes after all that rest were taken out."""
    return weight_of_orders(market, connection, interval, orders) + TAKING_OUT_WEIGHT


class OrderCalls(Pallet[Config]):
    """The part of the market with these calls."""

    @property
    def _market(self) -> "Trading":
        return cast("Trading", self)  # the one pallet that inherits this part

    @call(0, weight=PLACING_WEIGHT + ORDER_WEIGHT, feeless=True)
    def place_order(
        self,
        who: Signed,
        connection: Compact[ConnectionId],
        interval: Compact[IntervalIndex],
        side: Side,
        price_micro: PricePerKwh,
        quantity_wh: Compact[EnergyWh],
    ) -> Pays:
        """Put an order into the book of an interval: a bid pays at most, an offer gets at least
        `price_micro`. Takes part in calls from the next block on. Free when it is accepted.

        Emits `OrderPlaced`. Fails with `ConnectionNotFound`, `NotConnectionOwner`,
        `IntervalClosed`, `IntervalNotOpen`, `IntervalSealed`, `RateExceeded`, `PriceOutOfBounds`,
        `QuantityOutOfBounds`, `AboveCapacity`, `BookFull`, or the currency's error when the
        collateral is not there.
        """
        place(self._market, who, connection, interval, [Terms(side, price_micro, quantity_wh)])
        return Pays.NO

    @call(1, weight=weight_of_orders, feeless=True)
    def place_orders(
        self,
        who: Signed,
        connection: Compact[ConnectionId],
        interval: Compact[IntervalIndex],
        orders: Curve,
    ) -> Pays:
        """Put the steps of a price curve into the book of an interval, all or none.

        They count as one call of the rate. Emits `OrderPlaced` for each. Fails with `NoOrders`, or
        as `place_order` does.
        """
        if not orders:
            raise NoOrders
        place(self._market, who, connection, interval, orders)
        return Pays.NO

    @call(2, weight=PLACING_WEIGHT, feeless=True)
    def cancel_order(self, who: Signed, order_id: Compact[OrderId]) -> Pays:
        """Take back what is not filled of an order and release its collateral. Free within the
        rate.

        Emits `OrderCancelled`. Fails with `OrderNotFound`, `NotOrderOwner`, `IntervalClosed`,
        `IntervalSealed`, `RateExceeded` or `CallInProgress`.
        """
        cancel(self._market, who, order_id)
        return Pays.NO

    @call(8, weight=PLACING_WEIGHT + ORDER_WEIGHT, feeless=True)
    def place_market_order(
        self,
        who: Signed,
        connection: Compact[ConnectionId],
        interval: Compact[IntervalIndex],
        side: Side,
        quantity_wh: Compact[EnergyWh],
    ) -> Pays:
        """Buy or sell at whatever the market gives, but never worse than on the tariff: a bid at
        the connection's retail price, an offer at its feed-in price. It rests as others do.

        Emits `OrderPlaced`. Fails with `NoTariff` for the transformer, or as `place_order` does.
        """
        price_micro = market_price(self._market, connection, side)
        place(self._market, who, connection, interval, [Terms(side, price_micro, quantity_wh)])
        return Pays.NO

    @call(9, weight=PLACING_WEIGHT + ORDER_WEIGHT + TAKING_OUT_WEIGHT, feeless=True)
    def replace_order(
        self,
        who: Signed,
        order_id: Compact[OrderId],
        left_wh: Compact[EnergyWh],
        price_micro: PricePerKwh,
        quantity_wh: Compact[EnergyWh],
    ) -> Pays:
        """Put another limit and quantity in the place of an order of which `left_wh` are not
        filled: in one call, so that at no time neither or both stand. Only the difference of their
        collaterals moves. The new order has an id of its own and takes part in calls from the next
        block on.

        Emits `OrderCancelled` and `OrderPlaced`. Fails with `OrderNotFound`, `NotOrderOwner`,
        `OrderPartlyFilled` (a call filled some of it since), `OrdersUnchanged`, `CallInProgress`,
        or as `place_order` does.
        """
        replace_one(self._market, who, order_id, left_wh, price_micro, quantity_wh)
        return Pays.NO

    @call(10, weight=weight_of_replacing, feeless=True)
    def replace_orders(
        self,
        who: Signed,
        connection: Compact[ConnectionId],
        interval: Compact[IntervalIndex],
        net_wh: SignedEnergyWh,
        orders: Curve,
    ) -> Pays:
        """Put a whole curve in the place of everything of a connection that rests in an interval,
        on both sides; an empty one takes all of it back. `net_wh`, what the connection has bought
        less sold, is the position that the curve goes with.

        One call of the rate. Emits `OrderCancelled` for each old and `OrderPlaced` for each new
        order. Fails with `PositionChanged` (a call filled something since), `OrdersUnchanged`,
        `CallInProgress`, or as `place_order` does.
        """
        replace_all(self._market, who, connection, interval, net_wh, orders)
        return Pays.NO
