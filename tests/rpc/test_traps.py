"""What unmodified clients trip over: one test for each TRAP of RPC, named after it.

The traps were found by running the clients, and by reading them, against another server.
"""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

from runtime.primitives.hashing import blake2_256
from tests.rpc.client import Running, running
from tests.rpc.fake_node import ACCOUNT_PREFIX, ALICE, ALICE_KEY, EVENTS_KEY, NOW_KEY

XT = "0x10aabbccdd"
SUBSCRIPTIONS: dict[str, tuple[list[Any], str, str]] = {
    "chain_subscribeNewHeads": ([], "chain_newHead", "chain_unsubscribeNewHeads"),
    "chain_subscribeNewHead": ([], "chain_newHead", "chain_unsubscribeNewHead"),
    "subscribe_newHead": ([], "chain_newHead", "unsubscribe_newHead"),
    "chain_subscribeAllHeads": ([], "chain_allHead", "chain_unsubscribeAllHeads"),
    "chain_subscribeFinalizedHeads": (
        [],
        "chain_finalizedHead",
        "chain_unsubscribeFinalizedHeads",
    ),
    "chain_subscribeFinalisedHeads": (
        [],
        "chain_finalizedHead",
        "chain_unsubscribeFinalisedHeads",
    ),
    "state_subscribeRuntimeVersion": (
        [],
        "state_runtimeVersion",
        "state_unsubscribeRuntimeVersion",
    ),
    "chain_subscribeRuntimeVersion": (
        [],
        "state_runtimeVersion",
        "chain_unsubscribeRuntimeVersion",
    ),
    "state_subscribeStorage": (
        [["0x" + NOW_KEY.hex()]],
        "state_storage",
        "state_unsubscribeStorage",
    ),
    "author_submitAndWatchExtrinsic": ([XT], "author_extrinsicUpdate", "author_unwatchExtrinsic"),
    "chainHead_v1_follow": ([True], "chainHead_v1_followEvent", "chainHead_v1_unfollow"),
    "transactionWatch_v1_submitAndWatch": (
        [XT],
        "transactionWatch_v1_watchEvent",
        "transactionWatch_v1_unwatch",
    ),
}


def to_hex(data: bytes) -> str:
    return "0x" + data.hex()


@pytest.fixture
async def server() -> AsyncIterator[Running]:
    async with running() as server:
        yield server


@pytest.mark.parametrize("name", SUBSCRIPTIONS)
async def test_trap_order_the_reply_precedes_the_first_notification(
    server: Running, name: str
) -> None:
    params, _, _ = SUBSCRIPTIONS[name]
    async with server.websocket() as client:
        await client.send({"jsonrpc": "2.0", "id": 1, "method": name, "params": params})
        with trio.fail_after(5):
            reply, first = await client.receive(), await client.receive()

    assert reply["id"] == 1
    assert first["params"]["subscription"] == reply["result"]
    assert "id" not in first


@pytest.mark.parametrize("name", SUBSCRIPTIONS)
async def test_trap_method_name_notifications_have_exactly_the_name_that_clients_match(
    server: Running, name: str
) -> None:
    params, notification, unsubscribe = SUBSCRIPTIONS[name]
    async with server.websocket() as client:
        subscription = await client.call(name, *params)
        message = await client.receive()
        ended = await client.call(unsubscribe, subscription)

    assert message["method"] == notification
    assert ended in (True, None)


async def test_trap_method_name_subscription_ids_are_unique_in_a_connection(
    server: Running,
) -> None:
    async with server.websocket() as client:
        ids = [await client.call("chain_subscribeNewHeads") for _ in range(50)]

    assert len(set(ids)) == len(ids)
    assert all(isinstance(found, str) for found in ids)


async def test_trap_lower_case_keys_are_echoed_as_the_client_compares_them(
    server: Running,
) -> None:
    asked = "0x" + ALICE_KEY.hex().upper()
    async with server.websocket() as client:
        [changes] = await client.call("state_queryStorageAt", [asked])
        await client.call("state_subscribeStorage", [asked])
        told = (await client.receive())["params"]["result"]
        keys = await client.call("state_getKeysPaged", "0x" + ACCOUNT_PREFIX.hex().upper(), 1)

    assert changes["changes"][0][0] == told["changes"][0][0] == to_hex(ALICE_KEY)
    assert keys[0] == keys[0].lower()


@pytest.mark.parametrize("empty", ["", "0x"])
async def test_trap_hex_input_may_be_bare_or_empty(server: Running, empty: str) -> None:
    async with server.websocket() as client:
        versions = await client.call("state_call", "Metadata_metadata_versions", empty)
        nonce = await client.call("state_call", "AccountNonceApi_account_nonce", ALICE.hex())

    assert versions == "0x040e000000"
    assert nonce == "0x07000000"


