"""The clearing kernel equals its twin and its own source, and keeps what the mechanism promises."""

from random import Random

import numpy as np
import pytest

from runtime.kernels import auction, auction_kernel, book_kernel, edge_kernel
from runtime.kernels.auction import OrderArrays, TreeArrays
from runtime.kernels.bounds import PRICE_MAX, QUANTITY_MAX, TARIFF_MAX, AuctionBoundsError
from runtime.pallets.grid_balancing import (
    BOOK_WH_MAX,
    CAPACITY_WH_MAX,
    Topology,
    check_topology,
)
from tests.oracles import auction_reference as reference
from tests.oracles.auction_reference import Book, Tree
from tests.runtime.kernels import soak
from tests.runtime.kernels.books import (
    examples,
    extreme_case,
    order_arrays,
    plain,
    random_book,
    random_tree,
    tree_arrays,
)
from tests.runtime.kernels.promises import clear
from tests.runtime.kernels.uncompiled import all_uncompiled

ONE_BUS = TreeArrays.of([0], [0], [0], [0], [0])
TREE_FIELDS = ("parent", "cap_up", "cap_down", "loss_ppm", "tariff")
ORDER_FIELDS = ("bus", "price", "qty", "isbid")


def random_case(seed: int, price_min: int = 0) -> tuple[Tree, Book]:
    random = Random(seed)
    tree = random_tree(random)
    return tree, random_book(random, tree, price_min)


@pytest.mark.slow
def test_random_books_clear_as_the_twin_clears_them() -> None:
    trades = 0
    for seed in examples(4_000):
        tree, book = random_case(seed)

        found = clear(tree, book)

        assert found == reference.clear(tree, book, 7), f"seed {seed}"
        trades += any(found.fill)
    assert trades > len(examples(4_000)) // 4


@pytest.mark.slow
def test_books_at_the_bounds_clear_as_the_twin_clears_them() -> None:
    for seed in examples(600):
        tree, book = extreme_case(Random(seed))

        assert clear(tree, book) == reference.clear(tree, book, 7), f"seed {seed}"


@pytest.mark.slow
def test_the_kernels_compute_the_same_uncompiled() -> None:
    # Scalars of numpy warn when they overflow, and warnings are errors: this also shows that no
    # intermediate leaves 64 bits.
    for seed in examples(250):
        cases = [random_case(seed), extreme_case(Random(seed))]
        found = [clear(*case) for case in cases]

        with (
            all_uncompiled(book_kernel, "read_orders", "survey"),
            all_uncompiled(auction_kernel, "clear_tree"),
        ):
            assert [clear(*case) for case in cases] == found, f"seed {seed}"


def test_a_large_star_clears_as_the_twin_clears_it() -> None:
    # More runs and steps than are merged in pairs: the digit sort takes over at the hub.
    random = Random(1)
    buses, count = 40, 4_000
    tree = Tree(
        [0, 0] + [1] * (buses - 2),
        [40_000] * buses,
        [40_000] * buses,
        [9_000] * buses,
        [500] * buses,
    )
    book = Book(
        [random.randrange(buses) for _ in range(count)],
        [random.randrange(1, 300_000) for _ in range(count)],
        [random.randrange(1, 3_000) for _ in range(count)],
        [random.randrange(2) for _ in range(count)],
    )

    assert clear(tree, book) == reference.clear(tree, book, 7)


@pytest.mark.slow
def test_random_books_keep_every_promise() -> None:
    # Twin, balance, limits, payments, order of arrival and the linear program: see soak.py.
    done = soak.check_some(examples(1_800))

    assert {one.family for one in done} == {family.__name__ for family in soak.FAMILIES}
    assert sum(one.filled for one in done) > len(done)


