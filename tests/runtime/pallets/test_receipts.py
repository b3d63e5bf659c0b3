"""Inclusion receipts: who leaves out a promised order is convicted, and nobody else ever is."""

import pytest
from msgspec.structs import replace

from runtime.frame.dispatch import DispatchError
from runtime.frame.validity import InvalidTransaction
from runtime.pallets.authorities import errors
from runtime.pallets.authorities.events import Offence, ReceiptBroken
from runtime.pallets.authorities.offences import OffenceKind
from runtime.pallets.authorities.proposals import RemoveMember
from runtime.pallets.authorities.receipts import (
    BLOCKS_KEPT,
    PROOF_BYTES_MAX,
    PROOF_ITEMS_MAX,
    BlockRecord,
    tag_receipt,
)
from runtime.pallets.trading.order_gates import ORDER_CALLS
from runtime.pallets.trading.records import order_id_of
from runtime.primitives.block import Header
from runtime.primitives.crypto import KeyPair
from runtime.primitives.extrinsic import Era, UncheckedExtrinsic, extrinsic_hash
from runtime.primitives.receipts import Absence, BrokenReceipt, Receipt
from runtime.primitives.types import AccountId
from tests.runtime.pallets.test_recovery import inherent, override_of, proof_by, stalled_chain
from tests.support import (
    ALICE,
    BOB,
    CHARLIE,
    EVE,
    MemoryChain,
    assert_noop,
    build_runtime,
    new_runtime,
)
from tests.support.accounts import pair_of
from tests.support.chains import to
from tests.support.receipts import author_at, evidence_of, promise_of
from tests.support.runtimes import DRT, genesis_sections

AHEAD = 20  # intervals: no gate passes within a promise of these tests


def a_chain(**constants: int) -> MemoryChain:
    chain = MemoryChain.new(new_runtime(True, **constants))
    chain.build()
    return chain


def order_of(
    chain: MemoryChain,
    who: AccountId = ALICE,
    *,
    ahead: int = AHEAD,
    quantity_wh: int = 500,
    nonce: int | None = None,
    era: Era | None = None,
    tip: int = 0,
) -> bytes:
    """A signed bid of a home."""
    constants = chain.runtime.constants
    now = chain.time_ms(chain.slot) // constants.market_interval_ms
    call = chain.call(
        "Trading",
        "place_order",
        connection=1 if who == ALICE else 2,
        interval=now + ahead,
        side=1,
        price_micro=150_000,
        quantity_wh=quantity_wh,
    )
    return chain.sign(who, call, nonce=nonce, era=era, tip=tip)


def withheld(chain: MemoryChain, order: bytes, blocks: int = 4) -> tuple[Receipt, int]:
    """The next author promises an order and leaves it out, and so do all others: the receipt, and
    the number of the author's block.
    """
    receipt = promise_of(chain, author_at(chain.slot + 1), order, blocks)
    block = chain.head.number + 1
    grow(chain, blocks + 2)
    return receipt, block


def grow(chain: MemoryChain, count: int) -> None:
    for _ in range(count):
        chain.build()


def report_of(chain: MemoryChain, evidence: BrokenReceipt) -> bytes:
    call = chain.call("Authorities", "report_receipt", evidence=evidence)
    return UncheckedExtrinsic(None, call).encode()


def assert_refused(chain: MemoryChain, evidence: BrokenReceipt, error: type[DispatchError]) -> None:
    """A report fails with an error, changes nothing, and the API names the error."""
    runtime = chain.runtime
    runtime.bind(chain.overlay())
    assert_noop(
        runtime,
        lambda: runtime.authorities.report_receipt(None, evidence),
        error,
    )
    assert runtime.authorities.judge_receipt(evidence) == error.__name__


# --- who is convicted


def test_an_author_that_leaves_out_what_it_promised_is_disabled_and_its_removal_opens() -> None:
    chain = a_chain()
    order = order_of(chain)
    receipt, block = withheld(chain, order)
    who = receipt.validator  # validators' accounts are their Aura keys here

    chain.build([report_of(chain, evidence_of(chain, receipt, order, block))])

    runtime = chain.runtime
    events = runtime.assembly.state.events
    assert Offence(who, OffenceKind.BROKEN_RECEIPT) in events
    assert ReceiptBroken(who, extrinsic_hash(order), block) in events
    runtime.bind(chain.overlay())
    place = runtime.session.validators.get().index(who)
    assert runtime.session.disabled_validators.get() == [place]
    proposal = runtime.authorities.proposals[0]
    assert proposal is not None
    assert proposal.action == RemoveMember(who)


