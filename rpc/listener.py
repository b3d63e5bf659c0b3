"""Sockets of the RPC server: the listening ones, and those of clients.

Trio's own streams give other tasks a turn before and after each system call, which costs more than
a cheap method does. Here a task waits once, until there is something to read, and small replies
are sent without waiting at all.
"""

import errno
import logging
import socket
from collections.abc import Callable, Sequence

import trio

from rpc.readiness import Readiness

READ_BYTES = 64 << 10
SEND_BUFFER_BYTES = 256 << 10  # what the kernel may hold for one client that does not read
BACKLOG_MIN = 128  # connections waiting to be accepted
BACKLOG_MAX = 4_096  # the usual bound of Linux
ACCEPTS_PER_TURN = 64  # then other tasks get a turn
EXHAUSTED_PAUSE_S = 0.1  # as trio's own: until a file or memory may be free again
EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS))

logger = logging.getLogger("rpc")


class PortInUse(Exception):
    """Another process listens on the port."""

    def __init__(self, host: str, port: int, flag: str) -> None:
        super().__init__(
            f"Port {port} on {host} is in use by another process. "
            f"Stop it, or pass {flag} {port + 1}."
        )
        self.port = port


async def open_listeners(
    host: str, port: int, flag: str, backlog: int = BACKLOG_MIN
) -> Sequence[trio.SocketListener]:
    """Listen on TCP. Raises `PortInUse`, which advises another value for `flag`."""
    backlog = min(max(backlog, BACKLOG_MIN), BACKLOG_MAX)
    try:
        return await trio.open_tcp_listeners(port, host=host, backlog=backlog)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(host, port, flag) from None
        raise


def port_of(listener: trio.SocketListener) -> int:
    """The port a listener was given."""
    address: tuple[str, int] = listener.socket.getsockname()[:2]
    return address[1]


class ClientSocket(trio.abc.HalfCloseableStream):
    """The server's end of a connection. One task reads, and one writes, at a time."""

    __slots__ = ("_reader", "_readiness", "_socket")

    def __init__(self, plain: socket.socket, readiness: Readiness) -> None:
        self._socket = plain
        self._readiness = readiness
        plain.setblocking(False)
        self._reader = readiness.add(plain.fileno())
        try:
            # Replies are whole: waiting for more would only delay them.
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        except OSError:
            pass  # the client is gone already; reading tells

    @property
    def address(self) -> str:
        """The client's IP address; empty when it is gone already."""
        try:
            return str(self._socket.getpeername()[0])
        except OSError:
            return ""

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """What has come, at least a byte; nothing at the end. Always gives others a turn."""
        wanted = max_bytes or READ_BYTES
        while True:
            await self._reader.wait()
            try:
                data = self._socket.recv(wanted)
            except BlockingIOError:
                continue
            except OSError as error:
                raise trio.BrokenResourceError from error
            if len(data) == wanted:
                self._reader.expect_more()
            return data

    def send_now(self, data: bytes) -> int:
        """How many bytes could be sent at once. Raises `trio.BrokenResourceError`."""
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise trio.BrokenResourceError from error

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send everything."""
        await trio.lowlevel.checkpoint()
        with memoryview(data) as view:
            sent = 0
            while sent < len(view):
                try:
                    sent += self._socket.send(view[sent:])
                except BlockingIOError:
                    await trio.lowlevel.wait_writable(self._socket)
                except OSError as error:
                    raise trio.BrokenResourceError from error

    async def wait_send_all_might_not_block(self) -> None:
        """Until there is room."""
        await trio.lowlevel.wait_writable(self._socket)

    async def send_eof(self) -> None:
        """Say that nothing more will be sent."""
        await trio.lowlevel.checkpoint()
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise trio.BrokenResourceError from error

    async def aclose(self) -> None:
        """Close."""
        self.close()
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """Close without giving others a turn."""
        if self._socket.fileno() >= 0:
            self._readiness.remove(self._socket.fileno())
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()


async def accept_clients(
    listener: trio.SocketListener, readiness: Readiness, take: Callable[[ClientSocket], None]
) -> None:
    """Hand each client that connects to `take`, until cancelled."""
    with socket.socket(fileno=listener.socket.detach()) as listening:
        listening.setblocking(False)
        while True:
            await trio.lowlevel.wait_readable(listening)
            try:
                for _ in range(ACCEPTS_PER_TURN):
                    take(ClientSocket(listening.accept()[0], readiness))
            except BlockingIOError:
                continue
            except OSError as error:
                if error.errno not in EXHAUSTED:
                    continue  # this client went before it was accepted
                logger.warning("Cannot accept RPC clients at the moment: %s", error.strerror)
                await trio.sleep(EXHAUSTED_PAUSE_S)
