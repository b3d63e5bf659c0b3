"""What pallets offer each other. A pallet names in its `Config` the protocol it needs."""

from typing import Protocol

from runtime.primitives.types import AccountId, Balance, BlockNumber, Hash, Moment


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


class Currency(Protocol):
    """Money that can be moved."""

    def existential_deposit(self) -> Balance:
        """The least an account has to hold in order to exist."""
        ...

    def free_balance(self, who: AccountId) -> Balance:
        """Money of an account that is not set aside; part of it keeps the account alive."""
        ...

    def transfer(
        self, source: AccountId, dest: AccountId, amount: Balance, *, keep_alive: bool = True
    ) -> None:
        """Move free money. Raises a `DispatchError` if it cannot."""
        ...


class HoldableCurrency(Currency, Protocol):
    """Money that can be set aside."""

    def reserved_balance(self, who: AccountId) -> Balance:
        """Money of an account that is set aside."""
        ...

    def hold(self, who: AccountId, amount: Balance) -> None:
        """Set free money aside; the existential deposit has to stay free. Raises if it cannot."""
        ...

    def release(self, who: AccountId, amount: Balance) -> None:
        """Free money that was set aside; the caller knows that it is."""
        ...
