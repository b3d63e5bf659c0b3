"""Metadata as clients read it: decoded by scalecodec, looked at by the names they use."""

from functools import cache
from typing import Any

import pytest
from scalecodec.base import RuntimeConfigurationObject, ScaleBytes
from scalecodec.type_registry import load_type_registry_preset

from runtime.primitives.crypto import ss58_encode
from runtime.runtime import PALLETS
from tests.support import ALICE, BOB, DRT, MemoryChain, new_runtime
from tests.support.chains import to

SIGNED = "additional_signed"


@cache
def client() -> tuple[RuntimeConfigurationObject, Any]:
    """scalecodec with our metadata, as substrate-interface sets it up."""
    config = RuntimeConfigurationObject(ss58_format=42)
    config.clear_type_registry()
    config.update_type_registry(load_type_registry_preset(name="core"))
    metadata = config.create_scale_object(
        "MetadataVersioned", ScaleBytes(new_runtime().metadata(14))
    )
    metadata.decode()
    config.add_portable_registry(metadata)
    return config, metadata


def pallet_of(name: str) -> Any:
    """A pallet of the metadata by its name."""
    _, metadata = client()
    return next(pallet for pallet in metadata.pallets if pallet.value["name"] == name)


def items_of(name: str) -> dict[str, Any]:
    """Storage items of a pallet by name."""
    return {item.value["name"]: item for item in pallet_of(name).storage}


def default_of(item: Any) -> bytes:
    """The encoded default of a storage item; scalecodec shows it as text where it can."""
    value: object = item["default"].value_object
    if isinstance(value, str):
        return bytes.fromhex(value[2:]) if value.startswith("0x") else value.encode()
    assert isinstance(value, bytes | bytearray)
    return bytes(value)


def test_every_pallet_is_there_with_its_index() -> None:
    _, metadata = client()

    found = {pallet.value["name"]: pallet.value["index"] for pallet in metadata.pallets}

    assert found == {pallet.__name__: index for index, pallet in PALLETS.values()}


def test_accounts_and_events_are_declared_as_clients_expect() -> None:
    system = items_of("System")

    assert {"Account", "BlockHash", "Number", "ParentHash", "Digest", "Events"} <= set(system)
    assert {"ExtrinsicCount", "EventCount", "LastRuntimeUpgrade", "ExecutionPhase"} <= set(system)
    account = system["Account"].value
    assert account["modifier"] == "Default"
    assert default_of(system["Account"]) == bytes(80)
    assert account["type"]["Map"]["hashers"] == ["Blake2_128Concat"]


@pytest.mark.parametrize(
    ("pallet", "items"),
    [
        ("Timestamp", {"Now", "DidUpdate"}),
        ("Aura", {"Authorities", "CurrentSlot"}),
        ("Grandpa", {"State", "CurrentSetId", "Authorities"}),
        ("Session", {"Validators", "CurrentIndex"}),
        ("Balances", {"TotalIssuance"}),
        ("TransactionPayment", {"NextFeeMultiplier"}),
    ],
)
def test_pallets_have_the_items_that_clients_look_for(pallet: str, items: set[str]) -> None:
    assert items <= set(items_of(pallet))


@pytest.mark.parametrize(
    ("pallet", "constants"),
    [
        ("System", {"BlockHashCount", "Version", "SS58Prefix"}),
        ("Timestamp", {"MinimumPeriod"}),
        ("Aura", {"SlotDuration"}),
        ("Balances", {"ExistentialDeposit"}),
        ("TransactionPayment", {"OperationalFeeMultiplier"}),
        ("Trading", {"MarketIntervalMs", "FeedInPrice", "BookOrdersMax"}),
    ],
)
def test_pallets_have_the_constants_that_clients_look_for(pallet: str, constants: set[str]) -> None:
    found = {constant.value["name"] for constant in pallet_of(pallet).constants}

    assert constants <= found


