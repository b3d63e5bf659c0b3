"""What a sealed order is sealed with: the hash that hides it until it is revealed.

A commitment is blake2b-256 of 103 bytes. Integers are little-endian, `price_micro` is signed (two's
complement), nothing is compact:

| offset | bytes | what |
|---|---|---|
| 0 | 16 | the ASCII letters `dret:sealed:v001` |
| 16 | 32 | the account that trades with the connection |
| 48 | 4 | number of the connection |
| 52 | 4 | number of the interval |
| 56 | 2 | bus of the connection |
| 58 | 1 | side: 0 an offer, 1 a bid |
| 59 | 8 | limit in micro-DRT per kWh |
| 67 | 4 | quantity in Wh |
| 71 | 32 | the salt: random, never used twice, kept secret until the reveal |

The account is in it so that nobody can pass off another one's commitment as its own, connection,
interval and bus so that it opens in one place only, the salt because a limit and a quantity alone
could be found by trying all of them. The letters keep these bytes apart from everything else that
is hashed or signed.
"""

from typing import Annotated

from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import U8, U32, FixedBytes, Struct
from runtime.primitives.types import (
    AccountId,
    BusIndex,
    ConnectionId,
    Hash,
    IntervalIndex,
    PricePerKwh,
)

DOMAIN = b"dret:sealed:v001"
SALT_BYTES = 32


class SealedContent(Struct):
    """What is hashed."""

    domain: Annotated[bytes, FixedBytes(len(DOMAIN))]
    account: AccountId
    connection: ConnectionId
    interval: IntervalIndex
    bus: BusIndex
    side: U8
    price_micro: PricePerKwh
    quantity_wh: U32
    salt: Annotated[bytes, FixedBytes(SALT_BYTES)]


def commitment_of(
    account: AccountId,
    connection: int,
    interval: int,
    bus: int,
    side: int,
    price_micro: int,
    quantity_wh: int,
    salt: bytes,
) -> Hash:
    """The commitment to an order. Every number has to fit its place."""
    content = SealedContent(
        DOMAIN, account, connection, interval, bus, side, price_micro, quantity_wh, salt
    )
    return blake2_256(content.encode())
