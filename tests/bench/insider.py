"""What the author of a block, or somebody who sees all orders, gains on a clearing; in money.

Not a measurement of time: everything follows from the data and from fixed seeds, so every run
prints the same figures. Four ways to misuse a place in the auction, each against the honest
clearing of the same book:

* *grinding*: an author tries parent hashes until the canonical order suits one participant;
* *withholding*: an author leaves the orders of one other participant out of one call;
* *last look*: a participant sees all other orders and then chooses, out of prices and parts of its
  energy, what pays best, against the book as it is (plain orders), or against books of the same
  quarter hour that it has seen before (when all orders are sealed it sees no more than these);
* *shading*: a participant asks a fixed part more, or bids a fixed part less, than what its energy
  is worth to it.

What energy is worth to a participant are its limits in the honest book; its surplus is the sum over
its fills of what they are worth to it less what it pays (bids), or of what it gets less what they
are worth (offers). It gains the difference of its surplus to that of the honest clearing.

Books: the day-ahead quotes of the homes of the semi-urban grid on six days of spring, without and
with the wholesale trader, and a region of homes from the generator of instances. A participant is a
home; in the region, an order.
"""

from collections.abc import Callable, Iterator, Sequence
from statistics import median, quantiles
from typing import NamedTuple

import numpy as np

from devnet.dataset import BUNDLED
from devnet.homes import NOTHING, Agents, HomeAgent, Trader
from devnet.plan import DevnetOptions
from devnet.scenario import FEED_IN_PRICE, PRICE_FLOOR, RETAIL_PRICE, Scenario, load_scenario
from node.gateway.strategies import QUOTE_AHEAD
from runtime.kernels.arrays import Int64Array
from runtime.kernels.auction import OrderArrays, TreeArrays, clear_signed
from tests.bench.instances import random_words, region

GENESIS = 1_000  # any interval: agents count from it
SLOTS = (36, 48, 60)  # 9:00, noon and 15:00: both sides of the book are there
DAYS = 6
REGION_HOMES = 1_000
REGION_INTERVALS = ((48, 49, 50, 51), (76, 77, 78, 79))  # of one hour each: the same homes
REGION_SAMPLE = 40  # orders of a region that are looked at, evenly spaced
HASHES = 64  # that an author tries
PRICES = 12  # that an insider tries, evenly spaced between feed-in and retail
PARTS = (3, 2, 1)  # thirds of its energy that an insider brings in
SHADES_PPM = (10_000, 50_000, 100_000, 200_000)
MILLION, NANO = 10**6, 10**9


class Book(NamedTuple):
    """A book with who has placed each order; limits are what energy is worth to its owner."""

    tree: TreeArrays
    orders: OrderArrays
    owner: Int64Array
    watched: Sequence[int]
    """The participants that are looked at."""


class Gain(NamedTuple):
    """What one participant gained in one book, and what it had without."""

    gain_nano: int
    surplus_nano: int
    total_nano: int
    """Of all participants of the book, in the honest clearing."""


class Choice(NamedTuple):
    """What an insider hands in: no better limits than `price`, and so many thirds of its energy."""

    price: int
    thirds: int


HONEST = Choice(-1, PARTS[0])


def semi_urban(trader_wh: int) -> list[list[Book]]:
    """For each quarter hour of `SLOTS` its books on all days."""
    scenario = load_scenario(BUNDLED, "semiurb4", "spring")
    agents = Agents.of(scenario, GENESIS, trader_wh)
    return [
        [quoted(scenario, agents, GENESIS + 96 * day + slot) for day in range(DAYS)]
        for slot in SLOTS
    ]


def quoted(scenario: Scenario, agents: Agents, interval: int) -> Book:
    """The book of an interval after all homes, and the trader, have quoted it a day ahead."""
    bus_of = {home.number: home.bus for home in scenario.homes} | {agents.trader.connection: 0}
    rows: list[tuple[int, int, int, int, int]] = []
    everyone: list[HomeAgent | Trader] = [*agents.homes, agents.trader]
    for agent in everyone:
        quote = agent.decide(interval, QUOTE_AHEAD, NOTHING)
        for order in () if quote is None else quote.orders:
            place = (bus_of[agent.connection], order.price_micro, order.quantity_wh)
            rows.append((*place, int(order.is_bid), agent.connection))
    bus, price, qty, isbid, owner = np.array(rows, np.int64).T
    homes = sorted({int(each) for each in owner if each != agents.trader.connection})
    columns = map(np.ascontiguousarray, (bus, price, qty, isbid))
    return Book(tree_of(scenario), OrderArrays(*columns), owner, homes)


