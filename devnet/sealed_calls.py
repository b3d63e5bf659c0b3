"""Calls about sealed orders, as bytes: committing, revealing, taking back (see `devnet.calls`)."""

from devnet.calls import TRADING
from runtime.primitives.scale import U8, Compact, Struct
from runtime.primitives.types import (
    ConnectionId,
    EnergyWh,
    Hash,
    IntervalIndex,
    OrderId,
    PricePerKwh,
)

SEAL_ORDER, REVEAL_ORDER, WITHDRAW_SEALED_ORDER = 20, 21, 22


class _SealOrder(Struct):
    connection: Compact[ConnectionId]
    interval: Compact[IntervalIndex]
    side: U8
    quantity_wh: Compact[EnergyWh]
    commitment: Hash


class _RevealOrder(Struct):
    order_id: Compact[OrderId]
    price_micro: PricePerKwh
    quantity_wh: Compact[EnergyWh]
    salt: Hash


class _WithdrawSealedOrder(Struct):
    order_id: Compact[OrderId]


def seal_order(
    connection: int, interval: int, side: int, quantity_wh: int, commitment: bytes
) -> bytes:
    """Commit to an order for at most so much (`runtime.primitives.sealed_order`)."""
    arguments = _SealOrder(connection, interval, side, quantity_wh, commitment)
    return bytes([TRADING, SEAL_ORDER]) + arguments.encode()


def reveal_order(order_id: int, price_micro: int, quantity_wh: int, salt: bytes) -> bytes:
    """Open a sealed order."""
    arguments = _RevealOrder(order_id, price_micro, quantity_wh, salt)
    return bytes([TRADING, REVEAL_ORDER]) + arguments.encode()


def withdraw_sealed_order(order_id: int) -> bytes:
    """Take a commitment back before it closes."""
    return bytes([TRADING, WITHDRAW_SEALED_ORDER]) + _WithdrawSealedOrder(order_id).encode()
