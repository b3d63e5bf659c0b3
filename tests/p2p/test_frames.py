"""Frames: put together from any pieces, bounded in size and time."""

from itertools import pairwise

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from p2p.frames import FRAME_SECONDS_MAX, FrameError, FrameReader, frame
from p2p.streams import StreamBroken
from tests.p2p.memory import MemoryStream, stream_pair

LIMIT = 100


async def pieces(stream: MemoryStream, data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, end in pairwise(edges):
        if start < end:
            await stream.write(data[start:end])
    stream.end()


@given(
    st.lists(st.binary(min_size=1, max_size=LIMIT), max_size=6),
    st.lists(st.integers(0, 700), max_size=12),
)
@settings(derandomize=True)
async def test_frames_arrive_whole_however_the_bytes_are_cut(
    payloads: list[bytes], cuts: list[int]
) -> None:
    ours, theirs = stream_pair()
    reader = FrameReader(ours, LIMIT)
    found: list[bytes] = []

    async with trio.open_nursery() as nursery:
        nursery.start_soon(pieces, theirs, b"".join(map(frame, payloads)), cuts)
        while (payload := await reader.next()) is not None:
            found.append(payload)

    assert found == payloads


@pytest.mark.parametrize("length", [0, LIMIT + 1, 0xFFFF_FFFF])
async def test_a_length_out_of_bounds_is_refused_before_the_bytes_come(length: int) -> None:
    ours, theirs = stream_pair()
    await theirs.write(length.to_bytes(4, "big"))

    with pytest.raises(FrameError, match=str(length)):
        await FrameReader(ours, LIMIT).next()


async def test_a_stream_that_ends_inside_a_frame_is_broken() -> None:
    ours, theirs = stream_pair()
    await theirs.write(frame(b"abcdef")[:-1])
    theirs.end()

    with pytest.raises(StreamBroken, match="9 bytes into a frame"):
        await FrameReader(ours, LIMIT).next()


async def test_a_frame_that_is_never_completed_is_given_up(autojump_clock: MockClock) -> None:
    ours, theirs = stream_pair()
    reader = FrameReader(ours, LIMIT)

    async def trickle() -> None:
        for byte in frame(bytes(90)):
            await theirs.write(bytes([byte]))
            await trio.sleep(1.0)

    started_at = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trickle)
        with pytest.raises(FrameError, match="not complete"):
            await reader.next()
        nursery.cancel_scope.cancel()

    assert trio.current_time() - started_at == pytest.approx(FRAME_SECONDS_MAX)


async def test_silence_between_frames_may_last(autojump_clock: MockClock) -> None:
    ours, theirs = stream_pair()
    reader = FrameReader(ours, LIMIT)

    async def speak_late() -> None:
        await trio.sleep(10 * FRAME_SECONDS_MAX)
        await theirs.write(frame(b"hello")[:3])
        await trio.sleep(1.0)
        await theirs.write(frame(b"hello")[3:])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(speak_late)

        assert await reader.next() == b"hello"
