"""What the calls that nobody signs are about: the pool keeps one for each tag."""

from runtime.pallets.aura import slot_of
from runtime.primitives.block import Header
from runtime.primitives.grandpa import EquivocationProof

REPORTS_MAX = 64  # of authors in the pool: they pay nothing


def tag_heartbeat(
    session: int, who: bytes, finalized: int, version: bytes, signature: bytes
) -> bytes:
    """One sign of life of an account and session is enough."""
    return b"heartbeat" + session.to_bytes(4, "little") + who


def tag_author_report(set_id: int, first: bytes, second: bytes) -> bytes:
    """At most 64 reports at a time, whatever headers an author makes up against itself."""
    slot = slot_of(Header.decode(first).digest) or 0
    return b"author" + (slot % REPORTS_MAX).to_bytes(1, "little")


def tag_vote_report(proof: bytes) -> bytes:
    """One report of a voter at a time."""
    return b"vote" + EquivocationProof.decode(proof).equivocation.identity
