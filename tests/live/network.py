"""A devnet of real processes, and waiting: always for something, and up to a limit."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest

from runtime.primitives.crypto import KeyPair, Scheme
from runtime.primitives.grandpa import Justification

ROOT = Path(__file__).parents[2]
CONFIG = "config.json"
VALIDATORS = ("alice", "bob", "charlie", "dave")
REMOTE_SIGNER = "charlie"  # whose keys are in a process of their own
INTERVAL_MS, SLOT_MS = 6_000, 2_000
POLL_S = 0.2
COMMAND_S = 150.0  # a cold machine compiles kernels first
ANSWER_S = 10.0

LIVE = [
    pytest.mark.live,
    pytest.mark.slow,
    # substrate-interface and what it imports are not ours to mend.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

T = TypeVar("T")


class RpcFailed(Exception):
    """A node answered with an error."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error)
        self.code: int = error["code"]
        self.message: str = error["message"]
        self.data = error.get("data")


def eventually(what: Callable[[], T | None], within_s: float) -> T:
    """The first true answer; fails when there is none in time."""
    deadline = time.monotonic() + within_s
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {within_s} s: {found}"
        time.sleep(POLL_S)


def command(*arguments: str) -> list[str]:
    """`dret …` of this checkout."""
    return [sys.executable, "-m", "node", *arguments]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def run_dret(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, whatever that is."""
    return subprocess.run(
        command(*arguments),
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
    )


def start_dret(folder: Path, log: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a command whose output goes to a file."""
    with log.open("ab") as output:
        return subprocess.Popen(
            command(*arguments),
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def end(process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGTERM) -> int:
    """Signal a process and wait for its exit code; kill it when it does not end."""
    if process.poll() is None:
        process.send_signal(number)
    try:
        return process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(5)
        raise


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_port_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def post(port: int, body: bytes) -> Any:
    """What a node answers to the body of an HTTP POST."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:
        return json.loads(answer.read())


def ask(port: int, method: str, *params: object) -> Any:
    """The result of an RPC method. Raises `RpcFailed`; `OSError` when nobody answers."""
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    answer = post(port, json.dumps(body).encode())
    if "error" in answer:
        raise RpcFailed(answer["error"])
    return answer["result"]


def ask_or_none(port: int, method: str, *params: object) -> Any:
    """As `ask`, but None while nobody answers."""
    try:
        return ask(port, method, *params)
    except OSError:
        return None


def finalized_at(port: int) -> tuple[int, str] | None:
    """Number and hash of the last finalized block; None while the node is down."""
    block_hash = ask_or_none(port, "chain_getFinalizedHead")
    header = block_hash and ask_or_none(port, "chain_getHeader", block_hash)
    return (int(header["number"], 16), block_hash) if header else None


def grandpa_key(name: str) -> bytes:
    """The key a validator votes with."""
    return KeyPair.from_suri(f"//{name.title()}", Scheme.ED25519).public


@dataclass
class Devnet:
    """A network in a folder, running or not."""

    folder: Path
    scenario: str

    def dret(self, *arguments: str) -> str:
        """What a command prints that has to succeed."""
        done = run_dret(self.folder, *arguments)
        assert done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr}\n{self.ends()}"
        return done.stdout

    @property
    def is_running(self) -> bool:
        """Whether its supervisor lives."""
        try:
            return not all_gone([self.pids()["supervisor"]])
        except FileNotFoundError:
            return False

    def ensure_up(self) -> "Devnet":
        """Start it unless it runs."""
        if not self.is_running:
            self.up()
        return self

    def up(self, *flags: str) -> None:
        (self.folder / CONFIG).unlink(missing_ok=True)
        self.dret("devnet", "up", "--detach", *self.flags(), *flags)
        eventually((self.folder / CONFIG).exists, 10)

    def flags(self) -> Sequence[str]:
        return (
            *("--scenario", self.scenario, "--config-out", CONFIG),
            *("--remote-signer", REMOTE_SIGNER),
        )

    def down(self) -> str:
        return self.dret("devnet", "down", "--scenario", self.scenario)

    def ends(self) -> str:
        """The last lines of all logs, for a test that failed."""
        return "\n".join(
            f"--- {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-5:])
            for path in sorted(self.folder.glob(".devnet/**/*.log"))
            if path.parent.name in ("logs", ".devnet")
        )

    def config(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.folder / CONFIG).read_text())
        return content

    @property
    def names(self) -> list[str]:
        return [node["name"] for node in self.config()["nodes"]]

    @property
    def spec(self) -> Path:
        return self.folder / ".devnet" / self.scenario / "chain-spec.json"

    def rpc_url(self, name: str) -> str:
        url: str = next(n["rpc"] for n in self.config()["nodes"] if n["name"] == name)
        return url

    def port(self, name: str) -> int:
        return int(self.rpc_url(name).rpartition(":")[2])

    def status(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(
            self.dret("devnet", "status", "--output", "json", "--scenario", self.scenario)
        )
        return content

    def node(self, name: str) -> dict[str, Any]:
        """A node as the status command tells it."""
        found: dict[str, Any] = next(n for n in self.status()["nodes"] if n["name"] == name)
        return found

    def state(self) -> dict[str, Any]:
        """What the supervisor writes down about its processes."""
        path = self.folder / ".devnet" / self.scenario / "state.json"
        content: dict[str, Any] = json.loads(path.read_text())
        return content

    def pids(self) -> dict[str, int]:
        """The processes that run now, the supervisor among them."""
        state = self.state()
        found = {name: entry["pid"] for name, entry in state["processes"].items() if entry}
        return {**found, "supervisor": state["supervisor"]["pid"]}

    def ports(self) -> list[int]:
        """All ports of all nodes."""
        return [
            node[kind]
            for node in self.state()["nodes"]
            for kind in ("rpc_port", "p2p_port", "metrics_port")
        ]

    def ask(self, name: str, method: str, *params: object) -> Any:
        return ask(self.port(name), method, *params)

    def best(self, name: str = "alice") -> int:
        return int(self.ask(name, "chain_getHeader")["number"], 16)

    def finalized(self, name: str = "alice") -> tuple[int, str] | None:
        return finalized_at(self.port(name))

    def finalized_number(self, name: str = "alice") -> int:
        """0 while the node is down."""
        found = self.finalized(name)
        return found[0] if found else 0

    def hash_at(self, name: str, number: int) -> str | None:
        found: str | None = self.ask(name, "chain_getBlockHash", number)
        return found

    def voters(self, name: str = "alice") -> tuple[int, set[bytes]]:
        """The last block that a node has finalized with a proof, and who signed that proof."""
        found = self.finalized(name)
        assert found is not None, f"{name} does not answer"
        block = self.ask(name, "chain_getBlock", found[1])
        for _, data in block["justifications"] or ():
            commit = Justification.decode(bytes(data)).commit
            return commit.target_number, {precommit.id for precommit in commit.precommits}
        return found[0], set()


def all_gone(pids: Sequence[int]) -> bool:
    """Whether none of these processes lives."""
    return not any(
        psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        for pid in pids
    )
