"""What the benchmark of insiders computes is what it says."""

import numpy as np
import pytest

from runtime.kernels.arrays import Int64Array
from runtime.kernels.auction import OrderArrays, TreeArrays
from tests.bench.insider import (
    FIELDS,
    HONEST,
    Book,
    blind_look,
    choices,
    cleared,
    grinding,
    honest,
    last_look,
    part_of,
    semi_urban,
    shading,
    surplus_with,
    withholding,
)
from tests.bench.instances import random_words

ROOT = TreeArrays.of([0], [0], [0], [0], [0])


def a_book(*orders: tuple[int, int, int, int]) -> Book:
    """A book on one bus: price, quantity, side and owner of each order."""
    price, qty, isbid, owner = (np.array(column, np.int64) for column in zip(*orders, strict=True))
    zeros = np.zeros_like(price)
    watched = sorted({int(each) for each in owner})
    return Book(ROOT, OrderArrays(zeros, price, qty, isbid), owner, watched)


DUEL = a_book((200_000, 100, 1, 1), (50_000, 60, 0, 2), (90_000, 60, 0, 3))
"""One buyer, a cheap and a dear seller: the dear one sells the last 40 Wh and sets the price."""


@pytest.fixture(scope="module")
def street() -> Book:
    return semi_urban(0)[1][0]


def test_surplus_is_what_energy_is_worth_less_what_it_costs() -> None:
    assert honest(DUEL).tolist() == [110_000 * 100, 40_000 * 60, 0]


def test_without_its_competitor_a_seller_gets_a_better_price() -> None:
    """Alone, it gets all that the buyer would pay, who then has less than it wants."""
    best = withholding(DUEL)

    assert best[2] == (200_000 - 50_000) * 60
    assert best[3] == (200_000 - 90_000) * 60
    assert best[1] == 110_000 * 100, "a buyer gains nothing from fewer sellers"


def test_who_looks_last_asks_just_as_much_as_the_book_bears() -> None:
    best = last_look(DUEL)

    assert best[3] > 0, "the dear seller lifts the price"
    assert all(best[who] >= surplus for who, surplus in ((1, 11_000_000), (2, 2_400_000), (3, 0)))


def test_a_look_at_the_same_book_is_as_good_as_the_last_one(street: Book) -> None:
    assert blind_look(street, [street]) == last_look(street)


def test_the_honest_choice_is_among_those_tried_and_is_the_honest_surplus(street: Book) -> None:
    base = honest(street)
    for who in street.watched:
        assert choices(street, who)[0] == HONEST
        assert surplus_with(street, who, street, HONEST) == int(base[street.owner == who].sum())


def test_grinding_moves_a_watt_hour_of_an_order_at_most(street: Book) -> None:
    count = street.orders.bus.size
    fills: list[Int64Array] = []
    for attempt in range(24):
        order = np.argsort(random_words(attempt, count, 1), kind="stable")
        mixed = OrderArrays(*(getattr(street.orders, name)[order] for name in FIELDS))
        fill = np.empty(count, np.int64)
        fill[order] = cleared(street, mixed)[0]
        fills.append(fill)
    moved = np.max(fills, axis=0) - np.min(fills, axis=0)

    assert int(moved.max()) <= 1
    base = honest(street)
    for who, surplus in grinding(street).items():
        own = street.owner == who
        worth_a_wh = 300_000 * int(own.sum())
        assert 0 <= surplus - int(base[own].sum()) <= worth_a_wh


def test_shading_by_nothing_changes_nothing(street: Book) -> None:
    base = honest(street)
    assert shading(street, 0) == {
        who: int(base[street.owner == who].sum()) for who in street.watched
    }


def test_the_worst_orders_are_left_out_first() -> None:
    worth, qty = np.array([100, 300, 200]), np.array([10, 10, 10])

    assert part_of(worth, qty, np.ones(3, np.int64), 2).tolist() == [0, 10, 10]
    assert part_of(worth, qty, np.zeros(3, np.int64), 1).tolist() == [10, 0, 0]
