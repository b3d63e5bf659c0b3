"""Four validators, and everything that can be done to them and between them.

In network namespaces (`tests.live.places`) when the program has entered them, else on the loopback
interface with a gate in each connection (`tests.live.gate`).
"""

import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from p2p.identity import peer_id_of
from tests.live.crash_soak import Witness
from tests.live.gate import Gate
from tests.live.governed import MEMBERS, START_S, Governed, seed
from tests.live.network import (
    ROOT,
    RpcFailed,
    ask,
    ask_or_none,
    environment,
    eventually,
    free_port,
    grandpa_key,
)
from tests.live.places import Here, Place, Switch, here, is_entered
from tests.live.wrong_clock import set_offset

WITNESS, WITNESS_ADDRESS = "witness", "10.77.0.1"
SETTLES_S = 120.0


@dataclass
class Lab(Governed):
    """A network whose nodes reach each other through what we made."""

    places: dict[str, Place | Here] = field(default_factory=dict[str, Place | Here])
    between: Switch | Gate = field(default_factory=lambda: Switch({}))
    witness: Witness = field(default_factory=Witness)
    mounted: list[Path] = field(default_factory=list[Path])
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> "Lab":
        self.p2p_ports = {name: free_port() for name in MEMBERS}
        self.between = self._namespaces() if is_entered() else self._loopback()
        self._stack.enter_context(self.between)
        self._stack.callback(self.stop_all)
        self.write_spec()
        return self

    def _namespaces(self) -> Switch:
        places = {name: Place(number + 2) for number, name in enumerate(MEMBERS)}
        for place in places.values():
            self._stack.callback(place.close)
        self.places = dict(places)
        wires = {name: (place.address, place.wire) for name, place in places.items()}
        return Switch({**wires, WITNESS: (WITNESS_ADDRESS, here(WITNESS_ADDRESS))})

    def _loopback(self) -> Gate:
        self.places = {name: Here() for name in MEMBERS}
        return Gate(self.p2p_ports, (*MEMBERS, WITNESS))

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():
            process.send_signal(signal.SIGCONT)
        self._stack.close()
        for folder in reversed(self.mounted):
            subprocess.run(["umount", "--lazy", str(folder)], check=True)

    def host(self, name: str) -> str:
        """The address of a node; the witness lives where we are."""
        if name in self.places:
            return self.places[name].address
        return WITNESS_ADDRESS if is_entered() else Here.address

    def addresses(self, seen_by: str = WITNESS) -> dict[str, str]:
        """Where somebody reaches the validators."""
        ports = self.p2p_ports
        if isinstance(self.between, Gate):
            ports = {name: self.between.ports.get((seen_by, name), 0) for name in MEMBERS}
        return {
            name: f"/ip4/{self.host(name)}/tcp/{port}/p2p/{peer_id_of(seed(name))}"
            for name, port in ports.items()
            if name != seen_by
        }

    def start(self, name: str, *flags: str) -> None:
        """Start a validator in its place, and wait until it answers."""
        self.launch(name, *flags)
        eventually(lambda: self.ask(name, "system_health"), START_S)

    def launch(self, name: str, *flags: str) -> None:
        """Start a validator in its place."""
        port = self.ports.setdefault(name, free_port())
        set_offset(self.clock(name), self.offset_ms(name))
        command = [
            *(sys.executable, "-m", "tests.live.wrong_clock", str(self.clock(name))),
            *("node", "run", "--chain", str(self.spec), "--base-path", str(self.folder / name)),
            *("--name", name, f"--{name}", "--rpc-port", str(port), "--no-prometheus"),
            *("--listen-addr", f"/ip4/{self.host(name)}/tcp/{self.p2p_ports[name]}"),
            *("--node-key", seed(name).hex(), "--db-storage-threshold", "0"),
            *("--db-storage-polling-period", "1"),
            *(f"--reserved-nodes={address}" for address in self.addresses(name).values()),
            *("--out-peers", "0"),  # whom others tell of is not dialled past a gate
            *flags,
        ]
        self.processes[name] = self.places[name].do(_start, command, self.log(name))

    def ask(self, at: str, method: str, *params: object) -> Any:
        """What a node answers in its own place; None while it does not."""
        return self.places[at].do(ask_or_none, self.ports[at], method, *params)

    def dret(self, *arguments: str, signer: str | None = None, at: str = "alice") -> str:
        """What a command of `dret authority` prints in the place of a node."""
        return self.places[at].do(super().dret, *arguments, signer=signer, at=at)

    def refusal(self, at: str) -> str | None:
        """Why a node does not take a transaction; None while it does not answer."""
        try:
            self.places[at].do(ask, self.ports[at], "author_submitExtrinsic", "0x0400")
        except RpcFailed as error:
            return f"{error.message} {error.data}"
        except OSError:
            return None
        raise AssertionError("an extrinsic of two bytes was taken")

    def log(self, name: str) -> Path:
        """Where a node writes."""
        return self.folder / f"{name}.log"

    # --- what can be done to it ----------------------------------------------------------------

    def clock(self, name: str) -> Path:
        """The file that sets the clock of a node."""
        return self.folder / f"{name}.clock"

    def offset_ms(self, name: str) -> int:
        """By how much the clock of a node is ahead."""
        path = self.clock(name)
        return int.from_bytes(path.read_bytes(), "little", signed=True) if path.exists() else 0

    def set_clock(self, name: str, milliseconds: int) -> None:
        """Let the clock of a running node jump."""
        set_offset(self.clock(name), milliseconds)

    def part(self, *groups: Iterable[str]) -> None:
        """Let nothing through between groups. The witness is in the first one."""
        sides = [set(group) for group in groups]
        sides[0].add(WITNESS)
        self.between.cut = frozenset(
            (one, other)
            for side in sides
            for another in sides
            if another is not side
            for one in side
            for other in another
        )

    def mute(self, name: str) -> None:
        """A node hears everybody, and nobody hears it."""
        self.between.cut = frozenset((name, other) for other in (*MEMBERS, WITNESS))

    def refuse_writes(self, name: str, is_on: bool) -> None:
        """Let the kernel refuse each write of a process to a file, or no more."""
        unlimited = resource.RLIM_INFINITY
        limits = (0 if is_on else unlimited, unlimited)
        resource.prlimit(self.processes[name].pid, resource.RLIMIT_FSIZE, limits)

    def mount(self, folder: Path, what: Callable[[Path], object]) -> None:
        """Mount something at a folder until `unmount`, or until the lab ends."""
        folder.mkdir(exist_ok=True)
        what(folder)
        self.mounted.append(folder)

    def unmount(self, folder: Path) -> None:
        """Take it away; nobody may use it any more."""
        subprocess.run(["umount", str(folder)], check=True)
        self.mounted.remove(folder)

    def heal(self) -> None:
        """End all faults that are not a node that is down."""
        self.between.heal()
        for name, process in self.processes.items():
            assert process.poll() is None, f"{name} ended with code {process.returncode}"
            process.send_signal(signal.SIGCONT)
            self.refuse_writes(name, False)
            self.set_clock(name, 0)

    # --- what is seen of it --------------------------------------------------------------------

    def heights(self) -> dict[str, int]:
        """Final heights of all that answer."""
        found = {name: self.final(name) for name in self.processes}
        return {name: final[0] for name, final in found.items() if final is not None}

    def best(self, at: str) -> int:
        """Height of the best block of a node."""
        header = self.ask(at, "chain_getHeader")
        return int(header["number"], 16) if header else 0

    def votes(self, name: str) -> int:
        """How many votes of a validator the witness has heard."""
        key = grandpa_key(name)
        return sum(voter == key for _, _, voter, _ in list(self.witness.votes))

    def votes_again(self, name: str, within_s: float) -> float:
        """Seconds until a validator's votes are heard."""
        before = self.votes(name)
        return seconds(lambda: self.votes(name) > before, within_s)

    def settle(self, within_s: float = SETTLES_S) -> float:
        """End all faults; seconds until all nodes have finalized something new, the same."""
        self.heal()
        began = time.monotonic()
        highest = max(self.heights().values(), default=0)
        for name in MEMBERS:
            left_s = max(5.0, within_s - (time.monotonic() - began))
            seconds(partial(self.is_final_beyond, highest + 1, name), left_s)
        took_s = time.monotonic() - began
        hashes = {self.ask(name, "chain_getBlockHash", highest + 1) for name in MEMBERS}
        assert len(hashes) == 1, f"different blocks are final at {highest + 1}: {hashes}"
        assert not self.witness.double, f"voted twice: {self.witness.double[:3]}"
        return took_s

    def has_said(self, name: str, text: str, since: int = 0) -> bool:
        """Whether the log of a node says something after a position."""
        return text in self.log(name).read_text(errors="replace")[since:]

    def said_until_now(self, name: str) -> int:
        """A position in the log of a node, for `has_said`."""
        return len(self.log(name).read_text(errors="replace"))


def _start(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def seconds(condition: Callable[[], object], within_s: float) -> float:
    """How long it takes until something is true; fails when that is too long."""
    began = time.monotonic()
    eventually(condition, within_s)
    return time.monotonic() - began
