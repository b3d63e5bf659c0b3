"""One run of a plan, and what is written down of it."""

import time
from dataclasses import dataclass, field, replace

from tests.simulation.plan import Plan, draw_plan
from tests.simulation.world import SimWorld

TWICE_EVERY = 100  # seeds: one is run twice

Job = tuple[int, int, int]
"""Seed, validators, seconds."""


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
    lag_max: int = 0
    reached: dict[str, int] = field(default_factory=dict[str, int])
    """How often each thing happened that `coverage.SOMETIMES` names."""

    trace: str = ""
    """`Network.fingerprint`: changes with whatever the nodes do."""

    cpu_ms: int = field(default=0, compare=False)

    @property
    def job(self) -> Job:
        """What was run."""
        return self.seed, self.validators, self.seconds


def run_plan(plan: Plan) -> Result:
    """Run a plan to its end."""
    began_ns = time.process_time_ns()
    world = SimWorld(plan)
    error = ""
    try:
        world.run_all()
    except Exception as failure:  # whatever breaks, a bug of the simulator included
        error = f"{type(failure).__name__}: {failure}"
    finally:
        world.close()
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
        world.lag_max,
        dict(sorted(world.reached.items())),
        world.fingerprint(),
        (time.process_time_ns() - began_ns) // 1_000_000,
    )


def run_seed(job: Job) -> Result:
    """Run one seed in a worker; some of them twice."""
    result = run_plan(draw_plan(*job))
    if job[0] % TWICE_EVERY == TWICE_EVERY - 1 and not result.error:
        again = run_plan(draw_plan(*job))
        if again != result:
            error = f"not the same twice: trace {result.trace}, then {again.trace}"
            return replace(result, error=error)
    return result