@pytest.mark.slow
def test_any_listing_of_the_orders_gives_the_same_result_for_one_canonical_order() -> None:
    for seed in examples(300):
        tree, book = random_case(seed)
        listing = list(range(len(book.bus)))
        Random(seed).shuffle(listing)
        rank = Random(seed + 1).sample(range(len(listing)), len(listing))

        def by_rank(listed: list[int], book: Book = book, rank: list[int] = rank) -> list[int]:
            return sorted(listed, key=lambda o: rank[o])

        def fills(canonical: list[int], tree: Tree = tree, book: Book = book) -> dict[int, int]:
            fields = [[getattr(book, name)[o] for o in canonical] for name in ORDER_FIELDS]
            return dict(zip(canonical, clear(tree, Book(*fields)).fill, strict=True))

        assert fills(by_rank(listing)) == fills(by_rank(sorted(listing))), f"seed {seed}"


def test_an_empty_book_keeps_the_reference_price() -> None:
    result = auction.clear(
        TreeArrays.of([0, 0], [5, 5], [5, 5], [0, 0], [9, 9]), OrderArrays.of([], [], [], []), 123
    )

    assert not result.traded
    assert result.price.tolist() == [123, 123]


@pytest.mark.parametrize(("isbid", "price"), [(0, 40), (1, 90)])
def test_one_side_alone_prices_at_its_best_order_and_trades_nothing(isbid: int, price: int) -> None:
    result = auction.clear(ONE_BUS, OrderArrays.of([0, 0], [40, 90], [5, 5], [isbid] * 2), 7)

    assert not result.traded
    assert result.price.tolist() == [price]


def test_the_gap_between_bid_and_offer_is_shared() -> None:
    result = auction.clear(ONE_BUS, OrderArrays.of([0, 0], [40, 91], [5, 5], [0, 1]), 7)

    assert result.fill.tolist() == [5, 5]
    assert result.price.tolist() == [65]


def test_equal_prices_share_the_short_side_in_canonical_order() -> None:
    result = auction.clear(
        ONE_BUS, OrderArrays.of([0] * 4, [50] * 4, [1, 1, 1, 2], [0, 0, 0, 1]), 7
    )

    assert result.fill.tolist() == [0, 1, 1, 2]
    assert result.price.tolist() == [50]


def test_a_capacity_of_zero_separates_two_buses() -> None:
    tree = TreeArrays.of([0, 0], [0, 0], [0, 0], [0, 0], [0, 0])

    result = auction.clear(tree, OrderArrays.of([0, 1], [90, 40], [5, 5], [1, 0]), 7)

    assert not result.traded
    assert result.price.tolist() == [90, 40]


def test_a_loss_that_swallows_the_only_wh_stops_the_trade() -> None:
    tree = TreeArrays.of([0, 0], [9, 9], [9, 9], [0, 1_000], [0, 0])

    result = auction.clear(tree, OrderArrays.of([0, 1], [90, 40], [1, 1], [1, 0]), 7)

    assert result.fill.tolist() == [0, 0]


def test_an_import_of_which_nothing_arrives_prices_like_no_flow() -> None:
    # Two equal bids below the same edge share 1 Wh sent down, and the edge swallows it.
    tree = Tree([0, 0, 0], [9] * 3, [9] * 3, [0, 1_000, 1_000], [0, 0, 0])
    book = Book([0, 1, 2], [40, 90, 90], [3, 1, 1], [0, 1, 1])

    result = clear(tree, book)

    assert result == reference.clear(tree, book, 7)
    assert any(
        y < 0 and x == 0 for x, y in zip(result.net_export, result.received_parent, strict=True)
    )


def test_a_margin_that_is_used_up_exactly_prices_half_way_to_the_next_level() -> None:
    result = auction.clear(
        ONE_BUS, OrderArrays.of([0, 0, 0], [40, 60, 90], [5, 5, 5], [0, 0, 1]), 7
    )

    assert result.fill.tolist() == [5, 0, 5]
    assert result.price.tolist() == [50]


def test_a_huge_order_at_the_root_sets_the_price_everywhere() -> None:
    tree = TreeArrays.of([0, 0, 1], [2**62] * 3, [2**62] * 3, [0] * 3, [0] * 3)
    book = OrderArrays.of([0, 1, 2], [300_000, 80_000, 350_000], [2**26 - 1, 7, 9], [0, 0, 1])

    result = auction.clear(tree, book, 7)

    assert result.fill.tolist() == [2, 7, 9]
    assert result.price.tolist() == [300_000] * 3


