"""Energy rights are handed on at a bus before the gate, with their class and for a price."""

import pytest
from msgspec.structs import replace

from runtime.pallets.balances import InsufficientBalance
from runtime.pallets.trading import transfers
from runtime.pallets.trading.errors import (
    AboveCapacity,
    ConnectionNotFound,
    IntervalClosed,
    NotConnectionOwner,
)
from runtime.pallets.trading.right_records import (
    ClassedRight,
    EnergyClass,
    NotSameBus,
    RightNotHeld,
    RightOffer,
    RightOffered,
    RightOfferInvalid,
    RightOfferNotFound,
    RightOfferWithdrawn,
    RightTransferred,
    SourceMissing,
    TooManyPairs,
)
from tests.runtime.pallets.zone import (
    BID,
    EXISTENTIAL_DEPOSIT,
    K0,
    LOSSY,
    OFFER,
    STRANGER,
    WEALTH,
    A,
    B,
    C,
    D,
    Zone,
)

K = K0 + 3
RETAIL, FEED_IN = 300_000, 20_000
SOLAR, UNSPECIFIED = EnergyClass.SOLAR, EnergyClass.UNSPECIFIED


def traded(wealth: int = WEALTH, capacity_wh: int = 5_000) -> Zone:
    """Connections 1 and 2 at a bus, with solar panels, and 3 and 4 at another; 1 sold, 3 bought."""
    zone = Zone(
        LOSSY,
        buses=(2, 2, 3, 3),
        technologies={1: ["solar"], 2: ["storage", "solar"]},
        wealth=wealth,
        capacity_wh=capacity_wh,
    )
    zone.block(K0)
    zone.order(1, K, OFFER, FEED_IN, 1_000)
    zone.order(3, K, BID, RETAIL, 900)
    zone.block(K0 + 1)
    return zone


def duty(wh: int, price_nano: int = 0, taker: int | None = 2) -> RightOffer:
    return RightOffer(OFFER, SOLAR, wh, price_nano, taker)


def right(wh: int, price_nano: int = 0, taker: int | None = 4) -> RightOffer:
    return RightOffer(BID, SOLAR, wh, price_nano, taker)


def hand_on(zone: Zone, giver: int, taker: int, offer: RightOffer) -> list[object]:
    """Offer and take in one block; its events."""
    trading, owner = zone.trading, zone.owner
    return zone.block(
        K0 + 1,
        2_000,
        lambda: trading.offer_right(owner[giver], giver, K, offer),
        lambda: trading.take_right(owner[taker], taker, giver, K, offer),
    )


def test_a_duty_goes_to_a_neighbour_with_its_class_and_its_pairs() -> None:
    zone = traded()
    sold = zone.position(K, 1)[1]

    events = hand_on(zone, 1, 2, duty(300))

    assert zone.position(K, 1) == (0, sold - 300)
    assert zone.position(K, 2) == (0, 300)
    assert zone.events_of(RightOffered, events) == [RightOffered(1, K, duty(300))]
    (moved,) = zone.events_of(RightTransferred, events)
    assert moved == RightTransferred(K, 1, 2, OFFER, SOLAR, 300, 0)
    rights = {each.connection: each for each in zone.trading.read_rights(K) if each.side == OFFER}
    assert rights[2] == ClassedRight(2, 2, OFFER, SOLAR, 300)
    pairs = zone.trading.read_pairs(K)
    assert sum(each.wh for each in pairs if each.seller == 2) == 300
    assert zone.trading.read_right_offers(K) == []


def test_what_was_bought_goes_to_a_neighbour() -> None:
    zone = traded()
    bought = zone.position(K, 3)[0]

    hand_on(zone, 3, 4, right(250))

    assert zone.position(K, 3) == (bought - 250, 0)
    assert zone.position(K, 4) == (250, 0)
    assert {(each.seller, each.buyer) for each in zone.trading.read_pairs(K)} >= {(1, 3), (1, 4)}


