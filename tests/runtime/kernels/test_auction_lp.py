"""The clearing's welfare against the optimum of the linear program."""

from random import Random

import pytest

from runtime.kernels import auction
from tests.oracles import auction_lp
from tests.runtime.kernels.books import (
    examples,
    order_arrays,
    plain,
    random_book,
    random_tree,
    tree_arrays,
)


@pytest.mark.slow
def test_welfare_is_the_optimum_where_nothing_is_lost() -> None:
    trades = 0
    for seed in examples(500):
        random = Random(seed)
        tree = random_tree(random, lossy=False)
        book = random_book(random, tree)

        result = plain(auction.clear(tree_arrays(tree), order_arrays(book), 7))

        found, best = auction_lp.welfare(tree, book, result), auction_lp.optimum(tree, book)
        assert abs(best.welfare - found) <= 1e-6 * max(best.welfare, 1), f"seed {seed}"
        trades += any(result.fill)
    assert trades > len(examples(500)) // 4


@pytest.mark.slow
def test_welfare_is_within_the_rounding_bound_where_energy_is_lost() -> None:
    for seed in examples(500):
        random = Random(seed)
        tree = random_tree(random, lossy=True)
        book = random_book(random, tree)

        result = plain(auction.clear(tree_arrays(tree), order_arrays(book), 7))

        found, best = auction_lp.welfare(tree, book, result), auction_lp.optimum(tree, book)
        slack = 1e-6 * max(best.welfare, 1)
        bound = auction_lp.rounding_bound(tree, book, best)
        assert -slack <= best.welfare - found <= bound + slack, f"seed {seed}"
