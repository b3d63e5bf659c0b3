"""Strategies of a household: what they want to rest, stage by stage."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.gateway.strategies import (
    QUANTITY_WH_MIN,
    STAGES,
    Automatic,
    Instruction,
    Manual,
    Order,
    PoolOnly,
    PriceRange,
    View,
)

PRICES = PriceRange(bid_min=150_000, bid_end=300_000, offer_min=20_001, offer_max=60_000)
HOME = Automatic("0/1", 5_000, PRICES)


def view(
    net_wh: int, ahead: int = 95, position_wh: int = 0, resting: Sequence[Order] = (), k: int = 500
) -> View:
    return View(k, ahead, k % 96, net_wh, position_wh, resting)


def wanted(net_wh: int, ahead: int = 95, position_wh: int = 0, k: int = 500) -> Sequence[Order]:
    orders = HOME.decide(view(net_wh, ahead, position_wh, (), k))
    assert orders is not None
    return orders


@pytest.mark.parametrize("ahead", STAGES)
def test_a_forecast_is_quoted_in_one_to_three_equal_steps(ahead: int) -> None:
    counts: set[int] = set()
    for k in range(100):
        for net_wh in (701, -701):
            orders = wanted(net_wh, ahead, k=k)
            quantities = [order.quantity_wh for order in orders]
            counts.add(len(quantities))
            assert sum(quantities) == 701
            assert max(quantities) - min(quantities) <= 1
            assert all(order.is_bid == (net_wh > 0) for order in orders)
    assert counts == {1, 2, 3}


def test_bids_are_below_retail_and_offers_begin_just_above_feed_in() -> None:
    bids = [order.price_micro for k in range(300) for order in wanted(900, k=k)]
    offers = [[order.price_micro for order in wanted(-900, k=k)] for k in range(300)]

    assert 150_000 <= min(bids) < 152_000
    assert 298_000 < max(bids) < 300_000
    assert all(steps[0] == 20_001 for steps in offers)
    assert all(20_001 <= price <= 60_000 for steps in offers for price in steps)


def test_each_stage_has_prices_of_its_own_and_the_same_ones_when_asked_again() -> None:
    stages = [wanted(900, ahead) for ahead in STAGES]

    assert stages == [wanted(900, ahead) for ahead in STAGES]
    assert len({tuple(orders) for orders in stages}) == len(STAGES)


def test_a_revision_wants_what_is_neither_bought_nor_sold_yet() -> None:
    assert sum(order.quantity_wh for order in wanted(700, 3, 250)) == 450
    assert sum(order.quantity_wh for order in wanted(-700, 2, -690)) == 10


def test_what_was_never_quoted_is_quoted_at_a_revision() -> None:
    assert sum(order.quantity_wh for order in wanted(700, 3)) == 700


def test_a_day_ahead_is_quoted_once() -> None:
    assert HOME.decide(view(700, 95, 0, wanted(700))) is None
    assert HOME.decide(view(700, 95, 700)) is None


def test_between_its_stages_it_leaves_the_book_alone() -> None:
    assert all(HOME.decide(view(700, ahead)) is None for ahead in (94, 50, 4, 1))


def test_no_more_is_quoted_than_the_connection_carries() -> None:
    assert sum(order.quantity_wh for order in wanted(9_000)) == 5_000
    assert sum(order.quantity_wh for order in wanted(-9_000, 3, -1_000)) == 4_000


def test_a_rest_too_small_for_an_order_stays_as_it_is_unless_it_is_too_much() -> None:
    rest = [Order(True, 200_000, 9)]

    assert HOME.decide(view(709, 3, 700, rest)) is None
    assert HOME.decide(view(708, 3, 700, rest)) == ()
    assert HOME.decide(view(-5, 3, 0, rest)) == ()
    assert HOME.decide(view(5, 95)) is None


def test_what_was_bought_too_much_is_not_sold_again() -> None:
    assert HOME.decide(view(300, 3, 700)) is None
    assert HOME.decide(view(300, 3, 700, [Order(True, 200_000, 50)])) == ()
    assert HOME.decide(view(300, 2, -200)) is None


def test_the_same_curve_is_not_placed_again() -> None:
    curve = wanted(700, 3)

    assert HOME.decide(view(700, 3, 0, list(reversed(curve)))) is None


@given(
    net_wh=st.integers(-6_000, 6_000),
    position_wh=st.integers(-6_000, 6_000),
    ahead=st.sampled_from(STAGES),
    quantities=st.lists(st.integers(1, 2_000), max_size=8),
    is_bid=st.booleans(),
)
def test_whatever_it_sees_it_never_wants_more_than_it_needs_nor_both_sides(
    net_wh: int, position_wh: int, ahead: int, quantities: list[int], is_bid: bool
) -> None:
    resting = [Order(is_bid, 200_000 + place, wh) for place, wh in enumerate(quantities)]

    orders = HOME.decide(view(net_wh, ahead, position_wh, resting))

    if orders:
        sides = {order.is_bid for order in orders}
        traded_wh = sum(order.quantity_wh for order in orders)
        after_wh = position_wh + (traded_wh if True in sides else -traded_wh)
        assert len(sides) == 1
        assert all(order.quantity_wh >= QUANTITY_WH_MIN for order in orders)
        assert after_wh == max(-5_000, min(net_wh, 5_000))
        assert position_wh == 0 or (position_wh > 0) == (True in sides)


def test_pool_only_never_orders() -> None:
    assert all(PoolOnly().decide(view(net_wh, 3)) is None for net_wh in (-500, 0, 500))


def test_by_hand_the_owners_orders_are_placed_a_day_ahead_and_left_alone() -> None:
    evening = Instruction(72, 87, Order(True, 180_000, 40))
    late = Instruction(80, 95, Order(True, 100_000, 60))
    owner = Manual([evening, late])

    def placed(slot_of_day: int, ahead: int = 95) -> Sequence[Order] | None:
        return owner.decide(view(900, ahead, k=96 * 5 + slot_of_day))

    assert placed(71) is None
    assert placed(72) == [evening.order]
    assert placed(80) == [evening.order, late.order]
    assert placed(95) == [late.order]
    assert placed(72, ahead=3) is None
    changed = [Order(True, 190_000, 20)]
    assert owner.decide(view(900, 95, 0, changed, k=96 * 5 + 72)) is None
    assert owner.decide(view(900, 95, 40, k=96 * 5 + 72)) is None
