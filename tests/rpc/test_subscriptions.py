"""Subscriptions: names, order, what is sent when, and what becomes of slow clients."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import trio

from rpc.config import Limits, RpcConfig
from rpc.ports import BlockImported, TransactionStatus
from rpc.subscriptions import ChainFeed
from runtime.primitives.hashing import blake2_256
from tests.rpc.client import Closed, Running, WsClient, running
from tests.rpc.fake_node import ALICE_KEY, NOW_KEY, VERSION, FakeChain

XT = bytes.fromhex("10aabbccdd")


def to_hex(data: bytes) -> str:
    return "0x" + data.hex()


@pytest.fixture
async def server() -> AsyncIterator[Running]:
    async with running() as server:
        yield server


async def settle() -> None:
    """Let the server's tasks handle what a test just did to the node."""
    await trio.testing.wait_all_tasks_blocked(0.005)


async def nothing_arrives(client: WsClient) -> bool:
    """Whether the client has nothing to read: what it asks next is answered first."""
    await settle()
    reply = await client.ask("system_chain")
    return reply["result"] == "Energy Spike" and not client.inbox


async def numbers(client: WsClient, count: int) -> list[int]:
    messages = [await client.receive() for _ in range(count)]
    return [int(message["params"]["result"]["number"], 16) for message in messages]


class TestHeads:
    @pytest.mark.parametrize(
        ("subscribe", "notification", "unsubscribe"),
        [
            ("chain_subscribeNewHeads", "chain_newHead", "chain_unsubscribeNewHeads"),
            ("chain_subscribeNewHead", "chain_newHead", "chain_unsubscribeNewHead"),
            ("chain_subscribeAllHeads", "chain_allHead", "chain_unsubscribeAllHeads"),
            (
                "chain_subscribeFinalizedHeads",
                "chain_finalizedHead",
                "chain_unsubscribeFinalizedHeads",
            ),
            (
                "chain_subscribeFinalisedHeads",
                "chain_finalizedHead",
                "chain_unsubscribeFinalisedHeads",
            ),
        ],
    )
    async def test_names_order_and_end(
        self, server: Running, subscribe: str, notification: str, unsubscribe: str
    ) -> None:
        chain = server.node.chain
        async with server.websocket() as client:
            await client.send({"jsonrpc": "2.0", "id": 1, "method": subscribe, "params": []})
            reply, first = await client.receive(), await client.receive()
            chain.finalize(chain.grow())
            second = await client.receive()

            assert isinstance(reply["result"], str)
            assert first["method"] == second["method"] == notification
            assert first["params"]["subscription"] == reply["result"]
            assert "id" not in first
            assert int(second["params"]["result"]["number"], 16) == 1

            assert await client.call(unsubscribe, reply["result"]) is True
            assert await client.call(unsubscribe, reply["result"]) is False
            chain.finalize(chain.grow())
            assert await nothing_arrives(client)

    async def test_new_heads_leave_out_what_does_not_become_best(self, server: Running) -> None:
        chain = server.node.chain
        async with server.websocket() as client:
            await client.call("chain_subscribeNewHeads")
            fork = chain.grow(is_best=False)
            chain.grow()
            chain.grow(parent=fork)

            assert await numbers(client, 3) == [0, 1, 2]

    async def test_all_heads_have_every_branch(self, server: Running) -> None:
        chain = server.node.chain
        async with server.websocket() as client:
            await client.call("chain_subscribeAllHeads")
            chain.grow(is_best=False)
            chain.grow({b"x": b"y"})

            assert await numbers(client, 3) == [0, 1, 1]

    async def test_finalized_heads_have_no_gaps(self, server: Running) -> None:
        chain = server.node.chain
        async with server.websocket() as client:
            await client.call("chain_subscribeFinalizedHeads")
            blocks = [chain.grow() for _ in range(5)]
            chain.finalize(blocks[-1])

            assert await numbers(client, 6) == [0, 1, 2, 3, 4, 5]

    async def test_a_head_still_in_the_queue_is_not_told_to_who_was_given_it_first(self) -> None:
        chain = FakeChain()
        feed = ChainFeed(chain)
        seen: list[int] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(feed.run)
            await settle()
            chain.grow()
            feed.subscribe("best", lambda notice: seen.append(notice.header.number))
            chain.grow()
            await settle()
            nursery.cancel_scope.cancel()

        assert seen == [2]
        assert chain.listeners == []

    async def test_an_id_of_another_kind_of_subscription_ends_nothing(
        self, server: Running
    ) -> None:
        async with server.websocket() as client, server.websocket() as other:
            subscription = await client.call("chain_subscribeNewHeads")

            assert await client.call("author_unwatchExtrinsic", subscription) is False
            assert await other.call("chain_unsubscribeNewHeads", subscription) is False
            assert await client.call("chain_unsubscribeNewHeads", 17) is False
            assert (await client.error("chain_unsubscribeNewHeads"))["code"] == -32602
            assert await client.call("chain_unsubscribeNewHeads", subscription) is True