def test_the_cost_of_the_fills_stays_and_the_collateral_goes() -> None:
    zone = traded()
    before = zone.holding(K, 1), zone.held(A), zone.held(B)

    hand_on(zone, 1, 2, duty(300))

    after = zone.holding(K, 1)
    assert after.payable_nano == before[0].payable_nano
    assert zone.holding(K, 2).payable_nano == 0
    assert zone.held(A) < before[1]
    assert zone.held(B) == 300 * RETAIL


@pytest.mark.parametrize("price_nano", [7_000_000, -5_000_000])
def test_the_price_is_paid_inside_the_call(price_nano: int) -> None:
    zone = traded()
    free = zone.free(C) + zone.held(C), zone.free(D) + zone.held(D)

    hand_on(zone, 3, 4, right(100, price_nano))

    assert zone.free(C) + zone.held(C) == free[0] + price_nano
    assert zone.free(D) + zone.held(D) == free[1] - price_nano


def test_an_open_offer_is_taken_by_anyone_at_the_bus() -> None:
    zone = traded()

    hand_on(zone, 3, 4, right(100, taker=None))

    assert zone.position(K, 4) == (100, 0)


def test_a_right_can_be_handed_on_again() -> None:
    zone = traded()
    hand_on(zone, 3, 4, right(250))

    hand_on(zone, 4, 3, right(250, taker=3))

    assert zone.position(K, 4) == (0, 0)
    assert [each.buyer for each in zone.trading.read_pairs(K) if each.buyer == 4] == []


def test_a_later_offer_replaces_an_earlier_one_and_zero_takes_it_back() -> None:
    zone = traded()
    offer = zone.trading.offer_right
    offer(A, 1, K, duty(300))
    offer(A, 1, K, duty(200))

    assert zone.trading.read_right_offers(K) == [(1, duty(200))]
    zone.refuses(RightOfferNotFound, lambda: zone.trading.take_right(B, 2, 1, K, duty(300)))
    events = zone.block(K0 + 1, 4_000, lambda: offer(A, 1, K, duty(0)))
    assert zone.events_of(RightOfferWithdrawn, events) == [RightOfferWithdrawn(1, K)]
    assert zone.trading.read_right_offers(K) == []
    zone.refuses(RightOfferNotFound, lambda: offer(A, 1, K, duty(0)))


def test_what_was_handed_on_is_settled_with_whom_it_went_to() -> None:
    zone = traded()
    sold = zone.position(K, 1)[1]
    hand_on(zone, 1, 2, duty(300))
    zone.block(K + 1)
    for number, energies in ((1, (0, sold - 300)), (2, (0, 300)), (3, (900, 0)), (4, (0, 0))):
        zone.read(number, K, *energies)

    zone.run(K + 2, K + 3)  # asserts that nobody is short or long beyond the bound of a bill

    lines = zone.trading.read_lines(K)
    assert [line.sell_wh for line in lines[:2]] == [sold - 300, 300]


@pytest.mark.parametrize(
    ("offer", "error"),
    [
        (duty(1_001), RightNotHeld),
        (RightOffer(OFFER, UNSPECIFIED, 100, 0, 2), RightNotHeld),
        (RightOffer(BID, SOLAR, 100, 0, 2), RightNotHeld),
        (duty(100, taker=1), RightOfferInvalid),
        (duty(100, taker=9), RightOfferInvalid),
        (duty(100, price_nano=2**63), RightOfferInvalid),
        (duty(100, taker=3), NotSameBus),
    ],
)
def test_offers_nobody_could_take_are_refused(offer: RightOffer, error: type[RightNotHeld]) -> None:
    zone = traded()

    zone.refuses(error, lambda: zone.trading.offer_right(A, 1, K, offer))


