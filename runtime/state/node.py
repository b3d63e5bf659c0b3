"""Nodes of the Substrate trie: their encoding, and their form in memory.

Base 16, no extension nodes, blake2b-256. Paths are strings of hexadecimal digits, one for each
nibble: `bytes.hex` makes them, slices cut them, and they sort as the keys do.
Header bits: 01 leaf, 10 branch, 11 branch with value (6 bits of nibble count), 001 leaf and 0001
branch whose value is hashed (5 and 4 bits); then the count's continuation, the partial path, for
branches the bitmap, the value, the children.

Source: sp-trie's `node_header.rs` and `node_codec.rs`.
"""

from hashlib import blake2b
from typing import TypeAlias

from runtime.primitives.scale import DecodeError, decode_compact, encode_compact

HASH_BYTES = 32
INLINE_VALUE_MAX = 32  # state version 1 hashes values that are longer
VALUE_REMEMBERED_MAX = 1 << 12  # longer values are read again rather than kept with their node
EMPTY_NODE = b"\x00"
PARTIAL_NIBBLES_MAX = 1 << 16  # keys are far shorter; bounds what a forged proof can make us do

NIBBLES = "0123456789abcdef"
NO_CHILDREN: tuple[bytes, ...] = (b"",) * 16
NO_LINKS: "Links" = (None,) * 16

_LEAF, _BRANCH, _BRANCH_VALUE = 0b01 << 6, 0b10 << 6, 0b11 << 6
_HASHED_LEAF, _HASHED_BRANCH = 0b001 << 5, 0b0001 << 4
_HASH_LENGTH = encode_compact(HASH_BYTES)
_HEADERS = [bytes((first,)) for first in range(256)]


class Node:
    """A node in memory. What it says never changes; what it remembers for speed may be forgotten.

    `children` is empty for a leaf, else 16 references as they stand in the encoding, with their
    length before them; `b""` where there is none. `links` are the children that are in memory.
    A hashed value has `value_hash`, and its `value` is None until it was needed. `reference` is
    how the parent names the node.
    """

    __slots__ = ("children", "encoded", "links", "partial", "reference", "value", "value_hash")

    def __init__(
        self,
        partial: str,
        value: bytes | None,
        value_hash: bytes | None,
        children: tuple[bytes, ...],
        links: "Links | None",
        encoded: bytes,
    ) -> None:
        self.partial = partial
        self.value = value
        self.value_hash = value_hash
        self.children = children
        self.links = links
        self.encoded: bytes | None = encoded
        size = len(encoded)
        self.reference = (
            _HASH_LENGTH + blake2b(encoded, digest_size=32).digest()
            if size >= HASH_BYTES
            else _HEADERS[size << 2] + encoded
        )

    @property
    def has_value(self) -> bool:
        """Whether a key ends here."""
        return self.value is not None or self.value_hash is not None

    @property
    def is_inline(self) -> bool:
        """Whether the parent holds the whole encoding, so that the node is not stored by itself."""
        return len(self.reference) <= HASH_BYTES

    @property
    def hash(self) -> bytes:
        """blake2b-256 of the encoding, also of a short one."""
        if self.is_inline:
            return blake2b(self.reference[1:], digest_size=32).digest()
        return self.reference[1:]

    def encode(self) -> bytes:
        """The encoding, made again when it was forgotten."""
        if self.encoded is not None:
            return self.encoded
        return encode_node(self.partial, self.value, self.value_hash, self.children)

    def forget(self) -> None:
        """Let go of what is on disk: the encoding, the children in memory, a long value."""
        self.links = None
        self.encoded = None
        if self.value_hash is not None and self.value is not None:
            self.value = self.value if len(self.value) <= VALUE_REMEMBERED_MAX else None


Links: TypeAlias = tuple[Node | None, ...]


def new_node(
    partial: str,
    value: bytes | None,
    value_hash: bytes | None,
    children: tuple[bytes, ...] = (),
    links: Links | None = None,
) -> Node:
    """A node with its encoding and reference computed."""
    encoded = encode_node(partial, value, value_hash, children)
    return Node(partial, value, value_hash, children, links, encoded)


