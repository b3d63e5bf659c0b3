"""Coupled orders in calls: accepted whole over all intervals at once, or not at all."""

import os
from functools import partial
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from runtime.pallets.trading import coupled_call, coupled_work
from runtime.pallets.trading.coupled_records import (
    Blocks,
    CoupledAccepted,
    CoupledExpired,
    CoupledFill,
    CoupledTerms,
    Flexible,
)
from runtime.pallets.trading.coupled_terms import entries_of, executions_of
from runtime.pallets.trading.events import IntervalCleared, OrderFilled
from runtime.pallets.trading.records import Call
from tests.runtime.pallets.coupled_books import (
    ALL,
    INTERVALS,
    RETAIL,
    K,
    check_acceptance,
    place_books,
    random_terms,
)
from tests.runtime.pallets.test_trading_coupled_orders import battery, block, vehicle
from tests.runtime.pallets.zone import (
    BID,
    INTERVAL_MS,
    K0,
    LOSSLESS,
    LOSSY,
    OFFER,
    SLOT_MS,
    A,
    B,
    Zone,
)

EXAMPLES = {"few": 5, "many": 2_000}.get(os.environ.get("DRET_EXAMPLES", ""), 40)


def zone_with(
    *orders: tuple[Any, ...], topology: Any = LOSSLESS, coupled: CoupledTerms, **constants: Any
) -> tuple[Zone, list[Any]]:
    """A zone with ordinary orders (connection, interval, side, price, Wh) and a coupled order of
    connection 1, after the call of the next interval; the call's events.
    """
    zone = Zone(topology, **constants)
    zone.block(K0)
    calls = [partial(zone.order, *order) for order in orders]
    zone.block(K0, SLOT_MS, *calls, lambda: zone.trading.place_coupled(A, 1, coupled))
    return zone, zone.block(K0 + 1)


def accepted_in(zone: Zone, events: list[Any]) -> list[CoupledAccepted]:
    return zone.events_of(CoupledAccepted, events)


def test_a_block_is_accepted_over_all_its_intervals_in_one_block() -> None:
    offers = [(2, k, OFFER, price, 500) for k, price in ((K, 50_000), (K + 1, 90_000))]
    zone, events = zone_with(*offers, coupled=Blocks((block(200, 300, price_micro=80_000),)))

    (accepted,) = accepted_in(zone, events)
    assert accepted.fills == (
        CoupledFill(K, 200, 0, 50_000),
        CoupledFill(K + 1, 300, 0, 90_000),  # above the limit, which is for all of it
    )
    assert accepted.surplus_nano == 500 * 80_000 - 200 * 50_000 - 300 * 90_000
    assert [zone.position(k, 1) for k in (K, K + 1)] == [(200, 0), (300, 0)]
    assert [zone.position(k, 2) for k in (K, K + 1)] == [(0, 200), (0, 300)]
    assert zone.trading.list_coupled_orders() == []


def test_the_hold_is_split_into_the_holdings_of_the_intervals() -> None:
    offers = [(2, k, OFFER, price, 500) for k, price in ((K, 50_000), (K + 1, 90_000))]
    zone, _ = zone_with(*offers, coupled=Blocks((block(200, 300, price_micro=80_000),)))

    assert zone.holding(K, 1).held_nano == 200 * 50_000
    assert zone.holding(K + 1, 1).held_nano == 300 * 90_000
    assert zone.held(A) == 200 * 50_000 + 300 * 90_000


def test_a_block_is_not_accepted_in_part() -> None:
    offers = [(2, K, OFFER, 50_000, 500), (2, K + 1, OFFER, 50_000, 299)]
    zone, events = zone_with(*offers, coupled=Blocks((block(200, 300, price_micro=80_000),)))

    assert accepted_in(zone, events) == []
    assert zone.events_of(IntervalCleared, events) == []
    assert len(zone.trading.list_coupled_orders()) == 1
    assert zone.held(A) == 500 * 80_000


