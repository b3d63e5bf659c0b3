"""The network as the node sees it: peers come and go, messages arrive, blocks are asked for.

    node ──send, broadcast, request_blocks, report──▶ Network ──▶ Session (one per peer) ──▶ link
    node ◀──────── events (bounded channel) ───────────┘

Invariants: there is one session per peer at most, and its events are in order: `PeerConnected`,
its messages, `PeerDisconnected`. When the events are not taken, reading stops, and with it the
peers; when a peer does not read, it alone is disconnected. If libp2p fails, all sessions end and a
new host is started.

Two links to one peer come of dialling each other at once: the one that the smaller id dialled
stays. A second link of the same direction replaces the first, which its peer has lost.
"""

import logging
import random
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

import trio

from p2p import messages
from p2p.dialer import Dialer
from p2p.frames import frame
from p2p.host import Host, HostFailed, first_cause
from p2p.identity import (
    PeerAddress,
    PeerId,
    parse_address,
    parse_peer_id,
    peer_bytes_of,
    peer_text,
)
from p2p.messages import BlockData, BlockRequest, Message, Role, Status
from p2p.peers import (
    UNRESPONSIVE,
    AddressBook,
    Reputations,
    Slots,
    is_reachable,
    own_address_seen,
)
from p2p.ports import AddressInvalid, BlockProvider, ListenError, PeerError
from p2p.session import Session, Timing, WrongGenesis, meet
from p2p.streams import Link, ProtocolUnknown
from p2p.sync import RequestClient, RequestServer
from runtime.primitives.types import Hash

log = logging.getLogger("p2p")

Answered = TypeVar("Answered")

EVENTS_MAX = 256  # a few seconds of a busy network; more would only delay what is in front
RESTART_PAUSE_S = 1.0
IDENTIFY_TRIES_MAX, IDENTIFY_PAUSE_S = 10, 0.1  # libp2p does not tell when identify is done
DIAL_PATIENCE_S = 3.0  # the peer waits longer for our status
RESERVED_ADDED_MAX = 16  # by the operator while we run; the host has room for their links
STRANGERS_MAX = 1_024  # peers of other chains that the log has told of
GENESIS = re.compile("[0-9a-f]{64}")  # in the name of a protocol


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """Settings of the network. Addresses are `/ip4/127.0.0.1/tcp/30333/p2p/PEERID`."""

    seed: bytes
    """32 bytes; the identity follows from them."""

    genesis_hash: Hash
    listen_address: str = "127.0.0.1"
    port: int = 30333
    """0 lets the system choose."""

    reserved: tuple[str, ...] = ()
    """Always connected, never banned, on top of the slots."""

    bootnodes: tuple[str, ...] = ()
    in_peers: int = 25
    out_peers: int = 15
    is_authority: bool = False
    timing: Timing = field(default_factory=Timing)


@dataclass(frozen=True, slots=True)
class PeerConnected:
    """Statuses are exchanged; messages of this peer follow."""

    peer: PeerId
    status: Status


