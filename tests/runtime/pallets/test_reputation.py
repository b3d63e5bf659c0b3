"""Reputation: what was promised and kept, how it fades, and what it costs in collateral."""

from collections.abc import Sequence
from fractions import Fraction
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from runtime.pallets.trading.orders import hold_of
from runtime.pallets.trading.reputation import (
    NEWCOMER_PPM,
    NOTHING_KNOWN,
    Reputation,
    Surcharge,
    SurchargeChanged,
    aged,
    decayed,
    factor_ppm,
    kept_ppm,
    paid_ppm,
)
from runtime.pallets.trading.settlement import Position
from tests.runtime.pallets.zone import (
    BID,
    EXISTENTIAL_DEPOSIT,
    K0,
    OFFER,
    OPERATOR,
    SLOT_MS,
    A,
    B,
    Zone,
)

MILLION = 1_000_000
R_Z = 300_000


def trade_and_read(zone: Zone, now: int, sold: int, delivered: int, taken: int) -> None:
    """A sells to B for an interval that is settled; what they then deliver and take."""
    interval = now + 3
    zone.block(now, SLOT_MS, lambda: zone.order(1, interval, OFFER, 100_000, sold))
    zone.block(now, 2 * SLOT_MS, lambda: zone.order(2, interval, BID, 100_000, sold))
    zone.run(now + 1, now + 3)
    reads = [
        partial(zone.read, 1, interval, 0, delivered),
        partial(zone.read, 2, interval, taken, 0),
    ]
    zone.block(interval + 1, SLOT_MS, *reads)
    zone.run(interval + 2, interval + 3)


def scores(zone: Zone, number: int) -> tuple[int, int, int]:
    found = zone.trading.read_reputation(number)
    assert found is not None
    return found.kept_ppm, found.paid_ppm, found.factor_ppm


def test_what_is_delivered_and_taken_of_what_was_sold_and_bought_counts() -> None:
    zone = Zone(buses=(2, 3))
    trade_and_read(zone, K0, sold=2_000, delivered=1_500, taken=800)

    assert scores(zone, 1) == (750_000, MILLION, MILLION)
    # Who kept 40 percent counts deviations 1.2 times.
    assert scores(zone, 2) == (400_000, MILLION, 1_200_000)


def test_a_newcomer_and_who_traded_hardly_anything_count_as_half_kept() -> None:
    zone = Zone(buses=(2, 3, 3))
    trade_and_read(zone, K0, sold=900, delivered=0, taken=0)

    assert scores(zone, 3) == scores(zone, 1) == (NEWCOMER_PPM, MILLION, MILLION)
    assert zone.trading.read_reputation(0) is None
    assert zone.trading.read_reputation(9) is None


def test_collateral_rises_for_intervals_of_the_second_day_and_none_before() -> None:
    zone = Zone(buses=(2, 3))
    trade_and_read(zone, K0, sold=2_000, delivered=0, taken=2_000)
    assert scores(zone, 1) == (0, MILLION, 2 * MILLION)
    zone.run(K0 + 7, K0 + 100)

    zone.order(1, K0 + 191, OFFER, 100_000, 10)
    assert zone.held(A) == 10 * (R_Z - 100_000)
    zone.order(1, K0 + 192, OFFER, 100_000, 10)
    assert zone.held(A) == 10 * (R_Z - 100_000) + 10 * (2 * R_Z - 100_000)
    zone.order(2, K0 + 192, BID, 100_000, 10)
    assert zone.held(B) == 10 * 100_000
    zone.run(K0 + 101, K0 + 103)
    assert zone.position(K0 + 192, 1) == (0, 10)
    assert zone.holding(K0 + 192, 1).held_nano == 10 * (2 * R_Z - 100_000)


def test_a_buyer_that_does_not_take_keeps_more_than_the_price_aside() -> None:
    zone = Zone(buses=(2, 3))
    trade_and_read(zone, K0, sold=2_000, delivered=2_000, taken=0)
    zone.run(K0 + 7, K0 + 100)

    zone.order(2, K0 + 193, BID, 150_000, 10)

    assert zone.held(B) == 10 * (150_000 + R_Z)


def test_surcharges_are_announced_and_fall_again() -> None:
    zone = Zone(buses=(2, 3))
    trade_and_read(zone, K0, sold=1_000, delivered=0, taken=1_000)
    trade_and_read(zone, K0 + 8, sold=4_000, delivered=4_000, taken=4_000)

    events = zone.events_of(SurchargeChanged, zone.assembly.state.events)

    assert [(e.connection, e.surcharge.factor_ppm) for e in events] == [(1, 2 * MILLION),
                                                                        (1, MILLION)]  # fmt: skip
    known = zone.trading.reputations[1]
    assert known is not None and known.surcharges == (Surcharge(0, MILLION),)


