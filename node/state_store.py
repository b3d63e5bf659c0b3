"""The states of the chain: the finalized ones on disk, those above them in memory.

Values and trie nodes of finalized states are stored under `key ++ number of the block that wrote
them`: a state answers a read with one seek, and shares on disk what did not change. For each block
a list is kept of what it superseded; when no kept state needs those entries any more they are
deleted, in the batch that finalizes a later block.

A state above the finalized block is its parent's, a trie that shares nodes with the parent's, and
the changes. When its block becomes final they are written, and the memory of it is let go.

Invariant: a `StateView` always shows the same state. When that was pruned it raises
`StateDiscarded`; a trie node is checked against its hash.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from node.database import NUMBER_BYTES, Batch, Column, Database, Seeker
from node.errors import StorageUnusable
from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import codec
from runtime.primitives.types import Hash
from runtime.state.backend import ReadCache
from runtime.state.node import Node, decode_node
from runtime.state.range_proof import StateRange, prove_range
from runtime.state.trie import Trie, TrieCommit

STATE_VERSION = 1
NODES_CACHED_MAX = 1 << 13  # in each of two generations; at some 500 bytes a node, 8 MB at most
RECORDS_PRUNED_PER_BLOCK = 2  # more than one, so that a backlog goes away after pruning is set

_DELTA = codec(list[tuple[bytes, bytes | None]])
_SUPERSEDED = codec(list[bytes])
_OLDEST = b"oldest"
_PRESENT, _ABSENT = b"\x01", b""

Key = TypeVar("Key")
Value = TypeVar("Value")


class StateDiscarded(Exception):
    """The state was pruned; the message names the block's height and how many states are kept."""


class StateView:
    """The state after one block: a `Backend` for overlays, and proofs."""

    def __init__(
        self, anchor: "_Anchor", trie: Trie, commit: TrieCommit | None, reads: ReadCache
    ) -> None:
        self._anchor = anchor
        self._trie = trie.backed_by(anchor)
        self._commit = commit
        self._reads = reads

    @property
    def number(self) -> int:
        """Height of the block."""
        return self._anchor.number

    @property
    def root(self) -> Hash:
        """The state root in the block's header."""
        return self._trie.root

    @property
    def is_final(self) -> bool:
        """Whether it is stored for itself; otherwise `commit` leads to it from its parent."""
        return self._commit is None

    @property
    def commit(self) -> TrieCommit:
        """What the block changed, as long as the block is not final."""
        assert self._commit is not None, "a finalized state has no changes of its own"
        return self._commit

    def get(self, key: bytes) -> bytes | None:
        """The value under `key`, or None."""
        is_stored = self._commit is None
        return self._reads.get(key, self._anchor.stored_value if is_stored else self._trie.get)

    def keys(self, prefix: bytes, start: bytes | None = None) -> Iterator[bytes]:
        """Keys with `prefix` in ascending order; strictly after `start` when it is given."""
        return self._trie.keys(prefix, start)

    def storage_root(self, changes: Mapping[bytes, bytes | None]) -> TrieCommit:
        """The trie after `changes` (None deletes), and what changed in it."""
        return self._trie.update(changes)

    def proof(self, keys: Iterable[bytes]) -> list[bytes]:
        """Trie nodes and long values that prove the value of each key, or that it is absent."""
        return self._trie.proof(keys)

    def merkle_value(self, prefix: bytes) -> bytes | None:
        """The Merkle value over the keys with `prefix`: it changes whenever one of them does."""
        return self._trie.merkle_value(prefix)

    def prove_range(self, after: bytes | None, bytes_max: int) -> list[bytes]:
        """Trie nodes and long values that prove the keys behind `after`: see `range_proof`."""
        return prove_range(self._trie, after, bytes_max)

    def check_stored(self) -> None:
        """Raises `StorageUnusable` when the state's root is missing from the database."""
        self._trie.root_node()

    def child(self, commit: TrieCommit) -> "StateView":
        """The state after a block on this one that made `commit`."""
        anchor = self._anchor.child()
        return StateView(anchor, commit.trie, commit, self._reads.move_on(commit.values))

    def settle(self, cache: "_Generations[Hash, Node]") -> None:
        """What it changed is on disk now: read it from there, and let go of the memory."""
        for node in self.commit.nodes.values():
            if node is not None:
                node.forget()
                cache.put(node.hash, node)
        self._commit = None
        self._anchor.settle()


