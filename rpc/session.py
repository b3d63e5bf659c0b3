"""One client: its calls, its subscriptions, its limits. Knows messages, not sockets.

`answer` takes one message (a call or a batch) and gives the reply and the subscriptions it
opened; the transport sends the reply and then opens them, so a reply always comes first.
"""

import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import trio

from rpc.config import Limits
from rpc.connection import Call, Connection
from rpc.jsonrpc import (
    BATCHES_DISABLED,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    NULL_ID,
    OVERSIZED_BATCH,
    OVERSIZED_BATCH_RESPONSE,
    OVERSIZED_RESPONSE,
    TOO_MANY_SUBSCRIPTIONS,
    BadRequest,
    Request,
    RpcError,
    encode_error,
    encode_result,
    encode_value,
    is_batch,
    parse_request,
    split_batch,
)
from rpc.methods import (
    Method,
    Registry,
    Subscription,
    Unsubscription,
    call_method,
    call_subscription,
    invalid_params,
)
from rpc.params import as_list, decode_subscription_id
from rpc.ports import Json, Node
from rpc.quota import Quota
from rpc.stats import UNKNOWN_METHOD, RpcStats
from rpc.subscriptions import ChainFeed, Sink

CALL_SECONDS_MAX = 30  # a light node may wait for peers; nobody waits longer for a reply

logger = logging.getLogger("rpc")


@dataclass(frozen=True, slots=True)
class Services:
    """What all sessions of a server share."""

    node: Node
    registry: Registry
    feed: ChainFeed
    limits: Limits
    stats: RpcStats


@dataclass(slots=True)
class Reply:
    """What to send, and what to open afterwards. No message when only notifications came."""

    message: bytes | None
    opened: list[Sink] = field(default_factory=list[Sink])
    after: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])

    def follow_up(self) -> None:
        """The message is on its way: open what was subscribed, start what was asked for."""
        for sink in self.opened:
            sink.open()
        for follow in self.after:
            follow()