def encode_node(
    partial: str, value: bytes | None, value_hash: bytes | None, children: tuple[bytes, ...]
) -> bytes:
    """The encoding of a node; the arguments are those of `Node`."""
    if value_hash is not None:
        prefix, limit = (_HASHED_BRANCH, 15) if children else (_HASHED_LEAF, 31)
        tail = value_hash
    elif value is not None:
        prefix, limit = (_BRANCH_VALUE if children else _LEAF), 63
        tail = encode_compact(len(value)) + value
    else:
        prefix, limit, tail = _BRANCH, 63, b""
    count = len(partial)
    head = (
        _HEADERS[prefix | count] if count < limit else _long_header(prefix | limit, count - limit)
    )
    if count:
        head += bytes.fromhex("0" + partial if count & 1 else partial)
    if not children:
        return head + tail
    bitmap = 0
    bit = 1
    for child in children:
        if child:
            bitmap |= bit
        bit <<= 1
    return b"".join((head, bitmap.to_bytes(2, "little"), tail, *children))


def decode_node(data: bytes) -> Node:
    """Decode one node, all bytes used. Raises `DecodeError`. The empty trie is no node."""
    nibbles, has_value, is_hashed, is_branch, offset = _decode_header(data)
    packed = _take(data, offset, (nibbles + 1) // 2)
    partial = packed.hex()
    if nibbles % 2:
        if partial[0] != "0":
            raise DecodeError(f"padding nibble {partial[0]} of a node is not 0")
        partial = partial[1:]
    offset += len(packed)
    bitmap = 0
    if is_branch:
        bitmap = int.from_bytes(_take(data, offset, 2), "little")
        offset += 2
        if not bitmap:
            raise DecodeError("a branch without children")
    value = value_hash = None
    if is_hashed:
        value_hash = _take(data, offset, HASH_BYTES)
        offset += HASH_BYTES
    elif has_value:
        length, offset = decode_compact(data, offset)
        value = _take(data, offset, length)
        offset += length
    children: tuple[bytes, ...] = ()
    if is_branch:
        children, offset = _decode_children(data, offset, bitmap)
    if offset != len(data):
        raise DecodeError(f"{len(data) - offset} bytes after a trie node")
    return Node(partial, value, value_hash, children, None, data)


def _decode_children(data: bytes, offset: int, bitmap: int) -> tuple[tuple[bytes, ...], int]:
    children = list(NO_CHILDREN)
    for index in range(16):
        if bitmap >> index & 1:
            length = _take(data, offset, 1)[0]
            if length & 3 or not 0 < length >> 2 <= HASH_BYTES:
                raise DecodeError(f"a child reference that begins with 0x{length:02x}")
            size = 1 + (length >> 2)
            children[index] = _take(data, offset, size)
            offset += size
    return tuple(children), offset


def _long_header(first: int, rest: int) -> bytes:
    return bytes((first, *([255] * (rest // 255)), rest % 255))


def _decode_header(data: bytes) -> tuple[int, bool, bool, bool, int]:
    """Nibbles of the partial path; has a value, is it hashed, is a branch; where the path is."""
    first = _take(data, 0, 1)[0]
    if first & 0b1100_0000:
        kind, limit = first & 0b1100_0000, 63
        has_value, is_hashed, is_branch = kind != _BRANCH, False, kind != _LEAF
    elif first & 0b0010_0000:
        limit, has_value, is_hashed, is_branch = 31, True, True, False
    elif first & 0b0001_0000:
        limit, has_value, is_hashed, is_branch = 15, True, True, True
    else:
        raise DecodeError(f"no trie node begins with 0x{first:02x}")
    count, offset = first & limit, 1
    if count == limit:
        while True:
            more = _take(data, offset, 1)[0]
            offset += 1
            count += more
            if count > PARTIAL_NIBBLES_MAX:
                raise DecodeError(f"a partial path of more than {PARTIAL_NIBBLES_MAX} nibbles")
            if more < 255:
                break
    return count, has_value, is_hashed, is_branch, offset


def _take(data: bytes, offset: int, count: int) -> bytes:
    taken = data[offset : offset + count]
    if len(taken) < count:
        raise DecodeError(f"a trie node ends after {len(data)} bytes, in the middle")
    return taken
