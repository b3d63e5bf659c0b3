"""`kill -9` at random moments: validators under load, one by one, and a witness of their votes.

`make soak-crash` runs 200 rounds on four real processes that trade real data; the tests run a few.
The witness is a full node in this process: every vote that reaches it, alone or inside a commit, is
kept before it is judged. Nothing that a validator called final before it was killed may be missing
afterwards, and no validator may ever have voted for two blocks in one round and stage.
"""

import argparse
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import trio

from consensus.effects import Effect
from consensus.events import Event, MessageReceived
from devnet.dataset import BUNDLED
from node.config import NodeConfig
from node.service import NodeParts, run_node
from runtime.primitives.crypto import Scheme, verify
from runtime.primitives.grandpa import (
    CatchUpResponse,
    CommitMessage,
    Message,
    SignedMessage,
    SignedPrecommit,
    SignedPrevote,
    Vote,
    vote_payload,
)
from tests.live.governed import MEMBERS, Governed
from tests.live.network import ask_or_none, end, environment, eventually, finalized_at

LIFE_S = (0.2, 5.0)
"""How long a validator lives between its restart and its next chance to be killed: from before it
has met anybody to some slots.
"""

ANSWERS_S = 60.0
CATCHES_UP_S = 60.0

SignedVote = SignedMessage | SignedPrevote | SignedPrecommit
VoteKey = tuple[int, int, bytes, type[Message]]
"""Set, round, voter, and whether it is a prevote or a precommit."""


@dataclass
class Witness:
    """The votes that were seen, and whoever voted twice."""

    votes: dict[VoteKey, Message] = field(default_factory=dict[VoteKey, Message])
    double: list[tuple[VoteKey, Message, Message]] = field(
        default_factory=list[tuple[VoteKey, Message, Message]]
    )

    def watch(self, parts: NodeParts) -> None:
        """Note what a node hears before it judges it."""
        handle = parts.engine.core.handle

        def heard(now_ms: int, wall_ms: int, event: Event) -> list[Effect]:
            if isinstance(event, MessageReceived):
                for set_id, round_number, signed in votes_in(event.message):
                    self.note(set_id, round_number, signed)
            return handle(now_ms, wall_ms, event)

        parts.engine.core.handle = heard  # type: ignore[method-assign]

    def note(self, set_id: int, round_number: int, signed: SignedVote) -> None:
        """Keep a vote that its voter really signed."""
        payload = vote_payload(signed.message, round_number, set_id)
        if not verify(Scheme.ED25519, signed.id, payload, signed.signature):
            return
        key = (set_id, round_number, signed.id, type(signed.message))
        known = self.votes.setdefault(key, signed.message)
        if known != signed.message:
            self.double.append((key, known, signed.message))


def votes_in(message: object) -> Iterator[tuple[int, int, SignedVote]]:
    """Set, round and vote, of all votes that a message carries."""
    match message:
        case Vote():
            yield message.set_id, message.round, message.message
        case CommitMessage():
            for precommit in message.commit.to_commit().precommits:
                yield message.set_id, message.round, precommit
        case CatchUpResponse():
            caught_up = message.catch_up
            votes: list[SignedVote] = [*caught_up.prevotes, *caught_up.precommits]
            for vote in votes:
                yield message.set_id, caught_up.round, vote
        case _:
            return


@asynccontextmanager
async def witnessed(network: Governed) -> AsyncGenerator[tuple[Witness, NodeParts]]:
    """A full node in this process, connected to all validators."""
    witness = Witness()
    config = NodeConfig(
        chain=network.spec,
        base_path=network.folder / "witness",
        name="witness",
        listen_address=network.host("witness"),
        port=0,
        rpc_port=0,
        prometheus_port=None,
        reserved_nodes=tuple(network.addresses().values()),
    )
    async with trio.open_nursery() as nursery:
        parts: NodeParts = await nursery.start(run_node, config)
        witness.watch(parts)
        yield witness, parts
        nursery.cancel_scope.cancel()


