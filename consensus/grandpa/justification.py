"""Build and verify a proof of finality.

What is built satisfies Substrate, smoldot and the bridge pallet at once: exactly t precommits,
one per authority, sorted by authority, on one chain; the commit's target is the lowest of their
targets; the ancestries are every header above it up to the highest, once each. What is accepted
is the intersection of their rules: no stranger, no duplicate, no header unused, no vote too many.
"""

from collections.abc import Callable, Iterable, Sequence

from consensus.grandpa.records import VoteRound
from consensus.grandpa.round import CountedVote
from consensus.grandpa.vote_graph import PRECOMMIT, BlockRef
from consensus.grandpa.voter_set import VoterSet
from consensus.ports import SignatureVerifier
from runtime.primitives.block import Header
from runtime.primitives.grandpa import (
    Commit,
    Justification,
    SignedMessage,
    SignedPrecommit,
    vote_payload,
)
from runtime.primitives.types import Hash

HeaderOf = Callable[[Hash], Header | None]


class BadJustification(Exception):
    """A proof that proves nothing; the message says which rule it breaks."""


class UnknownBlock(Exception):
    """A commit cannot be judged yet: a block it votes for is not known here."""

    def __init__(self, block_hash: Hash) -> None:
        super().__init__(f"block 0x{block_hash.hex()} is not known")
        self.block_hash = block_hash


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


def headers_between(
    target: BlockRef, tips: Iterable[BlockRef], header_of: HeaderOf
) -> list[Header]:
    """Every header above `target` on the way to one of `tips`, once each, lowest first."""
    found: dict[Hash, Header] = {}
    for tip in tips:
        block_hash, number = tip
        while block_hash != target.hash and block_hash not in found:
            if number <= target.number:
                raise BadJustification(f"a precommit is not for a descendant of {target.number}")
            header = header_of(block_hash)
            if header is None:
                raise UnknownBlock(block_hash)
            if header.number != number:
                raise BadJustification(f"block {header.number} is called number {number}")
            found[block_hash] = header
            block_hash, number = header.parent_hash, number - 1
    return sorted(found.values(), key=lambda header: (header.number, header.parent_hash))


def verify_justification(
    justification: Justification, set_id: int, voters: VoterSet, verifier: SignatureVerifier
) -> None:
    """Check a proof against an authority set; raises `BadJustification`."""
    commit = justification.commit
    _check_voters(commit.precommits, voters)
    _check_ancestries(commit, justification.votes_ancestries)
    verify_signatures(commit.precommits, justification.round, set_id, verifier)


def verify_signatures(
    precommits: Sequence[SignedPrecommit],
    round_number: int,
    set_id: int,
    verifier: SignatureVerifier,
) -> None:
    """Check the signature of every precommit; raises `BadJustification`."""
    for vote in precommits:
        payload = vote_payload(vote.message, round_number, set_id)
        if not verifier.verify_vote(vote.id, payload, vote.signature):
            raise BadJustification(f"signature of 0x{vote.id.hex()} is wrong")


def check_commit_form(commit: Commit, voters: VoterSet) -> None:
    """The checks of a commit that need no block and no signature; raises `BadJustification`."""
    _check_voters(commit.precommits, voters)
    numbers = [vote.target_number for vote in commit.precommits]
    if min(numbers) != commit.target_number:
        raise BadJustification(
            f"target number {commit.target_number}, lowest precommit {min(numbers)}"
        )


def _check_voters(precommits: Sequence[SignedPrecommit], voters: VoterSet) -> None:
    if len(precommits) != voters.threshold:
        raise BadJustification(f"{len(precommits)} precommits, expected exactly {voters.threshold}")
    seen: set[bytes] = set()
    for vote in precommits:
        if voters.index(vote.id) is None:
            raise BadJustification(f"0x{vote.id.hex()} is not in the authority set")
        if vote.id in seen:
            raise BadJustification(f"two precommits of 0x{vote.id.hex()}")
        seen.add(vote.id)


def _check_ancestries(commit: Commit, ancestries: Sequence[Header]) -> None:
    """The target is the lowest precommit, all others are above it, no header is idle."""
    headers = {header.hash(): header for header in ancestries}
    if len(headers) != len(ancestries):
        raise BadJustification("a header is given twice in the ancestries")
    target = BlockRef(commit.target_hash, commit.target_number)
    tips = [BlockRef(vote.target_hash, vote.target_number) for vote in commit.precommits]
    if target not in tips:
        raise BadJustification("no precommit is for the commit's target itself")
    try:
        used = headers_between(target, tips, headers.get)
    except UnknownBlock as error:
        raise BadJustification(f"ancestries do not lead to the target: {error}") from error
    if any(tip.number != target.number for tip in tips if tip.hash == target.hash):
        raise BadJustification("a precommit gives the target another number")
    if len(used) != len(headers):
        raise BadJustification(f"{len(headers) - len(used)} headers of the ancestries are unused")


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
