"""Sync of a devnet's blocks, and of full blocks, against the time they stand for.

The blocks go through the production core, pipeline and database as a node's do that catches up:
seals, bodies, execution, state roots, proofs of finality, batches on disk. What is left out is the
network, which brings 64 blocks in some milliseconds. Measured is the time of the processor, since
one block is executed at a time and other work on the machine says nothing about sync.

semiurb4: its homes, their trader and their meters act as on the devnet, at its slots of 2 s. Full
blocks hold signed transfers up to the weight of a block, at the devnet's slot and at production's.
"""

import tempfile
from collections import deque
from pathlib import Path
from time import process_time

from consensus import aura
from devnet.dataset import BUNDLED
from devnet.replay import GENESIS_MS, Replay
from devnet.replay import Chain as ReplayChain
from devnet.scenario import DEVNET, DRT, PRODUCTION, Timing, load_scenario
from node.block_file import BlockFile, write_block, write_count
from node.chain import Chain
from node.chain_spec import ChainSpec
from node.clock import SystemClock
from node.database import Database
from node.offline import FileImport
from runtime.frame.extensions import InvalidTransaction
from runtime.frame.signatures import SignatureCache
from runtime.genesis import genesis_header
from runtime.primitives.aura import ENGINE_ID, PreDigest
from runtime.primitives.block import Digest, Header, PreRuntime
from runtime.primitives.crypto import KeyPair, Scheme, ss58_encode
from runtime.primitives.extrinsic import AddressId
from runtime.primitives.finality import threshold
from runtime.primitives.grandpa import (
    Commit,
    Justification,
    Precommit,
    SignedPrecommit,
    vote_payload,
)
from runtime.primitives.types import ZERO_HASH
from runtime.state.backend import MemoryBackend
from runtime.state.overlay import Overlay

VALIDATORS = ("Alice", "Bob", "Charlie", "Dave")
PROOF_EVERY = 128  # blocks; nodes keep that many proofs of finality
HOURS = 12  # of energy: 48 intervals of three blocks
FULL_BLOCKS = 12
SENDERS = 64
QUEUED = 16_384  # transfers that wait; more than a block takes
ROUNDS = 3


class SealedChain(ReplayChain):
    """A replay's chain whose blocks are sealed, and written into a file with proofs."""

    def __init__(self, spec: ChainSpec, timing: Timing, path: Path) -> None:
        self.genesis_interval = spec.constants["genesis_interval"]
        self.runtime = spec.runtime()
        self.state = MemoryBackend(spec.genesis_storage(self.runtime))
        self.header = genesis_header(self.state.root)
        self.genesis_hash = self.header.hash()
        self.now_ms = self.genesis_interval * timing.interval_ms + timing.slot_ms
        self.failed = self.extrinsics = 0
        self.path = path
        self._timing = timing
        self._queue: deque[tuple[str, bytes]] = deque()
        self._pairs: dict[str, KeyPair] = {}
        self._nonces: dict[str, int] = {}
        self._signatures = SignatureCache()
        self._blocks: list[tuple[Header, list[bytes]]] = []
        self._keys: dict[bytes, KeyPair] = {}
        for name in VALIDATORS:
            for scheme in (Scheme.SR25519, Scheme.ED25519):
                pair = KeyPair.from_suri(f"//{name}", scheme)
                self._keys[pair.public] = pair

    @property
    def waiting(self) -> int:
        """Calls that are in no block yet."""
        return len(self._queue)

    def make_block(self) -> Overlay:
        """As a replay's, sealed by the author of the slot."""
        overlay, slot = Overlay(self.state), self.now_ms // self._timing.slot_ms
        authors = self.runtime.aura_authorities(overlay)
        digest = Digest([PreRuntime(ENGINE_ID, PreDigest(slot).encode())])
        header = Header(self.header.hash(), self.header.number + 1, ZERO_HASH, ZERO_HASH, digest)
        self.runtime.initialize_block(overlay, header)
        body = list(self.runtime.inherents(self.now_ms))
        for inherent in body:
            self.runtime.apply_extrinsic(overlay, inherent, self._signatures)
        while self._queue:
            suri, call = self._queue[0]
            extrinsic = self.sign(suri, call)
            try:
                self.runtime.apply_extrinsic(overlay, extrinsic, self._signatures)
                self._nonces[suri] = self._nonces.get(suri, 0) + 1
                body.append(extrinsic)
            except InvalidTransaction as error:
                if error.exhausts_resources:
                    break
                self.failed += 1
            self._queue.popleft()
        unsealed = self.runtime.finalize_block(overlay)
        author = self._keys[authors[slot % len(authors)]]
        self.header = aura.sealed(unsealed, author.sign(aura.pre_hash(unsealed)))
        self.state = self.state.child(overlay.commit())
        self.now_ms += self._timing.slot_ms
        self.extrinsics += len(body)
        self._blocks.append((self.header, body))
        return overlay

    def prove(self, header: Header) -> bytes:
        """The proof that a block is final, by the first set of voters."""
        block_hash, number = header.hash(), header.number
        payload = vote_payload(Precommit(block_hash, number), number, 0)
        pairs = [KeyPair.from_suri(f"//{name}", Scheme.ED25519) for name in VALIDATORS]
        pairs = sorted(pairs, key=lambda pair: pair.public)[: threshold(len(pairs))]
        votes = [SignedPrecommit(block_hash, number, p.sign(payload), p.public) for p in pairs]
        return Justification(number, Commit(block_hash, number, votes), []).encode()

    def write(self) -> int:
        """Write the file; says how many blocks it has."""
        with self.path.open("wb") as file:
            write_count(file, len(self._blocks))
            for header, body in self._blocks:
                proof = self.prove(header) if header.number % PROOF_EVERY == 0 else None
                write_block(file, header, body, proof, is_binary=True)
        return len(self._blocks)


