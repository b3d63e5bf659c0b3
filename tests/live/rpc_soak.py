"""Hostile RPC clients against one node, and what the node's memory makes of it.

`python -m tests.live.rpc_soak --seconds 600` starts a chain, and four clients do their worst:
one subscribes, asks for much and never reads, one sends garbage over HTTP and in
frames, one opens and closes connections, one dribbles requests and leaves half of them open.
"""

import argparse
import random
import socket
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.clients.conftest import run_dev_node
from tests.live.network import ANSWER_S, ask_or_none

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
PATIENCE_S = 5.0
WARM_UP_S = 5.0  # until caches and pools of memory have the size they keep
GROWTH_MIB_MAX = 24  # the chain itself grows, and memory comes in large pieces


def masked(payload: bytes, first: int = 0x81) -> bytes:
    """A client's frame; the mask is zero, so the payload is readable."""
    size = len(payload)
    if size < 126:
        return struct.pack("!BBI", first, 0x80 | size, 0) + payload
    return struct.pack("!BBHI", first, 0xFE, size, 0) + payload


def request(method: str, params: str = "") -> bytes:
    """A call in a frame."""
    body = f'{{"jsonrpc":"2.0","id":1,"method":"{method}","params":[{params}]}}'
    return masked(body.encode())


def open_websocket(port: int) -> socket.socket:
    """An upgraded connection."""
    connection = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
    try:
        connection.sendall(UPGRADE)
        if not connection.recv(4_096).startswith(b"HTTP/1.1 101"):
            raise ConnectionRefusedError
    except OSError:
        connection.close()
        raise
    return connection


def never_read(port: int, _rng: random.Random) -> None:
    """Subscribe, ask for much, and take nothing until the node has enough of it."""
    with open_websocket(port) as connection:
        connection.settimeout(1)
        connection.sendall(request("chain_subscribeNewHeads"))
        for _ in range(2_000):
            connection.sendall(request("state_getMetadata"))


def send_garbage(port: int, rng: random.Random) -> None:
    """Bytes without meaning, to HTTP and inside a WebSocket."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as connection:
        connection.sendall(rng.randbytes(rng.randrange(1, 5_000)))
    with open_websocket(port) as connection:
        connection.sendall(masked(rng.randbytes(100), 0x81) + masked(b"{[" * 20, 0x01))
        connection.sendall(rng.randbytes(rng.randrange(1, 5_000)))


def open_and_close(port: int, rng: random.Random) -> None:
    """Connect and go, at once, after a request, or after a subscription."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as connection:
        if rng.random() < 0.5:
            connection.sendall(b"POST / HTTP/1.1\r\n")
    with open_websocket(port) as connection:
        connection.sendall(request("chain_subscribeFinalizedHeads") * 20)


def dribble(port: int, rng: random.Random) -> None:
    """Parts of requests, left open for a while."""
    parts = [b"POST / HT", UPGRADE[:-10], b"POST / HTTP/1.1\r\nHost: localhost\r\n"]
    with ExitStack() as stack:
        for _ in range(rng.randrange(5)):
            connection = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
            stack.enter_context(connection)
            connection.sendall(rng.choice(parts))
        time.sleep(0.2)


HOSTILE: tuple[Callable[[int, random.Random], None], ...] = (
    never_read,
    send_garbage,
    open_and_close,
    dribble,
)


@dataclass
class Soak:
    """The clients at work: how often each has done its worst."""

    rounds: dict[str, int] = field(default_factory=dict[str, int])
    is_over: bool = False

    def run(self, client: Callable[[int, random.Random], None], port: int, seed: int) -> None:
        """Do it again and again; being refused or cut is what a client like that may expect."""
        rng = random.Random(seed)
        while not self.is_over:
            try:
                client(port, rng)
            except OSError:
                time.sleep(0.01)
            self.rounds[client.__name__] = self.rounds.get(client.__name__, 0) + 1


@contextmanager
def hostile_clients(port: int) -> Iterator[Soak]:
    """All of them, each in its thread, until the end of the block."""
    soak = Soak()
    threads = [
        threading.Thread(target=soak.run, args=(client, port, seed))
        for seed, client in enumerate(HOSTILE)
    ]
    for thread in threads:
        thread.start()
    try:
        yield soak
    finally:
        soak.is_over = True
        for thread in threads:
            thread.join()


def status(port: int) -> dict[str, Any]:
    """`dret_status`, once there is a place for who asks."""
    deadline = time.monotonic() + ANSWER_S
    while (found := ask_or_none(port, "dret_status")) is None:
        assert time.monotonic() < deadline, "the node does not answer"
        time.sleep(0.05)
    answer: dict[str, Any] = found
    return answer


def memory_mib(port: int) -> float:
    """Resident memory of the node."""
    resident: int = psutil.Process(status(port)["pid"]).memory_info().rss
    return resident / (1 << 20)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.live.rpc_soak")
    parser.add_argument("--seconds", type=int, default=600)
    seconds: int = parser.parse_args().seconds
    with (
        tempfile.TemporaryDirectory(prefix="dret-soak-") as name,
        run_dev_node(Path(name), ["--dev"]) as node,
        hostile_clients(node.port) as soak,
    ):
        time.sleep(WARM_UP_S)
        begin = time.monotonic()
        first = memory_mib(node.port)
        while (passed := time.monotonic() - begin) < seconds:
            time.sleep(min(10.0, seconds - passed))
            best = status(node.port)["best"]
            rounds = ", ".join(f"{name} {count}" for name, count in soak.rounds.items())
            print(
                f"{passed:6.0f} s  {memory_mib(node.port):7.1f} MiB  #{best}  {rounds}", flush=True
            )
        growth = memory_mib(node.port) - first
    print(f"memory grew by {growth:.1f} MiB from {first:.1f} MiB")
    sys.exit(growth > GROWTH_MIB_MAX * max(1, seconds // 600))


if __name__ == "__main__":
    main()
