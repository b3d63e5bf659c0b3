"""The accounting of a GRANDPA round by its definitions, on sets, without any cleverness.

A block is a number, 0 is the round's base, `parent[b]` is the block below b. A vote is a pair
(voter, block). All voters weigh 1. Source: CONSENSUS notes after the GRANDPA paper,
arXiv:2007.01560, and the crate finality-grandpa.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

Vote = tuple[int, int]


@dataclass(frozen=True)
class ReferenceState:
    """None where there is no such block."""

    ghost: int | None
    finalized: int | None
    estimate: int | None
    is_completable: bool


def ancestors(parent: Sequence[int], block: int) -> list[int]:
    """The block and all below it, highest first."""
    chain = [block]
    while chain[-1] != 0:
        chain.append(parent[chain[-1]])
    return chain


class _Stage:
    """The first two different votes of each voter."""

    def __init__(self, parent: Sequence[int], votes: Sequence[Vote]) -> None:
        self.parent = parent
        self.first: dict[int, int] = {}
        self.equivocators: set[int] = set()
        for voter, block in votes:
            if voter not in self.first:
                self.first[voter] = block
            elif self.first[voter] != block:
                self.equivocators.add(voter)

    def supporters(self, block: int) -> set[int]:
        """An equivocator counts for every block."""
        honest = {v for v, target in self.first.items() if block in ancestors(self.parent, target)}
        return honest | self.equivocators


def reference_state(
    parent: Sequence[int], n: int, prevotes: Sequence[Vote], precommits: Sequence[Vote]
) -> ReferenceState:
    """What the votes say, in the order given."""
    f = (n - 1) // 3
    t = n - f
    pv, pc = _Stage(parent, prevotes), _Stage(parent, precommits)
    if len(pv.first) < t:
        return ReferenceState(None, None, None, False)
    blocks = range(len(parent))
    height = {b: len(ancestors(parent, b)) for b in blocks}
    # With at most f equivocators all blocks with t supporters lie on one chain.
    ghost = max((b for b in blocks if len(pv.supporters(b)) >= t), key=lambda b: height[b])
    if len(pc.first) < t:
        return ReferenceState(ghost, None, ghost, False)

    def is_possible(block: int) -> bool:
        """Whether some honest completion of the votes gives the block t precommits."""
        unseen = set(range(n)) - set(pc.first)
        now = pc.supporters(block)
        elsewhere = sorted(set(pc.first) - now)
        left = max(0, f - len(pc.equivocators))
        return any(
            len(now | unseen | set(turned)) >= t
            for k in range(min(left, len(elsewhere)) + 1)
            for turned in combinations(elsewhere, k)
        )

    below = ancestors(parent, ghost)
    finalized = next((b for b in below if len(pc.supporters(b)) >= t), None)
    estimate = next((b for b in below if is_possible(b)), None)
    children = [b for b in blocks if b != 0 and parent[b] == ghost]
    is_completable = estimate is not None and (
        estimate != ghost or not any(is_possible(child) for child in children)
    )
    return ReferenceState(ghost, finalized, estimate, is_completable)
