"""The market feed: a snapshot, then deltas, each client bounded in time and space."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from rpc import market
from rpc.config import Limits, RpcConfig
from rpc.market_schema import MESSAGE, document
from tests.rpc.client import Closed, Running, WsClient, running
from tests.support.json_schema import problems

DOCS = Path(__file__).parent.parent.parent / "docs" / "market-feed.schema.json"
PERIOD_S = 0.05


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    monkeypatch.setattr(market, "PERIOD_S", PERIOD_S)
    async with running() as server:
        yield server


async def next_message(client: WsClient) -> Any:
    """The next message of the feed, which its schema describes."""
    message = await client.receive()
    assert message["method"] == "dret_market"
    result = message["params"]["result"]
    assert problems(result, MESSAGE) == []
    return result


async def subscribed(client: WsClient) -> Any:
    await client.call("dret_subscribeMarket")
    return await next_message(client)


def hexed(*blocks: Any) -> list[str]:
    return ["0x" + block.hash.hex() for block in blocks]


def test_the_schema_in_the_documentation_is_the_codes() -> None:
    assert DOCS.read_text() == document(), "python -m rpc.market_schema > docs/…"


def test_the_validator_finds_what_is_wrong() -> None:
    head = {"hash": "0x" + "00" * 32, "number": 0}
    delta = {"kind": "delta", "best": head, "finalized": head, "retracted": [], "blocks": []}

    assert problems(delta, MESSAGE) == []
    assert problems({**delta, "more": 1}, MESSAGE) == ["$.more is not expected"]
    assert problems({**delta, "retracted": ["0x"]}, MESSAGE)
    assert problems({**delta, "best": {**head, "number": -1}}, MESSAGE)
    assert problems({**delta, "best": {**head, "number": True}}, MESSAGE)
    assert problems({k: v for k, v in delta.items() if k != "blocks"}, MESSAGE)


async def test_the_first_message_is_a_snapshot_and_the_next_the_blocks_after_it(
    server: Running,
) -> None:
    chain = server.node.chain
    async with server.websocket() as client:
        first = await subscribed(client)
        block = chain.grow()
        second = await next_message(client)
        chain.finalize(block)
        third = await next_message(client)

    assert first["kind"] == "snapshot"
    assert first["best"] == first["finalized"] == {"hash": hexed(chain.genesis)[0], "number": 0}
    assert first["market"]["interval"] == 7
    assert second["kind"] == "delta"
    assert [told["hash"] for told in second["blocks"]] == hexed(block)
    assert second["best"] == {"hash": hexed(block)[0], "number": 1}
    assert (third["finalized"], third["blocks"]) == (second["best"], [])


async def test_a_client_gets_one_delta_a_period_however_many_blocks_come(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(market, "PERIOD_S", 0.5)
    async with server.websocket() as client:
        await subscribed(client)
        blocks = [server.node.chain.grow()]
        first = await next_message(client)
        blocks += [server.node.chain.grow() for _ in range(5)]
        with trio.move_on_after(0.2) as waited:
            await client.receive()
        second = await next_message(client)

    assert waited.cancelled_caught
    assert len(first["blocks"]) == 1
    assert [told["hash"] for told in second["blocks"]] == hexed(*blocks[1:])


async def test_what_a_block_did_is_asked_of_the_node_for_each_client_and_nothing_else(
    server: Running,
) -> None:
    async with server.websocket() as one, server.websocket() as other:
        await subscribed(one)
        await subscribed(other)
        server.node.chain.grow()
        assert await next_message(one) == await next_message(other)

    assert server.node.dret.blocks_made == 2


async def test_a_branch_that_was_left_is_retracted(server: Running) -> None:
    chain = server.node.chain
    async with server.websocket() as client:
        await subscribed(client)
        left = [chain.grow(), chain.grow()]
        while (await next_message(client))["best"]["number"] < 2:
            pass
        fork = chain.grow({b"a": b"1"}, parent=chain.genesis, is_best=False)
        joined = [fork, chain.grow(parent=fork, is_best=False)]
        joined.append(chain.grow(parent=joined[-1]))
        message = await next_message(client)

    assert message["retracted"] == hexed(*left[::-1])
    assert [told["hash"] for told in message["blocks"]] == hexed(*joined)


@pytest.mark.parametrize("reason", ["too many blocks", "a block cannot be read", "header is gone"])
async def test_what_cannot_be_told_block_by_block_is_told_by_another_snapshot(
    server: Running, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    chain = server.node.chain
    monkeypatch.setattr(market, "DELTA_BLOCKS_MAX", 3)
    async with server.websocket() as client:
        await subscribed(client)
        blocks = [chain.grow(is_best=False)]
        while len(blocks) < (4 if reason == "too many blocks" else 2):
            blocks.append(chain.grow(parent=blocks[-1], is_best=False))
        if reason == "a block cannot be read":
            server.node.dret.unreadable.add(blocks[0].hash)
        if reason == "header is gone":
            del chain.blocks[blocks[0].hash]
        chain.reorganize(blocks[-1])
        message = await next_message(client)

    assert message["kind"] == "snapshot"
    assert message["best"]["number"] == len(blocks)


async def test_unsubscribing_ends_it(server: Running) -> None:
    async with server.websocket() as client:
        subscription = await client.call("dret_subscribeMarket")
        await next_message(client)
        assert await client.call("dret_unsubscribeMarket", subscription) is True
        server.node.chain.grow()
        with trio.move_on_after(3 * PERIOD_S) as waited:
            await client.receive()

    assert waited.cancelled_caught


@pytest.mark.slow
async def test_a_client_that_does_not_read_is_cut_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(market, "PERIOD_S", 0.0)
    async with (
        running(RpcConfig(port=0, limits=Limits(message_buffer=8))) as server,
        server.websocket() as slow,
    ):
        large = b'{"hash":"0x%b","padding":"%b"}' % (b"00" * 32, b"x" * 1_000_000)
        monkeypatch.setattr(server.node.dret, "market_block", lambda _: large)
        await slow.call("dret_subscribeMarket")
        with trio.fail_after(20):
            while not server.server.stats.slow_consumers_dropped:
                server.node.chain.grow()
                await trio.sleep(0.002)
            with pytest.raises(Closed):
                while True:
                    await slow.receive()

        assert server.server.stats.slow_consumers_dropped == 1


def test_the_document_is_json_that_says_where_its_words_come_from() -> None:
    assert json.loads(document())["$schema"] == "https://json-schema.org/draft/2020-12/schema"
