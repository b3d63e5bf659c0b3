"""Homes with shares in the liquidity fund."""

import pytest

from devnet import calls
from devnet.dataset import BUNDLED
from devnet.fund_homes import (
    LEAVING_SHARES,
    SAVED_NANO,
    is_holder,
    share_call_of,
)
from devnet.scenario import load_scenario
from runtime.state.backend import MemoryBackend
from runtime.state.overlay import Overlay

K0 = 1_000


def test_a_saver_buys_daily_and_leaves_with_a_part_every_fourth_day() -> None:
    days = range(K0, K0 + 8 * 96)
    made = [(k - K0, call) for k in days if (call := share_call_of(7, k, K0))]

    assert made == sorted(
        [(96 * day + 60, calls.buy_fund_shares(SAVED_NANO, 0)) for day in range(8)]
        + [(96 * day + 66, calls.redeem_fund_shares(LEAVING_SHARES)) for day in (3, 7)]
    )
    assert not any(share_call_of(8, k, K0) for k in days)


@pytest.mark.parametrize("grid", ["semiurb4", "rural1"])
def test_every_fourth_home_holds_an_equal_part_of_the_fund(grid: str) -> None:
    scenario = load_scenario(BUNDLED, grid, "spring")
    spec = scenario.chain_spec(K0)
    runtime = spec.runtime()
    runtime.bind(Overlay(MemoryBackend(spec.genesis_storage(runtime))))

    parts = [shares for _, shares in runtime.trading.fund_holders.items()]
    assert len(parts) == sum(is_holder(home.number) for home in scenario.homes) >= 2
    assert len(set(parts)) == 1
    assert runtime.trading.fund_issued.get() == sum(parts)
