"""Homes that buy an evening's session, of a heat pump or a car, as a block: all of it, or half.

At noon such a home asks for the quarter hours from 18 o'clock on together, at one limit, and does
not order them one by one; what is not accepted by the gate, the supplier delivers. Energies are its
forecast, so that the meter shows what was bought. Terms are written from the primitives alone, as
in `devnet.calls`; a test compares them with the runtime's.
"""

from devnet import calls
from devnet.homes import SESSION, SLOTS_PER_DAY, HomeAgent, has_session
from runtime.primitives.scale import U8, U32, Struct, codec
from runtime.primitives.types import IntervalIndex, PricePerKwh

ASKED_AT = 48
"""Noon: a car is plugged in at six, and many calls come before."""

SESSION_AHEAD = SESSION.stop - 1 - ASKED_AT
"""How far the end of a session is ahead when it is asked for."""

LIMIT = 200_000
PART_MIN_PPM = 500_000
QUANTITY_WH_MIN = 20
"""Half of it is the least order."""


class _Block(Struct):
    side: U8
    price_micro: PricePerKwh
    first: IntervalIndex
    quantities_wh: tuple[U32, ...]
    acceptance_min_ppm: U32


_BLOCKS = codec(tuple[_Block, ...])
BLOCKS_KIND = b"\x00"


def session_of(home: HomeAgent, interval: int) -> bytes | None:
    """The call that asks for a home's next session, in the interval in which it asks."""
    if not has_session(home.connection):
        return None
    slot = (interval - home.genesis_interval) % SLOTS_PER_DAY
    if slot != ASKED_AT:
        return None
    first = interval + SESSION.start - slot
    wanted = [home.to_trade_wh(first + number) for number in range(len(SESSION))]
    energies = [wh if wh >= QUANTITY_WH_MIN else 0 for wh in wanted]
    while energies and energies[-1] == 0:
        energies.pop()
    while energies and energies[0] == 0:
        del energies[0]
        first += 1
    if not energies:
        return None
    block = _Block(calls.BID, LIMIT, first, tuple(energies), PART_MIN_PPM)
    return calls.place_coupled(home.connection, BLOCKS_KIND + _BLOCKS.encode((block,)))
