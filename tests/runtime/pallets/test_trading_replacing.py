"""Market orders, whole curves, and replacing them: at once or not at all, for the difference."""

from collections.abc import Callable
from functools import partial

import pytest

from runtime.frame import DispatchError, Pays
from runtime.pallets.balances import InsufficientBalance
from runtime.pallets.trading import errors, events, replacing
from runtime.pallets.trading.records import Terms, order_id_of
from tests.runtime.pallets.zone import (
    BID,
    EXISTENTIAL_DEPOSIT,
    K0,
    OFFER,
    SLOT_MS,
    SUPPLIER,
    WEALTH,
    A,
    B,
    Side,
    Zone,
)

K = K0 + 5
RETAIL, FEED_IN = 300_000, 20_000
CURVE = tuple(Terms(BID, 90_000 + 10_000 * step, 20) for step in range(8))


@pytest.fixture
def zone() -> Zone:
    zone = Zone()
    zone.block(K0)
    return zone


def terms_of(zone: Zone, number: int, interval: int = K) -> list[Terms]:
    """What rests of a connection, in the order in which it came."""
    orders = zone.holding(interval, number).orders
    return [Terms(order.side, order.price_micro, order.quantity_wh) for order in orders]


@pytest.mark.parametrize(("side", "price"), [(BID, RETAIL), (OFFER, FEED_IN)])
def test_a_market_order_stands_at_the_price_of_the_tariff(
    zone: Zone, side: Side, price: int
) -> None:
    assert zone.trading.place_market_order(A, 1, K, side, 50) is Pays.NO

    assert terms_of(zone, 1) == [Terms(side, price, 50)]
    zone.check()


