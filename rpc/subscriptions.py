"""Subscriptions: their ids, where their values go, and what happens to slow clients.

One task (`ChainFeed`) takes the chain's events off a bounded queue and hands each to the
subscribers, who only append to the bounded `Outbox` of their connection. Nobody waits for a
client: a connection whose outbox is full when a notification arrives is cut and counted.

Invariant: the reply to a subscribe call precedes its first notification. polkadot.js keeps only
the last of several early notifications, so an early first head would be lost.
"""

import secrets
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

import trio

from rpc.encoding import header_json
from rpc.jsonrpc import encode_value, open_notification
from rpc.ports import BestChanged, BlockImported, ChainEvent, ChainPort, Json
from runtime.primitives.block import Header
from runtime.primitives.types import Hash

if TYPE_CHECKING:
    from rpc.connection import Connection

FEED_EVENTS_MAX = 1_024  # half an hour of blocks; more only pile up when the loop stands still
FEED_CHECKPOINT_EVERY = 128  # subscribers served, in about a millisecond, before others' turn
OUTBOX_BYTES_MAX = 4 << 20  # then no more is taken; the last message may be a largest reply
PENDING_PER_SUBSCRIPTION = 16  # as in polkadot-sdk; a block may concern all of a client at once


class Outbox:
    """Messages on their way to one client: bounded in number and in bytes."""

    def __init__(self, messages_max: int) -> None:
        self._messages_max = messages_max
        self._queue: deque[bytes] = deque()
        self._bytes = 0
        self._is_closed = False
        self._has_room = trio.lowlevel.ParkingLot()

    @property
    def is_closed(self) -> bool:
        """Whether it takes no more messages."""
        return self._is_closed

    def offer(self, message: bytes, subscriptions: int = 0) -> bool:
        """Append unless messages or bytes are at their bound; False then.

        `subscriptions`: how many the client has, each of which may have some messages waiting.
        """
        messages_max = self._messages_max + subscriptions * PENDING_PER_SUBSCRIPTION
        if len(self._queue) >= messages_max or self._bytes >= OUTBOX_BYTES_MAX or self._is_closed:
            return False
        self._append(message)
        return True

    async def wait_for_room(self) -> None:
        """Until there is room for a message."""
        while self._is_full() and not self._is_closed:
            await self._has_room.park()

    def discard(self) -> None:
        """Forget what is queued: nobody will send it, and it may be large."""
        self._queue.clear()
        self._bytes = 0

    async def put(self, message: bytes) -> None:
        """Append, waiting for room. A closed outbox swallows the message."""
        while self._is_full() and not self._is_closed:
            await self._has_room.park()
        if not self._is_closed:
            self._append(message)

    def take(self, bytes_max: int) -> list[bytes]:
        """What is queued, up to `bytes_max` but at least one message. Makes room for others."""
        taken: list[bytes] = []
        size = 0
        while self._queue and (not taken or size + len(self._queue[0]) <= bytes_max):
            message = self._queue.popleft()
            size += len(message)
            taken.append(message)
        self._bytes -= size
        self._has_room.unpark_all()
        return taken

    def close(self, last: bytes = b"") -> None:
        """Take no more messages; what is queued, and `last`, is still sent."""
        if self._is_closed:
            return
        if last:
            self._append(last)
        self._is_closed = True
        self._has_room.unpark_all()

    def _is_full(self) -> bool:
        return len(self._queue) >= self._messages_max or self._bytes >= OUTBOX_BYTES_MAX

    def _append(self, message: bytes) -> None:
        self._queue.append(message)
        self._bytes += len(message)


class Client(Protocol):
    """What a sink needs of its connection."""

    @property
    def notify(self) -> Callable[[bytes], None]:
        """Queues a notification, or cuts the connection when its queue is full."""
        ...

    async def deliver(self, message: bytes) -> None:
        """Queue a notification once there is room."""
        ...

    def start(self, job: Callable[[], Awaitable[None]]) -> None:
        """Run a task for as long as the connection lives."""
        ...

    def forget(self, sink: "Sink") -> None:
        """The subscription ended by itself."""
        ...

    @property
    def feed(self) -> "ChainFeed":
        """Where heads come from."""
        ...

    @property
    def connection(self) -> "Connection":
        """What methods keep for this client."""
        ...


