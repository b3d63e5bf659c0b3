"""Metadata V14, V15 and V16 as polkadot.js and PAPI read them, in one run of Node."""

from functools import cache
from typing import Any

import pytest

from runtime.frame.apis import groups_of
from runtime.frame.assembly import Assembly
from runtime.frame.metadata import METADATA_VERSIONS, encode_metadata
from runtime.runtime import PALLETS, Runtime
from runtime.version import API_VERSIONS, TOKEN_DECIMALS, TOKEN_SYMBOL, RuntimeVersion
from tests.clients.node import run_script
from tests.runtime.frame.board import Board, Config
from tests.support import new_runtime
from tests.vectors.load import FOLDER

pytestmark = pytest.mark.slow

SPIKE = {
    version: (FOLDER / f"substrate/spike_metadata_v{version}.hex").read_text().strip()
    for version in METADATA_VERSIONS
}
"""Of a small chain that all clients accepted."""


@cache
def runtime() -> Runtime:
    return new_runtime()


@cache
def read() -> dict[str, Any]:
    """What the clients say of our metadata (14, 15, 16), of the spike's (s14, s15, s16), and of
    those of a pallet in which something of every kind is deprecated (board)."""
    ours = {str(v): f"0x{runtime().metadata(v).hex()}" for v in METADATA_VERSIONS}
    theirs = {f"s{v}": text for v, text in SPIKE.items()}
    board = Assembly({9: Board(Config(200, 70_000, 3))}, 2)
    changed = encode_metadata(board, 16, groups_of(board.apis, {}, {}))
    given = ours | theirs | {"board": f"0x{changed.hex()}"}
    token = {"decimals": TOKEN_DECIMALS, "tokenSymbol": TOKEN_SYMBOL}
    answers = run_script("metadata", {"metadata": list(given.values()), "token": token})
    return dict(zip(given, answers, strict=True))


def polkadot_js(name: str) -> dict[str, Any]:
    found: dict[str, Any] = read()[name]["polkadotJs"]
    return found


def papi(name: str) -> dict[str, Any]:
    found: dict[str, Any] = read()[name]["papi"]
    return found


@pytest.mark.parametrize("version", ["14", "15", "16"])
def test_both_clients_read_every_version_to_its_end(version: str) -> None:
    # polkadot.js encodes what it read again, so nothing was skipped.
    assert polkadot_js(version)["version"] == papi(version)["version"] == int(version)
    assert polkadot_js(version)["again"] is True
    assert polkadot_js(version)["types"] == papi(version)["types"]


@pytest.mark.parametrize("version", ["14", "15", "16"])
def test_both_clients_find_the_pallets_and_the_extensions(version: str) -> None:
    expected = sorted((index, pallet.__name__) for index, pallet in PALLETS.values())

    for found in (polkadot_js(version), papi(version)):
        assert [(pallet["index"], pallet["name"]) for pallet in found["pallets"]] == expected
        assert found["extensions"][-1] == "CheckMetadataHash"
        assert len(found["extensions"]) == 9


def test_all_versions_say_the_same_of_the_pallets() -> None:
    def without_docs(pallet: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in pallet.items() if name != "docs"}

    first, *others = (
        [without_docs(pallet) for pallet in polkadot_js(version)["pallets"]]
        for version in ("14", "15", "16")
    )

    assert all(other == first for other in others)


def test_pallets_are_documented_from_v15_on() -> None:
    for version in ("15", "16"):
        for found in (polkadot_js(version), papi(version)):
            assert all(pallet["docs"] for pallet in found["pallets"])


def test_clients_read_our_version_from_its_constant() -> None:
    (system,) = (p for p in polkadot_js("16")["pallets"] if p["name"] == "System")
    (constant,) = (c for c in system["constants"] if c["name"] == "Version")

    found = RuntimeVersion.decode(bytes.fromhex(constant["value"][2:]))

    assert found == runtime().version


def test_trap_v16_extensions_by_version_have_the_key_0_which_papi_looks_for() -> None:
    """TRAP: with the extrinsic's version, 4, as its key PAPI finds no "extension version 0"."""
    assert papi("16")["extensionVersions"] == ["0"]
    assert papi("16")["extrinsicVersions"] == [4]


@pytest.mark.parametrize("version", ["15", "16"])
def test_every_function_that_can_be_called_is_described(version: str) -> None:
    described = {
        f"{api['name']}_{function['name']}"
        for api in polkadot_js(version)["apis"]
        for function in api["functions"]
    }

    assert described == set(runtime().api_names)
    assert {"Core_version", "Trading_order_book", "AuraApi_authorities"} <= described


@pytest.mark.parametrize("version", ["15", "16"])
def test_every_api_and_function_is_documented(version: str) -> None:
    for found in (polkadot_js(version), papi(version)):
        for api in found["apis"]:
            assert all(function["docs"] for function in api["functions"]), api["name"]
    assert all(api["docs"] for api in polkadot_js(version)["apis"])


def test_v16_tells_the_versions_of_the_apis() -> None:
    versions = {api["name"]: api["version"] for api in papi("16")["apis"]}

    assert versions == {name: API_VERSIONS.get(name, 1) for name in versions}
    assert versions["Core"] == 5
    assert versions["Trading"] == 1


@pytest.mark.parametrize("version", ["15", "16"])
def test_functions_of_substrate_look_as_those_that_clients_accepted(version: str) -> None:
    def functions(found: dict[str, Any]) -> dict[str, Any]:
        return {
            f"{api['name']}_{function['name']}": (function["inputs"], function["output"])
            for api in found["apis"]
            for function in api["functions"]
        }

    expected, ours = functions(polkadot_js(f"s{version}")), functions(polkadot_js(version))

    assert expected.items() <= ours.items()
    assert len(expected) == 10


@pytest.mark.parametrize("version", ["15", "16"])
def test_the_digest_is_that_of_wallets(version: str) -> None:
    # They make it with npm's @polkadot-api/merkleize-metadata, of either version.
    assert read()[version]["digest"] == f"0x{runtime().metadata_digest().hex()}"


def test_nothing_is_deprecated() -> None:
    for pallet in papi("16")["deprecations"]:
        assert pallet["pallet"] == {"tag": "NotDeprecated"}
        assert not pallet["calls"]
        assert not pallet["events"]
        assert not pallet["errors"]
        items = [*pallet["storage"], *pallet["constants"]]
        assert all(deprecation == {"tag": "NotDeprecated"} for _, deprecation in items)


def test_clients_are_told_what_to_use_instead_of_the_deprecated() -> None:
    def note(text: str) -> dict[str, Any]:
        return {"tag": "Deprecated", "value": {"note": text}}

    def variant(index: int, text: str) -> list[dict[str, Any]]:
        return [{"index": index, "deprecation": note(text)}]

    (found,) = papi("board")["deprecations"]
    (api,) = papi("board")["apis"]

    assert found["pallet"] == {"tag": "NotDeprecated"}
    assert found["calls"] == variant(1, "post nothing")
    assert found["events"] == variant(1, "read `Posted`")
    assert found["errors"] == variant(0, "never given")
    assert dict(found["storage"])["Colour"] == note("there is one colour")
    assert dict(found["storage"])["LongLength"] == {"tag": "NotDeprecated"}
    assert dict(found["constants"])["Colours"] == note("there is one colour")
    assert api["functions"][0]["deprecated"] == note("it is always one line")
    assert polkadot_js("board")["again"] is True
