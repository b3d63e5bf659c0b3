"""What the feed tells of a real market, held against what the chain has."""

import json
from typing import Any, cast

import pytest

from node import market_feed
from node.chain import Chain, UnknownBlock
from node.market_feed import MarketFeed
from node.market_view import MarketView
from rpc.market_schema import MESSAGE
from runtime.primitives.block import Header
from runtime.runtime import Runtime
from tests.golden.script import golden_chain
from tests.support.chains import MemoryChain
from tests.support.json_schema import problems


class MemoryNode:
    """What the feed asks of a node's chain."""

    def __init__(self, chain: MemoryChain) -> None:
        self.chain = chain
        self.numbers = {header.hash(): header.number for header in chain.headers}
        self.reads = 0

    @property
    def best_hash(self) -> bytes:
        return self.chain.head.hash()

    def best_state(self) -> Any:
        return self.chain.states[-1]

    def header(self, block_hash: bytes) -> Header | None:
        number = self.numbers.get(block_hash)
        return None if number is None else self.chain.headers[number]

    def state_at(self, block_hash: bytes) -> Any:
        self.reads += 1
        if block_hash not in self.numbers:
            raise UnknownBlock("no such block")
        return self.chain.states[self.numbers[block_hash]]

    def runtime_of(self, state: Any) -> Runtime:
        return self.chain.runtime


@pytest.fixture(scope="module")
def node() -> MemoryNode:
    return MemoryNode(golden_chain())


@pytest.fixture
def feed(node: MemoryNode) -> MarketFeed:
    chain = cast(Chain, node)
    return MarketFeed(chain, MarketView(chain))


def blocks_of(node: MemoryNode, feed: MarketFeed) -> list[Any]:
    told = [feed.block(header.hash()) for header in node.chain.headers[1:]]
    return [json.loads(block) for block in told if block is not None]


def test_messages_of_a_real_market_fit_the_schema(node: MemoryNode, feed: MarketFeed) -> None:
    head = {"hash": "0x" + node.best_hash.hex(), "number": node.chain.head.number}
    around = {"best": head, "finalized": head}
    snapshot = {"kind": "snapshot", **around, "market": json.loads(feed.snapshot())}
    delta = {"kind": "delta", **around, "retracted": [], "blocks": blocks_of(node, feed)}

    assert problems(snapshot, MESSAGE) == []
    assert problems(delta, MESSAGE) == []
    assert len(delta["blocks"]) == node.chain.head.number


def test_trades_prices_flows_and_settlements_are_those_of_the_chain(
    node: MemoryNode, feed: MarketFeed
) -> None:
    blocks = blocks_of(node, feed)
    trades = [trade for block in blocks for trade in block["trades"]]
    prices = {each["interval"]: each for block in blocks for each in block["prices"]}
    flows = {each["interval"]: each for block in blocks for each in block["flows"]}
    settled = [each["interval"] for block in blocks for each in block["settlements"]]
    runtime = node.chain.runtime
    runtime.bind(node.chain.overlay())

    bought = sum(trade["filled_wh"] for trade in trades if trade["side"] == "bid")
    assert 0 < bought == runtime.trading.totals.get().traded_wh
    assert {trade["side"] for trade in trades} == {"bid", "offer"}
    assert settled == runtime.trading.recent(64)
    for trade in trades:
        of_bus = prices[trade["interval"]]["micro_per_kwh"][trade["bus"]]
        assert trade["price_micro"] == of_bus
    for interval, told in flows.items():
        stored = runtime.grid_balancing.flows[interval]
        assert stored is not None
        assert told["net_export_wh"] == list(stored.net_export)
        assert told["received_wh"] == list(stored.received)


def test_a_snapshot_agrees_with_the_blocks_before_it(node: MemoryNode, feed: MarketFeed) -> None:
    snapshot, blocks = json.loads(feed.snapshot()), blocks_of(node, feed)
    settled = [each for block in blocks for each in block["settlements"]]

    assert snapshot["settlements"] == settled[-market_feed.RECENT :]
    assert snapshot["totals"]["intervals_settled"] == len(settled)
    assert snapshot["time_ms"] == blocks[-1]["time_ms"]
    assert len(snapshot["edges"]["parent"]) == 4


def test_a_block_is_described_once_and_kept_for_a_while(
    node: MemoryNode, feed: MarketFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(market_feed, "BLOCKS_KEPT", 2)
    first, second, third = (header.hash() for header in node.chain.headers[1:4])
    told = feed.block(first)
    node.reads = 0

    assert feed.block(first) is told
    assert node.reads == 0
    feed.block(second)
    feed.block(third)
    assert feed.block(first) == told
    assert node.reads > 4


def test_a_block_that_is_not_there_or_has_no_parent_is_not_described(
    node: MemoryNode, feed: MarketFeed
) -> None:
    assert feed.block(bytes(32)) is None
    assert feed.block(node.chain.genesis_hash) is None
