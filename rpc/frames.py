"""WebSocket frames as they come: whole text messages are unmasked here, all else is wsproto's.

Source: RFC 6455, section 5.2. `FrameBuffer` only finds where a frame ends. So wsproto gets whole
frames, one at a time, and may be left out again from the next one on.
"""

import struct
from dataclasses import dataclass
from enum import Enum

TEXT_FRAME = 0x81  # final fragment, text
_OPCODE = 0x0F
_OPCODES = frozenset((0, 1, 2, 8, 9, 10))
_CONTROL = 0x08
_FINAL = 0x80
_RESERVED = 0x70
_MASKED = 0x80
_MASK_BYTES = 4
_MIDDLE = struct.Struct(">BBH").pack
_LARGE = struct.Struct(">BBQ").pack
_SMALL_MAX = 125  # and the longest control frame


@dataclass(frozen=True, slots=True)
class Unusual:
    """Bytes for wsproto: a whole frame, or everything after a header that breaks the protocol."""

    data: bytes


class Wanting(Enum):
    """Why there is no frame yet."""

    NOTHING = 0
    """Nothing has come since the last one."""
    REST = 1
    """One has begun."""
    TOO_LARGE = 2
    """One has begun that says it will be larger than allowed."""


class FrameBuffer:
    """What a client sent and nobody took yet: less than one largest frame, and one reading."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._data: bytes | bytearray = b""
        self._at = 0
        self._is_broken = False

    def add(self, data: bytes) -> None:
        """Append what came."""
        if self._at == len(self._data):
            self._data, self._at = data, 0
            return
        if self._at:
            del_to, self._at = self._at, 0
            self._data = bytearray(self._data[del_to:])
        elif not isinstance(self._data, bytearray):
            self._data = bytearray(self._data)
        self._data += data

    def take(self, has_fragments: bool) -> bytes | Unusual | Wanting:
        """The next frame: the payload of a whole text message, or what wsproto shall look at.

        `has_fragments`: a message has begun of which more parts follow.
        """
        data, at = self._data, self._at
        have = len(data) - at
        if have == 0:
            return Wanting.NOTHING
        if self._is_broken:
            return self._rest()
        if have < 2:
            return Wanting.REST
        first, second = data[at], data[at + 1]
        size, start = second & 0x7F, at + 2
        is_control = first & _CONTROL
        if (
            first & _RESERVED
            or first & _OPCODE not in _OPCODES
            or not second & _MASKED
            or (is_control and (size > _SMALL_MAX or not first & _FINAL))
        ):
            return self._break()
        if size > _SMALL_MAX:
            width = 2 if size == 126 else 8
            if have < 2 + width:
                return Wanting.REST
            size = int.from_bytes(data[start : start + width], "big")
            start += width
            is_minimal = size > _SMALL_MAX if width == 2 else 0xFFFF < size < 1 << 63
            if not is_minimal:
                return self._break()
        if size > self._bytes_max:
            return Wanting.TOO_LARGE
        end = start + _MASK_BYTES + size
        if len(data) < end:
            return Wanting.REST
        self._at = end
        if first == TEXT_FRAME and not has_fragments:
            payload = unmask(data[start + _MASK_BYTES : end], data[start : start + _MASK_BYTES])
            if payload.isascii() or _is_utf8(payload):
                return payload
        return Unusual(bytes(data[at:end]))

    def _break(self) -> Unusual:
        self._is_broken = True
        return self._rest()

    def _rest(self) -> Unusual:
        rest = bytes(self._data[self._at :])
        self._data, self._at = b"", 0
        return Unusual(rest)


def unmask(payload: bytes | bytearray, mask: bytes | bytearray) -> bytes:
    """The payload without its mask, as one large number: linear, and far from a loop's cost."""
    size = len(payload)
    key = (mask * (size // _MASK_BYTES + 1))[:size]
    plain = int.from_bytes(payload, "little") ^ int.from_bytes(key, "little")
    return plain.to_bytes(size, "little")


def text_frame(payload: bytes) -> bytes:
    """A text message in one unmasked frame. Building it here costs a third of wsproto's way."""
    size = len(payload)
    if size < 126:
        return bytes((TEXT_FRAME, size)) + payload
    if size < 1 << 16:
        return _MIDDLE(TEXT_FRAME, 126, size) + payload
    return _LARGE(TEXT_FRAME, 127, size) + payload


def _is_utf8(payload: bytes) -> bool:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True
