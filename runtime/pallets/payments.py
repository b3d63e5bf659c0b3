"""Payments: money from bank accounts and back, minted and burnt by the payment gateway.

The gateway is an account that the members appoint; it has a bank account on which one unit of
currency lies for each DRT. A transfer that reaches the bank is minted once: its reference, a hash
of what the bank calls it, is remembered as long as its value day is within 30 days, and older ones
are refused. Who wants money at its bank requests a payout; all requests of an account on one day
are one payout, with one reference that follows from day and account, so that a bank that has seen
it does not pay again. When the day is over the gateway pays and confirms, which burns the money, or
returns it, if the bank cannot pay. Each day it attests what lies at the bank.

Which bank account belongs to whom, only the gateway knows; nothing of it is on chain.

Invariants: the payouts that wait are in the pallet's account; minted less burnt is what deposits
brought beyond the genesis; a reference is minted at most once.
"""

from collections.abc import Mapping
from itertools import islice
from typing import Annotated, Any, Protocol

from msgspec.structs import replace

from runtime import frame
from runtime.frame import (
    U32,
    U64,
    AccountId,
    Balance,
    Blake2_128Concat,
    Compact,
    FixedBytes,
    Hash,
    Identity,
    IntervalIndex,
    MaxLen,
    MultiAddress,
    Pallet,
    Signed,
    SignedBalance,
    StorageDoubleMap,
    StorageMap,
    StorageValue,
    Struct,
    api,
    call,
)
from runtime.frame.traits import Clock
from runtime.pallets.system import PAYOUTS, account_from_text, lookup
from runtime.primitives.hashing import blake2_256

INTERVALS_PER_DAY = 96
DEPOSIT_DAYS = 30
"""A bank's statement is worked off within days; later deposits need the gateway's operator."""

DEPOSIT_NANO_MAX = 10**18  # a billion DRT in one transfer is a mistake
PAYOUT_NANO_MIN = 10_000_000  # a cent, the least a bank moves
PAYOUTS_MAX = 4_096  # waiting at a time: each is an entry that its requester does not pay for
DUE_MAX = 256  # of one answer; what a gateway confirms in a few blocks
FORGOTTEN_PER_BLOCK_MAX = 32  # references that are too old: a day of thousands is gone in an hour

REASON_BYTES_MAX = 64

MOVE_WEIGHT = 120_000_000  # 120 us: two accounts, two entries, events
ATTEST_WEIGHT = 40_000_000
FORGET_WEIGHT = 30_000_000  # 30 us each

Reference = Annotated[bytes, FixedBytes(32)]


class BankDeposit(Struct):
    """A transfer that reached the bank, as it was minted."""

    account: AccountId
    amount_nano: Balance
    value_day: U32


class Payout(Struct):
    """What an account requested on one day."""

    amount_nano: Balance
    requests: U32


class Flows(Struct):
    """Sums since genesis."""

    minted_nano: Balance
    burnt_nano: Balance
    returned_nano: Balance
    waiting_nano: Balance
    """In payouts that are neither confirmed nor returned."""

    waiting: U32
    """How many those are."""


class Attestation(Struct):
    """What the gateway says of its bank account."""

    day: U32
    reserve_nano: Balance
    issuance_nano: Balance
    """All money on the chain at that time."""


class PayoutView(Struct):
    """A payout that waits, as the gateway and wallets see it."""

    day: U32
    account: AccountId
    amount_nano: Balance
    reference: Reference


class Overview(Struct):
    """Where payments stand."""

    gateway: AccountId | None
    today: U32
    flows: Flows
    issuance_nano: Balance
    attestation: Attestation | None
    surplus_nano: SignedBalance
    """What lay at the bank beyond all money on the chain, by the latest attestation."""


class Deposited(frame.Event, index=0):
    """A transfer reached the bank; as much was minted."""

    reference: Reference
    deposit: BankDeposit


class PayoutRequested(frame.Event, index=1):
    """An account wants money at its bank; it was set aside."""

    account: AccountId
    day: U32
    amount_nano: Balance
    """Of this request."""


class PayoutCancelled(frame.Event, index=2):
    """An account took back what it had requested on a day."""

    account: AccountId
    day: U32
    amount_nano: Balance


class PayoutConfirmed(frame.Event, index=3):
    """The bank has paid; as much was burnt."""

    account: AccountId
    day: U32
    amount_nano: Balance
    reference: Reference


