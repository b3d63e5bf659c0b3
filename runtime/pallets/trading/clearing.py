"""Calls of the auction: when they happen, with which orders, and what they book.

A call begins in the first block of each call period, after the block's extrinsics. It clears every
interval whose book changed since its last call, and those whose gate has passed, nearest delivery
first, with the orders that earlier blocks included. What exceeds a block's reserved weight goes on
in the next blocks with the same set of orders.

Invariants per interval: payables of all holdings sum to the rent; sold less bought energy is the
booked loss; a clearing only releases collateral.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from msgspec.structs import replace

from runtime.kernels.auction import Clearing, OrderArrays, TreeArrays, clear_signed
from runtime.kernels.bounds import PRICE_MAX
from runtime.pallets.trading.events import GateClosed, IntervalCleared, OrderFilled
from runtime.pallets.trading.history import note_trade
from runtime.pallets.trading.orders import hold_of, position_of
from runtime.pallets.trading.pairing import pair_fills, pairing_weight
from runtime.pallets.trading.price_parts import note_clearing
from runtime.pallets.trading.records import (
    Book,
    Call,
    Holding,
    Order,
    Side,
    order_id_of,
)
from runtime.primitives.hashing import blake2_256

if TYPE_CHECKING:
    from runtime.pallets.trading import Trading

INTERVAL_WEIGHT = 2_000_000_000  # 2 ms: reading and writing a book, flows and prices
ORDER_WEIGHT = 25_000_000  # 25 us: its hash, its place in the arrays, its fill and its holding


class Candidate(NamedTuple):
    """An order that takes part in a call."""

    rank: bytes
    """Hash of the salt and the order's id: sorts the orders canonically."""

    connection: int
    bus: int
    order: Order


class Auction(NamedTuple):
    """What a call clears in one interval."""

    interval: int
    book: Book
    holdings: Mapping[int, Holding]
    candidates: Sequence[Candidate]
    orders: OrderArrays
    """The candidates, in their order."""

    tree: TreeArrays
    is_lifted: bool
    """An earlier call saw a limit below 1, so prices are raised."""


class CoupledBid(NamedTuple):
    """What an accepted coupled order trades in an interval."""

    connection: int
    bus: int
    wh: int
    """Bought; negative: sold."""


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
            weight = call_weight(book.orders)
            if weight > budget and budget < whole:
                return replace(call, pending=tuple(pending)), budget
            budget -= weight
            run_call(market, call, pending[0], book)
        del pending[0]
    return None, budget


def call_weight(orders: int) -> int:
    """What a call for an interval takes at most, with its pairing, in picoseconds."""
    return INTERVAL_WEIGHT + ORDER_WEIGHT * orders + pairing_weight(orders)


def run_call(market: "Trading", call: Call, interval: int, book: Book) -> None:
    """One call for one interval: clear it if its book changed, close it if its gate has passed."""
    holdings = dict(market.holdings.items_under(interval))
    changed: dict[int, Holding] = {}
    if has_changed(book):
        flows = market.config.grid.flows_of(interval)
        book, changed = clear_interval(market, call, interval, book, holdings)
        pair_fills(market, call.parent_hash, interval, holdings, changed, flows)
        book = replace(book, cleared_ms=call.moment_ms)
    if market.is_gate_passed(interval, call.moment_ms):
        for connection, holding in (holdings | changed).items():
            if holding.orders:
                changed[connection] = replace(holding, orders=())
        market.deposit_event(GateClosed(interval, book.orders))
        book = replace(book, orders=0, quantity_wh=0, is_closed=True)
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
    if not auction.candidates:
        return book, {}
    return book_clearing(market, auction, clear_auction(market, auction))


def auction_of(
    market: "Trading", call: Call, interval: int, book: Book, holdings: Mapping[int, Holding]
) -> Auction:
    """What a call clears in an interval."""
    candidates = canonical_orders(market, call, interval, holdings)
    return Auction(
        interval,
        book,
        holdings,
        candidates,
        OrderArrays.of(
            [candidate.bus for candidate in candidates],
            [candidate.order.price_micro for candidate in candidates],
            [candidate.order.quantity_wh for candidate in candidates],
            [int(candidate.order.side) for candidate in candidates],
        ),
        market.config.grid.residual_tree(interval),
        0 < book.negative_ms < call.moment_ms,
    )


