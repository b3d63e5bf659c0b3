"""Votes that cannot be counted yet: for the next round, or for a block we do not have.

Invariant: at most two votes per voter and stage are held for the next round, and per (round,
stage, voter); all have a valid signature, so nobody can fill the room of another voter.
"""

from collections.abc import Iterator
from typing import NamedTuple

from consensus.grandpa.records import PROPOSE, stage_of, target_of
from consensus.grandpa.round import VOTES_PER_VOTER_MAX
from consensus.grandpa.vote_graph import BlockRef
from runtime.primitives.grandpa import SignedMessage
from runtime.primitives.types import Hash


class HeldVote(NamedTuple):
    """A vote with its place."""

    round: int
    stage: int
    """PREVOTE, PRECOMMIT or PROPOSE."""

    voter: int
    target: BlockRef
    """What it is for."""

    signed: SignedMessage

    @staticmethod
    def of(round_number: int, voter: int, signed: SignedMessage) -> "HeldVote":
        """The vote that a voter of the set has signed."""
        message = signed.message
        return HeldVote(round_number, stage_of(message), voter, target_of(message), signed)


class HeldVotes:
    """A bounded set of votes."""

    def __init__(self) -> None:
        self._votes: dict[tuple[int, int, int], list[HeldVote]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._votes.values()))

    def __bool__(self) -> bool:
        return bool(self._votes)

    def add(self, vote: HeldVote) -> bool:
        """Hold a vote; False when it is here already or the voter has no room left."""
        votes = self._votes.setdefault((vote.round, vote.stage, vote.voter), [])
        room = 1 if vote.stage == PROPOSE else VOTES_PER_VOTER_MAX
        if len(votes) >= room or any(held.target == vote.target for held in votes):
            return False
        votes.append(vote)
        return True

    def has(self, round_number: int, stage: int, voter: int, target: BlockRef) -> bool:
        """Whether this very vote is held."""
        votes = self._votes.get((round_number, stage, voter), ())
        return any(held.target == target for held in votes)

    def is_full(self, round_number: int, stage: int, voter: int) -> bool:
        """Whether the voter's room is taken: another signature need not be checked."""
        return len(self._votes.get((round_number, stage, voter), ())) >= VOTES_PER_VOTER_MAX

    def take_round(self, round_number: int) -> list[HeldVote]:
        """Remove and return the votes of a round, in a fixed order."""
        keys = sorted(key for key in self._votes if key[0] == round_number)
        return [vote for key in keys for vote in self._votes.pop(key)]

    def take_target(self, block_hash: Hash) -> list[HeldVote]:
        """Remove and return the votes for a block."""
        taken: list[HeldVote] = []
        for key in sorted(self._votes):
            votes = self._votes[key]
            taken += [vote for vote in votes if vote.target.hash == block_hash]
            self._votes[key] = [vote for vote in votes if vote.target.hash != block_hash]
            if not self._votes[key]:
                del self._votes[key]
        return taken

    def drop_before(self, round_number: int) -> None:
        """Forget the votes of older rounds."""
        self._votes = {key: votes for key, votes in self._votes.items() if key[0] >= round_number}

    def take_voter(self, round_number: int, stage: int, voter: int) -> list[HeldVote]:
        """Remove and return the votes of one voter and stage."""
        return self._votes.pop((round_number, stage, voter), [])

    def take_settled(self, finalized: BlockRef) -> list[HeldVote]:
        """Remove and return the votes for blocks at or below the height of a finalized one."""
        taken: list[HeldVote] = []
        for key in sorted(self._votes):
            votes = self._votes[key]
            taken += [vote for vote in votes if vote.target.number <= finalized.number]
            self._votes[key] = [vote for vote in votes if vote.target.number > finalized.number]
            if not self._votes[key]:
                del self._votes[key]
        return taken

    def targets(self) -> Iterator[BlockRef]:
        """The blocks that votes wait for."""
        for key in sorted(self._votes):
            for vote in self._votes[key]:
                yield vote.target
