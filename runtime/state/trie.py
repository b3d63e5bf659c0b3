"""The Substrate trie: a persistent map from keys to values with one hash over all of it.

A trie never changes. `update` makes another one that shares all nodes but those on the paths of
the changed keys, each of which is encoded and hashed once. Nodes that are not in memory are asked
of a `NodeSource` when they are needed.

Invariant: the shape, and so the root, depends on the keys and values alone; a branch has a value
and a child, or two children. Values of more than 32 bytes are hashed in state version 1.

Source: sp-trie; SCALE compact indices as keys of an ordered list as in sp-core's ordered root.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol, TypeAlias

from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import encode_compact
from runtime.primitives.types import Hash
from runtime.state.node import (
    EMPTY_NODE,
    HASH_BYTES,
    INLINE_VALUE_MAX,
    NIBBLES,
    NO_CHILDREN,
    NO_LINKS,
    VALUE_REMEMBERED_MAX,
    Links,
    Node,
    decode_node,
    new_node,
)

EMPTY_ROOT: Hash = blake2_256(EMPTY_NODE)

_INDEX = {digit: index for index, digit in enumerate(NIBBLES)}

_CHILDREN_BACKWARDS = range(15, -1, -1)

_Change: TypeAlias = tuple[str, bytes | None]


class NodeSource(Protocol):
    """Where nodes and long values come from that are not in memory."""

    def node(self, path: str, node_hash: Hash) -> Node:
        """The node at a path of nibbles with this hash."""
        ...

    def value(self, key: bytes, value_hash: Hash) -> bytes:
        """The value of a key that has this hash."""
        ...


@dataclass(frozen=True, slots=True)
class TrieCommit:
    """A changed trie, and what has to be stored of it."""

    root: Hash
    trie: "Trie"
    values: Mapping[bytes, bytes | None]
    """The changes; None is a deletion."""

    nodes: Mapping[str, Node | None]
    """By path, the nodes that are new and the places (None) where none is any more.

    Nodes that the parent holds inline count as none, except the root.
    """


class Trie:
    """A trie of one state version (0 or 1)."""

    __slots__ = ("_node", "_source", "root", "version")

    def __init__(
        self, root: Hash, version: int, node: Node | None, source: NodeSource | None = None
    ) -> None:
        self.root = root
        self.version = version
        self._node = node
        self._source = source

    @classmethod
    def empty(cls, version: int) -> "Trie":
        """The trie of no keys."""
        return cls(EMPTY_ROOT, version, None)

    def backed_by(self, source: NodeSource) -> "Trie":
        """The same trie that asks `source` for what is not in memory."""
        return Trie(self.root, self.version, self._node, source)

    def update(self, changes: Mapping[bytes, bytes | None]) -> TrieCommit:
        """The trie after `changes`; None deletes, and deleting what is absent changes nothing."""
        work = _Update(self, self.version)
        items: list[_Change] = [(key.hex(), value) for key, value in sorted(changes.items())]
        before = self.root_node()
        node = work.apply(before, 0, items) if items else before
        if node is not before:
            work.touched[""] = node
        root = node.hash if node is not None else EMPTY_ROOT
        nodes = {
            path: None if found is None or (found.is_inline and path) else found
            for path, found in work.touched.items()
        }
        return TrieCommit(root, Trie(root, self.version, node, self._source), changes, nodes)

    def get(self, key: bytes) -> bytes | None:
        """The value under `key`, or None."""
        path = key.hex()
        node = self.root_node()
        depth = 0
        while node is not None:
            partial = node.partial
            if partial:
                if not path.startswith(partial, depth):
                    return None
                depth += len(partial)
            if depth == len(path):
                return self.value_of(node, key)
            if not node.children:
                return None
            index = _INDEX[path[depth]]
            depth += 1
            links = node.links  # as in `_below`, without the calls: this loop is hot
            below = links[index] if links is not None else None
            if below is None:
                if not node.children[index]:
                    return None
                below = self.resolve(node.children[index], path[:depth])
            node = below
        return None

    def keys(self, prefix: bytes = b"", start: bytes | None = None) -> Iterator[bytes]:
        """Keys with `prefix`, ascending; strictly after `start` when it is given."""
        wanted = prefix.hex()
        after = start.hex() if start is not None else None
        top, depth = self._subtree(wanted)
        if top is None:
            return
        # Path, branch, and which of its children is meant; -1 is the node itself.
        stack: list[tuple[str, Node, int]] = [(wanted[:depth], top, -1)]
        while stack:
            path, node, index = stack.pop()
            if index >= 0:
                node = self.load(node, index, path)
            path += node.partial
            if after is not None and path < after[: len(path)]:
                continue
            if node.has_value and (after is None or path > after):
                yield bytes.fromhex(path)
            if node.children:
                least = ""
                if after is not None and after.startswith(path):
                    least = after[len(path) : len(path) + 1]
                for child in _CHILDREN_BACKWARDS:
                    digit = NIBBLES[child]
                    if node.children[child] and digit >= least:
                        stack.append((path + digit, node, child))

    def _subtree(self, wanted: str) -> tuple[Node | None, int]:
        """The node over all keys whose path begins so, and how deep it stands; None without any."""
        node = self.root_node()
        depth = 0
        while node is not None:
            end = depth + len(node.partial)
            if end >= len(wanted):
                return (node if node.partial.startswith(wanted[depth:]) else None), depth
            if not node.children or not wanted.startswith(node.partial, depth):
                return None, depth
            index = _INDEX[wanted[end]]
            links = node.links
            below = links[index] if links is not None else None
            if below is None and node.children[index]:
                below = self.resolve(node.children[index], wanted[: end + 1])
            node, depth = below, end + 1
        return None, depth

    def proof(self, keys: Iterable[bytes]) -> list[bytes]:
        """Encoded nodes and hashed values that prove each key's value, or that it is absent.

        From the root downwards, without repetition; `verify_proof` reads it.
        """
        root = self.root_node()
        if root is None:
            return [EMPTY_NODE]
        items: dict[bytes, None] = {root.encode(): None}
        for key in keys:
            path = key.hex()
            node: Node | None = root
            depth = 0
            while node is not None:
                if not node.is_inline:
                    items[node.encode()] = None
                if not path.startswith(node.partial, depth):
                    break
                depth += len(node.partial)
                if depth == len(path):
                    value = self.value_of(node, key)
                    if value is not None and node.value_hash is not None:
                        items[value] = None
                    break
                node, depth = self._below(node, path, depth), depth + 1
        return list(items)

    def merkle_value(self, prefix: bytes) -> bytes | None:
        """Merkle value of the node over exactly the keys with `prefix`; None when there are none.

        It changes whenever one of them or its value does (and when a key next to the prefix moves
        the node). A node of less than 32 bytes is its own Merkle value, any other's is its hash;
        the root's is always its hash.
        """
        path = prefix.hex()
        node = self.root_node()
        depth = 0
        while node is not None:
            end = depth + len(node.partial)
            if end >= len(path):
                if not node.partial.startswith(path[depth:]):
                    return None
                return self.root if depth == 0 else node.reference[1:]
            if not path.startswith(node.partial, depth):
                return None
            node, depth = self._below(node, path, end), end + 1
        return None

    def root_node(self) -> Node | None:
        """The node at the root; None when the trie is empty."""
        if self._node is None and self.root != EMPTY_ROOT:
            assert self._source is not None, "a trie without its root needs a source"
            self._node = self._source.node("", self.root)
        return self._node

    def load(self, node: Node, index: int, path: str) -> Node:
        """The child of a branch at `index`, which is there and stands at `path`."""
        if node.links is not None:
            found = node.links[index]
            if found is not None:
                return found
        return self.resolve(node.children[index], path)

    def resolve(self, reference: bytes, path: str) -> Node:
        """The node behind a reference, which is not in memory."""
        if len(reference) <= HASH_BYTES:
            return decode_node(reference[1:])
        assert self._source is not None, "a trie that is not whole needs a source"
        return self._source.node(path, reference[1:])

    def _below(self, node: Node, path: str, depth: int) -> Node | None:
        """The child on the way of `path`, whose first `depth` nibbles lead to `node`'s end."""
        if not node.children:
            return None
        index = _INDEX[path[depth]]
        if not node.children[index]:
            return None
        return self.load(node, index, path[: depth + 1])

    def value_of(self, node: Node, key: bytes) -> bytes | None:
        """The value of a key that ends at a node."""
        if node.value is None and node.value_hash is not None:
            assert self._source is not None, "a trie that is not whole needs a source"
            value = self._source.value(key, node.value_hash)
            if len(value) <= VALUE_REMEMBERED_MAX:
                node.value = value
            return value
        return node.value


