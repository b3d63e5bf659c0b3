"""What the settlement promises, checked against a state by whoever wants to know.

The promises are numbered as in docs/settlement.md. They are computed here from what is stored, not
by the code that stored it. A promise that concerns a single fill (no price violates a limit) is
asserted where fills are booked; of it nothing can be seen later.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, cast

from runtime.frame import Pallet, Struct, api
from runtime.pallets.system import CONGESTION_RENT, HOUSE
from runtime.pallets.trading.config import Config
from runtime.pallets.trading.fund_shares import share_faults
from runtime.pallets.trading.orders import hold_of, position_of
from runtime.pallets.trading.records import NO_BOOK, Holding, SettlementLine, SettlementRecord
from runtime.pallets.trading.sealed_invariants import faults_of_sealed

if TYPE_CHECKING:
    from runtime.pallets.trading import Trading

SETTLEMENTS_MAX = 96  # of the latest: a day; those before were looked at then
DETAILS_MAX = 8  # what is wrong in many places is told by the first few

Holdings = Mapping[int, Mapping[int, Holding]]


class Finding(Struct):
    """Whether a promise is kept."""

    promise: str
    is_kept: bool
    details: list[str]
    """Where it is not, the first few places."""


class Audit(Pallet[Config]):
    """The part of Trading that lets others check it."""

    @api("Trading_audit")
    def read_audit(self) -> list[Finding]:
        """Whether the settlement's promises are kept, over all intervals that are not settled and
        the latest day of settlements.
        """
        return audit(cast("Trading", self))  # the one pallet that inherits this part


def audit(market: "Trading") -> list[Finding]:
    """Check every promise."""
    stored = market.schedule.get().stored
    holdings = {interval: dict(market.holdings.items_under(interval)) for interval in stored}
    settled = list(latest_settlements(market))
    checks: list[tuple[str, Callable[[], Iterator[str]]]] = [
        ("every posting has a payer and a payee", lambda: postings(market, settled)),
        ("payables sum to the rent", lambda: payables(market, holdings)),
        ("sold less bought is the booked loss", lambda: booked_losses(market, holdings)),
        ("net flows respect the capacities", lambda: capacities(market)),
        ("every bus is balanced", lambda: buses(market, holdings)),
        ("every Wh is sold, bought and labelled once", lambda: labels(settled)),
        ("collateral covers what can be owed", lambda: collateral(market, holdings)),
        ("sealed orders are covered and find a place", lambda: faults_of_sealed(market)),
        ("nobody is worse off than agreed", lambda: bills(market, settled)),
        ("tariffs and congestion are the rent", lambda: incomes(market, settled)),
        ("shares of the fund add up, and it owes nothing", lambda: share_faults(market)),
    ]
    findings: list[Finding] = []
    for promise, check in checks:
        details = list(islice(check(), DETAILS_MAX))
        findings.append(Finding(promise, not details, details))
    return findings


Settlement = tuple[int, SettlementRecord, tuple[SettlementLine, ...]]


def latest_settlements(market: "Trading") -> Iterator[Settlement]:
    """Those of the latest day, oldest first."""
    for interval in market.recent(SETTLEMENTS_MAX):
        record, lines = market.settlements[interval], market.lines[interval]
        if record is not None and lines is not None:
            yield interval, record, lines


def postings(market: "Trading", settled: list[Settlement]) -> Iterator[str]:
    """1 and 8: amounts of each settlement, made again or not, sum to zero; the house is empty."""
    for interval, record, lines in settled:
        connections = sum(line.amount_nano for line in lines)
        total = connections + record.supplier_nano + record.operator_nano
        if total or connections != record.connections_nano:
            yield f"interval {interval}: {total} nano-DRT too much"
    rest = market.config.currency.free_balance(HOUSE)
    supplier = market.config.registry.supplier_account()
    if rest and market.config.currency.free_balance(supplier):
        yield f"the house keeps {rest} nano-DRT"
    owed = sum(amount for _, amount in market.arrears.items())
    if owed != market.receivables.get():
        yield f"receivables are {market.receivables.get()}, arrears sum to {owed}"


def payables(market: "Trading", holdings: Holdings) -> Iterator[str]:
    """2: what positions owe the house is what the network gets."""
    for interval, of_interval in holdings.items():
        total = sum(holding.payable_nano for holding in of_interval.values())
        rent = (market.books[interval] or NO_BOOK).rent_nano
        if total != rent:
            yield f"interval {interval}: payables {total}, rent {rent}"


def booked_losses(market: "Trading", holdings: Holdings) -> Iterator[str]:
    """3: sold less bought energy is the booked loss, which the edges lost, and not negative."""
    for interval, of_interval in holdings.items():
        sold = sum(holding.sell_wh - holding.buy_wh for holding in of_interval.values())
        flows = market.config.grid.flows_of(interval)
        lost = sum(flows.net_export) - sum(flows.received)
        booked = (market.books[interval] or NO_BOOK).booked_loss_wh
        if not sold == lost == booked >= 0:
            yield f"interval {interval}: sold {sold} more, lost {lost}, booked {booked}"


def capacities(market: "Trading") -> Iterator[str]:
    """4: what is left of each edge, in each direction, is not negative."""
    for interval in market.schedule.get().stored:
        left = market.config.grid.residual_tree(interval)
        least = min(int(left.cap_up.min()), int(left.cap_down.min()))
        if least < 0:
            yield f"interval {interval}: an edge is over its capacity by {-least} Wh"


def buses(market: "Trading", holdings: Holdings) -> Iterator[str]:
    """5: what connections and children give a bus, it passes on."""
    for interval, of_interval in holdings.items():
        flows = market.config.grid.flows_of(interval)
        parent = market.config.grid.residual_tree(interval).parent.tolist()
        given = [-export for export in flows.net_export]
        for number, holding in of_interval.items():
            given[market.connection_at(number).bus] += holding.sell_wh - holding.buy_wh
        for bus in range(1, len(parent)):
            given[parent[bus]] += flows.received[bus]
        for bus, rest in enumerate(given):
            if rest:
                yield f"interval {interval}, bus {bus}: {rest} Wh too much"


def labels(settled: list[Settlement]) -> Iterator[str]:
    """6: the supplier's energy adds up, and what one has of contracts and pool another gave."""
    for interval, record, lines in settled:
        pooled = (
            sum(line.pool_import_wh for line in lines),
            sum(line.pool_export_wh for line in lines),
        )
        contracted = (
            sum(line.contract_import_wh for line in lines),
            sum(line.contract_export_wh for line in lines),
        )
        if record.energy_residual_wh:
            yield f"interval {interval}: {record.energy_residual_wh} Wh have no owner"
        if pooled != (record.pool_wh,) * 2 or contracted != (record.contract_wh,) * 2:
            yield f"interval {interval}: pool {pooled}, contracts {contracted}"


