"""Calls of the auction: when they happen, with which orders, and what they book."""

import random
from functools import partial

import pytest

from runtime.kernels.auction import OrderArrays, TreeArrays, clear_signed
from runtime.pallets.trading import clearing, errors, events, pairing
from runtime.pallets.trading.records import order_id_of
from runtime.primitives.hashing import blake2_256
from tests.runtime.pallets.zone import (
    BID,
    INTERVAL_MS,
    K0,
    LOSSLESS,
    LOSSY,
    OFFER,
    SLOT_MS,
    A,
    Zone,
)

K = K0 + 5


def match(zone: Zone, interval: int, wh: int = 100, price: int = 100_000) -> None:
    """Two orders that match: A sells, B buys."""
    zone.order(1, interval, OFFER, price, wh)
    zone.order(2, interval, BID, price, wh)


def test_orders_of_the_block_of_a_call_wait_for_the_next_call() -> None:
    zone = Zone()
    zone.block(K0)
    zone.block(K0 + 1, 0, lambda: match(zone, K))

    assert zone.position(K, 1) == (0, 0)
    zone.block(K0 + 1, SLOT_MS)
    assert zone.position(K, 1) == (0, 0)
    zone.block(K0 + 2)
    assert zone.position(K, 1) == (0, 100)
    assert zone.position(K, 2) == (100, 0)


def test_calls_come_once_per_period_even_within_an_interval() -> None:
    zone = Zone(call_period_ms=SLOT_MS)
    zone.block(K0)
    zone.block(K0, SLOT_MS, lambda: match(zone, K))
    zone.block(K0, 2 * SLOT_MS)

    assert zone.position(K, 2) == (100, 0)


def test_a_call_clears_only_books_that_changed() -> None:
    zone = Zone()
    zone.block(K0)
    zone.block(K0, SLOT_MS, lambda: zone.order(1, K, OFFER, 100_000, 50))
    zone.block(K0 + 1)
    book = zone.trading.books[K]
    zone.block(K0 + 2)

    assert book is not None
    assert zone.trading.books[K] == book
    assert book.cleared_ms == (K0 + 1) * INTERVAL_MS


def test_at_the_gate_a_last_call_is_made_and_the_rest_expires() -> None:
    zone = Zone()
    zone.block(K0)
    zone.block(K - 2, SLOT_MS, lambda: match(zone, K), lambda: zone.order(3, K, BID, 50_000, 70))
    announced = zone.block(K - 1)

    assert zone.events_of(events.GateClosed, announced) == [events.GateClosed(K, 1)]
    assert zone.position(K, 2) == (100, 0)
    assert zone.holding(K, 3).orders == ()
    assert zone.holding(K, 3).held_nano == 0
    book = zone.trading.books[K]
    assert book is not None
    assert (book.is_closed, book.orders, book.quantity_wh) == (True, 0, 0)


def test_fills_are_firm_and_later_calls_do_not_reprice_them() -> None:
    zone = Zone()
    zone.block(K0)
    zone.block(K0, SLOT_MS, lambda: match(zone, K, 100, 100_000))
    zone.block(K0 + 1)
    payable = zone.holding(K, 1).payable_nano
    zone.block(K0 + 1, SLOT_MS, lambda: match(zone, K, 40, 250_000))
    zone.block(K0 + 2)

    assert payable == -100 * 100_000
    assert zone.holding(K, 1).payable_nano == payable - 40 * 250_000
    assert zone.trading.read_prices(K) == [250_000] * 4


def test_a_partial_fill_leaves_the_rest_in_the_book() -> None:
    zone = Zone()
    zone.block(K0)
    zone.order(1, K, OFFER, 100_000, 100)
    zone.order(2, K, BID, 100_000, 30)
    announced = zone.block(K0 + 1)

    (order,) = zone.holding(K, 1).orders
    assert order.quantity_wh == 70
    filled = {event.order_id: event for event in zone.events_of(events.OrderFilled, announced)}
    assert filled[order_id_of(K, 1, 0)] == events.OrderFilled(order_id_of(K, 1, 0), 30, 100_000, 70)
    assert zone.held(A) == 70 * 200_000 + (30 * 300_000 - 30 * 100_000)