class _Update:
    """One run of `Trie.update`: rebuilds each node on the way of a change exactly once."""

    def __init__(self, trie: Trie, version: int) -> None:
        self.touched: dict[str, Node | None] = {}
        self._trie = trie
        self._is_hashing = version >= 1

    def apply(self, node: Node | None, depth: int, items: list[_Change]) -> Node | None:
        """The node that replaces `node`, which stands at depth `depth`, after `items`.

        `items` is not empty, sorted, and all keys share the first `depth` nibbles.
        """
        if node is None:
            return self._build(depth, items)
        partial = node.partial
        end = depth + len(partial)
        if partial and not (
            items[0][0].startswith(partial, depth) and items[-1][0].startswith(partial, depth)
        ):
            return self._split(node, depth, items)
        return self._change(node, depth, end, items)

    def _build(self, depth: int, items: list[_Change]) -> Node | None:
        """A new subtree of all items that are not deletions."""
        if len(items) > 1:
            items = [item for item in items if item[1] is not None]
            if not items:
                return None
        key, value = items[0]
        if value is None:
            return None
        if len(items) == 1:
            return self._leaf(key[depth:], value)
        end = depth + _common(key[depth:], items[-1][0][depth:])
        return self._fill(key[depth:end], None, None, NO_CHILDREN, NO_LINKS, depth, end, items)

    def _split(self, node: Node, depth: int, items: list[_Change]) -> Node | None:
        """Some keys leave the node's partial path: a branch goes in above it."""
        partial = node.partial
        items = [
            item for item in items if item[1] is not None or item[0].startswith(partial, depth)
        ]
        if not items:
            return node
        shared = min(_common(partial, items[0][0][depth:]), _common(partial, items[-1][0][depth:]))
        end = depth + shared
        if shared == len(partial):
            return self._change(node, depth, end, items)
        index = _INDEX[partial[shared]]
        moved = new_node(
            partial[shared + 1 :], node.value, node.value_hash, node.children, node.links
        )
        self.touched[items[0][0][:depth] + partial[: shared + 1]] = moved
        children = list(NO_CHILDREN)
        links = list(NO_LINKS)
        children[index], links[index] = moved.reference, moved
        return self._fill(
            partial[:shared], None, None, tuple(children), tuple(links), depth, end, items
        )

    def _change(self, node: Node, depth: int, end: int, items: list[_Change]) -> Node | None:
        """All keys lie at or below the node."""
        if len(items) == 1 and not node.children:
            key, value = items[0]
            if len(key) == end:
                return self._leaf(node.partial, value) if value is not None else None
        children = node.children or NO_CHILDREN
        links = node.links or NO_LINKS
        after = self._fill(
            node.partial, node.value, node.value_hash, children, links, depth, end, items
        )
        if after is not None and after.reference == node.reference:
            return node
        return after

    def _fill(
        self,
        partial: str,
        value: bytes | None,
        value_hash: bytes | None,
        children: tuple[bytes, ...],
        links: Links,
        depth: int,
        end: int,
        items: list[_Change],
    ) -> Node | None:
        """The node with these parts, after `items`: its own value first, then child by child."""
        start = 0
        first, own = items[0]
        if len(first) == end:
            value, value_hash = own, self._hash(own)
            start = 1
        slots = list(children)
        linked = list(links)
        count = len(items)
        while start < count:
            digit = items[start][0][end]
            stop = start + 1
            while stop < count and items[stop][0][end] == digit:
                stop += 1
            index = _INDEX[digit]
            path = items[start][0][: end + 1]
            before = linked[index]
            if before is None and slots[index]:
                before = self._trie.resolve(slots[index], path)
            after = self.apply(before, end + 1, items[start:stop])
            if after is not before:
                slots[index] = after.reference if after is not None else b""
                self.touched[path] = after
            linked[index] = after
            start = stop
        return self._finish(partial, value, value_hash, slots, linked, first[:depth])

    def _finish(
        self,
        partial: str,
        value: bytes | None,
        value_hash: bytes | None,
        slots: list[bytes],
        links: list[Node | None],
        above: str,
    ) -> Node | None:
        """The canonical node for these parts: nothing, a leaf, the only child, or a branch."""
        has_value = value is not None or value_hash is not None
        absent = slots.count(b"")
        if absent == 16:
            return new_node(partial, value, value_hash) if has_value else None
        if absent == 15 and not has_value:
            index = next(index for index, slot in enumerate(slots) if slot)
            path = above + partial + NIBBLES[index]
            child = links[index] or self._trie.resolve(slots[index], path)
            self.touched[path] = None
            return new_node(
                partial + NIBBLES[index] + child.partial,
                child.value,
                child.value_hash,
                child.children,
                child.links,
            )
        return new_node(partial, value, value_hash, tuple(slots), tuple(links))

    def _leaf(self, partial: str, value: bytes) -> Node:
        return new_node(partial, value, self._hash(value))

    def _hash(self, value: bytes | None) -> bytes | None:
        if value is None or len(value) <= INLINE_VALUE_MAX or not self._is_hashing:
            return None
        return blake2b(value, digest_size=32).digest()


