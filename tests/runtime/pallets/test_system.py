"""Accounts, the hashes of blocks, remarks."""

import pytest

from runtime.frame import CannotLookup
from runtime.pallets import system
from runtime.pallets.system import FEES, HOUSE, account_from_text, lookup, pallet_account
from runtime.primitives.crypto import ss58_encode
from runtime.primitives.extrinsic import Address20, Address32, AddressIndex, AddressRaw
from runtime.primitives.hashing import blake2_256
from tests.support import ALICE, BOB, MemoryChain, assert_noop, build_runtime, new_runtime

NOBODY = b"\x01" * 32


def test_accounts_of_pallets_exist_from_genesis_without_money() -> None:
    runtime = build_runtime()

    for who in (HOUSE, FEES):
        info = runtime.system.info(who)
        assert (info.providers, info.data.free) == (1, 0)


def test_the_account_of_a_pallet_is_derived_as_substrate_does() -> None:
    # The treasury of many Substrate chains: 5EYCAe5ijiYfyeZ2JJCGq56LmPyNRAKzpG4QkoQkkQNB5e6Z.
    assert ss58_encode(pallet_account("py/trsry")) == (
        "5EYCAe5ijiYfyeZ2JJCGq56LmPyNRAKzpG4QkoQkkQNB5e6Z"
    )


def test_an_account_that_does_not_exist_reads_as_zeros() -> None:
    runtime = build_runtime()

    assert runtime.system.info(NOBODY).encode() == bytes(80)
    assert not runtime.system.account_exists(NOBODY)


def test_a_provider_makes_an_account_and_announces_it() -> None:
    runtime = build_runtime()

    runtime.system.add_provider(NOBODY)

    assert runtime.system.account_exists(NOBODY)
    assert system.NewAccount(NOBODY) in runtime.assembly.state.events


def test_remark_with_event_announces_the_hash_of_the_remark() -> None:
    runtime = build_runtime()

    runtime.system.remark_with_event(ALICE, remark=b"hello")

    assert runtime.assembly.state.events[-1] == system.Remarked(ALICE, blake2_256(b"hello"))


def test_the_hash_of_each_block_is_known_from_the_next_one_on() -> None:
    chain = MemoryChain.new(new_runtime())

    for _ in range(3):
        chain.build()

    runtime = chain.runtime
    runtime.bind(chain.overlay())
    assert runtime.system.block_number() == 3
    assert runtime.system.parent_hash() == chain.headers[2].hash()
    for number in range(3):
        assert runtime.system.block_hash(number) == chain.headers[number].hash()
    assert runtime.system.block_hash(3) is None


def test_only_recent_block_hashes_are_kept_and_that_of_the_genesis() -> None:
    chain = MemoryChain.new(new_runtime(block_hash_count=4))

    for _ in range(7):
        chain.build()

    chain.runtime.bind(chain.overlay())
    assert sorted(chain.runtime.system.block_hash_.keys()) == [0, 3, 4, 5, 6]
    assert chain.runtime.system.block_hash(2) is None
    # Extrinsics are signed for the genesis hash, so they go on being valid.
    chain.build([chain.transfer(ALICE, BOB, 5)])


def test_events_of_a_block_replace_those_of_the_one_before() -> None:
    chain = MemoryChain.new(new_runtime())
    call = chain.call("System", "remark_with_event", remark=b"x")
    chain.build([chain.sign(ALICE, call)])

    chain.build()

    chain.runtime.bind(chain.overlay())
    events = chain.runtime.system.events.get()
    assert len(events) == chain.runtime.system.event_count.get() == 1


def test_nothing_of_a_block_in_the_making_stays_in_its_state() -> None:
    chain = MemoryChain.new(new_runtime())

    chain.build()

    chain.runtime.bind(chain.overlay())
    assert not chain.runtime.system.extrinsic_count.exists()
    assert not chain.runtime.system.execution_phase.exists()
    assert not chain.runtime.timestamp.did_update.exists()


@pytest.mark.parametrize("address", [Address32(BOB), AddressRaw(BOB)])
def test_an_address_of_32_bytes_names_an_account(address: Address32 | AddressRaw) -> None:
    assert lookup(address) == BOB


@pytest.mark.parametrize("address", [AddressIndex(None), Address20(bytes(20)), AddressRaw(b"x")])
def test_other_addresses_name_nobody(address: AddressIndex | Address20 | AddressRaw) -> None:
    runtime = build_runtime()

    with pytest.raises(CannotLookup):
        lookup(address)
    assert_noop(
        runtime,
        lambda: runtime.balances.transfer_keep_alive(ALICE, dest=address, value=1),
        CannotLookup,
    )


def test_a_genesis_writes_accounts_as_addresses_or_hexadecimal() -> None:
    assert account_from_text(ss58_encode(ALICE)) == ALICE
    assert account_from_text("0x" + ALICE.hex()) == ALICE
    with pytest.raises(ValueError, match="has 31 bytes, expected 32"):
        account_from_text("0x" + ALICE.hex()[2:])
