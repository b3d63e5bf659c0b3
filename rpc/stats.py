"""What the RPC server has done so far, for the metrics endpoint to read."""

from collections import Counter
from dataclasses import dataclass, field

UNKNOWN_METHOD = "unknown"  # names that clients make up must not make up label values


@dataclass(slots=True)
class RpcStats:
    """Counters since the start, and how many WebSockets are open."""

    calls_started: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    """By (protocol, method); protocol is `http` or `ws`."""
    calls_finished: Counter[tuple[str, str, bool]] = field(
        default_factory=Counter[tuple[str, str, bool]]
    )
    """By (protocol, method, is_error)."""
    rejected: Counter[str] = field(default_factory=Counter[str])
    """By reason: connections, host, origin, request_size, timeout, protocol."""
    sessions_opened: int = 0
    sessions_closed: int = 0
    connections: int = 0
    slow_consumers_dropped: int = 0

    @property
    def ws_clients(self) -> int:
        """Open WebSockets."""
        return self.sessions_opened - self.sessions_closed
