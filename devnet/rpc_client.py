"""A JSON-RPC client on trio over one WebSocket, for the agents and the status view.

`RpcClient` is one connection: requests may overlap, replies are matched by id, and when it breaks
whatever waits fails with `NodeUnreachable`. `Link` keeps a connection to a node that may come and
go. Notifications of a subscription wait in a bounded queue; a reader that lets it fill is cut off.
Left out: batches, which nothing here needs.
"""

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from node.errors import NodeError, NodeUnreachable

CALL_TIMEOUT_S = 20.0
CONNECT_TIMEOUT_S = 5.0
UNSUBSCRIBE_S = 1.0  # a courtesy: closing the connection does the same
RETRY_S = 0.5  # a node that starts again answers within seconds
RECEIVE_BYTES = 64 << 10
NOTIFICATIONS_MAX = 256  # of one subscription: minutes of heads, all steps of an extrinsic

Notifications = trio.MemoryReceiveChannel[Any]
"""The results of a subscription; it ends when the connection does."""


class RpcFailed(NodeError):
    """The node answered with an error object."""

    def __init__(self, method: str, code: int, message: str, data: object) -> None:
        detail = f" ({data})" if data is not None else ""
        super().__init__(f"{method} failed with {code}: {message}{detail}")
        self.code = code
        self.reason = str(data if data is not None else message)


class RpcClient:
    """Made by `open`; one task runs `run`, any task may call."""

    def __init__(self, stream: trio.SocketStream, name: str) -> None:
        self._stream = stream
        self._name = name
        self._connection = WSConnection(ConnectionType.CLIENT)
        self._next_id = 0
        self._replies: dict[int, trio.MemorySendChannel[dict[str, Any]]] = {}
        self._subscribing: dict[int, trio.MemorySendChannel[Any]] = {}
        self._subscriptions: dict[str, trio.MemorySendChannel[Any]] = {}
        self._send_lock = trio.Lock()
        self._text: list[str] = []
        self._is_open = False

    @classmethod
    async def open(cls, host: str, port: int) -> "RpcClient":
        """Connect. Raises `NodeUnreachable` when nothing answers there."""
        name = f"{host}:{port}"
        try:
            with trio.fail_after(CONNECT_TIMEOUT_S):
                client = cls(await trio.open_tcp_stream(host, port), name)
                try:
                    await client._shake_hands(name)
                except BaseException:
                    await trio.aclose_forcefully(client._stream)
                    raise
                return client
        except (OSError, trio.TooSlowError, trio.BrokenResourceError, RemoteProtocolError) as error:
            raise NodeUnreachable(
                f"No node answers at {name}. Is it running? (dret devnet status)"
            ) from error

    async def run(self) -> None:
        """Deliver replies until the connection ends; then what waits fails."""
        try:
            while await self._receive():
                pass
        except (trio.BrokenResourceError, trio.ClosedResourceError, RemoteProtocolError):
            pass  # the node went away; whoever waits hears of it below
        finally:
            self._is_open = False
            for waiting in [*self._replies.values(), *self._subscriptions.values()]:
                waiting.close()
            await trio.aclose_forcefully(self._stream)

    async def call(self, method: str, params: Sequence[object] = ()) -> Any:
        """The result of a method. Raises `RpcFailed` or `NodeUnreachable`."""
        self._next_id += 1
        return await self._request(self._next_id, method, params)

    @asynccontextmanager
    async def subscribe(
        self, method: str, params: Sequence[object], unsubscribe: str
    ) -> AsyncGenerator[Notifications]:
        """Subscribe for as long as the block runs. Raises as `call` does."""
        self._next_id += 1
        request_id = self._next_id
        send, receive = trio.open_memory_channel[Any](NOTIFICATIONS_MAX)
        # The reply enters the subscription, so that what follows it at once is not lost.
        self._subscribing[request_id] = send
        try:
            subscription: str = await self._request(request_id, method, params)
        finally:
            self._subscribing.pop(request_id, None)
        try:
            yield receive
        finally:
            if self._subscriptions.pop(subscription, None) is not None and self._is_open:
                with trio.CancelScope(shield=True), trio.move_on_after(UNSUBSCRIBE_S):
                    try:
                        await self.call(unsubscribe, [subscription])
                    except (NodeUnreachable, RpcFailed):
                        pass  # the connection ends, or the node ended it first

    async def _request(self, request_id: int, method: str, params: Sequence[object]) -> Any:
        send, receive = trio.open_memory_channel[dict[str, Any]](1)
        self._replies[request_id] = send
        body = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": list(params)}
        try:
            with trio.fail_after(CALL_TIMEOUT_S):
                await self._send(TextMessage(data=json.dumps(body)))
                reply = await receive.receive()
        except (
            trio.TooSlowError,
            trio.EndOfChannel,
            trio.BrokenResourceError,
            trio.ClosedResourceError,
        ) as error:
            raise NodeUnreachable(f"The node at {self._name} did not answer {method}.") from error
        finally:
            self._replies.pop(request_id, None)
        if "error" in reply:
            failure = reply["error"]
            raise RpcFailed(method, failure["code"], failure["message"], failure.get("data"))
        return reply["result"]

    async def _shake_hands(self, name: str) -> None:
        await self._send(Request(host=name, target="/"))
        while not self._is_open:
            if not await self._receive():
                raise trio.BrokenResourceError("the node refused the WebSocket")

    async def _send(self, event: Event) -> None:
        async with self._send_lock:
            try:
                data = self._connection.send(event)
            except LocalProtocolError as error:
                raise trio.BrokenResourceError("the connection is closed") from error
            await self._stream.send_all(data)

    async def _receive(self) -> bool:
        """Handle what comes next; False when nothing more will come."""
        data = await self._stream.receive_some(RECEIVE_BYTES)
        if not data:
            return False
        self._connection.receive_data(bytes(data))
        for event in self._connection.events():
            match event:
                case AcceptConnection():
                    self._is_open = True
                case TextMessage():
                    self._text.append(event.data)
                    if event.message_finished:
                        text = "".join(self._text)
                        self._text.clear()
                        self._deliver(text)
                case Ping():
                    await self._send(event.response())
                case CloseConnection() | RejectConnection() | BytesMessage():
                    return False
                case _:
                    pass  # pongs
        return self._connection.state is not ConnectionState.CLOSED

    def _deliver(self, text: str) -> None:
        message = json.loads(text)
        request_id = message.get("id")
        if request_id is None:
            self._notify(message.get("params") or {})
            return
        entering = self._subscribing.pop(request_id, None)
        if entering is not None and isinstance(message.get("result"), str):
            self._subscriptions[message["result"]] = entering
        waiting = self._replies.get(request_id)
        if waiting is not None:
            waiting.send_nowait(message)

    def _notify(self, params: dict[str, Any]) -> None:
        channel = self._subscriptions.get(params.get("subscription", ""))
        if channel is None:
            return
        try:
            channel.send_nowait(params.get("result"))
        except (trio.WouldBlock, trio.BrokenResourceError):
            # It fell behind: what is queued can still be read, then the subscription ends.
            del self._subscriptions[params["subscription"]]
            channel.close()


