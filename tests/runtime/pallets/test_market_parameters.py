"""Parameters that the members change: for what is not open yet, and never backwards."""

from functools import partial

import pytest

from runtime.frame.dispatch import DispatchError
from runtime.pallets.authorities.events import ProposalFailed
from runtime.pallets.authorities.proposals import DecideOnMarket
from runtime.pallets.trading.decisions import MarketDecision, SetParameters
from runtime.pallets.trading.parameters import (
    CHANGES_MAX,
    MarketParameters,
    ParametersChanged,
    ParametersOutOfBounds,
    TooManyChanges,
)
from tests.runtime.pallets.test_authorities import (
    UNANIMOUS,
    advance,
    events_of,
    open_proposal,
)
from tests.runtime.pallets.zone import K0, SLOT_MS, Zone
from tests.support import ALICE, BOB, CHARLIE, DAVE, build_runtime

CONSTANT = MarketParameters(False, 50_000, 672)
OTHER = MarketParameters(True, 10_000, 5)


def test_before_any_change_the_constants_hold() -> None:
    assert Zone().trading.read_parameters(K0 + 7) == CONSTANT


def test_a_change_holds_from_the_first_interval_on_that_is_not_open() -> None:
    zone = Zone()
    zone.run(K0, K0 + 1)
    opened = zone.trading.schedule.get().opened

    zone.trading.carry_out(SetParameters(OTHER))

    assert zone.trading.read_parameters(opened) == CONSTANT
    assert zone.trading.read_parameters(opened + 1) == OTHER
    assert [change.first for change in zone.trading.list_parameter_changes()] == [opened + 1]
    assert zone.events_of(ParametersChanged, zone.assembly.state.events)


def settled_price(zone: Zone, interval: int) -> int:
    """The pool's fee that a member paid for 100 Wh of an interval, per kWh."""
    line = zone.trading.read_lines(interval)[1]
    record = zone.trading.read_settlement(interval)
    assert record is not None and line.pool_import_wh == 100
    return -line.amount_nano // 100 - record.pool_price_micro


@pytest.mark.slow
def test_intervals_are_settled_by_the_parameters_they_were_opened_with() -> None:
    zone = Zone(buses=(2, 3), dispute_intervals=2)
    zone.run(K0, K0)
    zone.trading.carry_out(SetParameters(OTHER))
    change = zone.trading.list_parameter_changes()[0].first
    for interval in range(K0 + 1, change + 5):
        zone.block(interval)
        reads = [partial(zone.read, 1, interval - 1, 0, 100)]
        reads += [partial(zone.read, 2, interval - 1, 100, 0)]
        zone.block(interval, SLOT_MS, *(reads if interval >= change - 1 else ()))

    assert settled_price(zone, change - 1) == CONSTANT.pool_fee
    assert settled_price(zone, change) == OTHER.pool_fee
    # And they become final by the window they were opened with.
    assert zone.trading.is_final(change - 1)
    zone.run(change + 5, change + 7)
    assert not zone.trading.is_final(change)
    zone.run(change + 8, change + 8)
    assert zone.trading.is_final(change)


@pytest.mark.parametrize(
    "parameters",
    [
        MarketParameters(False, -1, 672),
        MarketParameters(False, 280_001, 672),
        MarketParameters(False, 0, 673),
    ],
)
def test_parameters_out_of_bounds_are_refused(parameters: MarketParameters) -> None:
    zone = Zone()
    zone.run(K0, K0)

    decision = SetParameters(parameters)
    zone.refuses(ParametersOutOfBounds, lambda: zone.trading.check_decision(decision))
    zone.refuses(ParametersOutOfBounds, lambda: zone.trading.carry_out(decision))


def test_two_changes_for_one_interval_are_one_and_only_so_many_are_kept() -> None:
    zone = Zone()
    zone.run(K0, K0)
    zone.trading.carry_out(SetParameters(OTHER))
    zone.trading.carry_out(SetParameters(CONSTANT))
    assert [each.parameters for each in zone.trading.list_parameter_changes()] == [CONSTANT]

    for interval in range(K0 + 1, K0 + CHANGES_MAX):
        zone.block(interval)
        zone.trading.carry_out(SetParameters(OTHER))

    zone.block(K0 + CHANGES_MAX)
    zone.refuses(TooManyChanges, lambda: zone.trading.carry_out(SetParameters(CONSTANT)))


def refusal(decision: MarketDecision) -> type[DispatchError] | None:
    try:
        build_runtime().authorities.propose(ALICE, DecideOnMarket(decision))
    except DispatchError as error:
        return type(error)
    return None


def test_members_decide_by_a_proposal_and_see_at_once_what_cannot_be() -> None:
    runtime = build_runtime()

    open_proposal(runtime, DecideOnMarket(SetParameters(OTHER)), ALICE, BOB, CHARLIE, DAVE)
    advance(runtime, UNANIMOUS)

    (change,) = runtime.trading.list_parameter_changes()
    assert change.parameters == OTHER
    assert events_of(runtime, ProposalFailed) == []
    too_long = MarketParameters(False, 0, 999)
    assert refusal(SetParameters(too_long)) is ParametersOutOfBounds
    assert refusal(SetParameters(OTHER)) is None
