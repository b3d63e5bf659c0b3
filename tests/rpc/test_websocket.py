"""WebSocket: frames in every legal shape, broken ones, time, and closing from either side."""

import json
import os
import struct
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing
import wsproto.events as ws

from rpc.config import Limits, RpcConfig
from rpc.frames import text_frame
from tests.rpc.client import Closed, Running, WsClient, running
from tests.rpc.fake_node import FakeNode

CALL = b'{"jsonrpc":"2.0","id":1,"method":"system_chain","params":[]}'
TEXT, BINARY, CLOSE, PING, PONG, CONTINUATION = 1, 2, 8, 9, 10, 0


@pytest.fixture
async def server() -> AsyncIterator[Running]:
    async with running() as server:
        yield server


def frame(opcode: int, payload: bytes, *, final: bool = True, masked: bool = True) -> bytes:
    """A client's frame, made by hand so that it can be wrong."""
    size = len(payload)
    first = (0x80 if final else 0) | opcode
    mask_bit = 0x80 if masked else 0
    if size < 126:
        head = struct.pack("!BB", first, mask_bit | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", first, mask_bit | 126, size)
    else:
        head = struct.pack("!BBQ", first, mask_bit | 127, size)
    if not masked:
        return head + payload
    mask = os.urandom(4)
    return head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


async def close_code(client: WsClient) -> int | None:
    with pytest.raises(Closed) as caught:
        while True:
            await client.receive()
    return caught.value.code


class TestMessages:
    @pytest.mark.parametrize(
        "data",
        [
            frame(TEXT, CALL),
            frame(BINARY, CALL),
            frame(TEXT, CALL[:9], final=False) + frame(CONTINUATION, CALL[9:]),
            b"".join(
                [
                    frame(TEXT, b"", final=False),
                    frame(CONTINUATION, CALL[:20], final=False),
                    frame(PING, b"between"),
                    frame(CONTINUATION, CALL[20:], final=False),
                    frame(CONTINUATION, b""),
                ]
            ),
            frame(TEXT, b"  \n" + CALL + b"\t"),
            frame(PONG, b"unasked") + frame(TEXT, CALL),
        ],
    )
    async def test_every_legal_shape_is_answered(self, server: Running, data: bytes) -> None:
        async with server.websocket() as client:
            await client.stream.send_all(data)
            reply = await client.receive() or await client.receive()

        assert reply == {"jsonrpc": "2.0", "id": 1, "result": "Energy Spike"}

    async def test_a_message_may_arrive_byte_by_byte_and_many_at_once(
        self, server: Running
    ) -> None:
        async with server.websocket() as client:
            for byte in frame(TEXT, CALL):
                await client.stream.send_all(bytes([byte]))
            assert (await client.receive())["id"] == 1
            await client.stream.send_all(frame(TEXT, CALL) * 100)
            for _ in range(100):
                assert (await client.receive())["id"] == 1

    async def test_frames_sent_with_the_upgrade_are_not_lost(self, server: Running) -> None:
        head = (
            "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        async with await server.connect() as stream:
            await stream.send_all(head.encode() + frame(TEXT, CALL))
            received = b""
            while b"Energy Spike" not in received:
                received += await stream.receive_some()

        assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in received

    async def test_pings_are_answered(self, server: Running) -> None:
        async with server.websocket() as client:
            await client.stream.send_all(client.protocol.send(ws.Ping(payload=b"are you there")))
            await client.receive()

        assert client.pongs == [b"are you there"]

    @pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
    def test_our_frames_have_the_right_length_fields(self, size: int) -> None:
        assert text_frame(b"x" * size) == frame(TEXT, b"x" * size, masked=False)

    async def test_calls_run_side_by_side(self, server: Running) -> None:
        server.node.state.gate = trio.Event()
        slow = {"jsonrpc": "2.0", "id": "slow", "method": "state_getStorage", "params": ["0x00"]}
        async with server.websocket() as client:
            await client.send(slow)
            quick = await client.ask("system_chain")
            server.node.state.gate.set()
            late = await client.receive()

        assert quick["result"] == "Energy Spike"
        assert late == {"jsonrpc": "2.0", "id": "slow", "result": None}

    async def test_but_only_so_many(self) -> None:
        node = FakeNode()
        node.state.gate = trio.Event()
        slow = {"jsonrpc": "2.0", "id": 0, "method": "state_getStorage", "params": ["0x00"]}
        config = RpcConfig(port=0, limits=Limits(calls_max=2))
        async with running(config, node) as server, server.websocket() as client:
            for _ in range(4):
                await client.send(slow)
            await trio.testing.wait_all_tasks_blocked(0.01)
            started = server.server.stats.calls_started["ws", "state_getStorage"]
            node.state.gate.set()
            replies = [await client.receive() for _ in range(4)]

        assert started == 2
        assert len(replies) == 4

    async def test_a_start_up_fired_in_parallel_is_answered(self, server: Running) -> None:
        # As polkadot.js does it.
        names = ["chain_getBlockHash", "state_getRuntimeVersion", "system_chain",
                 "system_properties", "rpc_methods", "state_subscribeRuntimeVersion"]  # fmt: skip
        async with server.websocket() as client:
            for number, name in enumerate(names):
                await client.send({"jsonrpc": "2.0", "id": number, "method": name, "params": []})
            messages = [await client.receive() for _ in range(len(names) + 1)]

        assert {message.get("id") for message in messages} == {*range(len(names)), None}


class TestBrokenFrames:
    @pytest.mark.parametrize(
        ("data", "code"),
        [
            (frame(TEXT, CALL, masked=False), 1002),
            (frame(3, b""), 1002),
            (frame(CONTINUATION, b"x"), 1002),
            (frame(TEXT, b"a", final=False) + frame(TEXT, b"b"), 1002),
            (frame(PING, b"x" * 126), 1002),
            (frame(PING, b"x", final=False), 1002),
            (b"\xf1\x80\x00\x00\x00\x00", 1002),
            (frame(TEXT, b"\xff\xfe"), 1007),
            (frame(CLOSE, b"\x03"), 1002),
        ],
    )
    async def test_close_the_connection_with_the_reason(
        self, server: Running, data: bytes, code: int
    ) -> None:
        async with server.websocket() as client, server.websocket() as other:
            await client.stream.send_all(data)

            assert await close_code(client) == code
            assert await other.call("system_chain") == "Energy Spike"

    async def test_a_message_beyond_the_limit(self) -> None:
        config = RpcConfig(port=0, limits=Limits(request_bytes_max=1_000))
        async with running(config) as server:
            for data in (
                frame(TEXT, b" " * 1_001),
                frame(TEXT, b" " * 600, final=False) + frame(CONTINUATION, b" " * 600),
                struct.pack("!BBQ", 0x81, 0xFF, 1 << 40) + bytes(2_000),
            ):
                async with server.websocket() as client:
                    await client.stream.send_all(data)
                    assert await close_code(client) == 1009
            assert server.server.stats.rejected["request_size"] == 3

    async def test_a_reply_beyond_the_limit_is_an_error(self) -> None:
        config = RpcConfig(port=0, limits=Limits(response_bytes_max=100))
        async with running(config) as server, server.websocket() as client:
            assert (await client.error("state_getMetadata"))["code"] == -32008
            assert await client.call("system_chain") == "Energy Spike"


class TestClosing:
    async def test_the_client_closes(self, server: Running) -> None:
        async with server.websocket() as client:
            await client.stream.send_all(client.protocol.send(ws.CloseConnection(code=1000)))

            assert await close_code(client) == 1000
        await trio.testing.wait_all_tasks_blocked(0.005)

        assert server.server.stats.connections == 0

    async def test_the_client_vanishes(self, server: Running) -> None:
        async with server.websocket() as client:
            await client.call("chain_subscribeNewHeads")
        await trio.testing.wait_all_tasks_blocked(0.005)

        assert server.server.stats.connections == 0
        assert server.server.stats.sessions_closed == 1

    async def test_the_server_stops(self) -> None:
        node = FakeNode()
        async with trio.open_nursery() as nursery:
            clients = nursery
            async with running(node=node) as server:
                stream = await server.connect()
                client = WsClient(stream)
                await client.handshake("localhost", [])
                await client.call("chain_subscribeNewHeads")
            client.inbox.clear()
            assert await close_code(client) == 1001
            await stream.aclose()
            clients.cancel_scope.cancel()

        assert node.chain.listeners == []


class TestTime:
    async def test_a_silent_client_is_asked_and_then_given_up(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        async with running() as server, await server.connect() as stream:
            client = WsClient(stream)
            await client.handshake("localhost", [])
            started = trio.current_time()
            pinged = await stream.receive_some()
            ping_at = trio.current_time() - started
            while await stream.receive_some():
                pass

            assert pinged == b"\x89\x00"
            assert 30 <= ping_at < 31
            assert 60 <= trio.current_time() - started < 63
            assert server.server.stats.rejected["timeout"] == 1

    async def test_a_client_that_answers_pings_stays(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        async with running() as server, server.websocket() as client:
            with trio.move_on_after(600):
                await client.receive()

            assert await client.call("system_chain") == "Energy Spike"

    async def test_a_message_that_never_ends(self, autojump_clock: trio.testing.MockClock) -> None:
        async with running() as server, server.websocket() as client:
            await client.stream.send_all(frame(TEXT, CALL[:5], final=False))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.keep_alive, client)
                with trio.fail_after(70):
                    while server.server.stats.connections:
                        await trio.sleep(1)
                nursery.cancel_scope.cancel()

    async def keep_alive(self, client: WsClient) -> None:
        try:
            while True:
                await trio.sleep(10)
                await client.stream.send_all(frame(PONG, b""))
        except trio.BrokenResourceError:
            return

    async def test_a_client_that_takes_nothing_is_given_up(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        node = FakeNode()
        node.dret.answer = lambda: {"text": "x" * 10_000_000}
        async with running(node=node) as server, server.websocket() as client:
            call = {"jsonrpc": "2.0", "id": 1, "method": "dret_status"}
            for _ in range(4):
                await client.send(call)
            with trio.fail_after(60):
                while server.server.stats.connections:
                    await trio.sleep(1)


async def test_binary_and_text_are_counted_alike(server: Running) -> None:
    async with server.websocket() as client:
        await client.stream.send_all(frame(TEXT, CALL) + frame(BINARY, CALL))
        for _ in range(2):
            assert json.loads(json.dumps(await client.receive()))["id"] == 1

    assert server.server.stats.calls_finished["ws", "system_chain", False] == 2


async def test_who_takes_no_replies_gets_no_further_ones_made() -> None:
    node = FakeNode()
    made = 0

    def answer() -> dict[str, str]:
        nonlocal made
        made += 1
        return {"text": "x" * 1_000_000}

    node.dret.answer = answer
    call = b'{"jsonrpc":"2.0","id":1,"method":"dret_status"}'
    async with running(node=node) as server:
        async with server.websocket() as client:
            await client.stream.send_all(frame(TEXT, call) * 300)
            await trio.testing.wait_all_tasks_blocked(0.05)
            while_open = made
        while server.server.stats.connections:
            await trio.sleep(0.01)

    assert while_open < 15  # 4 MiB in the outbox, and what the kernel holds of both sides
    assert made <= while_open + 1  # nobody is there to read the others
