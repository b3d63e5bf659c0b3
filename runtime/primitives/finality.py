"""Whether a proof of finality proves what it says.

What is accepted is the intersection of the rules of Substrate, smoldot and the bridge pallet:
exactly as many precommits as the threshold asks for, one per voter of the set, the target the
lowest of their blocks, the ancestries every header above it up to them, no header unused. The
runtime checks the proof of a handoff by this, consensus checks every proof.

Sources: sp-consensus-grandpa, smoldot's `finality/justification`, bp-header-chain.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from runtime.primitives.block import Header
from runtime.primitives.crypto import Scheme, verify
from runtime.primitives.grandpa import Commit, Justification, SignedPrecommit, vote_payload
from runtime.primitives.types import AuthorityId, Hash

VerifyVote = Callable[[bytes, bytes, bytes], bool]
"""Whether (public key, payload, signature) fit together."""


class BadJustification(Exception):
    """A proof that proves nothing; the message says which rule it breaks."""


class UnknownBlock(Exception):
    """A header on the way to a vote is missing."""

    def __init__(self, block_hash: Hash) -> None:
        super().__init__(f"block 0x{block_hash.hex()} is not known")
        self.block_hash = block_hash


class Target(NamedTuple):
    """A block that is voted for."""

    hash: Hash
    number: int


def faults_max(voters: int) -> int:
    """How many of so many voters may be faulty without harm."""
    return (voters - 1) // 3


def threshold(voters: int) -> int:
    """How many of so many voters decide."""
    return voters - faults_max(voters)


def verify_by_key(public: bytes, payload: bytes, signature: bytes) -> bool:
    """Whether a vote is signed by an ed25519 key."""
    return verify(Scheme.ED25519, public, payload, signature)


def check_justification(
    justification: Justification,
    set_id: int,
    voters: Sequence[AuthorityId],
    verify_vote: VerifyVote = verify_by_key,
) -> None:
    """Check a proof against an authority set; raises `BadJustification`."""
    commit = justification.commit
    check_voters(commit.precommits, voters)
    _check_ancestries(commit, justification.votes_ancestries)
    check_signatures(commit.precommits, justification.round, set_id, verify_vote)


def check_voters(precommits: Sequence[SignedPrecommit], voters: Sequence[AuthorityId]) -> None:
    """Each vote is one of the set's, and there are just enough; raises `BadJustification`."""
    expected = threshold(len(voters))
    if len(precommits) != expected:
        raise BadJustification(f"{len(precommits)} precommits, expected exactly {expected}")
    known, seen = set(voters), set[bytes]()
    for vote in precommits:
        if vote.id not in known:
            raise BadJustification(f"0x{vote.id.hex()} is not in the authority set")
        if vote.id in seen:
            raise BadJustification(f"two precommits of 0x{vote.id.hex()}")
        seen.add(vote.id)


def check_signatures(
    precommits: Sequence[SignedPrecommit], round_number: int, set_id: int, verify_vote: VerifyVote
) -> None:
    """Each vote is signed for this round and set; raises `BadJustification`."""
    for vote in precommits:
        payload = vote_payload(vote.message, round_number, set_id)
        if not verify_vote(vote.id, payload, vote.signature):
            raise BadJustification(f"signature of 0x{vote.id.hex()} is wrong")


def headers_between(
    target: tuple[Hash, int],
    tips: Iterable[tuple[Hash, int]],
    header_of: Callable[[Hash], Header | None],
) -> list[Header]:
    """Every header above `target` on the way to one of `tips`, once each, lowest first.

    Raises `UnknownBlock`, or `BadJustification` when a tip does not descend from the target.
    """
    target_hash, target_number = target
    found: dict[Hash, Header] = {}
    for tip in tips:
        block_hash, number = tip
        while block_hash != target_hash and block_hash not in found:
            if number <= target_number:
                raise BadJustification(f"a precommit is not for a descendant of {target_number}")
            header = header_of(block_hash)
            if header is None:
                raise UnknownBlock(block_hash)
            if header.number != number:
                raise BadJustification(f"block {header.number} is called number {number}")
            found[block_hash] = header
            block_hash, number = header.parent_hash, number - 1
    return sorted(found.values(), key=lambda header: (header.number, header.parent_hash))


def _check_ancestries(commit: Commit, ancestries: Sequence[Header]) -> None:
    """The target is the lowest precommit, all others are above it, no header is idle."""
    headers = {header.hash(): header for header in ancestries}
    if len(headers) != len(ancestries):
        raise BadJustification("a header is given twice in the ancestries")
    target = Target(commit.target_hash, commit.target_number)
    tips = [Target(vote.target_hash, vote.target_number) for vote in commit.precommits]
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
