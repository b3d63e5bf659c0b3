"""A token bucket: how much a peer may use, on average and at once."""

import trio


class TokenBucket:
    """Fills by `per_second` up to `burst`; who takes more than there is waits."""

    def __init__(self, per_second: float, burst: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._tokens = burst
        self._at = trio.current_time()

    async def take(self, amount: float) -> None:
        """Take tokens, waiting until the debt is paid. The wait slows the taker's own loop."""
        now = trio.current_time()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_second)
        self._at = now
        self._tokens -= amount
        if self._tokens < 0:
            await trio.sleep(-self._tokens / self._per_second)
