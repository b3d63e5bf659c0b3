"""Homes that seal their orders: which do, for which intervals, what they commit to and reveal.

Every thirteenth home, if it is an automatic one, seals its order for two quarter hours of each day,
one in the sun and one before the evening, instead of quoting it a day ahead. It commits five
intervals ahead, which leaves one to spare, with its forecast; what others see of the quantity is
rounded up. It reveals three intervals ahead, and again two ahead if that was missed.

An interval with a commitment is quiet while the homes would revise their quotes for it. So once,
four intervals ahead, all of them look whether it carries one, and revise it then for the last time.
Only two quarter hours, so that this stays the exception.

Everything follows from the home and the interval, the salt too, so that a process that is started
again can still reveal; a household draws its salts (`dret market seal`).
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

from devnet import calls, sealed_calls
from devnet.homes import PRICES, SLOTS_PER_DAY, HomeAgent, seals
from node.gateway.strategies import QUANTITY_WH_MIN, REVISE_AHEAD, draw
from runtime.primitives.scale import U8, U32, Struct, codec
from runtime.primitives.sealed_order import SALT_BYTES, commitment_of
from runtime.primitives.types import AccountId, Balance, ConnectionId, Hash, IntervalIndex, OrderId

SEAL_AHEAD = max(REVISE_AHEAD) + 2
"""Commitments close when the first revision of others would come; a busy machine may be late."""

LAST_REVISION_AHEAD = max(REVISE_AHEAD) + 1
"""When an interval with sealed orders is revised, as others are at the first revision."""

ROUNDED_TO_WH = 100


class SealedOrder(Struct):
    """A sealed order as the runtime API tells it."""

    sequence: U8
    side: U8
    quantity_wh: U32
    commitment: Hash
    deposit_nano: Balance


class SealedEntry(Struct):
    """Where it stands."""

    order_id: OrderId
    connection: ConnectionId
    interval: IntervalIndex
    order: SealedOrder


SEALED_ENTRIES = codec(list[SealedEntry])


class Hidden(NamedTuple):
    """An order that a home keeps to itself."""

    side: int
    price_micro: int
    quantity_wh: int
    salt: bytes


def hidden_order(home: HomeAgent, interval: int) -> Hidden | None:
    """What a home seals for an interval, if that is one of its own."""
    if not seals(home.connection, (interval - home.genesis_interval) % SLOTS_PER_DAY):
        return None
    wanted_wh = home.to_trade_wh(interval)
    quantity_wh = min(abs(wanted_wh), home.wh_max)
    if quantity_wh < QUANTITY_WH_MIN:
        return None
    drawn = f"sealed/{home.connection}/{interval}"
    salt = blake2b(f"{drawn}/salt".encode(), digest_size=SALT_BYTES).digest()
    if wanted_wh > 0:
        price = PRICES.bid_min + draw(drawn, PRICES.bid_end - PRICES.bid_min)
        return Hidden(calls.BID, price, quantity_wh, salt)
    price = PRICES.offer_min + draw(drawn, PRICES.offer_max - PRICES.offer_min + 1)
    return Hidden(calls.OFFER, price, quantity_wh, salt)


def commitment_to(account: AccountId, home: HomeAgent, interval: int, hidden: Hidden) -> bytes:
    """The commitment of a home to its order. `account`: who signs for it."""
    place = (account, home.connection, interval, home.bus)
    return commitment_of(*place, hidden.side, hidden.price_micro, hidden.quantity_wh, hidden.salt)


def sealing_of(account: AccountId, home: HomeAgent, now: int) -> bytes | None:
    """The call with which a home commits in an interval, if it does."""
    interval = now + SEAL_AHEAD
    hidden = hidden_order(home, interval)
    if hidden is None:
        return None
    most = min(-(-hidden.quantity_wh // ROUNDED_TO_WH) * ROUNDED_TO_WH, home.wh_max)
    commitment = commitment_to(account, home, interval, hidden)
    return sealed_calls.seal_order(home.connection, interval, hidden.side, most, commitment)


def reveals_at(home: HomeAgent, now: int) -> list[int]:
    """The intervals for which a home may have an order to reveal."""
    slots = ((now + ahead - home.genesis_interval) % SLOTS_PER_DAY for ahead in REVISE_AHEAD)
    return [
        now + ahead
        for ahead, slot in zip(REVISE_AHEAD, slots, strict=True)
        if seals(home.connection, slot)
    ]


def reveals_of(
    account: AccountId, home: HomeAgent, now: int, waiting: Sequence[SealedEntry]
) -> list[bytes]:
    """The calls with which a home reveals in an interval; `waiting`: what the chain has of it."""
    found: list[bytes] = []
    for interval in reveals_at(home, now):
        hidden = hidden_order(home, interval)
        for entry in waiting:
            if hidden is None or (entry.connection, entry.interval) != (home.connection, interval):
                continue
            if entry.order.commitment == commitment_to(account, home, interval, hidden):
                found.append(
                    sealed_calls.reveal_order(
                        entry.order_id, hidden.price_micro, hidden.quantity_wh, hidden.salt
                    )
                )
    return found
