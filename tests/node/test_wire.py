"""Blocks are served within bounds; consensus' values become wire messages and back."""

from typing import Any, cast

import trio

from consensus import effects, events
from node import wire
from node.sync_server import SyncServer
from node.wire import NetworkWire
from p2p import messages
from p2p.messages import BlockData, BlockRequest
from p2p.network import MessageReceived, PeerConnected, PeerDisconnected
from p2p.ports import PeerError
from runtime.primitives.block import Digest, Header
from runtime.primitives.grandpa import CatchUpRequest
from runtime.primitives.scale import encode_compact
from tests.node.test_pool import Chain as PoolChain
from tests.node.test_pool import make

ALICE = b"alice"
STATUS = messages.Status(bytes(32), b"b" * 32, 7, b"f" * 32, 5, messages.Role.AUTHORITY, 99)


class Chain:
    """Thirty blocks above genesis, and a fork at height 5."""

    def __init__(self, body: bytes = b"\x08ab") -> None:
        self.extrinsics = [body]
        self.canonical: list[Header] = []
        parent = bytes(32)
        for number in range(31):
            header = Header(parent, number, bytes(32), bytes(32), Digest([]))
            self.canonical.append(header)
            parent = header.hash()
        self.fork = Header(self.canonical[4].hash(), 5, b"f" * 32, bytes(32), Digest([]))
        self.headers = {header.hash(): header for header in [*self.canonical, self.fork]}

    def header(self, at: bytes) -> Header | None:
        return self.headers.get(at)

    def hash_at(self, number: int) -> bytes | None:
        return self.canonical[number].hash() if number < len(self.canonical) else None

    def body(self, at: bytes) -> list[bytes] | None:
        return self.extrinsics if at in self.headers else None

    def justification(self, at: bytes) -> bytes | None:
        return b"proof" if at == self.canonical[3].hash() else None


def serve(request: BlockRequest, chain: Chain | None = None) -> list[BlockData]:
    return SyncServer(cast(Any, chain or Chain())).blocks(request)


def numbers(blocks: list[BlockData]) -> list[int]:
    return [block.header.number for block in blocks]


def test_blocks_are_served_upwards_by_number_and_by_hash() -> None:
    chain = Chain()
    by_number = serve(BlockRequest(None, 3, True, 4, True), chain)
    by_hash = serve(BlockRequest(chain.canonical[3].hash(), 0, True, 4, True), chain)

    assert by_number == by_hash
    assert numbers(by_number) == [3, 4, 5, 6]
    assert by_number[0].justification == b"proof"
    assert by_number[0].extrinsics == [b"\x08ab"]


def test_blocks_are_served_downwards_from_a_fork_to_genesis() -> None:
    chain = Chain()

    blocks = serve(BlockRequest(chain.fork.hash(), 0, False, 64, False), chain)

    assert numbers(blocks) == [5, 4, 3, 2, 1, 0]
    assert blocks[0].header == chain.fork
    assert blocks[0].extrinsics is None


def test_upwards_of_a_fork_there_is_only_its_own_block() -> None:
    chain = Chain()

    assert numbers(serve(BlockRequest(chain.fork.hash(), 0, True, 64, False), chain)) == [5]


def test_what_is_unknown_is_answered_with_nothing() -> None:
    assert serve(BlockRequest(b"?" * 32, 0, True, 8, True)) == []
    assert serve(BlockRequest(None, 31, True, 8, True)) == []
    assert serve(BlockRequest(None, 2**32 - 1, True, 8, True)) == []


def test_answers_are_bounded_in_count_and_bytes() -> None:
    megabyte = encode_compact(1 << 20) + bytes(1 << 20)

    assert len(serve(BlockRequest(None, 0, True, 2**32 - 1, False))) == 31
    assert len(serve(BlockRequest(None, 0, True, 64, True), Chain(megabyte))) == 3
    assert len(serve(BlockRequest(None, 0, True, 64, True), Chain(bytes(9 << 20)))) == 1


