"""What lies under an overlay: a readable state whose next trie root can be computed."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from runtime.primitives.types import Hash
from runtime.state.trie import Trie, TrieCommit

READS_MAX = 1 << 16  # some 15 MB of short values; a block of 1,000 transfers reads about 3,000


class Backend(Protocol):
    """A state that does not change while it is used."""

    @property
    def root(self) -> Hash:
        """The trie root."""
        ...

    def get(self, key: bytes) -> bytes | None:
        """The value under `key`, or None."""
        ...

    def keys(self, prefix: bytes, start: bytes | None = None) -> Iterator[bytes]:
        """Keys with `prefix` in ascending order; strictly after `start` when it is given."""
        ...

    def storage_root(self, changes: Mapping[bytes, bytes | None]) -> TrieCommit:
        """The trie after `changes` (None deletes), and what changed in it."""
        ...


class MemoryBackend:
    """A state held in memory, for genesis, tests and tools."""

    def __init__(self, values: Mapping[bytes, bytes] | None = None, version: int = 1) -> None:
        self._trie = Trie.empty(version).update(values or {}).trie
        self._reads = ReadCache()

    @property
    def root(self) -> Hash:
        """The trie root."""
        return self._trie.root

    def get(self, key: bytes) -> bytes | None:
        """The value under `key`, or None."""
        return self._reads.get(key, self._trie.get)

    def keys(self, prefix: bytes, start: bytes | None = None) -> Iterator[bytes]:
        """Keys with `prefix` in ascending order; strictly after `start` when it is given."""
        return self._trie.keys(prefix, start)

    def storage_root(self, changes: Mapping[bytes, bytes | None]) -> TrieCommit:
        """The trie after `changes`."""
        return self._trie.update(changes)

    def proof(self, keys: Iterable[bytes]) -> list[bytes]:
        """What proves the values under keys, or their absence."""
        return self._trie.proof(keys)

    def child(self, commit: TrieCommit) -> "MemoryBackend":
        """The state after `commit`, which was computed on this one."""
        after = MemoryBackend.__new__(MemoryBackend)
        after._trie = commit.trie
        after._reads = self._reads.move_on(commit.values)
        return after


class ReadCache:
    """Values of one state that were read already; the next state takes it over, and its changes."""

    __slots__ = ("_values",)

    def __init__(self) -> None:
        self._values: dict[bytes, bytes | None] = {}

    def get(self, key: bytes, read: Callable[[bytes], bytes | None]) -> bytes | None:
        """The value under `key`, asked of `read` the first time."""
        values = self._values
        try:
            return values[key]
        except KeyError:
            value = read(key)
            if len(values) >= READS_MAX:
                values.clear()
            values[key] = value
            return value

    def move_on(self, changes: Mapping[bytes, bytes | None]) -> "ReadCache":
        """The cache of the state after `changes`; this one starts again from nothing.

        The state before is seldom read again, and a copy would cost more than a few misses.
        """
        after = ReadCache()
        after._values, self._values = self._values, {}
        after._values.update(changes)
        return after
