"""The soak itself: what it counts as a source, how it survives kills, what it tells."""

import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.simulation import coverage
from tests.simulation.report import has_failed, summary
from tests.simulation.runs import Result
from tests.simulation.soak import read_results
from tests.simulation.sources import ROOT, fingerprint, source_files
from tests.simulation.workers import run_jobs

FATAL = 2
"""The job that kills its worker."""


def result(seed: int, validators: int = 4, error: str = "", seconds: int = 900) -> Result:
    reached = dict.fromkeys(coverage.SOMETIMES, 1)
    return Result(seed, validators, seconds, error, bytes_max=10 * seed, reached=reached)


def double(job: int) -> int:
    if job == FATAL:
        os._exit(9)
    return 2 * job


@pytest.mark.slow
def test_the_sources_are_what_a_run_consists_of_and_nothing_else() -> None:
    names = {file.relative_to(ROOT).as_posix() for file in source_files()}

    assert {
        "consensus/core.py",
        "consensus/grandpa/voter.py",
        "node/chain.py",
        "node/database.py",
        "node/pool.py",
        "runtime/pallets/session.py",
        "runtime/kernels/__init__.py",
        "tests/simulation/world.py",
        "tests/simulation/adversary.py",
    } <= names
    assert not any(name.startswith(("rpc/", "p2p/", "devnet/", "docs/")) for name in names)
    assert not {"node/service.py", "tests/simulation/soak.py"} & names
    assert len(fingerprint()) == 12


def test_results_that_a_kill_cut_short_are_dropped_and_the_others_kept(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    lines = [json.dumps(asdict(result(seed))) for seed in range(3)]
    path.write_text("\n".join(lines)[:-20])

    found = read_results(path)

    assert list(found) == [(0, 4, 900), (1, 4, 900)]
    assert found[1, 4, 900] == result(1)
    with path.open("a") as log:
        log.write(lines[2] + "\n")
    assert len(read_results(path)) == 3


@pytest.mark.slow
def test_a_worker_that_dies_costs_its_job_and_no_other() -> None:
    answers = dict(run_jobs(double, range(6), 2))

    assert answers == {0: 0, 1: 2, FATAL: None, 3: 6, 4: 8, 5: 10}


def test_the_summary_names_the_worst_seeds_and_what_never_happened() -> None:
    results = [result(seed, n) for seed in range(3) for n in (4, 7)]

    text = summary(results)

    assert "| 20 bytes (seed 2) | 20 bytes (seed 2) |" in text
    assert "Violations: 0" in text
    assert "In no run" not in text
    assert not has_failed(results)
    assert has_failed([*results, result(3, error="Violation: planted")])


def test_many_runs_without_something_that_has_to_happen_have_failed() -> None:
    many = [result(seed) for seed in range(200)]
    for each in many:
        del each.reached["catch-up"]

    assert has_failed(many)
    assert "In no run: catch-up" in summary(many)
    assert not has_failed(many[:20])
