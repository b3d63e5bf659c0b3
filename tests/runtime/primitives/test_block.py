"""Headers and blocks round trip; extrinsics inside a block keep the length they carry."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.primitives.block import (
    Block,
    Consensus,
    Digest,
    DigestItem,
    Extrinsic,
    Header,
    Other,
    PreRuntime,
    RuntimeEnvironmentUpdated,
    Seal,
)
from runtime.primitives.scale import DecodeError, EncodeError, codec, describe, shape_of

HASHES = st.binary(min_size=32, max_size=32)
ENGINES = st.binary(min_size=4, max_size=4)
ITEMS = st.one_of(
    st.builds(Other, st.binary(max_size=9)),
    st.builds(Consensus, ENGINES, st.binary(max_size=9)),
    st.builds(PreRuntime, ENGINES, st.binary(max_size=9)),
    st.builds(Seal, ENGINES, st.binary(min_size=64, max_size=64)),
    st.just(RuntimeEnvironmentUpdated()),
)
HEADERS = st.builds(
    Header,
    HASHES,
    st.integers(0, 2**32 - 1),
    HASHES,
    HASHES,
    st.builds(Digest, st.lists(ITEMS, max_size=4)),
)
EXTRINSICS = st.lists(st.binary(max_size=90).map(codec(bytes).encode), max_size=4)


@given(HEADERS, EXTRINSICS)
def test_a_block_is_its_header_and_its_extrinsics_one_behind_the_other(
    header: Header, extrinsics: list[bytes]
) -> None:
    block = Block(header, extrinsics)

    assert Block.decode(block.encode()) == block
    body = block.encode().removeprefix(header.encode())
    assert body == bytes([len(extrinsics) << 2]) + b"".join(extrinsics)


@given(HEADERS, HEADERS)
def test_different_headers_have_different_hashes(first: Header, second: Header) -> None:
    assert (first == second) == (first.hash() == second.hash())


@pytest.mark.parametrize(
    ("item", "encoded"),
    [
        (PreRuntime(b"aura", (290_000_000).to_bytes(8, "little")), "066175726120800c491100000000"),
        (Seal(b"aura", bytes(64)), "05617572610101" + "00" * 64),
        (Other(b"\1\2"), "00080102"),
        (RuntimeEnvironmentUpdated(), "08"),
    ],
)
def test_digest_items_have_the_bytes_of_substrate(item: DigestItem, encoded: str) -> None:
    assert item.encode().hex() == encoded
    assert DigestItem.decode(bytes.fromhex(encoded)) == item


def test_an_extrinsic_without_its_own_length_is_not_put_in_a_block() -> None:
    header = Header(bytes(32), 0, bytes(32), bytes(32), Digest([]))

    with pytest.raises(EncodeError, match="announces"):
        Block(header, [b"\x10abc"]).encode()


def test_a_block_whose_extrinsic_is_cut_off_is_refused() -> None:
    header = Header(bytes(32), 0, bytes(32), bytes(32), Digest([]))
    whole = Block(header, [b"\x0cabc"]).encode()

    with pytest.raises(DecodeError, match="announces 3 bytes, 2 remain"):
        Block.decode(whole[:-1])


def test_an_extrinsic_is_described_as_opaque_bytes() -> None:
    opaque = describe(Extrinsic)

    assert opaque.path == ("sp_runtime", "OpaqueExtrinsic")
    assert [field.shape for field in opaque.fields] == [shape_of(bytes)]
