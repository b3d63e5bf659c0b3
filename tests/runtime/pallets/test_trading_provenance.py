"""Pairs are scaled to the meters, premiums are paid on what is delivered of green energy."""

import os
from functools import partial
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.pallets.balances import InsufficientBalance
from runtime.pallets.producer_registration import Technology
from runtime.pallets.trading import pairing
from runtime.pallets.trading.errors import ConnectionNotFound, NotConnectionOwner
from runtime.pallets.trading.provenance import scaled
from runtime.pallets.trading.right_records import (
    MIX,
    NETWORK,
    EnergyClass,
    Green,
    Origin,
    OriginKind,
    Pair,
    Premium,
    PremiumDeclared,
    PremiumInvalid,
    PremiumReserved,
    PremiumsPaid,
    RightOffer,
)
from tests.runtime.pallets.zone import (
    BID,
    EXISTENTIAL_DEPOSIT,
    K0,
    LOSSLESS,
    LOSSY,
    OFFER,
    OPERATOR,
    STRANGER,
    SUPPLIER,
    A,
    B,
    C,
    D,
    Zone,
)

K = K0 + 3
RETAIL, FEED_IN = 300_000, 20_000
SOLAR, UNSPECIFIED = EnergyClass.SOLAR, EnergyClass.UNSPECIFIED
FEW = os.environ.get("DRET_EXAMPLES") == "few"
RATE = 30_000
BUDGET = 100_000_000


def zone_with(rate: int = RATE, budget: int = BUDGET) -> Zone:
    """1 has the sun, 2 and 3 are neighbours at another bus; 2 adds a premium."""
    zone = Zone(LOSSLESS, buses=(2, 3, 3), technologies={1: ["solar"]}, has_pool=False)
    zone.block(K0, 0, lambda: zone.trading.declare_premium(B, 2, rate, budget))
    return zone


def traded(zone: Zone, *orders: tuple[int, int]) -> None:
    """Wh that connections bid for (negative: offer), all of it matched."""
    for number, wh in orders:
        side, price = (BID, RETAIL) if wh > 0 else (OFFER, FEED_IN)
        zone.order(number, K, side, price, abs(wh))
    zone.block(K0 + 1)


def settled(zone: Zone, *readings: tuple[int, int]) -> list[object]:
    """Meter import and export of connections 1, 2, ..., and settle; the events."""
    zone.run(K0 + 2, K)
    read = [partial(zone.read, number, K, *each) for number, each in enumerate(readings, start=1)]
    zone.block(K + 1, 0, *read)
    zone.block(K + 2)
    return zone.block(K + 3)


def test_a_pair_delivers_what_both_meters_show() -> None:
    zone = zone_with()
    traded(zone, (1, -200), (2, 120), (3, 80))

    settled(zone, (0, 150), (100, 0), (50, 0))

    pairs = {each.buyer: each for each in zone.trading.read_pairs(K)}
    assert {buyer: each.given_wh for buyer, each in pairs.items()} == {2: 90, 3: 60}
    assert {buyer: each.delivered_wh for buyer, each in pairs.items()} == {2: 90, 3: 50}


def test_each_import_has_its_origins_and_they_are_all_of_it() -> None:
    zone = zone_with()
    traded(zone, (1, -200), (2, 200))

    settled(zone, (0, 150), (220, 0), (50, 0))

    assert zone.trading.read_provenance(2, K) == [
        Origin(OriginKind.AUCTION, 1, SOLAR, 150, 150 * RATE),
        Origin(OriginKind.SUPPLIER, None, UNSPECIFIED, 70, 0),
    ]
    assert zone.trading.read_provenance(3, K) == [
        Origin(OriginKind.SUPPLIER, None, UNSPECIFIED, 50, 0)
    ]
    assert zone.trading.read_provenance(1, K) == []
    assert zone.trading.read_provenance(9, K) == zone.trading.read_provenance(2, K + 1) == []


