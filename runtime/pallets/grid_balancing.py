"""GridBalancing: the grid's tree, the energy contracted over each of its edges, measured balance.

Bus 0 is the medium-voltage side of the transformer; every other bus has the edge to its parent.
Per market interval and edge two sums are kept over the calls of the auction: `net_export`, what
leaves the child's end, and `received`, what arrives at the parent's end (negative: what is sent
down). The capacity that is left for the next call follows from the first.

What was metered flows physically: a power-flow sweep over the same tree says what should have been
lost, and a measured balance far from that points to a wrong meter.

Invariants: at every bus its own contracted injection and what its children deliver add up to its
net export (zero at the root); the net flow respects the capacity at its sending end after each
call; no more arrives than the net flow delivers.

Left out: congestion forecasts, flexibility, emergency.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from operator import add, le, sub
from typing import Annotated, Any

import numpy as np

from runtime import frame
from runtime.frame import (
    U32,
    U64,
    BusIndex,
    EnergyWh,
    Identity,
    IntervalIndex,
    MaxLen,
    Pallet,
    Ppm,
    SignedEnergyWh,
    StorageMap,
    StorageValue,
    Struct,
    api,
)
from runtime.kernels.auction import (
    TreeArrays,
    deliver,
    export_map,
    residual_capacities,
    send_for,
)
from runtime.kernels.bounds import LOSS_PPM_MAX, TARIFF_MAX, TOTAL_MAX
from runtime.kernels.tree_flow import Feeder, SweepBoundsError, sweep

BUSES_MAX = 1_024  # a low-voltage zone has tens to some hundreds of buses
CAPACITY_WH_MAX = TOTAL_MAX  # more capacity can never bind
AMPLIFICATION_MAX = 64
"""How many Wh have to be fed in anywhere for one Wh to arrive elsewhere, at most."""

BOOK_WH_MAX = TOTAL_MAX // AMPLIFICATION_MAX - BUSES_MAX
"""536 MWh in an interval, 2 GW. However lossy the tree, such a book clears exactly: each edge adds
less than 1 Wh to what losses make of it."""

LOSS_TOLERANCE_PPM = 30_000
"""3 % of the transformer's energy: above it a difference is no measuring error."""

PPM = 1_000_000


class Topology(Struct):
    """The tree of buses. Entry i > 0 of each list also describes the edge from i to its parent."""

    parent: Annotated[tuple[BusIndex, ...], MaxLen(BUSES_MAX)]
    cap_up: Annotated[tuple[EnergyWh, ...], MaxLen(BUSES_MAX)]
    """Most energy sent towards the root in one interval."""

    cap_down: Annotated[tuple[EnergyWh, ...], MaxLen(BUSES_MAX)]
    loss_ppm: Annotated[tuple[Ppm, ...], MaxLen(BUSES_MAX)]
    tariff: Annotated[tuple[U32, ...], MaxLen(BUSES_MAX)]
    """Network tariff in micro-DRT per kWh on what the parent's end sees, unless an interval has
    another one."""


class Circuit(Struct):
    """The electrical side of the tree: what a power-flow sweep needs besides the parents."""

    r_uohm: Annotated[tuple[U32, ...], MaxLen(BUSES_MAX)]
    x_uohm: Annotated[tuple[U32, ...], MaxLen(BUSES_MAX)]
    i_max_ma: Annotated[tuple[U32, ...], MaxLen(BUSES_MAX)]
    """Rated current of each edge."""

    source_mv: U32
    """Voltage of the root, as the transformer shows it without load."""

    no_load_mw: U64
    """What the transformer takes for itself at that voltage."""


class EdgeFlows(Struct):
    """Contracted energy of one interval per bus (entry 0, the root, is zero)."""

    net_export: Annotated[tuple[SignedEnergyWh, ...], MaxLen(BUSES_MAX)]
    received: Annotated[tuple[SignedEnergyWh, ...], MaxLen(BUSES_MAX)]


class Reservation(Struct):
    """Energy that contracts reserved on each edge of an interval, at its sending end, gross."""

    up: Annotated[tuple[EnergyWh, ...], MaxLen(BUSES_MAX)]
    down: Annotated[tuple[EnergyWh, ...], MaxLen(BUSES_MAX)]


class EdgeState(Struct):
    """What an edge carries in an interval by contract, and what is left."""

    net_export: SignedEnergyWh
    received: SignedEnergyWh
    left_up: EnergyWh
    left_down: EnergyWh


class MeasuredBalance(Struct):
    """What the meters of a settled interval say about losses."""

    measured_loss_wh: SignedEnergyWh
    """In through the transformer and from producers, less out; negative if meters disagree so."""

    expected_loss_wh: EnergyWh | None
    """By the sweep; none if the chain does not know the circuit, or no sweep is possible."""

    transformer_import_wh: EnergyWh
    transformer_export_wh: EnergyWh
    is_suspect: bool
    """They differ by more than 3 % of the transformer's energy, or no sweep is possible."""


