"""A node of its own for the clients: a development chain that keeps every state."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

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


@contextmanager
def run_dev_node(folder: Path, options: Sequence[str], module: str = "node") -> Iterator[DevNode]:
    """A node that authors alone and keeps every state; `module` is the program."""
    port, p2p_port = _free_ports(2)
    command = [sys.executable, "-m", module, "node", "run", *options, "--no-prometheus"]
    command += ["--rpc-port", str(port), "--port", str(p2p_port), "--state-pruning", "archive"]
    log = folder / "node.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--base-path", str(folder / "node")], stdout=output, stderr=output
        )
    try:
        _wait_for_a_final_block(process, log)
        yield DevNode(port)
    finally:
        process.terminate()
        assert process.wait(20) == 0, log.read_text()


def _wait_for_a_final_block(process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while "Finalized #1 " not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now; held together, so that they differ."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [held.getsockname()[1] for held in sockets]
    for held in sockets:
        held.close()
    return ports
