"""Contracts inside the settlement of an interval: what is delivered, and what that costs.

Deals come in the order in which their contracts were countersigned; each takes what it can of what
earlier ones left: `m = min(wanted, export of the seller left, import of the buyer left)`, which
both lose from what the auction and the pool see. The buyer pays the strike to the seller and the
network tariffs of the path to the operator.

Without `is_firm` nothing else is owed. With it, who falls short of the tolerated quantity makes the
other whole: a seller pays what the buyer pays more at retail, a buyer what the seller gets less at
feed-in.

Invariants: no meter gives more than it measured; strikes lie between the seller's feed-in and the
buyer's retail price less the fee, so that a delivery makes nobody worse off.

Energy in Wh, prices in micro-DRT per kWh, money in nano-DRT. Shapes: a day has 96 quarter hours.
"""

from collections.abc import Sequence
from typing import NamedTuple

MILLION = 1_000_000
SLOTS_PER_DAY = 96
SUNRISE, SUNSET = 24, 72
"""Quarter hours between which the solar shape is not zero: 6 and 18 o'clock."""

_HALF_DAY = (SUNSET - SUNRISE) // 2


class Deal(NamedTuple):
    """A contract in one interval."""

    seller: int
    """Position of its connection in the deliveries."""

    buyer: int
    volume_wh: int
    """What a fixed volume reserved; zero for pay-as-produced."""

    share_ppm: int
    """Of the seller's metered export, for pay-as-produced."""

    strike: int
    fee: int
    """Sum of the tariffs on the path."""

    is_firm: bool
    tolerance_ppm: int
    """How far below the volume nobody owes anything."""


class Delivered(NamedTuple):
    """What came of a deal."""

    wh: int
    penalty_wh: int
    """Missing beyond the tolerance of a firm deal: the seller owes for it; negative: the buyer."""


class DealResults(NamedTuple):
    """What all deals of an interval came to, in their order, and what they left of the meters."""

    delivered: tuple[Delivered, ...]
    imports_left_wh: tuple[int, ...]
    exports_left_wh: tuple[int, ...]


def deliver(
    deals: Sequence[Deal], imports_wh: Sequence[int], exports_wh: Sequence[int]
) -> DealResults:
    """Set deals against metered energy, in their order."""
    imports, exports = list(imports_wh), list(exports_wh)
    delivered: list[Delivered] = []
    for deal in deals:
        wanted = deal.volume_wh + exports_wh[deal.seller] * deal.share_ppm // MILLION
        given, taken = exports[deal.seller], imports[deal.buyer]
        energy = min(wanted, given, taken)
        delivered.append(Delivered(energy, penalty(deal, wanted, given, taken)))
        exports[deal.seller] -= energy
        imports[deal.buyer] -= energy
    return DealResults(tuple(delivered), tuple(imports), tuple(exports))


def penalty(deal: Deal, wanted: int, given: int, taken: int) -> int:
    """What is missing of a firm deal beyond its tolerance, by whose fault: less than the other."""
    if not deal.is_firm or given == taken:
        return 0
    least = wanted * (MILLION - deal.tolerance_ppm) // MILLION
    missing = max(0, least - min(given, taken))
    return missing if given < taken else -missing


def solar_ppm(slot_of_day: int) -> int:
    """The solar shape: a parabola from sunrise to sunset, in parts of its best quarter hour."""
    if not SUNRISE < slot_of_day < SUNSET:
        return 0
    return MILLION * (slot_of_day - SUNRISE) * (SUNSET - slot_of_day) // (_HALF_DAY * _HALF_DAY)


SOLAR_DAY_PPM = sum(solar_ppm(slot) for slot in range(SLOTS_PER_DAY))
"""A day of the solar shape, in parts of its best quarter hour."""
