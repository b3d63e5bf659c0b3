"""A signer in another process that goes away and comes back: the node observes, and votes again."""

import pytest

from consensus import effects, events
from consensus.effects import AlarmKind
from tests.consensus.test_network import assert_grows
from tests.simulation.driver import Network, Node

pytestmark = pytest.mark.slow

SEEDS = (1, 2, 3)


def cast_by(network: Network, node: Node) -> set[tuple[bytes, int, int, int]]:
    """The stages in which a node has voted."""
    return {place for place in network.votes if place[0] == node.vote_key}


def test_a_node_without_its_signer_observes_and_the_others_go_on() -> None:
    network = Network().start()
    network.run(20)
    v3 = network["v3"]

    v3.lose_signer()
    assert not v3.live.status.is_voting
    cast, builds, handled = cast_by(network, v3), len(v3.builds), v3.events_handled
    assert_grows(network)
    network.run(60)

    assert cast_by(network, v3) == cast
    assert len(v3.builds) == builds, "what nobody seals is not built"
    assert v3.finalized >= max(node.finalized for node in network.running) - 2
    assert v3.events_handled - handled <= 45 * v3.best, "nothing runs in circles"
    assert not v3.alarms


def test_a_node_votes_and_authors_again_when_its_signer_is_back() -> None:
    network = Network().start()
    network.run(20)
    v3 = network["v3"]
    v3.lose_signer()
    network.run(30)
    cast, builds = cast_by(network, v3), len(v3.builds)

    v3.reach_signer()
    network.run(30)

    assert v3.live.status.is_voting
    assert len(cast_by(network, v3) - cast) >= 10
    assert len(v3.builds) > builds
    assert network.lag() <= 3
    assert v3.signer.refused == 0


def test_finality_stops_without_two_signers_and_resumes_with_them() -> None:
    network = Network().start()
    network.run(20)
    for name in ("v2", "v3"):
        network[name].lose_signer()
    network.run(60)
    assert network["v0"].best - network["v0"].finalized >= 8

    for name in ("v2", "v3"):
        network[name].reach_signer()

    assert_grows(network)


@pytest.mark.parametrize("stage", ["prevote", "precommit"])
def test_a_vote_whose_signature_was_lost_is_the_vote_when_the_signer_is_back(stage: str) -> None:
    network = Network().start()
    network.run(21)
    v3 = network["v3"]

    def is_about_to_sign() -> bool:
        tally = v3.live.status
        return (tally.prevoted, tally.precommitted) == ((0, 0) if stage == "prevote" else (4, 0))

    assert network.run(10, until=is_about_to_sign)
    v3.answers_lost = 1
    assert network.run(10, until=lambda: v3.is_signer_away and not v3.live.status.is_voting)
    (mark,) = [mark for mark in v3.signer.marks.values() if mark.public == v3.vote_key]
    v3.reach_signer()
    network.run(10)

    vote = getattr(mark, stage)
    if vote is not None:  # it was a seal that was lost otherwise
        index = 0 if stage == "prevote" else 1
        assert network.votes[v3.vote_key, mark.set_id, mark.round, index] == vote.message
    assert v3.signer.refused == 0
    assert not v3.alarms
    assert_grows(network)


@pytest.mark.parametrize("seed", SEEDS)
def test_signers_and_nodes_that_die_at_any_time_never_vote_twice(seed: int) -> None:
    # The network asserts after each message that nobody has voted twice.
    network = Network(seed).start()
    network.run(7)

    for i in range(60):
        node = network[f"v{network.rng.randrange(4)}"]
        match network.rng.randrange(3):
            case 0:
                node.answers_lost = network.rng.randrange(2)
                network.run(network.rng.randrange(3))
                node.lose_signer()
            case 1:
                node.lose_signer()
                network.kill(node.name, kept=network.rng.randrange(3))
                network.run(network.rng.randrange(2))
                network.start(node.name)
            case _:
                network.kill(node.name, kept=network.rng.randrange(3))
                network.start(node.name)
        network.run(network.rng.randrange(2) if i % 4 else 3)
        node.answers_lost = 0
        node.reach_signer()

    for node in network.running:
        if node.is_signer_away:
            node.reach_signer()
    assert_grows(network)
    assert all(node.signer.refused == 0 for node in network.running)
    assert not any(alarm.kind is AlarmKind.SAFETY for n in network.running for alarm in n.alarms)


def test_a_node_that_starts_before_its_signer_votes_in_the_same_set() -> None:
    network = Network()
    for name in ("v2", "v3"):
        network[name].is_signer_away = True
    network.start()
    network.run(40)
    assert network["v3"].best >= 5
    assert network["v3"].finalized == 0

    for name in ("v2", "v3"):
        network[name].reach_signer()

    assert_grows(network)
    network.run(20)
    assert cast_by(network, network["v3"])
    assert network["v3"].builds


def test_a_node_that_starts_before_its_signer_keeps_the_votes_it_has_stored() -> None:
    network = Network().start()
    network.run(21)
    v3 = network["v3"]
    network.kill("v3")
    v3.is_signer_away = True
    network.start("v3")
    network.run(3)

    v3.reach_signer()
    network.run(20)

    assert network.lag() <= 3
    assert v3.signer.refused == 0
    assert v3.live.status.is_voting


def test_a_database_restored_from_a_backup_is_found_out_when_the_signer_comes_later() -> None:
    network = Network().start()
    network.run(20)
    v3 = network["v3"]
    backup = v3.disk.durable.copy()
    network.run(40)
    cast = cast_by(network, v3)
    network.kill("v3")
    v3.disk.now, v3.disk.durable = backup.copy(), backup.copy()
    v3.is_signer_away, v3.has_lost_disk = True, True
    network.start("v3")

    v3.reach_signer()
    network.run(1)

    assert [alarm.kind for alarm in v3.alarms] == [AlarmKind.ROLLED_BACK]
    assert not v3.live.status.is_voting
    v3.lose_signer()
    v3.reach_signer()
    network.run(60)
    assert cast_by(network, v3) == cast, "not again in this set, however often it is reached"
    assert network.lag() <= 4


def test_what_the_signer_is_asked_for_carries_the_whole_header() -> None:
    network = Network(validators=1)
    node = network["v0"]
    node.is_forced = True
    asked: list[effects.Sign] = []
    sign = node.signer.sign

    def noted(request: effects.Sign) -> events.Signed:
        asked.append(request)
        return sign(request)

    node.signer.sign = noted  # type: ignore[method-assign]
    network.start()
    network.run(10)

    seals = [request for request in asked if request.kind is effects.SignKind.SEAL]
    assert seals
    for request in seals:
        assert request.header is not None
        assert request.header.hash() == request.payload
