"""After a call it is known who bought from whom: known answers, and what must always hold."""

from itertools import permutations
from random import Random
from typing import Any

import pytest

from runtime.pallets.trading import pairing
from runtime.pallets.trading.errors import ConnectionNotFound, NotConnectionOwner
from runtime.pallets.trading.right_records import (
    DEFAULT_PREFERENCES,
    MIX,
    NETWORK,
    EnergyClass,
    FillsPaired,
    Preferences,
    PreferencesDeclared,
    PreferencesInvalid,
)
from tests.runtime.pallets.zone import BID, K0, LOSSY, OFFER, STRANGER, A, Zone

K = K0 + 3
RETAIL, FEED_IN = 300_000, 20_000
FEEDERS: dict[str, Any] = {
    "parent": [0, 0, 1, 1, 2, 2, 3],
    "cap_up": [0] + [9_000] * 6,
    "cap_down": [0] + [9_000] * 6,
    "loss_ppm": [0] * 7,
    "tariff": [0] * 7,
}
"""The busbar has two feeders: buses 2, 4, 5 and buses 3, 6."""

SOLAR_ONLY = 1 << EnergyClass.SOLAR


def wishing(
    sources: int = 0, partners: tuple[int, ...] = (), points: tuple[int, int, int] = (0, 0, 0)
) -> Preferences:
    return Preferences(sources, partners, *points)


def called(zone: Zone, *orders: tuple[int, Any, int]) -> dict[tuple[int, int], int]:
    """Orders at prices that all match, and the call; who then bought from whom."""
    for number, side, wh in orders:
        zone.order(number, K, side, RETAIL if side == BID else FEED_IN, wh)
    events = zone.block(K0 + 1)
    assert len(zone.events_of(FillsPaired, events)) == 1
    return {(each.seller, each.buyer): each.wh for each in zone.trading.read_pairs(K)}


def test_neighbours_at_one_bus_are_paired_first() -> None:
    zone = Zone(FEEDERS, buses=(4, 6, 4, 6))
    zone.block(K0)

    pairs = called(zone, (1, OFFER, 100), (2, OFFER, 100), (3, BID, 100), (4, BID, 100))

    assert pairs == {(1, 3): 100, (2, 4): 100}


def test_the_same_feeder_is_nearer_than_the_rest_of_the_zone() -> None:
    # Sellers at buses 4 and 6 and one outside; buyers at bus 5 (feeder of 4) and at the busbar.
    zone = Zone(FEEDERS, buses=(4, 6, 5, 1))
    zone.block(K0)

    pairs = called(zone, (1, OFFER, 100), (2, OFFER, 100), (3, BID, 100), (4, BID, 100))

    assert pairs == {(1, 3): 100, (2, 4): 100}


def test_a_buyer_gets_the_source_it_likes() -> None:
    zone = Zone(buses=(2, 2, 3, 3), technologies={1: ["wind"], 2: ["solar"]})
    zone.block(K0)
    for number, source in ((3, EnergyClass.SOLAR), (4, EnergyClass.WIND)):
        wishes = wishing(1 << source, points=(100, 0, 0))
        zone.trading.declare_preferences(zone.owner[number], number, wishes)

    pairs = called(zone, (1, OFFER, 60), (2, OFFER, 60), (3, BID, 60), (4, BID, 60))

    assert pairs == {(2, 3): 60, (1, 4): 60}


@pytest.mark.parametrize("wishing_one", [1, 4])
def test_partners_find_each_other_whichever_of_them_asked(wishing_one: int) -> None:
    zone = Zone(buses=(2, 2, 3, 3))
    zone.block(K0)
    wishes = wishing(partners=({1: 4, 4: 1}[wishing_one],), points=(0, 0, 100))
    zone.trading.declare_preferences(zone.owner[wishing_one], wishing_one, wishes)

    pairs = called(zone, (1, OFFER, 50), (2, OFFER, 70), (3, BID, 70), (4, BID, 50))

    assert pairs == {(1, 4): 50, (2, 3): 70}


def test_wishes_never_change_what_is_filled_or_paid() -> None:
    filled: list[object] = []
    for wishes in (DEFAULT_PREFERENCES, wishing(SOLAR_ONLY, (2,), (50, 0, 50))):
        zone = Zone(LOSSY, buses=(2, 3, 3, 2), technologies={2: ["solar"]})
        zone.block(K0)
        for number in (3, 4):
            zone.trading.declare_preferences(zone.owner[number], number, wishes)
        called(zone, (1, OFFER, 400), (2, OFFER, 300), (3, BID, 350), (4, BID, 290), (0, OFFER, 50))
        holdings = [zone.holding(K, number) for number in range(5)]
        filled.append((holdings, zone.trading.prices[K]))

    assert filled[0] == filled[1]


def test_what_edges_lose_is_bought_by_the_network() -> None:
    zone = Zone(LOSSY, buses=(2, 3))
    zone.block(K0)

    pairs = called(zone, (1, OFFER, 1_000), (2, BID, 900))

    bought, sold = zone.position(K, 2)[0], zone.position(K, 1)[1]
    assert pairs == {(1, 2): bought, (1, NETWORK): sold - bought}
    assert sold > bought > 0


def test_the_supplier_is_a_seller_of_unspecified_energy() -> None:
    zone = Zone(buses=(2, 3))
    zone.block(K0)

    pairs = called(zone, (0, OFFER, 80), (1, BID, 80))

    assert pairs == {(0, 1): 80}
    assert zone.trading.read_pairs(K)[0].energy_class == EnergyClass.UNSPECIFIED


