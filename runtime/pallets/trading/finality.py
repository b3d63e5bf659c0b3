"""What happens to a settlement afterwards: corrected, settled again, final, forgotten.

A settlement is provisional for `dispute_intervals`. When readings of it are corrected, it is
computed again with the same imbalance price, contracts, positions, membership and parameters, all
of which the records hold, and every account pays or receives the difference. Then it is final.

Invariants: the differences sum to zero, because both settlements do; what is final never changes;
nothing provisional is forgotten; a block settles no more intervals again than it has room for.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from runtime.pallets.consumption_metering.records import Metered
from runtime.pallets.producer_registration import TRANSFORMER
from runtime.pallets.trading.accounting import FINALS_PART
from runtime.pallets.trading.config import tariff_of
from runtime.pallets.trading.events import IntervalSettledAgain, SettlementFinal
from runtime.pallets.trading.fund import with_fund
from runtime.pallets.trading.history import FINAL_LINE_WEIGHT, add_final, forget_record
from runtime.pallets.trading.opening import as_settled, keep_deals
from runtime.pallets.trading.parameters import parameters_at
from runtime.pallets.trading.payments import net_amounts, pay
from runtime.pallets.trading.provenance import plus, settle_pairs
from runtime.pallets.trading.records import SettlementLine, SettlementRecord
from runtime.pallets.trading.reputation import note_correction
from runtime.pallets.trading.settlement import Delivery, Position, Zone, settle
from runtime.pallets.trading.statements import lines_of, with_figures, with_record

if TYPE_CHECKING:
    from runtime.pallets.trading import Trading

FINALS_PER_BLOCK_MAX = 16  # two records each; a week's backlog is gone after some forty blocks
FINAL_WEIGHT = 1_000_000_000  # 1 ms: two records, the root of a day
HISTORY_INTERVALS = 768  # the longest dispute window, and a day to look things up


def settle_corrected(market: "Trading", room: int) -> None:
    """Settle up to `room` intervals again whose readings were corrected."""
    for interval in market.config.metering.take_corrected(room):
        settle_again(market, interval)


def settle_again(market: "Trading", interval: int) -> None:
    """Replace the settlement of an interval, and let everyone pay the difference."""
    record, lines = market.settlements[interval], market.lines[interval]
    assert record is not None and lines is not None, "what is provisional is remembered"
    metered = with_fund(market, market.config.metering.energies_of(interval, record.booked_loss_wh))
    deliveries = [
        Delivery(
            tariff_of(market.config),
            Position(line.payable_nano, line.buy_wh, line.sell_wh),
            energy.import_wh,
            energy.export_wh,
            line.is_pooled,
        )
        for line, energy in zip(lines, metered[TRANSFORMER + 1 :], strict=True)
    ]
    deals = market.deals[interval] or ()
    zone = zone_of(market, interval, record, metered[TRANSFORMER])
    settled = settle(zone, deliveries, [as_settled(deal) for deal in deals])
    revised = replace(
        with_figures(record, settled, metered, deliveries),
        times_corrected=record.times_corrected + 1,
    )
    new_lines = lines_of(settled, metered, deliveries)
    premiums = settle_pairs(market, interval, new_lines)
    pay(market, differences(market, (record, lines), (revised, new_lines), premiums))
    market.settlements[interval] = revised
    market.lines[interval] = tuple(new_lines)
    totals = with_record(with_record(market.totals.get(), record, -1), revised)
    market.totals.set(replace(totals, times_corrected=totals.times_corrected + 1))
    keep_deals(market, interval, deals, settled, deliveries)
    note_correction(market, lines, new_lines)
    market.record_balance(interval, metered)
    market.deposit_event(IntervalSettledAgain(interval, revised))


def zone_of(
    market: "Trading", interval: int, record: SettlementRecord, transformer: Metered
) -> Zone:
    """The zone as the first settlement saw it, with its imbalance price."""
    return Zone(
        market.zone_prices(interval),
        Position(record.supplier_payable_nano, record.supplier_buy_wh, record.supplier_sell_wh),
        transformer.import_wh,
        transformer.export_wh,
        record.rent_nano,
        record.booked_loss_wh,
        record.imbalance_price,
    )


Statement = tuple[SettlementRecord, Sequence[SettlementLine]]


def differences(
    market: "Trading", before: Statement, after: Statement, premiums: dict[int, int]
) -> dict[bytes, int]:
    """What each account receives in addition (negative: pays); only those that do. `premiums`: by
    connection, in addition to before.
    """
    changes = [
        new.amount_nano - old.amount_nano for old, new in zip(before[1], after[1], strict=True)
    ]
    net = net_amounts(
        market,
        after[0].supplier_nano - before[0].supplier_nano,
        after[0].operator_nano - before[0].operator_nano,
        plus(changes, premiums),
    )
    return {account: amount for account, amount in net.items() if amount}


def make_final(market: "Trading", now_ms: int) -> None:
    """Close settlements whose dispute window has passed, in the order of their settlement.

    What is old is forgotten before: it was final in an earlier block, so that whoever keeps it
    finds it whole in the state before this one.
    """
    forget_old(market)
    config, totals = market.config, market.totals.get()
    first = totals.intervals_final
    last = min(totals.intervals_settled, first + finals_fitting(market))
    done = 0
    for ordinal in range(first, last):
        interval = market.settled_at[ordinal]
        record = None if interval is None else market.settlements[interval]
        assert interval is not None and record is not None, "what is provisional is remembered"
        window = parameters_at(market, interval).dispute_intervals
        closes_ms = (record.settled_in + window) * config.market_interval_ms
        if now_ms < closes_ms or config.metering.is_corrected(interval):
            break
        market.settlements[interval] = replace(record, is_final=True)
        config.metering.make_final(interval)
        add_final(market, interval)
        market.deposit_event(SettlementFinal(interval))
        done += 1
    if done:
        market.totals.set(replace(totals, intervals_final=first + done))


def finals_fitting(market: "Trading") -> int:
    """How many settlements a block can close: at least one, each with a hash of every line."""
    weight = FINAL_WEIGHT + FINAL_LINE_WEIGHT * market.config.registry.count()
    part = market.config.settlement_weight // FINALS_PART
    return min(max(1, part // weight), FINALS_PER_BLOCK_MAX)


def forget_old(market: "Trading") -> None:
    """Drop what is final and older than the history."""
    totals, begin = market.totals.get(), market.history_begin.get()
    end = min(totals.intervals_settled - HISTORY_INTERVALS, totals.intervals_final)
    for ordinal in range(begin, end):
        interval = market.settled_at[ordinal]
        assert interval is not None, "settlements are numbered without gaps"
        forget_record(market, interval, market.settled_at[ordinal + 1])
        del market.settled_at[ordinal]
        del market.settlements[interval]
        del market.lines[interval]
        del market.prices[interval]
        del market.price_parts[interval]
        del market.network_income[interval]
        del market.deals[interval]
        del market.pairs[interval]
        market.config.grid.forget(interval)
        market.config.metering.forget(interval)
    if end > begin:
        market.history_begin.set(end)
