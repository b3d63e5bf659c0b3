"""Timestamp: the time of the block, told by its author once per block.

Invariant: time rises from block to block by at least half a slot. Consensus bounds it: it must lie
in the slot the block was authored for (Aura) and not ahead of the importing node's clock.
"""

from typing import Protocol

from runtime import frame
from runtime.frame import (
    U64,
    Compact,
    Inherent,
    InvalidBlock,
    Moment,
    Pallet,
    StorageValue,
    call,
)


class SetTwice(frame.Error, index=0):
    """The block tells its time once."""


class TooEarly(frame.Error, index=1):
    """Less than the minimum period after the block before."""


class OutsideSlot(frame.Error, index=2):
    """The time lies outside the slot of the block."""


class Slots(Protocol):
    """Says which time belongs to the block."""

    def is_in_slot(self, moment_ms: int) -> bool:
        """Whether the time lies in the slot the block was authored for."""
        ...


class Config(frame.Config):
    slots: Slots
    """The slots of block authoring."""

    minimum_period: U64
    """Milliseconds that two blocks are apart at least; clients take twice as the block time."""


class Timestamp(Pallet[Config]):
    now_: StorageValue[Moment]
    """Time of the block, Unix milliseconds UTC."""

    did_update: StorageValue[bool]
    """Whether this block has told its time; gone when the block ends."""

    def on_finalize(self, number: int) -> None:
        """Refuse a block without a time."""
        if not self.did_update.get():
            raise InvalidBlock(f"block {number} has no timestamp")
        self.did_update.delete()

    @call(0, weight=50_000_000)
    def set(self, who: Inherent, now: Compact[Moment]) -> None:
        """Tell the time of the block. The author puts it first, nobody signs it.

        Fails, and the block with it, with `SetTwice`, `TooEarly` or `OutsideSlot`.
        """
        if self.did_update.get():
            raise SetTwice
        before = self.now_.get()
        if before and now < before + self.config.minimum_period:
            raise TooEarly
        if not self.config.slots.is_in_slot(now):
            raise OutsideSlot

        self.now_.set(now)
        self.did_update.set(True)

    def check_invariants(self) -> None:
        """The mark of the block does not outlive it."""
        assert not self.did_update.exists(), "the block has ended"

    # What other pallets ask.

    def now(self) -> Moment:
        """Unix milliseconds UTC; that of the block before until the block has told its own."""
        return self.now_.get()
