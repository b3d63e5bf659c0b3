"""Parameters of the market that the members of the consortium may change.

A change holds for intervals that are not open when it takes effect: nobody's orders, positions or
bills are judged by rules that came after them. What an interval was opened with also holds when it
is settled again.

Invariant: the changes rise by their first interval, and each is admissible.
"""

from typing import TYPE_CHECKING, Annotated

from runtime import frame
from runtime.frame import (
    U32,
    IntervalIndex,
    MaxLen,
    Pallet,
    PricePerKwh,
    StorageValue,
    Struct,
    api,
)
from runtime.pallets.trading.config import DISPUTE_INTERVALS_MAX, Config, zone_prices_of
from runtime.pallets.trading.orders import INTERVALS_AHEAD
from runtime.pallets.trading.settlement import ZonePrices

if TYPE_CHECKING:
    from runtime.pallets.trading import Trading

CHANGES_MAX = 16  # within the dispute window of a week: members decide more slowly than that


class MarketParameters(Struct):
    """What deviations, the pool and corrections go by."""

    dual_imbalance: bool
    """Whether who is short pays the greatest price and who is long gets the least one."""

    pool_fee: PricePerKwh
    """What a buyer of the pool pays for the network instead of the network fee."""

    dispute_intervals: U32
    """Intervals after its settlement for which an interval can be corrected."""


class ParameterChange(Struct):
    """From an interval on, other parameters hold."""

    first: IntervalIndex
    parameters: MarketParameters


class ParametersChanged(frame.Event, index=40):
    """The members changed the market's parameters from an interval on."""

    change: ParameterChange


class ParametersOutOfBounds(frame.Error, index=46):
    """A pool fee below 0 or above what retail leaves over feed-in, or a dispute window of more than
    672 intervals.
    """


class TooManyChanges(frame.Error, index=47):
    """16 changes of the parameters, or 4 of the tariffs, are still needed."""


class Parameters(Pallet[Config]):
    """The part of Trading that keeps the market's parameters."""

    parameter_changes: StorageValue[Annotated[tuple[ParameterChange, ...], MaxLen(CHANGES_MAX)]]
    """Against the chain's constants, as long as an interval that is not final may need them."""

    @api("Trading_parameters")
    def read_parameters(self, interval: IntervalIndex) -> MarketParameters:
        """The parameters of an interval, as far as they are decided."""
        return parameters_at(self, interval)

    @api("Trading_parameter_changes")
    def list_parameter_changes(self) -> list[ParameterChange]:
        """The changes that were decided, by their first interval."""
        return list(self.parameter_changes.get())


def parameters_at(market: Parameters, interval: int) -> MarketParameters:
    """The parameters of an interval: of the latest change up to it, or the chain's constants."""
    for change in reversed(market.parameter_changes.get()):
        if change.first <= interval:
            return change.parameters
    config = market.config
    return MarketParameters(config.dual_imbalance == 1, config.pool_fee, config.dispute_intervals)


def zone_prices_at(market: Parameters, interval: int) -> ZonePrices:
    """Prices of deviations and losses, and the fee of the pool, in an interval."""
    parameters = parameters_at(market, interval)
    return zone_prices_of(market.config, parameters.pool_fee, parameters.dual_imbalance)


def check_parameters(market: Parameters, parameters: MarketParameters) -> None:
    """Refuse parameters for which the rules of the market do not hold."""
    config = market.config
    spread = config.supplier_price + config.network_fee - config.feed_in_price
    fits_window = parameters.dispute_intervals <= DISPUTE_INTERVALS_MAX
    if not 0 <= parameters.pool_fee <= spread or not fits_window:
        raise ParametersOutOfBounds


def change_parameters(market: "Trading", parameters: MarketParameters) -> None:
    """Let other parameters hold from the first interval on that is not open."""
    check_parameters(market, parameters)
    first = first_unopened(market)
    oldest = oldest_needed(market)
    changes = [each for each in market.parameter_changes.get() if each.first != first]
    while len(changes) > 1 and changes[1].first <= oldest:
        del changes[0]  # no interval that may be settled again goes by it
    if len(changes) >= CHANGES_MAX:
        raise TooManyChanges
    change = ParameterChange(first, parameters)
    market.parameter_changes.set((*changes, change))
    market.deposit_event(ParametersChanged(change))


def first_unopened(market: "Trading") -> int:
    """The first interval for which nobody can have an order or a contract yet."""
    current = market.config.clock.now() // market.config.market_interval_ms
    return max(market.schedule.get().opened, current + INTERVALS_AHEAD) + 1


def oldest_needed(market: "Trading") -> int:
    """The oldest interval that is remembered, or else the present one."""
    oldest = market.settled_at[market.history_begin.get()]
    if oldest is not None:
        return oldest
    stored = market.schedule.get().stored
    return stored[0] if stored else market.config.clock.now() // market.config.market_interval_ms


def check_parameter_changes(market: Parameters) -> None:
    """Assert the invariant."""
    firsts = [change.first for change in market.parameter_changes.get()]
    assert firsts == sorted(set(firsts)), "changes of the parameters rise"
    for change in market.parameter_changes.get():
        check_parameters(market, change.parameters)
