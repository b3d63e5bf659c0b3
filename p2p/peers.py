"""What we think of each peer, and how many of each we keep: reputation, bans, slots, addresses.

Invariant: what is remembered is bounded, whatever peers do. A reserved peer is never banned and
takes no slot; a ban of a validator would be a way to attack finality.

A reputation is a number that good and bad conduct move (the deltas are Substrate's and stand with
those who report) and that decays towards 0 by 2 % a second, as Substrate's. Below `BAN_BELOW` the
peer is banned for an hour. Substrate bans at 71 % of the smallest i32, too slow for a small net.

Source: Substrate's sc-network, peer_store.
"""

import ipaddress
import math
from collections.abc import Callable, Container
from dataclasses import dataclass

from p2p.identity import PeerAddress, PeerId

BAN_BELOW = -10_000
BAN_SECONDS = 3_600.0
DECAY_PER_SECOND = 0.98
REPUTATION_MAX = 10_000  # so that a long good life does not buy many offences
REMEMBERED_MAX = 4_096  # reputations; an id is free to make, so the oldest are forgotten
ADDRESSES_KNOWN_MAX = 256
PER_SUBNET_MAX = 3  # inbound peers of one public /24 or /48, which is cheap to fill

UNDECODABLE = -6_000
"""A frame that is no message. Two within a quarter of a minute are a ban."""

BAD_FRAME = -6_000
"""A frame that is too long or never completed."""

UNRESPONSIVE = -100
"""A request not answered in time."""


@dataclass(slots=True)
class _Standing:
    reputation: float
    at: float
    """When `reputation` was computed."""

    banned_until: float = -math.inf


class Reputations:
    """The standing of peers, by id."""

    def __init__(self, reserved: Container[PeerId], clock: Callable[[], float]) -> None:
        self._reserved = reserved
        """Never banned; it may change."""

        self._clock = clock
        self._standings: dict[PeerId, _Standing] = {}

    def reputation(self, peer: PeerId) -> int:
        """What a peer's conduct adds up to now, 0 for a stranger."""
        standing = self._standings.get(peer)
        return 0 if standing is None else int(self._decayed(standing))

    def report(self, peer: PeerId, delta: int) -> bool:
        """Add to a peer's reputation; whether it is banned by that."""
        standing = self._standings.pop(peer, None) or _Standing(0.0, self._clock())
        standing.reputation = min(self._decayed(standing) + delta, REPUTATION_MAX)
        standing.at = self._clock()
        # Put last: the dict is in the order of the last report.
        self._standings[peer] = standing
        self._forget()
        if standing.reputation >= BAN_BELOW or peer in self._reserved or self.is_banned(peer):
            return False
        standing.banned_until = standing.at + BAN_SECONDS
        return True

    def is_banned(self, peer: PeerId) -> bool:
        """Whether a peer may not be connected now."""
        standing = self._standings.get(peer)
        return standing is not None and self._clock() < standing.banned_until

    def _decayed(self, standing: _Standing) -> float:
        return float(standing.reputation * DECAY_PER_SECOND ** (self._clock() - standing.at))

    def _forget(self) -> None:
        if len(self._standings) <= REMEMBERED_MAX:
            return
        now = self._clock()
        oldest = (peer for peer, kept in self._standings.items() if kept.banned_until <= now)
        del self._standings[next(oldest, next(iter(self._standings)))]


@dataclass(frozen=True, slots=True)
class Slots:
    """How many peers of each kind may be connected, besides the reserved ones."""

    in_peers: int
    out_peers: int

    def refusal(self, inbound_ips: list[str | None], remote_ip: str | None) -> str | None:
        """Why one more inbound peer is refused, given the IPs of those connected, or None."""
        if len(inbound_ips) >= self.in_peers:
            return f"all {self.in_peers} inbound slots are taken"
        subnet = _public_subnet(remote_ip)
        if subnet is not None:
            count = sum(_public_subnet(other) == subnet for other in inbound_ips)
            if count >= PER_SUBNET_MAX:
                return f"{count} peers of {subnet} are connected already"
        return None


def _public_subnet(ip: str | None) -> str | None:
    if ip is None:
        return None
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return None
    if not address.is_global:
        return None
    return str(ipaddress.ip_network((address, 24 if address.version == 4 else 48), strict=False))


class AddressBook:
    """Where peers can be reached: told by the configuration, or by other peers."""

    def __init__(self, own: PeerId) -> None:
        self._own = own
        self._told: dict[PeerId, PeerAddress] = {}

    def add(self, address: PeerAddress, is_own_word: bool) -> bool:
        """Remember an address; whether it is new. The oldest make room.

        `is_own_word` when the peer itself told it: only that replaces what was known, so that
        nobody can lead us away from another.
        """
        known = self._told.get(address.peer)
        if address.peer == self._own or known == address:
            return False
        if known is not None and not is_own_word:
            return False
        self._told.pop(address.peer, None)
        if len(self._told) >= ADDRESSES_KNOWN_MAX:
            del self._told[next(iter(self._told))]
        self._told[address.peer] = address
        return True

    def get(self, peer: PeerId) -> PeerAddress | None:
        """Where a peer listens, if anyone said so."""
        return self._told.get(peer)

    def known(self) -> list[PeerAddress]:
        """All, the oldest first."""
        return list(self._told.values())


def own_address_seen(address: PeerAddress, remote_ip: str | None) -> PeerAddress | None:
    """A peer's own listen address as it can be dialled from here, or None.

    A node that listens on all interfaces (0.0.0.0 or ::) knows its port but not its address: the
    one its connection comes from stands in.
    """
    if address.host not in ("0.0.0.0", "::"):
        return address if is_reachable(address, remote_ip) else None
    if remote_ip is None:
        return None
    kind = "ip6" if ":" in remote_ip else "ip4"
    return PeerAddress(address.peer, kind, remote_ip, address.port)


def is_reachable(address: PeerAddress, teller_ip: str | None) -> bool:
    """Whether an address that somebody tells can mean the same to us.

    A loopback address means this machine only when it comes from this machine.
    """
    if address.kind.startswith("dns"):
        return True
    told = ipaddress.ip_address(address.host)
    if told.is_unspecified or told.is_multicast:
        return False
    return not told.is_loopback or _is_loopback(teller_ip)


def _is_loopback(ip: str | None) -> bool:
    try:
        return ip is not None and ipaddress.ip_address(ip).is_loopback
    except ValueError:
        return False
