"""How far the search for coupled orders stays below the optimum: instances and their gaps.

    python -m tests.runtime.pallets.coupled_gaps

24 intervals of 120 orders each on one bus without losses, as docs/auction.md reports.
"""

from collections.abc import Sequence
from random import Random
from statistics import median
from typing import NamedTuple

from runtime.kernels.auction import Clearing, OrderArrays, TreeArrays, clear_signed
from runtime.kernels.coupled import curve_of
from runtime.pallets.trading.coupled_records import Block, Blocks, CoupledTerms, Flexible
from runtime.pallets.trading.coupled_search import (
    Bounds,
    Contender,
    Outcome,
    Room,
    Weights,
    search,
)
from runtime.pallets.trading.coupled_terms import executions_of
from runtime.pallets.trading.records import Side
from tests.oracles.coupled_milp import Alternative, optimum

INTERVALS, ORDERS = 24, 120
RETAIL, FLOOR = 300_000, 100_000
PLENTY = Weights(10**15, 10**15)
ONE_BUS = TreeArrays.of([0], [0], [0], [0], [0])


class Instance(NamedTuple):
    """Books by interval, and coupled orders by rank."""

    books: Sequence[OrderArrays]
    terms: Sequence[CoupledTerms]


def instance(seed: int, count: int, *, flexible: bool = False) -> Instance:
    """Random books with a daily wave, and blocks or flexible loads at prices near theirs."""
    random = Random(seed)
    books: list[OrderArrays] = []
    for interval in range(INTERVALS):
        level = 110_000 + 40_000 * ((interval // 6) % 2)
        prices = [min(max(int(random.gauss(level, 45_000)), 1), RETAIL) for _ in range(ORDERS)]
        quantities = [random.randrange(10, 600) for _ in range(ORDERS)]
        isbid = [random.randrange(2) for _ in range(ORDERS)]
        books.append(OrderArrays.of([0] * ORDERS, prices, quantities, isbid))
    return Instance(books, [coupled(random, flexible) for _ in range(count)])


def coupled(random: Random, flexible: bool) -> CoupledTerms:
    """One order of a random size, at a random price."""
    side = random.choice((Side.BID, Side.OFFER))
    price = min(max(int(random.gauss(130_000, 25_000)), 1), RETAIL)
    if flexible:
        duration = random.randrange(1, 5)
        return Flexible(side, price, random.randrange(200, 2_000), duration, 0, INTERVALS - 1)
    length = random.randrange(2, 9)
    first = random.randrange(INTERVALS - length)
    energies = tuple(random.randrange(50, 800) for _ in range(length))
    return Blocks((Block(side, price, first, energies, 10**6),))


def searched(found: Instance, weights: Weights = PLENTY) -> Outcome:
    """What the search accepts of an instance."""
    rooms = [
        Room(interval, book, int(book.qty.sum()), 1, is_lifted=False)
        for interval, book in enumerate(found.books)
    ]
    contenders = [Contender(rank, rank, 0, terms) for rank, terms in enumerate(found.terms)]

    def clear(interval: int, further: OrderArrays) -> Clearing:
        book = found.books[interval]
        orders = OrderArrays.of(
            *(
                [*own.tolist(), *more.tolist()]
                for own, more in (
                    (book.bus, further.bus),
                    (book.price, further.price),
                    (book.qty, further.qty),
                    (book.isbid, further.isbid),
                )
            )
        )
        return clear_signed(ONE_BUS, orders, 0, FLOOR)

    return search(rooms, contenders, clear, Bounds(1, RETAIL, FLOOR), weights)


def welfare(found: Instance, outcome: Outcome) -> int:
    """The welfare of all orders, divisible and coupled, in nano."""
    taken = [0] * len(found.books)
    total = 0
    for accepted in outcome.accepted:
        total += accepted.execution.value_nano
        for interval, wh in accepted.execution.energies:
            taken[interval] += wh
    for book, wh in zip(found.books, taken, strict=True):
        alone = clear_signed(ONE_BUS, book, 0, FLOOR).fill.tolist()
        sides = zip(book.price.tolist(), book.isbid.tolist(), alone, strict=True)
        total += sum(price * fill * (1 if isbid else -1) for price, isbid, fill in sides)
        total -= curve_of(book).cost_at(wh)
    return total


def gap(found: Instance) -> float:
    """The part of the best welfare that the search misses."""
    orders = [
        [Alternative(each.energies, each.value_nano) for each in executions_of(terms)]
        for terms in found.terms
    ]
    best = optimum(found.books, orders)
    return (best - welfare(found, searched(found))) / best


def report(instances: int = 20) -> None:
    """Print median and largest gap per size."""
    for kind, flexible in (("blocks", False), ("flexible", True)):
        for count in (10, 30, 60):
            gaps = sorted(
                gap(instance(seed, count, flexible=flexible)) for seed in range(instances)
            )
            print(f"{count} {kind}: median {median(gaps):.1e}, largest {gaps[-1]:.1e}")


if __name__ == "__main__":
    report()
