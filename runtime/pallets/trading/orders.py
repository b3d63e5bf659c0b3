"""Orders: the checks they pass, and what they and a position keep aside."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from runtime.frame import AccountId
from runtime.kernels.auction import PRICE_MAX, QUANTITY_MAX, TOTAL_MAX
from runtime.pallets.producer_registration import TRANSFORMER, Connection
from runtime.pallets.trading.collateral import order_unit_hold, position_hold
from runtime.pallets.trading.errors import (
    AboveCapacity,
    BookFull,
    CallInProgress,
    ConnectionNotFound,
    IntervalClosed,
    IntervalNotOpen,
    NotConnectionOwner,
    NotOrderOwner,
    OrderNotFound,
    PriceOutOfBounds,
    QuantityOutOfBounds,
    RateExceeded,
)
from runtime.pallets.trading.events import OrderCancelled, OrderPlaced
from runtime.pallets.trading.records import (
    CALLS_PER_HOLDING_MAX,
    NO_BOOK,
    ORDERS_PER_HOLDING_MAX,
    Book,
    Holding,
    Order,
    Schedule,
    Side,
    Terms,
    order_id_of,
    parts_of,
)
from runtime.pallets.trading.settlement import Position, ZonePrices

if TYPE_CHECKING:
    from runtime.pallets.trading import Trading

INTERVALS_AHEAD = 96
"""Orders are taken for the next day."""

INTERVALS_STORED_MAX = 512
"""Intervals that can wait for settlement: the day ahead, and several outages' remains."""

QUANTITY_WH_MIN = 10
"""Each call may lose 1 Wh per edge to rounding: smaller orders would cost the operator more."""

QUANTITY_WH_MIN_NEGATIVE = 1_000
"""A limit below 0 makes the whole interval clear with raised prices, so it has to mean it."""


def check_interval(market: "Trading", schedule: Schedule, interval: int) -> None:
    """Refuse an interval whose gate has passed or that is too far ahead."""
    now_ms, length_ms = market.config.clock.now(), market.config.market_interval_ms
    if now_ms >= (interval - 1) * length_ms:
        raise IntervalClosed
    is_new = interval not in schedule.stored
    if interval > now_ms // length_ms + INTERVALS_AHEAD or (
        is_new and len(schedule.stored) >= INTERVALS_STORED_MAX
    ):
        raise IntervalNotOpen


def check_price(market: "Trading", connection: int, price_micro: int) -> None:
    """Refuse a limit outside feed-in and retail, or outside exact clearing for the supplier."""
    config = market.config
    if connection == TRANSFORMER:
        low, high = -config.price_floor, PRICE_MAX - config.price_floor - 1
    else:
        low, high = config.feed_in_price, config.supplier_price + config.network_fee
    if not low <= price_micro <= high:
        raise PriceOutOfBounds


def check_quantity(
    connection: Connection, contracted: tuple[int, int], holding: Holding, wanted: Terms
) -> None:
    """Refuse what is too small, too large, or more than the connection could deliver or take
    beside its contracts (import and export).
    """
    least = QUANTITY_WH_MIN if wanted.price_micro >= 0 else QUANTITY_WH_MIN_NEGATIVE
    if not least <= wanted.quantity_wh <= QUANTITY_MAX:
        raise QuantityOutOfBounds
    same_side = sum(order.quantity_wh for order in holding.orders if order.side == wanted.side)
    net_wh = holding.buy_wh - holding.sell_wh
    if wanted.side == Side.BID:
        room_wh = connection.import_wh_max - contracted[0] - net_wh
    else:
        room_wh = connection.export_wh_max - contracted[1] + net_wh
    if same_side + wanted.quantity_wh > room_wh:
        raise AboveCapacity


def check_rate(holding: Holding) -> None:
    """Refuse more calls, or more open orders, than a connection has for an interval."""
    is_full = len(holding.orders) >= ORDERS_PER_HOLDING_MAX
    if is_full or holding.calls >= CALLS_PER_HOLDING_MAX:
        raise RateExceeded


