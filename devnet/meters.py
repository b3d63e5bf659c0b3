"""Meters of a scenario: what they report after each interval, and when they are silent.

Interval k has the data of slot `1344 + (k - k0) mod 672`, k0 being the chain's genesis interval.
Now and then a meter is silent for two intervals, which the chain settles with estimates; the
operator reads it by hand and corrects them. Energy in Wh.
"""

from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

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


class OperatorMeter(Meter):
    """The meter of the transformer: the net load of the grid and what the grid loses."""

    def __init__(self, scenario: Scenario, genesis_interval: int) -> None:
        super().__init__(0, OPERATOR_METER.suri, genesis_interval)
        self._scenario = scenario

    @cached_property
    def net_wh(self) -> Sequence[int]:
        """Net load and losses, by the power-flow sweep of each slot."""
        return [net for net, _ in self._swept]

    def overloads(self, interval: int) -> int:
        """How many edges an interval loads above their rating."""
        return self._swept[(interval - self.genesis_interval) % WEEK_SLOTS][1]

    @cached_property
    def _swept(self) -> list[tuple[int, int]]:
        from runtime.kernels.tree_flow import sweep  # numba: only the operator needs it

        scenario = self._scenario
        buses = len(scenario.grid.nodes) + 1
        swept: list[tuple[int, int]] = []
        for slot in range(HISTORY_SLOTS, HISTORY_SLOTS + WEEK_SLOTS):
            load, generation = [0] * buses, [0] * buses
            for asset in scenario.grid.assets:
                if asset.kind != BATTERY:
                    side = generation if asset.kind == GENERATION else load
                    side[asset.node + 1] += scenario.window.energy_wh[asset.name][slot]
            state = sweep(scenario.feeder, load, generation)
            net = sum(load) - sum(generation) + state.loss_wh
            swept.append((net, len(state.overloaded)))
        return swept


def net_profile(scenario: Scenario, home: Home) -> list[int]:
    """Use less yield of a home in every slot of the window."""
    total = [0] * (HISTORY_SLOTS + WEEK_SLOTS)
    for asset in home.assets:
        if asset.kind == BATTERY:
            continue  # ratings only: batteries are not dispatched yet
        sign = -1 if asset.kind == GENERATION else 1
        energy = scenario.window.energy_wh[asset.name]
        total = [net + sign * wh for net, wh in zip(total, energy, strict=True)]
    return total