class Network:
    """Takes what is sent, gives events and answers."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, object]] = []
        self.reports: list[tuple[bytes, int]] = []
        self.answer: list[BlockData] | PeerError = []
        self.asked: list[BlockRequest] = []
        self.to_events, self.events = trio.open_memory_channel[object](64)

    def send(self, peer: bytes, message: object) -> None:
        self.sent.append((peer, message))

    def report(self, peer: bytes, delta: int, _reason: str) -> None:
        self.reports.append((peer, delta))

    async def request_blocks(self, _peer: bytes, request: BlockRequest) -> list[BlockData]:
        self.asked.append(request)
        if isinstance(self.answer, PeerError):
            raise self.answer
        return self.answer


class Engine:
    """Takes events, none while it is busy."""

    def __init__(self) -> None:
        self.taken: list[object] = []
        self.is_busy = False

    def post(self, event: object) -> bool:
        if not self.is_busy:
            self.taken.append(event)
        return not self.is_busy


def make_wire() -> tuple[NetworkWire, Network]:
    network = Network()
    return NetworkWire(cast(Any, network), make(PoolChain())), network


async def test_announces_and_votes_are_sent_as_one_object_to_all_peers() -> None:
    under_test, network = make_wire()
    header = Chain().canonical[1]

    under_test.send((ALICE, b"bob"), effects.Announce(header, True))
    under_test.send((ALICE,), CatchUpRequest(1, 2))

    assert network.sent == [
        (ALICE, messages.BlockAnnounce(header, True)),
        (b"bob", messages.BlockAnnounce(header, True)),
        (ALICE, messages.Grandpa(CatchUpRequest(1, 2))),
    ]
    assert network.sent[0][1] is network.sent[1][1]  # so it is encoded once


async def test_an_answer_becomes_an_event() -> None:
    under_test, network = make_wire()
    header = Chain().canonical[9]
    network.answer = [BlockData(header, [b"\x08ab"], None)]

    event = await under_test.request_blocks(effects.RequestBlocks(5, ALICE, 9, True, 4, True))

    block = events.SyncBlock(header, (b"\x08ab",), None)
    assert event == events.BlocksReceived(5, ALICE, (block,))
    assert network.asked == [BlockRequest(None, 9, True, 4, True)]


async def test_a_failed_request_becomes_an_event() -> None:
    under_test, network = make_wire()
    network.answer = PeerError("no answer within 18 s")
    request = effects.RequestBlocks(5, ALICE, b"h" * 32, False, 4, False)

    event = await under_test.request_blocks(request)

    assert event == events.RequestFailed(5, ALICE, "no answer within 18 s")
    assert network.asked == [BlockRequest(b"h" * 32, 0, False, 4, False)]


async def test_what_the_network_hears_reaches_the_engine_in_order(
    autojump_clock: trio.testing.MockClock,
) -> None:
    under_test, network = make_wire()
    engine = Engine()
    header = Chain().canonical[1]
    heard = [
        PeerConnected(ALICE, STATUS),
        MessageReceived(ALICE, messages.BlockAnnounce(header, False)),
        MessageReceived(ALICE, messages.Grandpa(CatchUpRequest(1, 2))),
        MessageReceived(ALICE, messages.Ping(1)),
        PeerDisconnected(ALICE, "gone"),
    ]

    async with trio.open_nursery() as nursery:
        nursery.start_soon(under_test.pump, cast(Any, engine))
        engine.is_busy = True
        for event in heard:
            network.to_events.send_nowait(event)
        await trio.sleep(5.0)
        assert engine.taken == []
        engine.is_busy = False
        await trio.sleep(1.0)
        nursery.cancel_scope.cancel()

    status = events.PeerStatus(events.Role.AUTHORITY, b"b" * 32, 7, b"f" * 32, 5, 99)
    assert engine.taken == [
        events.PeerConnected(ALICE, status),
        events.HeaderSeen(ALICE, header, False),
        events.MessageReceived(ALICE, CatchUpRequest(1, 2)),
        events.PeerGone(ALICE),
    ]
    assert network.reports == [(ALICE, wire.OUT_OF_PLACE)]
