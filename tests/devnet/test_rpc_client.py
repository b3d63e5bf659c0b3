"""The devnet's RPC client against a real RPC server with a node of plain values behind it."""

import pytest
import trio

from devnet import rpc_client
from devnet.rpc_client import Link, RpcClient, RpcFailed
from node.errors import NodeUnreachable
from rpc.config import RpcConfig
from rpc.server import Server
from tests.rpc.fake_node import FakeNode


async def start_server(nursery: trio.Nursery, port: int = 0) -> Server:
    server = Server(RpcConfig(port=port), FakeNode().ports)
    await nursery.start(server.run)
    return server


async def test_calls_may_overlap_and_get_their_own_replies() -> None:
    async with trio.open_nursery() as nursery:
        server = await start_server(nursery)
        client = await RpcClient.open("127.0.0.1", server.port)
        nursery.start_soon(client.run)
        replies: dict[str, object] = {}

        async def ask(method: str) -> None:
            replies[method] = await client.call(method)

        async with trio.open_nursery() as calls:
            for method in ("system_chain", "system_name", "system_health"):
                calls.start_soon(ask, method)

        assert replies["system_chain"] == "Energy Spike"
        assert isinstance(replies["system_health"], dict)
        nursery.cancel_scope.cancel()


async def test_an_error_object_is_raised_with_its_code() -> None:
    async with trio.open_nursery() as nursery:
        server = await start_server(nursery)
        client = await RpcClient.open("127.0.0.1", server.port)
        nursery.start_soon(client.run)

        with pytest.raises(RpcFailed, match="Method not found") as failure:
            await client.call("no_such_method")

        assert failure.value.code == -32601
        nursery.cancel_scope.cancel()


async def test_a_link_to_a_node_that_is_down_fails_at_once_and_comes_back_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rpc_client, "RETRY_S", 0.01)
    async with trio.open_nursery() as nursery:
        async with trio.open_nursery() as first:
            server = await start_server(first)
            link = Link("127.0.0.1", server.port)
            nursery.start_soon(link.run)
            while not link.is_up:
                await trio.sleep(0.01)
            assert await link.call("system_chain") == "Energy Spike"
            first.cancel_scope.cancel()

        while link.is_up:
            await trio.sleep(0.01)
        with pytest.raises(NodeUnreachable):
            await link.call("system_chain")

        await start_server(nursery, server.port)
        while not link.is_up:
            await trio.sleep(0.01)
        assert await link.call("system_chain") == "Energy Spike"
        assert link.times_connected == 2
        nursery.cancel_scope.cancel()


async def test_nothing_listening_is_named() -> None:
    with pytest.raises(NodeUnreachable, match=r"No node answers at 127\.0\.0\.1:1"):
        await RpcClient.open("127.0.0.1", 1)


async def test_what_follows_a_subscription_is_not_lost_and_ends_with_the_connection() -> None:
    node = FakeNode()
    async with trio.open_nursery() as nursery:
        server = Server(RpcConfig(port=0), node.ports)
        await nursery.start(server.run)
        client = await RpcClient.open("127.0.0.1", server.port)
        nursery.start_soon(client.run)
        numbers: list[int] = []

        names = ("chain_subscribeNewHeads", (), "chain_unsubscribeNewHeads")
        async with client.subscribe(*names) as heads:
            for _ in range(3):
                numbers.append(int((await heads.receive())["number"], 16))
                node.chain.grow()
        async with client.subscribe(*names) as heads:
            await heads.receive()
            await trio.aclose_forcefully(client._stream)
            with pytest.raises(trio.EndOfChannel):
                await heads.receive()

        first = numbers[0]
        assert numbers == [first, first + 1, first + 2]
        nursery.cancel_scope.cancel()


async def test_a_reader_that_falls_behind_is_cut_off_after_what_was_queued(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rpc_client, "NOTIFICATIONS_MAX", 2)
    node = FakeNode()
    async with trio.open_nursery() as nursery:
        server = Server(RpcConfig(port=0), node.ports)
        await nursery.start(server.run)
        client = await RpcClient.open("127.0.0.1", server.port)
        nursery.start_soon(client.run)

        names = ("chain_subscribeNewHeads", (), "chain_unsubscribeNewHeads")
        async with client.subscribe(*names) as heads:
            for _ in range(5):
                node.chain.grow()
                await client.call("system_health")
            received = [head["number"] async for head in heads]

        assert len(received) == 2
        assert (await client.call("system_health"))["peers"] >= 0
        nursery.cancel_scope.cancel()
