"""Bills that can be checked: settled intervals of an account, with what proves them.

All is read from the state after the last finalized block, for which every node can give a proof of
finality. Lines that this state holds are proved by its entries. Lines that it has forgotten are
proved by the root of their day, which it keeps for ever: with all records of the day, one of which
commits to the lines of the interval. Intervals of days that a node does not have are refused.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from node.chain import Chain
from rpc.ports import Head, Json
from runtime.pallets.consumption_metering.records import Method
from runtime.pallets.trading.history import HistoryRecord, day_of
from runtime.pallets.trading.records import SettlementLine
from runtime.primitives.crypto import ss58_encode
from runtime.primitives.types import AccountId, Hash
from runtime.runtime import Runtime
from runtime.state.overlay import Overlay

FORGOTTEN = (
    "settled so long ago that the state does not hold them any more, and before this node began to "
    "keep what it forgets; ask a node that has followed the chain since then"
)
NOT_SETTLED = "not settled yet, or an interval without a market"


class OldDays(Protocol):
    """Final intervals by day, those that the state has forgotten included."""

    def records(self, day: int) -> Sequence[HistoryRecord] | None:
        """All records of a day in their order; None when not all are here."""
        ...

    def line(self, interval: int, connection: int) -> tuple[SettlementLine, Sequence[Hash]] | None:
        """A connection's line, with the hashes that lead to its record."""
        ...


class BillKeys:
    """The storage keys of whatever a bill says, on a runtime bound to a state."""

    def __init__(self, runtime: Runtime) -> None:
        self._registry = runtime.producer_registration
        self._trading = runtime.trading

    def connections_of(self, account: AccountId) -> bytes:
        """Which connections an account has."""
        return self._registry.connections_of.key_of(account)

    def lines(self, interval: int) -> bytes:
        """The lines of all connections in an interval."""
        return self._trading.lines.key_of(interval)

    def settlement(self, interval: int) -> bytes:
        """The figures of an interval, and whether they are final."""
        return self._trading.settlements.key_of(interval)

    def history_begin(self) -> bytes:
        """Which settlement is the oldest one that the state holds."""
        return self._trading.history_begin.key_of()

    def settled_at(self, ordinal: int) -> bytes:
        """The interval of a settlement."""
        return self._trading.settled_at.key_of(ordinal)

    def day(self, number: int) -> bytes:
        """The root over the records of a day."""
        return self._trading.days.key_of(number)


def bill_of(chain: Chain, account: AccountId, first: int, last: int) -> Mapping[str, Json]:
    """The settled intervals from `first` to `last` of an account's connections."""
    block_hash = chain.finalized_hash_now
    state = chain.state_at(block_hash)
    block, runtime = Head(block_hash, chain.finalized.number), chain.runtime_of(state)
    runtime.bind(Overlay(state))
    return bill_in(runtime, chain.old_days(runtime), block, account, first, last)


def bill_in(
    runtime: Runtime, old_days: OldDays, block: Head, account: AccountId, first: int, last: int
) -> Mapping[str, Json]:
    """The bill by the state after a block, which the runtime is bound to: reads what
    `keys_of_bill` names and nothing else of it.
    """
    keys = BillKeys(runtime)
    connections = list(runtime.producer_registration.connections_of[account])
    begin = oldest_kept(runtime)
    old = _OldLines(runtime, old_days, block, connections)
    lines: list[Json] = []
    waiting: list[int] = []
    for interval in range(first, last + 1):
        settled = runtime.trading.lines[interval]
        if settled is not None:
            proven_by = [_hex(keys.lines(interval)), _hex(keys.settlement(interval))]
            is_final = runtime.trading.is_final(interval)
            lines += [
                {
                    **line_json(interval, connection, is_final, settled[connection - 1]),
                    "block": _hex(block.hash),
                    "keys": proven_by,
                }
                for connection in connections
                if 0 < connection <= len(settled)
            ]
        elif begin is None or interval >= begin:
            waiting.append(interval)
        else:
            lines += old.lines_of(interval)
    history_begin = runtime.trading.history_begin.get()
    return {
        "account": ss58_encode(account, runtime.constants.ss58_prefix),
        "from": first,
        "to": last,
        "block": _hex(block.hash),
        "number": block.number,
        "connections": connections,
        "lines": lines,
        "amount_nano": sum(amount_of(line) for line in lines),
        "days": old.days_json(),
        "refused": ranges(old.refused, FORGOTTEN),
        "not_settled": ranges(sorted([*old.not_settled, *waiting]), NOT_SETTLED),
        "keys": [
            _hex(keys.connections_of(account)),
            _hex(keys.history_begin()),
            _hex(keys.settled_at(history_begin)),
        ],
    }


