"""Estimates for readings that did not come.

Invariant: an estimate is made of accepted readings only, never of other estimates, and where the
register already tells how much energy fell into a short gap, the estimates of the gap add up to it.

The rules, first that applies (after California's VEE rules, as far as a provisional settlement can
know the facts):

1. *interpolated*: at most 8 intervals are missing between two readings, the later one is in. What
   the register counted in the gap, less what earlier estimates of it took, is shared among the
   intervals still open in proportion to the straight line between the neighbours.
2. *same slot*: mean of the same quarter hour on up to three latest days of the same type (working
   day or weekend) that have a reading for it.
3. *last valid*: the latest reading before.
4. *no history*: zero, because nothing is known.

Both registers of a meter follow one rule. Energy in Wh per interval.
"""

from collections.abc import Sequence
from typing import NamedTuple

GAP_INTERPOLATED_MAX = 8
"""Two hours: across longer gaps a straight line says little about a household."""

SAME_SLOT_DAYS = 3
"""Days in the mean: three already beat the day before, ten are no better (on real meters)."""


class Sample(NamedTuple):
    """A reading as the estimates see it."""

    interval: int
    energy_wh: int


def interpolate(
    interval: int, before: Sample, after: Sample, gap_wh: int, estimated_wh: int
) -> int:
    """Share of a missing interval in the energy its gap still has to give.

    `gap_wh` is what the register counted between the neighbours' intervals, `estimated_wh` what
    earlier intervals of the gap were settled with. The last interval of the gap gets the rest.
    """
    left_wh = max(0, gap_wh - estimated_wh)
    weights = [on_line(before, after, i) for i in range(interval, after.interval)]
    total = sum(weights)
    if total == 0:
        return left_wh // len(weights)
    return left_wh * weights[0] // total


def on_line(before: Sample, after: Sample, interval: int) -> int:
    """Energy at `interval` on the straight line between two readings."""
    rise_wh = after.energy_wh - before.energy_wh
    steps = after.interval - before.interval
    return before.energy_wh + rise_wh * (interval - before.interval) // steps


def mean(energies_wh: Sequence[int]) -> int:
    """The mean, rounded down."""
    return sum(energies_wh) // len(energies_wh)
