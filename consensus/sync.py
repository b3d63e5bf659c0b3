"""Which blocks to ask of whom, so that a node that joined late or was stopped catches up.

Two ways. Near the head, single blocks are wanted by hash (an announced body, the unknown parent
of an announce, the target of a vote): asked from a peer that has them, descending until the
answer links to a known block. Far behind, ranges of the best peer's chain are asked for in
ascending order, stepping back when the chains have parted. What a peer claims to have counts
only until it fails to deliver it, so a lie cannot keep us syncing for ever.

Invariant: at most one request is open per peer, and a want never asks the same peer twice.
Leaves out: headers first, bodies from several peers at once.
"""

from dataclasses import dataclass, field

from consensus.effects import RequestBlocks
from consensus.events import (
    BlocksReceived,
    PeerConnected,
    PeerId,
    Role,
    SyncBlock,
    TimerName,
)
from consensus.fork_choice import BlockTree
from consensus.grandpa.vote_graph import BlockRef
from consensus.outbox import Outbox
from consensus.pipeline import Pipeline, Seen
from runtime.primitives.types import Hash

BATCH_BLOCKS = 64
DESCEND_BLOCKS = 16
MAJOR_SYNC_BLOCKS = 8  # further behind than this we sync ranges and do not author
REQUEST_TIMEOUT_MS = 20_000
HEDGE_MS = 2_000  # a block that has not come by then is asked of another peer as well
COOLDOWN_MS = 5_000  # a peer that failed us is left alone for so long
JUSTIFICATION_WAIT_MS = 5_000  # a commit usually comes first
WANTS_MAX = 256
WANT_LIFE_MS = 60_000
UNPROCESSED_BLOCKS_MAX = 64  # the next batch is asked for while this many wait for execution

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


@dataclass(slots=True, eq=False)
class Range:
    """A walk up the best chain of one peer."""

    peer: PeerId
    next_number: int
    step_back: int = 4
    request_id: int | None = None


@dataclass(frozen=True, slots=True)
class Open:
    """A request that has not been answered."""

    request_id: int
    peer: PeerId
    deadline_ms: int
    blocks_max: int
    want: Hash | None = None
    is_range: bool = False
    start_number: int = 0
    justification_of: Hash | None = None


