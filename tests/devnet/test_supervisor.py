"""The supervisor over real processes that only wait for their lifeline."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
import trio

from devnet import control, supervisor
from devnet.plan import HOMES, DevnetOptions, plan_nodes
from devnet.supervisor import Child, Supervisor
from node.errors import NodeUnreachable

ROOT = Path(__file__).parent.parent.parent
WAIT_FOR_LIFELINE = "import os, sys; os.read(int(sys.argv[-1]), 1)"
CHILD = [sys.executable, "-c", WAIT_FOR_LIFELINE]


async def status(keeper: Supervisor) -> control.Answer:
    return {"children": len(keeper.children)}


async def nothing() -> None:
    return


def make_supervisor(root: Path, commands: dict[str, list[str]]) -> Supervisor:
    keeper = Supervisor(DevnetOptions(root=root), plan_nodes()[:1], status)
    for name, command in commands.items():
        keeper.add(name, command)
    return keeper


@asynccontextmanager
async def running(keeper: Supervisor) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        await nursery.start(keeper.run, nothing)
        yield
        keeper.stop()


async def started(child: Child, other_than: int | None = None) -> int:
    with trio.fail_after(10):
        while child.pid is None or child.pid == other_than:
            await trio.sleep(0.01)
    return child.pid


@pytest.fixture(autouse=True)
def short_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "RESTART_PAUSE_S", 0.05)


async def test_stopping_ends_all_processes_and_removes_the_record(tmp_path: Path) -> None:
    keeper = make_supervisor(tmp_path, {"a": CHILD, "b": CHILD})

    async with running(keeper):
        pids = [await started(child) for child in keeper.children.values()]
        assert (keeper.folder / "state.json").exists()

    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert not (keeper.folder / "state.json").exists()


@pytest.mark.slow
async def test_a_killed_process_comes_back_however_often(tmp_path: Path) -> None:
    keeper = make_supervisor(tmp_path, {"a": CHILD})

    async with running(keeper):
        child, pid = keeper.children["a"], None
        for _ in range(supervisor.QUICK_DEATHS_MAX + 1):
            pid = await started(child, other_than=pid)
            os.kill(pid, signal.SIGKILL)
        await started(child, other_than=pid)

    assert keeper.failure is None


async def test_a_process_that_cannot_run_stops_the_network_and_says_why(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('Error: bad flag'); raise SystemExit(8)"]
    keeper = make_supervisor(tmp_path, {"a": command, "b": CHILD})

    with trio.fail_after(20):
        await keeper.run(nothing)

    assert keeper.failure == "a ended with code 8: Error: bad flag"


async def test_commands_reach_the_supervisor_over_its_socket(tmp_path: Path) -> None:
    keeper = make_supervisor(tmp_path, {"a": CHILD, HOMES: CHILD})

    async with running(keeper):
        homes = keeper.children[HOMES]
        pid = await started(homes)
        assert await control.ask(keeper.folder, "status") == {"ok": True, "children": 2}

        await control.ask(keeper.folder, "homes-stop")
        with trio.fail_after(10):
            while homes.process is not None:
                await trio.sleep(0.01)
        await control.ask(keeper.folder, "homes-start")

        assert await started(homes, other_than=pid) != pid
        assert (await control.ask(keeper.folder, "dance"))["ok"] is False
        assert (keeper.folder / control.SOCKET_NAME).stat().st_mode & 0o777 == 0o600
        await control.ask(keeper.folder, "stop")

    with pytest.raises(NodeUnreachable, match="No devnet runs"):
        await control.ask(keeper.folder, "status")


async def test_a_supervisor_that_dies_in_the_middle_of_its_answer_gave_none(tmp_path: Path) -> None:
    listener = trio.socket.socket(trio.socket.AF_UNIX)
    await listener.bind(str(tmp_path / control.SOCKET_NAME))
    listener.listen(1)

    async def die() -> None:
        connection, _ = await listener.accept()
        await connection.recv(100)
        await connection.send(b'{"ok": tr')
        connection.close()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(die)
        with pytest.raises(NodeUnreachable, match="gave no answer"):
            await control.ask(tmp_path, "status")
    listener.close()


@pytest.mark.parametrize(
    ("content", "line"),
    [(None, "it left no log"), (b"", "it left no log"), (b"x" * 9_000 + b"\nthe end\n", "the end")],
)
def test_the_last_line_of_a_log_says_why(tmp_path: Path, content: bytes | None, line: str) -> None:
    path = tmp_path / "log"
    if content is not None:
        path.write_bytes(content)

    assert supervisor.last_line(path) == line


@pytest.mark.slow
async def test_killing_the_supervisor_leaves_no_process(tmp_path: Path) -> None:
    program = f"""
import trio, pathlib
from tests.devnet.test_supervisor import CHILD, make_supervisor, nothing
trio.run(make_supervisor(pathlib.Path({str(tmp_path)!r}), {{"a": CHILD, "b": CHILD}}).run, nothing)
"""
    process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
    folder = DevnetOptions(root=tmp_path).folder
    with trio.fail_after(20):
        while len([item for item in supervisor.recorded_processes(folder).values() if item]) < 2:
            await trio.sleep(0.02)
    identities = supervisor.recorded_processes(folder)

    process.kill()
    process.wait()

    with trio.fail_after(5):
        while any(identity and identity.find() for identity in identities.values()):
            await trio.sleep(0.02)
    assert await supervisor.kill_recorded(folder) == []
