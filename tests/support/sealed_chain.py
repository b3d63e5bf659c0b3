"""A chain on disk whose blocks are sealed and finalized by the development keys."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from consensus import aura, effects
from consensus.events import Verdict
from node.chain import Chain, extrinsic_hash
from node.chain_spec import ChainSpec
from node.database import Database
from runtime.primitives.block import Header
from runtime.primitives.crypto import KeyPair, Scheme
from runtime.primitives.extrinsic import Era, SignedExtra, signed_extrinsic, signing_payload
from runtime.primitives.finality import threshold
from runtime.primitives.grandpa import (
    Commit,
    Justification,
    Precommit,
    SignedPrecommit,
    vote_payload,
)
from runtime.primitives.recovery import RecoveryProof
from runtime.primitives.session import SessionKeys, prove_ownership
from runtime.primitives.types import Hash
from runtime.runtime import Runtime
from runtime.state.overlay import Overlay
from tests.support.accounts import pair_named
from tests.support.chains import to
from tests.support.runtimes import CONSTANTS, VALIDATORS, genesis_sections


def small_spec(**constants: int) -> ChainSpec:
    """The chain of four validators and two homes as a specification."""
    return ChainSpec(
        name="Small",
        id="small",
        chain_type="Local",
        boot_nodes=(),
        properties={},
        constants=asdict(replace(CONSTANTS, **constants)),
        genesis=genesis_sections(),
    )


class SealedChain:
    """Blocks one slot after the other, by whoever's turn it is; `close` at the end."""

    def __init__(self, folder: Path, spec: ChainSpec, pruning: int | None = 256) -> None:
        self.spec = spec
        self.runtime: Runtime = spec.runtime()
        self.database = Database.open(folder)
        genesis = spec.genesis_storage(self.runtime)
        self.chain = Chain.open(self.database, self.runtime, genesis, pruning)
        constants = self.runtime.constants
        self.slot_ms = constants.slot_duration_ms
        first_ms = constants.genesis_interval * constants.market_interval_ms
        self.slot = aura.slot_of(self.chain.best) or first_ms // self.slot_ms
        self.keys: dict[bytes, KeyPair] = {}
        for name in VALIDATORS:
            self.hold(name)

    def hold(self, name: str) -> None:
        """Be able to sign with the keys of a name."""
        for scheme in (Scheme.SR25519, Scheme.ED25519):
            pair = pair_named(name, scheme)
            self.keys[pair.public] = pair

    def close(self) -> None:
        self.database.close()

    def add(
        self,
        extrinsics: Iterable[bytes] = (),
        parent: Hash | None = None,
        recovery: RecoveryProof | None = None,
        promised: Sequence[tuple[Hash, bytes]] = (),
    ) -> Header:
        """Build, seal and import a block; it is the best one when it is the highest.

        `recovery` is the override that it carries.
        """
        chain, self.slot = self.chain, self.slot + 1
        parent = chain.best_hash if parent is None else parent
        below = chain.header(parent)
        assert below is not None
        time_ms = self.slot * self.slot_ms
        build = effects.Build(
            self.slot,
            parent,
            below.number + 1,
            aura.pre_digest(self.slot),
            time_ms,
            1,
            None if recovery is None else recovery.encode(),
        )
        ready = ((extrinsic_hash(extrinsic), extrinsic) for extrinsic in extrinsics)
        built = chain.build(build, ready, _refuse, lambda: 0, promised)
        assert built.header is not None, built.reason
        authors = self.runtime.aura_authorities(Overlay(chain.state_at(parent)))
        author = aura.author_of(self.slot, authors)
        assert author is not None
        header = aura.sealed(built.header, self.keys[author].sign(aura.pre_hash(built.header)))
        self.import_block(header, built.extrinsics)
        return header

    def import_block(self, header: Header, extrinsics: tuple[bytes, ...]) -> None:
        """Execute and store a block."""
        chain, block_hash = self.chain, header.hash()
        done = chain.execute(effects.Execute(block_hash, header, extrinsics), 1 << 50)
        assert done.verdict is Verdict.VALID, done.reason
        operations: list[effects.Operation] = [effects.PutBlock(block_hash, header, extrinsics)]
        if header.parent_hash == chain.best_hash:
            operations.append(effects.SetBest(block_hash, (), (block_hash,)))
        chain.write(effects.Persist(0, tuple(operations), is_synced=False))

    def grow(self, count: int) -> None:
        """Add empty blocks."""
        for _ in range(count):
            self.add()

    def prove(self, header: Header) -> Justification:
        """The proof that a block is final, by the voters of the state below it."""
        state = Overlay(self.chain.state_at(header.parent_hash))
        voters = [key for key, _ in self.runtime.grandpa_authorities(state)]
        set_id = self.runtime.grandpa_set_id(state)
        block_hash, number = header.hash(), header.number
        payload = vote_payload(Precommit(block_hash, number), number, set_id)
        votes = [
            SignedPrecommit(block_hash, number, self.keys[key].sign(payload), key)
            for key in sorted(voters)[: threshold(len(voters))]
        ]
        return Justification(number, Commit(block_hash, number, votes), [])

    def finalize(self, is_kept: bool = False, header: Header | None = None) -> Header:
        """Make a block of the best chain final, the best one by default."""
        chain = self.chain
        header = chain.best if header is None else header
        proof = self.prove(header)
        heights = range(chain.finalized.number + 1, header.number + 1)
        route = tuple(filter(None, map(chain.hash_at, heights)))
        is_kept = is_kept or aura.read_header(header).scheduled_change is not None
        final = effects.Finalize(header.hash(), header.number, route, (), proof.encode(), is_kept)
        chain.write(effects.Persist(0, (final,), is_synced=True))
        return header

    def recover(self, proof: RecoveryProof) -> Header:
        """Take an override that starts from the best block, as consensus does; its block."""
        start, chain = proof.override.start, self.chain
        heights = range(chain.finalized.number + 1, start.number + 1)
        route = tuple(filter(None, map(chain.hash_at, heights)))
        taken = effects.Recover(start.hash, start.number, route, (), proof.encode())
        chain.write(effects.Persist(0, (taken,), is_synced=True))
        return self.add(recovery=proof)

    def sign(self, name: str, call: bytes) -> bytes:
        """An immortal extrinsic of a development account for the next block."""
        pair = pair_named(name)
        nonce = self.runtime.account_nonce(Overlay(self.chain.best_state()), pair.account)
        version, genesis = self.runtime.version, self.chain.genesis_hash
        extra = SignedExtra(Era.immortal(), nonce, 0)
        payload = signing_payload(
            call, extra, version.spec_version, version.transaction_version, genesis, genesis
        )
        return signed_extrinsic(pair, call, extra, payload)

    def transfer(self, name: str, dest: bytes, value: int) -> bytes:
        """A signed transfer."""
        call = self.runtime.assembly.encode_call(
            "Balances", "transfer_keep_alive", dest=to(dest), value=value
        )
        return self.sign(name, call)

    def rotate(self, owner: str, keys: str) -> bytes:
        """An extrinsic by which a validator takes the keys of another name."""
        self.hold(keys)
        aura_pair, vote_pair = pair_named(keys), pair_named(keys, Scheme.ED25519)
        call = self.runtime.assembly.encode_call(
            "Session",
            "set_keys",
            keys=SessionKeys(aura_pair.public, vote_pair.public),
            proof=prove_ownership(pair_named(owner).account, aura_pair, vote_pair),
        )
        return self.sign(owner, call)


def _refuse(digest: Hash) -> None:
    raise AssertionError(f"extrinsic 0x{digest.hex()} is invalid")
