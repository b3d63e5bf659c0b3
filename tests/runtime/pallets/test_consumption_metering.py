"""Readings: which are accepted, and what stands in for those that do not come."""

from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.frame import Pays
from runtime.pallets import producer_registration as registration
from runtime.pallets.consumption_metering import errors, events
from runtime.pallets.consumption_metering.estimation import Sample, interpolate
from runtime.pallets.consumption_metering.records import Metered, Method
from tests.runtime.pallets.zone import (
    K0,
    OPERATOR,
    STRANGER,
    A,
    B,
    Zone,
    meter_of,
)

K = K0 + 10
WEEK = 7 * 96


@pytest.fixture
def zone() -> Zone:
    zone = Zone()
    zone.at(K + 1)
    return zone


def submit(zone: Zone, interval: int, *values: int) -> Pays:
    """A reading of connection 1: registers, then energies."""
    return zone.metering.submit_reading(meter_of(1), interval, *values)


def test_an_accepted_reading_is_kept_announced_and_free(zone: Zone) -> None:
    assert submit(zone, K, 100, 30, 100, 30) is Pays.NO

    meter = zone.metering.meters[1]
    assert meter is not None
    assert (meter.import_register_wh, meter.export_register_wh) == (100, 30)
    assert meter.last_interval == K
    assert zone.assembly.state.events[-1] == events.ReadingAccepted(1, K, 100, 30)


def test_only_a_bound_meter_reports(zone: Zone) -> None:
    zone.refuses(errors.UnknownMeter, lambda: zone.metering.submit_reading(STRANGER, K, 0, 0, 0, 0))
    zone.refuses(errors.UnknownMeter, lambda: zone.metering.submit_reading(A, K, 0, 0, 0, 0))


def test_an_interval_is_reported_once_and_in_sequence(zone: Zone) -> None:
    submit(zone, K, 100, 0, 100, 0)

    zone.refuses(errors.ReadingExists, lambda: submit(zone, K, 100, 0, 0, 0))
    zone.refuses(errors.ReadingOutOfSequence, lambda: submit(zone, K - 1, 100, 0, 0, 0))


def test_the_window_opens_with_the_end_and_closes_with_the_settlement(zone: Zone) -> None:
    zone.at(K + 1, -1)
    zone.refuses(errors.ReadingTooEarly, lambda: submit(zone, K, 0, 0, 0, 0))
    zone.at(K + 3)
    zone.refuses(errors.ReadingTooLate, lambda: submit(zone, K, 0, 0, 0, 0))
    zone.at(K + 3, -1)
    submit(zone, K, 0, 0, 0, 0)


def test_nothing_before_the_chain_began_is_taken(zone: Zone) -> None:
    zone.at(K0 + 1)

    zone.refuses(errors.ReadingTooLate, lambda: submit(zone, K0 - 1, 0, 0, 0, 0))


def test_a_register_that_runs_backwards_is_refused(zone: Zone) -> None:
    submit(zone, K, 100, 50, 100, 50)
    zone.at(K + 2)

    zone.refuses(errors.RegisterBackwards, lambda: submit(zone, K + 1, 99, 50, 0, 0))
    zone.refuses(errors.RegisterBackwards, lambda: submit(zone, K + 1, 100, 49, 0, 0))


@pytest.mark.parametrize(
    ("registers", "energies", "accepted"),
    [
        ((110, 50), (10, 0), True),
        ((111, 50), (10, 0), True),
        ((109, 50), (10, 0), True),
        ((112, 50), (10, 0), False),
        ((108, 50), (10, 0), False),
        ((110, 52), (10, 0), False),
        ((110, 55), (10, 7), False),
    ],
)
def test_registers_move_by_the_interval_s_energy_within_one_wh(
    zone: Zone, registers: tuple[int, int], energies: tuple[int, int], accepted: bool
) -> None:
    submit(zone, K, 100, 50, 100, 50)
    zone.at(K + 2)

    def call() -> Pays:
        return submit(zone, K + 1, *registers, *energies)

    if accepted:
        call()
    else:
        zone.refuses(errors.RegisterMismatch, call)


def test_across_missing_readings_a_register_may_gain_but_not_lose(zone: Zone) -> None:
    submit(zone, K, 100, 0, 100, 0)
    zone.at(K + 4)

    zone.refuses(errors.RegisterMismatch, lambda: submit(zone, K + 3, 105, 0, 10, 0))
    zone.refuses(errors.RegisterMismatch, lambda: submit(zone, K + 3, 10_112, 0, 10, 0))
    submit(zone, K + 3, 10_111, 0, 10, 0)


def test_a_first_reading_counts_at_most_from_the_beginning_of_the_chain(zone: Zone) -> None:
    zone.refuses(errors.RegisterMismatch, lambda: submit(zone, K, 50_002, 0, 0, 0))
    submit(zone, K, 50_001, 0, 0, 0)


