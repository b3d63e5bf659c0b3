"""The metrics endpoint on a real socket."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from node.metrics import Instruments, MetricsServer, Reading
from node.port_holder import describe_taken
from rpc.listener import PortInUse
from rpc.stats import RpcStats

READING = Reading(
    best=12,
    finalized=10,
    sync_target=12,
    peers=5,
    is_major_syncing=False,
    ready_transactions=3,
    future_transactions=1,
    grandpa_round=9,
    is_voting=True,
    clock_offset_ms=-3,
    pending_set_sessions=2,
    market={"intervals_settled": 4, "traded_wh": 5_000, "recent": []},
    signer=None,
)


def make_server(instruments: Instruments | None = None) -> MetricsServer:
    stats = RpcStats()
    stats.calls_started["ws", "system_health"] += 2
    return MetricsServer(
        instruments or Instruments(),
        lambda: READING,
        stats,
        lambda: {"peers": 5, "bytes_in": 123},
        {"name": "alice", "version": "1", "chain": "devnet"},
    )


@asynccontextmanager
async def running(server: MetricsServer) -> AsyncIterator[int]:
    async with trio.open_nursery() as nursery:
        yield await nursery.start(server.run, "127.0.0.1", 0)
        nursery.cancel_scope.cancel()


async def ask(port: int, start: str) -> tuple[int, str]:
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(f"{start} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
        data = b""
        while chunk := await stream.receive_some():
            data += chunk
    return int(data.split()[1]), data.partition(b"\r\n\r\n")[2].decode()


async def test_a_scrape_reads_the_node_under_the_names_of_substrate() -> None:
    async with running(make_server()) as port:
        status, text = await ask(port, "GET /metrics")

    assert status == 200
    lines = text.splitlines()
    assert 'substrate_block_height{chain="devnet",status="best"} 12.0' in lines
    assert 'substrate_block_height{chain="devnet",status="finalized"} 10.0' in lines
    assert "substrate_sub_libp2p_peers_count 5.0" in lines
    assert "substrate_ready_transactions_number 3.0" in lines
    assert "substrate_finality_grandpa_round 9.0" in lines
    assert "dret_finality_lag_blocks 2.0" in lines
    assert "dret_traded_wh 5000.0" in lines
    assert "dret_p2p_bytes_in_total 123.0" in lines
    assert 'substrate_rpc_calls_started_total{method="system_health",protocol="ws"} 2.0' in lines
    assert any(line.startswith("substrate_process_start_time_seconds 1") for line in lines)


def test_what_happens_in_the_node_is_counted() -> None:
    instruments = Instruments()
    server = make_server(instruments)

    instruments.block_constructed.observe(0.03)
    instruments.alarms.labels("clock").inc()

    text = server.render().decode()
    assert "substrate_proposer_block_constructed_count 1.0" in text
    assert 'substrate_proposer_block_constructed_bucket{le="0.05"} 1.0' in text
    assert 'dret_alarms_total{kind="clock"} 1.0' in text


@pytest.mark.parametrize(
    ("start", "status"),
    [("GET /", 404), ("POST /metrics", 405), ("NONSENSE", 400)],
)
async def test_other_requests_are_refused(start: str, status: int) -> None:
    async with running(make_server()) as port:
        assert (await ask(port, start))[0] == status
        assert (await ask(port, "GET /metrics"))[0] == 200


async def test_a_taken_port_is_an_error_of_its_own() -> None:
    async with running(make_server()) as port:
        with pytest.RaisesGroup(PortInUse, allow_unwrapped=True, flatten_subgroups=True):
            await make_server().run("127.0.0.1", port)


async def test_the_holder_of_a_port_is_named() -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listeners[0]:
        port = listeners[0].socket.getsockname()[1]

        text = describe_taken(port, "--rpc-port")

    assert text.startswith(f"Port {port} is in use by pid ")
    assert text.endswith(f"pass --rpc-port {port + 1}.")