class Session:
    """A client's calls over one connection.

    `notify`, `deliver` and `start` belong to the transport; without them (HTTP) nothing can be
    subscribed.
    """

    def __init__(
        self,
        services: Services,
        protocol: str,
        allows_unsafe: bool,
        notify: Callable[[bytes], None] | None = None,
        deliver: Callable[[bytes], Awaitable[None]] | None = None,
        start: Callable[[Callable[[], Awaitable[None]]], None] | None = None,
    ) -> None:
        self._services = services
        self._protocol = protocol
        self._allows_unsafe = allows_unsafe
        self._notify = notify
        self._deliver = deliver
        self._start = start
        self.connection = Connection(services.feed, start)
        self._sinks: dict[str, Sink] = {}
        self.quota: Quota | None = None
        """What bounds the rate of calls; the transport knows who is exempt."""

    def answer(self, message: bytes | bytearray) -> "Reply | Coroutine[Any, Any, Reply]":
        """Reply to one message: at once, or by a coroutine when it has to wait for something.

        Never raises for what the message holds.
        """
        reply = Reply(None)
        if is_batch(message):
            return self._answer_batch(message, reply)
        answer = self._answer_one(message, reply)
        if isinstance(answer, Coroutine):
            return _fill(reply, answer)
        reply.message = answer
        return reply

    def close(self) -> None:
        """End all subscriptions."""
        for sink in list(self._sinks.values()):
            self.forget(sink)
        self.connection.close()

    @property
    def subscriptions(self) -> int:
        """How many are open."""
        return len(self._sinks)

    @property
    def feed(self) -> ChainFeed:
        """Where heads come from."""
        return self._services.feed

    @property
    def notify(self) -> Callable[[bytes], None]:
        """Sends a notification; only sinks of this session call it."""
        assert self._notify is not None, "a session without notifications opened a subscription"
        return self._notify

    async def deliver(self, message: bytes) -> None:
        """Send a notification, waiting for room; only tasks of this session's sinks call it."""
        assert self._deliver is not None, "a session without notifications opened a subscription"
        await self._deliver(message)

    def start(self, job: Callable[[], Awaitable[None]]) -> None:
        """Run a subscription's task."""
        assert self._start is not None, "a session without notifications opened a subscription"
        self._start(job)

    def forget(self, sink: Sink) -> None:
        """End one subscription and free its place."""
        self._sinks.pop(sink.id, None)
        sink.close()

    async def _answer_batch(self, message: bytes | bytearray, whole: Reply) -> Reply:
        whole.message = await self._answer_parts(message, whole)
        return whole

    async def _answer_parts(self, message: bytes | bytearray, whole: Reply) -> bytes | None:
        limits = self._services.limits
        try:
            if limits.batch_max == 0:
                text = "Batched requests are not supported by this server"
                raise RpcError(BATCHES_DISABLED, text)
            parts = split_batch(message)
            if len(parts) > limits.batch_max:
                data = f"Exceeded max limit of {limits.batch_max}"
                raise RpcError(OVERSIZED_BATCH, "The batch request was too large", data)
        except RpcError as error:
            return encode_error(NULL_ID, error)
        replies: list[bytes] = []
        size = 2
        for part in parts:
            answer = self._answer_one(part, whole)
            reply = await answer if isinstance(answer, Coroutine) else answer
            # Handlers seldom wait, and a long batch must not hold the node.
            await trio.lowlevel.checkpoint()
            if reply is None:
                continue
            replies.append(reply)
            size += len(reply) + 1
            if size > limits.response_bytes_max:
                for sink in whole.opened:
                    self.forget(sink)
                whole.opened.clear()
                data = f"Exceeded max limit of {limits.response_bytes_max}"
                too_big = RpcError(OVERSIZED_BATCH_RESPONSE, "The batch response was too big", data)
                return encode_error(NULL_ID, too_big)
        return b"[%b]" % b",".join(replies) if replies else None

    def _answer_one(
        self, message: bytes | bytearray, reply: Reply
    ) -> "bytes | Coroutine[Any, Any, bytes] | None":
        try:
            request = parse_request(message)
        except BadRequest as error:
            return encode_error(error.request_id, error)
        if request is None:
            return None
        label = UNKNOWN_METHOD
        try:
            entry = self._services.registry.find(request.method)
            label = request.method
            self._services.stats.calls_started[self._protocol, label] += 1
            if self.quota is not None:
                self.quota.spend()
            value = self._call(entry, request, reply)
            if isinstance(value, Coroutine):
                return self._answer_later(value, request, label)
            return self._succeed(value, request, label)
        except Exception as error:
            return self._fail(error, request, label)

    async def _answer_later(
        self, pending: "Coroutine[Any, Any, Json]", request: Request, label: str
    ) -> bytes:
        try:
            with trio.CancelScope(relative_deadline=CALL_SECONDS_MAX):
                return self._succeed(await pending, request, label)
            text = f"no answer within {CALL_SECONDS_MAX} s"
            raise RpcError(INTERNAL_ERROR, "Internal error", text)
        except Exception as error:
            return self._fail(error, request, label)

    def _succeed(self, value: Json, request: Request, label: str) -> bytes:
        encoded = encode_value(value)
        limit = self._services.limits.response_bytes_max
        if len(encoded) > limit:
            data = f"Exceeded max limit of {limit}"
            raise RpcError(OVERSIZED_RESPONSE, "Response is too big", data)
        self._services.stats.calls_finished[self._protocol, label, False] += 1
        return encode_result(request.id, encoded)

    def _fail(self, error: Exception, request: Request, label: str) -> bytes:
        if not isinstance(error, RpcError):
            # A method that fails must not take a validator down; clients learn no internals.
            logger.error("method %s failed", request.method, exc_info=error)
            error = RpcError(INTERNAL_ERROR, "Internal error")
        self._services.stats.calls_finished[self._protocol, label, True] += 1
        return encode_error(request.id, error)

    def _call(
        self, entry: Method | Subscription | Unsubscription, request: Request, reply: Reply
    ) -> "Json | Coroutine[Any, Any, Json]":
        if isinstance(entry, Method):
            if entry.is_unsafe and not self._allows_unsafe:
                text = "RPC call is unsafe to be called externally"
                raise RpcError(METHOD_NOT_FOUND, text)
            call = Call(self.connection, reply.after) if entry.is_of_connection else None
            return call_method(entry, self._services.node, call, request.params)
        if isinstance(entry, Unsubscription):
            return self._unsubscribe(entry, request.params)
        return self._subscribe(entry, request.params, reply)

    async def _subscribe(self, entry: Subscription, params: object, reply: Reply) -> Json:
        limits = self._services.limits
        if self._notify is None:
            raise RpcError(INTERNAL_ERROR, "Internal error", "subscriptions need a WebSocket")
        if len(self._sinks) >= limits.subscriptions_max:
            data = f"Exceeded max limit of {limits.subscriptions_max}"
            text = "Too many subscriptions on the connection"
            raise RpcError(TOO_MANY_SUBSCRIPTIONS, text, data)
        sink = Sink(self, entry.notification, limits.message_buffer)
        self._sinks[sink.id] = sink  # counted from here on: calls run side by side
        try:
            await call_subscription(entry, self._services.node, sink, params)
        except BaseException:
            self.forget(sink)
            raise
        reply.opened.append(sink)
        return sink.id

    def _unsubscribe(self, entry: Unsubscription, params: object) -> Json:
        given = as_list(params)
        if not given:
            raise invalid_params("parameter 1 (subscription id) is missing")
        try:
            sink = self._sinks.get(decode_subscription_id(given[0]))
        except ValueError as error:
            raise invalid_params(f"parameter 1 (subscription id): {error}") from None
        is_ours = sink is not None and sink.notification == entry.notification
        if sink is not None and is_ours:
            self.forget(sink)
        elif entry.refuses_unknown:
            raise RpcError(INVALID_PARAMS, "Invalid params", "no such subscription")
        return None if entry.gives_null else is_ours


async def _fill(reply: Reply, answer: "Coroutine[Any, Any, bytes]") -> Reply:
    reply.message = await answer
    return reply
