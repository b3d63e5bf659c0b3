"""The JSON schema of the market feed's messages.

`python -m rpc.market_schema` prints the document that stands in docs/market-feed.schema.json.
"""

import json
import sys
from collections.abc import Mapping

from rpc.ports import Json

Schema = Mapping[str, Json]

_NUMBER: Schema = {"type": "integer", "minimum": 0}
_SIGNED: Schema = {"type": "integer"}
_HASH: Schema = {"type": "string", "pattern": "^0x[0-9a-f]{64}$"}


def _listed(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _said(schema: Schema, text: str) -> Schema:
    return {**schema, "description": text}


def _record(text: str, is_open: bool = False, **fields: Schema) -> Schema:
    """An object with exactly these fields, or at least these."""
    return {
        "type": "object",
        "description": text,
        "properties": fields,
        "required": list(fields),
        "additionalProperties": is_open,
    }


_HEAD = _record("A block.", hash=_HASH, number=_NUMBER)
_INTERVAL = _said(_NUMBER, "A market interval: Unix milliseconds over market_interval_ms.")
_PRICES = _listed(
    _record(
        "Prices of the latest call of an interval in which something traded.",
        interval=_INTERVAL,
        micro_per_kwh=_said(_listed(_SIGNED), "Per bus, in micro-DRT per kWh."),
    )
)
_FLOWS = _listed(
    _record(
        "What each edge carries in an interval by contract; entry i is the edge above bus i.",
        interval=_INTERVAL,
        net_export_wh=_said(_listed(_SIGNED), "Sent towards the root, at the child's end."),
        received_wh=_said(_listed(_SIGNED), "Received at the parent's end."),
    )
)
_TRADES = _listed(
    _record(
        "A fill of an order. It is final.",
        order_id=_NUMBER,
        interval=_INTERVAL,
        connection=_NUMBER,
        bus={"anyOf": [_NUMBER, {"type": "null"}]},
        side={"anyOf": [{"type": "string", "enum": ["bid", "offer"]}, {"type": "null"}]},
        filled_wh=_NUMBER,
        price_micro=_said(_SIGNED, "Of its bus, in micro-DRT per kWh."),
        left_wh=_said(_NUMBER, "What is not filled yet."),
    )
)
_SETTLEMENTS = _listed(
    _record(
        "The figures of a settled interval, all fields of the chain's SettlementRecord.",
        is_open=True,
        interval=_INTERVAL,
        traded_wh=_NUMBER,
        bid_value_nano=_SIGNED,
        imbalance_price=_SIGNED,
        import_wh=_NUMBER,
        export_wh=_NUMBER,
        times_corrected=_NUMBER,
        is_final={"type": "boolean"},
    )
)
_BLOCK = _record(
    "What a block did.",
    hash=_HASH,
    number=_NUMBER,
    time_ms=_NUMBER,
    interval=_INTERVAL,
    prices=_PRICES,
    flows=_FLOWS,
    settlements=_said(_SETTLEMENTS, "Settled, or settled again after a correction."),
    final=_said(_listed(_INTERVAL), "Settlements that will not change any more."),
    trades=_TRADES,
)
_MARKET = _record(
    "The market after the best block.",
    time_ms=_said(_NUMBER, "Unix time of the block."),
    interval=_said(_INTERVAL, "The latest in which a block was made."),
    market_interval_ms=_NUMBER,
    edges=_record(
        "The tree of buses: entry i is the edge from bus i to its parent, in Wh per interval.",
        parent=_listed(_NUMBER),
        cap_up_wh=_listed(_NUMBER),
        cap_down_wh=_listed(_NUMBER),
    ),
    prices=_said(_PRICES, "Of the intervals that wait for settlement, and of the latest settled."),
    flows=_said(_FLOWS, "Of the same intervals."),
    settlements=_said(_SETTLEMENTS, "The latest, oldest first."),
    totals=_record(
        "Sums over all settled intervals.",
        is_open=True,
        intervals_settled=_NUMBER,
        traded_wh=_NUMBER,
        money_residual_nano=_SIGNED,
        energy_residual_wh=_NUMBER,
    ),
)


def _kind(name: str) -> Schema:
    return {"type": "string", "enum": [name]}


MESSAGE: Schema = {
    "anyOf": [
        _record(
            "The first message; another one takes the place of all told before.",
            kind=_kind("snapshot"),
            best=_HEAD,
            finalized=_HEAD,
            market=_MARKET,
        ),
        _record(
            "What happened since the message before; at most one a second.",
            kind=_kind("delta"),
            best=_HEAD,
            finalized=_HEAD,
            retracted=_said(_listed(_HASH), "Blocks told before that left the best chain."),
            blocks=_said(_listed(_BLOCK), "Blocks that joined it, oldest first."),
        ),
    ]
}


def document() -> str:
    """The schema as a file."""
    content = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "dret_subscribeMarket: a notification's result",
        **MESSAGE,
    }
    return json.dumps(content, indent=1) + "\n"


if __name__ == "__main__":
    sys.stdout.write(document())
