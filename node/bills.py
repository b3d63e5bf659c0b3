"""Bills that can be checked: settled intervals of an account, with the keys that prove them.

All is read from the state after the last finalized block, for which every node can give a proof of
finality. A line that this state does not hold any more is refused by its interval.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from node.chain import Chain
from rpc.ports import Head, Json
from runtime.pallets.consumption_metering.records import Method
from runtime.pallets.trading.records import SettlementLine
from runtime.primitives.crypto import ss58_encode
from runtime.primitives.types import AccountId
from runtime.runtime import Runtime
from runtime.state.overlay import Overlay

FORGOTTEN = (
    "settled so long ago that the state does not hold them any more; only a proof that was kept "
    "(dret market proof) shows them, by the root of their day"
)
NOT_SETTLED = "not settled yet, or an interval without a market"


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


def bill_of(chain: Chain, account: AccountId, first: int, last: int) -> Mapping[str, Json]:
    """The settled intervals from `first` to `last` of an account's connections."""
    block_hash = chain.finalized_hash_now
    state = chain.state_at(block_hash)
    block = Head(block_hash, chain.finalized.number)
    return bill_in(chain.runtime_of(state), Overlay(state), block, account, first, last)


def bill_in(
    runtime: Runtime, state: Overlay, block: Head, account: AccountId, first: int, last: int
) -> Mapping[str, Json]:
    """The bill by the state after a block: reads what `keys_of_bill` names and nothing else."""
    runtime.bind(state)
    keys = BillKeys(runtime)
    connections = list(runtime.producer_registration.connections_of[account])
    lines: list[Json] = []
    absent: list[int] = []
    for interval in range(first, last + 1):
        settled = runtime.trading.lines[interval]
        if settled is None:
            absent.append(interval)
            continue
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
    begin = oldest_kept(runtime)
    forgotten = [interval for interval in absent if begin is not None and interval < begin]
    waiting = [interval for interval in absent if begin is None or interval >= begin]
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
        "refused": ranges(forgotten, FORGOTTEN),
        "not_settled": ranges(waiting, NOT_SETTLED),
        "keys": [
            _hex(keys.connections_of(account)),
            _hex(keys.history_begin()),
            _hex(keys.settled_at(history_begin)),
        ],
    }


def keys_of_bill(
    runtime: Runtime, history_begin: int, account: AccountId, first: int, last: int
) -> list[bytes]:
    """The storage keys whose values make a bill. `history_begin` is the value under its own key."""
    keys = BillKeys(runtime)
    found = [keys.connections_of(account), keys.history_begin(), keys.settled_at(history_begin)]
    for interval in range(first, last + 1):
        found += [keys.lines(interval), keys.settlement(interval)]
    return found


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
