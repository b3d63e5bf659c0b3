"""Placing and cancelling orders: what is refused, what is kept aside, what is free."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from runtime.frame import DispatchError, Pays
from runtime.pallets.balances import InsufficientBalance
from runtime.pallets.grid_balancing import BOOK_WH_MAX
from runtime.pallets.trading import errors, events
from runtime.pallets.trading.records import NO_BOOK, Terms, order_id_of, parts_of
from tests.runtime.pallets.zone import (
    BID,
    EXISTENTIAL_DEPOSIT,
    INTERVAL_MS,
    K0,
    OFFER,
    SLOT_MS,
    STRANGER,
    SUPPLIER,
    WEALTH,
    A,
    B,
    Side,
    Zone,
)

K = K0 + 5
RETAIL, FEED_IN = 300_000, 20_000


@pytest.fixture
def zone() -> Zone:
    zone = Zone()
    zone.block(K0)
    return zone


def test_an_order_stands_in_the_book_with_its_collateral_kept_aside(zone: Zone) -> None:
    zone.order(1, K, OFFER, 100_000, 50)
    order_id = zone.order(1, K, BID, 120_000, 30)

    held = 50 * (300_000 - 100_000) + 30 * 120_000
    assert zone.held(A) == held
    assert zone.free(A) == WEALTH - held
    assert [o.order_id for o in zone.trading.read_order_book(K)] == [order_id - 1, order_id]
    zone.check()


def test_an_accepted_order_and_a_cancel_give_their_fees_back(zone: Zone) -> None:
    placed = zone.trading.place_order(A, 1, K, OFFER, 100_000, 50)
    several = zone.trading.place_orders(B, 2, K, (Terms(BID, 90_000, 20),))
    cancelled = zone.trading.cancel_order(A, order_id_of(K, 1, 0))

    assert placed is several is cancelled is Pays.NO


def test_the_steps_of_a_curve_are_placed_together_or_not_at_all(zone: Zone) -> None:
    steps = tuple(Terms(BID, 200_000 - 10_000 * step, 20) for step in range(3))
    zone.trading.place_orders(A, 1, K, steps)

    assert [order.sequence for order in zone.holding(K, 1).orders] == [0, 1, 2]
    assert zone.held(A) == 20 * (200_000 + 190_000 + 180_000)
    zone.refuses(
        errors.QuantityOutOfBounds,
        lambda: zone.trading.place_orders(B, 2, K, (*steps, Terms(BID, 200_000, 9))),
    )
    zone.refuses(errors.NoOrders, lambda: zone.trading.place_orders(B, 2, K, ()))


@pytest.mark.parametrize(
    ("error", "who", "connection", "interval", "side", "price", "wh"),
    [
        (errors.ConnectionNotFound, A, 9, K, BID, 100_000, 50),
        (errors.NotConnectionOwner, B, 1, K, BID, 100_000, 50),
        (errors.NotConnectionOwner, STRANGER, 0, K, BID, 100_000, 50),
        (errors.IntervalClosed, A, 1, K0 + 1, BID, 100_000, 50),
        (errors.IntervalClosed, A, 1, 0, BID, 100_000, 50),
        (errors.IntervalNotOpen, A, 1, K0 + 97, BID, 100_000, 50),
        (errors.PriceOutOfBounds, A, 1, K, BID, FEED_IN - 1, 50),
        (errors.PriceOutOfBounds, A, 1, K, OFFER, RETAIL + 1, 50),
        (errors.PriceOutOfBounds, SUPPLIER, 0, K, BID, -100_001, 2_000),
        (errors.PriceOutOfBounds, SUPPLIER, 0, K, OFFER, 2**26 - 100_001, 50),
        (errors.QuantityOutOfBounds, A, 1, K, BID, 100_000, 0),
        (errors.QuantityOutOfBounds, A, 1, K, BID, 100_000, 9),
        (errors.QuantityOutOfBounds, A, 1, K, BID, 100_000, 2**26),
        (errors.QuantityOutOfBounds, SUPPLIER, 0, K, OFFER, -1, 999),
        (errors.AboveCapacity, A, 1, K, BID, 100_000, 5_001),
        (errors.AboveCapacity, A, 1, K, OFFER, 100_000, 5_001),
    ],
)
def test_a_wrong_order_is_refused_by_name(
    zone: Zone,
    error: type[DispatchError],
    who: bytes,
    connection: int,
    interval: int,
    side: Side,
    price: int,
    wh: int,
) -> None:
    zone.refuses(
        error, lambda: zone.trading.place_order(who, connection, interval, side, price, wh)
    )


def test_bounds_themselves_are_accepted(zone: Zone) -> None:
    zone.order(1, K, OFFER, FEED_IN, 10)
    zone.order(1, K0 + 96, BID, RETAIL, 5_000)
    zone.order(2, K0 + 2, BID, FEED_IN, 10)
    zone.order(0, K, BID, -100_000, 1_000)
    zone.order(0, K, OFFER, 2**26 - 100_002, 10)
    zone.order(0, K, OFFER, 0, 10)

    zone.check()


def test_capacity_counts_open_orders_of_the_side_and_the_position() -> None:
    zone = Zone(capacity_wh=100)
    zone.block(K0)
    zone.order(1, K, OFFER, 100_000, 60)
    zone.order(1, K, BID, 50_000, 100)
    zone.refuses(errors.AboveCapacity, lambda: zone.order(1, K, OFFER, 100_000, 41))
    zone.order(2, K, BID, 100_000, 60)
    zone.block(K0 + 1)

    assert zone.position(K, 1) == (0, 60)
    zone.refuses(errors.AboveCapacity, lambda: zone.order(1, K, OFFER, 100_000, 41))
    zone.order(1, K, OFFER, 100_000, 40)
    zone.refuses(errors.AboveCapacity, lambda: zone.order(2, K, BID, 100_000, 41))


def test_sixteen_orders_and_cancels_per_interval_and_eight_open_orders(zone: Zone) -> None:
    for step in range(8):
        zone.order(1, K, BID, 50_000 + step, 10)
    zone.refuses(errors.RateExceeded, lambda: zone.order(1, K, BID, 50_000, 10))
    zone.order(1, K + 1, BID, 50_000, 10)
    for step in range(4):
        zone.trading.cancel_order(A, order_id_of(K, 1, step))
        zone.order(1, K, BID, 50_000, 10)

    zone.refuses(errors.RateExceeded, lambda: zone.order(1, K, BID, 50_000, 10))
    zone.refuses(errors.RateExceeded, lambda: zone.trading.cancel_order(A, order_id_of(K, 1, 7)))
    zone.check()


def test_the_book_has_room_for_so_many_orders() -> None:
    zone = Zone(book_orders_max=3)
    zone.block(K0)
    for number in (1, 2, 3):
        zone.order(number, K, BID, 50_000, 10)

    zone.refuses(errors.BookFull, lambda: zone.order(1, K, BID, 50_000, 10))
    zone.order(1, K + 1, BID, 50_000, 10)


def test_the_book_has_room_for_so_much_energy() -> None:
    zone = Zone()
    zone.block(K0)
    zone.trading.books[K] = replace(NO_BOOK, quantity_wh=BOOK_WH_MAX - 10)
    zone.refuses(errors.BookFull, lambda: zone.order(1, K, BID, 50_000, 11))


def test_an_order_without_its_collateral_is_refused() -> None:
    zone = Zone(wealth=EXISTENTIAL_DEPOSIT + 50 * 100_000)
    zone.block(K0)

    zone.refuses(InsufficientBalance, lambda: zone.order(1, K, BID, 100_000, 51))
    zone.order(1, K, BID, 100_000, 50)
    assert zone.free(A) == EXISTENTIAL_DEPOSIT


def test_a_cancel_gives_back_exactly_what_was_kept_aside(zone: Zone) -> None:
    first = zone.order(1, K, BID, 100_000, 50)
    second = zone.order(1, K, OFFER, 200_000, 30)
    zone.trading.cancel_order(A, first)

    assert zone.held(A) == 30 * 100_000
    zone.trading.cancel_order(A, second)
    assert (zone.held(A), zone.free(A)) == (0, WEALTH)
    zone.check()


def test_a_wrong_cancel_is_refused_by_name(zone: Zone) -> None:
    order_id = zone.order(1, K, BID, 100_000, 50)

    zone.refuses(errors.NotOrderOwner, lambda: zone.trading.cancel_order(B, order_id))
    zone.refuses(errors.OrderNotFound, lambda: zone.trading.cancel_order(A, order_id + 1))
    zone.refuses(errors.OrderNotFound, lambda: zone.trading.cancel_order(A, 0))
    zone.at(K - 1)
    zone.refuses(errors.IntervalClosed, lambda: zone.trading.cancel_order(A, order_id))
    zone.at(K - 1, -SLOT_MS)
    zone.trading.cancel_order(A, order_id)
    zone.refuses(errors.OrderNotFound, lambda: zone.trading.cancel_order(A, order_id))


def test_a_filled_order_cannot_be_cancelled(zone: Zone) -> None:
    order_id = zone.order(1, K, OFFER, 100_000, 50)
    zone.order(2, K, BID, 100_000, 50)
    zone.block(K0 + 1)

    zone.refuses(errors.OrderNotFound, lambda: zone.trading.cancel_order(A, order_id))


def test_the_gate_is_judged_by_the_block_s_own_time(zone: Zone) -> None:
    zone.at(K - 1, -1)
    zone.order(1, K, BID, 100_000, 50)
    zone.at(K - 1)

    zone.refuses(errors.IntervalClosed, lambda: zone.order(1, K, BID, 100_000, 50))


def test_orders_are_refused_while_too_many_intervals_wait() -> None:
    zone = Zone()
    zone.block(K0)
    schedule = zone.trading.schedule.get()

    zone.trading.schedule.set(replace(schedule, stored=tuple(range(512))))

    zone.refuses(errors.IntervalNotOpen, lambda: zone.order(1, K, BID, 100_000, 50))


def test_an_order_id_says_where_the_order_stands() -> None:
    assert parts_of(order_id_of(1_967_000, 77, 15)) == (1_967_000, 77, 15)
    assert order_id_of(2**32 - 1, 2**24 - 1, 255) == 2**64 - 1


def test_placing_and_cancelling_are_announced(zone: Zone) -> None:
    def act() -> None:
        order_id = zone.order(1, K, BID, 100_000, 50)
        zone.trading.cancel_order(A, order_id)

    announced = zone.block(K0, SLOT_MS, act)

    order_id = order_id_of(K, 1, 0)
    assert zone.events_of(events.OrderPlaced, announced) == [
        events.OrderPlaced(order_id, 1, K, BID, 100_000, 50)
    ]
    assert zone.events_of(events.OrderCancelled, announced) == [events.OrderCancelled(order_id, 50)]


def test_wrong_constants_do_not_make_a_market() -> None:
    wrong: list[Callable[[], Zone]] = [
        lambda: Zone(imbalance_price_max=299_999),
        lambda: Zone(imbalance_price_min=20_001),
        lambda: Zone(feed_in_price=300_001),
        lambda: Zone(call_period_ms=INTERVAL_MS - 1),
        lambda: Zone(call_period_ms=0),
    ]
    for make in wrong:
        with pytest.raises(ValueError, match=r"price|divide"):
            make()
