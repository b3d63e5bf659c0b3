"""What ConsumptionMetering is given: the clock, the connections, what an interval is."""

from typing import Protocol

from runtime import frame
from runtime.frame import U64, AccountId, IntervalIndex
from runtime.frame.traits import Clock
from runtime.pallets.producer_registration import Connection


class Registry(Protocol):
    """What this pallet asks about connections."""

    def count(self) -> int:
        """Connections have the numbers below it."""
        ...

    def connection(self, number: int) -> Connection | None:
        """A connection by its number."""
        ...

    def operator_account(self) -> AccountId:
        """The grid operator."""
        ...

    def check_operator(self, who: AccountId) -> None:
        """Refuse everyone but the grid operator."""
        ...


class Config(frame.Config):
    clock: Clock
    """Time of the block."""

    registry: Registry
    """The connections."""

    market_interval_ms: U64
    """Length of a market interval; it always means a quarter hour of energy."""

    genesis_interval: IntervalIndex
    """A Monday's first interval: days and working days are counted from it."""
