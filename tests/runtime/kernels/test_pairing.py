"""Pairings against the linear program, uncompiled kernels, and what they promise."""

from random import Random

import numpy as np
import pytest

from runtime.kernels import pairing, pairing_kernel
from runtime.kernels.auction import as_array
from runtime.kernels.pairing import Pairing, PairingError, Parties, pair
from tests.oracles.pairing_lp import Instance, best_weight, is_allowed
from tests.runtime.kernels.books import examples
from tests.runtime.kernels.uncompiled import all_uncompiled

LINE = [0, 0, 1, 2]
"""The root and three buses in a row."""

RIGHT = Instance([0, 0], [0, 4], [(1, 4)], [(0, 4)], [[1]])


def instance_of(random: Random, parties: int, weight_max: int) -> Instance:
    """Sellers and buyers on a random tree; the root takes or gives what is missing."""
    buses = random.randint(1, 8)
    parent = [0] + [random.randrange(bus) for bus in range(1, buses)]
    flow = [0] * buses
    sides: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
    for _ in range(random.randint(1, parties)):
        is_buyer, bus, wh = random.random() < 0.5, random.randrange(buses), random.randint(1, 30)
        sides[is_buyer].append((bus, wh))
        flow[bus] += -wh if is_buyer else wh
    for bus in range(buses - 1, 0, -1):
        flow[parent[bus]] += flow[bus]
    missing = flow[0]
    if missing:
        sides[missing > 0].append((0, abs(missing)))
    flow[0] = 0
    weight = [[random.randint(0, weight_max) for _ in sides[1]] for _ in sides[0]]
    return Instance(parent, flow, *sides, weight)


def solved(instance: Instance) -> Pairing:
    sellers, buyers = (
        Parties(as_array([bus for bus, _ in side]), as_array([wh for _, wh in side]))
        for side in (instance.sellers, instance.buyers)
    )
    shape = (len(instance.sellers), len(instance.buyers))
    table = np.array(instance.weight, np.int64).reshape(shape)
    return pair(as_array(instance.parent), as_array(instance.flow), sellers, buyers, table)


def check(instance: Instance, found: Pairing) -> int:
    """Assert what a pairing promises; the sum of its weights."""
    pairs = found.pairs_wh.tolist()
    assert [sum(row) for row in pairs] == [wh for _, wh in instance.sellers]
    bought = [sum(row[b] for row in pairs) for b in range(len(instance.buyers))]
    assert bought == [wh for _, wh in instance.buyers]
    total = 0
    for (source, _), row, weights in zip(instance.sellers, pairs, instance.weight, strict=True):
        for (target, _), wh, weight in zip(instance.buyers, row, weights, strict=True):
            assert wh >= 0
            if wh:
                assert is_allowed(instance.parent, instance.flow, source, target)
            total += wh * weight
    return total


@pytest.mark.slow
def test_small_pairings_have_the_greatest_sum_of_weights() -> None:
    for seed in examples(600):
        random = Random(seed)
        instance = instance_of(random, random.choice((4, 20)), random.choice((1, 5, 10**9)))

        found = solved(instance)

        assert found.is_exact, f"seed {seed}"
        assert check(instance, found) == best_weight(instance), f"seed {seed}"


@pytest.mark.slow
def test_handing_over_keeps_to_the_flows_and_rarely_loses_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pairing, "EXACT_CELLS_MAX", -1)
    reached = best = 0
    for seed in examples(300):
        random = Random(seed)
        instance = instance_of(random, 20, 5)

        found = solved(instance)

        assert not found.is_exact
        reached += check(instance, found)
        best += best_weight(instance)
    assert 0.8 * best < reached < best


def test_a_search_that_takes_too_many_paths_is_handed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pairing, "EXACT_PATHS_PER_PARTY", 0)
    instance = Instance([0], [0], [(0, 5), (0, 7)], [(0, 12)], [[1], [2]])

    found = solved(instance)

    assert not found.is_exact
    assert found.pairs_wh.tolist() == [[5], [7]]


@pytest.mark.slow
def test_uncompiled_kernels_pair_the_same() -> None:
    for seed in examples(60):
        random = Random(seed)
        instance = instance_of(random, 12, 3)
        compiled = solved(instance).pairs_wh.tolist()
        with all_uncompiled(pairing_kernel, "forbid", "transport", "hand_over"):
            assert solved(instance).pairs_wh.tolist() == compiled, f"seed {seed}"


def test_energy_goes_to_whom_it_is_worth_most() -> None:
    # Both sellers could serve both buyers; the first is worth more to the second buyer.
    instance = Instance([0], [0], [(0, 10), (0, 10)], [(0, 10), (0, 10)], [[5, 9], [1, 1]])

    assert solved(instance).pairs_wh.tolist() == [[0, 10], [10, 0]]


def test_energy_never_goes_against_a_flow() -> None:
    # Bus 3 sends up, bus 2 sends up: the buyer at bus 3 is served by the seller there alone.
    instance = Instance(
        LINE, [0, 4, 4, 3], [(3, 8), (2, 5)], [(3, 5), (2, 4), (0, 4)], [[0, 9, 9], [9, 0, 0]]
    )

    assert solved(instance).pairs_wh.tolist()[1][0] == 0
    check(instance, solved(instance))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (RIGHT._replace(flow=[0, 3]), "Wh too few"),
        (RIGHT._replace(sellers=[(1, 0)]), "expected positive ones"),
        (RIGHT._replace(weight=[[-1]]), "expected 0 to"),
        (RIGHT._replace(weight=[[2**30 + 1]]), "expected 0 to"),
    ],
)
def test_quantities_that_do_not_fit_are_refused(wrong: Instance, said: str) -> None:
    check(RIGHT, solved(RIGHT))

    with pytest.raises(PairingError, match=said):
        solved(wrong)


def test_a_table_of_another_size_is_refused() -> None:
    one = Parties(as_array([0]), as_array([1]))

    with pytest.raises(PairingError, match="a table of"):
        pair(as_array([0]), as_array([0]), one, one, np.zeros((1, 2), np.int64))
