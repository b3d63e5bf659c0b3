"""What the market keeps of contracts: their terms, their state, and each interval's deals."""

from typing import Annotated

from runtime.frame import (
    U32,
    AccountId,
    Balance,
    Compact,
    ConnectionId,
    EnergyWh,
    IntervalIndex,
    MaxLen,
    Ppm,
    PricePerKwh,
    SignedBalance,
    Struct,
    UnitEnum,
)

ContractId = U32
CONTRACTS_MAX = 256  # each opening visits all of them
PROPOSALS_MAX = 256  # contracts that wait for a signature


class Shape(UnitEnum):
    """How much a contract is about in an interval."""

    BASELOAD = 0
    """The same in each."""

    SOLAR = 1
    """A parabola from 6 to 18 o'clock; `volume_wh` is its height."""

    AS_PRODUCED = 2
    """A share of what the seller's meter exports."""


class PriceRule(Struct):
    """The strike: `base + index * index_ppm`, within floor and cap. The index is the price of the
    root in the interval's latest call. Fixed: `index_ppm` 0. Indexed: floor and cap out of the way.
    Collar: both in the way.
    """

    base_micro: PricePerKwh
    index_ppm: U32
    floor_micro: PricePerKwh
    cap_micro: PricePerKwh


class ContractTerms(Struct):
    """What the parties agree on."""

    seller: Compact[ConnectionId]
    buyer: Compact[ConnectionId]
    shape: Shape
    volume_wh: Compact[U32]
    """Per interval; for a solar shape in the best one; zero for pay-as-produced."""

    share_ppm: Compact[Ppm]
    """Of the seller's export for pay-as-produced, else zero."""

    price: PriceRule
    first: Compact[IntervalIndex]
    last: Compact[IntervalIndex]
    is_firm: bool
    """Who falls short makes the other whole."""

    tolerance_ppm: Compact[Ppm]
    """How far below the volume a firm contract is still fulfilled."""

    notice: Compact[U32]
    """Intervals between a termination and the end."""

    termination_fee_max: Compact[Balance]
    """The most that who terminates pays the other, in nano-DRT."""


class ContractProposal(Struct):
    """A contract that waits for the other party."""

    proposer: AccountId
    terms: ContractTerms


class Contract(Struct):
    """A countersigned contract."""

    terms: ContractTerms
    held_seller_nano: Balance
    """Collateral; one day of contract value, zero while suspended for want of it."""

    held_buyer_nano: Balance
    is_suspended: bool
    """A party's collateral is missing: no interval is opened for it."""

    delivered_wh: EnergyWh
    paid_nano: SignedBalance
    """What the seller got for it, penalties included."""


class IntervalDeal(Struct):
    """A contract in one interval: from its opening on, with its figures from the settlement on."""

    contract: ContractId
    seller: ConnectionId
    buyer: ConnectionId
    volume_wh: U32
    """What was reserved on the path; zero for pay-as-produced."""

    share_ppm: Ppm
    fee_micro: PricePerKwh
    is_firm: bool
    tolerance_ppm: Ppm
    strike_micro: PricePerKwh
    delivered_wh: EnergyWh
    paid_nano: SignedBalance
    """What the seller got from the buyer (negative: paid a penalty)."""


class ContractEntry(Struct):
    """A contract as readers see it."""

    contract_id: ContractId
    contract: Contract


IntervalDeals = Annotated[tuple[IntervalDeal, ...], MaxLen(CONTRACTS_MAX)]
