"""What Authorities asks of the chain, and the seats that its decisions fill."""

from typing import NamedTuple, Protocol

from runtime.frame import AccountId, Balance, BlockNumber, Hash, Moment, Nonce
from runtime.pallets.system import AccountInfo
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

    def account_key(self, who: AccountId) -> bytes:
        """The storage key of an account, by which proofs of it are read."""
        ...


class PastOrder(NamedTuple):
    """An order as it was, or would have been, in a block."""

    who: AccountId
    nonce: Nonce
    fee: Balance
    """The most that it could cost: what is withdrawn before its call."""

    weight: int
    """Picoseconds that it needs in a block at most."""

    length: int
    gate_ms: Moment | None
    """From when on its interval takes no orders; none if it names no interval."""


class OrderJudge(Protocol):
    """What can be said of an order in a block of the past."""

    def order_at(self, extrinsic: bytes, number: BlockNumber) -> PastOrder | None:
        """An order by its extrinsic; none if signature or era did not hold in block `number`, or it
        is no order.
        """
        ...

    def can_pay(self, account: AccountInfo, fee: Balance) -> bool:
        """Whether an account as it was could pay a fee and live on."""
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