class TestStorage:
    async def subscribe(self, client: WsClient, *keys: bytes) -> Any:
        await client.call("state_subscribeStorage", [to_hex(key) for key in keys])
        return (await client.receive())["params"]["result"]

    async def test_the_first_notification_has_all_keys(self, server: Running) -> None:
        async with server.websocket() as client:
            first = await self.subscribe(client, NOW_KEY, b"absent", ALICE_KEY)

        assert first["block"] == to_hex(server.node.chain.genesis.hash)
        assert [key for key, _ in first["changes"]] == [
            to_hex(key) for key in (NOW_KEY, b"absent", ALICE_KEY)
        ]
        assert first["changes"][1][1] is None

    async def test_later_ones_have_only_what_changed(self, server: Running) -> None:
        async with server.websocket() as client:
            await self.subscribe(client, NOW_KEY, ALICE_KEY)
            block = server.node.chain.grow()
            message = await client.receive()

        assert message["method"] == "state_storage"
        assert message["params"]["result"] == {
            "block": to_hex(block.hash),
            "changes": [[to_hex(NOW_KEY), "0xd007000000000000"]],
        }

    async def test_a_single_key_is_never_left_out_of_a_change_set(self, server: Running) -> None:
        # polkadot.js would take its absence as "the value is gone".
        chain = server.node.chain
        async with server.websocket() as client:
            await self.subscribe(client, ALICE_KEY)
            chain.grow()
            chain.grow({ALICE_KEY: chain.best_block.state[ALICE_KEY]})
            assert await nothing_arrives(client)
            chain.grow({ALICE_KEY: b"\x01"})
            changed = await client.receive()
            chain.grow({ALICE_KEY: None})
            removed = await client.receive()

        assert changed["params"]["result"]["changes"] == [[to_hex(ALICE_KEY), "0x01"]]
        assert removed["params"]["result"]["changes"] == [[to_hex(ALICE_KEY), None]]

    async def test_another_branch_is_compared_with_what_was_sent(self, server: Running) -> None:
        chain = server.node.chain
        async with server.websocket() as client:
            await self.subscribe(client, ALICE_KEY)
            chain.grow({ALICE_KEY: b"\x01"})
            await client.receive()
            fork = chain.grow(parent=chain.genesis, is_best=False)
            chain.grow(parent=fork)
            message = await client.receive()

        [[key, value]] = message["params"]["result"]["changes"]
        assert key == to_hex(ALICE_KEY)
        assert value == to_hex(chain.genesis.state[ALICE_KEY])

    async def test_keys_that_a_block_did_not_write_are_not_read(self, server: Running) -> None:
        async with server.websocket() as client:
            await self.subscribe(client, ALICE_KEY)
            server.node.state.reads.clear()
            server.node.chain.grow()
            await settle()
            assert server.node.state.reads == []

            server.node.state.knows_changes = False
            server.node.chain.grow()
            await settle()
            assert server.node.state.reads == [ALICE_KEY]

    async def test_a_pruned_block_is_passed_over(self, server: Running) -> None:
        chain, state = server.node.chain, server.node.state
        async with server.websocket() as client:
            await self.subscribe(client, ALICE_KEY)
            state.gate = trio.Event()
            lost = chain.grow({ALICE_KEY: b"\x01"})
            await settle()
            chain.pruned.add(lost.hash)
            state.gate.set()
            await settle()
            chain.grow({ALICE_KEY: b"\x02"})
            message = await client.receive()

        assert message["params"]["result"]["changes"] == [[to_hex(ALICE_KEY), "0x02"]]

    async def test_no_keys_and_too_many_keys_are_refused(self, server: Running) -> None:
        async with server.websocket() as client:
            wrong: list[list[Any]] = [[], [None], [[]], [["0x00"] * 1025]]
            for params in wrong:
                assert (await client.error("state_subscribeStorage", *params))["code"] == -32602


