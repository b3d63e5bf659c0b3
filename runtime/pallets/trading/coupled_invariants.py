"""What holds of waiting coupled orders after every block, asserted in tests.

That none is accepted at a loss is asserted where they are accepted (`coupled_call.settle_hold`).
"""

from typing import TYPE_CHECKING

from runtime.pallets.trading.coupled_accepted import check_schedules
from runtime.pallets.trading.coupled_orders import waiting_of, worst_prices
from runtime.pallets.trading.coupled_records import COUPLED_MAX, COUPLED_PER_CONNECTION_MAX
from runtime.pallets.trading.coupled_terms import hold_of_terms, intervals_of
from runtime.pallets.trading.records import parts_of

if TYPE_CHECKING:
    from runtime.pallets.trading import Trading


def check_coupled(market: "Trading", held: dict[bytes, int]) -> None:
    """Coupled orders that wait are bounded, keep their worst case aside and fit their connections;
    what they hold is added.
    """
    entries = market.list_coupled_orders()
    waiting = [entry.order_id for entry in entries]
    assert sorted(market.coupled_orders.keys()) == waiting, "what is stored waits"
    assert len(waiting) <= COUPLED_MAX, "they are bounded"
    for entry in entries:
        order_id, order = entry.order_id, entry.order
        first, number, _ = parts_of(order_id)
        named = intervals_of(order.terms)
        assert (number, first) == (order.connection, named[0]), f"the id of {order_id} says where"
        needed = hold_of_terms(order.terms, worst_prices(market, named, number))
        assert order.held_nano == needed, f"collateral of coupled order {order_id}"
        account = market.account_of(number)
        held[account] = held.get(account, 0) + order.held_nano
    for number in {entry.order.connection for entry in entries}:
        assert len(waiting_of(market, number)) <= COUPLED_PER_CONNECTION_MAX, f"of {number}"
    check_schedules(market)