def test_contracts_and_the_pool_are_origins_too() -> None:
    contract = {
        "seller": 1,
        "buyer": 2,
        "shape": "baseload",
        "volume_wh": 30,
        "price": {"base_micro": 60_000, "index_ppm": 0, "floor_micro": 0, "cap_micro": 60_000},
        "last": 90,
        "notice": 3,
        "termination_fee_max": 0,
    }
    zone = Zone(buses=(2, 3, 3), technologies={1: ["solar"]}, contracts=[contract])
    zone.block(K0)

    settled(zone, (0, 100), (50, 0), (10, 0))

    assert zone.trading.read_provenance(2, K) == [
        Origin(OriginKind.CONTRACT, 1, SOLAR, 30, 0),
        Origin(OriginKind.POOL, None, UNSPECIFIED, 20, 0),
    ]


def test_the_premium_is_paid_for_what_is_delivered_and_the_rest_is_budget_again() -> None:
    zone = zone_with()
    traded(zone, (1, -200), (2, 200))
    assert zone.trading.read_premium(2) == Premium(RATE, BUDGET, 200 * RATE)

    events = settled(zone, (0, 150), (220, 0), (0, 0))

    assert zone.trading.read_premium(2) == Premium(RATE, BUDGET - 150 * RATE, 0)
    assert zone.held(B) == BUDGET - 150 * RATE
    assert zone.events_of(PremiumsPaid, events) == [PremiumsPaid(K, 150, 150 * RATE)]
    assert zone.trading.read_green() == Green(200, 150, 150, 150 * RATE)


def test_a_premium_moves_that_much_money_and_no_other() -> None:
    wallets: list[tuple[int, ...]] = []
    for rate in (0, RATE):
        zone = zone_with(rate, BUDGET if rate else 0)
        traded(zone, (1, -200), (2, 120), (3, 80))
        settled(zone, (0, 150), (100, 0), (50, 0))
        wallets.append(tuple(zone.free(who) + zone.held(who) for who in (A, B, C)))

    without, with_premium = wallets
    assert [after - before for before, after in zip(without, with_premium, strict=True)] == [
        90 * RATE,
        -90 * RATE,
        0,
    ]


def test_who_pays_a_premium_gets_the_green_energy() -> None:
    zone = Zone(buses=(2, 2, 3, 3), technologies={2: ["wind"]}, has_pool=False)
    zone.block(K0, 0, lambda: zone.trading.declare_premium(D, 4, 1, 1_000))

    traded(zone, (1, -100), (2, -100), (3, 100), (4, 100))

    pairs = {(each.seller, each.buyer): each.premium_micro for each in zone.trading.read_pairs(K)}
    assert pairs == {(2, 4): 1, (1, 3): 0}


