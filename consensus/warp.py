"""From one final block to the last one without the blocks in between: a proof for each handoff.

A fragment is a header and the justification of its block by the voters of that time. Each but the
last hands over to the voters who justified the next, so whoever knows the first voters can follow
to the last block that is final. The form is Substrate's `WarpSyncProof`; an answer has recoveries
behind it when there are some (`runtime.primitives.recovery`): where voters could not hand over, the
members' override leads on.

Invariant: a position only moves on by a justification that the voters of the position signed, or by
an override that the members in a state signed which those voters made final.
"""

from collections.abc import Sequence
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
from runtime.primitives.recovery import (
    BadOverride,
    ReadSigners,
    RecoveryLink,
    check_link,
    recovery_keys_of,
)
from runtime.primitives.scale import DecodeError, MaxLen, Struct, codec
from runtime.primitives.types import Hash

PROOF_BYTES_MAX = 4 << 20  # of one answer; a handoff of seven voters has some 1.5 kB
FRAGMENTS_MAX = 1 << 14  # of one answer: more than fit into its bytes
RECOVERIES_MAX = 64  # of one answer: members who override that often have another problem


class WarpFragment(Struct):
    """A final block: one that hands over, or the last one."""

    header: Header
    justification: Justification


class WarpProof(Struct):
    """Fragments by rising number; `is_finished` when the last is the prover's last final block."""

    proofs: Annotated[list[WarpFragment], MaxLen(FRAGMENTS_MAX)]
    is_finished: bool


_PROOF = codec(WarpProof)
_LINKS = codec(Annotated[list[RecoveryLink], MaxLen(RECOVERIES_MAX)])


def encode_answer(proof: WarpProof, links: Sequence[RecoveryLink]) -> bytes:
    """What is sent: Substrate's form, and the recoveries if there are any."""
    return proof.encode() + (_LINKS.encode(list(links)) if links else b"")


def decode_answer(data: bytes) -> tuple[WarpProof, list[RecoveryLink]]:
    """The inverse. Raises `DecodeError`."""
    proof, end = _PROOF.decode_from(data, 0)
    return proof, _LINKS.decode(data[end:]) if end < len(data) else []


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

    recoveries: tuple[RecoveryLink, ...] = ()
    """The same of overrides."""


@dataclass(frozen=True, slots=True)
class Recoveries:
    """The overrides of an answer, and what they are judged by."""

    genesis: Hash
    links: Sequence[RecoveryLink]
    """By rising number of the block that they start from."""

    read: ReadSigners


def follow(
    position: WarpPosition,
    proof: WarpProof,
    verifier: SignatureVerifier,
    recoveries: Recoveries | None = None,
) -> WarpPosition:
    """Where a proof leads from a position. Raises `BadWarpProof`."""
    handoffs, taken = list(position.handoffs), list(position.recoveries)
    links = [] if recoveries is None else list(recoveries.links)
    for place, fragment in enumerate(proof.proofs):
        while links and links[0].proof.override.start.number < fragment.header.number:
            link = links.pop(0)
            if recoveries is not None and link.proof.override.old_set_id >= position.set_id:
                position = _recover(position, link, recoveries, verifier)
                taken.append(link)
        is_last = proof.is_finished and place == len(proof.proofs) - 1
        try:
            position = _step(position, fragment, is_last, verifier)
        except (BadHeader, BadJustification) as error:
            where = f"fragment {place} of {len(proof.proofs)}, block {fragment.header.number}"
            raise BadWarpProof(f"{where}: {error}") from error
        if aura.scheduled_change_of(fragment.header) is not None:
            handoffs.append(fragment)
    return replace(position, handoffs=tuple(handoffs), recoveries=tuple(taken))


def _recover(
    position: WarpPosition,
    link: RecoveryLink,
    recoveries: Recoveries,
    verifier: SignatureVerifier,
) -> WarpPosition:
    """Go over to the voters of an override. Raises `BadWarpProof`."""
    override = link.proof.override
    final = BlockRef(override.finalized.hash, override.finalized.number)
    try:
        if final != position.block:
            header = link.proof.finalized_header
            if final.number <= position.block.number:
                raise BadJustification(f"it does not lie above block {position.block.number}")
            if aura.scheduled_change_of(header) is not None:
                raise BadJustification(f"block {final.number} hands over, and was not shown to")
            proof = Justification.decode(link.proof.justification or b"")
            if BlockRef(proof.commit.target_hash, proof.commit.target_number) != final:
                raise BadJustification(f"its justification is for {proof.commit.target_number}")
            verify_justification(proof, position.set_id, VoterSet(position.voters), verifier)
        check_link(link, recoveries.genesis, position.set_id, recoveries.read)
    except (BadHeader, BadJustification, BadOverride, DecodeError) as error:
        where = f"the override that starts from block {override.start.number}"
        raise BadWarpProof(f"{where}: {error}") from error
    start = BlockRef(override.start.hash, override.start.number)
    return WarpPosition(start, override.set_id, recovery_keys_of(link.proof))


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
