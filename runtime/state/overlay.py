"""Changes over a state that is not touched, with nested transactions.

Every write notes what it overwrites, so a transaction costs nothing but its writes: committing
forgets the notes, rolling back plays them in reverse.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator

from runtime.primitives.types import Hash
from runtime.state.backend import Backend
from runtime.state.trie import TrieCommit

TRANSACTION_DEPTH_MAX = 64  # nested dispatch is bounded well below; more is a runaway recursion

_ABSENT = object()


class Overlay:
    """A state under change. `changes()` and `root()` are asked for outside transactions."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._changes: dict[bytes, bytes | None] = {}
        self._journal: list[tuple[bytes, object]] = []
        self._marks: list[int] = []
        self._commit: TrieCommit | None = None
        self._order: list[bytes] | None = None  # the changed keys, sorted once they are asked for

    def get(self, key: bytes) -> bytes | None:
        """The value under `key`, or None."""
        try:
            return self._changes[key]
        except KeyError:
            return self._backend.get(key)

    def set(self, key: bytes, value: bytes) -> None:
        """Write a value."""
        self._write(key, value)

    def delete(self, key: bytes) -> None:
        """Remove a value; removing an absent one changes nothing."""
        if self.get(key) is not None:
            self._write(key, None)

    def keys(self, prefix: bytes, start: bytes | None = None) -> Iterator[bytes]:
        """Keys with `prefix`, ascending, strictly after `start`. Later changes are not seen."""
        own = self._changed_keys(prefix, start)
        if not own:
            yield from self._backend.keys(prefix, start)
            return
        written = {key: self._changes[key] is not None for key in own}
        position = 0
        for key in self._backend.keys(prefix, start):
            while position < len(own) and own[position] < key:
                if written[own[position]]:
                    yield own[position]
                position += 1
            if key not in written:
                yield key
        for key in own[position:]:
            if written[key]:
                yield key

    def begin(self) -> None:
        """Open a transaction inside the current one."""
        assert len(self._marks) < TRANSACTION_DEPTH_MAX, "transactions nest too deeply"
        self._marks.append(len(self._journal))

    def commit_transaction(self) -> None:
        """Close the innermost transaction and keep its writes."""
        self._marks.pop()
        if not self._marks:
            self._journal.clear()

    def rollback(self) -> None:
        """Close the innermost transaction and undo its writes."""
        mark = self._marks.pop()
        while len(self._journal) > mark:
            key, before = self._journal.pop()
            if before is _ABSENT:
                del self._changes[key]
            else:
                assert before is None or isinstance(before, bytes), "only values are noted"
                self._changes[key] = before
        self._commit = None
        self._order = None

    @property
    def base_root(self) -> Hash:
        """The trie root of the state under the changes."""
        return self._backend.root

    def changed_keys(self, prefix: bytes) -> list[bytes]:
        """Keys with `prefix` that were written or removed, ascending."""
        return self._changed_keys(prefix, None)

    def changes(self) -> dict[bytes, bytes | None]:
        """What differs from the backend, by key; None is a deletion."""
        assert not self._marks, "a transaction is open"
        return {
            key: value
            for key, value in sorted(self._changes.items())
            if value != self._backend.get(key)
        }

    def root(self) -> bytes:
        """The trie root of the state with the changes."""
        return self.commit().root

    def commit(self) -> TrieCommit:
        """The trie with the changes, and what changed; computed once per set of changes."""
        if self._commit is None:
            self._commit = self._backend.storage_root(self.changes())
        return self._commit

    def _changed_keys(self, prefix: bytes, start: bytes | None) -> list[bytes]:
        order = self._order
        if order is None:
            order = self._order = sorted(self._changes)
        first = bisect_right(order, start) if start is not None else 0
        first = bisect_left(order, prefix, first)
        last = first
        while last < len(order) and order[last].startswith(prefix):
            last += 1
        return order[first:last]

    def _write(self, key: bytes, value: bytes | None) -> None:
        if self._marks:
            self._journal.append((key, self._changes.get(key, _ABSENT)))
        if self._order is not None and key not in self._changes:
            insort(self._order, key)
        self._changes[key] = value
        self._commit = None