class BalanceSuspect(frame.Event, index=0):
    """Measured losses of an interval are far from the expected ones: a meter may be wrong."""

    interval: IntervalIndex
    balance: MeasuredBalance


class Config(frame.Config):
    """Nothing: the topology is in the state."""


class GridBalancing(Pallet[Config]):
    topology: StorageValue[Topology]
    """The tree with its limits. Set at genesis."""

    circuit: StorageValue[Circuit | None]
    """Its electrical side, if the genesis has it."""

    flows: StorageMap[IntervalIndex, EdgeFlows | None, Identity]
    """Contracted energy of open and recent intervals in which something traded."""

    reserved: StorageMap[IntervalIndex, Reservation | None, Identity]
    """What contracts reserved of open and recent intervals."""

    tariffs: StorageMap[
        IntervalIndex, Annotated[tuple[U32, ...], MaxLen(BUSES_MAX)] | None, Identity
    ]
    """Tariffs of open and recent intervals in which they are not the tree's."""

    balances: StorageMap[IntervalIndex, MeasuredBalance | None, Identity]
    """Measured balance of recent settled intervals."""

    def genesis(self, config: Mapping[str, Any]) -> None:
        """`topology`: arrays `parent`, `cap_up`, `cap_down`, `loss_ppm`, `tariff`, one entry per
        bus; entry 0 is the root (parent 0). Capacities in Wh per interval at the sending end.
        Optionally the circuit: arrays `r_uohm`, `x_uohm`, `i_max_ma` and numbers `source_mv`,
        `no_load_mw`.
        """
        arrays = config["topology"]
        names = ("parent", "cap_up", "cap_down", "loss_ppm", "tariff")
        topology = Topology(*(tuple(arrays[name]) for name in names))
        check_topology(topology)
        self.topology.set(topology)
        if "r_uohm" in arrays:
            circuit = Circuit(
                tuple(arrays["r_uohm"]),
                tuple(arrays["x_uohm"]),
                tuple(arrays["i_max_ma"]),
                arrays["source_mv"],
                arrays["no_load_mw"],
            )
            feeder_of(topology, circuit)
            self.circuit.set(circuit)

    @api("GridBalancing_topology")
    def read_topology(self) -> Topology:
        """The tree with its limits."""
        return self.topology.get()

    @api("GridBalancing_circuit")
    def read_circuit(self) -> Circuit | None:
        """Its electrical side."""
        return self.circuit.get()

    @api("GridBalancing_balance")
    def read_balance(self, interval: IntervalIndex) -> MeasuredBalance | None:
        """The measured balance of a settled interval."""
        return self.balances[interval]

    @api("GridBalancing_edges")
    def read_edges(self, interval: IntervalIndex) -> list[EdgeState]:
        """Contracted energy and remaining capacity of each edge in an interval, by bus."""
        flows = self.flows_of(interval)
        left = self.residual_tree(interval)
        return [
            EdgeState(*edge)
            for edge in zip(
                flows.net_export,
                flows.received,
                left.cap_up.tolist(),
                left.cap_down.tolist(),
                strict=True,
            )
        ]

    def check_invariants(self) -> None:
        """Net flows respect the capacities and deliver no more than was sent."""
        topology = self.topology.get()
        for interval, flows in self.flows.items():
            if flows is not None:
                check_flows(interval, self.unreserved(interval, topology), flows)
        for interval, reserved in self.reserved.items():
            if reserved is not None:
                room = self.unreserved(interval, topology)
                assert min(*room.cap_up, *room.cap_down) >= 0, f"reserved too much of {interval}"

    def unreserved(self, interval: int, topology: Topology) -> Topology:
        """The tree with the capacities that contracts left to the auction."""
        reserved = self.reserved[interval]
        if reserved is None:
            return topology
        return Topology(
            topology.parent,
            tuple(map(sub, topology.cap_up, reserved.up)),
            tuple(map(sub, topology.cap_down, reserved.down)),
            topology.loss_ppm,
            topology.tariff,
        )

    # What other pallets ask.

    def has_bus(self, bus: int) -> bool:
        """Whether the tree has this bus."""
        return 0 <= bus < len(self.topology.get().parent)

    def parents(self) -> Sequence[int]:
        """The parent of each bus; the root's is itself."""
        return self.topology.get().parent

    def flows_of(self, interval: int) -> EdgeFlows:
        """Contracted energy of an interval; zeros before anything traded."""
        flows = self.flows[interval]
        if flows is not None:
            return flows
        buses = len(self.topology.get().parent)
        return EdgeFlows((0,) * buses, (0,) * buses)

    def residual_tree(self, interval: int) -> TreeArrays:
        """The tree as the next call of an interval sees it: with the capacity that contracts and
        earlier calls left.
        """
        topology = self.topology.get()
        tree = TreeArrays.of(
            topology.parent,
            topology.cap_up,
            topology.cap_down,
            topology.loss_ppm,
            self.tariffs[interval] or topology.tariff,
        )
        reserved = self.reserved[interval]
        if reserved is not None:
            up = tree.cap_up - np.array(reserved.up, np.int64)
            tree = replace(tree, cap_up=up, cap_down=tree.cap_down - np.array(reserved.down))
        flows = self.flows[interval]
        if flows is None:
            return tree
        net_export = np.array(flows.net_export, np.int64)
        up, down = residual_capacities(tree.cap_up, tree.cap_down, tree.loss_ppm, net_export)
        return replace(tree, cap_up=up, cap_down=down)

    def base_tariffs(self) -> tuple[int, ...]:
        """The tree's tariff of each edge, by the bus at its lower end."""
        return self.topology.get().tariff

    def fix_tariffs(self, interval: int, tariffs: tuple[int, ...]) -> None:
        """Let an interval have other tariffs than the tree's."""
        self.tariffs[interval] = tariffs

    def path_tariff(self, source: int, target: int, tariffs: Sequence[int]) -> int:
        """What the edges between two buses cost in all, in micro-DRT per kWh."""
        up, down = path_between(self.topology.get().parent, source, target)
        return sum(tariffs[bus] for bus in (*up, *down))

    def reserve(self, interval: int, source: int, target: int, energy_wh: int) -> int:
        """Reserve capacity for energy that arrives at `target`: all of it, or what fits; how much.

        Gross: nothing is netted, and each edge carries what the edges behind it lose.
        """
        topology = self.topology.get()
        up, down = path_between(topology.parent, source, target)
        left = self.residual_tree(interval)
        rooms = [int(left.cap_up[bus]) for bus in up] + [int(left.cap_down[bus]) for bus in down]
        losses = [topology.loss_ppm[bus] for bus in (*up, *down)]
        fitting_wh = largest_fitting(energy_wh, rooms, losses)
        if fitting_wh:
            sent = sent_along(fitting_wh, losses)
            buses = len(topology.parent)
            before = self.reserved[interval] or Reservation((0,) * buses, (0,) * buses)
            self.reserved[interval] = Reservation(
                with_added(before.up, up, sent[: len(up)]),
                with_added(before.down, down, sent[len(up) :]),
            )
        return fitting_wh

    def book_flows(self, interval: int, net_export: Sequence[int], received: Sequence[int]) -> None:
        """Add what a call sends over the edges."""
        flows = self.flows_of(interval)
        self.flows[interval] = EdgeFlows(
            tuple(map(add, flows.net_export, net_export)),
            tuple(map(add, flows.received, received)),
        )

    def imported_at_root(self, interval: int) -> int:
        """Contracted energy from outside, in Wh at the zone's side of the transformer."""
        flows = self.flows[interval]
        if flows is None:
            return 0
        parent = self.topology.get().parent
        return sum(
            max(0, -export)
            for bus, export in enumerate(flows.net_export)
            if bus > 0 and parent[bus] == 0
        )

    def record_balance(
        self,
        interval: int,
        transformer: tuple[int, int],
        metered: Sequence[tuple[int, int, int]],
    ) -> None:
        """Keep the measured balance of a settled interval; point out one that cannot be right.

        `transformer`: Wh into and out of the zone. `metered`: bus, import and export of each
        connection.
        """
        imported, exported = transformer
        loss_wh = imported - exported + sum(out - into for _, into, out in metered)
        expected_wh, is_suspect = None, False
        circuit = self.circuit.get()
        if circuit is not None:
            expected_wh = expected_loss(feeder_of(self.topology.get(), circuit), metered)
            is_suspect = expected_wh is None or (
                abs(loss_wh - expected_wh) * PPM > max(transformer) * LOSS_TOLERANCE_PPM
            )
        balance = MeasuredBalance(loss_wh, expected_wh, imported, exported, is_suspect)
        self.balances[interval] = balance
        if is_suspect:
            self.deposit_event(BalanceSuspect(interval, balance))

    def check_balance(self, interval: int, injected: Mapping[int, int]) -> None:
        """Assert that each bus passes on what its connections and its children give it."""
        flows = self.flows_of(interval)
        parent = self.topology.get().parent
        given = [injected.get(bus, 0) for bus in range(len(parent))]
        for bus in range(1, len(parent)):
            given[parent[bus]] += flows.received[bus]
        assert tuple(given) == flows.net_export, f"buses of interval {interval} are not balanced"

    def forget(self, interval: int) -> None:
        """Drop the records of an interval that is older than the history."""
        del self.flows[interval]
        del self.reserved[interval]
        del self.tariffs[interval]
        del self.balances[interval]


