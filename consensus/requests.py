"""Open requests for blocks, and what each peer says it has.

Invariant: at most one request is open per peer, and each ends: answered, failed, overdue, or with
its peer. What a peer claims to have counts only until it fails to deliver it, so a lie cannot keep
us syncing for ever.
"""

from dataclasses import dataclass

from consensus.effects import RequestBlocks
from consensus.events import PeerId, Role
from consensus.fork_choice import BlockTree
from consensus.grandpa.vote_graph import BlockRef
from consensus.outbox import Outbox
from runtime.primitives.types import Hash

REQUEST_TIMEOUT_MS = 20_000
COOLDOWN_MS = 5_000  # a peer that failed us is left alone for so long

REPUTATION_TIMEOUT = -100
REPUTATION_WRONG_ANSWER = -500


@dataclass(slots=True, eq=False)
class PeerHead:
    """What a peer says it has, and what we asked it for."""

    best: BlockRef
    finalized: BlockRef
    role: Role
    request_id: int | None = None
    resting_until_ms: int = 0
    is_doubted: bool = False
    """It failed to deliver what it claimed: its claims do not keep us from authoring."""

    justification_asked: Hash | None = None


@dataclass(frozen=True, slots=True)
class Open:
    """A request that has not been answered."""

    request_id: int
    peer: PeerId
    deadline_ms: int
    blocks_max: int
    want: Hash | None = None
    """The block wanted by hash, which the answer begins with."""

    is_walk: bool = False
    """Headers of the peer's best chain, from `start_number` on."""

    start_number: int = 0
    bodies_of: Hash | None = None
    """The highest of the blocks whose bodies are asked for."""

    justification_of: Hash | None = None
    is_gap: bool = False
    """Old blocks below our first state."""

    @property
    def start_hash(self) -> Hash | None:
        """What a descending answer begins with."""
        return self.want or self.bodies_of


class Requests:
    """The peers and the requests of one node."""

    def __init__(self, outbox: Outbox, tree: BlockTree) -> None:
        self._out = outbox
        self._tree = tree
        self.peers: dict[PeerId, PeerHead] = {}
        self.open: dict[int, Open] = {}

    def is_free(self, peer: PeerId) -> bool:
        """Whether a peer may be asked now."""
        head = self.peers[peer]
        return head.request_id is None and head.resting_until_ms <= self._out.now_ms

    def ask_hash(
        self, peer: PeerId, start: Hash, blocks_max: int, with_bodies: bool = True
    ) -> RequestBlocks:
        """A request for a block and those below it, to be given to `send`."""
        return RequestBlocks(self._out.next_id(), peer, start, False, blocks_max, with_bodies)

    def ask_number(self, peer: PeerId, start: int, blocks_max: int) -> RequestBlocks:
        """A request for headers of a peer's best chain, to be given to `send`."""
        return RequestBlocks(self._out.next_id(), peer, start, True, blocks_max, False)

    def send(
        self,
        request: RequestBlocks,
        want: Hash | None = None,
        is_walk: bool = False,
        bodies_of: Hash | None = None,
        justification_of: Hash | None = None,
        is_gap: bool = False,
    ) -> None:
        """Ask; says what for, so that the answer finds its way back."""
        self.open[request.request_id] = Open(
            request.request_id,
            request.peer,
            self._out.now_ms + REQUEST_TIMEOUT_MS,
            request.blocks_max,
            want,
            is_walk,
            request.start if isinstance(request.start, int) else 0,
            bodies_of,
            justification_of,
            is_gap,
        )
        self.peers[request.peer].request_id = request.request_id
        self._out.emit(request)

    def close(self, request: Open) -> None:
        """A request is over."""
        del self.open[request.request_id]
        head = self.peers.get(request.peer)
        if head is not None and head.request_id == request.request_id:
            head.request_id = None

    def rest(self, peer: PeerId) -> None:
        """Leave a peer alone for a while."""
        head = self.peers.get(peer)
        if head is not None:
            head.resting_until_ms = self._out.now_ms + COOLDOWN_MS

    def disbelieve(self, peer: PeerId) -> None:
        """Forget what a peer claimed to have beyond what we have ourselves."""
        head = self.peers.get(peer)
        if head is not None:
            head.best = self._tree.best.ref
            head.is_doubted = True

    def conflicting(self, peer: PeerId) -> None:
        """A peer's chain does not contain our finalized block."""
        self.rest(peer)
        self.disbelieve(peer)
        self._out.report(peer, REPUTATION_WRONG_ANSWER, "its chain conflicts with ours")
