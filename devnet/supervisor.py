"""Starts the processes of a local network, keeps them running and stops them.

`Supervisor.run` is the top. A process that dies is started again after a pause, so that one can
kill a validator and watch the others go on. Whatever ends the supervisor, nothing stays behind:
children hold its lifeline. `state.json` in the network's folder says which processes run, by id and
start time, for commands that come later.
"""

import json
import logging
import os
import shutil
import signal
from collections.abc import Awaitable, Callable, Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path

import trio

from devnet import control, processes, signers
from devnet.plan import HOMES, DevnetOptions, NodePlan, as_json
from devnet.processes import Identity, Lifeline
from node.errors import ConfigInvalid, NodeError, PortTaken, StorageUnusable
from node.interpreter import module_command
from p2p.identity import peer_id_of

RESTART_PAUSE_S = 5.0  # long enough to see that the others go on without it
QUICK_DEATHS_MAX = 5  # in a row, each within QUICK_DEATH_S: then it is no accident
QUICK_DEATH_S = 20.0
LAST_LINE_BYTES_MAX = 4_096  # of a log, looked at for its last line

log = logging.getLogger("devnet")


@dataclass
class Child:
    """One process under the supervisor."""

    name: str
    command: list[str]
    log: Path
    process: trio.Process | None = None
    identity: Identity | None = None
    restarts: int = 0
    wanted: bool = True
    failed: str | None = None
    quick_deaths: int = 0
    changed: trio.Event = field(default_factory=trio.Event)

    @property
    def pid(self) -> int | None:
        """The id of the running process."""
        return self.identity.pid if self.identity is not None else None

    def current_pid(self) -> int | None:
        """The same, to be handed on."""
        return self.pid

    def want(self, wanted: bool) -> None:
        """Start or stop the process; its keeper does it."""
        self.wanted = wanted
        event, self.changed = self.changed, trio.Event()
        event.set()


