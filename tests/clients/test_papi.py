"""PAPI, unmodified and without options, against a live node: by the new and by the old methods."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from node.client.catalogue import Catalogue
from node.client.metadata import decode_metadata
from tests.clients.conftest import DevNode, RestingOrder
from tests.clients.node import FOLDER, NODE, environment, run_script
from tests.support import new_runtime

pytestmark = pytest.mark.slow

SCHEMES = ["sr25519", "ed25519", "ecdsa"]
PAID = ["TransactionPayment.TransactionFeePaid", "System.ExtrinsicSuccess"]
PARTS = ["reads", "custom", "apis", "subscriptions", "entries", "transfers", "refusals"]
ALICE = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"
VALUES: dict[str, Any] = {"u32": 1, "AccountId32": ALICE}
TAKES_MORE = {
    "Authorities_judge_receipt",
    "BlockBuilder_apply_extrinsic",
    "BlockBuilder_check_inherents",
    "BlockBuilder_inherent_extrinsics",
    "Core_execute_block",
    "Core_initialize_block",
    "GrandpaApi_generate_key_ownership_proof",
    "GrandpaApi_submit_report_equivocation_unsigned_extrinsic",
    "Payments_deposit",
    "SessionKeys_decode_session_keys",
    "SessionKeys_generate_session_keys",
    "TaggedTransactionQueue_validate_transaction",
    "TransactionPaymentApi_query_fee_details",
    "TransactionPaymentApi_query_info",
    "TransactionPaymentApi_query_weight_to_fee",
}
"""Functions that take blocks, extrinsics and keys, which the node and clients call on their own."""

NEW_GROUPS = ("archive_v1", "chainHead_v1", "chainSpec_v1", "transaction_v1")


@pytest.fixture(scope="module", params=["new", "old"])
def seen(request: pytest.FixtureRequest, dev_node: DevNode, resting_order: RestingOrder) -> Any:
    """All the client read and sent, and the methods it called for it."""
    legacy = request.param == "old"
    asked = {
        "url": dev_node.url,
        "legacy": legacy,
        "schemes": SCHEMES,
        "parts": PARTS,
        "interval": resting_order.interval,
        "functions": callable_functions(),
    }
    found = run_script("papi", asked, timeout_s=150)
    found["legacy"] = legacy
    return found


def test_it_chooses_the_methods_by_what_the_node_lists(seen: Any) -> None:
    new = {name for name in seen["methods"] if name.startswith(NEW_GROUPS)}

    if seen["legacy"]:
        assert new == set()
        assert "chain_subscribeAllHeads" in seen["methods"]
    else:
        assert new == set(seen["methods"]) - {"rpc_methods"}


def test_it_reads_the_chain_and_its_state(seen: Any) -> None:
    reads = seen["reads"]

    # By the old methods it takes the node's name for the chain's.
    assert reads["name"] == ("DRET Node" if seen["legacy"] else "DRET development")
    assert reads["properties"] == {"ss58Format": 42, "tokenDecimals": 9, "tokenSymbol": "DRT"}
    assert reads["sameNumber"]
    assert reads["extrinsics"] >= 1
    assert reads["accounts"] > 2
    assert int(reads["free"]) > 0
    assert reads["now"]
    assert int(reads["deposit"]) > 0
    assert isinstance(reads["nonce"], int)


def test_it_reads_pallets_that_no_other_chain_has(seen: Any, resting_order: RestingOrder) -> None:
    """A value, maps of one and of two keys, a constant, a function of the runtime."""
    resting_order.check(seen["custom"])


def test_it_calls_every_function_of_the_runtime_by_its_types(seen: Any) -> None:
    failures = {name: failure for name, failure in seen["apis"].items() if failure is not None}

    assert failures.keys() == {"BlockBuilder_finalize_block"}
    assert "no block was begun on this state" in failures["BlockBuilder_finalize_block"]
    assert len(seen["apis"]) == len(callable_functions()) > 55


def callable_functions() -> list[tuple[str, str, list[Any]]]:
    """API, function and arguments of everything that takes plain values: all but `TAKES_MORE`."""
    catalogue = Catalogue(decode_metadata(new_runtime().metadata(16)))
    found: list[tuple[str, str, list[Any]]] = []
    left_out: set[str] = set()
    for each in catalogue.functions():
        kinds = [catalogue.types.text(argument.type_id) for argument in each.function.inputs]
        api = each.name.removesuffix(f"_{each.function.name}")
        if set(kinds) <= VALUES.keys():
            found.append((api, each.function.name, [VALUES[kind] for kind in kinds]))
        else:
            left_out.add(each.name)
    assert left_out == TAKES_MORE
    return found


def test_it_follows_finalized_blocks_and_a_value(seen: Any) -> None:
    finalized, values = seen["subscriptions"]["finalized"], seen["subscriptions"]["values"]

    assert finalized == list(range(finalized[0], finalized[0] + 3))
    assert values == sorted(values)
    assert len(set(values)) > 1  # by the old methods a value may come again with the next block


def test_trap_merkle_value_lets_watch_entries_see_a_new_entry(seen: Any) -> None:
    """TRAP: without a real closestDescendantMerkleValue the subscription silently never updates."""
    assert seen["entries"]["last"] > seen["entries"]["first"]


def test_trap_at_the_block_asked_an_included_extrinsic_is_not_taken_for_stale(seen: Any) -> None:
    """TRAP: validate_transaction is answered at the block asked, not at the newest state."""
    done = seen["transfers"]

    for result in (done["fund"], *done["each"], *done["long"], done["committed"]):
        assert result["types"][:2] == ["signed", "broadcasted"]
        assert result["types"][-1] == "finalized"
        assert result["ok"]
        assert result["events"][-2:] == PAID
    assert done["fee"]
    assert done["fund"]["events"].count("Utility.ItemCompleted") == len(SCHEMES)


def test_a_failed_call_shows_its_module_error(seen: Any) -> None:
    failed = seen["transfers"]["failed"]

    assert not failed["ok"]
    assert failed["events"][-1] == "System.ExtrinsicFailed"
    assert failed["error"] == {
        "type": "Module",
        "value": {"type": "Balances", "value": {"type": "InsufficientBalance"}},
    }


def test_refusals_are_told_by_the_runtime(seen: Any) -> None:
    for name, kind in (("stale", "Stale"), ("poor", "Payment")):
        assert seen["refusals"][name] == {"type": "Invalid", "value": {"type": kind}}


def test_an_archive_answers_for_blocks_that_are_not_pinned(dev_node: DevNode) -> None:
    found = run_script("papi", {"url": dev_node.url, "legacy": False, "parts": ["history"]})

    assert found["history"]["number"] == found["history"]["nonce"] == 0
    assert found["history"]["free"] == "1000000000000"
    assert {"archive_v1_header", "archive_v1_storage"} <= set(found["methods"])


def test_papi_add_writes_typed_descriptors(dev_node: DevNode, tmp_path: Path) -> None:
    """`npx papi add`; what npm would install afterwards is left out."""
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text("#!/bin/sh\n")
    npm.chmod(0o755)
    (tmp_path / "package.json").write_text('{"name": "app", "type": "module"}')
    (tmp_path / "node_modules").symlink_to(FOLDER / "node_modules")
    found = environment()
    found["PATH"] = os.pathsep.join((str(npm.parent), found["PATH"]))
    papi = FOLDER / "node_modules" / ".bin" / "papi"

    subprocess.run(
        [str(NODE), str(papi), "add", "dret", "-w", dev_node.url],
        cwd=tmp_path,
        env=found,
        check=True,
        capture_output=True,
        timeout=120,
    )

    written = (tmp_path / ".papi" / "descriptors" / "dist" / "dret.d.ts").read_text()
    assert "place_order: TxDescriptor<" in written
    assert "ConsumptionMetering: {" in written