def sync(spec: ChainSpec, path: Path, folder: Path) -> float:
    """Seconds of the processor in which an empty node takes all blocks of a file."""
    runtime = spec.runtime()
    database = Database.open(folder)
    try:
        chain = Chain.open(database, runtime, spec.genesis_storage(runtime), 256)
        with BlockFile.open(path, path.open("rb"), is_binary=True) as blocks:
            started = process_time()
            done = FileImport(chain, blocks, SystemClock(), lambda number: None).run()
            seconds = process_time() - started
            assert done.best == len(blocks), f"ended at block {done.best} of {len(blocks)}"
    finally:
        database.close()
    return seconds


def measure(title: str, spec: ChainSpec, chain: SealedChain, timing: Timing, home: Path) -> None:
    """Write the chain's blocks, sync them some times, and print the best and the worst."""
    count = chain.write()
    taken = [sync(spec, chain.path, home / f"{chain.path.name}-{turn}") for turn in range(ROUNDS)]
    real_s = count * timing.slot_ms / 1_000
    print(
        f"  {title:<34} {count:5} blocks of {chain.extrinsics / count:6.1f} extrinsics: "
        f"{1e3 * min(taken) / count:6.1f}-{1e3 * max(taken) / count:6.1f} ms each, "
        f"{real_s / max(taken):6.1f}-{real_s / min(taken):6.1f} x real time"
    )


def devnet_blocks(home: Path) -> None:
    """Half a day of semiurb4."""
    scenario = load_scenario(BUNDLED, "semiurb4", "spring")
    spec = scenario.chain_spec(GENESIS_MS // DEVNET.interval_ms, scheme=Scheme.ED25519)
    replay = Replay(scenario, 1, 60_000)
    replay.chain = chain = SealedChain(spec, DEVNET, home / "semiurb4")
    chain.now_ms -= DEVNET.slot_ms
    for _ in range(HOURS * 4):
        replay.play_interval(chain.now_ms // DEVNET.interval_ms)
    measure("semiurb4, slots of 2 s", spec, chain, DEVNET, home)


def full_blocks(home: Path, title: str, timing: Timing) -> None:
    """Transfers without end."""
    scenario = load_scenario(BUNDLED, "semiurb4", "spring")
    spec = scenario.chain_spec(1_000, timing=timing, scheme=Scheme.ED25519)
    suris = [f"//Bench//{number}" for number in range(SENDERS)]
    pairs = [KeyPair.from_suri(suri, Scheme.ED25519) for suri in suris]
    accounts = spec.genesis["balances"]["accounts"]
    accounts |= {ss58_encode(pair.account): 1_000_000 * DRT for pair in pairs}
    chain = SealedChain(spec, timing, home / f"full-{timing.slot_ms}")
    encode = chain.runtime.assembly.encode_call
    for _ in range(FULL_BLOCKS):
        for number in range(QUEUED - chain.waiting):
            dest = AddressId(pairs[(number + 1) % SENDERS].account)
            call = encode("Balances", "transfer_keep_alive", dest=dest, value=DRT)
            chain.submit(suris[number % SENDERS], call)
        chain.make_block()
    measure(title, spec, chain, timing, home)


def run() -> None:
    """Measure and print."""
    print("\nSync from an empty database, against the time the blocks stand for")
    with tempfile.TemporaryDirectory(prefix="dret-bench-") as folder:
        home = Path(folder)
        devnet_blocks(home)
        full_blocks(home, "full blocks, slots of 2 s", DEVNET)
        full_blocks(home, "full blocks, slots of 6 s", PRODUCTION)


if __name__ == "__main__":
    run()
