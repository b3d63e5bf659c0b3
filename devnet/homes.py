"""What the agents of a scenario do: homes that trade, their meters, the trader, the operator.

Pure decisions: an agent says what it wants for an interval, others sign and send it (the live
agents over RPC, a replay directly). Everything follows from the scenario, the seed, the interval
and what the chain says of it, so an agent that is started again goes on as before.

In interval j a home quotes its forecast for j + 95 and revises, at other prices, what is not
filled for j + 3 and j + 2; the trader quotes an interval once, with the homes; meters report j - 1
(`devnet.meters`). A home forecasts what was metered a day before. How it trades is its strategy
(`node.gateway.strategies`): most are automatic, every fifth is pool only, and some owners trade by
hand. Some homes have contracts (`devnet.contracts`) and trade what these leave.

Units: Wh, micro-DRT per kWh.
"""

from collections.abc import Sequence
from typing import NamedTuple

from devnet import calls
from devnet.chain_view import NOTHING_SEEN, Counted
from devnet.chain_view import View as ChainView
from devnet.contracts import left_to_trade
from devnet.dataset import HISTORY_SLOTS
from devnet.devices import Device, NetOf, Session, device_of, session_at
from devnet.meters import (
    HomeMeter,
    Meter,
    OperatorMeter,
    Reading,
    net_profile,
    reading_after,
    slot_of,
)
from devnet.plan import DEVICES_IN_MARKET, NO_DEVICES
from devnet.scenario import (
    FEED_IN_PRICE,
    PRICE_FLOOR,
    RETAIL_PRICE,
    SUPPLIER,
    Home,
    Scenario,
)
from node.gateway.strategies import (
    QUANTITY_WH_MIN,
    QUOTE_AHEAD,
    REVISE_AHEAD,
    Automatic,
    Instruction,
    Manual,
    Order,
    PoolOnly,
    PriceRange,
    Strategy,
    View,
)

READ_BEHIND, CORRECT_BEHIND = 1, 4
"""In interval j: readings of j - 1, corrections of j - 4, which is settled since j - 1."""

DECIDE_AHEAD = (*reversed(REVISE_AHEAD), QUOTE_AHEAD)
"""The next gate first."""

SLOTS_PER_DAY = 96
POOL_ONLY_EVERY, MANUAL_EVERY, SESSION_EVERY = 5, 17, 6
SESSION = range(72, 76)
"""Quarter hours of the evening that some homes buy together (`devnet.coupled_homes`)."""

SEALED_EVERY, SEALED_SLOTS = 13, (44, 68)
"""Quarter hours, of 11 and 17 o'clock, for which some homes seal orders (`devnet.sealed_homes`)."""

QUANTITY_WH_MIN_NEGATIVE = 1_000
"""The market's least order with a limit below 0."""

PRICES = PriceRange(
    bid_min=150_000, bid_end=RETAIL_PRICE, offer_min=FEED_IN_PRICE + 1, offer_max=60_000
)
PART_OF_DAY = 24
"""Six hours, for which an owner writes down one order."""

OWNER_BID = 180_000
SPOT_LIFT = 60_000
"""Spot prices of 2020 are this much below those of a usual year."""

TRADER_MARGIN = 5_000
TRADER_AHEAD = (QUOTE_AHEAD, max(REVISE_AHEAD))


class Quote(NamedTuple):
    """All orders of a connection that should rest in an interval from now on."""

    connection: int
    interval: int
    position_wh: int
    """What it has bought less sold, as far as it knows."""

    orders: Sequence[Order]

    def call(self) -> bytes:
        """The call that makes it so."""
        terms = [
            calls.Terms(
                calls.BID if order.is_bid else calls.OFFER, order.price_micro, order.quantity_wh
            )
            for order in self.orders
        ]
        return calls.replace_orders(self.connection, self.interval, self.position_wh, terms)


class Standing(NamedTuple):
    """What the chain says of a connection in an interval."""

    position_wh: int
    resting: Sequence[Order]


NOTHING = Standing(0, ())


class Correction(NamedTuple):
    """What the operator read by hand."""

    connection: int
    interval: int
    import_wh: int
    export_wh: int
    reason: str


