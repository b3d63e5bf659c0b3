"""`transaction_v1` and `transactionWatch_v1`: extrinsics tried, followed and let go."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

from rpc.ports import Refusal, SubmissionRefused, TransactionStatus
from rpc.transaction import BROADCASTS_MAX
from runtime.primitives.hashing import blake2_256
from tests.rpc.client import Running, WsClient, running

XT = bytes.fromhex("10aabbccdd")
DIGEST = blake2_256(XT)


def to_hex(data: bytes) -> str:
    return "0x" + data.hex()


@pytest.fixture
async def server() -> AsyncIterator[Running]:
    async with running() as server:
        yield server


async def settle() -> None:
    """Let the server's tasks handle what a test just did to the node."""
    await trio.testing.wait_all_tasks_blocked(0.005)


class TestBroadcast:
    async def test_the_extrinsic_goes_into_the_pool(self, server: Running) -> None:
        async with server.websocket() as client:
            name = await client.call("transaction_v1_broadcast", to_hex(XT))
            await settle()

            assert isinstance(name, str)
            assert server.node.pool.pending() == [XT]
            assert await client.call("transaction_v1_stop", name) is None
            await settle()
            assert server.node.pool.listeners[DIGEST] == []

    async def test_stopping_what_was_never_begun_is_an_error(self, server: Running) -> None:
        async with server.websocket() as client:
            name = await client.call("transaction_v1_broadcast", to_hex(XT))
            await client.call("transaction_v1_stop", name)

            for unknown in (name, "another"):
                assert (await client.error("transaction_v1_stop", unknown))["code"] == -32602

    async def test_an_invalid_extrinsic_is_not_reported_and_not_tried_again(
        self, server: Running
    ) -> None:
        server.node.pool.refuse_with = SubmissionRefused(Refusal.INVALID, "Transaction is outdated")
        async with server.websocket() as client:
            name = await client.call("transaction_v1_broadcast", to_hex(XT))
            await settle()
            server.node.pool.refuse_with = None
            server.node.chain.grow()
            await settle()

            assert server.node.pool.pending() == []
            assert await client.call("transaction_v1_stop", name) is None

    @pytest.mark.parametrize("reason", [Refusal.IMMEDIATELY_DROPPED, Refusal.UNKNOWN_VALIDITY])
    async def test_what_may_pass_is_tried_again_at_the_next_block(
        self, server: Running, reason: Refusal
    ) -> None:
        server.node.pool.refuse_with = SubmissionRefused(reason)
        async with server.websocket() as client:
            await client.call("transaction_v1_broadcast", to_hex(XT))
            await settle()
            server.node.pool.refuse_with = None
            server.node.chain.grow()
            await settle()

            assert server.node.pool.pending() == [XT]

    async def test_what_the_pool_drops_is_tried_again(self, server: Running) -> None:
        pool = server.node.pool
        async with server.websocket() as client:
            await client.call("transaction_v1_broadcast", to_hex(XT))
            await settle()
            pool.extrinsics.clear()
            pool.tell(DIGEST, TransactionStatus("dropped"))
            await settle()
            server.node.chain.grow()
            await settle()

            assert pool.pending() == [XT]

    async def test_more_than_allowed_give_null(self, server: Running) -> None:
        async with server.websocket() as client:
            names = [
                await client.call("transaction_v1_broadcast", to_hex(bytes([4, number])))
                for number in range(BROADCASTS_MAX)
            ]

            assert await client.call("transaction_v1_broadcast", to_hex(XT)) is None
            await client.call("transaction_v1_stop", names[-1])
            assert isinstance(await client.call("transaction_v1_broadcast", to_hex(XT)), str)

    async def test_leaving_ends_all_broadcasts(self, server: Running) -> None:
        async with server.websocket() as client:
            await client.call("transaction_v1_broadcast", to_hex(XT))
            await settle()
        await settle()

        assert server.node.pool.listeners[DIGEST] == []

    async def test_over_http_it_is_submitted_once(self, server: Running) -> None:
        request = {"jsonrpc": "2.0", "id": 1, "method": "transaction_v1_broadcast"}
        reply = await server.post({**request, "params": [to_hex(XT)]})

        assert isinstance(reply["result"], str)
        assert server.node.pool.pending() == [XT]

    async def test_what_is_no_hex_is_refused(self, server: Running) -> None:
        async with server.websocket() as client:
            for name in ("transaction_v1_broadcast", "transactionWatch_v1_submitAndWatch"):
                assert (await client.error(name, "xyz"))["code"] == -32602


async def watch(client: WsClient) -> str:
    name: str = await client.call("transactionWatch_v1_submitAndWatch", to_hex(XT))
    return name


async def event(client: WsClient) -> Any:
    with trio.fail_after(5):
        message = await client.receive()
    assert message["method"] == "transactionWatch_v1_watchEvent"
    return message["params"]["result"]


class TestWatch:
    async def test_the_life_of_an_extrinsic(self, server: Running) -> None:
        pool = server.node.pool
        block = server.node.chain.grow(body=[XT])
        async with server.websocket() as client:
            name = await watch(client)
            for status in (
                TransactionStatus("inBlock", block.hash),
                TransactionStatus("retracted", block.hash),
                TransactionStatus("broadcast", peers=["12D3"]),
                TransactionStatus("finalized", block.hash),
            ):
                pool.tell(DIGEST, status)
            events = [await event(client) for _ in range(4)]

            where = {"hash": to_hex(block.hash), "index": 1}
            assert events == [
                {"event": "validated"},
                {"event": "bestChainBlockIncluded", "block": where},
                {"event": "bestChainBlockIncluded", "block": None},
                {"event": "finalized", "block": where},
            ]
            assert (await client.error("transactionWatch_v1_unwatch", name))["code"] == -32602
            assert pool.listeners[DIGEST] == []

    @pytest.mark.parametrize(
        ("kind", "expected"),
        [
            ("usurped", "invalid"),
            ("invalid", "invalid"),
            ("dropped", "dropped"),
            ("finalityTimeout", "dropped"),
        ],
    )
    async def test_each_end_has_its_event_and_a_reason(
        self, server: Running, kind: str, expected: str
    ) -> None:
        async with server.websocket() as client:
            await watch(client)
            server.node.pool.tell(DIGEST, TransactionStatus(kind, bytes(32)))
            _, last = await event(client), await event(client)

        assert last["event"] == expected
        assert last["error"]

    @pytest.mark.parametrize(
        ("refused", "expected"),
        [
            (
                SubmissionRefused(Refusal.INVALID, "Transaction is outdated"),
                {"event": "invalid", "error": "Invalid Transaction: Transaction is outdated"},
            ),
            (
                SubmissionRefused(Refusal.IMMEDIATELY_DROPPED),
                {"event": "dropped", "error": "Immediately Dropped"},
            ),
        ],
    )
    async def test_a_refusal_is_an_event(
        self, server: Running, refused: SubmissionRefused, expected: Any
    ) -> None:
        server.node.pool.refuse_with = refused
        async with server.websocket() as client:
            await watch(client)

            assert await event(client) == expected

    async def test_unwatching_tells_the_pool_and_leaves_the_extrinsic(
        self, server: Running
    ) -> None:
        async with server.websocket() as client:
            name = await watch(client)
            assert await client.call("transactionWatch_v1_unwatch", name) is None

        assert server.node.pool.listeners[DIGEST] == []
        assert server.node.pool.pending() == [XT]
