"""Runs many seeds, remembers which were run, shrinks what fails and keeps it.

`python -m tests.simulation --seeds N` goes on where it was interrupted, however that happened:
results are kept by a fingerprint of the sources they depend on (`sources.py`), so a change of those
begins anew. Some seeds are run twice and have to do the same. A seed that fails is run again
without one class of faults after the other, then without single faults; what is left is printed,
and written into `regressions.json`, which the tests run.
"""

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tests.simulation.plan import Fault, Plan, draw_plan
from tests.simulation.runs import Job, Result, run_plan, run_seed
from tests.simulation.sources import ROOT, fingerprint
from tests.simulation.workers import run_jobs

RESULTS = ROOT / ".cache" / "soak-consensus"
REGRESSIONS = Path(__file__).parent / "regressions.json"
SHRINK_RUNS_MAX = 60  # some minutes at most


def shrink(plan: Plan, fails: Callable[[Plan], bool]) -> Plan:
    """The plan without what it does not need to fail: whole classes first, then single faults."""
    runs = 0

    def still_fails(candidate: Plan) -> bool:
        nonlocal runs
        runs += 1
        return runs <= SHRINK_RUNS_MAX and fails(candidate)

    for kind in plan.classes:
        smaller = plan.without([kind])
        if still_fails(smaller):
            plan = smaller
    for fault in plan.faults:
        smaller = replace(plan, faults=tuple(f for f in plan.faults if f is not fault))
        if still_fails(smaller):
            plan = smaller
    return plan


def load_plan(data: dict[str, Any]) -> Plan:
    """A plan from its stored form."""
    return Plan(
        data["seed"],
        data["validators"],
        data["seconds"],
        tuple(Fault(**{**fault, "nodes": tuple(fault["nodes"])}) for fault in data["faults"]),
        tuple((name, lie) for name, lie in data["lies"]),
        tuple((at_ms, name) for at_ms, name in data["rotations"]),
        data["has_real_signatures"],
        data["is_executed_by_all"],
    )


def load_regressions() -> list[tuple[str, Plan]]:
    """What once failed: why, and the plan."""
    entries = json.loads(REGRESSIONS.read_text())
    return [(entry["found"], load_plan(entry["plan"])) for entry in entries]


def keep(found: str, plan: Plan) -> None:
    """Add a plan to the regressions."""
    entries = json.loads(REGRESSIONS.read_text())
    entries.append({"found": found, "plan": asdict(plan)})
    REGRESSIONS.write_text(json.dumps(entries, indent=1) + "\n")


def soak(seeds: range, jobs: int, validators: tuple[int, ...], seconds: int) -> list[Result]:
    """Run what has not been run, print what fails, and return all results."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{fingerprint()}.jsonl"
    done = read_results(path)
    wanted = [(seed, n, seconds) for seed in seeds for n in validators]
    left = [job for job in wanted if job not in done]
    print(f"{len(wanted)} runs of {seconds} virtual seconds, {len(left)} left; {path}", flush=True)
    began = time.monotonic()
    with path.open("a") as log:
        for count, (job, found) in enumerate(run_jobs(run_seed, left, jobs), start=1):
            result = found or Result(*job, "its process died")
            done[job] = result
            if found is not None:
                log.write(json.dumps(asdict(result)) + "\n")
                log.flush()
            if result.error:
                _tell_failure(result)
            elif count % 20 == 0:
                pace = (time.monotonic() - began) / count
                rest = pace * (len(left) - count) / 60
                print(f"{count} of {len(left)}, {pace:.1f} s each, {rest:.0f} min left", flush=True)
    return [done[job] for job in wanted]


def read_results(path: Path) -> dict[Job, Result]:
    """What earlier soaks have written. A line that a kill cut short is dropped for good."""
    found: dict[Job, Result] = {}
    if not path.exists():
        return found
    whole: list[str] = []
    lines = path.read_text().splitlines()
    for line in lines:
        try:
            data = json.loads(line)
        except ValueError:
            continue
        data["classes"] = tuple(data["classes"])
        result = Result(**data)
        found[result.job] = result
        whole.append(line)
    if whole != lines:
        rest = path.with_suffix(".new")
        rest.write_text("".join(line + "\n" for line in whole))
        rest.replace(path)
    return found


def _tell_failure(result: Result) -> None:
    plan = draw_plan(*result.job)
    print(f"\nFAILED seed {result.seed} with {result.validators}: {result.error}", flush=True)
    if os.environ.get("SHRINK", "1") == "1" and run_plan(plan).error:
        plan = shrink(plan, lambda smaller: bool(run_plan(smaller).error))
        error = run_plan(plan).error
        print(f"The least that fails: {error}\n{plan}\n", flush=True)
        keep(error, plan)
