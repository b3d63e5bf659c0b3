"""How long a block takes from the start of its slot until a client hears that it is final.

A real devnet of semiurb4: six nodes, real GRANDPA rounds. First with its homes, then without them.
"""

import json
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from websocket import create_connection

from tests.live.governed import slot_of
from tests.live.network import SLOT_MS, Devnet, eventually

BLOCKS = 45
IDLE_TARGETS = {"median": 2.25, "p99": 4.0}
ANSWER_S = 60.0


def delays(url: str, blocks: int) -> list[float]:
    """Slots from the start of each block's slot until it is heard to be final."""
    found: list[float] = []
    connection: Any = create_connection(url, timeout=ANSWER_S)
    try:
        connection.send('{"jsonrpc":"2.0","id":1,"method":"chain_subscribeFinalizedHeads"}')
        connection.recv()
        connection.recv()  # the head that is final already
        while len(found) < blocks:
            header = json.loads(connection.recv())["params"]["result"]
            found.append(time.time() * 1000 / SLOT_MS - slot_of(header))
    finally:
        connection.close()
    return found


def show(title: str, found: list[float], targets: dict[str, float]) -> None:
    """Print the figures, and which targets they meet."""
    print(f"\n{title}, {len(found)} blocks")
    figures = {
        "median": median(found),
        "p99": quantiles(found, n=100, method="inclusive")[98],
        "most": max(found),
    }
    for name, slots in figures.items():
        target = targets.get(name)
        verdict = (
            "" if target is None else f"   {'meets' if slots <= target else 'MISSES'} {target}"
        )
        print(f"  {name:<44} {slots:9.3f} slots{verdict}")


def run() -> None:
    """Start the network, measure, and stop it."""
    with tempfile.TemporaryDirectory(prefix="dret-bench-") as folder:
        devnet = Devnet(Path(folder), "semiurb4")
        devnet.up("--fresh")
        try:
            eventually(lambda: devnet.finalized_number() >= 3, ANSWER_S)
            loaded = delays(devnet.rpc_url("wind-coop"), BLOCKS)
            devnet.dret("devnet", "homes", "stop", "--scenario", "semiurb4")
            best = devnet.best()
            eventually(lambda: devnet.finalized_number() > best, ANSWER_S)
            idle = delays(devnet.rpc_url("wind-coop"), BLOCKS)
        finally:
            devnet.down()
    show("From the start of a slot to finality, homes stopped", idle, IDLE_TARGETS)
    show("From the start of a slot to finality, homes trading", loaded, {})


if __name__ == "__main__":
    run()
