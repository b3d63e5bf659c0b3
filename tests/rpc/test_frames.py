"""Frames: what is taken here is what wsproto would have made of it."""

from itertools import pairwise

import pytest
import wsproto
import wsproto.events as ws
from hypothesis import given
from hypothesis import strategies as st
from wsproto.frame_protocol import FrameProtocol, ParseFailed

from rpc.frames import FrameBuffer, Unusual, Wanting, unmask
from tests.fuzz.targets import FrameOracle, messages_of
from tests.rpc.test_websocket import BINARY, CLOSE, CONTINUATION, PING, TEXT, frame

LIMIT = 1_000_000

texts = st.text(max_size=300).map(str.encode)
client_frames = st.one_of(
    texts.map(lambda text: frame(TEXT, text)),
    st.binary(max_size=200).map(lambda data: frame(BINARY, data)),
    st.binary(max_size=125).map(lambda data: frame(PING, data)),
    texts.map(lambda text: frame(TEXT, b"", final=False) + frame(CONTINUATION, text)),
)


def by_buffer(data: bytes, cuts: list[int]) -> list[bytes]:
    """The messages as a connection reads them, in pieces."""
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    pieces = (data[start:end] for start, end in pairwise(places))
    return messages_of(pieces, LIMIT)[0]


@given(st.lists(client_frames, max_size=6), st.lists(st.integers(0, 5_000), max_size=6))
def test_messages_are_those_of_wsproto_however_they_are_cut(
    frames: list[bytes], cuts: list[int]
) -> None:
    data = b"".join(frames)
    oracle = FrameOracle()
    oracle.take(data)

    assert by_buffer(data, cuts) == oracle.messages


@given(st.binary(max_size=40))
def test_a_header_is_left_to_wsproto_exactly_when_wsproto_or_the_limit_refuses_it(
    data: bytes,
) -> None:
    buffer = FrameBuffer(LIMIT)
    buffer.add(data)
    found = buffer.take(has_fragments=False)
    protocol = FrameProtocol(client=False, extensions=[])
    protocol.receive_bytes(data)
    try:
        parts = list(protocol.received_frames())
    except ParseFailed:
        assert isinstance(found, Unusual)  # it will say so
        return

    if isinstance(found, bytes):
        assert parts[0].message_finished
        assert parts[0].payload == found.decode()
    if found is Wanting.NOTHING:
        assert data == b""
    if found is Wanting.TOO_LARGE:
        assert int.from_bytes(data[2:10], "big") > LIMIT


@given(st.binary(max_size=1_000), st.binary(min_size=4, max_size=4))
def test_unmask_is_its_own_inverse_and_the_obvious_loop(payload: bytes, mask: bytes) -> None:
    assert unmask(payload, mask) == bytes(
        byte ^ mask[place % 4] for place, byte in enumerate(payload)
    )
    assert unmask(unmask(payload, mask), mask) == payload


@pytest.mark.parametrize(
    "data",
    [
        frame(TEXT, b"x", masked=False),
        frame(TEXT, b"\xff"),
        frame(CLOSE, b"\x03\xe8"),
        b"\x81\xfe\x00\x05" + bytes(9),  # a length in more bytes than it needs
        b"\x81\xff" + (65_535).to_bytes(8, "big"),
        b"\x81\xff" + (1 << 63).to_bytes(8, "big"),
        b"\xc1\x80" + bytes(4),  # a reserved bit
        b"\x89\xfe\x00\x7e",  # a long ping
        b"\x09\x80" + bytes(4),  # half a ping
    ],
)
def test_what_breaks_the_protocol_goes_to_wsproto_without_waiting(data: bytes) -> None:
    buffer = FrameBuffer(LIMIT)
    buffer.add(data)

    assert buffer.take(has_fragments=False) == Unusual(data)


def test_a_large_message_in_small_pieces_costs_linear_time() -> None:
    data = frame(TEXT, b"x" * 900_000)
    buffer = FrameBuffer(LIMIT)
    for start in range(0, len(data), 1_000):
        buffer.add(data[start : start + 1_000])
        found = buffer.take(has_fragments=False)

    assert found == b"x" * 900_000
    assert buffer.take(has_fragments=False) is Wanting.NOTHING


def test_wsproto_takes_frames_one_at_a_time() -> None:
    # `FrameBuffer` relies on it: between two frames wsproto keeps nothing.
    connection = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
    connection.initiate_upgrade_connection(
        [
            (b"host", b"x"),
            (b"upgrade", b"websocket"),
            (b"connection", b"upgrade"),
            (b"sec-websocket-version", b"13"),
            (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
        ],
        "/",
    )
    list(connection.events())
    connection.send(ws.AcceptConnection())
    connection.receive_data(frame(TEXT, b"a", final=False))
    first = list(connection.events())
    connection.receive_data(frame(PING, b"p"))
    second = list(connection.events())
    connection.receive_data(frame(CONTINUATION, b"b"))
    third = list(connection.events())

    assert [type(event) for event in first + second + third] == [
        ws.TextMessage,
        ws.Ping,
        ws.TextMessage,
    ]
