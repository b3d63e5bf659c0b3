"""What the members of the consortium decide about the market; Authorities counts their votes."""

from typing import TYPE_CHECKING

from runtime.frame import Balance, Enum
from runtime.pallets.system import CONGESTION_RENT
from runtime.pallets.trading.fund import FundTerms, change_fund, check_change
from runtime.pallets.trading.parameters import (
    MarketParameters,
    change_parameters,
    check_parameters,
)
from runtime.pallets.trading.tariffs import (
    TariffBook,
    announce_tariffs,
    check_available,
    check_book,
    release_rent,
)

if TYPE_CHECKING:
    from runtime.pallets.trading import Trading


class MarketDecision(Enum):
    """A decision about the market."""


class SetParameters(MarketDecision, index=0):
    """Other parameters for the intervals that are not open."""

    parameters: MarketParameters


class SetTariffs(MarketDecision, index=1):
    """Other network tariffs from an interval on that is not open."""

    book: TariffBook


class ReleaseCongestionRent(MarketDecision, index=2):
    """Give earmarked congestion rent to the grid operator, which forgoes fees for it."""

    amount_nano: Balance


class SetFund(MarketDecision, index=3):
    """Other bounds for the liquidity fund."""

    terms: FundTerms


def check_decision(market: "Trading", decision: MarketDecision) -> None:
    """Raise the error with which a decision would fail now."""
    match decision:
        case SetParameters(parameters):
            check_parameters(market, parameters)
        case SetTariffs(book):
            check_book(market, book)
        case ReleaseCongestionRent(amount_nano):
            check_available(market, CONGESTION_RENT, amount_nano)
        case SetFund(terms):
            check_change(market, terms)
        case _:
            raise AssertionError(f"no such decision: {decision}")


def carry_out(market: "Trading", decision: MarketDecision) -> None:
    """Do what was decided. Raises a `DispatchError` if it cannot be done any more."""
    match decision:
        case SetParameters(parameters):
            change_parameters(market, parameters)
        case SetTariffs(book):
            announce_tariffs(market, book)
        case ReleaseCongestionRent(amount_nano):
            release_rent(market, amount_nano)
        case SetFund(terms):
            change_fund(market, terms)
        case _:
            raise AssertionError(f"no such decision: {decision}")
