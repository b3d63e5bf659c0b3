"""What the protocols need of a transport: links to authenticated peers, and streams of bytes.

`host.py` gives them over libp2p. Nothing here knows libp2p, so that the protocols can be read, and
tested, without it.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

from p2p.identity import PeerAddress, PeerId
from p2p.ports import PeerError


class StreamBroken(PeerError):
    """A stream or its link is closed, reset, or cannot be opened."""


class ProtocolUnknown(StreamBroken):
    """The peer does not speak the protocol a stream was opened for."""


class ByteStream(Protocol):
    """Bytes both ways, in order. Cancelling a read or a write in the middle breaks the stream."""

    async def read(self) -> bytes:
        """Some bytes, at least one; empty when the peer ended the stream. `StreamBroken`."""
        ...

    async def write(self, data: bytes) -> None:
        """Send all of it, waiting for the peer to take it. `StreamBroken`."""
        ...

    def end(self) -> None:
        """We are done with the stream; the transport forgets it."""
        ...


class Link(Protocol):
    """A connection to a peer whose identity is proved. Streams are opened by either side."""

    @property
    def peer(self) -> PeerId:
        """Who is at the other end."""
        ...

    @property
    def is_inbound(self) -> bool:
        """Whether the peer dialled us."""
        ...

    @property
    def remote_ip(self) -> str | None:
        """Where the peer's packets come from, as far as the system tells."""
        ...

    async def open_stream(self, protocol: str) -> ByteStream:
        """A new stream for a protocol. `ProtocolUnknown` or `StreamBroken`."""
        ...

    async def next_stream(self) -> tuple[str, ByteStream]:
        """The next stream the peer opens, and for which protocol. `StreamBroken` at the end."""
        ...

    def spoken_protocols(self) -> list[str]:
        """What the peer says it speaks, as far as it has told."""
        ...

    async def close(self) -> None:
        """Close the connection at once, without waiting for the peer."""
        ...


class Transport(Protocol):
    """Listens and dials."""

    @property
    def port(self) -> int:
        """Where it listens, once it does."""
        ...

    async def dial(self, address: PeerAddress) -> Link:
        """Connect to a peer. Raises `PeerError`."""
        ...


Admission = Callable[[PeerId, bool, str | None], str | None]
"""Asked about each new link (peer, whether inbound, its IP): why it is refused, or None."""

LinkHandler = Callable[[Link], Awaitable[None]]
