"""Asking for, giving and checking all the votes of a round that is over.

A voter that fell behind cannot get its rounds' votes from those who have moved on. It asks one of
them for the last completed round, checks every vote of it, and goes on in the round after it.

Invariants: one request is open at a time; a peer is answered at most once in 5 s; an answer
counts only from the peer that was asked, with all signatures good.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from consensus.events import PeerId, Role
from consensus.grandpa.context import AuthoritySet, Surroundings
from consensus.grandpa.records import VoteRound, target_of
from consensus.grandpa.round import VOTES_PER_VOTER_MAX, Imported
from consensus.grandpa.vote_graph import PRECOMMIT, PREVOTE, BlockRef
from runtime.primitives.grandpa import (
    CatchUp,
    CatchUpRequest,
    CatchUpResponse,
    NeighbourV2,
    SignedMessage,
    SignedPrecommit,
    SignedPrevote,
    vote_payload,
)
from runtime.primitives.types import Hash

ROUNDS_BEHIND = 2
STUCK_DURATIONS = 12  # of T: one round behind is normal, and repaired by votes, for so long
REQUEST_LIFE_MS = 10_000  # Substrate waits 45 s; a restarted validator shall vote within 30 s
SERVE_PAUSE_MS = 5_000
BASE_DEPTH_MAX = 1_024  # blocks below our finalized one; more would make us walk the chain

REPUTATION_INVALID_CATCH_UP = -5_000
REPUTATION_UNASKED_CATCH_UP = -500

_SignedVotes = Sequence[SignedPrevote] | Sequence[SignedPrecommit]


@dataclass(frozen=True, slots=True)
class Answer:
    """A checked answer whose blocks have not all been imported."""

    peer: PeerId
    catch_up: CatchUp
    missing: frozenset[Hash]


class CatchUps:
    """The one request of ours, and the answers to others."""

    def __init__(self, around: Surroundings, authorities: AuthoritySet) -> None:
        self._around = around
        self._set = authorities
        self._asked: PeerId | None = None
        self._asked_ms = 0
        self._answer: Answer | None = None

    # --- ours

    def consider(self, peer: PeerId, packet: NeighbourV2, our_round: int, age_ms: int) -> None:
        """Ask a peer that is ahead of our round, which has lasted for `age_ms`."""
        out = self._around.out
        view = self._around.gossip.peers.get(peer)
        if view is None or view.role is not Role.AUTHORITY:
            return
        stuck_ms = STUCK_DURATIONS * self._around.config.gossip_duration_ms
        is_behind = packet.round >= our_round + ROUNDS_BEHIND
        if not is_behind and not (packet.round > our_round and age_ms > stuck_ms):
            return
        if self._asked is not None and out.now_ms - self._asked_ms < REQUEST_LIFE_MS:
            return
        self._asked, self._asked_ms = peer, out.now_ms
        self._answer = None
        out.send([peer], CatchUpRequest(packet.round - 1, self._set.set_id))

    def gone(self, peer: PeerId) -> None:
        """A peer has left: it will not answer."""
        if self._asked == peer:
            self._asked = None

    def receive(self, peer: PeerId, message: CatchUpResponse, our_round: int) -> VoteRound | None:
        """The completed round of an answer, when it is good and its blocks are here."""
        out = self._around.out
        if message.set_id != self._set.set_id:
            return None
        if peer != self._asked:
            out.report(peer, REPUTATION_UNASKED_CATCH_UP, "a catch-up that was not asked for")
            return None
        self._asked = None
        fault = self._fault(message.catch_up)
        if fault is not None:
            out.report(peer, REPUTATION_INVALID_CATCH_UP, f"catch-up: {fault}")
            return None
        return self._rebuild(peer, message.catch_up, our_round)

    def block_imported(self, block_hash: Hash, our_round: int) -> VoteRound | None:
        """The completed round of an answer that waited for this block."""
        answer = self._answer
        if answer is None or block_hash not in answer.missing:
            return None
        self._answer = None
        return self._rebuild(answer.peer, answer.catch_up, our_round)

    def _fault(self, catch_up: CatchUp) -> str | None:
        """What makes an answer invalid whatever blocks we have."""
        stages: tuple[_SignedVotes, ...] = (catch_up.prevotes, catch_up.precommits)
        for votes in stages:
            count: dict[bytes, int] = {}
            for vote in votes:
                count[vote.id] = count.get(vote.id, 0) + 1
                if self._set.voters.index(vote.id) is None:
                    return f"0x{vote.id.hex()} is not in the authority set"
                if count[vote.id] > VOTES_PER_VOTER_MAX:
                    return f"more than {VOTES_PER_VOTER_MAX} votes of 0x{vote.id.hex()}"
        for votes in stages:
            for vote in votes:
                payload = vote_payload(vote.message, catch_up.round, self._set.set_id)
                if not self._around.verifier.verify_vote(vote.id, payload, vote.signature):
                    return f"signature of 0x{vote.id.hex()} is wrong"
        return None

    def _rebuild(self, peer: PeerId, catch_up: CatchUp, our_round: int) -> VoteRound | None:
        """Count the votes; when blocks are missing, keep the answer until they are here."""
        view = self._around.view
        if catch_up.round < our_round:
            return None
        base = BlockRef(catch_up.base_hash, catch_up.base_number)
        missing: set[Hash] = set()
        base_header = view.header(base.hash)
        if base_header is None:
            missing.add(base.hash)
        elif (
            base_header.number != base.number
            or base.number < view.finalized.number - BASE_DEPTH_MAX
        ):
            reason = f"catch-up: base 0x{base.hash.hex()} at {base.number}"
            self._around.out.report(peer, REPUTATION_INVALID_CATCH_UP, reason)
            return None
        round_ = VoteRound(catch_up.round, self._set.voters, base)
        if base_header is not None:
            missing |= self._count(round_, catch_up)
        # Votes for blocks that we cannot get do no harm while the others complete the round.
        if round_.state.is_completable:
            return round_
        if missing:
            self._answer = Answer(peer, catch_up, frozenset(missing))
            for block_hash in sorted(missing):
                self._around.want(block_hash, peer)
            return None
        self._around.out.report(peer, REPUTATION_INVALID_CATCH_UP, "catch-up: it is not complete")
        return None

    def _count(self, round_: VoteRound, catch_up: CatchUp) -> set[Hash]:
        """Count what can be counted; the blocks that are missing."""
        missing: set[Hash] = set()
        # Twice: the second vote of a voter counts without its block, once the first is there.
        for stage, signed in (*_votes(catch_up), *_votes(catch_up)):
            voter = self._set.voters.index(signed.id)
            assert voter is not None, "checked with the form"
            target = target_of(signed.message)
            outcome = round_.import_vote(
                stage,
                voter,
                target,
                signed,
                self._around.view.parent_of,
                is_settled=target.number <= self._around.view.finalized.number,
            )
            if outcome is Imported.UNKNOWN_BLOCK:
                missing.add(target.hash)
        return missing

    # --- others'

    def answer(self, peer: PeerId, request: CatchUpRequest, round_: VoteRound | None) -> None:
        """Give a peer our last completed round, unless that is older than what it asks for."""
        out = self._around.out
        view = self._around.gossip.peers.get(peer)
        if view is None or request.set_id != self._set.set_id:
            return
        if round_ is None or round_.number < request.round:
            return
        last_ms = view.served_catch_up_ms
        if last_ms is not None and out.now_ms - last_ms < SERVE_PAUSE_MS:
            return
        view.served_catch_up_ms = out.now_ms
        catch_up = CatchUp(
            round_.number,
            [
                SignedPrevote(
                    vote.target.hash, vote.target.number, vote.signed.signature, vote.signed.id
                )
                for vote in round_.votes(PREVOTE)
            ],
            [
                SignedPrecommit(
                    vote.target.hash, vote.target.number, vote.signed.signature, vote.signed.id
                )
                for vote in round_.votes(PRECOMMIT)
            ],
            round_.base.hash,
            round_.base.number,
        )
        out.send([peer], CatchUpResponse(self._set.set_id, catch_up))


def _votes(catch_up: CatchUp) -> Iterator[tuple[int, SignedMessage]]:
    for prevote in catch_up.prevotes:
        yield PREVOTE, SignedMessage(prevote.message, prevote.signature, prevote.id)
    for precommit in catch_up.precommits:
        yield PRECOMMIT, SignedMessage(precommit.message, precommit.signature, precommit.id)
