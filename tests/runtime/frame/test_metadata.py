"""Metadata V14, as another implementation (`scalecodec`) reads it, against the declarations."""

from typing import Any

import pytest
from scalecodec.base import RuntimeConfigurationObject, ScaleBytes
from scalecodec.type_registry import load_type_registry_preset

from runtime.frame.docs import docs_of_fields
from runtime.frame.metadata import encode_metadata
from runtime.primitives.extrinsic import AddressId, Era
from tests.runtime.frame.chain import ALICE, ALICE_PAIR, BOB, Chain
from tests.runtime.frame.market import Market, Side


class Reader:
    """What a client makes of the metadata."""

    def __init__(self, metadata: bytes) -> None:
        self.config = RuntimeConfigurationObject(implements_scale_info=True)
        self.config.update_type_registry(load_type_registry_preset("core"))
        self.metadata = self.config.create_scale_object("MetadataVersioned", ScaleBytes(metadata))
        self.metadata.decode()
        self.config.add_portable_registry(self.metadata)
        self.body: dict[str, Any] = self.metadata.value[1]["V14"]
        self.types = {item["id"]: item["type"] for item in self.body["types"]["types"]}

    def pallet(self, name: str) -> dict[str, Any]:
        return next(pallet for pallet in self.body["pallets"] if pallet["name"] == name)

    def type_at(self, path: str) -> dict[str, Any]:
        (found,) = (t for t in self.types.values() if "::".join(t["path"]) == path)
        return found

    def decode(self, type_string: str, data: bytes) -> Any:
        made = self.config.create_scale_object(
            type_string, ScaleBytes(data), metadata=self.metadata
        )
        return made.decode()


@pytest.fixture(scope="module")
def chain() -> Chain:
    return Chain()


@pytest.fixture(scope="module")
def reader(chain: Chain) -> Reader:
    return Reader(encode_metadata(chain.assembly, 14))


def test_metadata_begins_with_its_magic_and_version(chain: Chain) -> None:
    assert encode_metadata(chain.assembly, 14)[:5] == bytes.fromhex("6d6574610e")


def test_other_versions_are_refused(chain: Chain) -> None:
    with pytest.raises(ValueError, match="metadata version 13, served are"):
        encode_metadata(chain.assembly, 13)


def test_pallets_have_their_names_and_indices(reader: Reader) -> None:
    assert [(pallet["name"], pallet["index"]) for pallet in reader.body["pallets"]] == [
        ("System", 0),
        ("Timestamp", 1),
        ("Balances", 6),
        ("TransactionPayment", 7),
        ("Market", 30),
    ]


def test_storage_items_show_type_hashers_default_and_docs(reader: Reader) -> None:
    storage = reader.pallet("Market")["storage"]
    items = {item["name"]: item for item in storage["entries"]}

    assert storage["prefix"] == "Market"
    assert list(items) == [
        *("NextOrderId", "Price", "Last", "Orders", "Counts", "Lists", "Grid", "Log"),
    ]
    assert items["NextOrderId"]["documentation"] == ["The id the next order gets."]
    assert items["Price"]["default"] == "\x07\0\0\0"  # as text, because it can be one
    assert items["Price"]["modifier"] == "Default"
    assert items["Last"]["modifier"] == "Optional"
    assert items["Orders"]["modifier"] == "Optional"
    assert items["Orders"]["type"]["Map"]["hashers"] == ["Identity"]
    assert items["Counts"]["type"]["Map"]["hashers"] == ["Blake2_128Concat"]
    assert items["Grid"]["type"]["Map"]["hashers"] == ["Twox64Concat", "Identity"]
    key = reader.types[items["Grid"]["type"]["Map"]["key"]]
    assert len(key["def"]["tuple"]) == 2


def test_calls_show_arguments_indices_and_docs(reader: Reader) -> None:
    calls = reader.types[reader.pallet("Market")["calls"]["ty"]]

    place, *_ = variants = calls["def"]["variant"]["variants"]
    assert [(v["name"], v["index"]) for v in variants] == [
        ("place", 0),
        ("cancel", 1),
        ("report", 2),
        ("batch", 3),
        ("set_price", 4),
        ("work", 5),
        ("overflow", 6),
    ]
    assert [field["name"] for field in place["fields"]] == ["side", "quantity"]
    assert place["docs"] == ["Place an order.", "", "Emits `OrderPlaced`."]


def test_events_and_errors_show_indices_and_docs(reader: Reader) -> None:
    market = reader.pallet("Market")
    events = reader.types[market["event"]["ty"]]["def"]["variant"]["variants"]
    errors = reader.types[market["error"]["ty"]]["def"]["variant"]["variants"]

    assert [(e["name"], e["index"]) for e in events] == [("OrderPlaced", 0), ("OrderCancelled", 4)]
    assert events[0]["fields"][0]["docs"] == ["Ids are never reused."]
    assert [(e["name"], e["index"], e["docs"]) for e in errors] == [
        ("OrderNotFound", 0, ["There is no such order."]),
        ("Unused1", 1, ["No error has this number."]),
        ("Unused2", 2, ["No error has this number."]),
        ("TooLarge", 3, ["The order is too large."]),
    ]


def test_constants_show_their_values(reader: Reader) -> None:
    constants = {c["name"]: c for c in reader.pallet("Market")["constants"]}

    assert list(constants) == ["QuantityMax", "FreeQuantity"]
    assert constants["QuantityMax"]["value"] == "0xe803000000000000"
    assert constants["QuantityMax"]["documentation"] == ["Largest quantity."]
    system = {c["name"] for c in reader.pallet("System")["constants"]}
    assert {"BlockHashCount", "Version", "SS58Prefix"} <= system


