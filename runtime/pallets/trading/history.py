"""The history of the market: prices of intervals and days, and roots by which records are proved.

A candle has the first, highest, lowest and last price of the root over the calls that traded, and
how much. When the settlement of an interval is final, its record (candle, settlement, root of its
connections' lines) becomes a leaf of its day. Records are dropped with age; the day's root and
candle stay for ever, so whoever kept a record and its proof can prove it later to anybody.

Invariants: the root of a day is the one over its final intervals in their order; a day that is
closed does not change; leaves are kept as long as a record of their day is.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, cast

from msgspec.structs import replace

from runtime import frame
from runtime.frame import (
    U32,
    ConnectionId,
    EnergyWh,
    Hash,
    Identity,
    IntervalIndex,
    MaxLen,
    Pallet,
    PricePerKwh,
    SignedBalance,
    StorageMap,
    StorageValue,
    Struct,
    api,
)
from runtime.pallets.trading.config import Config
from runtime.pallets.trading.deals import SLOTS_PER_DAY
from runtime.pallets.trading.records import SettlementLine, SettlementRecord
from runtime.primitives import merkle

if TYPE_CHECKING:
    from runtime.pallets.trading import Trading

CANDLES_MAX = 672  # a week; what one answer should carry
DAYS_MAX = 366  # a year
FINAL_LINE_WEIGHT = 15_000_000  # 15 us: encoding and hashing a line


class Candle(Struct):
    """Prices of the root over the calls that traded, in their order, and how much was traded."""

    open_micro: PricePerKwh
    high_micro: PricePerKwh
    low_micro: PricePerKwh
    close_micro: PricePerKwh
    volume_wh: EnergyWh
    """Filled quantity of all bids."""

    value_nano: SignedBalance
    """At the prices of their buses; over the volume it is the mean price."""

    calls: U32


class Day(Struct):
    """What stays of a day."""

    root: Hash
    """Over the records of its final intervals."""

    records: U32
    is_closed: bool
    """An interval of a later day is final, so nothing more comes."""

    candle: Candle | None


class HistoryRecord(Struct):
    """An interval as its day commits to it."""

    interval: IntervalIndex
    candle: Candle | None
    settlement: SettlementRecord
    lines: U32
    """How many connections have a line; it says which place in the tree is whose."""

    lines_root: Hash
    """Over the lines of the connections, connection 1 first."""


class RecordProof(Struct):
    """That a record belongs to a day."""

    day: U32
    index: U32
    """Among the day's records."""

    records: U32
    record: HistoryRecord
    siblings: list[Hash]


class LineProof(Struct):
    """That a connection's line belongs to a record, and the record to a day."""

    connection: ConnectionId
    line: SettlementLine
    siblings: list[Hash]
    of_record: RecordProof


class DayClosed(frame.Event, index=44):
    """All of a day is final; its root stays for ever."""

    day: U32
    root: Hash
    records: U32


class History(Pallet[Config]):
    """The part of Trading that keeps history."""

    candles: StorageMap[IntervalIndex, Candle | None, Identity]
    """Of open and remembered intervals in which something traded."""

    days: StorageMap[U32, Day | None, Identity]
    """By the number of the day since genesis; kept for ever, some 130 bytes each."""

    day_leaves: StorageMap[U32, Annotated[tuple[Hash, ...], MaxLen(SLOTS_PER_DAY)], Identity]
    """Hashes of a day's records, while records of it are kept."""

    day_in_making: StorageValue[U32 | None]
    """The latest day with a final interval."""

    @property
    def _trading(self) -> "Trading":
        return cast("Trading", self)  # the one pallet that inherits this part

    @api("Trading_candles")
    def read_candles(
        self, first: IntervalIndex, last: IntervalIndex
    ) -> list[tuple[IntervalIndex, Candle]]:
        """Prices of the intervals that traded from `first` to `last`, at most a week of them."""
        intervals = range(first, min(last, first + CANDLES_MAX - 1) + 1)
        found = [(interval, self.candles[interval]) for interval in intervals]
        return [(interval, candle) for interval, candle in found if candle is not None]

    @api("Trading_days")
    def read_days(self, first: U32, last: U32) -> list[tuple[U32, Day]]:
        """Roots and prices of days since genesis, at most a year; those with a final interval."""
        numbers = range(first, min(last, first + DAYS_MAX - 1) + 1)
        found = [(number, self.days[number]) for number in numbers]
        return [(number, day) for number, day in found if day is not None]

    @api("Trading_day_so_far")
    def read_day_so_far(self, day: U32) -> Candle | None:
        """Prices of a day over its intervals that are remembered, final or not."""
        first = first_of_day(self, day)
        return merged(self.candles[interval] for interval in range(first, first + SLOTS_PER_DAY))

    @api("Trading_record_proof")
    def read_record_proof(self, interval: IntervalIndex) -> RecordProof | None:
        """An interval's record with its proof; None if it is not final, or forgotten."""
        return prove_record(self._trading, interval)

    @api("Trading_line_proof")
    def read_line_proof(
        self, connection: ConnectionId, interval: IntervalIndex
    ) -> LineProof | None:
        """A connection's line with its proof; None if it is not final, or forgotten."""
        return prove_line(self._trading, connection, interval)


