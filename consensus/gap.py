"""Fetches the old blocks that a node lacks since it began with a later state, newest first.

Each is known by its hash before it is asked for, since the block above names it, so headers need no
other check, and bodies only have to be those of their headers. Nothing is executed. It goes on only
while nothing else is to be fetched, one request at a time, and where it stands is stored with
each batch.

Invariant: what is stored is linked, block by block, to the finalized one; the lowest links to the
genesis block, and the one of the checkpoint's height is the checkpoint.
"""

from collections.abc import Callable

from consensus.effects import Operation, PutAncestor
from consensus.events import PeerId, Role, SyncBlock
from consensus.grandpa.vote_graph import BlockRef
from consensus.outbox import Outbox
from consensus.ports import ConsensusConfig, SignatureVerifier
from consensus.requests import REPUTATION_WRONG_ANSWER, Requests
from runtime.primitives.block import Header

BLOCKS_PER_REQUEST = 64


class GapFill:
    """The gap of one node; idle when there is none."""

    def __init__(
        self,
        config: ConsensusConfig,
        verifier: SignatureVerifier,
        outbox: Outbox,
        requests: Requests,
        on_forged: Callable[[str], None],
    ) -> None:
        """`on_forged` is told when the past does not lead to our genesis or the checkpoint."""
        self._config = config
        self._verifier = verifier
        self._out = outbox
        self._requests = requests
        self._on_forged = on_forged
        self._lacking: set[PeerId] = set()
        """Peers that do not have the next block."""

        self.next: BlockRef | None = None
        """The highest block that is missing."""

    def gone(self, peer: PeerId) -> None:
        """A peer that comes back is asked again."""
        self._lacking.discard(peer)

    def step(self) -> None:
        """Ask for the next blocks, unless that is under way."""
        if self.next is None or any(request.is_gap for request in self._requests.open.values()):
            return
        for peer, head in self._requests.peers.items():
            may_have = head.role is not Role.LIGHT and head.best.number > self.next.number
            if may_have and peer not in self._lacking and self._requests.is_free(peer):
                request = self._requests.ask_hash(peer, self.next.hash, BLOCKS_PER_REQUEST)
                self._requests.send(request, is_gap=True)
                return

    def answered(self, peer: PeerId, blocks: tuple[SyncBlock, ...]) -> None:
        """Store what is the next block, and those below it, as far as they are right."""
        operations: list[Operation] = []
        for block in blocks:
            if self.next is None or block.header is None or block.extrinsics is None:
                break
            header, extrinsics = block.header, block.extrinsics
            is_next = BlockRef(header.hash(), header.number) == self.next
            if not is_next or not self._verifier.verify_body(header.extrinsics_root, extrinsics):
                reason = f"another block than {self.next.number} of the past"
                self._out.report(peer, REPUTATION_WRONG_ANSWER, reason)
                break
            block_hash = self.next.hash
            if not self._is_our_past(header, block_hash):
                self.next = None
                break
            below = BlockRef(header.parent_hash, header.number - 1)
            self.next = below if below.number > 0 else None
            operations.append(PutAncestor(block_hash, header, extrinsics, self.next))
        if operations:
            self._out.persist(operations)
            self._lacking.clear()
        else:
            self._lacking.add(peer)

    def _is_our_past(self, header: Header, block_hash: bytes) -> bool:
        checkpoint, genesis = self._config.checkpoint, self._config.genesis_hash
        is_at_checkpoint = checkpoint is not None and header.number == checkpoint.number
        if checkpoint is not None and is_at_checkpoint and block_hash != checkpoint.hash:
            self._on_forged(
                f"block {header.number} below our first state is 0x{block_hash.hex()}, the "
                f"checkpoint says 0x{checkpoint.hash.hex()}"
            )
            return False
        if header.number == 1 and header.parent_hash != genesis:
            self._on_forged(
                f"the past leads to the genesis block 0x{header.parent_hash.hex()}, ours is "
                f"0x{genesis.hex()}"
            )
            return False
        return True
