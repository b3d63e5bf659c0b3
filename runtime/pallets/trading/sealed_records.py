"""Sealed orders: what is stored and announced of them, and why one is refused."""

from typing import Annotated

from runtime import frame
from runtime.frame import (
    U8,
    U32,
    AccountId,
    Balance,
    ConnectionId,
    EnergyWh,
    Hash,
    IntervalIndex,
    MaxLen,
    OrderId,
    Struct,
)
from runtime.pallets.trading.records import Side

SEALED_PER_CONNECTION_MAX = 4  # per interval: a curve of some steps; nobody fills the interval
SEALED_PER_INTERVAL_MAX = 256
"""Each has its place in the book and may have to be ended: a sixteenth of a book of the devnet, a
few blocks' work of the gate. Filling it takes 64 connections and their fees.
"""

SEALED_INTERVALS_MAX = 194  # the day ahead, and one more that a standstill left


class SealedOrder(Struct):
    """An order whose limit and quantity nobody knows yet."""

    sequence: U8
    """Of the order that it will be."""

    side: Side
    quantity_wh: U32
    """It is for no more than this."""

    commitment: Hash
    deposit_nano: Balance
    """What such an order would keep aside at its dearest limit."""


class SealedInterval(Struct):
    """What an interval has of sealed orders, in sums."""

    waiting: U32
    """Orders that are not revealed."""

    waiting_wh: EnergyWh
    """What they are for at most."""

    revealed: U32
    reveal_blocks: U8
    """Blocks in which reveals could come, counted no further than is asked of them."""


class SealedEntry(Struct):
    """A sealed order as readers see it."""

    order_id: OrderId
    connection: ConnectionId
    interval: IntervalIndex
    order: SealedOrder


SealedOrders = Annotated[tuple[SealedOrder, ...], MaxLen(SEALED_PER_CONNECTION_MAX)]
SealedAhead = Annotated[tuple[IntervalIndex, ...], MaxLen(SEALED_INTERVALS_MAX)]
NOTHING_SEALED = SealedInterval(0, 0, 0, 0)


class OrderSealed(frame.Event, index=47):
    """Somebody committed to an order for an interval; the deposit is kept aside."""

    order_id: OrderId
    connection: ConnectionId
    interval: IntervalIndex
    order: SealedOrder
    fee_nano: Balance
    """What the grid operator got for the quiet period."""


class SealedOrderRevealed(frame.Event, index=48):
    """A sealed order was opened and stands in the book; `OrderPlaced` says what it is."""

    order_id: OrderId
    released_nano: Balance
    """What of the deposit it does not need."""


class SealedOrderWithdrawn(frame.Event, index=49):
    """A commitment was taken back before it closed, its deposit released."""

    order_id: OrderId


class SealedOrderForfeited(frame.Event, index=50):
    """A sealed order was not revealed in time: its deposit went to the grid operator."""

    order_id: OrderId
    account: AccountId
    deposit_nano: Balance


class SealedOrderReturned(frame.Event, index=51):
    """A sealed order could not be revealed because the chain stood still: its deposit is free."""

    order_id: OrderId


class SealingClosed(frame.Error, index=53):
    """Commitments for an interval close, for good, with the first block three intervals before it
    begins.
    """


class RevealTooEarly(frame.Error, index=54):
    """Sealed orders are revealed from the first block three intervals before theirs begins, until
    its gate. To reveal one now would give it away.
    """


class SealedOrderNotFound(frame.Error, index=55):
    """No sealed order that waits has this id: it was never placed, or it was revealed, taken back
    or forfeited.
    """


class CommitmentMismatch(frame.Error, index=56):
    """Limit, quantity and salt do not hash to the commitment."""


class AboveSealedQuantity(frame.Error, index=57):
    """The order is for more than its deposit was kept aside for."""


class TooManySealedOrders(frame.Error, index=58):
    """The connection has 4 sealed orders for the interval, or the interval 256 in all; or too many
    intervals carry some since a standstill.
    """
