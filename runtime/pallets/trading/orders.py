"""Orders: the checks they pass, what they and a position keep aside, and how they come and go.

Whatever changes the orders of a connection goes over its desk: `desk_at` or `desk_of_order` says
who may and counts the call, `take_out` and `put_in` change what rests, and `settle_desk` moves the
difference of the collaterals, stores and announces. Good till gate is the only kind there is: what
rests takes part in every call until it is filled or taken back; the gate cancels it and releases
its collateral (`clearing.run_call`).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from runtime.frame import AccountId
from runtime.kernels.bounds import PRICE_MAX, QUANTITY_MAX
from runtime.pallets.grid_balancing import BOOK_WH_MAX
from runtime.pallets.producer_registration import TRANSFORMER, Connection
from runtime.pallets.trading.collateral import order_unit_hold, position_hold
from runtime.pallets.trading.errors import (
    AboveCapacity,
    BookFull,
    CallInProgress,
    ConnectionNotFound,
    IntervalClosed,
    IntervalNotOpen,
    NoTariff,
    NotConnectionOwner,
    NotOrderOwner,
    OrderNotFound,
    PriceOutOfBounds,
    QuantityOutOfBounds,
    RateExceeded,
)
from runtime.pallets.trading.events import OrderCancelled, OrderPlaced
from runtime.pallets.trading.quiet_periods import check_not_quiet
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
from runtime.pallets.trading.sealed_records import NOTHING_SEALED, SealedInterval
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


class Desk(NamedTuple):
    """Where the orders of a connection for an interval change."""

    connection: Connection
    number: int
    interval: int
    schedule: Schedule
    before: Holding
    """What the connection had when the call began."""

    holding: Holding
    book: Book


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


def price_bounds(market: "Trading", number: int) -> tuple[int, int]:
    """Least and greatest limit: feed-in and retail, or what clears exactly for the supplier."""
    config = market.config
    if number == TRANSFORMER:
        return -config.price_floor, PRICE_MAX - config.price_floor - 1
    return config.feed_in_price, config.supplier_price + config.network_fee


def check_price(market: "Trading", number: int, price_micro: int) -> None:
    """Refuse a limit outside its bounds."""
    low, high = price_bounds(market, number)
    if not low <= price_micro <= high:
        raise PriceOutOfBounds


def check_quantity(wanted: Terms) -> None:
    """Refuse what is too small or too large."""
    least = QUANTITY_WH_MIN if wanted.price_micro >= 0 else QUANTITY_WH_MIN_NEGATIVE
    if not least <= wanted.quantity_wh <= QUANTITY_MAX:
        raise QuantityOutOfBounds


def check_capacity(
    connection: Connection,
    committed: tuple[int, int],
    holding: Holding,
    side: Side,
    quantity_wh: int,
) -> None:
    """Refuse more than the connection could deliver or take beside what it is committed to
    (import and export).
    """
    same_side = sum(order.quantity_wh for order in holding.orders if order.side == side)
    net_wh = holding.buy_wh - holding.sell_wh
    if side == Side.BID:
        room_wh = connection.import_wh_max - committed[0] - net_wh
    else:
        room_wh = connection.export_wh_max - committed[1] + net_wh
    if same_side + quantity_wh > room_wh:
        raise AboveCapacity


def check_rate(holding: Holding) -> None:
    """Refuse more calls than a connection has for an interval."""
    if holding.calls >= CALLS_PER_HOLDING_MAX:
        raise RateExceeded


def check_room(market: "Trading", book: Book, sealed: SealedInterval, quantity_wh: int) -> None:
    """Refuse an order that the book has no room for beside what will be revealed."""
    orders = book.orders + sealed.waiting
    book_wh = book.quantity_wh + sealed.waiting_wh + quantity_wh
    if orders >= market.config.book_orders_max or book_wh > BOOK_WH_MAX:
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


def market_price(market: "Trading", number: int, side: Side) -> int:
    """The limit of a market order: what the tariff charges or pays, so that it is never worse."""
    if number == TRANSFORMER:
        raise NoTariff
    low, high = price_bounds(market, number)
    return high if side == Side.BID else low


def place(
    market: "Trading", who: AccountId, number: int, interval: int, terms: Sequence[Terms]
) -> None:
    """Put orders of one connection into the book of an interval."""
    settle_desk(market, put_in(market, desk_at(market, who, number, interval), terms))


def cancel(market: "Trading", who: AccountId, order_id: int) -> None:
    """Take an order out of its book."""
    desk, order = desk_of_order(market, who, order_id)
    settle_desk(market, take_out(market, desk, [order]))


# The way of a call that changes orders.


def desk_at(market: "Trading", who: AccountId, number: int, interval: int) -> Desk:
    """The desk of a connection for an open interval, with the call counted."""
    connection = market.config.registry.connection(number)
    if connection is None:
        raise ConnectionNotFound
    if connection.account != who:
        raise NotConnectionOwner
    schedule = market.schedule.get()
    check_interval(market, schedule, interval)
    check_not_quiet(market, interval)
    before = market.holdings[interval, number]
    check_rate(before)
    holding = replace(before, calls=before.calls + 1)
    book = market.books[interval] or NO_BOOK
    return Desk(connection, number, interval, schedule, before, holding, book)


def desk_of_order(market: "Trading", who: AccountId, order_id: int) -> tuple[Desk, Order]:
    """The desk of an open order, with the call counted, and the order."""
    interval, number, sequence = parts_of(order_id)
    orders = market.holdings[interval, number].orders
    order = next((order for order in orders if order.sequence == sequence), None)
    if order is None:
        raise OrderNotFound
    if market.account_of(number) != who:
        raise NotOrderOwner
    return desk_at(market, who, number, interval), order


def take_out(market: "Trading", desk: Desk, taken: Sequence[Order]) -> Desk:
    """The desk without some of its orders."""
    for order in taken:
        check_not_in_call(desk.schedule, desk.interval, order)
    sequences = {order.sequence for order in taken}
    left = tuple(order for order in desk.holding.orders if order.sequence not in sequences)
    book = replace(
        desk.book,
        orders=desk.book.orders - len(taken),
        quantity_wh=desk.book.quantity_wh - sum(order.quantity_wh for order in taken),
        changed_ms=market.config.clock.now(),
    )
    return desk._replace(holding=replace(desk.holding, orders=left), book=book)


def put_in(market: "Trading", desk: Desk, terms: Sequence[Terms]) -> Desk:
    """The desk with more orders, after all their checks but that of the collateral."""
    now_ms = market.config.clock.now()
    committed = market.committed(desk.interval, desk.number)
    sealed = market.sealed_intervals[desk.interval] or NOTHING_SEALED
    orders_max = ORDERS_PER_HOLDING_MAX - len(market.sealed_of(desk.interval, desk.number))
    holding, book = desk.holding, desk.book
    for wanted in terms:
        if len(holding.orders) >= orders_max:
            raise RateExceeded
        check_price(market, desk.number, wanted.price_micro)
        check_quantity(wanted)
        check_capacity(desk.connection, committed, holding, wanted.side, wanted.quantity_wh)
        check_room(market, book, sealed, wanted.quantity_wh)
        order = Order(
            holding.next_sequence,
            wanted.side,
            wanted.price_micro,
            wanted.quantity_wh,
            placed_ms=now_ms,
        )
        holding = replace(
            holding, next_sequence=holding.next_sequence + 1, orders=(*holding.orders, order)
        )
        book = book_with(book, wanted, now_ms)
    return desk._replace(holding=holding, book=book)


def book_with(book: Book, added: Terms, now_ms: int) -> Book:
    """A book with one more order."""
    return replace(
        book,
        orders=book.orders + 1,
        quantity_wh=book.quantity_wh + added.quantity_wh,
        changed_ms=now_ms,
        negative_ms=book.negative_ms or (now_ms if added.price_micro < 1 else 0),
    )


def settle_desk(market: "Trading", desk: Desk) -> None:
    """Move the difference of the collaterals, store the desk, and announce what went and came."""
    before, interval, account = desk.before, desk.interval, desk.connection.account
    prices = market.hold_prices(interval, desk.number)
    needed = hold_of(position_of(desk.holding), desk.holding.orders, prices)

    if needed > before.held_nano:
        market.config.currency.hold(account, needed - before.held_nano)
    else:
        market.release(account, before.held_nano - needed)
    market.holdings[interval, desk.number] = replace(desk.holding, held_nano=needed)
    market.books[interval] = desk.book
    stored = desk.schedule.stored
    if interval not in stored:
        market.schedule.set(replace(desk.schedule, stored=tuple(sorted([*stored, interval]))))
    left = {order.sequence for order in desk.holding.orders}
    for order in before.orders:
        if order.sequence not in left:
            order_id = order_id_of(interval, desk.number, order.sequence)
            market.deposit_event(OrderCancelled(order_id, order.quantity_wh))
    for order in desk.holding.orders:
        if order.sequence >= before.next_sequence:
            market.deposit_event(
                OrderPlaced(
                    order_id_of(interval, desk.number, order.sequence),
                    desk.number,
                    interval,
                    order.side,
                    order.price_micro,
                    order.quantity_wh,
                )
            )
