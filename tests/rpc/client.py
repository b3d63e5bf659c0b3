"""A small JSON-RPC client on trio for the tests, and a context in which a server runs."""

import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio
import wsproto
import wsproto.events as ws

from rpc.config import RpcConfig
from rpc.server import Server
from tests.rpc.fake_node import FakeNode


class Closed(Exception):
    """The server closed the WebSocket."""

    def __init__(self, code: int | None) -> None:
        super().__init__(code)
        self.code = code


class Refused(Exception):
    """The server refused the upgrade."""


class WsClient:
    """One WebSocket."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.protocol = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
        self.ids = itertools.count(1)
        self.inbox: list[Any] = []
        self.text = ""
        self.pongs: list[bytes] = []

    async def handshake(self, host: str, headers: list[tuple[bytes, bytes]]) -> None:
        request = ws.Request(host=host, target="/", extra_headers=headers)
        await self.stream.send_all(self.protocol.send(request))
        while True:
            data = await self.stream.receive_some()
            self.protocol.receive_data(bytes(data) or None)
            for event in self.protocol.events():
                if isinstance(event, ws.AcceptConnection):
                    return
                raise Refused(event)

    async def send(self, message: Any) -> None:
        """Send an object as JSON, or text as it is."""
        text = message if isinstance(message, str) else json.dumps(message)
        await self.stream.send_all(self.protocol.send(ws.TextMessage(data=text)))

    async def receive(self) -> Any:
        """The next message, None for a pong. Raises `Closed`."""
        while not self.inbox:
            try:
                data = await self.stream.receive_some()
            except trio.BrokenResourceError:
                raise Closed(None) from None
            self.protocol.receive_data(bytes(data) or None)
            for event in self.protocol.events():
                if isinstance(event, ws.TextMessage):
                    self.text += event.data
                    if event.message_finished:
                        self.inbox.append(json.loads(self.text))
                        self.text = ""
                elif isinstance(event, ws.Ping):
                    await self.stream.send_all(self.protocol.send(event.response()))
                elif isinstance(event, ws.Pong):
                    self.pongs.append(bytes(event.payload))
                    self.inbox.append(None)
                elif isinstance(event, ws.CloseConnection):
                    raise Closed(event.code)
        return self.inbox.pop(0)

    async def ask(self, method: str, *params: Any) -> Any:
        """Call a method and return the whole reply, setting notifications aside."""
        wanted = next(self.ids)
        await self.send({"jsonrpc": "2.0", "id": wanted, "method": method, "params": list(params)})
        aside: list[Any] = []
        while True:
            message = await self.receive()
            if message.get("id") == wanted:
                self.inbox = aside + self.inbox
                return message
            aside.append(message)

    async def call(self, method: str, *params: Any) -> Any:
        """Call a method and return its result."""
        reply = await self.ask(method, *params)
        assert "error" not in reply, reply
        return reply["result"]

    async def error(self, method: str, *params: Any) -> Any:
        """Call a method and return its error."""
        reply = await self.ask(method, *params)
        assert "result" not in reply, reply
        return reply["error"]


class Running:
    """A server that runs, and its node."""

    def __init__(self, server: Server, node: FakeNode) -> None:
        self.server = server
        self.node = node
        self.port = server.port

    async def connect(self) -> trio.SocketStream:
        return await trio.open_tcp_stream("127.0.0.1", self.port)

    @asynccontextmanager
    async def websocket(self, **headers: str) -> AsyncIterator[WsClient]:
        """A WebSocket with further headers."""
        async with await self.connect() as stream:
            client = WsClient(stream)
            extra = [(name.encode(), value.encode()) for name, value in headers.items()]
            await client.handshake(f"127.0.0.1:{self.port}", extra)
            yield client

    async def post(self, message: Any, *, raw: bool = False) -> Any:
        """POST a JSON-RPC message and return the reply decoded."""
        body = message if raw else json.dumps(message).encode()
        head = (
            f"POST / HTTP/1.1\r\nHost: localhost:{self.port}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        _, _, answer = await self.exchange(head.encode() + body)
        return json.loads(answer)

    async def exchange(self, data: bytes) -> tuple[int, dict[str, str], bytes]:
        """Send raw bytes and read until the server closes: status, headers, body."""
        async with await self.connect() as stream:
            await stream.send_all(data)
            return parse_response(await read_all(stream))


async def read_all(stream: trio.abc.ReceiveStream) -> bytes:
    """Everything until the end, or until the connection is reset."""
    received = b""
    try:
        while data := await stream.receive_some():
            received += data
    except trio.BrokenResourceError:
        pass
    return received


def parse_response(data: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers in lower case, and what follows them."""
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    return int(lines[0].split()[1]), headers, body


@asynccontextmanager
async def running(
    config: RpcConfig | None = None, node: FakeNode | None = None
) -> AsyncIterator[Running]:
    """A server on a free port, for the length of the block."""
    node = node or FakeNode()
    server = Server(config or RpcConfig(port=0), node.ports)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        yield Running(server, node)
        nursery.cancel_scope.cancel()