class ProofInvalid(Exception):
    """A proof does not lead from the root to an answer."""


class _ProofSource:
    """The items of a proof by their hashes."""

    def __init__(self, items: Iterable[bytes]) -> None:
        self._items = {blake2_256(item): item for item in items}

    def node(self, path: str, node_hash: Hash) -> Node:
        """The node with this hash."""
        return decode_node(self._find(node_hash, f"the node at {path or 'the root'}"))

    def value(self, key: bytes, value_hash: Hash) -> bytes:
        """The value with this hash."""
        return self._find(value_hash, f"the value of 0x{key.hex()}")

    def _find(self, item_hash: Hash, what: str) -> bytes:
        item = self._items.get(item_hash)
        if item is None:
            raise ProofInvalid(f"{what} is missing: no item hashes to 0x{item_hash.hex()}")
        return item


def verify_proof(
    root: Hash, items: Iterable[bytes], keys: Iterable[bytes]
) -> dict[bytes, bytes | None]:
    """The value of each key (None: absent) under `root`. Raises `ProofInvalid` or `DecodeError`.

    Needs no more than the root; what else is among the items is not looked at.
    """
    trie = Trie(root, 1, None, _ProofSource(items))
    return {key: trie.get(key) for key in keys}


def ordered_root(values: Sequence[bytes], version: int) -> Hash:
    """Root of the trie that has the SCALE compact index of each value as its key."""
    changes = {encode_compact(index): value for index, value in enumerate(values)}
    return Trie.empty(version).update(changes).root


def extrinsics_root(extrinsics: Sequence[bytes]) -> Hash:
    """The header's commitment to the body: state version 0, each with its length prefix."""
    return ordered_root(extrinsics, 0)


def _common(left: str, right: str) -> int:
    """How many nibbles two paths share at their beginning."""
    size = min(len(left), len(right))
    if left[:size] == right[:size]:
        return size
    low, high = 0, size - 1  # left[:low] is shared, the difference lies at or before `high`
    while low < high:
        middle = (low + high + 1) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
