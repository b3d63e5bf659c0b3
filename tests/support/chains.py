"""A chain in memory without consensus: blocks follow one another slot by slot."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from runtime.genesis import genesis_header, genesis_storage
from runtime.primitives.aura import ENGINE_ID, PreDigest
from runtime.primitives.block import Block, Digest, Header, PreRuntime
from runtime.primitives.crypto import KeyPair
from runtime.primitives.extrinsic import (
    AddressId,
    Era,
    MultiAddress,
    SignedExtra,
    signed_extrinsic,
    signing_payload,
)
from runtime.primitives.types import ZERO_HASH, AccountId
from runtime.runtime import Runtime, SignatureCache
from runtime.state.backend import MemoryBackend
from runtime.state.overlay import Overlay
from tests.support.accounts import pair_of
from tests.support.runtimes import genesis_sections


@dataclass
class MemoryChain:
    """The blocks of a runtime, the state after each, and what the next block needs."""

    runtime: Runtime
    states: list[MemoryBackend] = field(default_factory=list)
    headers: list[Header] = field(default_factory=list)
    bodies: list[list[bytes]] = field(default_factory=list)
    """Of block 1 on."""

    slot: int = 0

    @classmethod
    def new(cls, runtime: Runtime, sections: dict[str, object] | None = None) -> "MemoryChain":
        """A chain at its genesis; the first block is in the slot after the genesis interval."""
        sections = genesis_sections() if sections is None else sections
        state = MemoryBackend(genesis_storage(runtime, sections))
        constants = runtime.constants
        first_ms = constants.genesis_interval * constants.market_interval_ms
        slot = first_ms // constants.slot_duration_ms
        return cls(runtime, [state], [genesis_header(state.root)], slot=slot)

    @property
    def genesis_hash(self) -> bytes:
        """Hash of block 0."""
        return self.headers[0].hash()

    @property
    def head(self) -> Header:
        """The latest header."""
        return self.headers[-1]

    def overlay(self) -> Overlay:
        """A fresh overlay over the latest state."""
        return Overlay(self.states[-1])

    def draft(self, slot: int | None = None) -> Header:
        """What the header of the next block begins with."""
        slot = self.slot + 1 if slot is None else slot
        digest = Digest([PreRuntime(ENGINE_ID, PreDigest(slot).encode())])
        return Header(self.head.hash(), self.head.number + 1, ZERO_HASH, ZERO_HASH, digest)

    def time_ms(self, slot: int) -> int:
        """The time of a block in a slot."""
        return slot * self.runtime.constants.slot_duration_ms

    def build(self, extrinsics: Iterable[bytes] = (), slot: int | None = None) -> Block:
        """Build the next block and append it. Raises as the runtime does; then nothing is added.

        Inherents beside the time may stand before the others.
        """
        slot = self.slot + 1 if slot is None else slot
        overlay, signatures = self.overlay(), SignatureCache()
        self.runtime.initialize_block(overlay, self.draft(slot))
        body = [*self.runtime.inherents(self.time_ms(slot)), *extrinsics]
        for extrinsic in body:
            self.runtime.apply_extrinsic(overlay, extrinsic, signatures)
        block = Block(self.runtime.finalize_block(overlay), body)
        self.append(block, overlay)
        self.slot = slot
        return block

    def execute(self, block: Block) -> None:
        """Import a block that was built elsewhere. Raises `InvalidBlock`."""
        overlay = self.overlay()
        self.runtime.execute_block(overlay, block, SignatureCache())
        self.append(block, overlay)

    def append(self, block: Block, overlay: Overlay) -> None:
        """Go on from a block whose changes are in `overlay`."""
        self.states.append(self.states[-1].child(overlay.commit()))
        self.headers.append(block.header)
        self.bodies.append(block.extrinsics)

    def sign(
        self,
        signer: AccountId | KeyPair,
        call: bytes,
        nonce: int | None = None,
        era: Era | None = None,
        tip: int = 0,
    ) -> bytes:
        """An extrinsic for the next block; the nonce is the account's unless it is given."""
        pair = signer if isinstance(signer, KeyPair) else pair_of(signer)
        if nonce is None:
            nonce = self.runtime.account_nonce(self.overlay(), pair.account)
        era = Era.immortal() if era is None else era
        extra = SignedExtra(era, nonce, tip)
        version = self.runtime.version
        mortality_hash = self.headers[era.birth(self.head.number)].hash()
        payload = signing_payload(
            call,
            extra,
            version.spec_version,
            version.transaction_version,
            self.genesis_hash,
            mortality_hash,
        )
        return signed_extrinsic(pair, call, extra, payload)

    def call(self, pallet: str, name: str, **arguments: object) -> bytes:
        """An encoded call by names."""
        return self.runtime.assembly.encode_call(pallet, name, **arguments)

    def transfer(
        self,
        signer: AccountId,
        dest: AccountId,
        value: int,
        nonce: int | None = None,
        tip: int = 0,
    ) -> bytes:
        """A signed transfer that keeps the sender alive."""
        call = self.call("Balances", "transfer_keep_alive", dest=to(dest), value=value)
        return self.sign(signer, call, nonce, tip=tip)


def to(account: AccountId) -> MultiAddress:
    """An account as the recipient in a call."""
    return AddressId(account)
