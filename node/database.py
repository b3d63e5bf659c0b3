"""The database: one LevelDB, its columns, atomic batches. The only module that imports plyvel.

Invariant: a batch is written whole or not at all, and a synced batch makes all earlier ones
durable with it, because LevelDB has one log. After a write failed, nothing is written any more:
what a failed fsync left behind is unknown.

A versioned column holds many values for one key, each under `key ++ number` (4 bytes, big-endian);
`latest` finds the one that was valid at a number with a single seek. Keys of such columns must
tell their own length, so that no key is another's beginning.
"""

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Protocol

import plyvel

from node.errors import DiskFailed, NodeError, StorageLocked, StorageUnusable, is_for_want_of_space

SCHEMA = b"1"  # goes up when what is stored changes its form

# Memory the database may take besides the page cache; a node's whole budget is 250 MB.
WRITE_BUFFER_BYTES = 8 << 20
BLOCK_CACHE_BYTES = 16 << 20
OPEN_FILES_MAX = 256
BLOOM_BITS = 10

NUMBER_BYTES = 4
_OWNER = "OWNER"  # beside LevelDB's files: the process id of who opened it last


class Column(Enum):
    """The first byte of every key."""

    HEADER = b"h"
    """Block hash: header."""

    BODY = b"b"
    """Block hash: extrinsics."""

    NUMBER = b"n"
    """Height, big-endian: hash of the block on the best chain."""

    JUSTIFICATION = b"j"
    """Block hash: justification that is kept for ever."""

    HANDOFF = b"k"
    """Height, big-endian: hash of a final block that hands over to other voters."""

    RECOVERY = b"o"
    """Height, big-endian: `RecoveryLink` of the override that starts from the final block there."""

    VALUE = b"s"
    """Storage key, versioned: value after that block."""

    NODE = b"t"
    """Path of a trie node, versioned: its encoding after that block."""

    SUPERSEDED = b"p"
    """Height, big-endian: the entries of VALUE and NODE that no state from there on reads."""

    JOURNAL = b"d"
    """Height and hash of an unfinalized block: its state changes."""

    SETTLED = b"a"
    """Interval, big-endian: a final settlement that the state has forgotten."""

    META = b"m"
    """Name: genesis, schema, finalized, best, justification, oldest, gap, handoffs."""

    VOTER = b"v"
    """Consensus' own."""


class _WriteBatch(Protocol):
    def put(self, key: bytes, value: bytes) -> None: ...
    def delete(self, key: bytes) -> None: ...


class Batch:
    """Writes that happen together, when the `with` block of `Database.batch` ends."""

    def __init__(self, writer: _WriteBatch) -> None:
        self._writer = writer

    def put(self, column: Column, key: bytes, value: bytes) -> None:
        """Store a value, in place of an earlier one."""
        self._writer.put(column.value + key, value)

    def delete(self, column: Column, key: bytes) -> None:
        """Remove a key; an absent one is no error."""
        self._writer.delete(column.value + key)


class _RawIterator(Protocol):
    def seek(self, target: bytes) -> None: ...
    def seek_to_last(self) -> None: ...
    def prev(self) -> None: ...
    def valid(self) -> bool: ...
    def key(self) -> bytes: ...


class Seeker:
    """Looks at a snapshot of the database; made by `Database.seeker`."""

    def __init__(self, iterator: _RawIterator) -> None:
        self._iterator = iterator

    def entry_before(self, column: Column, key: bytes, number: int) -> bytes | None:
        """Of a versioned column: the last entry (`key ++ its number`) below a number."""
        name = column.value + key
        iterator = self._iterator
        iterator.seek(name + number.to_bytes(NUMBER_BYTES, "big"))
        if iterator.valid():
            iterator.prev()
        else:
            iterator.seek_to_last()
        if not iterator.valid():
            return None
        found = iterator.key()
        return found[1:] if found.startswith(name) else None


