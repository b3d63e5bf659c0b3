"""Who takes part in the pool of residuals: everyone who does not say otherwise.

A choice holds for the intervals that begin after it, and can be changed again once the interval in
which it was made is settled: so one record per connection says for every interval that is not
settled yet whether the connection is a member.
"""

from typing import TYPE_CHECKING

from runtime.frame import AccountId
from runtime.pallets.trading.errors import (
    ConnectionNotFound,
    NotConnectionOwner,
    PoolChoiceTooSoon,
    PoolChoiceUnchanged,
)
from runtime.pallets.trading.events import PoolChoiceMade
from runtime.pallets.trading.records import PoolChoice

if TYPE_CHECKING:
    from runtime.pallets.trading import Trading

MEMBER_FROM_THE_BEGINNING = PoolChoice(True, 0)


def is_member(market: "Trading", number: int, interval: int) -> bool:
    """Whether a connection is in the pool of an interval that is not settled yet."""
    choice = market.pool_choices[number] or MEMBER_FROM_THE_BEGINNING
    return choice.is_member == (interval >= choice.since)


def choose(market: "Trading", who: AccountId, number: int, wants_in: bool) -> None:
    """Join or leave the pool."""
    connection = market.config.registry.connection(number)
    if connection is None:
        raise ConnectionNotFound
    if connection.account != who:
        raise NotConnectionOwner
    before = market.pool_choices[number] or MEMBER_FROM_THE_BEGINNING
    if before.is_member == wants_in:
        raise PoolChoiceUnchanged
    current = market.config.clock.now() // market.config.market_interval_ms
    oldest = min(market.schedule.get().stored, default=current)
    if min(oldest, current) < before.since:
        raise PoolChoiceTooSoon
    choice = PoolChoice(wants_in, current + 1)

    market.pool_choices[number] = choice
    market.deposit_event(PoolChoiceMade(number, choice))
