"""`rpc.discover`, and the documentation: both name exactly what the server answers to."""

import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from rpc.methods import Registry, Unsubscription
from rpc.schemas import COMPONENTS, PARAMETERS, RESULTS
from rpc.server import ARCHIVE, NAMESPACES
from tests.rpc.client import Running, running
from tests.rpc.fake_node import ALICE_ADDRESS, ALICE_KEY, FakeNode
from tests.support.json_schema import problems

DOCS = Path(__file__).parent.parent.parent / "docs" / "rpc.md"
XT = "0x10aabbccdd"
TYPES: dict[str, type[Any]] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "object": dict,
    "array": list,
}


@pytest.fixture
async def server() -> AsyncIterator[Running]:
    async with running(node=FakeNode(is_archive=True)) as server:
        yield server


def matches(value: Any, schema: Mapping[str, Any]) -> bool:
    """Whether a value has the form that a schema describes; for the words used in ours."""
    if "$ref" in schema:
        return matches(value, COMPONENTS[schema["$ref"].removeprefix("#/components/schemas/")])
    if "anyOf" in schema:
        return any(matches(value, inner) for inner in schema["anyOf"])
    if "additionalProperties" in schema:
        return problems(value, schema) == []
    if schema["type"] == "null":
        return value is None
    if not isinstance(value, TYPES[schema["type"]]):
        return False
    if "pattern" in schema and not re.search(schema["pattern"], value):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if schema["type"] == "array":
        return "items" not in schema or all(matches(item, schema["items"]) for item in value)
    if schema["type"] == "object":
        fields = schema.get("properties", {})
        return set(schema.get("required", ())) <= set(value) and all(
            matches(value[name], inner) for name, inner in fields.items() if name in value
        )
    return True


async def document(server: Running) -> Any:
    return (await server.post({"jsonrpc": "2.0", "id": 1, "method": "rpc.discover"}))["result"]


async def test_the_document_describes_every_name_that_rpc_methods_lists(server: Running) -> None:
    found = await document(server)
    listed = (await server.post({"jsonrpc": "2.0", "id": 1, "method": "rpc_methods"}))["result"]

    assert found["openrpc"] == "1.3.2"
    assert found["info"]["title"]
    assert found["info"]["version"] == "0.1.0-test"
    assert [method["name"] for method in found["methods"]] == listed["methods"]
    for method in found["methods"]:
        assert method["summary"].endswith("."), method["name"]
        assert set(method["result"]) == {"name", "schema"}
        required = [parameter["required"] for parameter in method["params"]]
        assert required == sorted(required, reverse=True)


OPENRPC_FIELDS = {
    "document": {"openrpc", "info", "servers", "methods", "components", "externalDocs"},
    "info": {"title", "description", "termsOfService", "contact", "license", "version"},
    "license": {"name", "url"},
    "components": {"schemas"},
    "method": {
        "name", "tags", "summary", "description", "externalDocs", "params", "result", "deprecated",
        "servers", "errors", "links", "paramStructure", "examples",
    },
    "descriptor": {"name", "summary", "description", "required", "schema", "deprecated"},
}  # fmt: skip
"""What OpenRPC 1.3 allows beside fields that begin with `x-`; its schema allows nothing else."""


async def test_the_document_is_valid_openrpc(server: Running) -> None:
    """By https://spec.open-rpc.org, 1.3.2: fields, required fields, and what must be unique."""

    def check(value: Any, kind: str, *needed: str) -> None:
        names = {name for name in value if not name.startswith("x-")}
        assert names <= OPENRPC_FIELDS[kind], (kind, names - OPENRPC_FIELDS[kind])
        assert set(needed) <= names, (kind, value)

    found = await document(server)
    check(found, "document", "openrpc", "info", "methods")
    check(found["info"], "info", "title", "version")
    check(found["info"]["license"], "license", "name")
    check(found["components"], "components")
    names = [method["name"] for method in found["methods"]]
    assert len(set(names)) == len(names)
    for method in found["methods"]:
        check(method, "method", "name", "params", "result")
        assert method["paramStructure"] in ("by-name", "by-position", "either")
        for descriptor in (*method["params"], method["result"]):
            check(descriptor, "descriptor", "name", "schema")
            assert descriptor["name"]
            assert isinstance(descriptor["schema"], dict)
        parameters = [descriptor["name"] for descriptor in method["params"]]
        assert len(set(parameters)) == len(parameters)


async def test_every_reference_leads_to_a_schema(server: Running) -> None:
    found = await document(server)

    names = set(re.findall(r"#/components/schemas/(\w+)", str(found)))
    assert names == set(found["components"]["schemas"]) == set(COMPONENTS)


def test_there_is_a_schema_for_every_result_and_kind_of_parameter() -> None:
    registry = Registry((*NAMESPACES, *ARCHIVE))
    entries = [entry for _, entry in registry.entries() if not isinstance(entry, Unsubscription)]

    assert {entry.name for entry in entries} | {"rpc.discover"} == set(RESULTS)
    used = {parameter.decode for entry in entries for parameter in entry.parameters}
    assert used == set(PARAMETERS)


