"""Money: transfers, existence, what is set aside; the sum of all is the issuance."""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from runtime.genesis import genesis_storage
from runtime.pallets import balances, system
from runtime.pallets.system import FEES
from runtime.runtime import Runtime
from tests.support import (
    ALICE,
    BOB,
    CHARLIE,
    DRT,
    assert_noop,
    build_runtime,
    genesis_sections,
    new_runtime,
)
from tests.support.chains import to

DEPOSIT = 1_000_000
NOBODY = b"\x01" * 32


def free(runtime: Runtime, who: bytes) -> int:
    return runtime.balances.free_balance(who)


def test_a_transfer_moves_money_and_says_so() -> None:
    runtime = build_runtime({ALICE: 10 * DRT, BOB: 10 * DRT})

    runtime.balances.transfer_keep_alive(ALICE, dest=to(BOB), value=3 * DRT)

    assert (free(runtime, ALICE), free(runtime, BOB)) == (7 * DRT, 13 * DRT)
    assert runtime.assembly.state.events[-1] == balances.Transfer(ALICE, BOB, 3 * DRT)


def test_a_transfer_to_a_new_account_makes_it() -> None:
    runtime = build_runtime({ALICE: 10 * DRT})

    runtime.balances.transfer_keep_alive(ALICE, dest=to(NOBODY), value=DEPOSIT)

    assert runtime.system.info(NOBODY).providers == 1
    assert runtime.assembly.state.events[-3:] == [
        system.NewAccount(NOBODY),
        balances.Endowed(NOBODY, DEPOSIT),
        balances.Transfer(ALICE, NOBODY, DEPOSIT),
    ]


def test_less_than_the_existential_deposit_makes_no_account() -> None:
    runtime = build_runtime({ALICE: 10 * DRT})

    assert_noop(
        runtime,
        lambda: runtime.balances.transfer_keep_alive(ALICE, dest=to(NOBODY), value=DEPOSIT - 1),
        balances.ExistentialDeposit,
    )


@pytest.mark.parametrize("name", ["transfer_keep_alive", "transfer_allow_death"])
def test_more_than_there_is_cannot_be_sent(name: str) -> None:
    runtime = build_runtime({ALICE: 10 * DRT, BOB: DRT})
    transfer: Any = getattr(runtime.balances, name)

    assert_noop(
        runtime,
        lambda: transfer(ALICE, dest=to(BOB), value=10 * DRT + 1),
        balances.InsufficientBalance,
    )


def test_keep_alive_leaves_the_existential_deposit() -> None:
    runtime = build_runtime({ALICE: 10 * DRT, BOB: DRT})
    most = 10 * DRT - DEPOSIT

    assert_noop(
        runtime,
        lambda: runtime.balances.transfer_keep_alive(ALICE, dest=to(BOB), value=most + 1),
        balances.Expendability,
    )
    runtime.balances.transfer_keep_alive(ALICE, dest=to(BOB), value=most)
    assert free(runtime, ALICE) == DEPOSIT


def test_what_is_left_below_the_existential_deposit_is_burnt_with_the_account() -> None:
    runtime = build_runtime({ALICE: 10 * DRT, BOB: DRT})

    value = 10 * DRT - DEPOSIT + 1
    runtime.balances.transfer_allow_death(ALICE, dest=to(BOB), value=value)

    assert not runtime.system.account_exists(ALICE)
    assert ALICE not in runtime.system.account
    assert runtime.balances.total_issuance.get() == 11 * DRT - (DEPOSIT - 1)
    events = runtime.assembly.state.events
    assert system.KilledAccount(ALICE) in events
    assert balances.DustLost(ALICE, DEPOSIT - 1) in events
    runtime.balances.check_invariants()


def test_an_account_forgets_its_nonce_when_it_ends() -> None:
    runtime = build_runtime({ALICE: 10 * DRT, BOB: DRT})
    runtime.system.increment_nonce(ALICE)

    runtime.balances.transfer_all(ALICE, dest=to(BOB), keep_alive=False)

    assert runtime.system.account_nonce(ALICE) == 0


@pytest.mark.parametrize(("keep_alive", "left"), [(True, DEPOSIT), (False, 0)])
def test_transfer_all_sends_everything_that_can_leave(keep_alive: bool, left: int) -> None:
    runtime = build_runtime({ALICE: 10 * DRT, BOB: DRT})

    runtime.balances.transfer_all(ALICE, dest=to(BOB), keep_alive=keep_alive)

    assert free(runtime, ALICE) == left
    assert free(runtime, BOB) == 11 * DRT - left


