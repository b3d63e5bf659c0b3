"""Compact integers, and the checks that compiled codecs call when something is unusual.

The common cases (a compact below 64, a length that fits) are written out inside the compiled code;
these functions take what is left.
"""

import itertools
from typing import NoReturn

from runtime.primitives.scale.errors import DecodeError, EncodeError

COMPACT_MAX = (1 << 536) - 1
"""The format's own limit: 67 bytes follow the length byte at most."""

LENGTH_MAX = (1 << 32) - 1
"""Lengths are Compact<u32>."""


def encode_compact(value: int, limit: int = COMPACT_MAX) -> bytes:
    """The shortest of the four forms of `value`, which lies in `0 .. limit`."""
    if not 0 <= value <= limit:
        raise EncodeError(f"compact integer {value} is outside 0 .. {limit}")
    if value < 1 << 6:
        return (value << 2).to_bytes(1, "little")
    if value < 1 << 14:
        return (value << 2 | 1).to_bytes(2, "little")
    if value < 1 << 30:
        return (value << 2 | 2).to_bytes(4, "little")
    size = (value.bit_length() + 7) >> 3
    return ((size - 4) << 2 | 3).to_bytes(1, "little") + value.to_bytes(size, "little")


def decode_compact(data: bytes, offset: int, limit: int = COMPACT_MAX) -> tuple[int, int]:
    """The compact integer at `offset` and the offset behind it; only the shortest form is taken."""
    if offset >= len(data):
        raise DecodeError(f"input of {len(data)} bytes ends before a compact integer")
    first = data[offset]
    mode = first & 3
    if mode == 3:
        start, end = offset + 1, offset + 5 + (first >> 2)
        value = int.from_bytes(data[start:end], "little")
        least = max(1 << 30, 1 << 8 * (end - start - 1))
    else:
        end = offset + (1 << mode)
        value = int.from_bytes(data[offset:end], "little") >> 2
        least = (0, 1 << 6, 1 << 14)[mode]
    if end > len(data):
        raise DecodeError(f"input of {len(data)} bytes ends within a compact integer")
    if value < least:
        raise DecodeError(f"compact integer {value} at byte {offset} is not in its shortest form")
    if value > limit:
        raise DecodeError(f"compact integer {value} at byte {offset} is above {limit}")
    return value, end


def refuse_size(value: bytes, size: int) -> NoReturn:
    """Refuse to encode bytes of a length other than the type's."""
    raise EncodeError(f"{len(value)} bytes, expected {size}")


def refuse_length(length: int, limit: int) -> NoReturn:
    """Refuse to encode more items than the type may hold."""
    raise EncodeError(f"{length} items, at most {limit} are allowed")


def refuse_member(value: object, name: str) -> NoReturn:
    """Refuse to encode what is no member of the enumeration `name`."""
    raise EncodeError(f"{value!r} is not a member of {name}")


def check_room(length: int, limit: int, size: int, offset: int, available: int) -> None:
    """Refuse a decoded length above `limit`, or whose items of `size` bytes cannot be there."""
    if length > limit:
        raise DecodeError(f"{length} items before byte {offset}, at most {limit} are allowed")
    if offset + length * size > available:
        raise DecodeError(f"{length} items announced, {available - offset} bytes remain")


def refuse_bool(value: int) -> NoReturn:
    """Refuse a boolean that is neither 0 nor 1."""
    raise DecodeError(f"byte {value} is not a boolean")


def refuse_option(value: int) -> NoReturn:
    """Refuse an Option that is neither None (0) nor Some (1)."""
    raise DecodeError(f"byte {value} is not an Option")


def refuse_index(value: int, name: str) -> NoReturn:
    """Refuse an index that no variant of the enumeration `name` has."""
    raise DecodeError(f"{name} has no variant {value}")


def refuse_depth(limit: int) -> NoReturn:
    """Refuse values nested deeper than `limit`."""
    raise DecodeError(f"values are nested deeper than {limit}")


def check_map(pairs: dict[object, object], keys: list[object]) -> None:
    """Refuse map keys that are not strictly ascending: equal maps must have equal bytes."""
    if len(pairs) != len(keys) or any(
        not before < after  # type: ignore[operator]
        for before, after in itertools.pairwise(keys)
    ):
        raise DecodeError("map keys are not strictly ascending")
