"""Does a process grow? Samples of what it holds, and a slope that a few outliers cannot bend.

Memory is a process's anonymous memory (`Pss_Anon`): what its program asked for. The pages of mapped
files beside it, LevelDB's tables, are the kernel's to take back, so they are told and not judged.
Handles are open files, sockets and pipes without LevelDB's tables, of which it keeps as many open
as there are, up to its own bound.
"""

import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

TABLE_SUFFIXES = (".ldb", ".sst")
KIB = 1 << 10

MEMORY_KIB_PER_10_MIN_MAX = 2_048
HANDLES_PER_10_MIN_MAX = 1.0
THREADS_PER_10_MIN_MAX = 1.0
LAG_BLOCKS_PER_10_MIN_MAX = 1.0


@dataclass(frozen=True, slots=True)
class Sample:
    """What a process held at a moment."""

    at_s: float
    pss_kib: int
    """All memory, what is shared counted by share."""

    anonymous_kib: int
    handles: int
    tables: int
    threads: int
    database_kib: int
    best: int | None = None
    """Heights of a node; None for what is none, or did not answer."""

    finalized: int | None = None

    @property
    def lag(self) -> int | None:
        """Blocks that are not final."""
        if self.best is None or self.finalized is None:
            return None
        return self.best - self.finalized


def take(pid: int, at_s: float, database: Path | None) -> Sample:
    """Look at a process now. Raises `OSError` when it is gone."""
    process = Path(f"/proc/{pid}")
    memory = dict[str, int]()
    for line in (process / "smaps_rollup").read_text().splitlines()[1:]:
        name, _, rest = line.partition(":")
        memory[name] = int(rest.split()[0])
    links = [_link(entry) for entry in (process / "fd").iterdir()]
    tables = sum(link.endswith(TABLE_SUFFIXES) for link in links)
    return Sample(
        at_s,
        memory["Pss"],
        memory["Pss_Anon"],
        len(links) - tables,
        tables,
        len(list((process / "task").iterdir())),
        0 if database is None else size_of(database) // KIB,
    )


def _link(entry: Path) -> str:
    try:
        return os.readlink(entry)
    except FileNotFoundError:
        return ""  # closed since the folder was read


def size_of(folder: Path) -> int:
    """Bytes of the files in a folder; those that vanish meanwhile count nothing."""
    total = 0
    for path in folder.glob("*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total


def theil_sen(points: Sequence[tuple[float, float]]) -> float:
    """The median of the slopes between all pairs of points: up to 29 % of them may be anything.

    Source: Theil 1950, Sen 1968.
    """
    slopes = [(y - v) / (x - u) for (u, v), (x, y) in combinations(points, 2) if x != u]
    return statistics.median(slopes)


@dataclass(frozen=True, slots=True)
class Growth:
    """What a process came to after its warm-up; slopes are for ten minutes."""

    name: str
    samples: int
    anonymous_kib: tuple[int, int]
    """Medians of the first and the last tenth."""

    pss_kib_max: int
    memory_slope_kib: float
    handles: tuple[int, int]
    """The least and the most."""

    handles_slope: float
    tables_max: int
    threads_max: int
    threads_slope: float
    database_kib: tuple[int, int]
    """At the beginning and at the end."""

    lag: tuple[float, int] | None
    """Median and most; None for what is no node."""

    lag_slope: float

    def faults(self) -> list[str]:
        """What of it is not flat, each in a sentence."""
        bounds = (
            ("memory", self.memory_slope_kib, MEMORY_KIB_PER_10_MIN_MAX, "KiB"),
            ("open handles", self.handles_slope, HANDLES_PER_10_MIN_MAX, "handles"),
            ("threads", self.threads_slope, THREADS_PER_10_MIN_MAX, "threads"),
            ("blocks that are not final", self.lag_slope, LAG_BLOCKS_PER_10_MIN_MAX, "blocks"),
        )
        return [
            f"{self.name}: {what} grow by {slope:.1f} {unit} in ten minutes, at most "
            f"{most:g} are allowed"
            for what, slope, most, unit in bounds
            if slope > most
        ]


def growth_of(name: str, samples: Sequence[Sample], warm_up_s: float) -> Growth:
    """What a process came to. AssertionError when too few samples are left after the warm-up."""
    later = [sample for sample in samples if sample.at_s >= warm_up_s]
    assert len(later) >= 20, f"{name}: {len(later)} samples after {warm_up_s:.0f} s, 20 are needed"

    def slope(values: Sequence[tuple[float, float | None]]) -> float:
        known = [(at_s / 600, value) for at_s, value in values if value is not None]
        return theil_sen(known) if len(known) > 1 else 0.0

    tenth = len(later) // 10
    anonymous = [sample.anonymous_kib for sample in later]
    lags = [sample.lag for sample in later if sample.lag is not None]
    return Growth(
        name=name,
        samples=len(later),
        anonymous_kib=(
            round(statistics.median(anonymous[:tenth])),
            round(statistics.median(anonymous[-tenth:])),
        ),
        pss_kib_max=max(sample.pss_kib for sample in later),
        memory_slope_kib=slope([(s.at_s, s.anonymous_kib) for s in later]),
        handles=(min(s.handles for s in later), max(s.handles for s in later)),
        handles_slope=slope([(s.at_s, s.handles) for s in later]),
        tables_max=max(s.tables for s in later),
        threads_max=max(s.threads for s in later),
        threads_slope=slope([(s.at_s, s.threads) for s in later]),
        database_kib=(later[0].database_kib, later[-1].database_kib),
        lag=(statistics.median(lags), max(lags)) if lags else None,
        lag_slope=slope([(s.at_s, s.lag) for s in later]),
    )