@dataclass(frozen=True, slots=True)
class PeerDisconnected:
    """Nothing more comes of this peer."""

    peer: PeerId
    reason: str


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A `BlockAnnounce`, `Transactions` or `Grandpa` of a peer."""

    peer: PeerId
    message: Message


NetworkEvent = PeerConnected | PeerDisconnected | MessageReceived


@dataclass(frozen=True, slots=True)
class PeerInfo:
    """A connected peer, as of now."""

    peer_id: str
    peer: PeerId
    role: Role
    best_hash: Hash
    best_number: int
    is_inbound: bool
    remote_ip: str | None


class Network:
    """All peers of a node."""

    def __init__(
        self,
        config: NetworkConfig,
        provider: BlockProvider,
        status: Callable[[], Status],
        rng: random.Random,
    ) -> None:
        """`status` says where we stand, each time a peer is met. Raises `AddressInvalid`."""
        self._config = config
        self._status = status
        self._rng = rng
        self._own = peer_bytes_of(config.seed)
        self.peer_id = peer_text(self._own)
        self.port = config.port
        self._reserved = {address.peer: address for address in map(parse_address, config.reserved)}
        self._reserved_max = len(self._reserved) + RESERVED_ADDED_MAX
        self._bootnodes = tuple(map(parse_address, config.bootnodes))
        self._notify_protocol, self._sync_protocol = messages.protocol_ids(config.genesis_hash)
        self._counts: Counter[str] = Counter()
        self._server = RequestServer(provider, self._counts)
        self._slots = Slots(config.in_peers, config.out_peers)
        self._sessions: dict[PeerId, Session] = {}
        self._links: set[Link] = set()
        self._dialled: dict[PeerId, trio.Event] = {}
        """Peers we dial, until it is decided whether there will be a session."""

        self._strangers: set[PeerId] = set()
        self._denied: frozenset[PeerId] = frozenset()
        self._encoded: tuple[Message, bytes] | None = None
        self._to_events, self.events = trio.open_memory_channel[NetworkEvent](EVENTS_MAX)
        self._unsent: list[NetworkEvent] = []
        self._running: _Running | None = None
        self._reputations = Reputations(self._reserved, trio.current_time)
        self._book = AddressBook(self._own)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until cancelled; started when it listens. Raises `ListenError`, then only."""
        is_started = False
        while True:
            try:
                async with trio.open_nursery() as nursery:
                    running = _Running(self._new_host(), self._new_dialer())
                    await nursery.start(running.host.run)
                    self.port = running.host.port
                    self._running = running
                    if not is_started:
                        is_started = True
                        task_status.started()
                    log.info("Listening on %s", ", ".join(self.listen_addresses()))
                    await running.dialer.run()
            except* HostFailed as group:
                log.error("The network failed and is started again: %s", group.exceptions[0])
            except* ListenError as group:
                if not is_started:
                    raise ListenError(str(first_cause(group))) from None
                log.error("The network cannot listen, and tries again: %s", first_cause(group))
            finally:
                self._running = None
            self._counts["host_restarts"] += 1
            while self._unsent:
                await self._to_events.send(self._unsent.pop(0))
            await trio.sleep(RESTART_PAUSE_S)

    # --- what the node asks for

    def send(self, peer: PeerId, message: Message) -> None:
        """Queue a message for a peer; nothing happens when it is not connected."""
        session = self._sessions.get(peer)
        if session is not None:
            session.send(self._framed(message))

    def broadcast(self, message: Message, except_peer: PeerId | None = None) -> None:
        """Queue a message for every peer but one."""
        for peer, session in list(self._sessions.items()):
            if peer != except_peer:
                session.send(self._framed(message))

    async def request_blocks(self, peer: PeerId, request: BlockRequest) -> list[BlockData]:
        """Ask a connected peer for blocks. Raises `PeerError`; may be cancelled at any time."""
        return await self._request(peer, lambda client: client.request(request))

    async def request_warp_proof(self, peer: PeerId, begin: Hash) -> bytes:
        """Ask a connected peer for the proof of all handoffs after a block. Raises `PeerError`."""
        return await self._request(peer, lambda client: client.warp_proof(begin))

    async def request_state(
        self, peer: PeerId, block_hash: Hash, after: bytes | None
    ) -> list[bytes]:
        """Ask a connected peer for a part of a block's state. Raises `PeerError`."""
        return await self._request(peer, lambda client: client.state_range(block_hash, after))

    async def _request(
        self, peer: PeerId, ask: Callable[[RequestClient], Awaitable[Answered]]
    ) -> Answered:
        session = self._sessions.get(peer)
        if session is None:
            raise PeerError(f"peer {peer_text(peer)} is not connected")
        self._counts["requests_out"] += 1
        try:
            return await ask(session.requests)
        except PeerError as error:
            self._counts["requests_failed"] += 1
            self.report(peer, UNRESPONSIVE, f"a request failed: {error}")
            raise

    def report(self, peer: PeerId, delta: int, reason: str) -> None:
        """Change a peer's reputation; it may be banned by that."""
        if not self._reputations.report(peer, delta):
            return
        log.warning("Peer %s is banned: %s", peer_text(peer), reason)
        self._counts["bans"] += 1
        session = self._sessions.get(peer)
        if session is not None:
            session.close(f"banned: {reason}")

    def deny(self, peers: Iterable[PeerId]) -> None:
        """From now on have nothing to do with exactly these peers: a partition, for tests."""
        self._denied = frozenset(peers)
        for peer, session in list(self._sessions.items()):
            if peer in self._denied:
                session.close("denied")
        if self._running is not None:
            self._running.dialer.wake()

    # --- what the node may look at

    def reserved_peers(self) -> list[str]:
        """Ids of the peers that are always connected."""
        return [peer_text(peer) for peer in self._reserved]

    def reserve(self, text: str) -> None:
        """Keep a peer connected and never ban it, until we end. Raises `AddressInvalid`."""
        address = parse_address(text)
        if address.peer == self._own:
            raise AddressInvalid(f"{text} is our own address")
        if address.peer not in self._reserved and len(self._reserved) >= self._reserved_max:
            raise AddressInvalid(f"{len(self._reserved)} peers are reserved, no more can be")
        self._reserved[address.peer] = address
        if self._running is not None:
            self._running.dialer.reserve(address)

    def release(self, peer_id: str) -> None:
        """Treat a reserved peer like all others; its link stays. Raises `AddressInvalid`."""
        peer = parse_peer_id(peer_id)
        if self._reserved.pop(peer, None) is not None and self._running is not None:
            self._running.dialer.release(peer)

    def peers(self) -> list[PeerInfo]:
        """The connected peers."""
        return [
            PeerInfo(
                peer_id=peer_text(peer),
                peer=peer,
                role=session.status.role,
                best_hash=session.best_hash,
                best_number=session.best_number,
                is_inbound=session.link.is_inbound,
                remote_ip=session.link.remote_ip,
            )
            for peer, session in self._sessions.items()
        ]

    def listen_addresses(self) -> list[str]:
        """Where peers find us, with our id."""
        return [str(self._own_address())]

    def reputation(self, peer: PeerId) -> int:
        """What the peer's conduct adds up to; 0 for a stranger."""
        return self._reputations.reputation(peer)

    def counters(self) -> dict[str, int]:
        """For metrics: what is now, and totals since the start."""
        inbound = sum(session.link.is_inbound for session in self._sessions.values())
        return {
            "peers": len(self._sessions),
            "inbound": inbound,
            "outbound": len(self._sessions) - inbound,
            **{name: self._counts[name] for name in _COUNTED},
        }

    # --- links

    def _new_host(self) -> Host:
        config = self._config
        return Host(
            seed=config.seed,
            # The port once chosen is kept: peers know it.
            listen=(config.listen_address, self.port),
            protocols=(self._notify_protocol, self._sync_protocol),
            links_max=config.in_peers + config.out_peers + 2 * self._reserved_max,
            admit=self._refusal,
            on_link=self._talk_inbound,
        )

    def _new_dialer(self) -> Dialer:
        dialer = Dialer(self._own, self._dial, self._may_dial, self._rng)
        for address in self._reserved.values():
            dialer.add(address, is_reserved=True)
        for address in self._bootnodes:
            dialer.add(address)
        for address in self._book.known():
            dialer.add(address, is_configured=False)
        return dialer

    def _refusal(self, peer: PeerId, is_inbound: bool, remote_ip: str | None) -> str | None:
        if peer == self._own:
            return "this is ourselves"
        if peer in self._denied:
            return "denied"
        if self._reputations.is_banned(peer):
            return "banned"
        if not is_inbound or peer in self._reserved:
            return None
        others = [
            link.remote_ip
            for link in self._links
            # A peer that dials again replaces its own link, which takes no second slot.
            if link.is_inbound and link.peer not in self._reserved and link.peer != peer
        ]
        return self._slots.refusal(others, remote_ip)

    def _may_dial(self, peer: PeerId, is_reserved: bool) -> bool:
        if peer in self._sessions or self._refusal(peer, False, None) is not None:
            return False
        running = self._running
        return is_reserved or (
            running is not None and running.dialer.in_progress() < self._slots.out_peers
        )

    async def _dial(self, address: PeerAddress) -> bool:
        running = self._running
        if running is None:
            return False
        self._counts["dials"] += 1
        decided = self._dialled[address.peer] = trio.Event()
        try:
            link = await running.host.dial(address)
            return await self._talk(link)
        except PeerError as error:
            self._counts["dial_failures"] += 1
            log.debug("%s: %s", peer_text(address.peer), error)
            return False
        finally:
            decided.set()
            del self._dialled[address.peer]

    async def _talk_inbound(self, link: Link) -> None:
        await self._talk(link)

    async def _talk(self, link: Link) -> bool:
        """Meet the peer of a link and stay in session until it ends; whether there was one."""
        self._links.add(link)
        is_met = False
        try:
            is_met = await self._meet_and_run(link)
        except WrongGenesis as error:
            self._warn_of_stranger(link.peer, str(error))
        except ProtocolUnknown:
            await self._explain_unknown_protocol(link)
        except PeerError as error:
            log.debug("Peer %s: %s", peer_text(link.peer), error)
        except Exception:
            log.exception("Peer %s is disconnected by an error of ours", peer_text(link.peer))
            self._counts["handler_errors"] += 1
        finally:
            self._links.discard(link)
            await link.close()
            if self._running is not None:
                self._running.dialer.note_ended(link.peer)
        return is_met

    async def _explain_unknown_protocol(self, link: Link) -> None:
        """Find out what a peer speaks instead of our protocols, so that the log can say it."""
        ours = self._notify_protocol.split("/")
        for _ in range(IDENTIFY_TRIES_MAX):
            for protocol in link.spoken_protocols():
                parts = protocol.split("/")
                if parts[2:] == ours[2:] and parts[1] != ours[1] and GENESIS.fullmatch(parts[1]):
                    self._warn_of_stranger(
                        link.peer,
                        f"is on the chain with genesis 0x{parts[1]}, ours is 0x{ours[1]}",
                    )
                    return
            await trio.sleep(IDENTIFY_PAUSE_S)
        self._warn_of_stranger(link.peer, f"does not speak {self._notify_protocol}")

    def _warn_of_stranger(self, peer: PeerId, message: str) -> None:
        # Once each: a reserved peer is dialled again and again.
        if peer in self._strangers:
            return
        if len(self._strangers) >= STRANGERS_MAX:
            self._strangers.clear()
        self._strangers.add(peer)
        log.warning("Peer %s %s", peer_text(peer), message)

    async def _meet_and_run(self, link: Link) -> bool:
        config = self._config
        if link.is_inbound and self._own < link.peer and await self._is_dialled_by_us(link.peer):
            log.debug("Our own link to %s comes first", peer_text(link.peer))
            return True
        meeting = await meet(link, self._notify_protocol, self._status(), config.timing)
        session = Session(
            link, meeting, self._sync_protocol, self._server, self._counts, config.timing
        )
        while (other := self._sessions.get(link.peer)) is not None:
            if self._is_worse(link, other.link):
                log.debug("A second link to %s is closed", peer_text(link.peer))
                other.doubt()
                return True
            other.close("replaced by another link to the same peer")
            await other.finished.wait()
        refusal = self._refusal(link.peer, link.is_inbound, link.remote_ip)
        if refusal is not None:
            raise PeerError(refusal)
        self._sessions[link.peer] = session
        if not link.is_inbound and link.peer in self._dialled:
            self._dialled[link.peer].set()
        try:
            await self._to_events.send(PeerConnected(link.peer, session.status))
            self._introduce(session)
            log.debug("Connected to %s", peer_text(link.peer))
            await session.run(self._deliver, self.report)
        finally:
            await self._part(session)
        return True

    async def _is_dialled_by_us(self, peer: PeerId) -> bool:
        """Whether the link that we are dialling, the better of two, comes about."""
        decided = self._dialled.get(peer)
        if decided is not None:
            with trio.move_on_after(DIAL_PATIENCE_S):
                await decided.wait()
        session = self._sessions.get(peer)
        return decided is not None and session is not None and not session.link.is_inbound

    def _is_worse(self, new: Link, old: Link) -> bool:
        if new.is_inbound == old.is_inbound:
            return False
        is_dialled_by_smaller = (new.peer < self._own) == new.is_inbound
        return not is_dialled_by_smaller

    async def _part(self, session: Session) -> None:
        # From here on nothing is queued for it; whoever waits to replace it may go on after that.
        del self._sessions[session.peer]
        session.close("stopped")
        reason = session.ended or "stopped"
        log.debug("Disconnected from %s: %s", peer_text(session.peer), reason)
        event = PeerDisconnected(session.peer, reason)
        try:
            await self._to_events.send(event)
        except trio.Cancelled:
            # libp2p failed, and the task of this session ends with it. `run` goes on.
            self._unsent.append(event)
            raise
        finally:
            session.finished.set()

    # --- messages

    async def _deliver(self, session: Session, message: Message) -> None:
        if isinstance(message, messages.Addresses):
            self._learn(session, message)
        else:
            await self._to_events.send(MessageReceived(session.peer, message))

    def _framed(self, message: Message) -> bytes:
        # One message goes to many peers in a row; it is encoded once.
        if self._encoded is None or self._encoded[0] is not message:
            self._encoded = message, frame(message.encode())
        return self._encoded[1]

    # --- discovery

    def _own_address(self) -> PeerAddress:
        host = self._config.listen_address
        return PeerAddress(self._own, "ip6" if ":" in host else "ip4", host, self.port)

    def _introduce(self, session: Session) -> None:
        """Tell a new peer where we listen and whom we know."""
        known = [
            str(address)
            for peer in self._sessions
            if peer != session.peer and (address := self._book.get(peer)) is not None
        ]
        told = messages.Addresses(self.listen_addresses(), known[: messages.ADDRESSES_MAX])
        session.send(self._framed(told))

    def _learn(self, session: Session, told: messages.Addresses) -> None:
        remote_ip = session.link.remote_ip
        for text in told.listening:
            address = _parsed(text)
            if address is not None and address.peer == session.peer:
                seen = own_address_seen(address, remote_ip)
                if seen is not None:
                    self._note(seen, is_own_word=True)
        for text in told.known:
            address = _parsed(text)
            if address is not None and is_reachable(address, remote_ip):
                self._note(address, is_own_word=False)

    def _note(self, address: PeerAddress, is_own_word: bool) -> None:
        if self._book.add(address, is_own_word) and self._running is not None:
            self._running.dialer.add(address, is_configured=False)


_COUNTED = (
    "bans",
    "slow_peers",
    "silent_peers",
    "bad_messages",
    "handler_errors",
    "host_restarts",
    "messages_in",
    "messages_out",
    "bytes_in",
    "bytes_out",
    "requests_out",
    "requests_failed",
    "requests_served",
    "dials",
    "dial_failures",
)


@dataclass(frozen=True, slots=True)
class _Running:
    host: Host
    dialer: Dialer


def _parsed(text: str) -> PeerAddress | None:
    try:
        return parse_address(text)
    except AddressInvalid:
        return None