def calls(server: Running) -> dict[str, list[Any]]:
    """Parameters for each method, whose results are held against the schemas."""
    chain = server.node.chain
    block, key = "0x" + chain.best_block.hash.hex(), "0x" + ALICE_KEY.hex()
    genesis = "0x" + chain.genesis.hash.hex()
    item = [{"key": key, "type": "value"}]
    needed: dict[str, list[Any]] = {
        "system_accountNextIndex": [ALICE_ADDRESS],
        "system_dryRun": [XT],
        "system_addReservedPeer": ["/ip4/127.0.0.1/tcp/1/p2p/12D3KooW"],
        "system_removeReservedPeer": ["12D3KooW"],
        "system_addLogFilter": ["p2p=debug"],
        "chain_getBlockHash": [[0, 1, 99]],
        "state_getStorage": [key],
        "state_getStorageHash": [key],
        "state_getStorageSize": [key],
        "state_getKeys": [key],
        "state_getPairs": [key],
        "state_getKeysPaged": ["0x", 5],
        "state_queryStorage": [[key, "0x00"], genesis],
        "state_queryStorageAt": [[key, "0x00"]],
        "state_getReadProof": [[key]],
        "state_call": ["Metadata_metadata_versions", "0x"],
        "state_subscribeStorage": [[key, "0x00"]],
        "author_submitExtrinsic": ["0x0401"],
        "author_submitAndWatchExtrinsic": ["0x0402"],
        "author_removeExtrinsic": [[{"extrinsic": "0x0401"}]],
        "author_hasKey": ["0x00", "aura"],
        "author_hasSessionKeys": ["0x" + "00" * 64],
        "author_rotateKeysWithOwner": ["0x" + "11" * 32],
        "payment_queryInfo": [XT],
        "payment_queryFeeDetails": [XT],
        "grandpa_proveFinality": [1],
        "dret_bill": [ALICE_ADDRESS, 1, 2],
        "dret_handoffs": [0],
        "dret_submitWithReceipt": [XT],
        "chainHead_v1_follow": [True],
        "chainHead_v1_header": ["?", block],
        "chainHead_v1_body": ["?", block],
        "chainHead_v1_call": ["?", block, "Metadata_metadata_versions", ""],
        "chainHead_v1_storage": ["?", block, item, None],
        "chainHead_v1_continue": ["?", "?"],
        "chainHead_v1_stopOperation": ["?", "?"],
        "chainHead_v1_unpin": ["?", block],
        "transaction_v1_broadcast": ["0x0403"],
        "transaction_v1_stop": ["1"],
        "transactionWatch_v1_submitAndWatch": ["0x0404"],
        "archive_v1_hashByHeight": [1],
        "archive_v1_header": [block],
        "archive_v1_body": [block],
        "archive_v1_call": [block, "Metadata_metadata_versions", "0x"],
        "archive_v1_storage": [block, item],
        "archive_v1_storageDiff": [block],
    }
    return {name: needed.get(name, []) for name in RESULTS}


async def test_results_and_notifications_have_the_form_the_document_says(server: Running) -> None:
    chain = server.node.chain
    chain.finalize(chain.grow(body=[bytes.fromhex("10aabbccdd")]))
    chain.grow()
    asked = calls(server)
    del asked["author_insertKey"]  # needs a secret that fits; it gives null
    async with server.websocket() as client:
        follow = await client.call("chainHead_v1_follow", True)
        for method in (await document(server))["methods"]:
            name = method["name"]
            if name not in asked:
                continue
            given = [follow if value == "?" else value for value in asked[name]]
            found = await client.call(name, *given)
            assert matches(found, method["result"]["schema"]), (name, found)
            kinds = [parameter["schema"] for parameter in method["params"]]
            assert all(map(matches, given, kinds)), name
        chain.finalize(chain.grow({b"a": b"1"}), b"justification")
        methods = (await document(server))["methods"]
        schemas = {
            method["x-notification"]["method"]: method["x-notification"]["schema"]
            for method in methods
            if "x-notification" in method
        }
        told: set[str] = set()
        # The reply to one more call comes after what was told before.
        await client.call("system_chain")
        for message in client.inbox:
            told.add(message["method"])
            assert matches(message["params"]["result"], schemas[message["method"]]), message
    assert told >= set(schemas) - {"grandpa_justifications"}


def test_the_documentation_lists_every_method_once() -> None:
    registry = Registry((*NAMESPACES, *ARCHIVE))
    names = {*registry.names(), "rpc.discover"}

    text = DOCS.read_text()
    table = text[text.index("## Methods") : text.index("## dret_status")]
    lines = [line for line in table.splitlines() if line.startswith("|")]
    found = re.findall(r"`((?:[a-zA-Z]+_(?:v1_)?[a-zA-Z]+|rpc\.discover))`", "".join(lines))

    assert sorted(found) == sorted(names)
