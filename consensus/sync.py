"""Which blocks to ask of whom, so that a node that joined late or was stopped catches up.

Two ways. Near the head, single blocks are wanted by hash (an announced body, the unknown parent
of an announce, the target of a vote): asked from a peer that has them, descending until the
answer links to a known block. Far behind, the best peer's chain is walked by its headers, and
bodies come from several peers at once (`walk.py`).

Invariant: a want never asks the same peer twice.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from consensus.events import (
    BlocksReceived,
    PeerConnected,
    PeerId,
    Role,
    SyncBlock,
    TimerName,
)
from consensus.fork_choice import BlockTree
from consensus.gap import GapFill
from consensus.grandpa.vote_graph import BlockRef
from consensus.outbox import Outbox
from consensus.pipeline import Pipeline, Seen
from consensus.ports import ConsensusConfig, SignatureVerifier
from consensus.requests import (
    REPUTATION_TIMEOUT,
    REPUTATION_WRONG_ANSWER,
    Open,
    PeerHead,
    Requests,
)
from consensus.walk import HEDGE_MS, MAJOR_SYNC_BLOCKS, Walk
from runtime.primitives.types import Hash

DESCEND_BLOCKS = 16
JUSTIFICATION_WAIT_MS = 5_000  # a commit usually comes first
WANTS_MAX = 256
WANT_LIFE_MS = 60_000


@dataclass(slots=True, eq=False)
class Want:
    """A block wanted by hash."""

    block_hash: Hash
    blocks_max: int
    since_ms: int
    sources: list[PeerId]
    is_from_anyone: bool = False
    """Nobody is known to have it: all peers are asked in turn."""

    asked: list[PeerId] = field(default_factory=list[PeerId])
    asked_ms: int = 0
    request_id: int | None = None
    """The last request, while it is open."""


class Sync:
    """The requests of one node."""

    def __init__(
        self,
        config: ConsensusConfig,
        verifier: SignatureVerifier,
        outbox: Outbox,
        tree: BlockTree,
        pipeline: Pipeline,
        on_forged: Callable[[str], None],
    ) -> None:
        self._out = outbox
        self._tree = tree
        self._pipeline = pipeline
        self._requests = Requests(outbox, tree)
        self._peers = self._requests.peers
        self._walk = Walk(outbox, tree, pipeline, self._requests)
        self.gap = GapFill(config, verifier, outbox, self._requests, on_forged)
        self._wants: dict[Hash, Want] = {}

    # --- what we hear

    def connected(self, event: PeerConnected) -> None:
        """A peer says what it has."""
        status = event.status
        self._peers[event.peer] = PeerHead(
            BlockRef(status.best_hash, status.best_number),
            BlockRef(status.finalized_hash, status.finalized_number),
            status.role,
        )
        number = status.best_number
        is_far = number > self._tree.best.ref.number + MAJOR_SYNC_BLOCKS
        if status.role is not Role.LIGHT and number > self._tree.finalized.number and not is_far:
            self.want(status.best_hash, event.peer, self.depth(number))

    def depth(self, number: int) -> int:
        """How many blocks to ask for at once, downwards from a block of this number."""
        return min(max(1, number - self._tree.best.ref.number), DESCEND_BLOCKS)

    def gone(self, peer: PeerId) -> None:
        """A peer has left; what it was asked for is asked of others."""
        self._peers.pop(peer, None)
        for request in [r for r in self._requests.open.values() if r.peer == peer]:
            self._close(request)
        self._walk.forget(peer)
        self.gap.gone(peer)

    def has_best(self, peer: PeerId, best: BlockRef) -> None:
        """A peer announced its best block."""
        head = self._peers.get(peer)
        if head is not None:
            head.best = best

    def has_finalized(self, peer: PeerId, finalized: BlockRef) -> None:
        """A peer's neighbour packet said what it has finalized."""
        head = self._peers.get(peer)
        if head is None or finalized.number <= head.finalized.number:
            return
        head.finalized = finalized
        if finalized.number > head.best.number:
            head.best = finalized

    def want(self, block_hash: Hash, peer: PeerId | None, blocks_max: int = 1) -> None:
        """A block is needed; `peer` seems to have it."""
        if block_hash in self._tree or self._pipeline.is_bad(block_hash):
            return
        want = self._wants.get(block_hash)
        if want is None:
            if len(self._wants) >= WANTS_MAX and not self._evict_want():
                return
            want = Want(block_hash, blocks_max, self._out.now_ms, [])
            self._wants[block_hash] = want
        if peer is None:
            want.is_from_anyone = True
        elif peer not in want.sources:
            want.sources.append(peer)

    def _evict_want(self) -> bool:
        """Make room: the oldest want that everyone known was asked for in vain."""
        for want in self._wants.values():
            if want.request_id is None and all(peer in want.asked for peer in want.sources):
                del self._wants[want.block_hash]
                return True
        return False

    # --- answers

    def received(self, event: BlocksReceived) -> None:
        """A peer answered."""
        request = self._requests.open.get(event.request_id)
        if request is None or request.peer != event.peer:
            return
        self._close(request)
        if request.justification_of is not None:
            return
        if request.is_gap:
            self.gap.answered(event.peer, event.blocks[: request.blocks_max])
            return
        blocks = self._linked(event, request)
        seen = [self._take(event.peer, block) for block in blocks]
        if request.is_walk:
            self._walk.headers_answered(event.peer, blocks, seen)
        elif request.bodies_of is not None:
            self._walk.bodies_answered(event.peer, request, blocks)
        elif request.want is not None:
            self._want_answered(event.peer, blocks, request.want)

    def failed(self, request_id: int, reason: str) -> None:
        """A request came to nothing."""
        request = self._requests.open.get(request_id)
        if request is None:
            return
        self._close(request)
        self._requests.rest(request.peer)
        self._out.report(request.peer, REPUTATION_TIMEOUT, f"block request: {reason}")
        if request.is_walk:
            self._requests.disbelieve(request.peer)
            self._walk.forget(request.peer)
        head = self._peers.get(request.peer)
        if request.justification_of is not None and head is not None:
            head.justification_asked = None

    def justification_of(self, request_id: int) -> Hash | None:
        """The block whose justification this open request asks for."""
        request = self._requests.open.get(request_id)
        return None if request is None else request.justification_of

    def _linked(self, event: BlocksReceived, request: Open) -> list[SyncBlock]:
        """The blocks of an answer as far as they are what was asked for, each next to the last."""
        found: list[SyncBlock] = []
        expected: Hash | None = request.start_hash
        for block in event.blocks[: request.blocks_max]:
            header = block.header
            if header is None:
                break
            if request.is_walk:
                is_first = not found and header.number == request.start_number
                is_next = expected is not None and header.parent_hash == expected
                is_fitting, expected = is_first or (bool(found) and is_next), header.hash()
            else:
                is_fitting, expected = header.hash() == expected, header.parent_hash
            if not is_fitting:
                break
            found.append(block)
        if len(found) < len(event.blocks):
            reason = f"{len(event.blocks) - len(found)} blocks that were not asked for"
            self._out.report(event.peer, REPUTATION_WRONG_ANSWER, reason)
        return found

    def _take(self, peer: PeerId, block: SyncBlock) -> Seen:
        assert block.header is not None, "only whole blocks are taken"
        block_hash = block.header.hash()
        seen = self._pipeline.header_seen(peer, block.header, block_hash)
        if seen in (Seen.PENDING, Seen.ORPHAN) and block.extrinsics is not None:
            self._pipeline.body_ready(block_hash, block.extrinsics, block.justification, peer)
        candidate, head = self._pipeline.get(block_hash), self._peers.get(peer)
        if head is not None and candidate is not None and candidate.is_checked:
            head.is_doubted = False
        return seen

    def _want_answered(self, peer: PeerId, blocks: list[SyncBlock], wanted: Hash) -> None:
        """Drop a want that is satisfied; go on below when the answer does not link yet."""
        if not blocks:
            self._requests.rest(peer)
        candidate = self._pipeline.get(wanted)
        if candidate is None:
            if wanted in self._tree or self._pipeline.is_bad(wanted):
                self._wants.pop(wanted, None)
            return
        if candidate.extrinsics is not None:
            self._wants.pop(wanted, None)
        root = self._pipeline.root_of(candidate)
        if root.header.parent_hash in self._tree:
            return
        if root.header.number <= self._tree.finalized.number + 1:
            self._pipeline.discard(root.block_hash)
            self._requests.conflicting(peer)
            self._walk.forget(peer)
        elif not self.is_major:
            self.want(root.header.parent_hash, peer, DESCEND_BLOCKS)

    # --- decisions

    @property
    def is_major(self) -> bool:
        """Whether we are far behind a peer that has not failed to deliver."""
        least = self._tree.best.ref.number + MAJOR_SYNC_BLOCKS
        return any(
            head.best.number > least and not head.is_doubted and head.role is not Role.LIGHT
            for head in self._peers.values()
        )

    def step(self) -> None:
        """Ask for what is needed and can be asked for. Called after every event."""
        is_walking = self._walk.step()
        if self._wants:
            self._step_wants()
        is_busy = is_walking or bool(self._wants)
        if not is_busy:
            self.gap.step()
        if is_busy or self._requests.open:
            self._set_timer(is_busy)

    def check_bodies(self) -> None:
        """Want the bodies of checked headers."""
        for candidate in self._pipeline.missing_bodies():
            if candidate.block_hash in self._walk:
                continue
            for peer in candidate.sources:
                self.want(candidate.block_hash, peer)

    def timer(self) -> None:
        """Fail what is overdue, and forget wants nobody could satisfy."""
        for request in list(self._requests.open.values()):
            if request.deadline_ms <= self._out.now_ms:
                self.failed(request.request_id, "timeout")
        for want in list(self._wants.values()):
            if self._out.now_ms - want.since_ms > WANT_LIFE_MS:
                del self._wants[want.block_hash]
        self._pipeline.forget_old_orphans()

    def ask_justifications(self, final_since_ms: int) -> None:
        """Ask for the proof of a block that a peer has finalized and we have imported.

        Only when nothing has become final here for a while, `final_since_ms` being the last time:
        one request for each finalized block of a peer. A block that hands over to another set of
        voters comes first: what the next set has finalized cannot be checked before.
        """
        if self._out.now_ms - final_since_ms < JUSTIFICATION_WAIT_MS:
            return
        for peer, head in self._peers.items():
            wanted = self._unproved(head.finalized)
            if (
                wanted is not None
                and head.justification_asked != wanted
                and self._requests.is_free(peer)
            ):
                head.justification_asked = wanted
                request = self._requests.ask_hash(peer, wanted, 1, with_bodies=False)
                self._requests.send(request, justification_of=wanted)
                return

    def _unproved(self, final: BlockRef) -> Hash | None:
        """Which block up to one that a peer has finalized we need the proof of; None if of none."""
        tree = self._tree
        if final.number <= tree.finalized.number or final.hash not in tree:
            return None
        for block in tree.path(tree.finalized, final.hash):
            if block.has_scheduled_change:
                return block.ref.hash
        return final.hash

    def _step_wants(self) -> None:
        for want in list(self._wants.values()):
            candidate = self._pipeline.get(want.block_hash)
            is_here = candidate is not None and candidate.extrinsics is not None
            if is_here or want.block_hash in self._tree:
                del self._wants[want.block_hash]
            elif want.request_id is None or self._out.now_ms - want.asked_ms >= HEDGE_MS:
                self._ask_want(want)

    def _ask_want(self, want: Want) -> None:
        others = list(self._peers) if want.is_from_anyone else []
        for peer in [*want.sources, *others]:
            is_here = peer in self._peers and self._requests.is_free(peer)
            if peer in want.asked or not is_here:
                continue
            want.asked.append(peer)
            request = self._requests.ask_hash(peer, want.block_hash, want.blocks_max)
            want.request_id, want.asked_ms = request.request_id, self._out.now_ms
            self._requests.send(request, want=want.block_hash)
            return

    def _close(self, request: Open) -> None:
        self._requests.close(request)
        self._walk.request_closed(request.request_id)
        want = None if request.want is None else self._wants.get(request.want)
        if want is not None and want.request_id == request.request_id:
            want.request_id = None

    def _set_timer(self, is_busy: bool) -> None:
        times = [request.deadline_ms for request in self._requests.open.values()]
        hedge_ms = self._walk.wake_ms()
        if hedge_ms is not None:
            times.append(hedge_ms)
        if is_busy:
            now_ms = self._out.now_ms
            resting = (head.resting_until_ms for head in self._peers.values())
            times += [at_ms for at_ms in resting if at_ms > now_ms]
            for want in self._wants.values():
                hedge_ms = want.asked_ms + HEDGE_MS
                is_open = want.request_id is not None and hedge_ms > now_ms
                times.append(hedge_ms if is_open else want.since_ms + WANT_LIFE_MS + 1)
        if times:
            self._out.set_timer(TimerName.SYNC, min(times))