class TestRuntimeVersion:
    async def test_comes_at_once_and_when_it_changes(self, server: Running) -> None:
        chain = server.node.chain
        async with server.websocket() as client:
            await client.call("state_subscribeRuntimeVersion")
            first = await client.receive()
            chain.grow()
            assert await nothing_arrives(client)
            block = chain.grow(is_best=False)
            server.node.state.versions[block.hash] = replace(VERSION, spec_version=101)
            for listener in chain.listeners:
                listener(BlockImported(block.hash, block.header, True))
            second = await client.receive()

        assert first["method"] == second["method"] == "state_runtimeVersion"
        assert first["params"]["result"]["specVersion"] == 100
        assert second["params"]["result"]["specVersion"] == 101


class TestWatch:
    async def test_the_reply_precedes_the_first_status(self, server: Running) -> None:
        async with server.websocket() as client:
            await client.send(
                {
                    "jsonrpc": "2.0",
                    "id": 1,
                    "method": "author_submitAndWatchExtrinsic",
                    "params": [to_hex(XT)],
                }
            )
            reply, ready = await client.receive(), await client.receive()

        assert reply["id"] == 1
        assert ready == {
            "jsonrpc": "2.0",
            "method": "author_extrinsicUpdate",
            "params": {"subscription": reply["result"], "result": "ready"},
        }

    async def test_each_status_in_substrates_form(self, server: Running) -> None:
        digest, block = blake2_256(XT), bytes(range(32))
        steps = [
            (TransactionStatus("future"), "future"),
            (TransactionStatus("broadcast", peers=["12D3"]), {"broadcast": ["12D3"]}),
            (TransactionStatus("inBlock", block), {"inBlock": to_hex(block)}),
            (TransactionStatus("retracted", block), {"retracted": to_hex(block)}),
            (TransactionStatus("finalized", block), {"finalized": to_hex(block)}),
        ]
        async with server.websocket() as client:
            subscription = await client.call("author_submitAndWatchExtrinsic", to_hex(XT))
            await client.receive()
            for status, expected in steps:
                server.node.pool.tell(digest, status)
                assert (await client.receive())["params"]["result"] == expected

            # After the last word the place is free and the pool is told nothing more.
            assert server.node.pool.listeners[digest] == []
            assert await client.call("author_unwatchExtrinsic", subscription) is False

    @pytest.mark.parametrize("kind", ["usurped", "dropped", "invalid", "finalityTimeout"])
    async def test_nothing_follows_an_end(self, server: Running, kind: str) -> None:
        digest = blake2_256(XT)
        async with server.websocket() as client:
            await client.call("author_submitAndWatchExtrinsic", to_hex(XT))
            await client.receive()
            server.node.pool.tell(digest, TransactionStatus(kind, bytes(32)))
            server.node.pool.tell(digest, TransactionStatus("ready"))
            last = (await client.receive())["params"]["result"]

            assert last in (kind, {kind: "0x" + "00" * 32})
            assert await nothing_arrives(client)

    async def test_unwatching_and_leaving_tell_the_pool(self, server: Running) -> None:
        digest = blake2_256(XT)
        async with server.websocket() as client:
            subscription = await client.call("author_submitAndWatchExtrinsic", to_hex(XT))
            assert await client.call("author_unwatchExtrinsic", subscription) is True
            assert server.node.pool.listeners[digest] == []
            server.node.pool.extrinsics.clear()
            await client.call("author_submitAndWatchExtrinsic", to_hex(XT))
            assert len(server.node.pool.listeners[digest]) == 1
        await settle()

        assert server.node.pool.listeners[digest] == []


