"""Contracts: from the proposal to the end, on the grid and in the settlement."""

from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace

from runtime.pallets.balances import InsufficientBalance
from runtime.pallets.trading import contracts, errors, events
from runtime.pallets.trading.contract_records import ContractTerms, PriceRule, Shape
from runtime.pallets.trading.deals import SLOTS_PER_DAY, SOLAR_DAY_PPM, solar_ppm
from tests.runtime.pallets.zone import (
    BID,
    EXISTENTIAL_DEPOSIT,
    K0,
    LOSSLESS,
    LOSSY,
    OFFER,
    OPERATOR,
    SLOT_MS,
    WEALTH,
    A,
    B,
    C,
    Zone,
)

K = K0 + 3
RETAIL, FEED_IN = 300_000, 20_000
FIXED = {"base_micro": 100_000, "index_ppm": 0, "floor_micro": 0, "cap_micro": 100_000}
BASELOAD: dict[str, Any] = {
    "seller": 1,
    "buyer": 2,
    "shape": "baseload",
    "volume_wh": 300,
    "price": FIXED,
    "last": 2_000,
}
PRODUCED = BASELOAD | {"shape": "as_produced", "volume_wh": 0, "share_ppm": 250_000}
TERMS = ContractTerms(
    seller=1,
    buyer=2,
    shape=Shape.BASELOAD,
    volume_wh=300,
    share_ppm=0,
    price=PriceRule(100_000, 0, 0, 100_000),
    first=K0 + 97,
    last=K0 + 120,
    is_firm=False,
    tolerance_ppm=0,
    notice=4,
    termination_fee_max=10**12,
)


def zone_with(*entries: dict[str, Any], **options: Any) -> Zone:
    return Zone(contracts=entries, **({"has_pool": False} | options))


def settle_k(zone: Zone, *readings: tuple[int, int, int]) -> None:
    """Report `readings` (connection, import, export) of interval K and let it be settled."""
    zone.block(K + 1, SLOT_MS, *(partial(zone.read, n, K, i, e) for n, i, e in readings))
    zone.block(K + 3)


def amounts(zone: Zone) -> list[int]:
    return [line.amount_nano for line in zone.trading.read_lines(K)]


def concluded(zone: Zone, terms: ContractTerms = TERMS) -> None:
    """A contract proposed by A and countersigned by B."""
    zone.trading.propose_contract(A, terms)
    zone.trading.countersign_contract(B, 0)


def test_a_contract_is_delivered_before_anything_else() -> None:
    zone = zone_with(BASELOAD)
    zone.run(K0, K)
    settle_k(zone, (1, 0, 500), (2, 400, 0), (3, 0, 0), (0, 0, 100))

    assert amounts(zone) == [300 * 100_000 + 200 * FEED_IN, -300 * 100_000 - 100 * RETAIL, 0]
    lines = zone.trading.read_lines(K)
    assert [(line.contract_import_wh, line.contract_export_wh) for line in lines] == [
        (0, 300),
        (300, 0),
        (0, 0),
    ]
    deal = zone.trading.read_deals(K)[0]
    assert (deal.delivered_wh, deal.strike_micro, deal.paid_nano) == (300, 100_000, 30_000_000)
    record = zone.trading.read_settlement(K)
    assert record is not None
    assert record.contract_wh == zone.trading.totals.get().contract_wh == 300


def test_the_buyer_pays_the_tariffs_of_the_path() -> None:
    zone = zone_with(BASELOAD, topology=LOSSY)
    zone.run(K0, K)
    before = zone.free(OPERATOR)
    settle_k(zone, (1, 0, 300), (2, 300, 0), (3, 0, 0), (0, 0, 0))

    fee = 1_000 + 2_000  # of the edges of A and of B
    assert amounts(zone)[:2] == [300 * 100_000, -300 * (100_000 + fee)]
    assert zone.free(OPERATOR) == before + 300 * fee


def test_pay_as_produced_is_a_share_of_the_metered_export() -> None:
    zone = zone_with(PRODUCED)
    zone.run(K0, K)
    settle_k(zone, (1, 0, 999), (2, 900, 0), (3, 0, 0), (0, 0, 99))

    assert zone.trading.read_deals(K)[0].delivered_wh == 249
    assert amounts(zone)[0] == 249 * 100_000 + 750 * FEED_IN
    assert zone.grid.reserved[K] is None