def test_the_nearest_delivery_goes_first_and_a_long_call_goes_on_in_later_blocks() -> None:
    zone = Zone(clearing_weight=1)  # every interval exceeds it: one per block
    zone.block(K0)
    intervals = [K + 2, K, K + 1]
    zone.block(K0, SLOT_MS, *(partial(match, zone, k) for k in intervals))
    zone.block(K0 + 1)

    assert [zone.position(k, 2)[0] for k in (K, K + 1, K + 2)] == [100, 0, 0]
    call = zone.trading.schedule.get().call
    assert call is not None
    assert call.pending == (K + 1, K + 2)
    zone.block(K0 + 1, SLOT_MS)
    zone.block(K0 + 1, 2 * SLOT_MS)
    assert [zone.position(k, 2)[0] for k in (K, K + 1, K + 2)] == [100, 100, 100]
    assert zone.trading.schedule.get().call is None


def test_a_call_that_goes_on_keeps_its_orders() -> None:
    zone = Zone(clearing_weight=1)
    zone.block(K0)
    zone.block(K0, SLOT_MS, lambda: match(zone, K), lambda: match(zone, K + 1))

    def act() -> None:
        zone.refuses(
            errors.CallInProgress,
            lambda: zone.trading.cancel_order(A, order_id_of(K + 1, 1, 0)),
        )
        late = zone.order(3, K + 1, BID, 300_000, 100)  # dearer, but after the call began
        zone.trading.cancel_order(zone.owner[3], late)
        zone.order(3, K + 1, BID, 300_000, 100)

    zone.block(K0 + 1)
    zone.block(K0 + 1, SLOT_MS, act)

    assert zone.position(K + 1, 2) == (100, 0)
    assert zone.position(K + 1, 3) == (0, 0)
    assert len(zone.holding(K + 1, 3).orders) == 1


def test_a_budget_that_fits_clears_several_intervals_in_one_block() -> None:
    zone = Zone(clearing_weight=2 * clearing.call_weight(orders=2))
    zone.block(K0)
    zone.block(K0, SLOT_MS, *(partial(match, zone, k) for k in (K, K + 1, K + 2)))
    zone.block(K0 + 1)

    assert [zone.position(k, 2)[0] for k in (K, K + 1, K + 2)] == [100, 100, 0]


def test_the_pairs_of_earlier_calls_count_in_the_weight_of_a_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pairing, "PAIRS_MAX", 0)  # so all of them are beyond what is included
    zone = Zone(clearing_weight=2 * clearing.call_weight(orders=2))
    intervals = (K + 3, K + 4)
    zone.block(K0)
    bought: list[list[int]] = []
    for now in (K0, K0 + 1):
        zone.block(now, SLOT_MS, *(partial(match, zone, k) for k in intervals))
        zone.block(now + 1)
        bought.append([zone.position(k, 2)[0] for k in intervals])

    assert bought == [[100, 100], [200, 100]]
    zone.block(K0 + 2, SLOT_MS)
    assert [zone.position(k, 2)[0] for k in intervals] == [200, 200]


def test_the_order_of_orders_in_blocks_does_not_matter() -> None:
    outcomes = set()
    for seed in range(4):
        zone = Zone(LOSSY)
        zone.block(K0)
        orders = [(1, OFFER, 90_000, 333), (2, BID, 120_000, 250), (3, BID, 120_000, 250)]
        random.Random(seed).shuffle(orders)
        zone.block(K0, SLOT_MS, *(partial(zone.order, o[0], K, *o[1:]) for o in orders))
        zone.block(K0 + 1)
        outcomes.add(tuple(zone.position(K, number) for number in (1, 2, 3)))

    assert len(outcomes) == 1


def test_the_last_wh_goes_by_the_hash_of_parent_block_and_order() -> None:
    zone = Zone()
    zone.block(K0)
    zone.order(1, K, OFFER, 100_000, 101)
    bids = [zone.order(number, K, BID, 100_000, 100) for number in (2, 3)]
    zone.block(K0 + 1)

    parent_hash = zone.system.parent_hash()
    ranked = sorted(bids, key=lambda i: blake2_256(parent_hash + i.to_bytes(8, "little")))
    bought = {
        order_id: zone.position(K, number)[0] for order_id, number in zip(bids, (2, 3), strict=True)
    }
    # 99 Wh of two bids of 100 are not served: the carry leaves the odd one to the second of them.
    assert [bought[order_id] for order_id in ranked] == [51, 50]