class Supervisor:
    """The processes of one network. `status` answers the command of that name."""

    def __init__(
        self,
        options: DevnetOptions,
        nodes: list[NodePlan],
        status: Callable[["Supervisor"], Awaitable[control.Answer]],
    ) -> None:
        self.options = options
        self.nodes = nodes
        self._status = status
        self.lifeline = Lifeline()
        self.folder = options.folder
        self.children: dict[str, Child] = {}
        identity = processes.identify(os.getpid())
        assert identity is not None, "this process exists"
        self.identity = identity
        self._stop = trio.Event()

    def add(self, name: str, command: list[str]) -> Child:
        """Put a process under supervision; `run` starts it."""
        child = Child(name, command, self.folder / "logs" / f"{name}.log")
        self.children[name] = child
        return child

    def stop(self) -> None:
        """End `run`."""
        self._stop.set()

    def kill(self) -> None:
        """End all processes at once: for somebody who does not want to wait for `stop`."""
        for child in self.children.values():
            if child.process is not None:
                child.process.kill()

    @property
    def failure(self) -> str | None:
        """Why the network could not run on, when it ended by itself."""
        return next((child.failed for child in self.children.values() if child.failed), None)

    async def run(
        self,
        meanwhile: Callable[[], Awaitable[None]],
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Start everything, serve commands, run `meanwhile`, and stop everything at the end."""
        (self.folder / "logs").mkdir(parents=True, exist_ok=True)
        try:
            async with trio.open_nursery() as nursery:
                for child in self.children.values():
                    nursery.start_soon(self._keep, child)
                nursery.start_soon(control.serve, self.folder, self._command)
                nursery.start_soon(meanwhile)
                task_status.started()
                await self._stop.wait()
                nursery.cancel_scope.cancel()
        finally:
            with trio.CancelScope(shield=True):
                await self._stop_all()
            (self.folder / "state.json").unlink(missing_ok=True)
            self.lifeline.close()

    async def _keep(self, child: Child) -> None:
        while True:
            if not child.wanted:
                await child.changed.wait()
                continue
            started = trio.current_time()
            process = await self._start(child)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._stop_when_unwanted, child, process, nursery.cancel_scope)
                await process.wait()
                nursery.cancel_scope.cancel()
            child.process = child.identity = None
            self._write_state()
            if child.wanted:
                await self._pause_after_death(child, process, trio.current_time() - started)

    async def _start(self, child: Child) -> trio.Process:
        process = await processes.start(child.command, child.log, self.lifeline)
        child.process, child.identity = process, processes.identify(process.pid)
        self._write_state()
        return process

    async def _stop_when_unwanted(
        self, child: Child, process: trio.Process, scope: trio.CancelScope
    ) -> None:
        while child.wanted:
            await child.changed.wait()
        await processes.stop(process)
        scope.cancel()

    async def _pause_after_death(self, child: Child, process: trio.Process, lived_s: float) -> None:
        # Somebody who kills a process wants to see it come back, however often.
        is_unusable = process.returncode == StorageUnusable.exit_code
        is_quick = lived_s < QUICK_DEATH_S and process.returncode != -signal.SIGKILL
        # On a busy machine even a refusal takes its time.
        child.quick_deaths = child.quick_deaths + 1 if is_quick or is_unusable else 0
        reason = f"{child.name} ended with code {process.returncode}"
        log.warning("%s; see %s", reason, child.log)
        # A configuration that cannot work does not get better by trying again; a database may have
        # been held by a process that was just ending, so it gets a second try.
        is_hopeless = process.returncode in (ConfigInvalid.exit_code, PortTaken.exit_code) or (
            is_unusable and child.quick_deaths > 1
        )
        if is_hopeless or child.quick_deaths >= QUICK_DEATHS_MAX:
            child.failed = f"{reason}: {last_line(child.log)}"
            self._stop.set()
            return
        child.restarts += 1
        await trio.sleep(RESTART_PAUSE_S)

    async def _stop_all(self) -> None:
        async with trio.open_nursery() as nursery:
            for child in self.children.values():
                if child.process is not None:
                    nursery.start_soon(processes.stop, child.process)

    async def _command(self, what: str) -> control.Answer:
        if what == "ping":
            return {"ok": True}
        if what == "stop":
            self.stop()
            return {"ok": True}
        if what in ("homes-stop", "homes-start"):
            self.children[HOMES].want(what == "homes-start")
            return {"ok": True}
        if what == "status":
            return {"ok": True, **await self._status(self)}
        return {
            "ok": False,
            "error": f"unknown command {what!r}: expected status, stop, homes-stop or homes-start",
        }

    def state(self) -> dict[str, object]:
        """What `state.json` and the status command say."""
        return {
            "scenario": self.options.scenario,
            "window": self.options.window,
            "nodes": [as_json(node) for node in self.nodes],
            "supervisor": asdict(self.identity),
            "processes": {
                child.name: asdict(child.identity) if child.identity else None
                for child in self.children.values()
            },
        }

    def _write_state(self) -> None:
        temporary = self.folder / "state.json.tmp"
        temporary.write_text(json.dumps(self.state(), indent=1))
        temporary.replace(self.folder / "state.json")


def node_command(
    node: NodePlan, nodes: list[NodePlan], folder: Path, remote_signers: Collection[str] = ()
) -> list[str]:
    """How a node of the network is started: an ordinary `dret node run`."""
    command = [
        *module_command("node", "node", "run"),
        *("--name", node.title),
        *("--chain", str(folder / "chain-spec.json")),
        *("--base-path", str(folder / "nodes" / node.name)),
        *("--port", str(node.p2p_port)),
        *("--rpc-port", str(node.rpc_port)),
        *("--rpc-methods", "unsafe"),
        *("--prometheus-port", str(node.metrics_port)),
        *("--node-key", node.node_seed.hex()),
    ]
    for other in nodes:
        if other.name != node.name and (other.role == "authority" or node.role == "full"):
            command += ["--reserved-nodes", multiaddress(other)]
    if node.name in remote_signers:
        command += ["--remote-signer", str(signers.socket_path(folder, node.name))]
    elif node.suri is not None:
        command += ["--validator", f"--{node.name}"]
    return command


def multiaddress(node: NodePlan) -> str:
    """Where peers find a node."""
    return f"/ip4/127.0.0.1/tcp/{node.p2p_port}/p2p/{peer_id_of(node.node_seed)}"


def recorded_processes(folder: Path) -> dict[str, Identity | None]:
    """The processes that `state.json` names; empty when there is none or it cannot be read."""
    try:
        state = json.loads((folder / "state.json").read_text())
        return {
            name: Identity(entry["pid"], entry["started"]) if entry else None
            for name, entry in state["processes"].items()
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {}


async def kill_recorded(folder: Path) -> list[str]:
    """End the processes that a killed supervisor may have left; returns their names."""
    ended: list[str] = []
    for name, identity in recorded_processes(folder).items():
        process = identity.find() if identity is not None else None
        if process is not None:
            process.terminate()
            with trio.move_on_after(processes.STOP_GRACE_S) as scope:
                while identity is not None and identity.find() is not None:
                    await trio.sleep(0.05)
            if scope.cancelled_caught:
                process.kill()
            ended.append(name)
    return ended


def purge(folder: Path) -> None:
    """Remove the chain data of a network. Raises `NodeError` when files cannot be removed."""
    try:
        if folder.exists():
            shutil.rmtree(folder)
    except OSError as error:
        raise NodeError(f"{folder} cannot be removed: {error}. Remove it by hand.") from error


def last_line(path: Path) -> str:
    """The last line of a log, to say why a process ended."""
    try:
        with path.open("rb") as file:
            # A log of days is not read for its last line.
            file.seek(max(0, file.seek(0, os.SEEK_END) - LAST_LINE_BYTES_MAX))
            lines = file.read().decode(errors="replace").strip().splitlines()
    except OSError:
        return "it left no log"
    return lines[-1] if lines else "it left no log"
