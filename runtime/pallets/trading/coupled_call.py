"""Coupled orders in a call of the auction: who takes part, what is accepted, how it is booked.

The first block of a call searches, before any interval is cleared: among the coupled orders that
earlier blocks included, with all resting orders of the intervals they name. What is accepted is
booked at once, over all its intervals, with the divisible orders cleared around it; the other
intervals go on as ever; while an interval is quiet (`quiet_periods.py`), nothing that names it is
accepted. Everything happens in one block, within its reserved weight: orders whose
intervals do not fit, nearest gate first, wait for the next call. At the gate of its first interval
an order that was not accepted expires.

Invariant: an accepted order gives up exactly its hold, of which its intervals' holdings need no
more; so accepting never asks an account for money.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from runtime.kernels.arrays import Int64Array
from runtime.kernels.auction import Clearing
from runtime.pallets.system import LIQUIDITY_FUND
from runtime.pallets.trading.auctions import (
    CoupledBid,
    ListedAuction,
    clear_listed,
    filled_of,
    listed_auction_of,
)
from runtime.pallets.trading.clearing import book_clearing, store_released
from runtime.pallets.trading.coupled_accepted import remember
from runtime.pallets.trading.coupled_orders import expire, forget, waiting_order
from runtime.pallets.trading.coupled_records import CoupledAccepted, CoupledFill
from runtime.pallets.trading.coupled_rooms import Room, lost_to_root
from runtime.pallets.trading.coupled_search import (
    Accepted,
    Bounds,
    Contender,
    Weights,
    by_interval,
    search,
)
from runtime.pallets.trading.coupled_terms import entries_of, intervals_of, split_of_hold
from runtime.pallets.trading.fund import money_of, quotes_max, with_quotes, without_quotes
from runtime.pallets.trading.pairing import pair_fills, stored_pairs
from runtime.pallets.trading.quiet_periods import is_quiet
from runtime.pallets.trading.records import NO_BOOK, NO_HOLDING, Book, Call, Holding, parts_of
from runtime.primitives.hashing import blake2_256

if TYPE_CHECKING:
    from runtime.pallets.trading import Trading

LOAD_INTERVAL_WEIGHT = 200_000_000  # 200 us: book, flows, quotes, and the arrays of an interval
LOAD_ORDER_WEIGHT = 6_000_000  # 6 us: an order's hash and its place in the arrays
ENTRY_WEIGHT = 1_500_000  # 1.5 us: an interval of an execution, made and put into its arrays
WAITING_WEIGHT = 400_000_000  # 400 us: reading an order that waits, where its intervals stand, and
# writing down what it is accepted with
LOAD_PERCENT, SEARCH_PERCENT = 40, 25
"""Of a call's weight, for reading and for searching; the rest is left for booking."""


def call_coupled(market: "Trading", call: Call, budget: int) -> int:
    """Let the coupled orders take part in a call that begins; the budget that is left."""
    budget -= WAITING_WEIGHT * len(market.coupled_waiting.get())
    group = taking_part(market, call)
    if group:
        budget = accept_some(market, call, group, budget)
    for order_id in market.coupled_waiting.get():
        if market.is_gate_passed(parts_of(order_id)[0], call.moment_ms):
            expire(market, order_id)
    return budget


def taking_part(market: "Trading", call: Call) -> list[Contender]:
    """The orders of earlier blocks whose intervals are all open, by rank."""
    opened = market.schedule.get().opened
    ranked: list[tuple[bytes, Contender]] = []
    for order_id in market.coupled_waiting.get():
        order = waiting_order(market, order_id)
        named = intervals_of(order.terms)
        if (
            order.placed_ms < call.moment_ms
            and named[-1] <= opened  # contracts come first
            and not any(is_shut(market, interval, call.moment_ms) for interval in named)
        ):
            rank = blake2_256(call.parent_hash + order_id.to_bytes(8, "little"))
            bus = market.connection_at(order.connection).bus
            ranked.append((rank, Contender(order_id, order.connection, bus, order.terms)))
    return [contender for _, contender in sorted(ranked, key=lambda entry: entry[0])]


