"""Import of a block of 1 000 signed transfers against verifying its signatures alone.

The block goes through the node's own door to the chain into a database on disk: signatures,
dispatch, state root, header and body. Before each measurement the chain is opened anew, so that no
signature is known and no state is in memory but what opening reads.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from consensus import effects
from consensus.events import Verdict
from devnet.dataset import BUNDLED
from devnet.scenario import DRT, PRODUCTION, load_scenario
from node.chain import Chain
from node.chain_spec import ChainSpec
from node.database import Database
from runtime.primitives.aura import ENGINE_ID, PreDigest
from runtime.primitives.block import Digest, Header, PreRuntime
from runtime.primitives.crypto import KeyPair, Scheme, ss58_encode
from runtime.primitives.extrinsic import (
    AddressId,
    Era,
    SignedExtra,
    decode_extrinsic,
    signed_extrinsic,
    signing_payload,
    verify_signature,
)
from runtime.primitives.hashing import blake2_256
from runtime.runtime import Runtime
from tests.bench.rounds import medians, show

TRANSFERS = 1_000
SLOT = 300_000_000
NANO = 1_000_000_000


@dataclass
class Bench:
    """A chain on disk with one block that is not imported yet."""

    spec: ChainSpec
    database: Database
    runtime: Runtime
    genesis: dict[bytes, bytes]
    chain: Chain
    header: Header
    extrinsics: tuple[bytes, ...]
    payloads: list[bytes]

    @classmethod
    def new(cls, folder: Path) -> "Bench":
        """Accounts, a chain with them, and the block."""
        pairs = [KeyPair.from_suri(f"//Bench//{i}", Scheme.SR25519) for i in range(TRANSFERS)]
        spec = load_scenario(BUNDLED, "semiurb4", "spring").chain_spec(1_000, timing=PRODUCTION)
        money = spec.genesis["balances"]["accounts"]
        money |= {ss58_encode(pair.public): 1_000 * DRT for pair in pairs}
        runtime = spec.runtime()
        genesis = spec.genesis_storage(runtime)
        database = Database.open(folder)
        chain = Chain.open(database, runtime, genesis, 256)
        payloads = [transfer_payload(chain, pairs, i) for i in range(TRANSFERS)]
        transfers = [
            signed_extrinsic(pair, transfer_call(runtime, pairs, i), EXTRA, payloads[i])
            for i, pair in enumerate(pairs)
        ]
        header, extrinsics = build(chain, transfers)
        return cls(spec, database, runtime, genesis, chain, header, extrinsics, payloads)

    def reopen(self) -> None:
        """Forget everything but what is on disk."""
        self.chain = Chain.open(self.database, self.runtime, self.genesis, 256)

    def execute(self) -> None:
        """Execute the block as one from a peer."""
        block_hash = self.header.hash()
        request = effects.Execute(block_hash, self.header, self.extrinsics)
        done = self.chain.execute(request, SLOT * PRODUCTION.slot_ms)
        assert done.verdict is Verdict.VALID, done.reason

    def import_block(self) -> None:
        """Execute it and store it as the best block."""
        self.execute()
        block_hash = self.header.hash()
        put = effects.PutBlock(block_hash, self.header, self.extrinsics)
        best = effects.SetBest(block_hash, (), (block_hash,))
        self.chain.write(effects.Persist(0, (put, best), is_synced=False))

    def verify(self) -> None:
        """Verify the signatures and nothing else; the payloads are at hand."""
        for extrinsic, payload in zip(self.extrinsics[1:], self.payloads, strict=True):
            signed = decode_extrinsic(extrinsic).signed
            assert signed is not None
            assert isinstance(signed.address, AddressId)
            assert verify_signature(signed.signature, payload, signed.address.account)


EXTRA = SignedExtra(Era.immortal(), 0, 0)


def transfer_call(runtime: Runtime, pairs: list[KeyPair], i: int) -> bytes:
    """A transfer to the next account."""
    dest = AddressId(pairs[(i + 1) % len(pairs)].public)
    return runtime.assembly.encode_call(
        "Balances", "transfer_keep_alive", dest=dest, value=NANO + i
    )


def transfer_payload(chain: Chain, pairs: list[KeyPair], i: int) -> bytes:
    """What the sender of transfer `i` signs."""
    runtime, genesis_hash = chain.runtime, chain.genesis_hash
    return signing_payload(
        transfer_call(runtime, pairs, i),
        EXTRA,
        runtime.version.spec_version,
        runtime.version.transaction_version,
        genesis_hash,
        genesis_hash,
    )


def build(chain: Chain, transfers: list[bytes]) -> tuple[Header, tuple[bytes, ...]]:
    """The block with all transfers."""
    digest = Digest([PreRuntime(ENGINE_ID, PreDigest(SLOT).encode())])
    request = effects.Build(
        slot=SLOT,
        parent_hash=chain.best_hash,
        number=1,
        digest=digest,
        timestamp_ms=SLOT * PRODUCTION.slot_ms,
        deadline_ms=1,
    )
    ready = ((blake2_256(transfer), transfer) for transfer in transfers)
    built = chain.build(request, ready, lambda digest: None, lambda: 0)
    assert built.header is not None, built.reason
    assert len(built.extrinsics) == TRANSFERS + 1, f"{len(built.extrinsics)} fit into the block"
    return built.header, built.extrinsics


def run() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="dret-bench-") as folder:
        bench = Bench.new(Path(folder) / "db")
        found = medians(
            {
                "its signatures": bench.verify,
                "execution and state root": bench.execute,
                "import into the database": bench.import_block,
            },
            prepare=bench.reopen,
        )
        bench.database.close()
    show(f"A block of {TRANSFERS:,} signed transfers", found, "its signatures")
