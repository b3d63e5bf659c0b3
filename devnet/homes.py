"""What the agents of a scenario do: homes that trade, their meters, the trader, the operator.

Pure decisions: an agent says what it wants for an interval, others sign and send it (the live
agents over RPC, a replay directly). Everything follows from the scenario, the seed and the interval
alone, so an agent that is started again says the same as before.

Interval k has the data of slot `1344 + (k - k0) mod 672`, k0 being the chain's genesis interval. In
interval j a home quotes its forecast for j + 3 and, once more with other prices, what was not
filled for j + 2; meters report j - 1. A home forecasts what was metered a day before. Every fifth
home does not forecast: it never orders and lets the pool share what its meter shows. Some homes
have contracts (`devnet.contracts`) and trade what these leave.

Now and then a meter is silent for two intervals, which the chain settles with estimates; the
operator reads it by hand and corrects them.

Units: Wh, micro-DRT per kWh.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from hashlib import blake2b
from itertools import accumulate
from typing import NamedTuple

from devnet import calls
from devnet.contracts import left_to_trade
from devnet.dataset import BATTERY, GENERATION, HISTORY_SLOTS, WEEK_SLOTS
from devnet.scenario import (
    FEED_IN_PRICE,
    OPERATOR_METER,
    PRICE_FLOOR,
    RETAIL_PRICE,
    SUPPLIER,
    Home,
    Scenario,
)

QUOTE_AHEAD, REQUOTE_AHEAD, READ_BEHIND, CORRECT_BEHIND = 3, 2, 1, 4
"""In interval j: first quotes for j + 3, second ones for j + 2, readings of j - 1, corrections of
j - 4, which is settled since j - 1."""

POOL_ONLY_EVERY = 5
SILENT_INTERVALS = 2
"""How long a meter is silent: in a single gap its register would tell the truth."""

SILENT_ONE_IN = 500

SLOTS_PER_DAY = 96
STEPS_MAX = 3
QUANTITY_WH_MIN = 10
QUANTITY_WH_MIN_NEGATIVE = 1_000
"""The market's least order with a limit below 0."""

OFFER_PRICE_MAX = 60_000
BID_PRICE_MIN = 150_000
SPOT_LIFT = 60_000
"""Spot prices of 2020 are this much below those of a usual year."""

TRADER_MARGIN = 5_000


class Order(NamedTuple):
    """A limit order an agent wants."""

    is_bid: bool
    price_micro: int
    quantity_wh: int


class OpenOrder(NamedTuple):
    """What the chain still has of an order."""

    order_id: int
    is_bid: bool
    quantity_wh: int


class Quote(NamedTuple):
    """Orders of one connection for one interval, those first that it takes back."""

    connection: int
    interval: int
    cancelled: Sequence[int]
    """Ids of the orders it takes back."""

    orders: Sequence[Order]

    def calls(self) -> Iterator[bytes]:
        """The calls it takes, each of which builds on those before."""
        for order_id in self.cancelled:
            yield calls.cancel_order(order_id)
        terms = [
            calls.Terms(
                calls.BID if order.is_bid else calls.OFFER, order.price_micro, order.quantity_wh
            )
            for order in self.orders
        ]
        yield calls.place_orders(self.connection, self.interval, terms)


class Reading(NamedTuple):
    """What a meter says after an interval."""

    interval: int
    import_register_wh: int
    export_register_wh: int
    import_wh: int
    export_wh: int


class Correction(NamedTuple):
    """What the operator read by hand."""

    connection: int
    interval: int
    import_wh: int
    export_wh: int
    reason: str


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


