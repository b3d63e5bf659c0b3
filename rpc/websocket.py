"""JSON-RPC over a WebSocket (RFC 6455): one connection from upgrade to close.

One task reads messages and answers them. A call that has to wait keeps its task, and another one
reads on (see `rpc.side_by_side`); so calls run side by side and are answered in any order. Replies
and notifications are sent at once while the client takes them; what it does not take goes through
the bounded outbox, which a task empties. A client whose outbox is full of replies is not read; one
that does not take its notifications is cut.

Left out: subprotocols and compression, which no Substrate client asks for.
"""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import trio
import wsproto
import wsproto.events as ws
from wsproto.connection import ConnectionState
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import RemoteProtocolError

from rpc.config import Limits, Timeouts
from rpc.frames import FrameBuffer, Unusual, Wanting, text_frame
from rpc.http import Disconnected, HttpError, HttpRequest, send_slices
from rpc.listener import ClientSocket
from rpc.quota import Quota
from rpc.session import Reply, Services, Session
from rpc.side_by_side import run_noticing_waits
from rpc.subscriptions import Outbox
from rpc.watch import Watch

WRITE_BYTES = 64 << 10  # frames sent in one call
MESSAGES_PER_TURN = 16  # of one client that sends many at once; then others get a turn
NEVER = float("inf")