@pytest.mark.parametrize(
    "path",
    [
        "sp_core::crypto::AccountId32",
        "primitive_types::H256",
        "sp_runtime::multiaddress::MultiAddress",
        "sp_runtime::MultiSignature",
        "sp_runtime::generic::era::Era",
        "sp_runtime::generic::digest::Digest",
        "sp_runtime::generic::digest::DigestItem",
        "sp_runtime::generic::unchecked_extrinsic::UncheckedExtrinsic",
        "sp_weights::weight_v2::Weight",
        "frame_system::EventRecord",
        "frame_system::pallet::Event",
        "pallet_balances::pallet::Call",
        "frame_system::Phase",
        "frame_system::AccountInfo",
        "pallet_balances::types::AccountData",
        "sp_runtime::DispatchError",
        "sp_runtime::ModuleError",
        "sp_version::RuntimeVersion",
        "dret_runtime::RuntimeCall",
        "dret_runtime::RuntimeEvent",
        "dret_runtime::RuntimeError",
    ],
)
def test_clients_find_the_types_they_know_by_path(reader: Reader, path: str) -> None:
    assert reader.type_at(path)


def test_the_extrinsic_names_its_parts_in_the_order_clients_read(reader: Reader) -> None:
    extrinsic = reader.types[reader.body["extrinsic"]["ty"]]

    names = [parameter["name"] for parameter in extrinsic["params"]]
    assert names == ["Address", "Call", "Signature", "Extra"]
    call = reader.types[extrinsic["params"][1]["type"]]
    assert call["path"] == ["dret_runtime", "RuntimeCall"]
    assert reader.body["extrinsic"]["version"] == 4


def test_the_signed_extensions_are_those_clients_know(reader: Reader) -> None:
    extensions = reader.body["extrinsic"]["signed_extensions"]

    shown = [(item["identifier"], reader.types[item["ty"]]["path"][-1]) for item in extensions]
    assert shown == [
        (name, name)
        for name in (
            "CheckNonZeroSender",
            "CheckSpecVersion",
            "CheckTxVersion",
            "CheckGenesis",
            "CheckMortality",
            "CheckNonce",
            "CheckWeight",
            "ChargeTransactionPayment",
            "CheckMetadataHash",
        )
    ]


def test_another_implementation_decodes_our_events(chain: Chain, reader: Reader) -> None:
    chain = Chain()
    extrinsic = chain.sign(ALICE_PAIR, "Market", "place", side=Side.SELL, quantity=5)
    chain.add(extrinsic)
    overlay = chain.state
    data = overlay.get(chain.system.events.key_of())
    assert data is not None
    (entry,) = (
        item for item in reader.pallet("System")["storage"]["entries"] if item["name"] == "Events"
    )

    records = reader.decode(f"scale_info::{entry['type']['Plain']}", data)

    shown = [(r["extrinsic_idx"], r["module_id"], r["event_id"]) for r in records]
    assert shown == [
        (0, "System", "ExtrinsicSuccess"),
        (1, "Balances", "Withdraw"),
        (1, "Market", "OrderPlaced"),
        (1, "TransactionPayment", "TransactionFeePaid"),
        (1, "System", "ExtrinsicSuccess"),
        (None, "Balances", "Deposit"),
    ]
    placed = records[2]["attributes"]
    assert placed["order"] == {"owner": "0x" + ALICE.hex(), "side": "Sell", "quantity": 5}
    info = records[4]["attributes"]["dispatch_info"]
    assert info["class"] == "Normal"
    assert info["weight"]["ref_time"] == 180_000_000


def test_another_implementation_decodes_our_extrinsics(chain: Chain, reader: Reader) -> None:
    extrinsic = chain.sign(
        ALICE_PAIR,
        "Balances",
        "transfer_keep_alive",
        nonce=3,
        tip=2**70,
        era=Era.mortal(64, 42),
        dest=AddressId(BOB),
        value=10**20,
    )

    found = reader.decode("Extrinsic", extrinsic)

    assert found["call"]["call_module"] == "Balances"
    assert found["call"]["call_function"] == "transfer_keep_alive"
    arguments = {a["name"]: a["value"] for a in found["call"]["call_args"]}
    assert arguments == {"dest": "0x" + BOB.hex(), "value": 10**20}
    assert (found["nonce"], found["tip"]) == (3, 2**70)


def test_another_implementation_encodes_calls_as_we_do(chain: Chain, reader: Reader) -> None:
    call = reader.config.create_scale_object("Call", metadata=reader.metadata)

    encoded = call.encode(
        {
            "call_module": "Market",
            "call_function": "place",
            "call_args": {"side": "Sell", "quantity": 1_000},
        }
    )

    ours = chain.assembly.encode_call("Market", "place", side=Side.SELL, quantity=1_000)
    assert bytes(encoded.data) == ours


def test_metadata_without_docs_is_what_blocks_mean(chain: Chain) -> None:
    bare = encode_metadata(chain.assembly, 14, with_docs=False)

    for text in (b"Place an order", b"The id the next order gets", b"There is no such order"):
        assert text not in bare
        assert text in encode_metadata(chain.assembly, 14)
    for name in (b"place", b"NextOrderId", b"OrderNotFound"):
        assert name in bare


def test_two_runtimes_of_the_same_pallets_have_the_same_metadata(chain: Chain) -> None:
    assert encode_metadata(Chain().assembly, 14) == encode_metadata(chain.assembly, 14)


def test_type_numbers_follow_each_other_and_refer_to_types_that_are_there(reader: Reader) -> None:
    assert list(reader.types) == list(range(len(reader.types)))


def test_docs_are_the_strings_below_the_annotations() -> None:
    docs = docs_of_fields(Market)

    assert docs["orders"] == ("Open orders.",)
    assert "counts" not in docs
