"""What the market announces."""

from typing import Annotated

from runtime import frame
from runtime.frame import (
    U32,
    AccountId,
    Balance,
    ConnectionId,
    EnergyWh,
    IntervalIndex,
    MaxLen,
    OrderId,
    PricePerKwh,
    SignedBalance,
)
from runtime.pallets.grid_balancing import BUSES_MAX
from runtime.pallets.trading.contract_records import ContractId, ContractTerms
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


class ContractProposed(frame.Event, index=10):
    """A party proposes a contract; the other one has to countersign it."""

    contract_id: ContractId
    terms: ContractTerms


class ContractWithdrawn(frame.Event, index=11):
    """A proposal was taken back or declined."""

    contract_id: ContractId


class ContractCountersigned(frame.Event, index=12):
    """A contract stands; both parties keep one day of its value aside."""

    contract_id: ContractId
    collateral_nano: Balance


class ContractClipped(frame.Event, index=13):
    """The grid cannot carry all that a contract wants of an interval."""

    contract_id: ContractId
    interval: IntervalIndex
    wanted_wh: EnergyWh
    reserved_wh: EnergyWh


class ContractSuspended(frame.Event, index=14):
    """A collateral is missing: nothing is opened for the contract."""

    contract_id: ContractId


class ContractResumed(frame.Event, index=15):
    """The collaterals are complete again."""

    contract_id: ContractId


class ContractTerminated(frame.Event, index=16):
    """A party ended a contract after its notice."""

    contract_id: ContractId
    last: IntervalIndex
    fee_nano: Balance
    """What it paid the other one."""


class ContractEnded(frame.Event, index=17):
    """The last interval of a contract is settled, its collaterals are given back."""

    contract_id: ContractId
    delivered_wh: EnergyWh
    paid_nano: SignedBalance
    """What the seller got for it."""


class PoolChoiceMade(frame.Event, index=7):
    """A connection joins or leaves the pool of residuals."""

    connection: ConnectionId
    choice: PoolChoice
