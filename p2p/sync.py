"""Requests for blocks, warp proofs and states: ours to a peer, and a peer's to us.

Each side opens one stream for its own requests and keeps it; requests and answers carry a number.
Served are the requests of one stream one after the other, at most `SERVED_PER_SECOND`, and at most
`SERVED_AT_ONCE` answers of the whole node are in memory; who asks for more waits, by not being
read. What to ask of whom is decided in `consensus`.
"""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeAlias

import trio

from p2p.frames import FrameReader, frame
from p2p.messages import (
    ANSWER_BYTES_MAX,
    REQUEST_BYTES_MAX,
    Answer,
    BlockData,
    BlockRequest,
    Refusal,
    Request,
    StateAnswer,
    StateRequest,
    SyncMessage,
    WarpAnswer,
    WarpRequest,
)
from p2p.ports import BlockProvider, PeerError
from p2p.rate import TokenBucket
from p2p.streams import ByteStream, Link, StreamBroken
from runtime.primitives.scale import DecodeError
from runtime.primitives.types import Hash

log = logging.getLogger("p2p")

_Request: TypeAlias = Request | WarpRequest | StateRequest

REQUESTS_OPEN_MAX = 8  # to one peer; the core has one or two
SERVED_PER_SECOND = 20.0
SERVED_AT_ONCE = 8
PROOF_COST = 4  # requests for blocks that one for a proof or a state counts as
ANSWER_WRITE_SECONDS_MAX = 20.0  # 8 MiB at 3.4 Mbit/s


class NonsenseReceived(PeerError):
    """A peer sent what no honest node sends."""


ReadAnswers = Callable[[ByteStream], Awaitable[None]]


class RequestClient:
    """Our requests to one peer. `spawn` runs the reading of answers; what it raises is nonsense."""

    def __init__(
        self,
        link: Link,
        protocol: str,
        seconds_max: float,
        spawn: Callable[[ReadAnswers, ByteStream], None],
    ) -> None:
        self._link = link
        self._protocol = protocol
        self._seconds_max = seconds_max
        self._spawn = spawn
        self._stream: ByteStream | None = None
        self._lock = trio.Lock()
        self._number = 0
        self._waiting: dict[int, _Waiting] = {}
        self._ended: str | None = None

    async def request(self, blocks: BlockRequest) -> list[BlockData]:
        """Ask for blocks. Raises `PeerError`; may be cancelled at any time."""
        answer = await self._exchange(lambda number: Request(number, blocks))
        if not isinstance(answer, Answer):
            raise _unasked(answer)
        return answer.blocks

    async def warp_proof(self, begin: Hash) -> bytes:
        """Ask for the proof of all handoffs after a block. Raises `PeerError`."""
        answer = await self._exchange(lambda number: WarpRequest(number, begin))
        if not isinstance(answer, WarpAnswer):
            raise _unasked(answer)
        return answer.proof

    async def state_range(self, block_hash: Hash, after: bytes | None) -> list[bytes]:
        """Ask for a part of a block's state. Raises `PeerError`."""
        answer = await self._exchange(lambda number: StateRequest(number, block_hash, after))
        if not isinstance(answer, StateAnswer):
            raise _unasked(answer)
        return answer.items

    async def _exchange(self, make: Callable[[int], SyncMessage]) -> SyncMessage:
        if len(self._waiting) >= REQUESTS_OPEN_MAX:
            raise PeerError(f"{len(self._waiting)} requests to this peer are open already")
        self._number = (self._number + 1) % (1 << 32)
        number = self._number
        waiting = self._waiting[number] = _Waiting()
        try:
            with trio.move_on_after(self._seconds_max):
                await self._send(make(number))
                await waiting.event.wait()
        finally:
            del self._waiting[number]
        if waiting.answer is None:
            raise PeerError(waiting.failure or f"no answer within {self._seconds_max:.0f} s")
        return waiting.answer

    def end(self, reason: str) -> None:
        """The peer is gone: every open request fails, and every later one."""
        self._ended = reason
        self._fail_all(reason)

    async def _send(self, request: SyncMessage) -> None:
        async with self._lock:
            if self._ended is not None:
                raise PeerError(self._ended)
            if self._stream is None:
                self._stream = await self._link.open_stream(self._protocol)
                self._spawn(self._read_answers, self._stream)
            stream, is_sent = self._stream, False
            try:
                await stream.write(frame(request.encode()))
                is_sent = True
            finally:
                if not is_sent:
                    self._drop(stream)

    async def _read_answers(self, stream: ByteStream) -> None:
        reader = FrameReader(stream, ANSWER_BYTES_MAX)
        reason = "the peer closed the request stream"
        try:
            while (payload := await reader.next()) is not None:
                self._take(SyncMessage.decode(payload))
        except trio.Cancelled:
            self._drop(stream)  # The session ends; `end` will say why.
            raise
        except StreamBroken as error:
            reason = str(error)
        except (DecodeError, PeerError) as error:
            reason = str(error)
            raise
        finally:
            # A newer stream may have taken this one's place; then its requests are not ours.
            if self._drop(stream):
                self._fail_all(reason)

    def _take(self, message: SyncMessage) -> None:
        if not isinstance(message, Answer | WarpAnswer | StateAnswer | Refusal):
            raise NonsenseReceived(f"a {type(message).__name__} where an answer was expected")
        waiting = self._waiting.get(message.number)
        if waiting is None:
            return  # Too late, or cancelled.
        if isinstance(message, Refusal):
            waiting.failure = f"refused: {message.reason}"
        else:
            waiting.answer = message
        waiting.event.set()

    def _drop(self, stream: ByteStream) -> bool:
        stream.end()
        is_ours = self._stream is stream
        if is_ours:
            self._stream = None
        return is_ours

    def _fail_all(self, reason: str) -> None:
        for waiting in self._waiting.values():
            if not waiting.event.is_set():
                waiting.failure = reason
                waiting.event.set()


