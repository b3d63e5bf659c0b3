"""Network tariffs by time of use, and what becomes of congestion rent."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace

from runtime.pallets.system import CONGESTION_RENT
from runtime.pallets.trading import events
from runtime.pallets.trading.decisions import ReleaseCongestionRent, SetTariffs
from runtime.pallets.trading.orders import INTERVALS_AHEAD
from runtime.pallets.trading.parameters import TooManyChanges
from runtime.pallets.trading.tariffs import (
    BOOKS_MAX,
    AmountUnavailable,
    CongestionRentReleased,
    EdgeTariff,
    TariffBand,
    TariffBook,
    TariffsAnnounced,
    TariffsInvalid,
)
from tests.runtime.pallets.zone import BID, K0, LOSSY, OFFER, OPERATOR, SLOT_MS, Zone

DAY = 96
BASE = (0, 5_000, 1_000, 2_000)
CHEAP, DEAR = TariffBand(500_000, ()), TariffBand(2_000_000, (EdgeTariff(2, 9_000),))
BOOK = TariffBook(0, (CHEAP, DEAR), (0,) * 48 + (1,) * 48)
IN_GENESIS = {
    "bands": [{"factor_ppm": 500_000}, {"factor_ppm": 2_000_000, "edges": {"2": 9_000}}],
    "slots": [0] * 48 + [1] * 48,
}
FIRST = K0 + INTERVALS_AHEAD + 1


def trade(zone: Zone, interval: int, now: int) -> None:
    """A sells 300 Wh to B for an interval, in the call after `now`."""
    zone.block(now, SLOT_MS, lambda: zone.order(1, interval, OFFER, 50_000, 300))
    zone.block(now, 2 * SLOT_MS, lambda: zone.order(2, interval, BID, 250_000, 300))
    zone.run(now + 1, now + 1)


def announced(zone: Zone, book: TariffBook) -> None:
    zone.trading.check_decision(SetTariffs(book))
    zone.trading.carry_out(SetTariffs(book))


def test_tariffs_of_the_day_are_what_calls_charge() -> None:
    zone = Zone(LOSSY, market={"tariffs": IN_GENESIS})
    cheap, dear = K0 + 5, K0 + 50

    trade(zone, cheap, K0)
    trade(zone, dear, K0 + 1)

    assert zone.trading.read_tariffs(cheap) == [0, 2_500, 500, 1_000]
    assert zone.trading.read_tariffs(dear) == [0, 10_000, 9_000, 4_000]
    for interval, tariffs in ((cheap, (500, 1_000)), (dear, (9_000, 4_000))):
        flows = zone.grid.flows_of(interval)
        income = zone.trading.read_network_income(interval)
        expected = sum(t * abs(y) for t, y in zip(tariffs, flows.received[2:], strict=True))
        assert income is not None and income.tariff_nano == expected > 0


def test_what_is_open_keeps_the_tariffs_it_was_opened_with() -> None:
    zone = Zone(LOSSY)
    zone.run(K0, K0 + 1)

    announced(zone, BOOK)

    book = zone.trading.list_tariff_books()[0]
    assert book.first == zone.trading.schedule.get().opened + 1
    assert zone.trading.read_tariffs(book.first - 1) == list(BASE)
    assert zone.trading.read_tariffs(book.first) != list(BASE)
    zone.run(K0 + 2, K0 + 3)
    assert zone.grid.tariffs[book.first - 1] is None
    assert zone.grid.residual_tree(book.first).tariff.tolist() == zone.trading.read_tariffs(
        book.first
    )


def test_a_later_beginning_is_kept_and_an_earlier_book_replaces_what_was_announced() -> None:
    zone = Zone(LOSSY)
    zone.run(K0, K0)

    announced(zone, replace(BOOK, first=FIRST + 500))
    announced(zone, replace(BOOK, first=FIRST + 100))

    assert [book.first for book in zone.trading.list_tariff_books()] == [FIRST + 100]
    assert len(zone.events_of(TariffsAnnounced, zone.assembly.state.events)) == 2


@pytest.mark.parametrize(
    "book",
    [
        replace(BOOK, bands=()),
        replace(BOOK, slots=(0,) * 95),
        replace(BOOK, slots=(2,) * 96),
        replace(BOOK, bands=(CHEAP, TariffBand(10_000_001, ()))),
        replace(BOOK, bands=(CHEAP, TariffBand(1, (EdgeTariff(4, 1),)))),
        replace(BOOK, bands=(CHEAP, TariffBand(1, (EdgeTariff(0, 1),)))),
        replace(BOOK, bands=(CHEAP, TariffBand(1, (EdgeTariff(2, 1), EdgeTariff(2, 1))))),
        replace(BOOK, bands=(CHEAP, TariffBand(1, (EdgeTariff(2, 2**24),)))),
        replace(BOOK, first=FIRST + 35_041),
    ],
)
def test_books_with_holes_or_out_of_range_are_refused(book: TariffBook) -> None:
    zone = Zone(LOSSY)
    zone.run(K0, K0)

    zone.refuses(TariffsInvalid, lambda: zone.trading.carry_out(SetTariffs(book)))


def test_only_so_many_books_are_announced() -> None:
    zone = Zone(LOSSY)
    zone.run(K0, K0)
    for place in range(BOOKS_MAX):
        announced(zone, replace(BOOK, first=FIRST + place))

    later = SetTariffs(replace(BOOK, first=FIRST + BOOKS_MAX))
    zone.refuses(TooManyChanges, lambda: zone.trading.carry_out(later))


def test_a_contract_rests_while_tariffs_leave_nothing_to_share() -> None:
    bands = [{"factor_ppm": 0}, {"factor_ppm": 10**6, "edges": {"2": 290_000}}]
    contract: dict[str, Any] = {
        "seller": 1,
        "buyer": 2,
        "shape": "baseload",
        "volume_wh": 100,
        "price": {"base_micro": 60_000, "index_ppm": 0, "floor_micro": 0, "cap_micro": 60_000},
        "last": 400,
    }
    tariffs = {"bands": bands, "slots": [0, 1] * 48}

    zone = Zone(LOSSY, contracts=[contract], market={"tariffs": tariffs})
    found = zone.block(K0)

    deals = [zone.trading.read_deals(K0 + place)[0] for place in range(4)]
    assert [(deal.volume_wh, deal.fee_micro) for deal in deals] == [(100, 0), (0, 292_000)] * 2
    clipped = zone.events_of(events.ContractClipped, found)
    assert [event.interval for event in clipped][:2] == [K0 + 1, K0 + 3]


def congested_zone() -> Zone:
    """A and B trade over a line that is full; interval K0 + 3 is settled."""
    zone = Zone(LOSSY | {"loss_ppm": [0] * 4, "cap_up": [0, 4_000, 100, 4_000]}, has_pool=False)
    trade(zone, K0 + 3, K0)
    zone.run(K0 + 2, K0 + 6)
    return zone


def test_congestion_rent_goes_to_its_own_account_and_tariffs_to_the_operator() -> None:
    zone = congested_zone()

    income = zone.trading.read_network_income(K0 + 3)
    assert income is not None
    assert zone.free(CONGESTION_RENT) == income.congestion_nano == 100 * 197_000
    assert zone.trading.read_earmarked().collected_nano == income.congestion_nano
    record = zone.trading.read_settlement(K0 + 3)
    assert record is not None
    assert record.rent_nano == income.tariff_nano + income.congestion_nano


def test_members_release_congestion_rent_to_the_operator_and_no_more_than_there_is() -> None:
    zone = congested_zone()
    before = zone.free(OPERATOR)

    zone.trading.carry_out(ReleaseCongestionRent(15_000_000))

    assert zone.free(OPERATOR) == before + 15_000_000
    assert zone.trading.read_earmarked().released_nano == 15_000_000
    assert zone.events_of(CongestionRentReleased, zone.assembly.state.events)
    zone.check()
    for amount in (0, 100 * 197_000 - 15_000_000 + 1):
        decision = ReleaseCongestionRent(amount)
        zone.refuses(AmountUnavailable, partial(zone.trading.carry_out, decision))
        zone.refuses(AmountUnavailable, partial(zone.trading.check_decision, decision))


@pytest.mark.parametrize("slots", [[0] * 95, [2] * 96])
def test_a_genesis_with_impossible_tariffs_is_refused(slots: Sequence[int]) -> None:
    with pytest.raises(ValueError, match="tariffs of the genesis"):
        Zone(LOSSY, market={"tariffs": IN_GENESIS | {"slots": slots}})


def test_tariffs_of_a_day_that_the_chain_slept_through_are_forgotten() -> None:
    zone = Zone(LOSSY, market={"tariffs": IN_GENESIS})
    traded = K0 + 60
    for offset_ms in range(0, 5_000, 500):  # each block opens some more of the day
        zone.block(K0, offset_ms)
    trade(zone, traded, K0)
    assert set(zone.grid.tariffs.keys()) == set(range(K0, zone.trading.schedule.get().opened + 1))

    now = K0 + 500
    for offset_ms in range(0, 5_000, 500):
        zone.block(now, offset_ms)

    kept = set(zone.grid.tariffs.keys()) & set(range(now))
    assert kept == {K0, K0 + 1, traded}  # they were settled
