"""Random instances of the auction, each held against the twin, the linear program and all promises.

`make soak-auction` runs 20 000; the tests run the first of them. Six families take turns: nothing
is lost, energy is lost, tariffs, prices below 0, massive ties, and the limits of what is admitted.
A failure names the instance; `--first N --cases 1` runs it again.
"""

import argparse
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from random import Random

from runtime.kernels import auction
from tests.oracles import auction_reference as reference
from tests.oracles.auction_reference import Book, Tree
from tests.runtime.kernels import promises
from tests.runtime.kernels.books import (
    extreme_case,
    order_arrays,
    plain,
    random_book,
    random_tree,
    tree_arrays,
)

FLOOR = 100_000
"""Prices go down to minus this where they may be negative."""

CASES_PER_JOB = 250


def lossless(random: Random) -> tuple[Tree, Book]:
    tree = random_tree(random, lossy=False, tariffs=False)
    return tree, random_book(random, tree, price_min=1)


def lossy(random: Random) -> tuple[Tree, Book]:
    tree = random_tree(random, lossy=True)
    return tree, random_book(random, tree, price_min=1)


def tariffs(random: Random) -> tuple[Tree, Book]:
    tree = random_tree(random, lossy=False, tariffs=True)
    return tree, random_book(random, tree, price_min=1)


def negative(random: Random) -> tuple[Tree, Book]:
    tree = random_tree(random)
    return tree, random_book(random, tree, price_min=random.choice([-FLOOR, -500, -1]))


def ties(random: Random) -> tuple[Tree, Book]:
    tree = random_tree(random)
    book = random_book(random, tree, price_min=1)
    prices = [random.randint(1, 300_000) for _ in range(3)]
    return tree, replace(book, price=[random.choice(prices) for _ in book.price])


def limits(random: Random) -> tuple[Tree, Book]:
    tree, book = extreme_case(random)
    return tree, replace(book, price=[max(price, 1) for price in book.price])


FAMILIES: tuple[Callable[[Random], tuple[Tree, Book]], ...] = (
    lossless,
    lossy,
    tariffs,
    negative,
    ties,
    limits,
)


@dataclass(frozen=True)
class Checked:
    """One instance that kept every promise."""

    family: str
    orders: int
    filled: int
    bound_used: float
    """Part of the rounding bound that the gap to the linear program takes."""


def check(seed: int) -> Checked:
    """Clear instance `seed` and hold it against everything; raises `AssertionError`."""
    random = Random(seed)
    family = FAMILIES[seed % len(FAMILIES)]
    tree, book = family(random)
    try:
        # A limit below 1 raises all prices; the raised book is what is compared.
        offset = FLOOR + 1 if min(book.price, default=1) < 1 else 0
        raised = replace(book, price=[price + offset for price in book.price])
        result = promises.clear(tree, raised)
        assert result == reference.clear(tree, raised, 7), "differs from the twin"
        if offset:
            found = auction.clear_signed(tree_arrays(tree), order_arrays(book), 7 - offset, FLOOR)
            signed = replace(result, price=[price - offset for price in result.price])
            assert plain(found) == signed, "differs from its raised book"
        promises.balances(tree, raised, result)
        promises.keeps_limits(raised, result)
        promises.pays_exactly(tree, raised, result)
        promises.ignores_arrival(random, tree, raised, result)
        used = promises.is_best(tree, raised, result)
    except AssertionError as error:
        raise AssertionError(f"instance {seed} ({family.__name__}): {error}") from error
    return Checked(family.__name__, len(book.bus), sum(fill > 0 for fill in result.fill), used)


def check_some(seeds: Sequence[int]) -> list[Checked]:
    """Check several instances."""
    return [check(seed) for seed in seeds]


def check_all(first: int, cases: int, jobs: int) -> Iterator[Checked]:
    """Check instances from `first` on in several processes."""
    seeds = range(first, first + cases)
    parts = [seeds[i : i + CASES_PER_JOB] for i in range(0, cases, CASES_PER_JOB)]
    with ProcessPoolExecutor(jobs) as pool:
        for done in pool.map(check_some, parts):
            yield from done


def main() -> None:
    """Run instances and print what they were."""
    parser = argparse.ArgumentParser(prog="tests.runtime.kernels.soak")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    begun = time.perf_counter()
    count: Counter[str] = Counter()
    orders: Counter[str] = Counter()
    filled: Counter[str] = Counter()
    used: dict[str, float] = {}
    for done in check_all(args.first, args.cases, args.jobs):
        count[done.family] += 1
        orders[done.family] += done.orders
        filled[done.family] += done.filled
        used[done.family] = max(used.get(done.family, 0.0), done.bound_used)
    for family in count:
        print(
            f"{family:<14} {count[family]:6} instances {orders[family]:9} orders "
            f"{filled[family]:9} filled, at most {used[family]:.2f} of the rounding bound"
        )
    seconds = time.perf_counter() - begun
    print(f"{sum(count.values())} instances kept every promise in {seconds:.0f} s")


if __name__ == "__main__":
    main()
