"""Sealed orders: what is refused of them, and what the audit says is wrong."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace

from runtime.frame import DispatchError
from runtime.pallets.balances import Expendability, InsufficientBalance
from runtime.pallets.grid_balancing import BOOK_WH_MAX
from runtime.pallets.trading import errors
from runtime.pallets.trading import sealed_records as records
from runtime.pallets.trading.coupled_records import NotForTheSupplier, Vehicle
from runtime.pallets.trading.records import (
    CALLS_PER_HOLDING_MAX,
    NO_BOOK,
    ORDERS_PER_HOLDING_MAX,
    Terms,
    order_id_of,
)
from runtime.pallets.trading.sealed_invariants import faults_of_sealed
from runtime.pallets.trading.sealed_orders import (
    SEALING_FEE_NANO,
)
from tests.runtime.pallets.sealing import (
    DEAREST,
    FEED_IN,
    SALT,
    K,
    hidden,
    in_quiet_zone,
    revealing,
    sealed,
    sealing,
)
from tests.runtime.pallets.zone import (
    BID,
    EXISTENTIAL_DEPOSIT,
    K0,
    OFFER,
    STRANGER,
    SUPPLIER,
    A,
    B,
    Zone,
)


@pytest.fixture
def zone() -> Zone:
    zone = Zone()
    zone.block(K0)
    return zone


def test_a_seal_that_cannot_be_is_refused(zone: Zone) -> None:
    hold = 300 * (DEAREST - FEED_IN)
    cases: list[tuple[type[DispatchError], Callable[[], object]]] = [
        (NotForTheSupplier, partial(zone.trading.seal_order, SUPPLIER, 0, K, BID, 50, SALT)),
        (errors.ConnectionNotFound, partial(zone.trading.seal_order, A, 9, K, BID, 50, SALT)),
        (errors.NotConnectionOwner, partial(zone.trading.seal_order, B, 1, K, BID, 50, SALT)),
        (errors.IntervalNotOpen, sealing(zone, interval=K0 + 97)),
        (records.SealingClosed, sealing(zone, interval=K0 + 3)),
        (records.SealingClosed, sealing(zone, interval=K0 - 5)),
        (errors.QuantityOutOfBounds, sealing(zone, wh=9)),
        (errors.QuantityOutOfBounds, sealing(zone, most=2**40)),
        (errors.AboveCapacity, sealing(zone, most=5_001)),
    ]
    for error, call in cases:
        zone.refuses(error, call)
    sealing(zone, interval=K0 + 4)()
    zone.balances.transfer(A, B, zone.free(A) - hold - EXISTENTIAL_DEPOSIT + 1)
    zone.refuses(InsufficientBalance, sealing(zone))
    zone.balances.transfer(B, A, 1)
    zone.refuses(InsufficientBalance, sealing(zone))  # the deposit is there, the fee is not
    zone.balances.transfer(B, A, SEALING_FEE_NANO - 1)
    zone.refuses(Expendability, sealing(zone))
    zone.balances.transfer(B, A, 1)
    sealing(zone)()


def test_a_connection_has_four_sealed_orders_and_eight_of_both_kinds(zone: Zone) -> None:
    for _ in range(4):
        sealed(zone, wh=20)
    zone.refuses(records.TooManySealedOrders, sealing(zone, wh=20))
    four = tuple(Terms(BID, 60_000, 20) for _ in range(4))
    zone.trading.place_orders(A, 1, K, four)
    zone.refuses(errors.RateExceeded, partial(zone.trading.place_order, A, 1, K, BID, 60_000, 20))
    eight = tuple(Terms(BID, 60_000, 20) for _ in range(ORDERS_PER_HOLDING_MAX))
    zone.trading.place_orders(B, 2, K, eight)
    zone.refuses(errors.RateExceeded, sealing(zone, 2, wh=20))
    zone.check()


def test_a_commitment_counts_towards_the_rate_and_its_reveal_does_not() -> None:
    zone, order_id = in_quiet_zone()
    before = zone.holding(K, 1).calls

    revealing(zone, order_id)()

    assert before == zone.holding(K, 1).calls == 1


def test_a_connection_at_its_rate_seals_nothing_and_withdraws_nothing(zone: Zone) -> None:
    order_id = sealed(zone)
    for price in range(60_000, 60_000 + CALLS_PER_HOLDING_MAX - 1):
        zone.trading.replace_orders(A, 1, K, 0, (Terms(BID, price, 20),))

    zone.refuses(errors.RateExceeded, sealing(zone))
    zone.refuses(errors.RateExceeded, partial(zone.trading.withdraw_sealed_order, A, order_id))


def test_an_interval_has_room_for_256_sealed_orders_and_so_has_its_book(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("runtime.pallets.trading.sealed_orders.SEALED_PER_INTERVAL_MAX", 2)
    zone = Zone()
    zone.block(K0)
    sealed(zone)
    sealed(zone, 2)
    zone.refuses(records.TooManySealedOrders, sealing(zone, 3))
    small = Zone(book_orders_max=3)
    small.block(K0)
    sealed(small)
    sealed(small, 2)
    small.order(3, K, BID, 60_000, 20)
    small.refuses(errors.BookFull, partial(small.order, 3, K, BID, 60_000, 20))
    monkeypatch.setattr("runtime.pallets.trading.sealed_orders.SEALED_PER_INTERVAL_MAX", 9)
    small.refuses(errors.BookFull, sealing(small, 3))


def test_intervals_with_sealed_orders_are_bounded(
    zone: Zone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.pallets.trading.sealed_orders.SEALED_INTERVALS_MAX", 1)
    sealed(zone)

    sealed(zone)
    zone.refuses(records.TooManySealedOrders, sealing(zone, interval=K + 1))


def test_a_sealed_order_takes_its_place_in_the_connections_capacity(zone: Zone) -> None:
    zone.order(1, K, OFFER, 60_000, 1_000)
    sealed(zone, most=3_000)

    zone.refuses(errors.AboveCapacity, partial(zone.order, 1, K, OFFER, 60_000, 1_001))
    zone.refuses(errors.AboveCapacity, sealing(zone, most=1_001))
    car = Vehicle(100_000, 20_000, 20_000, K, K + 3)
    sealed(zone, 2, BID, 90_000, 300)
    zone.refuses(errors.AboveCapacity, partial(zone.trading.place_coupled, B, 2, car))
    zone.order(1, K, OFFER, 60_000, 1_000)
    zone.check()


def test_a_reveal_that_is_not_right_is_refused() -> None:
    zone, order_id = in_quiet_zone()
    zone.at(K - 3, -1)
    zone.refuses(records.RevealTooEarly, revealing(zone, order_id))
    zone.at(K - 3)
    call = zone.trading.reveal_order
    other = bytes(32)
    cases: list[tuple[type[DispatchError], Callable[[], object]]] = [
        (records.SealedOrderNotFound, revealing(zone, order_id + 1)),
        (records.SealedOrderNotFound, partial(call, A, 2**64 - 1, 50_000, 300, SALT)),
        (errors.NotOrderOwner, partial(call, B, order_id, 50_000, 300, SALT)),
        (records.CommitmentMismatch, revealing(zone, order_id, 50_001)),
        (records.CommitmentMismatch, revealing(zone, order_id, 50_000, 299)),
        (records.CommitmentMismatch, revealing(zone, order_id, 50_000, 300, other)),
        (records.AboveSealedQuantity, revealing(zone, order_id, 50_000, 301)),
        (records.AboveSealedQuantity, revealing(zone, order_id, 50_000, 2**40)),
        (records.SealingClosed, partial(zone.trading.withdraw_sealed_order, A, order_id)),
        (records.SealingClosed, sealing(zone)),
    ]
    for error, refused in cases:
        zone.refuses(error, refused)
    zone.at(K - 1, -1)
    revealing(zone, order_id)()
    zone.refuses(records.SealedOrderNotFound, revealing(zone, order_id))


def test_a_reveal_after_the_gate_is_refused() -> None:
    zone, order_id = in_quiet_zone()
    zone.at(K - 1)

    zone.refuses(errors.IntervalClosed, revealing(zone, order_id))


@pytest.mark.parametrize(
    ("price", "wh", "error"),
    [
        (19_999, 300, errors.PriceOutOfBounds),
        (300_001, 300, errors.PriceOutOfBounds),
        (50_000, 9, errors.QuantityOutOfBounds),
    ],
)
def test_who_sealed_what_is_no_order_cannot_reveal_it(
    zone: Zone, price: int, wh: int, error: type[DispatchError]
) -> None:
    order_id = sealed(zone, 1, OFFER, price, wh, most=300)
    zone.run(K0 + 1, K - 3)

    zone.refuses(error, revealing(zone, order_id, price, wh))


def test_taking_back_is_for_the_owner_and_for_what_is_there(zone: Zone) -> None:
    order_id = sealed(zone)
    withdraw = zone.trading.withdraw_sealed_order

    zone.refuses(errors.NotOrderOwner, partial(withdraw, STRANGER, order_id))
    zone.refuses(records.SealedOrderNotFound, partial(withdraw, A, order_id + 1))


def test_another_accounts_commitment_opens_nothing(zone: Zone) -> None:
    copied = hidden(zone, 1, OFFER, 50_000, 300)
    zone.trading.seal_order(B, 2, K, OFFER, 300, copied)
    zone.run(K0 + 1, K - 3)

    zone.refuses(records.CommitmentMismatch, revealing(zone, order_id_of(K, 2, 0)))


def test_the_energy_of_a_sealed_order_has_its_room_in_the_book(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    zone = Zone()
    zone.block(K0)
    sealed(zone, most=900)
    monkeypatch.setattr("runtime.pallets.trading.orders.BOOK_WH_MAX", 1_000)

    zone.refuses(errors.BookFull, partial(zone.order, 2, K, BID, 60_000, 101))
    zone.refuses(errors.BookFull, sealing(zone, 2, most=101, wh=50))
    zone.order(2, K, BID, 60_000, 100)


# The audit tells what is wrong of them.


def change_order(zone: Zone, **fields: Any) -> None:
    (order,) = zone.trading.sealed_orders[K, 1]
    zone.trading.sealed_orders[K, 1] = (replace(order, **fields),)


def change_sums(zone: Zone, **fields: int) -> None:
    known = zone.trading.sealed_intervals[K]
    assert known is not None
    zone.trading.sealed_intervals[K] = replace(known, **fields)


def fill_holding(zone: Zone) -> None:
    zone.trading.place_orders(A, 1, K, (Terms(BID, 60_000, 20),) * 7)
    (order,) = zone.trading.sealed_orders[K, 1]
    change_sums(zone, waiting=2, waiting_wh=600)
    zone.trading.sealed_orders[K, 1] = (order, order)


def fill_book(zone: Zone) -> None:
    change_sums(zone, waiting=1)
    zone.trading.books[K] = replace(NO_BOOK, quantity_wh=BOOK_WH_MAX)


def leave_nothing(zone: Zone) -> None:
    zone.trading.sealed_orders[K, 1] = ()
    change_sums(zone, waiting=0, waiting_wh=0)


FAULTS: list[tuple[Callable[[Zone], None], str]] = [
    (partial(change_order, deposit_nano=1), "connection 1: a deposit of 1, expected 84000000"),
    (partial(change_sums, waiting=2), "2 orders of 300 Wh, has (1, 300)"),
    (partial(change_sums, reveal_blocks=3), "1 orders, 3 blocks"),
    (fill_holding, "7 open orders and 2 sealed ones"),
    (fill_book, "its book has no room for what is sealed"),
    (leave_nothing, "connection 1: an entry without sealed orders"),
]


@pytest.mark.parametrize(("break_it", "words"), FAULTS)
def test_what_is_wrong_of_sealed_orders_is_told(
    zone: Zone, break_it: Callable[[Zone], None], words: str
) -> None:
    sealed(zone)
    assert list(faults_of_sealed(zone.trading)) == []

    break_it(zone)

    assert any(words in fault for fault in faults_of_sealed(zone.trading))
