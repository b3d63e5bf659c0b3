"""Inclusion receipts: a validator's promise that an order will be in a block, and what breaks it.

A validator signs with its Aura key that an extrinsic will be in the chain by `blocks` blocks after
a head, and keeps the promise by putting what it promised first into every block it makes. The
promise is broken when the order is not in by then although the validator made a block in that time
in which it was valid and had room. The evidence is a receipt, the extrinsic itself, two headers
with proofs of the sender's account under their state roots, and a proof that the block which the
validator made does not have the order; nobody has to be believed.

`after_slot` is what makes the promise one that can be kept. Blocks of that slot and before may have
been made already, on a head that the validator came back to, so they do not count. It is the later
one of the slot in which it signs and of the last slot it made a block in, so each block that counts
was begun after the promise was on disk.

Which extrinsics a block has is told by a Merkle tree (`primitives.merkle`) over the hashes of its
signed extrinsics in rising order: two neighbours between which a hash would stand prove its
absence.
"""

from collections.abc import Iterable, Sequence

from runtime.primitives.crypto import KeyPair, Scheme, verify
from runtime.primitives.extrinsic import SIGNED
from runtime.primitives.hashing import blake2_256
from runtime.primitives.merkle import leaf_hash, proof_of, root_by, root_of
from runtime.primitives.scale import U32, Struct, decode_compact
from runtime.primitives.types import AuthorityId, BlockNumber, Hash, Signature, Slot

RECEIPT_BLOCKS_MAX = 64
"""The longest promise: as many blocks as an extrinsic of this chain's own tools is valid."""

DOMAIN = b"DRET-RECEIPT"
"""No block's hash, sign of life or vote begins like this, so no signature is taken for another."""


class Promise(Struct, path="dret_runtime::Promise"):
    """What a receipt says."""

    order: Hash
    """blake2-256 of the extrinsic's bytes."""

    head_number: BlockNumber
    head_hash: Hash
    """The block from which it counts; on a chain without it, the promise is void."""

    blocks: U32
    """The order is in by so many blocks after the head."""

    after_slot: Slot
    """Only blocks of later slots count."""

    @property
    def last(self) -> int:
        """The number of the last block that can keep the promise."""
        return self.head_number + self.blocks

    def payload(self, genesis_hash: Hash) -> bytes:
        """What the validator signs."""
        return DOMAIN + genesis_hash + self.encode()


class Receipt(Struct, path="dret_runtime::Receipt"):
    """A promise with its signature."""

    promise: Promise
    validator: AuthorityId
    """The Aura key that signed."""

    signature: Signature

    def is_signed(self, genesis_hash: Hash) -> bool:
        """Whether the signature is that of the validator's key."""
        payload = self.promise.payload(genesis_hash)
        return verify(Scheme.SR25519, self.validator, payload, self.signature)


class Neighbour(Struct, path="dret_runtime::Neighbour"):
    """The hash of an extrinsic in a block's tree, with the way from it to the root."""

    leaf: Hash
    way: list[Hash]


class Absence(Struct, path="dret_runtime::Absence"):
    """Shows that a block does not have an extrinsic: between these two there is nothing."""

    place: U32
    """How many of the block's hashes lie below that of the extrinsic."""

    below: Neighbour | None
    above: Neighbour | None


class BrokenReceipt(Struct, path="dret_runtime::BrokenReceipt"):
    """Evidence that a promise was broken."""

    receipt: Receipt
    order: bytes
    """The extrinsic."""

    block: BlockNumber
    """The validator's block in which it should have been."""

    parent: bytes
    """The header before that block: in the state after it the order was valid."""

    last: bytes
    """The header of the last block of the promise: after it the order was still not in."""

    accounts: list[bytes]
    """Trie nodes that prove the sender's account in both states."""

    absence: Absence


def give(pair: KeyPair, promise: Promise, genesis_hash: Hash) -> Receipt:
    """The receipt of a validator."""
    return Receipt(promise, pair.public, pair.sign(promise.payload(genesis_hash)))


def hashes_of(extrinsics: Iterable[bytes]) -> list[Hash]:
    """The hashes of a block's signed extrinsics, rising."""
    return sorted({blake2_256(each) for each in extrinsics if _is_signed(each)})


def included_root(hashes: Sequence[Hash]) -> Hash:
    """The root of the tree over a block's hashes, which rise."""
    return root_of([leaf_hash(each) for each in hashes])


def prove_absence(hashes: Sequence[Hash], missing: Hash) -> Absence | None:
    """The proof that a block with these hashes does not have one; None if it has."""
    if missing in hashes:
        return None
    leaves = [leaf_hash(each) for each in hashes]
    place = sum(each < missing for each in hashes)
    below = Neighbour(hashes[place - 1], proof_of(leaves, place - 1)) if place else None
    above = Neighbour(hashes[place], proof_of(leaves, place)) if place < len(hashes) else None
    return Absence(place, below, above)


def is_absent(absence: Absence, missing: Hash, root: Hash, count: int) -> bool:
    """Whether a proof shows that a block, by root and count of its hashes, does not have one."""
    place, below, above = absence.place, absence.below, absence.above
    if place > count or (below is None) != (place == 0) or (above is None) != (place == count):
        return False
    if below is not None and not (below.leaf < missing and _leads(below, place - 1, root, count)):
        return False
    return above is None or (missing < above.leaf and _leads(above, place, root, count))


def _leads(neighbour: Neighbour, place: int, root: Hash, count: int) -> bool:
    return root_by(leaf_hash(neighbour.leaf), place, count, neighbour.way) == root


def _is_signed(extrinsic: bytes) -> bool:
    _, start = decode_compact(extrinsic, 0)
    return extrinsic[start] == SIGNED