class _Anchor:
    """Where a state's nodes and values are on disk: at the nearest ancestor that is final.

    What the blocks between that one and the state changed is in memory, linked from the trie.
    """

    __slots__ = ("_parent", "_store", "number")

    def __init__(self, store: "StateStore", number: int, parent: "_Anchor | None") -> None:
        self._store = store
        self._parent = parent
        self.number = number

    def child(self) -> "_Anchor":
        """That of the next block."""
        return _Anchor(self._store, self.number + 1, self)

    def settle(self) -> None:
        """The state is final, so it is its own anchor."""
        self._parent = None

    def node(self, path: str, node_hash: Hash) -> Node:
        """The node at a path of nibbles with this hash."""
        return self._store.node(path, node_hash, self._final_number())

    def value(self, key: bytes, value_hash: Hash) -> bytes:
        """The value of a key that has this hash."""
        return self._store.hashed_value(key, value_hash, self._final_number())

    def stored_value(self, key: bytes) -> bytes | None:
        """The value of a key in the nearest final state."""
        return self._store.value(key, self._final_number())

    def _final_number(self) -> int:
        anchor = self
        while anchor._parent is not None:
            anchor = anchor._parent
        return anchor.number


class StateStore:
    """Writes and prunes the finalized states, and reads them. One for each database."""

    def __init__(self, database: Database, state_pruning: int | None) -> None:
        assert state_pruning is None or state_pruning > 0, "the finalized state itself is kept"
        self._database = database
        self._pruning = state_pruning
        self._nodes: _Generations[Hash, Node] = _Generations(NODES_CACHED_MAX)
        oldest = database.get(Column.META, _OLDEST)
        self._oldest = int.from_bytes(oldest, "big") if oldest is not None else 0

    @property
    def oldest(self) -> int:
        """Height of the oldest state that can be read."""
        return self._oldest

    def genesis_commit(self, values: Mapping[bytes, bytes]) -> TrieCommit:
        """The genesis state as a change of nothing."""
        return Trie.empty(STATE_VERSION).update(values)

    def write_genesis(self, batch: Batch, commit: TrieCommit) -> None:
        """Store the first state."""
        with self._database.seeker() as seeker:
            _Writer(seeker, batch).write(0, commit)
        batch.put(Column.META, _OLDEST, _number(0))

    def at_finalized(self, number: int, root: Hash) -> StateView:
        """The state of a finalized block. Raises `StateDiscarded` when it was pruned."""
        self._refuse_discarded(number)
        trie = Trie(root, STATE_VERSION, None)
        return StateView(_Anchor(self, number, None), trie, None, ReadCache())

    def finalize(self, batch: Batch, route: Sequence[StateView]) -> Callable[[], None]:
        """Store the states of newly finalized blocks, by rising number, and prune old ones.

        What is returned must be called once the batch is on disk, and only then.
        """
        with self._database.seeker() as seeker:
            writer = _Writer(seeker, batch)
            for view in route:
                writer.write(view.number, view.commit)
        oldest = self._prune(batch, route)

        def follow() -> None:
            self._oldest = oldest
            for view in route:
                view.settle(self._nodes)

        return follow

    def values_at(self, number: int) -> dict[bytes, bytes]:
        """All keys and values of the state of a height, as far as they are stored."""
        found: dict[bytes, bytes] = {}
        for entry, data in self._database.items(Column.VALUE):
            if int.from_bytes(entry[-NUMBER_BYTES:], "big") > number:
                continue
            key = entry[NUMBER_BYTES:-NUMBER_BYTES]  # its length stands before it
            if data == _ABSENT:
                found.pop(key, None)
            else:
                found[key] = data[1:]
        return found

    def write_range(self, batch: Batch, number: int, part: StateRange) -> None:
        """Store a part of the state of a height, which is the oldest one then."""
        for key, value in part.entries:
            batch.put(Column.VALUE, _value_key(key) + _number(number), _PRESENT + value)
        for path, encoded in part.nodes.items():
            batch.put(Column.NODE, _node_key(path) + _number(number), encoded)
        batch.put(Column.META, _OLDEST, _number(number))

    def write_alone(self, batch: Batch, number: int, commit: TrieCommit) -> None:
        """Store one whole state, made of nothing, as the only one there is."""
        for column in (Column.VALUE, Column.NODE, Column.SUPERSEDED):
            for entry, _ in self._database.items(column):
                batch.delete(column, entry)
        for key, value in commit.values.items():
            assert value is not None, "a state made of nothing deletes nothing"
            batch.put(Column.VALUE, _value_key(key) + _number(number), _PRESENT + value)
        for path, node in commit.nodes.items():
            if node is not None:
                batch.put(Column.NODE, _node_key(path) + _number(number), node.encode())
        batch.put(Column.META, _OLDEST, _number(number))

    def _prune(self, batch: Batch, route: Sequence[StateView]) -> int:
        """Delete what only states before the kept ones read. Returns the oldest state then."""
        if self._pruning is None or not route:
            return self._oldest
        stored = route[0].number - 1  # the records above are in this very batch
        wanted = min(route[-1].number - self._pruning + 1, stored)
        last = min(wanted, self._oldest + RECORDS_PRUNED_PER_BLOCK * len(route))
        for number in range(self._oldest + 1, last + 1):
            record = self._database.get(Column.SUPERSEDED, _number(number))
            if record is None:
                raise StorageUnusable(
                    f"The database is damaged: the record of what block {number} superseded is "
                    "missing. Restore a backup, or remove the chain data."
                )
            for entry in _SUPERSEDED.decode(record):
                batch.delete(Column(entry[:1]), entry[1:])
            batch.delete(Column.SUPERSEDED, _number(number))
        if last <= self._oldest:
            return self._oldest
        batch.put(Column.META, _OLDEST, _number(last))
        return last

    def node(self, path: str, node_hash: Hash, number: int) -> Node:
        """The node at a path in the finalized state of a height, which has this hash."""
        node = self._nodes.get(node_hash)
        if node is None:
            found = self._database.latest(Column.NODE, _node_key(path), number)
            if found is None or blake2_256(found[1]) != node_hash:
                self._refuse_discarded(number)
                raise _missing(f"the trie node 0x{node_hash.hex()} at {path or 'the root'}", number)
            node = decode_node(found[1])
            node.forget()
            self._nodes.put(node_hash, node)
        return node

    def value(self, key: bytes, number: int) -> bytes | None:
        """The value of a key in the finalized state of a height."""
        self._refuse_discarded(number)
        found = self._database.latest(Column.VALUE, _value_key(key), number)
        return found[1][1:] if found is not None and found[1] != _ABSENT else None

    def hashed_value(self, key: bytes, value_hash: Hash, number: int) -> bytes:
        """The value of a key in the finalized state of a height, which has this hash."""
        value = self.value(key, number)
        if value is None or blake2_256(value) != value_hash:
            raise _missing(f"the value of 0x{key.hex()}", number)
        return value

    def _refuse_discarded(self, number: int) -> None:
        if number < self._oldest:
            raise StateDiscarded(
                f"The state of block {number} was discarded: the oldest one here is that of block "
                f"{self._oldest}. Ask a node that runs with --state-pruning archive."
            )


