"""The settlement of one market interval: a pure function of readings, positions and parameters.

Invariants, for any input: every posting has a payer and a payee, so that all amounts sum to zero;
the house, counterparty of every fill, ends at zero; every Wh through the transformer is sold or
bought exactly once (`Settlement.residual_wh` is zero); a connection that did not trade pays exactly
retail for its import less feed-in for its export.

Contracts come first, positions of the auction next, then the pool, then the supplier. Left out:
curtailment payments (last posting).

Energy in Wh, prices in micro-DRT per kWh, money in nano-DRT = price times Wh: exact, never divided.
The rules and their reasons: docs/settlement.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from runtime.pallets.trading.deals import Deal, DealResults, deliver
from runtime.pallets.trading.pool import Pool, PoolPrices, share_residuals


@dataclass(frozen=True, slots=True)
class Tariff:
    """What energy costs a connection that did not buy or sell it on the market."""

    supplier_price: int
    """The supplier's part of the retail price."""

    network_fee: int
    """The grid operator's part of the retail price."""

    feed_in_price: int
    """What the supplier pays for export that was not sold."""


@dataclass(frozen=True, slots=True)
class ZonePrices:
    """The prices that hold for the whole zone."""

    imbalance_price_max: int
    """Price of deviations when the zone is short."""

    imbalance_price_min: int
    """Price of deviations when the zone is long."""

    loss_price: int
    """What the operator pays the supplier for energy lost beyond what the market booked."""

    pool_fee: int = 0
    """What a buyer of the pool pays the operator instead of the network fee."""

    is_dual: bool = False
    """Deviations cost the bound that is worse for them, whatever the others do."""

    def with_bounds(self, price_max: int, price_min: int) -> "ZonePrices":
        """The same with other prices of deviations."""
        return replace(self, imbalance_price_max=price_max, imbalance_price_min=price_min)


class Position(NamedTuple):
    """What the auction left a participant with."""

    payable_nano: int = 0
    """What it owes the house for its purchases less its sales; negative when it is owed."""

    buy_wh: int = 0
    sell_wh: int = 0

    @property
    def net_wh(self) -> int:
        """Energy bought less energy sold."""
        return self.buy_wh - self.sell_wh


class Delivery(NamedTuple):
    """One connection's side of an interval."""

    tariff: Tariff
    position: Position
    import_wh: int
    export_wh: int
    is_pooled: bool = False
    """A member of the pool of residuals."""


class Zone(NamedTuple):
    """The sides of an interval that no connection has."""

    prices: ZonePrices
    supplier: Position
    transformer_import_wh: int
    """Into the zone."""

    transformer_export_wh: int
    rent_nano: int
    """What the auction collected for the network (tariffs and congestion)."""

    booked_loss_wh: int
    """Energy the auction's flows lose; already paid in the prices."""

    imbalance_price: int | None = None
    """Of an earlier settlement, which keeps it; None at the first one."""


class DeviationPrices(NamedTuple):
    """What deviations cost: who is short pays, who is long gets."""

    short: int
    long: int


class Split(NamedTuple):
    """Metered energy against the position: what is covered, what is left for the pool and the
    supplier, and what deviates.
    """

    covered_import_wh: int
    residual_import_wh: int
    long_wh: int
    covered_export_wh: int
    residual_export_wh: int
    short_wh: int


@dataclass(frozen=True, slots=True)
class Settlement:
    """The figures of a settled interval. Amounts are what an account receives (negative: pays)."""

    imbalance_price: int
    imbalance_wh: int
    """Sum of short less sum of long."""

    measured_loss_wh: int
    residual_wh: int
    """Difference of the two sides of the supplier's energy balance: zero."""

    deals: DealResults
    splits: tuple[Split, ...]
    """Of what the deals left."""

    pool: Pool
    amounts_nano: tuple[int, ...]
    supplier_nano: int
    operator_nano: int
    house_nano: int


