"""Coupled orders before any call: what is admitted, what they hold, how they end."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from runtime.pallets.trading import errors
from runtime.pallets.trading.coupled_records import (
    COUPLED_MAX,
    COUPLED_PER_CONNECTION_MAX,
    Battery,
    Block,
    Blocks,
    CoupledCancelled,
    CoupledExpired,
    CoupledOrderNotFound,
    CoupledOutOfReach,
    CoupledPlaced,
    CoupledQuantityInvalid,
    CoupledTerms,
    CoupledTermsInvalid,
    CoupledWindowInvalid,
    Flexible,
    NotForTheSupplier,
    TooManyCoupledOrders,
    Vehicle,
)
from runtime.pallets.trading.coupled_terms import executions_of
from runtime.pallets.trading.orders import INTERVALS_STORED_MAX
from tests.runtime.pallets.zone import (
    BID,
    INTERVAL_MS,
    K0,
    OFFER,
    SLOT_MS,
    STRANGER,
    A,
    Zone,
)

K = K0 + 5
ALL = 1_000_000
BATTERY: dict[str, Any] = {
    "first": K,
    "last": K + 7,
    "capacity_wh": 4_000,
    "stored_wh": 1_000,
    "stored_end_wh": 1_000,
    "charge_w": 4_000,
    "discharge_w": 2_000,
    "efficiency_ppm": 950_000,
    "wear_micro": 10_000,
}


def block(*quantities: int, **changes: Any) -> Block:
    """A block of bids at 100 000 from K on."""
    terms: dict[str, Any] = {
        "side": BID,
        "price_micro": 100_000,
        "first": K,
        "quantities_wh": quantities,
        "acceptance_min_ppm": ALL,
    }
    return Block(**(terms | changes))


def flexible(**changes: Any) -> Flexible:
    """A load of 400 Wh in two intervals on end."""
    terms: dict[str, Any] = {
        "side": BID,
        "price_micro": 100_000,
        "energy_wh": 400,
        "duration": 2,
        "first": K,
        "last": K + 7,
    }
    return Flexible(**(terms | changes))


def vehicle(**changes: Any) -> Vehicle:
    """A car that needs 2 kWh at up to 4 kW."""
    terms: dict[str, Any] = {
        "price_micro": 100_000,
        "energy_wh": 2_000,
        "power_w": 4_000,
        "first": K,
        "last": K + 7,
    }
    return Vehicle(**(terms | changes))


def battery(**changes: Any) -> Battery:
    """A home's battery over eight intervals."""
    return Battery(**(BATTERY | changes))


def open_zone(**constants: Any) -> Zone:
    """A zone in its first interval."""
    zone = Zone(**constants)
    zone.block(K0)
    zone.at(K0, SLOT_MS)
    return zone


def placing(zone: Zone, terms: CoupledTerms, number: int = 1) -> Callable[[], object]:
    """Placing a coupled order as the owner of a connection."""
    return lambda: zone.trading.place_coupled(zone.owner[number], number, terms)


def placed(zone: Zone, terms: CoupledTerms, number: int = 1) -> int:
    """Place a coupled order; its id."""
    placing(zone, terms, number)()
    event = zone.assembly.state.events[-1]
    assert isinstance(event, CoupledPlaced)
    return event.order_id


@pytest.mark.parametrize(
    ("terms", "held_nano"),
    [
        pytest.param(Blocks((block(200, 0, 300),)), 500 * 100_000, id="bids cost their limit"),
        pytest.param(
            Blocks((block(200, 300, side=OFFER),)), 500 * 200_000, id="offers may be bought back"
        ),
        pytest.param(
            Blocks((block(200), block(500, first=K + 3))), 500 * 100_000, id="one of a group"
        ),
        pytest.param(flexible(), 400 * 100_000, id="a flexible order once, not at each time"),
        pytest.param(vehicle(), 2_000 * 100_000, id="a vehicle its limit"),
        # Two intervals of charging leave 1 000 + 1 900 Wh in store, of which 2 755 arrive.
        pytest.param(battery(), 2_755 * 290_000, id="a battery all that it could give back"),
    ],
)
def test_an_order_holds_one_sum_for_its_worst_case(terms: CoupledTerms, held_nano: int) -> None:
    zone = open_zone()

    placed(zone, terms)

    assert zone.held(A) == held_nano
    zone.check()


def test_with_a_negative_imbalance_price_what_is_left_over_is_held_as_well() -> None:
    zone = open_zone(imbalance_price_min=-50_000)

    placed(zone, vehicle())

    assert zone.held(A) == 2_000 * 150_000


