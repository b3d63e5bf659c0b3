"""Random trees and books for the auction's tests, each from a seed that a failure prints."""

import os
from random import Random

from runtime.kernels.auction import Clearing, OrderArrays, TreeArrays
from runtime.kernels.bounds import TOTAL_MAX
from tests.oracles.auction_reference import Book, Result, Tree, needed

AMOUNT = {"few": 0.02, "": 1.0, "many": 20.0}[os.environ.get("DRET_EXAMPLES", "")]
"""`few` for the run without compilation, `many` for a long one."""


def examples(usual: int) -> range:
    """Seeds of as many examples as `DRET_EXAMPLES` asks for."""
    return range(max(int(usual * AMOUNT), 3))


def random_tree(
    random: Random, lossy: bool | None = None, tariffs: bool | None = None, scale: int = 0
) -> Tree:
    """Chains, stars and all between; capacities 0, tight and ample; losses to 50 %."""
    buses = random.choice([1, 2, 3, 4, 7, 12, 30])
    spread = random.choice([1, 3, 30])
    energy = scale or random.choice([3, 30, 3_000, 100_000])
    cap_max = random.choice([0, energy, energy * 5, energy * 100])
    loss_max = random.choice([1_000, 50_000, 300_000, 500_000])
    tariff_max = random.choice([3, 60, 20_000])
    lossy = random.random() < 0.7 if lossy is None else lossy
    tariffs = random.random() < 0.7 if tariffs is None else tariffs
    return Tree(
        parent=[0] + [random.randrange(max(0, i - spread), i) for i in range(1, buses)],
        cap_up=[random.randint(0, cap_max) for _ in range(buses)],
        cap_down=[random.randint(0, cap_max) for _ in range(buses)],
        loss_ppm=[random.randint(0, loss_max) * lossy for _ in range(buses)],
        tariff=[random.randint(0, tariff_max) * tariffs for _ in range(buses)],
    )


def random_book(
    random: Random, tree: Tree, price_min: int = 0, count_max: int = 120, qty_min: int = 1
) -> Book:
    """From empty to `count_max` orders; in a fifth of the books hardly any two prices differ."""
    count = random.choice([0, 1, 2, 5, 20, 60, count_max])
    price_max = price_min + random.choice([0, 2, 9, 1_000, 300_000])
    qty_max = random.choice([1, 3, 20, 3_000, 100_000])
    return Book(
        bus=[random.randrange(len(tree.parent)) for _ in range(count)],
        price=[random.randint(price_min, price_max) for _ in range(count)],
        qty=[random.randint(qty_min, qty_min + qty_max) for _ in range(count)],
        isbid=[random.randint(0, 1) for _ in range(count)],
    )


def extreme_case(random: Random) -> tuple[Tree, Book]:
    """Near the bounds: prices and quantities to 2**26, tariffs to 2**24, half of all lost."""
    buses = random.randint(1, 8)
    count = random.choice([2, 20, 200, 500])
    cap_max = random.choice([2**20, 2**26, 2**34, 2**62])
    tree = Tree(
        parent=[0] + [random.randrange(max(0, i - 3), i) for i in range(1, buses)],
        cap_up=[random.randint(0, cap_max) for _ in range(buses)],
        cap_down=[random.randint(0, cap_max) for _ in range(buses)],
        loss_ppm=[random.choice([0, 1, 499_999, 500_000]) for _ in range(buses)],
        tariff=[random.choice([0, 1, random.randrange(2**24), 2**24 - 1]) for _ in range(buses)],
    )
    prices = [random.randrange(2**26) for _ in range(3)] + [0, 1, 2**26 - 1]
    book = Book(
        bus=[random.randrange(buses) for _ in range(count)],
        price=[random.choice([*prices, random.randrange(2**26)]) for _ in range(count)],
        qty=[random.choice([2**26 - 1, random.randrange(1, 2**26)]) for _ in range(count)],
        isbid=[random.randint(0, 1) for _ in range(count)],
    )
    while reach_of(tree, book) > TOTAL_MAX:
        count -= -(-count // 8)
        book = Book(book.bus[:count], book.price[:count], book.qty[:count], book.isbid[:count])
    return tree, book


def reach_of(tree: Tree, book: Book) -> int:
    """The most energy at or below any bus, counting what losses make of it."""
    reach = [0] * len(tree.parent)
    for bus, qty in zip(book.bus, book.qty, strict=True):
        reach[bus] += qty
    for v in range(len(reach) - 1, 0, -1):
        passing = min(reach[v], max(tree.cap_up[v], tree.cap_down[v]))
        reach[tree.parent[v]] += needed(passing, tree.loss_ppm[v])
    return max(reach)


def tree_arrays(tree: Tree) -> TreeArrays:
    return TreeArrays.of(tree.parent, tree.cap_up, tree.cap_down, tree.loss_ppm, tree.tariff)


def order_arrays(book: Book) -> OrderArrays:
    return OrderArrays.of(book.bus, book.price, book.qty, book.isbid)


def plain(clearing: Clearing) -> Result:
    """The kernel's result in the twin's type."""
    return Result(
        clearing.fill.tolist(),
        clearing.price.tolist(),
        clearing.net_export.tolist(),
        clearing.sent.tolist(),
        clearing.received_parent.tolist(),
    )
