"""One peer, from the exchange of statuses to the end of its link.

A session reads and writes the notification stream, serves and makes requests, and finds out when
the peer is no longer there: whoever was silent for `ping_after_s` is asked, and must say something
within `pong_within_s`. Nothing a peer does can block the others: what we have to tell it waits in a
bounded queue, and a peer that does not read is disconnected when the queue is full.

Invariant: `run` returns, with the reason in `ended`, whatever happens; no exception escapes but
cancellation.
"""

import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import trio

from p2p import messages
from p2p.frames import FrameError, FrameReader, frame
from p2p.messages import NOTIFICATION_BYTES_MAX, Message, Status
from p2p.peers import BAD_FRAME, UNDECODABLE
from p2p.ports import PeerError
from p2p.rate import TokenBucket
from p2p.streams import ByteStream, Link
from p2p.sync import NonsenseReceived, RequestClient, RequestServer
from runtime.primitives.scale import DecodeError
from runtime.primitives.types import Hash

log = logging.getLogger("p2p")

QUEUE_MESSAGES_MAX = 1_024  # ten minutes of votes and announces
QUEUE_BYTES_MAX = 8 << 20
WRITE_BYTES = 64 << 10  # written at once: one Yamux frame
WRITE_SECONDS_MAX = 15.0

# What a peer may send, on average and at once; beyond it is read more slowly.
MESSAGES_PER_SECOND, MESSAGES_BURST = 500.0, 2_000.0
BYTES_PER_SECOND, BYTES_BURST = float(4 << 20), float(16 << 20)
EXTRINSICS_PER_SECOND, EXTRINSICS_BURST = 1_000.0, 8_192.0  # a full pool at once

SERVED_STREAMS_MAX = 2  # the second while the end of the first is on its way

LATE_S = 2.0  # a timer that fires so late tells that we were asleep, not that the peer is


class WrongGenesis(PeerError):
    """The peer is a node of another chain."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a session waits for what. Tests wait less."""

    handshake_s: float = 10.0
    ping_after_s: float = 10.0
    pong_within_s: float = 10.0
    request_s: float = 18.0
    """A little less than the 20 s after which the core gives a request up."""


@dataclass(frozen=True, slots=True)
class Meeting:
    """A finished exchange of statuses."""

    stream: ByteStream
    reader: FrameReader
    status: Status


async def meet(link: Link, protocol: str, own: Status, timing: Timing) -> Meeting:
    """Exchange statuses: the dialler opens the stream, both write at once. Raises `PeerError`."""
    with trio.move_on_after(timing.handshake_s):
        if link.is_inbound:
            name, stream = await link.next_stream()
            if name != protocol:
                raise PeerError("made a request before it said who it is")
        else:
            stream = await link.open_stream(protocol)
        await stream.write(frame(own.encode()))
        reader = FrameReader(stream, NOTIFICATION_BYTES_MAX)
        payload = await reader.next()
        if payload is None:
            raise PeerError("closed the stream before it said who it is")
        return Meeting(stream, reader, _checked_status(payload, own.genesis))
    raise PeerError(f"no status within {timing.handshake_s:.0f} s")


def _checked_status(payload: bytes, genesis: Hash) -> Status:
    try:
        status = Message.decode(payload)
    except DecodeError as error:
        raise NonsenseReceived(f"its status cannot be decoded: {error}") from error
    if not isinstance(status, Status):
        raise NonsenseReceived(f"a {type(status).__name__} where a status was expected")
    if status.genesis != genesis:
        raise WrongGenesis(
            f"is on the chain with genesis 0x{status.genesis.hex()}, ours is 0x{genesis.hex()}"
        )
    return status


Deliver = Callable[["Session", Message], Awaitable[None]]
Report = Callable[[bytes, int, str], None]


