"""Handing an energy right on to a neighbour at the same bus, before the gate.

What goes is Wh: the duty to deliver energy of a class that was sold, or the right to energy that
was bought. What the fills cost or brought stays with the giver; the two agree on a price of their
own, which the call that takes the offer pays. A connection has one open offer per interval.

Who takes on a duty of a class needs a source of it, or what is called solar would not be. A premium
ends when the buyer who promised it gives the energy away.

Invariants: the sums of an interval and of each bus stay, energy of a class stays of that class, and
both sides keep exactly the collateral of what they have then.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from runtime.frame import AccountId
from runtime.pallets.producer_registration import Connection, Technology
from runtime.pallets.trading.errors import (
    AboveCapacity,
    ConnectionNotFound,
    IntervalClosed,
    NotConnectionOwner,
)
from runtime.pallets.trading.orders import hold_of, position_of
from runtime.pallets.trading.pairing import PAIRS_MAX, merged, named_pairs, reserve_premiums
from runtime.pallets.trading.pool import pro_rata
from runtime.pallets.trading.records import Holding, Side
from runtime.pallets.trading.right_records import (
    EnergyClass,
    NotSameBus,
    Pair,
    RightNotHeld,
    RightOffer,
    RightOffered,
    RightOfferInvalid,
    RightOfferNotFound,
    RightOfferWithdrawn,
    RightTransferred,
    SourceMissing,
    TooManyPairs,
)

if TYPE_CHECKING:
    from runtime.pallets.trading import Trading

PRICE_NANO_MAX = 2**63 - 1  # nine thousand million DRT, more than there is


def make_offer(
    market: "Trading", who: AccountId, number: int, interval: int, wanted: RightOffer
) -> None:
    """Put an offer in the place of an earlier one; of zero Wh, take that back."""
    connection = own_connection(market, who, number)
    check_open(market, interval)
    if wanted.wh == 0:
        if market.right_offers[interval, number] is None:
            raise RightOfferNotFound
        del market.right_offers[interval, number]
        market.deposit_event(RightOfferWithdrawn(number, interval))
        return
    if abs(wanted.price_nano) > PRICE_NANO_MAX or wanted.taker == number:
        raise RightOfferInvalid
    if wanted.taker is not None:
        taker = market.config.registry.connection(wanted.taker)
        if taker is None:
            raise RightOfferInvalid
        if taker.bus != connection.bus:
            raise NotSameBus
    if held_wh(market, interval, number, wanted) < wanted.wh:
        raise RightNotHeld

    market.right_offers[interval, number] = wanted
    market.deposit_event(RightOffered(number, interval, wanted))


def take(
    market: "Trading",
    who: AccountId,
    taker: int,
    giver: int,
    interval: int,
    agreed: RightOffer,
) -> None:
    """Take a right over on the terms of its offer, and pay for it."""
    connection = own_connection(market, who, taker)
    check_open(market, interval)
    found = market.right_offers[interval, giver]
    if found is None or found != agreed or taker == giver or found.taker not in (None, taker):
        raise RightOfferNotFound
    other = market.connection_at(giver)
    if other.bus != connection.bus:
        raise NotSameBus
    is_duty = agreed.side == Side.OFFER
    if is_duty and not can_deliver(market, taker, EnergyClass(agreed.energy_class)):
        raise SourceMissing
    if held_wh(market, interval, giver, agreed) < agreed.wh:
        raise RightNotHeld

    buy_wh, sell_wh = (0, agreed.wh) if is_duty else (agreed.wh, 0)
    change_holding(market, interval, giver, other, -buy_wh, -sell_wh)
    change_holding(market, interval, taker, connection, buy_wh, sell_wh)
    pay(market, who, other.account, agreed.price_nano)
    move_pairs(market, interval, giver, taker, agreed)
    del market.right_offers[interval, giver]
    market.deposit_event(
        RightTransferred(
            interval,
            giver,
            taker,
            Side(agreed.side),
            EnergyClass(agreed.energy_class),
            agreed.wh,
            agreed.price_nano,
        )
    )


def own_connection(market: "Trading", who: AccountId, number: int) -> Connection:
    """The connection, if it is the caller's."""
    connection = market.config.registry.connection(number)
    if connection is None:
        raise ConnectionNotFound
    if connection.account != who:
        raise NotConnectionOwner
    return connection


