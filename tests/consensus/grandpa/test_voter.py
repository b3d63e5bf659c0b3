"""Rounds in sequence: restarts, lost votes, catch-up, primaries, handoffs."""

import pytest

from consensus import events
from consensus.effects import AlarmKind
from consensus.events import MessageReceived
from consensus.grandpa.records import ROUNDS_KEY, BlockLink, RoundRecord, VoterRecord, own_votes_key
from runtime.primitives.block import Consensus
from runtime.primitives.grandpa import (
    CatchUp,
    CatchUpRequest,
    CatchUpResponse,
    CommitMessage,
    NeighbourV2,
    Precommit,
    Prevote,
    PrimaryPropose,
    ScheduledChange,
    SignedMessage,
    SignedPrecommit,
    SignedPrevote,
    Vote,
    vote_payload,
)
from tests.consensus.test_network import assert_grows
from tests.simulation.disk import key_of, sign
from tests.simulation.driver import Network

pytestmark = pytest.mark.slow


def is_precommit(message: object) -> bool:
    return isinstance(message, Vote) and isinstance(message.message.message, Precommit)


def rounds(network: Network) -> list[int]:
    return [node.live.status.round for node in network.running]


@pytest.mark.parametrize("seed", range(5))
def test_two_in_a_round_and_two_in_the_next_all_restarted_go_on(seed: int) -> None:
    # Scenario S2: those in the later round must still have the votes of two rounds before.
    network = Network(seed).start()
    network.run(20 + seed)

    network.filters.append(
        lambda sender, to, message: (
            to in ("v2", "v3") and (is_precommit(message) or isinstance(message, CommitMessage))
        )
    )
    assert network.run(30, until=lambda: rounds(network)[0] > rounds(network)[2])
    assert network.run(10, until=lambda: rounds(network)[1] > rounds(network)[2])
    assert rounds(network)[0] - rounds(network)[3] == 1
    network.kill("v0", "v1", "v2", "v3")
    network.filters.clear()
    network.start()

    assert_grows(network)


@pytest.mark.parametrize("stage", ["prevote", "precommit"])
def test_a_vote_that_only_the_signer_remembers_is_the_vote_after_a_restart(stage: str) -> None:
    network = Network().start()
    network.run(21)
    v3 = network["v3"]

    def is_only_in_the_mark() -> bool:
        mark = v3.signer.marks[v3.key]
        stored = v3.disk.durable.voter.get(own_votes_key(0, mark.round))
        vote = getattr(mark, stage)
        return vote is not None and (stored is None or vote.encode() not in stored)

    assert network.run(10, until=is_only_in_the_mark)
    mark = v3.signer.marks[v3.key]
    network.kill("v3")
    network.run(1)
    network.start("v3")
    network.run(2)

    assert network.votes[v3.key, 0, mark.round, 0] == (mark.prevote and mark.prevote.message)
    if mark.precommit is not None:
        assert network.votes[v3.key, 0, mark.round, 1] == mark.precommit.message
    assert v3.signer.refused == 0
    assert not v3.alarms
    assert_grows(network)


def test_a_validator_whose_disk_was_wiped_takes_its_own_votes_back_from_its_peers() -> None:
    network = Network().start()
    network.run(21)
    v3 = network["v3"]
    # It dies right after its prevote was sent; the disk and the signer's mark are lost.
    assert network.run(
        10,
        until=lambda: v3.live.status.prevoted == 4 and v3.live.status.precommitted == 0,
    )
    round_number = v3.live.status.round
    fresh = Network()["v3"]
    network.kill("v3")
    v3.disk, v3.signer = fresh.disk, fresh.signer
    network.start("v3")
    network.run(30)

    # The network asserts that it has not voted twice in any stage.
    assert network.votes[v3.key, 0, round_number, 0] is not None
    assert network.lag() <= 3


def record_of_round(network: Network, number: int) -> VoterRecord:
    """As if all had voted for the genesis block in a round long after it."""
    genesis = network.genesis.hash()
    votes: tuple[list[SignedMessage], list[SignedMessage]] = ([], [])
    for key in network.authorities:
        for stage, message in enumerate((Prevote(genesis, 0), Precommit(genesis, 0))):
            signature = sign(key, vote_payload(message, number, 0))
            votes[stage].append(SignedMessage(message, signature, key))
    completed = RoundRecord(number, genesis, 0, [], *votes)
    current = RoundRecord(number + 1, genesis, 0, [], [], [])
    return VoterRecord(0, number + 1, [completed], current)


def test_s12_an_empty_node_catches_up_with_a_network_in_round_one_million() -> None:
    network = Network()
    record = record_of_round(network, 10**6).encode()
    for name in ("v0", "v1", "v2"):
        for store in (network[name].disk.now, network[name].disk.durable):
            store.voter[ROUNDS_KEY] = record
    network.start("v0", "v1", "v2")
    network.run(20)
    assert min(rounds(network)) > 10**6

    network.start("v3")
    network.run(15)

    assert network.sent["CatchUpRequest"] <= 3
    assert rounds(network)[3] >= rounds(network)[0] - 1
    assert any(place[0] == network["v3"].key for place in network.votes)
    assert network.lag() <= 3


