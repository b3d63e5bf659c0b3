"""A grid of a data folder as a chain: the figures of its edges, its accounts, its genesis."""

from pathlib import Path

import pytest

from devnet.dataset import BUNDLED, DataInvalid
from devnet.scenario import (
    DRT,
    FUND_ACCOUNT,
    PRODUCTION,
    UTILITIES,
    Scenario,
    dev_chain_spec,
    load_scenario,
)
from node.chain_spec import ChainSpec
from node.errors import ConfigInvalid
from runtime.primitives.crypto import KeyPair, Scheme, ss58_decode
from tests.devnet.small_data import edit, write_data


@pytest.fixture
def scenario(tmp_path: Path) -> Scenario:
    return load_scenario(write_data(tmp_path), "line", "spring")


def test_edges_have_the_documented_limits_losses_and_tariffs(scenario: Scenario) -> None:
    topology = scenario.topology()

    assert topology["parent"] == [0, 0, 1, 2, 3, 4]
    assert topology["cap_up"] == topology["cap_down"]
    # 95 % of 100 kW and of a cable's 187 061 W, for a quarter hour.
    assert topology["cap_up"] == [0, 23_750, 44_426, 44_426, 44_426, 44_426]
    # Resistance times half the rated power over 400 V squared; 20 mOhm in the transformer.
    assert topology["loss_ppm"] == [0, 6_250, 5_845, 1_753, 1_169, 1_169]
    assert topology["tariff"] == [0, 5_000, 5_000, 2_000, 1_000, 1_000]


def test_the_sweeps_grid_has_the_transformer_as_its_first_edge(scenario: Scenario) -> None:
    feeder = scenario.feeder

    assert feeder.r_uohm.tolist() == [0, 20_000, 10_000, 3_000, 2_000, 2_000]
    assert feeder.i_max_ma.tolist() == [1, 144_337, 270_000, 270_000, 270_000, 270_000]
    assert feeder.source_mv == 410_000
    assert feeder.no_load_mw == 315_187


def test_each_node_with_assets_is_one_connection(scenario: Scenario) -> None:
    homes = [(home.number, home.node, home.bus, len(home.assets)) for home in scenario.homes]

    assert homes == [(1, 1, 2, 1), (2, 2, 3, 1), (3, 4, 5, 3)]


def test_generation_and_storage_are_registered_sources(scenario: Scenario) -> None:
    spec = scenario.chain_spec(1_000)

    connections = spec.genesis["producer_registration"]["connections"]

    assert connections[0]["sources"] == []
    assert connections[2]["bus"] == 5
    assert connections[2]["import_wh_max"] == connections[2]["export_wh_max"] == 9_000
    assert [(s["technology"], s["rated_w"]) for s in connections[2]["sources"]] == [
        ("solar", 30_000),
        ("storage", 5_000),
    ]


def test_everyone_begins_with_the_documented_money(scenario: Scenario) -> None:
    balances = scenario.chain_spec(1_000).genesis["balances"]["accounts"]
    money = {account.name: balances[account.address] for account in scenario.accounts()}

    assert len(money) == len(balances) - 1 == 4 + 3 + 3 + 1 + 3
    assert balances[FUND_ACCOUNT] == 10_000 * DRT
    assert money["Utility North"] == 1_000 * DRT
    assert money["Supplier"] == money["Grid operator"] == 100_000_000 * DRT
    assert money["Home 3"] == 1_000_000 * DRT
    assert money["Meter of Home 3"] == money["Transformer meter"] == DRT


def test_accounts_name_the_secret_their_address_follows_from(scenario: Scenario) -> None:
    for account in scenario.accounts():
        pair = KeyPair.from_suri(account.suri, Scheme.SR25519)
        assert ss58_decode(account.address) == pair.public


def test_equal_scenarios_make_equal_chains(scenario: Scenario) -> None:
    assert scenario.chain_spec(1_000).encode() == scenario.chain_spec(1_000).encode()
    assert scenario.chain_spec(1_000).encode() != scenario.chain_spec(1_001).encode()


def test_a_chain_without_a_given_beginning_begins_now(scenario: Scenario) -> None:
    assert scenario.chain_spec().constants["genesis_interval"] > 1_767_571_200_000 // 6_000


@pytest.mark.slow
def test_every_bundled_grid_has_a_genesis_that_the_pallets_accept() -> None:
    specs: list[ChainSpec] = [dev_chain_spec()]
    for grid in ("semiurb4", "rural1"):
        scenario = load_scenario(BUNDLED, grid, "winter")
        specs.append(scenario.chain_spec(1_000))
        specs.append(scenario.chain_spec(1_000, UTILITIES[:2], PRODUCTION, Scheme.ED25519))

    for spec in specs:
        assert spec.genesis_storage(spec.runtime(invariants=True))


def test_a_grid_that_cannot_be_computed_is_refused(tmp_path: Path) -> None:
    folder = write_data(tmp_path)
    edit(folder / "grid_line.csv", lambda text: text.replace("10000,4000", "2000000,4000"))

    with pytest.raises(DataInvalid, match=r"'line' cannot be computed: r_uohm\[2\] is 2000000"):
        load_scenario(folder, "line", "spring").chain_spec(1_000)


def test_sources_beyond_their_connection_are_refused_by_the_genesis(tmp_path: Path) -> None:
    folder = write_data(tmp_path)
    edit(folder / "assets_line.csv", lambda text: text.replace("pv,30000", "pv,40000"))
    spec = load_scenario(folder, "line", "spring").chain_spec(1_000)

    with pytest.raises(ConfigInvalid, match="producer_registration"):
        spec.genesis_storage(spec.runtime())


def test_a_grid_without_assets_is_refused(tmp_path: Path) -> None:
    folder = write_data(tmp_path)
    edit(folder / "assets_line.csv", lambda text: text.partition("\n")[0])

    with pytest.raises(DataInvalid, match="nobody lives there"):
        load_scenario(folder, "line", "spring")
