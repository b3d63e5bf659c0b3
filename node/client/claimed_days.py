"""Days of an old bill as a node tells them, believed only as far as the roots of the days go.

A bill brings all records of a day; their root is the day's, which is proved by the state. A record
commits to the lines of its interval and says how many there are, so that a line can be neither
changed, nor given to another connection, nor left out.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from node.client.finality import ProofRefused
from runtime.pallets.trading import Trading
from runtime.pallets.trading.history import HistoryRecord, day_of, is_line_of
from runtime.pallets.trading.records import SettlementLine
from runtime.primitives import merkle
from runtime.primitives.scale import DecodeError
from runtime.primitives.types import Hash


class ClaimedDays:
    """What a bill says of its days and lines; `trading` is bound to proved state."""

    def __init__(self, trading: Trading, claimed: Mapping[str, Any]) -> None:
        self._trading = trading
        try:
            self._days: dict[int, Sequence[bytes]] = {
                entry["day"]: [bytes.fromhex(record[2:]) for record in entry["records"]]
                for entry in claimed["days"]
            }
            self._lines: dict[tuple[int, int], tuple[bytes, Sequence[Hash]]] = {
                (line["interval"], line["connection"]): (
                    bytes.fromhex(line["encoded"][2:]),
                    [bytes.fromhex(sibling[2:]) for sibling in line["siblings"]],
                )
                for line in claimed["lines"]
                if "encoded" in line
            }
        except (KeyError, TypeError, ValueError) as error:
            raise ProofRefused(f"The days of the node's bill cannot be read: {error}.") from error
        self._known: dict[int, Mapping[int, HistoryRecord]] = {}

    def records(self, day: int) -> Sequence[HistoryRecord] | None:
        """All records of a day in their order; None when the node says it does not have them.

        Raises `ProofRefused` when they are not those of the day.
        """
        claimed = self._days.get(day)
        if claimed is None:
            return None
        known = self._trading.days[day]
        root = merkle.root_of([merkle.leaf_hash(record) for record in claimed])
        if known is None or (known.records, known.root) != (len(claimed), root):
            expected = "none" if known is None else f"{known.records} of root 0x{known.root.hex()}"
            raise ProofRefused(
                f"Day {day}: the chain has {expected}, the node shows {len(claimed)} records of "
                f"root 0x{root.hex()}."
            )
        try:
            records = [HistoryRecord.decode(record) for record in claimed]
        except DecodeError as error:
            raise ProofRefused(f"Day {day}: a record cannot be read: {error}.") from error
        self._known[day] = {record.interval: record for record in records}
        return records

    def line(self, interval: int, connection: int) -> tuple[SettlementLine, Sequence[Hash]] | None:
        """A connection's line with what proves it. Raises `ProofRefused` when it is not there."""
        what = f"Interval {interval}, connection {connection}"
        record = self._known[day_of(self._trading, interval)][interval]
        found = self._lines.get((interval, connection))
        if found is None:
            raise ProofRefused(f"{what}: the node's bill leaves the line out.")
        encoded, siblings = found
        if not is_line_of(record, connection, encoded, siblings):
            raise ProofRefused(f"{what}: the line is not the one that its day commits to.")
        try:
            return SettlementLine.decode(encoded), siblings
        except DecodeError as error:
            raise ProofRefused(f"{what}: the line cannot be read: {error}.") from error