class PayoutReturned(frame.Event, index=4):
    """The bank cannot pay; the account has its money again."""

    account: AccountId
    day: U32
    amount_nano: Balance
    reason: Annotated[bytes, MaxLen(REASON_BYTES_MAX)]


class ReserveAttested(frame.Event, index=5):
    """The gateway said what lies at the bank."""

    attestation: Attestation


class GatewayAppointed(frame.Event, index=6):
    """The members made an account the payment gateway."""

    gateway: AccountId


class NotGateway(frame.Error, index=0):
    """Only the payment gateway mints, confirms, returns and attests."""


class ReferenceUsed(frame.Error, index=1):
    """A deposit with this reference was minted before: the transfer is on the chain already."""


class DayOutOfWindow(frame.Error, index=2):
    """The value day is in the future or 30 days ago, or the attested day is not the present one or
    the one before.
    """


class AmountOutOfBounds(frame.Error, index=3):
    """A deposit of nothing or of more than a billion DRT, or a payout of less than a cent or than
    an account needs to exist.
    """


class TooManyPayouts(frame.Error, index=4):
    """4 096 payouts wait: the gateway is behind."""


class PayoutNotFound(frame.Error, index=5):
    """The account requested nothing on that day, or it was confirmed, returned or cancelled."""


class DayNotOver(frame.Error, index=6):
    """Payouts are netted over their day, so the gateway pays when it is over."""


class Treasury(Protocol):
    """The money of accounts, and the making and unmaking of it."""

    def mint(self, who: AccountId, amount: int) -> None:
        """Make money; raises when there would be too much, or the account would not exist."""
        ...

    def burn(self, pot: AccountId, amount: int) -> None:
        """Unmake money of a pallet's account."""
        ...

    def charge(self, who: AccountId, pot: AccountId, amount: int) -> None:
        """Take money into a pallet's account; raises when it is not there."""
        ...

    def pay_out(self, pot: AccountId, who: AccountId, amount: int) -> bool:
        """Give money from a pallet's account."""
        ...

    def free_balance(self, who: AccountId) -> int:
        """What is not set aside."""
        ...

    def existential_deposit(self) -> int:
        """The least an account has to hold."""
        ...

    def issuance(self) -> int:
        """All money there is."""
        ...


class Config(frame.Config):
    clock: Clock
    """Time of the block."""

    currency: Treasury
    """Keeps, makes and unmakes the money."""

    market_interval_ms: U64
    """Length of a market interval; a day has 96 of them."""

    genesis_interval: IntervalIndex
    """The first interval of the first day."""