@pytest.mark.parametrize(
    ("pallet", "calls"),
    [
        ("System", {"remark": 0, "remark_with_event": 7}),
        ("Timestamp", {"set": 0}),
        ("Balances", {"transfer_allow_death": 0, "transfer_keep_alive": 3, "transfer_all": 4}),
        ("Utility", {"batch": 0, "as_derivative": 1, "batch_all": 2, "force_batch": 4}),
    ],
)
def test_calls_have_substrates_names_and_indices(pallet: str, calls: dict[str, int]) -> None:
    found = {call.value["name"]: call.value["index"] for call in pallet_of(pallet).calls}

    assert found == calls


def test_every_call_event_and_error_is_documented() -> None:
    _, metadata = client()

    missing = [
        f"{pallet.value['name']}.{entry.value['name']}"
        for pallet in metadata.pallets
        for entries in (pallet.calls, pallet.events, pallet.errors)
        for entry in entries or []
        if not entry.value["docs"]
    ]

    assert missing == []


def test_trap_extension_order_is_the_one_that_python_clients_have_by_heart() -> None:
    """TRAP: the Python clients have this order by heart; none but these may carry data."""
    _, metadata = client()

    names = [
        extension["identifier"]
        for extension in metadata.value[1]["V14"]["extrinsic"]["signed_extensions"]
    ]

    assert names == [
        "CheckNonZeroSender",
        "CheckSpecVersion",
        "CheckTxVersion",
        "CheckGenesis",
        "CheckMortality",
        "CheckNonce",
        "CheckWeight",
        "ChargeTransactionPayment",
        "CheckMetadataHash",
    ]
    assert metadata.value[1]["V14"]["extrinsic"]["version"] == 4


def test_a_client_encodes_the_same_call_as_we_do() -> None:
    config, metadata = client()
    call = config.create_scale_object("Call", metadata=metadata)
    call.encode(
        {
            "call_module": "Balances",
            "call_function": "transfer_keep_alive",
            "call_args": {"dest": "0x" + BOB.hex(), "value": 5 * DRT},
        }
    )

    ours = new_runtime().assembly.encode_call(
        "Balances", "transfer_keep_alive", dest=to(BOB), value=5 * DRT
    )

    assert bytes(call.data.data) == ours


def test_a_client_reads_the_events_of_a_block() -> None:
    config, metadata = client()
    chain = MemoryChain.new(new_runtime())
    chain.build([chain.transfer(ALICE, BOB, 5 * DRT), chain.transfer(ALICE, BOB, 10**9, nonce=1)])
    stored = chain.overlay().get(chain.runtime.system.events.prefix)
    assert stored is not None

    decoder = config.create_scale_object(
        items_of("System")["Events"].get_value_type_string(), metadata=metadata
    )
    events = decoder.decode(ScaleBytes(stored))

    transfers = [event["attributes"] for event in events if event["event_id"] == "Transfer"]
    alice, bob = (ss58_encode(account) for account in (ALICE, BOB))
    assert transfers[0] == {"from": alice, "to": bob, "amount": 5 * DRT}
    done = [event for event in events if event["event_id"] == "ExtrinsicSuccess"]
    assert [event["extrinsic_idx"] for event in done] == [0, 1, 2]
    fees = [event for event in events if event["event_id"] == "TransactionFeePaid"]
    assert fees[0]["attributes"]["who"] == alice


def test_a_client_reads_an_account() -> None:
    config, metadata = client()
    chain = MemoryChain.new(new_runtime())
    key = chain.runtime.system.account.key_of(BOB)
    stored = chain.overlay().get(key)
    assert stored is not None

    item = items_of("System")["Account"]
    decoder = config.create_scale_object(item.get_value_type_string(), metadata=metadata)
    info = decoder.decode(ScaleBytes(stored))

    assert info["data"]["free"] == 1_000 * DRT
    assert (info["nonce"], info["providers"], info["consumers"]) == (0, 1, 0)


