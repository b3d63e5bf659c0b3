"""Power flow on a radial grid with complex numbers: the twin the integer sweep is compared with.

Written from Ohm's and Kirchhoff's laws alone: currents are added up towards the root and voltages
fall along impedances, until nothing moves any more. Per phase, in ampere, volt, ohm.
"""

from collections.abc import Sequence
from dataclasses import dataclass

ROUNDS = 60


@dataclass
class State:
    """By bus; the edge of a bus has its index."""

    voltage: list[float]
    current: list[float]
    loss_w: list[float]


def solve(
    parent: Sequence[int],
    impedance: Sequence[complex],
    source_volt: float,
    power_va: Sequence[complex],
) -> State:
    """The state when every bus draws its complex power (all three phases) at line voltage."""
    buses = range(len(parent))
    voltage = [complex(source_volt / 3**0.5)] * len(parent)
    current = [0j] * len(parent)
    for _ in range(ROUNDS):
        current = [(power_va[v] / 3 / voltage[v]).conjugate() for v in buses]
        for v in reversed(buses[1:]):
            current[parent[v]] += current[v]
        for v in buses[1:]:
            voltage[v] = voltage[parent[v]] - current[v] * impedance[v]
    return State(
        [abs(v) * 3**0.5 for v in voltage],
        [0.0] + [abs(i) for i in current[1:]],
        [0.0] + [3 * abs(current[v]) ** 2 * impedance[v].real for v in buses[1:]],
    )
