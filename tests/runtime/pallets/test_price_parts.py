"""What prices are made of: parts that sum to them, and what nothing traded is worth."""

import random
from functools import partial

import pytest

from runtime.kernels.auction import OrderArrays, TreeArrays, clear_signed, deliver
from runtime.pallets.trading.price_parts import BusPrice, PriceSource, parts_of_prices
from tests.runtime.pallets.zone import BID, K0, LOSSLESS, LOSSY, OFFER, SLOT_MS, Zone

K = K0 + 5


def random_tree(rng: random.Random, loss_max: int, tariff_max: int) -> TreeArrays:
    buses = rng.randint(2, 7)
    return TreeArrays.of(
        [0, *(rng.randrange(bus) for bus in range(1, buses))],
        [rng.choice((0, 30, 400, 10_000)) for _ in range(buses)],
        [rng.choice((0, 30, 400, 10_000)) for _ in range(buses)],
        [0, *(rng.randint(0, loss_max) for _ in range(buses - 1))],
        [0, *(rng.randint(0, tariff_max) for _ in range(buses - 1))],
    )


def random_orders(rng: random.Random, buses: int, floor: int) -> OrderArrays:
    count = rng.randint(1, 12)
    return OrderArrays.of(
        [rng.randrange(buses) for _ in range(count)],
        [rng.randint(-floor, 300_000) for _ in range(count)],
        [rng.randint(1, 900) for _ in range(count)],
        [rng.randrange(2) for _ in range(count)],
    )


@pytest.mark.parametrize("floor", [0, 100_000])
@pytest.mark.parametrize(("loss_max", "tariff_max"), [(0, 0), (0, 30_000), (90_000, 30_000)])
def test_parts_sum_to_the_price_and_only_full_edges_add_congestion(
    loss_max: int, tariff_max: int, floor: int
) -> None:
    rng = random.Random(7)
    congested = 0
    for _ in range(150):
        tree = random_tree(rng, loss_max, tariff_max)
        buses = tree.parent.size
        cleared = clear_signed(tree, random_orders(rng, buses, floor), 90_000, 100_000)
        parts = parts_of_prices(tree, cleared)
        prices = cleared.price.tolist()
        for bus in range(1, buses):
            assert (
                prices[0] + parts.loss[bus] + parts.network[bus] + parts.congestion[bus]
                == (prices[bus])
            )
            parent = int(tree.parent[bus])
            flow, loss = int(cleared.net_export[bus]), int(tree.loss_ppm[bus])
            cap = int(tree.cap_up[bus] if flow > 0 else tree.cap_down[bus])
            is_full = flow == 0 or deliver(int(cleared.sent[bus]), loss) == deliver(cap, loss)
            congestion = parts.congestion[bus] - parts.congestion[parent]
            assert congestion == 0 or is_full
            congested += congestion != 0
            network = abs(parts.network[bus] - parts.network[parent])
            assert network == tree.tariff[bus] if flow else network <= tree.tariff[bus]
            if loss_max == 0 and is_full:
                assert parts.loss[bus] == parts.loss[parent]
    assert congested > 20


def test_the_parts_of_the_worked_example() -> None:
    # One percent lost and a tariff of 10 000 on both edges: 920 Wh leave A, 900 Wh reach B.
    tree = TreeArrays.of([0, 0, 0], [0, 4_000, 4_000], [0, 4_000, 4_000], [0, 10_000, 10_000],
                         [0, 10_000, 10_000])  # fmt: skip
    orders = OrderArrays.of([1, 2], [80_000, 300_000], [1_000, 900], [0, 1])

    cleared = clear_signed(tree, orders, 0, 100_000)
    parts = parts_of_prices(tree, cleared)

    assert cleared.price.tolist() == [90_809, 80_000, 101_930]
    assert parts.network == (0, -10_000, 10_000)
    assert parts.loss == (0, -809, 1_121)
    assert parts.congestion == (0, 0, 0)


def test_a_full_line_makes_a_congestion_part_and_its_rent_is_told_apart_from_tariffs() -> None:
    zone = Zone(LOSSY | {"loss_ppm": [0] * 4, "cap_up": [0, 4_000, 100, 4_000]}, has_pool=False)
    zone.block(K0, SLOT_MS, lambda: zone.order(1, K, OFFER, 50_000, 300))
    zone.block(K0, 2 * SLOT_MS, lambda: zone.order(2, K, BID, 250_000, 300))
    zone.block(K0 + 1)

    report = zone.trading.read_price_report(K)
    income = zone.trading.read_network_income(K)

    assert report.source == PriceSource.AUCTION
    seller, buyer = report.buses[2], report.buses[3]
    assert (seller.price_micro, buyer.price_micro) == (50_000, 250_000)
    assert buyer.congestion_micro == 0
    assert seller.congestion_micro == -197_000
    assert seller.network_micro == -1_000
    assert income is not None
    assert income.tariff_nano == 100 * 3_000
    assert income.congestion_nano == 100 * (200_000 - 3_000)


def test_before_any_trade_the_book_says_what_energy_is_worth() -> None:
    zone = Zone(LOSSLESS)
    empty = zone.trading.read_price_report(K)
    zone.block(K0, SLOT_MS, lambda: zone.order(1, K, OFFER, 90_000, 50))
    offered = zone.trading.read_price_report(K)
    zone.block(K0, 2 * SLOT_MS, partial(zone.order, 2, K, BID, 30_000, 100))
    wanted = zone.trading.read_price_report(K)

    assert (empty.source, offered.source) == (PriceSource.REFERENCE, PriceSource.REFERENCE)
    assert empty.buses == (BusPrice(0, 0, 0, 0, 0),) * 4
    assert wanted.source == PriceSource.RATIO
    # Half of what is wanted is offered: F R / ((R - F) / 2 + F) of 20 000 and 300 000.
    assert wanted.buses[3].price_micro == 20_000 * 300_000 // 160_000
