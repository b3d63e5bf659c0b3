"""Whom to dial when: reserved peers always, others while outbound slots are free.

A peer that cannot be reached, or whose sessions end soon, is dialled ever more rarely; the waiting
time doubles up to a bound and is drawn a little apart, so that nodes that start together do not
knock together. There is no polling: the dialler sleeps until the next peer is due or `wake`.

Two nodes that dial each other at once would have two links. The one with the smaller id dials at
once, the other a moment later (and `network.py` closes the link that is too many).
"""

import logging
import math
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import trio

from p2p.identity import PeerAddress, PeerId, peer_text

log = logging.getLogger("p2p")

COURTESY_S = 0.5  # what the greater id waits before it dials
BACKOFF_FIRST_S = 0.5
BACKOFF_RESERVED_MAX_S = 15.0  # a validator that returns should vote within half a minute
BACKOFF_OTHERS_MAX_S = 300.0
SESSION_GOOD_S = 30.0  # after a session as long as this the waiting time starts anew
FAILURES_TOLD_MAX = 6  # of a peer that other peers told us; then it is forgotten
TOLD_MAX = 256  # peers that other peers told us


@dataclass(slots=True)
class _Target:
    address: PeerAddress
    is_reserved: bool
    is_configured: bool
    due_at: float
    failures: int = 0
    is_busy: bool = False
    """Being dialled, or in the session that came of it."""


class Dialer:
    """Keeps links to those we want to be connected to."""

    def __init__(
        self,
        own: PeerId,
        dial: Callable[[PeerAddress], Awaitable[bool]],
        may_dial: Callable[[PeerId, bool], bool],
        rng: random.Random,
    ) -> None:
        """`dial` connects, talks until the session ends, and says whether there was one.

        `may_dial(peer, is_reserved)` says whether a link to a peer is wanted right now.
        """
        self._own = own
        self._dial = dial
        self._may_dial = may_dial
        self._rng = rng
        self._targets: dict[PeerId, _Target] = {}
        self._wake = trio.Event()

    def add(
        self, address: PeerAddress, is_reserved: bool = False, is_configured: bool = True
    ) -> None:
        """Connect to a peer from now on. A configured address is not replaced by a told one."""
        known = self._targets.get(address.peer)
        if address.peer == self._own or (known is not None and known.is_configured):
            return
        if known is None and not is_configured and self._count_told() >= TOLD_MAX:
            return
        if known is None:
            courtesy = 0.0 if self._own < address.peer else COURTESY_S
            due_at = trio.current_time() + courtesy
            self._targets[address.peer] = _Target(address, is_reserved, is_configured, due_at)
        else:
            known.address = address
        self.wake()

    def reserve(self, address: PeerAddress) -> None:
        """Dial a peer whatever slots are free, at once and again and again."""
        known = self._targets.get(address.peer)
        if known is None:
            self.add(address, is_reserved=True)
            return
        known.address, known.is_reserved, known.is_configured = address, True, True
        known.due_at, known.failures = trio.current_time(), 0
        self.wake()

    def release(self, peer: PeerId) -> None:
        """Dial a peer as one that others told us."""
        target = self._targets.get(peer)
        if target is not None:
            target.is_reserved = target.is_configured = False

    def wake(self) -> None:
        """Something changed: a link ended, a slot is free, a peer is allowed again."""
        self._wake.set()

    def note_ended(self, peer: PeerId) -> None:
        """A session with the peer ended, whoever dialled: dial it again in a moment."""
        target = self._targets.get(peer)
        if target is not None:
            target.due_at = max(target.due_at, trio.current_time() + self._pause(target))
        self.wake()

    async def run(self) -> None:
        """Dial until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                self._wake = trio.Event()
                now, next_at = trio.current_time(), math.inf
                for target in list(self._targets.values()):
                    if target.is_busy:
                        continue
                    if target.due_at > now:
                        next_at = min(next_at, target.due_at)
                    elif self._may_dial(target.address.peer, target.is_reserved):
                        target.is_busy = True
                        nursery.start_soon(self._keep, target)
                with trio.move_on_at(next_at):
                    await self._wake.wait()

    def in_progress(self) -> int:
        """How many unreserved peers are being dialled or in a session we dialled for."""
        return sum(target.is_busy and not target.is_reserved for target in self._targets.values())

    def _count_told(self) -> int:
        return sum(not target.is_configured for target in self._targets.values())

    async def _keep(self, target: _Target) -> None:
        started_at = trio.current_time()
        try:
            is_met = await self._dial(target.address)
        finally:
            target.is_busy = False
        if is_met and trio.current_time() - started_at >= SESSION_GOOD_S:
            target.failures = 0
        else:
            target.failures += 1
        target.due_at = trio.current_time() + self._pause(target)
        if not target.is_configured and target.failures >= FAILURES_TOLD_MAX:
            log.debug("Peer %s is not dialled any more", peer_text(target.address.peer))
            del self._targets[target.address.peer]
        self.wake()

    def _pause(self, target: _Target) -> float:
        bound = BACKOFF_RESERVED_MAX_S if target.is_reserved else BACKOFF_OTHERS_MAX_S
        pause = min(BACKOFF_FIRST_S * 2.0 ** min(target.failures, 16), bound)
        return pause * self._rng.uniform(0.8, 1.2)