class Link:
    """A connection to a node that is opened again whenever it breaks, by whoever runs `run`."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._client: RpcClient | None = None
        self.times_connected = 0
        """Changes whenever the node may have forgotten what it was told."""

    @property
    def is_up(self) -> bool:
        """Whether a call has a chance now."""
        return self._client is not None

    async def run(self) -> None:
        """Keep connected until cancelled."""
        while True:
            try:
                client = await RpcClient.open(self._host, self._port)
            except NodeUnreachable:
                await trio.sleep(RETRY_S)
                continue
            self._client = client
            self.times_connected += 1
            try:
                await client.run()
            finally:
                self._client = None

    async def call(self, method: str, params: Sequence[object] = ()) -> Any:
        """The result of a method. Raises `RpcFailed`, or `NodeUnreachable` at once when down."""
        if self._client is None:
            raise NodeUnreachable(f"No node answers at {self._host}:{self._port} now.")
        return await self._client.call(method, params)

    @asynccontextmanager
    async def subscribe(
        self, method: str, params: Sequence[object], unsubscribe: str
    ) -> AsyncGenerator[Notifications]:
        """Subscribe for as long as the block runs. Raises as `call` does."""
        if self._client is None:
            raise NodeUnreachable(f"No node answers at {self._host}:{self._port} now.")
        async with self._client.subscribe(method, params, unsubscribe) as notifications:
            yield notifications
