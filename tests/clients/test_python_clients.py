"""async-substrate-interface, unmodified and without options, against a live node."""

import sysconfig
from typing import Any

import pytest
from substrateinterface import Keypair, SubstrateInterface

from tests.clients.conftest import DevNode
from tests.clients.cyscale import run_cyscale

pytestmark = pytest.mark.slow

SEED = "abf8e5bdbe30c65656c0a3cbd181ff8a56294a69dfedd27982aace4a76909115"
PAID = ["TransactionPayment.TransactionFeePaid", "System.ExtrinsicSuccess"]


@pytest.fixture(scope="module")
def seen(dev_node: DevNode) -> Any:
    """All the client read and sent, by an account that substrate-interface paid before."""
    account = Keypair.create_from_seed(f"0x{SEED}", crypto_type=0)
    with SubstrateInterface(url=dev_node.url) as client:
        params = {"dest": account.ss58_address, "value": 100_000_000_000}
        call = client.compose_call("Balances", "transfer_keep_alive", params)
        extrinsic = client.create_signed_extrinsic(call, Keypair.create_from_uri("//Alice"))
        assert client.submit_extrinsic(extrinsic, wait_for_finalization=True).is_success
    packages = sysconfig.get_path("purelib")
    request = {"url": dev_node.url, "seed": SEED, "packages": packages}
    return run_cyscale("asi", request, timeout_s=120)


def test_asi_reads_the_chain_and_its_state(seen: Any) -> None:
    read = seen["read"]

    assert int(read["free"]) > 0
    assert read["accounts"] > 2
    assert read["deposit"] > 0
    assert read["extrinsics"] >= 1


def test_asi_sends_a_batch_of_runtime_calls(seen: Any) -> None:
    assert seen["read"]["batch"] == [seen["read"]["nonce"]] * 3


def test_asi_hears_of_heads(seen: Any) -> None:
    assert seen["heads"] == list(range(seen["heads"][0], seen["heads"][0] + 3))


def test_asi_signs_submits_and_reads_events(seen: Any) -> None:
    assert int(seen["fee"]) > 0
    for name in ("plain", "mortal", "long"):
        assert seen[name]["ok"], name
        assert seen[name]["error"] is None
        assert seen[name]["events"][-2:] == PAID


def test_asi_shows_a_module_error(seen: Any) -> None:
    assert not seen["failed"]["ok"]
    assert seen["failed"]["error"]["name"] == "InsufficientBalance"
