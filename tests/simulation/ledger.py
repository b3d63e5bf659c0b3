"""The real runtime behind simulated nodes: blocks are executed, built and remembered by hash.

One ledger may serve all nodes (then each block is executed once), or each node has its own (then
all execute all). Invariants checked with each block: those of the pallets, and that the issuance
is that of the genesis. States are kept for ever; a run has some hundred blocks.
"""

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from consensus import effects
from consensus.events import Built, Executed, Verdict
from node.pool import ForgedExtrinsic, InvalidExtrinsic, MalformedExtrinsic, Validity
from node.recoveries import override_of
from runtime.frame.dispatch import InvalidBlock
from runtime.frame.extensions import InvalidTransaction
from runtime.genesis import genesis_header
from runtime.primitives.block import Block, Digest, Header
from runtime.primitives.crypto import KeyPair, Scheme
from runtime.primitives.types import ZERO_HASH, AccountId, Hash
from runtime.runtime import Runtime, SignatureCache
from runtime.state.backend import Backend, MemoryBackend
from runtime.state.overlay import Overlay
from tests.simulation.disk import KeyRing, SimDisk
from tests.simulation.node import EPOCH_MS
from tests.support.accounts import NAMES, pair_named
from tests.support.runtimes import CONSTANTS, DRT, genesis_sections, hex_of, new_runtime

# Ed25519 signs the same in each run; sr25519 does not, and other extrinsics make other blocks.
PAYERS = {pair.public: pair for pair in (pair_named(name, Scheme.ED25519) for name in NAMES)}
ACCOUNTS = tuple(PAYERS)
Extrinsics = tuple[bytes, ...]


def owner_of(validator: str) -> KeyPair:
    """The key pair of a validator's account."""
    return pair_named(f"account of {validator}")


def account_of(validator: str) -> AccountId:
    """The account of a validator."""
    return owner_of(validator).public


