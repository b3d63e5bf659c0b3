"""Links and streams in memory, for sessions on a simulated clock."""

import math

import trio

from p2p.streams import StreamBroken
from tests.p2p.nets import NOTIFY, SYNC


class _Pipe:
    def __init__(self, window: float) -> None:
        self.window = window
        self.data = bytearray()
        self.is_ended = False
        self.changed = trio.lowlevel.ParkingLot()

    def end(self) -> None:
        self.is_ended = True
        self.changed.unpark_all()

    async def put(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        while len(self.data) >= self.window and not self.is_ended:
            await self.changed.park()
        if self.is_ended:
            raise StreamBroken("ended")
        self.data += data
        self.changed.unpark_all()

    async def take(self) -> bytes:
        await trio.lowlevel.checkpoint()
        while not self.data and not self.is_ended:
            await self.changed.park()
        data = bytes(self.data)
        self.data.clear()
        self.changed.unpark_all()
        return data


class MemoryStream:
    """One end of a stream."""

    def __init__(self, incoming: _Pipe, outgoing: _Pipe) -> None:
        self.incoming, self.outgoing = incoming, outgoing

    async def read(self) -> bytes:
        """Some bytes; empty at the end."""
        return await self.incoming.take()

    async def write(self, data: bytes) -> None:
        """All of `data`, once less than the window waits to be read."""
        await self.outgoing.put(data)

    def end(self) -> None:
        """End both ways."""
        self.incoming.end()
        self.outgoing.end()


def stream_pair(window: float = math.inf) -> tuple[MemoryStream, MemoryStream]:
    """Two ends; a write waits while `window` bytes are unread."""
    one, other = _Pipe(window), _Pipe(window)
    return MemoryStream(one, other), MemoryStream(other, one)


class MemoryLink:
    """One end of a connection."""

    def __init__(self, peer: bytes, is_inbound: bool, window: float) -> None:
        self.peer = peer
        self.is_inbound = is_inbound
        self.remote_ip = "127.0.0.1"
        self.window = window
        self.speaks = [NOTIFY, SYNC]
        self.streams: list[MemoryStream] = []
        self.to_other: trio.MemorySendChannel[tuple[str, MemoryStream]]
        self.incoming: trio.MemoryReceiveChannel[tuple[str, MemoryStream]]
        self.is_closed = False

    async def open_stream(self, protocol: str) -> MemoryStream:
        """A stream to the other end."""
        mine, theirs = stream_pair(self.window)
        self.streams += [mine, theirs]
        await self.to_other.send((protocol, theirs))
        return mine

    async def next_stream(self) -> tuple[str, MemoryStream]:
        """A stream of the other end."""
        try:
            return await self.incoming.receive()
        except trio.EndOfChannel:
            raise StreamBroken("closed") from None

    def spoken_protocols(self) -> list[str]:
        """As identify would tell."""
        return self.speaks

    async def close(self) -> None:
        """End everything."""
        self.is_closed = True
        self.to_other.close()
        for stream in self.streams:
            stream.end()


def link_pair(
    dialler: bytes, listener: bytes, window: float = math.inf
) -> tuple[MemoryLink, MemoryLink]:
    """The dialler's end and the listener's end of a connection."""
    outbound = MemoryLink(listener, False, window)
    inbound = MemoryLink(dialler, True, window)
    outbound.to_other, inbound.incoming = trio.open_memory_channel[tuple[str, MemoryStream]](4)
    inbound.to_other, outbound.incoming = trio.open_memory_channel[tuple[str, MemoryStream]](4)
    return outbound, inbound