def test_the_api_says_that_a_report_would_convict() -> None:
    chain = a_chain()
    order = order_of(chain)
    receipt, block = withheld(chain, order)
    chain.runtime.bind(chain.overlay())

    evidence = evidence_of(chain, receipt, order, block)

    assert chain.runtime.authorities.judge_receipt(evidence) is None


def test_an_order_among_others_in_the_block_is_missed_as_well() -> None:
    chain = a_chain()
    order = order_of(chain)
    receipt = promise_of(chain, author_at(chain.slot + 1), order)
    block = chain.head.number + 1
    chain.build([chain.transfer(who, EVE, DRT) for who in (BOB, CHARLIE)])
    grow(chain, 5)
    chain.runtime.bind(chain.overlay())

    evidence = evidence_of(chain, receipt, order, block)

    assert chain.runtime.authorities.judge_receipt(evidence) is None


def test_a_report_comes_in_time_as_long_as_its_block_is_kept() -> None:
    chain = a_chain()
    order = order_of(chain, ahead=90)
    receipt, block = withheld(chain, order)
    evidence = evidence_of(chain, receipt, order, block)
    grow(chain, block + BLOCKS_KEPT - 1 - chain.head.number)
    chain.runtime.bind(chain.overlay())

    assert chain.runtime.authorities.judge_receipt(evidence) is None
    chain.build()
    assert_refused(chain, evidence, errors.NotInBlocksOfPromise)


def test_an_offender_is_reported_once_a_session() -> None:
    chain = a_chain()
    first, second = order_of(chain), order_of(chain, BOB)
    receipts = [promise_of(chain, author_at(chain.slot + 1), each) for each in (first, second)]
    block = chain.head.number + 1
    grow(chain, 6)
    one, other = (
        evidence_of(chain, receipt, order, block)
        for receipt, order in zip(receipts, (first, second), strict=True)
    )
    while author_at(chain.slot + 1).public == receipts[0].validator:
        chain.slot += 1
    chain.build([report_of(chain, one)])

    chain.runtime.bind(chain.overlay())
    runtime = chain.runtime
    assert_noop(
        runtime,
        lambda: runtime.authorities.report_receipt(None, other),
        errors.DuplicateReport,
    )


def test_reports_take_little_of_the_pool_whatever_a_validator_signs_against_itself() -> None:
    chain = a_chain()
    order = order_of(chain)
    receipt, block = withheld(chain, order)
    evidence = evidence_of(chain, receipt, order, block)
    promise = receipt.promise
    tags = {
        tag_receipt(
            replace(
                evidence, receipt=replace(receipt, promise=replace(promise, order=bytes([n] * 32)))
            )
        )
        for n in range(256)
    }

    assert len(tags) == 64


# --- why a report fails


def test_a_promise_on_another_branch_is_void() -> None:
    chain = a_chain()
    order = order_of(chain)
    validator = author_at(chain.slot + 1)
    receipt = promise_of(chain, validator, order)
    grow(chain, 6)
    receipt = resigned(chain, validator, receipt, bytes(32))

    evidence = evidence_of(chain, receipt, order, receipt.promise.head_number + 1)

    assert_refused(chain, evidence, errors.PromiseVoid)


def resigned(chain: MemoryChain, validator: KeyPair, receipt: Receipt, head_hash: bytes) -> Receipt:
    """The receipt with another head, well signed."""
    promise = replace(receipt.promise, head_hash=head_hash)
    return Receipt(promise, validator.public, validator.sign(promise.payload(chain.genesis_hash)))


@pytest.mark.parametrize("blocks", [0, 65, 2**32 - 1])
def test_a_promise_for_no_block_or_too_many_is_void(blocks: int) -> None:
    chain = a_chain()
    order = order_of(chain)
    receipt = promise_of(chain, author_at(chain.slot + 1), order, blocks)
    block = chain.head.number + 1
    grow(chain, 6)

    assert_refused(chain, evidence_of(chain, receipt, order, block, last=3), errors.PromiseVoid)


def test_a_promise_is_open_until_its_last_block_has_a_child() -> None:
    chain = a_chain()
    order = order_of(chain)
    receipt = promise_of(chain, author_at(chain.slot + 1), order)
    block = chain.head.number + 1
    grow(chain, 4)

    assert_refused(chain, evidence_of(chain, receipt, order, block), errors.PromiseOpen)


