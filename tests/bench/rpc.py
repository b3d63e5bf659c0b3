"""What RPC costs the server: CPU per call, and per head sent to 1 000 subscribers.

Servers run in processes of their own, and their CPU clocks are read from outside. 32 connections
ask in turn, each with one call under way. The yardstick of calls is hypercorn with a bare ASGI
application, which neither decodes the call nor makes an answer; that of heads is `trio.send_all`
of a frame made once.
"""

import base64
import json
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from statistics import median
from typing import IO

from runtime.primitives.crypto import KeyPair, Scheme
from runtime.primitives.hashing import blake2_128_concat, twox_128
from tests.bench.rpc_servers import SUBSCRIBERS

CONNECTIONS = 32
CALLS = 10  # of each connection in a round
ROUNDS = 15
HEADS = 5  # in a round
QUIET_S = 0.3  # after so long a reply is complete
PROTOCOLS = ("HTTP", "WebSocket")


class ServerProcess:
    """A server, its port and its CPU clock."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self.port = int(_pipe(process.stdout).readline())

    @property
    def cpu_ns(self) -> int:
        """Processor time used so far; the clock of another process, by its id (Linux)."""
        return time.clock_gettime_ns((~self._process.pid << 3) | 2)

    def send_head(self) -> None:
        """Have it send a head."""
        pipe = _pipe(self._process.stdin)
        pipe.write(b"head\n")
        pipe.flush()


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


@contextmanager
def running(name: str) -> Iterator[ServerProcess]:
    """A server of `rpc_servers`, until the end of the block."""
    command = [sys.executable, "-m", "tests.bench.rpc_servers", name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield ServerProcess(process)
        finally:
            process.kill()


class Client:
    """Connections that send one request after the other and read replies of a known length."""

    def __init__(self, protocol: str, port: int, count: int = CONNECTIONS) -> None:
        self._protocol = protocol
        self.sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
        if protocol == "WebSocket":
            for connection in self.sockets:
                _upgrade(connection)

    def measure(self, server: ServerProcess, method: str, params: list[str]) -> float:
        """Microseconds of the server's CPU per call."""
        call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        request = self._request(json.dumps(call).encode())
        size = _reply_size(self.sockets[0], request)
        before = server.cpu_ns
        for _ in range(CALLS):
            for connection in self.sockets:
                connection.sendall(request)
            for connection in self.sockets:
                _read(connection, size)
        return (server.cpu_ns - before) / 1e3 / CALLS / len(self.sockets)

    def close(self) -> None:
        """Close all connections."""
        for connection in self.sockets:
            connection.close()

    def _request(self, body: bytes) -> bytes:
        if self._protocol == "WebSocket":
            return client_frame(body)
        head = (
            "POST / HTTP/1.1\r\nHost: 127.0.0.1:9944\r\nAccept: */*\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


def client_frame(payload: bytes) -> bytes:
    """A masked text frame."""
    size = len(payload)
    head = (
        struct.pack("!BB", 0x81, 0x80 | size)
        if size < 126
        else struct.pack("!BBH", 0x81, 0x80 | 126, size)
    )
    mask = os.urandom(4)
    masked = bytes(byte ^ mask[place & 3] for place, byte in enumerate(payload))
    return head + mask + masked


def _upgrade(connection: socket.socket) -> None:
    key = base64.b64encode(os.urandom(16)).decode()
    head = (
        "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    )
    connection.sendall(head.encode())
    reply = connection.recv(1 << 12)
    assert reply.startswith(b"HTTP/1.1 101"), reply


def _reply_size(connection: socket.socket, request: bytes) -> int:
    connection.sendall(request)
    reply = b""
    connection.settimeout(QUIET_S)
    try:
        while data := connection.recv(1 << 16):
            reply += data
    except TimeoutError:
        connection.settimeout(None)
    assert b'"result"' in reply, reply
    return len(reply)


def _read(connection: socket.socket, size: int) -> None:
    while size > 0:
        data = connection.recv(1 << 16)
        assert data, "the server closed the connection"
        size -= len(data)


def measure_calls(node: ServerProcess, yardstick: ServerProcess) -> dict[str, dict[str, float]]:
    """Median microseconds per call, by protocol and then by method."""
    account = KeyPair.from_suri("//Bench//0", Scheme.SR25519).public
    key = f"0x{(twox_128(b'System') + twox_128(b'Account') + blake2_128_concat(account)).hex()}"
    calls: Mapping[str, tuple[ServerProcess, str, list[str]]] = {
        "hypercorn": (yardstick, "system_health", []),
        "system_health": (node, "system_health", []),
        "chain_getHeader": (node, "chain_getHeader", []),
        "state_getStorage": (node, "state_getStorage", [key]),
    }
    found: dict[str, dict[str, float]] = {}
    for protocol in PROTOCOLS:
        clients = {server: Client(protocol, server.port) for server in (node, yardstick)}
        times: dict[str, list[float]] = {name: [] for name in calls}
        for turn in range(ROUNDS + 1):
            for name, (server, method, params) in calls.items():
                taken = clients[server].measure(server, method, params)
                if turn > 0:
                    times[name].append(taken)
        found[protocol] = {name: median(values) for name, values in times.items()}
        for client in clients.values():
            client.close()
    return found


def measure_heads(node: ServerProcess, yardstick: ServerProcess) -> dict[str, float]:
    """Median microseconds per subscriber of a head: of ours, and of the yardstick."""
    subscribed = Client("WebSocket", node.port, SUBSCRIBERS)
    call = {"jsonrpc": "2.0", "id": 1, "method": "chain_subscribeNewHeads", "params": []}
    request = client_frame(json.dumps(call).encode())
    for connection in subscribed.sockets:
        connection.sendall(request)
        received = b""
        while b"chain_newHead" not in received or not received.endswith(b"}}}"):
            received += connection.recv(1 << 16)
    plain = Client("plain", yardstick.port, SUBSCRIBERS)
    times: dict[str, list[float]] = {"trio.send_all": [], "ours": []}
    for turn in range(ROUNDS + 1):
        for name, server, client in (
            ("trio.send_all", yardstick, plain),
            ("ours", node, subscribed),
        ):
            before = server.cpu_ns
            for _ in range(HEADS):
                server.send_head()
                for connection in client.sockets:
                    assert connection.recv(1 << 16), "the server closed the connection"
            if turn > 0:
                times[name].append((server.cpu_ns - before) / 1e3 / HEADS / SUBSCRIBERS)
    subscribed.close()
    plain.close()
    return {name: median(values) for name, values in times.items()}


def run() -> None:
    """Measure and print."""
    with running("node") as node, running("hypercorn") as hypercorn, running("bytes") as plain:
        calls = measure_calls(node, hypercorn)
        heads = measure_heads(node, plain)
    for protocol, found in calls.items():
        print(f"\nServer CPU of a call over {protocol}")
        for name, value in found.items():
            health = value / found["system_health"]
            part = f"1/{found['hypercorn'] / value:.1f} of hypercorn"
            print(f"  {name:<44} {value:9.1f} us   {part:<22} {health:7.2f} x system_health")
    print(f"\nServer CPU of a head, for each of {SUBSCRIBERS:,} subscribers")
    for name, value in heads.items():
        ratio = value / heads["trio.send_all"]
        print(f"  {name:<44} {value:9.1f} us   {ratio:7.3f} x trio.send_all")


if __name__ == "__main__":
    run()
