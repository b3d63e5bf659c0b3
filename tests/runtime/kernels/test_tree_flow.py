"""The sweep equals its own source and a solution with complex numbers, and conserves energy."""

from random import Random

import numpy as np
import pytest

from runtime.kernels import tree_flow, tree_flow_kernel
from runtime.kernels.tree_flow import Feeder, Sweep, SweepBoundsError, sweep
from tests.oracles import tree_flow_reference as reference
from tests.runtime.kernels.books import examples
from tests.runtime.kernels.uncompiled import all_uncompiled

SOURCE_MV = 410_000


def random_feeder(random: Random, buses_max: int = 40) -> Feeder:
    buses = random.randint(2, buses_max)
    return Feeder.of(
        [0] + [random.randrange(max(0, v - 4), v) for v in range(1, buses)],
        [0] + [random.randint(0, 15_000) for _ in range(1, buses)],
        [0] + [random.randint(0, 15_000) for _ in range(1, buses)],
        [1] + [random.choice([150_000, 270_000]) for _ in range(1, buses)],
        SOURCE_MV,
        500_000,
    )


def random_loads(random: Random, feeder: Feeder, wh_max: int = 0) -> tuple[list[int], list[int]]:
    """Everyday loads: a grid of any size takes or gives some 100 kW."""
    buses = feeder.parent.size
    wh_max = wh_max or 25_000 // buses
    load = [random.randint(0, wh_max) for _ in range(buses)]
    generation = [random.randint(0, 2 * wh_max) * (random.random() < 0.3) for _ in range(buses)]
    return load, generation


def solved(feeder: Feeder, load: list[int], generation: list[int]) -> reference.State:
    reactive = tree_flow.REACTIVE_PPM / 1e6
    return reference.solve(
        feeder.parent.tolist(),
        [complex(r, x) / 1e6 for r, x in zip(feeder.r_uohm, feeder.x_uohm, strict=True)],
        feeder.source_mv / 1e3,
        [complex(4 * (d - g), 4 * d * reactive) for d, g in zip(load, generation, strict=True)],
    )


def as_lists(state: Sweep) -> list[list[int]]:
    arrays = (state.power_mw, state.current_ma, state.loading_ppm, state.loss_mw, state.voltage_mv)
    return [array.tolist() for array in arrays]


@pytest.mark.slow
def test_voltages_currents_and_losses_are_those_of_the_complex_solution() -> None:
    for seed in examples(300):
        random = Random(seed)
        feeder = random_feeder(random)
        load, generation = random_loads(random, feeder)

        found = sweep(feeder, load, generation)

        expected = solved(feeder, load, generation)
        if min(expected.voltage) < 300:
            continue  # near collapse the approximation of the voltage drop shows
        for v in range(1, feeder.parent.size):
            where = f"seed {seed} bus {v}"
            assert abs(found.voltage_mv[v] / 1e3 - expected.voltage[v]) < 1.5, where
            assert abs(found.current_ma[v] / 1e3 - expected.current[v]) < 3, where
        loss_w = sum(expected.loss_w)
        assert abs(int(found.loss_mw.sum()) / 1e3 - loss_w) <= 0.01 * loss_w + 1, f"seed {seed}"


def test_what_the_root_takes_is_the_loads_and_the_losses() -> None:
    for seed in examples(200):
        random = Random(seed)
        feeder = random_feeder(random)
        load, generation = random_loads(random, feeder)

        state = sweep(feeder, load, generation)

        net_mw = (sum(load) - sum(generation)) * 4_000
        assert state.power_mw[0] == net_mw + state.loss_mw.sum(), f"seed {seed}"
        assert state.total_loss_mw == state.loss_mw.sum() + 500_000