class HomeAgent:
    """Trades for a home by its strategy."""

    def __init__(
        self,
        scenario: Scenario,
        home: Home,
        genesis_interval: int,
        seed: int = 0,
        devices: str = NO_DEVICES,
    ) -> None:
        """`seed` makes it draw other prices. `devices`: one of `devnet.plan.DEVICES`."""
        self.connection = home.number
        self.suri = home.suri
        self.bus, self.wh_max = home.bus, home.wh_max
        self.genesis_interval = genesis_interval
        self._net_wh = net_profile(scenario, home)
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
        self.strategy = self._strategy(f"{seed}/{home.number}", home.wh_max)
        self.device: Device | None = None
        if devices != NO_DEVICES:
            self.device = device_of(home, self._net_wh, may_draw=not has_session(home.number))
        self.has_session = has_session(home.number) and self.device is None
        self.asks_for_device = devices == DEVICES_IN_MARKET and isinstance(self.strategy, Automatic)
        """Whether its device has coupled orders; else its own rule is all it has."""

    def _strategy(self, name: str, wh_max: int) -> Strategy:
        if self.connection % POOL_ONLY_EVERY == 0:
            return PoolOnly()
        if self.connection % MANUAL_EVERY == 0:
            return Manual(cautious_instructions(self._net_wh[:HISTORY_SLOTS]))
        return Automatic(name, wh_max, PRICES)

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

    def metered_wh(self, interval: int) -> int:
        """What its profile takes less gives in an interval, without its device."""
        return self._net_wh[slot_of(interval, self.genesis_interval)]

    def device_wh(self, interval: int, seen: ChainView) -> int:
        """What its device takes in an interval (negative: gives), as its meter will show."""
        session = self._session_at(interval)
        if session is None:
            return 0
        return self._plan(session, seen, self.metered_wh)[interval - session.first]

    def is_unasked(self, session: Session, seen: ChainView) -> bool:
        """Whether no order for a session waits or was accepted."""
        is_waiting = (session.first, self.connection) in seen.waiting
        return not is_waiting and seen.schedule_of(self.connection, session.first) is None

    def _session_at(self, interval: int) -> Session | None:
        if self.device is None:
            return None
        return session_at(self.device, interval, self.genesis_interval)

    def _plan(self, session: Session, seen: ChainView, net_of: NetOf) -> Sequence[int]:
        """What the device does in a session: as its order was accepted, or by its own rule."""
        assert self.device is not None, "it has a session"
        schedule = seen.schedule_of(self.connection, session.first)
        if schedule is None:
            return self.device.by_itself(session, net_of)
        return self.device.by_schedule(session, schedule.over(session.first, session.intervals))

    def _device_to_trade(self, interval: int, now: int, seen: ChainView) -> tuple[int, int]:
        """What its device has bought less sold of an interval by a coupled order, and what of it
        is to be traded beside: all of it by its own rule once no order can bring it any more.
        """
        session = self._session_at(interval)
        if session is None:
            return 0, 0
        schedule = seen.schedule_of(self.connection, session.first)
        if schedule is not None:
            return schedule.over(interval, 1)[0], 0
        may_come = now < session.first - 1 or not self.is_unasked(session, seen)
        if self.asks_for_device and may_come:
            return 0, 0
        return 0, self._plan(session, seen, self.forecast_wh)[interval - session.first]

    def decide(
        self, interval: int, ahead: int, standing: Standing, seen: ChainView = NOTHING_SEEN
    ) -> Quote | None:
        """What should rest in an interval that is so far ahead; None to leave it as it is."""
        ordered_wh, device_wh = self._device_to_trade(interval, interval - ahead, seen)
        view = View(
            interval,
            ahead,
            (interval - self.genesis_interval) % SLOTS_PER_DAY,
            self.to_trade_wh(interval) + device_wh,
            standing.position_wh - ordered_wh,
            standing.resting,
        )
        if view.slot_of_day in SESSION and self.has_session:
            return None
        if seals(self.connection, view.slot_of_day):
            return None
        orders = self.strategy.decide(view)
        if orders is None:
            return None
        return Quote(self.connection, interval, standing.position_wh, orders)


def has_session(connection: int) -> bool:
    """Whether a home buys its session as a block; it is an automatic one, the third of each six."""
    return is_automatic(connection) and connection % SESSION_EVERY == 3


def seals(connection: int, slot_of_day: int) -> bool:
    """Whether a home seals its order for a quarter hour of the day; it is an automatic one, the
    seventh of each thirteen.
    """
    return (
        slot_of_day in SEALED_SLOTS and is_automatic(connection) and connection % SEALED_EVERY == 6
    )


def is_automatic(connection: int) -> bool:
    """Whether a home trades its forecast."""
    return connection % POOL_ONLY_EVERY != 0 != connection % MANUAL_EVERY