class Sync:
    """The requests of one node."""

    def __init__(self, outbox: Outbox, tree: BlockTree, pipeline: Pipeline) -> None:
        self._out = outbox
        self._tree = tree
        self._pipeline = pipeline
        self._peers: dict[PeerId, PeerHead] = {}
        self._wants: dict[Hash, Want] = {}
        self._open: dict[int, Open] = {}
        self._range: Range | None = None

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
        for request in [r for r in self._open.values() if r.peer == peer]:
            self._close(request)
        if self._range is not None and self._range.peer == peer:
            self._range = None

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
        request = self._open.get(event.request_id)
        if request is None or request.peer != event.peer:
            return
        self._close(request)
        if request.justification_of is not None:
            return
        blocks = self._linked(event, request)
        seen = [self._take(event.peer, block) for block in blocks]
        if request.is_range:
            self._range_answered(event.peer, blocks, seen)
        elif request.want is not None:
            self._want_answered(event.peer, blocks, request.want)

    def failed(self, request_id: int, reason: str) -> None:
        """A request came to nothing."""
        request = self._open.get(request_id)
        if request is None:
            return
        self._close(request)
        self._rest(request.peer)
        self._out.report(request.peer, REPUTATION_TIMEOUT, f"block request: {reason}")
        if request.is_range:
            self._disbelieve(request.peer)
        head = self._peers.get(request.peer)
        if request.justification_of is not None and head is not None:
            head.justification_asked = None

    def justification_of(self, request_id: int) -> Hash | None:
        """The block whose justification this open request asks for."""
        request = self._open.get(request_id)
        return None if request is None else request.justification_of

    def _linked(self, event: BlocksReceived, request: Open) -> list[SyncBlock]:
        """The blocks of an answer as far as they are what was asked for, each next to the last."""
        found: list[SyncBlock] = []
        expected: Hash | None = request.want
        for block in event.blocks[: request.blocks_max]:
            header = block.header
            if header is None:
                break
            if request.is_range:
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
            self._pipeline.body_ready(block_hash, block.extrinsics, block.justification)
        candidate, head = self._pipeline.get(block_hash), self._peers.get(peer)
        if head is not None and candidate is not None and candidate.is_checked:
            head.is_doubted = False
        return seen

    def _want_answered(self, peer: PeerId, blocks: list[SyncBlock], wanted: Hash) -> None:
        """Drop a want that is satisfied; go on below when the answer does not link yet."""
        if not blocks:
            self._rest(peer)
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
            self._conflicting(peer)
        elif not self.is_major:
            self.want(root.header.parent_hash, peer, DESCEND_BLOCKS)

    def _conflicting(self, peer: PeerId) -> None:
        self._rest(peer)
        self._disbelieve(peer)
        self._out.report(peer, REPUTATION_WRONG_ANSWER, "its chain conflicts with ours")

    def _range_answered(self, peer: PeerId, blocks: list[SyncBlock], seen: list[Seen]) -> None:
        current = self._range
        if current is None or current.peer != peer:
            return
        if not seen or Seen.BAD in seen or Seen.REFUSED in seen:
            self._range = None
            self._rest(peer)
            if Seen.REFUSED not in seen:
                self._disbelieve(peer)
            return
        if seen[0] is not Seen.ORPHAN:
            last = blocks[-1].header
            assert last is not None, "only whole blocks are taken"
            current.next_number = last.number + 1
            current.step_back = 4
            return

        lowest = self._tree.finalized.number + 1
        if current.next_number <= lowest:
            self._range = None
            self._conflicting(peer)
            return
        current.next_number = max(lowest, current.next_number - current.step_back)
        current.step_back *= 2

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
        self._step_range()
        if self._wants:
            self._step_wants()
        self._set_timer()

    def check_bodies(self) -> None:
        """Want the bodies of checked headers."""
        for candidate in self._pipeline.missing_bodies():
            for peer in candidate.sources:
                self.want(candidate.block_hash, peer)

    def timer(self) -> None:
        """Fail what is overdue, and forget wants nobody could satisfy."""
        for request in list(self._open.values()):
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
                and self._is_free(peer, head)
            ):
                head.justification_asked = wanted
                request = RequestBlocks(
                    self._out.next_id(), peer, wanted, False, 1, with_bodies=False
                )
                self._ask(request, justification_of=wanted)
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

    def _target(self) -> PeerId | None:
        """The free peer that is furthest ahead, when it is far ahead."""
        if self._range is not None:
            head = self._peers.get(self._range.peer)
            if head is not None and head.best.number > self._tree.best.ref.number:
                return self._range.peer
        ahead = [
            (-head.best.number, peer)
            for peer, head in self._peers.items()
            if head.best.number > self._tree.best.ref.number + MAJOR_SYNC_BLOCKS
            and head.resting_until_ms <= self._out.now_ms
            and head.role is not Role.LIGHT
        ]
        return min(ahead)[1] if ahead else None

    def _step_range(self) -> None:
        target = self._target()
        if target is None:
            self._range = None
            return
        if self._range is None or self._range.peer != target:
            self._range = Range(target, self._pipeline.number_max + 1)
        current, head = self._range, self._peers[target]
        if head.request_id is not None:
            return
        if current.next_number > head.best.number:
            if self._pipeline.backlog == 0:
                # All was delivered and it did not make us as high as the peer said it is.
                self._rest(target)
                self._disbelieve(target)
            return
        if self._pipeline.backlog >= UNPROCESSED_BLOCKS_MAX:
            return
        request = RequestBlocks(
            self._out.next_id(), target, current.next_number, True, BATCH_BLOCKS, with_bodies=True
        )
        self._ask(request, is_range=True)

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
            head = self._peers.get(peer)
            if peer in want.asked or head is None or not self._is_free(peer, head):
                continue
            want.asked.append(peer)
            request = RequestBlocks(
                self._out.next_id(),
                peer,
                want.block_hash,
                False,
                want.blocks_max,
                with_bodies=True,
            )
            want.request_id, want.asked_ms = request.request_id, self._out.now_ms
            self._ask(request, want=want.block_hash)
            return

    def _is_free(self, peer: PeerId, head: PeerHead) -> bool:
        return head.request_id is None and head.resting_until_ms <= self._out.now_ms

    def _ask(
        self,
        request: RequestBlocks,
        want: Hash | None = None,
        is_range: bool = False,
        justification_of: Hash | None = None,
    ) -> None:
        deadline_ms = self._out.now_ms + REQUEST_TIMEOUT_MS
        self._open[request.request_id] = Open(
            request.request_id,
            request.peer,
            deadline_ms,
            request.blocks_max,
            want,
            is_range,
            request.start if isinstance(request.start, int) else 0,
            justification_of,
        )
        self._peers[request.peer].request_id = request.request_id
        self._out.emit(request)

    def _close(self, request: Open) -> None:
        del self._open[request.request_id]
        head = self._peers.get(request.peer)
        if head is not None and head.request_id == request.request_id:
            head.request_id = None
        want = None if request.want is None else self._wants.get(request.want)
        if want is not None and want.request_id == request.request_id:
            want.request_id = None

    def _rest(self, peer: PeerId) -> None:
        head = self._peers.get(peer)
        if head is not None:
            head.resting_until_ms = self._out.now_ms + COOLDOWN_MS

    def _disbelieve(self, peer: PeerId) -> None:
        """Forget what a peer claimed to have beyond what we have ourselves."""
        head = self._peers.get(peer)
        if head is not None:
            head.best = self._tree.best.ref
            head.is_doubted = True
        if self._range is not None and self._range.peer == peer:
            self._range = None

    def _set_timer(self) -> None:
        times = [request.deadline_ms for request in self._open.values()]
        if self._wants or self._target() is not None:
            now_ms = self._out.now_ms
            resting = (head.resting_until_ms for head in self._peers.values())
            times += [at_ms for at_ms in resting if at_ms > now_ms]
            for want in self._wants.values():
                hedge_ms = want.asked_ms + HEDGE_MS
                is_open = want.request_id is not None and hedge_ms > now_ms
                times.append(hedge_ms if is_open else want.since_ms + WANT_LIFE_MS + 1)
        if times:
            self._out.set_timer(TimerName.SYNC, min(times))
