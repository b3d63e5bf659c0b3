"""The integer sweep against the reference AC power flow of the bundled grids.

Tolerances in parts per million of a rating, from docs/replay.md: reactive power is assumed to be a
quarter of each load and none of generation, which shows at the transformer most.
"""

import csv
from typing import NamedTuple

import pytest

from devnet.dataset import BUNDLED, GENERATION, HISTORY_SLOTS
from devnet.scenario import Scenario, load_scenario
from runtime.kernels.tree_flow import Sweep, sweep

TRANSFORMER, MILLION = 1, 1_000_000


class Limits(NamedTuple):
    transformer_ppm: int
    line_ppm: int
    voltage_ppm: int
    overloads_differing: int


def reference_rows(grid: str, window: str) -> list[dict[str, int]]:
    with (BUNDLED / f"powerflow_{grid}_{window}.csv").open() as file:
        return [{name: int(text) for name, text in row.items()} for row in csv.DictReader(file)]


def swept(scenario: Scenario, slot: int) -> Sweep:
    buses = len(scenario.grid.nodes) + 1
    load, generation = [0] * buses, [0] * buses
    for asset in scenario.grid.assets:
        if asset.name in scenario.window.energy_wh:
            side = generation if asset.kind == GENERATION else load
            side[asset.node + 1] += scenario.window.energy_wh[asset.name][slot]
    return sweep(scenario.feeder, load, generation)


def voltage_ppm(millivolt: int) -> int:
    return millivolt * MILLION // 400_000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("grid", "window", "limits"),
    [
        ("semiurb4", "winter", Limits(12_000, 12_000, 3_000, 0)),
        ("semiurb4", "spring", Limits(20_000, 17_000, 3_000, 0)),
        ("semiurb4", "summer", Limits(22_000, 17_000, 3_000, 0)),
        ("rural1", "winter", Limits(34_000, 12_000, 3_000, 0)),
        ("rural1", "spring", Limits(45_000, 12_000, 3_000, 0)),
        ("rural1", "summer", Limits(45_000, 15_000, 3_500, 2)),
    ],
)
def test_loadings_voltages_and_losses_are_those_of_the_reference(
    grid: str, window: str, limits: Limits
) -> None:
    scenario = load_scenario(BUNDLED, grid, window)
    rows = reference_rows(grid, window)
    assert rows[0]["slot"] == HISTORY_SLOTS

    differing = 0
    loss_mw = reference_loss_mw = 0
    for row in rows:
        state = swept(scenario, row["slot"])
        where = f"slot {row['slot']}"
        transformer = int(state.loading_ppm[TRANSFORMER])
        assert abs(transformer - row["trafo_loading_ppm"]) < limits.transformer_ppm, where
        line = int(state.loading_ppm[TRANSFORMER + 1 :].max())
        assert abs(line - row["line_loading_max_ppm"]) < limits.line_ppm, where
        low, high = int(state.voltage_mv[1:].min()), int(state.voltage_mv[1:].max())
        assert abs(voltage_ppm(low) - row["v_min_ppm"]) < limits.voltage_ppm, where
        assert abs(voltage_ppm(high) - row["v_max_ppm"]) < limits.voltage_ppm, where
        is_over = max(row["trafo_loading_ppm"], row["line_loading_max_ppm"]) > MILLION
        differing += bool(state.overloaded) != is_over
        loss_mw += state.total_loss_mw
        reference_loss_mw += 1_000 * (row["line_loss_w"] + row["trafo_loss_w"])
    assert differing <= limits.overloads_differing
    assert abs(loss_mw - reference_loss_mw) < reference_loss_mw // 50  # 2 %


@pytest.mark.slow
def test_the_congested_week_has_as_many_overloads_as_the_reference() -> None:
    scenario = load_scenario(BUNDLED, "rural1", "spring")
    slots = range(HISTORY_SLOTS, HISTORY_SLOTS + 672)

    assert sum(len(swept(scenario, slot).overloaded) for slot in slots) == 52
