"""Networks on loopback for the tests, and peers that misbehave."""

import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import trio

from p2p.frames import frame
from p2p.host import Host, HostLink, HostStream
from p2p.identity import PeerAddress, parse_address, peer_bytes_of
from p2p.messages import (
    Addresses,
    BlockAnnounce,
    BlockData,
    BlockRequest,
    Message,
    Role,
    Status,
    protocol_ids,
)
from p2p.network import Network, NetworkConfig, NetworkEvent, PeerConnected
from p2p.session import Timing
from p2p.streams import Link
from runtime.primitives.block import Digest, Header, PreRuntime

GENESIS = bytes([0xAB]) * 32
OTHER_GENESIS = bytes([0xCD]) * 32
QUICK = Timing(handshake_s=1.0, ping_after_s=0.2, pong_within_s=0.2, request_s=0.4)
NOTIFY, SYNC = protocol_ids(GENESIS)

E = TypeVar("E")


def seed(number: int) -> bytes:
    """The seed of the network identity of test node `number`."""
    return number.to_bytes(32, "big")


def peer_of(number: int) -> bytes:
    """The peer id of test node `number`."""
    return peer_bytes_of(seed(number))


def make_status(number: int = 0, genesis: bytes = GENESIS, best: int = 0) -> Status:
    """The status of test node `number`."""
    best_hash = bytes([number]) * 32
    return Status(genesis, best_hash, best, genesis, 0, Role.FULL, 1_700_000_000_000)


def make_header(number: int) -> Header:
    """A header of this height."""
    log = PreRuntime(b"aura", number.to_bytes(8, "little"))
    return Header(bytes(32), number, bytes(32), bytes(32), Digest([log]))


def make_announce(number: int, is_best: bool = True) -> BlockAnnounce:
    """An announce of a block of this height."""
    return BlockAnnounce(make_header(number), is_best)


class Blocks:
    """A chain of headers; `BlockProvider` of the tests."""

    def __init__(self, height: int = 0, body: bytes | None = None) -> None:
        self.height = height
        self.body = body
        self.asked: list[BlockRequest] = []

    def blocks(self, request: BlockRequest) -> Sequence[BlockData]:
        """Headers from the start upwards."""
        self.asked.append(request)
        last = min(self.height, request.start_number + request.blocks_max - 1)
        body = [self.body] if self.body is not None and request.with_bodies else None
        return [
            BlockData(make_header(n), body, None) for n in range(request.start_number, last + 1)
        ]

    def warp_proof(self, begin: bytes) -> bytes | None:
        """The proof is the hash itself; of one block there is none."""
        return None if begin == bytes(32) else begin

    def state_range(self, block_hash: bytes, after: bytes | None) -> Sequence[bytes] | None:
        """The state of one block is not kept."""
        return None if block_hash == bytes(32) else [block_hash, after or b""]


def ask(start: int = 1, count: int = 8, with_bodies: bool = False) -> BlockRequest:
    """A request for blocks by number."""
    return BlockRequest(None, start, True, count, with_bodies)


def make_network(number: int, *reserved: Network | str, **settings: Any) -> Network:
    """A network that is not running yet, on a port of the system's choice."""
    provider = settings.pop("provider", None) or Blocks()
    genesis = settings.pop("genesis", GENESIS)
    settings.setdefault("timing", QUICK)
    addresses = tuple(
        peer if isinstance(peer, str) else peer.listen_addresses()[0] for peer in reserved
    )
    config = NetworkConfig(seed(number), genesis, **{"port": 0, "reserved": addresses, **settings})
    return Network(config, provider, lambda: make_status(number, genesis), random.Random(number))


async def next_event(network: Network, kind: type[E], seconds: float = 5.0) -> E:
    """The next event of a kind; others are dropped."""
    with trio.fail_after(seconds):
        while True:
            event: NetworkEvent = await network.events.receive()
            if isinstance(event, kind):
                return event


async def connected(*networks: Network) -> None:
    """Wait until each network has seen a peer."""
    for network in networks:
        await next_event(network, PeerConnected)


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait for something that no event tells."""
    with trio.fail_after(seconds):
        while not condition():
            await trio.sleep(0.005)


class Rogue:
    """A peer driven by hand over a real host."""

    def __init__(self, host: Host, number: int) -> None:
        self.host = host
        self.number = number
        self.peer = peer_of(number)

    async def dial(self, network: Network) -> HostLink:
        """Connect to a network."""
        return await self.host.dial(address_of(network))

    async def meet(
        self, network: Network, status: Message | bytes | None = None
    ) -> tuple[HostLink, HostStream]:
        """Connect and send a status (or whatever is given)."""
        link = await self.dial(network)
        stream = await link.open_stream(NOTIFY)
        first = make_status(self.number) if status is None else status
        await stream.write(frame(first if isinstance(first, bytes) else first.encode()))
        return link, stream


def address_of(network: Network) -> PeerAddress:
    """Where a running network listens."""
    return parse_address(network.listen_addresses()[0])


@asynccontextmanager
async def rogue(number: int, on_link: Callable[[Link], Any] | None = None) -> AsyncIterator[Rogue]:
    """A rogue peer, listening."""

    async def close(link: Link) -> None:
        await link.close()

    async with trio.open_nursery() as nursery:
        host = Host(
            seed(number), ("127.0.0.1", 0), (NOTIFY, SYNC), 8, lambda *_: None, on_link or close
        )
        await nursery.start(host.run)
        yield Rogue(host, number)
        nursery.cancel_scope.cancel()


async def drain(stream: HostStream) -> None:
    """Read and drop until the stream ends, however."""
    from p2p.ports import PeerError

    try:
        while await stream.read():
            pass
    except PeerError:
        pass


NO_ADDRESSES = Addresses([], [])