def test_who_signed_first_is_delivered_first() -> None:
    zone = zone_with(BASELOAD, BASELOAD | {"buyer": 3})
    zone.run(K0, K)
    settle_k(zone, (1, 0, 400), (2, 900, 0), (3, 900, 0), (0, 1_400, 0))

    assert [deal.delivered_wh for deal in zone.trading.read_deals(K)] == [300, 100]


def test_a_contract_and_the_auction_share_a_meter() -> None:
    zone = zone_with(BASELOAD)
    zone.run(K0, K0 + 1)
    zone.order(1, K, OFFER, 100_000, 200)
    zone.order(3, K, BID, 100_000, 200)
    zone.run(K0 + 2, K)
    settle_k(zone, (1, 0, 450), (2, 300, 0), (3, 200, 0), (0, 50, 0))

    record = zone.trading.read_settlement(K)
    assert record is not None
    assert record.imbalance_wh == 50  # 450 less 300 by contract covers 150 of the 200 sold


@pytest.mark.parametrize(
    ("rule", "index", "strike"),
    [
        ((100_000, 0, 0, 100_000), 90_000, 100_000),  # fixed
        ((5_000, 1_000_000, -(10**6), 10**6), 90_000, 95_000),  # indexed
        ((0, 500_000, 60_000, 80_000), 90_000, 60_000),  # collar, at its floor
        ((0, 1_000_000, 60_000, 80_000), 90_000, 80_000),  # and at its cap
        ((0, 1_000_000, -(10**6), 10**6), -50_000, FEED_IN),  # never below feed-in
        ((0, 10_000_000, 0, 10**7), 90_000, RETAIL),  # nor above retail
    ],
)
def test_the_strike_follows_its_rule_within_feed_in_and_retail(
    rule: tuple[int, int, int, int], index: int, strike: int
) -> None:
    zone = Zone()

    assert contracts.strike_of(zone.trading, PriceRule(*rule), index, 0) == strike


def test_the_index_is_the_root_price_of_the_interval() -> None:
    indexed = {"base_micro": 1, "index_ppm": 10**6, "floor_micro": 0, "cap_micro": 10**6}
    zone = zone_with(BASELOAD | {"price": indexed})
    zone.run(K0, K0 + 1)
    zone.order(0, K, OFFER, 70_000, 100)
    zone.order(3, K, BID, 70_000, 100)
    zone.run(K0 + 2, K)
    settle_k(zone, (1, 0, 300), (2, 300, 0), (3, 100, 0), (0, 100, 0))

    assert zone.trading.read_deals(K)[0].strike_micro == 70_001


def test_contracts_reserve_gross_capacity_before_the_auction() -> None:
    zone = zone_with(BASELOAD, BASELOAD | {"seller": 2, "buyer": 1}, topology=LOSSY)
    zone.block(K0)

    left = [(edge.left_up, edge.left_down) for edge in zone.grid.read_edges(K)]
    # For 300 Wh at B its edge sends 307 down and that of A 311 up; for 300 at A it is 304 and 311.
    assert left[2] == (4_000 - 311, 4_000 - 304)
    assert left[3] == (4_000 - 311, 4_000 - 307)
    assert left[1] == (4_000, 4_000)


def test_orders_have_to_fit_the_connection_beside_its_contracts() -> None:
    zone = zone_with(BASELOAD)
    zone.block(K0)

    zone.refuses(errors.AboveCapacity, lambda: zone.order(1, K, OFFER, 50_000, 4_701))
    zone.refuses(errors.AboveCapacity, lambda: zone.order(2, K, BID, 50_000, 4_701))
    zone.order(1, K, OFFER, 50_000, 4_700)
    zone.order(1, K, BID, 50_000, 5_000)


