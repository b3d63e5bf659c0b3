"""Runs many seeds, remembers which were run, shrinks what fails and keeps it.

`python -m tests.simulation --seeds N` goes on where it was interrupted: results are kept by a
fingerprint of the sources they depend on, so a change of those begins anew. A seed that fails is
run again without one class of faults after the other, then without single faults; what is left is
printed, and written into `regressions.json`, which the tests run.
"""

import hashlib
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tests.simulation.plan import Fault, Plan, draw_plan
from tests.simulation.world import SimWorld

ROOT = Path(__file__).parent.parent.parent
SOURCES = ("consensus", "runtime", "node/pool.py", "tests/simulation", "tests/support")
RESULTS = ROOT / ".cache" / "soak-consensus"
REGRESSIONS = Path(__file__).parent / "regressions.json"
SHRINK_RUNS_MAX = 60  # some minutes at most


@dataclass(frozen=True)
class Result:
    """How the run of one seed ended."""

    seed: int
    validators: int
    seconds: int
    error: str
    """Empty when all invariants held."""

    restarts: int = 0
    finalized: int = 0
    handoffs: int = 0
    events: int = 0
    blocks: int = 0
    resumed_ms: int = 0
    messages_max: int = 0
    bytes_max: int = 0
    classes: tuple[str, ...] = ()
    is_executed_by_all: bool = False


def run_plan(plan: Plan) -> Result:
    """Run a plan to its end."""
    world = SimWorld(plan)
    error = ""
    try:
        world.run_all()
    except Exception as failure:  # whatever breaks, a bug of the simulator included
        error = f"{type(failure).__name__}: {failure}"
    running = [node for node in world.honest if node.is_running]
    ledgers = {id(node.ledger): node.ledger for node in world.sims.values()}
    return Result(
        plan.seed,
        plan.validators,
        plan.seconds,
        error,
        sum(node.restarts for node in world.sims.values()),
        min((node.finalized for node in running), default=0),
        max((node.live.status.set_id for node in running), default=0),
        sum(node.events_handled for node in world.sims.values()),
        sum(ledger.blocks_executed for ledger in ledgers.values()),
        world.resumed_after_ms,
        max(world.traffic.values(), default=0),
        max(world.octets.values(), default=0),
        plan.classes,
        plan.is_executed_by_all,
    )


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


def fingerprint() -> str:
    """Changes with any source that decides what a seed does."""
    digest = hashlib.blake2b(digest_size=6)
    for source in SOURCES:
        path = ROOT / source
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        for file in files:
            digest.update(file.relative_to(ROOT).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def run_seed(job: tuple[int, int, int]) -> Result:
    """Run one seed in a worker."""
    return run_plan(draw_plan(*job))


def soak(seeds: range, jobs: int, validators: tuple[int, ...], seconds: int) -> list[Result]:
    """Run what has not been run, print what fails, and return all results."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{fingerprint()}.jsonl"
    results = [_result(line) for line in path.read_text().splitlines()] if path.exists() else []
    done = {(r.seed, r.validators, r.seconds) for r in results}
    wanted = [(seed, n, seconds) for seed in seeds for n in validators]
    left = [job for job in wanted if job not in done]
    print(f"{len(wanted)} runs of {seconds} virtual seconds, {len(left)} left; {path}", flush=True)
    began = time.monotonic()
    with path.open("a") as log:
        for count, result in enumerate(_run(left, jobs), start=1):
            results.append(result)
            log.write(json.dumps(asdict(result)) + "\n")
            log.flush()
            if result.error:
                _tell_failure(result)
            elif count % 20 == 0:
                pace = (time.monotonic() - began) / count
                print(f"{count} of {len(left)}, {pace:.1f} s each", flush=True)
    return [r for r in results if (r.seed, r.validators, r.seconds) in set(wanted)]


def _run(left: list[tuple[int, int, int]], jobs: int) -> Iterator[Result]:
    if jobs == 1:
        yield from map(run_seed, left)
        return
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        yield from pool.imap_unordered(run_seed, left)


def _tell_failure(result: Result) -> None:
    plan = draw_plan(result.seed, result.validators, result.seconds)
    print(f"\nFAILED seed {result.seed} with {result.validators}: {result.error}", flush=True)
    if os.environ.get("SHRINK", "1") == "1":
        plan = shrink(plan, lambda smaller: bool(run_plan(smaller).error))
        error = run_plan(plan).error
        print(f"The least that fails: {error}\n{plan}\n", flush=True)
        keep(error, plan)


def _result(line: str) -> Result:
    data = json.loads(line)
    data["classes"] = tuple(data["classes"])
    return Result(**data)


def summary(results: list[Result]) -> str:
    """Figures of many runs."""
    bad = [f"{r.seed} (n={r.validators})" for r in results if r.error]
    hours = sum(r.seconds for r in results) // 36
    lines = [
        f"runs {len(results)}, simulated hours {hours // 100}.{hours % 100:02}, "
        f"restarts {sum(r.restarts for r in results)}, events {sum(r.events for r in results)}, "
        f"handoffs {sum(r.handoffs for r in results)}",
        f"executed by every node with real signatures: "
        f"{sum(r.is_executed_by_all for r in results)} runs",
        f"resumed after healing, worst: {max((r.resumed_ms for r in results), default=0)} ms; "
        f"traffic to one peer in a second, worst: "
        f"{max((r.messages_max for r in results), default=0)} messages, "
        f"{max((r.bytes_max for r in results), default=0)} bytes",
        f"violations {len(bad)}{': seeds ' + ', '.join(bad) if bad else ''}",
    ]
    return "\n".join(lines)
