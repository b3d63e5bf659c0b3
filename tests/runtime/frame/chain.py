"""A small chain for these tests: the pallets every chain has, and a market of a few lines."""

from dataclasses import dataclass, field

from runtime.frame import AccountId
from runtime.frame.assembly import Assembly
from runtime.frame.executive import Executive
from runtime.frame.extensions import BlockLimits
from runtime.frame.extrinsics import Versions
from runtime.frame.signatures import SignatureCache
from runtime.pallets import balances, system, transaction_payment
from runtime.primitives.block import Block, Digest, Header, PreRuntime
from runtime.primitives.crypto import KeyPair, Scheme
from runtime.primitives.extrinsic import (
    Era,
    SignedExtra,
    UncheckedExtrinsic,
    signed_extrinsic,
    signing_payload,
)
from runtime.primitives.types import ZERO_HASH, Hash
from runtime.state.backend import MemoryBackend
from runtime.state.overlay import Overlay
from runtime.version import runtime_version
from tests.runtime.frame.clock import Timestamp, TimestampConfig
from tests.runtime.frame.market import Market, MarketConfig

ALICE_PAIR = KeyPair.from_suri("//Alice", Scheme.SR25519)
BOB_PAIR = KeyPair.from_suri("//Bob", Scheme.ED25519)
ALICE, BOB = ALICE_PAIR.public, BOB_PAIR.public
AUTHOR = b"\x07" * 32
DEPOSIT = 1_000
ENDOWMENT = 10**15
WEIGHT_MAX = 20_000_000_000
LENGTH_MAX = 100_000
METADATA_DIGEST = b"\x0d" * 32
BASE_WEIGHT = 80_000_000
BASE_FEE, BYTE_FEE, MICROSECOND_FEE = 5_000, 100, 30


class Author:
    """The author of every block."""

    def author(self) -> AccountId | None:
        """Who."""
        return AUTHOR


@dataclass
class Chain:
    """An assembly with an executive, and the blocks made so far."""

    weight_max: int = WEIGHT_MAX
    endowed: tuple[bytes, ...] = (ALICE, BOB, AUTHOR)
    signatures: SignatureCache = field(default_factory=SignatureCache)

    def __post_init__(self) -> None:
        self.system = system.System(system.Config(32, runtime_version(()), 42))
        self.balances = balances.Balances(balances.Config(self.system, DEPOSIT))
        self.payment = transaction_payment.TransactionPayment(
            transaction_payment.Config(self.balances, Author(), BASE_FEE, BYTE_FEE, MICROSECOND_FEE)
        )
        self.timestamp = Timestamp(TimestampConfig())
        self.market = Market(MarketConfig(object(), 1_000))
        self.assembly = Assembly(
            {
                0: self.system,
                1: self.timestamp,
                6: self.balances,
                7: self.payment,
                30: self.market,
            }
        )
        limits = BlockLimits(self.weight_max, LENGTH_MAX, BASE_WEIGHT)
        versions = Versions(1, 1)
        self.executive = Executive(
            self.assembly, self.system, self.payment, limits, versions, lambda: METADATA_DIGEST
        )
        overlay = Overlay(MemoryBackend())
        self.assembly.bind(overlay)
        self.system.genesis({})
        accounts = {"0x" + who.hex(): ENDOWMENT for who in self.endowed}
        self.balances.genesis({"accounts": accounts})
        root, empty = overlay.root(), bytes.fromhex(EMPTY_ROOT)
        self.headers = [Header(ZERO_HASH, 0, root, empty, Digest([]))]
        self.backend = MemoryBackend().child(overlay.commit())

    @property
    def state(self) -> Overlay:
        """A fresh overlay over the state of the newest block, bound."""
        overlay = Overlay(self.backend)
        self.assembly.bind(overlay)
        return overlay

    @property
    def best_hash(self) -> Hash:
        """The hash of the newest block."""
        return self.headers[-1].hash()

    def next_header(self) -> Header:
        """What the next block begins with."""
        number = len(self.headers)
        digest = Digest([PreRuntime(b"aura", number.to_bytes(8, "little"))])
        return Header(self.best_hash, number, ZERO_HASH, ZERO_HASH, digest)

    def time(self, now_ms: int | None = None) -> bytes:
        """The inherent of the next block."""
        now = len(self.headers) * 6_000 if now_ms is None else now_ms
        return UncheckedExtrinsic(
            None, self.assembly.encode_call("Timestamp", "set", now=now)
        ).encode()

    def begin(self) -> Overlay:
        """A block that has begun, with its time told."""
        overlay = Overlay(self.backend)
        self.executive.initialize_block(overlay, self.next_header())
        self.executive.apply_extrinsic(overlay, self.time(), self.signatures)
        return overlay

    def build(self, *extrinsics: bytes) -> Block:
        """A block of extrinsics, not added to the chain."""
        overlay = self.begin()
        for extrinsic in extrinsics:
            self.executive.apply_extrinsic(overlay, extrinsic, self.signatures)
        header = self.executive.finalize_block(overlay)
        return Block(header, [self.time(), *extrinsics])

    def execute(self, block: Block) -> Overlay:
        """The state after a block on the newest one."""
        overlay = Overlay(self.backend)
        self.executive.execute_block(overlay, block, self.signatures)
        return overlay

    def add(self, *extrinsics: bytes) -> Block:
        """Build a block, execute it, and make it the newest."""
        block = self.build(*extrinsics)
        overlay = self.execute(block)
        self.backend = self.backend.child(overlay.commit())
        self.headers.append(block.header)
        return block

    def sign(
        self,
        pair: KeyPair,
        pallet: str,
        name: str,
        *,
        nonce: int = 0,
        tip: int = 0,
        era: Era | None = None,
        birth_hash: Hash | None = None,
        spec_version: int = 1,
        **arguments: object,
    ) -> bytes:
        """A signed extrinsic."""
        data = self.assembly.encode_call(pallet, name, **arguments)
        extra = SignedExtra(era or Era.immortal(), nonce, tip)
        genesis = self.headers[0].hash()
        payload = signing_payload(data, extra, spec_version, 1, genesis, birth_hash or genesis)
        return signed_extrinsic(pair, data, extra, payload)


EMPTY_ROOT = "03170a2e7597b7b7e3d84c05391d139a62b157e78786d8c082f29dcf4c111314"
