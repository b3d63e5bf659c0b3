"""What orders and positions must keep aside so that any meter reading can be paid.

Invariant: a fill never raises the sum of an account's holds. With a unit hold of at least zero per
order, a bid filled at or below its limit, or an offer filled at or above it, gives up at least what
its position gains; so a clearing only releases, exactly, and can never fail for want of money.

The position hold is the most an account can owe the house for an interval: what its fills cost,
plus its whole position at the worst imbalance price. Residual supply is credit of the supplier and
not held. Prices in micro-DRT per kWh, energy in Wh, money in nano-DRT.
"""

from runtime.pallets.trading.settlement import Position, ZonePrices


def order_unit_hold(is_bid: bool, limit: int, prices: ZonePrices) -> int:
    """What one Wh of an open order keeps aside.

    A bid may cost its limit and then be resold as a surplus at a negative price; an offer may have
    to be bought back at the dearest imbalance price, less what its sale brought.
    """
    if is_bid:
        return max(0, limit - min(0, prices.imbalance_price_min))
    return max(0, prices.imbalance_price_max - limit)


def position_hold(position: Position, prices: ZonePrices) -> int:
    """The most that a position can owe for its fills and its own deviation, whatever is metered."""
    net_wh = position.net_wh
    if net_wh >= 0:
        deviation = net_wh * max(0, -prices.imbalance_price_min)
    else:
        deviation = -net_wh * prices.imbalance_price_max
    return max(0, position.payable_nano + deviation)
