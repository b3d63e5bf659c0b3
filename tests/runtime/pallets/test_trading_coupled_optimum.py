"""The search for coupled orders against the optimum, and within the work it may do."""

from statistics import median

import pytest

from runtime.pallets.trading.coupled_search import Weights
from tests.runtime.kernels.books import examples
from tests.runtime.pallets.coupled_gaps import gap, instance, searched


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "instances", "median_max", "largest_max"),
    [(10, 4, 1e-6, 0.0055), (30, 3, 1e-4, 0.015), (60, 2, 0.0022, 0.018)],
)
def test_blocks_miss_little_of_what_a_program_finds_that_may_accept_losses(
    count: int, instances: int, median_max: float, largest_max: float
) -> None:
    gaps = [gap(instance(seed, count)) for seed in range(len(examples(instances)))]

    assert median(gaps) <= median_max, gaps
    assert max(gaps) <= largest_max, gaps
    assert min(gaps) > -1e-5, "nothing is better than the optimum"


@pytest.mark.slow
def test_flexible_loads_miss_as_little() -> None:
    assert gap(instance(0, 8, flexible=True)) <= 0.0055


def test_less_work_accepts_no_more_than_it_verified() -> None:
    found = instance(2, 30)
    whole = searched(found)

    for part in (0, 1, 10, 50, 90):
        weights = Weights(whole.weight * part // 100, 10**15)
        outcome = searched(found, weights)
        assert outcome.weight <= weights.search
        assert all(accepted.surplus_nano >= 0 for accepted in outcome.accepted)
    again = searched(found, Weights(whole.weight * 3, 10**15))
    assert again.accepted == whole.accepted
