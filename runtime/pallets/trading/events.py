"""What the market announces."""

from typing import Annotated

from runtime import frame
from runtime.frame import (
    U32,
    AccountId,
    ConnectionId,
    EnergyWh,
    IntervalIndex,
    MaxLen,
    OrderId,
    PricePerKwh,
    SignedBalance,
)
from runtime.pallets.grid_balancing import BUSES_MAX
from runtime.pallets.trading.records import PoolChoice, SettlementRecord, Side


class OrderPlaced(frame.Event, index=0):
    """An order stands in the book of its interval, its collateral is kept aside."""

    order_id: OrderId
    connection: ConnectionId
    interval: IntervalIndex
    side: Side
    price_micro: PricePerKwh
    quantity_wh: EnergyWh


class OrderCancelled(frame.Event, index=1):
    """An order was taken back, its collateral released."""

    order_id: OrderId
    quantity_wh: EnergyWh


class OrderFilled(frame.Event, index=2):
    """A call filled an order, or a part of it, at the price of its bus. Final."""

    order_id: OrderId
    filled_wh: EnergyWh
    price_micro: PricePerKwh
    left_wh: EnergyWh


class IntervalCleared(frame.Event, index=3):
    """A call in which something traded."""

    interval: IntervalIndex
    traded_wh: EnergyWh
    """Filled quantity of the bids."""

    prices: Annotated[tuple[PricePerKwh, ...], MaxLen(BUSES_MAX)]
    """Per bus."""


class GateClosed(frame.Event, index=4):
    """The gate passed: what stayed unmatched was released."""

    interval: IntervalIndex
    orders_expired: U32


class IntervalSettled(frame.Event, index=5):
    """Energy and money of an interval are accounted for."""

    interval: IntervalIndex
    record: SettlementRecord


class ArrearsChanged(frame.Event, index=6):
    """A settlement was not paid in full, or what earlier ones left was made good."""

    account: AccountId
    arrears_nano: SignedBalance
    """What the account owes the supplier from now on; negative: what the supplier owes it."""


class IntervalSettledAgain(frame.Event, index=8):
    """Readings were corrected: accounts paid and received the difference."""

    interval: IntervalIndex
    record: SettlementRecord


class SettlementFinal(frame.Event, index=9):
    """The dispute window passed: the settlement will not change any more."""

    interval: IntervalIndex


class PoolChoiceMade(frame.Event, index=7):
    """A connection joins or leaves the pool of residuals."""

    connection: ConnectionId
    choice: PoolChoice
