"""Fees: what is taken, given back, and who gets it."""

from typing import Any

import pytest

from runtime.frame import Pays
from runtime.frame.validity import InvalidTransaction
from runtime.pallets import transaction_payment
from runtime.pallets.system import FEES
from runtime.primitives.crypto import KeyPair, Scheme
from tests.support import (
    ALICE,
    BOB,
    CHARLIE,
    DAVE,
    DRT,
    EVE,
    MemoryChain,
    build_runtime,
    genesis_sections,
    new_runtime,
)
from tests.support.chains import to

BASE, PER_BYTE, PER_MICROSECOND = 100_000, 1_000, 100


def events_of(chain: MemoryChain) -> list[Any]:
    """The events of the latest block, without their pallets."""
    chain.runtime.bind(chain.overlay())
    records: list[Any] = chain.runtime.system.events.get()
    return [record.event.event for record in records]


def free(chain: MemoryChain, who: bytes) -> int:
    chain.runtime.bind(chain.overlay())
    return chain.runtime.balances.free_balance(who)


def fee_of(chain: MemoryChain, extrinsic: bytes, tip: int = 0) -> int:
    """By the formula of the module's docstring."""
    weight = chain.runtime.assembly.cost_of(
        chain.runtime.assembly.make_call("Balances", "transfer_keep_alive", dest=to(BOB), value=1)
    ).weight
    return BASE + PER_BYTE * len(extrinsic) + PER_MICROSECOND * weight // 10**6 + tip


def test_the_fee_is_base_length_weight_and_tip() -> None:
    runtime = build_runtime()

    compute = runtime.transaction_payment.compute_fee

    assert compute(200, 3_000_000, Pays.YES, 7) == BASE + 200 * PER_BYTE + 3 * PER_MICROSECOND + 7
    assert compute(200, 3_000_000, Pays.NO, 7) == 7


def test_an_extrinsic_costs_its_fee_and_says_so() -> None:
    chain = MemoryChain.new(new_runtime())
    extrinsic = chain.transfer(EVE, BOB, DRT, tip=50)
    fee = fee_of(chain, extrinsic, tip=50)

    chain.build([extrinsic])

    assert free(chain, EVE) == 1_000 * DRT - DRT - fee
    paid = transaction_payment.TransactionFeePaid(EVE, fee, 50)
    assert paid in events_of(chain)


def test_the_author_of_the_block_gets_the_fees() -> None:
    chain = MemoryChain.new(new_runtime())
    place = (chain.slot + 1) % 4
    author = (ALICE, BOB, CHARLIE, DAVE)[place]
    extrinsics = [chain.transfer(EVE, EVE, DRT, nonce=nonce) for nonce in range(3)]

    chain.build(extrinsics)

    earned = free(chain, author) - 1_000 * DRT
    assert earned == 3 * fee_of(chain, extrinsics[0])
    assert free(chain, EVE) == 1_000 * DRT - earned
    assert free(chain, FEES) == 0


def test_a_failing_call_keeps_its_fee() -> None:
    chain = MemoryChain.new(new_runtime())
    extrinsic = chain.transfer(EVE, BOB, 10**6 * DRT)

    chain.build([extrinsic])

    assert free(chain, EVE) == 1_000 * DRT - fee_of(chain, extrinsic)
    names = [type(event).__name__ for event in events_of(chain)]
    assert names.count("ExtrinsicFailed") == 1


def test_a_successful_feeless_call_gets_its_fee_back() -> None:
    chain = MemoryChain.new(new_runtime())
    constants = chain.runtime.constants
    call = chain.call(
        "Trading",
        "place_order",
        connection=1,
        interval=constants.genesis_interval + 5,
        side=1,
        price_micro=150_000,
        quantity_wh=100,
    )

    chain.build([chain.sign(ALICE, call)])

    paid = [event for event in events_of(chain) if hasattr(event, "actual_fee")]
    assert paid == [transaction_payment.TransactionFeePaid(ALICE, 0, 0)]
    chain.runtime.bind(chain.overlay())
    held = chain.runtime.balances.reserved_balance(ALICE)
    assert held > 0
    assert free(chain, ALICE) + held == 1_000 * DRT


def test_whoever_cannot_pay_is_refused_and_keeps_the_money() -> None:
    sections = genesis_sections({ALICE: 1_000 * DRT, EVE: 1_000_000 + 1_000})
    chain = MemoryChain.new(new_runtime(), sections)

    with pytest.raises(InvalidTransaction, match="Inability to pay some fees"):
        chain.build([chain.transfer(EVE, ALICE, 1)])

    assert free(chain, EVE) == 1_001_000


def test_an_account_that_does_not_exist_cannot_pay() -> None:
    chain = MemoryChain.new(new_runtime())
    stranger = KeyPair.from_suri("//Stranger", Scheme.SR25519)
    call = chain.call("System", "remark", remark=b"")

    with pytest.raises(InvalidTransaction, match="Inability to pay some fees"):
        chain.build([chain.sign(stranger, call)])


def test_fees_too_small_to_begin_the_authors_account_wait_for_the_next_author() -> None:
    sections = genesis_sections({EVE: 1_000 * DRT})
    chain = MemoryChain.new(new_runtime(), sections)
    extrinsic = chain.transfer(EVE, EVE, DRT)

    chain.build([extrinsic])

    assert free(chain, FEES) == fee_of(chain, extrinsic)
    for nonce in range(1, 4):
        chain.build([chain.transfer(EVE, EVE, DRT, nonce=nonce)])
    collected = sum(free(chain, who) for who in (ALICE, BOB, CHARLIE, DAVE, FEES))
    assert free(chain, EVE) + collected == 1_000 * DRT


def test_clients_read_a_multiplier_of_one() -> None:
    runtime = build_runtime()

    assert runtime.transaction_payment.next_fee_multiplier.get().inner == 10**18


def test_a_refund_that_could_not_begin_an_account_again_stays_with_the_fees() -> None:
    runtime = build_runtime({EVE: 1_000 * DRT})
    runtime.transaction_payment.withdraw(EVE, 500)
    runtime.balances.transfer_all(EVE, dest=to(BOB), keep_alive=False)

    runtime.transaction_payment.settle(EVE, withdrawn=500, actual=200, tip=0)

    assert runtime.balances.free_balance(FEES) == 500
    paid = transaction_payment.TransactionFeePaid(EVE, 500, 0)
    assert runtime.assembly.state.events[-1] == paid
    runtime.balances.check_invariants()


def test_nothing_is_withdrawn_for_an_extrinsic_that_costs_nothing() -> None:
    runtime = build_runtime({EVE: 1_000 * DRT})

    runtime.transaction_payment.withdraw(EVE, 0)

    assert runtime.assembly.state.events == []
