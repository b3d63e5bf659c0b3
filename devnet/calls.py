"""The calls that agents make, as bytes: pallet index, call index, arguments.

Written from the primitives alone, so that the agents need neither the runtime nor its kernels; a
test compares them with what the runtime encodes.
"""

from collections.abc import Sequence

from runtime.primitives.extrinsic import AddressId, MultiAddress
from runtime.primitives.scale import U8, U32, Compact, Struct
from runtime.primitives.types import (
    AccountId,
    Balance,
    ConnectionId,
    EnergyWh,
    Hash,
    IntervalIndex,
    OrderId,
    PricePerKwh,
    SignedEnergyWh,
)

PAYMENTS, CONSUMPTION_METERING, TRADING = 11, 21, 22
SUBMIT_READING, CORRECT_READING = 2, 3
PLACE_ORDERS, CANCEL_ORDER, CHOOSE_POOL = 1, 2, 3
PROPOSE_CONTRACT, COUNTERSIGN_CONTRACT, WITHDRAW_CONTRACT, TERMINATE_CONTRACT = 4, 5, 6, 7
PLACE_MARKET_ORDER, REPLACE_ORDER, REPLACE_ORDERS = 8, 9, 10
DEPOSIT, REQUEST_PAYOUT, CANCEL_PAYOUT, CONFIRM_PAYOUT, RETURN_PAYOUT, ATTEST_RESERVE = range(6)
PLACE_COUPLED, CANCEL_COUPLED = 12, 13
BUY_FUND_SHARES, REDEEM_FUND_SHARES = 25, 26
OFFER, BID = 0, 1


class Terms(Struct):
    """One step of a curve: a bid pays at most, an offer gets at least the price."""

    side: U8
    price_micro: PricePerKwh
    quantity_wh: Compact[EnergyWh]


class _PlaceOrders(Struct):
    connection: Compact[ConnectionId]
    interval: Compact[IntervalIndex]
    orders: tuple[Terms, ...]


class _PlaceMarketOrder(Struct):
    connection: Compact[ConnectionId]
    interval: Compact[IntervalIndex]
    side: U8
    quantity_wh: Compact[EnergyWh]


class _CancelOrder(Struct):
    order_id: Compact[OrderId]


class _ReplaceOrder(Struct):
    order_id: Compact[OrderId]
    left_wh: Compact[EnergyWh]
    price_micro: PricePerKwh
    quantity_wh: Compact[EnergyWh]


class _ReplaceOrders(Struct):
    connection: Compact[ConnectionId]
    interval: Compact[IntervalIndex]
    net_wh: SignedEnergyWh
    orders: tuple[Terms, ...]


class _SubmitReading(Struct):
    interval: Compact[IntervalIndex]
    import_register_wh: Compact[EnergyWh]
    export_register_wh: Compact[EnergyWh]
    import_wh: Compact[EnergyWh]
    export_wh: Compact[EnergyWh]


class _CorrectReading(Struct):
    connection: Compact[ConnectionId]
    interval: Compact[IntervalIndex]
    import_wh: Compact[EnergyWh]
    export_wh: Compact[EnergyWh]
    reason: str


class _ChoosePool(Struct):
    connection: Compact[ConnectionId]
    is_member: bool


class _OfContract(Struct):
    contract_id: Compact[U32]


class _Connection(Struct):
    connection: Compact[ConnectionId]


def place_coupled(connection: int, terms: bytes) -> bytes:
    """Place an order over several intervals, its terms encoded in the form of the runtime."""
    return bytes([TRADING, PLACE_COUPLED]) + _Connection(connection).encode() + terms


def cancel_coupled(order_id: int) -> bytes:
    """Take back a coupled order that waits."""
    return bytes([TRADING, CANCEL_COUPLED]) + _CancelOrder(order_id).encode()


def place_orders(connection: int, interval: int, orders: Sequence[Terms]) -> bytes:
    """Put the steps of a curve into the book of an interval."""
    arguments = _PlaceOrders(connection, interval, tuple(orders))
    return bytes([TRADING, PLACE_ORDERS]) + arguments.encode()


def cancel_order(order_id: int) -> bytes:
    """Take back what is not filled of an order."""
    return bytes([TRADING, CANCEL_ORDER]) + _CancelOrder(order_id).encode()


def place_market_order(connection: int, interval: int, side: int, quantity_wh: int) -> bytes:
    """Buy at up to the retail price, or sell from the feed-in price on."""
    arguments = _PlaceMarketOrder(connection, interval, side, quantity_wh)
    return bytes([TRADING, PLACE_MARKET_ORDER]) + arguments.encode()