def test_market_orders_of_two_neighbours_meet_in_the_middle(zone: Zone) -> None:
    zone.trading.place_market_order(A, 1, K, OFFER, 50)
    zone.trading.place_market_order(B, 2, K, BID, 50)
    announced = zone.block(K0 + 1)

    prices = {fill.price_micro for fill in zone.events_of(events.OrderFilled, announced)}
    assert prices == {(RETAIL + FEED_IN) // 2}
    assert (zone.position(K, 1), zone.position(K, 2)) == ((0, 50), (50, 0))


def test_the_supplier_has_no_market_order(zone: Zone) -> None:
    zone.refuses(
        errors.NoTariff, lambda: zone.trading.place_market_order(SUPPLIER, 0, K, BID, 2_000)
    )


def test_a_replacement_moves_the_difference_and_has_an_id_of_its_own(zone: Zone) -> None:
    order_id = zone.order(1, K, BID, 100_000, 50)
    kept = zone.order(1, K, BID, 40_000, 10)

    def act() -> None:
        assert zone.trading.replace_order(A, order_id, 50, 120_000, 30) is Pays.NO

    announced = zone.block(K0, SLOT_MS, act)

    assert zone.held(A) == 30 * 120_000 + 10 * 40_000
    assert [order.order_id for order in zone.trading.read_order_book(K)] == [kept, kept + 1]
    assert zone.events_of(events.OrderCancelled, announced) == [events.OrderCancelled(order_id, 50)]
    assert zone.events_of(events.OrderPlaced, announced) == [
        events.OrderPlaced(kept + 1, 1, K, BID, 120_000, 30)
    ]


def test_a_replacement_needs_no_money_for_both_orders() -> None:
    zone = Zone(wealth=EXISTENTIAL_DEPOSIT + 50 * 100_000)
    zone.block(K0)
    order_id = zone.order(1, K, BID, 100_000, 50)

    zone.refuses(
        InsufficientBalance, lambda: zone.trading.replace_order(A, order_id, 50, 100_000, 51)
    )
    zone.trading.replace_order(A, order_id, 50, 50_000, 100)
    assert zone.free(A) == EXISTENTIAL_DEPOSIT
    zone.trading.replace_orders(A, 1, K, 0, (Terms(OFFER, 250_000, 60),))
    assert zone.held(A) == 60 * (RETAIL - 250_000)
    zone.check()


def test_a_whole_curve_is_revised_in_one_call(zone: Zone) -> None:
    zone.trading.place_orders(A, 1, K, CURVE)
    other = (Terms(OFFER, 200_000, 40), *CURVE[:7])

    zone.trading.replace_orders(A, 1, K, 0, other)

    assert terms_of(zone, 1) == list(other)
    assert [order.sequence for order in zone.holding(K, 1).orders] == list(range(8, 16))
    assert zone.holding(K, 1).calls == 2
    zone.check()


def test_an_empty_curve_takes_everything_back(zone: Zone) -> None:
    zone.trading.place_orders(A, 1, K, CURVE)
    announced = zone.block(K0, SLOT_MS, lambda: zone.trading.replace_orders(A, 1, K, 0, ()))

    assert len(zone.events_of(events.OrderCancelled, announced)) == 8
    assert (zone.held(A), zone.free(A)) == (0, WEALTH)


def test_a_curve_where_nothing_rests_is_placed(zone: Zone) -> None:
    zone.trading.replace_orders(A, 1, K, 0, CURVE)

    assert terms_of(zone, 1) == list(CURVE)
    zone.check()


def test_a_curve_can_be_revised_until_the_rate_is_used_up(zone: Zone) -> None:
    zone.trading.place_orders(A, 1, K, CURVE)
    for attempt in range(15):
        curve = tuple(Terms(BID, 50_000 + 1_000 * attempt + step, 20) for step in range(8))
        zone.trading.replace_orders(A, 1, K, 0, curve)

    assert zone.holding(K, 1).orders[-1].sequence == 16 * 8 - 1
    order_id = order_id_of(K, 1, 127)
    for again in (
        lambda: zone.trading.replace_orders(A, 1, K, 0, CURVE),
        lambda: zone.trading.replace_order(A, order_id, 20, 60_000, 20),
        lambda: zone.trading.place_orders(A, 1, K, CURVE[:1]),
    ):
        zone.refuses(errors.RateExceeded, again)
    zone.check()


def test_a_full_book_has_room_for_replacements() -> None:
    zone = Zone(book_orders_max=8)
    zone.block(K0)
    zone.trading.place_orders(A, 1, K, CURVE)

    zone.refuses(errors.BookFull, lambda: zone.order(2, K, BID, 50_000, 10))
    zone.trading.replace_orders(A, 1, K, 0, CURVE[:7])
    zone.order(2, K, BID, 50_000, 10)
    zone.refuses(errors.BookFull, lambda: zone.trading.replace_orders(A, 1, K, 0, CURVE))


def test_capacity_is_judged_without_what_is_replaced(zone: Zone) -> None:
    order_id = zone.order(1, K, BID, 100_000, 5_000)

    zone.trading.replace_order(A, order_id, 5_000, 90_000, 5_000)
    zone.refuses(
        errors.AboveCapacity,
        lambda: zone.trading.replace_orders(A, 1, K, 0, (Terms(BID, 90_000, 5_001),)),
    )
    assert terms_of(zone, 1) == [Terms(BID, 90_000, 5_000)]


@pytest.mark.parametrize(
    ("error", "who", "interval", "net_wh", "orders"),
    [
        (errors.NotConnectionOwner, B, K, 0, CURVE),
        (errors.IntervalClosed, A, K0 + 1, 0, CURVE),
        (errors.IntervalNotOpen, A, K0 + 97, 0, CURVE),
        (replacing.PositionChanged, A, K, 1, CURVE),
        (replacing.OrdersUnchanged, A, K, 0, (Terms(BID, 100_000, 50),)),
        (replacing.OrdersUnchanged, A, K + 1, 0, ()),
        (errors.PriceOutOfBounds, A, K, 0, (Terms(BID, RETAIL + 1, 50),)),
        (errors.QuantityOutOfBounds, A, K, 0, (*CURVE[:7], Terms(BID, 100_000, 9))),
        (errors.RateExceeded, A, K, 0, (*CURVE, Terms(BID, 100_000, 50))),
    ],
)
def test_a_curve_that_cannot_be_placed_leaves_the_old_one(
    zone: Zone,
    error: type[DispatchError],
    who: bytes,
    interval: int,
    net_wh: int,
    orders: tuple[Terms, ...],
) -> None:
    zone.order(1, K, BID, 100_000, 50)

    zone.refuses(error, lambda: zone.trading.replace_orders(who, 1, interval, net_wh, orders))


def test_a_wrong_replacement_of_an_order_is_refused_by_name(zone: Zone) -> None:
    order_id = zone.order(1, K, BID, 100_000, 50)
    wrong: list[tuple[type[DispatchError], Callable[[], object]]] = [
        (errors.OrderNotFound, partial(zone.trading.replace_order, A, order_id + 1, 50, 1, 10)),
        (errors.NotOrderOwner, partial(zone.trading.replace_order, B, order_id, 50, 90_000, 10)),
        (
            replacing.OrderPartlyFilled,
            partial(zone.trading.replace_order, A, order_id, 51, 90_000, 10),
        ),
        (
            replacing.OrdersUnchanged,
            partial(zone.trading.replace_order, A, order_id, 50, 100_000, 50),
        ),
        (errors.PriceOutOfBounds, partial(zone.trading.replace_order, A, order_id, 50, 19_999, 10)),
    ]
    for error, call in wrong:
        zone.refuses(error, call)
    zone.at(K - 1)
    zone.refuses(
        errors.IntervalClosed, lambda: zone.trading.replace_order(A, order_id, 50, 90_000, 10)
    )


def test_what_was_filled_meanwhile_is_not_traded_twice(zone: Zone) -> None:
    order_id = zone.order(1, K, BID, 100_000, 50)
    zone.order(2, K, OFFER, 100_000, 30)
    zone.block(K0 + 1)

    zone.refuses(
        replacing.OrderPartlyFilled,
        lambda: zone.trading.replace_order(A, order_id, 50, 110_000, 50),
    )
    zone.refuses(
        replacing.PositionChanged,
        lambda: zone.trading.replace_orders(A, 1, K, 0, (Terms(BID, 110_000, 50),)),
    )
    zone.trading.replace_orders(A, 1, K, 30, (Terms(BID, 110_000, 20),))
    assert terms_of(zone, 1) == [Terms(BID, 110_000, 20)]
    assert zone.position(K, 1) == (30, 0)
    zone.check()


def test_a_replacement_waits_for_the_next_call_as_every_new_order(zone: Zone) -> None:
    order_id = zone.order(1, K, BID, 100_000, 50)
    zone.order(2, K, OFFER, 90_000, 50)
    zone.block(K0 + 1, 0, lambda: zone.trading.replace_order(A, order_id, 50, 110_000, 50))

    assert zone.position(K, 1) == (0, 0)
    zone.block(K0 + 2)
    assert zone.position(K, 1) == (50, 0)


def test_orders_of_a_call_in_progress_are_not_replaced() -> None:
    zone = Zone(clearing_weight=1)  # one interval per block
    zone.block(K0)
    ids: list[int] = []

    def match(interval: int) -> None:
        ids.append(zone.order(1, interval, BID, 100_000, 50))
        zone.order(2, interval, OFFER, 100_000, 50)

    zone.block(K0, SLOT_MS, lambda: match(K), lambda: match(K + 1))

    def act() -> None:
        zone.refuses(
            errors.CallInProgress,
            lambda: zone.trading.replace_order(A, ids[1], 50, 90_000, 50),
        )
        zone.refuses(errors.CallInProgress, lambda: zone.trading.replace_orders(A, 1, K + 1, 0, ()))
        zone.trading.replace_orders(A, 1, K + 2, 0, CURVE)

    zone.block(K0 + 1)
    zone.block(K0 + 1, SLOT_MS, act)
    assert zone.position(K + 1, 1) == (50, 0)


def test_an_order_is_good_till_the_gate_which_gives_its_collateral_back(zone: Zone) -> None:
    zone.order(1, K, BID, 100_000, 50)
    zone.run(K0 + 1, K - 2)
    assert terms_of(zone, 1) == [Terms(BID, 100_000, 50)]
    assert zone.held(A) == 50 * 100_000

    announced = zone.block(K - 1)

    assert zone.events_of(events.GateClosed, announced) == [events.GateClosed(K, 1)]
    assert terms_of(zone, 1) == []
    assert (zone.held(A), zone.free(A)) == (0, WEALTH)