def test_transfer_all_leaves_the_deposit_of_an_account_that_holds_reserved_money() -> None:
    runtime = build_runtime({ALICE: 10 * DRT, BOB: DRT})
    runtime.balances.hold(ALICE, 4 * DRT)

    runtime.balances.transfer_all(ALICE, dest=to(BOB), keep_alive=False)

    assert free(runtime, ALICE) == DEPOSIT
    assert runtime.balances.reserved_balance(ALICE) == 4 * DRT


def test_a_transfer_to_oneself_changes_nothing() -> None:
    runtime = build_runtime({ALICE: 10 * DRT})
    before = runtime.assembly.state.overlay.changes()

    runtime.balances.transfer_keep_alive(ALICE, dest=to(ALICE), value=3 * DRT)

    assert runtime.assembly.state.overlay.changes() == before
    assert_noop(
        runtime,
        lambda: runtime.balances.transfer_keep_alive(ALICE, dest=to(ALICE), value=11 * DRT),
        balances.InsufficientBalance,
    )


def test_nothing_can_be_sent_to_nobody() -> None:
    runtime = build_runtime({ALICE: 10 * DRT})

    runtime.balances.transfer_keep_alive(ALICE, dest=to(NOBODY), value=0)

    assert not runtime.system.account_exists(NOBODY)


def test_held_money_is_not_free_and_needs_the_account() -> None:
    runtime = build_runtime({ALICE: 10 * DRT})

    runtime.balances.hold(ALICE, 4 * DRT)

    info = runtime.system.info(ALICE)
    assert (info.data.free, info.data.reserved, info.consumers) == (6 * DRT, 4 * DRT, 1)
    assert runtime.assembly.state.events[-1] == balances.Reserved(ALICE, 4 * DRT)


def test_holding_leaves_the_existential_deposit_free() -> None:
    runtime = build_runtime({ALICE: 10 * DRT})

    with pytest.raises(balances.InsufficientBalance):
        runtime.balances.hold(ALICE, 10 * DRT - DEPOSIT + 1)
    runtime.balances.hold(ALICE, 10 * DRT - DEPOSIT)

    assert free(runtime, ALICE) == DEPOSIT


def test_released_money_is_free_again() -> None:
    runtime = build_runtime({ALICE: 10 * DRT})
    runtime.balances.hold(ALICE, 4 * DRT)

    runtime.balances.release(ALICE, 1 * DRT)
    runtime.balances.release(ALICE, 3 * DRT)

    info = runtime.system.info(ALICE)
    assert (info.data.free, info.data.reserved, info.consumers) == (10 * DRT, 0, 0)
    assert runtime.assembly.state.events[-1] == balances.Unreserved(ALICE, 3 * DRT)


def test_releasing_more_than_was_set_aside_is_our_own_mistake() -> None:
    runtime = build_runtime({ALICE: 10 * DRT})
    runtime.balances.hold(ALICE, DRT)

    with pytest.raises(AssertionError, match="only what it set aside"):
        runtime.balances.release(ALICE, DRT + 1)


def test_holding_and_releasing_nothing_does_nothing() -> None:
    runtime = build_runtime({ALICE: 10 * DRT})

    runtime.balances.hold(ALICE, 0)
    runtime.balances.release(ALICE, 0)

    assert runtime.assembly.state.events == []


def test_accounts_of_pallets_hold_any_amount_and_never_end() -> None:
    runtime = build_runtime({ALICE: 10 * DRT})

    runtime.balances.charge(ALICE, FEES, 3)
    assert free(runtime, FEES) == 3
    runtime.balances.pay_out(FEES, ALICE, 3)

    assert free(runtime, FEES) == 0
    assert runtime.system.account_exists(FEES)
    assert runtime.balances.total_issuance.get() == 10 * DRT


def test_a_pay_out_that_could_not_begin_an_account_is_refused() -> None:
    runtime = build_runtime({ALICE: 10 * DRT})
    runtime.balances.charge(ALICE, FEES, 2 * DEPOSIT)

    assert not runtime.balances.pay_out(FEES, NOBODY, DEPOSIT - 1)
    assert runtime.balances.pay_out(FEES, NOBODY, DEPOSIT)

    assert free(runtime, NOBODY) == DEPOSIT


def test_an_account_with_another_provider_keeps_what_is_below_the_deposit() -> None:
    runtime = build_runtime({ALICE: 10 * DRT, BOB: DRT})
    runtime.system.add_provider(ALICE)

    runtime.balances.transfer_allow_death(ALICE, dest=to(BOB), value=10 * DRT - 1)

    assert free(runtime, ALICE) == 1
    assert runtime.system.info(ALICE).providers == 1
    runtime.balances.check_invariants()


