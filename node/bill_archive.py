"""Settled intervals that the state has forgotten, kept by the node: what old bills are made of.

The state drops an interval some 768 settlements later; the root of its day stays. When a block that
drops intervals becomes final, their records and lines are copied from its parent's state into the
database, in the batch that makes it final. They are small beside the extrinsics that brought their
readings, which a node keeps as well.

Invariant: what is stored was final in a final state. A node that began with a later state does not
have what was forgotten before; it says so, and never makes it up.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from runtime.pallets.trading import Trading
from runtime.pallets.trading.deals import SLOTS_PER_DAY
from runtime.pallets.trading.history import HistoryRecord, day_of, first_of_day, record_of
from runtime.pallets.trading.records import SettlementLine
from runtime.primitives import merkle
from runtime.primitives.hashing import twox_128
from runtime.primitives.scale import U32, DecodeError, Struct, codec
from runtime.primitives.types import Hash
from runtime.runtime import Runtime
from runtime.state.backend import Backend
from runtime.state.overlay import Overlay

HISTORY_BEGIN_KEY = twox_128(b"Trading") + twox_128(b"HistoryBegin")
"""A block that changes it forgets intervals."""

_ORDINAL = codec(U32)
_LINES = codec(list[bytes])


class Archived(Struct):
    """An interval as its day commits to it, and its lines; encoded as they were hashed."""

    index: U32
    """Among the records of its day."""

    record: bytes
    lines: bytes
    """A list of encoded lines, encoded: most of them nobody asks for at once."""

    def encoded_lines(self) -> list[bytes]:
        """The lines, connection 1 first."""
        return _LINES.decode(self.lines)


def forgotten_by(
    runtime: Runtime, before: Backend, changes: Mapping[bytes, bytes | None]
) -> list[tuple[int, bytes]]:
    """What a block has dropped, from the state before it and the block's changes: intervals, and
    what is stored of them.
    """
    begin_after = changes.get(HISTORY_BEGIN_KEY)
    if begin_after is None:
        return []
    runtime.bind(Overlay(before))
    trading = runtime.trading
    found: list[tuple[int, bytes]] = []
    for ordinal in range(trading.history_begin.get(), _ORDINAL.decode(begin_after)):
        interval = trading.settled_at[ordinal]
        kept = None if interval is None else archived_of(trading, interval)
        assert interval is not None and kept is not None, "only what is final is forgotten"
        found.append((interval, kept.encode()))
    return found


def archived_of(trading: Trading, interval: int) -> Archived | None:
    """A final interval of the bound state; None if it is not final, or not there."""
    record, lines = record_of(trading, interval), trading.lines[interval]
    if record is None or lines is None:
        return None
    encoded = record.encode()
    index = trading.day_leaves[day_of(trading, interval)].index(merkle.leaf_hash(encoded))
    return Archived(index, encoded, _LINES.encode([line.encode() for line in lines]))


class ArchivedDays:
    """Days of final intervals, from what is stored and from the bound state together."""

    def __init__(self, read: Callable[[int], bytes | None], trading: Trading) -> None:
        """`read` gives what is stored of an interval."""
        self._read_stored = read
        self._trading = trading
        self._days: dict[int, dict[int, Archived]] = {}

    def records(self, day: int) -> Sequence[HistoryRecord] | None:
        """All records of a day in their order; None when not all are here."""
        found = self._day(day)
        known = self._trading.days[day]
        ordered = sorted(found.values(), key=lambda each: each.index)
        leaves = [merkle.leaf_hash(each.record) for each in ordered]
        if known is None or merkle.root_of(leaves) != known.root:
            return None
        return [HistoryRecord.decode(each.record) for each in ordered]

    def line(self, interval: int, connection: int) -> tuple[SettlementLine, Sequence[Hash]] | None:
        """A connection's line, with the hashes that lead to its record."""
        kept = self._day(day_of(self._trading, interval)).get(interval)
        lines = [] if kept is None else kept.encoded_lines()
        if not 0 < connection <= len(lines):
            return None
        leaves = [merkle.leaf_hash(line) for line in lines]
        line = SettlementLine.decode(lines[connection - 1])
        return line, merkle.proof_of(leaves, connection - 1)

    def _day(self, day: int) -> dict[int, Archived]:
        if day not in self._days:
            self._days[day] = dict(self._read(day))
        return self._days[day]

    def _read(self, day: int) -> Iterator[tuple[int, Archived]]:
        first = first_of_day(self._trading, day)
        for interval in range(first, first + SLOTS_PER_DAY):
            data = self._read_stored(interval)
            kept = archived_of(self._trading, interval) if data is None else _decoded(data)
            if kept is not None:
                yield interval, kept


def _decoded(data: bytes) -> Archived | None:
    try:
        return Archived.decode(data)
    except DecodeError:
        return None  # damaged: the day is incomplete then, which its root shows