def test_a_class_is_that_of_the_largest_generator_and_of_a_store_only_without_one() -> None:
    zone = Zone(
        buses=(2, 2, 3, 3), technologies={1: ["storage", "biogas"], 2: ["storage"], 3: ["hydro"]}
    )

    classes = [zone.trading.class_of(number) for number in range(5)]

    assert [each.name for each in classes] == [
        "UNSPECIFIED",
        "BIOGAS",
        "STORAGE",
        "HYDRO",
        "UNSPECIFIED",
    ]


def test_pairs_of_several_calls_add_up() -> None:
    zone = Zone(buses=(2, 3))
    zone.block(K0)
    called(zone, (1, OFFER, 100), (2, BID, 60))
    zone.order(2, K, BID, RETAIL, 30)

    zone.block(K0 + 1, 4_000)
    zone.block(K0 + 2)

    assert [each.wh for each in zone.trading.read_pairs(K)] == [90]


def test_pairs_do_not_depend_on_the_order_in_which_orders_came() -> None:
    orders = [(1, OFFER, 90), (2, OFFER, 70), (3, BID, 60), (4, BID, 80)]
    found: list[object] = []
    for permuted in permutations(orders):
        zone = Zone(LOSSY, buses=(2, 3, 2, 3), technologies={1: ["solar"]})
        zone.block(K0)
        called(zone, *permuted)
        found.append(zone.trading.read_pairs(K))

    assert all(each == found[0] for each in found)


def test_a_call_that_is_too_large_is_mixed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairing, "CELLS_MAX", 3)
    zone = Zone(buses=(2, 2, 3, 3), technologies={1: ["solar"]})
    zone.block(K0)

    pairs = called(zone, (1, OFFER, 40), (2, OFFER, 30), (3, BID, 50), (4, BID, 20))

    assert pairs == {(1, MIX): 40, (2, MIX): 30, (MIX, 3): 50, (MIX, 4): 20}
    classes = {each.seller: each.energy_class for each in zone.trading.read_pairs(K)}
    assert (classes[1], classes[MIX]) == (EnergyClass.SOLAR, EnergyClass.UNSPECIFIED)


def test_an_interval_with_as_many_pairs_as_there_may_be_is_mixed_from_then_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pairing, "PAIRS_MAX", 2)
    zone = Zone(buses=(2, 3))
    zone.block(K0)
    called(zone, (1, OFFER, 100), (2, BID, 60))
    zone.order(2, K, BID, RETAIL, 30)

    zone.block(K0 + 2)

    pairs = {(each.seller, each.buyer): each.wh for each in zone.trading.read_pairs(K)}
    assert pairs == {(1, 2): 60, (1, MIX): 30, (MIX, 2): 30}


def test_the_event_says_what_is_green_and_whether_it_is_the_best() -> None:
    zone = Zone(buses=(2, 2, 3), technologies={1: ["wind"], 2: ["storage"]})
    zone.block(K0)
    for number, side, wh in ((1, OFFER, 40), (2, OFFER, 30), (3, BID, 70)):
        zone.order(number, K, side, RETAIL if side == BID else FEED_IN, wh)

    (paired,) = zone.events_of(FillsPaired, zone.block(K0 + 1))

    assert paired == FillsPaired(K, 70, 40, True)


@pytest.mark.parametrize(
    "wishes",
    [
        wishing(points=(50, 50, 1)),
        wishing(sources=1 << 11),
        wishing(partners=(9,)),
        wishing(partners=(1,)),
        wishing(partners=(2, 2)),
    ],
)
def test_preferences_that_mean_nothing_are_refused(wishes: Preferences) -> None:
    zone = Zone(buses=(2, 3))

    zone.refuses(PreferencesInvalid, lambda: zone.trading.declare_preferences(A, 1, wishes))


def test_only_the_owner_of_a_connection_declares_preferences() -> None:
    zone = Zone(buses=(2, 3))
    trading, wishes = zone.trading, wishing()

    zone.refuses(NotConnectionOwner, lambda: trading.declare_preferences(STRANGER, 1, wishes))
    zone.refuses(ConnectionNotFound, lambda: trading.declare_preferences(A, 9, wishes))
    zone.refuses(PreferencesInvalid, lambda: trading.declare_preferences(zone.owner[0], 0, wishes))


def test_preferences_are_read_and_the_default_needs_no_record() -> None:
    zone = Zone(buses=(2, 3))
    wishes = wishing(SOLAR_ONLY, (2,), (60, 20, 20))

    events = zone.block(K0, 0, lambda: zone.trading.declare_preferences(A, 1, wishes))

    assert zone.events_of(PreferencesDeclared, events) == [PreferencesDeclared(1, wishes)]
    assert zone.trading.read_preferences(1) == wishes
    assert zone.trading.read_preferences(2) == DEFAULT_PREFERENCES
    zone.trading.declare_preferences(A, 1, DEFAULT_PREFERENCES)
    assert zone.trading.preferences[1] is None


@pytest.mark.slow
def test_random_calls_are_paired_exactly_or_handed_over_with_all_invariants(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from runtime.kernels import pairing as kernel

    for seed in range(12):
        monkeypatch.setattr(kernel, "EXACT_CELLS_MAX", 0 if seed % 2 else 4_096)
        random = Random(seed)
        lossy = FEEDERS | {"loss_ppm": [0, 9_000, 12_000, 3_000, 20_000, 0, 8_000]}
        zone = Zone(
            lossy, buses=tuple(random.choices(range(1, 7), k=12)), technologies={1: ["wind"]}
        )
        zone.block(K0)
        for number in range(13):
            for _ in range(2):
                side = random.choice((BID, OFFER))
                price = random.randint(FEED_IN, RETAIL)
                zone.order(number, K, side, price, random.randint(10, 600))

        zone.block(K0 + 1)  # asserts the sums of all pairs

        assert zone.trading.read_pairs(K)