def test_what_does_not_fit_is_clipped_and_announced() -> None:
    zone = zone_with(BASELOAD, topology=LOSSLESS | {"cap_up": [0, 4_000, 500, 500]})
    second = BASELOAD | {"buyer": 3}
    other = zone_with(BASELOAD, second, topology=LOSSLESS | {"cap_up": [0, 4_000, 500, 500]})
    zone.block(K0)
    announced = other.block(K0)

    clipped = other.events_of(events.ContractClipped, announced)
    assert clipped[0] == events.ContractClipped(1, K0, 300, 200)
    assert [deal.volume_wh for deal in other.trading.read_deals(K)] == [300, 200]
    other.order(1, K, OFFER, 50_000, 400)
    other.order(2, K, BID, 50_000, 400)
    zone.order(1, K, OFFER, 50_000, 400)
    zone.order(2, K, BID, 50_000, 400)
    other.block(K0 + 1)
    zone.block(K0 + 1)
    assert other.position(K, 1) == (0, 0)  # the edge of A is full
    assert zone.position(K, 1) == (0, 200)


def test_the_day_ahead_is_opened_in_some_blocks_and_calls_wait_for_it() -> None:
    zone = zone_with(BASELOAD)
    far = K0 + 90
    zone.block(K0)
    zone.order(1, far, OFFER, 50_000, 100)
    zone.order(2, far, BID, 50_000, 100)
    opened = []
    for slot in range(1, 7):
        assert zone.position(far, 2) == (0, 0)
        zone.block(K0 + slot // 3, slot % 3 * SLOT_MS)
        opened.append(zone.trading.schedule.get().opened - K0)

    assert opened == [31, 47, 63, 79, 95, 98]
    assert zone.position(far, 2) == (100, 0)  # the call of K0 + 1 came before it was open


def test_the_solar_shape_is_zero_at_night_and_whole_at_noon() -> None:
    assert [solar_ppm(slot) for slot in (0, 24, 48, 72, 95)] == [0, 0, 1_000_000, 0, 0]
    assert sum(solar_ppm(slot) for slot in range(SLOTS_PER_DAY)) == SOLAR_DAY_PPM
    solar = replace(TERMS, shape=Shape.SOLAR)
    assert contracts.volume_of(solar, 36) == 300 * 3 // 4


def test_a_contract_is_proposed_countersigned_delivered_and_ends() -> None:
    zone = Zone(has_pool=False)
    zone.block(K0)
    proposed = zone.block(K0, SLOT_MS, lambda: zone.trading.propose_contract(A, TERMS))
    signed = zone.block(K0, 2 * SLOT_MS, lambda: zone.trading.countersign_contract(B, 0))

    collateral = 300 * 96 * 100_000
    assert events.ContractProposed(0, TERMS) in proposed
    assert events.ContractCountersigned(0, collateral) in signed
    assert zone.held(A) == zone.held(B) == collateral
    assert [entry.contract.terms for entry in zone.trading.list_contracts()] == [TERMS]
    announced: list[object] = []
    for k in range(K0 + 1, K0 + 125):
        calls = [partial(zone.read, n, k - 1, *wh) for n, wh in ((1, (0, 310)), (2, (310, 0)))]
        announced += zone.block(k, 0, *calls)
    assert events.ContractEnded(0, 24 * 300, 24 * 300 * 100_000) in announced
    assert (zone.held(A), zone.held(B)) == (0, 0)
    assert zone.trading.list_contracts() == []


def test_a_firm_contract_makes_the_other_party_whole() -> None:
    firm = BASELOAD | {"is_firm": True, "tolerance_ppm": 100_000}
    sold_short, not_taken = zone_with(firm), zone_with(firm)
    for zone in (sold_short, not_taken):
        zone.run(K0, K)
    settle_k(sold_short, (1, 0, 200), (2, 400, 0), (3, 0, 0), (0, 200, 0))
    settle_k(not_taken, (1, 0, 400), (2, 200, 0), (3, 0, 0), (0, 0, 200))

    missing = 300 * 9 // 10 - 200
    gap_of_buyer, gap_of_seller = RETAIL - 100_000, 100_000 - FEED_IN
    assert amounts(sold_short)[:2] == [
        200 * 100_000 - missing * gap_of_buyer,
        -200 * 100_000 - 200 * RETAIL + missing * gap_of_buyer,
    ]
    assert amounts(not_taken)[:2] == [
        200 * 100_000 + 200 * FEED_IN + missing * gap_of_seller,
        -200 * 100_000 - missing * gap_of_seller,
    ]


def test_settling_again_keeps_deals_and_strike() -> None:
    zone = zone_with(BASELOAD)
    zone.run(K0, K)
    settle_k(zone, (1, 0, 500), (2, 400, 0), (3, 0, 0), (0, 0, 100))
    correct = partial(zone.metering.correct_reading, OPERATOR, 2, K, 100, 0, "read again")
    zone.block(K + 3, SLOT_MS, correct)

    assert zone.trading.read_deals(K)[0].delivered_wh == 100
    assert amounts(zone)[:2] == [100 * 100_000 + 400 * FEED_IN, -100 * 100_000]
    contract = zone.trading.list_contracts()[0].contract
    assert contract.delivered_wh == 100  # before, nothing was metered
    assert contract.paid_nano == 100 * 100_000


def test_a_debtor_loses_its_collateral_and_the_contract_waits_for_money() -> None:
    collateral = 300 * 96 * 100_000
    zone = zone_with(BASELOAD, wealth=EXISTENTIAL_DEPOSIT + collateral)
    zone.run(K0, K)
    zone.block(K + 1, SLOT_MS, *(partial(zone.read, n, K, i, 0) for n, i in ((1, 0), (2, 900))))
    zone.block(K + 3)  # B cannot pay what it used: all it has is held
    assert zone.trading.arrears[B] > 0
    announced = zone.block(K + 4)

    assert events.ContractSuspended(0) in announced
    assert zone.trading.list_contracts()[0].contract.held_buyer_nano == 0
    zone.block(K + 5)
    assert zone.trading.arrears[B] == 0  # the collateral paid it
    assert zone.trading.read_deals(K + 4 + 96) == []
    zone.balances.transfer(OPERATOR, B, 10 * collateral)
    resumed = zone.block(K + 6)
    assert events.ContractResumed(0) in resumed
    assert zone.trading.read_deals(K + 6 + 96) != []


def test_a_termination_takes_its_notice_and_pays_what_the_other_loses() -> None:
    zone = Zone(has_pool=False)
    zone.block(K0)
    concluded(zone, replace(TERMS, last=K0 + 200))
    zone.trading.reference_price.set(150_000)
    before = zone.free(B)
    announced = zone.block(K0 + 1, 0, lambda: zone.trading.terminate_contract(A, 0))

    fee = 300 * (200 - 96) * 50_000  # sold at 100 000, to be bought at 150 000 instead
    assert events.ContractTerminated(0, K0 + 96, fee) in announced
    assert zone.free(B) == before + fee
    zone.block(K0 + 100)
    assert zone.trading.read_deals(K0 + 97) == []
    zone.block(K0 + 101)
    assert zone.trading.list_contracts() == []


def test_a_buyer_terminates_for_nothing_while_the_index_is_above_the_strike() -> None:
    zone = Zone(has_pool=False)
    zone.block(K0)
    concluded(zone, replace(TERMS, last=K0 + 200, termination_fee_max=7))
    zone.trading.reference_price.set(150_000)

    seller = contracts.termination_fee(zone.trading, contract_0(zone), True, 100)
    buyer = contracts.termination_fee(zone.trading, contract_0(zone), False, 100)
    assert (seller, buyer) == (7, 0)


def contract_0(zone: Zone) -> Any:
    return zone.trading.contracts[0]


def test_a_proposal_is_refused_by_strangers_and_for_terms_nobody_could_fulfil() -> None:
    zone = Zone()
    zone.block(K0)
    propose = zone.trading.propose_contract
    zone.refuses(errors.NotConnectionOwner, lambda: propose(C, TERMS))
    for party in (0, 9):
        missing = replace(TERMS, buyer=party)
        zone.refuses(errors.ConnectionNotFound, partial(propose, A, missing))
    for change in (
        {"buyer": 1},
        {"volume_wh": 0},
        {"volume_wh": 5_001},
        {"share_ppm": 1},
        {"shape": Shape.AS_PRODUCED},
        {"shape": Shape.AS_PRODUCED, "volume_wh": 0, "share_ppm": 1_000_001},
        {"first": K0 + 96},
        {"first": K0 + 97 + 35_041, "last": K0 + 97 + 35_041},
        {"last": K0 + 96},
        {"last": K0 + 97 + 350_400},
        {"tolerance_ppm": 1_000_001},
        {"notice": 350_401},
        {"price": PriceRule(2**26, 0, 0, 0)},
        {"price": PriceRule(0, 10_000_001, 0, 0)},
        {"price": PriceRule(0, 0, 2, 1)},
    ):
        invalid = replace(TERMS, **change)
        zone.refuses(errors.ContractTermsInvalid, partial(propose, A, invalid))
    far = Zone(topology=LOSSY | {"tariff": [0, 0, 150_000, 150_000]})
    far.block(K0)
    no_price = partial(far.trading.propose_contract, A, TERMS)
    far.refuses(errors.ContractTermsInvalid, no_price)


def test_only_the_other_party_countersigns_and_only_parties_withdraw() -> None:
    zone = Zone()
    zone.block(K0)
    market = zone.trading
    market.propose_contract(B, TERMS)
    zone.refuses(errors.NotContractParty, lambda: market.countersign_contract(B, 0))
    zone.refuses(errors.NotContractParty, lambda: market.countersign_contract(C, 0))
    zone.refuses(errors.NotContractParty, lambda: market.withdraw_contract(C, 0))
    zone.refuses(errors.ContractNotFound, lambda: market.countersign_contract(A, 1))
    zone.refuses(errors.ContractNotFound, lambda: market.withdraw_contract(A, 1))
    assert [number for number, _ in market.list_contract_proposals()] == [0]
    withdrawn = zone.block(K0, SLOT_MS, lambda: market.withdraw_contract(A, 0))

    assert events.ContractWithdrawn(0) in withdrawn
    assert market.list_contract_proposals() == []


def test_a_contract_is_not_concluded_late_poor_or_beyond_the_bounds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    zone = Zone(wealth=EXISTENTIAL_DEPOSIT + 300 * 96 * 100_000)
    zone.block(K0)
    market = zone.trading
    market.propose_contract(A, TERMS)
    market.propose_contract(A, replace(TERMS, first=K0 + 110))
    market.propose_contract(A, replace(TERMS, first=K0 + 110))
    market.countersign_contract(B, 0)
    zone.refuses(InsufficientBalance, lambda: market.countersign_contract(B, 1))
    monkeypatch.setattr(contracts, "CONTRACTS_MAX", 1)
    zone.refuses(errors.TooManyContracts, lambda: market.countersign_contract(B, 1))
    monkeypatch.setattr(contracts, "PROPOSALS_MAX", 2)
    again = replace(TERMS, first=K0 + 110)
    zone.refuses(errors.TooManyContracts, lambda: market.propose_contract(A, again))
    zone.block(K0 + 14)
    zone.refuses(errors.ContractTermsInvalid, lambda: market.countersign_contract(B, 1))


def test_only_a_party_terminates_a_contract_that_goes_on() -> None:
    zone = Zone()
    zone.block(K0)
    concluded(zone)
    market = zone.trading
    zone.refuses(errors.ContractNotFound, lambda: market.terminate_contract(A, 1))
    zone.refuses(errors.NotContractParty, lambda: market.terminate_contract(C, 0))
    zone.run(K0 + 1, K0 + 24)
    zone.refuses(errors.ContractOver, lambda: market.terminate_contract(A, 0))


def test_a_genesis_refuses_an_unknown_shape() -> None:
    with pytest.raises(ValueError, match="shape"):
        zone_with(BASELOAD | {"shape": "lunar"})


def test_collateral_of_pay_as_produced_is_a_day_of_the_sellers_sources() -> None:
    zone = zone_with(PRODUCED)

    best = 5_000 // 4  # of what the connection carries: it has no sources
    assert zone.held(A) == best * SOLAR_DAY_PPM // 10**6 * 100_000
    assert WEALTH - zone.held(B) == zone.free(B)
