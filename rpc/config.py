"""Settings of the RPC server; defaults are polkadot-sdk's unless a line says otherwise."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

MIB = 1 << 20

DEFAULT_ORIGINS = (
    "http://localhost:*",
    "http://127.0.0.1:*",
    "https://localhost:*",
    "https://127.0.0.1:*",
    "https://polkadot.js.org",
)

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

MethodSet = Literal["auto", "safe", "unsafe"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on what clients may ask, each a flag of the node."""

    connections_max: int = 100
    request_bytes_max: int = 15 * MIB
    response_bytes_max: int = 15 * MIB
    subscriptions_max: int = 1_024
    """Per connection."""
    message_buffer: int = 64
    """Messages waiting for one client; a client that lags further behind is cut."""
    batch_max: int = 1_024
    """Calls in a batch, 0 for no batches; polkadot-sdk has no bound but the request's size."""
    calls_max: int = 32
    """Calls of one connection that run at once; a browser's start-up sends about twenty."""
    calls_per_minute_max: int | None = None
    """Calls that one connection may make, on average and at once; None is no limit."""
    unlimited_networks: Sequence[IpNetwork] = ()
    """Clients from there may make any number of calls."""
    trusts_proxy_headers: bool = False
    """Whether those headers tell the client's address, because a proxy of ours sets them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds that a client may take; none is a flag."""

    head: float = 10
    """From the first byte of a request to the end of its headers."""
    body: float = 60
    """For the rest of a request or of a WebSocket message: 15 MiB at 2 Mbit/s."""
    idle: float = 60
    """Between two HTTP requests of a connection."""
    send: float = 30
    """For the client to take 64 KiB."""
    ping: float = 30
    """Silence after which a WebSocket is asked whether it lives, as in polkadot-sdk."""
    silence: float = 60
    """Silence after which a WebSocket is given up, as in polkadot-sdk."""
    close: float = 2
    """For the closing handshake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RpcConfig:
    """Where and for whom the server listens."""

    host: str = "127.0.0.1"
    port: int = 9944
    """0 lets the system choose."""
    methods: MethodSet = "auto"
    """`auto` serves unsafe methods only while listening on a loopback address."""
    origins: Sequence[str] | None = DEFAULT_ORIGINS
    """Origins of web pages that may call; `:*` stands for any port. None allows all."""
    host_names: Sequence[str] = ()
    """Further names by which clients may reach this server."""
    limits: Limits = Limits()
    timeouts: Timeouts = Timeouts()