def check_open(market: "Trading", interval: int) -> None:
    """Refuse what comes after the gate."""
    if market.is_gate_passed(interval, market.config.clock.now()):
        raise IntervalClosed


def can_deliver(market: "Trading", number: int, energy_class: EnergyClass) -> bool:
    """Whether a connection has an active source of a class; any connection has unspecified ones."""
    if energy_class == EnergyClass.UNSPECIFIED:
        return True
    return Technology(energy_class) in market.config.registry.source_power(number)


def is_of(each: Pair, number: int, right: RightOffer) -> bool:
    """Whether a pair holds some of a connection's right."""
    party = each.seller if right.side == Side.OFFER else each.buyer
    return party == number and each.energy_class == right.energy_class


def held_wh(market: "Trading", interval: int, number: int, right: RightOffer) -> int:
    """What a connection has of a class, to deliver or to take."""
    return sum(each.wh for each in market.pairs[interval] or () if is_of(each, number, right))


def change_holding(
    market: "Trading",
    interval: int,
    number: int,
    connection: Connection,
    buy_wh: int,
    sell_wh: int,
) -> None:
    """Change the position of a connection, with the collateral it needs then."""
    before = market.holdings[interval, number]
    holding = replace(before, buy_wh=before.buy_wh + buy_wh, sell_wh=before.sell_wh + sell_wh)
    check_capacity(market, interval, number, connection, holding)
    prices = market.hold_prices(interval, number)
    needed = hold_of(position_of(holding), holding.orders, prices)
    if needed > before.held_nano:
        market.config.currency.hold(connection.account, needed - before.held_nano)
    else:
        market.release(connection.account, before.held_nano - needed)
    market.holdings[interval, number] = replace(holding, held_nano=needed)


def check_capacity(
    market: "Trading", interval: int, number: int, connection: Connection, holding: Holding
) -> None:
    """Refuse a position that the connection could not carry, its open orders filled."""
    imported, exported = market.committed(interval, number)
    net_wh = holding.buy_wh - holding.sell_wh
    bids_wh, offers_wh = (
        sum(order.quantity_wh for order in holding.orders if order.side == side)
        for side in (Side.BID, Side.OFFER)
    )
    if (
        bids_wh + net_wh > connection.import_wh_max - imported
        or offers_wh - net_wh > connection.export_wh_max - exported
    ):
        raise AboveCapacity


def pay(market: "Trading", taker: AccountId, giver: AccountId, price_nano: int) -> None:
    """Pay the price of a right; a negative one goes to the taker."""
    source, dest = (taker, giver) if price_nano > 0 else (giver, taker)
    if price_nano and source != dest:
        market.config.currency.transfer(source, dest, abs(price_nano))


def move_pairs(market: "Trading", interval: int, giver: int, taker: int, right: RightOffer) -> None:
    """Let the taker stand in the giver's place, in each of its pairs pro rata."""
    pairs = market.pairs[interval] or ()
    concerned = [each for each in pairs if is_of(each, giver, right)]
    kept = [each for each in pairs if not is_of(each, giver, right)]
    moved = pro_rata(right.wh, [each.wh for each in concerned])
    ended: list[Pair] = []
    for each, wh in zip(concerned, moved, strict=True):
        kept.append(replace(each, wh=each.wh - wh))
        kept.append(handed_on(market, replace(each, wh=wh), taker, right, ended))
    together = merged(kept)
    if named_pairs(together) > max(PAIRS_MAX, named_pairs(pairs)):
        raise TooManyPairs
    reserve_premiums(market, ended, -1)
    market.pairs[interval] = together


def handed_on(
    market: "Trading", each: Pair, taker: int, right: RightOffer, ended: list[Pair]
) -> Pair:
    """A pair with the taker in it; adds to `ended` what premium that ends."""
    is_duty = right.side == Side.OFFER
    after = replace(each, seller=taker) if is_duty else replace(each, buyer=taker)
    if each.premium_micro == 0:
        return after
    if is_duty and market.account_of(taker) != market.account_of(each.buyer):
        return after
    ended.append(each)
    return replace(after, premium_micro=0)


def offers_of(offers: Sequence[tuple[int, RightOffer | None]]) -> list[tuple[int, RightOffer]]:
    """The offers that stand, by connection."""
    return sorted((number, each) for number, each in offers if each is not None)
