"""What unmodified clients rely on in blocks and states: a test for each, named after it."""

from typing import Any

from scalecodec.base import ScaleBytes

from runtime.primitives.aura import ENGINE_ID
from runtime.primitives.block import Header, PreRuntime
from runtime.primitives.hashing import blake2_256
from runtime.primitives.types import ZERO_HASH
from tests.runtime.test_metadata import client
from tests.support import ALICE, BOB, DRT, EVE, MemoryChain, new_runtime
from tests.vectors.load import load

KEYS = load("substrate/client_vectors.json")["keys"]
EVENTS = bytes.fromhex(KEYS["events"][2:])
EMPTY_ROOT = "03170a2e7597b7b7e3d84c05391d139a62b157e78786d8c082f29dcf4c111314"


def events_of(chain: MemoryChain) -> list[dict[str, Any]]:
    """The events of the latest block, as scalecodec reads them by our metadata."""
    config, metadata = client()
    value = chain.states[-1].get(EVENTS)
    assert value is not None
    pallet = next(each for each in metadata.pallets if each.value["name"] == "System")
    item = next(each for each in pallet.storage if each.value["name"] == "Events")
    decoder = config.create_scale_object(item.get_value_type_string(), metadata=metadata)
    found: list[dict[str, Any]] = decoder.decode(ScaleBytes(value))
    return found


def chain_with_transfers() -> MemoryChain:
    """A chain whose latest block has a transfer that succeeds and one that fails."""
    chain = MemoryChain.new(new_runtime())
    chain.build()
    chain.build([chain.transfer(EVE, BOB, DRT), chain.transfer(BOB, EVE, 10**9 * DRT)])
    return chain


def test_trap_event_index_is_the_place_in_the_body() -> None:
    """Clients find the events of an extrinsic by its place, the inherent included."""
    chain = chain_with_transfers()

    outcomes = {
        event["extrinsic_idx"]: event["event_id"]
        for event in events_of(chain)
        if event["event_id"] in ("ExtrinsicSuccess", "ExtrinsicFailed")
    }

    assert outcomes == {0: "ExtrinsicSuccess", 1: "ExtrinsicSuccess", 2: "ExtrinsicFailed"}
    assert len(chain.bodies[-1]) == 3


def test_trap_outcome_events_have_the_form_that_clients_look_for() -> None:
    """Success, failure and fee are told by these events, indices and fields."""
    events = events_of(chain_with_transfers())

    def found(name: str) -> dict[str, Any]:
        return next(event for event in reversed(events) if event["event_id"] == name)

    success, failure = found("ExtrinsicSuccess"), found("ExtrinsicFailed")
    fee = found("TransactionFeePaid")
    _, metadata = client()
    system = next(each for each in metadata.pallets if each.value["name"] == "System")
    indices = {event.value["name"]: event.value["index"] for event in system.events}
    assert (indices["ExtrinsicSuccess"], indices["ExtrinsicFailed"]) == (0, 1)
    assert success["attributes"].keys() == {"dispatch_info"}
    assert failure["attributes"].keys() == {"dispatch_error", "dispatch_info"}
    assert failure["attributes"]["dispatch_info"].keys() == {"weight", "class", "pays_fee"}
    assert failure["attributes"]["dispatch_error"]["Module"]["error"].startswith("0x")
    assert fee["module_id"] == "TransactionPayment"
    assert fee["attributes"].keys() == {"who", "actual_fee", "tip"}


def test_trap_keys_are_those_that_clients_compute() -> None:
    """By vectors that polkadot.js made."""
    chain = chain_with_transfers()
    runtime = chain.runtime
    runtime.bind(chain.overlay())

    assert "0x" + runtime.system.account.key_of(ALICE).hex() == KEYS["system_account_alice"]
    assert "0x" + runtime.timestamp.now_.key_of().hex() == KEYS["now"]
    assert "0x" + runtime.system.number.key_of().hex() == KEYS["number"]
    for name in ("system_account_alice", "now", "number", "events"):
        assert chain.states[-1].get(bytes.fromhex(KEYS[name][2:])) is not None, name


def test_trap_author_is_named_by_slot_and_validators() -> None:
    """The author is `validators[slot % n]`, by an aura digest and the parent's state."""
    chain = chain_with_transfers()

    (digest,) = (item for item in chain.head.digest.logs if isinstance(item, PreRuntime))

    assert digest.engine == ENGINE_ID == b"aura"
    slot = int.from_bytes(digest.data, "little")
    assert len(digest.data) == 8 and slot == chain.slot
    runtime = chain.runtime
    runtime.bind(chain.overlay())
    validators = runtime.session.validators.get()
    aura = runtime.aura.authorities.get()
    assert len(validators) == len(aura) > 0, "aligned: one place, one validator"


def test_trap_genesis_header_is_what_clients_hash() -> None:
    """A parent of zeros, number 0, the empty trie's root for the body, and no digest."""
    header = MemoryChain.new(new_runtime()).headers[0]

    assert (header.parent_hash, header.number) == (ZERO_HASH, 0)
    assert header.extrinsics_root.hex() == EMPTY_ROOT
    assert list(header.digest.logs) == []
    assert header.hash() == blake2_256(header.encode())
    assert Header.decode(header.encode()) == header
