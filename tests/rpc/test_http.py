"""HTTP: what is served, what is refused, and that no client can hold or break the server."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
import trio.testing

from rpc.config import Limits, RpcConfig, Timeouts
from rpc.listener import PortInUse
from rpc.ports import Health
from rpc.server import Server
from tests.rpc.client import Running, parse_response, read_all, running
from tests.rpc.fake_node import FakeNode

CALL = b'{"jsonrpc":"2.0","id":1,"method":"system_chain","params":[]}'


@pytest.fixture
async def server() -> AsyncIterator[Running]:
    async with running() as server:
        yield server


def request(body: bytes = CALL, start: str = "POST / HTTP/1.1", **headers: str | None) -> bytes:
    """A request with sensible headers; None leaves one out, others replace or add."""
    lines: dict[str, str | None] = {
        "host": "localhost:9944",
        "content_type": "application/json",
        "content_length": str(len(body)),
        "connection": "close",
        **headers,
    }
    text = "".join(
        f"{name.replace('_', '-')}: {value}\r\n"
        for name, value in lines.items()
        if value is not None
    )
    return f"{start}\r\n{text}\r\n".encode() + body


def get(path: str, **headers: str | None) -> bytes:
    return request(b"", f"GET {path} HTTP/1.1", content_length=None, content_type=None, **headers)


class TestPost:
    async def test_a_call_is_answered(self, server: Running) -> None:
        status, headers, body = await server.exchange(request())

        assert status == 200
        assert headers["content-type"].startswith("application/json")
        assert json.loads(body) == {"jsonrpc": "2.0", "id": 1, "result": "Energy Spike"}

    async def test_a_connection_serves_many_calls_also_when_pipelined(
        self, server: Running
    ) -> None:
        async with await server.connect() as stream:
            keep, last = request(connection=None), request()
            await stream.send_all(keep + keep)
            await stream.send_all(last)
            answer = await read_all(stream)

        assert answer.count(b"Energy Spike") == 3

    async def test_a_request_may_arrive_byte_by_byte(self, server: Running) -> None:
        async with await server.connect() as stream:
            for byte in request():
                await stream.send_all(bytes([byte]))
            status, _, body = parse_response(await read_all(stream))

        assert status == 200
        assert b"Energy Spike" in body

    async def test_chunked_bodies_and_expect_continue(self, server: Running) -> None:
        chunked = b"5\r\n" + CALL[:5] + b"\r\n%x\r\n" % len(CALL[5:]) + CALL[5:] + b"\r\n0\r\n\r\n"
        status, _, body = await server.exchange(
            request(chunked, content_length=None, transfer_encoding="chunked")
        )
        assert status == 200
        assert b"Energy Spike" in body

        async with await server.connect() as stream:
            await stream.send_all(request(expect="100-continue")[: -len(CALL)])
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 100")
            await stream.send_all(CALL)
            assert b"Energy Spike" in await read_all(stream)

    async def test_http_1_0_is_served(self, server: Running) -> None:
        status, _, body = await server.exchange(request(start="POST / HTTP/1.0", host="localhost"))

        assert status == 200
        assert b"Energy Spike" in body

    async def test_half_closing_after_the_request_still_gets_the_reply(
        self, server: Running
    ) -> None:
        async with await server.connect() as stream:
            await stream.send_all(request(connection=None))
            await stream.send_eof()

            assert b"Energy Spike" in await read_all(stream)

    async def test_a_notification_has_an_empty_reply(self, server: Running) -> None:
        body = b'{"jsonrpc":"2.0","method":"system_chain"}'

        assert (await server.exchange(request(body)))[2] == b""


class TestRefusals:
    @pytest.mark.parametrize(
        ("data", "status"),
        [
            (request(content_type="text/plain"), 415),
            (request(content_type=None), 415),
            (request(start="PUT / HTTP/1.1"), 405),
            (get("/").replace(b"GET", b"HEAD"), 405),
            (get("/"), 404),
            (get("/../etc/passwd"), 404),
            (b"NONSENSE\r\n\r\n", 400),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nhost: localhost\r\nx: " + b"y" * 20_000 + b"\r\n\r\n", 431),
            (request(host=None), 400),
            (request(content_length="-1"), 400),
            (request(content_length="7, 8"), 400),
            (request(b"zz\r\n", content_length=None, transfer_encoding="chunked"), 400),
            (get("/", upgrade="websocket", connection="upgrade"), 400),
            (
                get(
                    "/",
                    upgrade="websocket",
                    connection="upgrade",
                    sec_websocket_version="99",
                    sec_websocket_key="dGhlIHNhbXBsZSBub25jZQ==",
                ),
                400,
            ),
        ],
    )
    async def test_status(self, server: Running, data: bytes, status: int) -> None:
        assert (await server.exchange(data))[0] == status
        assert (await server.exchange(request()))[0] == 200

    async def test_a_body_beyond_the_limit(self) -> None:
        config = RpcConfig(port=0, limits=Limits(request_bytes_max=1_000))
        async with running(config) as server:
            status, _, text = await server.exchange(request(b" " * 500_000))
            fits = await server.exchange(request(CALL + b" " * (1_000 - len(CALL))))

        assert (status, fits[0]) == (413, 200)
        assert b"larger than 1000 bytes" in text
        assert server.server.stats.rejected["request_size"] == 1

    async def test_a_reply_beyond_the_limit(self) -> None:
        config = RpcConfig(port=0, limits=Limits(response_bytes_max=100))
        async with running(config) as server:
            reply = await server.post({"jsonrpc": "2.0", "id": 9, "method": "state_getMetadata"})

        assert reply["error"]["code"] == -32008
        assert reply["id"] == 9

    @pytest.mark.parametrize(
        ("host", "status"),
        [
            ("localhost", 200),
            ("LOCALHOST:1", 200),
            ("127.0.0.1:9944", 200),
            ("127.8.8.8", 200),
            ("[::1]:9944", 200),
            ("node.example:9944", 200),
            ("evil.example:9944", 403),
            ("localhost.evil.example", 403),
            ("192.168.1.1:9944", 403),
            ("[fe80::1", 403),
            ("", 403),
        ],
    )
    async def test_hosts(self, host: str, status: int) -> None:
        async with running(RpcConfig(port=0, host_names=["Node.example"])) as server:
            assert (await server.exchange(request(host=host)))[0] == status

    @pytest.mark.parametrize(
        ("origin", "status"),
        [
            (None, 200),
            ("http://localhost:3000", 200),
            ("https://127.0.0.1", 200),
            ("https://polkadot.js.org", 200),
            ("https://polkadot.js.org.evil.example", 403),
            ("http://localhost:3000.evil.example", 403),
            ("http://localhost.evil.example:80", 403),
            ("null", 403),
        ],
    )
    async def test_origins(self, server: Running, origin: str | None, status: int) -> None:
        found, headers, _ = await server.exchange(request(origin=origin))

        assert found == status
        if status == 200:
            assert headers.get("access-control-allow-origin") == origin
        else:
            assert "access-control-allow-origin" not in headers

    async def test_a_foreign_page_opens_no_websocket(self, server: Running) -> None:
        data = get(
            "/",
            origin="https://evil.example",
            upgrade="websocket",
            connection="upgrade",
            sec_websocket_version="13",
            sec_websocket_key="dGhlIHNhbXBsZSBub25jZQ==",
        )

        assert (await server.exchange(data))[0] == 403
        assert server.server.stats.rejected["origin"] == 1

    async def test_all_origins_and_hosts_when_asked_for(self) -> None:
        async with running(RpcConfig(port=0, origins=None)) as server:
            found = await server.exchange(request(origin="https://any.example", host="any.example"))

        assert found[0] == 200

    async def test_an_exposed_server_answers_to_its_addresses(self) -> None:
        async with running(RpcConfig(port=0, host="0.0.0.0")) as server:
            assert (await server.exchange(request(host="192.168.1.1:9944")))[0] == 200
            assert (await server.exchange(request(host="evil.example")))[0] == 403

    async def test_a_preflight_is_answered(self, server: Running) -> None:
        status, headers, _ = await server.exchange(
            request(b"", "OPTIONS / HTTP/1.1", origin="http://localhost:80")
        )

        assert status == 200
        assert "POST" in headers["access-control-allow-methods"].upper()


class TestHealth:
    async def test_health_tells_substrates_object(self, server: Running) -> None:
        status, headers, body = await server.exchange(get("/health"))

        assert status == 200
        assert headers["content-type"].startswith("application/json")
        assert json.loads(body) == {"peers": 3, "isSyncing": False, "shouldHavePeers": True}

    @pytest.mark.parametrize(
        ("health", "status"),
        [
            (Health(3, False, True), 200),
            (Health(3, True, True), 500),
            (Health(0, False, True), 500),
            (Health(0, False, False), 200),
        ],
    )
    async def test_readiness(self, server: Running, health: Health, status: int) -> None:
        server.node.system.state = health

        assert (await server.exchange(get("/health/readiness")))[0] == status
        assert (await server.exchange(get("/health/liveness")))[0] == 200


class TestConnections:
    async def test_more_than_the_limit_are_told_to_come_later(self) -> None:
        config = RpcConfig(port=0, limits=Limits(connections_max=2), timeouts=Timeouts(close=0.05))
        async with running(config) as server:
            async with server.websocket() as first, await server.connect():
                status, _, text = await server.exchange(request())
                assert await first.call("system_chain") == "Energy Spike"
            await trio.testing.wait_all_tasks_blocked(0.01)
            later = await server.exchange(request())

        assert (status, later[0]) == (429, 200)
        assert b"Too many connections" in text

    async def test_a_port_in_use_says_so(self, server: Running) -> None:
        second = Server(RpcConfig(port=server.port), FakeNode().ports)

        with pytest.raises(PortInUse) as caught:
            await second.run()

        assert str(caught.value) == (
            f"Port {server.port} on 127.0.0.1 is in use by another process. "
            f"Stop it, or pass --rpc-port {server.port + 1}."
        )

    async def test_the_port_is_free_again_after_a_stop(self) -> None:
        async with running() as server, server.websocket() as client:
            await client.call("system_chain")
        async with running(RpcConfig(port=server.port)) as again:
            assert (await again.exchange(request()))[0] == 200


class TestSlowClients:
    """Time is virtual: the clock jumps when every task waits."""

    async def wait(self, data: bytes, autojump_clock: trio.testing.MockClock) -> tuple[Any, float]:
        async with running() as server, await server.connect() as stream:
            started = trio.current_time()
            await stream.send_all(data)
            answer = await read_all(stream)
            return answer, trio.current_time() - started

    async def test_silence_ends_after_a_minute(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        answer, seconds = await self.wait(b"", autojump_clock)

        assert answer == b""
        assert 60 <= seconds < 61

    async def test_a_head_that_never_ends(self, autojump_clock: trio.testing.MockClock) -> None:
        answer, seconds = await self.wait(b"POST / HTTP/1.1\r\nhost: lo", autojump_clock)

        assert answer.startswith(b"HTTP/1.1 408")
        assert 10 <= seconds < 13

    async def test_a_body_that_never_ends(self, autojump_clock: trio.testing.MockClock) -> None:
        answer, seconds = await self.wait(request()[:-1], autojump_clock)

        assert answer.startswith(b"HTTP/1.1 408")
        assert 60 <= seconds < 63

    async def test_slow_loris_one_byte_at_a_time(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        async with running() as server, await server.connect() as stream:
            started = trio.current_time()
            for byte in request() * 10:
                try:
                    await stream.send_all(bytes([byte]))
                except trio.BrokenResourceError:
                    break
                await trio.sleep(1)
                if server.server.stats.connections == 0:
                    break

            assert trio.current_time() - started < 20
            assert server.server.stats.connections == 0

    async def test_a_client_that_takes_no_reply(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        node = FakeNode()
        node.dret.answer = lambda: {"text": "x" * 14_000_000}
        async with running(node=node) as server, await server.connect() as stream:
            body = CALL.replace(b"system_chain", b"dret_status")
            await stream.send_all(request(body))
            started = trio.current_time()
            while server.server.stats.connections:
                await trio.sleep(1)

            assert trio.current_time() - started < 35

    async def test_a_call_that_never_returns(self, autojump_clock: trio.testing.MockClock) -> None:
        node = FakeNode()
        node.state.gate = trio.Event()
        body = b'{"jsonrpc":"2.0","id":1,"method":"state_getStorage","params":["0x00"]}'
        async with running(node=node) as server:
            _, _, answer = await server.exchange(request(body))

        assert json.loads(answer)["error"] == {
            "code": -32603,
            "message": "Internal error",
            "data": "no answer within 30 s",
        }
