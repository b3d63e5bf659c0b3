"""A simulated node's chain as a node keeps it: `node.chain` on a LevelDB of its own.

The database is the production one with the production code above it; what a crash leaves is made
with the files. LevelDB writes each batch as a record into a log and reads that when it is opened,
so cutting the log off where it was synced, or after some of the batches since, or in the middle of
one, is what the loss of power does. A full log is written as a table and begun anew: what it held
is on disk then.

Invariant: after each restart the database says what the model of the disk (`disk.py`) says.
"""

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from consensus import effects
from consensus.events import Built, Executed
from node.chain import Chain, UnknownBlock, extrinsic_hash
from node.database import Column, Database
from node.state_store import StateDiscarded
from runtime.primitives.block import Header
from runtime.primitives.types import Hash
from runtime.runtime import Runtime
from runtime.state.backend import Backend
from tests.simulation.ledger import Extrinsics, Ledger

STATES_KEPT = 256  # as a node does by itself


@dataclass(frozen=True)
class LogEnd:
    """How far a log had been written."""

    name: str
    size: int


class StoredLedger(Ledger):
    """A ledger that is the chain of one node."""

    def __init__(
        self, genesis: Mapping[bytes, bytes], folder: Path, runtime: Runtime | None = None
    ) -> None:
        super().__init__(genesis, runtime)
        self._genesis = genesis
        self._folder = folder
        self.wall_ms = 0
        """The node's clock, to be set before a block is executed."""

        self.reject: Callable[[Hash], None] = lambda digest: None
        """Drops an extrinsic from the node's pool."""

        self._open()

    def _open(self) -> None:
        self._read = None  # a state of the database that was closed
        self._database = Database.open(self._folder)
        self.chain = Chain.open(self._database, self.runtime, self._genesis, STATES_KEPT)
        self._synced = self._log_end()
        self._unsynced: list[LogEnd] = []

    # --- what happens to the disk

    def write(self, batch: effects.Persist) -> bool:
        """Write a batch; True when a log became full, and all before the batch is on disk."""
        self.chain.write(batch)
        for operation in batch.operations:
            if isinstance(operation, effects.PutBlock):
                issued = self._issued(self.state_after(operation.block_hash))
                assert issued == self._issuance, "the supply changed"
        end = self._log_end()
        is_full = end.name != self._synced.name
        if is_full:
            self._synced, self._unsynced = LogEnd(end.name, 0), []
        self._unsynced.append(end)
        return is_full

    def sync(self) -> None:
        """All that was written is on disk."""
        if self._unsynced:
            self._synced, self._unsynced = self._unsynced[-1], []

    def crash(self, kept: int) -> None:
        """Lose what was not synced but for the first batches, and half of the one after them."""
        self._database.close()
        ends = [self._synced, *self._unsynced]
        last = min(kept, len(self._unsynced))
        size = ends[last].size
        if last + 1 < len(ends):
            size += (ends[last + 1].size - size) // 2
        log = self._folder / self._synced.name
        with log.open("r+b") as file:
            file.truncate(size)
        self._open()

    def wipe(self) -> None:
        """Lose all, and begin anew."""
        self._database.close()
        shutil.rmtree(self._folder)
        self._open()

    def forget_votes(self) -> None:
        """Lose what consensus stored of its votes."""
        keys = [key for key, _ in self._database.items(Column.VOTER)]
        with self._database.batch(sync=False) as batch:
            for key in keys:
                batch.delete(Column.VOTER, key)
        self._synced, self._unsynced = self._log_end(), []

    def close(self) -> None:
        """Let go of the files."""
        self._database.close()

    def _log_end(self) -> LogEnd:
        log = max(self._folder.glob("*.log"))
        return LogEnd(log.name, log.stat().st_size)

    # --- what a ledger does

    def execute(self, block_hash: Hash, header: Header, extrinsics: Extrinsics) -> Executed:
        self.blocks_executed += 1
        request = effects.Execute(block_hash, header, extrinsics)
        return self.chain.execute(request, self.wall_ms)

    def build(
        self, build: effects.Build, ready: Iterable[bytes] = (), proof: bytes | None = None
    ) -> Built:
        """Build with the chain, which finds the proof of a handoff by itself."""
        pairs = ((extrinsic_hash(extrinsic), extrinsic) for extrinsic in ready)
        return self.chain.build(build, pairs, self.reject, lambda: 0)

    def state_after(self, block_hash: Hash) -> Backend:
        return self.chain.state_at(block_hash)

    def knows(self, block_hash: Hash) -> bool:
        try:
            self.chain.state_at(block_hash)
        except (UnknownBlock, StateDiscarded):
            return False
        return True

    def root_of(self, block_hash: Hash) -> Hash:
        return self.chain.state_at(block_hash).root