def test_more_than_the_connection_carries_is_refused(zone: Zone) -> None:
    zone.refuses(errors.ReadingAboveCapacity, lambda: submit(zone, K, 5_001, 0, 5_001, 0))
    zone.refuses(errors.ReadingAboveCapacity, lambda: submit(zone, K, 0, 5_001, 0, 5_001))
    submit(zone, K, 5_000, 5_000, 5_000, 5_000)


def test_readings_that_wait_for_settlement_are_bounded(zone: Zone) -> None:
    for interval in range(K, K + 64):
        zone.at(interval + 1)
        submit(zone, interval, 0, 0, 0, 0)
    zone.at(K + 65)

    zone.refuses(errors.TooManyReadings, lambda: submit(zone, K + 64, 0, 0, 0, 0))


# Binding.


def test_a_meter_reports_once_the_operator_confirmed_it(zone: Zone) -> None:
    zone.metering.propose_meter(A, 1, STRANGER, 7_000, 200)
    zone.refuses(errors.UnknownMeter, lambda: zone.metering.submit_reading(STRANGER, K, 0, 0, 0, 0))
    zone.metering.confirm_meter(OPERATOR, 1)

    assert zone.assembly.state.events[-1] == events.MeterBound(1, STRANGER)
    zone.metering.submit_reading(STRANGER, K, 7_010, 200, 10, 0)
    zone.refuses(errors.UnknownMeter, lambda: submit(zone, K, 0, 0, 0, 0))


def test_binding_is_checked(zone: Zone) -> None:
    propose = zone.metering.propose_meter

    zone.refuses(errors.NotConnectionOwner, lambda: propose(B, 1, STRANGER, 0, 0))
    zone.refuses(errors.NotConnectionOwner, lambda: propose(A, 9, STRANGER, 0, 0))
    zone.refuses(errors.NotConnectionOwner, lambda: propose(A, 0, STRANGER, 0, 0))
    zone.refuses(errors.MeterInUse, lambda: propose(A, 1, meter_of(2), 0, 0))
    zone.refuses(errors.MeterProposalNotFound, lambda: zone.metering.confirm_meter(OPERATOR, 1))
    propose(A, 1, STRANGER, 0, 0)
    propose(B, 2, STRANGER, 0, 0)
    zone.refuses(registration.NotOperator, lambda: zone.metering.confirm_meter(A, 1))
    zone.metering.confirm_meter(OPERATOR, 1)
    zone.refuses(errors.MeterInUse, lambda: zone.metering.confirm_meter(OPERATOR, 2))
    propose(OPERATOR, 0, bytes([77] * 32), 0, 0)
    zone.metering.confirm_meter(OPERATOR, 0)


def test_a_genesis_binds_meters_of_existing_connections_only() -> None:
    zone = Zone()

    with pytest.raises(ValueError, match="connection 9"):
        zone.metering.genesis({"meters": [{"connection": 9, "account": "0x" + "77" * 32}]})
    with pytest.raises(ValueError, match="bound twice"):
        zone.metering.genesis({"operator_meter": "0x" + meter_of(1).hex()})


# Estimates.


def closed(zone: Zone, interval: int) -> list[Metered]:
    """What an interval is settled with, booked loss 4."""
    return zone.metering.close_interval(interval, 4)


