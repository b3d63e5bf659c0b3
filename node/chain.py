"""The one door to the chain: headers, bodies, states, and the batches that change them.

Consensus decides what is stored and in which order; this module executes and builds blocks with
the runtime, keeps the outcome until consensus asks for it to be stored, and writes each list of
operations as one atomic batch. Everything reads through here: RPC, the pool, serving peers.

Invariants: what is in the database is either whole or absent; the state of every stored block
above the finalized one can be restored from its stored delta; headers, states and heads in memory
are those of the database. Heights and hashes of finalized blocks never change.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from consensus import aura, effects
from consensus.aura import BadHeader
from consensus.events import Built, Executed, Verdict
from consensus.grandpa.records import SLOT_KEY
from consensus.grandpa.vote_graph import BlockRef
from consensus.ports import LoadedState, SignerMark
from node.bill_archive import HISTORY_BEGIN_KEY, ArchivedDays, forgotten_by
from node.database import NUMBER_BYTES, Batch, Column, Database
from node.errors import StorageUnusable
from node.filling import fill_promised, fill_ready
from node.recoveries import UnknownBlock as UnknownBlock
from node.recoveries import make_link, override_fault, override_of
from node.state_store import StateDiscarded, StateStore, StateView, decode_delta, encode_delta
from runtime.frame.dispatch import InvalidBlock
from runtime.frame.extensions import InvalidTransaction
from runtime.genesis import genesis_header
from runtime.primitives.block import Block, Header
from runtime.primitives.grandpa import FinalityProof
from runtime.primitives.hashing import blake2_256
from runtime.primitives.recovery import RecoveryLink, RecoveryProof, recovery_keys_of
from runtime.primitives.scale import codec
from runtime.primitives.types import ZERO_HASH, Hash
from runtime.runtime import CODE_KEY, Runtime, SignatureCache, UnknownVersion
from runtime.state.backend import Backend
from runtime.state.overlay import Overlay
from runtime.state.trie import TrieCommit

log = logging.getLogger("chain")

BODY = codec(list[bytes])
"""A stored body."""

NUMBER_MAX = 1 << 32  # heights are stored in 4 bytes
TIMESTAMP_DRIFT_MAX_MS = 30_000  # as Substrate's; a block further ahead is not wrong, but early
PROOF_HEADERS_MAX = 4_096  # of 200 bytes each; justifications come much more often
RETIRED_MAX = 64  # blocks of lost branches; a fork of four validators has a few
CHANGED_KEPT = 512  # as many blocks as may be unfinalized; subscribers are told of each at once


class ProofTooLong(Exception):
    """A proof of finality would have too many headers."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A block that was executed and whose state changes wait to be stored."""

    header: Header
    extrinsics: tuple[bytes, ...]
    commit: TrieCommit


@dataclass(frozen=True, slots=True)
class Retired:
    """A block that can never be final, kept in memory for clients that were told of it."""

    header: Header
    extrinsics: list[bytes]
    state: StateView
    since: int
    """Height of the last finalized block before it was pruned: its state reads from there on."""


@dataclass(slots=True)
class _Pending:
    """What a batch will have changed in memory once it is written."""

    headers: dict[Hash, Header] = field(default_factory=dict[Hash, Header])
    views: dict[Hash, StateView] = field(default_factory=dict[Hash, StateView])
    after: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])
    is_finalizing: bool = False