class WebSocketConnection:
    """The server's side of one WebSocket."""

    def __init__(
        self,
        stream: ClientSocket,
        services: Services,
        timeouts: Timeouts,
        allows_unsafe: bool,
        watch: Watch,
        quota: Quota | None = None,
    ) -> None:
        self._stream = stream
        self._send_now = stream.send_now
        self._stats = services.stats
        self._limits: Limits = services.limits
        self._timeouts = timeouts
        self._watch = watch
        self._protocol = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
        self._frames = FrameBuffer(self._limits.request_bytes_max)
        self._outbox = Outbox(self._limits.message_buffer)
        self._calls = 0
        self._call_ended = trio.lowlevel.ParkingLot()
        self._session = Session(
            services, "ws", allows_unsafe, self._notify, self._deliver, self._start
        )
        self._session.quota = quota
        self._scope = trio.CancelScope()
        self._nursery: trio.Nursery | None = None
        self._fragments = bytearray()
        self._has_fragments = False
        self._message_deadline = NEVER
        self._last_heard = trio.current_time()
        self._is_asked = False
        self._is_direct = True
        """Whether nothing waits to be sent, so that a frame may be sent at once."""
        self._written = trio.Event()

    async def run(self, request: HttpRequest, unread: bytes) -> None:
        """Accept the upgrade and serve until either side closes.

        Raises `HttpError` when the request is no proper upgrade.
        """
        await self._accept(request)
        self._stats.sessions_opened += 1
        self._watch.add(self)
        self._frames.add(unread)
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    self._nursery = nursery
                    await self._serve()
        finally:
            self._watch.remove(self)
            self._stats.sessions_closed += 1
            self._session.close()
            self._say_goodbye()
            # Parts of a connection refer to each other: they stay until the collector comes.
            self._outbox.discard()
            self._fragments.clear()
            self._frames = FrameBuffer(0)

    def tick(self, now: float) -> None:
        """Ping after silence, give up after more of it, or when a message takes too long."""
        silence = now - self._last_heard
        if silence >= self._timeouts.silence or now >= self._message_deadline:
            if not self._scope.cancel_called:
                self._stats.rejected["timeout"] += 1
            self._scope.cancel()
        elif silence >= self._timeouts.ping and not self._is_asked:
            self._is_asked = True
            if self._protocol.state is ConnectionState.OPEN:
                self._send_or_queue(self._protocol.send(ws.Ping()))

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

    async def _serve(self) -> None:
        """Read and answer until the connection ends, or until a call here has to wait."""
        turn = 0
        while (message := await self._next_message()) is not None:
            while self._calls >= self._limits.calls_max:
                await self._call_ended.park()
            if not self._is_direct:
                # Who does not take replies gets no further ones made.
                await self._outbox.wait_for_room()
            if self._scope.cancel_called:
                return  # what is still unread gets no answer
            answer = self._session.answer(message)
            if isinstance(answer, Reply) and self._is_direct:
                self._reply_now(answer)
            elif await run_noticing_waits(self._reply_later(answer), self._read_on):
                return  # another task reads
            turn += 1
            if turn % MESSAGES_PER_TURN == 0:
                await trio.lowlevel.checkpoint()
        self._scope.cancel()  # the client went without a closing handshake

    def _read_on(self) -> None:
        if not self._scope.cancel_called:
            self._spawn(self._serve)

    async def _next_message(self) -> bytes | bytearray | None:
        """The next whole message; None at the end of the stream."""
        while True:
            frame = self._frames.take(self._has_fragments)
            if isinstance(frame, bytes):
                self._message_deadline = NEVER
                return frame
            if isinstance(frame, Unusual):
                message = await self._take_unusual(frame.data)
                if message is not None:
                    return message
                continue
            if frame is Wanting.TOO_LARGE:
                await self._refuse_size()
            if frame is Wanting.REST and self._message_deadline == NEVER:
                self._message_deadline = trio.current_time() + self._timeouts.body
            data = await self._receive()
            if not data:
                return None
            self._last_heard = trio.current_time()
            self._is_asked = False
            self._frames.add(data)

    async def _receive(self) -> bytes:
        """The next bytes; none at the end of the stream."""
        try:
            return await self._stream.receive_some()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return b""

    async def _take_unusual(self, data: bytes) -> bytearray | None:
        """Let wsproto look at it. A whole message if this completed one."""
        self._protocol.receive_data(data)
        message: bytearray | None = None
        for event in self._protocol.events():
            if isinstance(event, ws.TextMessage):
                message = await self._take_part(event.data.encode(), event.message_finished)
            elif isinstance(event, ws.BytesMessage):
                message = await self._take_part(event.data, event.message_finished)
            elif isinstance(event, ws.Ping):
                await self._outbox_put(self._protocol.send(event.response()))
            elif isinstance(event, ws.CloseConnection):
                # wsproto also gives this event for a broken frame; then the client knows nothing.
                is_answer = self._protocol.state is ConnectionState.REMOTE_CLOSING
                await self._finish(event.response(), waits_for_client=not is_answer)
        if not self._has_fragments:
            self._message_deadline = NEVER
        return message

    async def _take_part(self, part: bytes | bytearray, is_last: bool) -> bytearray | None:
        self._fragments += part
        self._has_fragments = not is_last
        if len(self._fragments) > self._limits.request_bytes_max:
            await self._refuse_size()
        if not is_last:
            if self._message_deadline == NEVER:
                self._message_deadline = trio.current_time() + self._timeouts.body
            return None
        message, self._fragments = self._fragments, bytearray()
        return message

    async def _refuse_size(self) -> None:
        self._stats.rejected["request_size"] += 1
        text = f"messages may have {self._limits.request_bytes_max} bytes"
        close = ws.CloseConnection(CloseReason.MESSAGE_TOO_BIG, text)
        await self._finish(close, waits_for_client=True)

    def _reply_now(self, reply: Reply) -> None:
        if reply.message is not None:
            self._send_or_queue(text_frame(reply.message))
        reply.follow_up()

    async def _reply_later(self, answer: "Reply | Coroutine[Any, Any, Reply]") -> None:
        self._calls += 1
        try:
            reply = answer if isinstance(answer, Reply) else await answer
            if reply.message is not None:
                await self._outbox_put(text_frame(reply.message))
            reply.follow_up()
        finally:
            self._calls -= 1
            self._call_ended.unpark()

    def _send_or_queue(self, frame: bytes) -> bool:
        """Send now if nothing is queued before it, else queue. False when the queue is full."""
        if self._is_direct:
            try:
                sent = self._send_now(frame)
            except trio.BrokenResourceError:
                self._scope.cancel()
                return True
            if sent == len(frame):
                return True
            frame = frame[sent:]
        is_queued = self._outbox.offer(frame, self._session.subscriptions)
        self._write_soon()
        return is_queued

    async def _outbox_put(self, frame: bytes) -> None:
        """Send now, or as soon as the outbox has room."""
        if self._is_direct:
            self._send_or_queue(frame)
        else:
            await self._outbox.put(frame)

    def _write_soon(self) -> None:
        if self._is_direct:
            self._is_direct = False
            self._spawn(self._write)

    async def _write(self) -> None:
        """Send what is queued, then end."""
        while frames := self._outbox.take(WRITE_BYTES):
            try:
                await send_slices(self._stream, b"".join(frames), self._timeouts.send)
            except Disconnected:
                self._scope.cancel()
                return
        if self._outbox.is_closed:
            self._written.set()
        else:
            self._is_direct = True

    async def _finish(self, close: ws.CloseConnection, waits_for_client: bool) -> None:
        """Send what is queued and a closing frame, then stop; bounded in time.

        Closing a socket with unread bytes resets it, and the client would not see the reason: so
        what it still sends is thrown away until it closes too.
        """
        self._outbox.close(self._protocol.send(close))
        self._write_soon()
        with trio.move_on_after(self._timeouts.close):
            await self._written.wait()
            while waits_for_client and await self._receive():
                pass
        self._scope.cancel()
        await trio.lowlevel.checkpoint()

    def _say_goodbye(self) -> None:
        """When the server stops: a closing frame, unless a frame is half sent."""
        if not self._is_direct or self._protocol.state is not ConnectionState.OPEN:
            return
        try:
            self._stream.send_now(self._protocol.send(ws.CloseConnection(CloseReason.GOING_AWAY)))
        except trio.BrokenResourceError:
            return

    def _notify(self, message: bytes) -> None:
        if self._send_or_queue(text_frame(message)) or self._outbox.is_closed:
            return
        if not self._scope.cancel_called:
            self._stats.slow_consumers_dropped += 1
            self._scope.cancel()

    async def _deliver(self, message: bytes) -> None:
        await self._outbox_put(text_frame(message))

    def _start(self, job: Callable[[], Awaitable[None]]) -> None:
        self._spawn(job)

    def _spawn(self, job: Callable[[], Awaitable[None]]) -> None:
        assert self._nursery is not None, "a call before the connection was accepted"
        self._nursery.start_soon(job)
