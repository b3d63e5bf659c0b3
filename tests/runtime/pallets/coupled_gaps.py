"""How far the search for coupled orders stays below the optimum: instances and their gaps.

    python -m tests.runtime.pallets.coupled_gaps

24 intervals of 120 orders each on one bus without losses, and of 100 on the tree of `semiurb4`, as
docs/auction.md reports. Without coupled orders the tree's gap is what whole Wh lose on its edges.
"""

from collections.abc import Sequence
from random import Random
from statistics import median
from typing import NamedTuple

from devnet.dataset import BUNDLED
from devnet.scenario import load_scenario
from runtime.kernels.auction import Clearing, OrderArrays, TreeArrays, clear_signed
from runtime.pallets.trading.coupled_records import Block, Blocks, CoupledTerms, Flexible
from runtime.pallets.trading.coupled_rooms import Room, lost_to_root
from runtime.pallets.trading.coupled_search import (
    Bounds,
    Contender,
    Outcome,
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
    tree: TreeArrays = ONE_BUS
    buses: Sequence[int] = ()
    """Of the coupled orders, if not all at the root."""

    def bus(self, rank: int) -> int:
        """Where a coupled order is."""
        return self.buses[rank] if self.buses else 0


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


def on_grid(seed: int, count: int, *, flexible: bool = False) -> Instance:
    """The same on the tree of `semiurb4`, with everyone at the bus of a home."""
    random = Random(seed)
    scenario = load_scenario(BUNDLED, "semiurb4", "spring")
    topology = scenario.chain_spec(genesis_interval=0).genesis["grid_balancing"]["topology"]
    names = ("parent", "cap_up", "cap_down", "loss_ppm", "tariff")
    tree = TreeArrays.of(*(topology[name] for name in names))
    homes = [home.bus for home in scenario.homes]
    one_bus = instance(seed, count, flexible=flexible)
    books = [
        OrderArrays.of(
            [random.choice(homes) for _ in range(100)],
            book.price[:100].tolist(),
            book.qty[:100].tolist(),
            book.isbid[:100].tolist(),
        )
        for book in one_bus.books
    ]
    buses = [random.choice(homes) for _ in range(count)]
    return Instance(books, one_bus.terms, tree, buses)


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
    lost_ppm = lost_to_root(found.tree)
    rooms = [
        Room(interval, book, int(book.qty.sum()), lost_ppm, is_lifted=False, pairs=0)
        for interval, book in enumerate(found.books)
    ]
    contenders = [
        Contender(rank, rank, found.bus(rank), terms) for rank, terms in enumerate(found.terms)
    ]

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
        return clear_signed(found.tree, orders, 0, FLOOR)

    return search(rooms, contenders, clear, Bounds(1, RETAIL, FLOOR), weights)


def welfare(found: Instance, outcome: Outcome) -> int:
    """The welfare of all orders, divisible and coupled, in nano."""
    total = sum(accepted.execution.value_nano for accepted in outcome.accepted)
    for interval, book in enumerate(found.books):
        cleared = outcome.clearings.get(interval)
        if cleared is None:
            cleared = clear_signed(found.tree, book, 0, FLOOR)
        fills = cleared.fill[: book.bus.size].tolist()
        sides = zip(book.price.tolist(), book.isbid.tolist(), fills, strict=True)
        total += sum(price * fill * (1 if isbid else -1) for price, isbid, fill in sides)
        received = cleared.received_parent.tolist()
        tariffs = zip(found.tree.tariff.tolist(), received, strict=True)
        total -= sum(tariff * abs(wh) for tariff, wh in tariffs)
    return total


def gap(found: Instance) -> float:
    """The part of the best welfare that the search misses."""
    orders = [
        [
            Alternative(each.energies, each.value_nano, found.bus(rank))
            for each in executions_of(terms)
        ]
        for rank, terms in enumerate(found.terms)
    ]
    best = optimum(found.tree, found.books, orders)
    return (best - welfare(found, searched(found))) / best


def report(instances: int = 20) -> None:
    """Print median and largest gap per size."""
    for make in (instance, on_grid):
        for kind, flexible in (("blocks", False), ("flexible", True)):
            for count in (0, 10, 30, 60):
                gaps = sorted(
                    gap(make(seed, count, flexible=flexible)) for seed in range(instances)
                )
                where = f"{make.__name__}, {count} {kind}"
                print(f"{where}: median {median(gaps):.1e}, largest {gaps[-1]:.1e}")


if __name__ == "__main__":
    report()
