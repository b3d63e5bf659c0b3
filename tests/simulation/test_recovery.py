"""S6: more validators are lost for ever than are tolerated, and the members override them (3.6).

Seven validators, three lost; four of four go on with a new one. What the operators would do with
files is done here with values; `tests/live/recovery_drill.py` does it with the commands.
"""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from consensus import events
from node.override_file import sign_override
from runtime.primitives.grandpa import CommitMessage, NeighbourV2, Precommit, Vote
from runtime.primitives.recovery import Block, Override, RecoveryProof
from runtime.primitives.session import SessionKeys
from tests.simulation.ledger import account_of
from tests.simulation.node import EPOCH_MS
from tests.simulation.plan import Plan
from tests.simulation.sim_node import SimNode
from tests.simulation.world import SimWorld
from tests.support.accounts import pair_named

pytestmark = pytest.mark.slow

LEFT = ("v0", "v1", "v2", "v3")
LOST = ("v4", "v5", "v6")
NEW = "n0"
SIGNERS = (*LEFT, "v4")
"""Members, not machines: the key of a member whose validator is lost lies in a safe."""

WEEK_MS = 7 * 86_400_000


def world_with_newcomer() -> SimWorld:
    """Seven validators, a full node, and a node that is no validator yet."""
    world = SimWorld(Plan(6, 7, 10_000, (), ()))
    node = world.make_node(NEW, True)
    assert isinstance(node, SimNode)
    world.nodes[NEW] = world.sims[NEW] = node
    world.start()
    return world


def keys_of(world: SimWorld, name: str) -> SessionKeys:
    return SessionKeys(world.ring.seal_key(name), world.ring.vote_key(name))


def override_of(
    world: SimWorld, start: int | None = None, names: Sequence[str] = (*LEFT, NEW)
) -> Override:
    """What the operators of those that are left agree on."""
    nodes = [world[name] for name in LEFT]
    best = max(nodes, key=lambda node: node.finalized).disk.now
    final = best.headers[best.finalized]
    number = min(node.best for node in nodes) if start is None else start
    while len({node.disk.now.canonical.get(number) for node in nodes}) > 1:
        number -= 1
    now_ms = EPOCH_MS + world.now_ms
    return Override(
        world.genesis.hash(),
        Block(best.finalized, final.number),
        Block(best.canonical[number], number),
        0,
        1,
        [(account_of(name), keys_of(world, name)) for name in names],
        now_ms,
        now_ms + WEEK_MS,
        "three machines burnt",
    )


def signed(world: SimWorld, override: Override, names: Sequence[str] = SIGNERS) -> RecoveryProof:
    store = max(
        (world[name].disk.now for name in LEFT), key=lambda s: s.headers[s.finalized].number
    )
    proof = RecoveryProof(override, store.headers[override.finalized.hash], store.justification, [])
    for name in names:
        proof = sign_override(proof, account_of(name), pair_named(f"account of {name}"))
    return proof


def give(world: SimWorld, proof: RecoveryProof, *names: str) -> None:
    for name in names:
        world[name].handle(events.RecoveryGiven(proof.encode()))


def stall(world: SimWorld) -> int:
    """Lose the three for ever; the height that the others have."""
    world.run_until(40_000)
    world.kill(*LOST)
    before = world["v0"].finalized
    world.run(60)
    assert max(world[name].finalized for name in LEFT) <= before + 2
    return world["v0"].best


def rounds_of(world: SimWorld, name: str, set_id: int) -> set[int]:
    """The rounds of a set in which a node has sent votes."""
    key = world.ring.vote_key(name)
    return {round_ for public, set_, round_, _ in world.votes if (public, set_) == (key, set_id)}


def test_s6_four_of_four_and_a_new_one_go_on_where_three_of_seven_were_lost() -> None:
    world = world_with_newcomer()
    height = stall(world)
    proof = signed(world, override_of(world))
    start = proof.override.start.number
    assert start >= height - 2, "what was traded while it stood still is kept"

    give(world, proof, *LEFT)
    alive = (*LEFT, NEW, "f0")
    assert world.run(60, until=lambda: min(world[name].finalized for name in alive) > start + 5)

    states = {world[name].live.status.set_id for name in alive}
    assert states == {1}
    ledger = world.sims["v0"].ledger
    after = ledger.authorities_after(world["v0"].disk.now.finalized)
    assert after.voters == tuple(keys_of(world, name).grandpa for name in (*LEFT, NEW))
    assert len(rounds_of(world, NEW, 1)) > 3, "the new one takes part"

    # One more is lost: five tolerate one.
    world.kill("v3")
    best = world["v0"].best
    assert world.run(60, until=lambda: world["v0"].finalized > best)

    # Those who come back follow, and have no vote any more.
    world.start(*LOST, "v3")
    best = world["v0"].best
    everybody = (*alive, *LOST)
    assert world.run(90, until=lambda: min(world[name].finalized for name in everybody) > best)
    assert not any(world[name].live.status.is_voting for name in LOST)
    assert all(world[name].live.status.set_id == 1 for name in LOST)
    assert not any(rounds_of(world, name, 1) for name in LOST)


