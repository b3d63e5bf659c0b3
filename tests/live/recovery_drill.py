"""T-REC-1: validators are killed for ever, and the operators recover by the runbook's commands.

`make drill-recovery` does it with seven real validators of which three are lost: the other four go
on with a new one, one more is lost, a lost one comes back, a node syncs block by block and one
through the proofs of handoffs. A test does it with two of four (`test_recovery.py`).
"""

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from node.keystore import Keystore
from runtime.primitives.crypto import KeyPair, Scheme
from tests.live.governed import Governed, account, address, suri
from tests.live.network import ROOT, ask, ask_or_none, eventually, finalized_at, run_dret

STALL_S = 30.0
RECOVERS_S = 180.0
WARP_BLOCKS = 70  # a chain that is shorter is fetched block by block
NEW = "newcomer"
COLD = "//In//A//Safe"
"""One member signs with a key that is not its account's (ed25519, in the genesis)."""


@dataclass
class Drill:
    """One network that loses validators, and how long each step took."""

    network: Governed
    left: Sequence[str]
    lost: Sequence[str]
    times: dict[str, float] = field(default_factory=dict[str, float])
    start: int = 0

    @staticmethod
    def of(folder: Path, left: int, lost: int) -> "Drill":
        """So many validators in a folder."""
        names = [f"v{i}" for i in range(left + lost)]
        return Drill(Governed(folder), names[:left], names[left:])

    # --- the steps

    def begin(self) -> None:
        """All validators run and make blocks final."""
        network, names = self.network, [*self.left, *self.lost]
        network.write_spec()
        spec = json.loads(network.spec.read_text())
        spec["genesis"]["session"]["validators"] = [keys_of(name) for name in names]
        cold = KeyPair.from_suri(COLD, Scheme.ED25519)
        owner = "0x" + account(self.left[-1]).hex()
        spec["genesis"]["authorities"] = {"recovery_keys": {owner: "0x" + cold.account.hex()}}
        network.spec.write_text(json.dumps(spec))
        for name in names:
            keystore = Keystore(network.folder / name / "keystore")
            for kind in ("aura", "gran"):
                keystore.insert(kind, suri(name))
            network.start(name, "--validator")
        eventually(lambda: self.lowest(names) > 3, 120)

    def lose(self) -> None:
        """Some are killed; finality stands still while blocks come."""
        self.clock("lost")
        for name in self.lost:
            self.network.stop(name, signal.SIGKILL)
        ports = [self.network.ports[name] for name in self.left]
        stalled = self.lowest(self.left)
        eventually(lambda: best_at(ports[0]) > stalled + 8, STALL_S * 3)
        assert max((finalized_at(port) or (0,))[0] for port in ports) <= stalled + 3

    def stop_and_report(self) -> None:
        """The operators of those that are left stop their nodes and report."""
        self.clock("stalled")
        for name in self.left:
            self.network.stop(name)
        in_parallel(
            [("report", "-d", name, "--out", f"{name}.report.json") for name in self.left], self
        )

    def plan(self) -> None:
        """On the node with the highest final block an override is planned."""
        self.clock("reported")
        reports = {
            name: json.loads((self.network.folder / f"{name}.report.json").read_text())
            for name in self.left
        }
        highest = max(self.left, key=lambda name: reports[name]["finalized"]["number"])
        self.recovery("new-keys", address(NEW), "-d", NEW, "--out", "newcomer.json")
        flags = [f"--report={name}.report.json" for name in self.left]
        flags += [f"--validator={address(name)}" for name in self.left]
        text = self.recovery(
            *("propose", "-d", highest, *flags, "--new-validator", "newcomer.json"),
            *("--reason", "drill: machines are gone", "--out", "override.json"),
        )
        self.start = json.loads(text)["start"]["number"]

    def sign(self) -> None:
        """Members sign off line, among them some whose validators are lost."""
        self.clock("planned")
        members = [*self.left, *self.lost]
        needed = 2 * len(members) // 3 + 1
        for name in members[:needed]:
            is_cold = name == self.left[-1]
            secret = self.network.folder / f"{name}.secret"
            secret.write_text(COLD if is_cold else suri(name))
            scheme = ("--scheme", "ed25519", "--member", address(name)) if is_cold else ()
            self.recovery(
                *("sign", "override.json", "--suri-file", secret.name, *scheme),
                *("--out", f"{name}.signed.json"),
            )
        signed = [f"{name}.signed.json" for name in members[:needed]]
        too_few = self.fails("inspect", "override.json", "-d", self.left[0])
        assert f"0 of {len(members)} members signed, expected {needed}" in too_few
        self.recovery("combine", *signed, "--out", "recovery.json")
        self.recovery("inspect", "recovery.json", "-d", self.left[0])

    def apply(self) -> None:
        """Every operator installs it and starts; the newcomer needs no file."""
        self.clock("signed")
        in_parallel([("apply", "recovery.json", "-d", name) for name in self.left], self)
        self.clock("installed")
        for name in (*self.left, NEW):
            self.network.start(name, "--validator")
        alive = (*self.left, NEW)
        eventually(lambda: self.lowest(alive) > self.start + 3, RECOVERS_S)
        self.clock("final again")
        assert self.network.overview(self.left[0]).set_id == 1
        assert self.validators() == {account(name) for name in alive}

    def come_back(self, name: str) -> None:
        """A validator that was lost comes back: it follows, and is none any more."""
        self.network.start(name, "--validator")
        goal = self.lowest(self.left)
        eventually(lambda: self.lowest([name]) > goal, 120)
        assert self.is_agreed(goal, name)
        assert account(name) not in self.validators()

    def sync(self, name: str, *flags: str) -> None:
        """A node that joins late follows the recovery."""
        goal = self.lowest(self.left)
        self.network.start(name, *flags)
        eventually(lambda: self.lowest([name]) > goal, RECOVERS_S)
        eventually(lambda: self.is_agreed(goal, name), RECOVERS_S)  # old blocks come last

    def verify_bill(self) -> str:
        """What a household checks leads through the override."""
        port = str(self.network.ports[self.left[0]])
        done = run_dret(
            self.network.folder,
            *("bill", address("alice"), "--verify", "--chain", str(self.network.spec)),
            *("--rpc-port", port),
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        assert "voters of set 1" in done.stdout
        return done.stdout.splitlines()[-1]

    # --- what they are made of

    def recovery(self, *arguments: str) -> str:
        """What a command of `dret authority recovery` prints, which has to succeed."""
        chain = ("--chain", str(self.network.spec)) if needs_chain(arguments) else ()
        done = run_dret(self.network.folder, "authority", "recovery", *arguments, *chain)
        assert done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr}"
        return done.stdout

    def fails(self, *arguments: str) -> str:
        """What a command says that has to fail."""
        chain = ("--chain", str(self.network.spec)) if needs_chain(arguments) else ()
        done = run_dret(self.network.folder, "authority", "recovery", *arguments, *chain)
        assert done.returncode == 1, f"{arguments}: {done.returncode} {done.stdout}"
        return done.stderr

    def lowest(self, names: Sequence[str]) -> int:
        """The lowest final block of some nodes."""
        found = [finalized_at(self.network.ports[name]) for name in names]
        return min(0 if each is None else each[0] for each in found)

    def validators(self) -> set[bytes]:
        return {entry.who for entry in self.network.overview(self.left[0]).validators}

    def is_agreed(self, number: int, name: str) -> bool:
        ports = [self.network.ports[each] for each in (self.left[0], name)]
        return len({ask(port, "chain_getBlockHash", number) for port in ports}) == 1

    def clock(self, step: str) -> None:
        self.times[step] = time.monotonic()

    def story(self) -> str:
        """How long each step took."""
        steps = list(self.times.items())
        return "; ".join(
            f"{name} to {after} {later - at:.1f} s"
            for (name, at), (after, later) in pairwise(steps)
        )