def replace_order(order_id: int, left_wh: int, price_micro: int, quantity_wh: int) -> bytes:
    """Put another limit and quantity in the place of an order of which `left_wh` are left."""
    arguments = _ReplaceOrder(order_id, left_wh, price_micro, quantity_wh)
    return bytes([TRADING, REPLACE_ORDER]) + arguments.encode()


def replace_orders(connection: int, interval: int, net_wh: int, orders: Sequence[Terms]) -> bytes:
    """Put a curve in the place of all that rests of a connection whose position is `net_wh`."""
    arguments = _ReplaceOrders(connection, interval, net_wh, tuple(orders))
    return bytes([TRADING, REPLACE_ORDERS]) + arguments.encode()


def submit_reading(
    interval: int,
    import_register_wh: int,
    export_register_wh: int,
    import_wh: int,
    export_wh: int,
) -> bytes:
    """Report an interval: both registers at its end and its energies."""
    arguments = _SubmitReading(
        interval, import_register_wh, export_register_wh, import_wh, export_wh
    )
    return bytes([CONSUMPTION_METERING, SUBMIT_READING]) + arguments.encode()


def correct_reading(
    connection: int, interval: int, import_wh: int, export_wh: int, reason: str
) -> bytes:
    """Replace, as the operator, what a connection was settled with."""
    arguments = _CorrectReading(connection, interval, import_wh, export_wh, reason)
    return bytes([CONSUMPTION_METERING, CORRECT_READING]) + arguments.encode()


def choose_pool(connection: int, *, is_member: bool) -> bytes:
    """Share the residuals of one's connection, or stop sharing them."""
    return bytes([TRADING, CHOOSE_POOL]) + _ChoosePool(connection, is_member).encode()


def propose_contract(terms: Struct) -> bytes:
    """Propose a contract with terms in the form of the runtime."""
    return bytes([TRADING, PROPOSE_CONTRACT]) + terms.encode()


def of_contract(call: int, contract_id: int) -> bytes:
    """Countersign, withdraw or terminate a contract."""
    return bytes([TRADING, call]) + _OfContract(contract_id).encode()


class _Deposit(Struct):
    reference: Hash
    dest: MultiAddress
    value_day: U32
    amount_nano: Compact[Balance]


class _Amount(Struct):
    amount_nano: Compact[Balance]


class _OfPayout(Struct):
    day: U32
    account: AccountId


class _ReturnPayout(Struct):
    day: U32
    account: AccountId
    reason: bytes


class _AttestReserve(Struct):
    day: U32
    reserve_nano: Compact[Balance]


def deposit(reference: Hash, account: AccountId, value_day: int, amount_nano: int) -> bytes:
    """Mint, as the gateway, a transfer that reached the bank on a day."""
    arguments = _Deposit(reference, AddressId(account), value_day, amount_nano)
    return bytes([PAYMENTS, DEPOSIT]) + arguments.encode()


def request_payout(amount_nano: int) -> bytes:
    """Want money at one's bank account."""
    return bytes([PAYMENTS, REQUEST_PAYOUT]) + _Amount(amount_nano).encode()


def cancel_payout() -> bytes:
    """Take back what one has requested today."""
    return bytes([PAYMENTS, CANCEL_PAYOUT])


def confirm_payout(day: int, account: AccountId) -> bytes:
    """Confirm, as the gateway, that the bank has paid."""
    return bytes([PAYMENTS, CONFIRM_PAYOUT]) + _OfPayout(day, account).encode()


def return_payout(day: int, account: AccountId, reason: bytes) -> bytes:
    """Give back, as the gateway, what the bank cannot pay."""
    return bytes([PAYMENTS, RETURN_PAYOUT]) + _ReturnPayout(day, account, reason).encode()


def attest_reserve(day: int, reserve_nano: int) -> bytes:
    """Say, as the gateway, what lies at the bank."""
    return bytes([PAYMENTS, ATTEST_RESERVE]) + _AttestReserve(day, reserve_nano).encode()


class _BuyFundShares(Struct):
    amount_nano: Compact[Balance]
    shares_min: Compact[Balance]


class _RedeemFundShares(Struct):
    shares: Compact[Balance]


def buy_fund_shares(amount_nano: int, shares_min: int) -> bytes:
    """Put money into the liquidity fund for at least so many shares."""
    return bytes([TRADING, BUY_FUND_SHARES]) + _BuyFundShares(amount_nano, shares_min).encode()


def redeem_fund_shares(shares: int) -> bytes:
    """Leave the liquidity fund with some shares."""
    return bytes([TRADING, REDEEM_FUND_SHARES]) + _RedeemFundShares(shares).encode()
