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
) -> dict[str, float]:
    """Median seconds of each task; each round runs all of them, after one that does not count.

    `prepare` runs before each task and is not measured.
    """
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for turn in range(rounds + 1):
        for name, task in tasks.items():
            prepare()
            gc.collect()
            start = perf_counter()
            task()
            if turn > 0:
                seconds[name].append(perf_counter() - start)
    return {name: median(values) for name, values in seconds.items()}


def show(title: str, found: Mapping[str, float], base: str) -> None:
    """Print each median and its ratio to that of `base`."""
    print(f"\n{title}")
    for name, value in found.items():
        print(f"  {name:<44} {value * 1e3:9.3f} ms   {value / found[base]:7.3f} x {base}")
