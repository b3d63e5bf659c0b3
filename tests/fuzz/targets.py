"""What random bytes must not do, one function for each door they come through.

`scale`: a decoder of foreign bytes gives a value or `DecodeError`; a value's encoding is the input
again, so nothing has two encodings. `rpc`: any message has a reply that is proper JSON-RPC, and no
method fails in a way that nobody foresaw. `frames`: a stream of WebSocket frames, cut anywhere, has
the messages that wsproto finds in it, and a request's head that is answered without h11 means to
h11 the same. Each raises for what must not happen.
"""

import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import h11
import msgspec
import outcome
from wsproto.frame_protocol import FrameProtocol, Opcode, ParseFailed

from p2p.messages import Message, SyncMessage
from rpc.access import Access
from rpc.config import Limits, RpcConfig
from rpc.frames import FrameBuffer, Wanting
from rpc.methods import Registry
from rpc.server import ARCHIVE, NAMESPACES
from rpc.session import Reply, Services, Session
from rpc.stats import RpcStats
from rpc.subscriptions import ChainFeed
from rpc.usual_http import parse_usual
from runtime.primitives.block import Digest, Header
from runtime.primitives.extrinsic import decode_extrinsic
from runtime.primitives.grandpa import Commit, GossipMessage, Justification
from runtime.primitives.scale import Codec, DecodeError, codec
from runtime.primitives.session import SessionKeys
from tests.rpc.fake_node import FakeNode
from tests.support import new_runtime

MESSAGES_PER_NODE = 256  # then a new one: a node keeps keys and extrinsics
FRAME_BYTES_MAX = 256  # so that one that is larger fits into an input
STEPS_MAX = 100_000  # of a call that gives others a turn; the largest list of keys needs fewer


def scale(data: bytes) -> None:
    """The first byte chooses the type, the others are decoded."""
    if not data:
        return
    kinds = scale_kinds()
    decode, encode = list(kinds.values())[data[0] % len(kinds)]
    rest = data[1:]
    try:
        value = decode(rest)
    except DecodeError:
        return
    again = encode(value)
    assert again == rest, f"{rest.hex()} was decoded, and is encoded as {again.hex()}"


@cache
def scale_kinds() -> dict[str, tuple[Callable[[bytes], Any], Callable[[Any], bytes]]]:
    """Decoder and encoder of everything that strangers may send in SCALE."""
    types = new_runtime().assembly.types
    records: Any = types.event_record
    codecs: dict[str, Codec[Any]] = {
        "call": types.call_codec,
        "events": codec(list[records]),
        "header": codec(Header),
        "digest": codec(Digest),
        "message": codec(Message),
        "sync message": codec(SyncMessage),
        "justification": codec(Justification),
        "commit": codec(Commit),
        "gossip": codec(GossipMessage),
        "session keys": codec(SessionKeys),
    }
    extrinsic = (decode_extrinsic, lambda value: value.encode())
    return {
        "extrinsic": extrinsic,
        **{name: (each.decode, each.encode) for name, each in codecs.items()},
    }


