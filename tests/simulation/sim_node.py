"""A node of the world: the production core, pool and duties on a runtime, and what it may not do.

Looked at after each event of an honest node: finality that only grows (over crashes too: what was
told final stays), the set of voters that the final state names, one block per slot, no alarm about
safety, no halt.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from consensus import aura, effects, events
from consensus.effects import AlarmKind
from consensus.events import Event, Verdict
from consensus.grandpa.vote_graph import BlockRef
from consensus.ports import ChainReader, LoadedState
from node.chain import extrinsic_hash
from node.duties import Duties
from node.pool import Pool, PoolError
from node.recoveries import override_fault
from runtime.primitives.block import Header
from runtime.primitives.recovery import RecoveryProof
from runtime.primitives.types import Hash
from runtime.runtime import Runtime
from tests.simulation.disk import SimDisk
from tests.simulation.ledger import (
    Ledger,
    LedgerHead,
    unsealed_hash,
)
from tests.simulation.node import Node, Reader, serve_blocks
from tests.simulation.stored import StoredLedger

if TYPE_CHECKING:
    from tests.simulation.adversary import Adversary
    from tests.simulation.world import SimWorld


class Violation(AssertionError):
    """An invariant does not hold."""


@dataclass(frozen=True, slots=True)
class Transactions:
    """Extrinsics on their way between pools."""

    extrinsics: tuple[bytes, ...]


class StateReader(Reader):
    """`ChainReader` that judges overrides by the states of a ledger, as the node does."""

    def __init__(self, node: "SimNode") -> None:
        super().__init__(node.disk)
        self._node = node

    @property
    def finalized_hash_now(self) -> Hash:
        return self._disk.now.finalized

    def state_at(self, block_hash: Hash) -> Any:
        return self._node.ledger.state_after(block_hash)

    def runtime_of(self, state: object) -> Runtime:
        return self._node.ledger.runtime

    def override_fault(self, proof: RecoveryProof) -> str | None:
        return override_fault(self, proof)


class SimNode(Node):
    """A node with a pool and a ledger."""

    def __init__(self, world: "SimWorld", name: str, is_authority: bool, ledger: Ledger) -> None:
        super().__init__(world, name, is_authority)
        self.world = world
        self.ledger = ledger
        self.adversary: Adversary | None = None
        self.restarts = -1
        self.stored = ledger if isinstance(ledger, StoredLedger) else None
        """Its own database, in a run in which every node has one."""

        if self.stored is not None:
            self.stored.reject = lambda digest: self.pool.reject(digest)
        self.pool = self._new_pool()
        self._duties = self._new_duties()
        self._final = BlockRef(world.genesis.hash(), 0)
        self._told: BlockRef = self._final
        self._made: dict[Hash, effects.Build] = {}
        self._sealed: dict[int, Hash] = {}
        self._set_id = 0

    # --- running

    def start(self) -> None:
        store = self.disk.now
        self.pool = self._new_pool()
        self._duties = self._new_duties()
        self.restarts += 1
        if self.is_honest:
            told = store.finals.get(self._told.number)
            assert told == self._told.hash, f"{self.name} lost the final block {self._told}"
        self._final = BlockRef(store.finalized, store.headers[store.finalized].number)
        super().start()

    def load(self) -> LoadedState:
        if self.stored is None:
            return super().load()
        found = self.stored.chain.loaded_state(self.marks, self.is_signer_away)
        expected = super().load()
        by_hash = sorted(header.hash() for header in expected.unfinalized)
        assert sorted(header.hash() for header in found.unfinalized) == by_hash, "unfinalized"
        assert replace(found, unfinalized=()) == replace(expected, unfinalized=()), "stored state"
        return found

    def reader(self) -> ChainReader:
        return StateReader(self) if self.stored is None else self.stored.chain

    def write(self, batch: effects.Persist) -> None:
        super().write(batch)
        if self.stored is not None and self.stored.write(batch):
            self.disk.sync(but=1)

    def sync(self) -> None:
        super().sync()
        if self.stored is not None:
            self.stored.sync()

    def crash(self, kept: int) -> int:
        if self.stored is not None:
            self.stored.crash(kept)
        return super().crash(kept)

    def forget_votes(self) -> None:
        """Lose all memory of the votes that were cast, the signer's included."""
        for store in (self.disk.now, self.disk.durable):
            store.voter.clear()
        if self.stored is not None:
            self.stored.forget_votes()
        self.signer.marks.clear()
        self.signer.payloads.clear()

    def handle(self, event: Event) -> None:
        if self.core is None:
            return
        if not self.is_honest:
            try:
                super().handle(event)
            except AssertionError:
                self.world.kill(self.name)  # a liar may trip over its own lies
            return
        super().handle(event)
        self._check()

    def wipe(self) -> None:
        """Lose the whole disk while it does not run; the signer's mark stays."""
        assert self.core is None, "it runs"
        self.disk = SimDisk(self.network.genesis)
        if self.stored is not None:
            self.stored.wipe()
        self._told = BlockRef(self.network.genesis.hash(), 0)
        self.has_lost_disk = True

    def _new_pool(self) -> Pool:
        return Pool(
            lambda extrinsic: self.ledger.validate(extrinsic, self.disk.now.best),
            extrinsic_hash,
            self.ledger.runtime.tags_of,
            lambda: self.network.now_ms,
        )

    def _new_duties(self) -> Duties:
        head = LedgerHead(self.ledger, lambda: self.disk)
        return Duties(
            head if self.stored is None else self.stored.chain,
            self.pool,
            None,
            lambda _, extrinsic: self._pass_on((extrinsic,)),
            self.world.rng,
            "simulated",
        )

    # --- blocks

    def execute(self, effect: effects.Execute) -> events.Executed:
        if self.stored is not None:
            self.stored.wall_ms = self.wall_ms()
        found = self.ledger.execute(effect.block_hash, effect.header, effect.extrinsics)
        if self.is_honest and found.verdict is Verdict.INVALID:
            author = self.world.sound.get(effect.block_hash)
            if author is not None:
                raise Violation(f"{self.name} refuses a block of {author}: {found.reason}")
        return found

    def build(self, build: effects.Build) -> events.Built:
        ready = (entry.extrinsic for entry in self.pool.ready())
        built = self.ledger.build(build, ready, self._handoff_proof(build.parent_hash))
        if built.header is not None:
            self._made[built.header.hash()] = build
        elif "disabled" in built.reason:
            self.world.reached["disabled author"] += 1
        return built

    def _handoff_proof(self, parent_hash: Hash) -> bytes | None:
        number = self.ledger.open_handoff(parent_hash)
        store = self.disk.now
        block_hash = None if number is None else store.finals.get(number)
        if block_hash is None:
            return None
        is_last = block_hash == store.finalized
        return store.justification if is_last else store.kept.get(block_hash)

    def has_made(self, header: Header) -> bool:
        """Whether it built this block."""
        return unsealed_hash(header) in self._made

    def made_for(self, header: Header) -> effects.Build:
        """What it was asked to build when it made this block."""
        return self._made[unsealed_hash(header)]

    def serve(self, request: effects.RequestBlocks) -> Iterable[events.SyncBlock]:
        if self.adversary is not None:
            return self.adversary.serve(request)
        return self.serve_truly(request)

    def serve_truly(self, request: effects.RequestBlocks) -> Iterable[events.SyncBlock]:
        """What is on its disk."""
        return serve_blocks(self.disk.now, request)

    # --- transactions

    def offended(self, effect: effects.Offence) -> None:
        kind = "two votes" if isinstance(effect, effects.VoterEquivocated) else "two blocks"
        if self.is_honest:
            self.world.reached[kind] += 1
            if self.world.plan.has_real_signatures:  # the runtime checks them
                self._duties.report(effect)

    def best_changed(self, effect: effects.NotifyBest) -> None:
        bodies, reached = self.world.bodies, self.world.reached
        bodies.update((h, list(self.disk.now.bodies[h])) for h in effect.enacted)
        self.pool.new_best(
            effect.header.number,
            [(block_hash, bodies[block_hash]) for block_hash in effect.enacted],
            [(block_hash, bodies[block_hash]) for block_hash in effect.retracted],
        )
        if effect.retracted:
            reached["reorganisation"] += 1
            held = {xt for block_hash in effect.retracted for xt in bodies[block_hash][1:]}
            if held & set(self.pool.pending()):
                reached["returned extrinsic"] += 1

    def take_in(self, extrinsics: tuple[bytes, ...]) -> None:
        """Put extrinsics into the pool and tell the peers of those that are new."""
        new: list[bytes] = []
        for extrinsic in extrinsics:
            try:
                self.pool.submit(extrinsic)
            except PoolError:
                continue
            new.append(extrinsic)
        if new:
            self._pass_on(tuple(new))

    def _pass_on(self, extrinsics: tuple[bytes, ...]) -> None:
        for peer in sorted(self.peers):
            self.network.send(self, peer, Transactions(extrinsics))

    # --- invariants

    def told_final(self, effect: effects.NotifyFinalized) -> None:
        """Others heard of it: it may never be undone."""
        self._told = BlockRef(effect.block_hash, effect.header.number)

    def sealed(self, header: Header) -> None:
        """A block of ours goes out: there may be no other of its slot."""
        slot = aura.slot_of(header) or 0
        first = self._sealed.setdefault(slot, header.hash())
        assert first == header.hash(), f"{self.name} seals two blocks of slot {slot}"
        self.world.sound[header.hash()] = self.name

    def check_send(self, effect: effects.Send) -> None:
        super().check_send(effect)
        message = effect.message
        if not self.is_honest or not isinstance(message, effects.Announce):
            return
        if self.has_made(message.header):
            self.sealed(message.header)

    def _check(self) -> None:
        final = self.live._tree.finalized  # the whole status after each event would cost a lot
        if final is not self._final and final != self._final:
            assert final.number > self._final.number, f"finality of {self.name} goes back"
            best = self.live._tree.best.ref
            self.world.lag_max = max(self.world.lag_max, best.number - self._final.number)
            self._final = final
            votes_in = self.live._voter.authorities.set_id
            override = self.disk.now.override
            is_set_of = self.ledger.authorities_after(final.hash).set_id
            if override is not None and override.start.hash == final.hash:
                is_set_of = override.set_id  # the state names it from the next block on
            assert votes_in == is_set_of, f"{self.name} is in set {votes_in}, not {is_set_of}"
            if votes_in > self._set_id:
                self._set_id = votes_in
                self.world.reached["handoff"] += 1
        assert not self.halts, f"{self.name} halts: {self.halts[0]}"
        if not self.alarms:
            return
        for alarm in self.alarms:
            is_excused = self.has_lost_disk or alarm.kind not in (
                AlarmKind.SAFETY,
                AlarmKind.ROLLED_BACK,
            )
            assert is_excused, f"alarm of {self.name}: {alarm}"
        self.alarms.clear()


def size_of(message: object) -> int:
    """Bytes of a message on the wire."""
    match message:
        case effects.Announce():
            return len(message.header.encode())
        case Transactions():
            return sum(map(len, message.extrinsics))
        case _:
            return len(message.encode())  # type: ignore[attr-defined]
