"""A validator whose keys are in another process: killed, parted, restored, and never two votes.

A chain of one, so that whatever is voted is voted by the signer, and a witness that hears it.
"""

import json
import random
import shutil
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import trio

from devnet.scenario import dev_chain_spec
from node.keystore import Keystore
from tests.live.crash_soak import witnessed
from tests.live.governed import Governed
from tests.live.network import ANSWER_S, LIVE, ask, end, eventually, start_dret

pytestmark = LIVE

ROUNDS = 4
GOES_ON_S = 90.0


class Pair(Governed):
    """A signer with Alice's keys, and the node that asks it."""

    signer: subprocess.Popen[bytes]

    def write_spec(self) -> None:
        """Alice is the one authority."""
        self.spec.write_text(dev_chain_spec().encode())
        keystore = Keystore(self.folder / "keys" / "keystore")
        keystore.insert("aura", "//Alice")
        keystore.insert("gran", "//Alice")

    def start_signer(self) -> None:
        self.signer = start_dret(
            self.folder,
            self.folder / "signer.log",
            *("signer", "run", "--keystore", "keys/keystore", "--socket", "socket"),
        )

    def start_node(self, name: str = "alice") -> None:
        self.start(name, "--remote-signer", "socket", "--force-authoring")

    def kill_signer(self) -> None:
        end(self.signer, signal.SIGKILL)

    def health(self) -> Any:
        url = f"http://127.0.0.1:{self.ports['alice']}/health"
        with urllib.request.urlopen(url, timeout=ANSWER_S) as answer:
            return json.loads(answer.read())

    def has_signer(self) -> bool:
        found: bool = self.health()["hasSigner"]
        return found

    def best(self) -> int:
        return int(ask(self.ports["alice"], "chain_getHeader")["number"], 16)

    def log(self, name: str = "alice") -> str:
        return (self.folder / f"{name}.log").read_text()

    def assert_goes_on(self) -> None:
        """It finalizes blocks that were not there before."""
        target = self.finalized() + 2
        eventually(lambda: self.is_final_beyond(target), GOES_ON_S)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    pair = Pair(tmp_path_factory.mktemp("pair"))
    pair.write_spec()
    pair.start_signer()
    try:
        pair.start_node()
        pair.assert_goes_on()
        yield pair
    finally:
        pair.stop_all()
        end(pair.signer, signal.SIGTERM)


def test_a_node_whose_signer_is_killed_observes_says_so_and_votes_again(pair: Pair) -> None:
    assert pair.has_signer()

    pair.kill_signer()
    eventually(lambda: not pair.has_signer(), GOES_ON_S)
    final = pair.finalized()
    assert "The signer is lost" in pair.log()
    pair.start_signer()
    eventually(pair.has_signer, GOES_ON_S)

    eventually(lambda: pair.is_final_beyond(final + 2), GOES_ON_S)
    assert "ALARM" not in pair.log()


def test_a_second_node_is_not_served_by_the_same_signer(pair: Pair) -> None:
    pair.start_node("second")
    try:
        served = pair.processes["alice"].pid
        eventually(lambda: f"process {served} is served already" in pair.log("second"), GOES_ON_S)
    finally:
        pair.stop("second")
        del pair.p2p_ports["second"]
    pair.assert_goes_on()


def kill_and_restart(pair: Pair, victims: str) -> None:
    """`kill -9`, and again as it was; it goes on from there."""
    if "signer" in victims:
        pair.kill_signer()
    if "node" in victims:
        pair.stop("alice", signal.SIGKILL)
        pair.start_node()
    if "signer" in victims:
        pair.start_signer()
    pair.assert_goes_on()


def test_whoever_is_killed_at_whatever_moment_nothing_is_voted_twice(pair: Pair) -> None:
    rng = random.Random(3)

    async def soak() -> tuple[int, list[Any]]:
        async with witnessed(pair) as (witness, _):
            for number in range(ROUNDS):
                await trio.sleep(rng.uniform(0, 2))
                victims = ("signer", "node", "node and signer")[number % 3]
                await trio.to_thread.run_sync(partial(kill_and_restart, pair, victims))
            return len(witness.votes), witness.double

    votes, double = trio.run(soak)

    assert votes > ROUNDS, "the witness hears the votes"
    assert not double
    assert "Refused" not in (pair.folder / "signer.log").read_text()


def test_a_database_restored_from_a_backup_does_not_vote(pair: Pair) -> None:
    base, backup = pair.folder / "alice", pair.folder / "backup"
    pair.stop("alice")
    shutil.copytree(base / "db", backup)
    pair.start_node()
    pair.assert_goes_on()
    pair.stop("alice", signal.SIGKILL)
    shutil.rmtree(base / "db")
    shutil.copytree(backup, base / "db")

    pair.start_node()

    eventually(lambda: "ALARM (rolled back)" in pair.log(), GOES_ON_S)
    final, best = pair.finalized(), pair.best()
    eventually(lambda: pair.best() > best + 2, GOES_ON_S)
    assert pair.finalized() == final
