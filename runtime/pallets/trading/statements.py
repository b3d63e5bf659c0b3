"""The records of a settlement: one line per connection, one record per interval, running totals."""

from collections.abc import Sequence

from msgspec.structs import replace

from runtime.pallets.consumption_metering.records import Metered, Method
from runtime.pallets.producer_registration import TRANSFORMER
from runtime.pallets.trading.records import SettlementLine, SettlementRecord, Totals
from runtime.pallets.trading.settlement import Delivery, Settlement, Tariff


def lines_of(
    settled: Settlement, metered: Sequence[Metered], deliveries: Sequence[Delivery]
) -> list[SettlementLine]:
    """What was metered, traded and paid, connection 1 first."""
    deals, pool = settled.deals, settled.pool
    return [
        SettlementLine(
            delivery.import_wh,
            delivery.export_wh,
            energy.method,
            *delivery.position,
            delivery.import_wh - deals.imports_left_wh[place],
            delivery.export_wh - deals.exports_left_wh[place],
            delivery.is_pooled,
            pool.imports_wh[place],
            pool.exports_wh[place],
            settled.amounts_nano[place],
        )
        for place, (delivery, energy) in enumerate(zip(deliveries, metered[1:], strict=True))
    ]


def with_figures(
    record: SettlementRecord,
    settled: Settlement,
    metered: Sequence[Metered],
    deliveries: Sequence[Delivery],
) -> SettlementRecord:
    """A record with all that follows from what was metered."""
    known = (Method.METERED, Method.EDITED)
    return replace(
        record,
        imbalance_price=settled.imbalance_price,
        imbalance_wh=settled.imbalance_wh,
        import_wh=sum(delivery.import_wh for delivery in deliveries),
        export_wh=sum(delivery.export_wh for delivery in deliveries),
        transformer_import_wh=metered[TRANSFORMER].import_wh,
        transformer_export_wh=metered[TRANSFORMER].export_wh,
        measured_loss_wh=settled.measured_loss_wh,
        energy_residual_wh=abs(settled.residual_wh),
        supplier_nano=settled.supplier_nano,
        operator_nano=settled.operator_nano,
        connections_nano=sum(settled.amounts_nano),
        tariff_nano=sum(tariff_amount(delivery.tariff, delivery) for delivery in deliveries),
        estimated=sum(energy.method not in known for energy in metered[1:]),
        pool_wh=settled.pool.volume_wh,
        pool_price_micro=settled.pool.price,
        contract_wh=sum(delivered.wh for delivered in settled.deals.delivered),
    )


def tariff_amount(tariff: Tariff, delivery: Delivery) -> int:
    """What a connection would have received without the market (negative: paid)."""
    retail = tariff.supplier_price + tariff.network_fee
    return tariff.feed_in_price * delivery.export_wh - retail * delivery.import_wh


def with_record(totals: Totals, record: SettlementRecord, sign: int = 1) -> Totals:
    """The totals with one more interval; with -1, without one."""
    return replace(
        totals,
        intervals_settled=totals.intervals_settled + sign,
        traded_wh=totals.traded_wh + sign * record.traded_wh,
        bid_value_nano=totals.bid_value_nano + sign * record.bid_value_nano,
        connections_buy_wh=totals.connections_buy_wh + sign * record.connections_buy_wh,
        local_wh=totals.local_wh + sign * record.local_wh,
        import_wh=totals.import_wh + sign * record.import_wh,
        export_wh=totals.export_wh + sign * record.export_wh,
        energy_residual_wh=totals.energy_residual_wh + sign * record.energy_residual_wh,
        connections_nano=totals.connections_nano + sign * record.connections_nano,
        tariff_nano=totals.tariff_nano + sign * record.tariff_nano,
        estimated=totals.estimated + sign * record.estimated,
        pool_wh=totals.pool_wh + sign * record.pool_wh,
        contract_wh=totals.contract_wh + sign * record.contract_wh,
    )
