"""Payments: deposits count once, payouts are netted per day, and no money comes from nowhere."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from runtime.frame import CannotLookup
from runtime.frame.dispatch import DispatchError
from runtime.pallets import balances, payments
from runtime.pallets.authorities.proposals import AppointGateway
from runtime.pallets.balances import ISSUANCE_MAX
from runtime.pallets.payments import (
    DEPOSIT_DAYS,
    DEPOSIT_NANO_MAX,
    PAYOUT_NANO_MIN,
    Flows,
    PayoutView,
    payout_reference,
)
from runtime.pallets.system import PAYOUTS
from runtime.primitives.extrinsic import AddressId, AddressIndex, MultiAddress
from runtime.runtime import Runtime
from tests.runtime.pallets.test_authorities import UNANIMOUS, advance, open_proposal
from tests.support import ALICE, BOB, CHARLIE, DAVE, assert_noop, build_runtime
from tests.support.accounts import EVE
from tests.support.runtimes import CONSTANTS, DRT, GATEWAY

DAY_MS = 96 * CONSTANTS.market_interval_ms
REFERENCE = bytes([5]) * 32
NEWCOMER = bytes([77]) * 32


def at_day(runtime: Runtime, day: int, interval: int = 0) -> None:
    """Let the next calls happen in an interval of a day."""
    begin = CONSTANTS.genesis_interval + day * 96 + interval
    runtime.timestamp.now_.set(begin * CONSTANTS.market_interval_ms)


def runtime_at(day: int) -> Runtime:
    runtime = build_runtime()
    at_day(runtime, day)
    return runtime


def to(account: bytes) -> MultiAddress:
    return AddressId(account)


def deposit(
    runtime: Runtime,
    reference: bytes = REFERENCE,
    dest: bytes = BOB,
    day: int = 40,
    nano: int = DRT,
) -> None:
    runtime.payments.deposit(GATEWAY, reference, to(dest), day, nano)


def test_a_deposit_is_minted_once_and_remembered_by_its_reference() -> None:
    runtime = runtime_at(40)
    before, issued = runtime.balances.free_balance(BOB), runtime.balances.issuance()

    deposit(runtime)

    assert runtime.balances.free_balance(BOB) == before + DRT
    assert runtime.balances.issuance() == issued + DRT
    found = runtime.payments.read_deposit(REFERENCE)
    assert found is not None and (found.account, found.amount_nano) == (BOB, DRT)
    assert_noop(runtime, lambda: deposit(runtime), payments.ReferenceUsed)
    assert_noop(runtime, lambda: deposit(runtime, day=39), payments.ReferenceUsed)
    runtime.check_invariants(runtime.assembly.state.overlay)


def test_a_deposit_founds_an_account_if_it_is_large_enough() -> None:
    runtime = runtime_at(40)

    deposit(runtime, dest=NEWCOMER, nano=CONSTANTS.existential_deposit)

    assert runtime.balances.free_balance(NEWCOMER) == CONSTANTS.existential_deposit
    small = partial(deposit, runtime, bytes(32), bytes([78]) * 32, 40, 999_999)
    assert_noop(runtime, small, balances.ExistentialDeposit)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"day": 41}, payments.DayOutOfWindow),
        ({"day": 40 - DEPOSIT_DAYS}, payments.DayOutOfWindow),
        ({"nano": 0}, payments.AmountOutOfBounds),
        ({"nano": DEPOSIT_NANO_MAX + 1}, payments.AmountOutOfBounds),
    ],
)
def test_deposits_out_of_bounds_are_refused(
    change: dict[str, Any], error: type[DispatchError]
) -> None:
    runtime = runtime_at(40)

    assert_noop(runtime, lambda: deposit(runtime, **change), error)


def test_there_is_never_more_money_than_sums_can_hold_nor_an_account_without_name() -> None:
    runtime = runtime_at(40)
    runtime.balances.total_issuance.set(ISSUANCE_MAX - DRT + 1)

    assert_noop(runtime, lambda: deposit(runtime), balances.TooMuchMoney)
    nobody = partial(runtime.payments.deposit, GATEWAY, REFERENCE, AddressIndex(None), 40, DRT)
    assert_noop(runtime, nobody, CannotLookup)


def test_only_the_gateway_mints_confirms_returns_and_attests() -> None:
    runtime = runtime_at(40)
    calls: list[Callable[[], object]] = [
        lambda: runtime.payments.deposit(ALICE, REFERENCE, to(ALICE), 40, DRT),
        lambda: runtime.payments.confirm_payout(ALICE, 39, BOB),
        lambda: runtime.payments.return_payout(ALICE, 39, BOB, b""),
        lambda: runtime.payments.attest_reserve(ALICE, 40, 1),
    ]

    for call in calls:
        assert_noop(runtime, call, payments.NotGateway)


def test_requests_of_a_day_are_one_payout_with_one_reference() -> None:
    runtime = runtime_at(3)
    before, issued = runtime.balances.free_balance(ALICE), runtime.balances.issuance()

    runtime.payments.request_payout(ALICE, 2 * DRT)
    at_day(runtime, 3, 95)
    runtime.payments.request_payout(ALICE, 3 * DRT)

    assert runtime.balances.free_balance(ALICE) == before - 5 * DRT
    assert runtime.payments.list_due() == []
    at_day(runtime, 4)
    due = [PayoutView(3, ALICE, 5 * DRT, payout_reference(3, ALICE))]
    assert runtime.payments.list_due() == due == runtime.payments.list_of(ALICE)
    runtime.payments.confirm_payout(GATEWAY, 3, ALICE)
    assert runtime.balances.issuance() == issued - 5 * DRT
    assert runtime.balances.free_balance(PAYOUTS) == 0
    again = partial(runtime.payments.confirm_payout, GATEWAY, 3, ALICE)
    assert_noop(runtime, again, payments.PayoutNotFound)


def test_what_the_bank_cannot_pay_comes_back() -> None:
    runtime = runtime_at(3)
    before = runtime.balances.free_balance(ALICE)
    runtime.payments.request_payout(ALICE, 2 * DRT)
    at_day(runtime, 4)

    runtime.payments.return_payout(GATEWAY, 3, ALICE, b"account closed")

    assert runtime.balances.free_balance(ALICE) == before
    assert runtime.payments.read_overview().flows == Flows(0, 0, 2 * DRT, 0, 0)


def test_a_payout_is_cancelled_on_its_day_only() -> None:
    runtime = runtime_at(3)
    before = runtime.balances.free_balance(ALICE)
    runtime.payments.request_payout(ALICE, 2 * DRT)
    runtime.payments.cancel_payout(ALICE)
    assert runtime.balances.free_balance(ALICE) == before

    runtime.payments.request_payout(ALICE, 2 * DRT)
    assert_noop(
        runtime, lambda: runtime.payments.confirm_payout(GATEWAY, 3, ALICE), payments.DayNotOver
    )
    assert_noop(
        runtime, lambda: runtime.payments.return_payout(GATEWAY, 3, ALICE, b""), payments.DayNotOver
    )
    at_day(runtime, 4)
    assert_noop(runtime, lambda: runtime.payments.cancel_payout(ALICE), payments.PayoutNotFound)


def test_payouts_need_a_sum_worth_moving_money_and_room(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = runtime_at(3)
    request = runtime.payments.request_payout

    assert_noop(runtime, lambda: request(ALICE, PAYOUT_NANO_MIN - 1), payments.AmountOutOfBounds)
    assert_noop(runtime, lambda: request(ALICE, 1_001 * DRT), balances.InsufficientBalance)
    assert_noop(runtime, lambda: request(ALICE, 1_000 * DRT), balances.Expendability)
    monkeypatch.setattr(payments, "PAYOUTS_MAX", 1)
    request(ALICE, DRT)
    request(ALICE, DRT)
    assert_noop(runtime, lambda: request(BOB, DRT), payments.TooManyPayouts)


def test_the_gateway_attests_what_lies_at_the_bank() -> None:
    runtime = runtime_at(3)
    issued = runtime.balances.issuance()

    runtime.payments.attest_reserve(GATEWAY, 2, issued - 7)

    overview = runtime.payments.read_overview()
    assert overview.surplus_nano == -7
    assert overview.attestation is not None and overview.attestation.day == 2
    for day in (1, 4):
        attest = partial(runtime.payments.attest_reserve, GATEWAY, day, issued)
        assert_noop(runtime, attest, payments.DayOutOfWindow)


def test_references_are_forgotten_when_their_day_is_out_of_the_window() -> None:
    runtime = runtime_at(5)
    deposit(runtime, day=5)
    deposit(runtime, bytes(32), day=4)
    at_day(runtime, 4 + DEPOSIT_DAYS)
    for number in range(1, 12):
        runtime.payments.on_finalize(number)

    assert runtime.payments.read_deposit(bytes(32)) is None
    assert runtime.payments.read_deposit(REFERENCE) is not None
    late = partial(deposit, runtime, bytes(32), BOB, 4)
    assert_noop(runtime, late, payments.DayOutOfWindow)
    runtime.check_invariants(runtime.assembly.state.overlay)


def test_members_appoint_the_gateway() -> None:
    runtime = runtime_at(3)

    open_proposal(runtime, AppointGateway(EVE), ALICE, BOB, CHARLIE, DAVE)
    advance(runtime, UNANIMOUS)

    assert runtime.payments.read_overview().gateway == EVE
    assert_noop(runtime, lambda: deposit(runtime, day=3), payments.NotGateway)


class Bank(RuleBasedStateMachine):
    """Deposits, requests, confirmations and days in any order; the money always adds up."""

    runtime: Runtime

    @initialize()
    def begin(self) -> None:
        self.runtime = build_runtime()
        self.day, self.genesis = 0, self.runtime.balances.issuance()

    def tries(self, call: Callable[[], object]) -> None:
        try:
            call()
        except DispatchError:
            pass

    @rule(number=st.integers(0, 5), back=st.integers(-1, 31), nano=st.integers(0, 3 * DRT))
    def deposit(self, number: int, back: int, nano: int) -> None:
        reference, day = bytes([number]) * 32, max(0, self.day - back)
        self.tries(lambda: deposit(self.runtime, reference, (ALICE, BOB)[number % 2], day, nano))

    @rule(who=st.sampled_from((ALICE, BOB)), nano=st.integers(0, 700 * DRT))
    def request(self, who: bytes, nano: int) -> None:
        self.tries(lambda: self.runtime.payments.request_payout(who, nano))

    @rule(who=st.sampled_from((ALICE, BOB)))
    def cancel(self, who: bytes) -> None:
        self.tries(lambda: self.runtime.payments.cancel_payout(who))

    @rule(who=st.sampled_from((ALICE, BOB)), back=st.integers(0, 3), pays=st.booleans())
    def execute(self, who: bytes, back: int, pays: bool) -> None:
        pallet, day = self.runtime.payments, max(0, self.day - back)
        if pays:
            self.tries(lambda: pallet.confirm_payout(GATEWAY, day, who))
        else:
            self.tries(lambda: pallet.return_payout(GATEWAY, day, who, b"no"))

    @rule(days=st.sampled_from((1, 1, 2, 31)))
    def sleep(self, days: int) -> None:
        self.day += days
        at_day(self.runtime, self.day)
        self.runtime.payments.on_finalize(1)

    @invariant()
    def adds_up(self) -> None:
        self.runtime.check_invariants(self.runtime.assembly.state.overlay)
        flows = self.runtime.payments.read_overview().flows
        issued = self.runtime.balances.issuance()
        assert issued == self.genesis + flows.minted_nano - flows.burnt_nano


TestBank = pytest.mark.slow(Bank.TestCase)
TestBank.settings = settings(
    max_examples=15, stateful_step_count=25, deadline=None, derandomize=True
)
