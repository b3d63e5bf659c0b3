"""Sealed orders from the commitment to their end: revealed, taken back, forfeited or returned.

Everything that a reveal could fail of beside the secret itself is settled with the commitment: the
deposit covers any limit and the whole quantity, the capacity of the connection, a place among its
open orders and a place in the book are taken. So whoever sealed an admissible order can always
reveal it, without money and whatever the others do.

Who does not reveal has had a free choice and loses the deposit to the grid operator, unless the
chain stood still: with fewer than two blocks in all the time for reveals it is returned. One block
is not enough, because its author alone would decide what is in it.

Invariants: a deposit is exactly the worst case of its order; sums per interval are those of its
sealed orders; what is sealed finds its place (`sealed_invariants.py`).
"""

from typing import TYPE_CHECKING

from msgspec.structs import replace

from runtime.frame import AccountId, Hash
from runtime.kernels.bounds import QUANTITY_MAX
from runtime.pallets.producer_registration import TRANSFORMER
from runtime.pallets.system import HOUSE
from runtime.pallets.trading.collateral import order_unit_hold
from runtime.pallets.trading.coupled_records import NotForTheSupplier
from runtime.pallets.trading.errors import (
    IntervalClosed,
    NotOrderOwner,
    QuantityOutOfBounds,
    RateExceeded,
)
from runtime.pallets.trading.events import OrderPlaced
from runtime.pallets.trading.orders import (
    QUANTITY_WH_MIN,
    book_with,
    check_capacity,
    check_price,
    check_quantity,
    check_room,
    desk_at,
    hold_of,
    position_of,
    price_bounds,
)
from runtime.pallets.trading.quiet_periods import closing_ms
from runtime.pallets.trading.records import (
    NO_BOOK,
    ORDERS_PER_HOLDING_MAX,
    Order,
    Side,
    Terms,
    order_id_of,
    parts_of,
)
from runtime.pallets.trading.sealed_records import (
    NOTHING_SEALED,
    SEALED_INTERVALS_MAX,
    SEALED_PER_CONNECTION_MAX,
    SEALED_PER_INTERVAL_MAX,
    AboveSealedQuantity,
    CommitmentMismatch,
    OrderSealed,
    RevealTooEarly,
    SealedInterval,
    SealedOrder,
    SealedOrderForfeited,
    SealedOrderNotFound,
    SealedOrderReturned,
    SealedOrderRevealed,
    SealedOrderWithdrawn,
    SealingClosed,
    TooManySealedOrders,
)
from runtime.primitives.sealed_order import commitment_of

if TYPE_CHECKING:
    from runtime.pallets.trading import Trading

SEALING_FEE_NANO = 10_000_000
"""Each commitment makes others wait for half an hour: a hundredth of a DRT, so that sealing all
intervals of a day costs about a third of what a household's energy does.
"""

REVEAL_BLOCKS_MIN = 2
ENDED_PER_BLOCK_MAX = 32
"""Unrevealed orders whose gate has passed; those of a full interval are ended in eight blocks."""

ENDING_WEIGHT = 120_000_000  # 120 us: two accounts, the order, events


