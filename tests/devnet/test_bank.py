"""The simulated bank: what it says follows from the day, and the chain takes it as it is."""

from pathlib import Path

import pytest

from devnet import bank, calls
from devnet.bank import (
    ATTEST_SLOT,
    CONFIRMED_PER_INTERVAL,
    DEPOSIT_NANO,
    PAYOUT_NANO,
    PAYOUT_SLOT,
    Gateway,
    Payout,
    deposit_reference,
)
from devnet.replay import Replay
from devnet.scenario import GATEWAY, Scenario, address_of, load_scenario
from runtime.pallets.payments import PayoutView, payout_reference
from runtime.primitives.crypto import ss58_decode
from runtime.primitives.extrinsic import AddressId
from runtime.primitives.hashing import blake2_256
from tests.devnet.small_data import write_data
from tests.support import new_runtime

FIRST = 1_000


@pytest.fixture
def scenario(tmp_path: Path) -> Scenario:
    return load_scenario(write_data(tmp_path), "line", "spring")


def account_of(number: int) -> bytes:
    return ss58_decode(address_of(f"//Home//{number}"))


def test_each_home_pays_in_once_a_day_and_wants_some_back_from_noon_on(scenario: Scenario) -> None:
    gateway = Gateway(scenario, FIRST)
    day = [list(gateway.act(FIRST + 96 + slot, [], 0)) for slot in range(96)]
    wishes = [gateway.wish(FIRST + slot) for slot in range(96)]

    paying = [calls.deposit(deposit_reference(1, n), account_of(n), 1, DEPOSIT_NANO)
              for n in (1, 2, 3)]  # fmt: skip
    assert day[:3] == [[call] for call in paying]
    assert day[3] == []
    assert wishes[PAYOUT_SLOT - 1] is None
    assert wishes[PAYOUT_SLOT] == ("//Home//1", calls.request_payout(PAYOUT_NANO))
    assert [wish for wish in wishes if wish] == wishes[PAYOUT_SLOT : PAYOUT_SLOT + 3]


def test_due_payouts_are_paid_and_closed_accounts_get_theirs_back(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bank, "CLOSED_EVERY", 2)
    gateway = Gateway(scenario, FIRST)
    due = [Payout(0, account_of(n), 5, bytes(32)) for n in (1, 2, 3)]

    found = list(gateway.act(FIRST + 96 + 50, due * 4, 0))

    assert found[:3] == [
        calls.confirm_payout(0, account_of(1)),
        calls.return_payout(0, account_of(2), bank.REASON),
        calls.confirm_payout(0, account_of(3)),
    ]
    assert len(found) == CONFIRMED_PER_INTERVAL


def test_what_is_not_final_yet_is_not_paid_again_unless_it_was_lost(scenario: Scenario) -> None:
    gateway = Gateway(scenario, FIRST)
    due = [Payout(0, account_of(n), 5, bytes(32)) for n in (1, 2)]
    interval = FIRST + 96 + 50

    first = list(gateway.act(interval, due, 0))
    meanwhile = [list(gateway.act(interval + n, due, 0)) for n in range(1, bank.REPEATED_AFTER)]
    again = list(gateway.act(interval + bank.REPEATED_AFTER, due[1:], 5))

    assert first == [calls.confirm_payout(0, account_of(n)) for n in (1, 2)]
    assert meanwhile == [[]] * (bank.REPEATED_AFTER - 1)
    assert again == [calls.confirm_payout(0, account_of(2))]


def test_the_statement_has_lost_what_was_paid_and_is_not_final_yet(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bank, "CLOSED_EVERY", 2)
    gateway = Gateway(scenario, FIRST)
    due = [Payout(0, account_of(n), 5, bytes(32)) for n in (1, 2)]

    *_, call = gateway.act(FIRST + 96 + ATTEST_SLOT, due, 7)

    statement = gateway.statement_nano(FIRST + 96 + ATTEST_SLOT)
    assert call == calls.attest_reserve(1, statement - 7 - 5), "what came back is still there"


def test_the_statement_is_the_opening_and_all_that_came_less_what_left(scenario: Scenario) -> None:
    gateway = Gateway(scenario, FIRST)
    opening = sum(scenario.chain_spec(FIRST).genesis["balances"]["accounts"].values())

    (call,) = gateway.act(FIRST + 96 + ATTEST_SLOT, [], 7)

    assert gateway.statement_nano(FIRST) == opening + DEPOSIT_NANO
    assert call == calls.attest_reserve(1, opening + 6 * DEPOSIT_NANO - 7)


def test_a_day_of_replay_moves_money_and_the_reserve_covers_the_chain(scenario: Scenario) -> None:
    replay = Replay(scenario, 2, 10_000)
    replay.run()

    runtime = replay.chain.runtime
    flows = runtime.payments.read_overview().flows
    assert replay.chain.failed == 0
    assert flows.minted_nano == 6 * DEPOSIT_NANO
    assert flows.burnt_nano == 3 * PAYOUT_NANO
    assert flows.waiting == 3
    assert runtime.payments.read_overview().surplus_nano == 0


def test_calls_and_answers_are_those_of_the_runtime() -> None:
    encode = new_runtime().assembly.encode_call
    who, reference = account_of(1), blake2_256(b"transfer")

    assert calls.deposit(reference, who, 3, 70) == encode(
        "Payments", "deposit", reference=reference, dest=AddressId(who), value_day=3, amount_nano=70
    )
    assert calls.request_payout(70) == encode("Payments", "request_payout", amount_nano=70)
    assert calls.cancel_payout() == encode("Payments", "cancel_payout")
    assert calls.confirm_payout(3, who) == encode("Payments", "confirm_payout", day=3, account=who)
    assert calls.return_payout(3, who, b"no") == encode(
        "Payments", "return_payout", day=3, account=who, reason=b"no"
    )
    assert calls.attest_reserve(3, 70) == encode(
        "Payments", "attest_reserve", day=3, reserve_nano=70
    )
    view = PayoutView(3, who, 70, payout_reference(3, who))
    assert Payout.decode(view.encode()).account == who
    assert ss58_decode(address_of(GATEWAY.suri)) != who
