"""Green premiums: what a buyer adds to the price of green energy, of its own will.

A connection declares an amount per kWh and a budget, which is kept aside at once. After each call
the budget covers the premiums of the pairs it was promised to, at most what is left of it; what is
delivered in the end is paid to the sellers (`provenance.py`), the rest of the promise is budget
again. So a premium can never take more than was declared, and no wallet becomes negative.

A declaration replaces the one before: the amount holds from the next call on, the budget is what is
kept aside from then on, and never below what is promised already.
"""

from typing import TYPE_CHECKING

from msgspec.structs import replace

from runtime.frame import AccountId
from runtime.pallets.producer_registration import TRANSFORMER
from runtime.pallets.trading.right_records import (
    PREMIUM_MICRO_MAX,
    Premium,
    PremiumDeclared,
    PremiumInvalid,
    PremiumReserved,
)
from runtime.pallets.trading.transfers import own_connection

if TYPE_CHECKING:
    from runtime.pallets.trading import Trading

NO_PREMIUM = Premium(0, 0, 0)


def declare(
    market: "Trading", who: AccountId, number: int, premium_micro: int, budget_nano: int
) -> None:
    """Declare a premium and its budget; both zero end it."""
    own_connection(market, who, number)
    before = market.premiums[number] or NO_PREMIUM
    if (
        number == TRANSFORMER
        or premium_micro > PREMIUM_MICRO_MAX
        or (premium_micro == 0) != (budget_nano == 0)
    ):
        raise PremiumInvalid
    if premium_micro == 0:
        budget_nano = before.reserved_nano  # it goes with the last promise
    if budget_nano < before.reserved_nano:
        raise PremiumReserved
    after = replace(before, premium_micro=premium_micro, budget_nano=budget_nano)

    if budget_nano > before.budget_nano:
        market.config.currency.hold(who, budget_nano - before.budget_nano)
    else:
        market.release(who, before.budget_nano - budget_nano)
    if budget_nano:
        market.premiums[number] = after
    else:
        del market.premiums[number]
    market.deposit_event(PremiumDeclared(number, after))
