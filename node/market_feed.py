"""What the market feed tells: the market after the best block, and what each block changed in it.

Both are JSON made once, however many clients follow. A block is described by its own events and its
own state, so the description of a block never changes, and a client that leaves a branch drops the
blocks of it.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import msgspec

from node.chain import Chain, UnknownBlock
from node.market_view import MarketView
from node.state_store import StateDiscarded
from rpc.ports import Json
from runtime.pallets.trading.events import (
    IntervalCleared,
    IntervalSettled,
    IntervalSettledAgain,
    OrderFilled,
    SettlementFinal,
)
from runtime.pallets.trading.records import SettlementRecord, parts_of
from runtime.primitives.types import Hash
from runtime.runtime import Runtime, UnknownVersion
from runtime.state.overlay import Overlay

BLOCKS_KEPT = 64  # two minutes of the devnet: what clients between two deltas can ask for
CELLS_MAX = 100_000  # prices and flows of a snapshot: 96 open intervals of a zone of 1 000 buses
UNREADABLE = (UnknownBlock, StateDiscarded, UnknownVersion)


class MarketFeed:
    """Snapshots and blocks of one node's market, as encoded JSON."""

    def __init__(self, chain: Chain, view: MarketView) -> None:
        self._chain = chain
        self._view = view
        self._snapshot: tuple[Hash, bytes] | None = None
        self._blocks: OrderedDict[Hash, bytes] = OrderedDict()

    def snapshot(self) -> bytes:
        """The market after the best block."""
        best_hash = self._chain.best_hash
        if self._snapshot is None or self._snapshot[0] != best_hash:
            state = self._chain.best_state()
            runtime = self._chain.runtime_of(state)
            totals = {k: v for k, v in self._view.status().items() if k != "recent"}
            runtime.bind(Overlay(state))
            content = {**snapshot_of(runtime), "totals": totals}
            self._snapshot = best_hash, msgspec.json.encode(content)
        return self._snapshot[1]

    def block(self, block_hash: Hash) -> bytes | None:
        """What a block did to the market; None when it cannot be read any more."""
        known = self._blocks.get(block_hash)
        if known is not None:
            return known
        header = self._chain.header(block_hash)
        if header is None:
            return None
        try:
            before = self._chain.state_at(header.parent_hash)
            after = self._chain.state_at(block_hash)
            runtime = self._chain.runtime_of(before)  # under which the block was made
        except UNREADABLE:
            return None
        head = {"hash": "0x" + block_hash.hex(), "number": header.number}
        content = {**head, **changes_of(runtime, Overlay(before), Overlay(after))}
        encoded = self._blocks[block_hash] = msgspec.json.encode(content)
        while len(self._blocks) > BLOCKS_KEPT:
            self._blocks.popitem(last=False)
        return encoded


def snapshot_of(runtime: Runtime) -> dict[str, Json]:
    """The market in the state that a runtime is bound to."""
    trading, grid = runtime.trading, runtime.grid_balancing
    schedule, topology = trading.schedule.get(), grid.topology.get()
    buses = len(topology.parent)
    recent = trading.recent(RECENT)
    # The nearest intervals matter most, should a large zone not fit.
    waiting = [interval for interval in schedule.stored if interval not in recent]
    shown = [*recent[-1:], *waiting][: max(1, CELLS_MAX // (3 * buses))]
    settled = [(interval, trading.settlements[interval]) for interval in recent]
    return {
        "time_ms": runtime.timestamp.now(),
        "interval": schedule.seen,
        "market_interval_ms": runtime.constants.market_interval_ms,
        "edges": {
            "parent": list(topology.parent),
            "cap_up_wh": list(topology.cap_up),
            "cap_down_wh": list(topology.cap_down),
        },
        "prices": prices_of(runtime, shown),
        "flows": flows_of(runtime, shown),
        "settlements": [
            settlement_json(interval, record) for interval, record in settled if record is not None
        ],
    }


RECENT = 8


def changes_of(runtime: Runtime, before: Overlay, after: Overlay) -> dict[str, Json]:
    """What happened between the states before and after a block."""
    runtime.bind(after)
    events = [cast(Any, record).event for record in runtime.system.events.get()]
    # An outer event holds the one of its pallet.
    inner = [getattr(event, "event", event) for event in events]
    fills = [event for event in inner if isinstance(event, OrderFilled)]
    cleared = [event for event in inner if isinstance(event, IntervalCleared)]
    time_ms, interval = runtime.timestamp.now(), runtime.trading.schedule.get().seen
    changes: dict[str, Json] = {
        "time_ms": time_ms,
        "interval": interval,
        "prices": [
            {"interval": event.interval, "micro_per_kwh": list(event.prices)} for event in cleared
        ],
        "flows": flows_of(runtime, [event.interval for event in cleared]),
        "settlements": [
            settlement_json(event.interval, event.record)
            for event in inner
            if isinstance(event, IntervalSettled | IntervalSettledAgain)
        ],
        "final": [event.interval for event in inner if isinstance(event, SettlementFinal)],
    }
    # A filled order may be gone afterwards; which side it was on, the state before tells.
    runtime.bind(before)
    return {**changes, "trades": [trade_json(runtime, event) for event in fills]}


def trade_json(runtime: Runtime, fill: OrderFilled) -> Json:
    """A fill of an order."""
    interval, number, sequence = parts_of(fill.order_id)
    orders = runtime.trading.holdings[interval, number].orders
    sides = [order.side for order in orders if order.sequence == sequence]
    connection = runtime.producer_registration.connection(number)
    return {
        "order_id": fill.order_id,
        "interval": interval,
        "connection": number,
        "bus": None if connection is None else connection.bus,
        "side": sides[0].name.lower() if sides else None,
        "filled_wh": fill.filled_wh,
        "price_micro": fill.price_micro,
        "left_wh": fill.left_wh,
    }


def prices_of(runtime: Runtime, intervals: Iterable[int]) -> list[Json]:
    """Per interval in which something traded, the price of each bus in its latest call."""
    found = [(interval, runtime.trading.prices[interval]) for interval in intervals]
    return [
        {"interval": interval, "micro_per_kwh": list(prices)}
        for interval, prices in found
        if prices is not None
    ]


def flows_of(runtime: Runtime, intervals: Sequence[int]) -> list[Json]:
    """Per interval in which something traded, what each edge carries by contract."""
    found = [(interval, runtime.grid_balancing.flows[interval]) for interval in intervals]
    return [
        {
            "interval": interval,
            "net_export_wh": list(flows.net_export),
            "received_wh": list(flows.received),
        }
        for interval, flows in found
        if flows is not None
    ]


def settlement_json(interval: int, record: SettlementRecord) -> Mapping[str, Json]:
    """The figures of a settled interval, by the names of their fields."""
    fields: dict[str, Json] = {
        name: value
        for name in record.__struct_fields__
        if isinstance(value := getattr(record, name), int)
    }
    return {"interval": interval, **fields}
