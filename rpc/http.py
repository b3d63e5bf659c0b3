"""HTTP/1.1 on a trio stream: requests in, responses out, with bounds on size and time.

h11 does the parsing; here are the deadlines against clients that dribble, the size limits, and a
closing that lets the client read the last response. Also serves the metrics endpoint.

Left out: HTTP/2, compression, range requests.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import h11
import trio

from rpc.config import Timeouts

HEAD_BYTES_MAX = 16 << 10  # browsers with cookies stay below 8 KiB
READ_BYTES = 64 << 10
SEND_BYTES = 64 << 10  # what a client must take within the send timeout
LINGER_BYTES_MAX = 1 << 20  # read and thrown away so that a refusal reaches the client
JSON_TYPE = "application/json; charset=utf-8"

Headers = Sequence[tuple[str, str]]


class Disconnected(Exception):
    """The client is gone, took too long, or broke the protocol: nothing more can be said."""


class HttpError(Exception):
    """A request that is answered with an error status; the connection closes afterwards."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """Head of a request. Header names are lower case."""

    method: str
    path: str
    headers: Sequence[tuple[bytes, bytes]]

    def header(self, name: str) -> str | None:
        """The first value of a header."""
        wanted = name.encode()
        for found, value in self.headers:
            if found == wanted:
                return value.decode("latin-1")
        return None

    @property
    def is_upgrade(self) -> bool:
        """Whether the client asks for a WebSocket."""
        upgrade = self.header("upgrade") or ""
        return self.method == "GET" and upgrade.lower() == "websocket"


class HttpConnection:
    """The server's side of one connection."""

    def __init__(
        self, stream: trio.abc.HalfCloseableStream, timeouts: Timeouts, received: bytes = b""
    ) -> None:
        """`received` came before, from the beginning of a request on."""
        self.stream = stream
        self._timeouts = timeouts
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES_MAX)
        self._is_head = False
        if received:
            self._h11.receive_data(received)

    async def next_request(self) -> HttpRequest | None:
        """Head of the next request; None when the client closed or stayed silent.

        Raises `HttpError` for what is no HTTP, and `Disconnected`.
        """
        if self._h11.our_state is h11.DONE:
            self._h11.start_next_cycle()
        buffered = self._h11.trailing_data[0]
        if not buffered and not await self._wait_for_first_byte():
            return None
        with trio.move_on_after(self._timeouts.head):
            event = await self._next_event()
            if isinstance(event, h11.ConnectionClosed):
                return None
            assert isinstance(event, h11.Request), f"h11 gave {event!r} before a request"
            # h11 bounds a head only while it is incomplete; one that came at once passes it.
            if sum(len(name) + len(value) for name, value in event.headers) > HEAD_BYTES_MAX:
                raise HttpError(431, f"The headers are larger than {HEAD_BYTES_MAX} bytes.")
            self._is_head = event.method == b"HEAD"
            return HttpRequest(
                event.method.decode("ascii"),
                event.target.decode("latin-1").partition("?")[0],
                list(event.headers),
            )
        raise HttpError(408, "The request took too long to arrive.")

    async def read_body(self, bytes_max: int) -> bytearray:
        """The request's body. Raises `HttpError` when it is too large or too slow."""
        body = bytearray()
        with trio.move_on_after(self._timeouts.body):
            if self._h11.they_are_waiting_for_100_continue:
                go_ahead = h11.InformationalResponse(status_code=100, headers=[])
                await self._send(self._h11.send(go_ahead) or b"")
            while True:
                event = await self._next_event()
                if isinstance(event, h11.Data):
                    body += event.data
                    if len(body) > bytes_max:
                        raise HttpError(413, f"The request is larger than {bytes_max} bytes.")
                elif isinstance(event, h11.EndOfMessage):
                    return body
                else:
                    raise Disconnected
        raise HttpError(408, "The request took too long to arrive.")

    async def respond(
        self, status: int, body: bytes, content_type: str = JSON_TYPE, headers: Headers = ()
    ) -> None:
        """Send a whole response."""
        lines = [
            ("content-type", content_type),
            ("content-length", str(len(body))),
            *headers,
        ]
        head = h11.Response(status_code=status, headers=lines)
        data = (self._h11.send(head) or b"") + (self._h11.send(h11.Data(data=body)) or b"")
        await self._send(data + (self._h11.send(h11.EndOfMessage()) or b""))

    async def refuse(self, error: HttpError, headers: Headers = ()) -> None:
        """Answer with an error if that is still possible, and close so that it is read."""
        if self._h11.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            lines = [("connection", "close"), *headers]
            text = b"" if self._is_head else error.text.encode() + b"\n"
            await self.respond(error.status, text, "text/plain; charset=utf-8", lines)
        await self._linger()

    @property
    def can_go_on(self) -> bool:
        """Whether another request may follow on this connection."""
        return self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE

    @property
    def unread(self) -> bytes:
        """What came after the request, for the protocol that takes over."""
        return self._h11.trailing_data[0]

    async def _wait_for_first_byte(self) -> bool:
        with trio.move_on_after(self._timeouts.idle):
            data = await self._receive()
            self._h11.receive_data(data)
            return bool(data)
        return False

    async def _next_event(self) -> object:
        while True:
            try:
                event = self._h11.next_event()
            except h11.RemoteProtocolError as error:
                raise HttpError(error.error_status_hint, "This is not proper HTTP/1.1.") from None
            if event is not h11.NEED_DATA and event is not h11.PAUSED:
                return event
            data = await self._receive()
            self._h11.receive_data(data)

    async def _receive(self) -> bytes:
        try:
            return bytes(await self.stream.receive_some(READ_BYTES))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise Disconnected from None

    async def _send(self, data: bytes) -> None:
        await send_slices(self.stream, data, self._timeouts.send)

    async def _linger(self) -> None:
        try:
            with trio.move_on_after(self._timeouts.close):
                await self.stream.send_eof()
                seen = 0
                while seen < LINGER_BYTES_MAX:
                    data = await self.stream.receive_some(READ_BYTES)
                    if not data:
                        return
                    seen += len(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return


async def send_slices(stream: trio.abc.SendStream, data: bytes, seconds: float) -> None:
    """Send everything. Raises `Disconnected` when a slice is not taken in time, or the end is."""
    view = memoryview(data)
    try:
        for start in range(0, len(view), SEND_BYTES):
            with trio.fail_after(seconds):
                await stream.send_all(view[start : start + SEND_BYTES])
    except (trio.TooSlowError, trio.BrokenResourceError, trio.ClosedResourceError):
        raise Disconnected from None
