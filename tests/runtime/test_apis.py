"""Runtime API functions, as `state_call` asks for them."""

import pytest

from runtime.apis import RuntimeDispatchInfo
from runtime.frame.assembly import ApiError
from runtime.frame.dispatch import Weight
from runtime.frame.fees import FeeDetails
from runtime.frame.metadata import METADATA_VERSIONS
from runtime.frame.validity import Invalid, Payment, Stale, ValidityError
from runtime.primitives.block import Block, Header
from runtime.primitives.crypto import KeyPair, Scheme
from runtime.primitives.scale import U32, U64, codec
from runtime.version import RuntimeVersion
from tests.support import ALICE, BOB, DRT, EVE, MemoryChain, new_runtime

EXTERNAL = b"\x02"


def asked(chain: MemoryChain, name: str, data: bytes = b"") -> bytes:
    """The answer on the latest state."""
    return chain.runtime.call_api(chain.overlay(), name, data)


def with_length(extrinsic: bytes) -> bytes:
    """The arguments of the payment functions."""
    return extrinsic + len(extrinsic).to_bytes(4, "little")


@pytest.fixture
def chain() -> MemoryChain:
    chain = MemoryChain.new(new_runtime())
    chain.build([chain.transfer(ALICE, BOB, DRT)])
    return chain


def test_the_version_is_that_of_the_constant(chain: MemoryChain) -> None:
    version = RuntimeVersion.decode(asked(chain, "Core_version"))

    assert version == chain.runtime.version == chain.runtime.system.config.version


def test_metadata_comes_in_the_announced_versions(chain: MemoryChain) -> None:
    versions = codec(list[U32]).decode(asked(chain, "Metadata_metadata_versions"))
    assert versions == list(METADATA_VERSIONS) == [14, 15, 16]
    assert asked(chain, "Metadata_metadata_versions").hex() == "0c0e0000000f00000010000000"

    metadata = codec(bytes).decode(asked(chain, "Metadata_metadata"))
    assert metadata == chain.runtime.metadata(14)
    for version in METADATA_VERSIONS:
        number = version.to_bytes(4, "little")
        at_version = codec(bytes | None).decode(
            asked(chain, "Metadata_metadata_at_version", number)
        )
        assert at_version == chain.runtime.metadata(version)
        assert at_version[:5] == b"meta" + bytes([version])
    unknown = asked(chain, "Metadata_metadata_at_version", (99).to_bytes(4, "little"))
    assert unknown == b"\x00"


def test_nonces_are_those_of_the_state(chain: MemoryChain) -> None:
    assert asked(chain, "AccountNonceApi_account_nonce", ALICE) == (1).to_bytes(4, "little")
    assert asked(chain, "AccountNonceApi_account_nonce", b"\x05" * 32) == bytes(4)


def test_a_valid_extrinsic_is_judged_as_the_pool_would(chain: MemoryChain) -> None:
    extrinsic = chain.transfer(ALICE, BOB, DRT)
    data = EXTERNAL + extrinsic + chain.head.hash()

    answer = asked(chain, "TaggedTransactionQueue_validate_transaction", data)

    tag = ALICE + (1).to_bytes(4, "little")
    assert answer[0] == 0
    assert tag in answer


def test_an_invalid_extrinsic_is_answered_with_the_reason(chain: MemoryChain) -> None:
    stale = chain.transfer(ALICE, BOB, DRT, nonce=0)
    stranger = KeyPair.from_suri("//Stranger", Scheme.SR25519)
    poor = chain.sign(stranger, chain.call("System", "remark", remark=b""))

    for extrinsic, reason in ((stale, Stale()), (poor, Payment())):
        data = EXTERNAL + extrinsic + chain.head.hash()
        answer = asked(chain, "TaggedTransactionQueue_validate_transaction", data)
        assert answer[0] == 1
        assert ValidityError.decode(answer[1:]) == Invalid(reason)


def test_the_estimated_fee_is_what_the_extrinsic_then_costs(chain: MemoryChain) -> None:
    extrinsic = chain.transfer(EVE, BOB, DRT)

    answer = asked(chain, "TransactionPaymentApi_query_info", with_length(extrinsic))
    chain.build([extrinsic])

    info = RuntimeDispatchInfo.decode(answer)
    chain.runtime.bind(chain.overlay())
    paid = 1_000 * DRT - DRT - chain.runtime.balances.free_balance(EVE)
    assert info.partial_fee == paid > 0


def test_trap_fake_signature_does_not_hinder_the_estimate_of_a_fee(chain: MemoryChain) -> None:
    extrinsic = bytearray(chain.transfer(EVE, BOB, DRT))
    place = extrinsic.index(EVE) + 33
    extrinsic[place : place + 64] = b"\x01" * 64

    answer = asked(chain, "TransactionPaymentApi_query_info", with_length(bytes(extrinsic)))

    assert RuntimeDispatchInfo.decode(answer).partial_fee > 0


def test_the_parts_of_a_fee_add_up(chain: MemoryChain) -> None:
    extrinsic = chain.transfer(EVE, BOB, DRT)
    info = asked(chain, "TransactionPaymentApi_query_info", with_length(extrinsic))
    details = asked(chain, "TransactionPaymentApi_query_fee_details", with_length(extrinsic))

    fee = FeeDetails.decode(details).inclusion_fee

    assert fee is not None
    total = fee.base_fee + fee.len_fee + fee.adjusted_weight_fee
    assert total == RuntimeDispatchInfo.decode(info).partial_fee


