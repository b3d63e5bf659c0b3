"""Accepted coupled orders, remembered for the devices that follow them.

A charger, a load or a battery does what its order was accepted with. It reads that from the state,
at any time until the order's longest possible window is settled: so one that was off at the moment
of acceptance, or was started again, knows what to do, without the events of pruned blocks.

Invariants: a connection has at most 16 entries; each has the connection, and its energies begin
with the first and end with the last interval in which something was accepted.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from runtime.frame import I32, ConnectionId, IntervalIndex, MaxLen, OrderId, Struct
from runtime.pallets.trading.accounting import SETTLEMENT_INTERVALS
from runtime.pallets.trading.coupled_records import (
    WINDOW_MAX,
    CoupledFill,
    TooManyCoupledOrders,
)
from runtime.pallets.trading.records import parts_of

if TYPE_CHECKING:
    from runtime.pallets.trading import Trading

REMEMBERED_MAX = 16  # of a connection: four devices twice a day, for the two days of an order


class CoupledSchedule(Struct):
    """What a coupled order was accepted with."""

    order_id: OrderId
    first: IntervalIndex
    energies_wh: Annotated[tuple[I32, ...], MaxLen(WINDOW_MAX)]
    """Per interval from `first` on: bought, or, negative, sold."""


def remember(market: "Trading", number: int, order_id: int, fills: Sequence[CoupledFill]) -> None:
    """Keep what an order was accepted with; forget orders of its connection that are over."""
    for other in list(market.coupled_accepted.keys_under(number)):
        if is_over(market, other):
            del market.coupled_accepted[number, other]
    first, last = fills[0].interval, fills[-1].interval
    energies = [0] * (last - first + 1)
    for fill in fills:
        energies[fill.interval - first] = fill.buy_wh - fill.sell_wh
    market.coupled_accepted[number, order_id] = CoupledSchedule(order_id, first, tuple(energies))


def check_room(market: "Trading", number: int, waiting: int) -> None:
    """Refuse an order more than could be remembered if all that wait were accepted."""
    kept = sum(not is_over(market, order) for order in market.coupled_accepted.keys_under(number))
    if kept + waiting >= REMEMBERED_MAX:
        raise TooManyCoupledOrders


def is_over(market: "Trading", order_id: int) -> bool:
    """Whether all intervals that an order may have named are settled."""
    first, _, _ = parts_of(order_id)
    return first + WINDOW_MAX + SETTLEMENT_INTERVALS <= market.schedule.get().seen


def schedules_of(market: "Trading", number: int) -> list[CoupledSchedule]:
    """What the orders of a connection were accepted with, by id, while it may still matter."""
    found = [schedule for _, schedule in market.coupled_accepted.items_under(number) if schedule]
    return sorted(found, key=lambda schedule: schedule.order_id)


def check_schedules(market: "Trading") -> None:
    """Assert the invariants of this module, after every block under test."""
    counts: dict[ConnectionId, int] = {}
    for (number, order_id), schedule in market.coupled_accepted.items():
        assert schedule is not None and schedule.order_id == order_id, f"schedule of {order_id}"
        assert parts_of(order_id)[1] == number, f"{order_id} is of another connection than {number}"
        assert schedule.energies_wh and 0 not in (
            schedule.energies_wh[0],
            schedule.energies_wh[-1],
        ), f"schedule of {order_id} begins and ends with energy"
        counts[number] = counts.get(number, 0) + 1
    assert all(count <= REMEMBERED_MAX for count in counts.values()), "schedules are bounded"
