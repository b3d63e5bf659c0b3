"""The settlement of an interval as a pure function: worked example, twin and promises."""

import os
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.pallets.trading.collateral import order_unit_hold, position_hold
from runtime.pallets.trading.deals import Deal
from runtime.pallets.trading.settlement import (
    Delivery,
    Position,
    Settlement,
    Tariff,
    Zone,
    ZonePrices,
    deviation_prices,
    settle,
    split,
)
from tests.oracles import settlement_reference as reference

EXAMPLES = 50 if os.environ.get("DRET_EXAMPLES") == "few" else 400

TARIFF = Tariff(supplier_price=200_000, network_fee=100_000, feed_in_price=80_000)
PRICES = ZonePrices(imbalance_price_max=300_000, imbalance_price_min=80_000, loss_price=90_000)

# The worked example of docs/settlement.md: A sells 920 and buys back 150, B buys 900 and resells
# 154, C trades nothing.
EXAMPLE = (
    Delivery(TARIFF, Position(-52_135_600, 150, 920), 0, 700),
    Delivery(TARIFF, Position(73_257_000, 900, 154), 1_000, 0),
    Delivery(TARIFF, Position(), 400, 50),
)
EXAMPLE_ZONE = Zone(PRICES, Position(), 675, 0, rent_nano=21_121_400, booked_loss_wh=24)


def test_worked_example_is_exact_to_the_nano() -> None:
    settled = settle(EXAMPLE_ZONE, EXAMPLE)

    assert settled.amounts_nano == (31_135_600, -149_457_000, -116_000_000)
    assert settled.supplier_nano == 147_890_000
    assert settled.operator_nano == 86_431_400
    assert settled.house_nano == 0
    assert (settled.imbalance_price, settled.imbalance_wh) == (300_000, 70)
    assert settled.measured_loss_wh == 25
    assert settled.residual_wh == 0


def test_energy_that_does_not_add_up_shows_as_a_residual() -> None:
    wrong = EXAMPLE_ZONE._replace(booked_loss_wh=23)

    assert settle(wrong, EXAMPLE).residual_wh == -1


WH = st.integers(0, 20_000)
PRICE = st.integers(-100_000, 400_000)


@st.composite
def tariffs(draw: st.DrawFn) -> Tariff:
    feed_in = draw(PRICE)
    supplier_price = draw(st.integers(0, 300_000))
    fee = draw(st.integers(max(0, feed_in - supplier_price), 500_000))
    return Tariff(supplier_price, fee, feed_in)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Zone, list[Delivery]]:
    """A market that adds up: payables sum to the rent, positions to the booked loss."""
    homes = draw(
        st.lists(
            st.tuples(tariffs(), WH, WH, WH, WH, st.integers(-(10**10), 10**10), st.booleans())
        )
    )
    deliveries = [
        Delivery(
            tariff,
            Position(payable if buy or sell else 0, buy, sell),
            imported,
            exported,
            is_pooled,
        )
        for tariff, buy, sell, imported, exported, payable, is_pooled in homes
    ]
    retail = max((t.supplier_price + t.network_fee for t, *_ in homes), default=0)
    feed_in = min((t.feed_in_price for t, *_ in homes), default=0)
    prices = ZonePrices(
        max(0, retail + draw(st.integers(0, 50_000))),
        feed_in - draw(st.integers(0, 50_000)),
        draw(PRICE),
        draw(st.integers(0, 150_000)),
        draw(st.booleans()),
    )
    supplier = Position(draw(st.integers(-(10**10), 10**10)), draw(WH), draw(WH))
    rent = supplier.payable_nano + sum(d.position.payable_nano for d in deliveries)
    loss = -supplier.net_wh - sum(d.position.net_wh for d in deliveries)
    return Zone(prices, supplier, draw(WH), draw(WH), rent, loss), deliveries


@st.composite
def contracts(draw: st.DrawFn, parties: int) -> list[Deal]:
    """Contracts between parties of an interval; nobody deals with itself."""
    if parties < 2:
        return []
    pairs = draw(st.lists(st.tuples(st.integers(0, parties - 1), st.integers(0, parties - 1))))
    return [
        Deal(
            seller,
            buyer,
            draw(WH),
            draw(st.integers(0, 1_000_000)),
            draw(PRICE),
            draw(st.integers(0, 50_000)),
            draw(st.booleans()),
            draw(st.integers(0, 1_000_000)),
        )
        for seller, buyer in pairs
        if seller != buyer
    ]


def twin(
    zone: Zone, deliveries: list[Delivery], deals: Sequence[Deal] = ()
) -> tuple[int, dict[str, int]]:
    market = reference.Market(
        zone.prices.imbalance_price_max,
        zone.prices.imbalance_price_min,
        zone.prices.loss_price,
        zone.prices.pool_fee,
        zone.prices.is_dual,
        *zone.supplier,
        zone.transformer_import_wh,
        zone.transformer_export_wh,
        zone.rent_nano,
        zone.booked_loss_wh,
    )
    homes = [
        reference.Home(
            d.tariff.supplier_price,
            d.tariff.network_fee,
            d.tariff.feed_in_price,
            *d.position,
            d.import_wh,
            d.export_wh,
            d.is_pooled,
        )
        for d in deliveries
    ]
    rows = reference.contract_postings(homes, [reference.Contract(*deal) for deal in deals])
    price = reference.imbalance_price(market, homes)
    return price, reference.balances(rows + reference.postings(market, homes))


