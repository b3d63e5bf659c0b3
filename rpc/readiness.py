"""Tells tasks that their client has sent something: one epoll for all connections.

Trio registers a socket anew for each wait, which costs as much as the reading itself. Here a socket
is registered once, edge-triggered: one task waits for the set as a whole and wakes the readers.

An edge comes once. So a reader that may have left something behind is ready without one, and after
the client's last word (end of stream, error) it stays ready.
"""

import select

import outcome
import trio

EVENTS_PER_TURN = 256  # then the readers get their turn
_LAST_WORD = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
_EDGES = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET


class Reader:
    """What one task waits for. Never more than one task at a time."""

    def __init__(self) -> None:
        self._is_ready = False
        self._is_over = False
        self._task: trio.lowlevel.Task | None = None

    async def wait(self) -> None:
        """Until there may be something to read. Always gives others a turn."""
        if self._is_ready:
            self._is_ready = self._is_over
            await trio.lowlevel.checkpoint()
            return
        assert self._task is None, "two tasks read from one client"
        self._task = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._abort)
        self._is_ready = self._is_over

    def expect_more(self) -> None:
        """The last reading may have left something behind."""
        self._is_ready = True

    def wake(self, is_last_word: bool) -> None:
        """Something came."""
        self._is_ready = True
        self._is_over = self._is_over or is_last_word
        if self._task is not None:
            task, self._task = self._task, None
            trio.lowlevel.reschedule(task)

    def close(self) -> None:
        """The socket is being closed under a waiting task."""
        if self._task is not None:
            task, self._task = self._task, None
            trio.lowlevel.reschedule(task, outcome.Error(trio.ClosedResourceError()))

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED


class Readiness:
    """All connections of a server."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._readers: dict[int, Reader] = {}

    def add(self, fd: int) -> Reader:
        """A new connection."""
        reader = self._readers[fd] = Reader()
        self._epoll.register(fd, _EDGES)
        return reader

    def remove(self, fd: int) -> None:
        """A connection that is being closed."""
        reader = self._readers.pop(fd, None)
        if reader is not None:
            self._epoll.unregister(fd)
            reader.close()

    async def run(self) -> None:
        """Wake readers until cancelled."""
        try:
            while True:
                await trio.lowlevel.wait_readable(self._epoll.fileno())
                for fd, flags in self._epoll.poll(0, EVENTS_PER_TURN):
                    reader = self._readers.get(fd)
                    if reader is not None:
                        reader.wake(bool(flags & _LAST_WORD))
        finally:
            self._epoll.close()
            self._readers.clear()
