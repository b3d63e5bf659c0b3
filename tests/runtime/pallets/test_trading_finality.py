"""After settlement: corrected readings, settling again, and when nothing changes any more."""

from functools import partial
from typing import Any, cast

import pytest

from runtime.pallets import consumption_metering, producer_registration
from runtime.pallets.consumption_metering import errors
from runtime.pallets.consumption_metering.records import Correction, Metered, Method, Status
from runtime.pallets.trading import events, finality
from tests.runtime.pallets.zone import (
    BID,
    EXISTENTIAL_DEPOSIT,
    INTERVAL_MS,
    K0,
    OFFER,
    OPERATOR,
    SLOT_MS,
    SUPPLIER,
    WEALTH,
    A,
    B,
    Zone,
    meter_of,
)

K = K0 + 3
RETAIL, FEED_IN = 300_000, 20_000


def settled_zone(**constants: Any) -> Zone:
    """A zone without pool in which A used 700 in K and B nothing."""
    zone = Zone(has_pool=False, **constants)
    zone.run(K0, K)
    report(zone, (1, 700, 0), (2, 0, 0), (3, 0, 0), (0, 700, 0))
    zone.block(K + 3)
    return zone


def report(zone: Zone, *readings: tuple[int, int, int]) -> None:
    """Report readings (connection, import, export) of K in K + 1."""
    zone.block(K + 1, SLOT_MS, *(partial(zone.read, n, K, i, e) for n, i, e in readings))


def correct(zone: Zone, number: int, imported: int, exported: int, reason: str = "wrong") -> None:
    zone.metering.correct_reading(OPERATOR, number, K, imported, exported, reason)


def test_a_corrected_reading_moves_the_difference_and_nothing_else() -> None:
    zone = settled_zone()
    before = {who: zone.free(who) for who in (A, B, SUPPLIER, OPERATOR)}
    announced = zone.block(K + 3, SLOT_MS, lambda: correct(zone, 1, 500, 40))

    assert zone.free(A) == before[A] + 200 * RETAIL + 40 * FEED_IN
    assert zone.free(B) == before[B]
    gain_of_losses = 40_000 * 240  # what the meters now say was lost, the operator pays
    assert zone.free(OPERATOR) == before[OPERATOR] - 200 * 100_000 - gain_of_losses
    assert zone.free(SUPPLIER) == before[SUPPLIER] - 200 * 200_000 - 40 * FEED_IN + gain_of_losses
    record, lines = zone.trading.read_settlement(K), zone.trading.read_lines(K)
    assert record is not None
    assert (record.times_corrected, record.import_wh, record.measured_loss_wh) == (1, 500, 240)
    assert (lines[0].import_wh, lines[0].method) == (500, Method.EDITED)
    assert lines[0].amount_nano == -500 * RETAIL + 40 * FEED_IN
    assert events.IntervalSettledAgain(K, record) in announced
    assert zone.trading.read_status(1, K) == Status.EDITED
    totals = zone.trading.totals.get()
    assert (totals.intervals_settled, totals.times_corrected) == (4, 1)
    assert totals.connections_nano == -500 * RETAIL + 40 * FEED_IN


def test_the_value_before_a_correction_is_kept_with_reason_and_time() -> None:
    zone = settled_zone()
    zone.block(K + 3, SLOT_MS, lambda: correct(zone, 1, 500, 0, "digits were swapped"))
    zone.block(K + 4, 0, lambda: correct(zone, 1, 510, 0, "read again"))

    assert zone.metering.list_corrections(K) == [
        Correction(
            1,
            Metered(700, 0, Method.METERED),
            500,
            0,
            "digits were swapped",
            (K + 3) * INTERVAL_MS + SLOT_MS,
        ),
        Correction(1, Metered(500, 0, Method.EDITED), 510, 0, "read again", (K + 4) * INTERVAL_MS),
    ]
    meter = zone.metering.meters[1]
    assert meter is not None
    assert meter.difference_import_wh == 190  # the register counted what was not settled


