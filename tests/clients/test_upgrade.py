"""A runtime upgrade that the genesis schedules, while polkadot.js and PAPI are connected."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

import runtime.runtime
from devnet.scenario import dev_chain_spec
from runtime.constants import Constants
from runtime.runtime import CodeInfo, Runtime
from runtime.version import SPEC_VERSION, SPEC_VERSIONS
from tests.clients.conftest import DevNode, run_dev_node
from tests.clients.node import run_script

pytestmark = pytest.mark.slow

NEXT = SPEC_VERSION + 1
AT_BLOCK = 10  # at two seconds each, time enough for a transfer before


@pytest.fixture(scope="module")
def upgrading_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevNode]:
    """A node of a later program, on a chain that goes over to the new version."""
    folder = tmp_path_factory.mktemp("upgrade")
    chain = folder / "chain.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime.runtime, "SPEC_VERSIONS", range(SPEC_VERSIONS[0], NEXT + 1))
        chain.write_text(json.dumps(scheduled(json.loads(dev_chain_spec().encode()))))
    options = ["--chain", str(chain), "--alice", "--force-authoring"]
    with run_dev_node(folder, options, module="tests.clients.upgraded_node") as node:
        yield node


def scheduled(spec: dict[str, Any]) -> dict[str, Any]:
    """The specification with an upgrade in its genesis."""
    code = CodeInfo.decode(Runtime(Constants(**spec["constants"])).at(NEXT).code())
    spec["genesis"]["authorities"] = {
        "upgrade": {
            "spec_version": NEXT,
            "metadata_hash": f"0x{code.metadata_hash.hex()}",
            "at_block": AT_BLOCK,
        }
    }
    return spec


@pytest.fixture(scope="module")
def seen(upgrading_node: DevNode) -> Any:
    return run_script("upgrade", {"url": upgrading_node.url, "next": NEXT}, timeout_s=120)


def test_clients_go_over_to_the_new_version_by_themselves(seen: Any) -> None:
    assert seen["told"] == [SPEC_VERSION, NEXT]
    assert set(seen["first"]["versions"].values()) == {SPEC_VERSION}
    assert set(seen["second"]["versions"].values()) == {NEXT}


@pytest.mark.parametrize("when", ["first", "second"])
def test_clients_sign_for_the_version_that_is(seen: Any, when: str) -> None:
    assert "system.ExtrinsicSuccess" in seen[when]["js"]["events"]
    assert seen[when]["papi"]["ok"] is True


def test_trap_old_blocks_are_read_by_the_metadata_of_their_time(seen: Any) -> None:
    assert seen["before"]["spec"] == SPEC_VERSION
    assert seen["after"]["spec"] == NEXT
    assert min(seen["before"]["events"], seen["after"]["events"]) > 0
