"""One round: prevote GHOST, estimate, completable, finalized.

Names and rules as in the GRANDPA paper (arXiv:2007.01560) and in the crate finality-grandpa, for
voters of weight 1. For a stage, the first vote of a voter counts for its target and everything
below; a second vote for another target makes the voter an equivocator, who counts for every
block; further ones are ignored. A second signature of the same vote is a duplicate: it proves
nothing, since a signature scheme may have many signatures of one message.

A vote may be for a block that nobody has any more, because it conflicts with what is final. Its
second vote still makes its voter an equivocator. A first vote below the finalized height is
settled: it counts for the base. That takes weight only from blocks below the finalized one, which
are final whatever the round says, and without it a round could lack a vote for ever.

Invariant: while at most f voters equivocate, the state is a function of the set of votes, not of
their order. Beyond f no promise holds and `has_too_many_equivocators` is set.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Generic, NamedTuple, TypeVar

from consensus.grandpa.vote_graph import PRECOMMIT, PREVOTE, BlockRef, ParentOf, VoteGraph
from consensus.grandpa.voter_set import VoterSet

VOTES_PER_VOTER_MAX = 2  # the second proves equivocation; a third would prove it again

S = TypeVar("S")
"""What proves a vote: its signed form. The accounting never looks into it."""


class Imported(Enum):
    """What became of a vote."""

    COUNTED = auto()
    EQUIVOCATION = auto()
    DUPLICATE = auto()
    IGNORED = auto()
    """A third vote."""

    UNKNOWN_BLOCK = auto()
    """Its target is not known to lie on top of the round's base."""


@dataclass(frozen=True, slots=True)
class RoundState:
    """What the votes of a round say. All blocks lie on one chain, in this order of height:
    finalized <= estimate <= ghost (while at most f voters equivocate).
    """

    ghost: BlockRef | None
    """The highest block with t prevotes for it or above."""

    finalized: BlockRef | None
    """The highest block below the ghost with t precommits."""

    estimate: BlockRef | None
    """The highest block that any voter might see finalized in this round."""

    is_completable: bool
    """Nothing above the estimate can be finalized in this round any more, by anyone."""

    @staticmethod
    def first(base: BlockRef) -> "RoundState":
        """The state of round 0, which nobody votes in: its base is final."""
        return RoundState(base, base, base, True)


class CountedVote(NamedTuple, Generic[S]):
    """A vote that the round keeps."""

    voter: int
    target: BlockRef
    signed: S


class Round(Generic[S]):
    """The votes of one round above a base, and what follows from them."""

    def __init__(self, number: int, voters: VoterSet, base: BlockRef) -> None:
        self.number = number
        self.voters = voters
        self.graph = VoteGraph(base)
        self._votes: tuple[dict[int, list[CountedVote[S]]], ...] = ({}, {})
        self._voted = [0, 0]
        self._equivocated = [0, 0]
        self._state: RoundState | None = None

    @property
    def base(self) -> BlockRef:
        """The block that all votes of this round are on top of."""
        return self.graph.base

    def import_vote(
        self,
        stage: int,
        voter: int,
        target: BlockRef,
        signed: S,
        parent_of: ParentOf,
        is_settled: bool = False,
    ) -> Imported:
        """Count a vote whose signature has been checked.

        `is_settled` says that the target, should it be unknown, can never be above what is final.
        """
        votes = self._votes[stage].setdefault(voter, [])
        if any(vote.target == target for vote in votes):
            return Imported.DUPLICATE
        if len(votes) >= VOTES_PER_VOTER_MAX:
            return Imported.IGNORED
        is_known = self.graph.insert(target, parent_of)
        if not is_known and not is_settled and not votes:
            return Imported.UNKNOWN_BLOCK

        votes.append(CountedVote(voter, target, signed))
        self._state = None
        if len(votes) == 1:
            self._voted[stage] |= 1 << voter
            self.graph.add_vote(target.hash if is_known else self.base.hash, stage, voter)
            return Imported.COUNTED
        self._equivocated[stage] |= 1 << voter
        return Imported.EQUIVOCATION

    def has_vote(self, stage: int, voter: int, target: BlockRef) -> bool:
        """Whether this very vote is counted, whatever its signature."""
        return any(vote.target == target for vote in self._votes[stage].get(voter, ()))

    def votes(self, stage: int) -> Iterator[CountedVote[S]]:
        """All votes kept, by voter; of an equivocator both, in order of arrival."""
        by_voter = self._votes[stage]
        for voter in sorted(by_voter):
            yield from by_voter[voter]

    def votes_of(self, stage: int, voter: int) -> tuple[CountedVote[S], ...]:
        """The votes kept of one voter."""
        return tuple(self._votes[stage].get(voter, ()))

    def voted(self, stage: int) -> int:
        """Mask of those who voted."""
        return self._voted[stage]

    def equivocated(self, stage: int) -> int:
        """Mask of those who voted for two blocks."""
        return self._equivocated[stage]

    @property
    def has_too_many_equivocators(self) -> bool:
        """More than f voters broke the protocol: nothing may be concluded any more."""
        prevotes, precommits = self._equivocated
        return max(prevotes.bit_count(), precommits.bit_count()) > self.voters.faults_max

    @property
    def state(self) -> RoundState:
        """What the votes so far say. Computed when asked for after a change."""
        if self._state is None:
            self._state = self._compute_state()
        return self._state

    def weight(self, block_hash: bytes, stage: int) -> int:
        """How many voters count for a block of the graph."""
        return (self.graph.mask(block_hash, stage) | self._equivocated[stage]).bit_count()

    def _compute_state(self) -> RoundState:
        threshold = self.voters.threshold
        if self._voted[PREVOTE].bit_count() < threshold:
            return RoundState(None, None, None, False)

        ghost = self.graph.ghost(self.base, lambda block: self.weight(block, PREVOTE) >= threshold)
        if self._voted[PRECOMMIT].bit_count() < threshold:
            return RoundState(ghost, None, ghost, False)

        finalized = self.graph.ancestor(
            ghost, lambda block: self.weight(block, PRECOMMIT) >= threshold
        )
        estimate = self.graph.ancestor(ghost, self._is_possible)
        is_completable = estimate is not None and (
            estimate != ghost or self.graph.ghost(ghost, self._is_possible) == ghost
        )
        return RoundState(ghost, finalized, estimate, is_completable)

    def _is_possible(self, block_hash: bytes) -> bool:
        """Whether t precommits for the block may still come together in anyone's view.

        All who have not voted may vote for it, and of those seen elsewhere as many may equivocate
        as the fault bound leaves.
        """
        voted = self._voted[PRECOMMIT].bit_count()
        weight = self.weight(block_hash, PRECOMMIT)
        faults_left = max(0, self.voters.faults_max - self._equivocated[PRECOMMIT].bit_count())
        unseen = len(self.voters) - voted
        return weight + unseen + min(voted - weight, faults_left) >= self.voters.threshold
