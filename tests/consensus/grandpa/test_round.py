"""One round's accounting against the definitions; `DRET_VOTE_SETS` random sets of votes."""

import os
import random

import pytest

from consensus.grandpa.round import Imported, Round, RoundState
from consensus.grandpa.tally import tally_of
from consensus.grandpa.vote_graph import PRECOMMIT, PREVOTE, BlockRef
from consensus.grandpa.voter_set import VoterSet
from tests.oracles.grandpa_reference import ReferenceState, Vote, ancestors, reference_state

BLOCKS_MAX = 8
SETS_PER_SEED = 200
SETS = int(os.environ.get("DRET_VOTE_SETS", "2000"))


class Tree:
    """Blocks 0 .. len-1; 0 is the base, at height 10."""

    def __init__(self, parent: list[int]) -> None:
        self.parent = parent
        self.refs = [
            BlockRef(bytes([b]) * 32, 9 + len(ancestors(parent, b))) for b in range(len(parent))
        ]
        self._by_hash = {ref.hash: b for b, ref in enumerate(self.refs)}

    def parent_of(self, block_hash: bytes) -> BlockRef | None:
        block = self._by_hash.get(block_hash)
        return None if not block else self.refs[self.parent[block]]

    def number(self, block: BlockRef | None) -> int | None:
        return None if block is None else self._by_hash[block.hash]

    def plain(self, state: RoundState) -> ReferenceState:
        return ReferenceState(
            self.number(state.ghost),
            self.number(state.finalized),
            self.number(state.estimate),
            state.is_completable,
        )


def voters(n: int) -> VoterSet:
    return VoterSet([bytes([i + 1]) * 32 for i in range(n)])


def new_round(n: int, tree: Tree) -> Round[str]:
    return Round(1, voters(n), tree.refs[0])


def cast(round_: Round[str], tree: Tree, stage: int, vote: Vote) -> Imported:
    voter, block = vote
    return round_.import_vote(stage, voter, tree.refs[block], "signed", tree.parent_of)