def in_parallel(commands: Sequence[tuple[str, ...]], drill: Drill) -> None:
    """Commands of several operators, each on a machine of its own."""
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda arguments: drill.recovery(*arguments), commands))


def needs_chain(arguments: Sequence[str]) -> bool:
    return arguments[0] in ("report", "propose", "inspect", "apply")


def keys_of(name: str) -> dict[str, str]:
    """A validator of the genesis."""
    public = {s: KeyPair.from_suri(suri(name), s).public for s in (Scheme.SR25519, Scheme.ED25519)}
    return {
        "account": "0x" + account(name).hex(),
        "aura": "0x" + public[Scheme.SR25519].hex(),
        "grandpa": "0x" + public[Scheme.ED25519].hex(),
    }


def best_at(port: int) -> int:
    header = ask_or_none(port, "chain_getHeader")
    return 0 if header is None else int(header["number"], 16)


def main() -> None:
    """The whole drill; prints what it did and how long that took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--left", type=int, default=4)
    parser.add_argument("--lost", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dret-drill-") as folder:
        drill = Drill.of(Path(folder), options.left, options.lost)
        try:
            drill.begin()
            drill.lose()
            drill.stop_and_report()
            drill.plan()
            drill.sign()
            drill.apply()
            print(
                f"T-REC-1: {options.left} of {options.left + options.lost} went on with a new one"
            )
            print(f"from block {drill.start}; {drill.story()}", flush=True)
            drill.come_back(drill.lost[0])
            print("a lost validator came back and follows", flush=True)
            drill.sync("late")
            print("a node synced block by block through the override", flush=True)
            print(drill.verify_bill(), flush=True)
            drill.network.stop(drill.left[0], signal.SIGKILL)
            rest = [*drill.left[1:], NEW]
            goal = drill.lowest(rest) + 5
            eventually(lambda: drill.lowest(rest) > goal, RECOVERS_S)
            print("one more was lost and finality goes on", flush=True)
            eventually(lambda: drill.lowest(rest) > WARP_BLOCKS, 4 * WARP_BLOCKS)
            drill.left = drill.left[1:]
            drill.sync("warped", "--sync", "warp")
            text = (drill.network.folder / "warped.log").read_text()
            assert "Warp sync: the state of block" in text, text
            print("a node came by warp sync through the override", flush=True)
        except AssertionError:
            print(drill.network.ends(), file=sys.stderr)
            raise
        finally:
            drill.network.stop_all()


if __name__ == "__main__":
    assert ROOT.exists(), "run from the checkout"
    main()
