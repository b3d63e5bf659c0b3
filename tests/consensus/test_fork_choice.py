"""The block tree: the best chain, and what finality does to it."""

import random

from consensus.fork_choice import FINALIZED_LINKS_KEPT, BlockTree, TreeBlock
from consensus.grandpa.vote_graph import BlockRef
from runtime.primitives.block import Digest, Header, Other

ZERO = bytes(32)


def block(parent: TreeBlock | None, mark: int) -> TreeBlock:
    number = 0 if parent is None else parent.ref.number + 1
    parent_hash = ZERO if parent is None else parent.ref.hash
    header = Header(parent_hash, number, ZERO, ZERO, Digest([Other(mark.to_bytes(4, "little"))]))
    return TreeBlock(BlockRef(header.hash(), number), header, number, ())


def chain(tree: BlockTree, parent: TreeBlock, length: int, mark: int) -> list[TreeBlock]:
    blocks: list[TreeBlock] = []
    for _ in range(length):
        parent = block(parent, mark)
        tree.insert(parent)
        blocks.append(parent)
    return blocks


def test_the_longer_branch_is_best_and_of_equals_the_first() -> None:
    root = block(None, 0)
    tree = BlockTree(root)
    first = chain(tree, root, 2, 1)

    second = chain(tree, root, 2, 2)
    assert tree.best is first[1]

    third = block(second[1], 3)
    route = tree.insert(third)
    assert tree.best is third
    assert route is not None
    assert route.retracted == (first[1].ref.hash, first[0].ref.hash)
    assert route.enacted == (second[0].ref.hash, second[1].ref.hash, third.ref.hash)


def test_finality_prunes_what_conflicts_and_moves_best_to_the_deepest_leaf() -> None:
    root = block(None, 0)
    tree = BlockTree(root)
    long, short = chain(tree, root, 3, 1), chain(tree, root, 2, 2)

    change = tree.finalize(short[0].ref.hash)

    assert change.route == (short[0],)
    assert set(change.pruned) == {b.ref.hash for b in long}
    assert tree.best is short[1]
    assert change.reorg is not None
    assert change.reorg.retracted == tuple(b.ref.hash for b in reversed(long))
    assert change.reorg.enacted == tuple(b.ref.hash for b in short)
    assert len(tree) == 2


def test_finality_on_the_best_chain_is_no_reorganization() -> None:
    root = block(None, 0)
    tree = BlockTree(root)
    blocks = chain(tree, root, 3, 1)

    change = tree.finalize(blocks[1].ref.hash)

    assert change.reorg is None
    assert change.route == tuple(blocks[:2])
    assert tree.best is blocks[2]
    assert tree.root is blocks[1]


def test_links_of_final_blocks_are_kept_for_a_while() -> None:
    root = block(None, 0)
    tree = BlockTree(root)
    blocks = chain(tree, root, FINALIZED_LINKS_KEPT + 10, 1)

    for final in blocks:
        tree.finalize(final.ref.hash)

    assert tree.parent_of(blocks[-2].ref.hash) == blocks[-3].ref
    assert tree.recent_final_hash(blocks[-2].ref.number) == blocks[-2].ref.hash
    assert tree.recent_final_hash(5) is None
    assert tree.parent_of(blocks[4].ref.hash) is None


def test_a_stored_best_leaf_is_taken_up_among_equals_only() -> None:
    root = block(None, 0)
    tree = BlockTree(root)
    first, second = chain(tree, root, 2, 1), chain(tree, root, 2, 2)

    tree.set_best(second[0].ref.hash)
    assert tree.best is first[1]
    tree.set_best(second[1].ref.hash)
    assert tree.best is second[1]


def test_routes_in_random_trees_lead_from_one_block_to_the_other() -> None:
    rng = random.Random(7)
    root = block(None, 0)
    tree, blocks = BlockTree(root), [root]
    for i in range(200):
        fresh = block(rng.choice(blocks[-20:]), i + 1)
        blocks.append(fresh)
        before = tree.best
        route = tree.insert(fresh)
        if route is None:
            assert fresh.ref.number <= before.ref.number
            continue
        here = before.ref.hash
        for taken in route.retracted:
            assert taken == here
            found = tree.get(here)
            assert found is not None
            here = found.header.parent_hash
        for put in route.enacted:
            found = tree.get(put)
            assert found is not None
            assert found.header.parent_hash == here
            here = put
        assert here == tree.best.ref.hash == fresh.ref.hash
