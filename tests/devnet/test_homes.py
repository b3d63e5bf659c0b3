"""Agents: what homes quote, what meters and the operator report, what the trader asks."""

from pathlib import Path

import pytest

from devnet import contracts
from devnet.contracts import SLOTS_PER_DAY
from devnet.dataset import BUNDLED, GENERATION, HISTORY_SLOTS, WEEK_SLOTS
from devnet.homes import (
    DECIDE_AHEAD,
    NOTHING,
    Agents,
    HomeAgent,
    Quote,
    Standing,
    Trader,
    cautious_instructions,
)
from devnet.meters import slot_of
from devnet.scenario import Scenario, load_scenario
from node.gateway.strategies import Instruction, Manual, Order, PoolOnly, draw
from runtime.pallets.trading import deals
from tests.devnet.small_data import household_wh, solar_wh, write_data

K0 = 1_000
NOON, NIGHT = 48, 4


@pytest.fixture
def scenario(tmp_path: Path) -> Scenario:
    return load_scenario(write_data(tmp_path), "line", "spring")


@pytest.fixture
def agents(scenario: Scenario) -> Agents:
    return Agents.of(scenario, K0, trader_wh=60_000)


def quoted(home: HomeAgent, interval: int, ahead: int = 95) -> Quote:
    quote = home.decide(interval, ahead, NOTHING)
    assert quote is not None
    return quote


def test_intervals_walk_through_the_traded_week_again_and_again() -> None:
    assert slot_of(K0, K0) == HISTORY_SLOTS
    assert slot_of(K0 + WEEK_SLOTS - 1, K0) == HISTORY_SLOTS + WEEK_SLOTS - 1
    assert slot_of(K0 + WEEK_SLOTS, K0) == HISTORY_SLOTS
    assert slot_of(K0 - 1, K0) == HISTORY_SLOTS + WEEK_SLOTS - 1


def test_a_home_forecasts_what_was_metered_the_day_before(agents: Agents) -> None:
    solar = agents.homes[2]
    before = HISTORY_SLOTS + NOON - 96

    assert solar.forecast_wh(K0 + NOON) == household_wh(3, before) - solar_wh(before)


def test_a_consumer_bids_its_forecast_in_equal_steps_below_retail(agents: Agents) -> None:
    home = agents.homes[1]
    counts = set()
    for interval in range(K0, K0 + 200):
        quote = quoted(home, interval)
        quantities = [order.quantity_wh for order in quote.orders]
        counts.add(len(quantities))
        assert sum(quantities) == home.forecast_wh(interval)
        assert max(quantities) - min(quantities) <= 1
        assert all(order.is_bid for order in quote.orders)
        assert all(150_000 <= order.price_micro < 300_000 for order in quote.orders)
    assert counts == {1, 2, 3}


def test_a_producer_offers_first_at_feed_in_and_the_rest_above(agents: Agents) -> None:
    home = agents.homes[2]
    for day in range(7):
        quote = quoted(home, K0 + NOON + 96 * day)
        prices = [order.price_micro for order in quote.orders]
        assert not any(order.is_bid for order in quote.orders)
        assert prices[0] == 20_001
        assert all(20_000 < price <= 60_000 for price in prices)


def test_what_is_left_is_quoted_again_at_other_prices(agents: Agents) -> None:
    home = agents.homes[0]
    first = next(quote for k in range(20) if len((quote := quoted(home, K0 + k)).orders) == 3)
    bought_wh = first.orders[0].quantity_wh
    standing = Standing(bought_wh, first.orders[1:])

    again = home.decide(first.interval, 3, standing)

    assert again is not None
    assert again.position_wh == bought_wh
    left_wh = home.forecast_wh(first.interval) - bought_wh
    assert sum(order.quantity_wh for order in again.orders) == left_wh
    prices = {order.price_micro for order in first.orders}
    assert prices.isdisjoint(order.price_micro for order in again.orders)


def test_a_home_revises_the_next_gates_before_it_quotes_a_day_ahead() -> None:
    assert DECIDE_AHEAD == (2, 3, 95)


def test_agents_started_again_say_the_same_and_another_seed_something_else(
    scenario: Scenario,
) -> None:
    first, again, other = (Agents.of(scenario, K0, 0, seed).homes[0] for seed in (1, 1, 2))
    intervals = range(K0, K0 + 20)

    assert [quoted(first, k) for k in intervals] == [quoted(again, k) for k in intervals]
    assert [quoted(first, k) for k in intervals] != [quoted(other, k) for k in intervals]


def test_contracts_are_between_who_produces_and_who_does_not() -> None:
    scenario = load_scenario(BUNDLED, "semiurb4", "spring")
    shapes = [contract.shape for contract in scenario.contracts]

    assert shapes[:3] == [contracts.SOLAR, contracts.AS_PRODUCED, contracts.BASELOAD]
    assert len(scenario.contracts) == 6
    for contract in scenario.contracts:
        kinds = [
            {asset.kind for asset in scenario.homes[number - 1].assets}
            for number in (contract.seller, contract.buyer)
        ]
        assert [GENERATION in each for each in kinds] == [True, False]


def test_the_solar_shape_is_that_of_the_chain() -> None:
    slots = range(SLOTS_PER_DAY)

    assert [contracts.solar_ppm(slot) for slot in slots] == [
        deals.solar_ppm(slot) for slot in slots
    ]


