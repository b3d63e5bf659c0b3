"""The imported blocks above the last finalized one, and which of them is best.

Invariant: every block here descends from the finalized block, which is the root, and `best` is a
leaf of greatest number; of equal leaves the one that was best first stays best. The links of the
blocks finalized last are kept: votes of rounds in play point to them, and what was finalized in
the event at hand is not on disk yet.

Leaves out: difficulty and "in turn" weights. Every Aura block is in turn, so two leaves of equal
height differ again in height as soon as the next author extends one of them.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from consensus.grandpa.vote_graph import BlockRef
from runtime.primitives.block import Header
from runtime.primitives.types import Hash

# Above these a chain without finality would take memory without end; authoring stops at the first.
UNFINALIZED_MAX = 512
BLOCKS_MAX = 1_024
FINALIZED_LINKS_KEPT = 1_024  # as many as one finalization can add


@dataclass(slots=True, eq=False)
class TreeBlock:
    """An imported block, with what the check of its children needs."""

    ref: BlockRef
    header: Header
    slot: int
    aura_authorities: tuple[bytes, ...]
    """The authorities that may author children of this block."""

    has_scheduled_change: bool = False
    """Whether its header hands finality over to another authority set."""

    recovery: Hash | None = None
    """The override that starts from this block: whatever follows it has to carry it."""

    arrival: int = 0
    children: list["TreeBlock"] = field(default_factory=list["TreeBlock"])


@dataclass(frozen=True, slots=True)
class Route:
    """The way from one best block to another."""

    retracted: tuple[Hash, ...]
    enacted: tuple[Hash, ...]


@dataclass(frozen=True, slots=True)
class Finalization:
    """What finalizing a block did to the tree."""

    route: tuple[TreeBlock, ...]
    """Newly finalized, by rising number."""

    pruned: tuple[Hash, ...]
    """No longer in the tree: they conflict with the finalized block."""

    reorg: Route | None
    """How the best chain changed, when it did not contain the finalized block."""


class BlockTree:
    """A tree of blocks rooted at the last finalized one."""

    def __init__(self, root: TreeBlock) -> None:
        self._blocks = {root.ref.hash: root}
        self._arrivals = root.arrival
        self._final_parents: OrderedDict[Hash, BlockRef] = OrderedDict()
        self._final_hashes: dict[int, Hash] = {}
        self._note_final(root)
        self.root = root
        self.best = root
        self.finalized = root.ref
        """The root, as a block by hash and number."""

        self.version = 0
        """Goes up with each change: what was found out about the tree holds as long as it stays."""

    def __contains__(self, block_hash: Hash) -> bool:
        return block_hash in self._blocks

    def __len__(self) -> int:
        return len(self._blocks)

    def get(self, block_hash: Hash) -> TreeBlock | None:
        """The block of this hash, when it is the finalized one or above it."""
        return self._blocks.get(block_hash)

    def insert(self, block: TreeBlock) -> Route | None:
        """Add a block whose parent is in the tree; the route when it is the new best."""
        parent = self._blocks[block.header.parent_hash]
        self.version += 1
        self._arrivals += 1
        block.arrival = self._arrivals
        parent.children.append(block)
        self._blocks[block.ref.hash] = block
        if block.ref.number <= self.best.ref.number:
            return None
        route = self.route(self.best.ref, block.ref)
        self.best = block
        return route

    def set_best(self, block_hash: Hash) -> None:
        """Prefer a leaf among equals, as it was before a restart; others are not accepted."""
        block = self._blocks.get(block_hash)
        if block is not None and block.ref.number == self.best.ref.number:
            self.version += 1
            self.best = block

    def is_ancestor(self, ancestor: BlockRef, descendant: BlockRef) -> bool:
        """Whether `ancestor` is `descendant` or below it. False when either is not here."""
        return ancestor.hash in self._blocks and self.ancestor_at(
            descendant.hash, ancestor.number
        ) == self._blocks.get(ancestor.hash)

    def ancestor_at(self, block_hash: Hash, number: int) -> TreeBlock | None:
        """The block at a height on the way from `block_hash` down to the root."""
        block = self._blocks.get(block_hash)
        while block is not None and block.ref.number > number:
            block = self._blocks.get(block.header.parent_hash)
        return block if block is not None and block.ref.number == number else None

    def path(self, below: BlockRef, top: Hash) -> tuple[TreeBlock, ...]:
        """The blocks above `below` up to `top`, by rising number; `below` is an ancestor."""
        blocks: list[TreeBlock] = []
        block = self._blocks[top]
        while block.ref.number > below.number:
            blocks.append(block)
            if block is self.root:
                break
            block = self._blocks[block.header.parent_hash]
        return tuple(reversed(blocks))

    def parent_of(self, block_hash: Hash) -> BlockRef | None:
        """The parent of a block that is here or was finalized lately."""
        block = self._blocks.get(block_hash)
        if block is not None:
            return BlockRef(block.header.parent_hash, block.ref.number - 1)
        return self._final_parents.get(block_hash)

    def recent_final_hash(self, number: int) -> Hash | None:
        """The finalized block of this height, when it was finalized lately."""
        return self._final_hashes.get(number)

    def route(self, old: BlockRef, new: BlockRef) -> Route:
        """What to take back and what to put in to get from one block to another."""
        retracted: list[Hash] = []
        enacted: list[Hash] = []
        left, right = self._blocks[old.hash], self._blocks[new.hash]
        while left is not right:
            if left.ref.number >= right.ref.number:
                retracted.append(left.ref.hash)
                left = self._blocks[left.header.parent_hash]
            else:
                enacted.append(right.ref.hash)
                right = self._blocks[right.header.parent_hash]
        return Route(tuple(retracted), tuple(reversed(enacted)))

    def best_containing(self, base: BlockRef) -> TreeBlock | None:
        """The leaf to vote for on top of `base`: best when it is on top, else the deepest one.

        On any fork: when the estimate of a round has left the best chain, refusing to vote for
        its branch would stop finality for ever. None when `base` is not here.
        """
        if self.is_ancestor(base, self.best.ref):
            return self.best
        block = self._blocks.get(base.hash)
        return None if block is None else _deepest(block)

    def finalize(self, block_hash: Hash) -> Finalization:
        """Make a block of the tree the root and forget all that conflicts with it."""
        new_root, old_best = self._blocks[block_hash], self.best
        reorg: Route | None = None
        if not self.is_ancestor(new_root.ref, old_best.ref):
            new_best = _deepest(new_root)
            reorg = self.route(old_best.ref, new_best.ref)
            self.best = new_best
        return self._plant(new_root, reorg)

    def recover(self, block_hash: Hash, override: Hash) -> Finalization:
        """Make a block the root and forget all above it: an override starts from there."""
        new_root, old_best = self._blocks[block_hash], self.best
        reorg = None if old_best is new_root else self.route(old_best.ref, new_root.ref)
        self.best = new_root
        new_root.children = []
        new_root.recovery = override
        return self._plant(new_root, reorg)

    def _plant(self, new_root: TreeBlock, reorg: Route | None) -> Finalization:
        route = self.path(self.finalized, new_root.ref.hash)
        kept = set(_hashes(new_root))
        gone = {self.root.ref.hash} | {block.ref.hash for block in route[:-1]}
        pruned = tuple(h for h in self._blocks if h not in kept and h not in gone)
        self._blocks = {h: block for h, block in self._blocks.items() if h in kept}
        self.root, self.finalized = new_root, new_root.ref
        self.version += 1
        for block in route:
            self._note_final(block)
        return Finalization(route, pruned, reorg)

    def _note_final(self, block: TreeBlock) -> None:
        number = block.ref.number
        self._final_parents[block.ref.hash] = BlockRef(block.header.parent_hash, number - 1)
        self._final_hashes[number] = block.ref.hash
        if len(self._final_parents) > FINALIZED_LINKS_KEPT:
            _, parent = self._final_parents.popitem(last=False)
            self._final_hashes.pop(parent.number + 1, None)


def _hashes(block: TreeBlock) -> list[Hash]:
    found: list[Hash] = []
    stack = [block]
    while stack:
        top = stack.pop()
        found.append(top.ref.hash)
        stack.extend(top.children)
    return found


def _deepest(block: TreeBlock) -> TreeBlock:
    """The leaf of greatest number above a block; of equals the first imported."""
    best = block
    stack = [block]
    while stack:
        top = stack.pop()
        if (top.ref.number, -top.arrival) > (best.ref.number, -best.arrival):
            best = top
        stack.extend(top.children)
    return best
