"""The pool of residuals: neighbours share what nobody traded, after it was metered.

No forecast, no liability: what members still import and export after their positions is matched up
to the smaller sum, pro rata on the larger side, at one price. A buyer pays the price and a reduced
network fee, a seller gets the price.

Invariants: shares sum to the volume on both sides, none above its residual; the price is at least
the members' greatest feed-in price and, with the fee, at most their least retail price, so that no
member is worse off than with the tariff; where no such price exists, nothing is shared.

Energy in Wh, prices in micro-DRT per kWh. The price: ratio of supply to demand (Liu et al. 2017).
"""

from collections.abc import Sequence
from typing import NamedTuple

MILLION = 1_000_000


class PoolPrices(NamedTuple):
    """Between what the pool's price may lie."""

    retail_price: int
    """The least retail price of its members."""

    feed_in_price: int
    """Their greatest feed-in price."""

    fee: int
    """What a buyer pays for the network instead of the whole network fee."""


class Pool(NamedTuple):
    """What the pool shared out."""

    price: int
    """Zero if nothing was shared."""

    volume_wh: int
    imports_wh: tuple[int, ...]
    """What each had of others, in the order of the residuals."""

    exports_wh: tuple[int, ...]
    """What each gave to others."""


def share_residuals(
    imports_wh: Sequence[int], exports_wh: Sequence[int], prices: PoolPrices
) -> Pool:
    """Match residual imports and exports of members; others stand in both lists with zeros."""
    demand_wh, supply_wh = sum(imports_wh), sum(exports_wh)
    volume_wh = min(demand_wh, supply_wh)
    price_max = prices.retail_price - prices.fee
    if volume_wh == 0 or price_max < prices.feed_in_price:
        nothing = (0,) * len(imports_wh)
        return Pool(0, 0, nothing, nothing)
    price = supply_demand_price(supply_wh, demand_wh, prices.retail_price, prices.feed_in_price)
    return Pool(
        min(max(price, prices.feed_in_price), price_max),
        volume_wh,
        pro_rata(volume_wh, imports_wh),
        pro_rata(volume_wh, exports_wh),
    )


def supply_demand_price(
    supply_wh: int, demand_wh: int, retail_price: int, feed_in_price: int
) -> int:
    """Retail when nothing is offered, feed-in when all that is wanted is, and between them falling.

    A hyperbola for a positive feed-in price; a straight line where that is not defined.
    """
    if supply_wh >= demand_wh:
        return feed_in_price
    ratio_ppm = MILLION * supply_wh // demand_wh
    spread = retail_price - feed_in_price
    if feed_in_price <= 0:
        return retail_price - spread * ratio_ppm // MILLION
    scaled = spread * ratio_ppm + feed_in_price * MILLION
    return feed_in_price * retail_price * MILLION // scaled


def pro_rata(volume_wh: int, residuals_wh: Sequence[int]) -> tuple[int, ...]:
    """Shares of a volume up to their sum, each within 1 Wh of its part: what rounding leaves is
    carried to the next.
    """
    total = sum(residuals_wh)
    shares: list[int] = []
    carry = 0
    for residual in residuals_wh:
        share, carry = divmod(volume_wh * residual + carry, total)
        shares.append(share)
    return tuple(shares)
