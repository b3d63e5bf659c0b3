"""What Authorities asks of the chain, and the seats that its decisions fill."""

from typing import Protocol

from runtime.frame import AccountId, BlockNumber, Hash
from runtime.pallets.trading.decisions import MarketDecision
from runtime.primitives.block import DigestItem


class BlockReader(Protocol):
    """What this pallet asks about the chain."""

    def block_number(self) -> BlockNumber:
        """The number of the block."""
        ...

    def block_hash(self, number: BlockNumber) -> Hash | None:
        """The hash of a block before it."""
        ...

    def deposit_log(self, item: DigestItem) -> None:
        """Add something to the block's digest."""
        ...


class OperatorSeat(Protocol):
    """Where the grid operator is appointed."""

    def appoint_operator(self, who: AccountId) -> None:
        """Make an account the operator. Raises a `DispatchError` if it cannot be."""
        ...


class GatewaySeat(Protocol):
    """Where the payment gateway is appointed."""

    def appoint_gateway(self, who: AccountId) -> None:
        """Make an account the gateway."""
        ...


class MarketSeat(Protocol):
    """Where decisions about the market go."""

    def check_decision(self, decision: MarketDecision) -> None:
        """Raise the `DispatchError` with which a decision would fail now."""
        ...

    def carry_out(self, decision: MarketDecision) -> None:
        """Do what was decided. Raises a `DispatchError` if it cannot be done."""
        ...
