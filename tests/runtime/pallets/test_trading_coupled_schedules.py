"""What accepted coupled orders leave behind: schedules for devices, and trades with the fund."""

from functools import partial

import pytest

from runtime.pallets.system import LIQUIDITY_FUND
from runtime.pallets.trading.coupled_accepted import REMEMBERED_MAX, CoupledSchedule
from runtime.pallets.trading.coupled_records import (
    WINDOW_MAX,
    Battery,
    Blocks,
    CoupledAccepted,
    CoupledFill,
    CoupledTerms,
    Flexible,
    TooManyCoupledOrders,
    Vehicle,
)
from runtime.pallets.trading.events import IntervalCleared, OrderFilled
from runtime.pallets.trading.records import order_id_of
from tests.runtime.pallets.test_liquidity_fund import FUND, K, zone_with_fund
from tests.runtime.pallets.test_trading_coupled_orders import block, placing
from tests.runtime.pallets.zone import BID, K0, LOSSY, OFFER, SLOT_MS, A, B, Zone

RETAIL = 300_000


def accept_blocks(zone: Zone, now: int, first: int, *quantities: int) -> None:
    """A block of A's, and what a neighbour offers for it."""
    coupled = Blocks((block(*quantities, first=first),))
    offers = [
        partial(zone.order, 2, first + number, OFFER, 50_000, wh)
        for number, wh in enumerate(quantities)
        if wh
    ]
    zone.block(now, SLOT_MS, *offers, lambda: zone.trading.place_coupled(A, 1, coupled))
    (accepted,) = zone.events_of(CoupledAccepted, zone.block(now + 1))
    assert accepted.connection == 1


def test_what_was_accepted_can_be_read_by_the_device_that_has_to_follow_it() -> None:
    zone = Zone()
    zone.block(K0)
    accept_blocks(zone, K0, K0 + 6, 200, 0, 300)

    (schedule,) = zone.trading.list_coupled_schedules(1)

    assert schedule == CoupledSchedule(order_id_of(K0 + 6, 1, 0), K0 + 6, (200, 0, 300))
    assert zone.trading.list_coupled_schedules(2) == []


def test_a_schedule_is_there_until_its_longest_window_is_settled_and_is_then_replaced() -> None:
    zone = Zone()
    zone.block(K0)
    accept_blocks(zone, K0, K0 + 6, 200)
    before_end = K0 + 6 + WINDOW_MAX + 2
    zone.run(K0 + 2, before_end - 1)

    accept_blocks(zone, before_end - 1, before_end + 6, 100)
    both = [schedule.first for schedule in zone.trading.list_coupled_schedules(1)]
    accept_blocks(zone, before_end + 1, before_end + 8, 100)
    later = [schedule.first for schedule in zone.trading.list_coupled_schedules(1)]

    assert both == [K0 + 6, before_end + 6]
    assert later == [before_end + 6, before_end + 8]


def test_a_connection_places_no_more_orders_than_could_be_remembered() -> None:
    zone = Zone(capacity_wh=50_000)
    zone.block(K0)
    for number in range(REMEMBERED_MAX - 1):
        accept_blocks(zone, K0 + number, K0 + 30 + number, 200)
    zone.at(K0 + REMEMBERED_MAX, SLOT_MS)

    zone.trading.place_coupled(A, 1, Blocks((block(10, first=K0 + 60),)))

    zone.refuses(TooManyCoupledOrders, placing(zone, Blocks((block(10, first=K0 + 61),))))
    assert len(zone.trading.list_coupled_schedules(1)) == REMEMBERED_MAX - 1


CAR = Vehicle(RETAIL, 500, 2_000, K, K + 1)
CAR_WANTS = 500