@pytest.mark.parametrize(
    ("accounts", "message"),
    [
        ({"0x" + "01" * 32: DEPOSIT - 1}, "is 999999, expected at least 1000000"),
        ({"0x" + "01" * 32: 2**127}, "expected at most"),
        ({"0x" + "01" * 31: DRT}, "has 31 bytes, expected 32"),
        ({"5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQZ": DRT}, "wrong checksum"),
    ],
)
def test_a_genesis_with_impossible_balances_is_refused(
    accounts: dict[str, int], message: str
) -> None:
    sections = genesis_sections() | {"balances": {"accounts": accounts}}

    with pytest.raises(ValueError, match=message):
        genesis_storage(new_runtime(), sections)


def test_one_account_under_two_spellings_is_refused() -> None:
    address = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"
    accounts = {address: DRT, "0x" + ALICE.hex(): DRT}
    sections = genesis_sections() | {"balances": {"accounts": accounts}}

    with pytest.raises(ValueError, match="has two balances"):
        genesis_storage(new_runtime(), sections)


ACCOUNTS = st.sampled_from([ALICE, BOB, CHARLIE, NOBODY, FEES])
AMOUNTS = st.integers(0, 12 * DEPOSIT) | st.sampled_from([DEPOSIT - 1, DEPOSIT, DEPOSIT + 1])


class BalancesMachine(RuleBasedStateMachine):
    """Random calls against a ledger of plain numbers."""

    @initialize()
    def begin(self) -> None:
        self.runtime = build_runtime({ALICE: 10 * DEPOSIT, BOB: 5 * DEPOSIT, CHARLIE: DEPOSIT})
        self.balances = self.runtime.balances
        self.held: dict[bytes, int] = {}

    def attempt(self, action: Any) -> None:
        """Do something in a transaction, as a call would; it may fail."""
        state = self.runtime.assembly.state
        before = self.runtime.balances.total_issuance.get()
        try:
            with state.transaction():
                action()
        except (
            balances.InsufficientBalance,
            balances.ExistentialDeposit,
            balances.Expendability,
        ):
            assert self.balances.total_issuance.get() == before

    @rule(source=ACCOUNTS, dest=ACCOUNTS, amount=AMOUNTS, keep_alive=st.booleans())
    def transfer(self, source: bytes, dest: bytes, amount: int, keep_alive: bool) -> None:
        name = "transfer_keep_alive" if keep_alive else "transfer_allow_death"
        call: Any = getattr(self.balances, name)
        self.attempt(lambda: call(source, dest=to(dest), value=amount))

    @rule(source=ACCOUNTS, dest=ACCOUNTS, keep_alive=st.booleans())
    def transfer_all(self, source: bytes, dest: bytes, keep_alive: bool) -> None:
        self.attempt(
            lambda: self.balances.transfer_all(source, dest=to(dest), keep_alive=keep_alive)
        )

    @rule(who=ACCOUNTS, amount=AMOUNTS)
    def hold(self, who: bytes, amount: int) -> None:
        def action() -> None:
            self.balances.hold(who, amount)
            self.held[who] = self.held.get(who, 0) + amount

        self.attempt(action)

    @rule(who=ACCOUNTS, share=st.integers(0, 4))
    def release(self, who: bytes, share: int) -> None:
        amount = self.held.get(who, 0) * share // 4
        self.balances.release(who, amount)
        self.held[who] = self.held.get(who, 0) - amount

    @rule(who=ACCOUNTS, amount=AMOUNTS)
    def charge_a_fee(self, who: bytes, amount: int) -> None:
        self.attempt(lambda: self.balances.charge(who, FEES, amount))

    @rule(who=ACCOUNTS, amount=AMOUNTS)
    def pay_out_fees(self, who: bytes, amount: int) -> None:
        self.attempt(lambda: self.balances.pay_out(FEES, who, amount))

    @invariant()
    def balances_sum_to_the_issuance(self) -> None:
        self.runtime.check_invariants(self.runtime.assembly.state.overlay)

    @invariant()
    def what_was_set_aside_is_there(self) -> None:
        for who, amount in self.held.items():
            assert self.balances.reserved_balance(who) == amount

    @invariant()
    def accounts_live_by_the_existential_deposit_or_another_provider(self) -> None:
        for who, info in self.runtime.system.accounts():
            assert who == FEES or info.data.free >= DEPOSIT or info.providers > 0


BalancesMachine.TestCase.settings = settings(max_examples=30, stateful_step_count=30)
BalancesTest = pytest.mark.slow(BalancesMachine.TestCase)
