"""Blocks from a base upwards, with who voted for each block or a descendant of it.

Invariant: a voter whose bit is set at a block has it set at all ancestors down to the base. So a
vote costs the depth of its target above the base, and the weight of a block is a bit count.
The graph holds its own links: it stays whole when the block tree is pruned.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from runtime.primitives.types import Hash

PREVOTE, PRECOMMIT = 0, 1
"""The two stages; the numbers are those of the messages on the wire."""


class BlockRef(NamedTuple):
    """A block by hash and number."""

    hash: Hash
    number: int


ParentOf = Callable[[Hash], BlockRef | None]
"""The parent of a known block, or None when the block is not known."""


class _Node:
    __slots__ = ("block", "children", "masks", "parent")

    def __init__(self, block: BlockRef, parent: "_Node | None") -> None:
        self.block = block
        self.parent = parent
        self.children: list[_Node] = []
        self.masks = [0, 0]


class VoteGraph:
    """The blocks that votes of a round point to, and all between them and the base."""

    def __init__(self, base: BlockRef) -> None:
        self.base = base
        self._nodes = {base.hash: _Node(base, None)}

    def __contains__(self, block_hash: Hash) -> bool:
        return block_hash in self._nodes

    def block(self, block_hash: Hash) -> BlockRef | None:
        """The block of this hash when it is in the graph."""
        node = self._nodes.get(block_hash)
        return None if node is None else node.block

    def insert(self, target: BlockRef, parent_of: ParentOf) -> bool:
        """Put a block and its way down to the graph in; False when it is not on top of the base."""
        missing: list[BlockRef] = []
        block = target
        while block.hash not in self._nodes:
            if block.number <= self.base.number:
                return False
            parent = parent_of(block.hash)
            if parent is None or parent.number != block.number - 1:
                return False
            missing.append(block)
            block = parent
        if not missing:
            return self._nodes[target.hash].block == target

        node = self._nodes[block.hash]
        for above in reversed(missing):
            child = _Node(above, node)
            node.children.append(child)
            # Children are visited by hash, so that the order of arrival never shows.
            node.children.sort(key=_hash_of)
            self._nodes[above.hash] = child
            node = child
        return True

    def add_vote(self, target: Hash, stage: int, voter: int) -> None:
        """Count a voter for a block of the graph and for all below it."""
        bit = 1 << voter
        node: _Node | None = self._nodes[target]
        while node is not None and not node.masks[stage] & bit:
            node.masks[stage] |= bit
            node = node.parent

    def mask(self, block_hash: Hash, stage: int) -> int:
        """Who voted for this block or above it: bit i is voter i."""
        return self._nodes[block_hash].masks[stage]

    def ghost(self, start: BlockRef, accepts: Callable[[Hash], bool]) -> BlockRef:
        """Walk up from `start` to the child that `accepts` while there is one."""
        node = self._nodes[start.hash]
        while True:
            child = next((c for c in node.children if accepts(c.block.hash)), None)
            if child is None:
                return node.block
            node = child

    def ancestor(self, start: BlockRef, accepts: Callable[[Hash], bool]) -> BlockRef | None:
        """The highest of `start` and its ancestors in the graph that `accepts`, if any."""
        node: _Node | None = self._nodes[start.hash]
        while node is not None:
            if accepts(node.block.hash):
                return node.block
            node = node.parent
        return None

    def is_on_chain(self, ancestor: BlockRef, descendant: BlockRef) -> bool:
        """Whether `ancestor` is `descendant` or below it; both in the graph."""
        node: _Node | None = self._nodes.get(descendant.hash)
        while node is not None and node.block.number > ancestor.number:
            node = node.parent
        return node is not None and node.block == ancestor

    def links(self) -> Iterator[tuple[BlockRef, Hash]]:
        """Every block above the base with its parent's hash, parents first."""
        for node in self._nodes.values():
            if node.parent is not None:
                yield node.block, node.parent.block.hash


def _hash_of(node: _Node) -> Hash:
    return node.block.hash