class Ledger:
    """Postings, each from a payer to a payee; parties are indices."""

    __slots__ = ("nano",)

    def __init__(self, parties: int) -> None:
        self.nano = [0] * parties

    def pay(self, payer: int, payee: int, amount_nano: int) -> None:
        """Move an amount; a negative one goes the other way."""
        self.nano[payer] -= amount_nano
        self.nano[payee] += amount_nano


def settle(
    zone: Zone, deliveries: Sequence[Delivery], contracts: Sequence[Deal] = ()
) -> Settlement:
    """Who pays what for one interval, from metered energy, contracts and positions."""
    deals = deliver(contracts, [d.import_wh for d in deliveries], [d.export_wh for d in deliveries])
    splits = tuple(
        split(delivery.position.net_wh, import_wh, export_wh)
        for delivery, import_wh, export_wh in zip(
            deliveries, deals.imports_left_wh, deals.exports_left_wh, strict=True
        )
    )
    pool = share_pool(zone.prices, deliveries, splits)
    imbalance_wh = sum(s.short_wh - s.long_wh for s in splits)
    price = zone.imbalance_price
    if price is None:
        price = imbalance_price(imbalance_wh, zone.prices)
    measured_loss_wh = measured_loss(zone, deliveries)
    ledger, (house, supplier, operator) = post(
        zone, deliveries, splits, pool, price, measured_loss_wh
    )
    for deal, payment in zip(
        contracts, contract_payments(deliveries, contracts, deals), strict=True
    ):
        ledger.pay(deal.buyer, deal.seller, payment.price_nano)
        ledger.pay(deal.buyer, operator, payment.fee_nano)
    return Settlement(
        price,
        imbalance_wh,
        measured_loss_wh,
        supplier_energy_residual(zone, splits, imbalance_wh, measured_loss_wh),
        deals,
        splits,
        pool,
        tuple(ledger.nano[: len(deliveries)]),
        ledger.nano[supplier],
        ledger.nano[operator],
        ledger.nano[house],
    )


def split(net_wh: int, import_wh: int, export_wh: int) -> Split:
    """Set metered energy against a net position (positive: bought).

    `import - export = net + residual import - residual export + short - long`.
    """
    bought, sold = max(net_wh, 0), max(-net_wh, 0)
    covered_import, covered_export = min(bought, import_wh), min(sold, export_wh)
    return Split(
        covered_import,
        import_wh - covered_import,
        bought - covered_import,
        covered_export,
        export_wh - covered_export,
        sold - covered_export,
    )


class ContractPayment(NamedTuple):
    """What the buyer of a deal pays."""

    price_nano: int
    """To the seller; penalties included, so it may be negative."""

    fee_nano: int
    """To the operator."""


def contract_payments(
    deliveries: Sequence[Delivery], contracts: Sequence[Deal], deals: DealResults
) -> list[ContractPayment]:
    """The price of each delivery, the tariffs of its path, and what is owed for falling short."""
    payments: list[ContractPayment] = []
    for deal, delivered in zip(contracts, deals.delivered, strict=True):
        tariff = deliveries[deal.buyer].tariff
        retail = tariff.supplier_price + tariff.network_fee
        feed_in = deliveries[deal.seller].tariff.feed_in_price
        price_nano = deal.strike * delivered.wh
        if delivered.penalty_wh > 0:
            price_nano -= (retail - deal.fee - deal.strike) * delivered.penalty_wh
        else:
            price_nano -= (deal.strike - feed_in) * delivered.penalty_wh
        payments.append(ContractPayment(price_nano, deal.fee * delivered.wh))
    return payments


def share_pool(prices: ZonePrices, deliveries: Sequence[Delivery], splits: Sequence[Split]) -> Pool:
    """Let members of the pool share what their positions did not cover."""
    tariffs = [delivery.tariff for delivery in deliveries if delivery.is_pooled]
    return share_residuals(
        [d.is_pooled * s.residual_import_wh for d, s in zip(deliveries, splits, strict=True)],
        [d.is_pooled * s.residual_export_wh for d, s in zip(deliveries, splits, strict=True)],
        PoolPrices(
            min((t.supplier_price + t.network_fee for t in tariffs), default=0),
            max((t.feed_in_price for t in tariffs), default=0),
            prices.pool_fee,
        ),
    )


