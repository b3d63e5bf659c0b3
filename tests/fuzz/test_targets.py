"""The corpus once more without atheris, and inputs that Hypothesis makes of the grammar."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.primitives.block import Digest, Header, PreRuntime, Seal
from tests.fuzz import corpus
from tests.fuzz.targets import TARGETS, frames, method_names, rpc, scale, scale_kinds
from tests.rpc.fake_node import ALICE_ADDRESS, ALICE_KEY

HEADER = Header(
    b"p" * 32, 7, b"s" * 32, b"e" * 32, Digest([PreRuntime(b"aura", bytes(8)), Seal(b"aura", b"x")])
)

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 70), 1 << 70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.binary(max_size=40).map(lambda data: "0x" + data.hex()),
    st.sampled_from(["0x" + ALICE_KEY.hex(), "0x" + ALICE_KEY[:16].hex(), ALICE_ADDRESS, "0x1"]),
    st.sampled_from(["value", "hash", "descendantsValues", "closestDescendantMerkleValue"]),
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["key", "type", "hash", "returnType", "x"]), inner)
    ),
    max_leaves=8,
)
calls = st.fixed_dictionaries(
    {
        "jsonrpc": st.just("2.0"),
        "id": scalars,
        "method": st.sampled_from(method_names()),
        "params": st.lists(values, max_size=5) | st.dictionaries(st.text(max_size=8), values),
    }
)


@pytest.mark.parametrize("target", TARGETS)
async def test_nothing_of_the_corpus_breaks_anything(target: str) -> None:
    inputs = [*corpus.load(target), *corpus.seeds(target)]

    assert len(inputs) > 5
    for data in inputs:
        TARGETS[target](data)


@given(st.lists(calls, min_size=1, max_size=3), st.booleans())
@settings(max_examples=300)
async def test_every_method_answers_any_parameters(
    made: list[dict[str, Any]], is_batch: bool
) -> None:
    message = made if is_batch else made[0]

    rpc(json.dumps(message).encode())


@given(st.binary(max_size=200))
async def test_a_message_may_be_anything(data: bytes) -> None:
    rpc(data)


@given(st.integers(0, 255), st.binary(max_size=300))
def test_a_decoder_may_be_given_anything(kind: int, data: bytes) -> None:
    scale(bytes([kind]) + data)


@given(st.data())
def test_a_header_with_a_changed_byte_is_another_header_or_none(data: st.DataObject) -> None:
    encoded = bytearray(HEADER.encode())
    place = data.draw(st.integers(0, len(encoded) - 1))
    encoded[place] ^= data.draw(st.integers(1, 255))
    kind = list(scale_kinds()).index("header")

    scale(bytes([kind]) + bytes(encoded))


@given(st.binary(max_size=200))
def test_a_stream_of_frames_may_be_anything(data: bytes) -> None:
    frames(data)


class TestTheTargetsNotice:
    """A target that never fails would prove nothing."""

    def test_two_encodings_of_one_value(self, monkeypatch: pytest.MonkeyPatch) -> None:
        kinds = {"loose": (lambda data: data.rstrip(b"\0"), lambda value: value)}
        monkeypatch.setattr("tests.fuzz.targets.scale_kinds", lambda: kinds)

        scale(b"\0abc")
        with pytest.raises(AssertionError, match="616200 was decoded, and is encoded as 6162"):
            scale(b"\0ab\0")

    async def test_a_method_that_fails_unforeseen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(_number: int) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr("tests.rpc.fake_node.FakeChain.hash_at", lambda _self, n: fail(n))

        with pytest.raises(ZeroDivisionError):
            rpc(b'{"jsonrpc":"2.0","id":1,"method":"chain_getBlockHash","params":[0]}')

    def test_a_frame_that_is_read_otherwise(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("rpc.frames.unmask", lambda payload, mask: bytes(payload))

        with pytest.raises(AssertionError, match="are not"):
            frames(b"\x40\x81\x81abcdx")