def test_every_storage_default_is_a_value_of_its_type() -> None:
    config, metadata = client()

    for pallet in metadata.pallets:
        for item in pallet.storage or []:
            if item.value["modifier"] == "Default":
                decoder = config.create_scale_object(
                    item.get_value_type_string(), metadata=metadata
                )
                default = ScaleBytes(default_of(item))
                decoder.decode(default)
                assert default.get_remaining_length() == 0, item.value["name"]


def test_trap_custom_extensions_that_carry_data_are_not_there() -> None:
    """TRAP: polkadot.js drops what they carry, and the Python clients do not know of it."""
    _, metadata = client()

    def is_empty(type_id: int) -> bool:
        return types_of(metadata)[type_id]["def"] in ({"tuple": []}, {"composite": {"fields": []}})

    carrying = {
        extension["identifier"]: (not is_empty(extension["ty"]), not is_empty(extension[SIGNED]))
        for extension in metadata.value[1]["V14"]["extrinsic"]["signed_extensions"]
    }

    both = {name for name, carries in carrying.items() if carries == (True, True)}
    only_data = {name for name, carries in carrying.items() if carries == (True, False)}
    only_signed = {name for name, carries in carrying.items() if carries == (False, True)}
    assert both == {"CheckMortality", "CheckMetadataHash"}
    assert only_data == {"CheckNonce", "ChargeTransactionPayment"}
    assert only_signed == {"CheckSpecVersion", "CheckTxVersion", "CheckGenesis"}


def test_trap_extrinsic_type_has_the_parameters_that_polkadot_js_needs() -> None:
    """TRAP: without them, in this order, polkadot.js cannot start; asi looks for the path."""
    _, metadata = client()
    path = ["sp_runtime", "generic", "unchecked_extrinsic", "UncheckedExtrinsic"]

    (found,) = (entry for entry in types_of(metadata) if entry["path"] == path)

    assert [param["name"] for param in found["params"]] == ["Address", "Call", "Signature", "Extra"]


def test_trap_array_length_is_within_what_polkadot_js_takes() -> None:
    """TRAP: it refuses arrays of more than 2048 items."""
    _, metadata = client()
    arrays = [entry["def"]["array"] for entry in types_of(metadata) if "array" in entry["def"]]

    assert arrays
    assert all(array["len"] <= 2_048 for array in arrays)


def test_trap_field_names_that_polkadot_js_changes_are_avoided() -> None:
    """TRAP: it puts `_` behind fields of these names."""
    taken = {"hash", "registry", "entries", "size", "new"}
    _, metadata = client()

    fields = {
        (entry["path"][-1], field["name"])
        for entry in types_of(metadata)
        for variant in entry["def"].get("variant", {}).get("variants", [entry["def"]])
        for field in variant.get("fields", variant.get("composite", {}).get("fields", []))
    }

    # System's event `Remarked` has a field `hash` in Substrate too.
    assert {item for item in fields if item[1] in taken} == {("Event", "hash")}


def test_trap_code_changes_with_the_metadata() -> None:
    """TRAP: PAPI fails without `:code`, and keeps metadata by its hash."""
    runtime = new_runtime()
    chain = MemoryChain.new(runtime)

    assert chain.overlay().get(b":code") == runtime.code() != b""
    assert new_runtime(existential_deposit=5).code() != runtime.code()


def test_trap_hashers_keep_the_key_so_that_every_map_can_be_iterated() -> None:
    """TRAP: a map whose hasher does not keep the key cannot be iterated."""
    _, metadata = client()
    hashers = {
        hasher
        for pallet in metadata.pallets
        for item in pallet.storage or []
        for hasher in item.value["type"].get("Map", {}).get("hashers", [])
    }

    assert hashers <= {"Blake2_128Concat", "Twox64Concat", "Identity"}


def types_of(metadata: Any) -> list[dict[str, Any]]:
    """The types of the registry."""
    return [entry["type"] for entry in metadata.value[1]["V14"]["types"]["types"]]