def test_energy_for_nothing_is_traded_at_the_bidders_price() -> None:
    # Level 0 stands for "no level", which is why negative books are raised above it.
    result = auction.clear(ONE_BUS, OrderArrays.of([0, 0], [0, 90], [5, 5], [0, 1]), 7)

    assert result.fill.tolist() == [5, 5]
    assert result.price.tolist() == [90]


def test_a_price_that_saturates_on_its_way_up_is_not_exported() -> None:
    tree = TreeArrays.of([0, 0, 1], [9] * 3, [9] * 3, [0, 500_000, 500_000], [0, 0, 0])
    book = OrderArrays.of([2, 0], [2**26 - 1, 2**26 - 1], [9, 9], [0, 1])

    assert not auction.clear(tree, book, 7).traded


def test_negative_limits_clear_as_the_raised_book_does() -> None:
    for seed in examples(300):
        random = Random(seed)
        tree = random_tree(random)
        book = random_book(random, tree, price_min=random.choice([-100_000, -500, 0, 1]))
        offset = 100_001 if min(book.price, default=1) < 1 else 0
        raised = Book(book.bus, [p + offset for p in book.price], book.qty, book.isbid)

        found = auction.clear_signed(tree_arrays(tree), order_arrays(book), -5, 100_000)

        expected = reference.clear(tree, raised, offset - 5)
        expected.price = [price - offset for price in expected.price]
        assert plain(found) == expected, f"seed {seed}"
        assert found.price_offset == offset


def test_a_latched_interval_stays_raised() -> None:
    book = OrderArrays.of([0, 0], [40, 91], [5, 5], [0, 1])

    assert auction.clear_signed(ONE_BUS, book, 7, 100_000).price_offset == 0
    latched = auction.clear_signed(ONE_BUS, book, 7, 100_000, latched=True)

    assert latched.price_offset == 100_001
    assert latched.price.tolist() == [65]


@pytest.mark.parametrize(
    ("field", "index", "value"),
    [
        ("parent", 1, 1),
        ("parent", 1, -1),
        ("cap_up", 1, -1),
        ("cap_down", 0, -1),
        ("cap_up", 1, 2**62 + 1),
        ("loss_ppm", 1, 500_001),
        ("loss_ppm", 1, -1),
        ("tariff", 1, 2**24),
        ("tariff", 0, -1),
        ("bus", 1, 2),
        ("bus", 0, -1),
        ("price", 1, 2**26),
        ("price", 1, -1),
        ("qty", 0, 0),
        ("qty", 1, 2**26),
        ("isbid", 1, 2),
        ("isbid", 0, -1),
    ],
)
def test_an_entry_out_of_bounds_is_named_with_its_value(field: str, index: int, value: int) -> None:
    fields = {name: [0, 0] for name in TREE_FIELDS} | {name: [1, 1] for name in ORDER_FIELDS}
    fields[field][index] = value

    with pytest.raises(AuctionBoundsError) as caught:
        auction.clear(
            TreeArrays.of(*(fields[name] for name in TREE_FIELDS)),
            OrderArrays.of(*(fields[name] for name in ORDER_FIELDS)),
            0,
        )

    assert (caught.value.name, caught.value.index, caught.value.found) == (field, index, value)
    assert f"{field}[{index}] is {value}, expected" in str(caught.value)


def test_a_book_of_more_energy_than_clearing_is_exact_for_is_refused() -> None:
    count = 2**9 + 1

    with pytest.raises(AuctionBoundsError, match=r"qty\[512\]"):
        auction.clear(
            ONE_BUS, OrderArrays.of([0] * count, [1] * count, [2**26 - 1] * count, [0] * count), 0
        )