def test_a_correction_gives_back_what_a_silent_meter_cost() -> None:
    zone = Zone(buses=(2, 3))
    zone.block(K0 + 1, SLOT_MS, partial(zone.read, 1, K0, 0, 0), partial(zone.read, 2, K0, 0, 0))
    interval = K0 + 5
    zone.block(K0 + 2, 0, lambda: zone.order(1, interval, OFFER, 100_000, 2_000))
    zone.block(K0 + 2, SLOT_MS, lambda: zone.order(2, interval, BID, 100_000, 2_000))
    zone.run(K0 + 3, interval)
    zone.block(interval + 1, SLOT_MS, partial(zone.read, 2, interval, 2_000, 0))
    zone.run(interval + 2, interval + 3)
    silent = zone.trading.read_reputation(1)
    assert silent is not None and silent.kept_ppm == 0 and silent.read_ppm < MILLION

    correct = partial(zone.metering.correct_reading, OPERATOR, 1, interval, 0, 2_000, "read")
    zone.block(interval + 3, SLOT_MS, correct)
    zone.block(interval + 4)

    found = zone.trading.read_reputation(1)
    assert found is not None and (found.kept_ppm, found.factor_ppm) == (MILLION, MILLION)
    assert found.read_ppm > silent.read_ppm


def test_who_does_not_pay_keeps_more_aside() -> None:
    zone = Zone(buses=(2, 3), wealth=EXISTENTIAL_DEPOSIT + 10, has_pool=False)
    zone.block(K0 + 1, SLOT_MS, partial(zone.read, 1, K0, 500, 0), partial(zone.read, 2, K0, 0, 9))
    zone.run(K0 + 2, K0 + 3)

    found = zone.trading.read_reputation(1)
    assert found is not None
    assert (found.paid_ppm, found.factor_ppm) == (0, 2 * MILLION)
    assert found.settled_nano > 0
    assert scores(zone, 2) == (NEWCOMER_PPM, MILLION, MILLION)


def test_a_surcharge_never_lowers_a_hold_and_at_most_doubles_the_dearest_price() -> None:
    zone = Zone(imbalance_price_min=-5_000)
    plain = zone.trading.hold_prices(K0 + 500, 1)
    for factor in (MILLION, 1_000_001, 1_500_000, 2 * MILLION):
        known = replace(NOTHING_KNOWN, surcharges=(Surcharge(0, factor),))
        zone.trading.reputations[1] = known
        prices = zone.trading.hold_prices(K0 + 500, 1)
        assert prices.imbalance_price_max == R_Z * factor // MILLION
        for position in (Position(-500, 0, 40), Position(900, 40, 0), Position(-90_000, 3, 2)):
            assert hold_of(position, (), prices) >= hold_of(position, (), plain)


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 10**6), st.integers(0, 100)), min_size=1)
)
def test_sums_fade_as_exact_ones_do(events: Sequence[tuple[int, int, int]]) -> None:
    known, exact_sold, exact_kept, day = NOTHING_KNOWN, Fraction(0), Fraction(0), 0
    for days, sold, percent in events:
        day += days
        kept = sold * percent // 100
        known = aged(known, day)
        known = replace(known, sold_wh=known.sold_wh + sold, delivered_wh=known.delivered_wh + kept)
        fade = Fraction(98, 100) ** days
        exact_sold, exact_kept = exact_sold * fade + sold, exact_kept * fade + kept

    # Each day rounds down once, and the fading keeps the sum of what is lost below 50.
    assert 0 <= exact_sold - known.sold_wh <= 50
    assert 0 <= exact_kept - known.delivered_wh <= 50
    assert 0 <= kept_ppm(known) <= MILLION
    assert MILLION <= factor_ppm(known) <= 2 * MILLION


@pytest.mark.parametrize(
    ("reputation", "kept", "paid", "factor"),
    [
        (NOTHING_KNOWN, 500_000, MILLION, MILLION),
        (Reputation(0, 800, 800, 200, 100, 10, 10, 0, ()), 900_000, MILLION, MILLION),
        (Reputation(0, 1_000, 250, 0, 0, 10, 10, 0, ()), 250_000, MILLION, 1_500_000),
        (Reputation(0, 0, 0, 4_000, 4_000, 4, 1, 0, ()), MILLION, 250_000, 1_500_000),
        (Reputation(0, 999, 0, 0, 0, 0, 0, 0, ()), 500_000, MILLION, MILLION),
    ],
)
def test_scores_by_hand(reputation: Reputation, kept: int, paid: int, factor: int) -> None:
    assert (kept_ppm(reputation), paid_ppm(reputation)) == (kept, paid)
    assert factor_ppm(reputation) == factor


def test_everything_is_forgotten_in_the_end() -> None:
    assert decayed(MILLION, 1) == 980_000
    assert decayed(2**63, 10**9) == decayed(2**63, 2_200) == 0
