"""A network of real processes whose sessions last a few seconds, for validators that change."""

import json
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from p2p.identity import peer_id_of
from runtime.pallets.authorities.records import Overview
from runtime.primitives.crypto import KeyPair, Scheme, ss58_encode
from tests.live.network import (
    ask_or_none,
    end,
    eventually,
    free_port,
    run_dret,
    start_dret,
)

SESSION_BLOCKS = 6
GOVERNANCE = {
    "session_blocks": SESSION_BLOCKS,
    "proposal_blocks": 30,
    "timelock_blocks": 2,
    "timelock_unanimous_blocks": 1,
    "emergency_blocks": 12,
}
MEMBERS = ("alice", "bob", "charlie", "dave")
START_S = 150.0  # a cold machine compiles kernels first


def suri(name: str) -> str:
    return f"//{name.title()}"


def account(name: str) -> bytes:
    return KeyPair.from_suri(suri(name), Scheme.SR25519).public


def address(name: str) -> str:
    return ss58_encode(account(name))


@dataclass
class Governed:
    """Its processes, each with a folder and a port for RPC."""

    folder: Path
    ports: dict[str, int] = field(default_factory=dict[str, int])
    p2p_ports: dict[str, int] = field(default_factory=dict[str, int])
    processes: dict[str, subprocess.Popen[bytes]] = field(
        default_factory=dict[str, subprocess.Popen[bytes]]
    )

    @property
    def spec(self) -> Path:
        return self.folder / "chain.json"

    def write_spec(self) -> None:
        """The rural grid with short sessions, and money for those who will join."""
        arguments = ("--scenario", "rural1", "--output", str(self.spec))
        done = run_dret(self.folder, "chain-spec", "build", *arguments)
        assert done.returncode == 0, done.stderr
        spec = json.loads(self.spec.read_text())
        spec["constants"] |= GOVERNANCE
        accounts = spec["genesis"]["balances"]["accounts"]
        accounts |= {address(name): 10**12 for name in (*MEMBERS, "eve")}
        self.spec.write_text(json.dumps(spec))

    def start(self, name: str, *flags: str) -> None:
        """Start a node, again on its old ports, and wait until it answers."""
        port = self.ports.setdefault(name, free_port())
        p2p_port = self.p2p_ports.setdefault(name, free_port())
        boot = [
            f"--bootnodes={address}" for other, address in self.addresses().items() if other != name
        ]
        self.processes[name] = start_dret(
            self.folder,
            self.folder / f"{name}.log",
            *("node", "run", "--chain", str(self.spec), "--base-path", str(self.folder / name)),
            *("--name", name, "--rpc-port", str(port), "--port", str(p2p_port)),
            *("--node-key", seed(name).hex(), "--no-prometheus"),
            *boot,
            *flags,
        )
        eventually(lambda: self.ask(name, "system_health"), START_S)

    def host(self, _name: str) -> str:
        """The address at which others reach a node."""
        return "127.0.0.1"

    def ask(self, at: str, method: str, *params: object) -> Any:
        """What a node answers; None while it does not."""
        return ask_or_none(self.ports[at], method, *params)

    def addresses(self) -> dict[str, str]:
        """Where each node of the network is reached by others."""
        return {
            name: f"/ip4/{self.host(name)}/tcp/{port}/p2p/{peer_id_of(seed(name))}"
            for name, port in self.p2p_ports.items()
        }

    def stop(self, name: str, number: signal.Signals = signal.SIGTERM) -> None:
        end(self.processes.pop(name), number)

    def stop_all(self) -> None:
        for name in list(self.processes):
            self.stop(name)

    def dret(self, *arguments: str, signer: str | None = None, at: str = "alice") -> str:
        """What a command of `dret authority` prints, which has to succeed."""
        flags = ["--rpc-port", str(self.ports[at])]
        if signer is not None:
            flags += ["--suri", suri(signer)]
        done = run_dret(self.folder, "authority", *arguments, *flags)
        assert done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr}\n{self.ends()}"
        return done.stdout

    def overview(self, at: str = "alice") -> Overview:
        """Where the governance stands by the best block of a node."""
        answer = self.ask(at, "state_call", "AuthoritiesApi_overview", "0x")
        assert answer is not None, f"{at} does not answer\n{self.ends()}"
        return Overview.decode(bytes.fromhex(answer[2:]))

    def validators(self) -> list[bytes]:
        return [entry.who for entry in self.overview().validators]

    def decide(self, *arguments: str, by: tuple[str, ...]) -> None:
        """Propose something and let members agree."""
        self.dret("propose", *arguments, signer=by[0])
        (proposal_id, _) = self.overview().proposals[-1]
        for name in by[1:]:
            self.dret("vote", str(proposal_id), "aye", signer=name)

    def final(self, at: str = "alice") -> tuple[int, str] | None:
        """Number and hash of the last final block of a node; None while it does not answer."""
        block_hash = self.ask(at, "chain_getFinalizedHead")
        header = block_hash and self.ask(at, "chain_getHeader", block_hash)
        return (int(header["number"], 16), block_hash) if header else None

    def finalized(self, at: str = "alice") -> int:
        found = self.final(at)
        return 0 if found is None else found[0]

    def is_final_beyond(self, number: int, at: str = "alice") -> bool:
        return self.finalized(at) > number

    def authors(self, count: int) -> set[bytes]:
        """Who made the last so many blocks, by the digest and the validators at the parent."""
        port, found = self.ports["alice"], set[bytes]()
        header: Any = ask_or_none(port, "chain_getHeader")
        for _ in range(count):
            slot = slot_of(header)
            view = ask_or_none(
                port, "state_call", "AuthoritiesApi_overview", "0x", header["parentHash"]
            )
            validators = Overview.decode(bytes.fromhex(view[2:])).validators
            found.add(validators[slot % len(validators)].who)
            header = ask_or_none(port, "chain_getHeader", header["parentHash"])
        return found

    def ends(self) -> str:
        """The last lines of all logs, for a test that failed."""
        return "\n".join(
            f"--- {log.name}\n" + "\n".join(log.read_text().splitlines()[-12:])
            for log in sorted(self.folder.glob("*.log"))
        )


def slot_of(header: dict[str, Any]) -> int:
    """The slot in a header's Aura digest."""
    for log in header["digest"]["logs"]:
        data = bytes.fromhex(log[2:])
        if data.startswith(b"\x06aura"):
            return int.from_bytes(data[6:14], "little")
    raise AssertionError(f"no slot in {header}")


def seed(name: str) -> bytes:
    """A network identity."""
    return name.encode().ljust(32, b".")