class _Writer:
    """Writes states into a batch, and for each the list of the entries it superseded."""

    def __init__(self, seeker: Seeker, batch: Batch) -> None:
        self._seeker = seeker
        self._batch = batch
        self._written: dict[bytes, bytes] = {}  # entry by key, of this batch

    def write(self, number: int, commit: TrieCommit) -> None:
        """Store the state that `commit` leads to as that of the height `number`."""
        superseded: list[bytes] = []
        for key, value in commit.values.items():
            entry = self._supersede(Column.VALUE, _value_key(key), number, superseded)
            if value is None:
                superseded.append(entry)  # once nothing older is left, absent says the same
                value = _ABSENT
            else:
                value = _PRESENT + value
            self._batch.put(Column.VALUE, entry[1:], value)
        for path, node in commit.nodes.items():
            is_written = node is not None
            entry = self._supersede(Column.NODE, _node_key(path), number, superseded, is_written)
            if node is not None:
                self._batch.put(Column.NODE, entry[1:], node.encode())
        self._batch.put(Column.SUPERSEDED, _number(number), _SUPERSEDED.encode(superseded))

    def _supersede(
        self,
        column: Column,
        key: bytes,
        number: int,
        superseded: list[bytes],
        is_written: bool = True,
    ) -> bytes:
        """Note the entry that was valid so far; gives the name of the one at `number`."""
        name = column.value + key
        before = self._written.get(name)
        if before is None:
            found = self._seeker.entry_before(column, key, number)
            before = column.value + found if found is not None else None
        if before is not None:
            superseded.append(before)
        entry = name + _number(number)
        if is_written:
            self._written[name] = entry
        return entry


class _Generations(Generic[Key, Value]):
    """A bounded cache: what was not used while the younger generation filled up is dropped."""

    def __init__(self, generation_max: int) -> None:
        self._max = generation_max
        self._young: dict[Key, Value] = {}
        self._old: dict[Key, Value] = {}

    def get(self, key: Key) -> Value | None:
        """What was put under `key`, unless it was dropped since."""
        value = self._young.get(key)
        if value is None:
            value = self._old.get(key)
            if value is not None:
                self.put(key, value)
        return value

    def put(self, key: Key, value: Value) -> None:
        """Keep a value."""
        if len(self._young) >= self._max:
            self._old, self._young = self._young, {}
        self._young[key] = value


def encode_delta(commit: TrieCommit) -> bytes:
    """The changes of an unfinalized block, from which its state can be restored."""
    return _DELTA.encode(list(commit.values.items()))


def decode_delta(data: bytes) -> dict[bytes, bytes | None]:
    """Inverse of `encode_delta`."""
    return dict(_DELTA.decode(data))


def _number(number: int) -> bytes:
    return number.to_bytes(NUMBER_BYTES, "big")


def _value_key(key: bytes) -> bytes:
    """Length first: then no key is the beginning of another and their versions do not mix."""
    return len(key).to_bytes(4, "big") + key


def _node_key(path: str) -> bytes:
    return len(path).to_bytes(4, "big") + bytes.fromhex("0" + path if len(path) % 2 else path)


def _missing(what: str, number: int) -> StorageUnusable:
    return StorageUnusable(
        f"The database is damaged: {what} is missing from the state of block {number}. Restore a "
        "backup, or remove the chain data and let the node fetch the chain from its peers."
    )
