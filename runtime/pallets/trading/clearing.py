"""Calls of the auction: when they happen, with which orders, and what they book.

A call begins in the first block of each call period, after the block's extrinsics. It clears every
interval whose book changed since its last call, and those whose gate has passed, nearest delivery
first, with the orders that earlier blocks included. What exceeds a block's reserved weight goes on
in the next blocks with the same set of orders.

Invariants per interval: payables of all holdings sum to the rent; sold less bought energy is the
booked loss; a clearing only releases collateral.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from runtime.kernels.auction import Clearing
from runtime.pallets.trading.auctions import (
    Auction,
    CoupledBid,
    Filled,
    Holdings,
    auction_of,
    clear_kept,
)
from runtime.pallets.trading.events import GateClosed, IntervalCleared, OrderFilled
from runtime.pallets.trading.fund import put_quotes, quotes_max, take_quotes_back
from runtime.pallets.trading.history import note_trade
from runtime.pallets.trading.orders import hold_of, position_of
from runtime.pallets.trading.pairing import pair_fills, pairing_weight, stored_pairs
from runtime.pallets.trading.price_parts import note_clearing
from runtime.pallets.trading.quiet_periods import is_quiet
from runtime.pallets.trading.records import (
    Book,
    Call,
    Holding,
    Order,
    Side,
    order_id_of,
)

if TYPE_CHECKING:
    from runtime.pallets.trading import Trading

INTERVAL_WEIGHT = 2_000_000_000  # 2 ms: reading and writing a book, flows and prices
ORDER_WEIGHT = 25_000_000  # 25 us: its hash, its place in the arrays, its fill and its holding


def run_calls(market: "Trading", now_ms: int) -> None:
    """Go on with the call in progress and begin one when its period has come."""
    schedule = market.schedule.get()
    period = now_ms // market.config.call_period_ms
    budget = market.config.clearing_weight
    call = schedule.call
    if call is None and period == schedule.call_period:
        return
    if call is not None:
        call, budget = advance(market, call, budget)
    # Coupled orders take part in one block: a call with them does not begin on the remains of one.
    has_room = budget == market.config.clearing_weight or not market.coupled_waiting.get()
    if call is None and period != schedule.call_period and has_room:
        begun = Call(now_ms, market.config.chain.parent_hash(), due_intervals(market, now_ms))
        schedule = replace(schedule, call_period=period)
        budget = market.call_coupled(begun, budget)
        call, budget = advance(market, begun, budget)
    market.schedule.set(replace(schedule, call=call))


def due_intervals(market: "Trading", now_ms: int) -> tuple[int, ...]:
    """Intervals that a call beginning now has to clear or to close."""
    due: list[int] = []
    schedule = market.schedule.get()
    for interval in schedule.stored:
        if interval > schedule.opened:
            break  # contracts come first
        book = market.books[interval]
        if book is None or book.is_closed or market.is_settlement_due(interval, now_ms):
            continue
        if is_quiet(market, interval, now_ms):
            continue  # until its gate, whose call knows what was sealed
        if has_changed(book) or market.is_gate_passed(interval, now_ms):
            due.append(interval)
    return tuple(due)


def has_changed(book: Book) -> bool:
    """Whether the last call did not see the whole book; its own block's orders it did not."""
    return book.changed_ms >= book.cleared_ms


def advance(market: "Trading", call: Call, budget: int) -> tuple[Call | None, int]:
    """Clear the next intervals of a call within `budget`; what is left of both.

    A block that has its whole budget left clears one interval, whatever its weight.
    """
    pending = list(call.pending)
    whole = market.config.clearing_weight
    while pending:
        book = market.books[pending[0]]
        if book is not None and not book.is_closed:
            orders = book.orders + quotes_max(market)
            weight = call_weight(orders, stored_pairs(market, pending[0]))
            if weight > budget and budget < whole:
                return replace(call, pending=tuple(pending)), budget
            budget -= weight
            run_call(market, call, pending[0], book)
        del pending[0]
    return None, budget


def call_weight(orders: int, pairs: int = 0) -> int:
    """What a call for an interval takes at most, with its pairing, in picoseconds. `pairs`: those
    of its earlier calls.
    """
    return INTERVAL_WEIGHT + ORDER_WEIGHT * orders + pairing_weight(orders, pairs)


def run_call(market: "Trading", call: Call, interval: int, book: Book) -> None:
    """One call for one interval: clear it if its book changed, close it if its gate has passed."""
    holdings = Holdings(market, interval)
    changed: dict[int, Holding] = {}
    if has_changed(book):
        flows = market.config.grid.flows_of(interval)
        book = put_quotes(market, interval, book)
        book, changed = clear_interval(market, call, interval, book, holdings)
        pair_fills(market, call.parent_hash, interval, holdings, changed, flows)
        book, changed = take_quotes_back(market, interval, book, changed)
        book = replace(book, cleared_ms=call.moment_ms)
    if market.is_gate_passed(interval, call.moment_ms):
        for connection, holding in (dict(holdings) | changed).items():
            if holding.orders:
                changed[connection] = replace(holding, orders=())
        market.deposit_event(GateClosed(interval, book.orders))
        book = replace(book, orders=0, quantity_wh=0, is_closed=True)
        market.kept_books.close(market, interval)
    for connection, holding in changed.items():
        store_released(market, interval, connection, holding)
    market.books[interval] = book


