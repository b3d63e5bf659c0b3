"""How far our clock is from our peers', so that a wrong clock does not author.

What a peer says of its clock, in its status or by the slot of a block, is old when it arrives, by
an unknown time: it is a lower bound of how far the peer is ahead of us. So the greatest of them
counts. Offsets are kept against our monotonic clock: when our wall clock is set, they follow.

Our clock is never set by this: a peer could lie. We are one of those whose median counts, so that
one peer alone changes nothing.
"""

from dataclasses import dataclass

from consensus.events import PeerId


@dataclass(slots=True)
class _PeerClock:
    ahead_ms: int
    """Its wall clock minus our monotonic one, at least."""

    has_announced: bool = False


class ClockOffset:
    """The clocks of all peers."""

    def __init__(self) -> None:
        self._peers: dict[PeerId, _PeerClock] = {}

    def connected(self, peer: PeerId, peer_wall_ms: int, now_ms: int) -> None:
        """A peer wrote its clock into its status."""
        self._peers[peer] = _PeerClock(peer_wall_ms - now_ms)

    def gone(self, peer: PeerId) -> None:
        """A peer has left."""
        self._peers.pop(peer, None)

    def announced(self, peer: PeerId, slot_start_ms: int, now_ms: int) -> None:
        """A peer announced a new block, so its slot has begun by its author's clock."""
        clock = self._peers.get(peer)
        if clock is not None:
            clock.ahead_ms = max(clock.ahead_ms, slot_start_ms - now_ms)
            clock.has_announced = True

    def offset_ms(self, now_ms: int, wall_ms: int) -> int:
        """How far the peers' clocks are ahead of ours, by the median with ourselves among them."""
        offsets = [0]
        for clock in self._peers.values():
            ahead_ms = clock.ahead_ms - (wall_ms - now_ms)
            # Behind us by its status alone may only mean that we were slow to read it.
            offsets.append(ahead_ms if ahead_ms > 0 or clock.has_announced else 0)
        offsets.sort()
        low, high = offsets[(len(offsets) - 1) // 2], offsets[len(offsets) // 2]
        return min(low, high, key=abs)