def tree_of(scenario: Scenario) -> TreeArrays:
    """The chain's tree of a scenario."""
    topology = scenario.topology()
    names = ("parent", "cap_up", "cap_down", "loss_ppm", "tariff")
    return TreeArrays(*(np.array(topology[name], np.int64) for name in names))


def regions() -> list[list[Book]]:
    """Books of a region of homes, those of one hour together; each order is a participant."""
    found: list[list[Book]] = []
    for intervals in REGION_INTERVALS:
        books: list[Book] = []
        for interval in intervals:
            tree, orders = region(REGION_HOMES, interval)
            count = orders.bus.size - 2  # the supplier's two are the last but the parks'
            watched = range(0, count, -(-count // REGION_SAMPLE))
            books.append(Book(tree, orders, np.arange(orders.bus.size), list(watched)))
        found.append(books)
    return found


# --- what a clearing is worth


def cleared(book: Book, orders: OrderArrays) -> tuple[Int64Array, Int64Array]:
    """Fills, and the price at the bus of each order."""
    found = clear_signed(book.tree, orders, FEED_IN_PRICE, PRICE_FLOOR)
    return found.fill, found.price[orders.bus]


def surplus_by_order(
    orders: OrderArrays, worth: Int64Array, of: tuple[Int64Array, Int64Array]
) -> Int64Array:
    """What each order brings its owner, to whom its energy is worth `worth` per kWh."""
    fill, price = of
    return np.where(orders.isbid == 1, worth - price, price - worth) * fill


def honest(book: Book) -> Int64Array:
    """The surplus of each order when nobody misuses anything."""
    return surplus_by_order(book.orders, book.orders.price, cleared(book, book.orders))


def gains_of(book: Book, found: dict[int, int]) -> Iterator[Gain]:
    """Gains by participant, beside what they and all had."""
    base = honest(book)
    total = int(base.sum())
    for who, surplus in found.items():
        own = int(base[book.owner == who].sum())
        yield Gain(surplus - own, own, total)


# --- the four ways


def grinding(book: Book) -> dict[int, int]:
    """The most that each participant can have out of the canonical orders of `HASHES` hashes."""
    count, best = book.orders.bus.size, dict.fromkeys(book.watched, -(10**18))
    for attempt in range(HASHES):
        order = np.argsort(random_words(attempt, count, 1), kind="stable")
        mixed = OrderArrays(*(getattr(book.orders, name)[order] for name in FIELDS))
        surplus = surplus_by_order(mixed, mixed.price, cleared(book, mixed))
        owner = book.owner[order]
        for who in best:
            best[who] = max(best[who], int(surplus[owner == who].sum()))
    return best


FIELDS = ("bus", "price", "qty", "isbid")


def withholding(book: Book) -> dict[int, int]:
    """The most that each participant can have when one other one is left out of the call."""
    base = honest(book)
    best = {who: int(base[book.owner == who].sum()) for who in book.watched}
    for rival in book.watched:
        kept = book.owner != rival
        fewer = OrderArrays(*(getattr(book.orders, name)[kept] for name in FIELDS))
        surplus = surplus_by_order(fewer, fewer.price, cleared(book, fewer))
        owner = book.owner[kept]
        for who in best:
            if who != rival:
                best[who] = max(best[who], int(surplus[owner == who].sum()))
    return best


def last_look(book: Book) -> dict[int, int]:
    """What each participant has when it chooses last, knowing the whole book."""
    return {
        who: max(surplus_with(book, who, book, choice) for choice in choices(book, who))
        for who in book.watched
    }


def blind_look(book: Book, seen: Sequence[Book]) -> dict[int, int]:
    """What each participant has when it chooses by books it saw before, and not by this one."""
    found: dict[int, int] = {}
    for who in book.watched:
        best = max(
            choices(book, who),
            key=lambda choice: sum(surplus_with(book, who, other, choice) for other in seen),
        )
        found[who] = surplus_with(book, who, book, best)
    return found


def shading(book: Book, ppm: int) -> dict[int, int]:
    """What each participant has when it alone asks a part more, or bids a part less."""
    found: dict[int, int] = {}
    for who in book.watched:
        orders, own = book.orders, book.owner == who
        shaded = orders.price * np.where(orders.isbid == 1, MILLION - ppm, MILLION + ppm) // MILLION
        price = np.where(own, np.clip(shaded, FEED_IN_PRICE, RETAIL_PRICE), orders.price)
        changed = OrderArrays(orders.bus, price, orders.qty, orders.isbid)
        surplus = surplus_by_order(changed, orders.price, cleared(book, changed))
        found[who] = int(surplus[own].sum())
    return found


def choices(book: Book, who: int) -> list[Choice]:
    """What an insider tries, the honest way first: of equal ones the first is taken."""
    step = (RETAIL_PRICE - FEED_IN_PRICE) // (PRICES - 1)
    prices = [-1, *range(FEED_IN_PRICE, RETAIL_PRICE + 1, step)]
    return [Choice(price, thirds) for thirds in PARTS for price in prices]


def surplus_with(book: Book, who: int, among: Book, choice: Choice) -> int:
    """What a participant of `book` has of a choice among the others of another book.

    It leaves out its worst orders first, and takes no limit that is better than the truth.
    """
    mine, others = book.owner == who, among.owner != who
    worth, isbid = book.orders.price[mine], book.orders.isbid[mine]
    qty = part_of(worth, book.orders.qty[mine], isbid, choice.thirds)
    price = worth
    if choice.price >= 0:
        price = np.where(
            isbid == 1, np.minimum(worth, choice.price), np.maximum(worth, choice.price)
        )
    some = qty > 0
    own = (book.orders.bus[mine], price, qty, isbid)
    columns = (
        np.concatenate((getattr(among.orders, name)[others], values[some]))
        for name, values in zip(FIELDS, own, strict=True)
    )
    orders = OrderArrays(*columns)
    count = int(some.sum())
    fill, paid = (each[orders.bus.size - count :] for each in cleared(among, orders))
    value = np.where(isbid[some] == 1, worth[some] - paid, paid - worth[some]) * fill
    return int(value.sum())


def part_of(worth: Int64Array, qty: Int64Array, isbid: Int64Array, thirds: int) -> Int64Array:
    """Quantities of a participant's orders when the worst are left out down to so many thirds."""
    left = int(qty.sum()) * thirds // PARTS[0]
    kept = np.zeros_like(qty)
    for at in np.argsort(np.where(isbid == 1, -worth, worth), kind="stable").tolist():
        kept[at] = min(int(qty[at]), left)
        left -= int(kept[at])
    return kept


# --- showing


def show(title: str, gains: Sequence[Gain]) -> None:
    """Figures of many participants in many books, in DRT and as parts of their surplus."""
    found = [each.gain_nano for each in gains]
    surplus = sum(each.surplus_nano for each in gains)
    parts = [100 * each.gain_nano / each.total_nano for each in gains if each.total_nano]
    p95 = quantiles(found, n=20, method="inclusive")[18]
    whole = 100 * sum(found) / surplus if surplus else 0.0
    print(
        f"  {title:<34}{median(found):>12.0f}{p95:>14.0f}{max(found):>14d}"
        f"{whole:>11.3f} %{max(parts, default=0.0):>11.3f} %"
    )


def study(title: str, groups: Sequence[Sequence[Book]]) -> None:
    """All ways in all books of a kind. Books of one group are of the same quarter hour."""
    books = [book for group in groups for book in group]
    mean = sum(book.orders.bus.size for book in books) // len(books)
    surplus = sum(int(honest(book).sum()) for book in books) / len(books) / NANO
    print(f"\n{title}: {len(books)} books of {mean} orders, surplus {surplus:.3f} DRT on average")
    print(
        f"  {'gain of one participant':<34}{'median':>12}{'p95':>14}{'most, nano':>14}"
        f"{'of its own':>13}{'of all, most':>13}"
    )
    show("author grinds the canonical order", collect(books, grinding))
    show("author withholds one competitor", collect(books, withholding))
    show("last look, plain orders", collect(books, last_look))
    sealed = [
        gain
        for group in groups
        for book in group
        for gain in gains_of(book, blind_look(book, [each for each in group if each is not book]))
    ]
    show("last look, sealed orders", sealed)
    for ppm in SHADES_PPM:
        found = [gain for book in books for gain in gains_of(book, shading(book, ppm))]
        show(f"shading by {ppm // 10_000} %", found)


def collect(books: Sequence[Book], way: Callable[[Book], dict[int, int]]) -> list[Gain]:
    """The gains of one way in all books."""
    return [gain for book in books for gain in gains_of(book, way(book))]


def run() -> None:
    """Compute and print."""
    study("Semi-urban grid, homes only", semi_urban(0))
    study("Semi-urban grid with the trader", semi_urban(DevnetOptions().trader_wh))
    study(f"Region of {REGION_HOMES} homes, each order a participant", regions())


if __name__ == "__main__":
    run()
