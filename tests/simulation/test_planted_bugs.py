"""Bugs that consensus must not have, planted one by one: a directed scenario catches each.

Each scenario is a function that passes on the code as it is and raises `AssertionError` when the
bug is there. The bugs are those that broke other chains or our own first version.
"""

import pytest

from consensus import aura
from consensus.events import (
    HeaderSeen,
    MessageReceived,
    PeerConnected,
    PeerStatus,
    Role,
    SyncBlock,
)
from consensus.grandpa import rules, voter
from runtime.primitives.block import Header
from runtime.primitives.grandpa import (
    CommitMessage,
    Message,
    Precommit,
    Prevote,
    SignedMessage,
    Vote,
    vote_payload,
)
from tests.consensus.test_network import assert_grows
from tests.simulation.disk import key_of, sign
from tests.simulation.driver import Network
from tests.simulation.node import make_block
from tests.simulation.plan import Fault, Plan
from tests.simulation.planted import PLANTS
from tests.simulation.world import SimWorld

pytestmark = pytest.mark.slow

PUPPET = b"puppet"


# --- the scenarios


def crash_between_two_votes() -> None:
    """A voter is killed right after a vote went out, and comes back to another best block."""
    network = Network(3).start()
    for i in range(12):
        network.run(2 + i % 3)
        network.kill("v3")
        network.run(1)
        network.start("v3")
    assert_grows(network)


def halves_of_a_partition() -> None:
    """Two of four on each side: neither may conclude anything."""
    network = Network(2).start()
    network.run(20)
    network.part("v0 v1", "v2 v3")
    network.run(40)
    network.heal()
    assert_grows(network, 60)


def two_rounds_apart() -> None:
    """Scenario S2: two in a round and two in the next, all restarted at once.

    Those behind lack precommits of the round before the last that those ahead have completed.
    """
    for seed in range(3):
        network = Network(seed).start()
        network.run(20 + seed)
        network.filters.append(
            lambda sender, to, message: (
                to in ("v2", "v3")
                and (
                    (isinstance(message, Vote) and isinstance(message.message.message, Precommit))
                    or isinstance(message, CommitMessage)
                )
            )
        )

        def rounds(network: Network = network) -> list[int]:
            return [node.live.status.round for node in network.running]

        assert network.run(30, until=lambda r=rounds: r()[0] > r()[2])  # type: ignore[misc]
        assert network.run(10, until=lambda r=rounds: r()[1] > r()[2])  # type: ignore[misc]
        for name in ("v0", "v1"):
            stored = voter.VoterRecord.decode(network[name].disk.now.voter[voter.ROUNDS_KEY])
            kept = [completed.round for completed in stored.completed]
            assert kept[-2:] == [stored.round - 2, stored.round - 1], f"{name} keeps {kept}"
        network.kill("v0", "v1", "v2", "v3")
        network.filters.clear()
        network.start()
        assert_grows(network)


def estimate_that_is_outgrown() -> None:
    """Scenario S1, polkadot-sdk #3487: the estimate is on a branch that another one outgrew.

    v0 alone is real. It saw prevotes and two precommits for a block that may therefore be final,
    then a longer branch beside it. It must go on voting on the estimate's branch.
    """
    stage = Stage()
    parent = stage.extend(stage.best(), 1)[0]
    child = stage.extend(parent, 1)[0]
    for header in (parent, child, *stage.extend(child, 1)):
        stage.give(header)
    first_round = stage.node.live.status.round
    for name in ("v1", "v2", "v3"):
        stage.vote(name, Prevote(child.hash(), child.number), first_round)
    assert stage.run_until_voted(first_round, Precommit)
    stage.vote("v1", Precommit(child.hash(), child.number), first_round)
    stage.vote("v2", Precommit(parent.hash(), parent.number), first_round)
    assert stage.network.run(10, until=lambda: stage.node.live.status.round == first_round + 1)
    for header in stage.extend(parent, 6, extrinsics=(b"other",)):
        stage.give(header)
    assert stage.node.live.status.best.number >= parent.number + 6
    assert stage.run_until_voted(first_round + 1, Prevote), "it votes no more"
    cast = stage.own_vote(first_round + 1, Prevote)
    assert cast is not None
    assert stage.is_above(child, cast), "its vote is not on the estimate's branch"


def handoff_while_finality_stands_still() -> None:
    """Keys change in a partition: when it ends, there are blocks above the handoff to vote for."""
    split = Fault("partition", 50_000, 60_000, ("v0", "v1"))
    SimWorld(Plan(3, 4, 240, (split,), (), ((5_000, "v2"),), has_real_signatures=True)).run_all()


