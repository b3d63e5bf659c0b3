"""Reputation: what a connection has delivered of what it promised, and what that costs it.

Counted per connection, in energy that a day makes worth 2 % less: what it sold and delivered, what
it bought and took; of its settlements, how many were paid; of its readings, how many were missing.
Who never traded a kilowatt hour counts as one who kept half.

Reputation moves collateral only. Who kept less than half, or pays less than half of its
settlements, keeps its orders and positions aside as if deviations cost up to twice the dearest
price; never less than without. It is not transferable, and decides no price and no share.

What is known at the end of a day raises the collateral of intervals from the second day after it
on: none of them can have an order before that, so what an interval keeps aside never changes under
those who trade for it.

Left out: demand response and disputes, which other pallets know of.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, NamedTuple, cast

from msgspec.structs import replace as replace_struct

from runtime import frame
from runtime.frame import (
    U32,
    U64,
    Balance,
    ConnectionId,
    EnergyWh,
    Identity,
    MaxLen,
    Pallet,
    Ppm,
    StorageMap,
    StorageValue,
    Struct,
    api,
)
from runtime.pallets.consumption_metering.records import Method
from runtime.pallets.trading.config import Config
from runtime.pallets.trading.deals import MILLION, SLOTS_PER_DAY
from runtime.pallets.trading.records import SettlementLine
from runtime.pallets.trading.settlement import ZonePrices

if TYPE_CHECKING:
    from runtime.pallets.trading import Trading

DECAY_PPM = 980_000  # a day: half of it is forgotten after five weeks
DECAY_DAYS_MAX = 2_200  # then nothing is left of the largest sums
NEWCOMER_PPM = 500_000
KNOWN_WH_MIN = 1_000  # less says nothing about anybody
SURCHARGE_DELAY_DAYS = 2
SURCHARGES_MAX = 6
"""Days whose surcharge is remembered: intervals that wait for settlement span fewer."""

MISSING = (Method.INTERPOLATED, Method.SAME_SLOT, Method.LAST_VALID, Method.PROFILE)


class Surcharge(Struct):
    """How much worse the dearest price of deviations counts, by what was known at a day's end."""

    day: U32
    factor_ppm: Ppm


class Reputation(Struct):
    """Sums of a connection, each day worth 2 % less."""

    day: U32
    """Up to which they have lost their worth."""

    sold_wh: EnergyWh
    delivered_wh: EnergyWh
    bought_wh: EnergyWh
    taken_wh: EnergyWh
    settlements: U64
    """Settlements after which it could have owed something, in millionths."""

    paid: U64
    """Those after which it did not."""

    missing: U64
    """Readings that were estimated, in millionths."""

    surcharges: Annotated[tuple[Surcharge, ...], MaxLen(SURCHARGES_MAX)]


class ReadingsDue(Struct):
    """Settled intervals in millionths, each day worth 2 % less: readings that a meter owed."""

    day: U32
    intervals: U64


class Scores(Struct):
    """A connection's reputation in parts per million, as others see it."""

    kept_ppm: Ppm
    """Energy delivered and taken, of what was sold and bought."""

    paid_ppm: Ppm
    read_ppm: Ppm
    """Readings that came."""

    factor_ppm: Ppm
    """On the dearest price of deviations, in intervals of the day after the next."""

    reputation: Reputation
    settled_nano: Balance
    """What its account owes the supplier now."""


class SurchargeChanged(frame.Event, index=45):
    """A connection keeps more, or less, aside for intervals from the second day on."""

    connection: ConnectionId
    surcharge: Surcharge


NOTHING_KNOWN = Reputation(0, 0, 0, 0, 0, 0, 0, 0, ())


