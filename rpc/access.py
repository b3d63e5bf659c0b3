"""Who may call: checks on Host and Origin, and whether unsafe methods are served.

A page in a browser on this machine can reach a loopback port. Its Origin gives it away; and a
name that an attacker points at 127.0.0.1 (DNS rebinding) shows in Host. A literal IP address
cannot be rebound, so any is fine where the server listens to the outside.
"""

import ipaddress
import re
from collections.abc import Callable

from rpc.config import RpcConfig

PROXY_HEADERS = ("x-real-ip", "x-forwarded-for", "forwarded")
"""In the order in which they are looked at."""


class Access:
    """The policy of one server."""

    def __init__(self, config: RpcConfig) -> None:
        self._origins = config.origins
        self._limits = config.limits
        self.trusts_proxy_headers = config.limits.trusts_proxy_headers
        self._names = {"localhost", *(name.lower() for name in config.host_names)}
        self._is_exposed = not _is_loopback(config.host)
        self.allows_unsafe = config.methods == "unsafe" or (
            config.methods == "auto" and not self._is_exposed
        )

    def allows_host(self, host: str | None) -> bool:
        """Whether a Host header names this server. With all origins allowed, any does."""
        if self._origins is None:
            return True
        if host is None:
            return False
        name = _without_port(host).lower()
        if name in self._names:
            return True
        address = _address(name)
        return address is not None and (self._is_exposed or address.is_loopback)

    def allows_origin(self, origin: str | None) -> bool:
        """Whether a page of this origin may call. Programs send none."""
        if origin is None or self._origins is None:
            return True
        return any(_matches(pattern, origin.lower()) for pattern in self._origins)

    def is_unlimited(self, address: str, header: Callable[[str], str | None]) -> bool:
        """Whether a client may call as often as it likes.

        `header` looks up what the last proxy said of it; it counts only where that is trusted.
        """
        if self.trusts_proxy_headers:
            told = (_proxied(name, header(name)) for name in PROXY_HEADERS)
            address = next((found for found in told if found), address)
        client = _address(address)
        return client is not None and any(
            client in network for network in self._limits.unlimited_networks
        )


def _proxied(name: str, value: str | None) -> str | None:
    """The client's address in a header: its first, as the proxy nearest to the client saw it."""
    if value is None:
        return None
    first = value.partition(",")[0]
    if name == "forwarded":
        match = re.search(r'(?i)(?:^|;)\s*for="?([^";]+)', first)
        first = match[1] if match is not None else ""
    return _without_port(first.strip())


def _matches(pattern: str, origin: str) -> bool:
    if not pattern.endswith(":*"):
        return origin == pattern
    base = pattern[:-2]
    if origin == base:
        return True
    port = origin.removeprefix(base + ":")
    return port != origin and port.isdigit()


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)
