"""The servers that `tests.bench.rpc` measures, each in a process of its own.

`python -m tests.bench.rpc_servers NAME` prints its port, then obeys lines on standard input:
`head` sends a head to all subscribers. The node's server stands on a real chain on disk whose best
block holds 1 000 transfers; only the network below `system_health` is absent.
"""

import os
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import trio
from hypercorn.config import Config
from hypercorn.trio import serve

from consensus import effects
from consensus.core import Core
from node.heads import Heads
from node.pool import Pool
from node.rpc_ports import ChainAdapter, NetworkView, StateAdapter, SystemAdapter
from rpc.config import Limits, RpcConfig
from rpc.frames import text_frame
from rpc.ports import Node
from rpc.server import Server
from tests.bench.block_import import Bench
from tests.rpc.fake_node import FakeDret, FakeKeys, FakePool

SUBSCRIBERS = 1_000
HEAD = text_frame(b"x" * 700)  # as long as a head's notification
REPLY = b'{"jsonrpc":"2.0","id":1,"result":{"isSyncing":false,"peers":0,"shouldHavePeers":false}}'


class NoNetwork:
    """A network without peers, as the node's own status sees one."""

    should_have_peers = False

    def peers(self) -> list[object]:
        """Nobody."""
        return []


class NoVoter:
    """Consensus of a node that only observes."""

    is_started = True
    rounds = ()


class NoPool:
    """A pool that `Heads` tells of blocks."""


async def serve_node(ready: Callable[[int], None]) -> None:
    """Our server over a node's chain."""
    with tempfile.TemporaryDirectory(prefix="dret-bench-") as folder:
        bench = Bench.new(Path(folder) / "db")
        bench.import_block()
        heads = Heads(bench.chain, cast(Pool, NoPool()))
        node = Node(
            ChainAdapter(bench.chain, heads, cast(Core, NoVoter())),
            StateAdapter(bench.chain),
            FakePool(),
            SystemAdapter(
                bench.spec,
                "bench",
                False,
                0,
                bench.chain,
                cast(NetworkView, NoNetwork()),
                lambda: bench.chain.best.number,
                lambda: False,
                lambda: None,
            ),
            FakeKeys(),
            FakeDret(),
            False,
        )
        limits = Limits(connections_max=SUBSCRIBERS + 100)
        server = Server(RpcConfig(port=0, limits=limits), node)
        best = effects.NotifyImported(bench.chain.best_hash, bench.header, is_best=True)

        async def send_head() -> None:
            heads.imported(best)

        async with trio.open_nursery() as nursery:
            await nursery.start(server.run)
            ready(server.port)
            await obey(send_head)
            nursery.cancel_scope.cancel()


async def serve_hypercorn(ready: Callable[[int], None]) -> None:
    """An ASGI application that answers anything with a constant, on hypercorn's trio worker."""
    config = Config()
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    config.bind = [f"fd://{os.dup(listener.socket.fileno())}"]
    config.loglevel = "ERROR"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve, cast(Any, application), config)
        ready(listener.socket.getsockname()[1])
        await obey(None)
        nursery.cancel_scope.cancel()


async def application(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Bare ASGI: reads the call and answers without looking at it."""
    if scope["type"] == "lifespan":
        while True:
            event = await receive()
            await send({"type": event["type"] + ".complete"})
            if event["type"] == "lifespan.shutdown":
                return
    if scope["type"] == "http":
        while (await receive()).get("more_body", False):
            pass
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(REPLY)),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": REPLY})
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": REPLY.decode()})


async def serve_bytes(ready: Callable[[int], None]) -> None:
    """Sends each head by `send_all` to every connection, and that is all it does."""
    streams: list[trio.SocketStream] = []

    async def keep(stream: trio.SocketStream) -> None:
        streams.append(stream)
        await trio.sleep_forever()

    async def send_head() -> None:
        for stream in streams:
            await stream.send_all(HEAD)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, keep, 0)
        ready(listeners[0].socket.getsockname()[1])
        await obey(send_head)
        nursery.cancel_scope.cancel()


async def obey(send_head: Callable[[], Awaitable[None]] | None) -> None:
    """Until the end of standard input, send a head for each line."""
    commands = trio.lowlevel.FdStream(os.dup(sys.stdin.fileno()))
    while data := await commands.receive_some():
        for _ in range(data.count(b"head\n")):
            assert send_head is not None, "this server has no heads"
            await send_head()


SERVERS = {"node": serve_node, "hypercorn": serve_hypercorn, "bytes": serve_bytes}


def main() -> None:
    """Serve what the argument names."""
    trio.run(SERVERS[sys.argv[1]], lambda port: print(port, flush=True))


if __name__ == "__main__":
    main()
