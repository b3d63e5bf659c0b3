"""Calls about energy rights, as bytes: handing them on, wishes, premiums (see `devnet.calls`)."""

from collections.abc import Sequence

from devnet.calls import TRADING
from runtime.primitives.scale import U8, U16, U32, Compact, Struct
from runtime.primitives.types import Balance, ConnectionId, IntervalIndex

OFFER_RIGHT, TAKE_RIGHT, DECLARE_PREFERENCES, DECLARE_PREMIUM = 16, 17, 18, 19


class _OfferRight(Struct):
    connection: Compact[ConnectionId]
    interval: Compact[IntervalIndex]


class _TakeRight(Struct):
    connection: Compact[ConnectionId]
    giver: Compact[ConnectionId]
    interval: Compact[IntervalIndex]


class _DeclarePreferences(Struct):
    connection: Compact[ConnectionId]
    sources: U16
    partners: tuple[ConnectionId, ...]
    source_points: U8
    locality_points: U8
    partner_points: U8


class _DeclarePremium(Struct):
    connection: Compact[ConnectionId]
    premium_micro: Compact[U32]
    budget_nano: Compact[Balance]


def offer_right(connection: int, interval: int, offer: Struct) -> bytes:
    """Offer a right, in the form of the runtime, to neighbours at the same bus."""
    return (
        bytes([TRADING, OFFER_RIGHT]) + _OfferRight(connection, interval).encode() + offer.encode()
    )


def take_right(connection: int, giver: int, interval: int, offer: Struct) -> bytes:
    """Take over what another connection offers, on these terms."""
    arguments = _TakeRight(connection, giver, interval)
    return bytes([TRADING, TAKE_RIGHT]) + arguments.encode() + offer.encode()


def declare_preferences(
    connection: int, sources: int, partners: Sequence[int], points: tuple[int, int, int]
) -> bytes:
    """Say what a connection wishes; `points` for sources, locality and partners."""
    arguments = _DeclarePreferences(connection, sources, tuple(partners), *points)
    return bytes([TRADING, DECLARE_PREFERENCES]) + arguments.encode()


def declare_premium(connection: int, premium_micro: int, budget_nano: int) -> bytes:
    """Add an amount per kWh to the price of green energy, out of a budget."""
    arguments = _DeclarePremium(connection, premium_micro, budget_nano)
    return bytes([TRADING, DECLARE_PREMIUM]) + arguments.encode()
