"""Takes several measurements in turns and compares their medians."""

import gc
from collections.abc import Callable, Mapping
from statistics import median
from time import perf_counter

ROUNDS = 9


def medians(
    tasks: Mapping[str, Callable[[], object]],
    rounds: int = ROUNDS,
    prepare: Callable[[], object] = lambda: None,
    clock: Callable[[], float] = perf_counter,
) -> dict[str, float]:
    """Median seconds of each task; each round runs all of them, after one that does not count.

    `prepare` runs before each task and is not measured. `clock` may be `process_time` for what
    only computes: then other programs on the machine cost only what they take of its caches.
    """
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for turn in range(rounds + 1):
        for name, task in tasks.items():
            prepare()
            gc.collect()
            start = clock()
            task()
            if turn > 0:
                seconds[name].append(clock() - start)
    return {name: median(values) for name, values in seconds.items()}


def show(
    title: str,
    found: Mapping[str, float],
    base: str,
    targets: Mapping[str, float] | None = None,
) -> None:
    """Print each median and its ratio to that of `base`, and which of the `targets` are met."""
    print(f"\n{title}")
    for name, value in found.items():
        ratio = value / found[base]
        target = (targets or {}).get(name)
        verdict = (
            "" if target is None else f"   {'meets' if ratio <= target else 'MISSES'} {target}"
        )
        print(f"  {name:<44} {value * 1e3:9.3f} ms   {ratio:7.3f} x {base}{verdict}")
