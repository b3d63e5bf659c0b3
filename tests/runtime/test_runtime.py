"""The runtime as the node sees it: blocks, judged extrinsics, tags, status."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.constants import Constants
from runtime.frame import InvalidBlock
from runtime.frame.validity import InvalidTransaction
from runtime.primitives.block import Block
from runtime.primitives.extrinsic import Era
from runtime.primitives.scale import encode_compact
from runtime.runtime import CODE_KEY, CodeInfo, SignatureCache, UnknownVersion
from runtime.state.overlay import Overlay
from runtime.version import SPEC_NAME, SPEC_VERSION, TRANSACTION_VERSION
from tests.golden.script import golden_chain, sections
from tests.support import ALICE, BOB, CHARLIE, CONSTANTS, DRT, EVE, MemoryChain, new_runtime
from tests.support.chains import to

ACCOUNTS = [ALICE, BOB, CHARLIE, EVE]


def test_a_built_block_executes_to_the_same_header_elsewhere() -> None:
    chain = MemoryChain.new(new_runtime())
    other = MemoryChain.new(new_runtime())

    for number in range(3):
        block = chain.build([chain.transfer(who, BOB, DRT * (number + 1)) for who in ACCOUNTS])
        other.execute(block)

    assert other.head == chain.head
    assert other.states[-1].root == chain.head.state_root


@pytest.mark.slow
def test_blocks_that_trade_and_settle_execute_to_the_same_headers_elsewhere() -> None:
    built = golden_chain()
    other = MemoryChain.new(new_runtime(), sections())

    for header, body in zip(built.headers[1:], built.bodies, strict=True):
        other.execute(Block(header, body))

    assert other.head == built.head


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(
    transfers=st.lists(
        st.tuples(st.sampled_from(ACCOUNTS), st.sampled_from(ACCOUNTS), st.integers(0, 2 * 10**12)),
        max_size=8,
    )
)
def test_any_transfers_build_and_execute_alike_and_keep_the_issuance(
    transfers: list[tuple[bytes, bytes, int]],
) -> None:
    chain = MemoryChain.new(new_runtime())
    other = MemoryChain.new(new_runtime())
    nonces = dict.fromkeys(ACCOUNTS, 0)
    extrinsics: list[bytes] = []
    for source, dest, value in transfers:
        extrinsics.append(chain.transfer(source, dest, value, nonce=nonces[source]))
        nonces[source] += 1

    other.execute(chain.build(extrinsics))

    assert other.head == chain.head
    status = chain.runtime.market_status(chain.overlay())
    assert status["money_residual_nano"] == 0


def test_a_block_with_another_root_is_invalid() -> None:
    chain = MemoryChain.new(new_runtime())
    other = MemoryChain.new(new_runtime())
    block = chain.build([chain.transfer(ALICE, BOB, DRT)])
    header = block.header
    forged = type(header)(
        header.parent_hash, header.number, bytes(32), header.extrinsics_root, header.digest
    )

    with pytest.raises(InvalidBlock, match=r"state root 0x0000.*expected 0x"):
        other.execute(Block(forged, block.extrinsics))


def test_an_extrinsic_that_is_refused_leaves_no_trace() -> None:
    chain = MemoryChain.new(new_runtime())
    runtime, overlay, signatures = chain.runtime, chain.overlay(), SignatureCache()
    runtime.initialize_block(overlay, chain.draft())
    for extrinsic in runtime.inherents(chain.time_ms(chain.slot + 1)):
        runtime.apply_extrinsic(overlay, extrinsic, signatures)
    before = overlay.changes()

    for bad in (
        chain.transfer(ALICE, BOB, DRT, nonce=1),
        chain.transfer(ALICE, BOB, DRT)[:-1] + b"\xff",
        b"\x00",
        encode_compact(3) + b"\x04\xfe\xfe",
    ):
        with pytest.raises(InvalidTransaction):
            runtime.apply_extrinsic(overlay, bad, signatures)

    assert overlay.changes() == before


def test_a_full_block_refuses_what_does_not_fit() -> None:
    runtime = new_runtime(block_weight_max=420 * 10**9, clearing_weight=200 * 10**9)
    chain = MemoryChain.new(runtime)
    extrinsics = [chain.transfer(ALICE, BOB, 1, nonce=nonce) for nonce in range(200)]

    with pytest.raises(InvalidTransaction) as refused:
        chain.build(extrinsics)

    assert refused.value.exhausts_resources


def test_the_pool_learns_which_tag_an_extrinsic_provides() -> None:
    chain = MemoryChain.new(new_runtime())
    chain.build()
    runtime = chain.runtime
    extrinsic = chain.transfer(ALICE, BOB, DRT, nonce=1)

    validity = runtime.validate_transaction(
        chain.overlay(), extrinsic, SignatureCache(), chain.head.hash()
    )

    assert validity.provides == runtime.tags_of(extrinsic) == [ALICE + b"\x01\0\0\0"]
    assert validity.requires == [ALICE + bytes(4)]
    assert runtime.tags_of(runtime.inherents(1)[0]) == runtime.tags_of(b"\xff") == []


@pytest.mark.parametrize("blocks", [0, 1, 3])
def test_an_era_may_begin_at_the_very_block_whose_state_judges(blocks: int) -> None:
    chain = MemoryChain.new(new_runtime())
    for _ in range(blocks):
        chain.build()
    call = chain.call("Balances", "transfer_keep_alive", dest=to(BOB), value=1)
    extrinsic = chain.sign(ALICE, call, era=Era.mortal(4, blocks))

    validity = chain.runtime.validate_transaction(
        chain.overlay(), extrinsic, SignatureCache(), chain.head.hash()
    )
    chain.build([extrinsic])

    assert validity.longevity == 3


def test_the_time_that_a_block_tells_can_be_read_without_executing_it() -> None:
    runtime = new_runtime()

    assert runtime.timestamp_of(runtime.inherents(123_456)) == 123_456
    assert runtime.timestamp_of([]) is None


def test_the_code_names_the_version_and_changes_with_every_constant() -> None:
    runtime = new_runtime()
    info = CodeInfo.decode(runtime.code())

    assert (info.spec_name, info.spec_version) == (SPEC_NAME, SPEC_VERSION)
    assert new_runtime().code() == runtime.code()
    assert new_runtime(existential_deposit=999).code() != runtime.code()
    assert new_runtime(loss_price=1).code() != runtime.code()


def test_the_state_says_under_which_code_it_lives() -> None:
    chain = MemoryChain.new(new_runtime())

    assert chain.overlay().get(CODE_KEY) == chain.runtime.code()


def test_versions_of_the_runtime_that_are_not_here_are_refused() -> None:
    runtime = new_runtime()

    assert runtime.at(SPEC_VERSION) is runtime
    with pytest.raises(UnknownVersion, match=r"version 99 is asked for, this program has"):
        runtime.at(99)


def test_a_version_is_made_once_and_knows_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.runtime.SPEC_VERSIONS", range(1, 3))
    first = new_runtime().at(1)

    second = first.at(2)

    assert second.version.spec_version == second.system.config.version.spec_version == 2
    assert second.at(1) is first
    assert first.at(2) is second.at(2) is second
    assert second.code() != first.code()
    assert first.of_code(second.code()) is second


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (None, "does not say its version"),
        (b"wasm", "does not say its version"),
        (CodeInfo("other", SPEC_VERSION, bytes(32)).encode(), "one of 'other', not of"),
        (CodeInfo(SPEC_NAME, SPEC_VERSION + 1, bytes(32)).encode(), "is asked for"),
        (CodeInfo(SPEC_NAME, SPEC_VERSION, bytes(32)).encode(), "program's has others"),
    ],
)
def test_a_state_of_other_code_is_refused(code: bytes | None, reason: str) -> None:
    runtime = new_runtime()

    assert runtime.of_code(runtime.code()) is runtime
    with pytest.raises(UnknownVersion, match=reason):
        runtime.of_code(code)


def test_the_version_says_what_clients_look_for() -> None:
    version = new_runtime().version

    assert version.transaction_version == TRANSACTION_VERSION
    apis = {bytes(api).hex(): number for api, number in version.apis}
    # Core, Metadata, TaggedTransactionQueue, AccountNonceApi, TransactionPaymentApi.
    assert apis["df6acb689907609b"] == 5
    assert apis["37e397fc7c91f5e4"] == 2
    assert apis["d2bc9897eed08f15"] == 3
    assert apis["bc9d89904f5b923f"] == 1
    assert apis["37c8bb1350a9a2a8"] == 4
    assert apis["dd718d5cc53262d4"] == 1  # AuraApi
    assert apis["ed99c5acb25eedf5"] == 3  # GrandpaApi


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("slot_duration_ms", 0, "slot_duration_ms is 0, expected at least 1"),
        ("slot_duration_ms", 2_000.0, "slot_duration_ms is 2000.0, expected an integer"),
        ("market_interval_ms", 7_000, "no multiple of slot_duration_ms 2000"),
        ("call_period_ms", 4_000, "does not divide the market interval"),
        ("clearing_weight", 900 * 10**9, "leaves nothing beside"),
        ("block_weight_max", 2_001 * 10**9, "more than a slot"),
        ("feed_in_price", 300_001, "expected the least imbalance price"),
    ],
)
def test_constants_that_cannot_work_are_refused(name: str, value: Any, message: str) -> None:
    changes: Any = {name: value}

    with pytest.raises((TypeError, ValueError), match=message):
        new_runtime(**changes)


def test_all_constants_of_the_chain_are_checked() -> None:
    values = {name: getattr(CONSTANTS, name) for name in Constants.__annotations__}

    assert Constants(**values) == CONSTANTS


def test_two_runtimes_in_one_process_do_not_share_a_state() -> None:
    one, other = MemoryChain.new(new_runtime()), MemoryChain.new(new_runtime())

    one.build([one.transfer(ALICE, BOB, DRT)])

    other.runtime.bind(other.overlay())
    assert other.runtime.balances.free_balance(BOB) == 1_000 * DRT


def test_one_runtime_switches_between_states() -> None:
    chain = MemoryChain.new(new_runtime())
    chain.build([chain.transfer(EVE, BOB, DRT)])
    chain.build([chain.transfer(EVE, BOB, DRT)])

    assert chain.runtime.account_nonce(chain.overlay(), EVE) == 2
    before = Overlay(chain.states[1])
    assert chain.runtime.account_nonce(before, EVE) == 1
    assert chain.runtime.aura_authorities(before) == chain.runtime.aura_authorities(chain.overlay())
