"""Whom to dial when, on a simulated clock."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock

from p2p.dialer import (
    BACKOFF_RESERVED_MAX_S,
    COURTESY_S,
    FAILURES_TOLD_MAX,
    SESSION_GOOD_S,
    TOLD_MAX,
    Dialer,
)
from p2p.identity import PeerAddress, PeerId
from tests.p2p.nets import peer_of

PEERS = sorted(peer_of(number) for number in range(1, 6))
OWN, OTHERS = PEERS[0], PEERS[1:]  # the smallest id: it dials at once


def at(peer: PeerId) -> PeerAddress:
    return PeerAddress(peer, "ip4", "127.0.0.1", 1)


class World:
    """Answers dials as told and notes when they came."""

    def __init__(self, own: PeerId = OWN) -> None:
        self.dials: list[tuple[float, PeerId]] = []
        self.session_s: float | None = None  # None: cannot be reached
        self.allowed = True
        self.dialer = Dialer(own, self.dial, lambda *_: self.allowed, random.Random(1))
        self.started_at = trio.current_time()

    async def dial(self, address: PeerAddress) -> bool:
        self.dials.append((trio.current_time() - self.started_at, address.peer))
        await trio.sleep(self.session_s or 0.0)
        return self.session_s is not None

    def times(self) -> list[float]:
        return [time for time, _ in self.dials]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.dialer.run)
            yield
            nursery.cancel_scope.cancel()


async def test_all_peers_are_dialled_at_once(autojump_clock: MockClock) -> None:
    world = World()
    world.session_s = 1e6
    for peer in OTHERS:
        world.dialer.add(at(peer), is_reserved=True)

    async with world.running():
        await trio.sleep(1.0)

    assert sorted(world.dials) == [(0.0, peer) for peer in OTHERS]


async def test_the_greater_id_waits_a_moment(autojump_clock: MockClock) -> None:
    world = World(own=PEERS[-1])
    world.dialer.add(at(PEERS[0]))

    async with world.running():
        await trio.sleep(COURTESY_S + 0.1)

    assert world.times() == [COURTESY_S]


async def test_an_unreachable_reserved_peer_is_dialled_ever_more_rarely_but_for_ever(
    autojump_clock: MockClock,
) -> None:
    world = World()
    world.dialer.add(at(OTHERS[0]), is_reserved=True)

    async with world.running():
        await trio.sleep(600.0)

    pauses = [late - early for early, late in pairwise(world.times())]
    assert pauses[0] < 1.5
    assert max(pauses) <= 1.2 * BACKOFF_RESERVED_MAX_S
    assert min(pauses[8:]) >= 0.8 * BACKOFF_RESERVED_MAX_S
    assert len(pauses) > 30


async def test_after_a_good_session_a_peer_is_dialled_again_soon(
    autojump_clock: MockClock,
) -> None:
    world = World()
    world.dialer.add(at(OTHERS[0]), is_reserved=True)

    async with world.running():
        await trio.sleep(100.0)
        world.session_s = SESSION_GOOD_S + 1.0
        await trio.sleep(100.0)

    *_, last, newest = world.times()
    assert newest - last < SESSION_GOOD_S + 2.0


async def test_a_peer_that_hangs_up_at_once_is_not_dialled_all_the_time(
    autojump_clock: MockClock,
) -> None:
    world = World()
    world.session_s = 0.01
    world.dialer.add(at(OTHERS[0]), is_reserved=True)

    async with world.running():
        await trio.sleep(60.0)

    assert len(world.dials) < 12


async def test_a_peer_that_is_not_wanted_is_dialled_after_a_wake(
    autojump_clock: MockClock,
) -> None:
    world = World()
    world.allowed = False
    world.dialer.add(at(OTHERS[0]))

    async with world.running():
        await trio.sleep(50.0)
        assert world.dials == []
        world.allowed = True
        world.dialer.wake()
        await trio.sleep(0.1)

    assert len(world.dials) == 1


async def test_a_peer_that_others_told_of_is_forgotten_when_it_is_never_there(
    autojump_clock: MockClock,
) -> None:
    world = World()
    world.dialer.add(at(OTHERS[0]), is_configured=False)

    async with world.running():
        await trio.sleep(1e5)

    assert len(world.dials) == FAILURES_TOLD_MAX


async def test_told_addresses_are_bounded_and_do_not_replace_configured_ones(
    autojump_clock: MockClock,
) -> None:
    world = World()
    world.session_s = 1e6
    world.dialer.add(at(OTHERS[0]), is_reserved=True)
    elsewhere = PeerAddress(OTHERS[0], "ip4", "10.0.0.9", 9)
    world.dialer.add(elsewhere, is_configured=False)
    for number in range(TOLD_MAX + 20):
        world.dialer.add(at(peer_of(1_000 + number)), is_configured=False)

    async with world.running():
        await trio.sleep(COURTESY_S + 0.1)
        assert world.dialer.in_progress() == TOLD_MAX

    assert len(world.dials) == 1 + TOLD_MAX


async def test_we_do_not_dial_ourselves(autojump_clock: MockClock) -> None:
    world = World()
    world.dialer.add(at(OWN), is_reserved=True)

    async with world.running():
        await trio.sleep(10.0)

    assert world.dials == []


async def test_the_end_of_a_session_that_the_peer_dialled_is_followed_by_a_pause(
    autojump_clock: MockClock,
) -> None:
    world = World()
    world.allowed = False
    world.session_s = 1e6
    world.dialer.add(at(OTHERS[0]))

    async with world.running():
        await trio.sleep(10.0)
        world.allowed = True
        world.dialer.note_ended(OTHERS[0])
        await trio.sleep(5.0)

    assert world.times() == [pytest.approx(10.5, abs=0.11)]


async def test_a_peer_that_becomes_reserved_is_dialled_at_once_and_often(
    autojump_clock: MockClock,
) -> None:
    world = World()
    world.dialer.add(at(OTHERS[0]), is_configured=False)

    async with world.running():
        await trio.sleep(1_000.0)
        before = len(world.dials)
        world.dialer.reserve(at(OTHERS[0]))
        await trio.sleep(0.01)
        at_once = len(world.dials)
        await trio.sleep(1_000.0)

    assert before == FAILURES_TOLD_MAX
    assert at_once == before + 1
    assert len(world.dials) > at_once + 50


async def test_a_peer_that_is_no_longer_reserved_is_given_up_as_others_are(
    autojump_clock: MockClock,
) -> None:
    world = World()
    world.dialer.reserve(at(OTHERS[0]))

    async with world.running():
        await trio.sleep(500.0)
        world.dialer.release(OTHERS[0])
        await trio.sleep(100.0)
        count = len(world.dials)
        await trio.sleep(2_000.0)

    assert len(world.dials) == count
