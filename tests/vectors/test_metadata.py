"""Metadata and what it describes, beside those of a server that all four clients accepted.

`spike_metadata_v14.hex` is of another chain; the types that clients know by their path are the
same there and here.
"""

from functools import cache
from typing import Any

import pytest
from scalecodec.base import RuntimeConfigurationObject, ScaleBytes
from scalecodec.type_registry import load_type_registry_preset

from runtime.frame.dispatch import DispatchClass, DispatchInfo, Pays, Weight
from runtime.pallets.system import ExtrinsicSuccess
from runtime.version import RuntimeVersion, api_id
from tests.support import MemoryChain, new_runtime
from tests.vectors.load import FOLDER, load, unhex

KNOWN_BY_PATH = [
    "sp_core::crypto::AccountId32",
    "primitive_types::H256",
    "sp_runtime::multiaddress::MultiAddress",
    "sp_runtime::MultiSignature",
    "sp_runtime::generic::era::Era",
    "sp_runtime::generic::digest::Digest",
    "sp_runtime::generic::digest::DigestItem",
    "sp_weights::weight_v2::Weight",
    "frame_support::dispatch::DispatchClass",
    "frame_support::dispatch::Pays",
    "frame_system::Phase",
    "frame_system::AccountInfo",
    "pallet_balances::types::AccountData",
    "pallet_balances::types::ExtraFlags",
    "sp_runtime::ModuleError",
]


def decoded(data: bytes) -> Any:
    """Metadata V14 as plain values, by scalecodec."""
    config = RuntimeConfigurationObject()
    config.clear_type_registry()
    config.update_type_registry(load_type_registry_preset(name="core"))
    metadata = config.create_scale_object("MetadataVersioned", ScaleBytes(data))
    metadata.decode()
    return metadata.value[1]["V14"]


@cache
def of_the_spike() -> Any:
    return decoded(unhex((FOLDER / "substrate/spike_metadata_v14.hex").read_text().strip()))


@cache
def ours() -> Any:
    return decoded(new_runtime().metadata(14))


def types_of(metadata: Any) -> dict[str, int]:
    """Type ids by path."""
    return {
        "::".join(entry["type"]["path"]): entry["id"]
        for entry in metadata["types"]["types"]
        if entry["type"]["path"]
    }


def shape_of(metadata: Any, type_id: int) -> Any:
    """A type with all it is made of; documentation and Rust's names of types are left out."""
    entry = metadata["types"]["types"][type_id]["type"]
    return entry["path"], expand(metadata, entry["def"])


def expand(metadata: Any, value: Any) -> Any:
    """A definition with the types in the place of their ids; variants in the order of indices."""
    match value:
        case {"index": _, "fields": fields, "name": name}:
            return name, [expand(metadata, field) for field in fields]
        case {"variants": variants}:
            return {variant["index"]: expand(metadata, variant) for variant in variants}
        case {"tuple": parts}:
            return [shape_of(metadata, part) for part in parts]
        case {"type": int(type_id), **rest}:
            return shape_of(metadata, type_id), rest.get("name"), rest.get("len")
        case dict():
            return {key: expand(metadata, part) for key, part in value.items()}
        case list():
            return [expand(metadata, part) for part in value]
        case _:
            return value


@pytest.mark.parametrize("path", KNOWN_BY_PATH)
def test_types_that_clients_know_by_path_are_those_they_accepted(path: str) -> None:
    expected = shape_of(of_the_spike(), types_of(of_the_spike())[path])

    assert shape_of(ours(), types_of(ours())[path]) == expected


def test_the_extrinsic_has_the_parameters_that_clients_follow() -> None:
    name = "sp_runtime::generic::unchecked_extrinsic::UncheckedExtrinsic"
    for metadata in (of_the_spike(), ours()):
        entry = metadata["types"]["types"][types_of(metadata)[name]]["type"]
        assert [param["name"] for param in entry["params"]] == [
            "Address",
            "Call",
            "Signature",
            "Extra",
        ]
        assert metadata["extrinsic"]["ty"] == types_of(metadata)[name]


def test_the_signed_extensions_are_those_that_clients_signed() -> None:
    found, expected = (
        [
            (
                extension["identifier"],
                shape_of(metadata, extension["ty"])[1],
                shape_of(metadata, extension["additional_signed"])[1],
            )
            for extension in metadata["extrinsic"]["signed_extensions"]
        ]
        for metadata in (ours(), of_the_spike())
    )

    assert found == expected


def test_the_variants_of_dispatch_errors_stand_where_clients_look() -> None:
    name = "sp_runtime::DispatchError"

    found, expected = (
        {
            variant["name"]: variant["index"]
            for variant in metadata["types"]["types"][types_of(metadata)[name]]["type"]["def"][
                "variant"
            ]["variants"]
        }
        for metadata in (ours(), of_the_spike())
    )

    assert expected.items() <= found.items()


def test_a_runtime_version_is_encoded_as_clients_read_it() -> None:
    data = unhex((FOLDER / "substrate/spike_core_version.hex").read_text().strip())

    version = RuntimeVersion.decode(data)

    assert (version.spec_name, version.impl_name) == ("energy", "energy-py")
    assert (version.spec_version, version.transaction_version) == (100, 1)
    names = (
        "Core",
        "Metadata",
        "TaggedTransactionQueue",
        "AccountNonceApi",
        "TransactionPaymentApi",
    )
    assert [api for api, _ in version.apis] == [api_id(name) for name in names]
    assert version.encode() == data


def test_the_events_of_a_block_are_encoded_as_polkadot_js_read_them() -> None:
    # One extrinsic, the timestamp: weight 1 000, mandatory.
    expected = unhex(load("substrate/client_vectors.json")["events1"])
    runtime = new_runtime()
    chain = MemoryChain.new(runtime)
    runtime.initialize_block(chain.overlay(), chain.draft())
    info = DispatchInfo(Weight(1_000, 0), DispatchClass.MANDATORY, Pays.YES)
    record = runtime.assembly.types.event_record

    event = runtime.system.events.codec.decode(expected)

    assert len(event) == 1
    assert isinstance(event[0], record)
    assert event[0].event.event == ExtrinsicSuccess(info)  # type: ignore[attr-defined]
    assert runtime.system.events.codec.encode(event) == expected