def test_blocks_outside_of_the_promise_do_not_count() -> None:
    chain = a_chain()
    grow(chain, 5)
    order = order_of(chain)
    receipt, block = withheld(chain, order)
    grow(chain, 3)
    before, after = block - 1, receipt.promise.last + 1

    for number in (before, after):
        evidence = evidence_of(chain, receipt, order, number)
        assert_refused(chain, evidence, errors.NotInBlocksOfPromise)


def test_a_block_that_was_begun_before_the_promise_does_not_count() -> None:
    chain = a_chain()
    order = order_of(chain)
    validator = author_at(chain.slot + 1)
    receipt = promise_of(chain, validator, order, after_slot=chain.slot + 1)
    block = chain.head.number + 1
    grow(chain, 6)

    evidence = evidence_of(chain, receipt, order, block)

    assert_refused(chain, evidence, errors.NotInBlocksOfPromise)


def test_another_authors_block_breaks_no_promise() -> None:
    chain = a_chain()
    order = order_of(chain)
    receipt, block = withheld(chain, order)

    evidence = evidence_of(chain, receipt, order, block + 1)

    assert_refused(chain, evidence, errors.NotPromisedByAuthor)


def test_a_receipt_that_its_validator_did_not_sign_convicts_nobody() -> None:
    chain = a_chain()
    order = order_of(chain)
    receipt, block = withheld(chain, order)
    promise = replace(receipt.promise, blocks=3)  # another one than was signed
    forged = replace(receipt, promise=promise)

    evidence = evidence_of(chain, forged, order, block)

    assert_refused(chain, evidence, errors.NotPromisedByAuthor)


def test_a_receipt_of_another_chain_convicts_nobody() -> None:
    chain = a_chain()
    order = order_of(chain)
    receipt, block = withheld(chain, order)
    validator = author_at(receipt.promise.after_slot + 1)
    signature = validator.sign(receipt.promise.payload(bytes(32)))

    evidence = evidence_of(chain, replace(receipt, signature=signature), order, block)

    assert_refused(chain, evidence, errors.NotPromisedByAuthor)


def test_an_order_behind_one_that_is_missing_was_not_valid() -> None:
    chain = a_chain()
    order = order_of(chain, nonce=1)

    receipt, block = withheld(chain, order)

    evidence = evidence_of(chain, receipt, order, block)
    assert_refused(chain, evidence, errors.OrderNotValidThen)


def test_an_order_whose_era_had_ended_was_not_valid() -> None:
    chain = a_chain()
    order = order_of(chain, era=Era.mortal(4, chain.head.number))
    validator = author_at(chain.slot + 6)
    receipt = promise_of(chain, validator, order, 8)
    block = chain.head.number + 6
    grow(chain, 10)

    evidence = evidence_of(chain, receipt, order, block)

    assert_refused(chain, evidence, errors.OrderNotValidThen)


def test_an_order_that_came_too_late_for_its_gate_was_not_valid() -> None:
    chain = a_chain()
    order = order_of(chain, ahead=2)  # its gate passes within the next interval
    validator = author_at(chain.slot + 4)
    receipt = promise_of(chain, validator, order, 8)
    block = chain.head.number + 4
    grow(chain, 10)

    evidence = evidence_of(chain, receipt, order, block)

    assert_refused(chain, evidence, errors.OrderNotValidThen)


def test_an_extrinsic_that_is_no_order_was_promised_by_mistake_and_convicts_nobody() -> None:
    chain = a_chain()
    transfer = chain.transfer(ALICE, BOB, DRT)

    receipt, block = withheld(chain, transfer)

    evidence = evidence_of(chain, receipt, transfer, block)
    assert_refused(chain, evidence, errors.OrderNotValidThen)


@pytest.mark.parametrize("missing", [0, 1])
def test_a_sender_that_could_not_pay_the_fee_then_convicts_nobody(missing: int) -> None:
    """To the nano: one that just can pay it does."""
    chain = a_chain()
    runtime = chain.runtime
    usual = runtime.orders.order_at(order_of(chain), chain.head.number + 1)
    assert usual is not None
    money = runtime.constants.existential_deposit + usual.fee - missing
    chain = MemoryChain.new(runtime, genesis_sections({ALICE: money, BOB: DRT}))
    chain.build()
    order = order_of(chain)
    receipt, block = withheld(chain, order)

    evidence = evidence_of(chain, receipt, order, block)

    if missing:
        assert_refused(chain, evidence, errors.OrderNotValidThen)
    else:
        runtime.bind(chain.overlay())
        assert runtime.authorities.judge_receipt(evidence) is None


