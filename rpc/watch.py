"""One clock for all connections: what takes too long is ended, and the silent are asked.

A deadline around each read costs a fifth of a cheap call. So connections only note what they wait
for, and one task looks at all of them twice a second.
"""

from typing import Protocol

import trio

TICK_S = 0.5  # how much later than its time a deadline may be kept


class Watched(Protocol):
    """A connection under watch."""

    def tick(self, now: float) -> None:
        """Time has passed; end what is overdue."""
        ...


class Watch:
    """Tells connections of the time."""

    def __init__(self) -> None:
        self._watched: dict[Watched, None] = {}

    def add(self, watched: Watched) -> None:
        """Watch a connection from now on."""
        self._watched[watched] = None

    def remove(self, watched: Watched) -> None:
        """The connection ended."""
        self._watched.pop(watched, None)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await trio.sleep(TICK_S)
            now = trio.current_time()
            for watched in list(self._watched):
                watched.tick(now)
