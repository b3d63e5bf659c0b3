"""Coupled orders from their placement to their end: admission, collateral, cancelling, expiry.

Invariants: each waiting order keeps aside exactly what `hold_of_terms` says; what it may take and
give in an interval fits its connection beside contracts, position and ordinary orders; its
intervals are stored and none of their books is closed.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from runtime.frame import AccountId
from runtime.pallets.producer_registration import TRANSFORMER
from runtime.pallets.trading.coupled_accepted import check_room
from runtime.pallets.trading.coupled_records import (
    COUPLED_MAX,
    COUPLED_PER_CONNECTION_MAX,
    Battery,
    CoupledCancelled,
    CoupledExpired,
    CoupledOrder,
    CoupledOrderNotFound,
    CoupledPlaced,
    CoupledTerms,
    NotForTheSupplier,
    TooManyCoupledOrders,
)
from runtime.pallets.trading.coupled_terms import (
    Reach,
    check_terms,
    hold_of_terms,
    intervals_of,
    limits_of,
    reach_at,
)
from runtime.pallets.trading.errors import (
    AboveCapacity,
    ConnectionNotFound,
    IntervalClosed,
    IntervalNotOpen,
    NotConnectionOwner,
    NotOrderOwner,
    PriceOutOfBounds,
)
from runtime.pallets.trading.orders import (
    INTERVALS_STORED_MAX,
    check_interval,
    check_price,
    check_rate,
)
from runtime.pallets.trading.quiet_periods import check_not_quiet
from runtime.pallets.trading.records import (
    Holding,
    Side,
    order_id_of,
    parts_of,
)
from runtime.pallets.trading.settlement import ZonePrices

if TYPE_CHECKING:
    from runtime.pallets.producer_registration import Connection
    from runtime.pallets.trading import Trading


def place_coupled(market: "Trading", who: AccountId, number: int, terms: CoupledTerms) -> None:
    """Let an order over several intervals wait for the next call, its collateral kept aside."""
    connection = market.config.registry.connection(number)
    if connection is None:
        raise ConnectionNotFound
    if connection.account != who:
        raise NotConnectionOwner
    if number == TRANSFORMER:
        raise NotForTheSupplier
    check_terms(terms)
    check_limits(market, number, terms)
    named = intervals_of(terms)
    stored = stored_with(market, named)
    waiting = market.coupled_waiting.get()
    own = sum(parts_of(order_id)[1] == number for order_id in waiting)
    if len(waiting) >= COUPLED_MAX or own >= COUPLED_PER_CONNECTION_MAX:
        raise TooManyCoupledOrders
    check_room(market, number, own)
    others = waiting_of(market, number)
    for interval in named:
        reach = reach_at(terms, interval)
        check_capacity(market, number, connection, interval, reach, others)
    first = named[0]
    holding = market.holdings[first, number]
    check_rate(holding)
    held = hold_of_terms(terms, worst_prices(market, named, number))

    market.config.currency.hold(who, held)
    order_id = order_id_of(first, number, holding.next_sequence)
    order = CoupledOrder(number, market.config.clock.now(), held, terms)
    market.holdings[first, number] = replace(
        holding, calls=holding.calls + 1, next_sequence=holding.next_sequence + 1
    )
    market.schedule.set(replace(market.schedule.get(), stored=stored))
    market.coupled_orders[order_id] = order
    market.coupled_waiting.set((*waiting, order_id))
    market.deposit_event(CoupledPlaced(order_id, order))


def check_limits(market: "Trading", number: int, terms: CoupledTerms) -> None:
    """Refuse limits outside feed-in and retail, and a wear that no price could make good."""
    for limit in limits_of(terms):
        check_price(market, number, limit)
    retail = market.config.supplier_price + market.config.network_fee
    if isinstance(terms, Battery) and not 0 <= terms.wear_micro <= retail:
        raise PriceOutOfBounds


def stored_with(market: "Trading", intervals: list[int]) -> tuple[int, ...]:
    """The stored intervals and these. Refuses those whose gate has passed, that are not open, or
    quiet.
    """
    schedule = market.schedule.get()
    for interval in intervals:
        check_interval(market, schedule, interval)
        check_not_quiet(market, interval)
    stored = {*schedule.stored, *intervals}
    if len(schedule.stored) < len(stored) > INTERVALS_STORED_MAX:
        raise IntervalNotOpen
    return tuple(sorted(stored))


def check_capacity(
    market: "Trading",
    number: int,
    connection: "Connection",
    interval: int,
    reach: Reach,
    others: Sequence[CoupledOrder],
) -> None:
    """Refuse more than the connection carries beside all it has for the interval already;
    `others`: its coupled orders that wait.
    """
    holding = market.holdings[interval, number]
    committed = market.committed_with(others, interval, number)
    net_wh = holding.buy_wh - holding.sell_wh
    taken_wh = reach.import_wh + committed[0] + net_wh + open_wh(holding, Side.BID)
    given_wh = reach.export_wh + committed[1] - net_wh + open_wh(holding, Side.OFFER)
    if (reach.import_wh and taken_wh > connection.import_wh_max) or (
        reach.export_wh and given_wh > connection.export_wh_max
    ):
        raise AboveCapacity


def worst_prices(market: "Trading", intervals: Sequence[int], number: int) -> ZonePrices:
    """The prices by which a connection keeps most aside for any of some intervals."""
    found = [market.hold_prices(interval, number) for interval in intervals]
    return found[0].with_bounds(
        max(prices.imbalance_price_max for prices in found),
        min(prices.imbalance_price_min for prices in found),
    )


def open_wh(holding: Holding, side: Side) -> int:
    """What open orders of one side sum to."""
    return sum(order.quantity_wh for order in holding.orders if order.side == side)


def waiting_of(market: "Trading", number: int) -> list[CoupledOrder]:
    """The coupled orders of a connection that wait."""
    return [
        waiting_order(market, order_id)
        for order_id in market.coupled_waiting.get()
        if parts_of(order_id)[1] == number
    ]


def waiting_order(market: "Trading", order_id: int) -> CoupledOrder:
    """An order that is known to wait."""
    order = market.coupled_orders[order_id]
    assert order is not None, "what waits is there"
    return order


def cancel_coupled(market: "Trading", who: AccountId, order_id: int) -> None:
    """Take a coupled order back and release its collateral."""
    order = market.coupled_orders[order_id]
    if order is None:
        raise CoupledOrderNotFound
    if market.account_of(order.connection) != who:
        raise NotOrderOwner
    first, number, _ = parts_of(order_id)
    if market.is_gate_passed(first, market.config.clock.now()):
        raise IntervalClosed
    for interval in intervals_of(order.terms):
        check_not_quiet(market, interval)
    holding = market.holdings[first, number]
    check_rate(holding)

    market.holdings[first, number] = replace(holding, calls=holding.calls + 1)
    market.release(who, order.held_nano)
    forget(market, order_id)
    market.deposit_event(CoupledCancelled(order_id))


def expire(market: "Trading", order_id: int) -> None:
    """End an order that no call accepted before the gate of its first interval."""
    order = waiting_order(market, order_id)
    market.release(market.account_of(order.connection), order.held_nano)
    forget(market, order_id)
    market.deposit_event(CoupledExpired(order_id))


def forget(market: "Trading", order_id: int) -> None:
    """Let an order wait no longer."""
    waiting = market.coupled_waiting.get()
    market.coupled_waiting.set(tuple(other for other in waiting if other != order_id))
    del market.coupled_orders[order_id]