@pytest.mark.slow
def test_the_kernels_compute_the_same_uncompiled_whatever_the_load() -> None:
    # Scalars of numpy warn when they overflow, and warnings are errors.
    for seed in examples(60):
        random = Random(seed)
        feeder = random_feeder(random, buses_max=8)
        total = tree_flow.POWER_MW_MAX // 4_000
        cases = [
            random_loads(random, feeder),
            random_loads(random, feeder, wh_max=total // (3 * feeder.parent.size)),
        ]
        found = [as_lists(sweep(feeder, *case)) for case in cases]

        with all_uncompiled(tree_flow_kernel, "sweep_tree"):
            assert [as_lists(sweep(feeder, *case)) for case in cases] == found, f"seed {seed}"


def test_the_largest_load_on_the_worst_grid_still_has_a_state() -> None:
    most = tree_flow.IMPEDANCE_MAX
    feeder = Feeder.of([0, 0, 1, 2], [most] * 4, [most] * 4, [1] * 4, 2**15, 2**33)
    total = tree_flow.POWER_MW_MAX // 4_000

    with all_uncompiled(tree_flow_kernel, "sweep_tree"):
        for load, generation in (([0, 0, 0, total], [0] * 4), ([0] * 4, [0, 0, 0, total])):
            state = sweep(feeder, load, generation)

            assert state.overloaded == [1, 2, 3]
            assert state.voltage_mv.min() >= 2**14


def test_square_roots_are_the_largest_that_fit() -> None:
    random = Random(1)
    for bits in range(63):
        value = random.randrange(1 << bits, 2 << bits) if bits < 62 else 2**63 - 1

        root = tree_flow_kernel.square_root(value)

        assert root * root <= value < (root + 1) ** 2


def test_losses_of_an_interval_include_the_transformer_at_rest() -> None:
    no_load_mw = tree_flow.no_load_loss_mw(460, 1_025_000)

    feeder = Feeder.of([0, 0], [0, 14_688], [0, 37_206], [1, 230_940], SOURCE_MV, no_load_mw)

    assert no_load_mw == 483_287
    assert sweep(feeder, [0, 0], [0, 0]).loss_wh == 121


def test_a_transformer_at_its_rating_is_loaded_to_its_rated_current() -> None:
    assert tree_flow.rated_current_ma(160_000, 400_000) == 230_940


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("parent", [0, 1], r"parent\[1\] is 1, expected a bus before it"),
        ("r_uohm", [0, -1], r"r_uohm\[1\] is -1"),
        ("x_uohm", [0, 2**20], r"x_uohm\[1\] is 1048576"),
        ("i_max_ma", [1, 0], r"i_max_ma\[1\] is 0, expected 1"),
        ("i_max_ma", [1], "length of i_max_ma is 1, expected 2"),
        ("source_mv", 1_000, "source_mv is 1000"),
        ("no_load_mw", -1, "no_load_mw is -1"),
    ],
)
def test_a_grid_out_of_bounds_is_refused_by_name(field: str, value: object, message: str) -> None:
    fields: dict[str, object] = {
        "parent": [0, 0],
        "r_uohm": [0, 1],
        "x_uohm": [0, 1],
        "i_max_ma": [1, 1],
        "source_mv": SOURCE_MV,
        "no_load_mw": 0,
    }

    with pytest.raises(SweepBoundsError, match=message):
        Feeder.of(**(fields | {field: value}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("load", "generation", "message"),
    [
        ([0, -1], [0, 0], r"load_wh\[1\] is -1"),
        ([0, 0], [0, -5], r"generation_wh\[1\] is -5"),
        ([0], [0, 0], "length of load_wh is 1, expected 2"),
        ([0, 1_500_000], [0, 1_500_000], "all loads together are 3000000 Wh"),
    ],
)
def test_loads_out_of_bounds_are_refused(
    load: list[int], generation: list[int], message: str
) -> None:
    feeder = Feeder.of([0, 0], [0, 1], [0, 1], [1, 1], SOURCE_MV, 0)

    with pytest.raises(SweepBoundsError, match=message):
        sweep(feeder, load, generation)


def test_an_empty_grid_is_refused() -> None:
    with pytest.raises(SweepBoundsError, match="0 buses"):
        Feeder.of([], [], [], [], SOURCE_MV, 0)


def test_arrays_of_a_state_are_64_bit_integers() -> None:
    feeder = random_feeder(Random(3))
    buses = feeder.parent.size

    state = sweep(feeder, [1] * buses, [0] * buses)

    assert all(array.dtype == np.int64 for array in (state.loss_mw, state.loading_ppm))