class Reputations(Pallet[Config]):
    """The part of Trading that keeps reputations."""

    reputations: StorageMap[ConnectionId, Reputation | None, Identity]
    """Of connections that traded, owed something, or had no reading once."""

    readings_due: StorageValue[ReadingsDue]
    """What every meter owed so far."""

    @api("Trading_reputation")
    def read_reputation(self, connection: ConnectionId) -> Scores | None:
        """What is known of a connection; None if there is no such connection."""
        return scores_of(cast("Trading", self), connection)  # the one pallet that inherits this


class Kept(NamedTuple):
    """Energy of a line that was promised and what came of it."""

    sold_wh: int
    delivered_wh: int
    bought_wh: int
    taken_wh: int


def kept_of(line: SettlementLine) -> Kept:
    """What a connection promised by its net position, and kept beside its contracts."""
    net_wh = line.buy_wh - line.sell_wh
    sold, bought = max(-net_wh, 0), max(net_wh, 0)
    delivered = min(sold, line.export_wh - line.contract_export_wh)
    return Kept(sold, delivered, bought, min(bought, line.import_wh - line.contract_import_wh))


def decayed(amount: int, days: int) -> int:
    """What is left of an amount after some days."""
    for _ in range(min(days, DECAY_DAYS_MAX)):
        if amount == 0:
            break
        amount = amount * DECAY_PPM // MILLION
    return amount


def aged(reputation: Reputation, today: int) -> Reputation:
    """A reputation with the worth it has today."""
    days = today - reputation.day
    if days <= 0:
        return reputation
    return Reputation(
        today,
        decayed(reputation.sold_wh, days),
        decayed(reputation.delivered_wh, days),
        decayed(reputation.bought_wh, days),
        decayed(reputation.taken_wh, days),
        decayed(reputation.settlements, days),
        decayed(reputation.paid, days),
        decayed(reputation.missing, days),
        reputation.surcharges,
    )


def kept_ppm(reputation: Reputation) -> int:
    """The share of promised energy that was delivered and taken."""
    promised = reputation.sold_wh + reputation.bought_wh
    if promised < KNOWN_WH_MIN:
        return NEWCOMER_PPM
    return (reputation.delivered_wh + reputation.taken_wh) * MILLION // promised


def paid_ppm(reputation: Reputation) -> int:
    """The share of settlements after which nothing was owed."""
    if reputation.settlements == 0:
        return MILLION
    return reputation.paid * MILLION // reputation.settlements


def factor_ppm(reputation: Reputation) -> int:
    """How much worse deviations count: once from a half kept on, twice when nothing was."""
    score = min(kept_ppm(reputation), paid_ppm(reputation))
    return MILLION + max(0, NEWCOMER_PPM - score) * 2


def today_of(market: Reputations) -> int:
    """The number of the present day since genesis."""
    interval = market.config.clock.now() // market.config.market_interval_ms
    return max(0, interval - market.config.genesis_interval) // SLOTS_PER_DAY


def note_settlement(market: "Trading", lines: Sequence[SettlementLine]) -> None:
    """Count a first settlement; its money has moved."""
    today, due = today_of(market), market.readings_due.get()
    due_before = decayed(due.intervals, today - due.day)
    market.readings_due.set(ReadingsDue(today, due_before + MILLION))
    fund = market.fund.get()
    for number, line in enumerate(lines, start=1):
        if fund is not None and number == fund.connection:
            continue  # it promises no energy
        kept = kept_of(line)
        owes = market.arrears[market.account_of(number)] > 0
        is_missing = line.method in MISSING
        if kept.sold_wh or kept.bought_wh or owes or is_missing:
            before = aged(market.reputations[number] or NOTHING_KNOWN, today)
            after = replace_struct(
                before,
                sold_wh=before.sold_wh + kept.sold_wh,
                delivered_wh=before.delivered_wh + kept.delivered_wh,
                bought_wh=before.bought_wh + kept.bought_wh,
                taken_wh=before.taken_wh + kept.taken_wh,
                settlements=before.settlements + MILLION,
                paid=before.paid + (0 if owes else MILLION),
                missing=before.missing + (MILLION if is_missing else 0),
            )
            store(market, number, after)


