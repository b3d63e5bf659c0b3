"""A whole devnet of real processes, used as a stranger would: the command line, an SDK, and kill.

The network is started once for all tests of this file, in a folder of its own; ports move out of
the way of a devnet that runs already. The SDK is substrate-interface, without any option.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = [
    pytest.mark.live,
    pytest.mark.slow,
    # substrate-interface and what it imports are not ours to mend.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

ROOT = Path(__file__).parent.parent.parent
DRT = 1_000_000_000
INTERVAL_MS = 6_000


@dataclass
class Devnet:
    """A running network."""

    folder: Path
    nodes: dict[str, dict[str, Any]]
    genesis: str
    clients: list[Any] = field(default_factory=list)

    def dret(self, *arguments: str) -> str:
        return run_dret(self.folder, *arguments)

    def status(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.dret("devnet", "status", "--output", "json"))
        return content

    def client(self, node: str = "sunny-street") -> Any:
        from substrateinterface import SubstrateInterface

        client = SubstrateInterface(url=self.nodes[node]["rpc"])
        self.clients.append(client)
        return client


def run_dret(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "node", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr}"
    return done.stdout


def eventually(what: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.5)


@pytest.fixture
def devnet(network: Devnet) -> Iterator[Devnet]:
    yield network
    for client in network.clients:
        client.close()
    network.clients.clear()


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    folder = tmp_path_factory.mktemp("devnet")
    run_dret(folder, "devnet", "up", "--detach", "--fresh", "--config-out", "config.json")
    eventually((folder / "config.json").exists, 10)
    config = json.loads((folder / "config.json").read_text())
    try:
        yield Devnet(folder, {node["name"]: node for node in config["nodes"]}, config["genesis"])
    finally:
        pids = [node["pid"] for node in config["nodes"]]
        run_dret(folder, "devnet", "down")
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_all_nodes_share_a_finalized_chain_with_a_small_lag(devnet: Devnet) -> None:
    eventually(lambda: min(node["finalized"] or 0 for node in devnet.status()["nodes"]) >= 5, 60)

    status = devnet.status()
    assert len(status["nodes"]) == 6
    assert status["finality_lag_blocks"] <= 8
    assert all(node["peers"] == 5 for node in status["nodes"])
    height = min(node["finalized"] for node in status["nodes"])
    hashes = {devnet.client(name).get_block_hash(height) for name in devnet.nodes}
    assert len(hashes) == 1


@pytest.mark.parametrize("crypto", ["sr25519", "ed25519"])
def test_an_sdk_transfers_and_waits_for_finality(devnet: Devnet, crypto: str) -> None:
    from substrateinterface import Keypair, KeypairType

    client = devnet.client()
    alice = Keypair.create_from_uri("//Alice")
    kind = KeypairType.SR25519 if crypto == "sr25519" else KeypairType.ED25519
    payer = Keypair.create_from_seed("0x" + crypto.encode().hex().rjust(64, "0"), crypto_type=kind)
    receiver = Keypair.create_from_uri(f"//Receiver//{crypto}")

    submit(
        client, alice, "Balances", "transfer_keep_alive", dest=payer.ss58_address, value=10 * DRT
    )
    receipt = submit(
        client,
        payer,
        "Balances",
        "transfer_keep_alive",
        wait_for_finalization=True,
        dest=receiver.ss58_address,
        value=3 * DRT,
    )

    assert receipt.is_success
    account = client.query("System", "Account", [receiver.ss58_address]).value
    assert account["data"]["free"] == 3 * DRT
    events = {f"{e.value['module_id']}.{e.value['event_id']}" for e in receipt.triggered_events}
    assert {"Balances.Transfer", "System.ExtrinsicSuccess"} <= events
    assert receipt.total_fee_amount > 0


def test_an_sdk_reads_the_error_of_a_call_that_failed(devnet: Devnet) -> None:
    from substrateinterface import Keypair

    receipt = submit(
        devnet.client(),
        Keypair.create_from_uri("//Alice"),
        "Balances",
        "transfer_keep_alive",
        dest=Keypair.create_from_uri("//Bob").ss58_address,
        value=10**9 * DRT,
    )

    assert not receipt.is_success
    assert receipt.error_message["name"] == "InsufficientBalance"


def test_an_sdk_walks_a_map(devnet: Devnet) -> None:
    client = devnet.client()

    connections = list(client.query_map("ProducerRegistration", "Connections", page_size=7))

    assert len(connections) >= 30
    assert client.get_constant("Trading", "MarketIntervalMs").value == INTERVAL_MS


def test_an_sdk_places_a_bid_that_is_matched(devnet: Devnet) -> None:
    from substrateinterface import Keypair

    client = devnet.client()
    home = Keypair.create_from_uri("//Home//1")
    now = client.query("Timestamp", "Now").value
    interval = now // INTERVAL_MS + 4

    receipt = submit(
        client,
        home,
        "Trading",
        "place_order",
        connection=1,
        interval=interval,
        side="Bid",
        price_micro=299_999,
        quantity_wh=50,
    )

    assert receipt.is_success, receipt.error_message

    def bought() -> int:
        holding = client.query("Trading", "Holdings", [interval, 1]).value
        return int(holding["buy_wh"])

    eventually(lambda: bought() >= 50, 30)


def test_a_killed_validator_is_not_missed_and_votes_again(devnet: Devnet) -> None:
    before = devnet.status()
    pid = next(node["pid"] for node in before["nodes"] if node["name"] == "dave")

    os.kill(pid, signal.SIGKILL)

    def others() -> int:
        return min(n["finalized"] or 0 for n in devnet.status()["nodes"] if n["name"] != "dave")

    start = others()
    eventually(lambda: others() >= start + 2, 20)

    def has_rejoined() -> bool:
        nodes = {node["name"]: node for node in devnet.status()["nodes"]}
        dave = nodes["dave"]
        return bool(
            dave["pid"] not in (None, pid)
            and dave["best"] is not None
            and dave["best"] >= nodes["alice"]["best"] - 1
            and dave["peers"] == 5
        )

    eventually(has_rejoined, 40)


def test_intervals_are_settled_without_a_residual(devnet: Devnet) -> None:
    eventually(lambda: (devnet.status()["intervals_settled"] or 0) >= 3, 60)

    status = devnet.status()
    assert status["traded_wh"] > 0
    assert status["money_residual_nano"] == 0
    assert status["energy_residual_wh"] == 0


def test_stopping_the_homes_leaves_the_chain_running(devnet: Devnet) -> None:
    devnet.dret("devnet", "homes", "stop")
    best = max(node["best"] or 0 for node in devnet.status()["nodes"])

    eventually(lambda: max(n["best"] or 0 for n in devnet.status()["nodes"]) >= best + 3, 30)

    devnet.dret("devnet", "homes", "start")


def submit(
    client: Any,
    keypair: Any,
    module: str,
    function: str,
    wait_for_finalization: bool = False,
    **params: Any,
) -> Any:
    """Compose, sign, submit and wait. Another signer of the account may take the nonce first."""
    from substrateinterface.exceptions import SubstrateRequestException

    call = client.compose_call(module, function, params)
    for attempt in range(5):
        try:
            extrinsic = client.create_signed_extrinsic(call, keypair, era={"period": 64})
            return client.submit_extrinsic(
                extrinsic,
                wait_for_inclusion=not wait_for_finalization,
                wait_for_finalization=wait_for_finalization,
            )
        except SubstrateRequestException:
            if attempt == 4:
                raise
            time.sleep(0.5)
    raise AssertionError("unreachable")