class Session:
    """A peer we have exchanged statuses with."""

    def __init__(
        self,
        link: Link,
        meeting: Meeting,
        sync_protocol: str,
        server: RequestServer,
        counts: Counter[str],
        timing: Timing,
    ) -> None:
        self.link = link
        self.peer = link.peer
        self.status = meeting.status
        self.best_hash = meeting.status.best_hash
        self.best_number = meeting.status.best_number
        self.ended: str | None = None
        """Why, once it is over or about to be."""

        self.finished = trio.Event()
        """Set by the owner when nothing of this session will be heard any more."""

        self._stream = meeting.stream
        self._reader = meeting.reader
        self._sync_protocol = sync_protocol
        self._server = server
        self._counts = counts
        self._timing = timing
        self._scope = trio.CancelScope()
        self._queue: deque[bytes] = deque()
        self._queue_bytes = 0
        self._work = trio.Event()
        self._requests: RequestClient | None = None
        self._serving = 0
        self._is_delivering = False
        self._is_introduced = False
        self._doubted = trio.Event()

    async def run(self, deliver: Deliver, report: Report) -> None:
        """Talk to the peer until it or we end it."""
        with self._scope:
            async with trio.open_nursery() as nursery:
                self._requests = RequestClient(
                    self.link,
                    self._sync_protocol,
                    self._timing.request_s,
                    lambda read, stream: nursery.start_soon(self._guard, report, read, stream),
                )
                nursery.start_soon(self._guard, report, self._read, deliver)
                nursery.start_soon(self._guard, report, self._write)
                nursery.start_soon(self._guard, report, self._watch)
                nursery.start_soon(self._guard, report, self._accept, nursery, report)
        self.close("the link is closed")
        if self._requests is not None:
            self._requests.end(f"disconnected: {self.ended}")
        self._queue.clear()

    def close(self, reason: str, counted_as: str | None = None) -> None:
        """End the session; the first reason counts."""
        if self.ended is None:
            self.ended = reason
            if counted_as is not None:
                self._counts[counted_as] += 1
        self._scope.cancel()

    def send(self, framed: bytes) -> None:
        """Queue a frame. A peer that has let the queue fill up is disconnected."""
        if self.ended is not None:
            return
        if (
            len(self._queue) >= QUEUE_MESSAGES_MAX
            or self._queue_bytes + len(framed) > QUEUE_BYTES_MAX
        ):
            self.close(f"does not read: {len(self._queue)} messages wait for it", "slow_peers")
            return
        self._queue.append(framed)
        self._queue_bytes += len(framed)
        self._work.set()

    def doubt(self) -> None:
        """Ask the peer for a sign of life now: there is a hint that it has lost this link."""
        self._doubted.set()

    @property
    def requests(self) -> RequestClient:
        """What asks the peer for blocks, proofs and states. Raises `PeerError`."""
        if self._requests is None or self.ended is not None:
            raise PeerError(f"disconnected: {self.ended}")
        return self._requests

    # --- tasks

    async def _guard(
        self, report: Report, task: Callable[..., Awaitable[None]], *args: object
    ) -> None:
        try:
            await task(*args)
        except (DecodeError, NonsenseReceived, FrameError) as error:
            self.close(str(error), "bad_messages")
            is_frame = isinstance(error, FrameError)
            report(self.peer, BAD_FRAME if is_frame else UNDECODABLE, str(error))
        except PeerError as error:
            self.close(str(error))
        except Exception:
            log.exception("Peer %s is disconnected by an error of ours", self.peer.hex())
            self.close("an error of ours", "handler_errors")

    async def _read(self, deliver: Deliver) -> None:
        counts = self._counts
        by_message = TokenBucket(MESSAGES_PER_SECOND, MESSAGES_BURST)
        by_byte = TokenBucket(BYTES_PER_SECOND, BYTES_BURST)
        by_extrinsic = TokenBucket(EXTRINSICS_PER_SECOND, EXTRINSICS_BURST)
        while (payload := await self._reader.next()) is not None:
            counts["messages_in"] += 1
            counts["bytes_in"] += len(payload) + 4
            message = Message.decode(payload)
            self._is_delivering = True
            await by_message.take(1)
            await by_byte.take(len(payload))
            if isinstance(message, messages.Transactions):
                await by_extrinsic.take(len(message.extrinsics))
            await self._take(message, deliver)
            self._is_delivering = False
        raise PeerError("closed the stream")

    async def _take(self, message: Message, deliver: Deliver) -> None:
        match message:
            case messages.Ping():
                self.send(frame(messages.Pong(message.number).encode()))
            case messages.Pong():
                pass
            case Status():
                raise NonsenseReceived("a second status")
            case messages.Addresses() if self._is_introduced:
                raise NonsenseReceived("addresses a second time")
            case messages.Addresses():
                self._is_introduced = True
                await deliver(self, message)
            case messages.BlockAnnounce(header=header, is_best=True):
                self.best_hash, self.best_number = header.hash(), header.number
                await deliver(self, message)
            case _:
                await deliver(self, message)

    async def _write(self) -> None:
        while True:
            while self._queue:
                count, size = self._batch()
                data = b"".join([self._queue.popleft() for _ in range(count)])
                with trio.move_on_after(WRITE_SECONDS_MAX) as scope:
                    await self._stream.write(data)
                if scope.cancelled_caught:
                    self.close(f"does not read for {WRITE_SECONDS_MAX:.0f} s", "slow_peers")
                    return
                self._queue_bytes -= size
                self._counts["messages_out"] += count
                self._counts["bytes_out"] += size
            self._work = trio.Event()
            await self._work.wait()

    def _batch(self) -> tuple[int, int]:
        count, size = 0, 0
        for framed in self._queue:
            if count and size + len(framed) > WRITE_BYTES:
                break
            count, size = count + 1, size + len(framed)
        return count, size

    async def _watch(self) -> None:
        ping_after, pong_within = self._timing.ping_after_s, self._timing.pong_within_s
        number = 0
        while True:
            silent_until = self._reader.heard_at + ping_after
            if trio.current_time() < silent_until and not self._doubted.is_set():
                with trio.move_on_at(silent_until):
                    await self._doubted.wait()
                continue
            self._doubted = trio.Event()
            number = (number + 1) % (1 << 32)
            self.send(frame(messages.Ping(number).encode()))
            asked_at = trio.current_time()
            await trio.sleep(pong_within)
            is_late = trio.current_time() - asked_at > pong_within + LATE_S
            is_alive = self._reader.heard_at >= asked_at
            if not (is_alive or is_late or self._is_delivering):
                self.close(f"no sign of life for {ping_after + pong_within:.0f} s", "silent_peers")
                return

    async def _accept(self, nursery: trio.Nursery, report: Report) -> None:
        while True:
            protocol, stream = await self.link.next_stream()
            if protocol != self._sync_protocol or self._serving == SERVED_STREAMS_MAX:
                stream.end()
                raise PeerError(f"opened one stream too many of {protocol}")
            self._serving += 1
            nursery.start_soon(self._guard, report, self._serve, stream)

    async def _serve(self, stream: ByteStream) -> None:
        try:
            await self._server.serve(stream)
        finally:
            self._serving -= 1