def path_between(parent: Sequence[int], source: int, target: int) -> tuple[list[int], list[int]]:
    """The edges, by their child's bus, that lead up from `source` and then down to `target`."""
    ups, downs = [source], [target]
    while ups[-1] != downs[-1]:
        # A parent's number is below its child's, so the greater one is not the common bus.
        longer = ups if ups[-1] > downs[-1] else downs
        longer.append(parent[longer[-1]])
    return ups[:-1], downs[-2::-1]


def sent_along(energy_wh: int, losses_ppm: Sequence[int]) -> list[int]:
    """What each edge of a path has to send, in the direction of the flow, for energy to arrive."""
    sent: list[int] = []
    for loss in reversed(losses_ppm):
        energy_wh = send_for(energy_wh, loss)
        sent.append(energy_wh)
    return sent[::-1]


def largest_fitting(energy_wh: int, rooms_wh: Sequence[int], losses_ppm: Sequence[int]) -> int:
    """The most energy, up to a wanted one, that a path can let arrive."""

    def fits(wh: int) -> bool:
        return all(map(le, sent_along(wh, losses_ppm), rooms_wh))

    if fits(energy_wh):
        return energy_wh
    low, high = 0, energy_wh  # the first fits, the second does not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def with_added(
    before: Sequence[int], places: Sequence[int], added: Sequence[int]
) -> tuple[int, ...]:
    """A list with amounts added at some places."""
    after = list(before)
    for place, amount in zip(places, added, strict=True):
        after[place] += amount
    return tuple(after)


