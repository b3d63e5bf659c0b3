"""Transactions travel in batches, once to each peer, and never hold up consensus."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from node import gossip
from node.gossip import (
    BAD_TRANSACTION,
    GOOD_TRANSACTION,
    UNFIT_TRANSACTION,
    TransactionGossip,
)
from node.pool import Pool
from p2p.messages import Transactions
from p2p.peers import Reputations
from tests.node.test_pool import Chain, digest, make, xt

ALICE, BOB = b"alice", b"bob"


class Peers:
    """What was sent to whom, and reported of whom."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, list[bytes]]] = []
        self.reports: list[tuple[bytes, int]] = []

    def send(self, peer: bytes, message: Transactions) -> None:
        self.sent.append((peer, message.extrinsics))

    def report(self, peer: bytes, delta: int, _reason: str) -> None:
        self.reports.append((peer, delta))

    def take(self) -> list[tuple[bytes, list[bytes]]]:
        sent, self.sent = self.sent, []
        return sent


@asynccontextmanager
async def running(*connected: bytes) -> AsyncIterator[tuple[TransactionGossip, Pool, Peers, Chain]]:
    chain, peers = Chain(), Peers()
    pool = make(chain)
    under_test = TransactionGossip(peers, pool)
    for peer in connected:
        under_test.peer_connected(peer)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(under_test.run)
        yield under_test, pool, peers, chain
        nursery.cancel_scope.cancel()


def submit(under_test: TransactionGossip, pool: Pool, *extrinsics: bytes) -> None:
    for extrinsic in extrinsics:
        under_test.pass_on(pool.submit(extrinsic), extrinsic)


async def test_a_burst_leaves_as_one_message_to_each_peer(autojump_clock: MockClock) -> None:
    async with running(ALICE, BOB) as (under_test, pool, peers, _):
        burst = [xt(1, nonce) for nonce in range(9)]
        submit(under_test, pool, *burst)
        await trio.sleep(1.0)

        assert peers.sent == [(ALICE, burst), (BOB, burst)]


async def test_what_a_peer_sent_goes_into_the_pool_and_to_the_others(
    autojump_clock: MockClock,
) -> None:
    async with running(ALICE, BOB) as (under_test, pool, peers, _):
        under_test.take(ALICE, Transactions([xt(1, 0), xt(1, 1)]))
        await trio.sleep(1.0)

        assert pool.pending() == [xt(1, 0), xt(1, 1)]
        assert peers.sent == [(BOB, [xt(1, 0), xt(1, 1)])]
        assert peers.reports == [(ALICE, GOOD_TRANSACTION)] * 2


async def test_a_peer_that_sends_what_was_about_to_go_to_it_does_not_get_it_back(
    autojump_clock: MockClock,
) -> None:
    async with running(ALICE, BOB) as (under_test, _pool, peers, _):
        under_test.take(ALICE, Transactions([xt(1, 0)]))
        await trio.testing.wait_all_tasks_blocked()
        under_test.take(BOB, Transactions([xt(1, 0)]))
        await trio.sleep(1.0)

        assert peers.sent == []
        assert peers.reports == [(ALICE, GOOD_TRANSACTION)]


async def test_a_forged_transaction_costs_its_sender_and_goes_nowhere(
    autojump_clock: MockClock,
) -> None:
    async with running(ALICE, BOB) as (under_test, pool, peers, chain):
        chain.forged.add(xt(1, 0))
        under_test.take(ALICE, Transactions([xt(1, 0)]))
        await trio.sleep(1.0)

        assert len(pool) == 0
        assert peers.sent == []
        assert peers.reports == [(ALICE, BAD_TRANSACTION)]


async def test_a_peer_whose_whole_pool_is_outdated_is_not_banned_for_it(
    autojump_clock: MockClock,
) -> None:
    async with running(ALICE) as (under_test, pool, peers, chain):
        standing = Reputations((), trio.current_time)
        outdated = [xt(sender, nonce) for sender in range(200) for nonce in range(24)]
        for sender in range(200):
            chain.nonces[sender] = 24
        for place in range(0, len(outdated), 100):
            under_test.take(ALICE, Transactions(outdated[place : place + 100]))
        await trio.sleep(1.0)

        assert len(pool) == 0
        assert peers.reports == [(ALICE, UNFIT_TRANSACTION)] * len(outdated)
        assert not any(standing.report(*report) for report in peers.reports)