def is_shut(market: "Trading", interval: int, now_ms: int) -> bool:
    """Whether an interval takes no more fills, or none before its gate."""
    book = market.books[interval]
    is_over = market.is_settlement_due(interval, now_ms) or (book is not None and book.is_closed)
    return is_over or is_quiet(market, interval, now_ms)


def accept_some(market: "Trading", call: Call, group: Sequence[Contender], budget: int) -> int:
    """Search, and book what is accepted; the budget that is left."""
    fitting, load_weight = fitting_in(market, group, budget * LOAD_PERCENT // 100)
    if not fitting:
        return budget
    named = {interval for contender in fitting for interval in intervals_of(contender.terms)}
    auctions = auctions_at(market, call, sorted(named))
    lost_ppm = lost_to_root(next(iter(auctions.values())).tree)
    rooms = [room_of(market, auction, lost_ppm) for auction in auctions.values()]
    config = market.config
    search_weight = budget * SEARCH_PERCENT // 100
    outcome = search(
        rooms,
        fitting,
        lambda interval, further: clear_listed(market, auctions[interval], further),
        Bounds(
            config.feed_in_price, config.supplier_price + config.network_fee, config.price_floor
        ),
        Weights(search_weight, budget - load_weight - search_weight),
    )
    book_accepted(market, call, auctions, outcome.accepted, outcome.clearings)
    return budget - load_weight - outcome.weight - outcome.booking_weight


def fitting_in(
    market: "Trading", group: Sequence[Contender], weight: int
) -> tuple[list[Contender], int]:
    """The orders whose intervals can be read, and whose executions can be made, within a weight,
    nearest gate first, then by rank; by rank, and what that takes.
    """
    known: set[int] = set()
    spent = 0
    fitting: list[tuple[int, Contender]] = []
    for rank, contender in sorted(
        enumerate(group), key=lambda entry: (parts_of(entry[1].order_id)[0], entry[0])
    ):
        new = [k for k in intervals_of(contender.terms) if k not in known]
        needed = ENTRY_WEIGHT * entries_of(contender.terms)
        needed += sum(load_weight_of(market, interval) for interval in new)
        if spent + needed <= weight:
            spent += needed
            known.update(new)
            fitting.append((rank, contender))
    return [contender for _, contender in sorted(fitting)], spent


def load_weight_of(market: "Trading", interval: int) -> int:
    """What reading an interval takes."""
    book = market.books[interval] or NO_BOOK
    return LOAD_INTERVAL_WEIGHT + LOAD_ORDER_WEIGHT * (book.orders + quotes_max(market))


def auctions_at(
    market: "Trading", call: Call, intervals: Sequence[int]
) -> dict[int, ListedAuction]:
    """All that a call knows of some intervals, with the quotes of the liquidity fund in each, which
    share its money. Nothing of it is kept aside before something is accepted.
    """
    fund, money_nano = market.fund.get(), money_of(market)
    found: dict[int, ListedAuction] = {}
    for interval in intervals:
        book = market.books[interval] or NO_BOOK
        holdings = dict(market.holdings.items_under(interval))
        if fund is not None:
            before = holdings.get(fund.connection, NO_HOLDING)
            book, quoting = with_quotes(market, fund, interval, book, before, money_nano)
            if quoting.orders:
                holdings[fund.connection] = quoting
                money_nano -= quoting.held_nano - before.held_nano
        found[interval] = listed_auction_of(market, call, interval, book, holdings)
    return found


def room_of(market: "Trading", auction: ListedAuction, lost_ppm: Int64Array) -> Room:
    """An interval as the search sees it."""
    orders = auction.orders
    return Room(
        auction.interval,
        orders,
        int(orders.qty.sum()),
        lost_ppm,
        auction.is_lifted or (orders.price.size > 0 and int(orders.price.min()) < 1),
        stored_pairs(market, auction.interval),
    )


def book_accepted(
    market: "Trading",
    call: Call,
    auctions: Mapping[int, ListedAuction],
    accepted: Sequence[Accepted],
    clearings: Mapping[int, Clearing],
) -> None:
    """Turn accepted orders into fills of all their intervals."""
    traders = by_interval({order: each.execution for order, each in enumerate(accepted)})
    fills: dict[int, list[CoupledFill]] = {order: [] for order in range(len(accepted))}
    left_nano = {
        order: waiting_order(market, each.contender.order_id).held_nano
        for order, each in enumerate(accepted)
    }
    for interval, trading in traders.items():
        auction, clearing = auctions[interval], clearings[interval]
        contenders = [accepted[trader.order].contender for trader in trading]
        coupled = [
            CoupledBid(contender.connection, contender.bus, trader.wh)
            for contender, trader in zip(contenders, trading, strict=True)
        ]
        flows = market.config.grid.flows_of(interval)
        book, changed = book_clearing(
            market, auction, clearing, filled_of(auction, clearing), coupled
        )
        for (order, wh, _), (connection, bus, _) in zip(trading, coupled, strict=True):
            price = int(clearing.price[bus])
            share_nano = split_of_hold(wh, price, market.hold_prices(interval, connection))
            left_nano[order] -= share_nano
            holding = changed.get(connection) or auction.holdings.get(connection, NO_HOLDING)
            changed[connection] = with_fill(holding, wh, price, share_nano)
            fills[order].append(CoupledFill(interval, max(wh, 0), max(-wh, 0), price))
        before = dict.fromkeys(changed, NO_HOLDING) | dict(auction.holdings)
        pair_fills(market, call.parent_hash, interval, before, changed, flows)
        book = take_fund_back(market, auction, book, changed)
        for connection, holding in changed.items():
            store_released(market, interval, connection, holding)
        market.books[interval] = replace(book, cleared_ms=call.moment_ms)
    for order, each in enumerate(accepted):
        settle_hold(market, each, left_nano[order])
        remember(market, each.contender.connection, each.contender.order_id, fills[order])
        market.deposit_event(
            CoupledAccepted(
                each.contender.order_id,
                each.contender.connection,
                each.surplus_nano,
                tuple(fills[order]),
            )
        )


def take_fund_back(
    market: "Trading", auction: ListedAuction, book: Book, changed: dict[int, Holding]
) -> Book:
    """The book without what nobody took of the fund's quotes. If somebody took some, its collateral
    is kept aside, and its holding, among those `changed`, keeps no order.
    """
    fund = market.fund.get()
    if fund is None or fund.connection not in auction.holdings:
        return book
    quoting = auction.holdings[fund.connection]
    filled = changed.get(fund.connection)
    if filled is not None:
        stored = market.holdings[auction.interval, fund.connection]
        market.config.currency.hold(LIQUIDITY_FUND, quoting.held_nano - stored.held_nano)
        changed[fund.connection] = replace(filled, orders=())
    return without_quotes(book, filled or quoting)


def with_fill(holding: Holding, wh: int, price_micro: int, share_nano: int) -> Holding:
    """A holding with one interval of an accepted order, and the collateral that comes with it."""
    return replace(
        holding,
        payable_nano=holding.payable_nano + price_micro * wh,
        buy_wh=holding.buy_wh + max(wh, 0),
        sell_wh=holding.sell_wh + max(-wh, 0),
        held_nano=holding.held_nano + share_nano,
    )


def settle_hold(market: "Trading", accepted: Accepted, left_nano: int) -> None:
    """Give back what the intervals of an accepted order did not need of its hold."""
    assert accepted.surplus_nano >= 0, "no order is accepted at a loss"
    assert left_nano >= 0, "the hold is the worst case"
    contender = accepted.contender
    market.release(market.account_of(contender.connection), left_nano)
    forget(market, contender.order_id)
