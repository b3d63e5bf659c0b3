"""Homes that seal their orders for two quarter hours of the day."""

import pytest

from devnet import calls, sealed_calls
from devnet.dataset import BUNDLED
from devnet.homes import NOTHING, PRICES, SEALED_SLOTS, SLOTS_PER_DAY, Agents, HomeAgent, seals
from devnet.scenario import Scenario, load_scenario
from devnet.sealed_homes import (
    ROUNDED_TO_WH,
    SEAL_AHEAD,
    SEALED_ENTRIES,
    SealedEntry,
    SealedOrder,
    commitment_to,
    hidden_order,
    reveals_at,
    reveals_of,
    sealing_of,
)
from runtime.pallets.trading import sealed_records
from runtime.pallets.trading.quiet_periods import CLOSED_AHEAD
from runtime.pallets.trading.records import Side
from runtime.primitives.scale import codec
from runtime.runtime import Runtime
from tests.support.accounts import ALICE
from tests.support.runtimes import build_runtime

K0 = 1_000
SUNNY, LATER = (K0 + slot for slot in SEALED_SLOTS)


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return load_scenario(BUNDLED, "semiurb4", "spring")


@pytest.fixture(scope="module")
def homes(scenario: Scenario) -> list[HomeAgent]:
    agents = Agents.of(scenario, K0, trader_wh=0)
    return [home for home in agents.homes if seals(home.connection, SEALED_SLOTS[0])]


@pytest.fixture(scope="module")
def runtime() -> Runtime:
    return build_runtime()


def entry_of(home: HomeAgent, interval: int, order_id: int = 9) -> SealedEntry:
    """What the chain says of a home's commitment."""
    hidden = hidden_order(home, interval)
    assert hidden is not None
    commitment = commitment_to(ALICE, home, interval, hidden)
    order = SealedOrder(0, hidden.side, 500, commitment, 10**8)
    return SealedEntry(order_id, home.connection, interval, order)


def test_calls_are_those_of_the_runtime(runtime: Runtime) -> None:
    encode = runtime.assembly.encode_call
    hidden, salt = b"\x07" * 32, b"\x08" * 32

    assert sealed_calls.seal_order(3, 4_000, calls.BID, 500, hidden) == encode(
        "Trading",
        "seal_order",
        connection=3,
        interval=4_000,
        side=Side.BID,
        quantity_wh=500,
        commitment=hidden,
    )
    assert sealed_calls.reveal_order(77, 120_000, 300, salt) == encode(
        "Trading", "reveal_order", order_id=77, price_micro=120_000, quantity_wh=300, salt=salt
    )
    assert sealed_calls.withdraw_sealed_order(77) == encode(
        "Trading", "withdraw_sealed_order", order_id=77
    )


def test_what_the_chain_says_is_read_as_it_is_told() -> None:
    order = sealed_records.SealedOrder(1, Side.BID, 500, b"\x07" * 32, 10**8)
    told = codec(list[sealed_records.SealedEntry]).encode(
        [sealed_records.SealedEntry(77, 3, 4_000, order)]
    )

    assert SEALED_ENTRIES.decode(told) == [
        SealedEntry(77, 3, 4_000, SealedOrder(1, calls.BID, 500, b"\x07" * 32, 10**8))
    ]


def test_a_home_commits_to_its_forecast_before_commitments_close(homes: list[HomeAgent]) -> None:
    home, interval = homes[0], SUNNY
    hidden = hidden_order(home, interval)
    assert hidden is not None
    wanted = home.to_trade_wh(interval)
    most = -(-hidden.quantity_wh // ROUNDED_TO_WH) * ROUNDED_TO_WH

    call = sealing_of(ALICE, home, interval - SEAL_AHEAD)

    commitment = commitment_to(ALICE, home, interval, hidden)
    assert call == sealed_calls.seal_order(home.connection, interval, hidden.side, most, commitment)
    assert hidden.quantity_wh == abs(wanted)
    assert hidden.side == (calls.BID if wanted > 0 else calls.OFFER)
    assert SEAL_AHEAD > CLOSED_AHEAD


def test_each_sealing_home_has_prices_within_what_homes_ask(homes: list[HomeAgent]) -> None:
    days = [SUNNY + SLOTS_PER_DAY * day for day in range(7)]
    orders = [hidden for home in homes for day in days if (hidden := hidden_order(home, day))]
    salts = {hidden.salt for hidden in orders}

    assert len(salts) == len(orders) > len(homes)
    for hidden in orders:
        if hidden.side == calls.BID:
            assert PRICES.bid_min <= hidden.price_micro < PRICES.bid_end
        else:
            assert PRICES.offer_min <= hidden.price_micro <= PRICES.offer_max


def test_what_is_sealed_is_not_quoted_and_everything_else_is(homes: list[HomeAgent]) -> None:
    for interval in (SUNNY, LATER):
        assert homes[0].decide(interval, 95, NOTHING) is None
    assert homes[0].decide(SUNNY + 2, 95, NOTHING) is not None


def test_a_home_seals_twice_a_day_and_reveals_in_both_quiet_intervals(
    homes: list[HomeAgent],
) -> None:
    day = range(K0, K0 + SLOTS_PER_DAY)

    sealing = [now for now in day if sealing_of(ALICE, homes[0], now) is not None]

    assert sealing == [SUNNY - SEAL_AHEAD, LATER - SEAL_AHEAD]
    revealing = {now: reveals_at(homes[0], now) for now in day if reveals_at(homes[0], now)}
    assert revealing == {k - ahead: [k] for k in (SUNNY, LATER) for ahead in (3, 2)}


def test_a_home_reveals_what_waits_of_its_own_and_nothing_else(homes: list[HomeAgent]) -> None:
    home = homes[0]
    hidden = hidden_order(home, SUNNY)
    assert hidden is not None
    own, later = entry_of(home, SUNNY, 7), entry_of(home, LATER, 8)

    found = reveals_of(ALICE, home, SUNNY - 3, [later, own])

    terms = (hidden.price_micro, hidden.quantity_wh, hidden.salt)
    assert found == [sealed_calls.reveal_order(7, *terms)]
    assert reveals_of(ALICE, home, SUNNY - 2, []) == []
    assert reveals_of(ALICE, home, SUNNY - 4, [own]) == []
    assert reveals_of(bytes(32), home, SUNNY - 3, [own]) == []


def test_what_is_too_little_for_an_order_is_not_sealed(
    homes: list[HomeAgent], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HomeAgent, "to_trade_wh", lambda *_: -9)

    assert sealing_of(ALICE, homes[0], SUNNY - SEAL_AHEAD) is None


def test_a_thirteenth_of_the_homes_seals(scenario: Scenario) -> None:
    every = Agents.of(scenario, K0, trader_wh=0).homes
    sealing = [home.connection for home in every if seals(home.connection, SEALED_SLOTS[0])]

    assert 2 <= len(sealing) <= len(every) // 12
    assert sealing == [n for n in range(6, len(every) + 1, 13) if n % 5 and n % 17]
