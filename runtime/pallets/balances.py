"""Balances: the money of every account, in nano-DRT.

An account has free money and reserved money. Reserved money belongs to the account but only the
pallet that set it aside moves it: there is one such pallet, Trading, which keeps collateral.
Accounts that hold less than the existential deposit are not kept: a transfer that would leave such
a rest burns it (`DustLost`). Accounts with another reason to exist, such as the accounts of
pallets, keep any amount.

Invariants: the balances of all accounts sum to the total issuance; reserved money is never
counted as free, and while there is some the account cannot go below the existential deposit.

Money is made and unmade by Payments alone, against what lies at the bank.

Left out: locks, freezes, named reserves, and changes of balances by decree (`force_*`).
"""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from msgspec.structs import replace

from runtime import frame
from runtime.frame import (
    AccountId,
    Balance,
    Compact,
    MultiAddress,
    Pallet,
    Signed,
    StorageValue,
    call,
)
from runtime.pallets.system import AccountData, AccountInfo, account_from_text, lookup

ISSUANCE_MAX = 2**127 - 1  # sums and differences of balances fit a signed 128-bit number
TRANSFER_WEIGHT = 80_000_000  # 80 us: two accounts, up to four events


class Endowed(frame.Event, index=0):
    """An account came into being with this much."""

    account: AccountId
    free_balance: Balance


class DustLost(frame.Event, index=1):
    """An account fell below the existential deposit; its rest was burnt."""

    account: AccountId
    amount: Balance


class Transfer(frame.Event, index=2):
    """Money moved."""

    from_: AccountId
    to: AccountId
    amount: Balance


class Reserved(frame.Event, index=4):
    """Free money was set aside."""

    who: AccountId
    amount: Balance


class Unreserved(frame.Event, index=5):
    """Money that was set aside is free again."""

    who: AccountId
    amount: Balance


class Deposit(frame.Event, index=7):
    """Money came to an account other than by a transfer."""

    who: AccountId
    amount: Balance


class Withdraw(frame.Event, index=8):
    """Money left an account other than by a transfer, as a fee does."""

    who: AccountId
    amount: Balance


class Minted(frame.Event, index=10):
    """Money came into being, against a deposit at the bank."""

    who: AccountId
    amount: Balance


class Burned(frame.Event, index=11):
    """Money ceased to be, paid out by the bank."""

    who: AccountId
    amount: Balance


class TooMuchMoney(frame.Error, index=3):
    """All money together would leave the range of exact sums."""


class InsufficientBalance(frame.Error, index=0):
    """The free balance is too low for the amount (and what has to stay in the account)."""


class ExistentialDeposit(frame.Error, index=1):
    """The amount is below what an account has to hold in order to exist."""


class Expendability(frame.Error, index=2):
    """The account would fall below the existential deposit and has to be kept alive."""


class AccountStore(Protocol):
    """Where accounts are kept."""

    def info(self, who: AccountId) -> AccountInfo:
        """An account; all zero if it does not exist."""
        ...

    def put(self, who: AccountId, before: AccountInfo, after: AccountInfo) -> None:
        """Store an account, or remove it when nothing keeps it any more."""
        ...

    def accounts(self) -> Iterator[tuple[AccountId, AccountInfo]]:
        """All accounts."""
        ...


class Config(frame.Config):
    accounts: AccountStore
    """Keeps accounts with their nonces and references."""

    existential_deposit: Balance
    """The least an account has to hold in order to exist."""


