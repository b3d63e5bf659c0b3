"""The grid's tree: what a genesis may say, capacity that calls leave, the measured balance."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.frame.assembly import Assembly
from runtime.kernels.auction import deliver, export_map, send_for
from runtime.kernels.tree_flow import Feeder, SweepBoundsError, sweep
from runtime.pallets import grid_balancing
from runtime.pallets.grid_balancing import GridBalancing
from runtime.state.backend import MemoryBackend
from runtime.state.overlay import Overlay
from tests.runtime.pallets.zone import K0, LOSSLESS, LOSSY, SLOT_MS, Zone

CIRCUIT: dict[str, Any] = {
    "r_uohm": [0, 4_800, 20_000, 30_000],
    "x_uohm": [0, 23_515, 5_000, 8_000],
    "i_max_ma": [1, 577_000, 270_000, 270_000],
    "source_mv": 410_000,
    "no_load_mw": 1_200_000,
}


def made(topology: dict[str, Any]) -> GridBalancing:
    """The pallet with a topology from a genesis."""
    grid = GridBalancing(grid_balancing.Config())
    Assembly({23: grid}).bind(Overlay(MemoryBackend()))
    grid.genesis({"topology": topology})
    return grid


def test_a_genesis_sets_the_tree_and_its_circuit() -> None:
    grid = made(LOSSY | CIRCUIT)

    assert grid.read_topology().parent == (0, 0, 1, 1)
    circuit = grid.read_circuit()
    assert circuit is not None
    assert circuit.i_max_ma == (1, 577_000, 270_000, 270_000)
    assert [grid.has_bus(bus) for bus in (-1, 0, 3, 4)] == [False, True, True, False]
    grid.check_invariants()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parent": []}, "one length"),
        ({"tariff": [0, 0]}, "one length"),
        ({"parent": [1, 0, 1, 1]}, r"parent\[0\] is 1"),
        ({"parent": [0, 0, 2, 1]}, r"parent\[2\] is 2"),
        ({"cap_up": [0, -1, 0, 0]}, r"cap_up\[1\] is -1"),
        ({"cap_down": [0, 0, 2**35, 0]}, r"cap_down\[2\]"),
        ({"loss_ppm": [0, 0, 0, 500_001]}, r"loss_ppm\[3\]"),
        ({"tariff": [0, 0, 0, 2**24]}, r"tariff\[3\]"),
    ],
)
def test_what_is_no_tree_or_out_of_range_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made(LOSSLESS | change)


def test_losses_beyond_exact_clearing_are_refused() -> None:
    chain = {
        "parent": [0, *range(9)],
        "cap_up": [0] * 10,
        "cap_down": [0] * 10,
        "loss_ppm": [0] + [500_000] * 9,
        "tariff": [0] * 10,
    }
    with pytest.raises(ValueError, match="beyond exact clearing"):
        made(chain)


@pytest.mark.parametrize(
    "change", [{"source_mv": 1}, {"r_uohm": [0, 1]}, {"i_max_ma": [0, 0, 1, 1]}]
)
def test_a_circuit_the_sweep_cannot_compute_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(SweepBoundsError):
        made(LOSSY | CIRCUIT | change)


@pytest.mark.slow
@given(
    st.lists(st.integers(-3_000, 3_000), min_size=1, max_size=6),
    st.integers(0, 300_000),
    st.integers(0, 3_000),
    st.integers(0, 3_000),
)
@settings(max_examples=200, deadline=None)
def test_each_call_sees_the_capacity_the_net_flow_leaves(
    wishes: list[int], loss: int, up: int, down: int
) -> None:
    grid = made(
        {
            "parent": [0, 0],
            "cap_up": [0, up],
            "cap_down": [0, down],
            "loss_ppm": [0, loss],
            "tariff": [0, 0],
        }
    )
    for wish in wishes:
        edge = grid.read_edges(K0)[1]
        net = min(max(wish, -deliver(edge.left_down, loss)), edge.left_up)
        grid.book_flows(K0, (0, net), (0, export_map(net, loss)))
        grid.check_invariants()
        edge = grid.read_edges(K0)[1]
        assert edge.left_up >= 0 <= edge.left_down
        assert edge.left_up == up - edge.net_export
        room = deliver(down, loss) + edge.net_export
        assert deliver(edge.left_down, loss) <= room < deliver(edge.left_down + 1, loss)
        assert send_for(max(-edge.net_export, 0), loss) <= down


def test_an_interval_without_trade_has_the_whole_tree() -> None:
    grid = made(LOSSY)

    assert grid.flows_of(K0).net_export == (0, 0, 0, 0)
    assert grid.residual_tree(K0).cap_up.tolist() == LOSSY["cap_up"]
    assert grid.imported_at_root(K0) == 0


def settled(zone: Zone, transformer: tuple[int, int]) -> grid_balancing.MeasuredBalance:
    """The measured balance when A takes 2 000 Wh and B gives 1 000."""
    zone.run(K0, K0 + 1)
    zone.block(
        K0 + 1,
        SLOT_MS,
        lambda: zone.read(1, K0, 2_000, 0),
        lambda: zone.read(2, K0, 0, 1_000),
        lambda: zone.read(3, K0, 0, 0),
        lambda: zone.read(0, K0, *transformer),
    )
    zone.block(K0 + 3)
    balance = zone.grid.read_balance(K0)
    assert balance is not None
    return balance


def test_the_sweep_says_what_should_have_been_lost() -> None:
    feeder = Feeder.of(parent=LOSSY["parent"], **CIRCUIT)
    expected = sweep(feeder, [0, 0, 2_000, 0], [0, 0, 0, 1_000]).loss_wh
    balance = settled(Zone(LOSSY | CIRCUIT), (1_000 + expected, 0))

    assert expected > 300  # 1.2 kW without load, over a quarter of an hour
    assert (balance.measured_loss_wh, balance.expected_loss_wh) == (expected, expected)
    assert not balance.is_suspect


def test_meters_far_from_the_sweep_are_pointed_out() -> None:
    zone = Zone(LOSSY | CIRCUIT)
    balance = settled(zone, (1_500, 0))

    assert balance.is_suspect
    announced = zone.events_of(grid_balancing.BalanceSuspect, zone.assembly.state.events)
    assert announced == [grid_balancing.BalanceSuspect(K0, balance)]
    record = zone.trading.read_settlement(K0)
    assert record is not None  # settled nevertheless
    assert record.measured_loss_wh == 500


def test_without_a_circuit_nothing_is_expected() -> None:
    balance = settled(Zone(LOSSY), (1_500, 0))

    assert (balance.expected_loss_wh, balance.is_suspect) == (None, False)


def test_energy_that_no_such_grid_carries_is_suspect() -> None:
    grid = made(LOSSY | CIRCUIT)
    grid.record_balance(K0, (2**26, 0), [(2, 2**26, 0)])

    balance = grid.read_balance(K0)
    assert balance is not None
    assert (balance.expected_loss_wh, balance.is_suspect) == (None, True)


def test_old_intervals_are_forgotten() -> None:
    grid = made(LOSSY)
    grid.book_flows(K0, (0, 1, 0, 0), (0, 1, 0, 0))
    grid.record_balance(K0, (5, 0), [])
    grid.forget(K0)

    assert grid.read_balance(K0) is None
    assert list(grid.flows.keys()) == []


@st.composite
def trees(draw: st.DrawFn) -> list[int]:
    """The parents of a tree of some buses."""
    return [0, *(draw(st.integers(0, bus - 1)) for bus in range(1, draw(st.integers(2, 12))))]


def way_to_root(parent: list[int], bus: int) -> list[int]:
    return [bus] if bus == 0 else [bus, *way_to_root(parent, parent[bus])]


@given(trees(), st.data())
@settings(max_examples=100)
def test_a_path_leads_up_to_the_common_bus_and_down_again(
    parent: list[int], data: st.DataObject
) -> None:
    source, target = (data.draw(st.integers(0, len(parent) - 1)) for _ in range(2))

    up, down = grid_balancing.path_between(parent, source, target)

    from_source, from_target = way_to_root(parent, source), way_to_root(parent, target)
    assert up == [bus for bus in from_source if bus not in from_target]
    assert down[::-1] == [bus for bus in from_target if bus not in from_source]


@given(
    st.integers(0, 400),
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300_000)), max_size=4),
)
@settings(max_examples=100)
def test_what_fits_a_path_is_the_most_whose_losses_fit_too(
    wanted: int, edges: list[tuple[int, int]]
) -> None:
    rooms, losses = [room for room, _ in edges], [loss for _, loss in edges]

    def arrives(sent: int) -> int:
        for loss in losses:
            sent = deliver(sent, loss)
        return sent

    found = grid_balancing.largest_fitting(wanted, rooms, losses)

    sent = grid_balancing.sent_along(found, losses)
    assert all(wh <= room for wh, room in zip(sent, rooms, strict=True))
    assert arrives(sent[0]) == found if sent else found == wanted
    if found < wanted:
        more = grid_balancing.sent_along(found + 1, losses)
        assert any(wh > room for wh, room in zip(more, rooms, strict=True))


def test_a_reservation_leaves_calls_less_and_is_forgotten_with_its_interval() -> None:
    grid = made(LOSSLESS)

    assert grid.reserve(7, 2, 3, 500) == 500
    assert grid.reserve(7, 3, 3, 900) == 900  # behind one bus there is no edge
    assert grid.residual_tree(7).cap_up.tolist() == [0, 4_000, 3_500, 4_000]
    assert grid.residual_tree(7).cap_down.tolist() == [0, 4_000, 4_000, 3_500]
    grid.book_flows(7, [0, 0, 3_500, -3_500], [0, 0, 3_500, -3_500])
    assert grid.reserve(7, 2, 3, 1) == 0  # the auction took the rest
    grid.check_invariants()
    grid.forget(7)
    assert grid.residual_tree(7).cap_up.tolist() == [0, 4_000, 4_000, 4_000]