def test_only_owners_offer_and_take_and_only_before_the_gate() -> None:
    zone = traded()
    offer, take = zone.trading.offer_right, zone.trading.take_right
    offer(A, 1, K, duty(100))

    zone.refuses(NotConnectionOwner, lambda: offer(STRANGER, 1, K, duty(100)))
    zone.refuses(ConnectionNotFound, lambda: offer(A, 9, K, duty(100)))
    zone.refuses(NotConnectionOwner, lambda: take(STRANGER, 2, 1, K, duty(100)))
    zone.refuses(ConnectionNotFound, lambda: take(B, 9, 1, K, duty(100)))
    zone.at(K - 1)
    zone.refuses(IntervalClosed, lambda: offer(A, 1, K, duty(100)))
    zone.refuses(IntervalClosed, lambda: take(B, 2, 1, K, duty(100)))


def test_an_offer_is_taken_by_whom_it_is_for_at_the_bus() -> None:
    zone = traded()
    zone.trading.offer_right(C, 3, K, right(100, taker=None))
    zone.trading.offer_right(A, 1, K, duty(100))
    take = zone.trading.take_right

    zone.refuses(RightOfferNotFound, lambda: take(D, 4, 1, K, duty(100)))
    zone.refuses(RightOfferNotFound, lambda: take(C, 3, 3, K, right(100, taker=None)))
    zone.refuses(NotSameBus, lambda: take(A, 1, 3, K, right(100, taker=None)))


def test_who_has_no_such_source_cannot_promise_its_energy() -> None:
    zone = Zone(buses=(2, 2, 3), technologies={1: ["solar"], 2: ["storage"]})
    zone.block(K0)
    zone.order(1, K, OFFER, FEED_IN, 100)
    zone.order(3, K, BID, RETAIL, 100)
    zone.block(K0 + 1)
    zone.trading.offer_right(A, 1, K, duty(100))

    zone.refuses(SourceMissing, lambda: zone.trading.take_right(B, 2, 1, K, duty(100)))


def test_what_the_giver_lost_meanwhile_cannot_be_taken() -> None:
    zone = traded()
    zone.trading.offer_right(C, 3, K, right(600))
    zone.trading.pairs[K] = tuple(
        replace(each, buyer=4) if each.buyer == 3 else each for each in zone.trading.read_pairs(K)
    )

    zone.refuses(RightNotHeld, lambda: zone.trading.take_right(D, 4, 3, K, right(600)))


def test_who_cannot_carry_the_energy_does_not_get_it() -> None:
    zone = traded(capacity_wh=1_000)
    zone.order(2, K, OFFER, RETAIL, 800)
    zone.trading.offer_right(A, 1, K, duty(300))

    zone.refuses(AboveCapacity, lambda: zone.trading.take_right(B, 2, 1, K, duty(300)))


def test_who_cannot_keep_the_collateral_or_pay_the_price_does_not_get_it() -> None:
    zone = traded(wealth=EXISTENTIAL_DEPOSIT + 10**9)
    take = zone.trading.take_right
    zone.balances.transfer(B, STRANGER, zone.free(B) - EXISTENTIAL_DEPOSIT - 10_000_000)
    zone.balances.transfer(D, STRANGER, zone.free(D) - EXISTENTIAL_DEPOSIT - 10_000_000)
    zone.trading.offer_right(A, 1, K, duty(300))
    zone.trading.offer_right(C, 3, K, right(10, price_nano=20_000_000))

    zone.refuses(InsufficientBalance, lambda: take(B, 2, 1, K, duty(300)))
    zone.refuses(InsufficientBalance, lambda: take(D, 4, 3, K, right(10, price_nano=20_000_000)))


def test_an_interval_takes_no_more_pairs_than_it_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    zone = traded()
    monkeypatch.setattr(transfers, "PAIRS_MAX", 2)
    zone.trading.offer_right(C, 3, K, right(100))

    zone.refuses(TooManyPairs, lambda: zone.trading.take_right(D, 4, 3, K, right(100)))
