"""The power-flow sweep's typed door: what metered energy physically does to a radial grid.

Bus 0 is the medium-voltage side; every other bus has the edge to its parent, the transformer being
the edge of bus 1. The transformer enters as its impedance on the low-voltage side, and its no-load
loss comes on top.

The market's edges carry contracted energy with fixed loss ratios; this is the physical side of it:
loading of each edge, losses, voltages. Against an AC power flow of the same grids, loadings are
within 4.5 points of the transformer's rating, mostly because reactive power is assumed
(`REACTIVE_PPM` of every load), and overloads are the same.

Invariant: whatever passes the bounds here is computed without any intermediate reaching 2**63.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from runtime.kernels.arrays import Int64Array
from runtime.kernels.auction import as_array

MILLION = 1_000_000
INTERVALS_PER_HOUR = 4
REACTIVE_PPM = 250_600
"""Reactive power of a load at a power factor of 0.97; generation is assumed to have none."""

SQRT_3_PPM = 1_732_051
POWER_MW_MAX = 2**33  # 8.6 MW: twenty times the largest transformer of a low-voltage grid
IMPEDANCE_MAX = 2**20 - 1  # one ohm: kilometres of the thinnest cable
VOLTAGE_MV_MIN, VOLTAGE_MV_MAX = 2**15, 2**20  # 33 V to 1 kV: low voltage
CURRENT_MA_MAX = 2**30
BUSES_MAX = 2**16


class SweepBoundsError(ValueError):
    """An entry of a grid or of its loads is outside the range for which the sweep is exact."""


@dataclass(frozen=True, slots=True)
class Feeder:
    """A radial grid as the sweep needs it. Entry 0 of the arrays is the root and has no edge."""

    parent: Int64Array
    r_uohm: Int64Array
    x_uohm: Int64Array
    i_max_ma: Int64Array
    """Rated current of each edge; entry 0 is not used."""

    source_mv: int
    """Voltage of the root, as the transformer shows it without load."""

    no_load_mw: int
    """What the transformer takes for itself at that voltage."""

    @classmethod
    def of(
        cls,
        parent: Sequence[int],
        r_uohm: Sequence[int],
        x_uohm: Sequence[int],
        i_max_ma: Sequence[int],
        source_mv: int,
        no_load_mw: int,
    ) -> "Feeder":
        """From plain sequences. Raises `SweepBoundsError`."""
        arrays = (as_array(parent), as_array(r_uohm), as_array(x_uohm), as_array(i_max_ma))
        feeder = cls(*arrays, source_mv, no_load_mw)
        check_feeder(feeder)
        return feeder


@dataclass(frozen=True, slots=True)
class Sweep:
    """The state of a grid in one interval. Arrays by bus; an edge has its lower bus's entry."""

    power_mw: Int64Array
    """Flow of the edge towards its lower bus, at that end; negative: fed back."""

    current_ma: Int64Array
    loading_ppm: Int64Array
    """Current in parts of the rated current."""

    loss_mw: Int64Array
    """Heat of each edge; the transformer's without its no-load loss."""

    voltage_mv: Int64Array
    no_load_mw: int

    @property
    def total_loss_mw(self) -> int:
        """All losses, the transformer's no-load loss included."""
        return int(self.loss_mw.sum()) + self.no_load_mw

    @property
    def loss_wh(self) -> int:
        """All losses over one interval, to the nearest Wh."""
        per_wh = 1_000 * INTERVALS_PER_HOUR
        return (self.total_loss_mw + per_wh // 2) // per_wh

    @property
    def overloaded(self) -> list[int]:
        """Edges above their rating."""
        return [int(edge) for edge in np.flatnonzero(self.loading_ppm > MILLION)]


def sweep(feeder: Feeder, load_wh: Sequence[int], generation_wh: Sequence[int]) -> Sweep:
    """The state of a grid whose buses use and generate so many Wh in one interval.

    Loads and generation are separate because only loads draw reactive power. Raises
    `SweepBoundsError`.
    """
    from runtime.kernels import tree_flow_kernel  # numba: only when something is computed

    to_mw = 1_000 * INTERVALS_PER_HOUR
    load, generation = check_loads(feeder, load_wh, generation_wh)
    buses = feeder.parent.size
    p, q, current, loss, voltage = (np.zeros(buses, np.int64) for _ in range(5))
    tree_flow_kernel.sweep_tree(
        (feeder.parent, feeder.r_uohm, feeder.x_uohm),
        feeder.source_mv,
        (load - generation) * to_mw,
        load * to_mw * REACTIVE_PPM // MILLION,
        (p, q, current, loss, voltage),
    )
    loading = current * MILLION // feeder.i_max_ma
    return Sweep(p, current, loading, loss, voltage, feeder.no_load_mw)


def rated_current_ma(rated_va: int, voltage_mv: int) -> int:
    """Rated current of a three-phase transformer on the side of this voltage."""
    return rated_va * 1_000 * MILLION // (voltage_mv * SQRT_3_PPM // 1_000)


def no_load_loss_mw(no_load_w: int, source_ppm: int) -> int:
    """No-load loss in mW at a voltage in ppm of the rated one: it grows with its square."""
    return no_load_w * 1_000 * source_ppm // MILLION * source_ppm // MILLION


def check_feeder(feeder: Feeder) -> None:
    """Refuse what is no tree, or leaves the range of exact computation."""
    buses = feeder.parent.size
    if not 1 <= buses <= BUSES_MAX:
        raise SweepBoundsError(f"the grid has {buses} buses, expected 1 to {BUSES_MAX}")
    for name in ("r_uohm", "x_uohm", "i_max_ma"):
        size = getattr(feeder, name).size
        if size != buses:
            raise SweepBoundsError(f"the length of {name} is {size}, expected {buses} as of parent")
    for bus in range(1, buses):
        if not 0 <= feeder.parent[bus] < bus:
            raise SweepBoundsError(
                f"parent[{bus}] is {feeder.parent[bus]}, expected a bus before it: 0 to {bus - 1}"
            )
    check_entries("r_uohm", feeder.r_uohm, 0, IMPEDANCE_MAX)
    check_entries("x_uohm", feeder.x_uohm, 0, IMPEDANCE_MAX)
    check_entries("i_max_ma", feeder.i_max_ma, 1, CURRENT_MA_MAX)
    if not VOLTAGE_MV_MIN <= feeder.source_mv <= VOLTAGE_MV_MAX:
        limit = f"{VOLTAGE_MV_MIN} to {VOLTAGE_MV_MAX}"
        raise SweepBoundsError(f"source_mv is {feeder.source_mv}, expected {limit}")
    if not 0 <= feeder.no_load_mw <= POWER_MW_MAX:
        raise SweepBoundsError(f"no_load_mw is {feeder.no_load_mw}, expected 0 to {POWER_MW_MAX}")


def check_loads(
    feeder: Feeder, load_wh: Sequence[int], generation_wh: Sequence[int]
) -> tuple[Int64Array, Int64Array]:
    """The loads as arrays; refused when they are negative or too large together."""
    total_wh_max = POWER_MW_MAX // (1_000 * INTERVALS_PER_HOUR)
    for name, values in (("load_wh", load_wh), ("generation_wh", generation_wh)):
        if len(values) != feeder.parent.size:
            size = feeder.parent.size
            raise SweepBoundsError(f"the length of {name} is {len(values)}, expected {size}")
    load, generation = as_array(load_wh), as_array(generation_wh)
    check_entries("load_wh", load, 0, total_wh_max)
    check_entries("generation_wh", generation, 0, total_wh_max)
    total = int(load.sum()) + int(generation.sum())
    if total > total_wh_max:
        raise SweepBoundsError(
            f"all loads together are {total} Wh, expected at most {total_wh_max}"
        )
    return load, generation


def check_entries(name: str, values: Int64Array, low: int, high: int) -> None:
    """Refuse the first of `values` outside `low` to `high`."""
    outside = np.flatnonzero((values < low) | (values > high))
    if outside.size > 0:
        index = int(outside[0])
        raise SweepBoundsError(f"{name}[{index}] is {values[index]}, expected {low} to {high}")


def warm_up() -> None:
    """Load the kernels and sweep a grid of two buses."""
    feeder = Feeder.of([0, 0], [0, 10_000], [0, 5_000], [1, 100_000], 400_000, 0)
    sweep(feeder, [0, 100], [0, 0])
