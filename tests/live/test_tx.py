"""`dret tx` and `dret query` against a running network."""

import json
from typing import Any

import pytest

from rpc.market_schema import MESSAGE
from runtime.primitives.crypto import KeyPair, Scheme, ss58_encode
from runtime.primitives.hashing import twox_128
from runtime.state.trie import verify_proof
from tests.live.network import (
    LIVE,
    VALIDATORS,
    Devnet,
    RpcFailed,
    eventually,
    grandpa_key,
    run_dret,
)
from tests.support.json_schema import problems

pytestmark = LIVE

PAYEE = ss58_encode(KeyPair.from_suri("//Payee of dret tx", Scheme.SR25519).public)
REFUSED_BY_POOL, CALL_FAILED = 5, 6
STATES_KEPT = 256


def at(devnet: Devnet, name: str) -> tuple[str, ...]:
    return ("--rpc-port", str(devnet.port(name)), "-o", "json")


def test_a_transfer_is_tried_signed_followed_to_finality_and_read_back(devnet: Devnet) -> None:
    call = ("tx", "balances.transfer_keep_alive", PAYEE, "2_000_000_000", "--from", "//Dave")

    tried = json.loads(devnet.dret(*call, "--dry-run", *at(devnet, "alice")))
    sent: Any = json.loads(devnet.dret(*call, "--wait", "final", *at(devnet, "alice")))

    assert (tried["is_tried"], tried["error"]) == (True, None)
    assert (sent["status"], sent["error"]) == ("final", None)
    events = {event["event"]: event["fields"] for event in sent["events"]}
    assert events["Balances.Transfer"]["to"] == PAYEE
    assert events["TransactionPayment.TransactionFeePaid"]["actual_fee"] == tried["partial_fee"]
    then = ("--at", sent["block"], *at(devnet, "alice"))
    account = json.loads(devnet.dret("query", "system.account", PAYEE, *then))
    assert account["value"]["data"]["free"] == 2_000_000_000
    found = json.loads(devnet.dret("tx", "status", sent["hash"], *at(devnet, "alice")))
    assert (found["status"], found["block"]) == ("final", sent["block"])


def test_failures_have_names_reasons_and_exit_codes(devnet: Devnet) -> None:
    port = ("--rpc-port", str(devnet.port("bob")))
    sender = ("--from", "//Charlie", *port)

    failed = run_dret(
        devnet.folder, "tx", "balances.transfer_keep_alive", PAYEE, str(10**20), *sender
    )
    stale = run_dret(
        devnet.folder, "tx", "balances.transfer_keep_alive", PAYEE, "1", *sender, "--nonce", "0"
    )
    wrong = run_dret(devnet.folder, "query", "trading.scheduul", *port)

    assert failed.returncode == CALL_FAILED
    assert "Balances.InsufficientBalance: The free balance" in failed.stderr
    assert stale.returncode == REFUSED_BY_POOL
    assert "leave out --nonce" in stale.stderr
    assert wrong.returncode == 2
    assert "Did you mean Schedule" in wrong.stderr


def test_every_pallet_of_a_running_chain_can_be_listed_and_every_value_read(
    devnet: Devnet,
) -> None:
    head = devnet.ask("alice", "chain_getFinalizedHead")
    pallets = json.loads(devnet.dret("query", *at(devnet, "alice")))["pallets"]
    values = [
        entry["name"] for pallet in pallets for entry in pallet["storage"] if not entry["keys"]
    ]

    answer = devnet.dret("query", "trading.schedule", "--at", head, *at(devnet, "alice"))
    prices = devnet.dret("query", "trading.prices", "--limit", "2", *at(devnet, "alice"))

    assert {"System.Number", "Trading.Totals"} <= set(values)
    assert json.loads(answer)["block"] == head
    entries = json.loads(prices)["entries"]
    assert all(len(entry["value"]) > 2 for entry in entries)


def test_a_homes_bill_is_verified_without_trusting_the_node(devnet: Devnet) -> None:
    connections = json.loads(
        devnet.dret("query", "ProducerRegistration_connections", *at(devnet, "wind-coop"))
    )["value"]
    account = connections[1]["account"]

    def settled() -> Any:
        options = ("--verify", "--chain", str(devnet.spec), *at(devnet, "wind-coop"))
        (bill,) = json.loads(devnet.dret("bill", account, *options))
        return bill if bill["lines"] else None

    bill = eventually(settled, 60)

    assert bill["verified"]["voters"] == 4
    assert {line["connection"] for line in bill["lines"]} == {1}
    assert all(line["block"] == bill["block"] for line in bill["lines"])


def test_the_market_feed_of_a_running_network_fits_its_schema(devnet: Devnet) -> None:
    port = ("--rpc-port", str(devnet.port("sunny-street")))

    lines = devnet.dret("market", "watch", "--messages", "8", "-o", "jsonl", *port).splitlines()

    messages = [json.loads(line) for line in lines]
    assert [message["kind"] for message in messages] == ["snapshot", *["delta"] * 7]
    assert [found for message in messages for found in problems(message, MESSAGE)] == []
    height = messages[0]["best"]["number"]
    for message in messages[1:]:
        height -= len(message["retracted"])
        for block in message["blocks"]:
            height += 1
            assert block["number"] == height
        assert message["best"]["number"] == height
    assert messages[-1]["finalized"]["number"] > messages[0]["finalized"]["number"]


def test_the_state_of_finality_and_the_log_are_open_to_the_operator(devnet: Devnet) -> None:
    state = devnet.ask("alice", "grandpa_roundState")
    with pytest.raises(RpcFailed) as observer:
        devnet.ask("sunny-street", "grandpa_roundState")
    reserved = devnet.ask("alice", "system_reservedPeers")
    devnet.ask("alice", "system_addLogFilter", "p2p=debug")
    devnet.ask("alice", "system_resetLogFilter")

    assert state["best"]["totalWeight"] == 4 and state["best"]["thresholdWeight"] == 3
    voters = {ss58_encode(grandpa_key(name)) for name in VALIDATORS}
    assert set(state["best"]["precommits"]["missing"]) <= voters
    assert observer.value.code == 1
    assert len(reserved) == len(set(reserved)) <= 5
    assert devnet.ask("alice", "system_health")["isSyncing"] is False


def test_every_one_of_the_last_256_states_proves_what_is_and_what_is_not_there(
    devnet: Devnet,
) -> None:
    last = devnet.finalized_number("bob")
    present = "0x" + (twox_128(b"Timestamp") + twox_128(b"Now")).hex()
    absent = present[:-2] + "00"

    for number in range(max(0, last - STATES_KEPT + 2), last + 1):
        block = devnet.hash_at("bob", number)
        header = devnet.ask("bob", "chain_getHeader", block)
        answer = devnet.ask("bob", "state_getReadProof", [present, absent], block)
        items = [bytes.fromhex(item[2:]) for item in answer["proof"]]
        root = bytes.fromhex(header["stateRoot"][2:])
        keys = [bytes.fromhex(key[2:]) for key in (present, absent)]
        proven = verify_proof(root, items, keys)
        stored = devnet.ask("bob", "state_getStorage", present, block)

        assert answer["at"] == block
        found = proven[keys[0]]
        assert (found is None) == (stored is None)
        assert found is None or "0x" + found.hex() == stored
        assert proven[keys[1]] is None
