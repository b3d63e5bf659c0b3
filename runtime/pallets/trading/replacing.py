"""Replacing orders: the old ones out and the new ones in, at once or not at all.

Who replaces says what it believes to stand: how much of the order is left, or which position the
connection has. A call of the auction between signing and inclusion may have filled something; then
the replacement is refused, for else it would trade what was filled a second time.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from runtime import frame
from runtime.frame import AccountId
from runtime.pallets.trading.orders import (
    desk_at,
    desk_of_order,
    put_in,
    settle_desk,
    take_out,
)
from runtime.pallets.trading.records import Order, Terms

if TYPE_CHECKING:
    from runtime.pallets.trading import Trading


class PositionChanged(frame.Error, index=20):
    """The connection has not bought less sold what the new orders go with: a call filled something
    since. Read the position and decide again.
    """


class OrderPartlyFilled(frame.Error, index=21):
    """Not as much of the order is left as the call says: a call filled some of it since."""


class OrdersUnchanged(frame.Error, index=22):
    """What is to be placed rests already, or nothing rests and nothing is to be placed."""


def replace_one(
    market: "Trading",
    who: AccountId,
    order_id: int,
    left_wh: int,
    price_micro: int,
    quantity_wh: int,
) -> None:
    """Put an order in the place of another one of the same side."""
    desk, order = desk_of_order(market, who, order_id)
    if order.quantity_wh != left_wh:
        raise OrderPartlyFilled
    wanted = Terms(order.side, price_micro, quantity_wh)
    check_changed([order], [wanted])
    settle_desk(market, put_in(market, take_out(market, desk, [order]), [wanted]))


def replace_all(
    market: "Trading",
    who: AccountId,
    number: int,
    interval: int,
    net_wh: int,
    terms: Sequence[Terms],
) -> None:
    """Put orders in the place of all that rest of a connection."""
    desk = desk_at(market, who, number, interval)
    if desk.holding.buy_wh - desk.holding.sell_wh != net_wh:
        raise PositionChanged
    check_changed(desk.holding.orders, terms)
    settle_desk(market, put_in(market, take_out(market, desk, desk.holding.orders), terms))


def check_changed(resting: Sequence[Order], wanted: Sequence[Terms]) -> None:
    """Refuse to replace orders by themselves: the interval would be cleared again for nothing."""
    before = sorted((each.side, each.price_micro, each.quantity_wh) for each in resting)
    if before == sorted((each.side, each.price_micro, each.quantity_wh) for each in wanted):
        raise OrdersUnchanged