@functools.cache
def runtime_of_tests() -> Runtime:
    """The runtime of all ledgers of the process: a pure function, so it can be shared."""
    return new_runtime(genesis_interval=EPOCH_MS // CONSTANTS.market_interval_ms)


def sections_of(validators: Iterable[str], ring: KeyRing) -> dict[str, Any]:
    """A genesis in which these are the validators."""
    names = tuple(validators)
    accounts = (*ACCOUNTS, *map(account_of, names))
    sections = genesis_sections(dict.fromkeys(accounts, 1_000 * DRT))
    sections["session"] = {
        "validators": [
            {
                "account": hex_of(account_of(name)),
                "aura": hex_of(ring.seal_key(name)),
                "grandpa": hex_of(ring.vote_key(name)),
            }
            for name in names
        ]
    }
    return sections


@dataclass(frozen=True)
class Authorities:
    """Who authors and votes on a state."""

    authors: tuple[bytes, ...]
    voters: tuple[bytes, ...]
    set_id: int


class Ledger:
    """Executes, builds and judges with the runtime on states by block hash."""

    def __init__(self, genesis: Mapping[bytes, bytes], runtime: Runtime | None = None) -> None:
        self.runtime = runtime or runtime_of_tests()
        state = MemoryBackend(genesis)
        self.genesis = genesis_header(state.root)
        self.states = {self.genesis.hash(): state}
        self.blocks_executed = 0
        self._signatures = SignatureCache()
        self._verdicts: dict[tuple[Hash, Extrinsics], Executed] = {}
        self._built: dict[tuple[Hash, Extrinsics], MemoryBackend] = {}
        self._issuance = self._issued(state)
        self._read: tuple[Hash, Overlay] | None = None

    @property
    def refusals(self) -> list[str]:
        """Why blocks were found invalid, in the order they were."""
        return [v.reason for v in self._verdicts.values() if v.verdict is Verdict.INVALID]

    def execute(self, block_hash: Hash, header: Header, extrinsics: Extrinsics) -> Executed:
        """The verdict on a block whose parent was executed here."""
        key = (block_hash, extrinsics)
        known = self._verdicts.get(key)
        if known is None:
            known = self._verdicts[key] = self._execute(block_hash, header, extrinsics)
        return known

    def _execute(self, block_hash: Hash, header: Header, extrinsics: Extrinsics) -> Executed:
        built = self._built.get((unsealed_hash(header), extrinsics))
        recovery = override_of(header, extrinsics, self.runtime)
        if built is not None:
            self.states[block_hash] = built
            return Executed(block_hash, Verdict.VALID, recovery=recovery)
        parent = self.states[header.parent_hash]
        overlay = Overlay(parent)
        try:
            block = Block(header, list(extrinsics))
            self.runtime.execute_block(overlay, block, self._signatures)
        except InvalidBlock as error:
            return Executed(block_hash, Verdict.INVALID, str(error))
        self.states[block_hash] = self._after(parent, overlay)
        return Executed(block_hash, Verdict.VALID, recovery=recovery)

    def build(
        self, build: effects.Build, ready: Iterable[bytes] = (), proof: bytes | None = None
    ) -> Built:
        """An unsealed block on a state; what cannot be included is left out."""
        parent = self.states[build.parent_hash]
        overlay = self.overlay_on(build.parent_hash)
        draft = Header(build.parent_hash, build.number, ZERO_HASH, ZERO_HASH, build.digest)
        included: list[bytes] = []
        try:
            self.runtime.initialize_block(overlay, draft)
            for inherent in self.runtime.inherents(build.timestamp_ms, proof, build.recovery):
                self.runtime.apply_extrinsic(overlay, inherent, self._signatures)
                included.append(inherent)
        except (InvalidBlock, InvalidTransaction) as error:
            return Built(build.slot, build.parent_hash, None, (), str(error))
        for extrinsic in ready:
            try:
                self.runtime.apply_extrinsic(overlay, extrinsic, self._signatures)
            except InvalidTransaction:
                continue
            included.append(extrinsic)
        header = self.runtime.finalize_block(overlay)
        extrinsics = tuple(included)
        self._built[header.hash(), extrinsics] = self._after(parent, overlay)
        return Built(build.slot, build.parent_hash, header, extrinsics)

    def validate(self, extrinsic: bytes, best_hash: Hash) -> Validity:
        """What the pool asks."""
        overlay = self.reading(best_hash)
        try:
            return self.runtime.validate_transaction(
                overlay, extrinsic, self._signatures, best_hash
            )
        except InvalidTransaction as error:
            if error.is_malformed:
                raise MalformedExtrinsic(error.code_text) from error
            if error.is_forged:
                raise ForgedExtrinsic(error.code_text) from error
            raise InvalidExtrinsic(error.code_text) from error

    def authorities_after(self, block_hash: Hash) -> Authorities:
        """The authorities in the state after a block."""
        overlay = self.reading(block_hash)
        return Authorities(
            tuple(self.runtime.aura_authorities(overlay)),
            tuple(key for key, _ in self.runtime.grandpa_authorities(overlay)),
            self.runtime.grandpa_set_id(overlay),
        )

    def open_handoff(self, block_hash: Hash) -> int | None:
        """The height whose proof of finality the state after a block waits for."""
        return self.runtime.open_handoff(self.reading(block_hash))

    def nonce(self, block_hash: Hash, account: AccountId) -> int:
        """How many extrinsics an account has signed up to a block."""
        return self.runtime.account_nonce(self.reading(block_hash), account)

    def state_after(self, block_hash: Hash) -> Backend:
        """The state after a block that is here."""
        return self.states[block_hash]

    def overlay_on(self, block_hash: Hash) -> Overlay:
        """The state after a block, to be changed."""
        return Overlay(self.state_after(block_hash))

    def reading(self, block_hash: Hash) -> Overlay:
        """The state after a block, to be read: the same for who asks next."""
        if self._read is None or self._read[0] != block_hash:
            self._read = (block_hash, self.overlay_on(block_hash))
        return self._read[1]

    def knows(self, block_hash: Hash) -> bool:
        """Whether the state after a block is here."""
        return block_hash in self.states

    def root_of(self, block_hash: Hash) -> Hash:
        """The root of the state after a block."""
        return self.states[block_hash].root

    def _after(self, parent: MemoryBackend, overlay: Overlay) -> MemoryBackend:
        self.blocks_executed += 1
        state = parent.child(overlay.commit())
        assert self._issued(state) == self._issuance, "the supply changed"
        return state

    def _issued(self, state: Backend) -> bytes | None:
        return state.get(self.runtime.balances.total_issuance.key_of(()))


@dataclass(frozen=True)
class LedgerHead:
    """What `node.duties` asks of a chain, of a ledger and a node's disk."""

    ledger: Ledger
    disk: Callable[[], SimDisk]

    @property
    def runtime(self) -> Runtime:
        return self.ledger.runtime

    @property
    def genesis_hash(self) -> Hash:
        return self.ledger.genesis.hash()

    @property
    def finalized(self) -> Header:
        store = self.disk().now
        return store.headers[store.finalized]

    def best_state(self) -> Backend:
        return self.ledger.states[self.disk().now.best]

    def runtime_of(self, state: Backend) -> Runtime:
        return self.ledger.runtime


def unsealed_hash(header: Header) -> Hash:
    """The hash of a header without its last digest item, the seal."""
    digest = Digest(header.digest.logs[:-1])
    return Header(
        header.parent_hash, header.number, header.state_root, header.extrinsics_root, digest
    ).hash()