def test_the_imbalance_price_stays_when_a_correction_would_turn_it() -> None:
    zone = Zone()
    zone.run(K0, K0 + 1)
    zone.order(1, K, OFFER, 100_000, 300)
    zone.order(2, K, BID, 100_000, 300)
    zone.run(K0 + 2, K)
    report(zone, (1, 0, 200), (2, 300, 0), (3, 0, 0), (0, 100, 0))
    zone.block(K + 3)
    short = zone.trading.read_settlement(K)
    zone.block(K + 3, SLOT_MS, lambda: correct(zone, 2, 100, 0))
    long = zone.trading.read_settlement(K)

    assert short is not None
    assert long is not None
    assert (short.imbalance_wh, short.imbalance_price) == (100, 300_000)
    assert (long.imbalance_wh, long.imbalance_price) == (-100, 300_000)
    assert zone.trading.read_lines(K)[1].amount_nano == -300 * 100_000 + 200 * 300_000


def test_settling_again_keeps_who_was_in_the_pool() -> None:
    zone = Zone()
    zone.run(K0, K)
    report(zone, (1, 0, 500), (2, 500, 0), (3, 0, 0), (0, 0, 0))
    zone.block(K + 3)
    zone.block(K + 3, SLOT_MS, lambda: zone.trading.choose_pool(A, 1, is_member=False))
    zone.block(K + 8, 0, lambda: correct(zone, 2, 400, 0))

    record = zone.trading.read_settlement(K)
    assert record is not None
    assert (record.pool_wh, record.pool_price_micro) == (400, FEED_IN)
    assert zone.trading.read_lines(K)[0].is_pooled


def test_an_estimate_is_confirmed_and_a_transformer_without_meter_follows() -> None:
    zone = Zone(has_pool=False)
    zone.run(K0, K)
    report(zone, (1, 700, 0), (2, 100, 0))  # connection 3 and the transformer are estimated
    zone.block(K + 3)
    estimate = zone.trading.read_lines(K)[2]
    zone.block(K + 3, SLOT_MS, lambda: correct(zone, 3, estimate.import_wh, 0, "confirmed"))
    confirmed = zone.trading.read_settlement(K)
    zone.block(K + 4, 0, lambda: correct(zone, 3, 50, 0))
    corrected = zone.trading.read_settlement(K)

    assert confirmed is not None
    assert corrected is not None
    assert estimate.method == Method.PROFILE
    assert confirmed.estimated == corrected.estimated == 0
    assert confirmed.transformer_import_wh == 800 + estimate.import_wh
    assert corrected.transformer_import_wh == 850
    assert corrected.measured_loss_wh == 0


def test_what_a_correction_costs_and_a_wallet_lacks_becomes_a_receivable() -> None:
    zone = Zone(wealth=EXISTENTIAL_DEPOSIT + 1_000, has_pool=False)
    zone.run(K0, K)
    report(zone, (1, 0, 0), (2, 0, 0), (3, 0, 0), (0, 0, 0))
    zone.block(K + 3)
    zone.block(K + 3, SLOT_MS, lambda: correct(zone, 1, 10, 0))

    assert zone.free(A) == EXISTENTIAL_DEPOSIT
    assert zone.trading.arrears[A] == 10 * RETAIL - 1_000


def test_a_settlement_is_final_after_the_window_and_then_refuses_corrections() -> None:
    zone = settled_zone(dispute_intervals=4)
    zone.run(K + 4, K + 6)
    assert not zone.trading.is_final(K)
    announced = zone.block(K + 7)

    assert events.SettlementFinal(K) in announced
    assert zone.trading.read_status(1, K) == Status.FINAL
    assert [entry.is_final for entry in zone.trading.read_bill(1, K - 1, K + 1)] == [
        True,
        True,
        False,
    ]
    assert zone.metering.provisional[K] is None
    assert zone.trading.totals.get().intervals_final == 4
    zone.refuses(errors.IntervalNotProvisional, lambda: correct(zone, 1, 1, 1))