def note_trade(
    market: "Trading", interval: int, price_micro: int, volume_wh: int, value_nano: int
) -> None:
    """Add a call that traded to the candle of its interval. `price_micro` is the root's."""
    call = Candle(
        price_micro, price_micro, price_micro, price_micro, volume_wh, value_nano, calls=1
    )
    market.candles[interval] = merged((market.candles[interval], call))


def merged(candles: Iterable[Candle | None]) -> Candle | None:
    """One candle over several that follow one another."""
    total: Candle | None = None
    for candle in candles:
        if total is None or candle is None:
            total = total or candle
            continue
        total = Candle(
            total.open_micro,
            max(total.high_micro, candle.high_micro),
            min(total.low_micro, candle.low_micro),
            candle.close_micro,
            total.volume_wh + candle.volume_wh,
            total.value_nano + candle.value_nano,
            total.calls + candle.calls,
        )
    return total


def day_of(market: History, interval: int) -> int:
    """The number of an interval's day since genesis."""
    return (interval - market.config.genesis_interval) // SLOTS_PER_DAY


def first_of_day(market: History, day: int) -> int:
    """The first interval of a day."""
    return market.config.genesis_interval + day * SLOTS_PER_DAY


def add_final(market: "Trading", interval: int) -> None:
    """Put the record of an interval that has just become final into its day."""
    day = day_of(market, interval)
    before = market.day_in_making.get()
    if before is not None and before != day:
        close_day(market, before)
    record = record_of(market, interval)
    assert record is not None, "what becomes final is remembered"
    leaves = (*market.day_leaves[day], merkle.leaf_hash(record.encode()))
    known = market.days[day]
    candle = merged((known.candle if known else None, record.candle))
    market.day_leaves[day] = leaves
    market.days[day] = Day(merkle.root_of(leaves), len(leaves), False, candle)
    market.day_in_making.set(day)


def close_day(market: "Trading", number: int) -> None:
    """Nothing more comes to a day."""
    day = market.days[number]
    assert day is not None, "it has a final interval"
    market.days[number] = replace(day, is_closed=True)
    market.deposit_event(DayClosed(number, day.root, day.records))


def forget_record(market: "Trading", interval: int, following: int | None) -> None:
    """Drop the candle of a forgotten interval, with the last one of a day its leaves.

    `following` is the interval settled after it.
    """
    del market.candles[interval]
    day = day_of(market, interval)
    if following is None or day_of(market, following) != day:
        del market.day_leaves[day]


def record_of(market: "Trading", interval: int) -> HistoryRecord | None:
    """An interval as its day commits to it; None if it is not final, or forgotten."""
    settlement, lines = market.settlements[interval], market.lines[interval]
    if settlement is None or lines is None or not settlement.is_final:
        return None
    leaves = [merkle.leaf_hash(line.encode()) for line in lines]
    candle, root = market.candles[interval], merkle.root_of(leaves)
    return HistoryRecord(interval, candle, settlement, len(lines), root)


def prove_record(market: "Trading", interval: int) -> RecordProof | None:
    """The record of an interval, with the hashes that lead to its day's root."""
    record = record_of(market, interval)
    if record is None:
        return None
    day = day_of(market, interval)
    leaves = market.day_leaves[day]
    index = leaves.index(merkle.leaf_hash(record.encode()))
    return RecordProof(day, index, len(leaves), record, merkle.proof_of(leaves, index))


def prove_line(market: "Trading", connection: int, interval: int) -> LineProof | None:
    """The line of a connection, with the hashes that lead to its record and on."""
    of_record, lines = prove_record(market, interval), market.lines[interval]
    if of_record is None or lines is None or not 0 < connection <= len(lines):
        return None
    leaves = [merkle.leaf_hash(line.encode()) for line in lines]
    siblings = merkle.proof_of(leaves, connection - 1)
    return LineProof(connection, lines[connection - 1], siblings, of_record)


def root_by_record(proof: RecordProof) -> Hash | None:
    """The root that a day has if the proof is true; None if it cannot be one. Needs no chain."""
    leaf = merkle.leaf_hash(proof.record.encode())
    return merkle.root_by(leaf, proof.index, proof.records, proof.siblings)


def root_by_line(proof: LineProof) -> Hash | None:
    """The root that a day has if the proof of a line is true; None if it cannot be one."""
    record = proof.of_record.record
    if not is_line_of(record, proof.connection, proof.line.encode(), proof.siblings):
        return None
    return root_by_record(proof.of_record)


def is_line_of(
    record: HistoryRecord, connection: int, line: bytes, siblings: Sequence[Hash]
) -> bool:
    """Whether hashes lead from the encoded line of a connection to its record. Needs no chain."""
    leaf = merkle.leaf_hash(line)
    return merkle.root_by(leaf, connection - 1, record.lines, siblings) == record.lines_root


def check_days(market: "Trading") -> None:
    """Assert the invariants of the days whose leaves are kept, and of the latest records."""
    for number, leaves in market.day_leaves.items():
        day = market.days[number]
        assert day is not None and day.records == len(leaves), f"records of day {number}"
        assert day.root == merkle.root_of(leaves), f"root of day {number}"
        assert day.is_closed == (number != market.day_in_making.get()), f"day {number}"
    for interval in market.recent(8):
        proof = market.read_record_proof(interval)
        if proof is not None:
            day = market.days[proof.day]
            assert day is not None and root_by_record(proof) == day.root, f"proof of {interval}"
