"""A simulated bank, and the payment gateway that stands between it and the chain.

Each home has a standing order: once a day some money goes from its bank account to the gateway's.
Once a day it wants some money back. The gateway mints what its bank's statement shows, one
transfer after the other, pays out what is due, and attests each day what lies at the bank. Some
bank accounts are closed, so their payouts come back.

A transfer to somebody's bank account cannot be taken back, so what is due is read from final state
only, and paid once: what was handed in is not final at once. Everything follows from the day and
the home, so a gateway that was restarted, or hands in what it handed in before, says the same
again, and the chain refuses the second. Money in nano-DRT.
"""

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import NamedTuple

from devnet import calls
from devnet.scenario import FUND_NANO, GATEWAY, Scenario, address_of
from runtime.primitives.crypto import Scheme, ss58_decode
from runtime.primitives.scale import U32, Struct
from runtime.primitives.types import AccountId, Balance, Hash

SLOTS_PER_DAY = 96
DEPOSIT_NANO = 20_000_000_000
PAYOUT_NANO = 5_000_000_000
CONFIRMED_PER_INTERVAL = 8  # a street's payouts of a day are paid within its first hours
REPEATED_AFTER = 4  # intervals: what is not final by then was lost on its way
CLOSED_EVERY = 13
"""Every thirteenth home has closed its bank account."""

ATTEST_SLOT = 90
PAYOUT_SLOT = 48
"""The first home wants money at noon, the next one a quarter hour later, and so on."""

REASON = b"the account is closed"


class Payout(Struct):
    """A payout that waits, as the runtime API tells it."""

    day: U32
    account: AccountId
    amount_nano: Balance
    reference: Hash


class Signed(NamedTuple):
    """A call and the secret that signs it."""

    suri: str
    call: bytes


class Gateway:
    """What the gateway does in each interval, and what homes want of it."""

    def __init__(
        self, scenario: Scenario, genesis_interval: int, scheme: Scheme = Scheme.SR25519
    ) -> None:
        self.suri = GATEWAY.suri
        self._genesis_interval = genesis_interval
        self._homes = {home.number: home.suri for home in scenario.homes}
        self._accounts = {
            number: ss58_decode(address_of(suri, scheme)) for number, suri in self._homes.items()
        }
        self._closed = {
            account for number, account in self._accounts.items() if number % CLOSED_EVERY == 0
        }
        self._handed_in: dict[tuple[int, AccountId], int] = {}
        """In which interval a payout, by day and account, was last paid or given back."""

        self._opening_nano = FUND_NANO + sum(amount for _, amount in scenario.money())

    def act(self, interval: int, due: Sequence[Payout], burnt_nano: int) -> Iterator[bytes]:
        """The gateway's calls of an interval: a deposit, payouts of the days before, a statement.

        By final state: `due`, payouts that wait, and `burnt_nano`, what has left the bank account.
        """
        waiting = {(payout.day, payout.account) for payout in due}
        self._handed_in = {key: at for key, at in self._handed_in.items() if key in waiting}
        day, slot = divmod(interval - self._genesis_interval, SLOTS_PER_DAY)
        paying_in = self._number_at(slot)
        if paying_in is not None:
            reference = deposit_reference(day, paying_in)
            yield calls.deposit(reference, self._accounts[paying_in], day, DEPOSIT_NANO)
        unpaid = [payout for payout in due if not self._is_under_way(payout, interval)]
        for payout in unpaid[:CONFIRMED_PER_INTERVAL]:
            self._handed_in[payout.day, payout.account] = interval
            yield self._execute(payout)
        if slot == ATTEST_SLOT:
            left_nano = burnt_nano + sum(
                payout.amount_nano
                for payout in due
                if (payout.day, payout.account) in self._handed_in
                and payout.account not in self._closed
            )
            yield calls.attest_reserve(day, self.statement_nano(interval) - left_nano)

    def wish(self, interval: int) -> Signed | None:
        """The home that wants money at its bank in an interval."""
        slot = (interval - self._genesis_interval) % SLOTS_PER_DAY
        number = self._number_at(slot - PAYOUT_SLOT)
        if number is None:
            return None
        return Signed(self._homes[number], calls.request_payout(PAYOUT_NANO))

    def statement_nano(self, interval: int) -> int:
        """What has come to the bank account up to an interval, whatever left it."""
        day, slot = divmod(interval - self._genesis_interval, SLOTS_PER_DAY)
        each_day = sum(1 for s in range(SLOTS_PER_DAY) if self._number_at(s) is not None)
        today = sum(1 for s in range(slot + 1) if self._number_at(s) is not None)
        return self._opening_nano + (day * each_day + today) * DEPOSIT_NANO

    def _is_under_way(self, payout: Payout, interval: int) -> bool:
        at = self._handed_in.get((payout.day, payout.account))
        return at is not None and interval < at + REPEATED_AFTER

    def _number_at(self, slot: int) -> int | None:
        """Whose turn it is in a quarter hour."""
        number = slot + 1
        return number if number in self._homes else None

    def _execute(self, payout: Payout) -> bytes:
        """Pay, or give back what cannot be paid."""
        if payout.account in self._closed:
            return calls.return_payout(payout.day, payout.account, REASON)
        return calls.confirm_payout(payout.day, payout.account)


def deposit_reference(day: int, number: int) -> Hash:
    """How the bank's statement knows the transfer of a home on a day."""
    return blake2b(f"dret devnet/bank/{day}/{number}".encode(), digest_size=32).digest()
