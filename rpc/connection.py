"""What methods keep for one connection between its calls, and what they do after a reply.

Most methods need neither. Those of `chainHead_v1` refer to a subscription of the same connection,
and an operation they start must not be heard of before the reply that names it.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar, cast

from rpc.jsonrpc import INTERNAL_ERROR, RpcError
from rpc.subscriptions import ChainFeed

Job = Callable[[], Awaitable[None]]


class Kept(Protocol):
    """Something that ends with the connection. Made without arguments when first asked for."""

    def close(self) -> None:
        """The connection ended."""
        ...


K = TypeVar("K", bound=Kept)


class Connection:
    """What is kept, one of each kind, for as long as the connection lives."""

    def __init__(self, feed: ChainFeed, start: Callable[[Job], None] | None) -> None:
        self.feed = feed
        self._start = start
        self._kept: dict[type, Kept] = {}

    @property
    def can_wait(self) -> bool:
        """Whether tasks can run for it: not for a single HTTP request."""
        return self._start is not None

    def start(self, job: Job) -> None:
        """Run a task for as long as the connection lives."""
        if self._start is None:
            raise RpcError(INTERNAL_ERROR, "Internal error", "this needs a WebSocket")
        self._start(job)

    def of(self, kind: type[K]) -> K:
        """What is kept of this kind."""
        found = self._kept.get(kind)
        if found is None:
            found = self._kept[kind] = kind()
        return cast(K, found)  # the key says what it is

    def close(self) -> None:
        """The connection ended."""
        for kept in self._kept.values():
            kept.close()
        self._kept.clear()


class Call:
    """The call that is being answered."""

    def __init__(self, connection: Connection, after: list[Callable[[], None]]) -> None:
        self.connection = connection
        self._after = after

    def after_reply(self, job: Job) -> None:
        """Start a task of the connection as soon as the reply is on its way."""
        self._after.append(lambda: self.connection.start(job))
