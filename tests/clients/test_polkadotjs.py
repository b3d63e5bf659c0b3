"""polkadot.js, unmodified and without options, against a live node."""

from typing import Any

import pytest

from tests.clients.conftest import DevNode, RestingOrder
from tests.clients.node import run_script

pytestmark = pytest.mark.slow

ALICE = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"
SCHEMES = ["sr25519", "ed25519", "ecdsa"]
PAID = ["transactionPayment.TransactionFeePaid", "system.ExtrinsicSuccess"]


@pytest.fixture(scope="module")
def seen(dev_node: DevNode, resting_order: RestingOrder) -> Any:
    """What the client read, by one connection that does it all at once."""
    parts = ["reads", "custom", "subscriptions", "proofs", "justifications", "overHttp"]
    request = {"url": dev_node.url, "parts": parts, "interval": resting_order.interval}
    return run_script("polkadotjs", request)


@pytest.fixture(scope="module")
def sent(dev_node: DevNode) -> Any:
    """What became of what the client submitted."""
    request = {"url": dev_node.url, "schemes": SCHEMES, "parts": ["transfers"]}
    return run_script("polkadotjs", request, timeout_s=120)["transfers"]


def test_it_reads_the_chain_and_its_state(seen: Any) -> None:
    reads = seen["reads"]

    assert reads["chain"] == "DRET development"
    assert reads["properties"] == "42 DRT 9"
    assert reads["headerHash"]
    assert reads["extrinsics"][0] == "timestamp.set"
    assert reads["accounts"] > 2
    assert reads["sameAgain"]
    assert reads["page"] == 2
    assert int(reads["free"]) > 0
    assert reads["now"]
    assert int(reads["deposit"]) > 0
    assert reads["health"] == {"peers": 0, "isSyncing": False, "shouldHavePeers": False}
    assert 0 <= reads["nonce"] <= reads["next"]  # other tests may have signed as Alice
    assert reads["oldAccount"] == 0
    assert reads["slot"] == 2_000
    assert reads["genesisBlock"] == 0


def test_it_reads_pallets_that_no_other_chain_has(seen: Any, resting_order: RestingOrder) -> None:
    """A value, maps of one and of two keys, a constant, a function of the runtime."""
    resting_order.check(seen["custom"])


def test_trap_mortality_fits_into_the_hashes_that_are_kept(seen: Any) -> None:
    """TRAP: polkadot.js rounds the period up to a power of two; keep at least 4096 hashes."""
    assert seen["reads"]["blockHashCount"] >= 4_096


def test_trap_author_of_a_block_is_shown(seen: Any) -> None:
    """TRAP: it needs Session.Validators and an aura digest at the parent."""
    assert seen["reads"]["author"] == ALICE


def test_it_hears_of_heads_and_of_changed_storage(seen: Any) -> None:
    found = seen["subscriptions"]

    for name in ("all", "fresh", "final"):
        assert found[name] == list(range(found[name][0], found[name][0] + len(found[name])))
    assert found["changes"] == sorted(set(found["changes"]))


def test_its_proofs_lead_to_the_state_root(seen: Any) -> None:
    """By `validateProofs` of @polkadot-api/substrate-bindings, a present and an absent key."""
    assert seen["proofs"]["at"]
    assert seen["proofs"]["root"]


def test_it_reads_justifications_and_proofs_of_finality(seen: Any) -> None:
    assert seen["justifications"]["bytes"] > 100
    assert seen["justifications"]["proof"]


def test_it_works_over_http(seen: Any) -> None:
    assert seen["overHttp"]


def test_a_mortal_batch_is_estimated_submitted_and_watched_to_finality(sent: Any) -> None:
    assert sent["fee"]
    batch = sent["sr25519Mortal"]
    assert batch["statuses"] == ["Ready", "InBlock", "Finalized"]
    assert batch["error"] is None
    assert batch["events"].count("utility.ItemCompleted") == len(SCHEMES)
    assert batch["events"][-2:] == PAID


def test_each_scheme_signs_immortal_with_a_tip_and_over_256_bytes(sent: Any) -> None:
    for done in (*sent["each"], *sent["long"]):
        assert done["statuses"][-2:] == ["InBlock", "Finalized"]
        assert done["error"] is None
        assert done["index"] >= 1
        assert done["events"][-2:] == PAID
    assert sent["found"]
    hashes = {done["hash"] for done in sent["long"]}
    assert len(hashes) == len(SCHEMES)


def test_a_signature_may_commit_to_the_metadata(sent: Any) -> None:
    """CheckMetadataHash in mode 1, as for a Ledger, with the digest of @polkadot-api's package."""
    assert sent["committed"]["error"] is None


def test_a_failed_call_shows_its_module_error_with_its_docs(sent: Any) -> None:
    failed = sent["failed"]

    assert failed["events"][-1] == "system.ExtrinsicFailed"
    assert failed["error"] == "balances.InsufficientBalance"
    assert "free balance is too low" in failed["docs"]


def test_refusals_have_substrates_words(sent: Any) -> None:
    found = sent["refusals"]

    assert found["stale"] == "1010: Invalid Transaction: Transaction is outdated"
    assert found["poor"].startswith("1010: Invalid Transaction: Inability to pay some fees")
    assert found["method"] == "-32601: Method not found"
    assert found["block"]