def test_negative_limits_lift_all_later_calls_of_the_interval() -> None:
    zone = Zone()
    zone.block(K0)
    zone.block(
        K0,
        SLOT_MS,
        lambda: zone.order(0, K, OFFER, -50_000, 2_000),
        lambda: zone.order(1, K, BID, 60_000, 1_000),
    )
    zone.block(K0 + 1)

    book = zone.trading.books[K]
    assert book is not None
    assert book.negative_ms == K0 * INTERVAL_MS + SLOT_MS
    assert zone.position(K, 1) == (1_000, 0)
    assert zone.trading.read_prices(K)[0] == -50_000  # the offer is at the margin
    assert zone.trading.reference_price.get() == -50_000
    zone.trading.cancel_order(zone.owner[0], order_id_of(K, 0, 0))
    zone.block(K0 + 1, SLOT_MS, lambda: match(zone, K, 10, 30_000))
    zone.block(K0 + 2)
    assert zone.trading.read_prices(K) == [30_000] * 4


def test_the_reference_price_prices_a_root_without_orders() -> None:
    zone = Zone(LOSSLESS | {"cap_up": [0, 0, 0, 0], "cap_down": [0, 0, 0, 0]}, buses=(1, 1, 2))
    zone.trading.reference_price.set(77_000)
    zone.block(K0)
    zone.block(K0, SLOT_MS, lambda: match(zone, K, 10, 50_000))
    zone.block(K0 + 1)

    assert zone.trading.read_prices(K)[:2] == [77_000, 50_000]


def test_what_is_booked_is_what_the_kernel_says() -> None:
    zone = Zone(LOSSY)
    zone.block(K0)
    orders = [(1, OFFER, 80_000, 1_000), (2, BID, 250_000, 700), (3, BID, 150_000, 600)]
    ids = [zone.order(number, K, side, price, wh) for number, side, price, wh in orders]
    tree = TreeArrays.of(
        LOSSY["parent"], LOSSY["cap_up"], LOSSY["cap_down"], LOSSY["loss_ppm"], LOSSY["tariff"]
    )
    zone.block(K0 + 1)

    parent_hash = zone.system.parent_hash()
    ranked = sorted(
        zip(ids, orders, strict=True),
        key=lambda o: blake2_256(parent_hash + o[0].to_bytes(8, "little")),
    )
    expected = clear_signed(
        tree,
        OrderArrays.of(
            [(2, 3, 3)[order[0] - 1] for _, order in ranked],
            [order[2] for _, order in ranked],
            [order[3] for _, order in ranked],
            [int(order[1]) for _, order in ranked],
        ),
        0,
        100_000,
    )
    for (_, (number, side, _, _)), fill in zip(ranked, expected.fill.tolist(), strict=True):
        assert sum(zone.position(K, number)) == fill, side
    assert zone.trading.read_prices(K) == expected.price.tolist()
    assert list(zone.grid.flows_of(K).net_export) == expected.net_export.tolist()


def place_some(zone: Zone, rng: random.Random) -> None:
    """Orders as they come, some of them refused."""
    for _ in range(rng.randrange(4, 12)):
        number, side = rng.randrange(6), rng.choice((BID, OFFER))
        price = rng.randrange(-100_000 if number == 0 else 20_000, 300_000)
        order = (number, rng.randrange(K0 + 4, K0 + 8), side, price, rng.randrange(10, 1_500))
        zone.tries(partial(zone.order, *order))


@pytest.mark.parametrize("topology", [LOSSLESS, LOSSY], ids=["lossless", "lossy"])
@pytest.mark.parametrize("seed", range(6))
def test_random_books_over_several_calls_keep_every_invariant(
    topology: dict[str, list[int]], seed: int
) -> None:
    rng = random.Random(seed)
    tight = {
        name: [0, *(rng.choice((50, 300, 4_000)) for _ in range(3))]
        for name in ("cap_up", "cap_down")
    }
    zone = Zone(topology | tight, buses=(1, 2, 3, 2, 3))
    zone.block(K0)
    for interval in range(K0, K0 + 11):
        zone.block(interval, SLOT_MS, partial(place_some, zone, rng))
        zone.block(interval + 1)

    assert zone.trading.totals.get().traded_wh > 0
