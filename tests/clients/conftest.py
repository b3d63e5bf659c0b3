"""A node of its own for the clients: a development chain that keeps every state."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from runtime.pallets.trading.orders import INTERVALS_AHEAD
from tests.live.network import INTERVAL_MS
from tests.live.sdk import connect, interval_now, pair, place_order, submit

LOWEST_BID = 20_000  # what the supplier pays anyway, so that nobody fills it
START_S = 60  # the first start on a machine compiles the kernels


@dataclass(frozen=True)
class DevNode:
    """Where the node answers."""

    port: int

    @property
    def url(self) -> str:
        """For WebSockets."""
        return f"ws://127.0.0.1:{self.port}"


@pytest.fixture(scope="package")
def dev_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevNode]:
    """A running `dret node run --dev`."""
    with run_dev_node(tmp_path_factory.mktemp("clients"), ["--dev"]) as node:
        yield node


@dataclass(frozen=True)
class RestingOrder:
    """An order of connection 1 that stands in a book for longer than the tests take."""

    interval: int
    owner: str
    connections: Sequence[int]
    """All that the chain has."""

    def check(self, found: Mapping[str, object]) -> None:
        """Assert what a client has read of pallets that no other chain has."""
        expected = {
            "connections": list(self.connections),
            "owner": self.owner,
            "orders": 1,
            "constant": INTERVAL_MS,
            "book": [[1, LOWEST_BID, 100]],
        }
        assert found["under"] in (  # the liquidity fund enters the market with the first call
            [[self.interval, 1]],
            [[self.interval, 1], [self.interval, self.connections[-1]]],
        )
        for name in found.keys() - {"under"}:
            assert found[name] == expected[name], name


@pytest.fixture(scope="package")
def resting_order(dev_node: DevNode) -> RestingOrder:
    """Placed by substrate-interface, which says what connections there are."""
    with connect(dev_node.url) as client:
        interval = interval_now(client) + INTERVALS_AHEAD - 6
        owner = pair("//Home//1")
        call = place_order(1, interval, price_micro=LOWEST_BID)
        receipt = submit(client, owner, call, is_final=True)  # some clients read what is final
        assert receipt.is_success, receipt.error_message
        registered = client.query_map("ProducerRegistration", "Connections", page_size=7)
        numbers = sorted(number.value for number, _ in registered)
        return RestingOrder(interval, owner.ss58_address, numbers)


@contextmanager
def run_dev_node(folder: Path, options: Sequence[str], module: str = "node") -> Iterator[DevNode]:
    """A node that authors alone and keeps every state; `module` is the program."""
    with run_node(
        folder, [*options, "--state-pruning", "archive"], "Finalized #1 ", module
    ) as node:
        yield node


@contextmanager
def run_node(
    folder: Path,
    options: Sequence[str],
    until: str,
    module: str = "node",
    ports: Sequence[int] = (),
) -> Iterator[DevNode]:
    """A node on the folder `node` in `folder`, once its log says `until`."""
    port, p2p_port = ports or free_ports(2)
    command = [sys.executable, "-m", module, "node", "run", *options, "--no-prometheus"]
    command += ["--rpc-port", str(port), "--port", str(p2p_port)]
    log = folder / "node.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--base-path", str(folder / "node")], stdout=output, stderr=output
        )
    try:
        _wait_for(until, process, log)
        yield DevNode(port)
    finally:
        process.terminate()
        assert process.wait(20) == 0, log.read_text()


def _wait_for(text: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while text not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now; held together, so that they differ."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [held.getsockname()[1] for held in sockets]
    for held in sockets:
        held.close()
    return ports
