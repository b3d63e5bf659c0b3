"""Compact integers, and the checks that compiled codecs call when something is unusual.

The common cases (a compact below 64, a length that fits) are written out inside the compiled code;
these functions take what is left.
"""

import itertools
from typing import NoReturn

from runtime.primitives.scale.errors import DecodeError, EncodeError

COMPACT_MAX = (1 << 536) - 1
"""The format's own limit: 67 bytes follow the length byte at most."""

_LEAST = (0, 1 << 6, 1 << 14)
"""The smallest integers of the forms of one, two and four bytes."""

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
    end = offset + (5 + (first >> 2) if mode == 3 else 1 << mode)
    if end > len(data):
        raise DecodeError(f"input of {len(data)} bytes ends within a compact integer")
    if mode == 3:
        value = int.from_bytes(data[offset + 1 : end], "little")
        is_shortest = value >= 1 << 30 and data[end - 1] != 0
    else:
        value = int.from_bytes(data[offset:end], "little") >> 2
        is_shortest = value >= _LEAST[mode]
    if not is_shortest:
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


class Members(dict[int, object]):
    """The members of an enumeration by their index; an unknown index is a `DecodeError`."""

    __slots__ = ("name",)

    def __init__(self, name: str, members: dict[int, object]) -> None:
        """Members of the enumeration `name`."""
        super().__init__(members)
        self.name = name

    def __missing__(self, index: int) -> NoReturn:
        """Called by the subscript; refuses the index."""
        raise DecodeError(f"{self.name} has no variant {index}")


def refuse_room(length: int, limit: int, available: int) -> NoReturn:
    """Refuse a decoded length above its limit, or whose items cannot be in the input."""
    if length > limit:
        raise DecodeError(f"{length} items announced, at most {limit} are allowed")
    raise DecodeError(f"{length} items announced, {available} bytes remain")


def refuse_option(value: int) -> NoReturn:
    """Refuse an Option that is neither None (0) nor Some (1)."""
    raise DecodeError(f"byte {value} is not an Option")


def refuse_index(value: int, name: str, expected: int) -> NoReturn:
    """Refuse another variant where only the one called `name` may be."""
    raise DecodeError(f"variant {value}, expected {name} ({expected})")


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
