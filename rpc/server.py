"""The RPC server: one port for HTTP POST, WebSocket and health checks.

Read this first: `Server.run` listens, `_serve` routes the requests of a connection. Everything a
client can do wrong ends in a status, an error object or a closed connection, never in the node.
"""

import logging
from functools import partial

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
from rpc.listener import ClientSocket, accept_clients, open_listeners, port_of
from rpc.methods import Method, Registry
from rpc.openrpc import describe
from rpc.ports import Json, Node
from rpc.quota import Quota
from rpc.readiness import Readiness
from rpc.session import Reply, Services, Session
from rpc.stats import RpcStats
from rpc.subscriptions import ChainFeed
from rpc.system import health_json
from rpc.usual_http import UsualHttp
from rpc.watch import Watch
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
REFUSALS_MAX = 64  # clients told at once that there are too many; more are closed without a word

logger = logging.getLogger("rpc")


class Server:
    """Serves the methods of one node."""

    def __init__(self, config: RpcConfig, node: Node, stats: RpcStats | None = None) -> None:
        self.stats = stats or RpcStats()
        self.port = config.port
        self._config = config
        self._access = Access(config)
        self._watch = Watch()
        self._refusals = 0
        namespaces = NAMESPACES + ARCHIVE if node.is_archive else NAMESPACES
        registry = Registry(namespaces)
        registry.add(_discovery(registry))
        self._services = Services(node, registry, ChainFeed(node.chain), config.limits, self.stats)

    async def run(self, task_status: TaskStatus["Server"] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled. Raises `PortInUse`. Started once connections are accepted."""
        config = self._config
        listeners = await open_listeners(
            config.host, config.port, "--rpc-port", config.limits.connections_max
        )
        self.port = port_of(listeners[0])
        readiness = Readiness()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._services.feed.run)
            nursery.start_soon(self._watch.run)
            nursery.start_soon(readiness.run)
            for listener in listeners:
                take = partial(self._take, nursery)
                nursery.start_soon(accept_clients, listener, readiness, take)
            task_status.started(self)

    def _take(self, nursery: trio.Nursery, stream: ClientSocket) -> None:
        """A client connected: serve it, or refuse it when there are too many."""
        if self.stats.connections < self._config.limits.connections_max:
            self.stats.connections += 1
            nursery.start_soon(self._serve, stream)
            return
        self.stats.rejected["connections"] += 1
        if self._refusals < REFUSALS_MAX:
            self._refusals += 1
            nursery.start_soon(self._turn_away, stream)
        else:
            stream.close()

    async def _serve(self, stream: ClientSocket) -> None:
        try:
            async with stream:
                await self._serve_requests(stream)
        except Disconnected:
            pass  # there is nobody left to tell
        except Exception:
            logger.exception("an RPC connection failed")
        finally:
            self.stats.connections -= 1

    async def _turn_away(self, stream: ClientSocket) -> None:
        connection = HttpConnection(stream, self._config.timeouts)
        try:
            async with stream:
                text = "Too many connections. Please try again later."
                await connection.refuse(HttpError(429, text))
        except Disconnected:
            pass  # it did not wait to be told
        finally:
            self._refusals -= 1

    async def _serve_requests(self, stream: ClientSocket) -> None:
        """Usual requests without a parser, and from the first unusual one on with h11."""
        session = Session(self._services, "http", self._access.allows_unsafe)
        per_minute = self._config.limits.calls_per_minute_max
        quota = None if per_minute is None else Quota(per_minute)
        if quota is not None and not self._access.is_unlimited(stream.address, no_header):
            session.quota = quota
        usual = UsualHttp(stream, session, self._access, self._config, self._watch)
        try:
            received = await usual.run()
            if received is None:
                return
            connection = HttpConnection(stream, self._config.timeouts, received)
            try:
                if usual.is_late:
                    self.stats.rejected["timeout"] += 1
                    raise HttpError(408, "The request took too long to arrive.")
                await self._serve_unusual(connection, stream, session, quota)
            except HttpError as error:
                await connection.refuse(error)
        finally:
            session.close()

    async def _serve_unusual(
        self,
        connection: HttpConnection,
        stream: ClientSocket,
        session: Session,
        quota: Quota | None,
    ) -> None:
        while (request := await connection.next_request()) is not None:
            self._check(request)
            if quota is not None:
                is_unlimited = self._access.is_unlimited(stream.address, request.header)
                session.quota = None if is_unlimited else quota
            if request.is_upgrade:
                await self._serve_websocket(connection, stream, request, session.quota)
                return
            await self._answer(connection, request, session)
            if not connection.can_go_on:
                return

    def _check(self, request: HttpRequest) -> None:
        if not self._access.allows_host(request.header("host")):
            self.stats.rejected["host"] += 1
            raise HttpError(403, "Provided Host header is not whitelisted.")
        if not self._access.allows_origin(request.header("origin")):
            self.stats.rejected["origin"] += 1
            raise HttpError(403, "This Origin may not call; see --rpc-cors.")

    async def _serve_websocket(
        self,
        connection: HttpConnection,
        stream: ClientSocket,
        request: HttpRequest,
        quota: Quota | None,
    ) -> None:
        websocket = WebSocketConnection(
            stream,
            self._services,
            self._config.timeouts,
            self._access.allows_unsafe,
            self._watch,
            quota,
        )
        await websocket.run(request, connection.unread)

    async def _answer(
        self, connection: HttpConnection, request: HttpRequest, session: Session
    ) -> None:
        cors = self._cors_headers(request)
        if request.method == "POST":
            await self._answer_call(connection, request, session, cors)
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
        self,
        connection: HttpConnection,
        request: HttpRequest,
        session: Session,
        cors: Headers,
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
        answer = session.answer(body)
        reply = answer if isinstance(answer, Reply) else await answer
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


def no_header(_name: str) -> None:
    """Of a client whose headers have not come."""


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
