"""The usual HTTP request, answered without a parser: a POST with a length that came whole.

A client that keeps its connection sends the same headers again and again. So the headers are looked
at once, strictly; as long as they repeat, only their length is needed. Whatever is not quite usual
(other methods, chunks, `Expect`, `Connection: close`, a refusal) is left to h11, with every byte
that came: `run` returns those, and the connection goes on in `rpc.http`.
"""

import re
from dataclasses import dataclass
from enum import Enum

import trio

from rpc.access import PROXY_HEADERS, Access
from rpc.config import RpcConfig
from rpc.http import HEAD_BYTES_MAX, JSON_TYPE, Disconnected, send_slices
from rpc.listener import ClientSocket
from rpc.session import Reply, Session
from rpc.watch import Watch

USUAL_BODY_BYTES_MAX = 64 << 10  # larger ones come in parts, which h11's buffer is made for
REQUESTS_PER_TURN = 16  # of one client that pipelines; then others get a turn

POST = b"POST "

_HEAD = re.compile(
    rb"POST /[!-~]* HTTP/1\.1\r\n(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t -~]*\r\n)+\r\n", re.ASCII
)
_UNUSUAL = frozenset((b"transfer-encoding", b"expect", b"upgrade"))
_PROXY_HEADERS = tuple(name.encode() for name in PROXY_HEADERS)
_ONCE = frozenset((b"host", b"content-length", b"content-type", b"origin", b"connection"))


@dataclass(frozen=True, slots=True)
class UsualHead:
    """Headers that may be answered here, as they came."""

    head: bytes
    body_size: int
    response: bytes
    """The response up to its length."""


def parse_usual(head: bytes, access: Access) -> UsualHead | None:
    """The head of a usual request by a client that may call; None for everything else."""
    if _HEAD.fullmatch(head) is None:
        return None
    found: dict[bytes, bytes] = {}
    for line in head[:-4].split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        name = name.lower()
        if name in _UNUSUAL or (name in _ONCE and name in found):
            return None
        found[name] = value.strip(b" \t")
    size = found.get(b"content-length", b"")
    media_type = found.get(b"content-type", b"").partition(b";")[0].strip()
    if not size.isdigit() or len(size) > 9 or media_type.lower() != b"application/json":
        return None
    if found.get(b"connection", b"keep-alive").lower() != b"keep-alive":
        return None
    if access.trusts_proxy_headers and any(name in found for name in _PROXY_HEADERS):
        return None  # each request may come from another client
    host, origin = found.get(b"host"), found.get(b"origin")
    if host is None or not access.allows_host(host.decode("ascii")):
        return None
    if not access.allows_origin(None if origin is None else origin.decode("ascii")):
        return None
    response = b"HTTP/1.1 200 \r\ncontent-type: %b\r\n" % JSON_TYPE.encode()
    if origin is not None:
        response += b"access-control-allow-origin: %b\r\nvary: origin\r\n" % origin
    return UsualHead(head, int(size), response + b"content-length: ")


class Part(Enum):
    """What a connection waits for."""

    NOTHING = 0
    REQUEST = 1
    HEAD = 2
    BODY = 3


class UsualHttp:
    """A connection as long as its requests are usual ones."""

    def __init__(
        self,
        stream: ClientSocket,
        session: Session,
        access: Access,
        config: RpcConfig,
        watch: Watch,
    ) -> None:
        self._stream = stream
        self._session = session
        self._access = access
        self._send_s = config.timeouts.send
        self._seconds = {
            Part.NOTHING: float("inf"),
            Part.REQUEST: config.timeouts.idle,
            Part.HEAD: config.timeouts.head,
            Part.BODY: config.timeouts.body,
        }
        self._body_max = min(USUAL_BODY_BYTES_MAX, config.limits.request_bytes_max)
        self._watch = watch
        self._scope = trio.CancelScope()
        self._waits_for = Part.NOTHING
        self._deadline = float("inf")
        self._last: UsualHead | None = None
        self._received = b""

    @property
    def is_late(self) -> bool:
        """Whether `run` ended because a request took too long to arrive."""
        return self._scope.cancelled_caught and bool(self._received)

    async def run(self) -> bytes | None:
        """Answer usual requests. Returns what came since the last one, for h11 to go on with.

        None when the client closed or stayed silent between two requests.
        """
        self._watch.add(self)
        try:
            with self._scope:
                await self._serve()
        finally:
            self._watch.remove(self)
        return self._received or None

    def tick(self, now: float) -> None:
        """End a wait that lasts too long."""
        if now >= self._deadline:
            self._scope.cancel()

    async def _serve(self) -> None:
        self._wait_for(Part.REQUEST)
        while data := await self._receive():
            self._received = self._received + data if self._received else data
            missing = await self._answer_received()
            if missing is None:
                return
            self._wait_for(missing)

    async def _answer_received(self) -> Part | None:
        """Answer what came whole. Says what to wait for; None when that is not usual."""
        turn = 0
        while self._received:
            usual = self._head_of(self._received)
            if usual is None:
                return Part.HEAD if self._may_become_usual() else None
            if usual.body_size > self._body_max:
                return None
            end = len(usual.head) + usual.body_size
            if len(self._received) < end:
                return Part.BODY
            body = self._received[len(usual.head) : end]
            self._received = self._received[end:]
            self._wait_for(Part.NOTHING)
            await self._answer(usual, body)
            turn += 1
            if self._received and turn % REQUESTS_PER_TURN == 0:
                await trio.lowlevel.checkpoint()
        return Part.REQUEST

    def _may_become_usual(self) -> bool:
        received = self._received
        is_post = received.startswith(POST[: len(received)])
        return is_post and len(received) <= HEAD_BYTES_MAX and b"\r\n\r\n" not in received

    def _wait_for(self, part: Part) -> None:
        """Set the deadline, once for each part of a request."""
        if part is self._waits_for:
            return
        self._waits_for = part
        self._deadline = trio.current_time() + self._seconds[part]

    def _head_of(self, data: bytes) -> UsualHead | None:
        last = self._last
        if last is not None and data.startswith(last.head):
            return last
        end = data.find(b"\r\n\r\n")
        if end < 0:
            return None
        self._last = parse_usual(data[: end + 4], self._access)
        return self._last

    async def _answer(self, usual: UsualHead, body: bytes) -> None:
        answer = self._session.answer(body)
        reply = answer if isinstance(answer, Reply) else await answer
        message = reply.message or b""
        data = b"%b%d\r\n\r\n%b" % (usual.response, len(message), message)
        try:
            sent = self._stream.send_now(data)
        except trio.BrokenResourceError:
            raise Disconnected from None
        if sent < len(data):
            await send_slices(self._stream, data[sent:], self._send_s)

    async def _receive(self) -> bytes:
        try:
            return await self._stream.receive_some()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise Disconnected from None
