"""One node on its own chain: how it starts, what it refuses, and what it says then."""

import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.live.network import (
    LIVE,
    ask,
    ask_or_none,
    end,
    eventually,
    free_port,
    run_dret,
    start_dret,
)

pytestmark = LIVE

STARTS_S = 60.0
STORAGE_UNUSABLE, CONFIG_INVALID, PORT_TAKEN = 9, 8, 10


class Node:
    """A node process on a folder."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self.folder = folder
        self.rpc_port, self.port = free_port(), free_port()
        self.log = folder / f"node-{self.rpc_port}.log"
        self.process: subprocess.Popen[bytes] = start_dret(
            folder,
            self.log,
            *("node", "run", "--rpc-port", str(self.rpc_port), "--port", str(self.port)),
            *("--no-prometheus", *flags),
        )

    def best(self) -> int:
        header = ask_or_none(self.rpc_port, "chain_getHeader")
        return int(header["number"], 16) if header else -1

    def wait_for(self, best: int) -> "Node":
        eventually(lambda: self.best() >= best or self.process.poll() is not None, STARTS_S)
        assert self.process.poll() is None, self.log.read_text()
        return self

    def stop(self) -> int:
        return end(self.process)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base path of a node that was stopped in order, twice: LevelDB has made tables."""
    folder = tmp_path_factory.mktemp("kept")
    for best in (1, 2):
        node = Node(folder, "--dev", "--base-path", str(folder / "base")).wait_for(best)
        assert node.stop() == 0, "a node that is told to stop ends in order"
        assert "The database is closed" in node.log.read_text()
    return folder / "base"


@pytest.fixture(scope="module")
def lone(kept: Path) -> Iterator[Node]:
    """A development chain of one node, running."""
    folder = kept.parent / "lone"
    shutil.copytree(kept, folder)
    node = Node(kept.parent, "--dev", "--base-path", str(folder))
    try:
        yield node.wait_for(2)
    finally:
        node.stop()


@pytest.fixture(scope="module")
def other_spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The specification of another chain."""
    path = tmp_path_factory.mktemp("spec") / "spec.json"
    done = run_dret(
        path.parent,
        *("chain-spec", "build", "--scenario", "rural1", "--genesis-time", "1600000000000"),
        *("--output", str(path)),
    )
    assert done.returncode == 0, done.stderr
    return path


def assert_goes_on(node: Node) -> None:
    best = node.best()
    eventually(lambda: node.best() > best >= 0, 20)


def refused(folder: Path, *flags: str) -> tuple[int, str]:
    """Exit code and message of a node that does not start."""
    done = run_dret(folder, "node", "run", "--no-prometheus", *flags)
    assert "Traceback" not in done.stderr
    return done.returncode, " ".join(done.stderr.split())


def ports() -> tuple[str, ...]:
    return ("--rpc-port", str(free_port()), "--port", str(free_port()))


@pytest.mark.parametrize("flag", ["--rpc-port", "--port"])
def test_a_port_in_use_is_named_with_the_process_that_holds_it(
    lone: Node, tmp_path: Path, flag: str
) -> None:
    taken = {"--rpc-port": lone.rpc_port, "--port": lone.port}
    flags = {"--rpc-port": free_port(), "--port": free_port()} | {flag: taken[flag]}

    code, message = refused(
        tmp_path, "--dev", "--tmp", *(str(part) for pair in flags.items() for part in pair)
    )

    assert code == PORT_TAKEN
    assert f"Port {taken[flag]} is in use by pid {lone.process.pid}" in message
    assert flag in message
    assert_goes_on(lone)


def test_a_locked_database_is_refused_with_its_owner(lone: Node, tmp_path: Path) -> None:
    base = lone.folder / "lone"

    code, message = refused(tmp_path, "--dev", "--base-path", str(base), *ports())

    assert code == STORAGE_UNUSABLE
    assert str(lone.process.pid) in message and "--base-path" in message
    assert_goes_on(lone)


def test_nodes_of_different_chains_refuse_each_other(
    lone: Node, other_spec: Path, tmp_path: Path
) -> None:
    address = ask(lone.rpc_port, "system_localListenAddresses")[0]

    stranger = Node(
        tmp_path,
        *("--chain", str(other_spec), "--base-path", str(tmp_path / "base")),
        *("--reserved-nodes", address),
    )
    try:
        eventually(lambda: "is on the chain with genesis" in stranger.log.read_text(), STARTS_S)
        assert ask(stranger.rpc_port, "system_health")["peers"] == 0
        assert stranger.process.poll() is None
    finally:
        assert stranger.stop() == 0
    assert_goes_on(lone)


def test_a_database_of_another_chain_is_refused(kept: Path, other_spec: Path) -> None:
    code, message = refused(
        kept.parent, "--chain", str(other_spec), "--base-path", str(kept), *ports()
    )

    assert code == STORAGE_UNUSABLE
    assert "The database holds the chain 0x" in message and "--base-path" in message


def flip_bytes(database: Path) -> None:
    for path in tables(database):
        content = bytearray(path.read_bytes())
        for position in range(100, len(content), 997):
            content[position] ^= 0xFF
        path.write_bytes(content)


def truncate(database: Path) -> None:
    for path in tables(database):
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])


def remove_manifest(database: Path) -> None:
    for path in database.glob("MANIFEST-*"):
        path.unlink()


def remove_current(database: Path) -> None:
    (database / "CURRENT").unlink()


def tables(database: Path) -> list[Path]:
    found = sorted(database.glob("*.ldb"))
    assert found, "the database has tables"
    return found


@pytest.mark.parametrize(
    "damage",
    [flip_bytes, truncate, remove_manifest, remove_current],
)
def test_a_damaged_database_is_refused(
    kept: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    base = tmp_path / "base"
    shutil.copytree(kept, base)
    damage(base / "db")

    code, message = refused(tmp_path, "--dev", "--base-path", str(base), *ports())

    assert code == STORAGE_UNUSABLE
    assert "The database is damaged" in message
    assert "keystore" in message, "it says what not to remove"


def test_a_kept_chain_goes_on_after_kill(lone: Node) -> None:
    final = ask(lone.rpc_port, "chain_getFinalizedHead")
    base = lone.folder / "copy of lone"
    # Not a clean copy: what is on disk of a running database, as after a power cut.
    shutil.copytree(lone.folder / "lone", base)

    node = Node(lone.folder, "--dev", "--base-path", str(base))
    try:
        node.wait_for(2)
        assert ask(node.rpc_port, "chain_getHeader", final) is not None
    finally:
        assert end(node.process, signal.SIGINT) == 0


def test_a_specification_that_is_none_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "spec.json"
    broken.write_text('{"name": 7}')
    missing = tmp_path / "missing.json"

    first = refused(tmp_path, "--chain", str(broken), "--tmp", *ports())
    second = refused(tmp_path, "--chain", str(missing), "--tmp", *ports())

    assert first[0] == second[0] == CONFIG_INVALID
    assert "spec.json" in first[1]
    assert "missing.json" in second[1]


def test_flags_that_contradict_each_other_are_a_usage_error(tmp_path: Path) -> None:
    code, message = refused(tmp_path, "--dev", "--tmp", "--alice", "--bob")

    assert code == 2
    assert "--alice, --bob" in message
