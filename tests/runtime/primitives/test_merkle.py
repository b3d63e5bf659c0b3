"""Merkle trees: known answers of the shape, proofs for every record, and none for another."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.primitives.hashing import blake2_256
from runtime.primitives.merkle import leaf_hash, node_hash, proof_of, root_by, root_of

RECORDS = st.lists(st.binary(max_size=40), min_size=1, max_size=40)


def twin_root(leaves: Sequence[bytes]) -> bytes:
    """The same root level by level: neighbours are joined, an odd one goes up as it is."""
    level = list(leaves)
    while len(level) > 1:
        joined = [node_hash(*level[at : at + 2]) for at in range(0, len(level) - 1, 2)]
        level = joined + ([level[-1]] if len(level) % 2 else [])
    return level[0]


def test_a_root_by_hand() -> None:
    a, b, c = (leaf_hash(record) for record in (b"a", b"b", b"c"))

    assert a == blake2_256(b"\x00a")
    assert root_of([a, b, c]) == blake2_256(b"\x01" + blake2_256(b"\x01" + a + b) + c)
    assert proof_of([a, b, c], 1) == [a, c]
    assert root_of([]) == blake2_256(b"")


@given(RECORDS)
def test_the_root_is_that_of_the_twin(records: list[bytes]) -> None:
    leaves = [leaf_hash(record) for record in records]

    assert root_of(leaves) == twin_root(leaves)


@given(RECORDS, st.data())
def test_every_record_is_proved_and_nothing_else_by_the_same_hashes(
    records: list[bytes], data: st.DataObject
) -> None:
    leaves = [leaf_hash(record) for record in records]
    index = data.draw(st.integers(0, len(leaves) - 1))
    proof, root = proof_of(leaves, index), root_of(leaves)

    assert root_by(leaves[index], index, len(leaves), proof) == root
    assert root_by(leaf_hash(b"other" * 20), index, len(leaves), proof) != root
    assert root_by(leaves[index], index, len(leaves), [*proof, root]) != root
    for place in range(len(proof)):
        changed = [*proof[:place], blake2_256(proof[place]), *proof[place + 1 :]]
        assert root_by(leaves[index], index, len(leaves), changed) != root


@pytest.mark.parametrize(
    ("index", "count", "hashes"), [(-1, 2, 1), (2, 2, 1), (0, 1, 1), (0, 2, 0), (0, 2**40, 65)]
)
def test_what_cannot_be_a_proof_has_no_root(index: int, count: int, hashes: int) -> None:
    assert root_by(leaf_hash(b"a"), index, count, [bytes(32)] * hashes) is None
