"""The chain as finality sees it: the tree above the finalized block, and what lies below on disk.

Invariant: answers are right within the event that finalized a block, when the tree has let go of
it and the disk does not know yet that it is final.
"""

from consensus.fork_choice import BlockTree
from consensus.grandpa.vote_graph import BlockRef
from consensus.ports import ChainReader
from runtime.primitives.block import Header
from runtime.primitives.types import Hash


class ChainView:
    """Reads from the tree first, then from the stored chain."""

    def __init__(self, tree: BlockTree, reader: ChainReader) -> None:
        self.tree = tree
        self._reader = reader

    @property
    def finalized(self) -> BlockRef:
        """The last finalized block."""
        return self.tree.finalized

    def header(self, block_hash: Hash) -> Header | None:
        """The header of an imported block."""
        block = self.tree.get(block_hash)
        return self._reader.header(block_hash) if block is None else block.header

    def parent_of(self, block_hash: Hash) -> BlockRef | None:
        """The parent of an imported block."""
        parent = self.tree.parent_of(block_hash)
        if parent is None:
            header = self._reader.header(block_hash)
            parent = None if header is None else BlockRef(header.parent_hash, header.number - 1)
        return parent

    def final_hash(self, number: int) -> Hash | None:
        """The finalized block of a height; None above the last one."""
        if number > self.finalized.number:
            return None
        return self.tree.recent_final_hash(number) or self._reader.finalized_hash(number)

    def is_final(self, block: BlockRef) -> bool:
        """Whether this block is finalized."""
        return self.final_hash(block.number) == block.hash

    def is_ancestor(self, ancestor: BlockRef, descendant: BlockRef) -> bool:
        """Whether `ancestor` is `descendant` or below it; False for blocks that are not known."""
        if ancestor.number > descendant.number:
            return False
        if ancestor.number <= self.finalized.number:
            is_above = self.is_final(descendant) or descendant.hash in self.tree
            return self.is_final(ancestor) and is_above
        return self.tree.is_ancestor(ancestor, descendant)
