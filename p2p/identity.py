"""Who a peer is and where it listens: libp2p's peer ids and multiaddresses, without libp2p.

An id is the identity multihash of the protobuf-encoded ed25519 public key; as text it is base 58
without a prefix. Only TCP addresses exist here: `/ip4/127.0.0.1/tcp/30333/p2p/12D3KooW…`.

Source: libp2p specs, peer-ids; multiformats, multiaddr.
"""

import ipaddress
from dataclasses import dataclass

from p2p.ports import AddressInvalid
from runtime.primitives.base58 import base58_decode, base58_encode
from runtime.primitives.crypto import KeyPair, Scheme

PeerId = bytes
"""The 38 bytes of a libp2p id of an ed25519 key."""

_HEAD = bytes.fromhex("002408011220")
"""Identity multihash of 36 bytes; key type ed25519; 32 bytes of key."""

_PEER_ID_TEXT_MAX = 64  # an id has 52 letters; decoding is quadratic
_HOSTS = ("ip4", "ip6", "dns4", "dns6")


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """Where a peer listens."""

    peer: PeerId
    kind: str
    """`ip4`, `ip6`, `dns4` or `dns6`."""

    host: str
    port: int

    def transport(self) -> str:
        """The multiaddress without the id."""
        return f"/{self.kind}/{self.host}/tcp/{self.port}"

    def __str__(self) -> str:
        return f"{self.transport()}/p2p/{peer_text(self.peer)}"


def peer_id_of(seed: bytes) -> str:
    """The peer id, in base 58, of the node whose network identity has this 32-byte seed."""
    return peer_text(peer_bytes_of(seed))


def peer_bytes_of(seed: bytes) -> PeerId:
    """The peer id, in bytes, of the node whose network identity has this 32-byte seed."""
    return _HEAD + KeyPair.from_seed(seed, Scheme.ED25519).public


def peer_text(peer: PeerId) -> str:
    """A peer id as people and multiaddresses write it."""
    return base58_encode(peer)


def parse_peer_id(text: str) -> PeerId:
    """The bytes of a peer id in base 58. Raises `AddressInvalid`."""
    if len(text) > _PEER_ID_TEXT_MAX:
        raise AddressInvalid(f"a peer id of {len(text)} letters is too long")
    try:
        peer = base58_decode(text)
    except ValueError as error:
        raise AddressInvalid(f"peer id {error}") from error
    if len(peer) != len(_HEAD) + 32 or not peer.startswith(_HEAD):
        raise AddressInvalid(f"peer id {text!r} is not that of an ed25519 key")
    return peer


def parse_address(text: str) -> PeerAddress:
    """The parts of `/ip4/127.0.0.1/tcp/30333/p2p/12D3KooW…`. Raises `AddressInvalid`."""
    parts = text.split("/")
    if len(parts) != 7 or parts[0] or parts[3] != "tcp" or parts[5] != "p2p":
        raise AddressInvalid(f"address {text!r}: expected /ip4/HOST/tcp/PORT/p2p/PEERID")
    kind, host, port, peer = parts[1], parts[2], parts[4], parts[6]
    if kind not in _HOSTS or not _is_host(kind, host):
        raise AddressInvalid(f"address {text!r}: {host!r} is no host of kind {kind!r}")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 1 << 16):
        raise AddressInvalid(f"address {text!r}: port {port!r} is not in 1 to 65535")
    return PeerAddress(parse_peer_id(peer), kind, host, int(port))


def _is_host(kind: str, host: str) -> bool:
    if kind.startswith("dns"):
        return 0 < len(host) <= 253 and host.isascii() and host.isprintable() and " " not in host
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.version == int(kind[2:])
