"""Slot claims: when it is our turn, have a block built, sealed and taken in like everyone's.

Invariant: for a key at most one block per slot is ever sealed, over all crashes: the slot is on
disk before a signature is asked for, and no slot at or below it is claimed again.

A block that has been announced and checked but not executed yet is waited for, for a quarter of
the slot: building beside it would only make a fork.
"""

from collections.abc import Mapping

from consensus import aura
from consensus.effects import Build, PutVoter
from consensus.events import Built, Signed, TimerName
from consensus.fork_choice import UNFINALIZED_MAX, BlockTree, TreeBlock
from consensus.grandpa.records import SLOT_KEY
from consensus.outbox import Outbox
from consensus.pipeline import Pipeline
from consensus.ports import ConsensusConfig
from consensus.recovery import Recoveries
from runtime.primitives.types import Hash

WAIT_DIVISOR = 4  # of the slot, for a block that is on its way
PPM = 1_000_000


class Author:
    """The slots of one node."""

    def __init__(
        self,
        config: ConsensusConfig,
        outbox: Outbox,
        tree: BlockTree,
        pipeline: Pipeline,
        recoveries: Recoveries,
    ) -> None:
        self._config = config
        self._out = outbox
        self._tree = tree
        self._pipeline = pipeline
        self._recoveries = recoveries
        self._last_authored = -1
        self._last_seen = -1
        self._claimed: tuple[int, bytes, Hash] | None = None
        """Slot, key and parent of the block that is being made."""

        self._waiting_slot: int | None = None
        self._is_stopped = False

    def load(self, column: Mapping[bytes, bytes]) -> None:
        """Take in the last slot we authored in, and wait for the next."""
        stored = column.get(SLOT_KEY)
        if stored is not None:
            self._last_authored = int.from_bytes(stored, "little")
        self._set_timer()

    def signer_reached(self) -> None:
        """There may be keys now: wait for the next slot."""
        self._set_timer()

    def stop(self) -> None:
        """Never author again."""
        self._is_stopped = True

    def timer(self, may_author: bool) -> None:
        """A slot begins, or a block that we waited for has not come."""
        slot = self._slot()
        if slot == self._waiting_slot:
            self._waiting_slot = None
            self._claim(slot, may_author)
        elif slot != self._last_seen:
            # A timer that comes a moment early, or a clock that was set back, is not a slot.
            self._last_seen = slot
            if self._is_block_coming(slot):
                self._waiting_slot = slot
            else:
                self._claim(slot, may_author)
        self._set_timer()

    def block_imported(self, may_author: bool) -> None:
        """The block we waited for may have come."""
        slot = self._slot()
        if self._waiting_slot == slot and not self._is_block_coming(slot):
            self._waiting_slot = None
            self._claim(slot, may_author)
            self._set_timer()

    def built(self, event: Built) -> None:
        """The block is there: have it sealed."""
        claimed, self._claimed = self._claimed, None
        header = event.header
        if claimed is None or claimed[0] != event.slot or header is None or self._is_stopped:
            return
        slot, public, parent_hash = claimed
        if event.parent_hash != parent_hash or parent_hash not in self._tree:
            return

        def signed(answer: Signed) -> None:
            if answer.signature is not None:
                self._pipeline.own_block(aura.sealed(header, answer.signature), event.extrinsics)

        self._out.sign_seal(public, aura.pre_hash(header), slot, header, signed)

    def _claim(self, slot: int, may_author: bool) -> None:
        """Claim the slot if it is ours and nothing speaks against it."""
        best = self._recoveries.base()
        public = aura.author_of(slot, best.aura_authorities)
        if (
            self._is_stopped
            or not may_author
            or public is None
            or public not in self._config.aura_keys
            or slot <= self._last_authored
            or slot <= best.slot
            or self._claimed is not None
            or self._is_far_ahead(best, slot)
        ):
            return
        is_on_time = self._window_ms(slot, best) > 0
        if not is_on_time and slot == best.slot + 1:
            # Later than this it would only compete with the next author's block. When the chain
            # has gaps, however, a late block is better than none.
            return
        self._last_authored = slot
        self._claimed = (slot, public, best.ref.hash)
        stored = PutVoter(SLOT_KEY, slot.to_bytes(8, "little"))
        self._out.persist_synced([stored], lambda _: self._build(slot))

    def _is_far_ahead(self, best: TreeBlock, slot: int) -> bool:
        """Finality lags too much for another block, except for the one that ends the standstill."""
        if self._recoveries.to_carry(best) is not None:
            return False
        number, final = best.ref.number, self._tree.finalized.number
        return number - final >= UNFINALIZED_MAX or aura.is_backing_off(
            number, best.slot, final, slot
        )

    def _build(self, slot: int) -> None:
        """The claim is durable: build on what is best now."""
        claimed, best = self._claimed, self._recoveries.base()
        if claimed is None or claimed[0] != slot:
            return
        public = aura.author_of(slot, best.aura_authorities)
        if public is None or self._slot() != slot or slot <= best.slot or public != claimed[1]:
            self._claimed = None
            return
        self._claimed = (slot, public, best.ref.hash)
        start_ms = slot * self._config.slot_duration_ms
        # Not in the second half of the slot: two blocks' times must lie half a slot apart.
        latest_ms = start_ms + self._config.slot_duration_ms // 2
        self._out.emit(
            Build(
                slot,
                best.ref.hash,
                best.ref.number + 1,
                aura.pre_digest(slot),
                min(self._out.wall_ms, latest_ms),
                self._out.now_ms + self._window_ms(slot, best),
                self._recoveries.to_carry(best),
            )
        )

    def _window_ms(self, slot: int, parent: TreeBlock) -> int:
        duration_ms = self._config.slot_duration_ms
        elapsed_ms = self._out.wall_ms - slot * duration_ms
        # The genesis block has no slot; nothing was skipped before the first.
        parent_slot = slot - 1 if parent.ref.number == 0 else parent.slot
        return aura.proposal_window_ms(slot, parent_slot, duration_ms, elapsed_ms)

    def _is_block_coming(self, slot: int) -> bool:
        """Whether a block of an earlier slot, better than the best, is on its way."""
        elapsed_ms = self._out.wall_ms - slot * self._config.slot_duration_ms
        if elapsed_ms >= self._config.slot_duration_ms // WAIT_DIVISOR:
            return False
        return any(
            candidate.is_checked
            and candidate.header.number > self._tree.best.ref.number
            and candidate.digest.slot < slot
            for candidate in self._pipeline.candidates()
        )

    def _slot(self) -> int:
        return aura.slot_at(self._out.wall_ms, self._config.slot_duration_ms)

    def _set_timer(self) -> None:
        """Wake up at the next slot, or when we have waited long enough in this one."""
        if not self._config.aura_keys:
            return
        duration_ms, slot = self._config.slot_duration_ms, self._slot()
        at_ms = (slot + 1) * duration_ms
        if self._waiting_slot == slot:
            at_ms = slot * duration_ms + duration_ms // WAIT_DIVISOR
        self._out.set_timer(TimerName.SLOT, self._out.now_ms + at_ms - self._out.wall_ms)
