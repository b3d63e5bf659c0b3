"""Aura: who takes turns in authoring blocks, and the slot of the block.

Invariant: slots rise from block to block. Whether the author's seal is right is judged by
consensus before the runtime sees the block; here the seal is not part of the header.

The authorities change at the end of a session, and those of the next block are then in the block's
digest: seals can be checked along a chain of headers. Who may not author is Session's to say.
"""

from typing import Annotated, Protocol

from runtime import frame
from runtime.frame import (
    U64,
    AuthorityId,
    InvalidBlock,
    MaxLen,
    Pallet,
    Slot,
    StorageValue,
    api,
)
from runtime.primitives.aura import (
    ENGINE_ID,
    AuraLog,
    AuthoritiesChange,
    AuthorityDisabled,
    PreDigest,
)
from runtime.primitives.block import Consensus, Digest, DigestItem, PreRuntime
from runtime.primitives.scale import DecodeError

AUTHORITIES_MAX = 100  # a change of all, told to Aura and to GRANDPA, fits into a header of 8 KiB
DISABLED_TOLD_MAX = 8  # in one block: consensus takes 16 items of a digest, and nobody needs these


class BlockDigest(Protocol):
    """What this pallet asks about the block."""

    def block_digest(self) -> Digest:
        """The digest the block began with."""
        ...

    def deposit_log(self, item: DigestItem) -> None:
        """Add something to the block's digest."""
        ...


class Config(frame.Config):
    chain: BlockDigest
    """The block under execution."""

    slot_duration: U64
    """Length of a slot in milliseconds."""


class Aura(Pallet[Config]):
    authorities: StorageValue[Annotated[list[AuthorityId], MaxLen(AUTHORITIES_MAX)]]
    """sr25519 keys; the slot's number modulo their count is the author's place."""

    current_slot: StorageValue[Slot]
    """Slot of the block."""

    def on_initialize(self, number: int) -> None:
        """Take the slot from the block's digest; it has to be later than the last one's."""
        slot = slot_of(self.config.chain.block_digest())
        if slot is None:
            raise InvalidBlock(f"block {number} names no slot")
        before = self.current_slot.get()
        if slot <= before:
            raise InvalidBlock(f"slot {slot}, expected one after {before}")
        self.current_slot.set(slot)

    @api("AuraApi_slot_duration")
    def read_slot_duration(self) -> U64:
        """Length of a slot in milliseconds."""
        return self.config.slot_duration

    @api("AuraApi_authorities")
    def read_authorities(self) -> list[AuthorityId]:
        """Who takes turns from the next block on."""
        return self.authorities.get()

    # What other pallets ask.

    def change_authorities(self, authorities: list[AuthorityId]) -> None:
        """From the next block on others take turns; the digest tells it."""
        self.authorities.set(authorities)
        self._log(AuthoritiesChange(authorities))

    def tell_disabled(self, index: int) -> None:
        """An author is passed over from now on; the digest tells it, where it has room."""
        if len(self.config.chain.block_digest().logs) <= DISABLED_TOLD_MAX:
            self._log(AuthorityDisabled(index))

    def _log(self, item: AuraLog) -> None:
        self.config.chain.deposit_log(Consensus(ENGINE_ID, item.encode()))

    def slot(self) -> Slot:
        """The slot of the block."""
        return self.current_slot.get()

    def is_in_slot(self, moment_ms: int) -> bool:
        """Whether a time lies in the slot of the block."""
        return moment_ms // self.config.slot_duration == self.current_slot.get()

    def author_index(self) -> int | None:
        """The place of the block's author among the authorities; None without any."""
        count = len(self.authorities.get())
        return self.current_slot.get() % count if count else None


def slot_of(digest: Digest) -> int | None:
    """The slot a digest names; None if it names none, or one that cannot be read."""
    for item in digest.logs:
        if isinstance(item, PreRuntime) and item.engine == ENGINE_ID:
            try:
                return PreDigest.decode(item.data).slot
            except DecodeError:
                return None
    return None
