"""Receipts as bytes, and proofs that a block does not have an extrinsic."""

from hashlib import blake2b

from hypothesis import given as examples
from hypothesis import strategies as st
from msgspec.structs import replace

from runtime.primitives.crypto import KeyPair, Scheme
from runtime.primitives.merkle import leaf_hash, proof_of
from runtime.primitives.receipts import (
    Absence,
    Neighbour,
    Promise,
    Receipt,
    give,
    hashes_of,
    included_root,
    is_absent,
    prove_absence,
)

ALICE = KeyPair.from_suri("//Alice", Scheme.SR25519)
GENESIS = bytes(range(32))
PROMISE = Promise(bytes([0xAA]) * 32, 258, bytes([0xBB]) * 32, 16, 0x0102030405)

HASHES = st.lists(st.binary(min_size=32, max_size=32), unique=True, max_size=40).map(sorted)


def test_a_promise_has_these_bytes() -> None:
    """Put together by hand: hash, number, hash, blocks, slot; numbers in little-endian."""
    expected = (
        bytes([0xAA]) * 32
        + bytes.fromhex("02010000")
        + bytes([0xBB]) * 32
        + bytes.fromhex("10000000")
        + bytes.fromhex("0504030201000000")
    )

    assert PROMISE.encode() == expected
    assert PROMISE.payload(GENESIS) == b"DRET-RECEIPT" + GENESIS + expected
    assert PROMISE.last == 274


def test_a_receipt_is_promise_key_and_signature() -> None:
    receipt = give(ALICE, PROMISE, GENESIS)

    assert receipt.encode() == PROMISE.encode() + ALICE.public + receipt.signature
    assert len(receipt.encode()) == 176
    assert Receipt.decode(receipt.encode()) == receipt


def test_a_signature_is_for_one_chain_one_key_and_one_promise() -> None:
    receipt = give(ALICE, PROMISE, GENESIS)
    bob = KeyPair.from_suri("//Bob", Scheme.SR25519)

    assert receipt.is_signed(GENESIS)
    assert not receipt.is_signed(bytes(32))
    assert not replace(receipt, validator=bob.public).is_signed(GENESIS)
    assert not replace(receipt, promise=replace(PROMISE, blocks=17)).is_signed(GENESIS)


def test_only_signed_extrinsics_are_in_the_tree_and_each_once() -> None:
    inherent, one, other = b"\x08\x04\x01", b"\x08\x84\x01", b"\x08\x84\x02"

    found = hashes_of([inherent, one, other, one])

    assert found == sorted(blake2b(each, digest_size=32).digest() for each in (one, other))


@examples(HASHES, st.binary(min_size=32, max_size=32))
def test_what_is_not_in_a_block_is_proved_absent_and_what_is_in_is_not(
    hashes: list[bytes], other: bytes
) -> None:
    root, count = included_root(hashes), len(hashes)

    for sought in (other, *hashes):
        absence = prove_absence(hashes, sought)
        if sought in hashes:
            assert absence is None
        else:
            assert absence is not None
            assert is_absent(absence, sought, root, count)


@examples(HASHES.filter(lambda hashes: len(hashes) > 0), st.data())
def test_no_proof_shows_that_what_is_in_is_absent(hashes: list[bytes], data: st.DataObject) -> None:
    """Whatever place is claimed and whichever two of the block's hashes are called neighbours."""
    root, count = included_root(hashes), len(hashes)
    leaves = [leaf_hash(each) for each in hashes]
    sought = data.draw(st.sampled_from(hashes))
    places = st.integers(0, count)

    def neighbour(at: int) -> Neighbour | None:
        return Neighbour(hashes[at], proof_of(leaves, at)) if 0 <= at < count else None

    place, below, above = data.draw(places), data.draw(places), data.draw(places)
    claims = [
        Absence(place, neighbour(below), neighbour(above)),
        Absence(place, neighbour(place - 1), neighbour(place)),
        Absence(place, neighbour(place - 1), neighbour(place + 1)),
        Absence(place, neighbour(place - 1), None),
        Absence(place, None, neighbour(place)),
        Absence(place, None, None),
    ]

    assert not any(is_absent(claim, sought, root, count) for claim in claims)


def test_a_neighbour_that_does_not_lead_to_the_root_proves_nothing() -> None:
    hashes = [bytes([n]) * 32 for n in range(1, 8)]
    sought = bytes([3]) * 31 + b"\xff"
    absence = prove_absence(hashes, sought)
    assert absence is not None
    assert absence.below is not None
    root = included_root(hashes)
    wrong = replace(absence.below, way=[bytes(32), *absence.below.way[1:]])

    assert is_absent(absence, sought, root, 7)
    assert not is_absent(replace(absence, below=wrong), sought, root, 7)
    assert not is_absent(absence, sought, root, 3)
    assert not is_absent(absence, sought, bytes(32), 7)
