"""Committing to orders and revealing them in a small zone."""

from collections.abc import Callable
from typing import Any

from runtime.pallets.trading import sealed_records as records
from runtime.primitives.sealed_order import commitment_of
from tests.runtime.pallets.zone import (
    K0,
    OFFER,
    SLOT_MS,
    Side,
    Zone,
)

K = K0 + 8
SALT = bytes(range(32))
RETAIL, FEED_IN, DEAREST = 300_000, 20_000, 300_000
BUS = {1: 2, 2: 3, 3: 3}


def hidden(
    zone: Zone, number: int, side: Side, price: int, wh: int, salt: bytes = SALT, interval: int = K
) -> bytes:
    """The commitment to an order of a connection's owner."""
    return commitment_of(zone.owner[number], number, interval, BUS[number], side, price, wh, salt)


def sealing(
    zone: Zone,
    number: int = 1,
    side: Side = OFFER,
    price: int = 50_000,
    wh: int = 300,
    *,
    most: int | None = None,
    interval: int = K,
) -> Callable[[], object]:
    """Committing to an order as the owner of a connection, for up to `most` Wh."""
    commitment = hidden(zone, number, side, price, wh, interval=interval)
    return lambda: zone.trading.seal_order(
        zone.owner[number], number, interval, side, wh if most is None else most, commitment
    )


def sealed(zone: Zone, *args: Any, **kwargs: Any) -> int:
    """Commit to an order; its id."""
    sealing(zone, *args, **kwargs)()
    event = zone.assembly.state.events[-1]
    assert isinstance(event, records.OrderSealed)
    return event.order_id


def revealing(
    zone: Zone, order_id: int, price: int = 50_000, wh: int = 300, salt: bytes = SALT
) -> Callable[[], object]:
    owner = zone.owner[order_id >> 8 & 0xFFFFFF]
    return lambda: zone.trading.reveal_order(owner, order_id, price, wh, salt)


def in_quiet_zone(number: int = 1) -> tuple[Zone, int]:
    """A zone in the first interval of K's quiet period, with an order of A to reveal."""
    zone = Zone()
    zone.block(K0)
    order_id = sealed(zone, number)
    zone.run(K0 + 1, K - 3)
    zone.at(K - 3, SLOT_MS)
    return zone, order_id