def test_a_waiting_order_is_listed_and_cancelling_gives_back_its_hold() -> None:
    zone = open_zone()
    order_id = placed(zone, vehicle())
    (entry,) = zone.trading.list_coupled_orders()

    zone.trading.cancel_coupled(A, order_id)

    assert (entry.order_id, entry.order.connection, entry.order.terms) == (order_id, 1, vehicle())
    assert zone.assembly.state.events[-1] == CoupledCancelled(order_id)
    assert zone.trading.list_coupled_orders() == []
    assert zone.held(A) == 0
    zone.check()


def test_an_order_that_nobody_accepts_expires_at_the_gate_of_its_first_interval() -> None:
    zone = open_zone()
    order_id = placed(zone, vehicle())

    before = zone.block(K - 2, SLOT_MS)
    after = zone.block(K - 1)

    assert zone.events_of(CoupledExpired, before) == []
    assert zone.events_of(CoupledExpired, after) == [CoupledExpired(order_id)]
    assert zone.held(A) == 0


def test_an_order_expires_after_a_standstill_of_the_chain() -> None:
    zone = open_zone()
    order_id = placed(zone, vehicle())

    announced = zone.block(K + 300)

    assert zone.events_of(CoupledExpired, announced) == [CoupledExpired(order_id)]
    assert zone.held(A) == 0


def test_a_block_may_be_accepted_in_five_sizes_down_to_its_least_part() -> None:
    whole, *parts = executions_of(Blocks((block(100, 0, 201, acceptance_min_ppm=600_000),)))

    assert whole.energies == ((K, 100), (K + 2, 201))
    assert whole.value_nano == 301 * 100_000
    assert [part.energies[1][1] for part in parts] == [180, 160, 140, 120]
    assert all(part.value_nano == sum(wh for _, wh in part.energies) * 100_000 for part in parts)


def test_a_flexible_order_has_one_execution_per_beginning() -> None:
    found = executions_of(flexible(energy_wh=401, last=K + 3))

    assert [each.energies for each in found] == [
        ((start, 201), (start + 1, 200)) for start in (K, K + 1, K + 2)
    ]


@pytest.mark.parametrize(
    ("terms", "error"),
    [
        (Blocks(()), CoupledTermsInvalid),
        (Blocks((block(100, acceptance_min_ppm=ALL + 1),)), CoupledTermsInvalid),
        (Blocks((block(100, acceptance_min_ppm=0),)), CoupledTermsInvalid),
        (Blocks((block(),)), CoupledWindowInvalid),
        (Blocks((block(0, 100),)), CoupledWindowInvalid),
        (Blocks((block(100, 0),)), CoupledWindowInvalid),
        (Blocks((block(9),)), CoupledQuantityInvalid),
        (Blocks((block(100, acceptance_min_ppm=99_999),)), CoupledQuantityInvalid),
        (Blocks((block(2**26),)), CoupledQuantityInvalid),
        (Blocks((block(100, price_micro=19_999),)), errors.PriceOutOfBounds),
        (Blocks((block(100, first=K0 + 1),)), errors.IntervalClosed),
        (Blocks((block(100, first=K0 + 97),)), errors.IntervalNotOpen),
        (Blocks((block(5_001),)), errors.AboveCapacity),
        (Blocks((block(5_001, side=OFFER),)), errors.AboveCapacity),
        (flexible(duration=0), CoupledTermsInvalid),
        (flexible(duration=9), CoupledTermsInvalid),
        (flexible(last=K - 1), CoupledWindowInvalid),
        (flexible(last=K + 96), CoupledWindowInvalid),
        (flexible(energy_wh=19), CoupledQuantityInvalid),
        (flexible(price_micro=300_001), errors.PriceOutOfBounds),
        (flexible(energy_wh=10_002), errors.AboveCapacity),
        (vehicle(energy_wh=8_001), CoupledOutOfReach),
        (vehicle(energy_wh=9), CoupledQuantityInvalid),
        (vehicle(last=K - 1), CoupledWindowInvalid),
        (vehicle(price_micro=19_999), errors.PriceOutOfBounds),
        (battery(last=K - 1), CoupledWindowInvalid),
        (battery(capacity_wh=9), CoupledQuantityInvalid),
        (battery(charge_w=39), CoupledQuantityInvalid),
        (battery(discharge_w=39), CoupledQuantityInvalid),
        (battery(efficiency_ppm=499_999), CoupledTermsInvalid),
        (battery(efficiency_ppm=ALL + 1), CoupledTermsInvalid),
        (battery(stored_wh=4_001), CoupledTermsInvalid),
        (battery(stored_end_wh=4_001), CoupledTermsInvalid),
        (battery(stored_end_wh=4_000, charge_w=1_000), CoupledOutOfReach),
        (battery(wear_micro=-1), errors.PriceOutOfBounds),
        (battery(wear_micro=300_001), errors.PriceOutOfBounds),
        (battery(charge_w=20_004), errors.AboveCapacity),
        (battery(discharge_w=20_004), errors.AboveCapacity),
        (battery(first=0, last=2**32 - 1), CoupledWindowInvalid),
    ],
    ids=str,
)
def test_terms_that_cannot_be_are_refused(terms: CoupledTerms, error: type[Any]) -> None:
    zone = open_zone()

    zone.refuses(error, placing(zone, terms))