def test_what_waits_to_be_settled_again_is_not_final_before_it() -> None:
    zone = settled_zone(dispute_intervals=1, settlement_weight=1)
    zone.block(K + 3, SLOT_MS)
    zone.block(K + 4, 0, lambda: correct(zone, 1, 500, 0))  # the block settles K + 1 and no more

    assert zone.metering.is_corrected(K)
    assert not zone.trading.is_final(K)
    zone.block(K + 4, SLOT_MS)
    assert zone.trading.read_lines(K)[0].import_wh == 500
    assert zone.trading.is_final(K)


def test_a_week_of_corrections_is_settled_eight_intervals_a_block() -> None:
    zone = settled_zone()
    zone.run(K + 4, K + 16)
    fixes = [
        partial(zone.metering.correct_reading, OPERATOR, 1, k, 5, 5, "a week")
        for k in range(K, K + 12)
    ]
    zone.block(K + 16, SLOT_MS, *fixes)
    assert zone.trading.totals.get().times_corrected == 8
    zone.block(K + 16, 2 * SLOT_MS)

    assert zone.trading.totals.get().times_corrected == 12
    assert zone.metering.corrected.get() == ()


def test_finality_catches_up_sixteen_intervals_a_block() -> None:
    zone = settled_zone(dispute_intervals=30, settlement_weight=2 * 10**11)
    zone.run(K + 4, K + 20)
    before = zone.trading.totals.get()
    zone.block(K + 400)

    assert before.intervals_final == 0
    assert zone.trading.totals.get().intervals_final == finality.FINALS_PER_BLOCK_MAX


def test_a_correction_is_refused_without_office_reason_or_object(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    zone = settled_zone()
    wrong_sign = lambda: zone.metering.correct_reading(A, 1, K, 5, 5, "mine")  # noqa: E731
    zone.refuses(producer_registration.NotOperator, wrong_sign)
    zone.refuses(errors.ReasonMissing, lambda: correct(zone, 1, 500, 0, ""))
    zone.refuses(errors.ConnectionNotSettled, lambda: correct(zone, 4, 500, 0))
    zone.refuses(errors.ReadingAboveCapacity, lambda: correct(zone, 1, 5_001, 0))
    zone.refuses(errors.NothingToCorrect, lambda: correct(zone, 1, 700, 0))
    later = partial(zone.metering.correct_reading, OPERATOR, 1, K + 1, 5, 5, "not settled")
    zone.refuses(errors.IntervalNotProvisional, later)
    monkeypatch.setattr(consumption_metering, "CORRECTIONS_PER_INTERVAL_MAX", 1)
    correct(zone, 1, 500, 0)
    zone.refuses(errors.NothingToCorrect, lambda: correct(zone, 1, 500, 0))
    zone.refuses(errors.TooManyCorrections, lambda: correct(zone, 1, 600, 0))


def test_a_meter_goes_on_after_its_interval_was_corrected() -> None:
    zone = settled_zone()
    correct(zone, 1, 500, 0)
    zone.block(K + 4)
    zone.block(K + 5, 0, lambda: zone.read(1, K + 4, 100, 0))

    meter = zone.metering.meters[1]
    assert meter is not None
    assert meter.account == meter_of(1)
    assert meter.last_interval == K + 4


def test_with_dual_prices_the_long_get_the_least_and_the_operator_the_rest() -> None:
    zone = Zone(dual_imbalance=1)
    zone.run(K0, K0 + 1)
    zone.order(1, K, OFFER, 100_000, 300)
    zone.order(2, K, BID, 100_000, 300)
    zone.run(K0 + 2, K)
    before = zone.free(OPERATOR)
    report(zone, (1, 0, 200), (2, 250, 0), (3, 0, 0), (0, 50, 0))
    zone.block(K + 3)

    assert zone.free(A) == WEALTH + 300 * 100_000 - 100 * 300_000
    assert zone.free(B) == WEALTH - 300 * 100_000 + 50 * 20_000
    assert zone.free(OPERATOR) == before + 50 * (300_000 - 20_000)


@pytest.mark.parametrize(("name", "value"), [("dispute_intervals", 673), ("dual_imbalance", 2)])
def test_constants_out_of_range_are_refused(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=name):
        Zone(**cast(Any, {name: value}))