def cautious_instructions(history_wh: Sequence[int]) -> list[Instruction]:
    """What a cautious owner writes down: to buy in each part of the day what was needed in all
    of its quarter hours so far, if that is enough for an order.

    `history_wh`: net energy of whole days until yesterday.
    """
    instructions: list[Instruction] = []
    for first in range(0, SLOTS_PER_DAY, PART_OF_DAY):
        last = first + PART_OF_DAY - 1
        least_wh = min(
            net for slot, net in enumerate(history_wh) if first <= slot % SLOTS_PER_DAY <= last
        )
        if least_wh >= QUANTITY_WH_MIN:
            instructions.append(Instruction(first, last, Order(True, OWNER_BID, least_wh)))
    return instructions


class Trader:
    """Buys and sells at bus 0 for the supplier, around the spot price."""

    def __init__(self, scenario: Scenario, genesis_interval: int, quantity_wh: int) -> None:
        """`quantity_wh` on each side and interval; 0 switches it off."""
        self.connection = 0
        self.suri = SUPPLIER.suri
        self.genesis_interval = genesis_interval
        self._spot = scenario.window.spot_price
        self._quantity_wh = quantity_wh

    def decide(
        self, interval: int, ahead: int, standing: Standing, seen: ChainView = NOTHING_SEEN
    ) -> Quote | None:
        """A bid and an offer around the spot price of an interval, once: a day ahead, or after
        genesis when homes quote for the first time.
        """
        if ahead not in TRADER_AHEAD or standing != NOTHING:
            return None
        middle = self._spot[slot_of(interval, self.genesis_interval)] + SPOT_LIFT
        orders = [
            Order(is_bid, price, self._quantity_wh)
            for is_bid, price in (
                (True, max(middle - TRADER_MARGIN, -PRICE_FLOOR)),
                (False, max(middle + TRADER_MARGIN, -PRICE_FLOOR)),
            )
            if self._quantity_wh >= (QUANTITY_WH_MIN if price >= 0 else QUANTITY_WH_MIN_NEGATIVE)
        ]
        return Quote(self.connection, interval, 0, orders) if orders else None


class Agents(NamedTuple):
    """Everyone who acts on the chain of a scenario."""

    homes: Sequence[HomeAgent]
    trader: Trader
    meters: Sequence[Meter]
    """The transformer's first, then the homes'."""

    operator: OperatorMeter

    @property
    def with_devices(self) -> list[HomeAgent]:
        """The homes that have a device."""
        return [home for home in self.homes if home.device is not None]

    def net_wh(self, meter: Meter, interval: int, seen: ChainView) -> int:
        """What a meter counts in an interval, import less export, with all devices behind it."""
        if meter is self.operator:
            return self.operator.with_devices(interval, self.devices_wh(interval, seen)).net_wh
        return meter.net_in(interval) + self.homes[meter.connection - 1].device_wh(interval, seen)

    def devices_wh(self, interval: int, seen: ChainView) -> dict[int, int]:
        """What devices take of an interval, by the connection of their homes."""
        return {home.connection: home.device_wh(interval, seen) for home in self.with_devices}

    def reading(self, meter: Meter, interval: int, seen: ChainView) -> Reading | None:
        """What a meter says after an interval; None if the chain knows that or a later reading.

        Behind a device registers depend on what was accepted: they count on from the latest reading
        that the chain has. Others follow from the data alone.
        """
        is_plain = meter is not self.operator and self.homes[meter.connection - 1].device is None
        if is_plain or not self.with_devices:
            return meter.reading(interval)
        counted = seen.counted.get(meter.connection, Counted(meter.genesis_interval - 1, 0, 0))
        since = range(counted.interval + 1, interval + 1)
        return reading_after(counted, [self.net_wh(meter, each, seen) for each in since])

    def corrections(self, interval: int, seen: ChainView = NOTHING_SEEN) -> list[Correction]:
        """What the operator reads by hand of an interval, because meters were silent."""
        found: list[Correction] = []
        for meter in self.meters:
            if interval >= meter.genesis_interval and meter.is_silent(interval):
                net_wh = self.net_wh(meter, interval, seen)
                found.append(
                    Correction(
                        meter.connection,
                        interval,
                        max(net_wh, 0),
                        max(-net_wh, 0),
                        "read by hand: the meter was silent",
                    )
                )
        return found

    @classmethod
    def of(
        cls,
        scenario: Scenario,
        genesis_interval: int,
        trader_wh: int,
        seed: int = 0,
        devices: str = NO_DEVICES,
    ) -> "Agents":
        """The agents of a scenario. `devices`: one of `devnet.plan.DEVICES`."""
        operator = OperatorMeter(scenario, genesis_interval)
        return cls(
            [HomeAgent(scenario, home, genesis_interval, seed, devices) for home in scenario.homes],
            Trader(scenario, genesis_interval, trader_wh),
            [operator, *(HomeMeter(scenario, home, genesis_interval) for home in scenario.homes)],
            operator,
        )