async def test_what_was_included_meanwhile_does_not_travel(autojump_clock: MockClock) -> None:
    async with running(ALICE) as (under_test, pool, peers, chain):
        submit(under_test, pool, xt(1, 0), xt(2, 0))
        chain.include(pool, 1, b"block", xt(1, 0))
        await trio.sleep(1.0)

        assert peers.sent == [(ALICE, [xt(2, 0)])]


async def test_a_peer_that_connects_gets_what_is_ready_once(autojump_clock: MockClock) -> None:
    async with running() as (under_test, pool, peers, _):
        submit(under_test, pool, xt(1, 0), xt(1, 1), xt(2, 7))
        await trio.sleep(1.0)
        assert peers.take() == []

        under_test.peer_connected(ALICE)
        assert peers.take() == [(ALICE, [xt(1, 0), xt(1, 1)])]  # the third waits for others

        submit(under_test, pool, xt(3, 0))
        await trio.sleep(1.0)
        assert peers.take() == [(ALICE, [xt(3, 0)])]


async def test_a_peer_that_comes_back_is_told_anew(autojump_clock: MockClock) -> None:
    async with running(ALICE) as (under_test, pool, peers, _):
        submit(under_test, pool, xt(1, 0))
        await trio.sleep(1.0)
        under_test.peer_gone(ALICE)
        under_test.peer_connected(ALICE)

        assert peers.sent == [(ALICE, [xt(1, 0)])] * 2


async def test_batches_are_bounded(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gossip, "BATCH_COUNT_MAX", 3)
    monkeypatch.setattr(gossip, "BATCH_BYTES_MAX", 500)
    async with running(ALICE) as (under_test, pool, peers, _):
        small = [xt(1, nonce) for nonce in range(4)]
        large = [xt(2, nonce, filler=400) for nonce in range(2)]
        submit(under_test, pool, *small, *large)
        await trio.sleep(1.0)

        assert [sent for _, sent in peers.sent] == [small[:3], [small[3], large[0]], [large[1]]]


async def test_a_flood_is_dropped_and_not_waited_for(autojump_clock: MockClock) -> None:
    async with running(ALICE) as (under_test, pool, _peers, _):
        for number in range(gossip.QUEUE_MAX + 50):
            under_test.take(ALICE, Transactions([xt(number % 200, number // 200)]))
        await trio.sleep(1.0)

        assert len(pool) == gossip.QUEUE_MAX


async def test_a_transaction_that_must_not_travel_stays(autojump_clock: MockClock) -> None:
    async with running(ALICE) as (under_test, pool, peers, _):
        taken = pool.submit(xt(1, 0))
        entry = pool.get(taken)
        assert entry is not None
        entry.validity.propagate = False  # type: ignore[misc]
        under_test.pass_on(taken, xt(1, 0))
        under_test.pass_on(digest(xt(9, 9)), xt(9, 9))  # not in the pool at all
        await trio.sleep(1.0)

        assert peers.sent == []


async def test_what_is_known_of_a_peer_is_bounded(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gossip, "KNOWN_MAX", 5)
    async with running(ALICE) as (under_test, pool, _peers, _):
        submit(under_test, pool, *(xt(1, nonce) for nonce in range(20)))
        await trio.sleep(1.0)

        assert len(under_test._known[ALICE]) == 5


async def test_what_stays_ready_for_long_is_sent_again(autojump_clock: MockClock) -> None:
    async with running(ALICE) as (under_test, pool, peers, chain):
        submit(under_test, pool, xt(1, 0), xt(2, 0))
        await trio.sleep(gossip.REPEAT_S + 1)
        chain.include(pool, 1, b"block", xt(2, 0))
        peers.take()

        await trio.sleep(gossip.REPEAT_S)

        assert peers.take() == [(ALICE, [xt(1, 0)])]