def test_only_the_owner_of_a_connection_places_and_cancels() -> None:
    zone = open_zone()
    trading, order_id = zone.trading, placed(zone, vehicle())

    zone.refuses(errors.ConnectionNotFound, lambda: trading.place_coupled(A, 99, vehicle()))
    zone.refuses(errors.NotConnectionOwner, lambda: trading.place_coupled(STRANGER, 1, vehicle()))
    zone.refuses(NotForTheSupplier, placing(zone, vehicle(), 0))
    zone.refuses(errors.NotOrderOwner, lambda: trading.cancel_coupled(STRANGER, order_id))
    zone.refuses(CoupledOrderNotFound, lambda: trading.cancel_coupled(A, order_id + 1))


def test_an_order_is_not_cancelled_after_the_gate_of_its_first_interval() -> None:
    zone = open_zone()
    order_id = placed(zone, vehicle())

    zone.clock.ms = (K - 1) * INTERVAL_MS

    zone.refuses(errors.IntervalClosed, lambda: zone.trading.cancel_coupled(A, order_id))


def test_a_connection_has_four_waiting_orders_and_the_zone_sixty_four() -> None:
    zone = Zone(buses=(2,) * 17)
    zone.block(K0)
    zone.at(K0, SLOT_MS)
    for number in range(1, 17):
        for _ in range(COUPLED_PER_CONNECTION_MAX):
            placed(zone, Blocks((block(10),)), number)
        zone.refuses(TooManyCoupledOrders, placing(zone, Blocks((block(10),)), number))

    assert len(zone.trading.list_coupled_orders()) == COUPLED_MAX
    zone.refuses(TooManyCoupledOrders, placing(zone, Blocks((block(10),)), 17))
    zone.check()


def test_placing_and_cancelling_count_towards_the_rate_of_the_first_interval() -> None:
    zone = open_zone()
    for _ in range(8):
        zone.trading.cancel_coupled(A, placed(zone, vehicle()))

    zone.refuses(errors.RateExceeded, placing(zone, vehicle()))
    zone.refuses(errors.RateExceeded, lambda: zone.order(1, K, BID, 100_000, 10))
    later = placed(zone, vehicle(first=K + 1))
    for _ in range(7):
        zone.trading.cancel_coupled(A, placed(zone, flexible(first=K + 1)))
    zone.order(1, K + 1, BID, 100_000, 10)
    zone.refuses(errors.RateExceeded, lambda: zone.trading.cancel_coupled(A, later))


def test_waiting_orders_and_ordinary_ones_share_the_capacity_of_a_connection() -> None:
    zone = open_zone()
    placed(zone, battery())  # 1 000 Wh in, 500 Wh out
    zone.order(1, K, BID, 100_000, 3_000)

    zone.refuses(errors.AboveCapacity, lambda: zone.order(1, K, BID, 100_000, 1_001))
    zone.refuses(errors.AboveCapacity, lambda: zone.order(1, K, OFFER, 100_000, 4_501))
    zone.refuses(errors.AboveCapacity, placing(zone, Blocks((block(1_001),))))
    zone.order(1, K, BID, 100_000, 1_000)
    zone.order(1, K + 8, BID, 100_000, 5_000)


def test_an_order_is_refused_while_settlements_do_not_keep_up() -> None:
    zone = open_zone()
    schedule = zone.trading.schedule.get()
    full = tuple(range(K0 - INTERVALS_STORED_MAX + 8, K0 + 8))
    zone.trading.schedule.set(replace(schedule, stored=full))

    zone.refuses(errors.IntervalNotOpen, placing(zone, vehicle(last=K + 7)))


def test_an_order_without_money_for_its_worst_case_is_refused() -> None:
    zone = Zone(wealth=10**8)
    zone.block(K0)
    zone.at(K0, SLOT_MS)

    assert not zone.tries(placing(zone, vehicle()))
    assert zone.tries(placing(zone, vehicle(energy_wh=900)))
