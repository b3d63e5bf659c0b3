"""What the network asks of the node, and how it says that something went wrong."""

from collections.abc import Sequence
from typing import Protocol

from p2p.messages import BlockData, BlockRequest
from runtime.primitives.types import Hash


class BlockProvider(Protocol):
    """Serves the blocks that peers ask for. Answers at once, from memory or the local database."""

    def blocks(self, request: BlockRequest) -> Sequence[BlockData]:
        """The blocks asked for, in the request's order, within the node's own bounds.

        Empty when the start is unknown. What the peer asked is untrusted.
        """
        ...

    def warp_proof(self, begin: Hash) -> bytes | None:
        """SCALE of the proof of all handoffs after a block; None when it is not final here."""
        ...

    def state_range(self, block_hash: Hash, after: bytes | None) -> Sequence[bytes] | None:
        """A proved part of the state of a block; None when that state is not kept."""
        ...


class NetworkError(Exception):
    """Something of the network failed; the message says what, found and expected."""


class PeerError(NetworkError):
    """A peer is gone, did not answer in time, refused, or sent nonsense."""


class ListenError(NetworkError):
    """The network cannot listen on its address: it is in use, or not of this machine."""


class AddressInvalid(NetworkError):
    """A peer's address is not `/ip4/…/tcp/…/p2p/…` (or ip6, dns4, dns6)."""