def feeder_of(topology: Topology, circuit: Circuit) -> Feeder:
    """The grid as the sweep sees it. Raises `SweepBoundsError` if it is out of range."""
    return Feeder.of(
        topology.parent,
        circuit.r_uohm,
        circuit.x_uohm,
        circuit.i_max_ma,
        circuit.source_mv,
        circuit.no_load_mw,
    )


def expected_loss(feeder: Feeder, metered: Sequence[tuple[int, int, int]]) -> int | None:
    """What the sweep says that metered energy loses; None if no such grid could carry it."""
    load, generation = [0] * feeder.parent.size, [0] * feeder.parent.size
    for bus, imported, exported in metered:
        load[bus] += imported
        generation[bus] += exported
    try:
        return sweep(feeder, load, generation).loss_wh
    except SweepBoundsError:
        return None


def check_topology(topology: Topology) -> None:
    """Refuse, with a `ValueError`, what is no tree or leaves the range of exact clearing."""
    buses = len(topology.parent)
    arrays = (topology.cap_up, topology.cap_down, topology.loss_ppm, topology.tariff)
    if not 1 <= buses <= BUSES_MAX or any(len(array) != buses for array in arrays):
        raise ValueError(f"topology needs arrays of one length from 1 to {BUSES_MAX}")
    if topology.parent[0] != 0:
        raise ValueError(f"parent[0] is {topology.parent[0]}, expected 0: bus 0 is the root")
    needed = [BOOK_WH_MAX] * buses
    for bus in range(1, buses):
        parent = topology.parent[bus]
        if not 0 <= parent < bus:
            raise ValueError(f"parent[{bus}] is {parent}, expected a bus below {bus}")
        for name, value, limit in (
            ("cap_up", topology.cap_up[bus], CAPACITY_WH_MAX),
            ("cap_down", topology.cap_down[bus], CAPACITY_WH_MAX),
            ("loss_ppm", topology.loss_ppm[bus], LOSS_PPM_MAX),
            ("tariff", topology.tariff[bus], TARIFF_MAX),
        ):
            if not 0 <= value <= limit:
                raise ValueError(f"{name}[{bus}] is {value}, expected 0 to {limit}")
        needed[bus] = send_for(needed[parent], topology.loss_ppm[bus])
        if needed[bus] > BOOK_WH_MAX * AMPLIFICATION_MAX:
            raise ValueError(f"losses on the way to bus {bus} are beyond exact clearing")


def check_flows(interval: int, topology: Topology, flows: EdgeFlows) -> None:
    """Assert what holds for the contracted energy of an interval after each call."""
    for bus in range(1, len(topology.parent)):
        where = f"edge {bus} in interval {interval}"
        loss = topology.loss_ppm[bus]
        export, received = flows.net_export[bus], flows.received[bus]
        assert export <= topology.cap_up[bus], f"{where} is over its capacity up"
        assert send_for(max(-export, 0), loss) <= topology.cap_down[bus], f"{where}: down"
        left_down = send_for(deliver(topology.cap_down[bus], loss) + export + 1, loss) - 1
        assert left_down >= 0, f"{where}: nothing is left down"
        assert received <= export_map(export, loss), f"{where} delivers more than flows"
