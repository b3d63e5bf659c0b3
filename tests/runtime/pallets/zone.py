"""A small zone of the grid: the market's pallets with real accounts, driven block by block.

Calls are made directly, as one account or another. `block` gives the chain a time, runs the calls,
ends the block as the runtime does, and asserts every invariant and that no money came or went.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any, TypeVar

import pytest

from runtime.frame import DispatchError
from runtime.frame.assembly import Assembly
from runtime.pallets import balances, grid_balancing, producer_registration
from runtime.pallets import system as system_pallet
from runtime.pallets.consumption_metering import ConsumptionMetering
from runtime.pallets.consumption_metering.config import Config as MeteringConfig
from runtime.pallets.trading import Trading
from runtime.pallets.trading.config import Config as TradingConfig
from runtime.pallets.trading.records import NO_HOLDING, Holding, Side, order_id_of
from runtime.primitives.block import Digest
from runtime.state.backend import MemoryBackend
from runtime.state.overlay import Overlay
from runtime.version import runtime_version

K0 = 1_000
"""The first interval of the chain."""

INTERVAL_MS = 6_000
SLOT_MS = 2_000
OPERATOR, SUPPLIER = bytes([1] * 32), bytes([2] * 32)
A, B, C, D, STRANGER = (bytes([10 + number] * 32) for number in range(5))
BID, OFFER = Side.BID, Side.OFFER
WEALTH = 10**15
EXISTENTIAL_DEPOSIT = 1_000_000

LOSSLESS: dict[str, Any] = {
    "parent": [0, 0, 1, 1],
    "cap_up": [0, 4_000, 4_000, 4_000],
    "cap_down": [0, 4_000, 4_000, 4_000],
    "loss_ppm": [0, 0, 0, 0],
    "tariff": [0, 0, 0, 0],
}
"""The root, a busbar, a bus for A, and one for B and C."""

LOSSY = LOSSLESS | {"loss_ppm": [0, 12_000, 10_000, 20_000], "tariff": [0, 5_000, 1_000, 2_000]}

CONSTANTS = {
    "market_interval_ms": INTERVAL_MS,
    "call_period_ms": INTERVAL_MS,
    "genesis_interval": K0,
    "supplier_price": 200_000,
    "network_fee": 100_000,
    "feed_in_price": 20_000,
    "imbalance_price_max": 300_000,
    "imbalance_price_min": 20_000,
    "dual_imbalance": 0,
    "loss_price": 40_000,
    "pool_fee": 50_000,
    "price_floor": 100_000,
    "dispute_intervals": 672,
    "book_orders_max": 4_096,
    "clearing_weight": 10**11,
    "settlement_weight": 10**11,
}

T = TypeVar("T")


class Clock:
    """The time of the block, set by the test."""

    ms = K0 * INTERVAL_MS

    def now(self) -> int:
        return self.ms


def text_of(account: bytes) -> str:
    """An account as a genesis writes it."""
    return "0x" + account.hex()


def meter_of(connection: int) -> bytes:
    """The account of a connection's meter."""
    return bytes([100 + connection] * 32)


