"""Proofs that a validator signed what excludes each other. Nobody has to be believed.

A set of validators is named by its GRANDPA number; the session pallet keeps old ones, so that a
proof holds after the set has changed.
"""

from runtime.frame import AccountId, Slot, UnitEnum
from runtime.pallets.aura import slot_of
from runtime.pallets.session import SetRecord
from runtime.primitives.aura import ENGINE_ID
from runtime.primitives.block import Digest, Header, Seal
from runtime.primitives.crypto import Scheme, verify
from runtime.primitives.grandpa import EquivocationProof, vote_payload
from runtime.primitives.hashing import blake2_256

HEADER_BYTES_MAX = 8 * 1024  # as consensus accepts them


class OffenceKind(UnitEnum):
    """What a validator did."""

    TWO_BLOCKS = 0
    """It sealed two blocks of one slot."""

    TWO_VOTES = 1
    """It cast two votes of one stage of a round."""

    UNRESPONSIVE = 2
    """It showed no sign of life for three sessions."""

    BROKEN_RECEIPT = 3
    """It left out an order that it had promised to include (`receipts.py`)."""


class BadProof(Exception):
    """The proof proves nothing; the message says why."""


def equivocating_author(
    record: SetRecord, following: SetRecord | None, first: bytes, second: bytes
) -> tuple[AccountId, Slot]:
    """Who sealed two blocks of one slot, by their encoded headers. Raises `BadProof`."""
    headers = [_header(encoded) for encoded in (first, second)]
    slots = {slot_of(header.digest) for header in headers}
    slot = slots.pop()
    if slots or slot is None:
        raise BadProof("the headers are not of one slot")
    if slot <= record.after_slot or (following is not None and slot > following.after_slot):
        raise BadProof(f"the set did not author in slot {slot}")
    who, keys = record.validators[slot % len(record.validators)]
    hashes: set[bytes] = set()
    for header in headers:
        pre_hash, signature = _sealed(header)
        if not verify(Scheme.SR25519, keys.aura, pre_hash, signature):
            raise BadProof("a seal is not that of the slot's author")
        hashes.add(pre_hash)
    if len(hashes) < len(headers):
        raise BadProof("both headers are the same")
    return who, slot


def equivocating_voter(record: SetRecord, proof: EquivocationProof) -> AccountId:
    """Who cast two votes of one stage. Raises `BadProof`."""
    found = proof.equivocation
    accounts = {keys.grandpa: account for account, keys in record.validators}
    who = accounts.get(found.identity)
    if who is None:
        raise BadProof("the voter is not in the set")
    votes = (found.first, found.second)
    if found.first.target == found.second.target:
        raise BadProof("both votes are for one block")
    for vote in votes:
        payload = vote_payload(found.message_of(vote), found.round, proof.set_id)
        if not verify(Scheme.ED25519, found.identity, payload, vote.signature):
            raise BadProof("a signature is not the voter's")
    return who


def offence_key(kind: OffenceKind, number: int, who: AccountId) -> bytes:
    """By which an offence is told from others: kind, slot or round, offender."""
    return blake2_256(bytes([kind.value]) + number.to_bytes(8, "little") + who)


def _header(encoded: bytes) -> Header:
    if len(encoded) > HEADER_BYTES_MAX:
        raise BadProof(f"a header of {len(encoded)} bytes")
    return Header.decode(encoded)


def _sealed(header: Header) -> tuple[bytes, bytes]:
    """What the seal signs, and the seal."""
    logs = header.digest.logs
    last = logs[-1] if logs else None
    if not isinstance(last, Seal) or last.engine != ENGINE_ID:
        raise BadProof("a header without a seal")
    bare = Header(
        header.parent_hash,
        header.number,
        header.state_root,
        header.extrinsics_root,
        Digest(logs[:-1]),
    )
    return blake2_256(bare.encode()), last.data
