"""The bounds that flags set: connections, batches, rates. Sizes and time are in the other files."""

import ipaddress
from typing import Any

import pytest
import trio
import trio.testing

from rpc.access import Access
from rpc.config import Limits, RpcConfig
from tests.rpc.client import Refused, WsClient, parse_response, read_all, running
from tests.rpc.test_http import CALL, request

BATCH = b"[" + CALL + b"," + CALL + b"]"


def limited(**limits: Any) -> RpcConfig:
    return RpcConfig(port=0, limits=Limits(**limits))


class TestConnections:
    async def test_a_hundred_are_served_and_the_next_is_told_so(self) -> None:
        async with running() as server:
            streams = [await server.connect() for _ in range(100)]
            clients = [WsClient(stream) for stream in streams]
            for client in clients:
                await client.handshake("localhost", [])
            refused = await server.connect()
            status, _, body = parse_response(await read_all(refused))
            with pytest.raises(Refused):
                async with server.websocket():
                    pass

            assert status == 429
            assert body == b"Too many connections. Please try again later.\n"
            assert server.server.stats.rejected["connections"] == 2
            assert [await client.call("system_chain") for client in clients] == [
                "Energy Spike"
            ] * 100

            await streams[0].aclose()
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert (await server.exchange(request()))[0] == 200
            for stream in (*streams[1:], refused):
                await stream.aclose()

    async def test_a_crowd_that_is_refused_costs_no_place_and_is_forgotten(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        async with running(limited(connections_max=1)) as server:
            async with server.websocket() as client:
                crowd = [await server.connect() for _ in range(200)]
                await trio.sleep(3)
                told = [await read_all(stream) for stream in crowd]

                assert await client.call("system_chain") == "Energy Spike"
                assert server.server.stats.connections == 1
            await trio.sleep(1)

            assert told.count(b"") == 200 - 64  # the others were closed without a word
            assert server.server.stats.rejected["connections"] == 200
            assert (await server.exchange(request()))[0] == 200
            for stream in crowd:
                await stream.aclose()


class TestBatches:
    async def test_they_can_be_disabled(self) -> None:
        async with running(limited(batch_max=0)) as server:
            reply = await server.post(BATCH, raw=True)

        assert reply["id"] is None
        assert reply["error"] == {
            "code": -32005,
            "message": "Batched requests are not supported by this server",
        }

    async def test_their_length_is_bounded(self) -> None:
        async with running(limited(batch_max=1)) as server:
            reply = await server.post(BATCH, raw=True)

        assert reply["error"]["code"] == -32010
        assert reply["error"]["data"] == "Exceeded max limit of 1"


class TestRates:
    async def test_a_minute_of_calls_may_come_at_once_and_then_evenly(
        self, autojump_clock: trio.testing.MockClock
    ) -> None:
        config = limited(calls_per_minute_max=6)
        async with running(config) as server, server.websocket() as one, server.websocket() as two:
            for _ in range(6):
                assert await one.call("system_chain") == "Energy Spike"
            refused = await one.error("system_chain")
            assert await two.call("system_chain") == "Energy Spike"
            await trio.sleep(10.1)
            assert await one.call("system_chain") == "Energy Spike"
            again = await one.error("system_chain")

        assert (
            refused
            == again
            == {
                "code": -32999,
                "message": "RPC rate limit exceeded",
                "data": "Exceeded max limit of 6 calls a minute",
            }
        )

    async def test_calls_of_a_batch_and_over_http_count(self) -> None:
        config = limited(calls_per_minute_max=3)
        async with running(config) as server, await server.connect() as stream:
            usual = request(BATCH, connection=None)
            await stream.send_all(usual)
            first = await stream.receive_some()
            await stream.send_all(usual)
            second = await stream.receive_some()

        assert first.count(b"Energy Spike") == 2
        assert second.count(b"Energy Spike") == 1
        assert second.count(b"-32999") == 1

    async def test_networks_can_be_exempt(self) -> None:
        config = limited(
            calls_per_minute_max=1, unlimited_networks=(ipaddress.ip_network("127.0.0.0/8"),)
        )
        async with running(config) as server, server.websocket() as client:
            for _ in range(5):
                await client.call("system_chain")
            assert (await server.post(BATCH, raw=True))[1]["result"] == "Energy Spike"

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("x-real-ip", "10.1.2.3"),
            ("x-forwarded-for", "10.1.2.3, 192.0.2.1"),
            ("forwarded", 'for=10.1.2.3;proto=https, for="192.0.2.1"'),
            ("forwarded", 'proto=https;For="10.1.2.3:4711"'),
            ("x-real-ip", "[fd00::7]:80"),
        ],
    )
    def test_a_trusted_proxy_names_the_client(self, name: str, value: str) -> None:
        networks = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8"))
        headers = {name: value}
        trusting = Access(limited(unlimited_networks=networks, trusts_proxy_headers=True))
        wary = Access(limited(unlimited_networks=networks))

        assert trusting.is_unlimited("127.0.0.1", headers.get)
        assert not wary.is_unlimited("127.0.0.1", headers.get)
        assert not trusting.is_unlimited("127.0.0.1", {name: "192.0.2.1"}.get)
        assert not trusting.is_unlimited("127.0.0.1", {name: "nonsense"}.get)

    async def test_behind_a_trusted_proxy_each_request_is_judged_by_its_headers(self) -> None:
        config = limited(
            calls_per_minute_max=1,
            unlimited_networks=(ipaddress.ip_network("10.0.0.0/8"),),
            trusts_proxy_headers=True,
        )
        async with running(config) as server, await server.connect() as stream:
            free = request(connection=None, x_real_ip="10.0.0.1")
            bound = request(connection=None, x_real_ip="192.0.2.1")
            await stream.send_all(free * 3 + bound * 2)
            received = b""
            while received.count(b'"jsonrpc"') < 5:
                received += await stream.receive_some()

        assert received.count(b"Energy Spike") == 4
        assert received.count(b"-32999") == 1