class Payments(Pallet[Config]):
    gateway: StorageValue[AccountId | None]
    """Who mints and burns."""

    deposits: StorageMap[Reference, BankDeposit | None, Blake2_128Concat]
    """Transfers that were minted, while their references could be used again."""

    references: StorageDoubleMap[U32, Reference, bool, Identity, Blake2_128Concat]
    """The same by value day, so that they can be forgotten."""

    forgotten_days: StorageValue[U32]
    """References of the days before it are forgotten."""

    payouts: StorageDoubleMap[U32, AccountId, Payout | None, Identity, Blake2_128Concat]
    """Payouts that wait, by the day of their requests."""

    flows: StorageValue[Flows]
    """Sums since genesis."""

    attestation: StorageValue[Attestation | None]
    """The latest one."""

    def genesis(self, config: Mapping[str, Any]) -> None:
        """`gateway`: its account (default: none until the members appoint one)."""
        text = config.get("gateway")
        if text is not None:
            self.gateway.set(account_from_text(text))

    def reserved_weight(self) -> int:
        """Forgetting old references."""
        return FORGET_WEIGHT * FORGOTTEN_PER_BLOCK_MAX

    def on_finalize(self, number: int) -> None:
        """Forget references that are too old to be used again."""
        oldest = self.today() - DEPOSIT_DAYS
        if oldest >= 0:
            self.forget(oldest)

    @call(0, weight=MOVE_WEIGHT)
    def deposit(
        self,
        who: Signed,
        reference: Reference,
        dest: MultiAddress,
        value_day: U32,
        amount_nano: Compact[Balance],
    ) -> None:
        """Mint, as the gateway, a transfer that reached the bank on a day. Handing it in again is
        safe: a reference counts once.

        Emits `Deposited`. Fails with `NotGateway`, `ReferenceUsed`, `DayOutOfWindow`,
        `AmountOutOfBounds`, `CannotLookup`, or the currency's error when the account would not
        exist with it or there would be too much money.
        """
        self.check_gateway(who)
        account, today = lookup(dest), self.today()
        if not today - DEPOSIT_DAYS < value_day <= today:
            raise DayOutOfWindow
        if self.deposits[reference] is not None:
            raise ReferenceUsed
        if not 0 < amount_nano <= DEPOSIT_NANO_MAX:
            raise AmountOutOfBounds
        self.config.currency.mint(account, amount_nano)
        deposit = BankDeposit(account, amount_nano, value_day)
        self.deposits[reference] = deposit
        self.references[value_day, reference] = True
        flows = self.flows.get()
        self.flows.set(replace(flows, minted_nano=flows.minted_nano + amount_nano))
        self.deposit_event(Deposited(reference, deposit))

    @call(1, weight=MOVE_WEIGHT)
    def request_payout(self, who: Signed, amount_nano: Compact[Balance]) -> None:
        """Want money at one's bank account. It is set aside, with what was requested today.

        Emits `PayoutRequested`. Fails with `AmountOutOfBounds`, `TooManyPayouts`, or the
        currency's error when the money is not there.
        """
        least = max(PAYOUT_NANO_MIN, self.config.currency.existential_deposit())
        if amount_nano < least:
            raise AmountOutOfBounds
        today, flows = self.today(), self.flows.get()
        known = self.payouts[today, who]
        if known is None and flows.waiting >= PAYOUTS_MAX:
            raise TooManyPayouts
        before = known or Payout(0, 0)
        self.config.currency.charge(who, PAYOUTS, amount_nano)
        self.payouts[today, who] = Payout(before.amount_nano + amount_nano, before.requests + 1)
        self.flows.set(
            replace(
                flows,
                waiting_nano=flows.waiting_nano + amount_nano,
                waiting=flows.waiting + (known is None),
            )
        )
        self.deposit_event(PayoutRequested(who, today, amount_nano))

    @call(2, weight=MOVE_WEIGHT)
    def cancel_payout(self, who: Signed) -> None:
        """Take back what one has requested today; afterwards the gateway may be paying it.

        Emits `PayoutCancelled`. Fails with `PayoutNotFound`.
        """
        today = self.today()
        payout = self.take(today, who)
        self.config.currency.pay_out(PAYOUTS, who, payout.amount_nano)
        self.deposit_event(PayoutCancelled(who, today, payout.amount_nano))

    @call(3, weight=MOVE_WEIGHT)
    def confirm_payout(self, who: Signed, day: U32, account: AccountId) -> None:
        """Confirm, as the gateway, that the bank has paid what an account requested on a day.

        Emits `PayoutConfirmed`. Fails with `NotGateway`, `DayNotOver` or `PayoutNotFound`.
        """
        self.check_due(who, day)
        payout = self.take(day, account)
        self.config.currency.burn(PAYOUTS, payout.amount_nano)
        flows = self.flows.get()
        self.flows.set(replace(flows, burnt_nano=flows.burnt_nano + payout.amount_nano))
        reference = payout_reference(day, account)
        self.deposit_event(PayoutConfirmed(account, day, payout.amount_nano, reference))

    @call(4, weight=MOVE_WEIGHT)
    def return_payout(
        self,
        who: Signed,
        day: U32,
        account: AccountId,
        reason: Annotated[bytes, MaxLen(REASON_BYTES_MAX)],
    ) -> None:
        """Give back, as the gateway, what the bank cannot pay, and say why.

        Emits `PayoutReturned`. Fails with `NotGateway`, `DayNotOver` or `PayoutNotFound`.
        """
        self.check_due(who, day)
        payout = self.take(day, account)
        self.config.currency.pay_out(PAYOUTS, account, payout.amount_nano)
        flows = self.flows.get()
        self.flows.set(replace(flows, returned_nano=flows.returned_nano + payout.amount_nano))
        self.deposit_event(PayoutReturned(account, day, payout.amount_nano, reason))

    @call(5, weight=ATTEST_WEIGHT)
    def attest_reserve(self, who: Signed, day: U32, reserve_nano: Compact[Balance]) -> None:
        """Say, as the gateway, what lies at the bank at the end of a day.

        Emits `ReserveAttested`. Fails with `NotGateway` or `DayOutOfWindow`.
        """
        self.check_gateway(who)
        if not self.today() - 1 <= day <= self.today():
            raise DayOutOfWindow
        attestation = Attestation(day, reserve_nano, self.config.currency.issuance())
        self.attestation.set(attestation)
        self.deposit_event(ReserveAttested(attestation))

    @api("Payments_overview")
    def read_overview(self) -> Overview:
        """Where payments stand."""
        attested = self.attestation.get()
        surplus = attested.reserve_nano - attested.issuance_nano if attested else 0
        return Overview(
            self.gateway.get(),
            self.today(),
            self.flows.get(),
            self.config.currency.issuance(),
            attested,
            surplus,
        )

    @api("Payments_due")
    def list_due(self) -> list[PayoutView]:
        """Payouts whose day is over, oldest first, at most 256."""
        found = [entry for entry in self.list_waiting() if entry.day < self.today()]
        return found[:DUE_MAX]

    @api("Payments_of")
    def list_of(self, account: AccountId) -> list[PayoutView]:
        """An account's payouts that wait."""
        return [entry for entry in self.list_waiting() if entry.account == account]

    @api("Payments_deposit")
    def read_deposit(self, reference: Reference) -> BankDeposit | None:
        """The deposit of a reference; None if it was not minted, or is forgotten."""
        return self.deposits[reference]

    def check_invariants(self) -> None:
        """What waits is there, once; every reference is known by its day."""
        waiting = self.list_waiting()
        flows = self.flows.get()
        total = sum(entry.amount_nano for entry in waiting)
        assert (flows.waiting, flows.waiting_nano) == (len(waiting), total), "payouts add up"
        there = self.config.currency.free_balance(PAYOUTS)
        assert there >= total, f"{there} is kept for payouts of {total}"
        by_day = {(d.value_day, reference) for reference, d in self.deposits.items() if d}
        assert by_day == set(self.references.keys()), "references are known by their day"

    # What other pallets ask.

    def appoint_gateway(self, who: AccountId) -> None:
        """Make another account the payment gateway."""
        self.gateway.set(who)
        self.deposit_event(GatewayAppointed(who))

    # Helpers.

    def today(self) -> int:
        """The number of the present day since genesis."""
        interval = self.config.clock.now() // self.config.market_interval_ms
        return max(0, interval - self.config.genesis_interval) // INTERVALS_PER_DAY

    def check_gateway(self, who: AccountId) -> None:
        """Refuse everyone but the gateway."""
        if who != self.gateway.get():
            raise NotGateway

    def check_due(self, who: AccountId, day: int) -> None:
        """Refuse everyone but the gateway, and days that are not over."""
        self.check_gateway(who)
        if day >= self.today():
            raise DayNotOver

    def take(self, day: int, account: AccountId) -> Payout:
        """Remove a payout from those that wait; the caller moves its money."""
        payout = self.payouts[day, account]
        if payout is None:
            raise PayoutNotFound
        del self.payouts[day, account]
        flows = self.flows.get()
        self.flows.set(
            replace(
                flows,
                waiting_nano=flows.waiting_nano - payout.amount_nano,
                waiting=flows.waiting - 1,
            )
        )
        return payout

    def list_waiting(self) -> list[PayoutView]:
        """All payouts that wait, oldest first, then by account."""
        found = [
            PayoutView(day, account, payout.amount_nano, payout_reference(day, account))
            for (day, account), payout in self.payouts.items()
            if payout is not None
        ]
        return sorted(found, key=lambda entry: (entry.day, entry.account))

    def forget(self, oldest: int) -> None:
        """Drop some references of the oldest day that still has some, up to `oldest`."""
        day = self.forgotten_days.get()
        if day > oldest:
            return
        expired = list(islice(self.references.keys_under(day), FORGOTTEN_PER_BLOCK_MAX))
        for reference in expired:
            del self.deposits[reference]
            del self.references[day, reference]
        if len(expired) < FORGOTTEN_PER_BLOCK_MAX:
            self.forgotten_days.set(day + 1)


def payout_reference(day: int, account: AccountId) -> Hash:
    """How the bank knows a payout: the same however often it is told."""
    return blake2_256(b"dret/payout" + day.to_bytes(4, "little") + account)
