"""Coupled orders: what they say, how they wait, and what is announced of them.

A coupled order names several intervals and is accepted over all of them at once, or not at all. Its
alternatives are *executions*: energies per interval, and what they are worth to its owner.

Units: Wh per interval, W, micro-DRT per kWh, nano-DRT, ppm.
"""

from typing import Annotated

from runtime import frame
from runtime.frame import (
    U8,
    U32,
    Balance,
    Compact,
    ConnectionId,
    EnergyWh,
    Enum,
    IntervalIndex,
    MaxLen,
    Moment,
    OrderId,
    PowerW,
    PricePerKwh,
    SignedBalance,
    Struct,
)
from runtime.pallets.trading.records import Side

COUPLED_MAX = 64  # waiting in the zone; bounds a search, whose swaps grow with its square
COUPLED_PER_CONNECTION_MAX = 4  # an array, a car, a battery and one more; nobody fills the zone
WINDOW_MAX = 96  # intervals of one order: the day that is open
BLOCKS_MAX = 8  # alternatives of an exclusive group, as an order has steps of a curve


class Block(Struct):
    """Linked intervals at one limit for their total: all of them, or at least a part of each."""

    side: Side
    price_micro: PricePerKwh
    """Over all intervals together a bid pays at most, an offer gets at least this per kWh."""

    first: IntervalIndex
    quantities_wh: Annotated[tuple[U32, ...], MaxLen(WINDOW_MAX)]
    """From `first` on; zero where the block pauses, but neither at its beginning nor at its end."""

    acceptance_min_ppm: U32
    """The least part that may be accepted, the same in each interval; a million: all or none."""


class CoupledTerms(Enum):
    """What a coupled order says."""


class Blocks(CoupledTerms, index=0):
    """A block, or an exclusive group of them: at most one is accepted."""

    blocks: Annotated[tuple[Block, ...], MaxLen(BLOCKS_MAX)]


class Flexible(CoupledTerms, index=1):
    """Energy in `duration` intervals on end, whenever it suits between `first` and `last`."""

    side: Side
    price_micro: PricePerKwh
    energy_wh: Compact[EnergyWh]
    duration: U8
    first: IntervalIndex
    last: IntervalIndex


class Vehicle(CoupledTerms, index=2):
    """Energy that a car needs by the end of `last`, in whatever portions, within a power limit."""

    price_micro: PricePerKwh
    """It pays at most this per kWh for all of it together."""

    energy_wh: Compact[EnergyWh]
    power_w: PowerW
    first: IntervalIndex
    last: IntervalIndex


class Battery(CoupledTerms, index=3):
    """A battery that buys and sells between `first` and `last` if that pays."""

    first: IntervalIndex
    last: IntervalIndex
    capacity_wh: U32
    """What may be stored, above the reserve that its owner never offers."""

    stored_wh: U32
    """What is stored when `first` begins."""

    stored_end_wh: U32
    """What has to be stored when `last` ends."""

    charge_w: PowerW
    discharge_w: PowerW
    """Power limits, at the meter."""

    efficiency_ppm: U32
    """Each way: what of the charged energy is stored, and of the stored energy is delivered."""

    wear_micro: PricePerKwh
    """What a delivered kWh has to bring beyond its purchase."""


class CoupledOrder(Struct):
    """A coupled order that waits."""

    connection: ConnectionId
    placed_ms: Moment
    """Timestamp of the block that included it."""

    held_nano: Balance
    """Collateral: the most that any of its executions could cost."""

    terms: CoupledTerms


class CoupledEntry(Struct):
    """A waiting coupled order as readers see it."""

    order_id: OrderId
    order: CoupledOrder


class CoupledFill(Struct):
    """One interval of an accepted coupled order."""

    interval: IntervalIndex
    buy_wh: EnergyWh
    sell_wh: EnergyWh
    price_micro: PricePerKwh


class CoupledPlaced(frame.Event, index=24):
    """A coupled order waits for a call, the most it could cost is kept aside."""

    order_id: OrderId
    order: CoupledOrder


class CoupledCancelled(frame.Event, index=25):
    """A coupled order was taken back, its collateral released."""

    order_id: OrderId


class CoupledAccepted(frame.Event, index=26):
    """A call accepted a coupled order over all its intervals. Final: these are fills now."""

    order_id: OrderId
    connection: ConnectionId
    surplus_nano: SignedBalance
    """What its owner would have paid beyond what it pays; never negative."""

    fills: Annotated[tuple[CoupledFill, ...], MaxLen(WINDOW_MAX)]


class CoupledExpired(frame.Event, index=27):
    """The gate of its first interval passed: the order was not accepted, its collateral is free."""

    order_id: OrderId


class NotForTheSupplier(frame.Error, index=26):
    """Coupled and sealed orders are for connections, whose tariff bounds what they can cost; the
    supplier trades by ordinary orders.
    """


class CoupledWindowInvalid(frame.Error, index=27):
    """A window is empty or longer than 96 intervals, or a block begins or ends with a pause."""


class CoupledQuantityInvalid(frame.Error, index=28):
    """An interval of an execution, or all of it, is below 10 Wh or above 2**26 - 1 Wh."""


class CoupledTermsInvalid(frame.Error, index=29):
    """There is no alternative or more than a week's worth of nonsense in it: a part to accept above
    a million ppm, a duration longer than the window, more stored than the capacity, an efficiency
    outside of 500 000 to 1 000 000 ppm.
    """


class CoupledOutOfReach(frame.Error, index=30):
    """Within its power limit the energy cannot be there in time."""


class TooManyCoupledOrders(frame.Error, index=31):
    """64 coupled orders wait in the zone, or 4 of the connection, or 16 of the connection wait or
    were accepted for intervals that may not be settled yet.
    """


class CoupledOrderNotFound(frame.Error, index=32):
    """No coupled order that waits has this id: it was never placed, or it has ended."""