def note_correction(
    market: "Trading", before: Sequence[SettlementLine], after: Sequence[SettlementLine]
) -> None:
    """Count what corrected readings say of deliveries, as far as it is not forgotten."""
    today = today_of(market)
    for number, (old, new) in enumerate(zip(before, after, strict=True), start=1):
        was, now = kept_of(old), kept_of(new)
        was_missing = old.method in MISSING and new.method not in MISSING
        if was == now and not was_missing:
            continue
        known = aged(market.reputations[number] or NOTHING_KNOWN, today)
        delivered = known.delivered_wh + now.delivered_wh - was.delivered_wh
        taken = known.taken_wh + now.taken_wh - was.taken_wh
        revised = replace_struct(
            known,
            delivered_wh=min(max(delivered, 0), known.sold_wh),
            taken_wh=min(max(taken, 0), known.bought_wh),
            missing=max(0, known.missing - (MILLION if was_missing else 0)),
        )
        store(market, number, revised)


def store(market: "Trading", number: int, reputation: Reputation) -> None:
    """Keep a reputation, with the surcharge that follows from it."""
    factor, earlier = factor_ppm(reputation), reputation.surcharges
    latest = earlier[-1].factor_ppm if earlier else MILLION
    if factor != latest:
        surcharge = Surcharge(reputation.day, factor)
        if earlier and earlier[-1].day == reputation.day:
            earlier = earlier[:-1]
        surcharges = (*earlier, surcharge)[-SURCHARGES_MAX:]
        reputation = replace_struct(reputation, surcharges=surcharges)
        market.deposit_event(SurchargeChanged(number, surcharge))
    market.reputations[number] = reputation


def with_surcharge(
    market: Reputations, interval: int, number: int, prices: ZonePrices
) -> ZonePrices:
    """The prices by which a connection keeps collateral: those of deviations as much worse as its
    reputation says. Orders, positions and coupled orders follow from them alike.
    """
    reputation = market.reputations[number]
    if reputation is None or not reputation.surcharges:
        return prices
    day = (interval - market.config.genesis_interval) // SLOTS_PER_DAY
    factor = MILLION
    for surcharge in reputation.surcharges:
        if surcharge.day + SURCHARGE_DELAY_DAYS <= day:
            factor = surcharge.factor_ppm
    extra = prices.imbalance_price_max * (factor - MILLION) // MILLION
    if extra == 0:
        return prices
    return prices.with_bounds(
        prices.imbalance_price_max + extra, min(0, prices.imbalance_price_min) - extra
    )


def scores_of(market: "Trading", number: int) -> Scores | None:
    """What is known of a connection."""
    if number == 0 or market.config.registry.connection(number) is None:
        return None
    today, due = today_of(market), market.readings_due.get()
    known = aged(market.reputations[number] or NOTHING_KNOWN, today)
    owed = decayed(due.intervals, today - due.day)
    missing = known.missing * MILLION // owed if owed else 0
    return Scores(
        kept_ppm(known),
        paid_ppm(known),
        MILLION - min(missing, MILLION),
        factor_ppm(known),
        known,
        max(0, market.arrears[market.account_of(number)]),
    )


def check_reputations(market: Reputations) -> None:
    """Assert that nobody kept more than it promised, and that surcharges are in their range."""
    for number, known in market.reputations.items():
        assert known is not None
        assert known.delivered_wh <= known.sold_wh, f"{number} delivered more than it sold"
        assert known.taken_wh <= known.bought_wh, f"{number} took more than it bought"
        assert known.paid <= known.settlements, f"{number} paid more often than it was settled"
        days = [surcharge.day for surcharge in known.surcharges]
        assert days == sorted(set(days)), f"surcharges of {number} rise"
        assert all(MILLION <= s.factor_ppm <= 2 * MILLION for s in known.surcharges)
