"""The pool of residuals: its price, its shares, and who takes part."""

from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.pallets.trading import errors, events
from runtime.pallets.trading.pool import PoolPrices, pro_rata, share_residuals, supply_demand_price
from runtime.pallets.trading.records import PoolChoice
from tests.runtime.pallets.zone import BID, K0, OFFER, SLOT_MS, STRANGER, WEALTH, A, B, C, Zone

K = K0 + 3
RETAIL, FEED_IN, FEE = 300_000, 20_000, 50_000


def settle_k(zone: Zone, *readings: tuple[int, int, int]) -> None:
    """Report `readings` (connection, import, export) of interval K and let it be settled."""
    zone.block(K + 1, SLOT_MS, *(partial(zone.read, n, K, i, e) for n, i, e in readings))
    zone.block(K + 3)


def test_the_price_falls_from_retail_to_feed_in_as_supply_grows() -> None:
    prices = [supply_demand_price(supply, 1_000, RETAIL, FEED_IN) for supply in range(0, 1_200, 50)]

    assert prices[0] == RETAIL
    assert prices == sorted(prices, reverse=True)
    assert prices[20:] == [FEED_IN] * 4
    assert supply_demand_price(500, 1_000, RETAIL, FEED_IN) == 37_500


def test_the_price_is_a_line_where_feed_in_is_not_positive() -> None:
    assert supply_demand_price(250, 1_000, 300_000, -100_000) == 200_000
    assert supply_demand_price(0, 1_000, 300_000, 0) == 300_000
    assert supply_demand_price(1_000, 1_000, 300_000, -100_000) == -100_000


def test_the_price_leaves_buyers_the_fee_below_retail() -> None:
    pool = share_residuals([1_000], [1], PoolPrices(RETAIL, FEED_IN, FEE))

    assert (pool.price, pool.volume_wh) == (RETAIL - FEE, 1)


def test_nothing_is_shared_where_no_price_suits_all_members() -> None:
    pool = share_residuals([10, 0], [0, 10], PoolPrices(60_000, FEED_IN, FEE))

    assert pool == (0, 0, (0, 0), (0, 0))


@given(st.lists(st.integers(0, 10**9), min_size=1), st.integers(0, 1_000_000))
@settings(max_examples=50)
def test_shares_are_pro_rata_within_one_wh_and_sum_to_the_volume(
    residuals: list[int], part_ppm: int
) -> None:
    total = sum(residuals)
    if total == 0:
        return
    volume = total * part_ppm // 10**6

    shares = pro_rata(volume, residuals)

    assert sum(shares) == volume
    for share, residual in zip(shares, residuals, strict=True):
        assert 0 <= share <= residual
        assert abs(share * total - volume * residual) < total


def test_neighbours_share_what_nobody_traded() -> None:
    zone = Zone()
    zone.run(K0, K)
    settle_k(zone, (1, 0, 500), (2, 600, 0), (3, 400, 0), (0, 500, 0))

    price = 37_500  # half of what is wanted is there
    assert zone.free(A) == WEALTH + price * 500
    assert zone.free(B) == WEALTH - (price + FEE) * 300 - RETAIL * 300
    assert zone.free(C) == WEALTH - (price + FEE) * 200 - RETAIL * 200
    record, lines = zone.trading.read_settlement(K), zone.trading.read_lines(K)
    assert record is not None
    assert (record.pool_wh, record.pool_price_micro) == (500, price)
    assert [(line.pool_import_wh, line.pool_export_wh) for line in lines] == [
        (0, 500),
        (300, 0),
        (200, 0),
    ]
    assert zone.trading.totals.get().pool_wh == 500


def test_a_trading_home_shares_its_residual_and_carries_its_deviation() -> None:
    zone = Zone()
    zone.run(K0, K0 + 1)
    zone.order(1, K, OFFER, 100_000, 300)
    zone.order(2, K, BID, 100_000, 300)
    zone.run(K0 + 2, K)
    settle_k(zone, (1, 0, 500), (2, 250, 0), (3, 1_000, 0), (0, 750, 0))

    lines = zone.trading.read_lines(K)
    assert [(line.buy_wh, line.sell_wh) for line in lines] == [(0, 300), (300, 0), (0, 0)]
    assert [line.pool_export_wh for line in lines] == [200, 0, 0]
    assert [line.pool_import_wh for line in lines] == [0, 0, 200]
    record = zone.trading.read_settlement(K)
    assert record is not None
    assert record.imbalance_wh == -50


def test_who_left_the_pool_pays_the_tariff_from_the_next_interval_on() -> None:
    zone = Zone()
    zone.block(K - 1)
    leave = partial(zone.trading.choose_pool, A, 1, is_member=False)
    announced = zone.block(K - 1, SLOT_MS, leave)
    zone.run(K, K)
    settle_k(zone, (1, 0, 500), (2, 600, 0), (3, 0, 0), (0, 100, 0))

    assert events.PoolChoiceMade(1, PoolChoice(False, K)) in announced
    assert zone.trading.read_pool_choice(1) == PoolChoice(False, K)
    assert zone.trading.read_pool_choice(2) == PoolChoice(True, 0)
    bill = {entry.interval: entry.line for entry in zone.trading.read_bill(1, K0, K)}
    assert [bill[k].is_pooled for k in (K - 1, K)] == [True, False]
    assert bill[K].amount_nano == FEED_IN * 500
    assert zone.trading.read_lines(K)[1].amount_nano == -RETAIL * 600


def test_a_choice_is_refused_for_strangers_repetition_and_haste() -> None:
    zone = Zone(without_meter=(2, 3))
    zone.block(K0)
    choose = zone.trading.choose_pool
    zone.refuses(errors.ConnectionNotFound, lambda: choose(A, 9, is_member=False))
    zone.refuses(errors.NotConnectionOwner, lambda: choose(STRANGER, 1, is_member=False))
    zone.refuses(errors.PoolChoiceUnchanged, lambda: choose(A, 1, is_member=True))
    choose(A, 1, is_member=False)
    zone.refuses(errors.PoolChoiceUnchanged, lambda: choose(A, 1, is_member=False))
    zone.refuses(errors.PoolChoiceTooSoon, lambda: choose(A, 1, is_member=True))
    zone.run(K0 + 1, K0 + 3)
    zone.at(K0 + 3, SLOT_MS)
    choose(A, 1, is_member=True)

    assert zone.trading.read_pool_choice(1) == PoolChoice(True, K0 + 4)


def test_a_genesis_may_leave_connections_outside_but_only_real_ones() -> None:
    zone = Zone(has_pool=False)

    assert not zone.trading.read_pool_choice(1).is_member
    with pytest.raises(ValueError, match="connection 9"):
        zone.trading.genesis({"outside_pool": [9]})


def test_a_fee_above_what_retail_leaves_is_no_constant() -> None:
    with pytest.raises(ValueError, match="pool_fee"):
        Zone(pool_fee=RETAIL - FEED_IN + 1)
