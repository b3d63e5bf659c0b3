"""Sets of validators that follow one another, as the runtime hands over: under crash, partition and
loss. Author and voters change with one block, as the digest of a session's last block says."""

from collections.abc import Sequence

import pytest

from consensus import aura
from consensus.effects import AlarmKind
from runtime.primitives.aura import AuthoritiesChange
from runtime.primitives.block import Consensus, Header
from runtime.primitives.grandpa import ScheduledChange
from tests.consensus.test_network import assert_grows
from tests.simulation.disk import key_of, sign
from tests.simulation.driver import Link, Network

pytestmark = pytest.mark.slow

ALL = ("v0", "v1", "v2", "v3", "v4")
FIRST, EVERY = 8, 10
"""Heights of the handoffs."""


def hand_over(network: Network, number: int, names: Sequence[str]) -> None:
    """Let the block of a height hand over to the validators of these names."""
    keys = [key_of(name) for name in names]
    network.deposits[number] = [
        Consensus(b"aura", AuthoritiesChange(keys).encode()),
        Consensus(b"FRNK", ScheduledChange([(key, 1) for key in keys], 0).encode()),
    ]


def plan(network: Network, count: int, every: int = EVERY) -> dict[int, tuple[str, ...]]:
    """Handoffs in which one of five validators leaves, then comes back, then the next leaves."""
    sets: dict[int, tuple[str, ...]] = {}
    for index in range(count):
        leaving = ALL[index // 2 % len(ALL)]
        names = ALL if index % 2 else tuple(name for name in ALL if name != leaving)
        number = FIRST + every * index
        hand_over(network, number, names)
        sets[number] = names
    return sets


def chain_of(network: Network, name: str) -> list[Header]:
    """The finalized headers of a node, by number."""
    store = network[name].disk.now
    return [store.headers[store.finals[number]] for number in sorted(store.finals)]


def assert_authors_follow(network: Network, sets: dict[int, tuple[str, ...]], name: str) -> None:
    """Every finalized block is by the validator of its slot in the set after its parent."""
    authors = network.authorities
    for header in chain_of(network, name)[1:]:
        digest = aura.read_header(header)
        author = aura.author_of(digest.slot, authors)
        assert author is not None
        assert sign(author, digest.pre_hash) == digest.seal, f"block {header.number}"
        if header.number in sets:
            authors = tuple(key_of(validator) for validator in sets[header.number])


def test_sets_follow_one_another_and_each_block_is_by_the_set_after_its_parent() -> None:
    network = Network(validators=5, full=1)
    sets = plan(network, 6)
    network.start()

    network.run(150)

    assert network.lag() <= 3
    assert {node.live.status.set_id for node in network.running} == {6}
    assert_authors_follow(network, sets, "f0")


@pytest.mark.parametrize("seed", range(4))
def test_handoffs_survive_crashes_of_anybody_at_any_time(seed: int) -> None:
    network = Network(seed, validators=5, full=1)
    sets = plan(network, 5)
    network.start()
    for _ in range(30):
        victim = network.rng.choice(list(network.nodes))
        network.kill(victim, kept=network.rng.randrange(3))
        network.run(network.rng.randrange(4))
        network.start(victim)
        network.run(network.rng.randrange(1, 5))

    assert_grows(network, 60)
    assert network.run(120, until=lambda: min(n.live.status.set_id for n in network.running) == 5)
    assert_authors_follow(network, sets, "v1")


@pytest.mark.parametrize("kept", range(3))
def test_s4_a_handoff_that_half_the_nodes_have_finalized_survives_a_crash_of_all(kept: int) -> None:
    network = Network(validators=5)
    plan(network, 2)
    network.start()

    def is_half() -> bool:
        done = sum(node.live.status.set_id == 1 for node in network.running)
        return done >= 2

    assert network.run(60, until=is_half)
    network.kill(*network.nodes, kept=kept)
    network.run(2)
    network.start()

    assert_grows(network, 60)
    assert network.run(60, until=lambda: {n.live.status.set_id for n in network.running} == {2})
    assert not any(a.kind is AlarmKind.SAFETY for n in network.running for a in n.alarms)


def test_a_handoff_waits_for_a_partition_to_heal() -> None:
    network = Network(validators=5)
    plan(network, 1)
    network.start()
    network.run(8)
    network.part("v0 v1 v2", "v3 v4")
    network.run(40)
    before = {node.live.status.set_id for node in network.running}

    network.heal()
    network.run(60)

    assert before == {0}
    assert {node.live.status.set_id for node in network.running} == {1}
    assert network.lag() <= 3


def test_a_node_that_begins_late_and_loses_messages_follows_twelve_handoffs() -> None:
    network = Network(validators=5, full=1)
    sets = plan(network, 12)
    network.start(*ALL)
    network.run(280)
    for name in ALL:
        network.links["f0", name] = network.links[name, "f0"] = Link((5, 100), loss_percent=3)

    network.start("f0")

    assert network.run(60, until=lambda: network.lag() <= 3)
    assert network["f0"].live.status.set_id == 12
    assert_authors_follow(network, sets, "f0")