@dataclass
class Report:
    """What the rounds showed."""

    rounds: int = 0
    restarts_s: list[float] = field(default_factory=list[float])
    final: dict[int, str] = field(default_factory=dict[int, str])
    """What a validator called final before it was killed, by height."""

    votes: int = 0
    voted_twice: int = 0

    def lines(self) -> str:
        """The figures, for people."""
        return (
            f"{self.rounds} rounds of kill -9; a node answered again after "
            f"{statistics.median(self.restarts_s):.2f} s (median), {max(self.restarts_s):.2f} s "
            f"(most); finalized up to block {max(self.final)}; {self.votes} votes seen, "
            f"{self.voted_twice} times two in one round; nothing final was lost"
        )


async def crash_soak(network: Governed, rounds: int, random_seed: int) -> Report:
    """Kill validators of a running network. AssertionError when something final is lost."""
    rng, report = random.Random(random_seed), Report()
    async with witnessed(network) as (witness, _):
        for number in range(rounds):
            await trio.sleep(rng.uniform(*LIFE_S))
            await trio.to_thread.run_sync(
                partial(one_round, network, rng.choice(MEMBERS), report), abandon_on_cancel=True
            )
            if number % 20 == 19:
                print(f"{number + 1} of {rounds}, {len(witness.votes)} votes seen", flush=True)
        await trio.to_thread.run_sync(partial(all_agree, network, report), abandon_on_cancel=True)
        report.votes, report.voted_twice = len(witness.votes), len(witness.double)
        assert not witness.double, f"voted twice: {witness.double[:3]}"
    return report


def one_round(network: Governed, victim: str, report: Report) -> None:
    """Kill a validator, start it again, and look for what it called final."""
    final = eventually(lambda: finalized_at(network.ports[victim]), ANSWERS_S)
    network.stop(victim, signal.SIGKILL)
    began = time.monotonic()
    network.start(victim, f"--{victim}")
    report.restarts_s.append(time.monotonic() - began)
    report.rounds += 1
    number, block_hash = final
    known = report.final.setdefault(number, block_hash)
    assert known == block_hash, f"two final blocks at {number}: {known} and {block_hash}"
    found = ask_or_none(network.ports[victim], "chain_getBlockHash", number)
    assert found == block_hash, f"{victim} lost its final block {number} {block_hash}: {found}"
    again = finalized_at(network.ports[victim])
    assert again is not None and again[0] >= number, f"{victim}: final {number}, then {again}"


def all_agree(network: Governed, report: Report) -> None:
    """At the end all go on together, with everything that anybody ever called final."""
    highest = max(report.final)
    for name in MEMBERS:
        eventually(partial(network.is_final_beyond, highest + 2, name), CATCHES_UP_S)
        for number, block_hash in report.final.items():
            found = ask_or_none(network.ports[name], "chain_getBlockHash", number)
            assert found == block_hash, f"{name} has {found} at {number}, final was {block_hash}"


def start_homes(network: Governed) -> subprocess.Popen[bytes]:
    """All homes of the grid, trading through the first two validators."""
    ports = [network.ports[name] for name in MEMBERS[:2]]
    with (network.folder / "homes.log").open("ab") as output:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "devnet.agents", "--chain", str(network.spec)),
                *("--data", str(BUNDLED), "--scenario", "rural1", "--window", "spring"),
                *("--trader-wh", "60000"),
                *(part for port in ports for part in ("--rpc-port", str(port))),
            ],
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def run(folder: Path, rounds: int, random_seed: int) -> Report:
    """Make a network in `folder`, put it under load, and kill its validators."""
    network = Governed(folder)
    network.write_spec()
    homes: subprocess.Popen[bytes] | None = None
    try:
        for name in MEMBERS:
            network.start(name, f"--{name}")
        homes = start_homes(network)
        eventually(lambda: network.is_final_beyond(1), ANSWERS_S)
        return trio.run(crash_soak, network, rounds, random_seed)
    finally:
        if homes is not None:
            end(homes, signal.SIGKILL)
        network.stop_all()


def main() -> None:
    """The entry point."""
    parser = argparse.ArgumentParser(prog="python -m tests.live.crash_soak", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dret-crash-soak-") as folder:
        print(run(Path(folder), arguments.rounds, arguments.seed).lines())


if __name__ == "__main__":
    main()
