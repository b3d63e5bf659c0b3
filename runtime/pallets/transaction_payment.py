"""TransactionPayment: fees of extrinsics, taken before the call and corrected after it.

    fee = base + length * per byte + weight * per microsecond + tip

The fees of a block gather in an account of this pallet; when the block ends its author gets them.

Invariant: what was withdrawn is given back or reaches the account of the pallet; no money is made
or lost on the way.

Simplification: the multiplier of the weight fee stays 1; congestion raises what tips are worth
(the priority of an extrinsic), not the fees.
"""

from typing import Annotated, Protocol

from runtime import frame
from runtime.frame import (
    U8,
    U128,
    AccountId,
    Balance,
    Default,
    Pallet,
    Pays,
    StorageValue,
    Struct,
)
from runtime.frame.extensions import OPERATIONAL_FEE_MULTIPLIER
from runtime.frame.fees import FeeSchedule
from runtime.frame.traits import BlockAuthor
from runtime.pallets.system import FEES

FIXED_ONE = 10**18


class FixedU128(Struct, path="sp_arithmetic::fixed_point::FixedU128", unnamed=True):
    """A ratio: the number divided by 10^18."""

    inner: U128


class TransactionFeePaid(frame.Event, index=0):
    """What an extrinsic cost in the end, the tip included."""

    who: AccountId
    actual_fee: Balance
    tip: Balance


class Purse(Protocol):
    """The money of accounts, as far as fees touch it."""

    def free_balance(self, who: AccountId) -> Balance:
        """Money of an account that is not set aside."""
        ...

    def spendable(self, who: AccountId, *, keep_alive: bool) -> Balance:
        """The most that can leave an account."""
        ...

    def charge(self, who: AccountId, pot: AccountId, amount: Balance) -> None:
        """Take a fee into a pallet's account. Raises a `DispatchError` if it is not there."""
        ...

    def pay_out(self, pot: AccountId, who: AccountId, amount: Balance) -> bool:
        """Give from a pallet's account; False if the other one would not exist with it."""
        ...


class Config(frame.Config):
    currency: Purse
    """Keeps the money."""

    author: BlockAuthor
    """Gets the fees."""

    base_fee: Balance
    """Fee of every extrinsic."""

    length_fee: Balance
    """Fee per byte."""

    weight_fee: Balance
    """Fee per microsecond of weight."""

    operational_fee_multiplier: U8 = OPERATIONAL_FEE_MULTIPLIER
    """How much an operational extrinsic's fee lifts its priority."""


class TransactionPayment(Pallet[Config]):
    next_fee_multiplier: StorageValue[Annotated[FixedU128, Default(FixedU128(FIXED_ONE))]]
    """Multiplies the weight fee; always 1."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.schedule = FeeSchedule(config.base_fee, config.length_fee, config.weight_fee)

    def on_finalize(self, number: int) -> None:
        """Give the fees of the block to its author; what he cannot take waits for the next one."""
        amount, author = self.config.currency.free_balance(FEES), self.config.author.author()
        if amount and author is not None:
            self.config.currency.pay_out(FEES, author, amount)

    # What the executive asks.

    def compute_fee(self, length: int, weight: int, pays: Pays, tip: int) -> Balance:
        """The whole fee of an extrinsic."""
        return self.schedule.compute_fee(length, weight, pays, tip)

    def can_pay(self, who: AccountId, fee: Balance) -> bool:
        """Whether the fee is there and the account lives on without it."""
        return self.config.currency.spendable(who, keep_alive=True) >= fee

    def withdraw(self, who: AccountId, fee: Balance) -> None:
        """Take the most an extrinsic can cost. Raises a `DispatchError`."""
        if fee:
            self.config.currency.charge(who, FEES, fee)

    def settle(self, who: AccountId, withdrawn: Balance, actual: Balance, tip: Balance) -> None:
        """Give back what was withdrawn too much. Emits `TransactionFeePaid`."""
        surplus = withdrawn - actual
        assert surplus >= 0, "an extrinsic never costs more than it was charged"
        if surplus and not self.config.currency.pay_out(FEES, who, surplus):
            actual = withdrawn  # the call ended the account, and the rest could not begin another
        self.deposit_event(TransactionFeePaid(who, actual, tip))