def seal(
    market: "Trading",
    who: AccountId,
    number: int,
    interval: int,
    side: Side,
    quantity_wh: int,
    commitment: Hash,
) -> None:
    """Take the commitment to an order, its deposit and the fee."""
    if number == TRANSFORMER:
        raise NotForTheSupplier
    check_before_closing(market, interval)
    desk = desk_at(market, who, number, interval)
    if not QUANTITY_WH_MIN <= quantity_wh <= QUANTITY_MAX:
        raise QuantityOutOfBounds
    own = market.sealed_of(interval, number)
    known = market.sealed_intervals[interval]
    ahead = market.sealed_ahead.get()
    before = known or NOTHING_SEALED
    if (
        len(own) >= SEALED_PER_CONNECTION_MAX
        or before.waiting >= SEALED_PER_INTERVAL_MAX
        or (known is None and len(ahead) >= SEALED_INTERVALS_MAX)
    ):
        raise TooManySealedOrders
    if len(desk.holding.orders) + len(own) >= ORDERS_PER_HOLDING_MAX:
        raise RateExceeded
    committed = market.committed(interval, number)
    check_capacity(desk.connection, committed, desk.holding, side, quantity_wh)
    check_room(market, desk.book, before, quantity_wh)
    sequence = desk.holding.next_sequence
    deposit = worst_case(market, interval, number, side, quantity_wh)
    order = SealedOrder(sequence, side, quantity_wh, commitment, deposit)

    market.config.currency.hold(who, deposit)
    operator = market.config.registry.operator_account()
    market.config.currency.transfer(who, operator, SEALING_FEE_NANO)
    market.holdings[interval, number] = replace(desk.holding, next_sequence=sequence + 1)
    market.sealed_orders[interval, number] = (*own, order)
    market.sealed_intervals[interval] = replace(
        before, waiting=before.waiting + 1, waiting_wh=before.waiting_wh + quantity_wh
    )
    if known is None:
        market.sealed_ahead.set(tuple(sorted((*ahead, interval))))
    stored = desk.schedule.stored
    if interval not in stored:
        market.schedule.set(replace(desk.schedule, stored=tuple(sorted((*stored, interval)))))
    order_id = order_id_of(interval, number, sequence)
    market.deposit_event(OrderSealed(order_id, number, interval, order, SEALING_FEE_NANO))


def reveal(
    market: "Trading",
    who: AccountId,
    order_id: int,
    price_micro: int,
    quantity_wh: int,
    salt: Hash,
) -> None:
    """Open a sealed order and put it into the book; what it does not need is released."""
    order = own_sealed_order(market, who, order_id)
    interval, number, sequence = parts_of(order_id)
    now_ms = market.config.clock.now()
    if market.is_gate_passed(interval, now_ms):
        raise IntervalClosed
    if now_ms < closing_ms(market, interval):
        raise RevealTooEarly
    if quantity_wh > order.quantity_wh:
        raise AboveSealedQuantity
    bus = market.connection_at(number).bus
    terms = (order.side, price_micro, quantity_wh)
    if commitment_of(who, number, interval, bus, *terms, salt) != order.commitment:
        raise CommitmentMismatch
    wanted = Terms(*terms)
    check_price(market, number, price_micro)
    check_quantity(wanted)
    before = market.holdings[interval, number]
    placed = Order(sequence, *terms, placed_ms=now_ms)
    orders = tuple(sorted((*before.orders, placed), key=lambda each: each.sequence))
    needed = hold_of(position_of(before), orders, market.hold_prices(interval, number))
    surplus = before.held_nano + order.deposit_nano - needed
    assert surplus >= 0, "the deposit covers any limit and the whole quantity"

    market.release(who, surplus)
    market.holdings[interval, number] = replace(before, held_nano=needed, orders=orders)
    market.books[interval] = book_with(market.books[interval] or NO_BOOK, wanted, now_ms)
    known = forget(market, interval, number, order)
    market.sealed_intervals[interval] = replace(known, revealed=known.revealed + 1)
    market.deposit_event(SealedOrderRevealed(order_id, surplus))
    market.deposit_event(OrderPlaced(order_id, number, interval, *terms))


def withdraw_sealed(market: "Trading", who: AccountId, order_id: int) -> None:
    """Take a commitment back before it closes; the fee stays where it is."""
    order = own_sealed_order(market, who, order_id)
    interval, number, _ = parts_of(order_id)
    check_before_closing(market, interval)
    desk = desk_at(market, who, number, interval)

    market.release(who, order.deposit_nano)
    market.holdings[interval, number] = desk.holding
    known = forget(market, interval, number, order)
    if known.waiting == 0:
        drop_interval(market, interval)
    market.deposit_event(SealedOrderWithdrawn(order_id))