def check_room(market: "Trading", book: Book, quantity_wh: int) -> None:
    """Refuse an order that the book has no room for."""
    if book.orders >= market.config.book_orders_max or book.quantity_wh + quantity_wh > TOTAL_MAX:
        raise BookFull


def check_not_in_call(schedule: Schedule, interval: int, order: Order) -> None:
    """Refuse to take an order out of a call that has begun: its set of orders is fixed."""
    call = schedule.call
    if call is not None and interval in call.pending and order.placed_ms < call.moment_ms:
        raise CallInProgress


def hold_of(position: Position, orders: Sequence[Order], prices: ZonePrices) -> int:
    """What a connection keeps aside for an interval."""
    held = position_hold(position, prices)
    for order in orders:
        is_bid = order.side == Side.BID
        held += order.quantity_wh * order_unit_hold(is_bid, order.price_micro, prices)
    return held


def position_of(holding: Holding) -> Position:
    """What the fills left a connection with."""
    return Position(holding.payable_nano, holding.buy_wh, holding.sell_wh)


def place(
    market: "Trading", who: AccountId, number: int, interval: int, terms: Sequence[Terms]
) -> None:
    """Put orders of one connection into the book of an interval and keep their collateral aside."""
    connection = market.config.registry.connection(number)
    if connection is None:
        raise ConnectionNotFound
    if connection.account != who:
        raise NotConnectionOwner
    schedule = market.schedule.get()
    check_interval(market, schedule, interval)
    now_ms = market.config.clock.now()
    book = market.books[interval] or NO_BOOK
    contracted = market.contracted(interval, number)
    holding = before = market.holdings[interval, number]
    for wanted in terms:
        check_rate(holding)
        check_price(market, number, wanted.price_micro)
        check_quantity(connection, contracted, holding, wanted)
        check_room(market, book, wanted.quantity_wh)
        order = Order(
            holding.calls, wanted.side, wanted.price_micro, wanted.quantity_wh, placed_ms=now_ms
        )
        holding = replace(holding, calls=holding.calls + 1, orders=(*holding.orders, order))
        book = replace(
            book,
            orders=book.orders + 1,
            quantity_wh=book.quantity_wh + wanted.quantity_wh,
            changed_ms=now_ms,
            negative_ms=book.negative_ms or (now_ms if wanted.price_micro < 1 else 0),
        )
    needed = hold_of(position_of(holding), holding.orders, market.prices_of_zone())

    market.config.currency.hold(who, needed - before.held_nano)
    market.holdings[interval, number] = replace(holding, held_nano=needed)
    market.books[interval] = book
    if interval not in schedule.stored:
        market.schedule.set(replace(schedule, stored=tuple(sorted([*schedule.stored, interval]))))
    for order in holding.orders[len(before.orders) :]:
        market.deposit_event(
            OrderPlaced(
                order_id_of(interval, number, order.sequence),
                number,
                interval,
                order.side,
                order.price_micro,
                order.quantity_wh,
            )
        )


def cancel(market: "Trading", who: AccountId, order_id: int) -> None:
    """Take an order out of its book and give back its collateral."""
    interval, number, sequence = parts_of(order_id)
    holding = market.holdings[interval, number]
    order = next((order for order in holding.orders if order.sequence == sequence), None)
    book = market.books[interval]
    if order is None or book is None:
        raise OrderNotFound
    if market.account_of(number) != who:
        raise NotOrderOwner
    now_ms = market.config.clock.now()
    if market.is_gate_passed(interval, now_ms):
        raise IntervalClosed
    check_not_in_call(market.schedule.get(), interval, order)
    if holding.calls >= CALLS_PER_HOLDING_MAX:
        raise RateExceeded
    left = tuple(other for other in holding.orders if other.sequence != sequence)
    needed = hold_of(position_of(holding), left, market.prices_of_zone())

    market.config.currency.release(who, holding.held_nano - needed)
    market.holdings[interval, number] = replace(
        holding, calls=holding.calls + 1, held_nano=needed, orders=left
    )
    market.books[interval] = replace(
        book,
        orders=book.orders - 1,
        quantity_wh=book.quantity_wh - order.quantity_wh,
        changed_ms=now_ms,
    )
    market.deposit_event(OrderCancelled(order_id, order.quantity_wh))
