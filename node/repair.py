"""Makes a damaged database whole again, from what of it can still be read.

LevelDB salvages a copy; then the chain in it is checked from the final block down, and whatever
does not hold together is left out, so that the node fetches it from its peers again:

1. The final block is the highest that has its header, its body and its whole state. When the one
   that was final has not, an earlier one with a proof takes its place.
2. Its state is computed anew from its values, and is the only one that is kept.
3. Below it, each block must be stored whole under the hash that its child names; from the first
   that is not on downwards the node has a gap, which it fills while it runs.
4. Blocks above it are dropped.

A validator's memory of its votes is kept only when nothing was set back. It may be older than what
the validator has signed all the same, so the signer's own file decides: with a mark above the
database's the node observes until the next set of validators. The damaged folder is kept beside
the new one.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from consensus.grandpa.records import SLOT_KEY
from node.chain import BODY
from node.chain_spec import ChainSpec
from node.database import NUMBER_BYTES, Batch, Column, Database
from node.errors import StorageLocked, StorageUnusable
from node.state_store import STATE_VERSION, StateStore
from runtime.genesis import genesis_header
from runtime.primitives.block import Header
from runtime.primitives.scale import DecodeError
from runtime.primitives.types import Hash
from runtime.state.trie import Trie, TrieCommit, extrinsics_root

COPY, WHOLE = "db.repair", "db.repaired"  # beside the database: under work, and ready


@dataclass(frozen=True, slots=True)
class Repaired:
    """What a repair came to."""

    final_before: int | None
    """Height of the last final block as the database said it; None when that was lost."""

    final: int
    lowest: int
    """The lowest block above genesis that is stored with all blocks up to the final one."""

    dropped: int
    """Blocks above the final one."""

    damaged: Path
    """Where the old folder is now."""

    @property
    def is_set_back(self) -> bool:
        """Whether blocks that were final here have to be fetched again."""
        return self.final_before != self.final


def repair(base_path: Path, spec: ChainSpec) -> Repaired:
    """Repair the database of a stopped node. Raises `StorageUnusable`; then all is as it was."""
    finish_repair(base_path)
    folder, copy = base_path / "db", base_path / COPY
    _refuse_open(folder)
    for remains in (copy, base_path / WHOLE):
        shutil.rmtree(remains, ignore_errors=True)
    try:
        shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("LOCK", "OWNER"))
    except (OSError, shutil.Error) as error:
        shutil.rmtree(copy, ignore_errors=True)
        raise StorageUnusable(
            f"{folder} cannot be copied: {error}. The repair works on a copy and needs as much "
            "free space as the folder has."
        ) from error
    try:
        Database.salvage(copy)
        runtime = spec.runtime()
        genesis = genesis_header(
            Trie.empty(STATE_VERSION).update(dict(spec.genesis_storage(runtime))).root
        )
        database = Database.open(copy)
        try:
            work = _Repair(database, genesis)
            final, lowest, dropped = work.run()
        finally:
            database.close()
    except BaseException:
        shutil.rmtree(copy, ignore_errors=True)
        raise
    damaged = _free_name(folder)
    copy.rename(base_path / WHOLE)
    folder.rename(damaged)
    finish_repair(base_path)
    return Repaired(work.final_before, final, lowest, dropped, damaged)


def finish_repair(base_path: Path) -> None:
    """Let the copy that is whole take the place of the database that was moved away for it.

    Does nothing in any other case. Whatever opens the database calls this first, should a repair
    have been killed between its two steps.
    """
    folder, whole = base_path / "db", base_path / WHOLE
    if folder.exists() or not whole.exists():
        return
    whole.rename(folder)
    _sync_folder(base_path)


def _refuse_open(folder: Path) -> None:
    if not folder.is_dir():
        raise StorageUnusable(f"There is no database in {folder}: nothing to repair.")
    try:
        Database.open(folder).close()
    except StorageLocked:
        raise
    except StorageUnusable:
        pass  # that is what we are here for


class _Repair:
    """The check of one salvaged copy."""

    def __init__(self, database: Database, genesis: Header) -> None:
        self._database = database
        self._genesis = genesis
        self._store = StateStore(database, None)
        self.final_before: int | None = None

    def run(self) -> tuple[int, int, int]:
        """Height of the final block, of the lowest below it, and how many above were dropped."""
        stored = self._database.get(Column.META, b"genesis")
        if stored is not None and stored != self._genesis.hash():
            raise StorageUnusable(
                f"The database holds the chain 0x{stored.hex()}, the chain specification describes "
                f"0x{self._genesis.hash().hex()}. Use the right --chain."
            )
        block_hash, header, commit, proof = self._find_final()
        with self._database.batch(sync=True) as batch:
            self._store.write_alone(batch, header.number, commit)
            self._write_heads(batch, block_hash, proof)
            dropped = self._drop_above(batch, header.number)
            lowest = self._index(batch, block_hash, header)
            if self.final_before != header.number:
                self._forget_votes(batch)
        return header.number, lowest, dropped

    def _find_final(self) -> tuple[Hash, Header, TrieCommit, bytes | None]:
        """The highest block that can be the final one, its state, and its proof."""
        told = self._database.get(Column.META, b"finalized")
        told_header = None if told is None else self._header(told)
        self.final_before = None if told_header is None else told_header.number
        proofs = dict(self._database.items(Column.JUSTIFICATION))
        proved = [(self._header(block_hash), block_hash) for block_hash in proofs]
        candidates = [(header, block_hash) for header, block_hash in proved if header is not None]
        candidates.sort(key=lambda item: item[0].number, reverse=True)
        if told is not None and told_header is not None:
            candidates.insert(0, (told_header, told))
            last = self._database.get(Column.META, b"justification")
            if last is not None:
                proofs[told] = last
        candidates.append((self._genesis, self._genesis.hash()))
        for header, block_hash in candidates:
            if header.number > 0 and self._body(header, block_hash) is None:
                continue
            commit = Trie.empty(STATE_VERSION).update(self._store.values_at(header.number))
            if commit.root == header.state_root:
                return block_hash, header, commit, proofs.get(block_hash)
        raise StorageUnusable(
            "The repair found no state that is whole. Restore a backup, or remove the folder db "
            "and let the node fetch the chain from its peers; keystore and signing_state.json "
            "must stay."
        )

    def _write_heads(self, batch: Batch, block_hash: Hash, proof: bytes | None) -> None:
        genesis_hash = self._genesis.hash()
        batch.put(Column.HEADER, genesis_hash, self._genesis.encode())
        batch.put(Column.BODY, genesis_hash, BODY.encode([]))
        batch.put(Column.NUMBER, bytes(NUMBER_BYTES), genesis_hash)
        batch.delete(Column.META, b"handoffs")  # found anew among the proofs when it is opened
        batch.put(Column.META, b"genesis", genesis_hash)
        batch.put(Column.META, b"finalized", block_hash)
        batch.put(Column.META, b"best", block_hash)
        if proof is None:
            batch.delete(Column.META, b"justification")
        else:
            batch.put(Column.META, b"justification", proof)

    def _drop_above(self, batch: Batch, number: int) -> int:
        """Drop what is higher than the final block."""
        for key, _ in self._database.items(Column.JOURNAL):
            batch.delete(Column.JOURNAL, key)
        dropped = 0
        for block_hash, data in self._database.items(Column.HEADER):
            header = _decoded(data)
            if header is None or header.number > number:
                batch.delete(Column.HEADER, block_hash)
                batch.delete(Column.BODY, block_hash)
                batch.delete(Column.JUSTIFICATION, block_hash)
                dropped += 1
        return dropped

    def _index(self, batch: Batch, block_hash: Hash, header: Header) -> int:
        """Give each height its hash again, downwards from the final block; the lowest reached."""
        for key, _ in self._database.items(Column.NUMBER):
            batch.delete(Column.NUMBER, key)
        batch.put(Column.NUMBER, bytes(NUMBER_BYTES), self._genesis.hash())
        lowest = header.number
        while header.number > 0:
            batch.put(Column.NUMBER, header.number.to_bytes(NUMBER_BYTES, "big"), block_hash)
            lowest, block_hash = header.number, header.parent_hash
            parent = self._header(block_hash) if lowest > 1 else self._genesis
            if parent is None or self._body(parent, block_hash) is None:
                batch.put(Column.META, b"gap", (lowest - 1).to_bytes(4, "big") + block_hash)
                return lowest
            header = parent
        batch.delete(Column.META, b"gap")
        return min(lowest, 1)

    def _forget_votes(self, batch: Batch) -> None:
        for key, _ in self._database.items(Column.VOTER):
            if key != SLOT_KEY:
                batch.delete(Column.VOTER, key)

    def _header(self, block_hash: Hash) -> Header | None:
        data = self._database.get(Column.HEADER, block_hash)
        header = None if data is None else _decoded(data)
        return header if header is not None and header.hash() == block_hash else None

    def _body(self, header: Header, block_hash: Hash) -> list[bytes] | None:
        if header.number == 0:
            return []
        data = self._database.get(Column.BODY, block_hash)
        try:
            body = None if data is None else BODY.decode(data)
        except DecodeError:
            return None
        if body is None or extrinsics_root(body) != header.extrinsics_root:
            return None
        return body


def _decoded(data: bytes) -> Header | None:
    try:
        return Header.decode(data)
    except DecodeError:
        return None


def _free_name(folder: Path) -> Path:
    number = 1
    while (found := folder.with_name(f"{folder.name}.damaged-{number}")).exists():
        number += 1
    return found


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
