"""Blocks: what is built is what is executed, and what is not so is refused."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from runtime.frame import DispatchClass, DispatchInfo, InvalidBlock, Pays, Weight
from runtime.frame.validity import InvalidTransaction
from runtime.pallets.balances import Withdraw
from runtime.pallets.system import ExtrinsicFailed, ExtrinsicSuccess
from runtime.pallets.transaction_payment import TransactionFeePaid
from runtime.primitives.block import Block, Digest, DigestItem, Header, Other, Seal
from runtime.primitives.extrinsic import AddressId, UncheckedExtrinsic
from runtime.state.overlay import Overlay
from runtime.state.trie import EMPTY_ROOT, extrinsics_root
from tests.runtime.frame.chain import (
    ALICE,
    ALICE_PAIR,
    AUTHOR,
    BASE_WEIGHT,
    BOB,
    BOB_PAIR,
    ENDOWMENT,
    Chain,
)
from tests.runtime.frame.market import OrderPlaced, Side


@pytest.fixture
def chain() -> Chain:
    return Chain()


def place(chain: Chain, quantity: int = 5, nonce: int = 0) -> bytes:
    return chain.sign(ALICE_PAIR, "Market", "place", nonce=nonce, side=Side.SELL, quantity=quantity)


def kinds(chain: Chain) -> list[type]:
    return [type(event) for event in chain.assembly.state.events]


# --- building and executing


def test_a_block_executes_to_the_header_it_was_built_with(chain: Chain) -> None:
    transfer = chain.sign(
        BOB_PAIR, "Balances", "transfer_keep_alive", dest=AddressId(ALICE), value=10**6
    )

    block = chain.build(place(chain), place(chain, nonce=1), transfer)
    state = chain.execute(block)

    assert state.root() == block.header.state_root
    assert chain.market.next_order_id.get() == 2


def test_blocks_follow_each_other(chain: Chain) -> None:
    for nonce in range(3):
        chain.add(place(chain, nonce=nonce))

    chain.state  # noqa: B018 - binds the newest state
    assert chain.system.block_number() == 3
    assert chain.system.parent_hash() == chain.headers[2].hash()
    assert chain.system.block_hash(1) == chain.headers[1].hash()
    assert chain.timestamp.now.get() == 18_000
    assert chain.system.account_nonce(ALICE) == 3


def test_a_header_commits_to_parent_number_body_and_digest(chain: Chain) -> None:
    extrinsic = place(chain)
    block = chain.build(extrinsic)

    header = block.header
    assert header.parent_hash == chain.best_hash
    assert header.number == 1
    assert header.extrinsics_root == extrinsics_root([chain.time(), extrinsic])
    assert header.digest == chain.next_header().digest


def test_the_seal_is_no_part_of_what_is_executed(chain: Chain) -> None:
    block = chain.build()
    logs = [*block.header.digest.logs, Seal(b"aura", bytes(64))]

    chain.execute(replace(block, header=replace(block.header, digest=Digest(logs))))


def flip(value: bytes) -> bytes:
    return bytes([value[0] ^ 1]) + value[1:]


TAMPERED: dict[str, Callable[[Header], Header]] = {
    "state root": lambda header: replace(header, state_root=flip(header.state_root)),
    "extrinsics root": lambda h: replace(h, extrinsics_root=flip(h.extrinsics_root)),
    "digest": lambda h: replace(h, digest=Digest([*h.digest.logs, Other(b"more")])),
    "block number": lambda header: replace(header, number=header.number + 1),
}


@pytest.mark.parametrize("field", TAMPERED)
def test_a_header_with_another_value_is_refused_with_both(chain: Chain, field: str) -> None:
    block = chain.build(place(chain))
    tampered = replace(block, header=TAMPERED[field](block.header))

    with pytest.raises(InvalidBlock, match=rf"{field} \S+, expected \S+") as caught:
        chain.execute(tampered)

    if field == "state root":
        found, expected = tampered.header.state_root, block.header.state_root
        assert str(caught.value) == f"state root 0x{found.hex()}, expected 0x{expected.hex()}"


def test_a_block_on_another_parent_has_another_state(chain: Chain) -> None:
    block = chain.build()
    header = replace(block.header, parent_hash=flip(block.header.parent_hash))

    with pytest.raises(InvalidBlock, match="state root"):
        chain.execute(replace(block, header=header))


def test_a_block_with_an_invalid_extrinsic_is_refused_with_its_place(chain: Chain) -> None:
    block = chain.build(place(chain))
    twice = replace(block, extrinsics=[*block.extrinsics, block.extrinsics[1]])

    with pytest.raises(InvalidBlock, match="extrinsic 2 of 3: Transaction is outdated"):
        chain.execute(twice)


def test_a_digest_of_the_runtime_cannot_be_put_in_by_the_author(chain: Chain) -> None:
    # Only what the author may say, the pre-runtime items, is taken from the header.
    overlay = Overlay(chain.backend)
    header = chain.next_header()
    logs: list[DigestItem] = [*header.digest.logs, Other(b"x")]

    chain.executive.initialize_block(overlay, replace(header, digest=Digest(logs)))

    assert chain.executive.finalize_block(overlay).digest == header.digest


def test_an_empty_block_has_the_root_of_no_extrinsics(chain: Chain) -> None:
    overlay = Overlay(chain.backend)
    chain.executive.initialize_block(overlay, chain.next_header())

    assert chain.executive.finalize_block(overlay).extrinsics_root == EMPTY_ROOT


def test_two_blocks_can_be_in_the_making_at_once(chain: Chain) -> None:
    extrinsic = place(chain)
    alone = chain.build(extrinsic)

    first, second = chain.begin(), chain.begin()
    chain.executive.apply_extrinsic(first, extrinsic, chain.signatures)
    empty = chain.executive.finalize_block(second)
    header = chain.executive.finalize_block(first)

    assert header == alone.header
    assert empty == chain.build().header


def test_judging_an_extrinsic_does_not_disturb_a_block_in_the_making(chain: Chain) -> None:
    extrinsic = place(chain)
    alone = chain.build(extrinsic)

    overlay = chain.begin()
    chain.executive.validate_transaction(
        Overlay(chain.backend), place(chain, nonce=4), chain.signatures, chain.best_hash
    )
    chain.executive.apply_extrinsic(overlay, extrinsic, chain.signatures)

    assert chain.executive.finalize_block(overlay) == alone.header


def test_an_extrinsic_needs_a_block(chain: Chain) -> None:
    with pytest.raises(AssertionError, match="no block was begun"):
        chain.executive.apply_extrinsic(Overlay(chain.backend), place(chain), chain.signatures)


def test_hooks_run_around_the_extrinsics(chain: Chain) -> None:
    chain.add()

    chain.state  # noqa: B018 - binds the newest state
    assert chain.market.log.get() == [1, 2]


# --- events


def test_the_events_of_a_block_have_the_place_of_their_extrinsic(chain: Chain) -> None:
    chain.add(place(chain))
    chain.state  # noqa: B018 - binds the newest state

    records: list[Any] = list(chain.system.events.get())
    found = [
        (getattr(record.phase, "extrinsic_index", type(record.phase).__name__), record.event.event)
        for record in records
    ]

    assert [(place, type(event)) for place, event in found] == [
        (0, ExtrinsicSuccess),
        (1, Withdraw),
        (1, OrderPlaced),
        (1, TransactionFeePaid),
        (1, ExtrinsicSuccess),
        ("Finalization", type(found[-1][1])),
    ]


def test_a_success_tells_what_it_took(chain: Chain) -> None:
    overlay = chain.begin()

    failure = chain.executive.apply_extrinsic(overlay, place(chain), chain.signatures)

    assert failure is None
    info = DispatchInfo(Weight(100_000_000 + BASE_WEIGHT, 0), DispatchClass.NORMAL, Pays.YES)
    assert chain.assembly.state.events[-1] == ExtrinsicSuccess(info)


def test_a_failure_is_announced_and_undone_and_still_paid(chain: Chain) -> None:
    overlay = chain.begin()

    failure = chain.executive.apply_extrinsic(
        overlay, place(chain, quantity=5_000), chain.signatures
    )

    assert failure is not None and failure.encode() == bytes.fromhex("031e03000000")
    info = DispatchInfo(Weight(100_000_000 + BASE_WEIGHT, 0), DispatchClass.NORMAL, Pays.YES)
    assert chain.assembly.state.events[-1] == ExtrinsicFailed(failure, info)
    assert OrderPlaced not in kinds(chain)
    assert chain.market.next_order_id.get() == 0
    assert chain.system.account_nonce(ALICE) == 1
    assert chain.balances.free_balance(ALICE) < ENDOWMENT


def test_events_of_a_block_are_gone_in_the_next(chain: Chain) -> None:
    chain.add(place(chain))
    chain.add()

    chain.state  # noqa: B018 - binds the newest state
    assert len(chain.system.events.get()) == 1


# --- inherents


def test_the_time_comes_before_what_is_signed(chain: Chain) -> None:
    overlay = Overlay(chain.backend)
    chain.executive.initialize_block(overlay, chain.next_header())
    chain.executive.apply_extrinsic(overlay, place(chain), chain.signatures)

    with pytest.raises(InvalidTransaction, match="an inherent after a signed extrinsic"):
        chain.executive.apply_extrinsic(overlay, chain.time(), chain.signatures)


def test_an_inherent_that_fails_makes_the_block_invalid(chain: Chain) -> None:
    block = chain.build()
    twice = Block(block.header, [chain.time(), chain.time()])

    with pytest.raises(InvalidBlock, match=r"extrinsic 1 of 2: A call was labelled as mandatory"):
        chain.execute(twice)


def test_an_unsigned_call_of_accounts_is_refused(chain: Chain) -> None:
    call = chain.assembly.encode_call("Market", "place", side=Side.BUY, quantity=1)
    overlay = chain.begin()

    with pytest.raises(InvalidTransaction) as caught:
        chain.executive.apply_extrinsic(
            overlay, UncheckedExtrinsic(None, call).encode(), chain.signatures
        )

    assert caught.value.is_unknown
    assert caught.value.encode() == bytes.fromhex("0101")


def test_a_signed_inherent_is_refused(chain: Chain) -> None:
    overlay = chain.begin()
    extrinsic = chain.sign(ALICE_PAIR, "Timestamp", "set", now=5)

    with pytest.raises(InvalidTransaction, match="Transaction dispatch is mandatory"):
        chain.executive.apply_extrinsic(overlay, extrinsic, chain.signatures)


def test_the_time_of_a_block_can_be_read_without_executing_it(chain: Chain) -> None:
    block = chain.build(place(chain))

    assert chain.executive.timestamp_of(block.extrinsics) == 6_000
    assert chain.executive.timestamp_of(block.extrinsics[1:]) is None
    assert chain.executive.timestamp_of([]) is None
    assert chain.executive.timestamp_of([b"\x08\x04\xff"]) is None


# --- what a refused extrinsic leaves


def test_a_refused_extrinsic_leaves_no_trace_in_the_block(chain: Chain) -> None:
    extrinsic = place(chain)
    alone = chain.build(extrinsic)

    overlay = chain.begin()
    for refused in (place(chain, nonce=7), b"\x00", place(chain)[:-1], chain.time()):
        with pytest.raises(InvalidTransaction):
            chain.executive.apply_extrinsic(overlay, refused, chain.signatures)
    chain.executive.apply_extrinsic(overlay, extrinsic, chain.signatures)

    assert chain.executive.finalize_block(overlay) == alone.header


def test_the_fees_of_a_block_go_to_its_author(chain: Chain) -> None:
    chain.add(place(chain))

    chain.state  # noqa: B018 - binds the newest state
    paid = ENDOWMENT - chain.balances.free_balance(ALICE)
    assert paid > 0
    assert chain.balances.free_balance(AUTHOR) == ENDOWMENT + paid
    assert chain.balances.free_balance(BOB) == ENDOWMENT


# --- all together

ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["place", "cancel", "report", "batch", "transfer", "wrong nonce"]),
        st.integers(0, 3_000),
        st.integers(0, 5),
    ),
    max_size=12,
)


def extrinsic_of(chain: Chain, action: str, number: int, nonce: int, tip: int) -> bytes:
    make = chain.assembly.make_call
    place = make("Market", "place", side=Side.BUY, quantity=number)
    calls: dict[str, tuple[str, str, dict[str, object]]] = {
        "place": ("Market", "place", {"side": Side.SELL, "quantity": number}),
        "cancel": ("Market", "cancel", {"order_id": number % 4}),
        "report": ("Market", "report", {"quantity": number}),
        "batch": ("Market", "batch", {"calls": [place, make("Market", "cancel", order_id=0)]}),
        "transfer": (
            "Balances",
            "transfer_allow_death",
            {"dest": AddressId(bytes([number % 3] * 32)), "value": number},
        ),
        "wrong nonce": ("Market", "cancel", {"order_id": 0}),
    }
    pallet, name, arguments = calls[action]
    nonce += action == "wrong nonce"
    options: dict[str, Any] = {"nonce": nonce, "tip": tip, **arguments}
    return chain.sign(BOB_PAIR, pallet, name, **options)


@settings(max_examples=12)
@given(ACTIONS)
def test_what_one_node_builds_another_executes(actions: list[tuple[str, int, int]]) -> None:
    builder, importer = Chain(), Chain()
    overlay = builder.begin()
    included = [builder.time()]
    for action, number, tip in actions:
        extrinsic = extrinsic_of(builder, action, number, len(included) - 1, tip)
        try:
            builder.executive.apply_extrinsic(overlay, extrinsic, builder.signatures)
        except InvalidTransaction:
            continue  # as the author of a block goes on
        included.append(extrinsic)
    header = builder.executive.finalize_block(overlay)

    state = importer.execute(Block(header, included))

    assert state.changes() == overlay.changes()
