"""How far our clock is from our peers', so that a wrong clock does not author.

What a peer says of its clock, in its status or by the slot of a block, is old when it arrives, by
an unknown time: it is a lower bound of how far the peer is ahead of us. So the greatest of them
counts. Offsets are kept against our monotonic clock: when our wall clock is set, they follow.

What was said counts for a while only. All clocks may be set at once, as those of one machine are
when it wakes up: by what was said before each node would take its own for wrong, and wait for
another to author, for ever.

Our clock is never set by this: a peer could lie. We are one of those whose median counts, so that
one peer alone changes nothing.
"""

from dataclasses import dataclass

from consensus.events import PeerId


@dataclass(slots=True)
class _PeerClock:
    """Its wall clock minus our monotonic one, at least; None when it has not said it lately.

    Kept for two halves of the window, so that only the older one is ever forgotten.
    """

    since_ms: int
    """When the recent half began."""

    recent_ms: int | None = None
    before_ms: int | None = None
    has_announced: bool = False

    def say(self, ahead_ms: int) -> None:
        """The greatest bound counts."""
        self.recent_ms = ahead_ms if self.recent_ms is None else max(self.recent_ms, ahead_ms)

    def forget_old(self, now_ms: int, half_ms: int) -> None:
        """Begin a new half when the recent one is over."""
        age_ms = now_ms - self.since_ms
        if age_ms >= half_ms:
            self.before_ms = self.recent_ms if age_ms < 2 * half_ms else None
            self.recent_ms, self.since_ms = None, now_ms

    @property
    def ahead_ms(self) -> int | None:
        """What it said lately."""
        said = [ahead_ms for ahead_ms in (self.recent_ms, self.before_ms) if ahead_ms is not None]
        return max(said, default=None)


class ClockOffset:
    """The clocks of all peers. What one of them says counts for `window_ms` at most."""

    def __init__(self, window_ms: int) -> None:
        self._half_ms = window_ms // 2
        self._peers: dict[PeerId, _PeerClock] = {}

    def connected(self, peer: PeerId, peer_wall_ms: int, now_ms: int) -> None:
        """A peer wrote its clock into its status."""
        self._peers[peer] = _PeerClock(now_ms, peer_wall_ms - now_ms)

    def gone(self, peer: PeerId) -> None:
        """A peer has left."""
        self._peers.pop(peer, None)

    def announced(self, peer: PeerId, slot_start_ms: int, now_ms: int) -> None:
        """A peer announced a new block, so its slot has begun by its author's clock."""
        clock = self._peers.get(peer)
        if clock is not None:
            clock.forget_old(now_ms, self._half_ms)
            clock.say(slot_start_ms - now_ms)
            clock.has_announced = True

    def offset_ms(self, now_ms: int, wall_ms: int) -> int:
        """How far the peers' clocks are ahead of ours, by the median with ourselves among them.

        Who has not said anything lately does not count.
        """
        offsets = [0]
        for clock in self._peers.values():
            clock.forget_old(now_ms, self._half_ms)
            said_ms = clock.ahead_ms
            if said_ms is not None:
                ahead_ms = said_ms - (wall_ms - now_ms)
                # Behind us by its status alone may only mean that we were slow to read it.
                offsets.append(ahead_ms if ahead_ms > 0 or clock.has_announced else 0)
        offsets.sort()
        low, high = offsets[(len(offsets) - 1) // 2], offsets[len(offsets) // 2]
        return min(low, high, key=abs)