def test_a_block_with_a_least_part_is_accepted_at_the_best_size_that_is_there() -> None:
    coupled = Blocks((block(400, 400, price_micro=80_000, acceptance_min_ppm=ALL // 2),))
    offers = [(2, K, OFFER, 50_000, 500), (2, K + 1, OFFER, 50_000, 310)]
    zone, events = zone_with(*offers, coupled=coupled)

    (accepted,) = accepted_in(zone, events)
    assert [fill.buy_wh for fill in accepted.fills] == [300, 300]


def test_the_better_of_an_exclusive_group_is_accepted_and_no_other() -> None:
    group = Blocks((block(200, price_micro=60_000), block(200, first=K + 2, price_micro=60_000)))
    offers = [(2, K, OFFER, 50_000, 500), (2, K + 2, OFFER, 30_000, 500)]
    zone, events = zone_with(*offers, coupled=group)

    (accepted,) = accepted_in(zone, events)
    assert accepted.fills == (CoupledFill(K + 2, 200, 0, 30_000),)


def test_a_flexible_load_runs_when_energy_is_cheapest() -> None:
    coupled = Flexible(BID, 200_000, 600, 2, K, K + 5)
    prices = (90_000, 80_000, 70_000, 40_000, 50_000, 90_000)
    offers = [(2, K + n, OFFER, price, 500) for n, price in enumerate(prices)]
    zone, events = zone_with(*offers, coupled=coupled)

    (accepted,) = accepted_in(zone, events)
    assert [fill.interval for fill in accepted.fills] == [K + 3, K + 4]


def test_a_vehicle_charges_in_the_cheapest_intervals_up_to_its_power() -> None:
    prices = (90_000, 80_000, 70_000, 40_000, 50_000, 90_000, 90_000, 90_000)
    offers = [(2, K + n, OFFER, price, 2_000) for n, price in enumerate(prices)]
    zone, events = zone_with(*offers, coupled=vehicle(energy_wh=2_500))

    (accepted,) = accepted_in(zone, events)
    assert accepted.fills == (
        CoupledFill(K + 2, 500, 0, 70_000),
        CoupledFill(K + 3, 1_000, 0, 40_000),
        CoupledFill(K + 4, 1_000, 0, 50_000),
    )


def test_a_vehicle_above_its_limit_in_total_is_not_charged() -> None:
    offers = [(2, K + n, OFFER, 100_001, 2_000) for n in range(8)]
    zone, events = zone_with(*offers, coupled=vehicle())

    assert accepted_in(zone, events) == []


def test_a_battery_buys_cheap_sells_dear_and_pays_for_its_losses_and_its_wear() -> None:
    offers = [(2, K + n, OFFER, 40_000, 2_000) for n in range(4)]
    bids = [(3, K + n, BID, 150_000, 2_000) for n in range(4, 8)]
    coupled = battery(stored_wh=0, stored_end_wh=0)
    zone, events = zone_with(*offers, *bids, coupled=coupled)

    (accepted,) = accepted_in(zone, events)
    bought = sum(fill.buy_wh for fill in accepted.fills)
    sold = sum(fill.sell_wh for fill in accepted.fills)
    assert sold == 4 * 500
    assert sold < bought < sold * 100 // 90 + 8
    assert accepted.surplus_nano == sold * (150_000 - 10_000) - bought * 40_000
    check_acceptance(coupled, accepted)


def test_a_battery_rests_when_the_spread_does_not_pay_for_its_losses() -> None:
    offers = [(2, K + n, OFFER, 100_000, 2_000) for n in range(4)]
    bids = [(3, K + n, BID, 115_000, 2_000) for n in range(4, 8)]
    zone, events = zone_with(*offers, *bids, coupled=battery(stored_wh=0, stored_end_wh=0))

    assert accepted_in(zone, events) == []


def test_two_coupled_orders_meet_without_ordinary_ones_between_them() -> None:
    zone = Zone()
    zone.block(K0)
    zone.block(
        K0,
        SLOT_MS,
        lambda: zone.order(3, K, OFFER, 70_000, 100),
        lambda: zone.trading.place_coupled(A, 1, Blocks((block(300, 300, price_micro=90_000),))),
        lambda: zone.trading.place_coupled(
            B, 2, Blocks((block(300, 300, side=OFFER, price_micro=50_000),))
        ),
    )
    events = zone.block(K0 + 1)

    assert len(accepted_in(zone, events)) == 2
    assert [zone.position(k, n) for k in (K, K + 1) for n in (1, 2)] == [(300, 0), (0, 300)] * 2
    assert zone.holding(K, 3).orders, "the dearer offer is left"


def test_divisible_orders_are_cleared_around_what_is_accepted() -> None:
    orders = [(2, K, OFFER, 50_000, 300), (3, K, BID, 60_000, 200)]
    zone, events = zone_with(*orders, coupled=Blocks((block(250, price_micro=200_000),)))

    assert len(accepted_in(zone, events)) == 1
    filled = {event.order_id: event for event in zone.events_of(OrderFilled, events)}
    assert sorted(event.filled_wh for event in filled.values()) == [50, 300]
    (cleared,) = zone.events_of(IntervalCleared, events)
    assert (cleared.traded_wh, cleared.prices[2]) == (300, 60_000)  # the last bid is at the margin


def test_a_full_line_keeps_a_block_out_whatever_it_would_pay() -> None:
    narrow = LOSSLESS | {"cap_down": [0, 4_000, 199, 4_000]}
    offers = [(2, K, OFFER, 50_000, 500)]
    coupled = Blocks((block(200, price_micro=RETAIL),))
    zone, events = zone_with(*offers, topology=narrow, coupled=coupled)

    assert accepted_in(zone, events) == []


def test_a_vehicle_charges_later_what_a_full_line_keeps_out() -> None:
    narrow = LOSSLESS | {"cap_down": [0, 4_000, 600, 4_000]}
    prices = (90_000, 80_000, 70_000, 40_000, 50_000, 60_000, 61_000, 62_000)
    offers = [(2, K + n, OFFER, price, 2_000) for n, price in enumerate(prices)]
    taken = [(1, K + 3, BID, RETAIL, 400)]  # the line has 200 Wh left in the cheapest interval
    zone, events = zone_with(
        *offers, *taken, topology=narrow, coupled=vehicle(energy_wh=1_200, power_w=2_400)
    )

    (accepted,) = accepted_in(zone, events)
    assert [(fill.interval, fill.buy_wh) for fill in accepted.fills] == [
        (K + 4, 600),
        (K + 5, 600),
    ]


def test_a_price_above_retail_keeps_an_order_out() -> None:
    # The supplier alone sells, above retail in one of two intervals; the average is below it.
    offers = [(0, K, OFFER, RETAIL + 10_000, 500), (0, K + 1, OFFER, 50_000, 500)]
    zone, events = zone_with(*offers, coupled=Blocks((block(100, 100, price_micro=250_000),)))

    assert accepted_in(zone, events) == []


def test_an_order_takes_part_in_every_call_until_it_is_accepted() -> None:
    zone, events = zone_with(coupled=Blocks((block(200, 300),)))
    assert accepted_in(zone, events) == []

    for interval in (K, K + 1):
        zone.order(2, interval, OFFER, 60_000, 400)
    events = zone.block(K0 + 2)

    assert len(accepted_in(zone, events)) == 1


def test_an_order_of_the_block_of_a_call_waits_for_the_next_one() -> None:
    zone = Zone()
    zone.block(K0)
    zone.order(2, K, OFFER, 50_000, 500)
    first = zone.block(K0 + 1, 0, lambda: zone.trading.place_coupled(A, 1, Blocks((block(200),))))
    second = zone.block(K0 + 2)

    assert (accepted_in(zone, first), len(accepted_in(zone, second))) == ([], 1)


def test_the_call_at_the_gate_is_the_last_one_an_order_takes_part_in() -> None:
    zone = Zone()
    zone.block(K0)
    zone.block(K - 2)
    coupled = Blocks((block(200, 200),))
    zone.block(
        K - 2,
        SLOT_MS,
        lambda: zone.trading.place_coupled(A, 1, coupled),
        lambda: zone.order(2, K, OFFER, 50_000, 500),
        lambda: zone.order(2, K + 1, OFFER, 50_000, 500),
    )
    events = zone.block(K - 1)

    assert len(accepted_in(zone, events)) == 1
    assert zone.events_of(CoupledExpired, events) == []
    book = zone.trading.books[K]
    assert book is not None
    assert book.is_closed


def test_a_call_without_room_for_its_intervals_leaves_an_order_unaccepted() -> None:
    offers = [(2, k, OFFER, 50_000, 500) for k in (K, K + 1)]
    coupled = Blocks((block(200, 300),))
    zone, events = zone_with(*offers, coupled=coupled, clearing_weight=10**8)
    assert accepted_in(zone, events) == []
    assert len(zone.trading.list_coupled_orders()) == 1

    _, events = zone_with(*offers, coupled=coupled, clearing_weight=10**10)
    assert len(accepted_in(zone, events)) == 1


def test_orders_whose_executions_a_call_cannot_make_wait_for_the_next_one() -> None:
    """The work of making executions is counted before it is done, as all other work is."""
    wide = Blocks(
        tuple(
            block(*[100] * 8, price_micro=80_000 + n, acceptance_min_ppm=500_000) for n in range(8)
        )
    )
    assert entries_of(wide) == sum(len(each.energies) for each in executions_of(wide)) == 320
    zone, _ = zone_with((2, K, OFFER, 50_000, 500), coupled=wide)
    assert len(zone.trading.list_coupled_orders()) == 1
    group = coupled_call.taking_part(zone.trading, Call(zone.clock.ms, bytes(32), ()))
    reading = sum(coupled_call.load_weight_of(zone.trading, K + n) for n in range(8))
    enough = reading + 320 * coupled_call.ENTRY_WEIGHT

    assert coupled_call.fitting_in(zone.trading, group, enough) == (group, enough)
    assert coupled_call.fitting_in(zone.trading, group, enough - 1) == ([], 0)


@pytest.mark.parametrize(
    "terms",
    [
        Blocks((block(200, 0, 300), block(200, acceptance_min_ppm=ALL // 2))),
        Flexible(BID, 200_000, 600, 2, K, K + 5),
        Flexible(BID, 200_000, 600, 6, K, K + 5),
    ],
)
def test_entries_are_those_of_all_executions(terms: CoupledTerms) -> None:
    assert entries_of(terms) == sum(len(each.energies) for each in executions_of(terms))


def test_an_exhausted_search_accepts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    offers = [(2, K, OFFER, 50_000, 500)]
    coupled = Blocks((block(200),))
    monkeypatch.setattr(coupled_work, "CLEARINGS_MAX", 0)
    zone, events = zone_with(*offers, coupled=coupled)

    assert accepted_in(zone, events) == []
    monkeypatch.undo()
    assert len(accepted_in(zone, zone.block(K0 + 2))) == 1


def test_a_search_never_takes_more_than_its_weight_and_its_clearings() -> None:
    for weight in (10**8, 10**9, 10**10):
        work = coupled_work.Work(weight)
        with pytest.raises(coupled_work.WorkExhausted):
            for _ in range(coupled_work.CLEARINGS_MAX + 1):
                work.count_clearing(10, 4)
        assert work.spent <= weight
        assert work.clearings <= coupled_work.CLEARINGS_MAX


def test_a_call_with_coupled_orders_begins_in_a_block_of_its_own() -> None:
    zone = Zone(clearing_weight=10**10, call_period_ms=SLOT_MS)
    zone.block(K0)
    zone.order(2, K, OFFER, 50_000, 500)
    zone.trading.place_coupled(A, 1, Blocks((block(200),)))
    schedule = zone.trading.schedule.get()
    call = Call(K0 * INTERVAL_MS + 1, bytes(32), (K,))
    zone.trading.schedule.set(replace(schedule, call=call))

    first = zone.block(K0, SLOT_MS)
    second = zone.block(K0, 2 * SLOT_MS)

    assert (accepted_in(zone, first), len(accepted_in(zone, second))) == ([], 1)


def random_zone(seed: int, orders: list[int] | None = None) -> tuple[Zone, list[Any], Any]:
    """A zone with random books and coupled orders after a call; its events, and the terms by id.

    `orders`: in which order the coupled ones are placed.
    """
    random = Random(seed)
    cap = random.choice((300, 1_000, 4_000))
    topology = random.choice((LOSSLESS, LOSSY)) | {
        name: [0, 4_000, cap, random.choice((300, 4_000))] for name in ("cap_up", "cap_down")
    }
    connections = random.randrange(2, 9)
    zone = Zone(topology, buses=[random.randrange(1, 4) for _ in range(connections)])
    zone.block(K0)
    each = random.choice((0, 1, 3))
    terms = [random_terms(random) for _ in range(connections)]

    def act() -> None:
        place_books(zone, random, connections, each)
        for index in orders or range(connections):
            if index < connections:
                number = index + 1
                place = zone.trading.place_coupled
                zone.tries(partial(place, zone.owner[number], number, terms[index]))

    zone.block(K0, SLOT_MS, act)
    waiting = {e.order_id: e.order.terms for e in zone.trading.list_coupled_orders()}
    return zone, zone.block(K0 + 1), waiting


@pytest.mark.slow
@given(seed=st.integers(0, 2**32))
@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
def test_whatever_is_accepted_is_whole_within_its_limits_and_never_at_a_loss(seed: int) -> None:
    zone, events, waiting = random_zone(seed)  # asserts every invariant, capacities among them

    for accepted in accepted_in(zone, events):
        check_acceptance(waiting[accepted.order_id], accepted)
    for interval in range(K0 + 2, K + INTERVALS + 4):
        zone.block(interval)
    assert zone.trading.list_coupled_orders() == []
    assert all(zone.held(owner) == 0 for owner in zone.owner.values())


@pytest.mark.slow
@given(seed=st.integers(0, 2**32), order=st.permutations(range(8)))
@settings(max_examples=EXAMPLES // 2, deadline=None, derandomize=True)
def test_the_order_of_arrival_does_not_matter(seed: int, order: list[int]) -> None:
    # One coupled order per connection: its id does not tell when it came.
    _, events, _ = random_zone(seed)
    _, again, _ = random_zone(seed, order)

    kinds = (CoupledAccepted, IntervalCleared, OrderFilled)
    assert [e for e in events if isinstance(e, kinds)] == [e for e in again if isinstance(e, kinds)]


@pytest.mark.slow
@given(seed=st.integers(0, 2**32))
@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
def test_no_divisible_order_is_rejected_paradoxically(seed: int) -> None:
    zone, events, _ = random_zone(seed)

    for cleared in zone.events_of(IntervalCleared, events):
        for order in zone.trading.read_order_book(cleared.interval):
            price = cleared.prices[order.bus]
            if order.side == BID:
                assert order.price_micro <= price, "who would pay more is served first"
            else:
                assert order.price_micro >= price


@pytest.mark.slow
def test_random_zones_do_accept_orders_of_every_kind() -> None:
    kinds = {
        type(waiting[accepted.order_id]).__name__
        for seed in range(12)
        for zone, events, waiting in [random_zone(seed)]
        for accepted in accepted_in(zone, events)
    }

    assert kinds == {"Blocks", "Flexible", "Vehicle", "Battery"}
