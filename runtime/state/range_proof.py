"""All keys of a part of a trie, proved against its root: a state is copied by such parts.

A part begins behind a key and ends where the prover stopped. It is the trie's own nodes, and the
values that nodes hold by hash: who knows the root walks down from it in the order of the keys,
finds each node and value by its hash, and has passed over no key when one is missing; there the
part ends. So an honest part needs no count and no end, and a forged one ends where the forgery
begins. The last part leads to the end of the trie with nothing missing.

Source: the compact proofs of Substrate's state sync (`StateRequest`), without leaving out hashes.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from runtime.primitives.hashing import blake2_256
from runtime.primitives.types import Hash
from runtime.state.node import HASH_BYTES, NIBBLES, Node, decode_node
from runtime.state.trie import EMPTY_ROOT, ProofInvalid, Trie

_INDEX = {digit: index for index, digit in enumerate(NIBBLES)}


@dataclass(slots=True)
class StateRange:
    """A part of a trie that was checked against the root."""

    entries: list[tuple[bytes, bytes]] = field(default_factory=list[tuple[bytes, bytes]])
    """Keys and values, ascending, none left out."""

    nodes: dict[str, bytes] = field(default_factory=dict[str, bytes])
    """The encoded nodes on the way to them, by path; their parents hold short ones themselves."""

    is_last: bool = False
    """Whether the trie has no keys behind these."""


def prove_range(trie: Trie, after: bytes | None, bytes_max: int) -> list[bytes]:
    """Nodes and long values that prove the keys behind `after` (all, for None).

    Ends with the entry that makes it longer than `bytes_max`; one entry is always in it.
    """
    root = trie.root_node()
    if root is None:
        return []
    items: dict[bytes, int] = {}
    size = 0

    def take(item: bytes) -> None:
        nonlocal size
        if items.setdefault(item, len(items)) == len(items) - 1:
            size += len(item)

    take(root.encode())
    start = None if after is None else after.hex()
    stack: list[tuple[str, Node, int]] = [("", root, -1)]
    while stack:
        edge, node, index = stack.pop()
        if index >= 0:
            node = trie.load(node, index, edge)
            if not node.is_inline:
                take(node.encode())
        path = edge + node.partial
        if node.has_value and (start is None or path > start):
            value = trie.value_of(node, bytes.fromhex(path))
            if node.value_hash is not None and value is not None:
                take(value)
            if size > bytes_max:
                break
        stack += [(child, node, _INDEX[child[-1]]) for child in _children(node, path, start)]
    return list(items)


def read_range(root: Hash, items: Iterable[bytes], after: bytes | None) -> StateRange:
    """Check a part that begins behind `after` against a root. Raises `ProofInvalid`.

    What is among the items and not needed is not looked at.
    """
    if root == EMPTY_ROOT:
        return StateRange(is_last=True)
    by_hash = {blake2_256(item): item for item in items}
    start = None if after is None else after.hex()
    found = StateRange()
    stack: list[tuple[str, bytes]] = [("", b"\x80" + root)]
    while stack:
        edge, reference = stack.pop()
        encoded = by_hash.get(reference[1:]) if len(reference) > HASH_BYTES else reference[1:]
        if encoded is None:
            break
        node = decode_node(encoded)
        path = edge + node.partial
        if node.has_value and (start is None or path > start):
            value = node.value if node.value_hash is None else by_hash.get(node.value_hash)
            if value is None:
                break
            if len(path) % 2:
                raise ProofInvalid(f"a key of {len(path)} nibbles")
            found.entries.append((bytes.fromhex(path), value))
        if len(reference) > HASH_BYTES:
            found.nodes[edge] = encoded
        stack += [
            (child, node.children[_INDEX[child[-1]]]) for child in _children(node, path, start)
        ]
    else:
        found.is_last = True
    if not found.entries and not found.is_last:
        raise ProofInvalid(f"no key behind 0x{(after or b'').hex()} is proved")
    return found


def _children(node: Node, path: str, start: str | None) -> Iterator[str]:
    """The paths of a node's children that may hold keys behind `start`, the last one first."""
    if not node.children:
        return
    for digit in reversed(NIBBLES):
        child = path + digit
        if node.children[_INDEX[digit]] and (start is None or child >= start[: len(child)]):
            yield child
