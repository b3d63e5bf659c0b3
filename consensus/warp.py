"""From one final block to the last one without the blocks in between: a proof for each handoff.

A fragment is a header and the justification of its block by the voters of that time. Each but the
last hands over to the voters who justified the next, so whoever knows the first voters can follow
to the last block that is final. The form is Substrate's `WarpSyncProof`.

Invariant: a position only moves on by a justification that the voters of the position signed.
"""

from dataclasses import dataclass, replace
from typing import Annotated

from consensus import aura
from consensus.aura import BadHeader
from consensus.grandpa.justification import BadJustification, verify_justification
from consensus.grandpa.vote_graph import BlockRef
from consensus.grandpa.voter_set import VoterSet
from consensus.ports import SignatureVerifier
from runtime.primitives.block import Header
from runtime.primitives.grandpa import Justification
from runtime.primitives.scale import MaxLen, Struct

PROOF_BYTES_MAX = 4 << 20  # of one answer; a handoff of seven voters has some 1.5 kB
FRAGMENTS_MAX = 1 << 14  # of one answer: more than fit into its bytes


class WarpFragment(Struct):
    """A final block: one that hands over, or the last one."""

    header: Header
    justification: Justification


class WarpProof(Struct):
    """Fragments by rising number; `is_finished` when the last is the prover's last final block."""

    proofs: Annotated[list[WarpFragment], MaxLen(FRAGMENTS_MAX)]
    is_finished: bool


class BadWarpProof(Exception):
    """A proof that does not lead on; the message says which fragment breaks which rule."""


@dataclass(frozen=True, slots=True)
class WarpPosition:
    """How far the proofs have led: a final block, and who votes on what is above it."""

    block: BlockRef
    set_id: int
    voters: tuple[bytes, ...]
    last: WarpFragment | None = None
    """The block's fragment; None at the start."""

    handoffs: tuple[WarpFragment, ...] = ()
    """All fragments that handed over, to be served to others."""


def follow(position: WarpPosition, proof: WarpProof, verifier: SignatureVerifier) -> WarpPosition:
    """Where a proof leads from a position. Raises `BadWarpProof`."""
    handoffs = list(position.handoffs)
    for place, fragment in enumerate(proof.proofs):
        is_last = proof.is_finished and place == len(proof.proofs) - 1
        try:
            position = _step(position, fragment, is_last, verifier)
        except (BadHeader, BadJustification) as error:
            where = f"fragment {place} of {len(proof.proofs)}, block {fragment.header.number}"
            raise BadWarpProof(f"{where}: {error}") from error
        if aura.scheduled_change_of(fragment.header) is not None:
            handoffs.append(fragment)
    return replace(position, handoffs=tuple(handoffs))


def _step(
    position: WarpPosition, fragment: WarpFragment, is_last: bool, verifier: SignatureVerifier
) -> WarpPosition:
    header, justification = fragment.header, fragment.justification
    block = BlockRef(header.hash(), header.number)
    if block.number <= position.block.number:
        raise BadJustification(f"it does not lie above block {position.block.number}")
    target = BlockRef(justification.commit.target_hash, justification.commit.target_number)
    if target != block:
        raise BadJustification(f"its justification is for block {target.number}")
    verify_justification(justification, position.set_id, VoterSet(position.voters), verifier)
    change = aura.scheduled_change_of(header)
    if change is None and not is_last:
        raise BadJustification("it hands over to nobody and is not the last one")
    set_id = position.set_id if change is None else position.set_id + 1
    voters = position.voters if change is None else change
    return WarpPosition(block, set_id, voters, fragment)
