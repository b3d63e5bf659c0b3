"""Which peers know of which blocks, so that each is announced to a peer at most once."""

from collections import OrderedDict

from consensus.effects import Announce
from consensus.events import PeerId
from consensus.outbox import Outbox
from runtime.primitives.block import Header
from runtime.primitives.types import Hash

KNOWN_PER_PEER_MAX = 256  # several minutes of blocks


class Announces:
    """The blocks that passed between us and each peer."""

    def __init__(self, outbox: Outbox) -> None:
        self._out = outbox
        self._known: dict[PeerId, OrderedDict[Hash, None]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def connected(self, peer: PeerId, best_hash: Hash) -> None:
        """A peer is there and has told its best block."""
        self._known[peer] = OrderedDict()
        self.note(peer, best_hash)

    def gone(self, peer: PeerId) -> None:
        """A peer has left."""
        self._known.pop(peer, None)

    def note(self, peer: PeerId, block_hash: Hash) -> None:
        """A peer knows of a block."""
        known = self._known.get(peer)
        if known is not None:
            known[block_hash] = None
            if len(known) > KNOWN_PER_PEER_MAX:
                known.popitem(last=False)

    def announce(self, block_hash: Hash, header: Header, is_best: bool) -> None:
        """Tell a block to those who do not know of it."""
        receivers = [peer for peer, known in self._known.items() if block_hash not in known]
        for peer in receivers:
            self.note(peer, block_hash)
        self._out.send(receivers, Announce(header, is_best))
