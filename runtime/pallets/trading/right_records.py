"""What is kept of energy rights: who sold which class of energy to whom, and who prefers what."""

from typing import Annotated

from runtime import frame
from runtime.frame import (
    U8,
    U16,
    U32,
    Balance,
    BusIndex,
    Compact,
    ConnectionId,
    EnergyWh,
    IntervalIndex,
    MaxLen,
    SignedBalance,
    Struct,
    UnitEnum,
)
from runtime.pallets.trading.records import Side

NETWORK: ConnectionId = 2**32 - 1
"""Stands for a buyer: what the network lost on the way."""

MIX: ConnectionId = 2**32 - 2
"""Stands for a buyer, and for a seller: what a call that is too large to be paired mixed."""

PARTNERS_MAX = 16  # as many neighbours as one has by name
POINTS_MAX = 100
"""What a connection can distribute over its wishes, so that each has the same say."""

PREMIUM_MICRO_MAX = 1_000_000  # 1 DRT per kWh, more than energy ever costs


class EnergyClass(UnitEnum):
    """What the seller makes electricity from: the technology of its source, with its number."""

    SOLAR = 0
    WIND = 1
    HYDRO = 2
    BIOMASS = 3
    BIOGAS = 4
    GEOTHERMAL = 5
    TIDAL = 6
    RENEWABLE_CHP = 7
    STORAGE = 8
    VEHICLE_TO_GRID = 9
    UNSPECIFIED = 10
    """The supplier's, and that of connections without a source."""


GREEN = frozenset(range(EnergyClass.RENEWABLE_CHP + 1))
"""Classes that are renewable for certain; what a store gives back may come from anywhere."""

CLASSES_ALL = (1 << len(EnergyClass)) - 1


class Pair(Struct):
    """Energy that one connection sold and another bought, summed over the calls of an interval."""

    seller: Compact[ConnectionId]
    buyer: Compact[ConnectionId]
    energy_class: EnergyClass
    premium_micro: Compact[U32]
    """What the buyer adds per kWh that is delivered."""

    wh: Compact[EnergyWh]
    given_wh: Compact[EnergyWh]
    """Of it, what the seller's meter showed; known once the interval is settled."""

    delivered_wh: Compact[EnergyWh]
    """Of that, what the buyer's meter showed."""


class Preferences(Struct):
    """What a connection wishes of those it trades with. Points add up to 100 at most."""

    sources: U16
    """One bit per `EnergyClass` it likes to buy, its lowest one for solar."""

    partners: Annotated[tuple[ConnectionId, ...], MaxLen(PARTNERS_MAX)]
    """Whom it likes to buy from, and to sell to."""

    source_points: U8
    locality_points: U8
    """All of them for the same bus, half for the same feeder, a quarter for the same zone."""

    partner_points: U8


class Premium(Struct):
    """What a connection adds for green energy, and the money it keeps aside for that."""

    premium_micro: U32
    budget_nano: Balance
    """Kept aside; what was paid is gone from it."""

    reserved_nano: Balance
    """Of it, what the pairs of intervals that are not settled can cost."""


class RightOffer(Struct):
    """A right a connection wants to hand on, to another one at its bus."""

    side: Side
    """OFFER: the duty to deliver what it sold. BID: the right to what it bought."""

    energy_class: EnergyClass
    wh: Compact[EnergyWh]
    price_nano: SignedBalance
    """What the taker pays for it; negative: what the taker is paid."""

    taker: ConnectionId | None
    """Who may take it; none: anyone at the bus."""


class ClassedRight(Struct):
    """What a connection has to deliver, or may take, of one class."""

    connection: ConnectionId
    bus: BusIndex
    side: Side
    energy_class: EnergyClass
    wh: EnergyWh


class OriginKind(UnitEnum):
    """How energy came to a connection."""

    AUCTION = 0
    CONTRACT = 1
    POOL = 2
    """Of its members, no one in particular."""

    SUPPLIER = 3
    """What nobody else delivered: residual energy, and what sellers were short of."""


class Origin(Struct):
    """Where some of the metered import of a connection came from."""

    kind: OriginKind
    seller: ConnectionId | None
    energy_class: EnergyClass
    wh: EnergyWh
    premium_nano: Balance
    """What was added for it."""


class Green(Struct):
    """Sums over settled intervals of what the auction's pairs came to."""

    paired_wh: EnergyWh
    """Bought from a named seller."""

    delivered_wh: EnergyWh
    green_wh: EnergyWh
    """Delivered of green classes."""

    premium_nano: Balance
    """Paid for it."""


DEFAULT_PREFERENCES = Preferences(0, (), 0, POINTS_MAX, 0)
"""Of connections that declared none: as local as can be."""


class RightOffered(frame.Event, index=32):
    """A connection offers a right to others at its bus; an earlier offer is gone."""

    connection: ConnectionId
    interval: IntervalIndex
    offer: RightOffer


class RightOfferWithdrawn(frame.Event, index=33):
    """A connection took its offer back."""

    connection: ConnectionId
    interval: IntervalIndex


class RightTransferred(frame.Event, index=34):
    """A right went from one connection to another, and the price the other way."""

    interval: IntervalIndex
    giver: ConnectionId
    taker: ConnectionId
    side: Side
    energy_class: EnergyClass
    wh: EnergyWh
    price_nano: SignedBalance


class FillsPaired(frame.Event, index=35):
    """It was decided who bought from whom in a call."""

    interval: IntervalIndex
    bought_wh: EnergyWh
    green_wh: EnergyWh
    """Bought of green classes."""

    is_exact: bool
    """No other pairing satisfies the declared preferences better."""


class PreferencesDeclared(frame.Event, index=36):
    """A connection said what it wishes; it holds from the next call on."""

    connection: ConnectionId
    preferences: Preferences


class PremiumDeclared(frame.Event, index=37):
    """A connection keeps money aside to add to the price of green energy."""

    connection: ConnectionId
    premium: Premium


class PremiumsPaid(frame.Event, index=38):
    """Premiums of an interval went from buyers to sellers, for what was delivered."""

    interval: IntervalIndex
    green_wh: EnergyWh
    """Delivered energy of green classes."""

    premium_nano: SignedBalance
    """Their sum; in a settlement made again, the change of it."""


class RightNotHeld(frame.Error, index=36):
    """The connection does not have so much energy of this class to deliver, or to take."""


class RightOfferNotFound(frame.Error, index=37):
    """The connection offers nothing of the interval, or on other terms, or to someone else."""


class NotSameBus(frame.Error, index=38):
    """Rights stay at their bus: elsewhere the flows would be others."""


class SourceMissing(frame.Error, index=39):
    """Who takes on a duty to deliver energy of a class needs an active source of it."""


class RightOfferInvalid(frame.Error, index=40):
    """A right is handed on to another connection, which is there, for less than 2**63 nano-DRT."""


class PreferencesInvalid(frame.Error, index=41):
    """More than 100 points, a class or a partner that is not there, or oneself as a partner."""


class TooManyPairs(frame.Error, index=44):
    """The interval has 1 024 pairs of connections; it takes no transfer that adds some."""


class PremiumInvalid(frame.Error, index=42):
    """Above 1 DRT per kWh, or a premium without a budget, or a budget without a premium."""


class PremiumReserved(frame.Error, index=43):
    """The budget has to cover what the pairs of open intervals can cost already."""
