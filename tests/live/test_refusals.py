"""Bad input over RPC: each a clear error, nothing lost, and the node goes on."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.live.network import LIVE, Devnet, RpcFailed, ask, eventually, post
from tests.live.sdk import (
    DRT,
    REGISTERS,
    WH_MAX,
    Household,
    error_of,
    interval_now,
    pair,
    place_order,
    submit_all,
    submit_reading,
    succeed,
    transfer,
)

pytestmark = LIVE

NODE = "sunny-street"
UNKNOWN_BLOCK = "0x" + "77" * 32


@pytest.fixture(autouse=True, scope="module")
def goes_on(network: Devnet) -> Iterator[None]:
    """After all of it the same process still imports blocks."""
    pid = network.ensure_up().pids()[NODE]
    yield
    best = network.best(NODE)
    eventually(lambda: network.best(NODE) > best, 20)
    assert network.pids()[NODE] == pid


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"chain_getHeader","params":[', -32700),
        (b"\xff\xfe", -32700),
        (b"[]", -32600),
        (b"7", -32600),
        (b'{"jsonrpc":"1.0","id":1,"method":"chain_getHeader"}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":7}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"chain_getEverything"}', -32601),
        (b'{"jsonrpc":"2.0","id":1,"method":"chain_getHeader","params":["0x12"]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"chain_getBlockHash","params":[-1]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"state_getStorage","params":["zz"]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"state_getStorage","params":[]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"system_accountNextIndex","params":["5G"]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"author_submitExtrinsic","params":["0x"]}', 1001),
        (b'{"jsonrpc":"2.0","id":1,"method":"author_submitExtrinsic","params":["0x1234"]}', 1001),
    ],
)
def test_a_request_that_makes_no_sense_is_answered_with_its_code(
    devnet: Devnet, body: bytes, code: int
) -> None:
    answer = post(devnet.port(NODE), body)

    assert answer["error"]["code"] == code
    assert answer["error"]["message"]
    assert "result" not in answer


def test_what_the_node_does_not_have_is_said(devnet: Devnet) -> None:
    port = devnet.port(NODE)

    with pytest.raises(RpcFailed, match="UnknownBlock"):
        ask(port, "state_getStorage", "0x00", UNKNOWN_BLOCK)
    with pytest.raises(RpcFailed, match="Execution failed") as unknown:
        ask(port, "state_call", "Trading_fortune", "0x")
    with pytest.raises(RpcFailed) as malformed:
        ask(port, "state_call", "Trading_order_book", "0x01")
    assert ask(port, "chain_getHeader", UNKNOWN_BLOCK) is None
    assert ask(port, "chain_getBlockHash", 10**9) is None
    assert unknown.value.code == malformed.value.code == 4003


def test_a_request_that_is_too_large_is_refused(devnet: Devnet) -> None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{devnet.port(NODE)}",
        b'{"jsonrpc":"2.0","id":1,"method":"system_name","params":["' + b"x" * (16 << 20) + b'"]}',
        {"Content-Type": "application/json"},
    )

    with pytest.raises((urllib.error.HTTPError, ConnectionError, urllib.error.URLError)) as refused:
        urllib.request.urlopen(request, timeout=20)

    if isinstance(refused.value, urllib.error.HTTPError):
        assert refused.value.code == 413
    health = urllib.request.urlopen(f"http://127.0.0.1:{devnet.port(NODE)}/health", timeout=10)
    assert json.loads(health.read())["peers"] == 5


def refuse(client: Any, extrinsic: bytes) -> RpcFailed:
    """The error with which a node refuses an extrinsic."""
    port = int(client.url.rpartition(":")[2])
    with pytest.raises(RpcFailed) as refused:
        ask(port, "author_submitExtrinsic", "0x" + extrinsic.hex())
    return refused.value


def signed(client: Any, signer: Any, call: Any, **options: Any) -> bytes:
    """The bytes of a signed extrinsic."""
    extrinsic = client.create_signed_extrinsic(client.compose_call(*call), signer, **options)
    return bytes(extrinsic.data.data)


def test_the_pool_says_why_it_refuses_an_extrinsic(client: Any, household: Household) -> None:
    owner, call = household.owner, transfer(pair("//Bob"), DRT)
    good = signed(client, owner, call)
    forged = bytearray(good)
    forged[50] ^= 1  # inside the signature
    unknown_call = bytearray(good)
    position = good.rindex(bytes(client.compose_call(*call).data.data))
    unknown_call[position + 1] = 99

    stale = refuse(client, signed(client, owner, call, nonce=0))
    bad = refuse(client, bytes(forged))
    poor = refuse(client, signed(client, pair("//Penniless"), call))
    unknown = refuse(client, bytes(unknown_call))
    cut = refuse(client, good[:-1])
    longer = refuse(client, good + b"\x00")

    assert (stale.code, stale.message) == (1010, "Invalid Transaction")
    assert stale.data == "Transaction is outdated"
    assert (bad.code, bad.data) == (1010, "Transaction has a bad signature")
    assert poor.code == 1010 and "balance too low" in str(poor.data)
    assert unknown.code == cut.code == longer.code == 1001


def test_an_extrinsic_signed_for_another_chain_has_a_bad_signature(
    client: Any, household: Household
) -> None:
    call = client.compose_call(*transfer(pair("//Bob"), DRT))
    nonce = client.get_account_nonce(household.owner.ss58_address)
    # Immortal: the payload ends with the genesis hash, once for the chain and once for the era.
    payload = bytes(client.generate_signature_payload(call, nonce=nonce).data)
    signature = household.owner.sign(payload[:-64] + bytes(64))

    extrinsic = client.create_signed_extrinsic(
        call, household.owner, nonce=nonce, signature=signature
    )

    refused = refuse(client, bytes(extrinsic.data.data))
    assert (refused.code, refused.data) == (1010, "Transaction has a bad signature")


def test_the_same_extrinsic_is_taken_once_and_waits_for_its_turn(client: Any) -> None:
    sender, receiver = pair("//Early"), pair("//Early//Receiver")
    succeed(client, pair("//Operator"), transfer(sender, DRT))
    early = signed(client, sender, transfer(receiver, DRT // 10), nonce=1)
    port = int(client.url.rpartition(":")[2])

    ask(port, "author_submitExtrinsic", "0x" + early.hex())
    again = refuse(client, early)
    succeed(client, sender, transfer(receiver, DRT // 10))

    assert again.code == 1013
    eventually(lambda: client.get_account_nonce(sender.ss58_address) == 2, 20)


def test_orders_that_break_a_rule_fail_with_its_name(client: Any, household: Household) -> None:
    number, soon = household.connection, interval_now(client) + 6
    expected = {
        "QuantityOutOfBounds": place_order(number, soon, quantity_wh=0),
        "AboveCapacity": place_order(number, soon, quantity_wh=WH_MAX + 1),
        "PriceOutOfBounds": place_order(number, soon, price_micro=300_001),
        "IntervalClosed": place_order(number, soon - 6),
        "IntervalNotOpen": place_order(number, soon + 96),
        "NotConnectionOwner": place_order(1, soon),
        "ConnectionNotFound": place_order(10**6, soon),
        "OrderNotFound": ("Trading", "cancel_order", {"order_id": 1}),
        "NotOperator": ("ProducerRegistration", "confirm_connection", {"proposal_id": 0}),
    }
    others = [
        place_order(number, soon, quantity_wh=2**26),
        place_order(number, soon, price_micro=19_999),
        place_order(number, soon, side="Offer", price_micro=-1, quantity_wh=1_000),
    ]

    receipts = submit_all(client, household.owner, [*expected.values(), *others])

    assert [error_of(receipt) for receipt in receipts] == [
        *expected,
        "QuantityOutOfBounds",
        "PriceOutOfBounds",
        "PriceOutOfBounds",
    ]
    assert all(receipt.total_fee_amount > 0 for receipt in receipts)
    holding = client.query("Trading", "Holdings", [soon, number]).value
    assert holding["orders"] == [] and holding["held_nano"] == 0


def test_readings_that_break_a_rule_fail_with_its_name(client: Any, household: Household) -> None:
    last = interval_now(client) - 1
    shown = client.query("ConsumptionMetering", "Meters", [household.connection]).value
    imported, exported = shown["import_register_wh"], shown["export_register_wh"]
    assert (imported, exported) >= REGISTERS
    expected = {
        "ReadingTooEarly": submit_reading(last + 2, (imported, exported), (0, 0)),
        "ReadingTooLate": submit_reading(last - 3, (imported, exported), (0, 0)),
        "RegisterBackwards": submit_reading(last, (imported - 1, exported), (0, 0)),
        "RegisterMismatch": submit_reading(last, (imported + 10, exported), (20, 0)),
        "ReadingAboveCapacity": submit_reading(
            last, (imported + WH_MAX + 1, exported), (WH_MAX + 1, 0)
        ),
    }
    if shown["last_interval"] >= last - 3:
        # A meter that has reported says so before anything else.
        expected["ReadingOutOfSequence"] = expected.pop("ReadingTooLate")

    receipts = submit_all(client, household.meter, list(expected.values()))
    (stranger,) = submit_all(
        client, household.owner, [submit_reading(last, (imported, exported), (0, 0))]
    )

    assert [error_of(receipt) for receipt in receipts] == list(expected)
    assert error_of(stranger) == "UnknownMeter"
    after = client.query("ConsumptionMetering", "Meters", [household.connection]).value
    for name in ("import_register_wh", "export_register_wh", "last_interval", "readings"):
        assert after[name] == shown[name]


def test_a_connection_that_cannot_be_is_refused(client: Any, household: Household) -> None:
    usual = {
        "metering_point": "Nowhere",
        "bus": 1,
        "import_wh_max": 100,
        "export_wh_max": 100,
    }

    def propose(**different: Any) -> Any:
        return "ProducerRegistration", "propose_connection", {**usual, **different}

    calls = [
        propose(bus=9_999),
        propose(bus=0),
        propose(import_wh_max=2**26),
        propose(metering_point=household.point),
    ]

    receipts = submit_all(client, household.owner, calls)

    assert [error_of(receipt) for receipt in receipts] == [
        "BusNotFound",
        "BusNotFound",
        "CapacityOutOfRange",
        "MeteringPointInUse",
    ]


def test_a_transfer_of_more_than_there_is_changes_nothing_but_the_fee(client: Any) -> None:
    poor = pair("//Poor")
    succeed(client, pair("//Operator"), transfer(poor, DRT))

    (receipt,) = submit_all(client, poor, [transfer(pair("//Bob"), 2 * DRT)])

    assert error_of(receipt) == "InsufficientBalance"
    left = client.query("System", "Account", [poor.ss58_address]).value["data"]["free"]
    assert left == DRT - receipt.total_fee_amount
