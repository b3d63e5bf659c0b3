"""Homes that buy their evening's session as a block."""

import pytest

from devnet.coupled_homes import ASKED_AT, LIMIT, PART_MIN_PPM, SESSION_AHEAD, session_of
from devnet.dataset import BUNDLED
from devnet.homes import NOTHING, SESSION, SLOTS_PER_DAY, Agents, HomeAgent, has_session
from devnet.scenario import Scenario, load_scenario
from runtime.pallets.trading.coupled_records import Block, Blocks
from runtime.pallets.trading.records import Side
from runtime.runtime import Runtime
from tests.support.runtimes import build_runtime

K0 = 1_000
NOON = K0 + ASKED_AT
FIRST = K0 + SESSION.start


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return load_scenario(BUNDLED, "semiurb4", "spring")


@pytest.fixture(scope="module")
def homes(scenario: Scenario) -> list[HomeAgent]:
    agents = Agents.of(scenario, K0, trader_wh=0)
    return [home for home in agents.homes if has_session(home.connection)]


@pytest.fixture(scope="module")
def runtime() -> Runtime:
    return build_runtime()


def test_a_home_asks_at_noon_for_its_forecast_of_the_evening(
    homes: list[HomeAgent], runtime: Runtime
) -> None:
    home = homes[0]
    energies = tuple(home.to_trade_wh(FIRST + number) for number in range(len(SESSION)))
    block = Block(Side.BID, LIMIT, FIRST, energies, PART_MIN_PPM)

    call = session_of(home, NOON)

    assert min(energies) >= 20
    assert call == runtime.assembly.encode_call(
        "Trading", "place_coupled", connection=home.connection, terms=Blocks((block,))
    )
    assert [k for k in range(K0, K0 + SLOTS_PER_DAY) if session_of(home, k)] == [NOON]
    assert FIRST + len(SESSION) - 1 == NOON + SESSION_AHEAD


def test_what_is_asked_for_as_a_block_is_not_quoted_as_well(homes: list[HomeAgent]) -> None:
    for number in range(len(SESSION)):
        assert homes[0].decide(FIRST + number, 95, NOTHING) is None
    assert homes[0].decide(FIRST + len(SESSION), 95, NOTHING) is not None


def test_some_homes_buy_sessions_and_the_others_do_not_ask(scenario: Scenario) -> None:
    every = Agents.of(scenario, K0, trader_wh=0).homes
    asking = [home.connection for home in every if session_of(home, NOON) is not None]

    assert asking == [home.connection for home in every if has_session(home.connection)]
    assert 4 <= len(asking) <= len(every) // 4


def test_a_session_without_need_is_not_asked_for(
    homes: list[HomeAgent], monkeypatch: pytest.MonkeyPatch
) -> None:
    needs = {FIRST: 0, FIRST + 1: 19, FIRST + 2: 300, FIRST + 3: -40}
    monkeypatch.setattr(HomeAgent, "to_trade_wh", lambda _, interval: needs[interval])
    call = session_of(homes[0], NOON)
    assert call is not None
    assert (300).to_bytes(4, "little") in call
    assert (FIRST + 2).to_bytes(4, "little") in call

    monkeypatch.setattr(HomeAgent, "to_trade_wh", lambda *_: 0)
    assert session_of(homes[0], NOON) is None
