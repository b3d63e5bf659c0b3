"""From an announced header to an imported block: checks, waiting rooms, one execution at a time.

A candidate is a block that is not imported yet. It waits for one of: its parent (orphan), its
slot (parked), its body, its turn to be executed. The checks run in the order V1 to V7, cheapest
first, as soon as the parent has been checked; execution (V8, V9) is the driver's.

Invariants: a hash is called bad only for a rule that is a function of the chain alone, never for
what depends on our clock or our disk; blocks of an author who signed two in one slot stay
importable, since votes may point to either.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

from consensus import aura
from consensus.aura import AuraDigest, BadHeader
from consensus.effects import (
    AlarmKind,
    AuthorEquivocated,
    Execute,
    NotifyBest,
    NotifyImported,
    PutBlock,
    SetBest,
)
from consensus.events import Executed, PeerId, TimerName, Verdict
from consensus.fork_choice import BLOCKS_MAX, BlockTree, Route, TreeBlock
from consensus.grandpa.vote_graph import BlockRef
from consensus.outbox import Outbox
from consensus.ports import ConsensusConfig, SignatureVerifier
from runtime.primitives.block import Header
from runtime.primitives.types import Hash

CANDIDATES_MAX = 1_024  # with bodies of 1 MiB the byte bound below bites first
ORPHANS_MAX = 512  # as long as an unfinalized chain may be
ORPHANS_PER_PEER_MAX = 32  # that nobody asked for
PARKED_MAX = 64
BODY_BYTES_MAX = 64 * 1024 * 1024  # of all candidates
ORPHAN_LIFE_MS = 300_000
BAD_BLOCKS_MAX = 4_096
EQUIVOCATION_SLOTS_KEPT = 1_000
AUTHORED_MAX = 8_192  # slots and authors; the oldest are forgotten first
AUTHORED_PER_SLOT_MAX = 2  # two prove equivocation; more would only fill memory
TOO_EARLY_RETRY_MS = 1_000
SOURCES_MAX = 4  # peers remembered as having a block, to ask for its body

REPUTATION_BAD_HEADER = -1_000
REPUTATION_BAD_BLOCK = -10_000
REPUTATION_FORGED_BODY = -5_000  # as an invalid commit; two of them ban


class Seen(Enum):
    """What became of a header that was handed in."""

    KNOWN = auto()
    """Imported already, or below the finalized block."""

    BAD = auto()
    PENDING = auto()
    """Checked, or waiting for its slot or for a checked parent."""

    ORPHAN = auto()
    """Its parent is unknown."""

    REFUSED = auto()
    """No room."""


@dataclass(slots=True, eq=False)
class Candidate:
    """A block on its way into the chain."""

    block_hash: Hash
    header: Header
    digest: AuraDigest
    since_ms: int
    sources: list[PeerId] = field(default_factory=list[PeerId])
    extrinsics: tuple[bytes, ...] | None = None
    justification: bytes | None = None
    body_bytes: int = 0
    is_own: bool = False
    is_announced: bool = False
    """We heard of it by an announce, so others near us may lack it too."""

    is_checked: bool = False
    aura_authorities: tuple[bytes, ...] = ()
    """After this block; known once it is checked."""

    retry_at_ms: int | None = None
    """Parked: when it is looked at again."""


Imported = Callable[[TreeBlock, Candidate], None]
"""Told after a block is in the tree and its effects are emitted."""


class Pipeline:
    """All candidates of one node, and the checks that let them into the tree."""

    def __init__(
        self,
        config: ConsensusConfig,
        verifier: SignatureVerifier,
        outbox: Outbox,
        tree: BlockTree,
        on_imported: Imported,
    ) -> None:
        self._config = config
        self._verifier = verifier
        self._out = outbox
        self._tree = tree
        self._on_imported = on_imported
        self._candidates: dict[Hash, Candidate] = {}
        self._children: dict[Hash, list[Hash]] = {}
        self._body_bytes = 0
        self._bad: OrderedDict[Hash, str] = OrderedDict()
        self._ready: list[Hash] = []
        self._executing: Hash | None = None
        self._authored: dict[tuple[int, bytes], list[Hash]] = {}

    # --- what comes in

    def header_seen(
        self, peer: PeerId | None, header: Header, block_hash: Hash, is_announced: bool = False
    ) -> Seen:
        """Take in a header: announced by a peer, or (otherwise) part of an answer we asked for."""
        candidate = self._candidates.get(block_hash)
        if candidate is not None:
            _add_source(candidate, peer)
            return Seen.ORPHAN if self._is_orphan(candidate) else Seen.PENDING
        if block_hash in self._bad:
            self._out.report(peer, REPUTATION_BAD_HEADER, "announced a bad block")
            return Seen.BAD
        if block_hash in self._tree or header.number <= self._tree.finalized.number:
            return Seen.KNOWN
        try:
            self._check_checkpoint(header, block_hash)
            digest = aura.read_header(header)
            self._check_neighbours(header, block_hash)
        except BadHeader as error:
            self._mark_bad(block_hash, str(error), [] if peer is None else [peer])
            return Seen.BAD

        candidate = Candidate(
            block_hash, header, digest, self._out.now_ms, is_announced=is_announced
        )
        _add_source(candidate, peer)
        if not self._has_room(candidate, peer):
            return Seen.REFUSED
        self._candidates[block_hash] = candidate
        self._children.setdefault(header.parent_hash, []).append(block_hash)
        self._advance(candidate)
        if block_hash in self._bad:
            return Seen.BAD
        return Seen.ORPHAN if self._is_orphan(candidate) else Seen.PENDING

    def body_ready(
        self,
        block_hash: Hash,
        extrinsics: tuple[bytes, ...],
        justification: bytes | None,
        peer: PeerId | None = None,
    ) -> None:
        """Take in the body of a candidate; ignored for blocks that are none or have one.

        One that is not what its header commits to is its sender's fault, not the block's.
        """
        candidate = self._candidates.get(block_hash)
        if candidate is None or candidate.extrinsics is not None:
            return
        size = sum(map(len, extrinsics))
        if self._body_bytes + size > BODY_BYTES_MAX:
            return
        if not self._verifier.verify_body(candidate.header.extrinsics_root, extrinsics):
            reason = f"another body for block {candidate.header.number}"
            self._out.report(peer, REPUTATION_FORGED_BODY, reason)
            return
        candidate.extrinsics = extrinsics
        candidate.justification = justification
        candidate.body_bytes = size
        self._body_bytes += size
        self._advance(candidate)

    def own_block(self, header: Header, extrinsics: tuple[bytes, ...]) -> None:
        """Take in a block that we have just sealed: the same way as everyone's."""
        block_hash = header.hash()
        if self.header_seen(None, header, block_hash) is not Seen.PENDING:
            return
        self._candidates[block_hash].is_own = True
        self.body_ready(block_hash, extrinsics, None)

    def executed(self, event: Executed) -> None:
        """Take in the verdict on the block that is being executed."""
        candidate = self._candidates.get(event.block_hash)
        if self._executing == event.block_hash:
            self._executing = None
        if candidate is None or candidate.extrinsics is None:
            # Dropped while it was executed, and perhaps seen again since.
            self.execute_next()
            return
        if event.verdict is Verdict.VALID:
            self._import(candidate)
        elif event.verdict is Verdict.TOO_EARLY:
            self._park(candidate, self._out.now_ms + TOO_EARLY_RETRY_MS)
        elif event.verdict is Verdict.REFUSED:
            # Whoever sent it knows of other finality than we: not a fault that it could be sure of.
            self._mark_bad(candidate.block_hash, event.reason, [])
        else:
            self._mark_bad(candidate.block_hash, event.reason, candidate.sources)
        self.execute_next()

    def parked_timer(self) -> None:
        """Look again at the candidates whose time has come, and forget old orphans."""
        for candidate in list(self._candidates.values()):
            if candidate.retry_at_ms is not None and candidate.retry_at_ms <= self._out.now_ms:
                candidate.retry_at_ms = None
                self._advance(candidate)
        self._set_parked_timer()

    # --- what others ask

    def get(self, block_hash: Hash) -> Candidate | None:
        """The candidate of this hash."""
        return self._candidates.get(block_hash)

    def is_bad(self, block_hash: Hash) -> bool:
        """Whether the block broke a rule for ever."""
        return block_hash in self._bad

    def candidates(self) -> Iterator[Candidate]:
        """All candidates, in the order they came."""
        yield from self._candidates.values()

    def missing_bodies(self) -> Iterator[Candidate]:
        """Checked candidates that lack only their body (and perhaps their parent's import)."""
        for candidate in self._candidates.values():
            if candidate.is_checked and candidate.extrinsics is None:
                yield candidate

    def root_of(self, candidate: Candidate) -> Candidate:
        """The lowest candidate below this one: the orphan whose parent is missing."""
        while (below := self._candidates.get(candidate.header.parent_hash)) is not None:
            candidate = below
        return candidate

    @property
    def backlog(self) -> int:
        """Candidates that have their body and are not imported yet."""
        return sum(1 for c in self._candidates.values() if c.extrinsics is not None)

    @property
    def body_bytes(self) -> int:
        """Bytes of all bodies that wait."""
        return self._body_bytes

    @property
    def is_idle(self) -> bool:
        """Whether no block is executed or could be."""
        return self._executing is None and not self._ready

    @property
    def number_max(self) -> int:
        """The greatest number among the tree's best and checked candidates with a body."""
        numbers = [
            c.header.number
            for c in self._candidates.values()
            if c.is_checked and c.extrinsics is not None
        ]
        return max([self._tree.best.ref.number, *numbers])

    # --- steps

    def _advance(self, candidate: Candidate) -> None:
        """Check a candidate whose parent is checked, then those above it; queue for execution."""
        stack = [candidate]
        while stack:
            top = stack.pop()
            if top.block_hash not in self._candidates or top.retry_at_ms is not None:
                continue
            if not top.is_checked and not self._check(top):
                continue
            self._queue(top)
            above = (self._candidates[child] for child in self._children.get(top.block_hash, ()))
            stack.extend(child for child in above if not child.is_checked)
        self.execute_next()

    def _check(self, candidate: Candidate) -> bool:
        """V1, V2, V4 to V7 against the parent; False when it has to wait or is bad."""
        parent = self._parent_of(candidate.header)
        if parent is None:
            return False
        number, slot, authorities = parent
        header, digest = candidate.header, candidate.digest
        fault: str | None = None
        if header.number != number + 1:
            fault = f"number {header.number} above a parent of number {number}"
        elif digest.slot <= slot:
            fault = f"slot {digest.slot}, parent's slot {slot}"
        else:
            fault = self._lacks_override(candidate)
        if fault is None and self._is_ahead(candidate):
            return False
        if fault is None:
            fault = self._seal_fault(digest, authorities)
        if fault is not None:
            self._mark_bad(candidate.block_hash, fault, candidate.sources)
            return False

        author = aura.author_of(digest.slot, authorities)
        assert author is not None, "the seal was checked against the author"
        if not self._note_author(digest.slot, author, candidate):
            self.discard(candidate.block_hash)
            return False
        candidate.is_checked = True
        candidate.aura_authorities = digest.authorities_change or authorities
        return True

    def _lacks_override(self, candidate: Candidate) -> str | None:
        """What is wrong with a block that follows where an override started, if something is."""
        parent = self._tree.get(candidate.header.parent_hash)
        override = None if parent is None else parent.recovery
        if override is None or candidate.digest.recovery == override:
            return None
        found = candidate.digest.recovery
        text = "none" if found is None else f"0x{found.hex()}"
        return f"it carries the override {text}, its parent is where 0x{override.hex()} starts"

    def _seal_fault(self, digest: AuraDigest, authorities: tuple[bytes, ...]) -> str | None:
        author = aura.author_of(digest.slot, authorities)
        if author is None:
            return "no authorities"
        if not self._verifier.verify_seal(author, digest.pre_hash, digest.seal):
            return f"seal is not by 0x{author.hex()}, the author of slot {digest.slot}"
        return None

    def _is_ahead(self, candidate: Candidate) -> bool:
        """V5: park a header from the future until its slot is the next one."""
        duration = self._config.slot_duration_ms
        slot_now = aura.slot_at(self._out.wall_ms, duration)
        first_slot = candidate.digest.slot - aura.FUTURE_SLOTS_MAX
        if slot_now >= first_slot:
            return False
        wait_ms = first_slot * duration - self._out.wall_ms
        # Once a slot at least: it may be our clock that is wrong, and be set meanwhile.
        self._park(candidate, self._out.now_ms + min(wait_ms, duration))
        return True

    def _park(self, candidate: Candidate, at_ms: int) -> None:
        parked = [c for c in self._candidates.values() if c.retry_at_ms is not None]
        if len(parked) >= PARKED_MAX:
            latest = max(parked, key=lambda c: c.digest.slot)
            self.discard(latest.block_hash)
        candidate.retry_at_ms = at_ms
        self._set_parked_timer()

    def _set_parked_timer(self) -> None:
        times = [c.retry_at_ms for c in self._candidates.values() if c.retry_at_ms is not None]
        if times:
            self._out.set_timer(TimerName.PARKED, min(times))

    def _note_author(self, slot: int, author: bytes, candidate: Candidate) -> bool:
        """V7: remember who authored what, and say it when someone signs two blocks of a slot.

        False for a third block that was only announced: it proves nothing new. When votes or
        descendants ask for it, it is fetched by hash and taken.
        """
        hashes = self._authored.setdefault((slot, author), [])
        if len(self._authored) > AUTHORED_MAX:
            del self._authored[min(self._authored)]
        if candidate.block_hash in hashes:
            return True
        if len(hashes) >= AUTHORED_PER_SLOT_MAX:
            return not candidate.is_announced
        hashes.append(candidate.block_hash)
        if len(hashes) == AUTHORED_PER_SLOT_MAX:
            self._out.alarm(
                AlarmKind.EQUIVOCATION,
                f"author 0x{author.hex()} sealed two blocks of slot {slot}: "
                f"0x{hashes[0].hex()} and 0x{hashes[1].hex()}",
            )
            first = self._header(hashes[0])
            if first is not None:
                self._out.emit(AuthorEquivocated(slot, first, candidate.header))
        return True

    def _header(self, block_hash: Hash) -> Header | None:
        """The header of a block on its way or in the tree."""
        known = self._candidates.get(block_hash) or self._tree.get(block_hash)
        return None if known is None else known.header

    def _queue(self, candidate: Candidate) -> None:
        is_ready = candidate.extrinsics is not None and candidate.header.parent_hash in self._tree
        if is_ready and candidate.block_hash not in self._ready:
            self._ready.append(candidate.block_hash)

    def execute_next(self) -> None:
        """Hand the next ready block to the driver, when it has none."""
        while self._executing is None and self._ready:
            candidate = self._candidates.get(self._ready.pop(0))
            if candidate is None or candidate.retry_at_ms is not None:
                continue
            assert candidate.extrinsics is not None, "only blocks with a body are queued"
            self._executing = candidate.block_hash
            self._out.emit(Execute(candidate.block_hash, candidate.header, candidate.extrinsics))

    def _import(self, candidate: Candidate) -> None:
        header, block_hash = candidate.header, candidate.block_hash
        if header.parent_hash not in self._tree:
            # Finality went another way while it was being executed.
            self.discard(block_hash)
            return
        assert candidate.extrinsics is not None, "it was executed"
        digest = candidate.digest
        route = self._tree.insert(
            TreeBlock(
                BlockRef(block_hash, header.number),
                header,
                digest.slot,
                candidate.aura_authorities,
                has_scheduled_change=digest.scheduled_change is not None,
            )
        )
        operations: list[PutBlock | SetBest] = [PutBlock(block_hash, header, candidate.extrinsics)]
        if route is not None:
            operations.append(SetBest(block_hash, route.retracted, route.enacted))
        self._out.persist(operations)
        self._out.emit(NotifyImported(block_hash, header, is_best=route is not None))
        if route is not None:
            notify_best(self._out, self._tree, route)

        children = list(self._children.get(block_hash, ()))
        self._forget(candidate)
        block = self._tree.get(block_hash)
        assert block is not None, "it was inserted"
        self._on_imported(block, candidate)
        for child in children:
            if child in self._candidates:
                self._advance(self._candidates[child])

    # --- bookkeeping

    def finalized(self) -> None:
        """Forget candidates that cannot be imported any more, and old authorship."""
        finalized = self._tree.finalized
        for candidate in list(self._candidates.values()):
            parent_hash = candidate.header.parent_hash
            is_linked = parent_hash in self._tree or parent_hash in self._candidates
            is_cut_off = candidate.is_checked and not is_linked
            is_done = candidate.header.number <= finalized.number or is_cut_off
            if is_done or self._lacks_override(candidate) is not None:
                self.discard(candidate.block_hash)
        slot_min = self._tree.root.slot - EQUIVOCATION_SLOTS_KEPT
        if self._authored and min(self._authored)[0] < slot_min:
            self._authored = {k: v for k, v in self._authored.items() if k[0] >= slot_min}

    def forget_old_orphans(self) -> None:
        """Drop orphans whose parent never came."""
        for candidate in list(self._candidates.values()):
            is_old = self._out.now_ms - candidate.since_ms > ORPHAN_LIFE_MS
            if is_old and candidate.block_hash in self._candidates and self._is_orphan(candidate):
                self.discard(candidate.block_hash)

    def _parent_of(self, header: Header) -> tuple[int, int, tuple[bytes, ...]] | None:
        """Number, slot and authorities of a parent that is imported or checked."""
        block = self._tree.get(header.parent_hash)
        if block is not None:
            return block.ref.number, block.slot, block.aura_authorities
        parent = self._candidates.get(header.parent_hash)
        if parent is None or not parent.is_checked:
            return None
        return parent.header.number, parent.digest.slot, parent.aura_authorities

    def _check_checkpoint(self, header: Header, block_hash: Hash) -> None:
        """Raises `BadHeader` for another block of the checkpoint's height."""
        checkpoint = self._config.checkpoint
        if checkpoint is None or header.number != checkpoint.number:
            return
        if block_hash != checkpoint.hash:
            raise BadHeader(
                f"block {header.number} is 0x{block_hash.hex()}, the checkpoint says "
                f"0x{checkpoint.hash.hex()}"
            )

    def _check_neighbours(self, header: Header, block_hash: Hash) -> None:
        """What is known of a header's parent and children, checked or not; raises `BadHeader`."""
        if header.parent_hash in self._bad:
            raise BadHeader(f"its parent is bad: {self._bad[header.parent_hash]}")
        parent = self._candidates.get(header.parent_hash)
        if parent is not None and parent.header.number != header.number - 1:
            raise BadHeader(f"number {header.number} above {parent.header.number}")
        for child_hash in list(self._children.get(block_hash, ())):
            child = self._candidates.get(child_hash)
            if child is not None and child.header.number != header.number + 1:
                reason = f"number {child.header.number} above {header.number}"
                self._mark_bad(child_hash, reason, child.sources)

    def _is_orphan(self, candidate: Candidate) -> bool:
        if candidate.is_checked:
            return False  # its parent was imported or checked, and all that is cut off is dropped
        return self.root_of(candidate).header.parent_hash not in self._tree

    def _orphans(self) -> list[Candidate]:
        """All candidates that do not link to the tree."""
        found: list[Candidate] = []
        stack = [
            child
            for parent, children in self._children.items()
            if parent not in self._tree and parent not in self._candidates
            for child in children
        ]
        while stack:
            top = stack.pop()
            found.append(self._candidates[top])
            stack.extend(self._children.get(top, ()))
        return found

    def _has_room(self, candidate: Candidate, peer: PeerId | None) -> bool:
        if len(self._candidates) >= CANDIDATES_MAX or len(self._tree) >= BLOCKS_MAX:
            return False
        if candidate.header.parent_hash in self._tree or peer is None:
            return True
        parent = self._candidates.get(candidate.header.parent_hash)
        if parent is not None and not self._is_orphan(parent):
            return True
        orphans = self._orphans()
        if candidate.is_announced:
            own = sum(1 for c in orphans if c.is_announced and c.sources[:1] == [peer])
            return own < ORPHANS_PER_PEER_MAX
        if len(orphans) >= ORPHANS_MAX:
            # The furthest from what is final are the least likely to link.
            self.discard(max(orphans, key=lambda c: c.header.number).block_hash)
        return True

    def _mark_bad(self, block_hash: Hash, reason: str, sources: list[PeerId]) -> None:
        self._bad[block_hash] = reason
        if len(self._bad) > BAD_BLOCKS_MAX:
            self._bad.popitem(last=False)
        for peer in sources:
            self._out.report(peer, REPUTATION_BAD_BLOCK, f"bad block: {reason}")
        if block_hash in self._candidates:
            self.discard(block_hash)

    def discard(self, block_hash: Hash) -> None:
        """Forget a candidate and all above it. Not bad: it may come again."""
        stack = [block_hash]
        while stack:
            top = stack.pop()
            candidate = self._candidates.get(top)
            stack.extend(self._children.get(top, ()))
            if candidate is not None:
                self._forget(candidate)

    def _forget(self, candidate: Candidate) -> None:
        del self._candidates[candidate.block_hash]
        self._body_bytes -= candidate.body_bytes
        siblings = self._children[candidate.header.parent_hash]
        siblings.remove(candidate.block_hash)
        if not siblings:
            del self._children[candidate.header.parent_hash]


def notify_best(outbox: Outbox, tree: BlockTree, route: Route) -> None:
    """Tell the node of the tree's best block and how it got there."""
    best = tree.best
    outbox.emit(NotifyBest(best.ref.hash, best.header, route.retracted, route.enacted))


def _add_source(candidate: Candidate, peer: PeerId | None) -> None:
    if peer is not None and peer not in candidate.sources and len(candidate.sources) < SOURCES_MAX:
        candidate.sources.append(peer)
