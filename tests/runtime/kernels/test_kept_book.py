"""A book kept from clearing to clearing clears as one made anew."""

from random import Random

import numpy as np
import pytest

from runtime.kernels import auction
from runtime.kernels.auction import OrderArrays, TreeArrays
from runtime.kernels.bounds import QUANTITY_MAX, AuctionBoundsError
from runtime.kernels.kept_book import KeptBook
from tests.oracles.auction_reference import Book
from tests.runtime.kernels.books import (
    examples,
    order_arrays,
    random_book,
    random_tree,
    tree_arrays,
)

ONE_BUS = TreeArrays.of([0], [0], [0], [0], [0])
FLOOR = 100_000

Order = tuple[int, int, int, int]
"""bus, price, qty, isbid."""


def orders_of(book: Book) -> list[Order]:
    return list(zip(book.bus, book.price, book.qty, book.isbid, strict=True))


def arrays_of(orders: list[Order]) -> OrderArrays:
    return OrderArrays.of(*([order[column] for order in orders] for column in range(4)))


def places(values: list[int]) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def rank_of(order_id: int) -> bytes:
    """Some order that is neither that of ids nor that of places."""
    return (order_id * 0x9E3779B97F4A7C15 % 2**64).to_bytes(8, "big")


def change_at_random(random: Random, kept: KeptBook, wanted: dict[int, Order], more: Book) -> None:
    """Let some orders of both books leave and the same ones come."""
    leaving = random.sample(range(kept.count), random.randint(0, kept.count))
    for place in leaving:
        del wanted[int(kept.ids[place])]
    coming = orders_of(more)
    ids = random.sample(range(10**6, 10**9), len(coming))
    kept.change(places(leaving), places(ids), arrays_of(coming))
    wanted.update(zip(ids, coming, strict=True))


@pytest.mark.slow
def test_a_book_changed_at_random_clears_as_one_made_anew() -> None:
    shared = 0
    for seed in examples(400):
        random = Random(seed)
        tree = random_tree(random)
        price_min = random.choice([-FLOOR, -5, 0, 1])
        kept, wanted = KeptBook(), dict[int, Order]()
        for turn in range(4):
            change_at_random(random, kept, wanted, random_book(random, tree, price_min))
            canonical = sorted(wanted, key=rank_of)
            anew = arrays_of([wanted[order_id] for order_id in canonical])
            latched = random.random() < 0.2

            found = kept.clear(
                tree_arrays(tree), 7, FLOOR, latched, lambda ids: [rank_of(int(i)) for i in ids]
            )

            expected = auction.clear_signed(tree_arrays(tree), anew, 7, FLOOR, latched)
            fills = dict(zip(kept.ids.tolist(), found.fill.tolist(), strict=True))
            wanted_fills = dict(zip(canonical, expected.fill.tolist(), strict=True))
            assert fills == wanted_fills, f"seed {seed} turn {turn}"
            for name in ("price", "net_export", "sent", "received_parent"):
                assert getattr(found, name).tolist() == getattr(expected, name).tolist(), seed
            assert found.price_offset == expected.price_offset
            shared += len(set(fills.values()) - {0}) > 1
    assert shared > len(examples(400)) // 4


def test_without_ranks_the_places_are_the_canonical_order() -> None:
    random = Random(5)
    tree = random_tree(random)
    book = random_book(random, tree)
    kept = KeptBook()
    kept.change(places([]), places(list(range(len(book.bus)))), order_arrays(book))

    found = kept.clear(tree_arrays(tree), 7, FLOOR)

    anew = auction.clear_signed(tree_arrays(tree), order_arrays(book), 7, FLOOR)
    assert found.fill.tolist() == anew.fill.tolist()


def test_a_copy_keeps_its_orders_when_the_other_changes() -> None:
    kept = KeptBook()
    kept.change(places([]), places([1, 2]), arrays_of([(0, 40, 5, 0), (0, 90, 5, 1)]))
    copy = kept.copy()

    kept.change(places([0]), places([]), arrays_of([]))

    assert kept.ids.tolist() == [2]
    assert copy.ids.tolist() == [1, 2]
    assert kept.clear(ONE_BUS, 7, FLOOR).fill.tolist() == [0]
    assert copy.clear(ONE_BUS, 7, FLOOR).fill.tolist() == [5, 5]


@pytest.mark.parametrize(
    ("order", "name"),
    [
        ((0, 2**26, 5, 0), "price"),
        ((0, 5, 0, 0), "qty"),
        ((-1, 5, 5, 0), "bus"),
        ((0, 5, 5, 2), "isbid"),
    ],
)
def test_an_order_out_of_bounds_is_refused_and_nothing_has_changed(order: Order, name: str) -> None:
    kept = KeptBook()
    kept.change(places([]), places([1]), arrays_of([(0, 40, 5, 0)]))

    with pytest.raises(AuctionBoundsError, match=rf"{name}\[0\]"):
        kept.change(places([0]), places([2]), arrays_of([order]))

    assert kept.ids.tolist() == [1]
    with pytest.raises(AuctionBoundsError, match=r"removed\[0\] is 1, expected from 0 to 0"):
        kept.change(places([1]), places([]), arrays_of([]))


def test_a_book_that_does_not_fit_the_tree_or_the_floor_is_refused() -> None:
    kept = KeptBook()
    kept.change(places([]), places([1]), arrays_of([(1, -50, 5, 0)]))
    with pytest.raises(AuctionBoundsError, match=r"bus\[0\] is 1, expected from 0 to 0"):
        kept.clear(ONE_BUS, 7, FLOOR)
    two = TreeArrays.of([0, 0], [9, 9], [9, 9], [0, 0], [0, 0])
    with pytest.raises(AuctionBoundsError, match=r"price\[0\] is -50, expected from -40"):
        kept.clear(two, 7, 40)
    with pytest.raises(AuctionBoundsError, match="reference_price is -101"):
        kept.clear(two, -101, 100)
    many = arrays_of([(0, 1, QUANTITY_MAX, 0)] * 2**8)
    for first in (1_000, 2_000, 3_000):
        kept.change(places([]), places(list(range(first, first + 2**8))), many)
    with pytest.raises(AuctionBoundsError, match="sum of qty is"):
        kept.clear(two, 7, FLOOR)
