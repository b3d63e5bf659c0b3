"""Meters of a scenario: what they report after each interval, and when they are silent.

Interval k has the data of slot `1344 + (k - k0) mod 672`, k0 being the chain's genesis interval.
Now and then a meter is silent for two intervals, which the chain settles with estimates; the
operator reads it by hand and corrects them. Behind a device (`devnet.devices`) a meter counts on
from what the chain has of it. Energy in Wh.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

from devnet.chain_view import Counted
from devnet.dataset import BATTERY, GENERATION, HISTORY_SLOTS, WEEK_SLOTS
from devnet.scenario import OPERATOR_METER, Home, Scenario
from node.gateway.strategies import draw

SILENT_INTERVALS = 2
"""How long a meter is silent: in a single gap its register would tell the truth."""

SILENT_ONE_IN = 500


class Reading(NamedTuple):
    """What a meter says after an interval."""

    interval: int
    import_register_wh: int
    export_register_wh: int
    import_wh: int
    export_wh: int


def slot_of(interval: int, genesis_interval: int) -> int:
    """The slot whose data an interval has."""
    return HISTORY_SLOTS + (interval - genesis_interval) % WEEK_SLOTS


class Meter:
    """A meter whose registers stood at zero when the chain began."""

    def __init__(self, connection: int, suri: str, genesis_interval: int) -> None:
        """`suri` signs its readings."""
        self.connection = connection
        self.suri = suri
        self.genesis_interval = genesis_interval

    @cached_property
    def net_wh(self) -> Sequence[int]:
        """Import less export in each slot of the traded week."""
        raise NotImplementedError

    def net_in(self, interval: int) -> int:
        """Import less export in an interval."""
        return self.net_wh[(interval - self.genesis_interval) % WEEK_SLOTS]

    @cached_property
    def _registers(self) -> tuple[list[int], list[int]]:
        imports = [max(net, 0) for net in self.net_wh]
        exports = [max(-net, 0) for net in self.net_wh]
        return list(accumulate(imports)), list(accumulate(exports))

    def is_silent(self, interval: int) -> bool:
        """Whether it does not report an interval."""
        return False

    def reading(self, interval: int) -> Reading:
        """The reading of an interval from the genesis interval on."""
        weeks, slot = divmod(interval - self.genesis_interval, WEEK_SLOTS)
        assert weeks >= 0, "registers begin with the chain"
        imports, exports = self._registers
        net = self.net_wh[slot]
        return Reading(
            interval,
            weeks * imports[-1] + imports[slot],
            weeks * exports[-1] + exports[slot],
            max(net, 0),
            max(-net, 0),
        )


def reading_after(counted: Counted, net_wh: Sequence[int]) -> Reading | None:
    """The reading at the end of the intervals whose net energies these are, which follow on what
    was counted before; None if there are none.
    """
    if not net_wh:
        return None
    imports, exports = [max(net, 0) for net in net_wh], [max(-net, 0) for net in net_wh]
    return Reading(
        counted.interval + len(net_wh),
        counted.import_wh + sum(imports),
        counted.export_wh + sum(exports),
        imports[-1],
        exports[-1],
    )


class HomeMeter(Meter):
    """The meter of a home: use less yield behind one connection."""

    def __init__(self, scenario: Scenario, home: Home, genesis_interval: int) -> None:
        super().__init__(home.number, home.meter_suri, genesis_interval)
        self._net_wh = net_profile(scenario, home)[HISTORY_SLOTS:]

    @cached_property
    def net_wh(self) -> Sequence[int]:
        """As the profiles of its assets say."""
        return self._net_wh

    def is_silent(self, interval: int) -> bool:
        """Now and then it reports nothing for some intervals, though its registers count on."""
        gap = interval // SILENT_INTERVALS
        return draw(f"silent/{self.connection}/{gap}", SILENT_ONE_IN) == 0


class Swept(NamedTuple):
    """What a power-flow sweep says of an interval."""

    net_wh: int
    """Through the transformer: net load and losses."""

    overloads: int
    """How many edges were loaded above their rating."""


class OperatorMeter(Meter):
    """The meter of the transformer: the net load of the grid and what the grid loses."""

    def __init__(self, scenario: Scenario, genesis_interval: int) -> None:
        super().__init__(0, OPERATOR_METER.suri, genesis_interval)
        self._scenario = scenario
        self._bus_of = {home.number: home.bus for home in scenario.homes}

    @cached_property
    def net_wh(self) -> Sequence[int]:
        """Net load and losses, by the power-flow sweep of each slot."""
        return [swept.net_wh for swept in self._swept]

    def overloads(self, interval: int) -> int:
        """How many edges an interval loads above their rating."""
        return self._swept[(interval - self.genesis_interval) % WEEK_SLOTS].overloads

    def with_devices(self, interval: int, devices_wh: Mapping[int, int]) -> Swept:
        """An interval in which devices take so much as well, by connection."""
        slot = slot_of(interval, self.genesis_interval)
        if not any(devices_wh.values()):
            return self._swept[slot - HISTORY_SLOTS]
        at_bus: dict[int, int] = {}
        for connection, wh in devices_wh.items():
            bus = self._bus_of[connection]
            at_bus[bus] = at_bus.get(bus, 0) + wh
        return self._sweep(slot, at_bus)

    @cached_property
    def _swept(self) -> list[Swept]:
        return [self._sweep(slot, {}) for slot in range(HISTORY_SLOTS, HISTORY_SLOTS + WEEK_SLOTS)]

    def _sweep(self, slot: int, devices_wh: Mapping[int, int]) -> Swept:
        """A slot of the data with devices, by bus: what they take is load, what they give is
        generation.
        """
        from runtime.kernels.tree_flow import sweep  # numba: only the operator needs it

        scenario = self._scenario
        buses = len(scenario.grid.nodes) + 1
        load, generation = [0] * buses, [0] * buses
        for asset in scenario.grid.assets:
            if asset.kind != BATTERY:
                side = generation if asset.kind == GENERATION else load
                side[asset.node + 1] += scenario.window.energy_wh[asset.name][slot]
        for bus, wh in devices_wh.items():
            load[bus] += max(wh, 0)
            generation[bus] += max(-wh, 0)
        state = sweep(scenario.feeder, load, generation)
        return Swept(sum(load) - sum(generation) + state.loss_wh, len(state.overloaded))


def net_profile(scenario: Scenario, home: Home) -> list[int]:
    """Use less yield of a home in every slot of the window."""
    total = [0] * (HISTORY_SLOTS + WEEK_SLOTS)
    for asset in home.assets:
        if asset.kind == BATTERY:
            continue  # ratings only: a battery is a device, if at all
        sign = -1 if asset.kind == GENERATION else 1
        energy = scenario.window.energy_wh[asset.name]
        total = [net + sign * wh for net, wh in zip(total, energy, strict=True)]
    return total
