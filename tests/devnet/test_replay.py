"""A day of a small grid without a network, and the real week that has to be congested."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from asyncclick.testing import CliRunner

import tests.golden
from devnet.devices import HomeBattery
from devnet.homes import Quote
from devnet.replay import Replay, edge_use
from devnet.scenario import Scenario, load_scenario
from node.cli.replay import command
from runtime.kernels.auction import send_for
from runtime.version import SPEC_VERSION
from tests.devnet.small_data import write_data
from tests.golden.replays import LINE, RURAL, replay_of_line, replay_of_rural
from tests.oracles import auction_reference as reference

RESULT_FIELDS = {
    "intervals_settled",
    "traded_wh",
    "money_residual_nano",
    "energy_residual_wh",
    "state_root",
    "blocks",
    "edges_over_capacity",
    "edges_binding",
    "metered_overloads",
    "local_share_ppm",
    "mean_price_micro",
    "bill_with_market_nano",
    "bill_tariff_only_nano",
    "seconds",
}

GOLDEN = json.loads(
    (Path(tests.golden.__file__).parent / f"spec-{SPEC_VERSION}" / "replays.json").read_text()
)
"""State roots; see tests/golden for when they may change."""


class Watched(Replay):
    """A replay that remembers what was wanted first of each interval."""

    def __init__(self, scenario: Scenario, trader_wh: int) -> None:
        super().__init__(scenario, 1, trader_wh, invariants=True)
        self.quotes: dict[int, dict[int, Quote]] = {}

    def send_quote(self, suri: str, quote: Quote | None) -> None:
        super().send_quote(suri, quote)
        if quote is not None:
            self.quotes.setdefault(quote.interval, {}).setdefault(quote.connection, quote)

    def trades_by_the_twin(self, interval: int) -> bool:
        """Whether the whole first book of an interval trades when it is cleared once."""
        topology = self.scenario.topology()
        names = ("parent", "cap_up", "cap_down", "loss_ppm", "tariff")
        tree = reference.Tree(*(as_integers(topology[name]) for name in names))
        bus = {0: 0} | {home.number: home.bus for home in self.scenario.homes}
        orders = [
            (bus[quote.connection], order.price_micro + 100_001, order.quantity_wh, order.is_bid)
            for quote in self.quotes.get(interval, {}).values()
            for order in quote.orders
        ]
        book = reference.Book(*(list(column) for column in zip(*orders, strict=True)))
        return any(reference.clear(tree, book, 0).fill)


def as_integers(values: object) -> Sequence[int]:
    assert isinstance(values, list)
    return values


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    return load_scenario(write_data(tmp_path_factory.mktemp("data")), "line", "spring")


@pytest.mark.slow
def test_a_day_settles_every_interval_without_residuals(scenario: Scenario) -> None:
    replay = Watched(scenario, trader_wh=20_000)

    result = replay.run()

    assert result.intervals_settled == 96
    assert result.blocks == 3 * (96 + 2) + 2
    assert result.money_residual_nano == result.energy_residual_wh == 0
    assert result.edges_over_capacity == 0
    assert replay.chain.failed == 0
    assert result.bill_with_market_nano < result.bill_tariff_only_nano


@pytest.mark.slow
def test_an_interval_trades_if_its_whole_book_does(scenario: Scenario) -> None:
    replay = Watched(scenario, trader_wh=20_000)
    replay.run()

    traded = 0
    for interval in range(replay.first + 3, replay.end):
        record = replay.chain.runtime.trading.settlements[interval]
        assert record is not None
        if replay.trades_by_the_twin(interval):
            assert record.traded_wh > 0, f"interval {interval}"
            traded += 1
    assert traded > 80


@pytest.mark.slow
def test_the_tariff_bill_is_what_the_profiles_cost(scenario: Scenario) -> None:
    replay = Replay(scenario, 1, trader_wh=0)

    result = replay.run()

    readings = [
        meter.reading(interval)
        for meter in replay.agents.meters[1:]
        for interval in range(replay.first, replay.end)
    ]
    assert result.bill_tariff_only_nano == sum(
        300_000 * reading.import_wh - 20_000 * reading.export_wh for reading in readings
    )


@pytest.mark.slow
def test_without_a_trader_all_that_is_bought_is_local(scenario: Scenario) -> None:
    assert Replay(scenario, 1, trader_wh=0).run().local_share_ppm == 1_000_000


@pytest.mark.slow
def test_a_battery_behind_a_home_follows_its_accepted_order_and_meters_show_it(
    scenario: Scenario,
) -> None:
    replay = Replay(scenario, 1, 20_000, invariants=True, devices="market")

    result = replay.run()

    assert (result.devices, result.sessions_ordered, result.sessions_accepted) == ("market", 1, 1)
    (home,) = (h for h in replay.agents.with_devices if isinstance(h.device, HomeBattery))
    (schedule,) = replay.chain.runtime.trading.list_coupled_schedules(home.connection)
    assert result.devices_taken_wh >= sum(max(wh, 0) for wh in schedule.energies_wh) > 1_000
    assert result.devices_given_wh == sum(max(-wh, 0) for wh in schedule.energies_wh) > 1_000
    assert replay.chain.failed == 0
    assert result.money_residual_nano == result.energy_residual_wh == 0
    meter = replay.agents.meters[home.connection]
    for interval in range(replay.first, replay.end):
        number = interval - schedule.first
        known = 0 <= number < len(schedule.energies_wh)
        device_wh = schedule.energies_wh[number] if known else 0
        line = replay.chain.runtime.trading.read_lines(interval)[home.connection - 1]
        assert line.import_wh - line.export_wh == meter.net_in(interval) + device_wh


@pytest.mark.slow
def test_equal_replays_end_in_equal_states(scenario: Scenario) -> None:
    first, again, other = (Replay(scenario, 1, wh).run() for wh in (60_000, 60_000, 0))

    assert first.state_root == again.state_root != other.state_root


@pytest.mark.slow
def test_a_day_ends_in_the_state_that_every_python_comes_to(tmp_path: Path) -> None:
    assert replay_of_line(tmp_path).run().state_root == GOLDEN[LINE]


@pytest.mark.slow
def test_a_week_on_the_rural_grid_binds_the_transformer_and_breaks_no_limit() -> None:
    result = replay_of_rural().run()

    assert result.state_root == GOLDEN[RURAL]
    assert result.edges_over_capacity == 0
    assert result.edges_binding > 0
    assert result.metered_overloads == 52  # as the reference power flow counts
    assert result.money_residual_nano == result.energy_residual_wh == 0


def test_edges_are_judged_at_their_sending_end() -> None:
    # 1 % is lost: 990 Wh arrive of 1 000 sent down, 991 need 1 002.
    assert send_for(991, 10_000) == 1_002
    for export, over, binding in (
        (1_000, 0, 1),
        (1_001, 1, 0),
        (999, 0, 0),
        (-990, 0, 1),
        (-991, 1, 0),
        (-989, 0, 0),
    ):
        used = edge_use([0, export], [0, 1_000], [0, 1_000], [0, 10_000])
        assert used == (over, binding), export


@pytest.mark.slow
async def test_the_command_prints_the_result(scenario: Scenario, tmp_path: Path) -> None:
    options = ["--scenario", "line", "--window", "spring", "--days", "1"]
    options += ["--data", str(write_data(tmp_path))]

    as_json = await CliRunner().invoke(command, [*options, "--output", "json"])
    as_text = await CliRunner().invoke(command, options)

    result = json.loads(as_json.output)
    assert set(result) >= RESULT_FIELDS
    assert result["state_root"] in as_text.output
    assert "calls that failed:          0" in as_text.output


async def test_a_window_or_a_number_of_days_that_cannot_be_is_refused() -> None:
    for options in (["--window", "autumn"], ["--window", "spring", "--days", "0"]):
        result = await CliRunner().invoke(command, ["--scenario", "rural1", *options])
        assert result.exit_code == 2
