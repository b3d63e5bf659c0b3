"""What each peer has of the votes and commits, and so what to send it.

Own votes go to all authorities at once. Votes of others are not passed on: in a full mesh everyone
has them already. What a peer lacks it says in its neighbour packets, and is sent exactly that,
both votes of an equivocator included: liveness needs all honest voters to converge on the same
votes. A round that does not get on is flooded. While all goes well a voter could show different
votes to different peers unseen, so now and then a peer is shown what another voter said to us.

Invariant: a vote is sent only to a peer whose round accepts it, and not twice within T unless
the peer says that it lacks it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from consensus.events import PeerId, Role
from consensus.grandpa.records import VoteRound
from consensus.grandpa.vote_graph import PRECOMMIT, PREVOTE
from consensus.outbox import Outbox
from runtime.primitives.grandpa import (
    CommitMessage,
    NeighbourV2,
    RoundVotes,
    SignedMessage,
    Vote,
)

HEARTBEAT_MS = 5_000
COALESCE_DIVISOR = 8  # round change and finality come together; T / 8 later both are said at once
ROUNDS_KNOWN_MAX = 4  # per peer; the rounds in play are three
CROSS_CHECK_ROUNDS = 4  # two messages of a node in so many rounds, against some twenty of each
BACKWARDS_GRACE_MS = 10_000  # a peer that restarted may know less than it said before

REPUTATION_BACKWARDS = -500

STAGES = (PREVOTE, PRECOMMIT)


@dataclass(slots=True)
class Known:
    """Masks over the voters: whose votes of a round a peer has. Indexed by stage."""

    voted: list[int] = field(default_factory=lambda: [0, 0])
    equivocated: list[int] = field(default_factory=lambda: [0, 0])
    sent_voted: list[int] = field(default_factory=lambda: [0, 0])
    sent_equivocated: list[int] = field(default_factory=lambda: [0, 0])
    sent_ms: int = 0


@dataclass(slots=True, eq=False)
class PeerView:
    """What a peer has told of itself and what passed between us."""

    role: Role
    since_ms: int
    set_id: int = -1
    round: int = -1
    """-1 until its first neighbour packet."""

    finalized_number: int = -1
    commit_number: int = -1
    """The highest commit that was sent either way."""

    known: dict[int, Known] = field(default_factory=dict[int, Known])
    served_catch_up_ms: int | None = None

    def known_in(self, round_number: int) -> Known:
        """What the peer has of a round."""
        known = self.known.get(round_number)
        if known is None:
            known = self.known[round_number] = Known()
            while len(self.known) > ROUNDS_KNOWN_MAX:
                del self.known[min(self.known)]
        return known

    def accepts(self, set_id: int, round_number: int) -> bool:
        """Whether the peer would take a vote of this round."""
        return (
            self.role is Role.AUTHORITY
            and self.set_id == set_id
            and self.round - 1 <= round_number <= self.round + 1
        )


class Gossip:
    """The views of all peers."""

    def __init__(self, outbox: Outbox, gossip_duration_ms: int) -> None:
        self._out = outbox
        self._duration_ms = gossip_duration_ms
        self.peers: dict[PeerId, PeerView] = {}

    def connected(self, peer: PeerId, role: Role, finalized_number: int) -> None:
        """A peer is there; nothing is known of its votes."""
        self.peers[peer] = PeerView(role, self._out.now_ms, finalized_number=finalized_number)

    def gone(self, peer: PeerId) -> None:
        """A peer has left."""
        self.peers.pop(peer, None)

    def authorities(self) -> list[PeerId]:
        """Peers that say they are authorities."""
        return [peer for peer, view in self.peers.items() if view.role is Role.AUTHORITY]

    def note_vote(
        self, peer: PeerId, round_number: int, stage: int, voter: int, is_second: bool
    ) -> None:
        """A peer sent a vote, so it has it."""
        view = self.peers.get(peer)
        if view is not None:
            known = view.known_in(round_number)
            known.voted[stage] |= 1 << voter
            if is_second:
                known.equivocated[stage] |= 1 << voter

    def note_neighbour(self, peer: PeerId, packet: NeighbourV2) -> bool:
        """Take in where a peer stands; False when it went backwards."""
        view = self.peers.get(peer)
        if view is None:
            return False
        position = (packet.set_id, packet.round)
        is_backwards = position < (view.set_id, view.round) or (
            packet.commit_finalized < view.finalized_number
        )
        is_new = self._out.now_ms - view.since_ms <= BACKWARDS_GRACE_MS
        if is_backwards and not is_new:
            self._out.report(peer, REPUTATION_BACKWARDS, "neighbour packet went backwards")
        view.set_id, view.round = position
        view.finalized_number = packet.commit_finalized
        for number, votes in (
            (packet.round, packet.votes),
            (packet.round - 1, packet.votes_before),
        ):
            known = view.known_in(number)
            known.voted = [_mask(votes.prevoted), _mask(votes.precommitted)]
            known.equivocated = [
                _mask(votes.prevote_equivocated),
                _mask(votes.precommit_equivocated),
            ]
            if self._out.now_ms - known.sent_ms >= self._duration_ms:
                known.sent_voted, known.sent_equivocated = [0, 0], [0, 0]
        return not is_backwards or is_new

    def push(self, message: Vote, stage: int, voter: int) -> None:
        """Send an own vote to all authorities that would take it."""
        receivers: list[PeerId] = []
        for peer, view in self.peers.items():
            if view.accepts(message.set_id, message.round):
                known = view.known_in(message.round)
                if stage in STAGES:
                    known.sent_voted[stage] |= 1 << voter
                    known.sent_ms = self._out.now_ms
                receivers.append(peer)
        self._out.send(receivers, message)

    def repair(self, peer: PeerId, set_id: int, rounds: tuple[VoteRound, ...]) -> None:
        """Send a peer exactly the votes it lacks in these rounds."""
        view = self.peers.get(peer)
        if view is None:
            return
        for round_ in rounds:
            if view.accepts(set_id, round_.number):
                known = view.known_in(round_.number)
                for signed in _lacking(round_, known):
                    known.sent_ms = self._out.now_ms
                    self._out.send([peer], Vote(round_.number, set_id, signed))

    def flood(self, set_id: int, round_: VoteRound) -> None:
        """Send all votes of a round to all who take them, whatever they say they have.

        The bits of a packet do not tell for which block a voter voted. When a round does not get
        on, peers may have seen different votes of one voter, and must come to see them all.
        """
        receivers = [
            peer for peer, view in self.peers.items() if view.accepts(set_id, round_.number)
        ]
        for stage in STAGES:
            for vote in round_.votes(stage):
                self._out.send(receivers, Vote(round_.number, set_id, vote.signed))

    def cross_check(self, set_id: int, round_: VoteRound, own: int | None) -> None:
        """Show a peer the votes of one voter in a round that is over; both by turns.

        A peer that has other votes of this voter has the proof then that it equivocated.
        """
        turn, rest = divmod(round_.number, CROSS_CHECK_ROUNDS)
        peer_turn, voter = divmod(turn, len(round_.voters))
        if rest != 0 or voter == own:
            return
        peers = sorted(
            peer for peer, view in self.peers.items() if view.accepts(set_id, round_.number)
        )
        if not peers:
            return
        receiver = [peers[peer_turn % len(peers)]]
        for stage in STAGES:
            for vote in round_.votes_of(stage, voter):
                self._out.send(receiver, Vote(round_.number, set_id, vote.signed))

    def send_neighbour(self, packet: NeighbourV2, peers: list[PeerId]) -> None:
        """Say where we stand."""
        self._out.send(peers, packet)

    def send_commit(self, message: CommitMessage, peers: list[PeerId]) -> None:
        """Send a commit to those of the peers that have not had it from us or sent it."""
        number = message.commit.target_number
        receivers = [
            peer
            for peer in peers
            if max(self.peers[peer].commit_number, self.peers[peer].finalized_number) < number
        ]
        for peer in receivers:
            self.peers[peer].commit_number = number
        self._out.send(receivers, message)

    def note_commit(self, peer: PeerId, number: int) -> None:
        """A peer sent a commit."""
        view = self.peers.get(peer)
        if view is not None:
            view.commit_number = max(view.commit_number, number)


def round_votes(round_: VoteRound | None, voters: int) -> RoundVotes:
    """Whose votes we have, as a neighbour packet says it."""
    size = (voters + 7) // 8
    masks = [0, 0, 0, 0]
    if round_ is not None:
        masks = [
            mask for stage in STAGES for mask in (round_.voted(stage), round_.equivocated(stage))
        ]
    return RoundVotes(*(mask.to_bytes(size, "little") for mask in masks))


def _mask(bitmap: bytes) -> int:
    return int.from_bytes(bitmap, "little")


def _lacking(round_: VoteRound, known: Known) -> Iterator[SignedMessage]:
    """The votes a peer lacks; both of an equivocator whose equivocation it lacks."""
    for stage in STAGES:
        have, both = round_.voted(stage), round_.equivocated(stage)
        missing = have & ~(known.voted[stage] | known.sent_voted[stage])
        missing_both = both & ~(known.equivocated[stage] | known.sent_equivocated[stage])
        known.sent_voted[stage] |= missing
        known.sent_equivocated[stage] |= missing_both
        for voter in _bits(missing | missing_both):
            votes = round_.votes_of(stage, voter)
            is_double = missing_both >> voter & 1
            for vote in votes if is_double else votes[:1]:
                yield vote.signed


def _bits(mask: int) -> Iterator[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low
