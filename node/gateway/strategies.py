"""Trading strategies of a household: what it wants to have in the book of an interval.

A strategy is a pure decision. It sees an interval as the household does (`View`): what it will
probably need, what it has bought or sold already, what of its orders rests, and how far ahead the
interval is. It answers with all orders that should rest from now on, or with None to leave things
as they are. Whoever asks it reads the chain, signs and sends (`Trading.replace_orders`, which is
refused when the position has changed meanwhile).

* `Automatic` trades its forecast: a day ahead, and what is left of it repriced before the gate.
* `PoolOnly` never orders: the pool shares with neighbours what its meter shows.
* `Manual` places what its owner wrote down, once, and leaves it to the owner.

No strategy takes both sides of an interval: a round trip is what could cost a household more than
the tariff does although it delivers its position (docs/settlement.md).

Units: Wh, micro-DRT per kWh. Net energy and positions are positive where the household takes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple, Protocol

QUOTE_AHEAD = 95
"""A day ahead is quoted as soon as the same quarter hour of the day before has been metered."""

REVISE_AHEAD = (3, 2)
"""Then what is not filled is repriced twice: the call after the second one is that of the gate."""

STAGES = (QUOTE_AHEAD, *REVISE_AHEAD)
QUANTITY_WH_MIN = 10
"""The market's least order."""

STEPS_MAX = 3


class Order(NamedTuple):
    """A limit order that a household wants to rest."""

    is_bid: bool
    price_micro: int
    quantity_wh: int


class View(NamedTuple):
    """An interval as a household sees it when it decides."""

    interval: int
    ahead: int
    """Intervals from now to it."""

    slot_of_day: int
    """Which quarter hour of its day it is."""

    net_wh: int
    """What it will probably take less give, contracts deducted."""

    position_wh: int
    """What it has bought less sold."""

    resting: Sequence[Order]
    """What of its orders is not filled."""


class Strategy(Protocol):
    """A way to trade."""

    def decide(self, view: View) -> Sequence[Order] | None:
        """All orders that should rest in the interval; None to leave them as they are."""
        ...


class PoolOnly:
    """Leaves trading to the others and shares what is left over."""

    def decide(self, view: View) -> Sequence[Order] | None:
        """Nothing to do."""
        return None


class Instruction(NamedTuple):
    """What an owner wants in a part of each day."""

    first_slot: int
    last_slot: int
    order: Order


@dataclass(frozen=True)
class Manual:
    """Places what the owner wrote down when an interval opens, and never touches it again."""

    instructions: Sequence[Instruction]

    def decide(self, view: View) -> Sequence[Order] | None:
        """The instructions for that part of the day, if nothing was done for it yet."""
        if view.ahead != QUOTE_AHEAD or view.resting or view.position_wh:
            return None
        wanted = [
            instruction.order
            for instruction in self.instructions
            if instruction.first_slot <= view.slot_of_day <= instruction.last_slot
        ]
        return wanted or None


@dataclass(frozen=True)
class PriceRange:
    """Limits that a household draws, in micro-DRT per kWh."""

    bid_min: int
    bid_end: int
    """Above every bid: retail, for which it gets energy anyway."""

    offer_min: int
    """The first step of each offer: hardly more than feed-in, so that it finds a buyer."""

    offer_max: int


@dataclass(frozen=True)
class Automatic:
    """Trades what the household will probably need or have left, in one to three equal steps.

    Prices follow from `name` and the interval alone: asked again, it says the same.
    """

    name: str
    """Whose prices they are; another name draws others."""

    wh_max: int
    """What the connection can carry in an interval."""

    prices: PriceRange

    def decide(self, view: View) -> Sequence[Order] | None:
        """A curve for what is neither bought nor sold yet, at other prices at each stage."""
        if view.ahead not in STAGES:
            return None
        if view.ahead == QUOTE_AHEAD and (view.resting or view.position_wh):
            return None  # quoted already
        left_wh = open_energy(view, self.wh_max)
        if abs(left_wh) < QUANTITY_WH_MIN:
            # Too little for an order. What rests of one may stay, unless it is too much.
            is_fitting = all(each.is_bid == (left_wh > 0) for each in view.resting)
            resting_wh = sum(each.quantity_wh for each in view.resting)
            return None if is_fitting and resting_wh <= abs(left_wh) else ()
        wanted = self.curve(view, is_bid=left_wh > 0, quantity_wh=abs(left_wh))
        return None if sorted(wanted) == sorted(view.resting) else wanted

    def curve(self, view: View, *, is_bid: bool, quantity_wh: int) -> list[Order]:
        """Equal steps; what does not divide goes to the first ones, 1 Wh each."""
        drawn = f"{self.name}/{view.interval}/{STAGES.index(view.ahead)}"
        steps = min(1 + draw(f"{drawn}/steps", STEPS_MAX), quantity_wh // QUANTITY_WH_MIN)
        return [
            Order(
                is_bid,
                self.price(f"{drawn}/{step}", step, is_bid=is_bid),
                quantity_wh // steps + (step < quantity_wh % steps),
            )
            for step in range(steps)
        ]

    def price(self, drawn: str, step: int, *, is_bid: bool) -> int:
        """The limit of a step."""
        prices = self.prices
        if is_bid:
            return prices.bid_min + draw(drawn, prices.bid_end - prices.bid_min)
        if step == 0:
            return prices.offer_min
        return prices.offer_min + draw(drawn, prices.offer_max - prices.offer_min + 1)


def open_energy(view: View, wh_max: int) -> int:
    """What a household still has to trade; nothing when it would have to trade back."""
    wanted_wh = max(-wh_max, min(view.net_wh, wh_max))
    left_wh = wanted_wh - view.position_wh
    is_trading_back = left_wh * view.position_wh < 0
    return 0 if is_trading_back else left_wh


def draw(what: str, options: int) -> int:
    """A number from 0 to `options` - 1 that follows from `what`, on any machine the same."""
    return int.from_bytes(blake2b(what.encode(), digest_size=16).digest()) % options
