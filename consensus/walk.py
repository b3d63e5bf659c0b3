"""Far behind: headers first, along the best chain of one peer, and their bodies from several.

The guide is the peer that is furthest ahead. It is asked for headers in ascending order, going back
in growing steps when the chains have parted; each is checked (seal, slot, author) as it comes, so
nobody can make us walk a chain that no authority has made. Bodies are fetched by hash in short
runs, lowest first, from every peer that says it is as high; a body that does not fit its header is
refused before it is executed, and asked of another peer. A run that does not come soon while
nothing is left to execute is asked of a second peer as well.

Invariant: at most `HEADERS_AHEAD_MAX` headers wait for their blocks, and at most
`BODIES_AHEAD_MAX` bodies are here or asked for. No body is asked for twice of a peer that gave none
or a wrong one.
"""

from dataclasses import dataclass, field

from consensus.events import PeerId, Role, SyncBlock
from consensus.fork_choice import BlockTree
from consensus.outbox import Outbox
from consensus.pipeline import Pipeline, Seen
from consensus.requests import Open, PeerHead, Requests
from runtime.primitives.types import Hash

MAJOR_SYNC_BLOCKS = 8  # further behind than this we walk, and do not author
HEADERS_PER_REQUEST = 128
HEADERS_AHEAD_MAX = 512  # half of what the pipeline holds; the rest is for announces and wants
BODIES_PER_REQUEST = 16  # of full blocks 4 MiB, which is what one answer may have
BODIES_AHEAD_MAX = 96  # as many as four peers are asked for at once, and what is executed meanwhile
BODY_BYTES_AHEAD = (
    16 << 20
)  # with this much waiting none is asked for: four answers may be on the way
BODY_PEERS_MAX = 4
HEDGE_MS = 2_000  # what has not come by then is asked of another peer as well
STEP_BACK = 4  # blocks the walk goes back first when it does not link; then twice as many


@dataclass(slots=True, eq=False)
class Guide:
    """The peer whose best chain is walked."""

    peer: PeerId
    next_number: int
    step_back: int = STEP_BACK


@dataclass(slots=True, eq=False)
class Step:
    """A header on the way whose body is not here."""

    block_hash: Hash
    number: int
    asked: list[PeerId] = field(default_factory=list[PeerId])
    request_id: int | None = None
    """The last request, while it is open."""

    asked_ms: int = 0