class Database:
    """Made by `Database.open`."""

    def __init__(self, database: plyvel.DB) -> None:
        self._database = database
        self._has_failed = False

    @classmethod
    def open(cls, path: Path) -> "Database":
        """Open the database in the folder `path`, which is made when missing.

        Raises `StorageUnusable` when another process has it open, when it is damaged or was
        written by another version of the software; `DiskFailed` when the disk is full.
        """
        _refuse_incomplete(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            opened = plyvel.DB(
                str(path),
                create_if_missing=True,
                paranoid_checks=True,
                write_buffer_size=WRITE_BUFFER_BYTES,
                lru_cache_size=BLOCK_CACHE_BYTES,
                max_open_files=OPEN_FILES_MAX,
                bloom_filter_bits=BLOOM_BITS,
            )
        except (plyvel.Error, OSError) as error:
            raise _why_not_opened(path, error) from error
        database = cls(opened)
        try:
            database._check_schema(path)
            (path / _OWNER).write_text(f"{os.getpid()}\n")
        except OSError as error:
            database.close()
            raise _why_not_opened(path, error) from error
        except BaseException:
            database.close()
            raise
        return database

    @staticmethod
    def salvage(path: Path) -> None:
        """Make the damaged database in a folder one that opens, from what can still be read.

        What cannot be read is lost: whoever calls this works on a copy and checks what is there.
        """
        schema = Column.META.value + b"schema"
        try:
            plyvel.repair_db(str(path))
            salvaged = plyvel.DB(str(path), create_if_missing=False)
            try:
                if salvaged.get(schema) is None:
                    salvaged.put(schema, SCHEMA, sync=True)
            finally:
                salvaged.close()
        except plyvel.Error as error:
            raise StorageUnusable(
                f"The database in {path} cannot be repaired: {error}. Restore a backup, or remove "
                "the chain data and let the node fetch the chain from its peers."
            ) from error

    def close(self) -> None:
        """Close the files and release the lock. May be called twice."""
        self._database.close()

    def get(self, column: Column, key: bytes) -> bytes | None:
        """The value of a key, or None."""
        try:
            return self._database.get(column.value + key)
        except plyvel.Error as error:
            raise _damaged(error) from error

    def latest(self, column: Column, key: bytes, number: int) -> tuple[int, bytes] | None:
        """Of a versioned column: the last number up to `number` with a value, and the value."""
        # No entry equals `first`: see `items` for why that matters.
        first = column.value + key
        try:
            with self._database.iterator(
                start=first,
                stop=first + number.to_bytes(NUMBER_BYTES, "big"),
                include_stop=True,
                reverse=True,
            ) as found:
                entry = next(found, None)
        except plyvel.Error as error:
            raise _damaged(error) from error
        if entry is None:
            return None
        return int.from_bytes(entry[0][-NUMBER_BYTES:], "big"), entry[1]

    def items(
        self,
        column: Column,
        start: bytes = b"",
        stop: bytes | None = None,
        prefix: bytes = b"",
        reverse: bool = False,
    ) -> Iterator[tuple[bytes, bytes]]:
        """Keys from `start` on and before `stop` that have `prefix`, with their values, in order.

        Of the moment when the iteration begins: later writes are not seen.
        """
        name = column.value
        first = name + max(start, prefix)
        last = name + stop if stop is not None else None
        after_prefix = _successor(name + prefix)
        if last is None or (after_prefix is not None and after_prefix < last):
            last = after_prefix
        # Backwards, plyvel 1.5 leaves out a key that equals `start` when it is the only one.
        start_or_none = None if reverse else first
        try:
            with self._database.iterator(start=start_or_none, stop=last, reverse=reverse) as found:
                for key, value in found:
                    if key < first:
                        return
                    yield key[1:], value
        except plyvel.Error as error:
            raise _damaged(error) from error

    @contextmanager
    def seeker(self) -> Generator["Seeker", None, None]:
        """For many looks at versioned columns as they are now; half the cost of `latest`."""
        try:
            with self._database.raw_iterator() as found:
                yield Seeker(found)
        except plyvel.Error as error:
            raise _damaged(error) from error

    @contextmanager
    def batch(self, sync: bool) -> Generator[Batch, None, None]:
        """Collect writes and do them at once at the end; an exception inside drops them.

        With `sync` they are on disk when the block ends. Raises `DiskFailed` when the disk
        refuses, now or before: then nothing of this batch may be taken as written.
        """
        writer = self._database.write_batch(sync=sync)
        yield Batch(writer)
        if self._has_failed:
            raise DiskFailed(
                "An earlier write to the database failed; nothing is written any more."
            )
        try:
            writer.write()
        except plyvel.Error as error:
            self._has_failed = True
            raise DiskFailed(
                f"The disk refused a write to the database: {error}. Free space or check the disk; "
                "what had been stored before is intact.",
                is_for_want_of_space(error),
            ) from error

    def _check_schema(self, path: Path) -> None:
        schema = self.get(Column.META, b"schema")
        if schema == SCHEMA:
            return
        if schema is None:
            with self._database.iterator() as entries:
                is_new = next(entries, None) is None
            if is_new:
                with self.batch(sync=True) as batch:
                    batch.put(Column.META, b"schema", SCHEMA)
                return
        found = "no schema" if schema is None else f"schema {schema.decode('ascii', 'replace')}"
        raise StorageUnusable(
            f"The database in {path} has {found}, this version of the node reads schema "
            f"{SCHEMA.decode()}. Run the version that wrote it, or remove the chain data and let "
            "the node fetch the chain from its peers."
        )


def _successor(prefix: bytes) -> bytes | None:
    """The least byte string above all that have `prefix`; None when there is none."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes((kept[-1] + 1,)) if kept else None


def _refuse_incomplete(path: Path) -> None:
    """LevelDB would begin anew, and delete the rest, when the file that names its state is gone."""
    if (path / _OWNER).exists() and not (path / "CURRENT").exists():
        raise _damaged(FileNotFoundError(f"{path / 'CURRENT'} is missing"))


def _why_not_opened(path: Path, error: Exception) -> NodeError:
    text = str(error)
    if is_for_want_of_space(error):
        return DiskFailed(
            f"The database in {path} cannot be opened, the disk is full: {text}. Free some space; "
            "what had been stored before is intact.",
            is_full=True,
        )
    # LevelDB's words for a lock that is held. A file LOCK that cannot be made is another matter.
    if isinstance(error, plyvel.IOError) and "IO error: lock " in text:
        return StorageLocked(
            f"The database in {path} is open in another process{_owner(path)}. Stop that one, "
            "or pass another --base-path."
        )
    if isinstance(error, plyvel.CorruptionError):
        return _damaged(error)
    if isinstance(error, plyvel.IOError) and "No such file" in text:
        return _damaged(error)
    return StorageUnusable(
        f"The database in {path} cannot be opened: {text}. Check the folder's owner and "
        "permissions, and that the disk is writable."
    )


def _owner(path: Path) -> str:
    try:
        return f" (process {int((path / _OWNER).read_text())})"
    except (OSError, ValueError):
        return ""


def _damaged(error: Exception) -> StorageUnusable:
    return StorageUnusable(
        f"The database is damaged: {error}. Try dret node repair, restore a backup, or remove the "
        "chain data and let the node fetch the chain from its peers; the keystore is not part of "
        "it and must stay."
    )
