"""The judge of the half hour: it finds a leak beside noise, and none in noise alone."""

import os
import random
from pathlib import Path

import pytest

from tests.live.growth import Sample, growth_of, take, theil_sen

WARM_UP_S, SECONDS, EVERY_S = 480, 1_800, 5


def samples(kib_per_10_min: float = 0, handles: int = 0, lag: int = 0) -> list[Sample]:
    """Half an hour of a process that may leak, with caches that fill, noise and outliers."""
    rng, found = random.Random(7), list[Sample]()
    for at_s in range(0, SECONDS, EVERY_S):
        warm_up_kib = 40_000 * min(at_s, 300) // 300
        spike_kib = 30_000 if rng.random() < 0.1 else 0
        leaked_kib = round(kib_per_10_min * at_s / 600)
        noise_kib = rng.randrange(-400, 400)
        found.append(
            Sample(
                at_s=at_s,
                pss_kib=200_000,
                anonymous_kib=100_000 + warm_up_kib + spike_kib + leaked_kib + noise_kib,
                handles=50 + rng.randrange(6) + handles * at_s // 600,
                tables=at_s // 60,
                threads=10,
                database_kib=at_s,
                best=at_s // 2,
                finalized=at_s // 2 - 2 - lag * at_s // 600,
            )
        )
    return found


def test_what_fills_its_caches_and_then_stays_is_flat() -> None:
    growth = growth_of("steady", samples(), WARM_UP_S)

    assert growth.faults() == []
    assert abs(growth.memory_slope_kib) < 100
    assert growth.lag == (2, 2)


@pytest.mark.parametrize(
    ("leaky", "what"),
    [
        (samples(kib_per_10_min=2_200), "memory"),
        (samples(handles=2), "handles"),
        (samples(lag=3), "not final"),
    ],
)
def test_a_leak_is_found_under_noise(leaky: list[Sample], what: str) -> None:
    (fault,) = growth_of("leaky", leaky, WARM_UP_S).faults()

    assert what in fault


def test_a_slope_is_not_bent_by_a_quarter_of_wild_points() -> None:
    line = [(float(x), 3.0 * x) for x in range(40)]
    wild = [(x, y if x % 4 else 1e9) for x, y in line]

    assert theil_sen(wild) == pytest.approx(3.0)


def test_a_process_is_seen_with_its_files(tmp_path: Path) -> None:
    (tmp_path / "000005.ldb").write_bytes(bytes(5_000))
    before = take(os.getpid(), 0, tmp_path)
    with (tmp_path / "000005.ldb").open("rb"), (tmp_path / "LOG").open("wb"):
        after = take(os.getpid(), 1, tmp_path)

    assert after.pss_kib >= after.anonymous_kib > 1_000
    assert (after.tables - before.tables, after.handles - before.handles) == (1, 1)
    assert before.database_kib == 4
    assert before.threads >= 1
