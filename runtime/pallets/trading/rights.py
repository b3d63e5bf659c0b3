"""Energy rights: what fills gave, by class, whom it is from, and how it is handed on.

The fills of an interval are paired after each call (`pairing.py`); so each right says who sold it,
who bought it and what the seller makes it from. Rights go from one connection to another at the
same bus until the gate (`transfers.py`). The settlement scales the pairs to what was metered
(`provenance.py`) and pays the premiums that buyers promised for green energy (`premiums.py`).

Invariants: docstrings of these files; checked by `check_rights`.
"""

from typing import TYPE_CHECKING, Annotated, cast

from runtime.frame import (
    U32,
    Balance,
    Compact,
    ConnectionId,
    Identity,
    IntervalIndex,
    MaxLen,
    Pallet,
    Signed,
    StorageDoubleMap,
    StorageMap,
    StorageValue,
    api,
    call,
)
from runtime.pallets.producer_registration import CONNECTIONS_MAX, TRANSFORMER, Technology
from runtime.pallets.trading.config import Config
from runtime.pallets.trading.pairing import PAIRS_MAX
from runtime.pallets.trading.preferences import check_preferences
from runtime.pallets.trading.premiums import NO_PREMIUM, declare
from runtime.pallets.trading.provenance import origins_of
from runtime.pallets.trading.records import Side
from runtime.pallets.trading.right_records import (
    DEFAULT_PREFERENCES,
    MIX,
    NETWORK,
    ClassedRight,
    EnergyClass,
    Green,
    Origin,
    Pair,
    Preferences,
    PreferencesDeclared,
    Premium,
    RightOffer,
)
from runtime.pallets.trading.transfers import make_offer, offers_of, own_connection, take

if TYPE_CHECKING:
    from runtime.pallets.trading import Trading

TRANSFER_WEIGHT = 3_500_000_000  # 3.5 ms: the pairs of the interval read and written, two holdings
DECLARING_WEIGHT = 150_000_000  # 150 us: a connection, a record, partners looked up

Pairs = Annotated[tuple[Pair, ...], MaxLen(PAIRS_MAX + 12 * CONNECTIONS_MAX)]


