"""Build and verify a proof of finality.

What is built satisfies Substrate, smoldot and the bridge pallet at once: exactly t precommits,
one per authority, sorted by authority, on one chain; the commit's target is the lowest of their
targets; the ancestries are every header above it up to the highest, once each. What is accepted
is the intersection of their rules, which the runtime shares (`runtime.primitives.finality`).
"""

from collections.abc import Callable, Sequence

from consensus.grandpa.records import VoteRound
from consensus.grandpa.round import CountedVote
from consensus.grandpa.vote_graph import PRECOMMIT, BlockRef
from consensus.grandpa.voter_set import VoterSet
from consensus.ports import SignatureVerifier
from runtime.primitives.block import Header
from runtime.primitives.finality import (
    BadJustification,
    UnknownBlock,
    check_justification,
    check_signatures,
    check_voters,
    headers_between,
)
from runtime.primitives.grandpa import Commit, Justification, SignedMessage, SignedPrecommit
from runtime.primitives.types import Hash

__all__ = [
    "BadJustification",
    "UnknownBlock",
    "build_justification",
    "check_commit_form",
    "justify",
    "verify_justification",
    "verify_signatures",
]

HeaderOf = Callable[[Hash], Header | None]


def build_justification(
    round_: VoteRound, above: BlockRef, header_of: HeaderOf
) -> Justification | None:
    """The proof for the highest block above `above` that the precommits of a round allow.

    None while no t precommits lie on one chain there. Honest precommits of a round always do, so
    when an equivocator's stray vote is in the way, the missing honest ones will complete it.
    """
    best: tuple[int, int, Hash] | None = None
    chosen: list[CountedVote[SignedMessage]] = []
    for tip in sorted({vote.target for vote in round_.votes(PRECOMMIT)}):
        votes = _highest_on_chain(round_, tip)
        if votes is None or votes[-1].target.number <= above.number:
            continue
        target = votes[-1].target
        rank = (target.number, -votes[0].target.number, target.hash)
        if best is None or rank > best:
            best, chosen = rank, votes
    if not chosen:
        return None
    target, top = chosen[-1].target, chosen[0].target
    headers = headers_between(target, [top], header_of)
    return Justification(round_.number, _commit_of(target, chosen), headers)


def justify(round_number: int, commit: Commit, header_of: HeaderOf) -> Justification:
    """A commit with its ancestries; raises `UnknownBlock` or `BadJustification`."""
    target = BlockRef(commit.target_hash, commit.target_number)
    tips = [BlockRef(vote.target_hash, vote.target_number) for vote in commit.precommits]
    return Justification(round_number, commit, headers_between(target, tips, header_of))


def verify_justification(
    justification: Justification, set_id: int, voters: VoterSet, verifier: SignatureVerifier
) -> None:
    """Check a proof against an authority set; raises `BadJustification`."""
    check_justification(justification, set_id, voters.keys, verifier.verify_vote)


def verify_signatures(
    precommits: Sequence[SignedPrecommit],
    round_number: int,
    set_id: int,
    verifier: SignatureVerifier,
) -> None:
    """Check the signature of every precommit; raises `BadJustification`."""
    check_signatures(precommits, round_number, set_id, verifier.verify_vote)


def check_commit_form(commit: Commit, voters: VoterSet) -> None:
    """The checks of a commit that need no block and no signature; raises `BadJustification`."""
    check_voters(commit.precommits, voters.keys)
    numbers = [vote.target_number for vote in commit.precommits]
    if min(numbers) != commit.target_number:
        raise BadJustification(
            f"target number {commit.target_number}, lowest precommit {min(numbers)}"
        )


def _highest_on_chain(round_: VoteRound, tip: BlockRef) -> list[CountedVote[SignedMessage]] | None:
    """The t highest precommits, one per voter, on the chain that ends in `tip`; highest first."""
    best_of: dict[int, CountedVote[SignedMessage]] = {}
    for vote in round_.votes(PRECOMMIT):
        if round_.graph.is_on_chain(vote.target, tip):
            other = best_of.get(vote.voter)
            if other is None or other.target.number < vote.target.number:
                best_of[vote.voter] = vote
    votes = sorted(best_of.values(), key=lambda vote: (-vote.target.number, vote.voter))
    threshold = round_.voters.threshold
    return votes[:threshold] if len(votes) >= threshold else None


def _commit_of(target: BlockRef, votes: Sequence[CountedVote[SignedMessage]]) -> Commit:
    precommits = [
        SignedPrecommit(vote.target.hash, vote.target.number, vote.signed.signature, vote.signed.id)
        for vote in sorted(votes, key=lambda vote: vote.signed.id)
    ]
    return Commit(target.hash, target.number, precommits)
