"""SCALE as polkadot.js and scalecodec write it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scalecodec.base import RuntimeConfigurationObject, ScaleBytes
from scalecodec.type_registry import load_type_registry_preset

from runtime.primitives.scale import (
    I64,
    U8,
    U16,
    U32,
    U64,
    U128,
    Compact,
    Struct,
    codec,
    decode_compact,
    encode_compact,
)
from tests.vectors.load import load, unhex

COMPACTS = [
    (int(value), unhex(text)) for value, text in load("substrate/client_vectors.json")["compact"]
]


@pytest.mark.parametrize(("value", "encoded"), COMPACTS)
def test_compact_integers_are_those_of_polkadot_js(value: int, encoded: bytes) -> None:
    assert encode_compact(value) == encoded
    assert decode_compact(encoded, 0) == (value, len(encoded))
    assert codec(Compact[U128]).encode(value) == encoded
    assert codec(Compact[U128]).decode(encoded) == value


@pytest.mark.parametrize(
    ("tp", "value", "encoded"),
    [
        # The examples of the SCALE page of the Substrate documentation.
        (U16, 42, "2a00"),
        (U32, 16_777_215, "ffffff00"),
        (list[U16], [4, 8, 15, 16, 23, 42], "18040008000f00100017002a00"),
        (str, "Hamlet", "1848616d6c6574"),
        (str, "Война и мир", "50d092d0bed0b9d0bdd0b020d0b820d0bcd0b8d180"),
        (str, "三国演义", "30e4b889e59bbde6bc94e4b989"),
        (tuple[Compact[U32], bool], (3, False), "0c00"),
        (I64, -1, "ffffffffffffffff"),
        (bool | None, True, "0101"),
        (bool | None, False, "0100"),
        (bool | None, None, "00"),
    ],
)
def test_documented_examples(tp: Any, value: object, encoded: str) -> None:
    assert codec(tp).encode(value).hex() == encoded
    assert codec(tp).decode(unhex(encoded)) == value


class Record(Struct):
    small: U8
    large: Compact[U128]
    text: str
    data: bytes
    numbers: list[U32]
    maybe: U64 | None
    pair: tuple[U16, bool]
    signed: I64


@pytest.fixture(scope="module")
def oracle() -> RuntimeConfigurationObject:
    config = RuntimeConfigurationObject()
    config.update_type_registry(load_type_registry_preset("legacy"))
    fields = [
        ["small", "u8"],
        ["large", "Compact<u128>"],
        ["text", "Text"],
        ["data", "Bytes"],
        ["numbers", "Vec<u32>"],
        ["maybe", "Option<u64>"],
        ["pair", "(u16, bool)"],
        ["signed", "i64"],
    ]
    config.update_type_registry({"types": {"Record": {"type": "struct", "type_mapping": fields}}})
    return config


@given(
    st.builds(
        Record,
        st.integers(0, 2**8 - 1),
        st.integers(0, 2**128 - 1),
        st.text(max_size=70),
        st.binary(max_size=70),
        st.lists(st.integers(0, 2**32 - 1), max_size=70),
        st.none() | st.integers(0, 2**64 - 1),
        st.tuples(st.integers(0, 2**16 - 1), st.booleans()),
        st.integers(-(2**63), 2**63 - 1),
    )
)
def test_a_record_of_every_kind_encodes_as_by_scalecodec(
    oracle: RuntimeConfigurationObject, record: Record
) -> None:
    value = {name: getattr(record, name) for name in record.__struct_fields__}
    value["data"] = "0x" + record.data.hex()

    theirs = oracle.create_scale_object("Record").encode(value)

    assert record.encode() == bytes(theirs.data)
    decoded = oracle.create_scale_object("Record", ScaleBytes(record.encode())).decode()
    assert decoded["large"] == record.large
    assert decoded["numbers"] == record.numbers
    assert Record.decode(bytes(theirs.data)) == record