def test_s6_an_override_that_only_one_node_was_given_reaches_all() -> None:
    world = world_with_newcomer()
    stall(world)
    proof = signed(world, override_of(world))

    give(world, proof, "v2")

    start, alive = proof.override.start.number, (*LEFT, NEW, "f0")
    assert world.run(90, until=lambda: min(world[name].finalized for name in alive) > start + 3)


def test_s6_a_crash_between_the_override_and_its_block_loses_neither() -> None:
    world = world_with_newcomer()
    stall(world)
    proof = signed(world, override_of(world))
    give(world, proof, *LEFT)

    taken = world.run(30, until=lambda: world["v0"].disk.durable.recovery is not None)
    world.kill(*LEFT, NEW, "f0", kept=0)
    world.start(*LEFT, NEW, "f0")
    give(world, proof, *LEFT)

    assert taken
    start = proof.override.start.number
    assert world.run(90, until=lambda: min(world[n].finalized for n in LEFT) > start + 3)


def test_s6_what_only_the_lost_had_seen_final_stays_final() -> None:
    world = world_with_newcomer()
    world.run_until(40_000)

    def hides_finality(sender: str, to: str, message: object) -> bool:
        is_precommit = isinstance(message, Vote) and isinstance(message.message.message, Precommit)
        tells = is_precommit or isinstance(message, CommitMessage | NeighbourV2)
        return tells and to not in LOST

    world.filters.append(hides_finality)
    world.run(12)
    seen = max(world[name].finalized for name in (*LEFT, NEW, "f0"))
    unseen = max(world[name].finalized for name in LOST)
    assert unseen > seen, "the lost ones know more"
    final = world[LOST[0]].disk.now.finals[unseen]
    world.kill(*LOST)
    world.filters.clear()
    world.run(60)

    proof = signed(world, override_of(world))
    give(world, proof, *LEFT)
    start = proof.override.start.number
    assert world.run(60, until=lambda: min(world[name].finalized for name in LEFT) > start + 3)
    assert world["v0"].disk.now.finals[unseen] == final

    world.start(*LOST)
    best = world["v0"].best
    assert world.run(90, until=lambda: min(world[name].finalized for name in LOST) > best)
    assert world["v4"].disk.now.finals[unseen] == final


def test_s6_a_node_whose_finality_the_override_contradicts_refuses_it() -> None:
    world = world_with_newcomer()
    height = stall(world)
    below = signed(world, override_of(world, start=world["v0"].finalized))
    lower = world["v0"].finalized - 3
    store = world["v0"].disk.now
    final = store.headers[store.finals[lower]]
    forged = replace(
        below.override,
        finalized=Block(final.hash(), lower),
        start=Block(final.hash(), lower),
    )
    proof = RecoveryProof(forged, final, None, [])
    for name in SIGNERS:
        proof = sign_override(proof, account_of(name), pair_named(f"account of {name}"))

    give(world, proof, *LEFT)
    world.run(30)

    for name in LEFT:
        # Their alarms are read after each event; the node tells of them once.
        assert world[name].live.status.set_id == 0
        assert world[name].disk.now.recovery is None
    assert world["v0"].best >= height


@pytest.mark.parametrize("names", [LEFT, (), ("v0", "v0", "v1", "v2", "v3")])
def test_s6_two_thirds_of_the_members_have_to_sign(names: Sequence[str]) -> None:
    world = world_with_newcomer()
    stall(world)
    proof = signed(world, override_of(world), names)

    give(world, proof, *LEFT)
    world.run(30)

    assert all(world[name].live.status.set_id == 0 for name in LEFT)


def test_s6_the_chain_has_to_stand_still() -> None:
    world = world_with_newcomer()
    world.run_until(40_000)
    proof = signed(world, override_of(world))
    before = world["v0"].finalized

    give(world, proof, *LEFT)
    world.run(40)

    assert world["v0"].live.status.set_id == 0
    assert world["v0"].finalized > before + 10


def test_s6_who_has_reported_votes_no_more_in_that_set() -> None:
    world = SimWorld(Plan(6, 4, 10_000, (), ()))
    world.start()
    world.run_until(30_000)
    world.kill("v0", "v1")
    for name in ("v0", "v1"):
        world[name].frozen_set = 0
    world.start("v0", "v1")
    rounds = [max(rounds_of(world, name, 0)) for name in ("v0", "v1")]
    final = world["v2"].finalized

    world.run(30)

    assert [max(rounds_of(world, name, 0)) for name in ("v0", "v1")] == rounds
    assert world["v2"].finalized <= final + 2