def test_homes_trade_what_their_contracts_leave(agents: Agents, scenario: Scenario) -> None:
    assert [contract.shape for contract in scenario.contracts] == [contracts.SOLAR]
    contract = scenario.contracts[0]
    seller, buyer = agents.homes[contract.seller - 1], agents.homes[contract.buyer - 1]
    delivered = min(contract.volume_wh, buyer.forecast_wh(K0 + NOON))

    assert delivered > 0
    assert buyer.to_trade_wh(K0 + NOON) == buyer.forecast_wh(K0 + NOON) - delivered
    assert seller.to_trade_wh(K0 + NOON) == seller.forecast_wh(K0 + NOON) + delivered
    assert seller.to_trade_wh(K0 + NIGHT) == seller.forecast_wh(K0 + NIGHT)


def test_every_fifth_home_is_pool_only_and_some_owners_trade_by_hand() -> None:
    homes = Agents.of(load_scenario(BUNDLED, "semiurb4", "spring"), K0, 0).homes

    passive = [home.connection for home in homes if isinstance(home.strategy, PoolOnly)]
    by_hand = [home for home in homes if isinstance(home.strategy, Manual)]
    assert passive == [number for number in range(1, len(homes) + 1) if number % 5 == 0]
    assert [home.connection for home in by_hand] == [17, 34]
    assert all(home.decide(K0 + NOON, 95, NOTHING) for home in by_hand)
    assert not any(home.decide(K0 + NOON, 3, NOTHING) for home in by_hand)


def test_a_cautious_owner_buys_what_was_needed_in_each_such_quarter_hour_so_far() -> None:
    history = [500] * 96 + [300] * 96
    history[23], history[24], history[96 + 71], history[96 + 72] = 40, 10, -700, 9

    assert cautious_instructions(history) == [
        Instruction(0, 23, Order(True, 180_000, 40)),
        Instruction(24, 47, Order(True, 180_000, 10)),
    ]


def test_a_silent_meter_is_read_by_hand(agents: Agents) -> None:
    days = range(K0, K0 + 20 * 96)
    silent = [(m, k) for k in days for m in agents.meters if m.is_silent(k)]
    corrected = [correction for k in days for correction in agents.corrections(k)]

    assert 4 <= len(silent) <= 40
    assert {k + 1 for m, k in silent if k % 2 == 0} == {k for m, k in silent if k % 2 == 1}
    assert agents.operator not in [m for m, _ in silent]
    assert [(c.connection, c.interval) for c in corrected] == [(m.connection, k) for m, k in silent]
    for (meter, interval), correction in zip(silent, corrected, strict=True):
        reading = meter.reading(interval)
        assert (correction.import_wh, correction.export_wh) == (
            reading.import_wh,
            reading.export_wh,
        )


def test_registers_of_a_meter_move_by_what_it_reports(agents: Agents) -> None:
    meter = agents.meters[3]
    before = (0, 0)
    for interval in range(K0, K0 + WEEK_SLOTS + 10):
        reading = meter.reading(interval)
        assert min(reading.import_wh, reading.export_wh) == 0
        assert reading.import_register_wh == before[0] + reading.import_wh
        assert reading.export_register_wh == before[1] + reading.export_wh
        before = reading.import_register_wh, reading.export_register_wh
    slot = HISTORY_SLOTS + NIGHT
    assert meter.reading(K0 + NIGHT).import_wh == household_wh(3, slot) - solar_wh(slot)


def test_the_operator_measures_the_net_load_and_the_losses(agents: Agents) -> None:
    for offset in (NIGHT, NOON):
        readings = [meter.reading(K0 + offset) for meter in agents.meters]
        net = [reading.import_wh - reading.export_wh for reading in readings]
        # The transformer alone takes 300 W at its rated voltage.
        assert 75 < net[0] - sum(net[1:]) < 200


def test_overloads_are_counted_per_interval() -> None:
    # The reference power flow of this week counts 52 slots, each with one edge.
    operator = Agents.of(load_scenario(BUNDLED, "rural1", "spring"), K0, 0).operator

    assert sum(operator.overloads(K0 + i) for i in range(WEEK_SLOTS)) == 52
    assert operator.overloads(K0 + NOON + WEEK_SLOTS) == operator.overloads(K0 + NOON)


def test_the_trader_quotes_around_the_lifted_spot_price(agents: Agents) -> None:
    quote = agents.trader.decide(K0 + 10, 95, NOTHING)

    assert quote is not None
    assert quote.connection == 0
    assert [tuple(order) for order in quote.orders] == [
        (True, 65_000, 60_000),
        (False, 75_000, 60_000),
    ]


def test_the_trader_does_not_go_below_the_price_floor(scenario: Scenario) -> None:
    scenario.window.spot_price[HISTORY_SLOTS] = -157_000  # type: ignore[index]

    quote = Trader(scenario, K0, 60_000).decide(K0, 95, NOTHING)
    small = Trader(scenario, K0, 500).decide(K0, 95, NOTHING)

    assert quote is not None
    assert [order.price_micro for order in quote.orders] == [-100_000, -92_000]
    assert small is None  # orders below 0 have at least 1 000 Wh


def test_a_trader_without_energy_is_off(scenario: Scenario) -> None:
    assert Trader(scenario, K0, 0).decide(K0, 95, NOTHING) is None


def test_the_trader_quotes_an_interval_once(agents: Agents) -> None:
    quotes = [agents.trader.decide(K0, ahead, NOTHING) for ahead in (95, 3, 2)]

    assert quotes[0] == quotes[1] is not None
    assert quotes[2] is None
    for standing in (Standing(-500, ()), Standing(0, [Order(True, 1, 500)])):
        assert agents.trader.decide(K0, 3, standing) is None


def test_draws_are_the_same_on_every_machine() -> None:
    assert [draw(f"0/1/{k}/1/steps", 1_000_000) for k in range(3)] == [891_698, 582_760, 280_085]