class Stage:
    """One real validator; the others are puppets whose votes and blocks the test makes."""

    def __init__(self) -> None:
        self.network = Network(5).start()
        self.network.run(21)
        self.node = self.network["v0"]
        # Between two rounds: nobody has voted in the one that has begun.
        assert self.network.run(10, until=lambda: not any(self._has_votes()))
        self.network.kill("v1", "v2", "v3")
        self.node.build_delay_ms = 10**9  # it does not author in between
        self.network.run(30)
        status = PeerStatus(
            Role.AUTHORITY,
            self.best().hash(),
            self.best().number,
            bytes(32),
            0,
            self.node.wall_ms(),
        )
        self.node.handle(PeerConnected(PUPPET, status))
        self.blocks: dict[bytes, tuple[Header, tuple[bytes, ...]]] = {}
        self.network.answers[PUPPET] = lambda request: [
            SyncBlock(header, body, None)
            for header, body in [self.blocks[request.start]]  # type: ignore[index]
        ]

    def _has_votes(self) -> list[bool]:
        round_number = self.node.live.status.round
        voted = {place[2] for place in self.network.votes}
        return [
            round_number in voted,
            *(node.live.status.round != round_number for node in self.network.running),
        ]

    def best(self) -> Header:
        return self.node.disk.now.headers[self.node.live.status.best.hash]

    def extend(
        self, parent: Header, count: int, extrinsics: tuple[bytes, ...] = ()
    ) -> list[Header]:
        """Blocks by the puppets, one in each slot that is one of theirs."""
        made: list[Header] = []
        for _ in range(count):
            slot = (aura.slot_of(parent) or 0) + 1
            names = list(self.network.nodes)
            author = next(
                name
                for name in names
                if key_of(name) == self.network.authorities[slot % len(names)]
            )
            parent = make_block(parent, slot, author, extrinsics)
            self.blocks[parent.hash()] = (parent, extrinsics)
            made.append(parent)
        return made

    def give(self, header: Header) -> None:
        """Announce a block and let it be fetched and imported."""
        self.node.handle(HeaderSeen(PUPPET, header, True))
        is_here = self.network.run(5, until=lambda: header.hash() in self.node.disk.now.headers)
        assert is_here, "the block was not imported"

    def vote(self, name: str, message: Message, round_number: int) -> None:
        """A vote of a puppet."""
        payload = vote_payload(message, round_number, 0)
        signed = SignedMessage(message, sign(key_of(name), payload), key_of(name))
        self.node.handle(MessageReceived(PUPPET, Vote(round_number, 0, signed)))

    def own_vote(self, round_number: int, kind: type[Message]) -> Message | None:
        """What the real validator has voted; there is nobody it would send it to."""
        book = self.node.live._voter._book
        assert book is not None, "it is a validator"
        votes = [signed.message for signed in book.of(round_number)]
        return next((message for message in votes if isinstance(message, kind)), None)

    def run_until_voted(self, round_number: int, kind: type[Message]) -> bool:
        return self.network.run(20, until=lambda: self.own_vote(round_number, kind) is not None)

    def is_above(self, ancestor: Header, vote: Message) -> bool:
        """Whether a vote is for a block or one above it."""
        headers = self.node.disk.now.headers
        target = headers.get(getattr(vote, "target_hash", b""))
        while target is not None and target.number > ancestor.number:
            target = headers.get(target.parent_hash)
        return target == ancestor


SCENARIOS = {
    "vote persistence": (crash_between_two_votes, "not on disk|votes twice"),
    "threshold": (halves_of_a_partition, "two final blocks"),
    "two rounds": (two_rounds_apart, "keeps"),
    "handoff rule": (handoff_while_finality_stands_still, "is in set 0, not 1"),
    "#3487": (estimate_that_is_outgrown, "votes no more"),
}
"""For each bug: what catches it, and what is said then."""


def test_s1_an_estimate_whose_branch_was_outgrown_is_voted_for() -> None:
    estimate_that_is_outgrown()


def test_s2_two_in_a_round_and_two_in_the_next_go_on_after_a_restart_of_all() -> None:
    two_rounds_apart()


@pytest.mark.parametrize("name", ["vote persistence", "threshold", "handoff rule"])
def test_without_the_bug_the_scenario_passes(name: str) -> None:
    SCENARIOS[name][0]()


@pytest.mark.parametrize("name", PLANTS)
def test_the_planted_bug_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario, text = SCENARIOS[name]
    PLANTS[name](monkeypatch)

    with pytest.raises(AssertionError, match=text):
        scenario()


def test_the_rules_that_are_broken_here_are_those_in_use() -> None:
    assert voter.prevote_target is rules.prevote_target