class Zone:
    """Connections 1, 2, 3, ... at `buses`, owned by A, B, C, D in turn, each with a meter.

    Without `has_pool` all of them are outside the pool of residuals. `technologies`: the sources
    behind connections. `market`: more of the genesis section of Trading."""

    def __init__(
        self,
        topology: Mapping[str, Any] = LOSSLESS,
        buses: Sequence[int] = (2, 3, 3),
        *,
        owners: Sequence[bytes] = (A, B, C, D),
        without_meter: Iterable[int] = (),
        has_pool: bool = True,
        contracts: Sequence[Mapping[str, Any]] = (),
        market: Mapping[str, Any] | None = None,
        wealth: int = WEALTH,
        supplier_wealth: int = WEALTH,
        capacity_wh: int = 5_000,
        technologies: Mapping[int, Sequence[str]] = MappingProxyType({}),
        **constants: int,
    ) -> None:
        self.clock = Clock()
        self.constants = CONSTANTS | constants
        self.owner = {0: SUPPLIER}
        for number in range(1, len(buses) + 1):
            self.owner[number] = owners[(number - 1) % len(owners)]
        self.system = system_pallet.System(
            system_pallet.Config(block_hash_count=256, version=runtime_version(), SS58_prefix=42)
        )
        self.balances = balances.Balances(balances.Config(self.system, EXISTENTIAL_DEPOSIT))
        self.grid = grid_balancing.GridBalancing(grid_balancing.Config())
        self.registry = producer_registration.ProducerRegistration(
            producer_registration.Config(self.grid)
        )
        self.metering = ConsumptionMetering(
            MeteringConfig(
                self.clock,
                self.registry,
                self.constants["market_interval_ms"],
                self.constants["genesis_interval"],
            )
        )
        self.trading = Trading(
            TradingConfig(
                clock=self.clock,
                chain=self.system,
                currency=self.balances,
                registry=self.registry,
                metering=self.metering,
                grid=self.grid,
                **self.constants,
            )
        )
        self.assembly = Assembly(
            {
                0: self.system,
                6: self.balances,
                20: self.registry,
                21: self.metering,
                22: self.trading,
                23: self.grid,
            }
        )
        self.overlay = Overlay(MemoryBackend())
        self.assembly.bind(self.overlay)
        self.number = 0
        self.registers: dict[int, tuple[int, int]] = {}
        self.contracts = list(contracts)
        self.technologies = technologies
        self.market = dict(market or {})
        self.outside_pool = [] if has_pool else list(range(1, len(buses) + 1))
        self._genesis(topology, buses, set(without_meter), wealth, supplier_wealth, capacity_wh)
        self.money = self.balances.total_issuance.get()

    def _genesis(
        self,
        topology: Mapping[str, Any],
        buses: Sequence[int],
        without_meter: set[int],
        wealth: int,
        supplier_wealth: int,
        capacity_wh: int,
    ) -> None:
        accounts = {text_of(owner): wealth for owner in self.owner.values()}
        accounts |= {text_of(SUPPLIER): supplier_wealth, text_of(OPERATOR): WEALTH}
        accounts |= {text_of(meter_of(number)): 10**9 for number in self.owner}
        self.system.genesis({})
        self.balances.genesis({"accounts": accounts})
        self.grid.genesis({"topology": topology})
        connections: list[dict[str, Any]] = [
            {
                "id": number,
                "account": text_of(self.owner[number]),
                "bus": bus,
                "import_wh_max": capacity_wh,
                "export_wh_max": capacity_wh,
                "sources": [
                    {"technology": technology, "rated_w": capacity_wh}
                    for technology in self.technologies.get(number, ())
                ],
            }
            for number, bus in enumerate(buses, start=1)
        ]
        self.registry.genesis(
            {
                "operator": text_of(OPERATOR),
                "supplier": text_of(SUPPLIER),
                "connections": connections,
            }
        )
        meters = [
            {"connection": entry["id"], "account": text_of(meter_of(entry["id"]))}
            for entry in connections
            if entry["id"] not in without_meter
        ]
        self.metering.genesis({"operator_meter": text_of(meter_of(0)), "meters": meters})
        self.trading.genesis(
            {"outside_pool": self.outside_pool, "contracts": self.contracts} | self.market
        )

    # Time.

    def at(self, interval: int, offset_ms: int = 0) -> None:
        """Let the next calls happen at a time."""
        self.clock.ms = interval * self.constants["market_interval_ms"] + offset_ms

    def block(self, interval: int, offset_ms: int = 0, *calls: Callable[[], object]) -> list[Any]:
        """A block at a time: its calls, its end, its invariants. Gives the events."""
        self.at(interval, offset_ms)
        self.number += 1
        parent_hash = (self.number * 7919).to_bytes(32, "little")
        state = self.assembly.state
        events_before = len(state.events)
        self.system.begin_block(self.number, parent_hash, Digest([]))
        for call in calls:
            call()
        self.trading.on_finalize(self.number)
        self.check()
        return state.events[events_before:]

    def run(self, first: int, last: int) -> None:
        """Blocks at the beginning of intervals `first` to `last`."""
        for interval in range(first, last + 1):
            self.block(interval)

    def check(self) -> None:
        """Every invariant of every pallet."""
        for pallet in self.assembly.pallets:
            pallet.check_invariants()
        assert self.balances.total_issuance.get() == self.money

    # Calls.

    def order(self, number: int, interval: int, side: Side, price: int, wh: int) -> int:
        """Place an order as the owner of a connection; its id."""
        sequence = self.holding(interval, number).next_sequence
        self.trading.place_order(self.owner[number], number, interval, side, price, wh)
        return order_id_of(interval, number, sequence)

    def read(self, number: int, interval: int, imported: int, exported: int) -> None:
        """Report a reading as the meter of a connection, with registers that fit."""
        before = self.registers.get(number, (0, 0))
        after = (before[0] + imported, before[1] + exported)
        self.metering.submit_reading(meter_of(number), interval, *after, imported, exported)
        self.registers[number] = after

    def refuses(self, error: type[DispatchError], call: Callable[[], object]) -> None:
        """Assert that a call fails with an error and changes nothing."""
        before, events = self.overlay.changes(), len(self.assembly.state.events)
        with pytest.raises(error):
            call()
        assert self.overlay.changes() == before
        assert len(self.assembly.state.events) == events

    def tries(self, call: Callable[[], object]) -> bool:
        """Make a call that may be refused; whether it was done."""
        with suppress(DispatchError):
            call()
            return True
        return False

    # Looking.

    def holding(self, interval: int, number: int) -> Holding:
        """Orders and position of a connection."""
        return self.trading.holdings[interval, number]

    def position(self, interval: int, number: int) -> tuple[int, int]:
        """What a connection bought and sold."""
        holding = self.holding(interval, number)
        return holding.buy_wh, holding.sell_wh

    def free(self, account: bytes) -> int:
        return self.balances.free_balance(account)

    def held(self, account: bytes) -> int:
        return self.balances.reserved_balance(account)

    def is_idle(self, interval: int, number: int) -> bool:
        """Whether a connection has nothing in the market for an interval."""
        return self.holding(interval, number) == NO_HOLDING

    def events_of(self, kind: type[T], events: Iterable[object]) -> list[T]:
        """Those of a kind."""
        return [event for event in events if isinstance(event, kind)]