def test_a_short_gap_is_filled_by_what_the_register_counted(zone: Zone) -> None:
    zone.read(1, K, 100, 0)
    closed(zone, K)
    zone.at(K + 4)
    zone.registers[1] = (100 + 160 + 240, 0)  # counted in K + 1 and K + 2
    zone.read(1, K + 3, 300, 0)
    estimates = [closed(zone, interval)[1] for interval in (K + 1, K + 2, K + 3)]

    assert [energy.method for energy in estimates] == [
        Method.INTERPOLATED,
        Method.INTERPOLATED,
        Method.METERED,
    ]
    assert [energy.import_wh for energy in estimates] == [400 * 166 // 399, 234, 300]
    meter = zone.metering.meters[1]
    assert meter is not None
    assert meter.difference_import_wh == 0


def test_days_of_the_same_type_stand_in_for_a_missing_reading() -> None:
    zone = Zone()
    for day, energy in ((0, 100), (1, 200), (2, 330), (5, 9_999)):  # day 5 is a Saturday
        interval = K0 + 96 * day + 40
        zone.at(interval + 1)
        zone.read(1, interval, energy % 5_000, 7)
        closed(zone, interval)

    monday = closed(zone, K0 + 96 * 7 + 40)[1]

    assert monday == Metered((100 + 200 + 330) // 3, 7, Method.SAME_SLOT)
    assert closed(zone, K0 + 96 * 7 + 41)[1].method == Method.LAST_VALID


def test_estimates_do_not_become_history() -> None:
    zone = Zone()
    zone.at(K0 + 1)
    zone.read(1, K0, 100, 0)
    closed(zone, K0)
    assert closed(zone, K0 + 96)[1] == Metered(100, 0, Method.SAME_SLOT)
    zone.at(K0 + 96 + 97)
    zone.registers[1] = (100 + 10**4, 0)
    zone.read(1, K0 + 192, 400, 0)
    closed(zone, K0 + 192)

    assert closed(zone, K0 + 288)[1] == Metered(250, 0, Method.SAME_SLOT)


def test_the_last_reading_stands_in_when_there_is_no_day(zone: Zone) -> None:
    zone.read(1, K, 100, 20)
    closed(zone, K)

    assert closed(zone, K + 1)[1] == Metered(100, 20, Method.LAST_VALID)


def test_a_meter_that_never_reported_gets_its_share_of_the_profile() -> None:
    zone = Zone()
    solar = registration.Technology.SOLAR
    for owner, number, rated in ((A, 1, 8_000), (B, 2, 4_000)):
        zone.registry.propose_source(owner, number, solar, rated, bytes([number] * 32))
        zone.registry.confirm_source(OPERATOR, number - 1)
    zone.at(K + 1)
    zone.read(1, K, 300, 600)
    energies = closed(zone, K)

    assert energies[2] == Metered(300, 300, Method.PROFILE)
    assert energies[3] == Metered(300, 0, Method.PROFILE)


def test_zero_is_taken_only_when_nothing_is_known_and_flagged() -> None:
    zone = Zone(without_meter=(3,))
    energies = closed(zone, K0)

    assert energies[1] == energies[3] == Metered(0, 0, Method.NO_HISTORY)


def test_a_missing_transformer_reading_is_what_balances_the_zone(zone: Zone) -> None:
    zone.read(1, K, 300, 0)
    zone.read(2, K, 0, 100)
    zone.read(3, K, 0, 50)

    assert closed(zone, K)[0] == Metered(300 - 150 + 4, 0, Method.BALANCE)
    zone.at(K + 2)
    zone.read(0, K + 1, 0, 70)
    assert closed(zone, K + 1)[0] == Metered(0, 70, Method.METERED)


def test_what_a_register_says_beyond_the_estimates_is_recorded(zone: Zone) -> None:
    zone.read(1, K, 100, 0)
    closed(zone, K)
    estimated = closed(zone, K + 1)[1].import_wh
    zone.at(K + 3)
    zone.registers[1] = (100 + 250, 0)
    zone.read(1, K + 2, 120, 0)
    closed(zone, K + 2)

    meter = zone.metering.meters[1]
    assert meter is not None
    assert (estimated, meter.difference_import_wh, meter.estimated_import_wh) == (100, 150, 0)
    assert zone.assembly.state.events[-1] == events.GapClosed(1, K + 2, 150, 0)


def test_an_exchanged_meter_says_nothing_about_the_time_before(zone: Zone) -> None:
    zone.read(1, K, 100, 0)
    closed(zone, K)
    closed(zone, K + 1)
    zone.metering.propose_meter(A, 1, STRANGER, 5, 5)
    zone.metering.confirm_meter(OPERATOR, 1)
    zone.at(K + 3)
    zone.metering.submit_reading(STRANGER, K + 2, 1_005, 5, 40, 0)
    closed(zone, K + 2)

    meter = zone.metering.meters[1]
    assert meter is not None
    assert (meter.difference_import_wh, meter.estimated_import_wh) == (0, 0)


def test_slots_know_working_days_from_weekends() -> None:
    slot_of = Zone().metering.slot_of

    assert [slot_of(K0 + 96 * day + 5) for day in range(8)] == [5] * 5 + [101] * 2 + [5]
    assert slot_of(K0 + WEEK + 95) == 95


@given(
    st.lists(st.integers(0, 5_000), min_size=2, max_size=2),
    st.integers(1, 8),
    st.integers(0, 40_000),
)
@settings(max_examples=200, deadline=None)
def test_interpolated_shares_add_up_to_what_the_register_counted(
    ends: list[int], missing: int, gap_wh: int
) -> None:
    before, after = Sample(10, ends[0]), Sample(11 + missing, ends[1])
    taken = 0
    for interval in range(11, 11 + missing):
        taken += interpolate(interval, before, after, gap_wh, taken)

    assert taken == gap_wh


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_registers_are_accounted_for_over_any_stretch_of_time(data: st.DataObject) -> None:
    zone = Zone(buses=(2,))
    true_wh = settled_wh = 0
    readings = data.draw(
        st.lists(st.tuples(st.booleans(), st.integers(0, 900)), min_size=3, max_size=30)
    )
    readings = [(True, 10), *readings, (True, 10)]
    submitters: dict[int, Callable[[], object]] = {}
    for offset, (is_reported, energy_wh) in enumerate(readings):
        true_wh += energy_wh
        if is_reported:
            interval, register = K0 + offset, true_wh
            submitters[interval] = partial(submit, zone, interval, register, 0, energy_wh, 0)
    for interval in range(K0, K0 + len(readings) + 2):
        zone.at(interval + 1)
        if interval in submitters:
            submitters[interval]()
        if K0 <= interval - 1 < K0 + len(readings):
            settled_wh += closed(zone, interval - 1)[1].import_wh

    meter = zone.metering.meters[1]
    assert meter is not None
    assert settled_wh + meter.difference_import_wh == true_wh
