"""How many calls a client may make: the rate limit of one connection, off by default.

A connection may spend a minute's calls at once and then gets them back evenly. polkadot-sdk lets a
call wait a moment before it refuses it; here it is refused at once, with the same error.
"""

import trio

from rpc.jsonrpc import RpcError

RATE_LIMITED = -32_999  # polkadot-sdk's own code


class Quota:
    """The calls one connection has left."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._left = float(per_minute)
        self._counted_at = trio.current_time()

    def spend(self) -> None:
        """Count one call. Raises `RpcError` when none is left."""
        now = trio.current_time()
        regained = (now - self._counted_at) * self._per_minute / 60
        self._left = min(self._left + regained, float(self._per_minute))
        self._counted_at = now
        if self._left < 1:
            data = f"Exceeded max limit of {self._per_minute} calls a minute"
            raise RpcError(RATE_LIMITED, "RPC rate limit exceeded", data)
        self._left -= 1
