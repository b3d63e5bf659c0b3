"""substrate-interface 1.8.1 against a live node: what a wallet or a script does all day."""

from typing import Any

import pytest
from substrateinterface.exceptions import SubstrateRequestException

from tests.live.network import INTERVAL_MS, LIVE, Devnet
from tests.live.sdk import (
    DRT,
    Household,
    attributes,
    error_of,
    interval_now,
    names_of,
    pair,
    place_order,
    submit,
    submit_reading,
    succeed,
    transfer,
)

pytestmark = LIVE

ED25519, SR25519, ECDSA = 0, 1, 2


def free(client: Any, address: str, block_hash: str | None = None) -> int:
    return int(client.query("System", "Account", [address], block_hash).value["data"]["free"])


def test_an_sdk_connects_and_reads_what_the_chain_is(client: Any, devnet: Devnet) -> None:
    assert client.chain.startswith("DRET devnet")
    assert client.properties["tokenSymbol"] == "DRT"
    assert client.properties["tokenDecimals"] == 9
    assert client.ss58_format == 42
    assert client.get_block_hash(0) == devnet.config()["genesis"]
    assert client.get_constant("Trading", "MarketIntervalMs").value == INTERVAL_MS
    assert client.get_constant("Balances", "ExistentialDeposit").value == 1_000_000


def test_an_sdk_queries_values_and_walks_maps(client: Any) -> None:
    count = client.query("ProducerRegistration", "ConnectionCount").value
    operator = pair("//Operator").ss58_address

    connections = {
        number.value: connection.value
        for number, connection in client.query_map(
            "ProducerRegistration", "Connections", page_size=5
        )
    }
    assert sorted(connections) == list(range(count))
    assert connections[0]["bus"] == 0
    assert connections[1]["account"] == pair("//Home//1").ss58_address
    assert client.query("ProducerRegistration", "Operator").value == operator
    assert client.query("ProducerRegistration", "Connections", [count + 7]).value is None
    assert client.query("System", "Account", [operator]).value["data"]["free"] > 10**7 * DRT
    assert len(client.query("Session", "Validators").value) == 4


def test_an_sdk_calls_the_runtime(client: Any) -> None:
    operator = pair("//Operator").ss58_address

    version = client.runtime_call("Core", "version").value
    metadata = client.rpc_request("state_call", ["Metadata_metadata", "0x"])["result"]

    assert version["spec_name"] == "dret"
    assert version["spec_version"] == client.runtime_version
    assert bytes.fromhex(metadata[2:])[:12].find(b"meta") > 0
    assert client.runtime_call(
        "AccountNonceApi", "account_nonce", [operator]
    ).value == client.get_account_nonce(operator)


@pytest.mark.parametrize("crypto_type", [SR25519, ED25519])
def test_an_sdk_transfers_and_waits_for_finality(client: Any, crypto_type: int) -> None:
    payer, receiver = pair("//Payer", crypto_type), pair(f"//Receiver//{crypto_type}")
    succeed(client, pair("//Operator"), transfer(payer, 10 * DRT))
    before = free(client, payer.ss58_address), free(client, receiver.ss58_address)
    nonce = client.get_account_nonce(payer.ss58_address)
    call = client.compose_call(*transfer(receiver, 3 * DRT))
    quoted = client.get_payment_info(call, payer)

    receipt = submit(client, payer, transfer(receiver, 3 * DRT), is_final=True)

    assert receipt.is_success, receipt.error_message
    assert receipt.total_fee_amount == quoted["partialFee"] > 0
    assert quoted["class"] == "Normal" and quoted["weight"]["ref_time"] > 0
    assert free(client, receiver.ss58_address) == before[1] + 3 * DRT
    assert free(client, payer.ss58_address) == before[0] - 3 * DRT - quoted["partialFee"]
    assert client.get_account_nonce(payer.ss58_address) == nonce + 1
    assert {"Balances.Transfer", "System.ExtrinsicSuccess"} <= set(
        names_of(receipt.triggered_events)
    )
    (moved,) = attributes(receipt.triggered_events, "Balances.Transfer")
    assert moved == {
        "from": payer.ss58_address,
        "to": receiver.ss58_address,
        "amount": 3 * DRT,
    }
    finalized = client.get_block_number(client.get_chain_finalised_head())
    assert finalized >= client.get_block_number(receipt.block_hash)