def test_a_budget_that_does_not_cover_everything_covers_a_part() -> None:
    zone = zone_with(budget=50 * RATE + RATE // 2)

    traded(zone, (1, -200), (2, 120), (3, 80))

    paid = [each for each in zone.trading.read_pairs(K) if each.premium_micro]
    assert [(each.buyer, each.wh) for each in paid] == [(2, 50)]
    assert zone.trading.read_premium(2).reserved_nano == 50 * RATE


def test_what_is_not_green_and_what_is_ones_own_bears_no_premium() -> None:
    zone = Zone(buses=(2, 2, 3), owners=(A, B, A), technologies={1: ["solar"], 2: ["storage"]})
    zone.block(K0, 0, lambda: zone.trading.declare_premium(A, 3, RATE, BUDGET))

    traded(zone, (1, -100), (2, -100), (3, 200))

    assert {each.premium_micro for each in zone.trading.read_pairs(K)} == {0}


def test_a_premium_ends_when_its_energy_is_handed_on() -> None:
    zone = zone_with()
    traded(zone, (1, -200), (2, 200))
    right = RightOffer(BID, SOLAR, 80, 0, 3)

    zone.block(
        K0 + 1,
        2_000,
        lambda: zone.trading.offer_right(B, 2, K, right),
        lambda: zone.trading.take_right(C, 3, 2, K, right),
    )

    assert zone.trading.read_premium(2).reserved_nano == 120 * RATE
    pairs = {each.buyer: each.premium_micro for each in zone.trading.read_pairs(K)}
    assert pairs == {2: RATE, 3: 0}


def test_a_correction_pays_the_difference_of_premiums() -> None:
    zone = zone_with()
    traded(zone, (1, -200), (2, 200))
    settled(zone, (0, 150), (220, 0), (0, 0))
    budget = zone.trading.read_premium(2)

    def correct() -> None:
        zone.metering.correct_reading(OPERATOR, 1, K, 0, 190, "read by hand")

    events = zone.block(K + 3, 2_000, correct)
    events += zone.block(K + 3, 4_000)

    assert zone.events_of(PremiumsPaid, events) == [PremiumsPaid(K, 190, 40 * RATE)]
    assert zone.trading.read_green() == Green(200, 190, 190, 190 * RATE)
    assert zone.trading.read_premium(2) == budget


def test_an_ended_premium_keeps_aside_what_it_promised_until_it_is_settled() -> None:
    zone = zone_with()
    traded(zone, (1, -200), (2, 200))

    events = zone.block(K0 + 1, 2_000, lambda: zone.trading.declare_premium(B, 2, 0, 0))

    assert zone.events_of(PremiumDeclared, events) == [
        PremiumDeclared(2, Premium(0, 200 * RATE, 200 * RATE))
    ]
    settled(zone, (0, 150), (220, 0), (0, 0))
    assert zone.trading.premiums[2] is None
    assert zone.held(B) == 0
    assert zone.trading.read_green().premium_nano == 150 * RATE


def test_an_ended_premium_is_free_when_its_last_energy_is_handed_on() -> None:
    zone = zone_with()
    traded(zone, (1, -200), (2, 200))
    zone.block(K0 + 1, 1_000, lambda: zone.trading.declare_premium(B, 2, 0, 0))

    for wh, promised_wh in ((80, 120), (120, 0)):
        right = RightOffer(BID, SOLAR, wh, 0, 3)
        zone.block(
            K0 + 1,
            2_000,
            partial(zone.trading.offer_right, B, 2, K, right),
            partial(zone.trading.take_right, C, 3, 2, K, right),
        )
        promised = promised_wh * RATE
        assert zone.trading.read_premium(2) == Premium(0, promised, promised)
    assert zone.held(B) == zone.holding(K, 2).held_nano


def test_the_supplier_is_paid_no_premium_whatever_it_registers() -> None:
    zone = zone_with()
    zone.block(
        K0,
        1_000,
        lambda: zone.registry.propose_source(SUPPLIER, 0, Technology.WIND, 1_000, bytes(32)),
        lambda: zone.registry.confirm_source(OPERATOR, 1),
    )
    zone.order(0, K, OFFER, 50_000, 200)
    traded(zone, (2, 200))

    (pair,) = zone.trading.read_pairs(K)
    assert (pair.seller, pair.energy_class, pair.premium_micro) == (0, UNSPECIFIED, 0)
    settled(zone, (0, 0), (200, 0), (0, 0))
    assert zone.trading.read_premium(2) == Premium(RATE, BUDGET, 0)


def test_a_premium_that_was_never_used_is_ended_at_once() -> None:
    zone = zone_with()

    zone.block(K0 + 1, 0, lambda: zone.trading.declare_premium(B, 2, 0, 0))

    assert zone.trading.premiums[2] is None
    assert zone.held(B) == 0


@pytest.mark.parametrize(
    ("premium_micro", "budget_nano"), [(1_000_001, BUDGET), (RATE, 0), (0, BUDGET)]
)
def test_premiums_that_mean_nothing_are_refused(premium_micro: int, budget_nano: int) -> None:
    zone = zone_with()

    zone.refuses(
        PremiumInvalid, lambda: zone.trading.declare_premium(B, 2, premium_micro, budget_nano)
    )


def test_only_the_owner_declares_what_it_can_keep_aside_and_what_it_promised() -> None:
    zone = zone_with()
    declare = zone.trading.declare_premium
    traded(zone, (1, -200), (2, 200))

    zone.refuses(NotConnectionOwner, lambda: declare(STRANGER, 2, RATE, BUDGET))
    zone.refuses(ConnectionNotFound, lambda: declare(B, 9, RATE, BUDGET))
    zone.refuses(PremiumInvalid, lambda: declare(zone.owner[0], 0, RATE, BUDGET))
    zone.refuses(PremiumReserved, lambda: declare(B, 2, RATE, 200 * RATE - 1))
    too_much = zone.free(B) + zone.held(B) - EXISTENTIAL_DEPOSIT + 1
    zone.refuses(InsufficientBalance, lambda: declare(B, 2, RATE, too_much))


def test_a_mixed_call_hands_out_what_was_given_into_the_mix(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pairing, "CELLS_MAX", 1)
    zone = zone_with()
    traded(zone, (1, -200), (2, 120), (3, 80))

    settled(zone, (0, 150), (100, 0), (50, 0))

    pairs = {(each.seller, each.buyer): each for each in zone.trading.read_pairs(K)}
    assert pairs[1, MIX].given_wh == pairs[1, MIX].delivered_wh == 150
    assert (pairs[MIX, 2].given_wh, pairs[MIX, 2].delivered_wh) == (90, 90)
    assert (pairs[MIX, 3].given_wh, pairs[MIX, 3].delivered_wh) == (60, 50)
    assert zone.trading.read_provenance(3, K) == [
        Origin(OriginKind.AUCTION, None, UNSPECIFIED, 50, 0)
    ]


def test_rounding_is_carried_so_that_sums_are_exact() -> None:
    zone = zone_with()
    traded(zone, (1, -100), (2, 34), (3, 66))
    settled(zone, (0, 50), (100, 0), (100, 0))
    lines = zone.trading.read_lines(K)
    pairs = [Pair(1, buyer, SOLAR, 0, wh, 0, 0) for buyer, wh in ((2, 33), (3, 33), (NETWORK, 34))]

    found = scaled(pairs, lines)

    assert [each.given_wh for each in found] == [16, 17, 17]
    assert [each.delivered_wh for each in found] == [16, 17, 17]


def test_what_the_network_loses_shrinks_with_what_is_given() -> None:
    zone = Zone(LOSSY, buses=(2, 3), technologies={1: ["wind"]}, has_pool=False)
    zone.block(K0)
    traded(zone, (1, -1_000), (2, 900))

    settled(zone, (0, 500), (900, 0))

    lost = next(each for each in zone.trading.read_pairs(K) if each.buyer == NETWORK)
    assert 0 < lost.delivered_wh == lost.given_wh < lost.wh
    assert sum(each.given_wh for each in zone.trading.read_pairs(K)) == 500


@pytest.mark.slow
@given(seed=st.integers(0, 2**32))
@settings(max_examples=6 if FEW else 30, deadline=None, derandomize=True)
def test_whatever_is_traded_handed_on_promised_and_metered_all_sums_are_exact(seed: int) -> None:
    random = Random(seed)
    zone = Zone(
        random.choice((LOSSLESS, LOSSY)),
        buses=(2, 2, 2, 3, 3, 3),
        technologies={1: ["solar"], 2: ["solar", "wind"], 4: ["solar"], 5: ["storage"]},
    )
    zone.block(K0)
    numbers = range(1, 7)
    for number in numbers:
        rate = random.choice((0, 1, 40_000))
        budget = random.choice((10, 30_000_000, 10**10)) if rate else 0
        zone.tries(partial(zone.trading.declare_premium, zone.owner[number], number, rate, budget))
    for moment in ((K0 + 1, 0), (K0 + 1, 2_000), (K0 + 2, 0)):
        for number in random.choices(numbers, k=8):
            side, wh = random.choice((BID, OFFER)), random.randint(10, 500)
            zone.tries(partial(zone.order, number, K, side, random.randint(FEED_IN, RETAIL), wh))
        zone.block(*moment)  # asserts all invariants, as each block does
        for right in zone.trading.read_rights(K):
            taker = random.choice((1, 2, 3) if right.bus == 2 else (4, 5, 6))
            wh, price = random.randint(1, right.wh), random.randint(-(10**7), 10**7)
            offer = RightOffer(right.side, right.energy_class, wh, price, None)
            giver = right.connection
            zone.tries(partial(zone.trading.offer_right, zone.owner[giver], giver, K, offer))
            take = zone.trading.take_right
            zone.tries(partial(take, zone.owner[taker], taker, giver, K, offer))

    zone.run(K, K)
    read = [
        partial(zone.read, number, K, random.randint(0, 900), random.randint(0, 900))
        for number in numbers
    ]
    zone.block(K + 1, 0, *read)
    zone.run(K + 2, K + 3)
    corrected = partial(zone.metering.correct_reading, OPERATOR, 1, K, 0, 300, "read by hand")
    zone.block(K + 3, 2_000, corrected)
    zone.block(K + 3, 4_000)

    assert zone.trading.settlements[K] is not None
    assert all(
        premium.reserved_nano == 0 for _, premium in zone.trading.premiums.items() if premium
    )
