"""Quiet periods: the two intervals before the gate of an interval that carries sealed orders.

Commitments for interval k close with the first block of k - 3. From then on until its gate, sealed
orders are revealed, and so nothing else for k may follow from what they say: no order comes, goes
or is replaced, whoever's and of whatever kind, and calls leave the interval alone. The call of the
gate clears what rests together with what was revealed. An interval without a commitment has no
quiet period.

Taking an order back is shut for the same reason as placing one: who sees the other side's limit
could withhold as well as add.
"""

from typing import TYPE_CHECKING

from runtime import frame

if TYPE_CHECKING:
    from runtime.pallets.trading import Trading

CLOSED_AHEAD = 3
"""Commitments for interval k are taken until k - 3 begins; the reveals end with k - 2."""


class IntervalSealed(frame.Error, index=52):
    """Sealed orders for the interval are being revealed: until its gate no order for it comes, goes
    or changes. What rests takes part in the call of the gate.
    """


def closing_ms(market: "Trading", interval: int) -> int:
    """When commitments for an interval close and its reveals begin."""
    return (interval - CLOSED_AHEAD) * market.config.market_interval_ms


def is_quiet(market: "Trading", interval: int, now_ms: int) -> bool:
    """Whether an interval carries sealed orders whose reveals have begun, before its gate."""
    if now_ms < closing_ms(market, interval) or market.is_gate_passed(interval, now_ms):
        return False
    return market.sealed_intervals[interval] is not None


def check_not_quiet(market: "Trading", interval: int) -> None:
    """Refuse to change the orders of an interval while others reveal theirs."""
    if is_quiet(market, interval, market.config.clock.now()):
        raise IntervalSealed