def test_an_sdk_takes_the_signatures_of_an_ecdsa_key(client: Any) -> None:
    """Its own estimate of the fee fakes a signature of 64 bytes, which an ecdsa one never has."""
    payer, receiver = pair("//Payer", ECDSA), pair("//Receiver//of ecdsa")
    succeed(client, pair("//Operator"), transfer(payer, 10 * DRT))

    receipt = submit(client, payer, transfer(receiver, 3 * DRT), is_final=True)

    assert receipt.is_success, receipt.error_message
    assert free(client, receiver.ss58_address) == 3 * DRT
    (moved,) = attributes(receipt.triggered_events, "Balances.Transfer")
    assert moved["from"] == payer.ss58_address


def test_an_sdk_signs_over_256_bytes(client: Any) -> None:
    """The hash of the payload is signed then."""
    payer = pair("//Payer//of long remarks", ED25519)
    succeed(client, pair("//Operator"), transfer(payer, 10 * DRT))

    receipt = succeed(client, payer, ("System", "remark_with_event", {"remark": "0x" + "42" * 400}))

    assert "System.Remarked" in names_of(receipt.triggered_events)


def test_an_sdk_reads_blocks_and_older_states(client: Any) -> None:
    receiver = pair("//Receiver//of history")

    receipt = succeed(client, pair("//Operator"), transfer(receiver, DRT))

    block = client.get_block(receipt.block_hash, include_author=True)
    assert block["author"] in {pair(f"//{n}").ss58_address for n in VALIDATOR_NAMES}
    assert block["extrinsics"][0].value["call"]["call_function"] == "set"
    assert any(e.value.get("address") == pair("//Operator").ss58_address for e in signed(block))
    parent = block["header"]["parentHash"]
    assert free(client, receiver.ss58_address, receipt.block_hash) == DRT
    assert client.query("System", "Account", [receiver.ss58_address], parent).value["nonce"] == 0
    assert free(client, receiver.ss58_address, parent) == 0


VALIDATOR_NAMES = ("Alice", "Bob", "Charlie", "Dave")


def signed(block: dict[str, Any]) -> list[Any]:
    return [extrinsic for extrinsic in block["extrinsics"] if extrinsic.signed]


def test_an_sdk_batches_calls_and_a_failing_batch_leaves_nothing(client: Any) -> None:
    operator = pair("//Operator")
    first, second = pair("//Batch//1"), pair("//Batch//2")
    good = [client.compose_call(*transfer(each, DRT)) for each in (first, second)]
    bad = [*good, client.compose_call(*transfer(first, 10**10 * DRT))]

    done = succeed(client, operator, ("Utility", "batch_all", {"calls": good}))
    failed = submit(client, operator, ("Utility", "batch_all", {"calls": bad}))

    assert "Utility.BatchCompleted" in names_of(done.triggered_events)
    assert error_of(failed) == "InsufficientBalance"
    assert free(client, first.ss58_address) == free(client, second.ss58_address) == DRT


def test_an_sdk_follows_the_heads(client: Any) -> None:
    numbers: list[int] = []

    def note(head: dict[str, Any], update: int, subscription_id: str) -> bool | None:
        numbers.append(head["header"]["number"])
        return True if len(numbers) == 3 else None

    client.subscribe_block_headers(note)

    assert numbers == list(range(numbers[0], numbers[0] + 3))


def test_an_sdk_follows_a_value(client: Any) -> None:
    moments: list[int] = []

    def note(value: Any, update: int, subscription_id: str) -> bool | None:
        moments.append(value.value)
        return True if len(moments) == 3 else None

    client.query("Timestamp", "Now", subscription_handler=note)

    assert moments == sorted(set(moments))


def test_an_sdk_names_the_errors_of_pallets(client: Any, household: Household) -> None:
    now = interval_now(client)

    closed = submit(client, household.owner, place_order(household.connection, now))
    unknown = submit(client, household.owner, submit_reading(now - 1, (0, 0), (0, 0)))
    poor = submit(client, household.owner, transfer(pair("//Bob"), 10**9 * DRT))

    assert error_of(closed) == "IntervalClosed"
    assert error_of(unknown) == "UnknownMeter"
    assert error_of(poor) == "InsufficientBalance"
    assert closed.error_message["type"] == "Module"
    assert "gate" in " ".join(closed.error_message["docs"])
    # What fails is paid for; what succeeds of these would have been free.
    assert closed.total_fee_amount > 0


def test_an_sdk_hears_at_once_what_the_pool_refuses(client: Any) -> None:
    with pytest.raises(SubstrateRequestException, match="balance too low"):
        submit(client, pair("//Penniless"), transfer(pair("//Bob"), DRT))
