"""Headers and their hashes: of public chains' genesis blocks, and one that polkadot.js decoded."""

from typing import Any

import pytest

from runtime.primitives.block import Digest, Header, PreRuntime, Seal
from tests.vectors.load import load, unhex

CLIENT = load("substrate/client_vectors.json")
TRIES = load("substrate/trie_vectors.json")
EMPTY_ROOT = unhex("03170a2e7597b7b7e3d84c05391d139a62b157e78786d8c082f29dcf4c111314")


@pytest.mark.parametrize("case", TRIES["genesis_headers"], ids=lambda case: case["chain"])
def test_the_genesis_header_of_a_public_chain_has_its_known_hash(case: dict[str, Any]) -> None:
    header = Header(bytes(32), 0, unhex(case["stateRoot"]), EMPTY_ROOT, Digest([]))

    assert header.hash() == unhex(case["hash"])


def test_a_header_is_encoded_and_hashed_as_by_polkadot_js() -> None:
    expected = CLIENT["header1"]
    pre_runtime, seal = expected["digest"]["logs"]
    header = Header(
        unhex(expected["parentHash"]),
        expected["number"],
        unhex(expected["stateRoot"]),
        unhex(expected["extrinsicsRoot"]),
        Digest(
            [
                PreRuntime(*map(unhex, pre_runtime["preRuntime"])),
                Seal(*map(unhex, seal["seal"])),
            ]
        ),
    )

    assert header.encode() == unhex(CLIENT["header1hex"])
    assert Header.decode(unhex(CLIENT["header1hex"])) == header
    assert header.hash() == unhex(CLIENT["header1hash"])