def test_an_order_that_another_author_included_in_time_was_kept() -> None:
    chain = a_chain()
    order = order_of(chain)
    receipt = promise_of(chain, author_at(chain.slot + 1), order)
    block = chain.head.number + 1
    chain.build()
    chain.build([order])
    grow(chain, 4)

    assert_refused(chain, evidence_of(chain, receipt, order, block), errors.PromiseKept)


def test_an_order_in_whose_place_its_sender_put_another_one_is_forgotten() -> None:
    chain = a_chain()
    order = order_of(chain)
    receipt = promise_of(chain, author_at(chain.slot + 1), order)
    block = chain.head.number + 1
    chain.build()
    chain.build([chain.transfer(ALICE, BOB, DRT)])
    grow(chain, 4)

    assert_refused(chain, evidence_of(chain, receipt, order, block), errors.PromiseKept)


@pytest.mark.parametrize("spare", [0, -1])
def test_a_block_without_the_room_for_the_order_breaks_no_promise(spare: int) -> None:
    """To the byte: one that has just room for it breaks it."""
    chain = a_chain(block_length_max=4_096)
    order = order_of(chain)
    receipt = promise_of(chain, author_at(chain.slot + 1), order)
    block = chain.head.number + 1
    inherent = len(chain.runtime.inherents(chain.time_ms(chain.slot + 1))[0])
    room = 4_096 * 3 // 4 - inherent - len(order)
    size = room - len(remark(chain, 1_000)) + 1_000 - spare
    chain.build([remark(chain, size)])
    grow(chain, 5)

    evidence = evidence_of(chain, receipt, order, block)

    if spare < 0:
        assert_refused(chain, evidence, errors.NoRoomForOrder)
    else:
        chain.runtime.bind(chain.overlay())
        assert chain.runtime.authorities.judge_receipt(evidence) is None


def remark(chain: MemoryChain, size: int) -> bytes:
    """A large extrinsic of somebody else."""
    return chain.sign(CHARLIE, chain.call("System", "remark", remark=bytes(size)))


def test_a_block_too_heavy_for_the_order_breaks_no_promise() -> None:
    chain = a_chain(
        block_weight_max=900 * 10**6, clearing_weight=100 * 10**6, settlement_weight=100 * 10**6
    )
    order = order_of(chain)

    receipt, block = withheld(chain, order)

    assert_refused(chain, evidence_of(chain, receipt, order, block), errors.NoRoomForOrder)


# --- evidence that proves nothing


def wrong_evidence(evidence: BrokenReceipt) -> dict[str, BrokenReceipt]:
    """Evidence that is not what it says, by what is wrong."""
    header = Header.decode(evidence.parent)
    other = replace(header, state_root=bytes(32)).encode()
    return {
        "another order": replace(evidence, order=evidence.order + b"\0"),
        "another parent": replace(evidence, parent=other),
        "another last header": replace(evidence, last=evidence.parent),
        "no header": replace(evidence, parent=b"\x01"),
        "an endless header": replace(evidence, parent=bytes(9_000)),
        "no proof": replace(evidence, accounts=[]),
        "half a proof": replace(evidence, accounts=evidence.accounts[1:]),
        "too many items": replace(evidence, accounts=[b""] * (PROOF_ITEMS_MAX + 1)),
        "too large a proof": replace(evidence, accounts=[bytes(PROOF_BYTES_MAX + 1)]),
        "no absence": replace(evidence, absence=Absence(1, None, None)),
    }


@pytest.mark.parametrize(
    "what",
    [
        "another order",
        "another parent",
        "another last header",
        "no header",
        "an endless header",
        "no proof",
        "half a proof",
        "too many items",
        "too large a proof",
        "no absence",
    ],
)
def test_evidence_that_is_not_what_it_says_convicts_nobody(what: str) -> None:
    chain = a_chain()
    order = order_of(chain)
    receipt, block = withheld(chain, order)
    evidence = evidence_of(chain, receipt, order, block)

    assert_refused(chain, wrong_evidence(evidence)[what], errors.InvalidEvidence)


def test_a_refused_report_is_not_in_a_block() -> None:
    chain = a_chain()
    order = order_of(chain)
    receipt, block = withheld(chain, order)
    evidence = evidence_of(chain, receipt, order, block + 1)

    with pytest.raises(InvalidTransaction) as found:
        chain.build([report_of(chain, evidence)])

    assert found.value.detail == "NotPromisedByAuthor"