class Sink:
    """One subscription of one client."""

    __slots__ = (
        "_client", "_held", "_held_max", "_is_closed", "_is_finished", "_jobs", "_notify",
        "_on_close", "_opening", "_scopes", "id", "notification",
    )  # fmt: skip

    def __init__(self, client: Client, notification: str, held_max: int) -> None:
        self.id = secrets.token_urlsafe(12)
        self.notification = notification
        self._opening = open_notification(notification, self.id)
        self._client = client
        self._notify = client.notify
        self._held: list[bytes] | None = []
        self._held_max = held_max
        self._jobs: list[Callable[[], Awaitable[None]]] = []
        self._on_close: list[Callable[[], None]] = []
        self._scopes: set[trio.CancelScope] = set()
        self._is_closed = False
        self._is_finished = False

    @property
    def connection(self) -> "Connection":
        """What is kept for the connection."""
        return self._client.connection

    @property
    def feed(self) -> "ChainFeed":
        """Where heads come from."""
        return self._client.feed

    def send(self, result: Json) -> None:
        """Notify the client."""
        self.send_encoded(encode_value(result))

    def send_notice(self, notice: "Notice") -> None:
        """Notify the client of a head."""
        if self._held is None and not self._is_closed and not self._is_finished:
            self._notify(b"%b%b}}" % (self._opening, notice.encoded))
        else:
            self.send_encoded(notice.encoded)

    def send_encoded(self, result: bytes) -> None:
        """Notify the client with JSON made once for many."""
        if self._is_closed or self._is_finished:
            return
        message = b"%b%b}}" % (self._opening, result)
        if self._held is None:
            self._notify(message)
        elif len(self._held) < self._held_max:
            self._held.append(message)

    async def deliver(self, result: Json) -> None:
        """Notify the client from a task of this subscription, waiting until there is room."""
        assert self._held is None, "tasks run from the reply on"
        if not self._is_closed and not self._is_finished:
            await self._client.deliver(b"%b%b}}" % (self._opening, encode_value(result)))

    def on_close(self, callback: Callable[[], None]) -> None:
        """Call back once when the subscription ends, for whatever reason."""
        if self._is_closed:
            callback()
        else:
            self._on_close.append(callback)

    def run(self, job: Callable[[], Awaitable[None]]) -> None:
        """Run a task from the reply on until the subscription ends."""
        if self._held is not None:
            self._jobs.append(job)
        elif not self._is_closed:
            self._client.start(partial(self._scoped, job))

    def open(self) -> None:
        """The reply is out: send what was held back and start the tasks."""
        held, self._held = self._held, None
        if self._is_closed:
            return
        for message in held or ():
            self._notify(message)
        for job in self._jobs:
            self._client.start(partial(self._scoped, job))
        if self._is_finished:
            self._client.forget(self)

    def finish(self) -> None:
        """Nothing follows: free the place once all is sent."""
        self._is_finished = True
        if self._held is None:
            self._client.forget(self)

    def close(self) -> None:
        """End the subscription. Calling it twice is harmless."""
        if self._is_closed:
            return
        self._is_closed = True
        for scope in list(self._scopes):
            scope.cancel()
        for callback in self._on_close:
            callback()

    async def _scoped(self, job: Callable[[], Awaitable[None]]) -> None:
        if self._is_closed:
            return
        with trio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                await job()
            finally:
                self._scopes.discard(scope)


@dataclass(slots=True)
class Notice:
    """A head, with its JSON made at most once for all subscribers."""

    hash: Hash
    header: Header
    _encoded: bytes | None = None

    @property
    def encoded(self) -> bytes:
        """The header's JSON."""
        if self._encoded is None:
            self._encoded = encode_value(header_json(self.header))
        return self._encoded


NoticeHandler = Callable[[Notice], None]


@dataclass(frozen=True, slots=True)
class _Subscriber:
    since: int
    handler: NoticeHandler


@dataclass(frozen=True, slots=True)
class _Follower:
    since: int
    handler: Callable[[ChainEvent], None]


class ChainFeed:
    """Heads for all subscribers of a server. Topics: `best`, `all`, `finalized`."""

    def __init__(self, chain: ChainPort) -> None:
        self._chain = chain
        self._queue: deque[tuple[int, ChainEvent]] = deque(maxlen=FEED_EVENTS_MAX)
        self._sequence = 0
        self._wake = trio.Event()
        self._subscribers: defaultdict[str, dict[int, _Subscriber]] = defaultdict(dict)
        self._followers: dict[int, _Follower] = {}
        self._next_key = 0

    async def run(self) -> None:
        """Follow the chain until cancelled."""
        unsubscribe = self._chain.subscribe(self._note)
        try:
            while True:
                await self._wake.wait()
                self._wake = trio.Event()
                while self._queue:
                    await self._deliver(*self._queue.popleft())
        finally:
            unsubscribe()

    def subscribe(self, topic: str, handler: NoticeHandler) -> Callable[[], None]:
        """Call `handler` for each head that comes after this moment; returns how to stop."""
        key = self._next_key
        self._next_key += 1
        subscribers = self._subscribers[topic]
        subscribers[key] = _Subscriber(self._sequence, handler)

        def unsubscribe() -> None:
            subscribers.pop(key, None)

        return unsubscribe

    def follow(self, handler: Callable[[ChainEvent], None]) -> Callable[[], None]:
        """Call `handler` for each event, as it came, after this moment; returns how to stop."""
        key = self._next_key
        self._next_key += 1
        self._followers[key] = _Follower(self._sequence, handler)

        def unsubscribe() -> None:
            self._followers.pop(key, None)

        return unsubscribe

    def _note(self, event: ChainEvent) -> None:
        self._sequence += 1
        self._queue.append((self._sequence, event))
        self._wake.set()

    async def _deliver(self, sequence: int, event: ChainEvent) -> None:
        for follower in list(self._followers.values()):
            if follower.since < sequence:
                follower.handler(event)
        if isinstance(event, BlockImported):
            notice = Notice(event.hash, event.header)
            await self._tell(sequence, "all", notice)
            if event.is_best:
                await self._tell(sequence, "best", notice)
        elif isinstance(event, BestChanged):
            await self._tell(sequence, "best", Notice(event.hash, event.header))
        else:
            for block_hash, header in event.blocks:
                await self._tell(sequence, "finalized", Notice(block_hash, header))

    async def _tell(self, sequence: int, topic: str, notice: Notice) -> None:
        for position, subscriber in enumerate(list(self._subscribers[topic].values()), start=1):
            # Events queued before somebody subscribed are part of the head it was given first.
            if subscriber.since < sequence:
                subscriber.handler(notice)
            if position % FEED_CHECKPOINT_EVERY == 0:
                await trio.lowlevel.checkpoint()
