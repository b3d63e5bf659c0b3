"""The settlement of docs/settlement.md as a list of postings: the twin `settle` is compared with.

Every posting is written down with payer, payee and reason; balances are added up at the end. Slow,
obvious, and nothing shared with the runtime.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import floor


@dataclass
class Home:
    supplier_price: int
    network_fee: int
    feed_in: int
    payable: int
    buy: int
    sell: int
    imported: int
    exported: int
    pooled: bool


@dataclass
class Market:
    imbalance_max: int
    imbalance_min: int
    loss_price: int
    pool_fee: int
    dual: bool
    supplier_payable: int
    supplier_buy: int
    supplier_sell: int
    into_zone: int
    out_of_zone: int
    rent: int
    booked_loss: int


@dataclass
class Contract:
    seller: int
    buyer: int
    volume: int
    share: int
    strike: int
    fee: int
    firm: bool
    tolerance: int


Posting = tuple[str, str, int, str]


def deviations(home: Home) -> tuple[int, int, int, int]:
    """(residual import, residual export, long, short), by walking through the four cases."""
    net = home.buy - home.sell
    if net >= 0:
        if home.imported >= net:
            return home.imported - net, home.exported, 0, 0
        return 0, home.exported, net - home.imported, 0
    if home.exported >= -net:
        return home.imported, home.exported + net, 0, 0
    return home.imported, 0, 0, -net - home.exported


def contract_postings(homes: list[Home], contracts: list[Contract]) -> list[Posting]:
    """What contracts cost, one after the other; takes what they deliver off the homes' meters."""
    metered = [home.exported for home in homes]
    rows: list[Posting] = []
    for contract in contracts:
        seller, buyer = homes[contract.seller], homes[contract.buyer]
        names = str(contract.buyer), str(contract.seller)
        wanted = contract.volume + metered[contract.seller] * contract.share // 10**6
        least = wanted * (10**6 - contract.tolerance) // 10**6
        there, room = seller.exported, buyer.imported
        energy = min(wanted, there, room)
        rows.append((*names, contract.strike * energy, "strike"))
        rows.append((names[0], "operator", contract.fee * energy, "tariffs of the path"))
        if contract.firm and there < room and there < least:
            gap = buyer.supplier_price + buyer.network_fee - contract.fee - contract.strike
            rows.append((names[1], names[0], gap * (least - there), "not delivered"))
        if contract.firm and room < there and room < least:
            gap = contract.strike - seller.feed_in
            rows.append((*names, gap * (least - room), "not taken"))
        seller.exported -= energy
        buyer.imported -= energy
    return rows


def imbalance_price(market: Market, homes: list[Home]) -> int:
    parts = [deviations(home) for home in homes]
    short = sum(part[3] for part in parts)
    long = sum(part[2] for part in parts)
    if short > long:
        return market.imbalance_max
    if short < long:
        return market.imbalance_min
    return (market.imbalance_max + market.imbalance_min) // 2


def pool_price(market: Market, homes: list[Home]) -> int | None:
    """The pool's price, from the members alone; None when no price suits all of them."""
    members = [home for home in homes if home.pooled]
    supply = sum(deviations(home)[1] for home in members)
    demand = sum(deviations(home)[0] for home in members)
    if supply == 0 or demand == 0:
        return None
    retail = min(home.supplier_price + home.network_fee for home in members)
    feed_in = max(home.feed_in for home in members)
    if feed_in > retail - market.pool_fee:
        return None
    ratio = Fraction(min(supply * 10**6 // demand, 10**6), 10**6)
    if supply >= demand:
        wanted = feed_in
    elif feed_in > 0:
        wanted = floor(Fraction(feed_in * retail) / ((retail - feed_in) * ratio + feed_in))
    else:
        wanted = retail - floor((retail - feed_in) * ratio)
    return sorted((feed_in, wanted, retail - market.pool_fee))[1]


def pool_shares(residuals: list[int], volume: int) -> list[int]:
    """Prefix by prefix: what all up to here may have, less what those before have."""
    shares: list[int] = []
    for end in range(1, len(residuals) + 1):
        shares.append(volume * sum(residuals[:end]) // sum(residuals) - sum(shares))
    return shares


def pool_postings(market: Market, homes: list[Home]) -> tuple[list[Posting], list[int], list[int]]:
    """What members pay each other, and how much of their residuals that takes away."""
    price = pool_price(market, homes)
    if price is None:
        return [], [0] * len(homes), [0] * len(homes)
    wanted = [deviations(home)[0] if home.pooled else 0 for home in homes]
    offered = [deviations(home)[1] if home.pooled else 0 for home in homes]
    volume = min(sum(wanted), sum(offered))
    taken, given = pool_shares(wanted, volume), pool_shares(offered, volume)
    rows: list[Posting] = []
    for index in range(len(homes)):
        rows += [
            (str(index), "house", price * taken[index], "from the pool"),
            (str(index), "operator", market.pool_fee * taken[index], "fee of the pool"),
            ("house", str(index), price * given[index], "to the pool"),
        ]
    return rows, taken, given


def postings(market: Market, homes: list[Home]) -> list[Posting]:
    price = imbalance_price(market, homes)
    rows: list[Posting] = [
        ("supplier", "house", market.supplier_payable, "positions"),
        ("house", "operator", market.rent, "rent"),
    ]
    shared, taken, given = pool_postings(market, homes)
    rows += shared
    for index, home in enumerate(homes):
        name = str(index)
        residual_import, residual_export, long, short = deviations(home)
        residual_import -= taken[index]
        residual_export -= given[index]
        rows += [
            (name, "house", home.payable, "positions"),
            (name, "house", (market.imbalance_max if market.dual else price) * short, "short"),
            ("house", name, (market.imbalance_min if market.dual else price) * long, "long"),
            ("house", "supplier", price * short, "short"),
            ("supplier", "house", price * long, "long"),
        ]
        if market.dual:
            rows += [
                ("house", "operator", (market.imbalance_max - price) * short, "short, surplus"),
                ("house", "operator", (price - market.imbalance_min) * long, "long, surplus"),
            ]
        rows += [
            (name, "supplier", home.supplier_price * residual_import, "residual import"),
            (name, "operator", home.network_fee * residual_import, "network fee"),
            ("supplier", name, home.feed_in * residual_export, "residual export"),
        ]
    metered_loss = market.into_zone - market.out_of_zone
    metered_loss += sum(home.exported for home in homes) - sum(home.imported for home in homes)
    extra = metered_loss - market.booked_loss
    rows.append(("operator", "supplier", market.loss_price * extra, "losses"))
    return rows


def balances(rows: list[Posting]) -> dict[str, int]:
    totals: dict[str, int] = {}
    for payer, payee, amount, _ in rows:
        totals[payer] = totals.get(payer, 0) - amount
        totals[payee] = totals.get(payee, 0) + amount
    return totals
