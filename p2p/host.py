"""The only module that touches py-libp2p: a host on TCP, Noise and Yamux, and nothing else.

libp2p gives identities, encryption and streams. What it does badly is done here instead (measured
with version 0.8.1):

- an exception that leaves a stream handler would end the whole host: handlers never raise;
- an inbound slot is held until the host stops: `_Accepting` gives it back when the link closes;
- `host.connect` waits 250 ms, refuses for a minute after a failure and never dials again: we dial
  addresses directly, and whoever wants to stay connected dials again (`dialer.py`);
- a port of another process is shared silently (SO_REUSEPORT): the option is not set;
- Yamux only logs when a peer sends more than its window: `_BoundedBuffers` end the stream;
- the resource manager, the auto-connector and observed addresses are switched off;
- a close waits for the peer to take a farewell: we close the socket first.

libp2p's background work that remains is one ping and one sweep per connection every 30 s.
"""

import logging
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import trio

from p2p import fastecdsa_shim
from p2p.identity import PeerAddress, PeerId, peer_text
from p2p.ports import ListenError, PeerError
from p2p.streams import Admission, LinkHandler, ProtocolUnknown, StreamBroken

fastecdsa_shim.install()

import libp2p.network.connection.swarm_connection as swarm_connection  # noqa: E402
import libp2p.transport.tcp.tcp as libp2p_tcp  # noqa: E402
from libp2p import new_host  # noqa: E402
from libp2p.crypto.ed25519 import create_new_key_pair  # noqa: E402
from libp2p.crypto.x25519 import create_new_key_pair as create_new_noise_key  # noqa: E402
from libp2p.custom_types import TProtocol  # noqa: E402
from libp2p.network.config import ConnectionConfig, RetryConfig  # noqa: E402
from libp2p.network.connection.raw_connection import RawConnection  # noqa: E402
from libp2p.network.connection.swarm_connection import SwarmConn  # noqa: E402
from libp2p.network.stream.exceptions import StreamEOF  # noqa: E402
from libp2p.network.stream.net_stream import NetStream  # noqa: E402
from libp2p.network.swarm import Swarm  # noqa: E402
from libp2p.peer.id import ID  # noqa: E402
from libp2p.protocol_muxer.exceptions import ProtocolNotSupportedError  # noqa: E402
from libp2p.protocol_muxer.multiselect_client import MultiselectClient  # noqa: E402
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator  # noqa: E402
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE_ID  # noqa: E402
from libp2p.security.noise.transport import Transport as Noise  # noqa: E402
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX_ID  # noqa: E402
from libp2p.stream_muxer.yamux.yamux import Yamux  # noqa: E402
from multiaddr import Multiaddr  # noqa: E402

log = logging.getLogger("p2p")

DIAL_SECONDS_MAX = 10.0
NEGOTIATE_SECONDS_MAX = 10.0
UPGRADE_SECONDS_MAX = 10.0
CLOSE_SECONDS_MAX = 2.0

READ_BYTES = 256 << 10
STREAM_BUFFER_BYTES_MAX = 17 << 20  # Yamux lets a window grow to 16 MiB
STREAMS_PER_LINK_MAX = 16  # two of ours each way, identify, ping; the rest is slack
STREAMS_WAITING_MAX = 4

HANDSHAKES_MAX = 16  # inbound connections that have not said who they are


class HostFailed(Exception):
    """libp2p ended by an error of its own; a new host can be started."""


def _quiet_libp2p() -> None:
    # It reports each ordinary disconnect as an error, some of them to the root logger.
    logger = logging.getLogger("libp2p")
    logger.setLevel(logging.CRITICAL)
    logging.getLogger("libp2p.network.auto_connector").setLevel(logging.NOTSET)
    logging.getLogger("multiaddr").setLevel(logging.CRITICAL)
    setattr(swarm_connection, "logging", logger)  # noqa: B010

    def set_reuse_address(socket: trio.socket.SocketType) -> None:
        socket.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_REUSEADDR, 1)

    setattr(libp2p_tcp, "_set_reuse_flags", set_reuse_address)  # noqa: B010


_quiet_libp2p()


