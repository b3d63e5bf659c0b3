"""All nodes on one finalized chain, whoever joins when."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live.network import (
    LIVE,
    VALIDATORS,
    Devnet,
    ask,
    end,
    eventually,
    finalized_at,
    free_port,
    grandpa_key,
    start_dret,
)

pytestmark = LIVE

NODE_FIELDS = {
    "name",
    "role",
    "best",
    "finalized",
    "peers",
    "pool",
    "pid",
    "rss_bytes",
    "pss_bytes",
}
STATUS_FIELDS = {
    "nodes",
    "finality_lag_blocks",
    "intervals_settled",
    "traded_wh",
    "money_residual_nano",
    "energy_residual_wh",
    "invariants",
}


def test_the_status_tells_all_of_every_node(devnet: Devnet) -> None:
    status = eventually(lambda: complete(devnet), 60)

    assert set(status) == STATUS_FIELDS
    assert all(set(node) == NODE_FIELDS for node in status["nodes"])
    roles = {node["name"]: node["role"] for node in status["nodes"]}
    assert [name for name, role in roles.items() if role == "authority"] == list(VALIDATORS)
    assert sorted(set(roles) - set(VALIDATORS)) == ["sunny-street", "wind-coop"]
    assert all(node["peers"] == 5 for node in status["nodes"])
    assert all(0 < node["pss_bytes"] <= node["rss_bytes"] for node in status["nodes"])


def complete(devnet: Devnet) -> dict[str, Any] | None:
    """The status once all nodes have met and finality runs."""
    status = devnet.status()
    is_complete = all((node["finalized"] or 0) >= 3 for node in status["nodes"])
    return status if is_complete and all(n["peers"] == 5 for n in status["nodes"]) else None


def test_all_nodes_share_one_finalized_chain(devnet: Devnet) -> None:
    height = eventually(lambda: min(devnet.finalized_number(name) for name in devnet.names), 60)

    for number in range(max(0, height - 20), height + 1):
        assert len({devnet.hash_at(name, number) for name in devnet.names}) == 1


def test_finality_stays_close_and_every_validator_votes(devnet: Devnet) -> None:
    keys = {grandpa_key(name): name for name in VALIDATORS}
    lags: list[int] = []
    seen: set[str] = set()

    def have_all_voted() -> bool:
        lags.append(devnet.status()["finality_lag_blocks"])
        seen.update(keys[key] for key in devnet.voters()[1])
        return len(seen) == len(VALIDATORS) and len(lags) >= 8

    eventually(have_all_voted, 60)

    assert sorted(lags)[len(lags) // 2] <= 3
    assert max(lags) <= 8


def test_intervals_are_settled_one_after_the_other(devnet: Devnet) -> None:
    before = devnet.status()["intervals_settled"]

    eventually(lambda: devnet.status()["intervals_settled"] >= before + 2, 60)

    status = devnet.status()
    assert status["money_residual_nano"] == 0
    assert status["energy_residual_wh"] == 0


@pytest.fixture
def joiner(devnet: Devnet, tmp_path: Path) -> Iterator["Joiner"]:
    found = Joiner(devnet, tmp_path)
    try:
        yield found
    finally:
        if found.process is not None:
            end(found.process, signal.SIGKILL)


class Joiner:
    """A full node of somebody who knows the chain specification and one address."""

    def __init__(self, devnet: Devnet, folder: Path) -> None:
        self.devnet = devnet
        self.folder = folder
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        nodes = self.devnet.config()["nodes"]
        self.process = start_dret(
            self.folder,
            self.folder / "joiner.log",
            *("node", "run", "--name", "joiner", "--base-path", str(self.folder / "data")),
            *("--chain", str(self.devnet.spec), "--bootnodes", nodes[0]["p2p"]),
            *("--rpc-port", str(self.port), "--port", str(free_port()), "--no-prometheus"),
        )

    def stop(self) -> int:
        assert self.process is not None, "it was started"
        code, self.process = end(self.process), None
        return code

    def health(self) -> dict[str, Any]:
        found: dict[str, Any] = ask(self.port, "system_health")
        return found

    def finalized_number(self) -> int:
        found = finalized_at(self.port)
        return found[0] if found else -1


def test_a_node_that_joins_late_or_was_stopped_catches_up(devnet: Devnet, joiner: Joiner) -> None:
    target = eventually(lambda: devnet.finalized_number(), 30)
    joiner.start()
    eventually(lambda: joiner.finalized_number() >= target, 60)
    assert joiner.stop() == 0

    missed = devnet.finalized_number() + 4
    eventually(lambda: devnet.finalized_number() >= missed, 60)
    joiner.start()
    eventually(lambda: joiner.finalized_number() >= missed, 60)

    for number in (1, target, missed):
        assert ask(joiner.port, "chain_getBlockHash", number) == devnet.hash_at("alice", number)
    eventually(lambda: joiner.health()["peers"] >= 1 and not joiner.health()["isSyncing"], 20)
    assert joiner.stop() == 0
