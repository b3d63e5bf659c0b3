"""The settlement of docs/settlement.md as a list of postings: the twin `settle` is compared with.

Every posting is written down with payer, payee and reason; balances are added up at the end. Slow,
obvious, and nothing shared with the runtime.
"""

from dataclasses import dataclass


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


@dataclass
class Market:
    imbalance_max: int
    imbalance_min: int
    loss_price: int
    supplier_payable: int
    supplier_buy: int
    supplier_sell: int
    into_zone: int
    out_of_zone: int
    rent: int
    booked_loss: int


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


def imbalance_price(market: Market, homes: list[Home]) -> int:
    parts = [deviations(home) for home in homes]
    short = sum(part[3] for part in parts)
    long = sum(part[2] for part in parts)
    if short > long:
        return market.imbalance_max
    if short < long:
        return market.imbalance_min
    return (market.imbalance_max + market.imbalance_min) // 2


def postings(market: Market, homes: list[Home]) -> list[Posting]:
    price = imbalance_price(market, homes)
    rows: list[Posting] = [
        ("supplier", "house", market.supplier_payable, "positions"),
        ("house", "operator", market.rent, "rent"),
    ]
    for index, home in enumerate(homes):
        name = str(index)
        residual_import, residual_export, long, short = deviations(home)
        rows += [
            (name, "house", home.payable, "positions"),
            (name, "house", price * short, "short"),
            ("house", name, price * long, "long"),
            ("house", "supplier", price * short, "short"),
            ("supplier", "house", price * long, "long"),
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
