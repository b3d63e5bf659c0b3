"""A few seeds of the simulator in each run of the tests; `make soak-consensus` runs many."""

import pytest

from tests.simulation.plan import CLASSES, Fault, Plan, draw_plan
from tests.simulation.runs import Result, run_plan
from tests.simulation.sim_node import Violation
from tests.simulation.soak import load_regressions, shrink
from tests.simulation.world import SimWorld

pytestmark = pytest.mark.slow

SECONDS = 200


def quiet(seed: int = 1, **changes: object) -> Plan:
    """A plan in which nothing goes wrong."""
    return Plan(seed, 4, 150, (), (), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [0, 5, 7, 11, 13])
def test_four_validators_hold_all_invariants_under_the_faults_of_a_seed(seed: int) -> None:
    assert run_plan(draw_plan(seed, 4, SECONDS)).error == ""


@pytest.mark.parametrize("seed", [1, 6, 21])
def test_seven_validators_hold_all_invariants_under_the_faults_of_a_seed(seed: int) -> None:
    assert run_plan(draw_plan(seed, 7, SECONDS)).error == ""


@pytest.mark.parametrize(
    ("found", "plan"), load_regressions(), ids=lambda value: str(getattr(value, "seed", ""))
)
def test_what_once_failed_does_not_fail_again(found: str, plan: Plan) -> None:
    assert run_plan(plan).error == "", f"it was: {found}"


def test_a_seed_does_the_same_twice() -> None:
    first, second = (run_plan(draw_plan(8, 4, 150)) for _ in range(2))

    assert first == second
    assert first.events > 1_000


def test_transfers_and_keys_reach_the_finalized_state_of_all() -> None:
    world = SimWorld(quiet(rotations=((5_000, "v1"),), has_real_signatures=True))

    world.run_all()

    assert {node.live.status.set_id for node in world.honest} == {1}
    assert world["v1"].more_keys[0][1] in world.authorities_after(world["v0"].disk.now)[1]
    paid = sum(len(body) - 1 for body in world.bodies.values())
    assert paid > 30


def test_a_run_executed_by_every_node_has_one_state_root_for_each_block() -> None:
    plan = quiet(has_real_signatures=True, is_executed_by_all=True)
    world = SimWorld(plan)

    world.run_all()

    ledgers = [node.ledger for node in world.honest]
    final = [h for h in world.finals.values() if all(each.knows(h) for each in ledgers)]
    assert len(final) > 50
    assert all(len({each.root_of(block) for each in ledgers}) == 1 for block in final)
    world.close()


def test_over_some_seeds_every_class_of_faults_occurs() -> None:
    seen = {kind for seed in range(60) for kind in draw_plan(seed, 7, 900).classes}

    assert seen == set(CLASSES)


def test_more_liars_than_tolerated_are_never_drawn() -> None:
    for seed in range(100):
        plan = draw_plan(seed, 7, 900)
        lost = {n for f in plan.faults if f.kind == "wipe" for n in f.nodes if n != "f0"}

        assert len(plan.liars | lost) <= 2


def test_a_failing_plan_is_shrunk_to_what_it_needs() -> None:
    plan = draw_plan(2, 7, 900)
    culprit = next(fault for fault in plan.faults if fault.kind == "crash")

    least = shrink(plan, lambda candidate: culprit in candidate.faults)

    assert least.faults == (culprit,)
    assert least.classes == ("crash",)
    assert str(culprit) in str(least)


def test_a_network_that_cannot_heal_is_a_violation() -> None:
    world = SimWorld(quiet())
    world.filters.append(lambda sender, to, message: "v0" in (sender, to) or "v1" in (sender, to))

    with pytest.raises(Violation, match="no finality"):
        world.run_all()


def test_a_result_says_why_a_plan_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: SimWorld, fault: Fault) -> None:
        raise Violation("planted")

    monkeypatch.setattr(SimWorld, "_begin", broken)

    result = run_plan(Plan(1, 4, 150, (Fault("loss", 1_000),), ()))

    assert isinstance(result, Result)
    assert result.error == "Violation: planted"
