"""JSON-RPC over a WebSocket (RFC 6455): one connection from upgrade to close.

Three tasks share it: the reader takes messages in and starts a call for each, the writer empties
the outbox, the keeper asks a silent client for a sign of life. Calls run side by side and are
answered in any order. A client that does not read stops being read; one that does not take
notifications is cut.

Left out: subprotocols and compression, which no Substrate client asks for.
"""

from collections.abc import Awaitable, Callable

import trio
import wsproto
import wsproto.events as ws
from wsproto.connection import ConnectionState
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import RemoteProtocolError

from rpc.config import Limits, Timeouts
from rpc.http import READ_BYTES, Disconnected, HttpError, HttpRequest, send_slices
from rpc.session import Services, Session
from rpc.subscriptions import Outbox

WRITE_BYTES = 64 << 10  # frames sent in one call

TEXT_FRAME = 0x81  # final fragment, text


class WebSocketConnection:
    """The server's side of one WebSocket."""

    def __init__(
        self,
        stream: trio.abc.Stream,
        services: Services,
        timeouts: Timeouts,
        allows_unsafe: bool,
    ) -> None:
        self._stream = stream
        self._stats = services.stats
        self._limits: Limits = services.limits
        self._timeouts = timeouts
        self._protocol = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
        self._outbox = Outbox(self._limits.message_buffer)
        self._calls = trio.Semaphore(self._limits.calls_max)
        self._session = Session(
            services, "ws", allows_unsafe, self._notify, self._deliver, self._start
        )
        self._scope = trio.CancelScope()
        self._nursery: trio.Nursery | None = None
        self._message = bytearray()
        self._message_deadline = float("inf")
        self._last_heard = trio.current_time()
        self._is_sending = False
        self._written = trio.Event()

    async def run(self, request: HttpRequest, unread: bytes) -> None:
        """Accept the upgrade and serve until either side closes.

        Raises `HttpError` when the request is no proper upgrade.
        """
        await self._accept(request)
        self._stats.sessions_opened += 1
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    self._nursery = nursery
                    nursery.start_soon(self._write)
                    nursery.start_soon(self._keep)
                    await self._read(unread)
        finally:
            self._stats.sessions_closed += 1
            self._session.close()
            await self._say_goodbye()

    async def _accept(self, request: HttpRequest) -> None:
        headers = list(request.headers)
        try:
            self._protocol.initiate_upgrade_connection(headers, request.path.encode("latin-1"))
            for _ in self._protocol.events():
                pass
            data = self._protocol.send(ws.AcceptConnection())
        except RemoteProtocolError as error:
            raise HttpError(400, f"This is no WebSocket upgrade: {error}") from None
        await send_slices(self._stream, data, self._timeouts.send)

    async def _read(self, unread: bytes) -> None:
        data: bytes | bytearray | None = unread or await self._receive()
        while data is not None:
            self._last_heard = trio.current_time()
            self._protocol.receive_data(bytes(data))
            for event in self._protocol.events():
                await self._handle(event)
            data = await self._receive()
        self._scope.cancel()  # the client went without a closing handshake

    async def _receive(self) -> bytes | bytearray | None:
        """The next bytes; None at the end of the stream or when a message takes too long."""
        try:
            with trio.move_on_at(self._message_deadline):
                return await self._stream.receive_some(READ_BYTES) or None
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return None
        self._stats.rejected["timeout"] += 1
        return None

    async def _handle(self, event: ws.Event) -> None:
        if isinstance(event, ws.TextMessage):
            await self._take_part(event.data.encode(), event.message_finished)
        elif isinstance(event, ws.BytesMessage):
            await self._take_part(event.data, event.message_finished)
        elif isinstance(event, ws.Ping):
            await self._outbox.put(self._protocol.send(event.response()))
        elif isinstance(event, ws.CloseConnection):
            # wsproto also gives this event for a broken frame; then the client knows nothing yet.
            is_answer = self._protocol.state is ConnectionState.REMOTE_CLOSING
            await self._finish(event.response(), waits_for_client=not is_answer)

    async def _take_part(self, part: bytes | bytearray, is_last: bool) -> None:
        self._message += part
        if len(self._message) > self._limits.request_bytes_max:
            self._stats.rejected["request_size"] += 1
            text = f"messages may have {self._limits.request_bytes_max} bytes"
            close = ws.CloseConnection(CloseReason.MESSAGE_TOO_BIG, text)
            await self._finish(close, waits_for_client=True)
        elif is_last:
            message, self._message = self._message, bytearray()
            self._message_deadline = float("inf")
            await self._calls.acquire()
            self._spawn(lambda: self._answer(message))
        elif self._message_deadline == float("inf"):
            self._message_deadline = trio.current_time() + self._timeouts.body

    async def _answer(self, message: bytearray) -> None:
        try:
            reply = await self._session.answer(message)
            if reply.message is not None:
                await self._outbox.put(text_frame(reply.message))
            reply.follow_up()
        finally:
            self._calls.release()

    async def _write(self) -> None:
        while frames := await self._outbox.take(WRITE_BYTES):
            self._is_sending = True
            try:
                await send_slices(self._stream, b"".join(frames), self._timeouts.send)
            except Disconnected:
                self._scope.cancel()
                return
            self._is_sending = False
        self._written.set()

    async def _keep(self) -> None:
        """Ping after silence, give up after more of it. Sleeps until the next of the two."""
        while True:
            await trio.sleep_until(self._last_heard + self._timeouts.ping)
            silence = trio.current_time() - self._last_heard
            if silence < self._timeouts.ping:
                continue
            if self._protocol.state is ConnectionState.OPEN:
                self._outbox.offer(self._protocol.send(ws.Ping()))
            await trio.sleep_until(self._last_heard + self._timeouts.silence)
            if trio.current_time() - self._last_heard >= self._timeouts.silence:
                self._stats.rejected["timeout"] += 1
                self._scope.cancel()
                return

    async def _finish(self, close: ws.CloseConnection, waits_for_client: bool) -> None:
        """Send what is queued and a closing frame, then stop; bounded in time.

        Closing a socket with unread bytes resets it, and the client would not see the reason: so
        what it still sends is thrown away until it closes too.
        """
        self._outbox.close(self._protocol.send(close))
        with trio.move_on_after(self._timeouts.close):
            await self._written.wait()
            while waits_for_client and await self._receive():
                pass
        self._scope.cancel()
        await trio.lowlevel.checkpoint()

    async def _say_goodbye(self) -> None:
        """When the server stops: a closing frame, unless a frame is half sent."""
        if self._is_sending or self._protocol.state is not ConnectionState.OPEN:
            return
        frame = self._protocol.send(ws.CloseConnection(CloseReason.GOING_AWAY))
        with trio.CancelScope(shield=True, deadline=trio.current_time() + self._timeouts.close):
            try:
                await self._stream.send_all(frame)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return

    def _notify(self, message: bytes) -> None:
        if not self._outbox.offer(text_frame(message)) and not self._scope.cancel_called:
            self._stats.slow_consumers_dropped += 1
            self._scope.cancel()

    async def _deliver(self, message: bytes) -> None:
        await self._outbox.put(text_frame(message))

    def _start(self, job: Callable[[], Awaitable[None]]) -> None:
        self._spawn(job)

    def _spawn(self, job: Callable[[], Awaitable[None]]) -> None:
        assert self._nursery is not None, "a call before the connection was accepted"
        self._nursery.start_soon(job)


def text_frame(payload: bytes) -> bytes:
    """A text message in one unmasked frame. Building it here costs a third of wsproto's way."""
    size = len(payload)
    if size < 126:
        return bytes((TEXT_FRAME, size)) + payload
    if size < 1 << 16:
        return bytes((TEXT_FRAME, 126)) + size.to_bytes(2, "big") + payload
    return bytes((TEXT_FRAME, 127)) + size.to_bytes(8, "big") + payload