class _Waiting:
    def __init__(self) -> None:
        self.event = trio.Event()
        self.answer: SyncMessage | None = None
        self.failure: str | None = None


class RequestServer:
    """Peers' requests to us. One for the whole node."""

    def __init__(self, provider: BlockProvider, counts: Counter[str]) -> None:
        self._provider = provider
        self._counts = counts
        self._at_once = trio.CapacityLimiter(SERVED_AT_ONCE)

    async def serve(self, stream: ByteStream) -> None:
        """Answer the requests of one stream until the peer ends it. Raises `PeerError`."""
        reader = FrameReader(stream, REQUEST_BYTES_MAX)
        bucket = TokenBucket(SERVED_PER_SECOND, burst=SERVED_PER_SECOND)
        try:
            while (payload := await reader.next()) is not None:
                request = _decode_request(payload)
                await bucket.take(1 if isinstance(request, Request) else PROOF_COST)
                async with self._at_once:
                    with trio.move_on_after(ANSWER_WRITE_SECONDS_MAX) as scope:
                        await stream.write(frame(self._answer(request)))
                if scope.cancelled_caught:
                    raise PeerError("does not read the answer it asked for")
                self._counts["requests_served"] += 1
        except StreamBroken:
            # The peer gave a request up in the middle; it may open another stream.
            return
        finally:
            stream.end()

    def _answer(self, request: _Request) -> bytes:
        found: SyncMessage | None
        try:
            match request:
                case Request():
                    return self._blocks(request)
                case WarpRequest():
                    proof = self._provider.warp_proof(request.begin)
                    found = None if proof is None else WarpAnswer(request.number, proof)
                case StateRequest():
                    items = self._provider.state_range(request.block_hash, request.after)
                    found = None if items is None else StateAnswer(request.number, list(items))
            encoded = b"" if found is None else found.encode()
        except Exception:
            # Whatever ails our database, a peer must not be able to end the node by asking.
            log.exception("A request could not be answered: %s", request)
            self._counts["handler_errors"] += 1
            return Refusal(request.number, "an error of the serving node").encode()
        if found is None:
            return Refusal(request.number, "the block, or its state, is not kept here").encode()
        if len(encoded) > ANSWER_BYTES_MAX:
            return Refusal(request.number, "the answer is too large to send").encode()
        return encoded

    def _blocks(self, request: Request) -> bytes:
        blocks = list(self._provider.blocks(request.blocks))
        while len(encoded := Answer(request.number, blocks).encode()) > ANSWER_BYTES_MAX:
            if len(blocks) == 1:
                return Refusal(request.number, "the block is too large to send").encode()
            blocks = blocks[: len(blocks) // 2]
        return encoded


def _unasked(answer: SyncMessage) -> PeerError:
    return NonsenseReceived(f"a {type(answer).__name__} to another kind of request")


def _decode_request(payload: bytes) -> _Request:
    with suppress(DecodeError):
        message = SyncMessage.decode(payload)
        if isinstance(message, Request | WarpRequest | StateRequest):
            return message
    raise NonsenseReceived(f"{len(payload)} bytes that are no request")