def collateral(market: "Trading", holdings: Holdings) -> Iterator[str]:
    """7: each holding keeps exactly what its orders and its position can owe."""
    for interval, of_interval in holdings.items():
        for number, holding in of_interval.items():
            prices = market.hold_prices(interval, number)
            needed = hold_of(position_of(holding), holding.orders, prices)
            if holding.held_nano != needed:
                yield f"interval {interval}, connection {number}: {holding.held_nano} of {needed}"


def bills(market: "Trading", settled: list[Settlement]) -> Iterator[str]:
    """9: without trade exactly the tariff less what contracts and pool brought; else a bound."""
    config = market.config
    retail, feed_in = config.supplier_price + config.network_fee, config.feed_in_price
    spread = config.imbalance_price_max - config.imbalance_price_min
    for interval, record, lines in settled:
        fee = market.zone_prices(interval).pool_fee
        firm = {party for deal in market.read_deals(interval) if deal.is_firm
                for party in (deal.seller, deal.buyer)}  # fmt: skip
        gains: dict[int, int] = {}
        for deal in market.read_deals(interval):
            seller = deal.paid_nano - feed_in * deal.delivered_wh
            buyer = (retail - deal.fee_micro) * deal.delivered_wh - deal.paid_nano
            gains[deal.seller] = gains.get(deal.seller, 0) + seller
            gains[deal.buyer] = gains.get(deal.buyer, 0) + buyer
        for number, line in enumerate(lines, start=1):
            tariff = retail * line.import_wh - feed_in * line.export_wh - gains.get(number, 0)
            shared = (retail - fee - record.pool_price_micro) * line.pool_import_wh
            shared += (record.pool_price_micro - feed_in) * line.pool_export_wh
            is_idle = line.buy_wh == 0 == line.sell_wh
            if is_idle and -line.amount_nano != tariff - shared:
                yield f"interval {interval}, connection {number}: not the tariff"
            if is_idle or 0 not in (line.buy_wh, line.sell_wh) or number in firm:
                continue
            long_wh = max(0, line.buy_wh - (line.import_wh - line.contract_import_wh))
            short_wh = max(0, line.sell_wh - (line.export_wh - line.contract_export_wh))
            if -line.amount_nano > tariff + spread * (long_wh + short_wh):
                yield f"interval {interval}, connection {number}: above the bound"


def incomes(market: "Trading", settled: list[Settlement]) -> Iterator[str]:
    """Tariffs and congestion are the rent of each settlement; what is earmarked is there."""
    for interval, record, _ in settled:
        income = market.network_income[interval]
        found = 0 if income is None else income.tariff_nano + income.congestion_nano
        if found != record.rent_nano:
            yield f"interval {interval}: income {found}, rent {record.rent_nano}"
    totals = market.earmarked.get()
    kept = totals.collected_nano - totals.released_nano
    there = market.config.currency.free_balance(CONGESTION_RENT) - market.arrears[CONGESTION_RENT]
    if there < kept:
        yield f"{there} nano-DRT of congestion rent are there, {kept} are earmarked"
