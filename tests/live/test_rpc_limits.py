"""A node under many clients, and under hostile ones: it stays up, and its memory bounded."""

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.clients.conftest import DevNode, run_dev_node
from tests.live.network import ask
from tests.live.rpc_soak import (
    GROWTH_MIB_MAX,
    WARM_UP_S,
    hostile_clients,
    memory_mib,
    open_websocket,
    request,
    status,
)

pytestmark = [pytest.mark.slow, pytest.mark.live]

CONNECTIONS = 10_000
KIB_MAX = 40  # of the node's memory for a WebSocket; 20 are measured
USUAL_SOFT_LIMIT = 1_024
KEEP_ALIVE_EVERY = 2_500  # the first must not seem silent before the last is there
PONG = b"\x8a\x80\x00\x00\x00\x00"
SOAK_S = 8.0


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevNode]:
    """A node that serves ten thousand, started under the usual limit of open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= hard < CONNECTIONS + 1_000:
        pytest.fail(f"ulimit -Hn is {hard}; {CONNECTIONS} clients need {CONNECTIONS + 1_000}")
    options = ["--dev", "--rpc-max-connections", str(CONNECTIONS)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (USUAL_SOFT_LIMIT, hard))
    try:
        with run_dev_node(tmp_path_factory.mktemp("limits"), options) as found:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            yield found
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def finalized(port: int) -> int:
    number: int = status(port)["finalized"]
    return number


def test_ten_thousand_websockets_are_served_and_the_next_one_is_not(node: DevNode) -> None:
    before = memory_mib(node.port)
    height = finalized(node.port)
    with ExitStack() as stack:
        # One place is left for what asks the node how it is.
        clients: list[socket.socket] = []
        while len(clients) < CONNECTIONS - 1:
            clients.append(stack.enter_context(open_websocket(node.port)))
            if len(clients) % KEEP_ALIVE_EVERY == 0:
                for client in clients:
                    client.sendall(PONG)
        last = stack.enter_context(open_websocket(node.port))
        refused = stack.enter_context(socket.create_connection(("127.0.0.1", node.port), 5))
        told = refused.recv(4_096)
        last.close()
        grown = memory_mib(node.port) - before
        for client in (clients[0], clients[CONNECTIONS // 2], clients[-1]):
            client.sendall(request("system_chain"))
            received = b""
            while b"DRET development" not in received:  # pings may come before it
                received += client.recv(4_096)
        deadline = time.monotonic() + 20
        while finalized(node.port) <= height:
            assert time.monotonic() < deadline, "the chain stands still"
            time.sleep(0.1)

    assert told.startswith(b"HTTP/1.1 429 ")
    assert grown * 1_024 / CONNECTIONS < KIB_MAX


def test_hostile_clients_cost_no_memory_and_stop_nobody(node: DevNode) -> None:
    with hostile_clients(node.port) as soak:
        time.sleep(WARM_UP_S)
        before, height = memory_mib(node.port), finalized(node.port)
        time.sleep(SOAK_S)
        grown = memory_mib(node.port) - before
        rounds = dict(soak.rounds)
        reached = finalized(node.port)

    assert grown < GROWTH_MIB_MAX
    assert reached > height
    assert rounds["send_garbage"] > 10
    assert rounds["open_and_close"] > 10
    assert ask(node.port, "system_health")["isSyncing"] is False