async def test_trap_single_key_a_change_set_without_the_key_is_never_sent(
    server: Running,
) -> None:
    chain = server.node.chain
    async with server.websocket() as client:
        await client.call("state_subscribeStorage", [to_hex(EVENTS_KEY)])
        sets = [(await client.receive())["params"]["result"]]
        for number in range(6):
            chain.grow({EVENTS_KEY: bytes([number])} if number % 3 == 0 else {})
            await trio.testing.wait_all_tasks_blocked(0.005)
        chain.grow({EVENTS_KEY: None})
        with trio.fail_after(5):
            while len(sets) < 4:
                sets.append((await client.receive())["params"]["result"])

    assert [found["changes"] for found in sets] == [
        [[to_hex(EVENTS_KEY), value]] for value in (None, "0x00", "0x03", None)
    ]


async def test_trap_missing_trailing_parameters_and_null_are_alike(server: Running) -> None:
    key = to_hex(ALICE_KEY)
    async with server.websocket() as client:
        assert await client.call("state_getStorage", key) == await client.call(
            "state_getStorage", key, None
        )
        assert await client.call("chain_getBlockHash") == await client.call(
            "chain_getBlockHash", None
        )


async def test_trap_aliases_that_clients_die_without_are_there(server: Running) -> None:
    """Async-substrate-interface does not fall back; polkadot.js needs the singular."""
    async with server.websocket() as client:
        assert await client.call("chain_getHead") == to_hex(server.node.chain.best_block.hash)
        assert await client.call("account_nextIndex", to_hex(ALICE)) == 7
        assert isinstance(await client.call("chain_subscribeNewHead"), str)
        assert await client.call("state_getStorageAt", "0x3a636f6465") is not None


async def test_trap_method_not_found_has_the_very_text_that_papi_compares(
    server: Running,
) -> None:
    async with server.websocket() as client:
        found = await client.error("no_suchMethod")

    assert found == {"code": -32601, "message": "Method not found"}


async def test_trap_batch_one_array_is_answered_by_one_array(server: Running) -> None:
    batch = [
        {"jsonrpc": "2.0", "id": name, "method": "system_chain", "params": []} for name in "abc"
    ]
    async with server.websocket() as client:
        await client.send(json.dumps(batch))
        reply = await client.receive()

    assert [part["id"] for part in reply] == ["a", "b", "c"]


async def test_trap_pipelined_requests_do_not_wait_for_one_another(server: Running) -> None:
    """TRAP: polkadot.js fires its whole start-up at once; one slow read must not hold the rest."""
    gate = server.node.state.gate = trio.Event()
    async with server.websocket() as client:
        slow = {"jsonrpc": "2.0", "id": 1, "method": "state_getStorage", "params": ["0x00"]}
        await client.send(slow)
        await client.send({"jsonrpc": "2.0", "id": 2, "method": "system_chain", "params": []})
        with trio.fail_after(5):
            first = await client.receive()
            gate.set()
            second = await client.receive()

    assert [first["id"], second["id"]] == [2, 1]


async def test_trap_code_there_is_a_value_under_code_and_its_hash_can_be_asked(
    server: Running,
) -> None:
    async with server.websocket() as client:
        value = await client.call("state_getStorage", "0x3a636f6465")
        found = await client.call("state_getStorageHash", "0x3a636f6465")

    assert value not in (None, "0x")
    assert found == to_hex(blake2_256(bytes.fromhex(value[2:])))


async def test_trap_commit_first_a_block_can_be_read_as_soon_as_it_is_told(
    server: Running,
) -> None:
    """TRAP: after `inBlock` polkadot.js reads the block, its parent's version and its events."""
    node = server.node
    async with server.websocket() as client:
        await client.call("chain_subscribeNewHeads")
        await client.receive()
        block = node.chain.grow({EVENTS_KEY: b"events"})
        await client.receive()
        at = to_hex(block.hash)

        assert (await client.call("chain_getBlock", at))["block"]["header"]["number"] == "0x1"
        assert await client.call("state_getStorage", to_hex(EVENTS_KEY), at) == to_hex(b"events")
        assert await client.call("state_getRuntimeVersion", to_hex(block.header.parent_hash))


async def test_trap_at_the_block_asked_validity_is_not_judged_at_the_newest_state(
    server: Running,
) -> None:
    chain = server.node.chain
    old = chain.grow()
    chain.grow({ALICE_KEY: (8).to_bytes(4, "little") + chain.genesis.state[ALICE_KEY][4:]})
    async with server.websocket() as client:
        name, account = "AccountNonceApi_account_nonce", to_hex(ALICE)

        assert await client.call("state_call", name, account, to_hex(old.hash)) == "0x07000000"
        assert await client.call("state_call", name, account) == "0x08000000"


async def test_trap_genesis_is_a_block_with_a_zero_number(server: Running) -> None:
    genesis = to_hex(server.node.chain.genesis.hash)
    async with server.websocket() as client:
        block = await client.call("chain_getBlock", genesis)

    assert block["block"]["header"]["number"] == "0x0"
    assert block["block"]["header"]["parentHash"] == to_hex(bytes(32))


async def test_trap_apis_is_a_list_of_pairs_here_and_an_object_there(server: Running) -> None:
    async with server.websocket() as client:
        old = (await client.call("state_getRuntimeVersion"))["apis"]
        await client.call("chainHead_v1_follow", True)
        first = (await client.receive())["params"]["result"]
        new = first["finalizedBlockRuntime"]["spec"]["apis"]

    assert isinstance(old, list)
    assert isinstance(new, dict)
    assert dict(old) == new
