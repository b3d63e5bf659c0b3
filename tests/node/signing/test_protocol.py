"""What a node and its signer say to each other: decoded as encoded, bounded, and nothing else."""

import struct
from dataclasses import dataclass
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from node.signing import protocol
from node.signing.protocol import (
    FRAME_BYTES_MAX,
    KEYS_MAX,
    REASON_BYTES_MAX,
    Answer,
    Connection,
    ConnectionBroken,
    Mark,
    Request,
    reason_of,
)
from node.signing.statements import Heartbeat, Pledge
from runtime.primitives.grandpa import Precommit, Prevote, PrimaryPropose, SignedMessage
from runtime.primitives.receipts import Promise
from runtime.primitives.scale import DecodeError
from runtime.primitives.session import SessionKeys
from tests.p2p.nets import make_header

u32, u64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
bytes32, bytes64 = st.binary(min_size=32, max_size=32), st.binary(min_size=64, max_size=64)
votes = st.one_of(*(st.builds(kind, bytes32, u32) for kind in (Prevote, Precommit, PrimaryPropose)))
signed = st.none() | st.builds(SignedMessage, votes, bytes64, bytes32)
keys = st.builds(SessionKeys, bytes32, bytes32)
reasons = st.text(max_size=40)
heartbeats = st.builds(Heartbeat, bytes32, u32, bytes32, u32, st.binary(max_size=32))
pledges = st.builds(Pledge, bytes32, st.builds(Promise, bytes32, u32, bytes32, u32, u64))
requests = st.one_of(
    st.builds(protocol.Hello, st.integers(0, 255)),
    st.builds(protocol.SignVote, bytes32, votes, u64, u64),
    st.builds(protocol.SignSeal, bytes32, u32.map(make_header)),
    st.builds(protocol.SignHeartbeat, bytes32, heartbeats),
    st.builds(protocol.SignPledge, bytes32, pledges),
    st.builds(protocol.ProveOwnership, keys, bytes32),
    st.just(protocol.DrawKeys()),
)
answers = st.one_of(
    st.builds(
        protocol.Welcome,
        st.integers(0, 255),
        st.lists(bytes32, max_size=3),
        st.lists(bytes32, max_size=3),
        st.lists(st.builds(Mark, bytes32, u64, u64, signed, signed, signed), max_size=3),
    ),
    st.builds(protocol.Signed, bytes64),
    st.builds(protocol.Refused, reasons),
    st.builds(protocol.Failed, reasons),
    st.builds(protocol.Proof, st.binary(min_size=128, max_size=128)),
    st.builds(protocol.Drawn, keys),
)


@given(requests)
def test_a_request_is_decoded_as_it_was_encoded(request: Request) -> None:
    assert Request.decode(request.encode()) == request


@given(answers)
def test_an_answer_is_decoded_as_it_was_encoded(answer: Answer) -> None:
    assert Answer.decode(answer.encode()) == answer


@pytest.mark.parametrize("kind", [Request, Answer])
@given(data=st.binary(max_size=300))
def test_bytes_are_decoded_to_what_encodes_to_them_or_not_at_all(
    kind: type[Request] | type[Answer], data: bytes
) -> None:
    try:
        message = kind.decode(data)
    except DecodeError:
        return
    assert message.encode() == data


def test_the_longest_messages_fit_into_a_frame() -> None:
    message = SignedMessage(Prevote(bytes(32), 0), bytes(64), bytes(32))
    mark = Mark(bytes(32), 0, 0, message, message, message)
    welcome = protocol.Welcome(1, [bytes(32)] * KEYS_MAX, [bytes(32)] * KEYS_MAX, [mark] * KEYS_MAX)

    assert len(welcome.encode()) <= FRAME_BYTES_MAX
    assert len(protocol.Refused(reason_of("é" * 9_999)).encode()) <= REASON_BYTES_MAX + 3


def test_a_list_says_no_more_than_it_may_hold() -> None:
    too_many = b"\x00\x01" + b"\x05\x01" + bytes(32 * (KEYS_MAX + 1))

    with pytest.raises(DecodeError):
        Answer.decode(too_many)


@dataclass
class Wire:
    """Two ends of a socket: one with frames, one with bytes."""

    framed: Connection
    raw: trio.SocketStream


@pytest.fixture
async def wire() -> Any:
    ends = trio.socket.socketpair()
    framed, raw = trio.SocketStream(ends[0]), trio.SocketStream(ends[1])
    async with framed, raw:
        yield Wire(Connection(framed), raw)


async def test_messages_arrive_whole_however_the_stream_is_cut(wire: Wire) -> None:
    first, second = protocol.Hello(1).encode(), protocol.DrawKeys().encode()
    data = b"".join(struct.pack(">I", len(part)) + part for part in (first, second))

    got: list[Request] = []
    async with trio.open_nursery() as nursery:

        async def read() -> None:
            got.append(await wire.framed.request())
            got.append(await wire.framed.request())

        nursery.start_soon(read)
        for byte in data:
            await wire.raw.send_all(bytes([byte]))
            await trio.testing.wait_all_tasks_blocked()

    assert got == [protocol.Hello(1), protocol.DrawKeys()]


async def test_a_frame_that_is_too_long_ends_the_connection_before_it_is_read(wire: Wire) -> None:
    await wire.raw.send_all(struct.pack(">I", FRAME_BYTES_MAX + 1))

    with pytest.raises(ConnectionBroken, match=f"a frame of {FRAME_BYTES_MAX + 1} bytes"):
        await wire.framed.request()


async def test_an_end_in_the_middle_of_a_frame_is_told(wire: Wire) -> None:
    await wire.raw.send_all(struct.pack(">I", 10) + b"half")
    await wire.raw.aclose()

    with pytest.raises(ConnectionBroken, match="closed"):
        await wire.framed.answer()


async def test_an_answer_that_is_none_breaks_the_connection(wire: Wire) -> None:
    await wire.raw.send_all(struct.pack(">I", 1) + b"\xff")

    with pytest.raises(ConnectionBroken, match="no answer"):
        await wire.framed.answer()
