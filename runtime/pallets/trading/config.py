"""What the market asks of the chain and of the other pallets."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from runtime import frame
from runtime.frame import U32, U64, AccountId, IntervalIndex, PricePerKwh
from runtime.frame.traits import Clock
from runtime.kernels.auction import TreeArrays
from runtime.pallets.consumption_metering.records import Metered
from runtime.pallets.grid_balancing import EdgeFlows
from runtime.pallets.producer_registration import Connection, Technology
from runtime.pallets.trading.settlement import Tariff, ZonePrices

DISPUTE_INTERVALS_MAX = 672  # a week; provisional records are kept, so it bounds the state


class Chain(Protocol):
    """Which block is being made."""

    def parent_hash(self) -> bytes:
        """Hash of its parent."""
        ...


class Purse(Protocol):
    """The money of accounts: part of it is free, part of it set aside by this pallet."""

    def free_balance(self, who: AccountId) -> int:
        """What is not set aside."""
        ...

    def existential_deposit(self) -> int:
        """The least an account has to keep free."""
        ...

    def reserved_balance(self, who: AccountId) -> int:
        """What this pallet has set aside."""
        ...

    def spendable(self, who: AccountId, *, keep_alive: bool) -> int:
        """The most that can leave an account."""
        ...

    def hold(self, who: AccountId, amount: int) -> None:
        """Set free money aside; raises when it is not there."""
        ...

    def release(self, who: AccountId, amount: int) -> None:
        """Free money that was set aside."""
        ...

    def charge(self, who: AccountId, pot: AccountId, amount: int) -> None:
        """Take money into a pallet's account."""
        ...

    def pay_out(self, pot: AccountId, who: AccountId, amount: int) -> bool:
        """Give money from a pallet's account; False if the receiver would not exist with it."""
        ...

    def transfer(
        self, source: AccountId, dest: AccountId, amount: int, *, keep_alive: bool = True
    ) -> None:
        """Move free money; raises when it is not there."""
        ...


class Registry(Protocol):
    """The connections and who is who in the zone."""

    def count(self) -> int:
        """Connections have the numbers below it."""
        ...

    def connection(self, number: int) -> Connection | None:
        """A connection by its number."""
        ...

    def source_power(self, number: int) -> Mapping[Technology, int]:
        """Rated power of the active sources of a connection, by technology."""
        ...

    def operator_account(self) -> AccountId:
        """The grid operator."""
        ...

    def supplier_account(self) -> AccountId:
        """The supplier of record."""
        ...


class Metering(Protocol):
    """Readings, or what stands in for them."""

    def has_reading(self, connection: int, interval: int) -> bool:
        """Whether a reading of an interval that is not settled was accepted."""
        ...

    def close_interval(self, interval: int, booked_loss_wh: int) -> list[Metered]:
        """What each connection is settled with, by its number."""
        ...

    def take_corrected(self, count: int) -> list[int]:
        """Up to `count` intervals that have to be settled again."""
        ...

    def is_corrected(self, interval: int) -> bool:
        """Whether an interval waits to be settled again."""
        ...

    def energies_of(self, interval: int, booked_loss_wh: int) -> list[Metered]:
        """What a provisional settlement is made again with, by connection."""
        ...

    def make_final(self, interval: int) -> None:
        """Take no more corrections of an interval."""
        ...

    def forget(self, interval: int) -> None:
        """Drop what is older than the history."""
        ...


class Grid(Protocol):
    """The tree of buses and what it carries."""

    def parents(self) -> Sequence[int]:
        """The parent of each bus."""
        ...

    def flows_of(self, interval: int) -> EdgeFlows:
        """What the calls of an interval send over the edges."""
        ...

    def residual_tree(self, interval: int) -> TreeArrays:
        """The tree with the capacity that earlier calls left."""
        ...

    def base_tariffs(self) -> tuple[int, ...]:
        """The tree's tariff of each edge, by the bus at its lower end."""
        ...

    def fix_tariffs(self, interval: int, tariffs: tuple[int, ...]) -> None:
        """Let an interval have other tariffs than the tree's."""
        ...

    def path_tariff(self, source: int, target: int, tariffs: Sequence[int]) -> int:
        """The tariffs of all edges between two buses."""
        ...

    def reserve(self, interval: int, source: int, target: int, energy_wh: int) -> int:
        """Reserve capacity for energy that arrives at a bus: all of it or what fits; how much."""
        ...

    def book_flows(self, interval: int, net_export: Sequence[int], received: Sequence[int]) -> None:
        """Add what a call sends over the edges."""
        ...

    def imported_at_root(self, interval: int) -> int:
        """What came from outside by contract, in Wh at the zone's side of the transformer."""
        ...

    def record_balance(
        self,
        interval: int,
        transformer: tuple[int, int],
        metered: Sequence[tuple[int, int, int]],
    ) -> None:
        """Keep the measured balance: import and export of the zone, and (bus, import, export)."""
        ...

    def check_balance(self, interval: int, injected: Mapping[int, int]) -> None:
        """Assert that each bus passes on what is injected there and below."""
        ...

    def forget(self, interval: int) -> None:
        """Drop what is older than the history."""
        ...