class Balances(Pallet[Config]):
    total_issuance: StorageValue[Balance]
    """All money there is."""

    def genesis(self, config: Mapping[str, Any]) -> None:
        """`accounts`: object from account (SS58 or 0x and hexadecimal) to nano-DRT."""
        total = 0
        for text, amount in config.get("accounts", {}).items():
            who, amount_nano = account_from_text(text), int(amount)
            if amount_nano < self.config.existential_deposit:
                raise ValueError(
                    f"balance of {text} is {amount_nano}, "
                    f"expected at least {self.config.existential_deposit}"
                )
            info = self.config.accounts.info(who)
            if info.data.free:
                raise ValueError(f"account {text} has two balances")
            total += amount_nano
            if total > ISSUANCE_MAX:
                raise ValueError(f"balances sum to {total}, expected at most {ISSUANCE_MAX}")
            self.total_issuance.set(total)
            self.store(who, info, amount_nano, 0)

    @call(0, weight=TRANSFER_WEIGHT)
    def transfer_allow_death(
        self, who: Signed, dest: MultiAddress, value: Compact[Balance]
    ) -> None:
        """Send money, even if the sender's account ends with it.

        Emits `Transfer`. Fails with `InsufficientBalance`, `ExistentialDeposit` (of a recipient
        that does not exist yet), or `Expendability` when something else needs the account.
        """
        self.transfer(who, lookup(dest), value, keep_alive=False)

    @call(3, weight=TRANSFER_WEIGHT)
    def transfer_keep_alive(self, who: Signed, dest: MultiAddress, value: Compact[Balance]) -> None:
        """Send money, but keep the sender's account.

        Emits `Transfer`. Fails with `InsufficientBalance`, `ExistentialDeposit` or
        `Expendability`.
        """
        self.transfer(who, lookup(dest), value, keep_alive=True)

    @call(4, weight=TRANSFER_WEIGHT)
    def transfer_all(self, who: Signed, dest: MultiAddress, keep_alive: bool) -> None:
        """Send all that can be sent: everything free, or all but the existential deposit.

        Emits `Transfer`. Fails with `ExistentialDeposit` of a recipient that does not exist yet.
        """
        amount = self.spendable(who, keep_alive=keep_alive)
        self.transfer(who, lookup(dest), amount, keep_alive=keep_alive)

    def check_invariants(self) -> None:
        """The balances sum to the issuance; accounts exist for a reason."""
        total = 0
        for who, info in self.config.accounts.accounts():
            data = info.data
            total += data.free + data.reserved
            assert info.providers or info.sufficients, f"account {who.hex()} has no provider"
            assert data.reserved == 0 or info.consumers > 0, f"reserve of {who.hex()} unheld"
            lives = data.free >= self.config.existential_deposit
            assert lives or data.reserved == 0 or info.providers > 0, f"{who.hex()} is too low"
        issuance = self.total_issuance.get()
        assert total == issuance, f"balances sum to {total}, issuance is {issuance}"

    # What other pallets ask.

    def free_balance(self, who: AccountId) -> Balance:
        """Money of an account that is not set aside; part of it keeps the account alive."""
        return self.config.accounts.info(who).data.free

    def reserved_balance(self, who: AccountId) -> Balance:
        """Money of an account that is set aside."""
        return self.config.accounts.info(who).data.reserved

    def existential_deposit(self) -> Balance:
        """The least an account has to hold in order to exist."""
        return self.config.existential_deposit

    def spendable(self, who: AccountId, *, keep_alive: bool) -> Balance:
        """The most that can leave an account."""
        info = self.config.accounts.info(who)
        must_stay = keep_alive or info.consumers > 0
        if must_stay and not self.has_other_provider(info):
            return max(0, info.data.free - self.config.existential_deposit)
        return info.data.free

    def transfer(
        self, source: AccountId, dest: AccountId, amount: Balance, *, keep_alive: bool = True
    ) -> None:
        """Move free money, checked and announced.

        Emits `Transfer`, and `DustLost` when a rest is burnt. Raises as the calls do.
        """
        moved = self.move(source, dest, amount, keep_alive=keep_alive)
        if moved:
            self.deposit_event(Transfer(source, dest, amount))

    def hold(self, who: AccountId, amount: Balance) -> None:
        """Set free money aside; the existential deposit has to stay free.

        Emits `Reserved`. Raises `InsufficientBalance`.
        """
        if amount == 0:
            return
        info = self.config.accounts.info(who)
        data = info.data
        if data.free - amount < self.config.existential_deposit:
            raise InsufficientBalance
        self.store(who, info, data.free - amount, data.reserved + amount)
        self.deposit_event(Reserved(who, amount))

    def release(self, who: AccountId, amount: Balance) -> None:
        """Free money that was set aside. Emits `Unreserved`."""
        if amount == 0:
            return
        info = self.config.accounts.info(who)
        data = info.data
        assert 0 < amount <= data.reserved, "a pallet releases only what it set aside"
        self.store(who, info, data.free + amount, data.reserved - amount)
        self.deposit_event(Unreserved(who, amount))

    def charge(self, who: AccountId, pot: AccountId, amount: Balance) -> None:
        """Take a fee into a pallet's account. Emits `Withdraw`. Raises as a transfer does."""
        self.move(who, pot, amount, keep_alive=True)
        self.deposit_event(Withdraw(who, amount))

    def pay_out(self, pot: AccountId, who: AccountId, amount: Balance) -> bool:
        """Give from a pallet's account if the other one exists then. Emits `Deposit`."""
        info = self.config.accounts.info(who)
        is_new = not (info.providers or info.sufficients)
        if is_new and amount < self.config.existential_deposit:
            return False
        self.move(pot, who, amount, keep_alive=True)
        self.deposit_event(Deposit(who, amount))
        return True

    def issuance(self) -> Balance:
        """All money there is."""
        return self.total_issuance.get()

    def mint(self, who: AccountId, amount: Balance) -> None:
        """Make money. Emits `Minted`. Raises `TooMuchMoney`, or `ExistentialDeposit` of an account
        that would not exist with it.
        """
        total = self.total_issuance.get() + amount
        if total > ISSUANCE_MAX:
            raise TooMuchMoney
        info = self.config.accounts.info(who)
        free = info.data.free + amount
        is_new = not (info.providers or info.sufficients)
        if is_new and free < self.config.existential_deposit:
            raise ExistentialDeposit
        self.total_issuance.set(total)
        self.store(who, info, free, info.data.reserved)
        if is_new:
            self.deposit_event(Endowed(who, free))
        self.deposit_event(Minted(who, amount))

    def burn(self, pot: AccountId, amount: Balance) -> None:
        """Unmake money of a pallet's account. Emits `Burned`."""
        info = self.config.accounts.info(pot)
        assert amount <= info.data.free, "a pallet burns only what it keeps"
        self.total_issuance.set(self.total_issuance.get() - amount)
        self.store(pot, info, info.data.free - amount, info.data.reserved)
        self.deposit_event(Burned(pot, amount))

    # Bookkeeping.

    def move(
        self, source: AccountId, dest: AccountId, amount: Balance, *, keep_alive: bool
    ) -> bool:
        """Move free money without announcing it; False if both ends are one account."""
        sender = self.config.accounts.info(source)
        left = sender.data.free - amount
        if left < 0:
            raise InsufficientBalance
        must_stay = keep_alive or sender.consumers > 0
        is_kept = left >= self.config.existential_deposit or self.has_other_provider(sender)
        if must_stay and not is_kept:
            raise Expendability
        if source == dest:
            return False
        receiver = self.config.accounts.info(dest)
        credited = receiver.data.free + amount
        is_new = not (receiver.providers or receiver.sufficients)
        if is_new and amount and credited < self.config.existential_deposit:
            raise ExistentialDeposit
        if amount:
            self.store(source, sender, left, sender.data.reserved)
            self.store(dest, receiver, credited, receiver.data.reserved)
            if is_new:
                self.deposit_event(Endowed(dest, credited))
        return True

    def store(self, who: AccountId, info: AccountInfo, free: Balance, reserved: Balance) -> None:
        """Write the balances of an account and the references that follow from them.

        Free money from the existential deposit on is a reason to exist (a provider); reserved
        money needs the account (a consumer). What an account without a provider has left is burnt.
        """
        deposit, data = self.config.existential_deposit, info.data
        providers = info.providers + (free >= deposit) - (data.free >= deposit)
        consumers = info.consumers + (reserved > 0) - (data.reserved > 0)
        dust = 0
        if not (providers or info.sufficients):
            assert consumers == 0, "an account that is needed keeps its existential deposit"
            dust, free = free, 0
        after = replace(
            info,
            consumers=consumers,
            providers=providers,
            data=AccountData(free, reserved, data.frozen, data.flags),
        )
        self.config.accounts.put(who, info, after)
        if dust:
            self.total_issuance.set(self.total_issuance.get() - dust)
            self.deposit_event(DustLost(who, dust))

    def has_other_provider(self, info: AccountInfo) -> bool:
        """Whether an account exists for more reasons than its money."""
        own = info.data.free >= self.config.existential_deposit
        return info.providers + info.sufficients > own
