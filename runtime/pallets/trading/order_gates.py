"""Which calls are about orders, and until when each is of use."""

from typing import TYPE_CHECKING, Any

from runtime.frame import Moment
from runtime.pallets.trading.quiet_periods import closing_ms
from runtime.pallets.trading.records import parts_of

if TYPE_CHECKING:
    from runtime.pallets.trading import Trading

NAMES_INTERVAL = frozenset(
    {"place_order", "place_orders", "place_market_order", "replace_orders", "seal_order"}
)
NAMES_ORDER = frozenset({"cancel_order", "replace_order", "reveal_order", "withdraw_sealed_order"})
BEFORE_CLOSING = frozenset({"seal_order", "withdraw_sealed_order"})
COUPLED = frozenset({"place_coupled", "cancel_coupled"})

ORDER_CALLS = NAMES_INTERVAL | NAMES_ORDER | COUPLED
"""None of them takes anything from an account but its sender's."""


def gate_of(market: "Trading", name: str, call: Any) -> Moment | None:
    """When the gate passes that an order call has to be before, or commitments close.

    None for coupled orders: they are of use whenever they come.
    """
    if name in NAMES_INTERVAL:
        interval: int = call.interval
    elif name in NAMES_ORDER:
        interval = parts_of(call.order_id)[0]
    else:
        return None
    if name in BEFORE_CLOSING:
        return max(0, closing_ms(market, interval))
    return max(0, interval - 1) * market.config.market_interval_ms