@pytest.mark.slow
@given(cases(), st.data())
@settings(max_examples=EXAMPLES, deadline=None)
def test_settlement_equals_its_twin_and_sums_to_zero(
    case: tuple[Zone, list[Delivery]], data: st.DataObject
) -> None:
    zone, deliveries = case
    deals = data.draw(contracts(len(deliveries)))
    settled = settle(zone, deliveries, deals)

    price, balances = twin(zone, deliveries, deals)
    assert settled.residual_wh == 0
    assert settled.imbalance_price == price
    assert list(settled.amounts_nano) == [balances[str(i)] for i in range(len(deliveries))]
    assert settled.supplier_nano == balances["supplier"]
    assert settled.operator_nano == balances["operator"]
    assert settled.house_nano == 0 == balances["house"]
    assert sum(settled.amounts_nano) + settled.supplier_nano + settled.operator_nano == 0


@pytest.mark.slow
@given(cases())
@settings(max_examples=EXAMPLES, deadline=None)
def test_every_wh_has_one_label(case: tuple[Zone, list[Delivery]]) -> None:
    zone, deliveries = case
    settled = settle(zone, deliveries)

    assert settled.residual_wh == 0
    pool = settled.pool
    assert sum(pool.imports_wh) == sum(pool.exports_wh) == pool.volume_wh
    for delivery, part, *shares in zip(
        deliveries, settled.splits, pool.imports_wh, pool.exports_wh, strict=True
    ):
        assert part.covered_import_wh + part.residual_import_wh == delivery.import_wh
        assert part.covered_export_wh + part.residual_export_wh == delivery.export_wh
        assert 0 <= shares[0] <= part.residual_import_wh * delivery.is_pooled
        assert 0 <= shares[1] <= part.residual_export_wh * delivery.is_pooled
        assert delivery.import_wh - delivery.export_wh == (
            delivery.position.net_wh
            + part.residual_import_wh
            - part.residual_export_wh
            + part.short_wh
            - part.long_wh
        )
        assert min(part) >= 0


def tariff_bill(delivery: Delivery) -> int:
    retail = delivery.tariff.supplier_price + delivery.tariff.network_fee
    return retail * delivery.import_wh - delivery.tariff.feed_in_price * delivery.export_wh


@pytest.mark.slow
@given(cases(), st.data())
@settings(max_examples=EXAMPLES, deadline=None)
def test_who_does_not_trade_or_delivers_is_never_worse_off_and_outside_of_all_pays_the_tariff(
    case: tuple[Zone, list[Delivery]], data: st.DataObject
) -> None:
    zone, deliveries = case
    deliveries = [one_sided(delivery, data) for delivery in deliveries]
    settled: Settlement = settle(zone, deliveries)

    spread = zone.prices.imbalance_price_max - zone.prices.imbalance_price_min
    for delivery, part, received in zip(
        deliveries, settled.splits, settled.amounts_nano, strict=True
    ):
        bound = tariff_bill(delivery) + spread * (part.short_wh + part.long_wh)
        assert -received <= bound
        if delivery.position == Position():
            assert -received <= tariff_bill(delivery)
        if delivery.position == Position() and not delivery.is_pooled:
            assert -received == tariff_bill(delivery)


def one_sided(delivery: Delivery, data: st.DataObject) -> Delivery:
    """The same home without a round trip, trading within feed-in and retail."""
    tariff = delivery.tariff
    retail = tariff.supplier_price + tariff.network_fee
    price = data.draw(st.integers(tariff.feed_in_price, retail))
    net = delivery.position.net_wh
    return delivery._replace(position=Position(price * net, max(net, 0), max(-net, 0)))


@pytest.mark.slow
@given(cases())
@settings(max_examples=EXAMPLES, deadline=None)
def test_position_hold_covers_any_reading(case: tuple[Zone, list[Delivery]]) -> None:
    zone, deliveries = case
    settled = settle(zone, deliveries)

    for delivery, part in zip(deliveries, settled.splits, strict=True):
        owed = delivery.position.payable_nano
        short_price, long_price = deviation_prices(zone.prices, settled.imbalance_price)
        owed += short_price * part.short_wh - long_price * part.long_wh
        assert position_hold(delivery.position, zone.prices) >= owed


@pytest.mark.slow
@given(
    st.integers(-(10**10), 10**10),
    st.integers(-5_000, 5_000),
    st.booleans(),
    PRICE,
    st.integers(0, 10**6),
    st.integers(1, 5_000),
    st.integers(0, 400_000),
    st.integers(-100_000, 400_000),
)
@settings(max_examples=EXAMPLES, deadline=None)
def test_fill_never_needs_more_than_its_order_held(
    payable: int,
    net: int,
    is_bid: bool,
    limit: int,
    surplus: int,
    fill: int,
    imbalance_max: int,
    imbalance_min: int,
) -> None:
    prices = ZonePrices(imbalance_max, min(imbalance_min, imbalance_max), 0)
    price = limit - surplus if is_bid else limit + surplus
    signed = fill if is_bid else -fill
    before = Position(payable, max(net, 0), max(-net, 0))
    after = Position(
        payable + price * signed,
        before.buy_wh + max(signed, 0),
        before.sell_wh + max(-signed, 0),
    )

    held = position_hold(before, prices) + fill * order_unit_hold(is_bid, limit, prices)

    assert position_hold(after, prices) <= held


def test_split_at_its_corners() -> None:
    assert split(0, 10, 20) == (0, 10, 0, 0, 20, 0)
    assert split(10, 10, 5) == (10, 0, 0, 0, 5, 0)
    assert split(10, 4, 5) == (4, 0, 6, 0, 5, 0)
    assert split(-10, 4, 15) == (0, 4, 0, 10, 5, 0)
    assert split(-10, 0, 3) == (0, 0, 0, 3, 0, 7)