def go_on_with_sealed(market: "Trading", now_ms: int) -> None:
    """At the end of a block: count it where reveals can come, end what was not revealed."""
    left = ENDED_PER_BLOCK_MAX
    for interval in market.sealed_ahead.get():
        if now_ms < closing_ms(market, interval):
            break
        known = market.sealed_intervals[interval]
        assert known is not None, "what stands in the list is there"
        if market.is_gate_passed(interval, now_ms):
            left -= end_unrevealed(market, interval, known, left)
        elif known.reveal_blocks < REVEAL_BLOCKS_MIN:
            blocks = known.reveal_blocks + 1
            market.sealed_intervals[interval] = replace(known, reveal_blocks=blocks)


def end_unrevealed(market: "Trading", interval: int, known: SealedInterval, limit: int) -> int:
    """End up to `limit` orders that were not revealed; how many. The interval is dropped when none
    is left.
    """
    waiting = [
        (number, order)
        for number, orders in sorted(market.sealed_orders.items_under(interval))
        for order in orders
    ]
    for number, order in waiting[:limit]:
        forget(market, interval, number, order)
        end_order(market, interval, number, order, known.reveal_blocks >= REVEAL_BLOCKS_MIN)
    if len(waiting) <= limit:
        drop_interval(market, interval)
    return min(len(waiting), limit)


def end_order(
    market: "Trading", interval: int, number: int, order: SealedOrder, is_forfeit: bool
) -> None:
    """Give a deposit to the grid operator, or back if nobody could have revealed the order."""
    currency, account = market.config.currency, market.account_of(number)
    order_id = order_id_of(interval, number, order.sequence)
    market.release(account, order.deposit_nano)
    if is_forfeit:
        currency.charge(account, HOUSE, order.deposit_nano)
        operator = market.config.registry.operator_account()
        if currency.pay_out(HOUSE, operator, order.deposit_nano):
            forfeited = SealedOrderForfeited(order_id, account, order.deposit_nano)
            market.deposit_event(forfeited)
            return
        # The operator's account is gone, and so little would not bring it back.
        currency.pay_out(HOUSE, account, order.deposit_nano)
    market.deposit_event(SealedOrderReturned(order_id))


def worst_case(market: "Trading", interval: int, number: int, side: Side, quantity_wh: int) -> int:
    """The most that an order of a side and up to a quantity keeps aside, whatever its limit."""
    low, high = price_bounds(market, number)
    is_bid = side == Side.BID
    prices = market.hold_prices(interval, number)
    return quantity_wh * order_unit_hold(is_bid, high if is_bid else low, prices)


def check_before_closing(market: "Trading", interval: int) -> None:
    """Refuse what comes after the commitments for an interval have closed."""
    if market.config.clock.now() >= closing_ms(market, interval):
        raise SealingClosed


def own_sealed_order(market: "Trading", who: AccountId, order_id: int) -> SealedOrder:
    """A sealed order that waits, of the caller."""
    interval, number, sequence = parts_of(order_id)
    for order in market.sealed_of(interval, number):
        if order.sequence == sequence:
            if market.account_of(number) != who:
                raise NotOrderOwner
            return order
    raise SealedOrderNotFound


def forget(market: "Trading", interval: int, number: int, order: SealedOrder) -> SealedInterval:
    """Let a sealed order wait no longer; what the interval has then."""
    left = tuple(each for each in market.sealed_orders[interval, number] if each != order)
    if left:
        market.sealed_orders[interval, number] = left
    else:
        del market.sealed_orders[interval, number]
    known = market.sealed_intervals[interval]
    assert known is not None, "an interval with sealed orders is known"
    known = replace(
        known, waiting=known.waiting - 1, waiting_wh=known.waiting_wh - order.quantity_wh
    )
    market.sealed_intervals[interval] = known
    return known


def drop_interval(market: "Trading", interval: int) -> None:
    """An interval carries no sealed orders any more."""
    del market.sealed_intervals[interval]
    ahead = market.sealed_ahead.get()
    market.sealed_ahead.set(tuple(each for each in ahead if each != interval))
