"""The RPC server: one port for HTTP POST, WebSocket and health checks.

Read this first: `Server.run` listens, `_serve` routes the requests of a connection. Everything a
client can do wrong ends in a status, an error object or a closed connection, never in the node.
"""

import errno
import logging
from collections.abc import Sequence

import trio
from trio import TaskStatus

from rpc import (
    archive,
    author,
    chain,
    chain_head,
    chain_spec,
    dret,
    grandpa,
    payment,
    state,
    system,
    transaction,
)
from rpc.access import Access
from rpc.config import RpcConfig
from rpc.http import Disconnected, Headers, HttpConnection, HttpError, HttpRequest
from rpc.jsonrpc import encode_value
from rpc.methods import Method, Registry
from rpc.openrpc import describe
from rpc.ports import Json, Node
from rpc.session import Services, Session
from rpc.stats import RpcStats
from rpc.subscriptions import ChainFeed
from rpc.system import health_json
from rpc.websocket import WebSocketConnection

NAMESPACES = (
    system,
    chain,
    state,
    author,
    payment,
    grandpa,
    chain_head,
    chain_spec,
    transaction,
    dret,
)
ARCHIVE = (archive,)  # only a node that keeps every state serves these
BACKLOG = 128  # connections waiting to be accepted: a burst of as many as may be open

logger = logging.getLogger("rpc")


class PortInUse(Exception):
    """Another process listens on the port."""

    def __init__(self, host: str, port: int, flag: str) -> None:
        super().__init__(
            f"Port {port} on {host} is in use by another process. "
            f"Stop it, or pass {flag} {port + 1}."
        )
        self.port = port


class Server:
    """Serves the methods of one node."""

    def __init__(self, config: RpcConfig, node: Node, stats: RpcStats | None = None) -> None:
        self.stats = stats or RpcStats()
        self.port = config.port
        self._config = config
        self._access = Access(config)
        namespaces = NAMESPACES + ARCHIVE if node.is_archive else NAMESPACES
        registry = Registry(namespaces)
        registry.add(_discovery(registry))
        self._services = Services(node, registry, ChainFeed(node.chain), config.limits, self.stats)

    async def run(self, task_status: TaskStatus["Server"] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled. Raises `PortInUse`. Started once connections are accepted."""
        listeners = await open_listeners(self._config.host, self._config.port, "--rpc-port")
        self.port = port_of(listeners[0])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._services.feed.run)
            await nursery.start(trio.serve_listeners, self._serve, listeners)
            task_status.started(self)

    async def _serve(self, stream: trio.SocketStream) -> None:
        connection = HttpConnection(stream, self._config.timeouts)
        self.stats.connections += 1
        try:
            async with stream:
                await self._serve_requests(connection)
        except Disconnected:
            pass  # there is nobody left to tell
        except Exception:
            logger.exception("an RPC connection failed")
        finally:
            self.stats.connections -= 1

    async def _serve_requests(self, connection: HttpConnection) -> None:
        try:
            if self.stats.connections > self._config.limits.connections_max:
                self.stats.rejected["connections"] += 1
                raise HttpError(429, "Too many connections. Please try again later.")
            while True:
                request = await connection.next_request()
                if request is None:
                    return
                self._check(request)
                if request.is_upgrade:
                    await self._serve_websocket(connection, request)
                    return
                await self._answer(connection, request)
                if not connection.can_go_on:
                    return
        except HttpError as error:
            await connection.refuse(error)

    def _check(self, request: HttpRequest) -> None:
        if not self._access.allows_host(request.header("host")):
            self.stats.rejected["host"] += 1
            raise HttpError(403, "Provided Host header is not whitelisted.")
        if not self._access.allows_origin(request.header("origin")):
            self.stats.rejected["origin"] += 1
            raise HttpError(403, "This Origin may not call; see --rpc-cors.")

    async def _serve_websocket(self, connection: HttpConnection, request: HttpRequest) -> None:
        websocket = WebSocketConnection(
            connection.stream, self._services, self._config.timeouts, self._access.allows_unsafe
        )
        await websocket.run(request, connection.unread)

    async def _answer(self, connection: HttpConnection, request: HttpRequest) -> None:
        cors = self._cors_headers(request)
        if request.method == "POST":
            await self._answer_call(connection, request, cors)
            return
        if request.method not in ("GET", "OPTIONS"):
            raise HttpError(405, "Used HTTP Method is not allowed. POST or GET is required.")
        await connection.read_body(0)
        if request.method == "OPTIONS":
            await connection.respond(200, b"", headers=[*cors, *PREFLIGHT])
        elif request.path in ("/health", "/health/readiness", "/health/liveness"):
            status, body = self._health(request.path)
            await connection.respond(status, body, headers=cors)
        else:
            raise HttpError(404, "Nothing here. POST JSON-RPC, or open a WebSocket.")

    async def _answer_call(
        self, connection: HttpConnection, request: HttpRequest, cors: Headers
    ) -> None:
        content_type = (request.header("content-type") or "").partition(";")[0]
        if content_type.strip().lower() != "application/json":
            raise HttpError(415, "Supplied content type is not allowed: use application/json.")
        limit = self._config.limits.request_bytes_max
        try:
            body = await connection.read_body(limit)
        except HttpError as error:
            if error.status == 413:
                self.stats.rejected["request_size"] += 1
            elif error.status == 408:
                self.stats.rejected["timeout"] += 1
            raise
        session = Session(self._services, "http", self._access.allows_unsafe)
        reply = await session.answer(body)
        session.close()
        await connection.respond(200, reply.message or b"", headers=cors)

    def _health(self, path: str) -> tuple[int, bytes]:
        if path == "/health/liveness":
            return 200, b""
        health = health_json(self._services.node)
        if path == "/health":
            return 200, encode_value(health)
        is_ready = not health["isSyncing"] and (health["peers"] or not health["shouldHavePeers"])
        return (200 if is_ready else 500), b"" if is_ready else encode_value(health)

    def _cors_headers(self, request: HttpRequest) -> Headers:
        origin = request.header("origin")
        if origin is None:
            return ()
        return (("access-control-allow-origin", origin), ("vary", "origin"))


def _discovery(registry: Registry) -> Method:
    def discover(node: Node) -> Json:
        """What the server can do, as an OpenRPC document."""
        return describe(registry.entries(), node.system.version())

    return Method("rpc.discover", (), False, discover, ())


PREFLIGHT: Headers = (
    ("access-control-allow-methods", "POST, GET, OPTIONS"),
    ("access-control-allow-headers", "content-type"),
    ("access-control-max-age", "86400"),
)


async def open_listeners(host: str, port: int, flag: str) -> Sequence[trio.SocketListener]:
    """Listen on TCP. Raises `PortInUse`, which advises another value for `flag`."""
    try:
        return await trio.open_tcp_listeners(port, host=host, backlog=BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(host, port, flag) from None
        raise


def port_of(listener: trio.SocketListener) -> int:
    """The port a listener was given."""
    address: tuple[str, int] = listener.socket.getsockname()[:2]
    return address[1]