class Config(frame.Config):
    clock: Clock
    """Time of the block."""

    chain: Chain
    """Salt of the canonical order."""

    currency: Purse
    """Keeps, sets aside and moves the money."""

    registry: Registry
    """The connections."""

    metering: Metering
    """The readings."""

    grid: Grid
    """The tree of buses."""

    market_interval_ms: U64
    """Length of a market interval; it always means a quarter hour of energy."""

    call_period_ms: U64
    """Time between calls of the auction; a divisor of the market interval."""

    genesis_interval: IntervalIndex
    """The first interval of the chain."""

    supplier_price: PricePerKwh
    """The supplier's part of the retail price."""

    network_fee: PricePerKwh
    """The operator's part of the retail price."""

    feed_in_price: PricePerKwh
    """What the supplier pays for export that was not sold."""

    imbalance_price_max: PricePerKwh
    """Price of deviations when the zone is short; at least retail."""

    imbalance_price_min: PricePerKwh
    """Price of deviations when the zone is long; at most feed-in."""

    dual_imbalance: U32
    """1: who is short pays the greatest price, who is long gets the least. 0: one price."""

    loss_price: PricePerKwh
    """What the operator pays the supplier for losses beyond those the market booked."""

    pool_fee: PricePerKwh
    """What a buyer of the pool pays for the network instead of the network fee."""

    price_floor: U32
    """The supplier's limits go down to minus this."""

    dispute_intervals: U32
    """Intervals after its settlement for which an interval can be corrected; then it is final."""

    book_orders_max: U32
    """Open orders of one interval; bounds the work of a call."""

    clearing_weight: U64
    """Picoseconds per block reserved for calls of the auction."""

    settlement_weight: U64
    """Picoseconds per block reserved for settlements."""

    def integrity(self) -> None:
        """Refuse constants for which the rules of the market do not hold."""
        retail = self.supplier_price + self.network_fee
        low, high = self.imbalance_price_min, self.imbalance_price_max
        if not low <= self.feed_in_price <= retail <= high or high < 0:
            raise ValueError(
                f"prices {low}, {self.feed_in_price}, {retail}, {high}: expected the least "
                "imbalance price, feed-in, retail and the greatest one, rising"
            )
        if not 0 <= self.pool_fee <= retail - self.feed_in_price:
            raise ValueError(
                f"pool_fee {self.pool_fee}: expected 0 to {retail - self.feed_in_price}, "
                "what retail leaves above feed-in"
            )
        if self.dual_imbalance not in (0, 1):
            raise ValueError(f"dual_imbalance {self.dual_imbalance}: expected 0 or 1")
        if self.dispute_intervals > DISPUTE_INTERVALS_MAX:
            raise ValueError(
                f"dispute_intervals {self.dispute_intervals}: expected at most "
                f"{DISPUTE_INTERVALS_MAX}, for which records are kept"
            )
        if self.call_period_ms <= 0 or self.market_interval_ms % self.call_period_ms:
            raise ValueError(
                f"call_period_ms {self.call_period_ms} does not divide the market interval "
                f"of {self.market_interval_ms}"
            )


def tariff_of(config: Config) -> Tariff:
    """What energy costs that was not traded."""
    return Tariff(config.supplier_price, config.network_fee, config.feed_in_price)


def zone_prices_of(config: Config, pool_fee: int, is_dual: bool) -> ZonePrices:
    """Prices of deviations and losses, and the fee of the pool."""
    return ZonePrices(
        config.imbalance_price_max,
        config.imbalance_price_min,
        config.loss_price,
        pool_fee,
        is_dual=is_dual,
    )
