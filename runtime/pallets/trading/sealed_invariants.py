"""What holds of sealed orders after every block: asserted in tests, and told by the audit.

Each keeps its worst case aside; what an interval has of them is what its connections have; and
whatever is revealed finds a place: with its connection, among its open orders, in the book.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from runtime.pallets.grid_balancing import BOOK_WH_MAX
from runtime.pallets.trading.records import NO_BOOK, ORDERS_PER_HOLDING_MAX
from runtime.pallets.trading.sealed_orders import REVEAL_BLOCKS_MIN, worst_case
from runtime.pallets.trading.sealed_records import (
    SEALED_INTERVALS_MAX,
    SEALED_PER_INTERVAL_MAX,
    SealedInterval,
)

if TYPE_CHECKING:
    from runtime.pallets.trading import Trading


def check_sealed(market: "Trading", held: dict[bytes, int]) -> None:
    """Assert it; what sealed orders hold is added."""
    faults = list(faults_of_sealed(market))
    assert not faults, faults[0]
    ahead = market.sealed_ahead.get()
    assert list(ahead) == sorted(set(ahead)), "intervals with sealed orders rise"
    assert len(ahead) <= SEALED_INTERVALS_MAX, "they are bounded"
    assert sorted(market.sealed_intervals.keys()) == list(ahead), "all of them are listed"
    for (interval, number), orders in market.sealed_orders.items():
        assert interval in ahead, f"sealed orders of {interval} are known of"
        account = market.account_of(number)
        held[account] = held.get(account, 0) + sum(order.deposit_nano for order in orders)


def faults_of_sealed(market: "Trading") -> Iterator[str]:
    """Where it does not hold."""
    for interval, known in market.list_sealed_intervals():
        yield from faults_of_sums(market, interval, known)
        for number, orders in market.sealed_orders.items_under(interval):
            where = f"interval {interval}, connection {number}"
            for order in orders:
                needed = worst_case(market, interval, number, order.side, order.quantity_wh)
                if order.deposit_nano != needed:
                    yield f"{where}: a deposit of {order.deposit_nano}, expected {needed}"
            open_orders = len(market.holdings[interval, number].orders)
            if not orders:  # more than four are not encoded
                yield f"{where}: an entry without sealed orders"
            if open_orders + len(orders) > ORDERS_PER_HOLDING_MAX:
                yield f"{where}: {open_orders} open orders and {len(orders)} sealed ones"


def faults_of_sums(market: "Trading", interval: int, known: SealedInterval) -> Iterator[str]:
    """Of one interval."""
    waiting = [
        order for _, orders in market.sealed_orders.items_under(interval) for order in orders
    ]
    found = (len(waiting), sum(order.quantity_wh for order in waiting))
    if found != (known.waiting, known.waiting_wh):
        yield f"interval {interval}: {known.waiting} orders of {known.waiting_wh} Wh, has {found}"
    if known.waiting > SEALED_PER_INTERVAL_MAX or known.reveal_blocks > REVEAL_BLOCKS_MIN:
        yield f"interval {interval}: {known.waiting} orders, {known.reveal_blocks} blocks"
    book = market.books[interval] or NO_BOOK
    orders = book.orders + known.waiting
    if orders > market.config.book_orders_max or book.quantity_wh + known.waiting_wh > BOOK_WH_MAX:
        yield f"interval {interval}: its book has no room for what is sealed"