@contextmanager
def _ours(doing: str) -> Generator[None]:
    """Turn what libp2p raises, which is anything, into `StreamBroken`."""
    try:
        yield
    except PeerError:
        raise
    except Exception as error:
        raise StreamBroken(f"{doing}: {type(error).__name__} {error}".rstrip()) from error


class HostStream:
    """`streams.ByteStream` over a libp2p stream."""

    def __init__(self, stream: NetStream) -> None:
        self._stream = stream
        self.ended = trio.Event()

    async def read(self) -> bytes:
        """Some bytes; empty at the end."""
        try:
            return await self._stream.read(READ_BYTES)
        except StreamEOF:
            return b""
        except Exception as error:
            raise StreamBroken(f"reading: {type(error).__name__} {error}".rstrip()) from error

    async def write(self, data: bytes) -> None:
        """All of `data`."""
        with _ours("writing"):
            await self._stream.write(data)

    def end(self) -> None:
        """Let the transport forget the stream."""
        self.ended.set()

    async def reset(self) -> None:
        """Tell the peer that the stream is over, and forget it."""
        self.ended.set()
        with trio.move_on_after(CLOSE_SECONDS_MAX, shield=True):
            try:
                await self._stream.reset()
            except Exception as error:
                log.debug("A stream could not be reset: %s", error)


class HostLink:
    """`streams.Link` over a libp2p connection."""

    def __init__(self, connection: SwarmConn, host: "Host", is_inbound: bool) -> None:
        self.peer: PeerId = connection.muxed_conn.peer_id.to_bytes()
        self.is_inbound = is_inbound
        address = connection.muxed_conn.get_remote_address()
        self.remote_ip = None if address is None else address[0]
        self._connection = connection
        self._host = host
        self._incoming, self._opened = trio.open_memory_channel[tuple[str, HostStream]](
            STREAMS_WAITING_MAX
        )

    async def open_stream(self, protocol: str) -> HostStream:
        """A new stream on this very connection."""
        with _ours("opening a stream"), trio.move_on_after(NEGOTIATE_SECONDS_MAX):
            raw = await self._connection.new_stream()
            stream = HostStream(raw)
            is_open = False
            try:
                client, wire = MultiselectClient(), MultiselectCommunicator(raw)
                await client.handshake(wire)
                await client.try_select(wire, TProtocol(protocol))
                is_open = True
            except ProtocolNotSupportedError as error:
                raise ProtocolUnknown(f"does not speak {protocol}") from error
            finally:
                if not is_open:
                    await stream.reset()
            self._host.reset_when_ended(stream)
            return stream
        raise StreamBroken(f"no stream within {NEGOTIATE_SECONDS_MAX:.0f} s")

    async def next_stream(self) -> tuple[str, HostStream]:
        """The next stream of the peer."""
        try:
            return await self._opened.receive()
        except trio.EndOfChannel:
            raise StreamBroken("the link is closed") from None

    def spoken_protocols(self) -> list[str]:
        """What identify has told of the peer."""
        return self._host.spoken_protocols(self.peer)

    async def hand_over(self, protocol: str, raw: NetStream) -> None:
        """Give a stream of the peer to whoever runs the link; returns when it is done with it."""
        stream = HostStream(raw)
        try:
            self._incoming.send_nowait((protocol, stream))
            await stream.ended.wait()
        except (trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError):
            log.debug("Peer %s opens more streams than it may", peer_text(self.peer))
        finally:
            await stream.reset()

    def note_closed(self) -> None:
        """The connection is gone: nobody waits for its streams any longer."""
        self._incoming.close()

    async def close(self) -> None:
        """Close the socket first: a farewell could wait for ever for a peer that does not read."""
        with trio.move_on_after(CLOSE_SECONDS_MAX, shield=True):
            try:
                await self._connection.muxed_conn.secured_conn.close()
                await self._connection.close()
            except Exception as error:
                log.debug("A connection could not be closed: %s", error)
        self._host.forget(self._connection)


class _BoundedBuffer(bytearray):
    def extend(self, data: Any) -> None:
        if len(self) + len(data) > STREAM_BUFFER_BYTES_MAX:
            # Yamux takes this for a broken read: the stream ends, and with it the session.
            raise BufferError("the peer ignores flow control")
        super().extend(data)