def clear_auction(
    market: "Trading", auction: Auction, further: OrderArrays | None = None
) -> Clearing:
    """Clear an interval; `further` orders, if any, come after its own in the canonical order."""
    floor = market.config.price_floor
    orders = auction.orders
    if further is not None:
        orders = OrderArrays(
            np.concatenate((orders.bus, further.bus)),
            np.concatenate((orders.price, further.price)),
            np.concatenate((orders.qty, further.qty)),
            np.concatenate((orders.isbid, further.isbid)),
        )
    return clear_signed(
        auction.tree,
        orders,
        min(max(market.reference_price.get(), -floor), PRICE_MAX - floor - 1),
        floor,
        latched=auction.is_lifted,
    )


def book_clearing(
    market: "Trading", auction: Auction, clearing: Clearing, coupled: Sequence[CoupledBid] = ()
) -> tuple[Book, dict[int, Holding]]:
    """Book what was cleared; the book and the holdings it changes.

    `coupled`: what coupled orders buy in it (negative: sell), which was cleared behind the book's
    own orders; their holdings are not among those changed.
    """
    book, holdings, interval = auction.book, auction.holdings, auction.interval
    if not clearing.traded:
        return book, {}
    prices = clearing.price.tolist()
    fills = clearing.fill[: len(auction.candidates)].tolist()
    changed, traded_wh, value_nano = book_fills(
        market, interval, holdings, auction.candidates, fills, prices
    )
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
        quantity_wh=book.quantity_wh - sum(fills),
        rent_nano=book.rent_nano + rent_nano,
        booked_loss_wh=book.booked_loss_wh + loss_wh,
        traded_wh=book.traded_wh + traded_wh,
        bid_value_nano=book.bid_value_nano + value_nano,
    )
    return book, changed


def canonical_orders(
    market: "Trading", call: Call, interval: int, holdings: Mapping[int, Holding]
) -> list[Candidate]:
    """The orders of a call in canonical order, which nobody could know when they were signed."""
    candidates: list[Candidate] = []
    for connection, holding in holdings.items():
        taking_part = [order for order in holding.orders if order.placed_ms < call.moment_ms]
        if taking_part:
            bus = market.connection_at(connection).bus
            for order in taking_part:
                order_id = order_id_of(interval, connection, order.sequence)
                rank = blake2_256(call.parent_hash + order_id.to_bytes(8, "little"))
                candidates.append(Candidate(rank, connection, bus, order))
    candidates.sort(key=lambda candidate: candidate.rank)
    return candidates


def book_fills(
    market: "Trading",
    interval: int,
    holdings: Mapping[int, Holding],
    candidates: Sequence[Candidate],
    fills: Sequence[int],
    prices: Sequence[int],
) -> tuple[dict[int, Holding], int, int]:
    """Holdings after their fills, and the filled quantity and value of the bids."""
    filled: dict[int, dict[int, int]] = {}
    for candidate, fill in zip(candidates, fills, strict=True):
        if fill > 0:
            filled.setdefault(candidate.connection, {})[candidate.order.sequence] = fill
    changed: dict[int, Holding] = {}
    traded_wh = value_nano = 0
    for connection, by_sequence in filled.items():
        price = prices[market.connection_at(connection).bus]
        holding = holdings[connection]
        left: list[Order] = []
        bought = sold = 0
        for order in holding.orders:
            fill = by_sequence.get(order.sequence, 0)
            if fill == 0:
                left.append(order)
                continue
            if order.side == Side.BID:
                assert price <= order.price_micro, "a bid pays at most its limit"
                bought += fill
            else:
                assert price >= order.price_micro, "an offer gets at least its limit"
                sold += fill
            left_wh = order.quantity_wh - fill
            if left_wh > 0:
                left.append(replace(order, quantity_wh=left_wh))
            order_id = order_id_of(interval, connection, order.sequence)
            market.deposit_event(OrderFilled(order_id, fill, price, left_wh))
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
