"""Which block to prevote for: a leaf above the base, made less by the voting rules.

Each rule answers with a block on the way from the base to the leaf; the lowest answer counts and
is never below the base. As in Substrate's voting_rule.rs, with the numbers of a small network.
"""

from consensus.fork_choice import BlockTree, TreeBlock
from consensus.grandpa.vote_graph import BlockRef

BEHIND_BEST_BLOCKS = 1  # the tip may not have reached the others yet
LONG_CHAIN_BLOCKS = 16  # beyond this all voters aim at three quarters of the unfinalized chain


def prevote_target(tree: BlockTree, estimate: BlockRef) -> BlockRef:
    """The block to prevote for on top of the estimate of the round before."""
    # A commit may have finalized more than the rounds we saw; it is on the estimate's chain.
    base = estimate if estimate.number >= tree.finalized.number else tree.finalized
    leaf = tree.best_containing(base)
    if leaf is None:
        return base
    number = min(
        _before_best(leaf, base),
        _three_quarters(leaf, tree.finalized),
        _first_change(tree, leaf),
    )
    target = tree.ancestor_at(leaf.ref.hash, max(number, base.number))
    return base if target is None else target.ref


def _before_best(leaf: TreeBlock, base: BlockRef) -> int:
    return max(base.number, leaf.ref.number - BEHIND_BEST_BLOCKS)


def _three_quarters(leaf: TreeBlock, finalized: BlockRef) -> int:
    """After a long stall, aim where all voters agree although their tips differ."""
    length = leaf.ref.number - finalized.number
    if length <= LONG_CHAIN_BLOCKS:
        return leaf.ref.number
    return finalized.number + (length * 3 + 2) // 4


def _first_change(tree: BlockTree, leaf: TreeBlock) -> int:
    """Never above a block that hands over to another set: those above are that set's."""
    for block in tree.path(tree.finalized, leaf.ref.hash):
        if block.has_scheduled_change:
            return block.ref.number
    return leaf.ref.number
