"""Values of a market that traded and settled, as four clients decode them by our metadata.

scalecodec reads V14, cyscale V14 and V15, polkadot.js and PAPI all three versions.
"""

from functools import cache
from typing import Any

import pytest
from scalecodec.base import RuntimeConfigurationObject, ScaleBytes
from scalecodec.type_registry import load_type_registry_preset

from runtime.primitives.crypto import ss58_encode
from tests.clients.cyscale import run_cyscale
from tests.clients.node import run_script
from tests.golden.script import golden_chain, key
from tests.support import DRT, MemoryChain

pytestmark = pytest.mark.slow

VERSIONS = ["14", "15", "16"]
CALLED = {
    "AuraApi_authorities": b"",
    "ConsumptionMetering_meters": b"",
    "Core_version": b"",
    "GrandpaApi_grandpa_authorities": b"",
    "GridBalancing_topology": b"",
    "Metadata_metadata_versions": b"",
    "ProducerRegistration_connections": b"",
    "Trading_recent": (8).to_bytes(4, "little"),
    "Trading_totals": b"",
}
"""Runtime API functions with their arguments."""


@cache
def chain() -> MemoryChain:
    return golden_chain()


@cache
def events() -> bytes:
    """Of the last block, in which readings arrive."""
    found = chain().overlay().get(chain().runtime.system.events.prefix)
    assert found is not None
    return found


@cache
def transfer() -> bytes:
    """Charlie's transfer in the first block."""
    return chain().bodies[0][1]


def metadata(version: str) -> str:
    return f"0x{chain().runtime.metadata(int(version)).hex()}"


@cache
def by_node() -> dict[str, Any]:
    """What polkadot.js and PAPI decode."""
    call_api = chain().runtime.call_api
    answers = {name: call_api(chain().overlay(), name, data) for name, data in CALLED.items()}
    found: dict[str, Any] = run_script(
        "decoding",
        {
            "metadata": {version: metadata(version) for version in VERSIONS},
            "events": f"0x{events().hex()}",
            "extrinsic": f"0x{transfer().hex()}",
            "answers": {name: f"0x{data.hex()}" for name, data in answers.items()},
        },
    )
    return found


@cache
def by_cyscale() -> dict[str, Any]:
    found: dict[str, Any] = run_cyscale(
        "cyscale_metadata",
        {
            "metadata": {version: metadata(version) for version in VERSIONS[:2]},
            "events": f"0x{events().hex()}",
            "extrinsic": f"0x{transfer().hex()}",
        },
    )
    return found


@cache
def by_scalecodec() -> Any:
    config = RuntimeConfigurationObject(ss58_format=42)
    config.clear_type_registry()
    config.update_type_registry(load_type_registry_preset(name="core"))
    read = config.create_scale_object("MetadataVersioned", ScaleBytes(metadata("14")))
    read.decode()
    config.add_portable_registry(read)
    item = read.get_metadata_pallet("System").get_storage_function("Events")
    made = config.create_scale_object(
        item.get_value_type_string(), ScaleBytes(events()), metadata=read
    )
    return made.decode()


def outline(found: Any) -> list[tuple[Any, str, str]]:
    """Which events there were, in the words of the metadata."""
    if "module_id" in found[0]:
        return [(event["extrinsic_idx"], event["module_id"], event["event_id"]) for event in found]
    return [
        (event["extrinsic"], event["pallet"][0].upper() + event["pallet"][1:], event["name"])
        for event in found
    ]


def test_all_clients_read_the_same_events() -> None:
    expected = outline(by_scalecodec())

    for version in ("14", "15"):
        assert outline(by_cyscale()[version]["events"]) == expected
    for version in VERSIONS:
        for client in ("polkadotJs", "papi"):
            assert outline(by_node()[version][client]["events"]) == expected
    names = {f"{pallet}.{name}" for _, pallet, name in expected}
    assert {"ConsumptionMetering.ReadingAccepted", "TransactionPayment.TransactionFeePaid"} <= names


def test_both_python_clients_read_the_same_attributes() -> None:
    expected = [event["attributes"] for event in by_scalecodec()]

    for version in ("14", "15"):
        assert [event["attributes"] for event in by_cyscale()[version]["events"]] == expected


@pytest.mark.parametrize("version", VERSIONS)
def test_papi_names_fields_as_the_metadata_do(version: str) -> None:
    (reading, *_) = (
        event
        for event in by_node()[version]["papi"]["events"]
        if event["name"] == "ReadingAccepted"
    )

    assert reading["data"]["connection"] == 1
    assert {"interval", "import_wh", "export_wh"} <= set(reading["data"])


@pytest.mark.parametrize("version", VERSIONS)
def test_a_signed_extrinsic_is_read_and_encoded_again(version: str) -> None:
    found = by_node()[version]["polkadotJs"]["extrinsic"]

    assert found == {
        "signer": ss58_encode(key("Charlie").public),
        "nonce": 0,
        "call": "balances.transferKeepAlive",
        "args": [ss58_encode(key("Dave").public), str(5 * DRT)],
        "again": True,
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_papi_builds_a_codec_of_everything(version: str) -> None:
    # Storage defaults and constants are decoded on the way.
    declared = [pallet.declaration for pallet in chain().runtime.assembly.pallets]
    built = by_node()[version]["papi"]["built"]

    assert built["storage"] == sum(len(declaration.storage) for declaration in declared)
    assert built["constants"] == sum(len(declaration.constants) for declaration in declared)
    assert built["calls"] == sum(len(declaration.calls) for declaration in declared)
    functions = 0 if version == "14" else len(chain().runtime.api_names)
    assert built["functions"] == functions


@pytest.mark.parametrize("version", VERSIONS[1:])
def test_answers_of_runtime_apis_have_the_types_that_are_described(version: str) -> None:
    found = by_node()[version]
    polkadot_js, papi = found["polkadotJs"]["answers"], found["papi"]["answers"]

    assert set(polkadot_js) == set(papi) == set(CALLED)
    assert all(answer["again"] for answer in polkadot_js.values())
    assert papi["Core_version"]["spec_name"] == "dret"
    assert papi["Metadata_metadata_versions"] == [14, 15, 16]
    assert papi["Trading_recent"] == polkadot_js["Trading_recent"]["value"]
    assert papi["Trading_totals"]["intervals_settled"] == 4
    totals = polkadot_js["Trading_totals"]["value"]
    assert str(totals["tradedWh"]) == papi["Trading_totals"]["traded_wh"]
    assert papi["ProducerRegistration_connections"][1]["account"] == ss58_encode(
        key("Alice").public
    )
