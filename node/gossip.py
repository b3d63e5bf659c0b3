"""Passes transactions between the pool and the peers.

What a peer sends goes into the pool; what the pool takes, from a peer or from RPC, is sent to the
peers that are not known to have it. Both happen beside consensus: a flood of transactions delays
no vote, since it waits in a bounded queue of its own and is dropped when that is full.

Transactions leave in batches, a moment after they came, so that a burst of a thousand is a few
messages and a peer that has sent us one meanwhile does not get it back. A peer that connects is
sent what is ready: it may have been away when they were passed on. What stays ready for long is
sent again to everybody, some at a time: a full pool or queue may have refused it.

Source: sc-network-transactions, whose reputation changes these are, but for what may have been
valid where the peer stands: that says little of the peer.
"""

import logging
from collections import OrderedDict
from collections.abc import Iterable
from typing import Protocol

import trio

from node.chain import extrinsic_hash
from node.pool import (
    AlreadyImported,
    ForgedExtrinsic,
    InvalidExtrinsic,
    MalformedExtrinsic,
    Pool,
    PoolError,
)
from p2p.messages import Transactions
from runtime.primitives.types import Hash

log = logging.getLogger("sync")

GOOD_TRANSACTION, BAD_TRANSACTION = 8, -128

UNFIT_TRANSACTION = -1
"""One that the best block does not admit. An honest peer that is some blocks behind or ahead, or
passes on what piled up while no blocks were made, sends thousands; a flood of 200 a second bans."""

BATCH_PAUSE_S = 0.05  # a fortieth of the devnet's slot
BATCH_BYTES_MAX = 256 << 10  # well below a frame, and a vote need not wait long behind it
BATCH_COUNT_MAX = 512
INTRODUCTION_BYTES_MAX = 2 << 20  # a quarter of what may wait for one peer
REPEAT_S = 15.0  # several blocks: what is still ready then has probably been lost somewhere
REPEAT_COUNT_MAX = 128  # of the oldest; those behind them follow when these are included
QUEUE_MAX = 256  # messages of peers that wait for the pool
KNOWN_MAX = 4_096  # hashes remembered of one peer: half a full pool


class Peers(Protocol):
    """What gossip asks of the network."""

    def send(self, peer: bytes, message: Transactions) -> None:
        """Queue a message."""
        ...

    def report(self, peer: bytes, delta: int, reason: str) -> None:
        """Change a peer's reputation."""
        ...


class TransactionGossip:
    """Which peer knows which transaction, and what has to be sent."""

    def __init__(self, peers: Peers, pool: Pool) -> None:
        self._peers = peers
        self._pool = pool
        self._known: dict[bytes, OrderedDict[Hash, None]] = {}
        self._fresh: dict[Hash, bytes] = {}
        """Taken into the pool and not yet passed on."""

        self._work = trio.Event()
        self._to_pool, self._from_peers = trio.open_memory_channel[tuple[bytes, Transactions]](
            QUEUE_MAX
        )

    def pass_on(self, digest: Hash, extrinsic: bytes) -> None:
        """The pool has taken an extrinsic: the peers should have it too."""
        entry = self._pool.get(digest)
        if entry is None or not entry.validity.propagate:
            return
        self._fresh[digest] = extrinsic
        self._work.set()

    def take(self, peer: bytes, message: Transactions) -> None:
        """A peer sent transactions."""
        try:
            self._to_pool.send_nowait((peer, message))
        except trio.WouldBlock:
            log.debug("%d transactions are dropped: too many wait", len(message.extrinsics))

    def peer_connected(self, peer: bytes) -> None:
        """A new peer gets what is ready, with what others require first."""
        self._known[peer] = OrderedDict()
        ready: list[tuple[Hash, bytes]] = []
        size = 0
        for entry in self._pool.ready():
            if entry.validity.propagate:
                size += len(entry.extrinsic)
                if size > INTRODUCTION_BYTES_MAX:
                    break
                ready.append((entry.hash, entry.extrinsic))
        self._send(peer, ready)

    def peer_gone(self, peer: bytes) -> None:
        """Nothing is remembered of it."""
        self._known.pop(peer, None)

    async def run(self) -> None:
        """Work until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._fill_pool)
            nursery.start_soon(self._flush)
            nursery.start_soon(self._repeat)

    async def _fill_pool(self) -> None:
        async for peer, message in self._from_peers:
            for extrinsic in message.extrinsics:
                self._take_in(peer, extrinsic)
                # Each is validated here and now: others may run in between.
                await trio.lowlevel.checkpoint()

    def _take_in(self, peer: bytes, extrinsic: bytes) -> None:
        digest = extrinsic_hash(extrinsic)
        self._note(peer, digest)
        try:
            self._pool.submit(extrinsic)
        except AlreadyImported:
            return
        except (MalformedExtrinsic, ForgedExtrinsic):
            self._peers.report(peer, BAD_TRANSACTION, "a transaction that was never valid")
            return
        except InvalidExtrinsic:
            self._peers.report(peer, UNFIT_TRANSACTION, "transactions that are not valid here")
            return
        except PoolError:
            return
        self._peers.report(peer, GOOD_TRANSACTION, "a new transaction")
        self.pass_on(digest, extrinsic)

    async def _flush(self) -> None:
        while True:
            await self._work.wait()
            await trio.sleep(BATCH_PAUSE_S)
            self._work = trio.Event()
            fresh, self._fresh = self._fresh, {}
            # What was included or dropped meanwhile need not travel.
            waiting = [(digest, xt) for digest, xt in fresh.items() if self._pool.contains(digest)]
            for peer in list(self._known):
                self._send(peer, waiting)
            if self._known:
                for digest, _ in waiting:
                    self._pool.broadcast(digest)

    async def _repeat(self) -> None:
        waited: frozenset[Hash] = frozenset()
        while True:
            await trio.sleep(REPEAT_S)
            ready = [entry for entry in self._pool.ready() if entry.validity.propagate]
            again = [(entry.hash, entry.extrinsic) for entry in ready if entry.hash in waited]
            for peer, known in self._known.items():
                for digest, _ in again[:REPEAT_COUNT_MAX]:
                    known.pop(digest, None)
                self._send(peer, again[:REPEAT_COUNT_MAX])
            waited = frozenset(entry.hash for entry in ready)

    def _send(self, peer: bytes, transactions: Iterable[tuple[Hash, bytes]]) -> None:
        known = self._known[peer]
        missing = [(digest, extrinsic) for digest, extrinsic in transactions if digest not in known]
        batch: list[bytes] = []
        size = 0
        for digest, extrinsic in missing:
            self._note(peer, digest)
            if batch and (len(batch) == BATCH_COUNT_MAX or size + len(extrinsic) > BATCH_BYTES_MAX):
                self._peers.send(peer, Transactions(batch))
                batch, size = [], 0
            batch.append(extrinsic)
            size += len(extrinsic)
        if batch:
            self._peers.send(peer, Transactions(batch))

    def _note(self, peer: bytes, digest: Hash) -> None:
        known = self._known.get(peer)
        if known is None:
            return
        known[digest] = None
        known.move_to_end(digest)
        if len(known) > KNOWN_MAX:
            known.popitem(last=False)
