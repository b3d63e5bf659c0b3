"""Trie nodes, roots and proofs: of sp-trie, smoldot, kagome and of the public chain Westend."""

import gzip
import json
from typing import Any

import pytest

from runtime.primitives.block import Digest, Header
from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import codec
from runtime.state.node import Node, decode_node, encode_node
from runtime.state.trie import Trie, ordered_root
from tests.vectors.load import FOLDER, load, unhex

TRIES = load("substrate/trie_vectors.json")
NODE_KINDS = {
    "leaf": (b"", None, ()),
    "branch_no_value": (None, None, (b"\x04a",) + (b"",) * 15),
    "branch_with_value": (b"", None, (b"\x04a",) + (b"",) * 15),
    "leaf_hashed_value": (None, bytes(32), ()),
    "branch_hashed_value": (None, bytes(32), (b"\x04a",) + (b"",) * 15),
}


def case_name(case: dict[str, Any]) -> str:
    return f"v{case['version']}-{case['origin'][:40]}"


@pytest.mark.parametrize("case", TRIES["roots"], ids=case_name)
def test_a_trie_has_the_known_root(case: dict[str, Any]) -> None:
    values = {unhex(key): unhex(value) for key, value in case["kv"].items()}

    trie = Trie.empty(case["version"]).update(values).trie

    if "root" in case:
        assert trie.root == unhex(case["root"])
    root_node = trie.root_node()
    if "node" in case and root_node is not None:
        assert root_node.encode() == unhex(case["node"])
    assert {key: trie.get(key) for key in trie.keys(b"")} == values


@pytest.mark.parametrize("case", TRIES["ordered_roots"], ids=case_name)
def test_an_ordered_list_has_the_known_root(case: dict[str, Any]) -> None:
    values = [unhex(value) for value in case["values"]]

    assert ordered_root(values, case["version"]) == unhex(case["root"])


@pytest.mark.parametrize(
    "case", TRIES["headers"], ids=lambda case: f"{case['kind']}-{case['nibbles']}"
)
def test_a_node_header_is_that_of_the_reference(case: dict[str, Any]) -> None:
    value, value_hash, children = NODE_KINDS[case["kind"]]
    partial = "a" * case["nibbles"]
    header = unhex(case["header"])

    encoded = encode_node(partial, value, value_hash, children)

    assert encoded[: len(header)] == header
    assert encoded[len(header)] in (0x0A, 0xAA) or not partial
    assert decode_node(encoded).partial == partial


def test_the_genesis_of_westend_has_its_public_root_and_hash() -> None:
    with gzip.open(FOLDER / "substrate/westend_genesis_state.json.gz") as file:
        genesis = json.load(file)
    (values,) = (part for part in genesis.values() if isinstance(part, dict) and len(part) > 50)

    trie = Trie.empty(0).update({unhex(key): unhex(part) for key, part in values.items()}).trie

    header = Header(bytes(32), 0, trie.root, unhex(genesis["extrinsicsRoot"]), Digest([]))
    assert trie.root == unhex("7e92439a94f79671f9cade9dff96a094519b9001a7432244d46ab644bb6f746f")
    assert header.hash() == unhex(
        "e143f23803ac50e8f6f8e62695d1ce9e4e1d68aa36c1cd2cfd15340213f3423e"
    )


def test_every_link_of_a_real_proof_resolves_and_its_values_can_be_read() -> None:
    root = unhex("f72fa98efbf23c21d162a6690a2412d0b2e3d2e769cab46a7eb6004138ebeda7")
    data = (FOLDER / "substrate/smoldot_issue_2035_proof.bin").read_bytes()
    items = {blake2_256(item): item for item in codec(list[bytes]).decode(data)}

    nodes, values = 0, 0
    stack: list[Node] = [decode_node(items[root])]
    while stack:
        node = stack.pop()
        nodes += 1
        assert node.encode() == encode_node(
            node.partial, node.value, node.value_hash, node.children
        )
        if node.value_hash in items:
            values += 1
        stack.extend(
            decode_node(items[reference[1:]])
            for reference in node.children
            if reference[:1] == b"\x80" and reference[1:] in items
        )

    assert (nodes, values, len(items)) == (58, 12, 70)