class TestBounds:
    async def test_subscriptions_per_connection(self) -> None:
        config = RpcConfig(port=0, limits=Limits(subscriptions_max=3))
        async with running(config) as server, server.websocket() as client:
            ids = [await client.call("chain_subscribeNewHeads") for _ in range(3)]
            refused = await client.error("chain_subscribeNewHeads")
            await client.call("chain_unsubscribeNewHeads", ids[0])
            again = await client.call("chain_subscribeNewHeads")

        assert refused == {
            "code": -32006,
            "message": "Too many subscriptions on the connection",
            "data": "Exceeded max limit of 3",
        }
        assert len({*ids, again}) == 4

    async def test_finished_watches_free_their_place(self) -> None:
        config = RpcConfig(port=0, limits=Limits(subscriptions_max=1))
        async with running(config) as server, server.websocket() as client:
            for number in range(5):
                extrinsic = bytes([4, number])
                await client.call("author_submitAndWatchExtrinsic", to_hex(extrinsic))
                status = TransactionStatus("finalized", bytes(32))
                server.node.pool.tell(blake2_256(extrinsic), status)

    async def test_a_failed_subscription_takes_no_place(self) -> None:
        config = RpcConfig(port=0, limits=Limits(subscriptions_max=1))
        async with running(config) as server, server.websocket() as client:
            for _ in range(3):
                assert "error" in await client.ask("state_subscribeStorage", ["0xzz"])
            await client.call("chain_subscribeNewHeads")

    async def test_http_cannot_subscribe(self, server: Running) -> None:
        reply = await server.post(
            {"jsonrpc": "2.0", "id": 1, "method": "chain_subscribeNewHeads", "params": []}
        )

        assert reply["error"]["code"] == -32603
        assert "WebSocket" in reply["error"]["data"]

    @pytest.mark.slow
    async def test_a_slow_consumer_is_cut_counted_and_harmless(self) -> None:
        config = RpcConfig(port=0, limits=Limits(message_buffer=8))
        keys = [number.to_bytes(2, "big") for number in range(64)]
        async with (
            running(config) as server,
            server.websocket() as slow,
            server.websocket() as quick,
        ):
            await slow.call("state_subscribeStorage", [to_hex(key) for key in keys])
            await quick.call("chain_subscribeNewHeads")
            await quick.receive()
            count = 0
            while not server.server.stats.slow_consumers_dropped:
                count += 1
                server.node.chain.grow(dict.fromkeys(keys, bytes([count]) * 10_000))
                assert await numbers(quick, 1) == [count]
                assert count < 200

            with pytest.raises(Closed):
                while True:
                    await slow.receive()
            assert await quick.call("system_chain") == "Energy Spike"

            assert server.server.stats.slow_consumers_dropped == 1
            assert server.server.stats.ws_clients == 1

    @pytest.mark.slow
    async def test_a_block_may_concern_all_subscriptions_of_a_client_at_once(
        self, server: Running
    ) -> None:
        count, blocks = 1_000, 3
        batch = [
            {"jsonrpc": "2.0", "id": number, "method": "chain_subscribeNewHeads", "params": []}
            for number in range(count)
        ]
        async with server.websocket() as client:
            await client.send(json.dumps(batch))
            await settle()  # more comes than the kernel keeps for a client that is busy
            for _ in range(blocks):
                server.node.chain.grow()
                await settle()

            reply = await client.receive()
            heads = [await client.receive() for _ in range(count * (blocks + 1))]

        assert len(reply) == count
        assert len({head["params"]["subscription"] for head in heads}) == count
        assert server.server.stats.slow_consumers_dropped == 0

    async def test_leaving_ends_all_subscriptions(self, server: Running) -> None:
        async with server.websocket() as client:
            await client.call("chain_subscribeNewHeads")
            await client.call("state_subscribeStorage", [to_hex(NOW_KEY)])
        await settle()
        server.node.state.reads.clear()
        server.node.chain.grow()
        await settle()

        assert server.node.state.reads == []
        assert server.server.stats.ws_clients == 0


async def test_subscribing_inside_a_batch_keeps_the_order(server: Running) -> None:
    batch: list[dict[str, Any]] = [
        {"jsonrpc": "2.0", "id": number, "method": "chain_subscribeNewHeads", "params": []}
        for number in (1, 2)
    ]
    async with server.websocket() as client:
        await client.send(json.dumps(batch))
        reply = await client.receive()
        heads = [await client.receive() for _ in range(2)]

    assert [part["id"] for part in reply] == [1, 2]
    assert {head["params"]["subscription"] for head in heads} == {part["result"] for part in reply}