def test_a_lost_catch_up_is_asked_for_again() -> None:
    network = Network()
    network.start("v0", "v1", "v2")
    network.run(100)
    lost: list[object] = []

    def lose_first(sender: str, to: str, message: object) -> bool:
        if isinstance(message, CatchUpResponse) and len(lost) < 1:
            lost.append(message)
            return True
        return False

    network.filters.append(lose_first)
    network.start("v3")
    network.run(25)

    assert lost
    assert rounds(network)[3] >= rounds(network)[0] - 1


def test_a_peer_is_served_one_catch_up_in_five_seconds() -> None:
    network = Network().start()
    network.run(20)
    before = network.sent.get("CatchUpResponse", 0)

    for _ in range(10):
        request = CatchUpRequest(1, 0)
        network["v0"].handle(MessageReceived(b"v1", request))

    assert network.sent["CatchUpResponse"] == before + 1
    network["v0"].handle(MessageReceived(b"v2", CatchUpRequest(10**6, 0)))
    network["v0"].handle(MessageReceived(b"v2", CatchUpRequest(1, 9)))
    assert network.sent["CatchUpResponse"] == before + 1


CATCH_UP_FAULTS = ("signature", "stranger", "three votes", "incomplete", "base")


@pytest.mark.parametrize("fault", CATCH_UP_FAULTS)
def test_a_false_catch_up_is_refused(fault: str) -> None:
    network = Network()
    network.start("v0", "v1", "v2", "v3")
    network.run(20)
    node = network["v0"]
    status = node.live.status
    number, final = status.round + 4, status.finalized
    packet = network["v1"].live._voter.packet()
    ahead = NeighbourV2(
        number + 1,
        0,
        packet.commit_finalized,
        packet.finalized_hash,
        packet.votes,
        packet.votes_before,
    )

    def prevote(name: str, target: bytes = final.hash) -> SignedPrevote:
        vote = Prevote(target, final.number)
        key = key_of(name)
        return SignedPrevote(target, final.number, sign(key, vote_payload(vote, number, 0)), key)

    def precommit(name: str) -> SignedPrecommit:
        vote = Precommit(final.hash, final.number)
        key = key_of(name)
        signature = sign(key, vote_payload(vote, number, 0))
        return SignedPrecommit(final.hash, final.number, signature, key)

    prevotes = [prevote(name) for name in ("v1", "v2", "v3")]
    precommits = [precommit(name) for name in ("v1", "v2", "v3")]
    base = (final.hash, final.number)
    match fault:
        case "signature":
            prevotes[0] = SignedPrevote(final.hash, final.number, b"\0" * 64, key_of("v1"))
        case "stranger":
            precommits[0] = precommit("stranger")
        case "three votes":
            prevotes += [prevote("v1", b"x" * 32), prevote("v1", b"y" * 32)]
        case "incomplete":
            precommits.pop()
        case _:
            base = (final.hash, final.number - 1)

    node.handle(MessageReceived(b"v1", ahead))
    node.handle(
        MessageReceived(b"v1", CatchUpResponse(0, CatchUp(number, prevotes, precommits, *base)))
    )

    assert any(r.peer == b"v1" and r.delta == -5_000 for r in node.reports)
    assert node.live.status.round < number


def test_a_catch_up_for_blocks_we_lack_waits_for_them() -> None:
    network = Network()
    network.start("v0", "v1", "v2", "v3")
    network.run(40)
    network.kill("v3")
    fresh = Network()["v3"]
    network["v3"].disk = fresh.disk
    # Its blocks come late: requests take five seconds.
    for name in ("v0", "v1", "v2"):
        network.link("v3", name).latency_ms = (5, 10)
    network.start("v3")
    network.run(20)

    assert rounds(network)[3] >= rounds(network)[0] - 1
    # The signer's mark is ahead of an empty database: it observes.
    assert [a.kind for a in network["v3"].alarms] == [AlarmKind.ROLLED_BACK]
    assert network.lag() <= 3


def test_the_primary_proposes_an_estimate_that_is_not_final() -> None:
    network = Network(3)
    for a in network.nodes:
        for b in network.nodes:
            network.link(a, b).loss_percent = 25
    network.start().run(200)

    proposals = [place for place in network.votes if place[3] == 2]
    assert proposals
    for _, _, round_number, _ in proposals:
        voters = sorted(network.authorities)
        assert (voters[round_number % 4], 0, round_number, 2) in network.votes


def test_a_proposal_counts_only_from_the_primary_and_once() -> None:
    network = Network().start()
    network.run(20)
    node = network["v0"]
    number, best = node.live.status.round, node.live.status.best
    voters = sorted(network.authorities)
    voter = node.live._voter

    def propose(key: bytes, height: int, ahead: int = 0) -> None:
        message = PrimaryPropose(best.hash, height)
        signature = sign(key, vote_payload(message, number + ahead, 0))
        vote = Vote(number + ahead, 0, SignedMessage(message, signature, key))
        node.handle(MessageReceived(b"v1", vote))

    propose(voters[(number + 1) % 4], best.number)
    assert voter._hint is None
    propose(voters[number % 4], best.number)
    propose(voters[number % 4], best.number + 7)
    assert voter._hint == best
    for _ in range(3):
        propose(voters[(number + 1) % 4], best.number, ahead=1)
    assert len(voter._next_votes) == 1


