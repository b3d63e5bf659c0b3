"""What goes wrong in a run, drawn from its seed: a list that can be printed, shortened and rerun.

Each class of faults is drawn by a generator of its own, so leaving one out does not change the
others. At most f validators are faulty for good (they lie, or lost their disk and may not vote any
more in their set); all other faults end when the network heals.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass, replace

FAULTS = (
    "latency",
    "loss",
    "duplication",
    "disorder",
    "cut",
    "partition",
    "crash",
    "crash all",
    "slow disk",
    "skew",
    "jump",
    "wipe",
)
LIES = (
    "equivocating author",
    "double voter",
    "withholder",
    "invalid block",
    "invalid justification",
    "lying neighbour",
    "amnesiac",
)
CLASSES = (*FAULTS, *LIES, "rotation")
QUIET_MS = 10_000  # nothing happens before
RECOVERY_MS = 120_000  # at the end of each run, after all faults have ended
FULL_EXECUTION_PERCENT = 5


@dataclass(frozen=True)
class Fault:
    """One accident: from `at_ms` on, for `span_ms`, to these nodes, so strong."""

    kind: str
    at_ms: int
    span_ms: int = 0
    nodes: tuple[str, ...] = ()
    amount: int = 0

    def __str__(self) -> str:
        span = f" for {self.span_ms} ms" if self.span_ms else ""
        amount = f" {self.amount}" if self.amount else ""
        return f"{self.at_ms:>8} ms  {self.kind}{amount}{span} {' '.join(self.nodes)}".rstrip()


@dataclass(frozen=True)
class Plan:
    """All of one run."""

    seed: int
    validators: int
    seconds: int
    faults: tuple[Fault, ...]
    lies: tuple[tuple[str, str], ...]
    """Pairs of a validator and how it lies."""

    rotations: tuple[tuple[int, str], ...] = ()
    """At this time this validator registers other keys."""

    has_real_signatures: bool = False
    is_executed_by_all: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The validators and one full node."""
        return (*(f"v{i}" for i in range(self.validators)), "f0")

    @property
    def liars(self) -> frozenset[str]:
        """Who may not be held to anything."""
        return frozenset(name for name, _ in self.lies)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of faults that occur."""
        found = {fault.kind for fault in self.faults} | {lie for _, lie in self.lies}
        found |= {"rotation"} if self.rotations else set()
        return tuple(kind for kind in CLASSES if kind in found)

    def without(self, kinds: Iterable[str]) -> "Plan":
        """The same run without some classes."""
        gone = frozenset(kinds)
        return replace(
            self,
            faults=tuple(fault for fault in self.faults if fault.kind not in gone),
            lies=tuple(pair for pair in self.lies if pair[1] not in gone),
            rotations=() if "rotation" in gone else self.rotations,
        )

    def __str__(self) -> str:
        lines = [f"seed {self.seed}, {self.validators} validators, {self.seconds} s"]
        lines += [f"          {name}: {lie}" for name, lie in self.lies]
        lines += [f"{at:>8} ms  rotation {name}" for at, name in self.rotations]
        lines += [str(fault) for fault in sorted(self.faults, key=lambda fault: fault.at_ms)]
        return "\n".join(lines)


def draw_plan(seed: int, validators: int, seconds: int) -> Plan:
    """The plan of a seed."""
    rng = random.Random(f"plan {seed} {validators} {seconds}")
    end_ms = max(1, seconds * 1_000 - RECOVERY_MS)
    names = [f"v{i}" for i in range(validators)]
    everybody = [*names, "f0"]
    faulty = rng.sample(names, rng.randint(0, (validators - 1) // 3))
    lies: list[tuple[str, str]] = []
    wiped: list[str] = []
    for name in faulty:
        if rng.random() < 0.15:
            wiped.append(name)
        else:
            lies += [(name, lie) for lie in rng.sample(LIES, rng.choice((1, 1, 2, 3)))]
    enabled = {kind for kind in FAULTS if rng.random() < 0.6}  # a swarm: not all in every run
    faults: list[Fault] = []
    for kind in FAULTS:
        drawn = _draw(kind, random.Random(f"{seed} {kind}"), everybody, end_ms, wiped)
        faults += drawn if kind in enabled or (kind == "wipe" and wiped) else ()
    is_full = seed % 100 < FULL_EXECUTION_PERCENT
    rotations: tuple[tuple[int, str], ...] = ()
    if is_full or rng.random() < 0.2:
        honest = [name for name in names if name not in faulty]
        count = rng.randint(1, 3)
        rotations = tuple(
            (rng.randrange(5_000, max(5_001, end_ms)), rng.choice(honest)) for _ in range(count)
        )
    return Plan(
        seed,
        validators,
        seconds,
        tuple(faults),
        tuple(lies),
        rotations,
        has_real_signatures=is_full or bool(rotations),
        is_executed_by_all=is_full,
    )


def _draw(
    kind: str, rng: random.Random, names: list[str], end_ms: int, wiped: list[str]
) -> list[Fault]:
    """The faults of one class."""
    if kind == "wipe":
        victims = [*wiped, *(["f0"] if rng.random() < 0.3 else [])]
        return [Fault(kind, _time(rng, end_ms), rng.randrange(10_000), (v,)) for v in victims]
    count = rng.randint(1, max(1, end_ms // 60_000))
    if kind == "crash":
        count *= 3
    found: list[Fault] = []
    for _ in range(count):
        at_ms = _time(rng, end_ms)
        span_ms = min(rng.randrange(1_000, 60_000), end_ms - at_ms)
        nodes, amount = _strength(kind, rng, names)
        found.append(Fault(kind, at_ms, span_ms, nodes, amount))
    return found


def _strength(kind: str, rng: random.Random, names: list[str]) -> tuple[tuple[str, ...], int]:
    """Whom a fault hits and how hard."""
    some = tuple(rng.sample(names, rng.randint(1, len(names) - 1)))
    match kind:
        case "latency":
            return (), rng.choice((100, 300, 1_000, 3_000, 8_000))
        case "loss" | "duplication":
            return (), rng.choice((2, 5, 10, 30))
        case "cut":
            return tuple(rng.sample(names, 2)), rng.randrange(2)
        case "partition":
            return some, 0
        case "crash":
            return tuple(rng.sample(names, rng.randint(1, 2))), rng.randrange(4)
        case "crash all":
            return tuple(names), rng.randrange(4)
        case "slow disk":
            return some, rng.choice((100, 1_000, 5_000, 10_000))
        case "skew":
            return some, rng.randint(-900, 900)
        case "jump":
            amount = rng.choice((-60_000, -5_900, -2_500, 2_500, 5_900, 60_000))
            return some[: 1 if abs(amount) > 10_000 else 2], amount
        case _:
            return (), 0


def _time(rng: random.Random, end_ms: int) -> int:
    return rng.randrange(QUIET_MS, max(QUIET_MS + 1, end_ms - 1_000))