class _OldLines:
    """Lines of intervals that the state has forgotten, and the days that prove them."""

    def __init__(
        self, runtime: Runtime, old_days: OldDays, block: Head, connections: Sequence[int]
    ) -> None:
        self._runtime = runtime
        self._old_days = old_days
        self._block = block
        self._connections = connections
        self._days: dict[int, Mapping[int, HistoryRecord] | None] = {}
        """By number, then by interval; None: the node does not have it."""
        self.refused: list[int] = []
        self.not_settled: list[int] = []

    def lines_of(self, interval: int) -> list[Json]:
        """The account's lines in an interval; notes it when there is none, or it is refused."""
        day = day_of(self._runtime.trading, interval)
        if day < 0:  # before the chain
            self.not_settled.append(interval)
            return []
        if day not in self._days:
            self._days[day] = self._read(day)
        records = self._days[day]
        if records is None:
            self.refused.append(interval)
            return []
        record = records.get(interval)
        if record is None:
            self.not_settled.append(interval)
            return []
        key = _hex(BillKeys(self._runtime).day(day))
        found: list[Json] = []
        for connection in self._connections:
            if not 0 < connection <= record.lines:
                continue
            entry = self._old_days.line(interval, connection)
            assert entry is not None, "who has a day's records has their lines"
            line, siblings = entry
            found.append(
                {
                    **line_json(interval, connection, True, line),
                    "block": _hex(self._block.hash),
                    "keys": [key],
                    "encoded": _hex(line.encode()),
                    "siblings": [_hex(sibling) for sibling in siblings],
                }
            )
        return found

    def _read(self, day: int) -> Mapping[int, HistoryRecord] | None:
        if self._runtime.trading.days[day] is None:
            return {}  # nothing of it was ever settled
        records = self._old_days.records(day)
        return None if records is None else {record.interval: record for record in records}

    def days_json(self) -> list[Json]:
        """The days that lines are proved by, each with the records that its root is over."""
        return [
            {
                "day": number,
                "key": _hex(BillKeys(self._runtime).day(number)),
                "records": [_hex(record.encode()) for record in records.values()],
            }
            for number, records in self._days.items()
            if records is not None
        ]


def keys_of_bill(
    runtime: Runtime, history_begin: int, account: AccountId, first: int, last: int
) -> list[bytes]:
    """The storage keys whose values make a bill, of a runtime bound to a state in which what
    `keys_of_begin` names can be read.
    """
    keys = BillKeys(runtime)
    found = [keys.connections_of(account), *keys_of_begin(runtime, history_begin)]
    for interval in range(first, last + 1):
        found += [keys.lines(interval), keys.settlement(interval)]
    begin = oldest_kept(runtime)
    if begin is not None and first < begin:
        days = day_of(runtime.trading, first), day_of(runtime.trading, min(last, begin - 1))
        found += [keys.day(number) for number in range(max(0, days[0]), days[1] + 1)]
    return found


def keys_of_begin(runtime: Runtime, history_begin: int) -> list[bytes]:
    """The storage keys that tell which settlement is the oldest one in a state."""
    keys = BillKeys(runtime)
    return [keys.history_begin(), keys.settled_at(history_begin)]


def oldest_kept(runtime: Runtime) -> int | None:
    """The interval of the oldest settlement in the bound state; None while all are there."""
    ordinal = runtime.trading.history_begin.get()
    return None if ordinal == 0 else runtime.trading.settled_at[ordinal]


def line_json(
    interval: int, connection: int, is_final: bool, line: SettlementLine
) -> dict[str, Json]:
    """A line by the names of its fields."""
    fields: dict[str, Any] = {name: getattr(line, name) for name in line.__struct_fields__}
    fields["method"] = Method(line.method).name.lower()
    return {"interval": interval, "connection": connection, "is_final": is_final, **fields}


def amount_of(line: Json) -> int:
    """What a line comes to."""
    assert isinstance(line, dict), "made above"
    amount = line["amount_nano"]
    assert isinstance(amount, int), "made above"
    return amount


def ranges(intervals: Sequence[int], reason: str) -> list[Json]:
    """Rising intervals as ranges without gaps, each with the reason."""
    found: list[tuple[int, int]] = []
    for interval in intervals:
        if found and found[-1][1] == interval - 1:
            found[-1] = (found[-1][0], interval)
        else:
            found.append((interval, interval))
    return [{"from": begin, "to": end, "reason": reason} for begin, end in found]


def _hex(data: bytes) -> str:
    return "0x" + data.hex()
