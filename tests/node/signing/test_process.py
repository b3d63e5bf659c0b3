"""The signer as a process of its own, killed at any moment: nothing is signed twice."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from node.errors import ConfigInvalid
from node.keystore import Keystore
from node.signing import protocol
from node.signing.process import SignerConfig, run_signer
from node.signing.protocol import Connection, ConnectionBroken, Request
from runtime.primitives.grandpa import Precommit, Prevote
from tests.node.signing.test_remote import AURA, GRANDPA
from tests.node.signing.test_signer import header_of

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
STARTS_S = 60.0
KILLS = 4


class Process:
    """`dret signer run` on a folder."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self.folder = folder
        self.socket = folder / "socket"
        self.log = folder / "signer.log"
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "node", "signer", "run"),
                    *("--keystore", str(folder / "keystore"), "--socket", str(self.socket)),
                    *flags,
                ],
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def wait_ready(self) -> "Process":
        deadline = time.monotonic() + STARTS_S
        while self.text().count("The signer runs") < self.text().count("starting test run"):
            assert self._process.poll() is None, self.text()
            assert time.monotonic() < deadline, self.text()
            time.sleep(0.01)
        return self

    def text(self) -> str:
        return self.log.read_text()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self._process.send_signal(number)
        return self._process.wait(STARTS_S)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    keystore = Keystore(tmp_path / "keystore")
    keystore.insert("aura", "//Alice")
    keystore.insert("gran", "//Alice")
    yield tmp_path


def start(folder: Path, *flags: str) -> Process:
    """Start it and wait until it listens."""
    log = folder / "signer.log"
    with log.open("a") as file:
        file.write("starting test run\n")
    return Process(folder, *flags).wait_ready()


async def connect(socket: Path) -> tuple[trio.SocketStream, Connection]:
    stream = await trio.open_unix_socket(str(socket))
    connection = Connection(stream)
    await connection.send(protocol.Hello(protocol.PROTOCOL_VERSION))
    assert isinstance(await connection.answer(), protocol.Welcome)
    return stream, connection


Place = tuple[str, int]


def restless(rng: random.Random, step: int) -> tuple[Place, bytes, Request]:
    """A request of a node that changes its mind: what it is for, what for, and the request."""
    block = rng.randrange(3)
    number = step // 4 + rng.randrange(2)
    match rng.randrange(3):
        case 0:
            header = header_of(number, block)
            return ("seal", number), header.hash(), protocol.SignSeal(AURA.public, header)
        case 1:
            vote = Prevote(bytes([block]) * 32, block)
            request = protocol.SignVote(GRANDPA.public, vote, number, 0)
            return ("prevote", number), vote.encode(), request
        case _:
            other = Precommit(bytes([block]) * 32, block)
            request = protocol.SignVote(GRANDPA.public, other, number, 0)
            return ("precommit", number), other.encode(), request


class Restless:
    """A node that asks for one thing and then for another, and notes what was signed."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.given: dict[Place, set[bytes]] = {}
        self.step = 0

    async def converse(self, process: Process) -> None:
        """Ask until the signer is killed, which happens at some moment soon after it has begun."""
        stream, connection = await connect(process.socket)
        async with stream, trio.open_nursery() as nursery:
            begun = self.step + self.rng.randrange(1, 20)
            try:
                while True:
                    if self.step == begun:
                        nursery.start_soon(self._kill, process)
                    place, what, request = restless(self.rng, self.step)
                    await connection.send(request)
                    answer = await connection.answer()
                    self.step += 1
                    if isinstance(answer, protocol.Signed):
                        self.given.setdefault(place, set()).add(what)
                    else:
                        assert isinstance(answer, protocol.Refused), answer
            except ConnectionBroken:
                pass

    async def _kill(self, process: Process) -> None:
        await trio.sleep(self.rng.uniform(0, 0.02))
        process.kill()


async def test_killed_at_any_moment_it_never_signs_two_of_one_place(folder: Path) -> None:
    node = Restless(random.Random(4))

    for _ in range(KILLS):
        process = await trio.to_thread.run_sync(start, folder)
        await node.converse(process)

    assert len(node.given) > KILLS
    twice = {place: what for place, what in node.given.items() if len(what) > 1}
    assert not twice


def test_it_ends_in_order_and_leaves_no_socket(folder: Path) -> None:
    process = start(folder)

    assert process.socket.is_socket()
    assert process.end() == 0
    assert not process.socket.exists()
    assert "SIGTERM: stopping" in process.text()


def test_it_starts_over_the_socket_that_a_killed_one_left(folder: Path) -> None:
    start(folder).kill()
    assert (folder / "socket").is_socket()

    assert start(folder).end(signal.SIGINT) == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keystore_path": Path("nowhere")}, "There is no keystore nowhere"),
        ({"keystore_path": Path("empty")}, "holds 0 keys of type aura"),
        ({"socket_path": Path("x" * 108)}, "the system takes 107"),
        ({"socket_path": Path("no/folder")}, "No such file or directory"),
        ({"user": "nobody-here"}, "no such user"),
        ({"group": "no-such-group"}, "no such group"),
    ],
)
async def test_what_cannot_work_is_refused_with_what_to_do(
    folder: Path, changes: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    (folder / "empty").mkdir(mode=0o700)
    settings = {"keystore_path": Path("keystore"), "socket_path": Path("s")} | changes

    with pytest.raises(ConfigInvalid, match=message):
        await run_signer(SignerConfig(**settings))


def test_the_command_says_what_is_wrong_with_its_flags(folder: Path) -> None:
    flags = ("--keystore", "keystore", "--socket", "s", "--owner", "me")
    done = subprocess.run(
        [sys.executable, "-m", "node", "signer", "run", *flags],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=STARTS_S,
        check=False,
    )

    assert done.returncode == ConfigInvalid.exit_code
    assert "--owner me" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_process_needs_neither_kernels_nor_database_nor_network(folder: Path) -> None:
    code = (
        "import sys, node.cli.signer, node.signing.process; "
        "print([name for name in ('numba', 'numpy', 'plyvel', 'libp2p') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.strip() == "[]"
