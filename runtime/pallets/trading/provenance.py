"""Where metered energy came from: the pairs of an interval scaled to what the meters show.

Of what a seller sold, its meter shows all or less: its pairs shrink pro rata to that (`given_wh`).
Of what reached a buyer, its meter shows all or less: its pairs shrink to that (`delivered_wh`).
Rounding is carried from pair to pair. Who both bought and sold counts with the difference, as in
the settlement. The supplier delivers and takes everything, and so does the network; what a mix
hands out is what was given into it.

Premiums are paid on delivered energy, out of budgets that were kept aside for all that was paired.
When an interval is settled again, pairs are scaled again and the difference is paid as all other
corrections are.

Invariants: every paired Wh is delivered, or not given, or given and not taken, exactly once; no
meter gives or takes more in its pairs than it measured; premiums sum to zero over buyers and
sellers; budgets keep aside exactly what declarations say less what was paid.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from runtime.pallets.producer_registration import TRANSFORMER
from runtime.pallets.trading.pool import pro_rata
from runtime.pallets.trading.records import SettlementLine
from runtime.pallets.trading.right_records import (
    GREEN,
    MIX,
    NETWORK,
    EnergyClass,
    Green,
    Origin,
    OriginKind,
    Pair,
    PremiumsPaid,
)

if TYPE_CHECKING:
    from runtime.pallets.trading import Trading

PAIRS_WEIGHT = 4_000_000_000  # 4 ms: all pairs an interval can have, scaled, and their premiums


def settle_pairs(
    market: "Trading", interval: int, lines: Sequence[SettlementLine]
) -> dict[int, int]:
    """Scale the pairs of an interval to its meters, for the first time or again after corrections.

    Gives what each connection receives of premiums (negative: pays); in a settlement made again,
    in addition to before.
    """
    before = market.pairs[interval] or ()
    if not before:
        return {}
    after = scaled(before, lines)
    is_first = market.settlements[interval] is None
    if is_first:
        use_budgets(market, after)
    market.pairs[interval] = after
    was, now = figures(before), figures(after)
    sums = market.green.get()
    market.green.set(
        Green(
            sums.paired_wh + (now.paired_wh if is_first else 0),
            sums.delivered_wh + now.delivered_wh - was.delivered_wh,
            sums.green_wh + now.green_wh - was.green_wh,
            sums.premium_nano + now.premium_nano - was.premium_nano,
        )
    )
    if now.premium_nano != was.premium_nano:
        change = now.premium_nano - was.premium_nano
        market.deposit_event(PremiumsPaid(interval, now.green_wh, change))
    received = premiums_of(after)
    for number, amount in premiums_of(before).items():
        received[number] = received.get(number, 0) - amount
    return received


def scaled(pairs: Sequence[Pair], lines: Sequence[SettlementLine]) -> tuple[Pair, ...]:
    """Pairs with what was given and delivered of them."""
    wh = [each.wh for each in pairs]
    given = fitted(
        wh,
        [each.seller for each in pairs],
        lambda number: None if number in (TRANSFORMER, MIX) else covered(lines, number)[1],
    )
    mixed_wh = sum(part for each, part in zip(pairs, given, strict=True) if each.buyer == MIX)
    given = fitted(
        given,
        [each.seller for each in pairs],
        lambda number: mixed_wh if number == MIX else None,
    )
    delivered = fitted(
        given,
        [each.buyer for each in pairs],
        lambda number: None if number in (TRANSFORMER, MIX, NETWORK) else covered(lines, number)[0],
    )
    return tuple(
        replace(each, given_wh=given_wh, delivered_wh=delivered_wh)
        for each, given_wh, delivered_wh in zip(pairs, given, delivered, strict=True)
    )


def fitted(
    energies_wh: Sequence[int], parties: Sequence[int], limit: Callable[[int], int | None]
) -> list[int]:
    """Energies, those of each party pro rata so that they add up to its limit at most."""
    places: dict[int, list[int]] = {}
    for place, party in enumerate(parties):
        places.setdefault(party, []).append(place)
    after = list(energies_wh)
    for party, own in places.items():
        most = limit(party)
        parts = [energies_wh[place] for place in own]
        if most is not None and most < sum(parts):
            for place, part in zip(own, pro_rata(most, parts), strict=True):
                after[place] = part
    return after


def covered(lines: Sequence[SettlementLine], number: int) -> tuple[int, int]:
    """Metered import and export of a connection that its fills covered."""
    line = lines[number - 1]
    net_wh = line.buy_wh - line.sell_wh
    return (
        min(max(net_wh, 0), line.import_wh - line.contract_import_wh),
        min(max(-net_wh, 0), line.export_wh - line.contract_export_wh),
    )


def figures(pairs: Iterable[Pair]) -> Green:
    """Sums over the pairs of connections with named sellers and buyers."""
    named = [each for each in pairs if each.seller != MIX and each.buyer not in (MIX, NETWORK)]
    return Green(
        sum(each.wh for each in named),
        sum(each.delivered_wh for each in named),
        sum(each.delivered_wh for each in named if each.energy_class in GREEN),
        sum(each.premium_micro * each.delivered_wh for each in named),
    )


def premiums_of(pairs: Iterable[Pair]) -> dict[int, int]:
    """What connections receive (negative: pay) for what was delivered."""
    received: dict[int, int] = {}
    for each in pairs:
        amount = each.premium_micro * each.delivered_wh
        if amount:
            received[each.seller] = received.get(each.seller, 0) + amount
            received[each.buyer] = received.get(each.buyer, 0) - amount
    return received


def use_budgets(market: "Trading", pairs: Sequence[Pair]) -> None:
    """Free what is paid now of what was kept aside; the rest of the promises is budget again."""
    promised: dict[int, int] = {}
    paid: dict[int, int] = {}
    for each in pairs:
        if each.premium_micro:
            promised[each.buyer] = promised.get(each.buyer, 0) + each.premium_micro * each.wh
            amount = each.premium_micro * each.delivered_wh
            paid[each.buyer] = paid.get(each.buyer, 0) + amount
    for number, amount in promised.items():
        premium = market.premiums[number]
        assert premium is not None, "a premium that is promised was declared"
        reserved = premium.reserved_nano - amount
        budget = premium.budget_nano - paid[number]
        freed = paid[number]
        if premium.premium_micro == 0:  # it was ended; nothing but promises is kept aside
            freed += budget - reserved
            budget = reserved
        market.release(market.account_of(number), freed)
        if premium.premium_micro or budget:
            market.premiums[number] = replace(premium, budget_nano=budget, reserved_nano=reserved)
        else:
            del market.premiums[number]


def plus(amounts_nano: Sequence[int], received: dict[int, int]) -> list[int]:
    """Amounts by connection, 1 first, with what connections receive in addition."""
    return [amount + received.get(number, 0) for number, amount in enumerate(amounts_nano, start=1)]


def origins_of(market: "Trading", number: int, interval: int) -> list[Origin]:
    """Where the metered import of a connection came from; together all of it."""
    lines = market.lines[interval] or ()
    if not 0 < number <= len(lines):
        return []
    line = lines[number - 1]
    unspecified = EnergyClass.UNSPECIFIED
    found = [
        Origin(OriginKind.CONTRACT, deal.seller, market.class_of(deal.seller), deal.delivered_wh, 0)
        for deal in market.deals[interval] or ()
        if deal.buyer == number
    ]
    found += [
        Origin(
            OriginKind.AUCTION,
            None if each.seller == MIX else each.seller,
            EnergyClass(each.energy_class),
            each.delivered_wh,
            each.premium_micro * each.delivered_wh,
        )
        for each in market.pairs[interval] or ()
        if each.buyer == number
    ]
    found.append(Origin(OriginKind.POOL, None, unspecified, line.pool_import_wh, 0))
    rest_wh = line.import_wh - sum(origin.wh for origin in found)
    found.append(Origin(OriginKind.SUPPLIER, None, unspecified, rest_wh, 0))
    return [origin for origin in found if origin.wh]
