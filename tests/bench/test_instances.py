"""The instances that benchmarks run on are the same everywhere."""

import hashlib

import numpy as np
import pytest

from runtime.kernels.auction import OrderArrays, clear
from runtime.kernels.bounds import QUANTITY_MAX
from tests.bench.instances import Instance, congested, on_one_bus, region, split_large


@pytest.mark.parametrize(
    ("homes", "interval", "digest"),
    [
        (100, 48, "dd2f131e06c4e0ec"),
        (1_000, 48, "1df8e1ecd3640b0b"),
        (1_000, 76, "4a6ebf05109a9341"),
    ],
)
def test_a_region_is_the_same_on_every_machine(homes: int, interval: int, digest: str) -> None:
    tree, orders = region(homes, interval)

    arrays = (
        *(tree.parent, tree.cap_up, tree.cap_down, tree.loss_ppm, tree.tariff),
        *(orders.bus, orders.price, orders.qty, orders.isbid),
    )
    assert hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()[:16] == digest


def test_a_split_book_has_the_same_energy_and_admissible_orders() -> None:
    tree, orders = region(1_000, 48)
    large = orders.qty.copy()
    large[0] = 3 * QUANTITY_MAX + 5
    whole = OrderArrays(orders.bus, orders.price, large, orders.isbid)

    split = split_large(Instance(tree, whole)).orders

    assert split.qty.sum() == large.sum()
    assert split.qty.max() == QUANTITY_MAX
    assert split.qty[:4].tolist() == [QUANTITY_MAX] * 3 + [5]
    assert split.price[4:].tolist() == orders.price[1:].tolist()


def test_half_of_the_leaves_of_a_congested_tree_are_at_their_capacity() -> None:
    tree, orders = congested(20_000, 100, 10)

    found = clear(tree, orders, 0)

    at_capacity = np.count_nonzero(found.sent[11:] >= tree.cap_up[11:] - 1)
    assert 40 <= at_capacity <= 60
    one = on_one_bus(congested(20_000, 100, 10))
    assert clear(*one, 0).fill.sum() > found.fill.sum()


@pytest.mark.parametrize(
    ("instance", "digest"),
    [
        (split_large(region(1_000, 48)), "e73329d24950cf39"),
        (split_large(region(1_000, 76)), "1a644b97d3a3cc9c"),
        (congested(20_000, 100, 10), "8d66ae383690796e"),
        (on_one_bus(congested(20_000, 100, 10)), "efb915cae246ced1"),
    ],
)
def test_their_clearing_is_the_same_on_every_machine(instance: Instance, digest: str) -> None:
    found = clear(*instance, 0)

    arrays = (found.fill, found.price, found.net_export, found.sent, found.received_parent)
    assert hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()[:16] == digest