def test_another_set_takes_over_at_a_handoff_and_survives_restarts() -> None:
    network = Network(validators=5)
    fewer = [(key_of(f"v{i}"), 1) for i in range(4)]
    change = ScheduledChange(fewer, 0)
    network.deposits[12] = [Consensus(b"FRNK", change.encode())]
    network.start()
    network.run(60)

    assert network.lag() <= 3
    assert {n.live.status.set_id for n in network.running} == {1}
    assert not network["v4"].live.status.is_voting
    assert all(network.finals[12] in node.disk.durable.kept for node in network.running)
    network.kill(*network.nodes)
    network.start("v0", "v1", "v2")
    network.run(1)
    assert {n.live.status.set_id for n in network.running} == {1}
    network.run(40)
    assert network.lag() <= 3
    network.start("v3", "v4")
    assert_grows(network)


def test_a_late_joiner_follows_across_a_handoff() -> None:
    network = Network(validators=5, full=1)
    fewer = [(key_of(f"v{i}"), 1) for i in range(4)]
    network.deposits[12] = [Consensus(b"FRNK", ScheduledChange(fewer, 0).encode())]
    network.start("v0", "v1", "v2", "v3", "v4")
    network.run(100)

    network.start("f0")

    assert network.run(20, until=lambda: network.lag() <= 3)
    assert network["f0"].live.status.set_id == 1


def test_a_node_that_halts_handles_nothing_more() -> None:
    network = Network().start()
    network.run(20)
    v0 = network["v0"]
    best = v0.live.status.best

    v0.handle(events.Executed(best.hash, events.Verdict.FAILED, "disk on fire"))

    assert [halt.code for halt in v0.halts] == [70]
    assert "disk on fire" in v0.halts[0].reason


def test_records_hold_the_links_of_their_votes() -> None:
    network = Network().start()
    network.run(30)
    record = VoterRecord.decode(network["v0"].disk.durable.voter[ROUNDS_KEY])

    assert len(record.completed) == 2
    assert record.round == record.completed[1].round + 1 == record.completed[0].round + 2
    for completed in record.completed:
        known = {completed.base_hash} | {link.block_hash for link in completed.links}
        assert all(isinstance(link, BlockLink) for link in completed.links)
        for signed in (*completed.prevotes, *completed.precommits):
            assert getattr(signed.message, "target_hash", None) in known


def signed_vote(name: str, message: Prevote | Precommit, round_number: int) -> Vote:
    key = key_of(name)
    signature = sign(key, vote_payload(message, round_number, 0))
    return Vote(round_number, 0, SignedMessage(message, signature, key))


def test_votes_for_a_branch_that_is_gone_still_count_after_a_restart() -> None:
    # v3 is dead, so the votes of all others are needed. v1's prevote is for a branch that loses.
    network = Network().start()
    network.run(20)
    network.kill("v3")
    network.run(20)
    node = network["v0"]
    assert network.run(10, until=lambda: node.live.status.precommitted == 1)
    number, final = node.live.status.round, node.live.status.finalized
    gone = Prevote(b"g" * 32, final.number)

    voter = node.live._voter
    before = voter._round.voted(0).bit_count()
    node.handle(MessageReceived(b"v1", signed_vote("v3", gone, number)))

    assert voter._round.voted(0).bit_count() == before + 1
    assert len(voter._parked) == 0


def test_what_had_been_voted_when_a_block_became_final_survives_a_restart() -> None:
    network = Network().start()
    network.run(20)
    node = network["v0"]
    branch = Prevote(b"b" * 32, node.best + 1)
    known = Prevote(node.live.status.best.hash, node.best)
    number = node.live.status.round
    # Two votes of one voter, one of them for a block that nobody has.
    network.kill("v3")
    node.handle(MessageReceived(b"v1", signed_vote("v3", branch, number + 1)))
    node.handle(MessageReceived(b"v1", signed_vote("v3", known, number + 1)))
    assert network.run(10, until=lambda: node.live.status.round == number + 2)
    network.run(1)

    record = VoterRecord.decode(node.disk.durable.voter[ROUNDS_KEY])

    stored = [
        signed.message
        for completed in (*record.completed, record.current)
        for signed in completed.prevotes
        if signed.id == key_of("v3")
    ]
    assert branch in stored
    assert known in stored
    network.kill("v0")
    network.start("v0")
    assert_grows(network)


def test_two_votes_for_unknown_blocks_make_an_equivocator() -> None:
    network = Network().start()
    network.run(20)
    node, number = network["v0"], network["v0"].live.status.round
    network.kill("v3")

    for mark in (b"x", b"y"):
        vote = signed_vote("v3", Prevote(mark * 32, 1_000), number)
        node.handle(MessageReceived(b"v1", vote))

    assert AlarmKind.EQUIVOCATION in {alarm.kind for alarm in node.alarms}
    assert_grows(network)
