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
4. *profile*: a meter that never reported has its share in what the others metered: of their import
   by import capacity, of their export by the rated power of its sources.
5. *no history*: zero, because there is no meter, or nobody metered anything.

Both registers of a meter follow one rule. Energy in Wh per interval.
"""

from collections.abc import Sequence
from typing import NamedTuple

from runtime.pallets.consumption_metering.records import (
    Meter,
    Metered,
    Method,
    Reading,
    SlotHistory,
)
from runtime.pallets.producer_registration import Connection

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


def estimate(meter: Meter, interval: int, history: SlotHistory) -> Metered | None:
    """What stands in for a missing reading by rules 1 to 3; None if the meter never reported."""
    before = [reading for reading in meter.readings if reading.interval < interval]
    after = [reading for reading in meter.readings if reading.interval > interval]
    if before and after and is_short_gap(before[-1], after[0]):
        return interpolate_reading(meter, interval, before[-1], after[0])
    if history.days > 0:
        return Metered(*same_slot_mean(history), Method.SAME_SLOT)
    if before:
        return Metered(before[-1].import_wh, before[-1].export_wh, Method.LAST_VALID)
    return None


def is_short_gap(before: Reading, after: Reading) -> bool:
    """Whether the registers tell how much energy fell between two readings, and not too much."""
    missing = after.interval - before.interval - 1
    return after.follows == before.interval and missing <= GAP_INTERPOLATED_MAX


def interpolate_reading(meter: Meter, interval: int, before: Reading, after: Reading) -> Metered:
    """Both energies by interpolation."""
    import_wh = interpolate(
        interval,
        Sample(before.interval, before.import_wh),
        Sample(after.interval, after.import_wh),
        after.gap_import_wh,
        meter.estimated_import_wh,
    )
    export_wh = interpolate(
        interval,
        Sample(before.interval, before.export_wh),
        Sample(after.interval, after.export_wh),
        after.gap_export_wh,
        meter.estimated_export_wh,
    )
    return Metered(import_wh, export_wh, Method.INTERPOLATED)


def same_slot_mean(history: SlotHistory) -> tuple[int, int]:
    """Mean import and export of the days on record."""
    days = history.days
    imports = (history.import_1_wh, history.import_2_wh, history.import_3_wh)
    exports = (history.export_1_wh, history.export_2_wh, history.export_3_wh)
    return mean(imports[:days]), mean(exports[:days])


class Shares:
    """What was metered in an interval, to be a profile for those of whom nothing is known."""

    __slots__ = ("export_wh", "import_wh", "import_wh_max", "source_w")

    def __init__(self) -> None:
        self.import_wh = 0
        self.import_wh_max = 0
        self.export_wh = 0
        self.source_w = 0

    def add(self, connection: Connection, energy: Metered) -> None:
        """Count a metered connection."""
        self.import_wh += energy.import_wh
        self.import_wh_max += connection.import_wh_max
        self.export_wh += energy.export_wh
        self.source_w += connection.source_w

    def share_of(self, connection: Connection) -> Metered:
        """What a connection like those metered would have taken and given, within its limits."""
        import_wh = export_wh = 0
        if self.import_wh_max:
            import_wh = self.import_wh * connection.import_wh_max // self.import_wh_max
        if self.source_w:
            export_wh = self.export_wh * connection.source_w // self.source_w
        method = Method.PROFILE if self.import_wh_max or self.source_w else Method.NO_HISTORY
        return Metered(
            min(import_wh, connection.import_wh_max),
            min(export_wh, connection.export_wh_max),
            method,
        )


def with_day(history: SlotHistory, energy: Metered) -> SlotHistory:
    """The history with a metered day in front."""
    return SlotHistory(
        min(history.days + 1, SAME_SLOT_DAYS),
        energy.import_wh,
        history.import_1_wh,
        history.import_2_wh,
        energy.export_wh,
        history.export_1_wh,
        history.export_2_wh,
    )
