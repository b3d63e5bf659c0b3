"""Figures of many runs, as `docs/reliability.md` shows them."""

from collections.abc import Callable, Sequence

from tests.simulation import coverage
from tests.simulation.plan import CLASSES, LIES
from tests.simulation.runs import Result

COVERED_AFTER = 200
"""Runs of 900 s: by then everything has happened that `coverage.SOMETIMES` names."""


def summary(results: Sequence[Result]) -> str:
    """Two tables: what was run and how it went, and what has happened in the runs."""
    lines = ["| | " + " | ".join(map(_title, _sizes(results))) + " |"]
    lines.append("|---" * (len(_sizes(results)) + 1) + "|")
    lines += [_row(name, figure, results) for name, figure in FIGURES.items()]
    bad = [f"{r.seed} (n={r.validators}): {r.error}" for r in results if r.error]
    lines += ["", f"Violations: {len(bad)}", *bad]
    reached = [result.reached for result in results]
    lines += ["", *coverage.table_of(reached)]
    lines += ["", "| class of faults | runs |", "|---|---|"]
    lines += [f"| {kind} | {sum(kind in r.classes for r in results)} |" for kind in CLASSES]
    never = coverage.never_reached(reached)
    if never:
        lines += ["", f"In no run: {', '.join(never)}"]
    return "\n".join(lines)


def has_failed(results: Sequence[Result]) -> bool:
    """Whether an invariant broke, or many runs left out something that has to happen."""
    is_long = len(results) >= COVERED_AFTER and min(r.seconds for r in results) >= 900
    is_uncovered = is_long and bool(coverage.never_reached([r.reached for r in results]))
    return is_uncovered or any(result.error for result in results)


Runs = Sequence[Result]


def _worst(runs: Runs, figure: Callable[[Result], int], unit: str) -> str:
    worst = max(runs, key=figure)
    return f"{_grouped(figure(worst))} {unit} (seed {worst.seed})"


def _cpu(runs: Runs) -> str:
    ordered = sorted(run.cpu_ms for run in runs)
    return f"{ordered[len(ordered) // 2] / 1_000:.2f} s (median), {ordered[-1] / 1_000:.1f} s"


FIGURES: dict[str, Callable[[Runs], str]] = {
    "runs": lambda runs: _grouped(len(runs)),
    "simulated hours": lambda runs: f"{sum(r.seconds for r in runs) / 3_600:.2f}",
    "events handled by nodes": lambda runs: _grouped(sum(r.events for r in runs)),
    "blocks executed": lambda runs: _grouped(sum(r.blocks for r in runs)),
    "restarts": lambda runs: _grouped(sum(r.restarts for r in runs)),
    "handoffs to another set": lambda runs: _grouped(sum(r.handoffs for r in runs)),
    "runs with liars": lambda runs: _grouped(sum(is_byzantine(r) for r in runs)),
    "runs with real signatures and databases, executed by all": lambda runs: _grouped(
        sum(r.is_executed_by_all for r in runs)
    ),
    "violations": lambda runs: _grouped(sum(bool(r.error) for r in runs)),
    "finality back after the last fault, worst": lambda runs: _worst(
        runs, lambda r: r.resumed_ms, "ms"
    ),
    "blocks that waited for finality, worst": lambda runs: _worst(
        runs, lambda r: r.lag_max, "blocks"
    ),
    "messages to one peer in a second, worst, of 200": lambda runs: _worst(
        runs, lambda r: r.messages_max, "messages"
    ),
    "bytes to one peer in a second, worst, of 1 048 576": lambda runs: _worst(
        runs, lambda r: r.bytes_max, "bytes"
    ),
    "time of a processor for a run": _cpu,
}


def is_byzantine(result: Result) -> bool:
    """Whether somebody lied."""
    return any(kind in LIES for kind in result.classes)


def _sizes(results: Runs) -> list[int]:
    return sorted({result.validators for result in results})


def _title(validators: int) -> str:
    return f"{validators} validators"


def _row(name: str, figure: Callable[[Runs], str], results: Runs) -> str:
    cells = [figure([r for r in results if r.validators == n]) for n in _sizes(results)]
    return f"| {name} | {' | '.join(cells)} |"


def _grouped(number: int) -> str:
    """A number with its thousands apart, as the docs write it."""
    return f"{number:,}".replace(",", " ")
