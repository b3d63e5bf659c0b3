"""What pallets offer each other, and two of them the executive.

A pallet names in its `Config` the protocol it needs.
"""

from typing import Protocol

from runtime.frame.dispatch import DispatchFailure, DispatchInfo, Pays
from runtime.primitives.block import Digest
from runtime.primitives.types import AccountId, Balance, BlockNumber, Hash, Moment, Nonce


class Clock(Protocol):
    """The time of the block."""

    def now(self) -> Moment:
        """Unix milliseconds, as the block's timestamp says; 0 at genesis."""
        ...


class Chain(Protocol):
    """The block in the making."""

    def block_number(self) -> BlockNumber:
        """Its number."""
        ...

    def parent_hash(self) -> Hash:
        """The hash of its parent; nobody could know it when earlier extrinsics were signed."""
        ...


class BlockAuthor(Protocol):
    """Who made the block."""

    def author(self) -> AccountId | None:
        """The account that fees go to; None at genesis and outside of blocks."""
        ...


class Topology(Protocol):
    """The grid."""

    def has_bus(self, bus: int) -> bool:
        """Whether the tree has this bus."""
        ...


class SystemPallet(Protocol):
    """What the executive asks of System."""

    def begin_block(self, number: BlockNumber, parent_hash: Hash, digest: Digest) -> None:
        """Write what is known of a block at its start, and the hash of its parent among the hashes.

        The events of the block before are removed.
        """
        ...

    def end_block(self, events: bytes, event_count: int) -> Digest:
        """Write the encoded events, forget the oldest block hash; the block's digest."""
        ...

    def upgrade_due(self) -> bool:
        """Whether the state was last migrated under another version; notes that it is now."""
        ...

    def block_number(self) -> BlockNumber:
        """The number of the block in the making, or of the block whose state it is."""
        ...

    def parent_hash(self) -> Hash:
        """The hash of its parent."""
        ...

    def block_hash(self, number: BlockNumber) -> Hash | None:
        """The hash of a recent block; None if it is not kept, or the block is not there."""
        ...

    def account_exists(self, who: AccountId) -> bool:
        """Whether something provides for the account."""
        ...

    def account_nonce(self, who: AccountId) -> Nonce:
        """How many extrinsics the account has signed."""
        ...

    def increment_nonce(self, who: AccountId) -> None:
        """The account has signed one more."""
        ...

    def extrinsic_succeeded(self, info: DispatchInfo) -> None:
        """Announce that the extrinsic did what it said."""
        ...

    def extrinsic_failed(self, failure: DispatchFailure, info: DispatchInfo) -> None:
        """Announce that the extrinsic's call was rolled back."""
        ...


class PaymentPallet(Protocol):
    """What the executive asks of TransactionPayment."""

    def compute_fee(self, length: int, weight: int, pays: Pays, tip: Balance) -> Balance:
        """What an extrinsic of so many bytes and picoseconds costs, its tip included."""
        ...

    def can_pay(self, who: AccountId, fee: Balance) -> bool:
        """Whether the account could pay a fee."""
        ...

    def withdraw(self, who: AccountId, fee: Balance) -> None:
        """Take a fee. Raises a `DispatchError` if the account cannot pay it."""
        ...

    def settle(self, who: AccountId, withdrawn: Balance, actual: Balance, tip: Balance) -> None:
        """Give back what was taken too much, pay the author, announce what was paid."""
        ...
