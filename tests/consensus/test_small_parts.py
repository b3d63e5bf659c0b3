"""Outbox, announces and the offset of our clock."""

from consensus.announces import KNOWN_PER_PEER_MAX, Announces
from consensus.clock_offset import ClockOffset
from consensus.effects import DeleteVoter, Persist, PutVoter, Send, SetTimer
from consensus.events import Committed, Signed, TimerName
from consensus.outbox import Outbox
from runtime.primitives.block import Digest, Header

ZERO = bytes(32)


def test_synced_writes_of_one_event_are_one_batch_in_the_place_of_the_first() -> None:
    outbox, done = Outbox(), list[object]()
    outbox.persist([PutVoter(b"a", b"1")])
    outbox.persist_synced([PutVoter(b"b", b"2")], lambda entropy: done.append(("b", entropy)))
    outbox.set_timer(TimerName.SLOT, 5)
    outbox.persist_synced([DeleteVoter(b"c")], lambda entropy: done.append(("c", entropy)))

    effects = outbox.drain()

    assert [type(effect) for effect in effects] == [Persist, Persist, SetTimer]
    synced = effects[1]
    assert isinstance(synced, Persist)
    assert synced.is_synced
    assert synced.operations == (PutVoter(b"b", b"2"), DeleteVoter(b"c"))
    assert done == []
    outbox.committed(Committed(synced.batch_id, 7))
    outbox.committed(Committed(synced.batch_id, 8))
    assert done == [("b", 7), ("c", 7)]


def test_answers_nobody_waits_for_are_ignored() -> None:
    outbox = Outbox()

    outbox.committed(Committed(99, 0))
    outbox.signed(Signed(99, b"s"))

    assert outbox.drain() == []


def test_a_timer_is_set_once_for_one_time() -> None:
    outbox = Outbox()
    outbox.set_timer(TimerName.ROUND, 5)
    outbox.set_timer(TimerName.ROUND, 5)
    assert outbox.drain() == [SetTimer(TimerName.ROUND, 5)]

    outbox.timer_fired(TimerName.ROUND)
    outbox.set_timer(TimerName.ROUND, 5)

    assert outbox.drain() == [SetTimer(TimerName.ROUND, 5)]


def test_a_block_is_announced_once_to_those_who_lack_it() -> None:
    outbox = Outbox()
    announces = Announces(outbox)
    header = Header(ZERO, 1, ZERO, ZERO, Digest([]))
    announces.connected(b"a", b"best of a")
    announces.connected(b"b", header.hash())
    announces.connected(b"c", ZERO)
    announces.gone(b"c")

    announces.announce(header.hash(), header, True)
    announces.announce(header.hash(), header, True)
    announces.note(b"stranger", header.hash())

    (send,) = outbox.drain()
    assert isinstance(send, Send)
    assert send.peers == (b"a",)


def test_what_a_peer_knows_is_remembered_for_the_last_blocks_only() -> None:
    outbox = Outbox()
    announces = Announces(outbox)
    announces.connected(b"a", b"best of a")
    header = Header(ZERO, 1, ZERO, ZERO, Digest([]))
    announces.note(b"a", header.hash())

    for i in range(KNOWN_PER_PEER_MAX):
        announces.note(b"a", i.to_bytes(32, "big"))
    announces.announce(header.hash(), header, True)

    assert len(outbox.drain()) == 1


WINDOW_MS = 16_000


def test_the_offset_is_the_median_with_ourselves_among_it() -> None:
    clock = ClockOffset(WINDOW_MS)
    wall = 1_000_000
    clock.connected(b"a", wall + 5_000, now_ms=0)
    assert clock.offset_ms(0, wall) == 0  # one peer alone proves nothing

    clock.connected(b"b", wall + 4_000, now_ms=0)
    assert clock.offset_ms(0, wall) == 4_000
    clock.connected(b"c", wall, now_ms=0)
    assert clock.offset_ms(0, wall) == 0
    clock.gone(b"c")
    clock.gone(b"a")
    assert clock.offset_ms(0, wall) == 0


def test_the_offset_follows_when_our_clock_is_set() -> None:
    clock = ClockOffset(WINDOW_MS)
    for peer in (b"a", b"b"):
        clock.connected(peer, 1_010_000, now_ms=0)
    assert clock.offset_ms(0, 1_000_000) == 10_000

    assert clock.offset_ms(500, 1_010_500) == 0


def test_a_status_that_was_read_late_is_corrected_by_the_next_block() -> None:
    clock = ClockOffset(WINDOW_MS)
    for peer in (b"a", b"b"):
        clock.connected(peer, 1_000_000, now_ms=3_000)  # our wall clock says 1_003_000
    assert clock.offset_ms(3_000, 1_003_000) == 0  # behind by its status alone

    for peer in (b"a", b"b"):
        clock.announced(peer, 1_005_900, now_ms=6_000)

    assert clock.offset_ms(6_000, 1_006_000) == -100


def test_a_clock_that_is_ahead_of_all_blocks_is_noticed() -> None:
    clock = ClockOffset(WINDOW_MS)
    for peer in (b"a", b"b"):
        clock.connected(peer, 1_000_000, now_ms=0)
        clock.announced(peer, 1_002_000, now_ms=2_000)
    clock.announced(b"stranger", 0, 0)

    assert clock.offset_ms(2_000, 1_009_000) == -7_000


def test_what_was_said_long_ago_counts_no_more() -> None:
    clock = ClockOffset(WINDOW_MS)
    for peer in (b"a", b"b"):
        clock.connected(peer, 1_000_000, now_ms=0)
        clock.announced(peer, 1_002_000, now_ms=2_000)
    hour = 3_600_000  # by which all clocks are set ahead
    assert clock.offset_ms(7_000, 1_007_000 + hour) == -hour

    clock.announced(b"a", 1_010_000 + hour, now_ms=10_000)

    assert clock.offset_ms(10_000, 1_010_000 + hour) == 0
    assert clock.offset_ms(20_000, 1_020_000 + hour) == 0


def test_a_late_block_does_not_outweigh_one_that_was_in_time() -> None:
    clock = ClockOffset(WINDOW_MS)
    for peer in (b"a", b"b"):
        clock.connected(peer, 1_000_000, now_ms=0)
        clock.announced(peer, 1_007_900, now_ms=7_900)
        clock.announced(peer, 1_004_000, now_ms=8_100)

    assert clock.offset_ms(8_200, 1_008_200) == 0
