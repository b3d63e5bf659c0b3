"""The usual request: answered as h11's way answers it, and left to it where anything is odd."""

import json

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from rpc.access import Access
from rpc.config import RpcConfig
from rpc.usual_http import parse_usual
from tests.rpc.client import parse_response, running
from tests.rpc.test_http import CALL

HEAD = b"POST / HTTP/1.1\r\nHost: localhost:9944\r\nContent-Type: application/json\r\n"
ACCESS = Access(RpcConfig())


def head(*lines: str) -> bytes:
    return HEAD + "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n"


def test_the_heads_of_usual_clients_are_usual() -> None:
    browser = head(
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64)",
        "Accept: */*",
        "Accept-Encoding: gzip, deflate, br",
        "Origin: http://localhost:3000",
        "Connection: keep-alive",
        "content-length:\t67 ",
    )
    found = parse_usual(browser, ACCESS)

    assert found is not None
    assert found.body_size == 67
    assert b"access-control-allow-origin: http://localhost:3000\r\n" in found.response


@pytest.mark.parametrize(
    "line",
    [
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: +5",
        "Content-Length: 5 5",
        "Content-Length: 0x5",
        "Content-Length: ",
        "Content-Length: 99999999999",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Content-Length: 5\r\nExpect: 100-continue",
        "Content-Length: 5\r\nUpgrade: websocket",
        "Content-Length: 5\r\nConnection: close",
        "Content-Length: 5\r\nHost: localhost",
        "Content-Length: 5\r\nOrigin: https://evil.example",
        "Content-Length: 5\r\n folded: header",
        "Content-Length: 5\r\nspace : before",
        "Content-Length: 5\r\nno colon",
        "Content-Length: 5\r\nbare: \n",
        "Content-Length: 5\r\nbare: \r",
        "Content-Length: 5\r\nnul: \0",
        "Content-Length: 5\r\nlatin: \xe9",
        "Content-Length: 5\r\nContent-Type: application/json",
    ],
)
def test_an_odd_head_is_left_to_h11(line: str) -> None:
    assert parse_usual(head(line), ACCESS) is None


@pytest.mark.parametrize(
    "start",
    [
        "GET / HTTP/1.1",
        "POST / HTTP/1.0",
        "POST  / HTTP/1.1",
        "POST x HTTP/1.1",
        "POST / HTTP/1.1 ",
    ],
)
def test_an_odd_request_line_is_left_to_h11(start: str) -> None:
    data = head("Content-Length: 5").replace(b"POST / HTTP/1.1", start.encode())

    assert parse_usual(data, ACCESS) is None


@given(st.binary(max_size=60))
def test_no_bytes_break_it(data: bytes) -> None:
    parse_usual(data, ACCESS)
    parse_usual(HEAD + data + b"\r\n\r\n", ACCESS)


async def test_both_ways_give_the_same_answer() -> None:
    usual = head(f"Content-Length: {len(CALL)}", "Origin: http://localhost:1") + CALL
    by_h11 = head(f"Content-Length: {len(CALL)}", "Origin: http://localhost:1", "Connection: close")
    async with running() as server:
        async with await server.connect() as stream:
            await stream.send_all(usual)
            status, headers, body = parse_response(await stream.receive_some())
        expected = await server.exchange(by_h11 + CALL)

    assert status == expected[0] == 200
    assert body == expected[2]
    assert headers == {name: value for name, value in expected[1].items() if name != "connection"}


async def test_usual_and_unusual_requests_alternate_on_one_connection() -> None:
    usual = head(f"Content-Length: {len(CALL)}") + CALL
    chunked = head("Transfer-Encoding: chunked") + b"%x\r\n%b\r\n0\r\n\r\n" % (len(CALL), CALL)
    async with running() as server, await server.connect() as stream:
        await stream.send_all(usual + usual + chunked + usual)
        received = b""
        while received.count(b"Energy Spike") < 4:
            received += await stream.receive_some()

        assert server.server.stats.calls_finished["http", "system_chain", False] == 4


async def test_a_body_in_pieces_has_one_deadline(autojump_clock: trio.testing.MockClock) -> None:
    data = head(f"Content-Length: {len(CALL)}")
    async with running() as server, await server.connect() as stream:
        await stream.send_all(data)
        started = trio.current_time()
        with trio.move_on_after(200):
            for byte in CALL[:-1]:
                await trio.sleep(5)
                await stream.send_all(bytes([byte]))
                if server.server.stats.connections == 0:
                    break
        while server.server.stats.connections:
            await trio.sleep(0.1)

        assert 60 <= trio.current_time() - started < 66
        assert server.server.stats.rejected["timeout"] == 1


async def test_a_keep_alive_connection_may_rest_between_requests(
    autojump_clock: trio.testing.MockClock,
) -> None:
    usual = head(f"Content-Length: {len(CALL)}") + CALL
    async with running() as server, await server.connect() as stream:
        for _ in range(5):
            await stream.send_all(usual)
            _, _, body = parse_response(await stream.receive_some())
            assert json.loads(body)["id"] == 1
            await trio.sleep(50)
