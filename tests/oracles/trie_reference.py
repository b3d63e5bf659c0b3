"""The root of a Substrate trie, computed from all keys and values at once, as the format is written
down (sp-trie's `node_header.rs` and `node_codec.rs`): no sharing, no updates, no deletions.
"""

from collections.abc import Mapping
from hashlib import blake2b

Entries = list[tuple[list[int], bytes]]


def reference_root(values: Mapping[bytes, bytes], version: int) -> bytes:
    """blake2b-256 of the encoded root node; of a zero byte when there are no values."""
    entries = [(nibbles(key), value) for key, value in sorted(values.items())]
    return hashed(encoded(entries, version) if entries else b"\x00")


def encoded(entries: Entries, version: int) -> bytes:
    """The node over these entries, whose keys are relative to the node's place."""
    shared = len(common_prefix([key for key, _ in entries]))
    partial = entries[0][0][:shared]
    value = entries[0][1] if len(entries[0][0]) == shared else None
    below = [(key[shared:], rest) for key, rest in entries if len(key) > shared]
    is_hashed = value is not None and version == 1 and len(value) > 32

    bitmap, children = 0, b""
    for index in range(16):
        inside = [(key[1:], rest) for key, rest in below if key[0] == index]
        if inside:
            bitmap |= 1 << index
            child = encoded(inside, version)
            children += with_length(child if len(child) < 32 else hashed(child))

    kind = {
        (False, True, False): (0x40, 63),
        (True, False, False): (0x80, 63),
        (True, True, False): (0xC0, 63),
        (False, True, True): (0x20, 31),
        (True, True, True): (0x10, 15),
    }[bool(bitmap), value is not None, is_hashed]
    result = header(*kind, shared) + packed(partial)
    if bitmap:
        result += bitmap.to_bytes(2, "little")
    if value is not None:
        result += hashed(value) if is_hashed else with_length(value)
    return result + children


def header(prefix: int, most: int, count: int) -> bytes:
    """Kind of the node and length of its partial path."""
    if count < most:
        return bytes([prefix + count])
    result, count = [prefix + most], count - most
    while count >= 255:
        result.append(255)
        count -= 255
    return bytes([*result, count])


def packed(partial: list[int]) -> bytes:
    """Two nibbles in each byte; of an odd number the first stands alone."""
    padded = [0, *partial] if len(partial) % 2 else partial
    return bytes(padded[i] * 16 + padded[i + 1] for i in range(0, len(padded), 2))


def with_length(data: bytes) -> bytes:
    """SCALE bytes: compact length and the bytes."""
    size = len(data)
    if size < 64:
        return bytes([size * 4]) + data
    if size < 1 << 14:
        return (size * 4 + 1).to_bytes(2, "little") + data
    return (size * 4 + 2).to_bytes(4, "little") + data


def common_prefix(keys: list[list[int]]) -> list[int]:
    """What all keys begin with."""
    first, last = min(keys), max(keys)
    size = 0
    while size < min(len(first), len(last)) and first[size] == last[size]:
        size += 1
    return first[:size]


def nibbles(key: bytes) -> list[int]:
    """High half first."""
    return [half for byte in key for half in (byte >> 4, byte & 15)]


def hashed(data: bytes) -> bytes:
    """blake2b-256."""
    return blake2b(data, digest_size=32).digest()
