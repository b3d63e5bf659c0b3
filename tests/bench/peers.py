"""Clearing beside other markets and solvers on the same books: `make bench-peers`.

Books of a region's homes without its grid. Each peer clears each book in a process of its own, in
the environment that `requirements/peers.txt` makes; one that does not finish in LIMIT_S seconds is
not asked for larger books. CPU time of the clearing alone, without making the peer's objects.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from time import process_time
from typing import NamedTuple

from runtime.kernels.auction import clear
from tests.bench.clearing import plain
from tests.bench.instances import Instance, on_one_bus, region, split_large
from tests.oracles import auction_lp

HOMES = (100, 1_000, 4_000, 10_000, 100_000)
LIMIT_S = 100
REPEATED = 50
SCRIPT = Path(__file__).with_name("peer_markets.py")
MARKETS = ("assume pay-as-clear", "pymarket huang", "pymarket muda", "pymarket p2p")


class Run(NamedTuple):
    """One clearing."""

    seconds: float
    volume: float


def ours(instance: Instance) -> Run:
    """The exact clearing."""
    found = clear(*instance, 0)
    begun = process_time()
    for _ in range(REPEATED):
        clear(*instance, 0)
    seconds = (process_time() - begun) / REPEATED
    return Run(seconds, float(found.fill[instance.orders.isbid == 1].sum()))


def highs(instance: Instance) -> Run:
    """The linear program, without building it."""
    solver = auction_lp.program(*plain(instance))
    solver.setOptionValue("time_limit", float(LIMIT_S))
    begun = process_time()
    solver.run()
    seconds = process_time() - begun
    fills = solver.getSolution().col_value[: instance.orders.bus.size]
    return Run(seconds, float(sum(fills * (instance.orders.isbid == 1))))


def peer(python: str, market: str, instance: Instance) -> Run | None:
    """A market of the other environment; None when it does not finish."""
    orders = instance.orders
    book = {
        "market": market,
        "price": orders.price.tolist(),
        "qty": orders.qty.tolist(),
        "isbid": orders.isbid.tolist(),
    }
    try:
        with tempfile.TemporaryDirectory(prefix="dret-bench-") as folder:  # one writes a log
            done = subprocess.run(
                [python, "-W", "ignore", str(SCRIPT)],
                input=json.dumps(book),
                capture_output=True,
                text=True,
                timeout=LIMIT_S,
                check=True,
                cwd=folder,
            )
    except subprocess.TimeoutExpired:
        return None
    except subprocess.CalledProcessError as failed:
        reason = failed.stderr.strip().splitlines()
        print(f"  {market}: {reason[-1] if reason else f'exit code {failed.returncode}'}")
        return None
    found = json.loads(done.stdout.splitlines()[-1])
    return Run(found["seconds"], found["volume"])


def main(python: str) -> None:
    """Clear books of rising size until only we are left."""
    asked = [*MARKETS, "HiGHS"]
    for homes in HOMES:
        instance = on_one_bus(split_large(region(homes, 48)))
        own = ours(instance)
        print(f"\n{instance.orders.bus.size:,} orders on one bus")
        print(f"  {'exact clearing':<24} {own.seconds * 1e3:12.3f} ms", flush=True)
        for name in list(asked):
            run = highs(instance) if name == "HiGHS" else peer(python, name, instance)
            if run is None or run.seconds >= LIMIT_S:
                asked.remove(name)
                print(f"  {name:<24} not within {LIMIT_S} s", flush=True)
                continue
            slower, volume = run.seconds / own.seconds, run.volume / own.volume
            print(
                f"  {name:<24} {run.seconds * 1e3:12.3f} ms {slower:12,.0f} x   "
                f"volume {volume:.4f} of ours",
                flush=True,
            )


if __name__ == "__main__":
    main(str(Path(sys.argv[1]).absolute()))
