"""Sessions between two ends in memory, on a simulated clock."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from p2p import session as sessions
from p2p.frames import frame
from p2p.messages import (
    ANSWER_BYTES_MAX,
    NOTIFICATION_BYTES_MAX,
    Addresses,
    Answer,
    BlockData,
    BlockRequest,
    Message,
    Ping,
    Pong,
    Refusal,
    Request,
    StateAnswer,
    StateRequest,
    SyncMessage,
    Transactions,
    WarpAnswer,
    WarpRequest,
)
from p2p.ports import PeerError
from p2p.session import Session, Timing, WrongGenesis, meet
from p2p.sync import REQUESTS_OPEN_MAX, SERVED_PER_SECOND, RequestServer
from runtime.primitives.scale import encode_compact
from tests.p2p.memory import MemoryLink, MemoryStream, link_pair
from tests.p2p.nets import (
    NOTIFY,
    OTHER_GENESIS,
    SYNC,
    Blocks,
    ask,
    make_announce,
    make_header,
    make_status,
    peer_of,
)

US, THEM = peer_of(1), peer_of(2)
TIMING = Timing(handshake_s=10.0, ping_after_s=10.0, pong_within_s=10.0, request_s=18.0)


class End:
    """Our end: a session under test, and what it has told."""

    def __init__(self, session: Session, counts: Counter[str], provider: Blocks) -> None:
        self.session = session
        self.counts = counts
        self.provider = provider
        self.heard: list[Message] = []
        self.reports: list[int] = []
        self.gate: trio.Event | Broken | None = None

    async def deliver(self, _session: Session, message: Message) -> None:
        if self.gate is not None:
            await self.gate.wait()
        self.heard.append(message)

    def report(self, _peer: bytes, delta: int, _reason: str) -> None:
        self.reports.append(delta)


class Peer:
    """The other end, driven by hand."""

    def __init__(self, link: MemoryLink, stream: MemoryStream) -> None:
        self.link = link
        self.stream = stream

    async def say(self, message: Message) -> None:
        await self.stream.write(frame(message.encode()))

    async def listen(self) -> list[Message]:
        await wait_all_tasks_blocked()
        data = bytes(self.stream.incoming.data)
        self.stream.incoming.data.clear()
        self.stream.incoming.changed.unpark_all()
        found: list[Message] = []
        while data:
            length = int.from_bytes(data[:4], "big")
            found.append(Message.decode(data[4 : 4 + length]))
            data = data[4 + length :]
        return found


@asynccontextmanager
async def in_session(
    provider: Blocks | None = None, window: float = float("inf")
) -> AsyncIterator[tuple[End, Peer]]:
    ours, theirs = link_pair(US, THEM, window)
    counts: Counter[str] = Counter()
    async with trio.open_nursery() as nursery:

        async def answer() -> None:
            _, stream = await theirs.next_stream()
            await stream.write(frame(make_status(2).encode()))
            await stream.read()
            peer.append(Peer(theirs, stream))

        peer: list[Peer] = []
        nursery.start_soon(answer)
        meeting = await meet(ours, NOTIFY, make_status(1), TIMING)
        provider = provider or Blocks()
        server = RequestServer(provider, counts)
        session = Session(ours, meeting, SYNC, server, counts, TIMING)
        end = End(session, counts, provider)
        await wait_all_tasks_blocked()
        nursery.start_soon(session.run, end.deliver, end.report)
        await wait_all_tasks_blocked()
        yield end, peer[0]
        nursery.cancel_scope.cancel()


async def open_requests(peer: Peer) -> MemoryStream:
    return await peer.link.open_stream(SYNC)


async def ask_by_hand(stream: MemoryStream, number: int, request: BlockRequest) -> None:
    await stream.write(frame(Request(number, request).encode()))


async def answer_to(stream: MemoryStream) -> SyncMessage:
    data = bytearray(await stream.read())
    while len(data) < 4 + int.from_bytes(data[:4], "big"):
        data += await stream.read()
    assert len(data) == 4 + int.from_bytes(data[:4], "big")
    return SyncMessage.decode(bytes(data[4:]))


# --- meeting


@pytest.mark.parametrize(
    ("first", "complaint"),
    [
        (make_status(2, OTHER_GENESIS).encode(), "genesis 0xcdcd.*, ours is 0xabab"),
        (Ping(1).encode(), "a Ping where a status was expected"),
        (b"\xff\xff", "cannot be decoded"),
    ],
)
async def test_a_peer_that_begins_wrong_is_not_met(first: bytes, complaint: str) -> None:
    ours, theirs = link_pair(THEM, US)[::-1]
    stream = await theirs.open_stream(NOTIFY)
    await stream.write(frame(first))

    with pytest.raises(PeerError, match=complaint) as caught:
        await meet(ours, NOTIFY, make_status(1), TIMING)

    assert isinstance(caught.value, WrongGenesis) == ("genesis" in complaint)


async def test_a_peer_that_says_nothing_is_not_met(autojump_clock: MockClock) -> None:
    ours, _theirs = link_pair(THEM, US)[::-1]

    with pytest.raises(PeerError, match="no status within 10 s"):
        await meet(ours, NOTIFY, make_status(1), TIMING)


async def test_a_request_before_the_status_is_refused() -> None:
    ours, theirs = link_pair(THEM, US)[::-1]
    await theirs.open_stream(SYNC)

    with pytest.raises(PeerError, match="before it said who it is"):
        await meet(ours, NOTIFY, make_status(1), TIMING)


# --- notifications


async def test_messages_are_delivered_in_order_and_the_best_block_is_noted() -> None:
    async with in_session() as (end, peer):
        told: list[Message] = [make_announce(5), make_announce(9, is_best=False), make_announce(6)]
        for message in told:
            await peer.say(message)
        await wait_all_tasks_blocked()

        assert end.heard == told
        assert end.session.best_number == 6
        assert end.session.best_hash == make_header(6).hash()


async def test_what_is_sent_arrives_in_order() -> None:
    async with in_session() as (end, peer):
        messages: list[Message] = [make_announce(number) for number in range(300)]
        for message in messages:
            end.session.send(frame(message.encode()))

        assert await peer.listen() == messages


@pytest.mark.parametrize(
    "nonsense",
    [
        frame(b"\xff"),
        frame(make_status(2).encode()),
        (NOTIFICATION_BYTES_MAX + 1).to_bytes(4, "big"),
        frame(Addresses([], []).encode()) * 2,
        bytes(4),
    ],
)
async def test_nonsense_ends_the_session_and_costs_reputation(nonsense: bytes) -> None:
    async with in_session() as (end, peer):
        await peer.stream.write(nonsense)
        await wait_all_tasks_blocked()

        assert end.session.ended is not None
        assert end.reports == [-6_000]
        assert end.counts["bad_messages"] == 1


async def test_a_ping_is_answered_with_its_number() -> None:
    async with in_session() as (_end, peer):
        await peer.say(Ping(77))

        assert await peer.listen() == [Pong(77)]


async def test_a_silent_peer_is_asked_and_then_given_up(autojump_clock: MockClock) -> None:
    async with in_session() as (end, _peer):
        started_at = trio.current_time()
        while end.session.ended is None:
            await trio.sleep(0.5)

        assert "no sign of life" in end.session.ended
        assert trio.current_time() - started_at == pytest.approx(20.0, abs=1.0)
        assert end.counts["silent_peers"] == 1


async def test_a_peer_that_answers_pings_stays(autojump_clock: MockClock) -> None:
    async with in_session() as (end, peer):
        pings = 0
        for _ in range(600):
            await trio.sleep(1.0)
            for message in await peer.listen():
                assert isinstance(message, Ping)
                await peer.say(Pong(message.number))
                pings += 1

        assert end.session.ended is None
        assert 50 <= pings <= 61


async def test_a_peer_that_talks_is_not_asked(autojump_clock: MockClock) -> None:
    async with in_session() as (end, peer):
        for number in range(30):
            await trio.sleep(5.0)
            await peer.say(make_announce(number))

        assert end.session.ended is None
        assert await peer.listen() == []


async def test_after_a_sleep_of_our_own_the_peer_gets_another_chance(
    mock_clock: MockClock,
) -> None:
    async with in_session() as (end, peer):
        mock_clock.jump(10.1)
        assert await peer.listen() == [Ping(1)]

        mock_clock.jump(3_600.0)
        assert await peer.listen() == [Ping(2)]
        assert end.session.ended is None

        mock_clock.jump(10.1)
        await wait_all_tasks_blocked()
        assert end.session.ended is not None


async def test_a_doubted_peer_is_asked_at_once(autojump_clock: MockClock) -> None:
    async with in_session() as (end, peer):
        end.session.doubt()

        assert await peer.listen() == [Ping(1)]


async def test_a_peer_that_does_not_read_is_disconnected_and_never_blocks_us() -> None:
    async with in_session(window=1_000) as (end, _peer):
        framed = frame(make_announce(1).encode())
        for _ in range(sessions.QUEUE_MESSAGES_MAX + 10):
            end.session.send(framed)
        await wait_all_tasks_blocked()

        assert end.session.ended is not None
        assert "does not read" in end.session.ended
        assert end.counts["slow_peers"] == 1


async def test_what_waits_for_a_peer_is_bounded_in_bytes() -> None:
    async with in_session(window=1_000) as (end, _peer):
        large = encode_compact(1_000_000) + bytes(1_000_000)
        for _ in range(9):
            end.session.send(frame(Transactions([large]).encode()))

        assert end.session.ended is not None


async def test_a_write_that_takes_for_ever_ends_the_session(autojump_clock: MockClock) -> None:
    async with in_session(window=10) as (end, peer):
        # It talks, so it lives; but it does not read.
        for number in range(15):
            end.session.send(frame(make_announce(number).encode()))
            await peer.say(make_announce(number))
            await trio.sleep(1.0)
        await trio.sleep(2.0)

        assert end.session.ended == "does not read for 15 s"
        assert end.counts["slow_peers"] == 1


async def test_a_node_that_is_busy_stops_reading_and_takes_no_peer_for_dead(
    autojump_clock: MockClock,
) -> None:
    async with in_session(window=2_000) as (end, peer):
        end.gate = trio.Event()
        async with trio.open_nursery() as nursery:

            async def talk() -> None:
                for number in range(200):
                    await peer.say(make_announce(number))

            nursery.start_soon(talk)
            await trio.sleep(300.0)
            assert end.heard == []
            assert end.session.ended is None
            end.gate.set()

        await wait_all_tasks_blocked()
        assert len(end.heard) == 200


@pytest.mark.slow
async def test_a_flood_is_read_at_a_bounded_rate(autojump_clock: MockClock) -> None:
    async with in_session(window=50_000) as (end, peer):
        started_at = trio.current_time()
        for number in range(10_000):
            await peer.say(make_announce(number))
            if number % 1_000 == 0:
                await peer.listen()  # our pongs and pings
        await wait_all_tasks_blocked()

        rate = sessions.MESSAGES_PER_SECOND
        assert trio.current_time() - started_at >= (7_000 - sessions.MESSAGES_BURST) / rate
        assert end.session.ended is None


async def test_an_error_of_our_own_ends_only_that_session(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with in_session() as (end, peer):
        end.gate = Broken()
        await peer.say(make_announce(1))
        await wait_all_tasks_blocked()

        assert end.session.ended == "an error of ours"
        assert end.counts["handler_errors"] == 1
        assert "a bug" in caplog.text


BLOCK = bytes([7]) * 32
LACKING = "the block, or its state, is not kept here"


class Broken:
    """Raises when waited for."""

    async def wait(self) -> None:
        raise RuntimeError("a bug")


# --- our requests


async def test_an_answer_goes_to_its_request() -> None:
    async with in_session() as (end, peer), trio.open_nursery() as nursery:
        found: dict[int, list[BlockData]] = {}

        async def request(start: int) -> None:
            found[start] = await end.session.requests.request(ask(start))

        nursery.start_soon(request, 1)
        await wait_all_tasks_blocked()
        nursery.start_soon(request, 2)
        _, stream = await peer.link.next_stream()
        await wait_all_tasks_blocked()
        one, two = [BlockData(make_header(n), None, None) for n in (1, 2)]
        await stream.write(frame(Answer(2, [two]).encode()) + frame(Answer(1, [one]).encode()))
        await wait_all_tasks_blocked()

        assert found == {1: [one], 2: [two]}


async def test_a_request_that_is_not_answered_fails_in_time(autojump_clock: MockClock) -> None:
    async with in_session() as (end, _peer):
        started_at = trio.current_time()

        with pytest.raises(PeerError, match="no answer within 18 s"):
            await end.session.requests.request(ask())

        assert trio.current_time() - started_at == pytest.approx(18.0)


async def test_a_refused_request_fails_with_the_reason() -> None:
    async with in_session() as (end, peer), trio.open_nursery() as nursery:

        async def refuse() -> None:
            _, stream = await peer.link.next_stream()
            await stream.read()
            await stream.write(frame(Refusal(1, "not today").encode()))

        nursery.start_soon(refuse)
        with pytest.raises(PeerError, match="refused: not today"):
            await end.session.requests.request(ask())


async def test_a_peer_is_asked_for_proofs_and_states() -> None:
    async with in_session() as (end, peer), trio.open_nursery() as nursery:
        asked: list[SyncMessage] = []

        async def answer() -> None:
            _, stream = await peer.link.next_stream()
            for reply in (WarpAnswer(1, b"proof"), StateAnswer(2, [b"node"])):
                asked.append(await answer_to(stream))
                await stream.write(frame(reply.encode()))

        nursery.start_soon(answer)

        assert await end.session.requests.warp_proof(BLOCK) == b"proof"
        assert await end.session.requests.state_range(BLOCK, b"key") == [b"node"]
        assert asked == [WarpRequest(1, BLOCK), StateRequest(2, BLOCK, b"key")]


async def test_an_answer_of_another_kind_is_nonsense() -> None:
    async with in_session() as (end, peer), trio.open_nursery() as nursery:

        async def answer() -> None:
            _, stream = await peer.link.next_stream()
            await stream.read()
            await stream.write(frame(StateAnswer(1, []).encode()))

        nursery.start_soon(answer)

        with pytest.raises(PeerError, match="a StateAnswer to another kind of request"):
            await end.session.requests.warp_proof(BLOCK)


async def test_requests_fail_at_once_when_the_peer_goes() -> None:
    async with in_session() as (end, peer), trio.open_nursery() as nursery:

        async def leave() -> None:
            await wait_all_tasks_blocked()
            peer.stream.end()

        nursery.start_soon(leave)
        with pytest.raises(PeerError, match="disconnected: closed the stream"):
            await end.session.requests.request(ask())
        with pytest.raises(PeerError, match="disconnected"):
            await end.session.requests.request(ask())


async def test_a_closed_request_stream_fails_its_requests_and_the_next_opens_another() -> None:
    async with in_session() as (end, peer), trio.open_nursery() as nursery:

        async def serve() -> None:
            _, stream = await peer.link.next_stream()
            await stream.read()
            stream.end()
            _, stream = await peer.link.next_stream()
            await stream.read()
            await stream.write(frame(Answer(2, []).encode()))

        nursery.start_soon(serve)
        with pytest.raises(PeerError, match="closed the request stream"):
            await end.session.requests.request(ask())

        assert await end.session.requests.request(ask()) == []
        assert end.session.ended is None


@pytest.mark.parametrize(
    "answer",
    [
        frame(b"\xff"),
        frame(Request(1, ask()).encode()),
        (ANSWER_BYTES_MAX + 1).to_bytes(4, "big"),
    ],
)
async def test_a_nonsensical_answer_fails_the_request_and_ends_the_session(answer: bytes) -> None:
    async with in_session() as (end, peer), trio.open_nursery() as nursery:

        async def serve() -> None:
            _, stream = await peer.link.next_stream()
            await stream.read()
            await stream.write(answer)

        nursery.start_soon(serve)
        with pytest.raises(PeerError):
            await end.session.requests.request(ask())
        await wait_all_tasks_blocked()

        assert end.session.ended is not None
        assert end.reports == [-6_000]


async def test_an_answer_that_comes_too_late_is_dropped(autojump_clock: MockClock) -> None:
    async with in_session() as (end, peer):
        with trio.move_on_after(1.0):
            await end.session.requests.request(ask())
        _, stream = await peer.link.next_stream()
        await stream.read()
        await stream.write(frame(Answer(1, []).encode()))
        await wait_all_tasks_blocked()

        assert end.session.ended is None


async def test_open_requests_to_one_peer_are_bounded() -> None:
    async with in_session() as (end, _peer), trio.open_nursery() as nursery:
        for _ in range(REQUESTS_OPEN_MAX):
            nursery.start_soon(end.session.requests.request, ask())
        await wait_all_tasks_blocked()

        with pytest.raises(PeerError, match="are open already"):
            await end.session.requests.request(ask())
        nursery.cancel_scope.cancel()


# --- their requests


async def test_requests_are_served_with_their_numbers() -> None:
    async with in_session(Blocks(height=20)) as (end, peer):
        stream = await open_requests(peer)
        await ask_by_hand(stream, 41, ask(start=5, count=3))
        answer = await answer_to(stream)

        assert isinstance(answer, Answer)
        assert answer.number == 41
        assert [block.header.number for block in answer.blocks] == [5, 6, 7]
        assert end.counts["requests_served"] == 1


@pytest.mark.slow
async def test_an_answer_is_cut_to_what_a_frame_holds() -> None:
    body = encode_compact(3_000_000) + bytes(3_000_000)
    async with in_session(Blocks(height=20, body=body)) as (_end, peer):
        stream = await open_requests(peer)
        await ask_by_hand(stream, 1, ask(count=8, with_bodies=True))
        answer = await answer_to(stream)

        assert isinstance(answer, Answer)
        assert len(answer.blocks) == 2


async def test_a_block_too_large_for_any_frame_is_refused() -> None:
    body = encode_compact(ANSWER_BYTES_MAX) + bytes(ANSWER_BYTES_MAX)
    async with in_session(Blocks(height=1, body=body)) as (end, peer):
        stream = await open_requests(peer)
        await ask_by_hand(stream, 1, ask(with_bodies=True))

        assert await answer_to(stream) == Refusal(1, "the block is too large to send")
        assert end.session.ended is None


async def test_a_failing_provider_refuses_and_the_node_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Failing(Blocks):
        def blocks(self, request: BlockRequest) -> list[BlockData]:
            raise OSError("the disk is gone")

    async with in_session(Failing()) as (end, peer):
        stream = await open_requests(peer)
        await ask_by_hand(stream, 1, ask())

        assert await answer_to(stream) == Refusal(1, "an error of the serving node")
        assert end.session.ended is None
        assert end.counts["handler_errors"] == 1
        assert "the disk is gone" in caplog.text


async def test_proofs_and_states_are_served_and_what_is_not_kept_is_refused() -> None:
    async with in_session(Blocks()) as (end, peer):
        stream = await open_requests(peer)
        for request, expected in (
            (WarpRequest(1, BLOCK), WarpAnswer(1, BLOCK)),
            (StateRequest(2, BLOCK, b"key"), StateAnswer(2, [BLOCK, b"key"])),
            (WarpRequest(3, bytes(32)), Refusal(3, LACKING)),
            (
                StateRequest(4, bytes(32), None),
                Refusal(4, "the block, or its state, is not kept here"),
            ),
        ):
            await stream.write(frame(request.encode()))
            assert await answer_to(stream) == expected
        assert end.session.ended is None


async def test_requests_are_served_at_a_bounded_rate(autojump_clock: MockClock) -> None:
    async with in_session(Blocks(height=1)) as (end, peer):
        stream = await open_requests(peer)
        started_at = trio.current_time()
        for number in range(60):
            await ask_by_hand(stream, number, ask())
        async with trio.open_nursery() as nursery:

            async def stay_alive() -> None:
                while True:
                    await peer.say(Pong(0))
                    await trio.sleep(5.0)

            nursery.start_soon(stay_alive)
            while end.counts["requests_served"] < 60:
                await trio.sleep(0.05)
            nursery.cancel_scope.cancel()

        assert trio.current_time() - started_at == pytest.approx(40 / SERVED_PER_SECOND, abs=0.1)


async def test_a_peer_that_does_not_read_its_answer_is_disconnected(
    autojump_clock: MockClock,
) -> None:
    async with in_session(Blocks(height=64), window=100) as (end, peer):
        stream = await open_requests(peer)
        await ask_by_hand(stream, 1, ask(count=64))
        await ask_by_hand(stream, 2, ask(count=64))
        for _ in range(25):
            await peer.listen()
            await peer.say(Pong(0))
            await trio.sleep(1.0)

        assert end.session.ended == "does not read the answer it asked for"


@pytest.mark.parametrize("junk", [frame(b"\x07"), frame(Answer(1, []).encode()), b"\xff" * 4])
async def test_a_nonsensical_request_ends_the_session(junk: bytes) -> None:
    async with in_session() as (end, peer):
        stream = await open_requests(peer)
        await stream.write(junk)
        await wait_all_tasks_blocked()

        assert end.session.ended is not None
        assert end.reports == [-6_000]


async def test_a_peer_may_open_another_request_stream_but_not_many() -> None:
    async with in_session(Blocks(height=1)) as (end, peer):
        await open_requests(peer)
        second = await open_requests(peer)
        await ask_by_hand(second, 1, ask())
        assert isinstance(await answer_to(second), Answer)

        await open_requests(peer)
        await wait_all_tasks_blocked()

        assert end.session.ended is not None
        assert "one stream too many" in end.session.ended


async def test_a_second_notification_stream_ends_the_session() -> None:
    async with in_session() as (end, peer):
        await peer.link.open_stream(NOTIFY)
        await wait_all_tasks_blocked()

        assert end.session.ended is not None


def test_the_default_timing_finds_a_dead_peer_within_half_a_minute() -> None:
    timing = Timing()

    assert timing.ping_after_s + timing.pong_within_s <= 30.0