def test_an_account_that_ended_and_began_anew_does_not_hide_that_its_order_was_in() -> None:
    """Its nonces begin anew, so they alone would say that the order is still not in."""
    chain = a_chain()
    order = order_of(chain, quantity_wh=1)  # fails when it is called, so nothing is held for it
    receipt = promise_of(chain, author_at(chain.slot + 1), order)
    block = chain.head.number + 1
    everything = chain.call("Balances", "transfer_all", dest=to(BOB), keep_alive=False)
    chain.build([order, chain.sign(ALICE, everything, nonce=1), chain.transfer(BOB, ALICE, DRT)])
    grow(chain, 5)
    chain.runtime.bind(chain.overlay())
    assert chain.runtime.system.account_nonce(ALICE) == 0

    evidence = evidence_of(chain, receipt, order, block)

    assert_refused(chain, evidence, errors.InvalidEvidence)


def test_what_is_kept_of_a_block_says_how_much_it_used() -> None:
    chain = a_chain()
    empty = record_of(chain)
    chain.build([order_of(chain, BOB)])

    full = record_of(chain)

    order = chain.runtime.orders.order_at(chain.bodies[-1][1], chain.head.number)
    assert order is not None
    assert full.weight - empty.weight == full.normal_weight == order.weight
    assert (empty.normal_weight, full.length - empty.length) == (0, order.length)
    assert (empty.included_count, full.included_count) == (0, 1)
    assert pair_of(BOB).public == order.who


def record_of(chain: MemoryChain, number: int | None = None) -> BlockRecord:
    """What is kept of a block, by default of the latest."""
    chain.runtime.bind(chain.overlay())
    number = chain.head.number if number is None else number
    record = chain.runtime.authorities.read_block_record(number)
    assert record is not None
    return record


# --- what is an order


def test_every_call_about_orders_can_be_promised_and_no_other() -> None:
    """What is free when it succeeds is an order; so are the two calls that seal one and pay."""
    calls = build_runtime().trading.declaration.calls

    free = {each.name for each in calls if each.is_feeless}

    assert free | {"seal_order", "withdraw_sealed_order"} == ORDER_CALLS


@pytest.mark.parametrize(
    ("name", "arguments", "gate"),
    [
        ("cancel_order", {"order_id": order_id_of(1_020, 1, 0)}, 1_019),
        ("seal_order", {"connection": 1, "interval": 1_020, "side": 1}, 1_017),
        ("reveal_order", {"order_id": order_id_of(1_020, 1, 0)}, 1_019),
        ("withdraw_sealed_order", {"order_id": order_id_of(1_020, 1, 0)}, 1_017),
        ("cancel_coupled", {"order_id": 7}, None),
        ("cancel_order", {"order_id": 2**64 - 1}, 2**32 - 2),
        ("place_order", {"connection": 1, "interval": 0, "side": 1}, 0),
    ],
)
def test_an_order_is_of_use_until_the_gate_of_its_interval(
    name: str, arguments: dict[str, int], gate: int | None
) -> None:
    chain = a_chain()
    kinds = {
        "quantity_wh": 100,
        "price_micro": 150_000,
        "commitment": bytes(32),
        "salt": bytes(32),
    }
    wanted = chain.runtime.trading.declaration.calls
    fields = next(each for each in wanted if each.name == name).arguments
    rest = {key: value for key, value in kinds.items() if key in {each.name for each in fields}}
    call = chain.call("Trading", name, **arguments, **rest)

    order = chain.runtime.orders.order_at(chain.sign(ALICE, call), 2)

    assert order is not None
    assert order.gate_ms == (None if gate is None else gate * 6_000)


def test_the_block_in_which_all_validators_change_breaks_no_promise() -> None:
    """It may be one of the new validators': the sets do not tell whose it is."""
    chain = stalled_chain()
    order = order_of(chain)
    receipt = promise_of(chain, author_at(chain.slot + 1), order, 2)
    block = chain.head.number + 1
    chain.build([inherent(chain, proof_by(chain, override_of(chain)))])
    grow(chain, 3)

    assert [record_of(chain, block + at).is_takeover for at in (-1, 0, 1)] == [False, True, False]
    evidence = evidence_of(chain, receipt, order, block)
    assert_refused(chain, evidence, errors.NotInBlocksOfPromise)
