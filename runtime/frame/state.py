"""The state a runtime works on: one overlay at a time, decoded values and events in front of it.

A runtime is handed an overlay with each call; `bind` makes it current. In front of it stand the
values that storage items have decoded (only values that nothing can change in place), and what a
block in the making has gathered: its events, its extrinsics, the weight it has used.

Invariant: after a rollback everything is as it was when the transaction began: the overlay undoes
its writes, values decoded from them are forgotten, events since then are dropped. Every write goes
to the overlay at once, so forgetting a decoded value is always safe.
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from runtime.primitives.scale import Struct
from runtime.state.overlay import Overlay

CACHED_MAX = 8_192  # decoded values kept of one storage item; more than a block touches
UNFINISHED_MAX = 4  # blocks begun on other overlays and not finished: a build given up, a dry run

INITIALIZATION = b"\x02"
FINALIZATION = b"\x01"


def apply_extrinsic_phase(index: int) -> bytes:
    """The encoded phase in which extrinsic `index` is applied."""
    return b"\x00" + index.to_bytes(4, "little")


@dataclass(slots=True)
class EventRecord:
    """An event with the phase of the block it happened in."""

    phase: bytes
    pallet_index: int
    event: Struct
    encoded: bytes
    """As `System.Events` holds it: phase, pallet index, event, no topics."""


@dataclass(slots=True)
class Progress:
    """What a block in the making has gathered."""

    phase: bytes = INITIALIZATION
    events: list[EventRecord] = field(default_factory=list[EventRecord])
    extrinsics: list[bytes] = field(default_factory=list[bytes])
    weight: list[int] = field(default_factory=lambda: [0, 0, 0])
    """Picoseconds used, by dispatch class."""

    length: list[int] = field(default_factory=lambda: [0, 0, 0])
    """Bytes of extrinsics, by dispatch class."""

    is_inherent_phase: bool = True
    """No extrinsic but inherents so far."""


class State:
    """The current overlay of a runtime and what stands in front of it."""

    def __init__(self) -> None:
        self.overlay: Overlay = _UNBOUND
        self.progress = Progress()
        self._unfinished: dict[int, tuple[Overlay, Progress]] = {}
        self._caches: list[dict[Any, Any]] = []
        # Which decoded values were written since the outermost transaction began.
        self._written: list[tuple[dict[Any, Any], Any]] = []
        self._marks: list[tuple[int, int]] = []

    # --- which overlay

    def bind(self, overlay: Overlay) -> None:
        """Make `overlay` current, with the block that was begun on it (or a fresh one)."""
        assert not self._marks, "a transaction is open on the state that is bound"
        if overlay is not self.overlay:
            self.overlay = overlay
            begun = self._unfinished.get(id(overlay))
            self.progress = Progress() if begun is None else begun[1]
            self.forget()

    def begin_block(self, overlay: Overlay) -> None:
        """Bind `overlay` and begin a block on it."""
        self.bind(overlay)
        self.forget()
        self.progress = Progress()
        while len(self._unfinished) >= UNFINISHED_MAX:
            del self._unfinished[next(iter(self._unfinished))]
        self._unfinished[id(overlay)] = (overlay, self.progress)

    def end_block(self) -> None:
        """The block on the current overlay is finished; its events stay readable until `bind`."""
        self._unfinished.pop(id(self.overlay), None)

    @property
    def is_in_block(self) -> bool:
        """Whether a block was begun on the current overlay and not finished."""
        return id(self.overlay) in self._unfinished

    def forget(self) -> None:
        """Forget all decoded values; for whoever writes to the overlay directly."""
        for cache in self._caches:
            cache.clear()

    # --- transactions

    def begin(self) -> None:
        """Open a transaction inside the current one."""
        self.overlay.begin()
        self._marks.append((len(self._written), len(self.progress.events)))

    def commit(self) -> None:
        """Close the innermost transaction and keep what it did."""
        self.overlay.commit_transaction()
        self._marks.pop()
        if not self._marks:
            self._written.clear()

    def rollback(self) -> None:
        """Close the innermost transaction and undo what it did."""
        self.overlay.rollback()
        written, events = self._marks.pop()
        for cache, key in self._written[written:]:
            cache.pop(key, None)
        del self._written[written:]
        del self.progress.events[events:]

    @contextmanager
    def transaction(self) -> Generator[None]:
        """Keep what the block of code does when it ends well; undo it when it raises."""
        self.begin()
        try:
            yield
        except BaseException:
            self.rollback()
            raise
        self.commit()

    # --- decoded values

    def new_cache(self) -> dict[Any, Any]:
        """A cache of decoded values that is cleared with the others."""
        cache: dict[Any, Any] = {}
        self._caches.append(cache)
        return cache

    def note_written(self, cache: dict[Any, Any], key: Any) -> None:
        """Remember to forget the decoded value under `key` if the transaction is rolled back."""
        if self._marks:
            self._written.append((cache, key))

    # --- events

    def deposit(self, pallet_index: int, event: Struct) -> None:
        """Announce an event of a pallet in the current phase."""
        progress = self.progress
        phase = progress.phase
        # Encoded at once: what it holds may be changed by its pallet later.
        encoded = b"%b%c%b\x00" % (phase, pallet_index, event.encode())
        progress.events.append(EventRecord(phase, pallet_index, event, encoded))

    @property
    def events(self) -> list[Struct]:
        """The events of the block so far (or, outside of one, since the overlay was bound)."""
        return [record.event for record in self.progress.events]


class _Unbound(Overlay):
    """Stands for the overlay until one is bound; every use of it is our mistake."""

    def __init__(self) -> None:
        pass

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("__"):
            return object.__getattribute__(self, name)
        raise AssertionError("no state is bound to the runtime")


_UNBOUND = _Unbound()
