"""Signs what it can read and judge: votes, seals, signs of life, promises, proofs of ownership.

The rule of votes: of each set, round and stage at most one, and none at or below the key's mark
unless it is the one that was signed; then the stored signature is given again. The rule of seals:
of each slot at most one header, and none of an earlier slot than the last. Marks are durable before
a signature leaves (`marks.py`), so neither a crash nor another node's database changes that.

Invariant: nothing is signed that the signer has not put together itself, field by field. In
particular no bare hash: the payload of a long extrinsic is one.
"""

from consensus.aura import HEADER_BYTES_MAX, pre_hash, slot_of
from consensus.grandpa.records import stage_of
from consensus.ports import SignerMark
from node.keystore import Keystore
from node.signing.marks import Marks, SealMark, VoteMark
from node.signing.statements import Heartbeat, Pledge
from runtime.primitives.block import Header, Seal
from runtime.primitives.crypto import KeyPair
from runtime.primitives.grandpa import Message, vote_payload
from runtime.primitives.session import SessionKeys, prove_ownership
from runtime.primitives.types import AccountId


class SigningRefused(Exception):
    """This is not signed, ever: the message says why."""


class Signer:
    """Keys with their marks. Raises `DiskFailed` when a mark cannot be written."""

    def __init__(self, keystore: Keystore, marks: Marks) -> None:
        self._keystore = keystore
        self._marks = marks

    def marks(self) -> tuple[SignerMark, ...]:
        """The marks of the keys that have ever voted here."""
        held = self._keystore.publics("gran")
        return tuple(mark for mark in self._marks.told() if mark.public in held)

    def sign_vote(self, public: bytes, message: Message, round_number: int, set_id: int) -> bytes:
        """The signature of a vote."""
        pair = self._pair("gran", public)
        payload, stage = vote_payload(message, round_number, set_id), stage_of(message)
        mark = self._marks.vote(public)
        is_same_round = (mark.set_id, mark.round) == (set_id, round_number)
        if is_same_round and stage in mark.votes:
            stored, signature = mark.votes[stage]
            if stored != payload:
                raise SigningRefused("a different vote of this stage was signed")
            return signature
        if not mark.is_below(set_id, round_number, stage):
            raise SigningRefused(
                f"set {set_id} round {round_number} stage {stage} lies below the mark "
                f"(set {mark.set_id}, round {mark.round})"
            )
        signature = pair.sign(payload)
        votes = {**mark.votes} if is_same_round else {}
        votes[stage] = payload, signature
        self._marks.put_vote(public, VoteMark(set_id, round_number, votes))
        return signature

    def sign_seal(self, public: bytes, header: Header) -> bytes:
        """The signature of a header that has no seal yet."""
        pair = self._pair("aura", public)
        slot, size = slot_of(header), len(header.encode())
        if slot is None or any(isinstance(item, Seal) for item in header.digest.logs):
            raise SigningRefused("this is not a header with one slot and without a seal")
        if size > HEADER_BYTES_MAX:
            raise SigningRefused(f"a header of {size} bytes, at most {HEADER_BYTES_MAX}")
        mark, digest = self._marks.seal(public), pre_hash(header)
        if mark is not None and slot == mark.slot and digest == mark.pre_hash:
            return mark.signature
        if mark is not None and slot <= mark.slot:
            raise SigningRefused(
                f"a block of slot {slot}: one of slot {mark.slot} was sealed, 0x{digest.hex()} is "
                "another"
            )
        signature = pair.sign(digest)
        self._marks.put_seal(public, SealMark(slot, digest, signature))
        return signature

    def sign_heartbeat(self, public: bytes, heartbeat: Heartbeat) -> bytes:
        """The signature of a sign of life."""
        return self._pair("aura", public).sign(heartbeat.payload())

    def sign_pledge(self, public: bytes, pledge: Pledge) -> bytes:
        """The signature of a promise. No two exclude each other, so none needs a mark."""
        return self._pair("aura", public).sign(pledge.payload())

    def prove_ownership(self, keys: SessionKeys, owner: AccountId) -> bytes:
        """The proof that both keys, which are here, go to an account."""
        return prove_ownership(
            owner, self._pair("aura", keys.aura), self._pair("gran", keys.grandpa)
        )

    def _pair(self, key_type: str, public: bytes) -> KeyPair:
        pair = self._keystore.get(key_type, public)
        if pair is None:
            raise SigningRefused(f"the {key_type} key 0x{public.hex()} is not in the keystore")
        return pair
