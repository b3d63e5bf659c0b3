"""Frames on a stream: four bytes of length, big-endian, then the payload.

A frame has at most the number of bytes its protocol allows and must be complete within
`FRAME_SECONDS_MAX`; memory is taken as bytes arrive, never as the length promises.
"""

import math
import struct

import trio

from p2p.ports import PeerError
from p2p.streams import ByteStream, StreamBroken

FRAME_SECONDS_MAX = 60.0  # 8 MiB at 1.2 Mbit/s, the slowest upstream a home may have

_LENGTH = struct.Struct(">I")


class FrameError(PeerError):
    """A peer broke the rules of framing: too long, empty, or never finished."""


def frame(payload: bytes) -> bytes:
    """A payload with its length in front."""
    return _LENGTH.pack(len(payload)) + payload


class FrameReader:
    """Takes frames off a stream, one at a time."""

    def __init__(self, stream: ByteStream, frame_bytes_max: int) -> None:
        self._stream = stream
        self._frame_bytes_max = frame_bytes_max
        self._buffer = bytearray()
        self.heard_at = trio.current_time()
        """When bytes last arrived."""

        self.bytes_in = 0

    async def next(self) -> bytes | None:
        """The next payload, or None when the peer ended the stream between frames.

        Raises `FrameError` or `StreamBroken`; then the stream is of no more use.
        """
        deadline = math.inf
        while True:
            length = self._length()
            if length is not None and len(self._buffer) >= _LENGTH.size + length:
                payload = bytes(memoryview(self._buffer)[_LENGTH.size : _LENGTH.size + length])
                del self._buffer[: _LENGTH.size + length]
                return payload
            if self._buffer and deadline == math.inf:
                deadline = trio.current_time() + FRAME_SECONDS_MAX
            if not await self._read_more(deadline):
                return None

    def _length(self) -> int | None:
        if len(self._buffer) < _LENGTH.size:
            return None
        length: int = _LENGTH.unpack_from(self._buffer)[0]
        if not 0 < length <= self._frame_bytes_max:
            raise FrameError(f"a frame of {length} bytes, allowed are 1 to {self._frame_bytes_max}")
        return length

    async def _read_more(self, deadline: float) -> bool:
        # Between frames a peer may be silent; whether it lives is the session's question.
        data = b""
        with trio.CancelScope(deadline=deadline) as scope:
            data = await self._stream.read()
        if scope.cancelled_caught:
            raise FrameError(f"a frame was not complete after {FRAME_SECONDS_MAX:.0f} s")
        if data:
            self._buffer += data
            self.heard_at = trio.current_time()
            self.bytes_in += len(data)
        elif self._buffer:
            raise StreamBroken(f"the stream ended {len(self._buffer)} bytes into a frame")
        return bool(data)