class Walk:
    """The walk of one node; idle while no peer is far ahead."""

    def __init__(
        self, outbox: Outbox, tree: BlockTree, pipeline: Pipeline, requests: Requests
    ) -> None:
        self._out = outbox
        self._tree = tree
        self._pipeline = pipeline
        self._requests = requests
        self._guide: Guide | None = None
        self._steps: dict[Hash, Step] = {}
        """By rising number, as the headers came."""

    def __contains__(self, block_hash: Hash) -> bool:
        return block_hash in self._steps

    def forget(self, peer: PeerId) -> None:
        """A peer is gone, or is not believed any more: it leads nowhere."""
        if self._guide is not None and self._guide.peer == peer:
            self._guide = None

    def request_closed(self, request_id: int) -> None:
        """What was asked for and did not come may be asked of others."""
        for step in self._steps.values():
            if step.request_id == request_id:
                step.request_id = None

    # --- answers

    def headers_answered(self, peer: PeerId, blocks: list[SyncBlock], seen: list[Seen]) -> None:
        """The guide gave headers; the pipeline has seen them."""
        guide = self._guide
        for block, verdict in zip(blocks, seen, strict=True):
            assert block.header is not None, "only blocks with a header are taken"
            if verdict is Seen.PENDING:
                block_hash = block.header.hash()
                self._steps.setdefault(block_hash, Step(block_hash, block.header.number))
        if guide is None or guide.peer != peer:
            return
        if not seen or Seen.BAD in seen or Seen.REFUSED in seen:
            self._guide = None
            self._requests.rest(peer)
            if Seen.REFUSED not in seen:
                self._requests.disbelieve(peer)
            return
        if seen[0] is not Seen.ORPHAN:
            last = blocks[-1].header
            assert last is not None, "only blocks with a header are taken"
            guide.next_number, guide.step_back = last.number + 1, STEP_BACK
            return
        lowest = self._tree.finalized.number + 1
        if guide.next_number <= lowest:
            self._guide = None
            self._requests.conflicting(peer)
            return
        guide.next_number = max(lowest, guide.next_number - guide.step_back)
        guide.step_back *= 2

    def bodies_answered(self, peer: PeerId, asked: Open, blocks: list[SyncBlock]) -> None:
        """A peer gave blocks of a run, the highest first; the others it may be asked for again.

        An answer has room for a few large blocks only. Who gives none of a run does not have it.
        """
        if not blocks:
            self._requests.rest(peer)
            return
        block_hash = asked.bodies_of
        for place in range(asked.blocks_max):
            candidate = None if block_hash is None else self._pipeline.get(block_hash)
            if candidate is None:
                return
            step = self._steps.get(candidate.block_hash)
            if place >= len(blocks) and step is not None and peer in step.asked:
                step.asked.remove(peer)
            block_hash = candidate.header.parent_hash

    # --- decisions

    def step(self) -> bool:
        """Ask for what is needed and can be asked for; whether there is anything to fetch."""
        target = self._target()
        if target is None:
            self._guide = None
            if not self._steps:
                return False
        self._drop_done()
        self._ask_bodies()
        if target is not None:
            self._ask_headers(target)
        return bool(self._steps) or self._target() is not None

    def _target(self) -> PeerId | None:
        """The peer to follow: still the guide, or the free one that is furthest ahead."""
        best, peers = self._tree.best.ref.number, self._requests.peers
        if self._guide is None:
            # Nobody is ahead of us nearly always, and this is asked after every event.
            for each in peers.values():
                if each.best.number > best + MAJOR_SYNC_BLOCKS:
                    break
            else:
                return None
        if self._guide is not None:
            head = peers.get(self._guide.peer)
            if head is not None and head.best.number > best:
                return self._guide.peer
        ahead = [
            (-head.best.number, peer)
            for peer, head in peers.items()
            if head.best.number > best + MAJOR_SYNC_BLOCKS
            and head.resting_until_ms <= self._out.now_ms
            and head.role is not Role.LIGHT
        ]
        return min(ahead)[1] if ahead else None

    def _drop_done(self) -> None:
        """Forget steps whose block is imported, has its body, or was dropped."""
        for block_hash in list(self._steps):
            candidate = self._pipeline.get(block_hash)
            if candidate is None or candidate.extrinsics is not None:
                del self._steps[block_hash]

    def _ask_headers(self, target: PeerId) -> None:
        highest = max((step.number for step in self._steps.values()), default=0)
        if self._guide is None or self._guide.peer != target:
            self._guide = Guide(target, max(highest, self._pipeline.number_max) + 1)
        guide, head = self._guide, self._requests.peers[target]
        if guide.next_number > head.best.number:
            if not self._steps and self._pipeline.backlog == 0:
                # All was delivered and it did not make us as high as the peer said it is.
                self._requests.rest(target)
                self._requests.disbelieve(target)
                self._guide = None
            return
        ahead = len(self._steps) + self._pipeline.backlog
        if ahead > HEADERS_AHEAD_MAX - HEADERS_PER_REQUEST or not self._requests.is_free(target):
            return
        request = self._requests.ask_number(target, guide.next_number, HEADERS_PER_REQUEST)
        self._requests.send(request, is_walk=True)

    def _ask_bodies(self) -> None:
        if self._pipeline.body_bytes > BODY_BYTES_AHEAD:
            return
        asked = sum(step.request_id is not None for step in self._steps.values())
        room = BODIES_AHEAD_MAX - self._pipeline.backlog - asked
        busy = sum(1 for request in self._requests.open.values() if request.bodies_of is not None)
        runs = iter(self._runs())
        while busy < BODY_PEERS_MAX and room > 0 and (run := next(runs, None)) is not None:
            run = run[:room]
            peer = self._peer_for(run)
            if peer is None:
                if run[0].request_id is None and self._is_hopeless(run[0]):
                    self._give_up(run[0])
                    return
                continue
            request = self._requests.ask_hash(peer, run[-1].block_hash, len(run))
            for step in run:
                step.asked.append(peer)
                step.request_id, step.asked_ms = request.request_id, self._out.now_ms
            self._requests.send(request, bodies_of=run[-1].block_hash)
            room -= len(run)
            busy += 1

    def _runs(self) -> list[list[Step]]:
        """What may be asked for now, lowest first: parent and child, asked of the same peers."""
        runs: list[list[Step]] = []
        is_starved = self._pipeline.is_idle
        for step in self._steps.values():
            candidate = self._pipeline.get(step.block_hash)
            if candidate is None or not candidate.is_checked:
                continue
            is_overdue = is_starved and self._out.now_ms - step.asked_ms >= HEDGE_MS
            if step.request_id is not None and not is_overdue:
                continue
            run = runs[-1] if runs else []
            is_next = (
                bool(run)
                and len(run) < BODIES_PER_REQUEST
                and candidate.header.parent_hash == run[-1].block_hash
                and step.asked == run[-1].asked
            )
            if is_next:
                run.append(step)
            else:
                runs.append([step])
        return runs

    def _peer_for(self, run: list[Step]) -> PeerId | None:
        """A free peer that is high enough and was not asked: the guide last, it has headers to
        give.
        """
        guide = None if self._guide is None else self._guide.peer
        fit = [
            (peer == guide, peer)
            for peer, head in self._requests.peers.items()
            if self._may_have(head, run[-1])
            and peer not in run[0].asked
            and self._requests.is_free(peer)
        ]
        return min(fit)[1] if fit else None

    def _is_hopeless(self, step: Step) -> bool:
        """Whether everybody who may have a block was asked for it in vain."""
        return all(
            peer in step.asked
            for peer, head in self._requests.peers.items()
            if self._may_have(head, step)
        )

    def _may_have(self, head: PeerHead, step: Step) -> bool:
        return head.role is not Role.LIGHT and head.best.number >= step.number

    def _give_up(self, step: Step) -> None:
        """Nobody gives this body: its header led us nowhere, and so did who gave it."""
        candidate = self._pipeline.get(step.block_hash)
        sources = [] if candidate is None else candidate.sources
        self._pipeline.discard(step.block_hash)
        self._drop_done()
        for peer in sources:
            self._requests.rest(peer)
            self._requests.disbelieve(peer)
            self.forget(peer)

    def wake_ms(self) -> int | None:
        """When something is to be asked again though nothing happens; None when never."""
        now_ms = self._out.now_ms
        hedges = [
            step.asked_ms + HEDGE_MS
            for step in self._steps.values()
            if step.request_id is not None and step.asked_ms + HEDGE_MS > now_ms
        ]
        return min(hedges, default=None)