@pytest.mark.parametrize("topology", ["LOSSLESS", "LOSSY"])
def test_a_car_is_charged_by_the_fund_when_nobody_else_sells(topology: str) -> None:
    zone = zone_with_fund(topology=LOSSY) if topology == "LOSSY" else zone_with_fund()
    zone.block(K0, SLOT_MS, lambda: zone.trading.place_coupled(A, 1, CAR))

    events = zone.block(K0 + 1)

    (accepted,) = zone.events_of(CoupledAccepted, events)
    assert sum(fill.buy_wh for fill in accepted.fills) == CAR_WANTS
    sold = [zone.position(k, FUND)[1] for k in (K, K + 1)]
    assert sum(sold) >= CAR_WANTS
    assert max(sold) <= 400  # what it sells at most
    filled = zone.events_of(OrderFilled, events)
    assert {fill.order_id >> 8 & 0xFFFFFF for fill in filled} == {FUND}
    for k in (K, K + 1):
        assert zone.holding(k, FUND).orders == ()
        book = zone.trading.books[k]
        assert book is not None and book.orders == 0
    kept = sum(zone.holding(k, FUND).held_nano for k in (K, K + 1))
    assert zone.held(LIQUIDITY_FUND) == kept


def test_a_battery_sells_to_the_fund_what_it_bought_of_a_neighbour() -> None:
    zone = zone_with_fund()
    terms = Battery(K, K + 1, 1_000, 0, 0, 4_000, 4_000, 1_000_000, 0)
    zone.block(
        K0,
        SLOT_MS,
        lambda: zone.order(2, K, OFFER, 20_000, 1_000),
        lambda: zone.trading.place_coupled(A, 1, terms),
    )

    (accepted,) = zone.events_of(CoupledAccepted, zone.block(K0 + 1))

    bought, sold = accepted.fills
    assert (bought.interval, sold.interval) == (K, K + 1)
    assert bought.buy_wh == sold.sell_wh > 0
    assert zone.position(K + 1, FUND) == (sold.sell_wh, 0)
    gain = sold.price_micro - bought.price_micro
    assert accepted.surplus_nano == sold.sell_wh * gain > 0


def test_the_quotes_of_all_intervals_share_the_money_of_the_fund() -> None:
    """Each interval alone could be quoted in full; together they may not keep aside what is not
    there.
    """
    zone = zone_with_fund()
    spend = zone.free(LIQUIDITY_FUND) - 1_000_000_000 - 100 * RETAIL
    zone.balances.transfer(LIQUIDITY_FUND, B, spend)
    car = Vehicle(RETAIL, 600, 2_000, K, K + 3)
    zone.block(K0, SLOT_MS, lambda: zone.trading.place_coupled(A, 1, car))

    zone.block(K0 + 1)

    assert len(zone.trading.list_coupled_orders()) == 1  # it is 600 Wh short of that
    assert zone.held(LIQUIDITY_FUND) == 0


def test_what_the_fund_is_not_asked_for_in_a_search_costs_it_nothing() -> None:
    zone = zone_with_fund()
    cheap = Flexible(BID, 30_000, 300, 2, K, K + 8)
    zone.block(K0, SLOT_MS, lambda: zone.trading.place_coupled(A, 1, cheap))

    events = zone.block(K0 + 1)

    assert zone.events_of(IntervalCleared, events) == []
    assert zone.held(LIQUIDITY_FUND) == 0
    assert all(zone.is_idle(k, FUND) for k in range(K, K + 9))


def test_a_coupled_order_and_an_ordinary_one_meet_the_fund_in_one_call() -> None:
    zone = zone_with_fund()
    coupled: CoupledTerms = Blocks((block(100, first=K, price_micro=RETAIL),))
    zone.block(
        K0,
        SLOT_MS,
        lambda: zone.order(2, K, BID, RETAIL, 100),
        lambda: zone.trading.place_coupled(A, 1, coupled),
    )

    events = zone.block(K0 + 1)

    (accepted,) = zone.events_of(CoupledAccepted, events)
    assert accepted.fills == (CoupledFill(K, 100, 0, accepted.fills[0].price_micro),)
    assert zone.position(K, 2) == (100, 0)
    assert zone.position(K, FUND) == (0, 200)
    assert len(zone.events_of(IntervalCleared, events)) == 1
