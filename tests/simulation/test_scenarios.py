"""Directed scenarios on whole nodes; the list of all of them is in the package's docstring."""

import pytest

from consensus import effects
from consensus.effects import AlarmKind
from tests.consensus.test_network import assert_grows
from tests.simulation.driver import Network
from tests.simulation.ledger import ACCOUNTS
from tests.simulation.plan import RECOVERY_MS, Fault, Plan
from tests.simulation.world import SimWorld

pytestmark = pytest.mark.slow

RECOVERY_S = RECOVERY_MS // 1_000


def world_of(
    validators: int,
    seconds: int,
    *faults: Fault,
    lies: tuple[tuple[str, str], ...] = (),
    rotations: tuple[tuple[int, str], ...] = (),
) -> SimWorld:
    """A world with these faults in its first `seconds`."""
    has_keys = bool(rotations)
    plan = Plan(
        7, validators, seconds + RECOVERY_S, faults, lies, rotations, has_real_signatures=has_keys
    )
    return SimWorld(plan)


def test_s3_all_tolerated_equivocators_with_two_faces_do_not_stop_finality() -> None:
    liars = [
        (name, lie) for name in ("v5", "v6") for lie in ("double voter", "equivocating author")
    ]
    world = world_of(7, 60, lies=tuple(liars))

    world.run_all()

    assert min(node.finalized for node in world.honest) >= 60
    kinds = {offence.__class__ for node in world.honest for offence in node.offences}
    assert kinds == {effects.AuthorEquivocated, effects.VoterEquivocated}


def test_s5_set_changes_that_overlap_follow_one_another() -> None:
    # Three validators change their keys in one session, one change fits into a set.
    world = world_of(
        4,
        120,
        Fault("partition", 40_000, 50_000, ("v0", "v1")),
        Fault("crash all", 95_000, 5_000, ("v0", "v1", "v2", "v3", "f0"), 1),
        rotations=((6_000, "v1"), (6_500, "v2"), (7_000, "v3")),
    )

    world.run_all()

    assert {node.live.status.set_id for node in world.honest} == {3}
    voters = world.authorities_after(world["f0"].disk.now)[1]
    assert {world[name].more_keys[0][1] for name in ("v1", "v2", "v3")} < set(voters)


@pytest.mark.parametrize("offset_ms", [5_900, 60_000, -60_000])
def test_s8_wrong_clocks_of_as_many_as_may_fail_do_not_stop_finality(offset_ms: int) -> None:
    names = ("v5", "v6")
    world = world_of(7, 90, Fault("jump", 20_000, 40_000, names, offset_ms))

    world.start()
    world.run_until(60_000)
    right = [world[f"v{i}"].finalized for i in range(5)]
    world.run_until(90_000)

    assert min(right) >= 12
    assert min(node.finalized for node in world.honest) >= 25


@pytest.mark.parametrize("first", [1, 2, 3])
def test_s14_a_sync_that_fails_costs_a_restart_and_nothing_else(first: int) -> None:
    class DiskFull(Exception):
        pass

    network = Network(first).start()
    network.run(20)
    v3 = network["v3"]
    for failing in range(first, first + 24, 3):
        write, synced = v3.disk.write, 0

        def refuse(batch: effects.Persist, at: int = failing, write=write) -> None:
            nonlocal synced
            synced += batch.is_synced
            if batch.is_synced and synced == at:
                raise DiskFull
            write(batch)

        v3.disk.write = refuse  # type: ignore[method-assign]
        with pytest.raises(DiskFull):
            network.run(120)
        v3.disk.write = write  # type: ignore[method-assign]
        network.kill("v3", kept=failing % 3)
        network.start("v3")

    assert_grows(network)
    assert v3.signer.refused == 0
    assert not [alarm for alarm in v3.alarms if alarm.kind is not AlarmKind.LIVENESS]


def test_s15_after_a_long_stall_finality_takes_up_all_blocks() -> None:
    network = Network(15).start()
    network.run(20)
    network.filters.append(lambda sender, to, message: not isinstance(message, effects.Announce))
    assert network.run(5_000, until=lambda: network["v0"].best - network["v0"].finalized >= 110)
    stalled = network["v0"].best
    network.filters.clear()

    assert network.run(60, until=lambda: min(n.finalized for n in network.running) >= stalled - 1)
    assert_grows(network, 120)


def test_s15_transfers_of_a_branch_that_loses_are_made_again() -> None:
    world = world_of(4, 60)
    world.start()
    world.run_until(20_000)
    world.part("v0", "v1 v2 v3 f0")
    v0 = world.sims["v0"]
    v0.is_forced = True
    world.kill("v0")
    world.start("v0")
    world.run_until(60_000)
    only_here = [h for h in v0.disk.now.headers if h not in world["v1"].disk.now.headers]
    lost = {xt for h in only_here for xt in v0.disk.now.bodies[h][1:]}
    assert lost, "nothing was paid on the losing branch"

    world.heal_all()
    world.run_until(120_000)

    final = world["v1"].disk.now
    paid = {xt for block_hash in final.finals.values() for xt in final.bodies[block_hash]}
    nonces = [v0.ledger.nonce(final.finalized, account) for account in ACCOUNTS]
    assert sum(nonces) == len(paid) - len(final.finals) + 1
    assert lost & paid
