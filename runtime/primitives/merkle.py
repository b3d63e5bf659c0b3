"""Merkle trees over lists of records: roots, proofs that a record is in, and their verification.

The shape of RFC 9162 (certificate transparency), section 2.1, with blake2-256: a record is hashed
after a zero byte, two hashes after a one byte, and a list is split at the largest power of two
below its length. So no node can be taken for a record, and each list has one root.
"""

from collections.abc import Sequence

from runtime.primitives.hashing import blake2_256
from runtime.primitives.types import Hash

PROOF_LENGTH_MAX = 64
"""Hashes of a proof in a list as long as any."""


def leaf_hash(record: bytes) -> Hash:
    """The hash of a record."""
    return blake2_256(b"\x00" + record)


def node_hash(left: Hash, right: Hash) -> Hash:
    """The hash of two trees side by side."""
    return blake2_256(b"\x01" + left + right)


def split_of(count: int) -> int:
    """The largest power of two below a count of at least two."""
    return 1 << ((count - 1).bit_length() - 1)


def root_of(leaves: Sequence[Hash]) -> Hash:
    """The root over the hashes of records; of none, the hash of nothing."""
    if not leaves:
        return blake2_256(b"")
    if len(leaves) == 1:
        return leaves[0]
    split = split_of(len(leaves))
    return node_hash(root_of(leaves[:split]), root_of(leaves[split:]))


def proof_of(leaves: Sequence[Hash], index: int) -> list[Hash]:
    """The hashes that lead from a leaf to the root, from the leaf on."""
    if len(leaves) == 1:
        return []
    split = split_of(len(leaves))
    if index < split:
        return [*proof_of(leaves[:split], index), root_of(leaves[split:])]
    return [*proof_of(leaves[split:], index - split), root_of(leaves[:split])]


def root_by(leaf: Hash, index: int, count: int, proof: Sequence[Hash]) -> Hash | None:
    """The root of the list of `count` that has this leaf at `index`; None if no proof is so long
    or short.
    """
    if not 0 <= index < count:
        return None
    if count == 1:
        return leaf if not proof else None
    if not proof or len(proof) > PROOF_LENGTH_MAX:
        return None
    split, sibling = split_of(count), proof[-1]
    if index < split:
        below = root_by(leaf, index, split, proof[:-1])
        return None if below is None else node_hash(below, sibling)
    below = root_by(leaf, index - split, count - split, proof[:-1])
    return None if below is None else node_hash(sibling, below)
