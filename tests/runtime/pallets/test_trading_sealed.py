"""Sealed orders: committed to, kept secret, revealed, cleared at the gate; or lost, or returned."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.frame import Pays
from runtime.pallets.trading import sealed_records as records
from runtime.pallets.trading.coupled_records import CoupledAccepted, Vehicle
from runtime.pallets.trading.events import GateClosed, IntervalCleared, OrderFilled, OrderPlaced
from runtime.pallets.trading.quiet_periods import IntervalSealed
from runtime.pallets.trading.records import (
    Terms,
    order_id_of,
)
from runtime.pallets.trading.right_records import EnergyClass, RightOffer
from runtime.pallets.trading.sealed_orders import (
    ENDED_PER_BLOCK_MAX,
    REVEAL_BLOCKS_MIN,
    SEALING_FEE_NANO,
)
from runtime.primitives.hashing import blake2_256
from runtime.primitives.sealed_order import commitment_of
from tests.runtime.pallets.sealing import (
    DEAREST,
    FEED_IN,
    RETAIL,
    SALT,
    K,
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
    OPERATOR,
    SLOT_MS,
    SUPPLIER,
    WEALTH,
    A,
    B,
    Side,
    Zone,
)


@pytest.fixture
def zone() -> Zone:
    zone = Zone()
    zone.block(K0)
    return zone


def test_the_commitment_is_the_hash_of_the_bytes_that_are_written_down() -> None:
    account = bytes(range(100, 132))
    content = (
        b"dret:sealed:v001"
        + account
        + (7).to_bytes(4, "little")
        + (4_000_000_001).to_bytes(4, "little")
        + (513).to_bytes(2, "little")
        + b"\x01"
        + (-2).to_bytes(8, "little", signed=True)
        + (70_000).to_bytes(4, "little")
        + SALT
    )

    found = commitment_of(account, 7, 4_000_000_001, 513, 1, -2, 70_000, SALT)

    assert len(content) == 103
    assert found == blake2_256(content)
    # Written down for those who compute it with other software.
    assert commitment_of(A, 1, K, 2, 0, 50_000, 300, SALT).hex() == VECTOR


VECTOR = "757bcfeafe573b939ea3f79de544cf1c0c2132d525c7e858a8403823834291c1"


@pytest.mark.parametrize(
    ("side", "unit"), [(OFFER, DEAREST - FEED_IN), (BID, RETAIL)], ids=["offer", "bid"]
)
def test_a_commitment_keeps_the_worst_case_aside_and_pays_the_operator(
    zone: Zone, side: Side, unit: int
) -> None:
    operator = zone.free(OPERATOR)

    order_id = sealed(zone, 1, side, 90_000, 300, most=500)

    assert zone.held(A) == 500 * unit
    assert zone.free(A) == WEALTH - 500 * unit - SEALING_FEE_NANO
    assert zone.free(OPERATOR) == operator + SEALING_FEE_NANO
    assert order_id == order_id_of(K, 1, 0)
    (entry,) = zone.trading.list_sealed_orders(A)
    assert (entry.order_id, entry.connection, entry.interval) == (order_id, 1, K)
    assert (entry.order.side, entry.order.quantity_wh) == (side, 500)
    assert zone.trading.read_sealed_interval(K) == records.SealedInterval(1, 500, 0, 0)
    assert zone.trading.list_sealed_orders(B) == []
    assert zone.trading.read_order_book(K) == []
    zone.check()


def test_a_revealed_order_stands_in_the_book_and_keeps_only_what_it_needs() -> None:
    zone, order_id = in_quiet_zone()
    zone.at(K - 3)

    paid = zone.trading.reveal_order(A, order_id, 50_000, 300, SALT)

    assert paid is Pays.NO
    assert zone.held(A) == 300 * (DEAREST - 50_000)
    assert [order.order_id for order in zone.trading.read_order_book(K)] == [order_id]
    placed, revealed = [
        zone.events_of(kind, zone.assembly.state.events)[-1]
        for kind in (OrderPlaced, records.SealedOrderRevealed)
    ]
    assert placed == OrderPlaced(order_id, 1, K, OFFER, 50_000, 300)
    assert revealed == records.SealedOrderRevealed(order_id, 300 * (50_000 - FEED_IN))
    assert zone.trading.read_sealed_interval(K) == records.SealedInterval(0, 0, 1, 1)
    zone.check()


def test_the_call_of_the_gate_clears_revealed_orders_with_those_that_rest() -> None:
    zone = Zone()
    zone.block(K0)
    bid = zone.order(3, K, BID, 120_000, 200)
    first, second = sealed(zone, 1), sealed(zone, 2, BID, 260_000, 150)
    zone.run(K0 + 1, K - 3)
    zone.block(K - 3, SLOT_MS, revealing(zone, first))
    paused = zone.block(K - 2, 0, revealing(zone, second, 260_000, 150))
    waited = zone.block(K - 2, SLOT_MS)

    gate = zone.block(K - 1)

    assert zone.events_of(IntervalCleared, paused + waited) == []
    fills = {fill.order_id: fill.filled_wh for fill in zone.events_of(OrderFilled, gate)}
    assert fills == {first: 300, second: 150, bid: 150}
    assert zone.events_of(GateClosed, gate) == [GateClosed(K, 1)]
    assert zone.position(K, 1) == (0, 300)
    assert zone.trading.read_sealed_interval(K) is None
    assert zone.trading.list_sealed_intervals() == []
    zone.run(K, K + 4)
    assert zone.held(A) == zone.held(B) == 0


def test_calls_go_on_until_the_commitments_close_and_where_nothing_is_sealed() -> None:
    zone = Zone()
    zone.block(K0)
    sealed(zone, 3, BID, 200_000, 100)
    for interval in (K, K + 1):
        zone.order(1, interval, OFFER, 50_000, 200)
        zone.order(2, interval, BID, 90_000, 100)
    before = zone.block(K - 4)
    for interval in (K, K + 1):
        zone.order(2, interval, BID, 90_000, 100)

    after = zone.block(K - 3)

    assert [event.interval for event in zone.events_of(IntervalCleared, before)] == [K, K + 1]
    assert [event.interval for event in zone.events_of(IntervalCleared, after)] == [K + 1]


def order_changes(zone: Zone, order_id: int, coupled_id: int) -> list[Callable[[], object]]:
    """Each call that changes the orders of B or of the supplier in K."""
    trading, terms = zone.trading, Terms(BID, 80_000, 50)
    car = Vehicle(100_000, 500, 4_000, K, K + 3)
    return [
        partial(trading.place_order, B, 2, K, BID, 80_000, 50),
        partial(trading.place_orders, B, 2, K, (terms,)),
        partial(trading.place_market_order, B, 2, K, BID, 50),
        partial(trading.cancel_order, B, order_id),
        partial(trading.replace_order, B, order_id, 100, 90_000, 50),
        partial(trading.replace_orders, B, 2, K, 0, ()),
        partial(trading.place_order, SUPPLIER, 0, K, OFFER, 80_000, 50),
        partial(trading.place_coupled, B, 2, car),
        partial(trading.cancel_coupled, B, coupled_id),
    ]


def test_in_the_quiet_period_no_order_comes_goes_or_changes() -> None:
    zone = Zone()
    zone.block(K0)
    sealed(zone)
    order_id = zone.order(2, K, BID, 60_000, 100)
    zone.trading.place_coupled(B, 2, Vehicle(30_000, 500, 4_000, K, K + 3))
    (entry,) = zone.trading.list_coupled_orders()
    zone.run(K0 + 1, K - 4)
    changes = order_changes(zone, order_id, entry.order_id)

    for interval, offset_ms in ((K - 3, 0), (K - 2, 2 * SLOT_MS)):
        zone.at(interval, offset_ms)
        for change in changes:
            zone.refuses(IntervalSealed, change)
    for change in changes:
        zone.at(K - 4, SLOT_MS)  # the last moment at which all are taken
        with pytest.raises(ZeroDivisionError), zone.trading.transaction():
            change()
            raise ZeroDivisionError


def test_other_intervals_and_those_without_a_commitment_have_no_quiet_period(zone: Zone) -> None:
    sealed(zone)
    zone.run(K0 + 1, K - 3)
    zone.at(K - 3, SLOT_MS)

    zone.order(2, K - 1, BID, 80_000, 50)
    zone.order(2, K + 1, BID, 80_000, 50)
    zone.check()


def test_a_right_is_handed_on_in_the_quiet_period_for_it_touches_no_order() -> None:
    zone = Zone()
    zone.block(K0)
    zone.order(1, K, OFFER, 50_000, 200)
    zone.order(2, K, BID, 90_000, 200)
    sealed(zone, 3, BID, 200_000, 100)
    zone.run(K0 + 1, K - 3)
    offer = RightOffer(BID, EnergyClass.UNSPECIFIED, 100, 5_000, 3)

    zone.block(
        K - 3,
        SLOT_MS,
        partial(zone.trading.offer_right, B, 2, K, offer),
        partial(zone.trading.take_right, zone.owner[3], 3, 2, K, offer),
    )

    assert zone.position(K, 3) == (100, 0)


def test_a_coupled_order_waits_for_the_gate_of_a_quiet_interval() -> None:
    zone = Zone()
    zone.block(K0)
    sealed(zone, 3, BID, 30_000, 100)
    zone.run(K0 + 1, K - 4)
    offers = [partial(zone.order, 1, interval, OFFER, 50_000, 500) for interval in (K, K + 1)]
    car = partial(zone.trading.place_coupled, B, 2, Vehicle(100_000, 900, 4_000, K, K + 1))
    zone.block(K - 4, SLOT_MS, *offers, car)

    quiet = [*zone.block(K - 3), *zone.block(K - 2)]
    gate = zone.block(K - 1)

    assert zone.events_of(CoupledAccepted, quiet) == []
    (accepted,) = zone.events_of(CoupledAccepted, gate)
    assert sum(fill.buy_wh for fill in accepted.fills) == 900


def test_who_does_not_reveal_loses_the_deposit_to_the_operator() -> None:
    zone, order_id = in_quiet_zone()
    deposit, before = zone.held(A), zone.free(OPERATOR)
    wealth = zone.free(A) + deposit
    zone.run(K - 2, K - 2)

    events = zone.block(K - 1)

    forfeited = records.SealedOrderForfeited(order_id, A, deposit)
    assert zone.events_of(records.SealedOrderForfeited, events) == [forfeited]
    assert zone.free(OPERATOR) == before + deposit
    assert (zone.free(A), zone.held(A)) == (wealth - deposit, 0)
    assert zone.trading.list_sealed_orders(A) == []


@pytest.mark.parametrize("blocks", [0, 1, 2])
def test_a_deposit_is_returned_if_fewer_than_two_blocks_could_take_the_reveal(blocks: int) -> None:
    zone = Zone()
    zone.block(K0)
    order_id = sealed(zone)
    zone.run(K0 + 1, K - 4)
    for place in range(blocks):
        zone.block(K - 2, place * SLOT_MS)

    events = zone.block(K + 60)

    returned = [records.SealedOrderReturned(order_id)]
    is_returned = blocks < REVEAL_BLOCKS_MIN
    assert zone.events_of(records.SealedOrderReturned, events) == returned * is_returned
    assert zone.held(A) == 0
    assert zone.free(A) == WEALTH - SEALING_FEE_NANO - (not is_returned) * 300 * 280_000


def test_a_deposit_that_would_not_bring_the_operators_account_back_is_returned() -> None:
    cheap: dict[str, Any] = {"supplier_price": 20_000, "network_fee": 10_000, "pool_fee": 0}
    zone = Zone(imbalance_price_max=30_000, **cheap)
    zone.block(K0)
    order_id = sealed(zone, wh=10)
    assert zone.held(A) == 10 * (30_000 - FEED_IN) < EXISTENTIAL_DEPOSIT
    zone.balances.transfer(OPERATOR, B, zone.free(OPERATOR), keep_alive=False)
    zone.run(K0 + 1, K - 2)

    events = zone.block(K - 1)

    returned = records.SealedOrderReturned(order_id)
    assert zone.events_of(records.SealedOrderReturned, events) == [returned]
    assert (zone.free(A), zone.held(A)) == (WEALTH - SEALING_FEE_NANO, 0)


def test_many_unrevealed_orders_are_ended_over_several_blocks() -> None:
    count = ENDED_PER_BLOCK_MAX + 5
    zone = Zone(buses=(2,) * (count // 4 + 1), owners=(A,))
    zone.block(K0)
    for place in range(count):
        number = 1 + place // 4
        commitment = bytes([place]) * 32
        zone.trading.seal_order(A, number, K, BID, 20, commitment)
    zone.run(K0 + 1, K - 2)

    first, second = zone.block(K - 1), zone.block(K - 1, SLOT_MS)

    forfeited = records.SealedOrderForfeited
    assert len(zone.events_of(forfeited, first)) == ENDED_PER_BLOCK_MAX
    assert len(zone.events_of(forfeited, second)) == 5
    assert zone.trading.list_sealed_intervals() == []


def test_a_commitment_is_taken_back_without_the_fee_and_the_interval_is_as_others(
    zone: Zone,
) -> None:
    order_id = sealed(zone)

    zone.trading.withdraw_sealed_order(A, order_id)

    assert (zone.free(A), zone.held(A)) == (WEALTH - SEALING_FEE_NANO, 0)
    assert zone.trading.list_sealed_intervals() == []
    assert zone.holding(K, 1).calls == 2
    zone.run(K0 + 1, K - 3)
    zone.order(2, K, BID, 80_000, 50)
    zone.check()


def test_one_commitment_is_taken_back_and_the_others_of_the_interval_stay(zone: Zone) -> None:
    first, second = sealed(zone), sealed(zone, wh=200)

    zone.trading.withdraw_sealed_order(A, first)

    assert [entry.order_id for entry in zone.trading.list_sealed_orders(A)] == [second]
    assert zone.trading.read_sealed_interval(K) == records.SealedInterval(1, 200, 0, 0)
    zone.check()


# Whatever happens to sealed orders, money is conserved and every reveal of an order goes through.

ORDERS = st.lists(
    st.tuples(
        st.integers(1, 3),
        st.sampled_from((BID, OFFER)),
        st.integers(FEED_IN, RETAIL),
        st.integers(10, 900),
        st.integers(0, 200),
        st.sampled_from(("revealed", "revealed", "kept", "withdrawn")),
    ),
    min_size=1,
    max_size=10,
)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(orders=ORDERS, blocks=st.integers(0, 4), rest=st.integers(0, 900))
def test_deposits_come_back_or_go_to_the_operator_and_admissible_orders_are_always_revealed(
    orders: list[tuple[int, Side, int, int, int, str]], blocks: int, rest: int
) -> None:
    zone = Zone(buses=(2, 3, 3))
    zone.block(K0)
    if rest >= 10:
        zone.order(1, K, OFFER, 60_000, rest)
    before = {account: zone.free(account) + zone.held(account) for account in (A, B, OPERATOR)}
    waiting: list[tuple[int, Callable[[], object], str]] = []
    for number, side, price, wh, more, fate in orders:
        if zone.tries(sealing(zone, number, side, price, wh, most=wh + more)):
            order_id = zone.trading.list_sealed_orders(zone.owner[number])[-1].order_id
            reveal = revealing(zone, order_id, price, wh)
            waiting.append((order_id, reveal, fate))
    zone.run(K0 + 1, K - 4)
    for order_id, _, fate in waiting:
        if fate == "withdrawn":
            owner = zone.owner[order_id >> 8 & 0xFFFFFF]
            zone.trading.withdraw_sealed_order(owner, order_id)
    reveals = [reveal for _, reveal, fate in waiting if fate == "revealed"]
    for place in range(blocks):
        zone.block(K - 3, place * SLOT_MS, *(reveals if place == 0 else ()))

    zone.block(K - 1)

    fees = SEALING_FEE_NANO * len(waiting)
    lost = [
        event.deposit_nano
        for event in zone.events_of(records.SealedOrderForfeited, zone.assembly.state.events)
    ]
    kept = [fate for _, _, fate in waiting if fate == "kept"]
    unrevealed = len(kept) + (len(reveals) if blocks == 0 else 0)
    assert len(lost) == (unrevealed if blocks >= REVEAL_BLOCKS_MIN else 0)
    assert zone.free(OPERATOR) == before[OPERATOR] + fees + sum(lost)
    assert zone.trading.list_sealed_intervals() == []
    zone.run(K, K + 4)
    assert all(zone.held(owner) == 0 for owner in zone.owner.values())