class Chain:
    """Made by `Chain.open`. Single-threaded; nothing here awaits."""

    def __init__(self, database: Database, store: StateStore, runtime: Runtime) -> None:
        self.runtime = runtime
        self.signatures = SignatureCache()
        self._database = database
        self._store = store
        self._headers: dict[Hash, Header] = {}
        self._views: dict[Hash, StateView] = {}
        self._outcomes: dict[Hash, Outcome] = {}
        self._built: Outcome | None = None
        self._changed: dict[Hash, frozenset[bytes]] = {}
        self._retired: dict[Hash, Retired] = {}
        self.genesis_hash: Hash = b""
        self.finalized: Header
        self.best: Header
        self._finalized_hash: Hash = b""
        self._best_hash: Hash = b""

    @classmethod
    def open(
        cls,
        database: Database,
        runtime: Runtime,
        genesis: Mapping[bytes, bytes],
        state_pruning: int | None,
    ) -> "Chain":
        """Open the chain in `database`, or begin it with the state `genesis`.

        `state_pruning` is how many finalized states are kept; None keeps all. Raises
        `StorageUnusable` when the database belongs to another chain.
        """
        store = StateStore(database, state_pruning)
        chain = cls(database, store, runtime)
        commit = store.genesis_commit(genesis)
        header = genesis_header(commit.root)
        chain.genesis_hash = header.hash()
        stored = database.get(Column.META, b"genesis")
        if stored is None:
            chain._begin(header, commit)
        elif stored != chain.genesis_hash:
            raise StorageUnusable(
                f"The database holds the chain 0x{stored.hex()}, the chain specification describes "
                f"0x{chain.genesis_hash.hex()}. Use the right --chain, another --base-path, or "
                "remove the chain data."
            )
        chain._load()
        return chain

    # --- reading ------------------------------------------------------------------------------

    @property
    def best_hash(self) -> Hash:
        """Hash of the best block."""
        return self._best_hash

    @property
    def finalized_hash_now(self) -> Hash:
        """Hash of the last finalized block."""
        return self._finalized_hash

    def header(self, block_hash: Hash) -> Header | None:
        """The header of a stored block on any branch."""
        found = self._headers.get(block_hash)
        if found is None:
            data = self._database.get(Column.HEADER, block_hash)
            found = Header.decode(data) if data is not None else None
        return found

    def unfinalized(self) -> list[tuple[Hash, Header]]:
        """Every block above the finalized one, parents before children."""
        above = [item for item in self._headers.items() if item[1].number > self.finalized.number]
        return sorted(above, key=lambda item: item[1].number)

    def body(self, block_hash: Hash) -> list[bytes] | None:
        """The extrinsics of a stored block."""
        data = self._database.get(Column.BODY, block_hash)
        return BODY.decode(data) if data is not None else None

    def hash_at(self, number: int) -> Hash | None:
        """Hash of the block of this height on the best chain."""
        if not 0 <= number < NUMBER_MAX:
            return None
        return self._database.get(Column.NUMBER, _number_key(number))

    def finalized_hash(self, number: int) -> Hash | None:
        """Hash of the finalized block at this height; None above the last finalized one."""
        return self.hash_at(number) if number <= self.finalized.number else None

    def justification(self, block_hash: Hash) -> bytes | None:
        """The encoded justification kept with this block."""
        is_last = block_hash == self._finalized_hash
        last = self._database.get(Column.META, b"justification") if is_last else None
        return last or self._database.get(Column.JUSTIFICATION, block_hash)

    def kept_justifications(self) -> Iterator[tuple[Hash, bytes]]:
        """Blocks whose justifications are kept for ever, and the justifications; in no order."""
        return self._database.items(Column.JUSTIFICATION)

    def finality_proof(self, number: int) -> FinalityProof | None:
        """Proof that the block of this height is final: the first justification from there on.

        None when it is not final, or is one of the old blocks that are not here yet. Justifications
        are kept at each handoff, so this one is of the authority set that finalized the block.
        Raises `ProofTooLong`.
        """
        unknown: list[Header] = []
        for height in range(number, self.finalized.number + 1):
            block_hash = self.finalized_hash(height)
            if block_hash is None:
                return None  # in the gap of old blocks that are not here yet
            header = self.header(block_hash)
            assert header is not None, "a finalized block is stored"
            if height > number:
                unknown.append(header)
            justification = self.justification(block_hash)
            if justification is not None:
                return FinalityProof(block_hash, justification, unknown)
            if len(unknown) >= PROOF_HEADERS_MAX:
                raise ProofTooLong(
                    f"no justification within {PROOF_HEADERS_MAX} blocks from block {number} on"
                )
        return None

    @property
    def gap(self) -> BlockRef | None:
        """The highest of the old blocks that are not stored; None when all are."""
        data = self._database.get(Column.META, b"gap")
        if data is None:
            return None
        return BlockRef(data[NUMBER_BYTES:], int.from_bytes(data[:NUMBER_BYTES], "big"))

    def handoff_at(self, number: int) -> Hash | None:
        """The final block of this height, when it hands over: also one without the blocks below."""
        return self._database.get(Column.HANDOFF, _number_key(number))

    def handoffs_after(self, number: int) -> Iterator[Hash]:
        """The final blocks above a height that hand over to other voters, by rising number."""
        for _, block_hash in self._database.items(Column.HANDOFF, start=_number_key(number + 1)):
            yield block_hash

    def recoveries_after(self, number: int) -> Iterator[RecoveryLink]:
        """The overrides that start above a height, or at it, by rising number."""
        for _, data in self._database.items(Column.RECOVERY, start=_number_key(number)):
            yield RecoveryLink.decode(data)

    def recovery_at(self, number: int, block_hash: Hash) -> RecoveryLink | None:
        """The override that starts from a final block."""
        data = self._database.get(Column.RECOVERY, _number_key(number))
        link = None if data is None else RecoveryLink.decode(data)
        return link if link is not None and link.proof.override.start.hash == block_hash else None

    def override_fault(self, proof: RecoveryProof) -> str | None:
        """Why states do not allow an override; None when they do."""
        return override_fault(self, proof)

    def retired(self, block_hash: Hash) -> Retired | None:
        """A block that was pruned a short while ago. Only for answering clients."""
        return self._retired.get(block_hash)

    def old_days(self, runtime: Runtime) -> ArchivedDays:
        """Final intervals by day, those that the bound state has forgotten included."""

        def read(interval: int) -> bytes | None:
            return self._database.get(Column.SETTLED, _number_key(interval))

        return ArchivedDays(read, runtime.trading)

    def changed_keys(self, block_hash: Hash) -> frozenset[bytes] | None:
        """The keys that a recent block wrote; None when that is no longer known."""
        return self._changed.get(block_hash)

    def state_at(self, block_hash: Hash) -> StateView:
        """The state after a block. Raises `UnknownBlock`, or `StateDiscarded` when pruned."""
        view = self._views.get(block_hash)
        if view is not None:
            return view
        header = self.header(block_hash)
        if header is None or self.finalized_hash(header.number) != block_hash:
            # Blocks above the finalized one are all in `_views`, and forks below it are deleted.
            raise UnknownBlock(f"No state of block 0x{block_hash.hex()}: it is not on this chain.")
        return self._store.at_finalized(header.number, header.state_root)

    def best_state(self) -> StateView:
        """The state after the best block."""
        return self.state_at(self._best_hash)

    def runtime_of(self, state: Backend) -> Runtime:
        """The runtime under which blocks on a state run. Raises `UnknownVersion`."""
        return self.runtime.of_code(state.get(CODE_KEY))

    def last_authored_slot(self) -> int:
        """The last slot in which this node began a block; -1 before the first."""
        data = self._database.get(Column.VOTER, SLOT_KEY)
        return -1 if data is None else int.from_bytes(data, "little")

    def loaded_state(
        self, marks: tuple[SignerMark, ...], is_signer_away: bool = False
    ) -> LoadedState:
        """What consensus starts from."""
        view = self.state_at(self._finalized_hash)
        runtime, state = self.runtime_of(view), Overlay(view)
        voters = tuple(key for key, _ in runtime.grandpa_authorities(state))
        set_id = runtime.grandpa_set_id(state)
        justification = self._database.get(Column.META, b"justification")
        link = self.recovery_at(self.finalized.number, self._finalized_hash)
        if link is not None:
            # The block above brings them into the state; what the old voters proved is done.
            voters, set_id = recovery_keys_of(link.proof), link.proof.override.set_id
            justification = None
        return LoadedState(
            finalized=self.finalized,
            aura_authorities=tuple(runtime.aura_authorities(state)),
            grandpa_authorities=voters,
            set_id=set_id,
            unfinalized=tuple(header for _, header in self.unfinalized()),
            best_hash=self._best_hash,
            voter=dict(self._database.items(Column.VOTER)),
            justification=justification,
            gap=self.gap,
            signer_marks=marks,
            is_signer_away=is_signer_away,
            recovery=None if link is None else link.proof.encode(),
        )

    # --- executing and building -----------------------------------------------------------------

    def execute(self, request: effects.Execute, wall_ms: int) -> Executed:
        """Execute a block on its parent's state and keep the outcome until it is stored.

        A block whose time is too far ahead of our clock `wall_ms` (Unix time) is not executed yet.
        """
        block_hash, header, extrinsics = request.block_hash, request.header, request.extrinsics
        self._outcomes.clear()  # what was not stored at once is never stored
        built = self._built
        # Our own block, sealed; anybody may put another body under our header.
        if (
            built is not None
            and built.header == aura.unsealed(header)
            and built.extrinsics == extrinsics
        ):
            self._outcomes[block_hash] = Outcome(header, extrinsics, built.commit)
            self._built = None
            carried = override_of(header, extrinsics, self.runtime)
            return Executed(block_hash, Verdict.VALID, recovery=carried)
        try:
            state = self.state_at(header.parent_hash)
            runtime = self.runtime_of(state)
        except (UnknownBlock, StateDiscarded, UnknownVersion) as error:
            return Executed(block_hash, Verdict.FAILED, str(error))
        timestamp = runtime.timestamp_of(list(extrinsics))
        ahead_ms = 0 if timestamp is None else timestamp - wall_ms
        if ahead_ms > TIMESTAMP_DRIFT_MAX_MS:
            reason = f"{ahead_ms} ms ahead of our clock, expected {TIMESTAMP_DRIFT_MAX_MS} at most"
            return Executed(block_hash, Verdict.TOO_EARLY, reason)
        try:
            overlay = Overlay(state)
            runtime.execute_block(overlay, Block(header, list(extrinsics)), self.signatures)
            commit = overlay.commit()
        except InvalidBlock as error:
            return Executed(block_hash, Verdict.INVALID, str(error))
        self._outcomes[block_hash] = Outcome(header, extrinsics, commit)
        carried = override_of(header, extrinsics, runtime)
        return Executed(block_hash, Verdict.VALID, recovery=carried)

    def build(
        self,
        request: effects.Build,
        ready: Iterator[tuple[Hash, bytes]],
        reject: Callable[[Hash], None],
        now_ms: Callable[[], int],
        promised: Sequence[tuple[Hash, bytes]] = (),
    ) -> Built:
        """Build an unsealed block of what was `promised` and the `ready` extrinsics.

        Ends at the deadline, or when the block is full; `reject` drops what is invalid.
        """
        state = self.state_at(request.parent_hash)
        overlay = Overlay(state)
        try:
            runtime = self.runtime_of(state)
            proof = self._handoff_proof(runtime, state)
            runtime.initialize_block(overlay, _new_header(request))
            inherents = runtime.inherents(request.timestamp_ms, proof, request.recovery)
            for extrinsic in inherents:
                runtime.apply_extrinsic(overlay, extrinsic, self.signatures)
        except (InvalidBlock, InvalidTransaction, UnknownVersion) as error:
            # The clock went back behind the parent's time, for instance.
            return Built(request.slot, request.parent_hash, None, (), str(error))
        apply = partial(runtime.apply_extrinsic, overlay, signatures=self.signatures)
        kept = fill_promised(apply, promised)
        rest = fill_ready(apply, ready, kept, reject, lambda: now_ms() >= request.deadline_ms)
        body = (*inherents, *kept.values(), *rest)
        header = runtime.finalize_block(overlay)
        self._built = Outcome(header, body, overlay.commit())
        return Built(request.slot, request.parent_hash, header, body)

    def _handoff_proof(self, runtime: Runtime, state: StateView) -> bytes | None:
        """The proof of finality that a state waits for, if we have it."""
        number = runtime.open_handoff(Overlay(state))
        block_hash = None if number is None else self.handoff_at(number)
        return None if block_hash is None else self.justification(block_hash)

    # --- writing ------------------------------------------------------------------------------

    def write(self, request: effects.Persist) -> None:
        """Write all operations of a batch at once. Raises `DiskFailed`; then nothing changed."""
        pending = _Pending()
        with self._database.batch(sync=request.is_synced) as batch:
            for operation in request.operations:
                match operation:
                    case effects.PutBlock():
                        self._put_block(batch, operation, pending)
                    case effects.SetBest():
                        self._set_best(batch, operation, pending)
                    case effects.Finalize():
                        self._finalize(batch, operation, pending)
                    case effects.Recover():
                        self._recover(batch, operation, pending)
                    case effects.PutAncestor():
                        self._put_ancestor(batch, operation)
                    case effects.PutVoter():
                        batch.put(Column.VOTER, operation.key, operation.value)
                    case effects.DeleteVoter():
                        batch.delete(Column.VOTER, operation.key)
        # Memory follows the disk, never the other way round.
        self._headers.update(pending.headers)
        self._views.update(pending.views)
        for follow in pending.after:
            follow()

    def revert_to(self, number: int) -> int:
        """Delete every block above a height, which is not below the final one; says how many.

        The best block is then the one of that height on the best chain. Only while no consensus
        runs on this chain: what it holds in memory would be of blocks that are gone.
        """
        assert number >= self.finalized.number, "final blocks are never taken back"
        best_hash = self.hash_at(min(number, self.best.number))
        assert best_hash is not None, "every height up to the best block has its hash"
        gone = [item for item in self.unfinalized() if item[1].number > number]
        with self._database.batch(sync=True) as batch:
            for block_hash, header in gone:
                batch.delete(Column.HEADER, block_hash)
                batch.delete(Column.BODY, block_hash)
                batch.delete(Column.JOURNAL, _journal_key(header, block_hash))
            for height in range(number + 1, self.best.number + 1):
                batch.delete(Column.NUMBER, _number_key(height))
            batch.put(Column.META, b"best", best_hash)
        for block_hash, _ in gone:
            self._headers.pop(block_hash, None)
            self._views.pop(block_hash, None)
        self.best, self._best_hash = self._headers[best_hash], best_hash
        return len(gone)

    def _put_block(self, batch: Batch, operation: effects.PutBlock, pending: _Pending) -> None:
        block_hash, header = operation.block_hash, operation.header
        commit = self._outcomes[block_hash].commit
        batch.put(Column.HEADER, block_hash, header.encode())
        batch.put(Column.BODY, block_hash, BODY.encode(list(operation.extrinsics)))
        batch.put(Column.JOURNAL, _journal_key(header, block_hash), encode_delta(commit))
        parent = pending.views.get(header.parent_hash) or self.state_at(header.parent_hash)
        pending.headers[block_hash] = header
        pending.views[block_hash] = parent.child(commit)

        def follow() -> None:
            del self._outcomes[block_hash]
            self._changed[block_hash] = frozenset(commit.values)
            while len(self._changed) > CHANGED_KEPT:
                del self._changed[next(iter(self._changed))]

        pending.after.append(follow)

    def _put_ancestor(self, batch: Batch, operation: effects.PutAncestor) -> None:
        block_hash, header, gap = operation.block_hash, operation.header, operation.gap
        batch.put(Column.HEADER, block_hash, header.encode())
        batch.put(Column.BODY, block_hash, BODY.encode(list(operation.extrinsics)))
        batch.put(Column.NUMBER, _number_key(header.number), block_hash)
        if gap is None:
            batch.delete(Column.META, b"gap")
        else:
            batch.put(Column.META, b"gap", _number_key(gap.number) + gap.hash)

    def _set_best(self, batch: Batch, operation: effects.SetBest, pending: _Pending) -> None:
        for block_hash in operation.retracted:
            batch.delete(Column.NUMBER, _number_key(self._known(block_hash, pending).number))
        for block_hash in operation.enacted:
            number = self._known(block_hash, pending).number
            batch.put(Column.NUMBER, _number_key(number), block_hash)
        batch.put(Column.META, b"best", operation.block_hash)
        header = self._known(operation.block_hash, pending)

        def follow() -> None:
            self.best, self._best_hash = header, operation.block_hash

        pending.after.append(follow)

    def _finalize(self, batch: Batch, operation: effects.Finalize, pending: _Pending) -> None:
        self._settle(batch, operation, pending)
        batch.put(Column.META, b"justification", operation.justification)
        if operation.is_kept:
            batch.put(Column.JUSTIFICATION, operation.block_hash, operation.justification)
        header = self._known(operation.block_hash, pending)
        if _hands_over(header):
            batch.put(Column.HANDOFF, _number_key(header.number), operation.block_hash)

    def _recover(self, batch: Batch, operation: effects.Recover, pending: _Pending) -> None:
        link = make_link(self, RecoveryProof.decode(operation.proof))
        batch.put(Column.RECOVERY, _number_key(operation.number), link.encode())
        # The last proof of voters who make no other. What they made final above is proved with what
        # follows, as all up to the start is.
        final = link.proof.override.finalized.hash
        justification = link.proof.justification or self.justification(final)
        if justification is not None:
            batch.put(Column.JUSTIFICATION, final, justification)
        batch.delete(Column.META, b"justification")
        self._settle(batch, operation, pending)

    def _settle(
        self, batch: Batch, operation: effects.Finalize | effects.Recover, pending: _Pending
    ) -> None:
        """Fold the states of newly final blocks in, and drop what can never be final now."""
        assert not pending.is_finalizing, "one finality in a batch: it sees no other's writes"
        pending.is_finalizing = True
        route = [
            pending.views.get(block_hash) or self._views[block_hash]
            for block_hash in operation.route
        ]
        self._keep_forgotten(batch, route)
        settle = self._store.finalize(batch, route) if route else None
        for block_hash in (*operation.route, *operation.pruned):
            header = self._known(block_hash, pending)
            batch.delete(Column.JOURNAL, _journal_key(header, block_hash))
        for block_hash in operation.pruned:
            batch.delete(Column.HEADER, block_hash)
            batch.delete(Column.BODY, block_hash)
        batch.put(Column.META, b"finalized", operation.block_hash)
        header = self._known(operation.block_hash, pending)
        retired = self._retire(operation.pruned)

        def follow() -> None:
            if settle is not None:
                settle()
            self._keep_retired(retired)
            gone = (self._finalized_hash, *operation.route, *operation.pruned)
            self.finalized, self._finalized_hash = header, operation.block_hash
            for block_hash in gone:
                if block_hash != self._finalized_hash:
                    self._views.pop(block_hash, None)
                    self._headers.pop(block_hash, None)

        pending.after.append(follow)

    def _keep_forgotten(self, batch: Batch, route: list[StateView]) -> None:
        """Keep settlements that the state drops with these blocks: old bills are made of them."""
        before = self._views[self._finalized_hash]
        for view in route:
            if HISTORY_BEGIN_KEY in view.commit.values:
                runtime = self.runtime_of(before)
                for interval, kept in forgotten_by(runtime, before, view.commit.values):
                    batch.put(Column.SETTLED, _number_key(interval), kept)
            before = view

    def _retire(self, pruned: tuple[Hash, ...]) -> dict[Hash, Retired]:
        found: dict[Hash, Retired] = {}
        for block_hash in pruned:
            header, body = self._headers.get(block_hash), self.body(block_hash)
            state = self._views.get(block_hash)
            if header is not None and body is not None and state is not None:
                found[block_hash] = Retired(header, body, state, self.finalized.number)
        return found

    def _keep_retired(self, retired: dict[Hash, Retired]) -> None:
        kept = {**self._retired, **retired}
        recent = [item for item in kept.items() if item[1].since >= self._store.oldest]
        self._retired = dict(recent[-RETIRED_MAX:])

    # --- opening ------------------------------------------------------------------------------

    def _begin(self, header: Header, commit: TrieCommit) -> None:
        with self._database.batch(sync=True) as batch:
            self._store.write_genesis(batch, commit)
            batch.put(Column.HEADER, self.genesis_hash, header.encode())
            batch.put(Column.BODY, self.genesis_hash, BODY.encode([]))
            batch.put(Column.NUMBER, _number_key(0), self.genesis_hash)
            batch.put(Column.META, b"genesis", self.genesis_hash)
            batch.put(Column.META, b"finalized", self.genesis_hash)
            batch.put(Column.META, b"best", self.genesis_hash)

    def _load(self) -> None:
        finalized_hash = self._required(Column.META, b"finalized", "the finalized block's hash")
        self.finalized = Header.decode(
            self._required(Column.HEADER, finalized_hash, "the finalized header")
        )
        self._required(Column.BODY, finalized_hash, "the finalized block's body")
        self._finalized_hash = finalized_hash
        view = self._store.at_finalized(self.finalized.number, self.finalized.state_root)
        view.check_stored()
        self._headers[finalized_hash] = self.finalized
        self._views[finalized_hash] = view
        self._restore_unfinalized()
        self._index_handoffs()
        best_hash = self._required(Column.META, b"best", "the best block's hash")
        best = self._headers.get(best_hash)
        if best is None:
            best_hash, best = max(self._headers.items(), key=lambda item: (item[1].number, item[0]))
            log.warning("The best block is not stored; taking #%d", best.number)
            self._recanonicalize(best_hash, best)
        self.best, self._best_hash = best, best_hash

    def _index_handoffs(self) -> None:
        """Find the handoffs among the kept proofs, once, in a database without an index of them."""
        if self._database.get(Column.META, b"handoffs") is not None:
            return
        with self._database.batch(sync=False) as batch:
            for block_hash, _ in self._database.items(Column.JUSTIFICATION):
                header = self.header(block_hash)
                if header is not None and _hands_over(header):
                    batch.put(Column.HANDOFF, _number_key(header.number), block_hash)
            batch.put(Column.META, b"handoffs", b"")

    def _restore_unfinalized(self) -> None:
        """Compute the states above the finalized one again, parents before children."""
        with self._database.batch(sync=False) as batch:
            for key, delta in self._database.items(Column.JOURNAL):
                block_hash = key[NUMBER_BYTES:]
                data = self._database.get(Column.HEADER, block_hash)
                header = Header.decode(data) if data is not None else None
                parent = self._views.get(header.parent_hash) if header is not None else None
                if header is None or parent is None:
                    # Of no use without its parent; consensus can fetch it again.
                    log.warning("Dropping block 0x%s: it has no parent here", block_hash.hex())
                    batch.delete(Column.JOURNAL, key)
                    batch.delete(Column.HEADER, block_hash)
                    batch.delete(Column.BODY, block_hash)
                    continue
                commit = parent.storage_root(decode_delta(delta))
                if commit.root != header.state_root:
                    raise StorageUnusable(
                        f"The database is damaged: the changes stored for block {header.number} "
                        f"lead to the state root 0x{commit.root.hex()}, its header says "
                        f"0x{header.state_root.hex()}. Restore a backup, or remove the chain data."
                    )
                self._headers[block_hash] = header
                self._views[block_hash] = parent.child(commit)

    def _recanonicalize(self, best_hash: Hash, best: Header) -> None:
        with self._database.batch(sync=True) as batch:
            for key, _ in self._database.items(
                Column.NUMBER, start=_number_key(self.finalized.number + 1)
            ):
                batch.delete(Column.NUMBER, key)
            block_hash, header = best_hash, best
            while header.number > self.finalized.number:
                batch.put(Column.NUMBER, _number_key(header.number), block_hash)
                block_hash = header.parent_hash
                header = self._headers[block_hash]
            batch.put(Column.META, b"best", best_hash)

    def _required(self, column: Column, key: bytes, what: str) -> bytes:
        value = self._database.get(column, key)
        if value is None:
            raise StorageUnusable(
                f"The database is damaged: {what} is missing. Restore a backup, or remove the "
                "chain data and let the node fetch the chain from its peers."
            )
        return value

    def _known(self, block_hash: Hash, pending: _Pending) -> Header:
        header = pending.headers.get(block_hash) or self.header(block_hash)
        assert header is not None, f"consensus names a block that is not stored: {block_hash.hex()}"
        return header


def _number_key(number: int) -> bytes:
    return number.to_bytes(NUMBER_BYTES, "big")


def _journal_key(header: Header, block_hash: Hash) -> bytes:
    return _number_key(header.number) + block_hash


def _hands_over(header: Header) -> bool:
    try:
        return aura.scheduled_change_of(header) is not None
    except BadHeader:
        return False  # of a runtime for tests; consensus imports no such header


def _new_header(request: effects.Build) -> Header:
    """The header a block begins with: no roots yet."""
    return Header(request.parent_hash, request.number, ZERO_HASH, ZERO_HASH, request.digest)


def extrinsic_hash(extrinsic: bytes) -> Hash:
    """blake2-256 of the whole bytes, length prefix included."""
    return blake2_256(extrinsic)