class Rights(Pallet[Config]):
    """The part of the market that knows where energy comes from."""

    pairs: StorageMap[IntervalIndex, Pairs | None, Identity]
    """Who bought from whom, per interval from its first fills on, as long as its settlement is
    remembered."""

    preferences: StorageMap[ConnectionId, Preferences | None, Identity]
    """What connections wish that declared something."""

    premiums: StorageMap[ConnectionId, Premium | None, Identity]
    """What connections add for green energy that declared something."""

    green: StorageValue[Green]
    """Sums over all settled intervals of what pairs came to."""

    right_offers: StorageDoubleMap[
        IntervalIndex, ConnectionId, RightOffer | None, Identity, Identity
    ]
    """Rights that wait for a taker, until their interval is settled."""

    @call(16, weight=TRANSFER_WEIGHT)
    def offer_right(
        self,
        who: Signed,
        connection: Compact[ConnectionId],
        interval: Compact[IntervalIndex],
        offer: RightOffer,
    ) -> None:
        """Offer neighbours at the same bus to take over what one's connection sold or bought of an
        interval, in the place of an earlier offer. Zero Wh take that back.

        Emits `RightOffered` or `RightOfferWithdrawn`. Fails with `ConnectionNotFound`,
        `NotConnectionOwner`, `IntervalClosed`, `RightOfferNotFound`, `RightOfferInvalid`,
        `NotSameBus` or `RightNotHeld`.
        """
        make_offer(self.market, who, connection, interval, offer)

    @call(17, weight=TRANSFER_WEIGHT)
    def take_right(
        self,
        who: Signed,
        connection: Compact[ConnectionId],
        giver: Compact[ConnectionId],
        interval: Compact[IntervalIndex],
        offer: RightOffer,
    ) -> None:
        """Take over what another connection offers, exactly on the terms named here: the energy,
        its collateral, and the price in the other direction.

        Emits `RightTransferred`. Fails with `ConnectionNotFound`, `NotConnectionOwner`,
        `IntervalClosed`, `RightOfferNotFound`, `NotSameBus`, `SourceMissing`, `RightNotHeld` (the
        giver has less by now), `AboveCapacity`, `TooManyPairs`, or the currency's error when a
        collateral or the price is not there.
        """
        take(self.market, who, connection, giver, interval, offer)

    @call(18, weight=DECLARING_WEIGHT)
    def declare_preferences(
        self, who: Signed, connection: Compact[ConnectionId], preferences: Preferences
    ) -> None:
        """Say what one wishes of those one trades with; it holds from the next call on.

        Emits `PreferencesDeclared`. Fails with `ConnectionNotFound`, `NotConnectionOwner` or
        `PreferencesInvalid`.
        """
        own_connection(self.market, who, connection)
        check_preferences(self.market, connection, preferences)

        if preferences == DEFAULT_PREFERENCES:
            del self.preferences[connection]
        else:
            self.preferences[connection] = preferences
        self.deposit_event(PreferencesDeclared(connection, preferences))

    @call(19, weight=DECLARING_WEIGHT)
    def declare_premium(
        self,
        who: Signed,
        connection: Compact[ConnectionId],
        premium_micro: Compact[U32],
        budget_nano: Compact[Balance],
    ) -> None:
        """Add `premium_micro` per kWh to the price of green energy that one's connection buys in
        calls from now on and that is delivered, out of a budget that is kept aside. Both zero end
        it; what is promised stays aside until it is settled.

        Emits `PremiumDeclared`. Fails with `ConnectionNotFound`, `NotConnectionOwner`,
        `PremiumInvalid`, `PremiumReserved`, or the currency's error when the budget is not there.
        """
        declare(self.market, who, connection, premium_micro, budget_nano)

    @api("Trading_rights")
    def read_rights(self, interval: IntervalIndex) -> list[ClassedRight]:
        """What connections have to deliver (OFFER) or may take (BID) of an interval, by class."""
        sums: dict[tuple[int, Side, EnergyClass], int] = {}
        for each in self.pairs[interval] or ():
            for side, number in ((Side.OFFER, each.seller), (Side.BID, each.buyer)):
                if number not in (MIX, NETWORK):
                    key = (number, side, each.energy_class)
                    sums[key] = sums.get(key, 0) + each.wh
        return [
            ClassedRight(number, self.market.connection_at(number).bus, side, energy_class, wh)
            for (number, side, energy_class), wh in sorted(sums.items())
        ]

    @api("Trading_pairs")
    def read_pairs(self, interval: IntervalIndex) -> list[Pair]:
        """Who bought from whom in an interval, by seller. Buyer 2**32 - 1 is the network, which
        lost the energy; 2**32 - 2, on either side, is the mix of a call too large to be paired."""
        return list(self.pairs[interval] or ())

    @api("Trading_preferences")
    def read_preferences(self, connection: ConnectionId) -> Preferences:
        """What a connection wishes; if it declared nothing, energy from nearby."""
        return self.preferences_of(connection)

    @api("Trading_premium")
    def read_premium(self, connection: ConnectionId) -> Premium:
        """What a connection adds for green energy, and what it keeps aside for that."""
        return self.premiums[connection] or NO_PREMIUM

    @api("Trading_provenance")
    def read_provenance(self, connection: ConnectionId, interval: IntervalIndex) -> list[Origin]:
        """Where the metered import of a connection came from in a settled interval: together all
        of it. The class of a contract is that of the seller's sources today."""
        return origins_of(self.market, connection, interval)

    @api("Trading_green")
    def read_green(self) -> Green:
        """Sums over all settled intervals of what pairs came to."""
        return self.green.get()

    @api("Trading_right_offers")
    def read_right_offers(self, interval: IntervalIndex) -> list[tuple[ConnectionId, RightOffer]]:
        """The rights that wait for a taker, by connection."""
        return offers_of(list(self.right_offers.items_under(interval)))

    # What the functions beside this file ask.

    @property
    def market(self) -> "Trading":
        """The pallet, of which this class is a part and no instance is made."""
        return cast("Trading", self)

    def preferences_of(self, number: int) -> Preferences:
        """What a connection wishes."""
        return self.preferences[number] or DEFAULT_PREFERENCES

    def class_of(self, number: int) -> EnergyClass:
        """The class of what a connection sells: the technology of its largest generator; of its
        largest store, if it has none; unspecified without a source, and for the supplier, which
        sells what comes from outside.
        """
        if number == TRANSFORMER:
            return EnergyClass.UNSPECIFIED
        power = self.config.registry.source_power(number)
        stores = (Technology.STORAGE, Technology.VEHICLE_TO_GRID)
        ranked = sorted(power, key=lambda each: (each in stores, -power[each], each))
        return EnergyClass(ranked[0]) if ranked else EnergyClass.UNSPECIFIED
