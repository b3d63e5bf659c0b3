"""async-substrate-interface, unmodified and without options, against a live node."""

import sysconfig
from typing import Any

import pytest
from substrateinterface import Keypair, SubstrateInterface

from runtime.primitives.crypto import KeyPair, Scheme, ss58_encode
from tests.clients.conftest import DevNode, RestingOrder
from tests.clients.cyscale import run_cyscale
from tests.live.network import eventually

pytestmark = pytest.mark.slow

SEED = "abf8e5bdbe30c65656c0a3cbd181ff8a56294a69dfedd27982aace4a76909115"
PAID = ["TransactionPayment.TransactionFeePaid", "System.ExtrinsicSuccess"]


@pytest.fixture(scope="module")
def seen(dev_node: DevNode, resting_order: RestingOrder) -> Any:
    """All the client read and sent, by accounts that substrate-interface paid before."""
    accounts = [KeyPair.from_seed(bytes.fromhex(SEED), scheme).account for scheme in Scheme]
    with SubstrateInterface(url=dev_node.url) as client:
        gifts = [
            client.compose_call(
                "Balances",
                "transfer_keep_alive",
                {"dest": ss58_encode(account), "value": 100_000_000_000},
            )
            for account in accounts
        ]
        call = client.compose_call("Utility", "batch_all", {"calls": gifts})
        extrinsic = client.create_signed_extrinsic(call, Keypair.create_from_uri("//Alice"))
        assert client.submit_extrinsic(extrinsic, wait_for_finalization=True).is_success
    request = {
        "url": dev_node.url,
        "seed": SEED,
        "packages": sysconfig.get_path("purelib"),
        "interval": resting_order.interval,
    }
    return run_cyscale("asi", request, timeout_s=240)


def test_substrate_interface_reads_pallets_that_no_other_chain_has(
    dev_node: DevNode, resting_order: RestingOrder
) -> None:
    """A value, maps of one and of two keys, a constant; it knows only Substrate's functions."""
    interval = resting_order.interval
    with SubstrateInterface(url=dev_node.url) as client:
        registered = client.query_map("ProducerRegistration", "Connections", page_size=7)
        under = client.query_map("Trading", "Holdings", [interval])
        found = {
            "connections": sorted(number.value for number, _ in registered),
            "owner": client.query("ProducerRegistration", "Connections", [1]).value["account"],
            "orders": len(client.query("Trading", "Holdings", [interval, 1]).value["orders"]),
            "under": [[interval, connection.value] for connection, _ in under],
            "constant": client.get_constant("Trading", "MarketIntervalMs").value,
        }

    resting_order.check(found)


def test_substrate_interface_works_over_http(dev_node: DevNode) -> None:
    """Query, compose, sign, submit: all but subscriptions."""
    alice = Keypair.create_from_uri("//Alice")
    receiver = Keypair.create_from_uri("//Over HTTP").ss58_address
    with SubstrateInterface(url=dev_node.url.replace("ws", "http")) as client:
        params = {"dest": receiver, "value": 1_000_000_000}
        call = client.compose_call("Balances", "transfer_keep_alive", params)
        extrinsic = client.create_signed_extrinsic(call, alice)
        client.submit_extrinsic(extrinsic)

        def free() -> int:
            account = client.query("System", "Account", [receiver])
            return int(account.value["data"]["free"])

        eventually(lambda: free() == 1_000_000_000, 60)


def test_asi_reads_the_chain_and_its_state(seen: Any) -> None:
    read = seen["read"]

    assert int(read["free"]) > 0
    assert read["accounts"] > 2
    assert read["deposit"] > 0
    assert read["extrinsics"] >= 1


def test_asi_reads_pallets_that_no_other_chain_has(seen: Any, resting_order: RestingOrder) -> None:
    """A value, maps of one and of two keys, a constant, a function of the runtime."""
    resting_order.check(seen["custom"])


def test_asi_sends_a_batch_of_runtime_calls(seen: Any) -> None:
    assert seen["read"]["batch"] == [seen["read"]["nonce"]] * 3


def test_asi_hears_of_heads(seen: Any) -> None:
    assert seen["heads"] == list(range(seen["heads"][0], seen["heads"][0] + 3))


def test_asi_signs_submits_and_reads_events(seen: Any) -> None:
    assert int(seen["fee"]) > 0
    assert len(seen["plain"]) == len(seen["long"]) == len(Scheme)
    for done in (*seen["plain"], seen["mortal"], *seen["long"]):
        assert done["ok"]
        assert done["error"] is None
        assert done["events"][-2:] == PAID


def test_asi_shows_a_module_error(seen: Any) -> None:
    assert not seen["failed"]["ok"]
    assert seen["failed"]["error"]["name"] == "InsufficientBalance"
