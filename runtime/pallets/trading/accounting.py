"""Closing the accounts of intervals: readings and positions in, money moved, records kept.

Interval k is settled in the first block at or after the start of interval k + 3, trade or not, as
long as a block was made while its readings could still come. Intervals without any (the chain stood
still) and without orders are never visited.

Invariants: what leaves and enters accounts sums to zero; all collateral of a settled interval is
released; records are kept for `HISTORY_INTERVALS` settled intervals.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from runtime.pallets.consumption_metering.records import Metered, Method
from runtime.pallets.producer_registration import TRANSFORMER
from runtime.pallets.trading.config import tariff_of
from runtime.pallets.trading.events import IntervalSettled
from runtime.pallets.trading.membership import is_member
from runtime.pallets.trading.orders import position_of
from runtime.pallets.trading.payments import pay
from runtime.pallets.trading.records import (
    NO_BOOK,
    NO_HOLDING,
    Book,
    Holding,
    SettlementLine,
    SettlementRecord,
    Totals,
)
from runtime.pallets.trading.settlement import Delivery, Settlement, Tariff, Zone, settle

if TYPE_CHECKING:
    from runtime.pallets.trading import Trading

SETTLEMENT_INTERVALS = 3
"""Interval k is settled in the first block at or after the start of interval k + 3."""

SETTLEMENTS_PER_BLOCK_MAX = 8  # a day's backlog is gone after a dozen blocks
DISPUTE_INTERVALS = 672  # a week after settlement, which is final then
HISTORY_INTERVALS = 768  # the dispute window, and a day to look things up
INTERVAL_WEIGHT = 2_000_000_000  # 2 ms: records, flows, the measured balance
CONNECTION_WEIGHT = 100_000_000  # 100 us: its reading or estimate, its line, its account


def note_time(market: "Trading", now_ms: int) -> None:
    """Store the intervals whose readings can come now: this one and the two before it."""
    schedule = market.schedule.get()
    current = now_ms // market.config.market_interval_ms
    if current <= schedule.seen:
        return
    first = max(
        schedule.seen + 1, current - SETTLEMENT_INTERVALS + 1, market.config.genesis_interval
    )
    stored = tuple(sorted({*schedule.stored, *range(first, current + 1)}))
    market.schedule.set(replace(schedule, seen=current, stored=stored))


def settle_due(market: "Trading", now_ms: int) -> None:
    """Settle the oldest intervals that are due: at least one, what fits a block, at most eight."""
    stored = market.schedule.get().stored
    weight = INTERVAL_WEIGHT + CONNECTION_WEIGHT * market.config.registry.count()
    fitting = max(1, market.config.settlement_weight // weight)
    done = 0
    for interval in stored[: min(fitting, SETTLEMENTS_PER_BLOCK_MAX)]:
        if not market.is_settlement_due(interval, now_ms):
            break
        settle_interval(market, interval)
        done += 1
    if done:
        market.schedule.set(replace(market.schedule.get(), stored=stored[done:]))


def settle_interval(market: "Trading", interval: int) -> None:
    """Settle one interval and forget one that is too old."""
    book = market.books[interval] or NO_BOOK
    holdings = dict(market.holdings.items_under(interval))
    metered = market.config.metering.close_interval(interval, book.booked_loss_wh)
    settled, deliveries = compute_settlement(market, interval, book, holdings, metered)
    release_collateral(market, holdings)
    pay(market, net_amounts(market, settled))
    lines = lines_of(settled, metered, deliveries)
    record = record_of(market, interval, book, settled, metered, deliveries)
    keep(market, interval, record, lines)
    market.config.grid.record_balance(
        interval,
        (metered[TRANSFORMER].import_wh, metered[TRANSFORMER].export_wh),
        [
            (market.connection_at(number).bus, energy.import_wh, energy.export_wh)
            for number, energy in enumerate(metered)
            if number != TRANSFORMER
        ],
    )
    market.deposit_event(IntervalSettled(interval, record))


def compute_settlement(
    market: "Trading",
    interval: int,
    book: Book,
    holdings: Mapping[int, Holding],
    metered: Sequence[Metered],
) -> tuple[Settlement, list[Delivery]]:
    """The pure settlement of what was metered and traded."""
    tariff = tariff_of(market.config)
    zone = Zone(
        market.prices_of_zone(),
        position_of(holdings.get(TRANSFORMER, NO_HOLDING)),
        metered[TRANSFORMER].import_wh,
        metered[TRANSFORMER].export_wh,
        book.rent_nano,
        book.booked_loss_wh,
    )
    deliveries = [
        Delivery(
            tariff,
            position_of(holdings.get(number, NO_HOLDING)),
            metered[number].import_wh,
            metered[number].export_wh,
            is_member(market, number, interval),
        )
        for number in range(1, len(metered))
    ]
    settled = settle(zone, deliveries)
    assert settled.house_nano == 0, "payables of the fills sum to the rent"
    return settled, deliveries


def release_collateral(market: "Trading", holdings: Mapping[int, Holding]) -> None:
    """Give back what the orders and positions of an interval kept aside."""
    for number, holding in holdings.items():
        if holding.held_nano:
            market.release(market.account_of(number), holding.held_nano)


def net_amounts(market: "Trading", settled: Settlement) -> dict[bytes, int]:
    """What each account receives (negative: pays), over all it has in the zone."""
    registry = market.config.registry
    net = {registry.supplier_account(): settled.supplier_nano}
    operator = registry.operator_account()
    net[operator] = net.get(operator, 0) + settled.operator_nano
    for number, amount in enumerate(settled.amounts_nano, start=1):
        account = market.account_of(number)
        net[account] = net.get(account, 0) + amount
    return net


def lines_of(
    settled: Settlement, metered: Sequence[Metered], deliveries: Sequence[Delivery]
) -> list[SettlementLine]:
    """What was metered, traded and paid, connection 1 first."""
    return [
        SettlementLine(
            delivery.import_wh,
            delivery.export_wh,
            energy.method,
            *delivery.position,
            delivery.is_pooled,
            from_pool_wh,
            to_pool_wh,
            amount,
        )
        for delivery, energy, from_pool_wh, to_pool_wh, amount in zip(
            deliveries,
            metered[1:],
            settled.pool.imports_wh,
            settled.pool.exports_wh,
            settled.amounts_nano,
            strict=True,
        )
    ]


def record_of(
    market: "Trading",
    interval: int,
    book: Book,
    settled: Settlement,
    metered: Sequence[Metered],
    deliveries: Sequence[Delivery],
) -> SettlementRecord:
    """The figures of a settled interval."""
    prices = market.prices[interval] or (0,)
    bought = sum(delivery.position.buy_wh for delivery in deliveries)
    return SettlementRecord(
        imbalance_price=settled.imbalance_price,
        imbalance_wh=settled.imbalance_wh,
        traded_wh=book.traded_wh,
        bid_value_nano=book.bid_value_nano,
        connections_buy_wh=bought,
        local_wh=bought - market.config.grid.imported_at_root(interval),
        price_min_micro=min(prices),
        price_max_micro=max(prices),
        import_wh=sum(delivery.import_wh for delivery in deliveries),
        export_wh=sum(delivery.export_wh for delivery in deliveries),
        transformer_import_wh=metered[TRANSFORMER].import_wh,
        transformer_export_wh=metered[TRANSFORMER].export_wh,
        measured_loss_wh=settled.measured_loss_wh,
        booked_loss_wh=book.booked_loss_wh,
        energy_residual_wh=abs(settled.residual_wh),
        rent_nano=book.rent_nano,
        supplier_nano=settled.supplier_nano,
        operator_nano=settled.operator_nano,
        connections_nano=sum(settled.amounts_nano),
        tariff_nano=sum(tariff_amount(delivery.tariff, delivery) for delivery in deliveries),
        estimated=sum(energy.method != Method.METERED for energy in metered[1:]),
        pool_wh=settled.pool.volume_wh,
        pool_price_micro=settled.pool.price,
    )


def tariff_amount(tariff: Tariff, delivery: Delivery) -> int:
    """What a connection would have received without the market (negative: paid)."""
    retail = tariff.supplier_price + tariff.network_fee
    return tariff.feed_in_price * delivery.export_wh - retail * delivery.import_wh


def keep(
    market: "Trading", interval: int, record: SettlementRecord, lines: list[SettlementLine]
) -> None:
    """Store the records of an interval, add it to the totals, and drop the oldest one."""
    totals = market.totals.get()
    ordinal = totals.intervals_settled
    market.settlements[interval] = record
    market.lines[interval] = tuple(lines)
    market.settled_at[ordinal] = interval
    del market.books[interval]
    market.holdings.clear_under(interval)
    market.totals.set(with_record(totals, record))
    oldest = ordinal - HISTORY_INTERVALS
    if oldest < 0:
        return
    forgotten = market.settled_at[oldest]
    assert forgotten is not None, "settlements are numbered without gaps"
    del market.settled_at[oldest]
    del market.settlements[forgotten]
    del market.lines[forgotten]
    del market.prices[forgotten]
    market.config.grid.forget(forgotten)


def with_record(totals: Totals, record: SettlementRecord) -> Totals:
    """The totals with one more interval."""
    return Totals(
        intervals_settled=totals.intervals_settled + 1,
        traded_wh=totals.traded_wh + record.traded_wh,
        bid_value_nano=totals.bid_value_nano + record.bid_value_nano,
        connections_buy_wh=totals.connections_buy_wh + record.connections_buy_wh,
        local_wh=totals.local_wh + record.local_wh,
        import_wh=totals.import_wh + record.import_wh,
        export_wh=totals.export_wh + record.export_wh,
        energy_residual_wh=totals.energy_residual_wh + record.energy_residual_wh,
        connections_nano=totals.connections_nano + record.connections_nano,
        tariff_nano=totals.tariff_nano + record.tariff_nano,
        estimated=totals.estimated + record.estimated,
        pool_wh=totals.pool_wh + record.pool_wh,
    )