def imbalance_price(imbalance_wh: int, prices: ZonePrices) -> int:
    """The one price of all deviations: high when the zone is short, low when it is long."""
    if imbalance_wh > 0:
        return prices.imbalance_price_max
    if imbalance_wh < 0:
        return prices.imbalance_price_min
    return (prices.imbalance_price_max + prices.imbalance_price_min) // 2


def deviation_prices(prices: ZonePrices, price: int) -> DeviationPrices:
    """The imbalance price for all; with dual pricing its bounds."""
    if prices.is_dual:
        return DeviationPrices(prices.imbalance_price_max, prices.imbalance_price_min)
    return DeviationPrices(price, price)


def measured_loss(zone: Zone, deliveries: Sequence[Delivery]) -> int:
    """What came in less what went out, by the meters; negative when meters disagree that much."""
    connections = sum(d.export_wh - d.import_wh for d in deliveries)
    return zone.transformer_import_wh - zone.transformer_export_wh + connections


def post(
    zone: Zone,
    deliveries: Sequence[Delivery],
    splits: Sequence[Split],
    pool: Pool,
    price: int,
    measured_loss_wh: int,
) -> tuple[Ledger, tuple[int, int, int]]:
    """The postings of an interval; connections are parties 0 to n - 1."""
    parties = len(deliveries)
    house, supplier, operator = parties, parties + 1, parties + 2
    ledger = Ledger(parties + 3)
    short_price, long_price = deviation_prices(zone.prices, price)
    imbalance_wh = collected_nano = 0
    for connection, (delivery, part) in enumerate(zip(deliveries, splits, strict=True)):
        tariff = delivery.tariff
        deviation_nano = short_price * part.short_wh - long_price * part.long_wh
        collected_nano += deviation_nano
        imbalance_wh += part.short_wh - part.long_wh
        ledger.pay(connection, house, delivery.position.payable_nano)
        ledger.pay(connection, house, deviation_nano)
        from_pool_wh, to_pool_wh = pool.imports_wh[connection], pool.exports_wh[connection]
        ledger.pay(connection, house, pool.price * (from_pool_wh - to_pool_wh))
        ledger.pay(connection, operator, zone.prices.pool_fee * from_pool_wh)
        from_supplier_wh = part.residual_import_wh - from_pool_wh
        ledger.pay(connection, supplier, tariff.supplier_price * from_supplier_wh)
        ledger.pay(connection, operator, tariff.network_fee * from_supplier_wh)
        to_supplier_wh = part.residual_export_wh - to_pool_wh
        ledger.pay(supplier, connection, tariff.feed_in_price * to_supplier_wh)
    ledger.pay(supplier, house, zone.supplier.payable_nano)
    ledger.pay(house, operator, zone.rent_nano)
    ledger.pay(house, supplier, price * imbalance_wh)
    ledger.pay(house, operator, collected_nano - price * imbalance_wh)  # none with one price
    extra_loss_wh = measured_loss_wh - zone.booked_loss_wh
    ledger.pay(operator, supplier, zone.prices.loss_price * extra_loss_wh)
    return ledger, (house, supplier, operator)


def supplier_energy_residual(
    zone: Zone, splits: Sequence[Split], imbalance_wh: int, measured_loss_wh: int
) -> int:
    """Energy through the transformer less what the supplier sold and bought of it.

    Zero whenever the positions sum to the booked loss: anything else is energy from nowhere.
    """
    through = zone.transformer_import_wh - zone.transformer_export_wh + zone.supplier.net_wh
    residual = sum(s.residual_import_wh - s.residual_export_wh for s in splits)
    return through - (residual + imbalance_wh + measured_loss_wh - zone.booked_loss_wh)
