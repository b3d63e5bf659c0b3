"""The two clocks of a node, handed to whoever needs one.

Slots follow the wall clock (Unix time); timeouts follow the monotonic clock, which a jump of the
wall clock does not move. Nothing else in the node reads the time.
"""

import time
from typing import Protocol


class Clock(Protocol):
    """Both times in integer milliseconds."""

    def wall_ms(self) -> int:
        """Unix time in ms, UTC; may jump."""
        ...

    def monotonic_ms(self) -> int:
        """Ms since an arbitrary start; never goes back."""
        ...


class SystemClock:
    """The machine's clocks. `offset_ms` shifts the wall clock, for drills with a wrong clock."""

    def __init__(self, offset_ms: int = 0) -> None:
        self._offset_ms = offset_ms

    def wall_ms(self) -> int:
        """Unix time in ms, shifted by the offset."""
        return time.time_ns() // 1_000_000 + self._offset_ms

    def monotonic_ms(self) -> int:
        """Ms of the monotonic clock."""
        return time.monotonic_ns() // 1_000_000