def draw_votes(rng: random.Random, n: int, blocks: int) -> list[tuple[int, Vote]]:
    """Votes of both stages in a random order: some silent, at most f equivocating per stage."""
    cast: list[tuple[int, Vote]] = []
    favourite = rng.randrange(blocks)
    for stage in (PREVOTE, PRECOMMIT):
        equivocators = rng.sample(range(n), rng.randint(0, (n - 1) // 3))
        for voter in range(n):
            if rng.random() < 0.1:
                continue
            target = favourite if rng.random() < 0.5 else rng.randrange(blocks)
            cast.append((stage, (voter, target)))
            if voter in equivocators:
                cast += [(stage, (voter, rng.randrange(blocks))) for _ in range(2)]
    rng.shuffle(cast)
    return cast


@pytest.mark.parametrize("seed", range(SETS // SETS_PER_SEED))
def test_after_each_vote_the_state_is_what_the_definitions_say(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(SETS_PER_SEED):
        n = rng.randint(1, 7)
        blocks = rng.randint(1, BLOCKS_MAX)
        tree = Tree([0] + [rng.randrange(b) for b in range(1, blocks)])
        round_ = new_round(n, tree)
        seen: tuple[list[Vote], list[Vote]] = ([], [])

        for stage, vote in draw_votes(rng, n, blocks):
            cast(round_, tree, stage, vote)
            seen[stage].append(vote)

            expected = reference_state(tree.parent, n, *seen)
            assert tree.plain(round_.state) == expected, (seed, tree.parent, n, seen)


@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_votes_does_not_matter(seed: int) -> None:
    rng = random.Random(100 + seed)
    for _ in range(200):
        n, blocks = rng.randint(4, 7), rng.randint(2, BLOCKS_MAX)
        tree = Tree([0] + [rng.randrange(b) for b in range(1, blocks)])
        # At most two votes each: of three, which two are kept depends on the order.
        votes = list(dict.fromkeys(draw_votes(rng, n, blocks)))
        count: dict[tuple[int, int], int] = {}
        kept = []
        for stage, vote in votes:
            count[stage, vote[0]] = count.get((stage, vote[0]), 0) + 1
            if count[stage, vote[0]] <= 2:
                kept.append((stage, vote))

        states = []
        for _ in range(3):
            rng.shuffle(kept)
            round_ = new_round(n, tree)
            for stage, vote in kept:
                cast(round_, tree, stage, vote)
            states.append(tree.plain(round_.state))

        assert states[0] == states[1] == states[2]


@pytest.mark.parametrize(
    ("n", "threshold"),
    [(1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (6, 5), (7, 5), (10, 7), (30, 21), (100, 67)],
)
def test_the_threshold_is_more_than_two_thirds(n: int, threshold: int) -> None:
    keys = [i.to_bytes(32, "little") for i in range(n)]

    assert VoterSet(keys).threshold == threshold


def test_a_voter_set_needs_distinct_keys() -> None:
    with pytest.raises(ValueError, match="distinct"):
        VoterSet([b"a" * 32, b"a" * 32])
    with pytest.raises(ValueError, match="at least one"):
        VoterSet([])


def test_a_vote_is_counted_once_and_a_third_is_ignored() -> None:
    tree = Tree([0, 0, 0, 0])
    round_ = new_round(4, tree)

    outcomes = [cast(round_, tree, PREVOTE, (0, block)) for block in (1, 1, 2, 3)]

    assert outcomes == [
        Imported.COUNTED,
        Imported.DUPLICATE,
        Imported.EQUIVOCATION,
        Imported.IGNORED,
    ]
    assert [vote.target for vote in round_.votes_of(PREVOTE, 0)] == tree.refs[1:3]


def test_a_vote_for_a_block_that_is_not_above_the_base_is_not_counted() -> None:
    tree = Tree([0, 0])
    round_: Round[str] = Round(1, voters(4), tree.refs[1])

    for target in (
        tree.refs[0],
        BlockRef(b"?" * 32, 12),
        BlockRef(tree.refs[1].hash, 12),
        BlockRef(b"?" * 32, 11),
    ):
        outcome = round_.import_vote(PREVOTE, 0, target, "signed", tree.parent_of)
        assert outcome is Imported.UNKNOWN_BLOCK

    assert round_.voted(PREVOTE) == 0


def test_more_than_f_equivocators_are_noticed() -> None:
    tree = Tree([0, 0, 0])
    round_ = new_round(4, tree)

    for voter in (0, 1):
        for block in (1, 2):
            assert not round_.has_too_many_equivocators
            cast(round_, tree, PRECOMMIT, (voter, block))

    assert round_.has_too_many_equivocators


def test_the_second_vote_of_a_voter_counts_without_its_block() -> None:
    tree = Tree([0, 0])
    round_ = new_round(4, tree)
    cast(round_, tree, PREVOTE, (0, 1))

    gone = BlockRef(b"?" * 32, 50)
    outcome = round_.import_vote(PREVOTE, 0, gone, "signed", tree.parent_of)

    assert outcome is Imported.EQUIVOCATION
    assert round_.weight(tree.refs[1].hash, PREVOTE) == 1
    for voter in (1, 2):
        cast(round_, tree, PREVOTE, (voter, 1))
    assert round_.state.ghost == tree.refs[1]


def test_a_settled_vote_for_a_block_that_is_gone_counts_for_the_base_alone() -> None:
    tree = Tree([0, 0])
    round_ = new_round(4, tree)
    for voter in (0, 1):
        cast(round_, tree, PREVOTE, (voter, 1))
    assert round_.state.ghost is None

    gone = BlockRef(b"?" * 32, 11)
    outcome = round_.import_vote(PREVOTE, 2, gone, "signed", tree.parent_of, is_settled=True)

    assert outcome is Imported.COUNTED
    assert round_.has_vote(PREVOTE, 2, gone)
    assert round_.weight(tree.refs[0].hash, PREVOTE) == 3
    assert round_.weight(tree.refs[1].hash, PREVOTE) == 2
    assert round_.state.ghost == tree.refs[0]


def test_the_tally_of_a_round_names_who_has_not_voted() -> None:
    tree = Tree([0, 0])
    round_ = new_round(4, tree)
    for voter in (0, 2, 3):
        cast(round_, tree, PREVOTE, (voter, 1))
    cast(round_, tree, PRECOMMIT, (2, 1))

    tally = tally_of(round_)

    assert (tally.number, tally.voters, tally.threshold) == (1, 4, 3)
    assert tally.missing_prevotes == (bytes([2]) * 32,)
    assert tally.missing_precommits == tuple(bytes([n]) * 32 for n in (1, 2, 4))