class HomeAgent:
    """Trades for a home what it will probably need or have left."""

    def __init__(
        self, scenario: Scenario, home: Home, genesis_interval: int, seed: int = 0
    ) -> None:
        """`seed` makes it draw other prices."""
        self.connection = home.number
        self.suri = home.suri
        self.genesis_interval = genesis_interval
        self._seed = seed
        self._net_wh = net_profile(scenario, home)
        self._wh_max = home.wh_max
        self._contracts = [
            contract
            for contract in scenario.contracts
            if home.number in (contract.seller, contract.buyer)
        ]
        parties = {number for each in self._contracts for number in (each.seller, each.buyer)}
        self._partners_net_wh = {
            other.number: net_profile(scenario, other)
            for other in scenario.homes
            if other.number in parties
        }
        self.is_pool_only = home.number % POOL_ONLY_EVERY == 0

    def forecast_wh(self, interval: int) -> int:
        """Net energy of an interval: what it was a day before."""
        return self._net_wh[slot_of(interval, self.genesis_interval) - SLOTS_PER_DAY]

    def to_trade_wh(self, interval: int) -> int:
        """Its forecast less what its contracts will deliver."""
        if not self._contracts:
            return self.forecast_wh(interval)
        slot = slot_of(interval, self.genesis_interval) - SLOTS_PER_DAY
        forecasts = {number: net[slot] for number, net in self._partners_net_wh.items()}
        slot_of_day = (interval - self.genesis_interval) % SLOTS_PER_DAY
        return left_to_trade(self.connection, slot_of_day, forecasts, self._contracts)

    def quote(self, interval: int) -> Quote | None:
        """Its first orders for an interval; None when there is nothing to trade."""
        if self.is_pool_only:
            return None
        net_wh = self.to_trade_wh(interval)
        quantity_wh = min(abs(net_wh), self._wh_max)
        return self._quote(interval, (), net_wh > 0, quantity_wh, 1)

    def requote(self, interval: int, still_open: Sequence[OpenOrder]) -> Quote | None:
        """What was not filled, at other prices; None when all of it was."""
        if not still_open:
            return None
        quantity_wh = sum(order.quantity_wh for order in still_open)
        cancelled = [order.order_id for order in still_open]
        return self._quote(interval, cancelled, still_open[0].is_bid, quantity_wh, 2)

    def _quote(
        self,
        interval: int,
        cancelled: Sequence[int],
        is_bid: bool,
        quantity_wh: int,
        attempt: int,
    ) -> Quote | None:
        wanted = f"{self._seed}/{self.connection}/{interval}/{attempt}"
        steps = min(1 + draw(f"{wanted}/steps", STEPS_MAX), quantity_wh // QUANTITY_WH_MIN)
        if steps == 0:
            return None  # too little for an order; a remainder rests as it is
        orders: list[Order] = []
        for step in range(steps):
            if is_bid:
                price = BID_PRICE_MIN + draw(f"{wanted}/{step}", RETAIL_PRICE - BID_PRICE_MIN)
            elif step == 0:
                price = FEED_IN_PRICE + 1
            else:
                span = OFFER_PRICE_MAX - FEED_IN_PRICE
                price = FEED_IN_PRICE + 1 + draw(f"{wanted}/{step}", span)
            # Equal steps; what does not divide goes to the first ones, 1 Wh each.
            share = quantity_wh // steps + (step < quantity_wh % steps)
            orders.append(Order(is_bid, price, share))
        return Quote(self.connection, interval, cancelled, orders)


class Trader:
    """Buys and sells at bus 0 for the supplier, around the spot price."""

    def __init__(self, scenario: Scenario, genesis_interval: int, quantity_wh: int) -> None:
        """`quantity_wh` on each side and interval; 0 switches it off."""
        self.connection = 0
        self.suri = SUPPLIER.suri
        self.genesis_interval = genesis_interval
        self._spot = scenario.window.spot_price
        self._quantity_wh = quantity_wh

    def quote(self, interval: int) -> Quote | None:
        """A bid and an offer around the spot price of an interval."""
        middle = self._spot[slot_of(interval, self.genesis_interval)] + SPOT_LIFT
        orders = [
            Order(is_bid, price, self._quantity_wh)
            for is_bid, price in (
                (True, max(middle - TRADER_MARGIN, -PRICE_FLOOR)),
                (False, max(middle + TRADER_MARGIN, -PRICE_FLOOR)),
            )
            if self._quantity_wh >= (QUANTITY_WH_MIN if price >= 0 else QUANTITY_WH_MIN_NEGATIVE)
        ]
        return Quote(self.connection, interval, (), orders) if orders else None


class Agents(NamedTuple):
    """Everyone who acts on the chain of a scenario."""

    homes: Sequence[HomeAgent]
    trader: Trader
    meters: Sequence[Meter]
    """The transformer's first, then the homes'."""

    operator: OperatorMeter

    def corrections(self, interval: int) -> list[Correction]:
        """What the operator reads by hand of an interval, because meters were silent."""
        found: list[Correction] = []
        for meter in self.meters:
            if interval >= meter.genesis_interval and meter.is_silent(interval):
                reading = meter.reading(interval)
                found.append(
                    Correction(
                        meter.connection,
                        interval,
                        reading.import_wh,
                        reading.export_wh,
                        "read by hand: the meter was silent",
                    )
                )
        return found

    @classmethod
    def of(
        cls, scenario: Scenario, genesis_interval: int, trader_wh: int, seed: int = 0
    ) -> "Agents":
        """The agents of a scenario."""
        operator = OperatorMeter(scenario, genesis_interval)
        return cls(
            [HomeAgent(scenario, home, genesis_interval, seed) for home in scenario.homes],
            Trader(scenario, genesis_interval, trader_wh),
            [operator, *(HomeMeter(scenario, home, genesis_interval) for home in scenario.homes)],
            operator,
        )


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


def draw(what: str, options: int) -> int:
    """A number from 0 to `options` - 1 that follows from `what`, on any machine the same."""
    return int.from_bytes(blake2b(what.encode(), digest_size=16).digest()) % options