def test_a_tree_whose_losses_multiply_the_demand_beyond_exactness_is_refused() -> None:
    buses = 24
    tree = TreeArrays.of(
        [0, *range(buses - 1)], [2**62] * buses, [2**62] * buses, [500_000] * buses, [0] * buses
    )

    with pytest.raises(AuctionBoundsError, match=r"reach\[\d+\] is \d+, expected at most"):
        auction.clear(tree, OrderArrays.of([23], [1], [2**26 - 1], [1]), 0)


def test_the_fullest_admissible_book_clears_on_the_most_lossy_admissible_tree() -> None:
    buses = 7  # half is lost on each of six edges: 64 Wh are needed for 1
    topology = Topology(
        parent=(0, *range(buses - 1)),
        cap_up=(CAPACITY_WH_MAX,) * buses,
        cap_down=(CAPACITY_WH_MAX,) * buses,
        loss_ppm=(0, *[500_000] * (buses - 1)),
        tariff=(TARIFF_MAX,) * buses,
    )
    check_topology(topology)
    tree = TreeArrays.of(*(getattr(topology, name) for name in TREE_FIELDS))
    whole, rest = divmod(BOOK_WH_MAX, QUANTITY_MAX)
    quantities = [*([QUANTITY_MAX] * whole), rest]
    count = len(quantities)

    for bus in (0, buses - 1):
        book = OrderArrays.of([bus] * count, [PRICE_MAX] * count, quantities, [1] * count)
        assert not auction.clear(tree, book, 0).traded


def test_more_steps_than_memory_is_allowed_for_are_refused() -> None:
    buses = 40_000
    tree = TreeArrays.of([0, *range(buses - 1)], *([[1] * buses] * 2), *([[0] * buses] * 2))
    zeros = np.zeros(2_000, np.int64)
    book = OrderArrays(zeros + buses - 1, zeros + 1, zeros + 1, zeros)

    with pytest.raises(AuctionBoundsError, match="steps of all curves is"):
        auction.clear(tree, book, 0)


@pytest.mark.parametrize("reference_price", [2**26, -(2**26)])
def test_a_reference_price_out_of_bounds_is_refused(reference_price: int) -> None:
    with pytest.raises(AuctionBoundsError, match="reference_price is"):
        auction.clear(ONE_BUS, OrderArrays.of([], [], [], []), reference_price)


@pytest.mark.parametrize(
    ("price", "reference_price"), [(-100_001, 0), (2**26 - 100_001, 0), (1, -100_001)]
)
def test_signed_prices_out_of_bounds_are_refused(price: int, reference_price: int) -> None:
    book = OrderArrays.of([0], [price], [1], [0])

    with pytest.raises(AuctionBoundsError):
        auction.clear_signed(ONE_BUS, book, reference_price, 100_000)


def test_arrays_of_unequal_length_are_refused() -> None:
    with pytest.raises(AuctionBoundsError, match="length of qty is 1, expected 2"):
        auction.clear(ONE_BUS, OrderArrays.of([0, 0], [1, 1], [1], [0, 0]), 0)
    with pytest.raises(AuctionBoundsError, match="length of tariff is 2, expected 1"):
        auction.clear(TreeArrays.of([0], [0], [0], [0], [0, 0]), OrderArrays.of([], [], [], []), 0)
    with pytest.raises(AuctionBoundsError, match="length of parent is 0"):
        auction.clear(TreeArrays.of([], [], [], [], []), OrderArrays.of([], [], [], []), 0)


def test_edge_maps_are_exact_inverses_on_what_arrives() -> None:
    for seed in examples(200):
        random = Random(seed)
        loss = random.choice([0, 1, 10_000, 499_999, 500_000, random.randint(0, 500_000)])
        wanted = random.choice([0, 1, 2, random.randrange(2**35)])

        sent = auction.send_for(wanted, loss)

        assert auction.deliver(sent, loss) == wanted
        assert sent == 0 or auction.deliver(sent - 1, loss) < wanted
        assert auction.export_map(-wanted, loss) == -sent == edge_kernel.export_map(-wanted, loss)
        assert auction.export_map(sent, loss) == wanted == edge_kernel.export_map(sent, loss)
