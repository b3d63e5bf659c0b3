"""What changes only together with the version: metadata, genesis, and what blocks do to the state.

`make nojit` runs this with kernels that are not compiled: the hashes are the same.
"""

import json
from pathlib import Path
from typing import Any

import pytest

import tests.golden
from runtime.frame.metadata import METADATA_VERSIONS
from runtime.version import SPEC_VERSION
from tests.golden.script import golden_chain, history, metadata_hex
from tests.support.chains import MemoryChain

FOLDER = Path(tests.golden.__file__).parent / f"spec-{SPEC_VERSION}"
HINT = "changed: raise SPEC_VERSION and run python -m tests.golden (see tests/golden)"


@pytest.fixture(scope="module")
def chain() -> MemoryChain:
    return golden_chain()


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    read: dict[str, Any] = json.loads((FOLDER / "history.json").read_text())
    return read


@pytest.mark.parametrize("version", METADATA_VERSIONS)
def test_the_metadata_are_those_of_the_version(chain: MemoryChain, version: int) -> None:
    expected = (FOLDER / f"metadata_v{version}.hex").read_text()

    assert metadata_hex(chain, version) == expected, f"metadata {HINT}"


def test_the_code_in_the_state_is_that_of_the_version(
    chain: MemoryChain, expected: dict[str, Any]
) -> None:
    assert chain.runtime.code().hex() == expected["code"], f"code {HINT}"


def test_the_genesis_is_that_of_the_version(chain: MemoryChain, expected: dict[str, Any]) -> None:
    found = history(chain)

    assert found["genesis_root"] == expected["genesis_root"], f"genesis state {HINT}"
    assert found["genesis_hash"] == expected["genesis_hash"]


def test_blocks_lead_to_the_states_of_the_version(
    chain: MemoryChain, expected: dict[str, Any]
) -> None:
    found = history(chain)["blocks"]

    for number, (one, other) in enumerate(zip(found, expected["blocks"], strict=True), start=1):
        assert one == other, f"block {number} {HINT}"


def test_the_script_trades_and_settles(chain: MemoryChain) -> None:
    status = chain.runtime.market_status(chain.overlay())

    assert status["intervals_settled"] == 4
    assert isinstance(status["traded_wh"], int)
    assert status["traded_wh"] > 0
    assert status["money_residual_nano"] == status["energy_residual_wh"] == 0
