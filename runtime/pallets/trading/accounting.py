"""Closing the accounts of intervals: readings and positions in, money moved, records kept.

Interval k is settled in the first block at or after the start of interval k + 3, trade or not, as
long as a block was made while its readings could still come. Intervals without any (the chain stood
still) and without orders are never visited.

Invariants: what leaves and enters accounts sums to zero; all collateral of a settled interval is
released. What happens to a settlement afterwards: `finality.py`.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from runtime.pallets.consumption_metering.records import Metered
from runtime.pallets.producer_registration import TRANSFORMER
from runtime.pallets.trading.config import tariff_of
from runtime.pallets.trading.events import IntervalSettled
from runtime.pallets.trading.fund import with_fund
from runtime.pallets.trading.fund_shares import redemptions_weight
from runtime.pallets.trading.membership import is_member
from runtime.pallets.trading.opening import OPENING_PART, as_settled, keep_deals, with_strikes
from runtime.pallets.trading.orders import position_of
from runtime.pallets.trading.payments import net_amounts, pay
from runtime.pallets.trading.provenance import PAIRS_WEIGHT, plus, settle_pairs
from runtime.pallets.trading.records import (
    NO_BOOK,
    NO_HOLDING,
    NOTHING_SETTLED,
    Book,
    Holding,
    SettlementLine,
    SettlementRecord,
)
from runtime.pallets.trading.reputation import note_settlement
from runtime.pallets.trading.settlement import Delivery, Position, Zone, settle
from runtime.pallets.trading.statements import lines_of, with_figures, with_record
from runtime.pallets.trading.tariffs import earmark

if TYPE_CHECKING:
    from runtime.pallets.trading import Trading

SETTLEMENT_INTERVALS = 3
"""Interval k is settled in the first block at or after the start of interval k + 3."""

SETTLEMENTS_PER_BLOCK_MAX = 8  # a day's backlog is gone after a dozen blocks
FINALS_PART = 8
"""Closing settlements has this part of the weight for settlements, which leave it to that."""

INTERVAL_WEIGHT = 2_000_000_000  # 2 ms: records, flows, the measured balance
CONNECTION_WEIGHT = 100_000_000  # 100 us: its reading or estimate, its line, its account


def note_time(market: "Trading", now_ms: int) -> None:
    """Store the intervals whose readings can come now: this one and the two before it. Those that
    were open when the chain stood still, and will never be settled, are forgotten by the grid.
    """
    schedule = market.schedule.get()
    current = now_ms // market.config.market_interval_ms
    if current <= schedule.seen:
        return
    first = max(
        schedule.seen + 1, current - SETTLEMENT_INTERVALS + 1, market.config.genesis_interval
    )
    stored = {*schedule.stored, *range(first, current + 1)}
    for interval in range(schedule.seen + 1, min(first, schedule.opened + 1)):  # of one day
        if interval not in stored:
            market.config.grid.forget(interval)
    market.schedule.set(replace(schedule, seen=current, stored=tuple(sorted(stored))))


def settlements_fitting(market: "Trading") -> int:
    """How many intervals a block can settle: at least one, at most eight."""
    weight = INTERVAL_WEIGHT + PAIRS_WEIGHT + CONNECTION_WEIGHT * market.config.registry.count()
    whole = market.config.settlement_weight
    others = whole // OPENING_PART + whole // FINALS_PART + redemptions_weight(market)
    fitting = (whole - others) // weight
    return min(max(1, fitting), SETTLEMENTS_PER_BLOCK_MAX)


def settle_due(market: "Trading", now_ms: int) -> int:
    """Settle the oldest intervals that are due, what fits a block; how many."""
    stored = market.schedule.get().stored
    done = 0
    for interval in stored[: settlements_fitting(market)]:
        if not market.is_settlement_due(interval, now_ms):
            break
        settle_interval(market, interval)
        done += 1
    if done:
        market.schedule.set(replace(market.schedule.get(), stored=stored[done:]))
    return done


def settle_interval(market: "Trading", interval: int) -> None:
    """Settle one interval."""
    book = market.books[interval] or NO_BOOK
    holdings = dict(market.holdings.items_under(interval))
    metered = with_fund(
        market, market.config.metering.close_interval(interval, book.booked_loss_wh)
    )
    supplier = position_of(holdings.get(TRANSFORMER, NO_HOLDING))
    deliveries = deliveries_of(market, interval, holdings, metered)
    zone = Zone(
        market.zone_prices(interval),
        supplier,
        metered[TRANSFORMER].import_wh,
        metered[TRANSFORMER].export_wh,
        book.rent_nano,
        book.booked_loss_wh,
    )
    deals = with_strikes(market, interval, market.deals[interval] or ())
    settled = settle(zone, deliveries, [as_settled(deal) for deal in deals])
    assert settled.house_nano == 0, "payables of the fills sum to the rent"
    release_collateral(market, holdings)
    lines = lines_of(settled, metered, deliveries)
    amounts_nano = plus(settled.amounts_nano, settle_pairs(market, interval, lines))
    net = net_amounts(market, settled.supplier_nano, settled.operator_nano, amounts_nano)
    pay(market, earmark(market, interval, net))
    traded = record_of(market, interval, book, supplier, deliveries)
    record = with_figures(traded, settled, metered, deliveries)
    keep(market, interval, record, lines)
    keep_deals(market, interval, deals, settled, deliveries)
    note_settlement(market, lines)
    market.record_balance(interval, metered)
    market.deposit_event(IntervalSettled(interval, record))


def deliveries_of(
    market: "Trading",
    interval: int,
    holdings: Mapping[int, Holding],
    metered: Sequence[Metered],
) -> list[Delivery]:
    """What each connection traded and what it was metered to take and give."""
    tariff = tariff_of(market.config)
    return [
        Delivery(
            tariff,
            position_of(holdings.get(number, NO_HOLDING)),
            metered[number].import_wh,
            metered[number].export_wh,
            is_member(market, number, interval),
        )
        for number in range(1, len(metered))
    ]


def release_collateral(market: "Trading", holdings: Mapping[int, Holding]) -> None:
    """Give back what the orders and positions of an interval kept aside."""
    for number, holding in holdings.items():
        if holding.held_nano:
            market.release(market.account_of(number), holding.held_nano)


def record_of(
    market: "Trading",
    interval: int,
    book: Book,
    supplier: Position,
    deliveries: Sequence[Delivery],
) -> SettlementRecord:
    """What was traded for an interval; the figures of the meters are still zero."""
    prices = market.prices[interval] or (0,)
    bought = sum(delivery.position.buy_wh for delivery in deliveries)
    return replace(
        NOTHING_SETTLED,
        traded_wh=book.traded_wh,
        bid_value_nano=book.bid_value_nano,
        connections_buy_wh=bought,
        local_wh=bought - market.config.grid.imported_at_root(interval),
        price_min_micro=min(prices),
        price_max_micro=max(prices),
        booked_loss_wh=book.booked_loss_wh,
        rent_nano=book.rent_nano,
        supplier_payable_nano=supplier.payable_nano,
        supplier_buy_wh=supplier.buy_wh,
        supplier_sell_wh=supplier.sell_wh,
        settled_in=market.config.clock.now() // market.config.market_interval_ms,
    )


def keep(
    market: "Trading", interval: int, record: SettlementRecord, lines: list[SettlementLine]
) -> None:
    """Store the records of an interval and add it to the totals."""
    totals = market.totals.get()
    market.settlements[interval] = record
    market.lines[interval] = tuple(lines)
    market.settled_at[totals.intervals_settled] = interval
    del market.books[interval]
    market.holdings.clear_under(interval)
    market.right_offers.clear_under(interval)
    market.totals.set(with_record(totals, record))