class _Alarm(logging.Handler):
    """Turns the server's "method failed" into a failure of the run."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info is not None and record.exc_info[1] is not None:
            raise record.exc_info[1]

    def handleError(self, record: logging.LogRecord) -> None:
        raise AssertionError(record.getMessage())


@contextmanager
def _alarmed() -> Iterator[None]:
    """While a message is answered, and no longer: the logger belongs to the whole process."""
    logger, alarm = logging.getLogger("rpc"), _Alarm(logging.ERROR)
    logger.addHandler(alarm)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(alarm)
        logger.propagate = True


class _Client:
    """The sessions of one node, new ones in time. Needs to run inside trio."""

    def __init__(self) -> None:
        self._left = 0

    def answer(self, message: bytes) -> bytes | None:
        if self._left == 0:
            self._left = MESSAGES_PER_NODE
            node = FakeNode(is_archive=True)
            node.chain.grow()
            self._services = Services(
                node.ports,
                Registry(NAMESPACES + ARCHIVE),
                ChainFeed(node.chain),
                Limits(response_bytes_max=1 << 20, batch_max=16),
                RpcStats(),
            )
        self._left -= 1
        session = Session(self._services, "ws", True, _take, _take_later, _start)
        answer = session.answer(message)
        reply = answer if isinstance(answer, Reply) else _run(answer)
        session.close()
        return reply.message


def method_names() -> list[str]:
    """Of every method."""
    return Registry(NAMESPACES + ARCHIVE).names()


def _take(message: bytes) -> None:
    assert msgspec.json.decode(message)["jsonrpc"] == "2.0"


async def _take_later(message: bytes) -> None:
    _take(message)


def _start(_job: Callable[[], Any]) -> None:
    """Tasks belong to a connection; here is none."""


def _run(waiting: Coroutine[Any, Any, Reply]) -> Reply:
    """Run a call to its end. It may give others a turn, but nothing here makes it wait longer."""
    try:
        waiting.send(None)
        for _ in range(STEPS_MAX):
            waiting.send(outcome.Value(None))
    except StopIteration as end:
        reply: Reply = end.value
        return reply
    raise AssertionError("a call does not end")


@cache
def _client() -> _Client:
    return _Client()


def rpc(data: bytes) -> None:
    """A message of a client, to a server with every method."""
    with _alarmed():
        message = _client().answer(data)
    if message is None:
        return
    replies = msgspec.json.decode(message)
    for reply in replies if isinstance(replies, list) else [replies]:
        assert reply["jsonrpc"] == "2.0", message
        assert "id" in reply, message
        assert ("result" in reply) != ("error" in reply), message


class FrameOracle:
    """Puts the messages of a stream of frames together with wsproto alone."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.has_fragments = False
        self.is_over = False
        self._protocol = FrameProtocol(client=False, extensions=[])
        self._parts = bytearray()

    def take(self, data: bytes) -> None:
        """Read on."""
        if self.is_over:
            return
        self._protocol.receive_bytes(data)
        try:
            for part in self._protocol.received_frames():
                if part.opcode is Opcode.CLOSE:
                    self.is_over = True  # nothing counts after it
                    return
                if not part.opcode.iscontrol():
                    self._take_part(part.payload, part.message_finished)
        except ParseFailed:
            self.is_over = True

    def _take_part(self, payload: object, is_last: bool) -> None:
        assert isinstance(payload, str | bytes | bytearray)
        self._parts += payload.encode() if isinstance(payload, str) else payload
        self.has_fragments = not is_last
        if is_last:
            self.messages.append(bytes(self._parts))
            self._parts.clear()


def messages_of(pieces: Iterator[bytes], bytes_max: int) -> tuple[list[bytes], bool]:
    """The messages as a connection reads them, and whether it ended at a frame that is too large.

    Usual frames are taken apart by us, the others by wsproto.
    """
    oracle = FrameOracle()
    buffer = FrameBuffer(bytes_max)
    for piece in pieces:
        buffer.add(piece)
        while not isinstance(found := buffer.take(oracle.has_fragments), Wanting):
            if oracle.is_over:
                return oracle.messages, False
            if isinstance(found, bytes):
                oracle.messages.append(found)
            else:
                oracle.take(found.data)
        if found is Wanting.TOO_LARGE:
            return oracle.messages, True
    return oracle.messages, False


def frames(data: bytes) -> None:
    """The first byte says where the others are cut, or that they are the head of a request."""
    if not data:
        return
    if data[0] >= 0xF0:
        _head(data[1:])
        return
    step, stream = data[0] + 1, data[1:]
    oracle = FrameOracle()
    oracle.take(stream)
    pieces = (stream[start : start + step] for start in range(0, len(stream), step))
    found, is_too_large = messages_of(pieces, FRAME_BYTES_MAX)
    expected = oracle.messages[: len(found)] if is_too_large else oracle.messages
    assert found == expected, f"{found} are not {expected}"


_ACCESS = Access(RpcConfig())


def _head(data: bytes) -> None:
    usual = parse_usual(data, _ACCESS)
    if usual is None:
        return
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    request = connection.next_event()
    assert isinstance(request, h11.Request), f"h11 sees {request!r} in {data!r}"
    headers = dict(request.headers)
    assert request.method == b"POST"
    assert int(headers[b"content-length"]) == usual.body_size
    assert b"transfer-encoding" not in headers
    assert _ACCESS.allows_host(headers[b"host"].decode())


def prepare(target: str) -> None:
    """Make once what the inputs of a target share: a runtime with its codecs."""
    if target == "scale":
        scale_kinds()


TARGETS: dict[str, Callable[[bytes], None]] = {"scale": scale, "rpc": rpc, "frames": frames}