class _BoundedBuffers(dict[int, bytearray]):
    def __setitem__(self, stream_id: int, buffer: bytearray) -> None:
        super().__setitem__(stream_id, _BoundedBuffer(buffer))


class _BoundedYamux(Yamux):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stream_buffers = _BoundedBuffers()


class Host:
    """A libp2p host that lives as long as `run`. Implements `streams.Transport`."""

    def __init__(
        self,
        seed: bytes,
        listen: tuple[str, int],
        protocols: tuple[str, ...],
        links_max: int,
        admit: Admission,
        on_link: LinkHandler,
    ) -> None:
        """`on_link` is called for each inbound link that `admit` lets in; it must not raise."""
        self._listen = listen
        self._admit = admit
        self._on_link = on_link
        self._links: dict[SwarmConn, HostLink] = {}
        self._admitted = WeakKeyDictionary[SwarmConn, trio.Event]()
        self._nursery: trio.Nursery | None = None
        self.port = listen[1]
        key = create_new_key_pair(seed)
        connections_max = links_max + HANDSHAKES_MAX
        self._host = new_host(
            key_pair=key,
            listen_addrs=[self._listen_address()],
            sec_opt={NOISE_ID: Noise(key, noise_privkey=create_new_noise_key().private_key)},
            muxer_opt={TProtocol(YAMUX_ID): _BoundedYamux},
            disable_identify_address_discovery=True,
            connection_config=ConnectionConfig(
                max_connections=connections_max,
                min_connections=0,
                low_watermark=0,
                high_watermark=connections_max,
                auto_connect_interval=3_600.0,
                inbound_upgrade_timeout=UPGRADE_SECONDS_MAX,
                outbound_upgrade_timeout=UPGRADE_SECONDS_MAX,
            ),
        )
        swarm = self._host.get_network()
        assert isinstance(swarm, Swarm), "new_host builds a Swarm"
        self._swarm = swarm
        swarm.set_resource_manager(None)
        swarm.retry_config = RetryConfig(max_retries=0)
        swarm.set_stream_handler(self._contained(swarm.common_stream_handler))
        setattr(swarm, "_do_handle_inbound_connection", self._take_in)  # noqa: B010
        # It would dial whatever identify has ever told, whenever a link closes.
        setattr(swarm.auto_connector, "maybe_connect", trio.lowlevel.checkpoint)  # noqa: B010
        for protocol in protocols:
            self._host.set_stream_handler(TProtocol(protocol), self._on_stream)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen until cancelled. Raises `ListenError` or `HostFailed`."""
        try:
            async with self._host.run([self._listen_address()]), trio.open_nursery() as nursery:
                self._nursery = nursery
                try:
                    self.port = self._bound_port()
                    task_status.started()
                    await self._swarm.manager.wait_finished()
                    raise HostFailed("libp2p stopped")
                finally:
                    self._nursery = None
                    await self._close_all()
        except* ListenError as group:
            raise first_cause(group) from None
        except* Exception as group:
            raise HostFailed(
                str(first_cause(group)) or type(first_cause(group)).__name__
            ) from group

    async def dial(self, address: PeerAddress) -> HostLink:
        """Connect to a peer at an address. Raises `PeerError`."""
        refusal = self._admit(address.peer, False, None)
        if refusal is not None:
            raise PeerError(refusal)
        peer = ID(address.peer)
        with trio.move_on_after(DIAL_SECONDS_MAX):
            try:
                connection = await self._swarm.dial_addr(Multiaddr(address.transport()), peer)
            except Exception as error:
                raise PeerError(f"cannot be reached at {address}: {_cause(error)}") from error
            return self._link(connection, is_inbound=False)
        raise PeerError(f"does not answer at {address} within {DIAL_SECONDS_MAX:.0f} s")

    def spoken_protocols(self, peer: PeerId) -> list[str]:
        """What identify has told of a peer."""
        try:
            return list(self._host.get_peerstore().get_protocols(ID(peer)))
        except Exception:
            return []

    def reset_when_ended(self, stream: HostStream) -> None:
        """Tell the peer when we are done with a stream that we opened."""
        if self._nursery is not None:
            self._nursery.start_soon(_reset_when_ended, stream)

    def forget(self, connection: SwarmConn) -> None:
        """Strike a closed connection off, also when libp2p could not finish closing it."""
        link = self._links.pop(connection, None)
        if link is not None:
            link.note_closed()
        self._swarm.remove_conn(connection)

    # --- inbound

    async def _take_in(self, raw: Any, listener: Multiaddr, _failure: object) -> None:
        """Replaces libp2p's handler, which keeps its slot for ever. Must not raise or return early.

        It runs in a system task, and the socket is closed when it returns.
        """
        try:
            muxed = await self._swarm.upgrade_inbound_raw_conn(RawConnection(raw, False), listener)
            connection = next(
                conn
                for conn in self._swarm.get_connections(muxed.peer_id)
                if conn.muxed_conn is muxed
            )
        except Exception as error:
            log.debug("An inbound connection came to nothing: %s", error)
            with trio.move_on_after(CLOSE_SECONDS_MAX):
                await _closed_quietly(raw)
            return
        link = self._link(connection, is_inbound=True)
        refusal = self._admit(link.peer, True, link.remote_ip)
        if refusal is not None or self._nursery is None:
            log.debug("Peer %s is refused: %s", peer_text(link.peer), refusal)
            await link.close()
            return
        self._nursery.start_soon(self._on_link, link)
        await connection.event_closed.wait()

    def _link(self, connection: SwarmConn, is_inbound: bool) -> HostLink:
        link = self._links[connection] = HostLink(connection, self, is_inbound)
        self._admission_of(connection).set()
        if self._nursery is not None:
            self._nursery.start_soon(self._forget_when_closed, connection)
        return link

    async def _forget_when_closed(self, connection: SwarmConn) -> None:
        await connection.event_closed.wait()
        self.forget(connection)

    def _admission_of(self, connection: SwarmConn) -> trio.Event:
        event = self._admitted.get(connection)
        if event is None:
            event = self._admitted[connection] = trio.Event()
        return event

    def _contained(
        self, negotiate: Callable[[NetStream], Awaitable[None]]
    ) -> Callable[[NetStream], Awaitable[None]]:
        """libp2p's handler of all streams, which no exception leaves."""

        async def handle(stream: NetStream) -> None:
            try:
                if len(stream.swarm_conn.streams) > STREAMS_PER_LINK_MAX:
                    await HostStream(stream).reset()
                    return
                await negotiate(stream)
            except Exception as error:
                log.debug("A stream came to nothing: %s %s", type(error).__name__, error)
                await HostStream(stream).reset()

        return handle

    async def _on_stream(self, stream: NetStream) -> None:
        connection = stream.swarm_conn
        # A quick peer's stream may be here before its connection is admitted.
        with trio.move_on_after(NEGOTIATE_SECONDS_MAX):
            await self._admission_of(connection).wait()
        link = self._links.get(connection)
        if link is None:
            await HostStream(stream).reset()
            return
        await link.hand_over(str(stream.get_protocol()), stream)

    # --- start and stop

    def _listen_address(self) -> Multiaddr:
        host, port = self._listen[0], self.port
        return Multiaddr(f"/ip{6 if ':' in host else 4}/{host}/tcp/{port}")

    def _bound_port(self) -> int:
        for address in self._host.get_transport_addrs():
            port = address.value_for_protocol("tcp")
            if port is not None:
                return int(port)
        host, wanted = self._listen
        raise ListenError(
            f"cannot listen on {host} port {wanted}: another process does, or it is not our address"
        )

    async def _close_all(self) -> None:
        with trio.move_on_after(2 * CLOSE_SECONDS_MAX, shield=True):
            async with trio.open_nursery() as nursery:
                for link in list(self._links.values()):
                    nursery.start_soon(link.close)
            await self._host.close()


async def _reset_when_ended(stream: HostStream) -> None:
    await stream.ended.wait()
    await stream.reset()


async def _closed_quietly(raw: Any) -> None:
    try:
        await raw.close()
    except Exception as error:
        log.debug("A socket could not be closed: %s", error)


def first_cause(error: BaseException) -> BaseException:
    """What a group of errors, or a group within it, names first; any other error is its own."""
    while True:
        match error:
            case BaseExceptionGroup(exceptions=(inner, *_)):
                error = inner
            case _:
                return error


def _cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    deepest = first_cause(error)
    return str(deepest) or type(deepest).__name__