def test_an_inherent_costs_nothing(chain: MemoryChain) -> None:
    (inherent,) = chain.runtime.inherents(5)

    info = asked(chain, "TransactionPaymentApi_query_info", with_length(inherent))
    details = asked(chain, "TransactionPaymentApi_query_fee_details", with_length(inherent))

    assert RuntimeDispatchInfo.decode(info).partial_fee == 0
    assert FeeDetails.decode(details).inclusion_fee is None


def test_prices_of_weight_and_length_can_be_asked(chain: MemoryChain) -> None:
    weight = Weight(3_000_000, 0).encode()

    of_weight = asked(chain, "TransactionPaymentApi_query_weight_to_fee", weight)
    of_length = asked(chain, "TransactionPaymentApi_query_length_to_fee", codec(U32).encode(7))

    assert int.from_bytes(of_weight, "little") == 300
    assert int.from_bytes(of_length, "little") == 7_000


def test_a_block_can_be_built_and_executed_through_the_api(chain: MemoryChain) -> None:
    overlay, call_api = chain.overlay(), chain.runtime.call_api
    slot = chain.slot + 1
    now = codec(U64).encode(chain.time_ms(slot))
    data = b"\x04timstap0" + codec(bytes).encode(now)
    (inherent,) = chain.runtime.inherents(chain.time_ms(slot))
    transfer = chain.transfer(ALICE, BOB, DRT)
    too_late = chain.transfer(ALICE, BOB, DRT, nonce=0)

    assert call_api(overlay, "BlockBuilder_inherent_extrinsics", data) == b"\x04" + inherent
    assert call_api(overlay, "Core_initialize_block", chain.draft().encode()) == b"\x00"
    assert call_api(overlay, "BlockBuilder_apply_extrinsic", inherent) == b"\x00\x00"
    assert call_api(overlay, "BlockBuilder_apply_extrinsic", transfer) == b"\x00\x00"
    refused = call_api(overlay, "BlockBuilder_apply_extrinsic", too_late)
    assert ValidityError.decode(refused[1:]) == Invalid(Stale())
    header = Header.decode(call_api(overlay, "BlockBuilder_finalize_block", b""))

    block = Block(header, [inherent, transfer])
    assert asked(chain, "Core_execute_block", block.encode()) == b""
    assert asked(chain, "BlockBuilder_check_inherents", block.encode() + data) == b"\x01\x00\x00"


def test_a_failing_call_is_applied_and_its_error_answered(chain: MemoryChain) -> None:
    overlay, call_api = chain.overlay(), chain.runtime.call_api
    (inherent,) = chain.runtime.inherents(chain.time_ms(chain.slot + 1))
    call_api(overlay, "Core_initialize_block", chain.draft().encode())
    call_api(overlay, "BlockBuilder_apply_extrinsic", inherent)

    transfer = chain.transfer(ALICE, BOB, 10**9 * DRT)
    answer = call_api(overlay, "BlockBuilder_apply_extrinsic", transfer)

    # Applied; the call failed with error 0 of pallet 6: InsufficientBalance.
    assert answer.hex() == "0001030600000000"


def test_a_block_from_the_future_is_pointed_out(chain: MemoryChain) -> None:
    (inherent,) = chain.runtime.inherents(1_000_000)
    block = Block(chain.head, [inherent])
    now = codec(U64).encode(1_000_000 - 30_001)
    data = b"\x04timstap0" + codec(bytes).encode(now)

    answer = asked(chain, "BlockBuilder_check_inherents", block.encode() + data)

    assert answer == b"\x00\x00\x04timstap0\x04\x01"


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("Nothing_here", b"", "Nothing_here is not found"),
        ("AccountNonceApi_account_nonce", b"\x01", "arguments of AccountNonceApi_account_nonce"),
        ("Core_version", b"\x01", "1 bytes left over"),
        ("BlockBuilder_finalize_block", b"", "no block was begun"),
        ("BlockBuilder_inherent_extrinsics", b"\x00", "no time under 'timstap0'"),
        ("TransactionPaymentApi_query_info", b"\x04\x99\x02\x00\x00\x00", "Transaction call"),
    ],
)
def test_what_cannot_be_answered_says_why(
    chain: MemoryChain, name: str, data: bytes, message: str
) -> None:
    with pytest.raises(ApiError, match=message):
        asked(chain, name, data)


def test_blocks_that_break_a_rule_are_answered_with_the_rule(chain: MemoryChain) -> None:
    overlay, call_api = chain.overlay(), chain.runtime.call_api
    late = chain.draft(slot=chain.slot)

    with pytest.raises(ApiError, match="expected one after"):
        call_api(overlay, "Core_initialize_block", late.encode())
    with pytest.raises(ApiError, match="expected one after"):
        asked(chain, "Core_execute_block", Block(late, []).encode())
    overlay = chain.overlay()
    call_api(overlay, "Core_initialize_block", chain.draft().encode())
    with pytest.raises(ApiError, match="has no timestamp"):
        call_api(overlay, "BlockBuilder_finalize_block", b"")


def test_asking_changes_nothing(chain: MemoryChain) -> None:
    overlay = chain.overlay()

    chain.runtime.call_api(overlay, "ProducerRegistration_connections", b"")
    data = EXTERNAL + chain.transfer(ALICE, BOB, DRT) + chain.head.hash()
    chain.runtime.call_api(overlay, "TaggedTransactionQueue_validate_transaction", data)

    assert overlay.changes() == {}