def store_released(market: "Trading", interval: int, connection: int, holding: Holding) -> None:
    """Store a holding and give back the collateral it no longer needs."""
    needed = hold_of(position_of(holding), holding.orders, market.hold_prices(interval, connection))
    surplus = holding.held_nano - needed
    assert surplus >= 0, "a fill never needs more than its order held"
    if surplus > 0:
        market.release(market.account_of(connection), surplus)
        holding = replace(holding, held_nano=needed)
    market.holdings[interval, connection] = holding


def clear_interval(
    market: "Trading", call: Call, interval: int, book: Book, holdings: Mapping[int, Holding]
) -> tuple[Book, dict[int, Holding]]:
    """Clear a book on the capacity that is left; the book and the holdings it changes."""
    auction = auction_of(market, call, interval, book, holdings)
    clearing, filled = clear_kept(market, call, auction)
    return book_clearing(market, auction, clearing, filled)


def book_clearing(
    market: "Trading",
    auction: Auction,
    clearing: Clearing,
    filled: Sequence[Filled],
    coupled: Sequence[CoupledBid] = (),
) -> tuple[Book, dict[int, Holding]]:
    """Book what was cleared; the book and the holdings it changes. `filled`: in canonical order.

    `coupled`: what coupled orders buy in it (negative: sell), which was cleared behind the book's
    own orders; their holdings are not among those changed.
    """
    book, holdings, interval = auction.book, auction.holdings, auction.interval
    if not clearing.traded:
        return book, {}
    prices = clearing.price.tolist()
    changed, traded_wh, value_nano = book_fills(market, interval, holdings, filled, prices)
    rent_nano, loss_wh = book_network(market, interval, auction.tree.parent.tolist(), clearing)
    traded_wh += sum(max(bid.wh, 0) for bid in coupled)
    value_nano += sum(prices[bid.bus] * max(bid.wh, 0) for bid in coupled)
    market.prices[interval] = tuple(prices)
    market.reference_price.set(prices[0])
    note_trade(market, interval, prices[0], traded_wh, value_nano)
    note_clearing(market, interval, auction.tree, clearing, rent_nano)
    market.deposit_event(IntervalCleared(interval, traded_wh, tuple(prices)))
    orders_before = sum(len(holdings[connection].orders) for connection in changed)
    orders_after = sum(len(holding.orders) for holding in changed.values())
    book = replace(
        book,
        orders=book.orders - orders_before + orders_after,
        quantity_wh=book.quantity_wh - sum(fill.wh for fill in filled),
        rent_nano=book.rent_nano + rent_nano,
        booked_loss_wh=book.booked_loss_wh + loss_wh,
        traded_wh=book.traded_wh + traded_wh,
        bid_value_nano=book.bid_value_nano + value_nano,
    )
    return book, changed


def book_fills(
    market: "Trading",
    interval: int,
    holdings: Mapping[int, Holding],
    filled: Sequence[Filled],
    prices: Sequence[int],
) -> tuple[dict[int, Holding], int, int]:
    """Holdings after their fills, and the filled quantity and value of the bids."""
    of_connection: dict[int, dict[int, int]] = {}
    for fill in filled:
        of_connection.setdefault(fill.connection, {})[fill.sequence] = fill.wh
    changed: dict[int, Holding] = {}
    traded_wh = value_nano = 0
    for connection, by_sequence in of_connection.items():
        price = prices[market.connection_at(connection).bus]
        holding = holdings[connection]
        left: list[Order] = []
        bought = sold = 0
        for order in holding.orders:
            wh = by_sequence.get(order.sequence, 0)
            if wh == 0:
                left.append(order)
                continue
            if order.side == Side.BID:
                assert price <= order.price_micro, "a bid pays at most its limit"
                bought += wh
            else:
                assert price >= order.price_micro, "an offer gets at least its limit"
                sold += wh
            left_wh = order.quantity_wh - wh
            if left_wh > 0:
                left.append(replace(order, quantity_wh=left_wh))
            order_id = order_id_of(interval, connection, order.sequence)
            market.deposit_event(OrderFilled(order_id, wh, price, left_wh))
        changed[connection] = replace(
            holding,
            payable_nano=holding.payable_nano + price * (bought - sold),
            buy_wh=holding.buy_wh + bought,
            sell_wh=holding.sell_wh + sold,
            orders=tuple(left),
        )
        traded_wh += bought
        value_nano += price * bought
    return changed, traded_wh, value_nano


def book_network(
    market: "Trading", interval: int, parent: Sequence[int], clearing: Clearing
) -> tuple[int, int]:
    """Book the flows of a call; the rent of its edges and the energy they lose."""
    prices = clearing.price.tolist()
    net_export = clearing.net_export.tolist()
    received = clearing.received_parent.tolist()
    rent_nano = loss_wh = 0
    for edge in range(1, len(parent)):
        rent_nano += prices[parent[edge]] * received[edge] - prices[edge] * net_export[edge]
        loss_wh += net_export[edge] - received[edge]
    market.config.grid.book_flows(interval, net_export, received)
    return rent_nano, loss_wh
