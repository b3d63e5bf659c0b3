"""`chainHead_v1`: events in their order, pins, operations and their limits."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import trio

from rpc.chain_head import FOLLOWS_MAX
from rpc.follow import FINALIZED_TOLD_MAX, OPERATIONS_MAX, PIN_AGE_MAX
from runtime.primitives.block import Header
from runtime.primitives.hashing import blake2_256
from tests.rpc.client import Running, WsClient, running
from tests.rpc.fake_node import ACCOUNT_PREFIX, ALICE, ALICE_KEY, NOW_KEY, VERSION

EVENT = "chainHead_v1_followEvent"
MAP = b"map" * 8


def to_hex(data: bytes) -> str:
    return "0x" + data.hex()


@pytest.fixture
async def server() -> AsyncIterator[Running]:
    async with running() as server:
        yield server


class Follower:
    """A followed chain: its events, and calls about it."""

    def __init__(self, client: WsClient, follow_id: str) -> None:
        self.client = client
        self.id = follow_id

    async def event(self) -> Any:
        """The next event."""
        with trio.fail_after(5):
            message = await self.client.receive()
        assert message["method"] == EVENT
        assert message["params"]["subscription"] == self.id
        return message["params"]["result"]

    async def events(self, count: int) -> list[Any]:
        return [await self.event() for _ in range(count)]

    async def call(self, name: str, *params: Any) -> Any:
        return await self.client.call(f"chainHead_v1_{name}", self.id, *params)

    async def error(self, name: str, *params: Any) -> Any:
        return await self.client.error(f"chainHead_v1_{name}", self.id, *params)

    async def storage(self, at: str, *items: tuple[bytes, str], **options: Any) -> list[Any]:
        """The items of a reading, after its end."""
        asked = [{"key": to_hex(key), "type": kind, **options} for key, kind in items]
        started = await self.call("storage", at, asked, None)
        assert started["result"] == "started"
        found: list[Any] = []
        while True:
            event = await self.event()
            assert event["operationId"] == started["operationId"]
            if event["event"] == "operationStorageDone":
                return found
            assert event["event"] == "operationStorageItems"
            found += event["items"]


@asynccontextmanager
async def following(server: Running, with_runtime: bool = True) -> AsyncIterator[Follower]:
    """A client that follows, and has taken the events of the beginning."""
    async with server.websocket() as client:
        follower = await follow(client, with_runtime)
        while (await follower.event())["event"] != "bestBlockChanged":
            pass
        yield follower


async def follow(client: WsClient, with_runtime: bool = True) -> Follower:
    return Follower(client, await client.call("chainHead_v1_follow", with_runtime))


class TestEvents:
    async def test_the_beginning_tells_finalized_blocks_then_new_ones_then_the_best(
        self, server: Running
    ) -> None:
        chain = server.node.chain
        final = [chain.grow() for _ in range(3)]
        chain.finalize(final[-1])
        best = chain.grow()
        fork = chain.grow({b"x": b"y"}, parent=final[-1], is_best=False)
        on_fork = chain.grow(parent=fork, is_best=False)

        async with server.websocket() as client:
            follower = await follow(client)
            first, *new, last = await follower.events(5)

        assert first["event"] == "initialized"
        assert first["finalizedBlockHashes"] == [
            to_hex(block.hash) for block in (chain.genesis, *final)
        ]
        assert [
            (event["event"], event["blockHash"], event["parentBlockHash"]) for event in new
        ] == [
            ("newBlock", to_hex(best.hash), to_hex(final[-1].hash)),
            ("newBlock", to_hex(fork.hash), to_hex(final[-1].hash)),
            ("newBlock", to_hex(on_fork.hash), to_hex(fork.hash)),
        ]
        assert all(event["newRuntime"] is None for event in new)
        assert last == {"event": "bestBlockChanged", "bestBlockHash": to_hex(best.hash)}

    async def test_the_reply_comes_before_the_first_event(self, server: Running) -> None:
        async with server.websocket() as client:
            request = {"id": 1, "method": "chainHead_v1_follow", "params": [False]}
            await client.send({"jsonrpc": "2.0", **request})

            reply, event = await client.receive(), await client.receive()

        assert reply["result"] == event["params"]["subscription"]
        assert event["params"]["result"]["event"] == "initialized"

    async def test_only_the_latest_finalized_blocks_are_told(self, server: Running) -> None:
        chain = server.node.chain
        blocks = [chain.grow() for _ in range(FINALIZED_TOLD_MAX + 5)]
        chain.finalize(blocks[-1])

        async with server.websocket() as client:
            first = await (await follow(client)).event()

        assert first["finalizedBlockHashes"] == [
            to_hex(block.hash) for block in blocks[-FINALIZED_TOLD_MAX:]
        ]

    async def test_new_best_and_finalized_blocks_follow(self, server: Running) -> None:
        chain = server.node.chain
        async with following(server, with_runtime=False) as follower:
            first = chain.grow()
            fork = chain.grow({b"x": b"y"}, parent=chain.genesis, is_best=False)
            chain.finalize(first)

            events = await follower.events(4)

        genesis = to_hex(chain.genesis.hash)
        assert events == [
            {"event": "newBlock", "blockHash": to_hex(first.hash), "parentBlockHash": genesis},
            {"event": "bestBlockChanged", "bestBlockHash": to_hex(first.hash)},
            {"event": "newBlock", "blockHash": to_hex(fork.hash), "parentBlockHash": genesis},
            {
                "event": "finalized",
                "finalizedBlockHashes": [to_hex(first.hash)],
                "prunedBlockHashes": [to_hex(fork.hash)],
            },
        ]

    async def test_finality_that_leaves_the_best_branch_changes_the_best_block_first(
        self, server: Running
    ) -> None:
        chain = server.node.chain
        best = chain.grow()
        fork = chain.grow({b"x": b"y"}, parent=chain.genesis, is_best=False)
        async with following(server, with_runtime=False) as follower:
            chain.reorganize(fork)
            chain.finalize(fork)

            changed, final = await follower.events(2)

        assert changed == {"event": "bestBlockChanged", "bestBlockHash": to_hex(fork.hash)}
        assert final["finalizedBlockHashes"] == [to_hex(fork.hash)]
        assert final["prunedBlockHashes"] == [to_hex(best.hash)]

    async def test_a_block_with_another_runtime_tells_it(self, server: Running) -> None:
        chain, state = server.node.chain, server.node.state
        async with following(server) as follower:
            gate = state.gate = trio.Event()
            block = chain.grow()
            state.versions[block.hash] = replace(VERSION, spec_version=101)
            gate.set()

            event = await follower.event()

        spec = event["newRuntime"]["spec"]
        assert event["newRuntime"]["type"] == "valid"
        assert spec["specVersion"] == 101
        assert spec["apis"] == {"0xdf6acb689907609b": 5, "0x37e397fc7c91f5e4": 2}

    async def test_without_runtime_no_event_speaks_of_it(self, server: Running) -> None:
        async with server.websocket() as client:
            first = await (await follow(client, with_runtime=False)).event()

            assert "finalizedBlockRuntime" not in first

    async def test_a_block_whose_parent_was_never_told_stops_the_subscription(
        self, server: Running
    ) -> None:
        chain = server.node.chain
        async with following(server) as follower:
            listeners, chain.listeners = chain.listeners, []
            chain.grow()
            chain.listeners = listeners
            chain.grow()

            assert await follower.event() == {"event": "stop"}
            assert await follower.call("header", to_hex(chain.genesis.hash)) is None
            assert await follower.call("body", to_hex(chain.genesis.hash)) == {
                "result": "limitReached"
            }

    async def test_many_blocks_at_the_beginning_do_not_cut_the_client(
        self, server: Running
    ) -> None:
        chain = server.node.chain
        blocks = [chain.grow() for _ in range(200)]

        async with server.websocket() as client:
            follower = await follow(client, with_runtime=False)
            events = await follower.events(202)

        assert events[-1]["bestBlockHash"] == to_hex(blocks[-1].hash)

    async def test_unfollowing_ends_the_events(self, server: Running) -> None:
        chain = server.node.chain
        async with following(server) as follower:
            assert await follower.client.call("chainHead_v1_unfollow", follower.id) is None
            chain.grow()
            await trio.testing.wait_all_tasks_blocked(0.005)

            assert await follower.call("header", to_hex(chain.genesis.hash)) is None
            assert not follower.client.inbox

    async def test_more_subscriptions_than_allowed_are_refused(self, server: Running) -> None:
        async with server.websocket() as client:
            ids = [await client.call("chainHead_v1_follow", False) for _ in range(FOLLOWS_MAX)]

            assert (await client.error("chainHead_v1_follow", False))["code"] == -32800
            await client.call("chainHead_v1_unfollow", ids[0])
            assert isinstance(await client.call("chainHead_v1_follow", False), str)


class TestPins:
    async def test_a_header_comes_in_scale_and_hashes_to_its_block(self, server: Running) -> None:
        block = server.node.chain.grow()
        async with following(server) as follower:
            encoded = bytes.fromhex((await follower.call("header", to_hex(block.hash)))[2:])

        assert blake2_256(encoded) == block.hash
        assert Header.decode(encoded) == block.header

    async def test_an_unpinned_block_is_an_invalid_one(self, server: Running) -> None:
        block = server.node.chain.grow()
        at = to_hex(block.hash)
        async with following(server) as follower:
            assert await follower.call("unpin", at) is None

            asked: dict[str, list[Any]] = {
                "header": [],
                "body": [],
                "call": ["Core_version", "0x"],
                "storage": [[], None],
            }
            for name, params in asked.items():
                assert (await follower.error(name, at, *params))["code"] == -32801, name
            assert (await follower.error("unpin", at))["code"] == -32801

    async def test_unpinning_is_all_or_nothing(self, server: Running) -> None:
        blocks = [to_hex(server.node.chain.grow().hash) for _ in range(2)]
        async with following(server) as follower:
            unknown = to_hex(bytes(32))

            assert (await follower.error("unpin", [*blocks, blocks[0]]))["code"] == -32804
            assert (await follower.error("unpin", [*blocks, unknown]))["code"] == -32801
            assert await follower.call("unpin", blocks) is None
            assert (await follower.error("unpin", blocks))["code"] == -32801

    async def test_pins_of_one_subscription_are_not_those_of_another(self, server: Running) -> None:
        genesis = to_hex(server.node.chain.genesis.hash)
        async with following(server) as follower:
            other = await follow(follower.client)
            await other.events(2)
            await follower.call("unpin", genesis)

            assert isinstance(await other.call("header", genesis), str)

    async def test_a_pin_240_finalized_blocks_old_stops_the_subscription(
        self, server: Running
    ) -> None:
        chain = server.node.chain
        async with following(server, with_runtime=False) as follower:
            for _ in range(PIN_AGE_MAX - 1):
                chain.finalize(chain.grow())
                *_, final = await follower.events(3)
                assert final["event"] == "finalized"
                await follower.call("unpin", final["finalizedBlockHashes"])
            chain.finalize(chain.grow())

            assert [event["event"] for event in await follower.events(4)] == [
                "newBlock",
                "bestBlockChanged",
                "finalized",
                "stop",
            ]

    async def test_unpinned_blocks_do_not_count_for_the_age(self, server: Running) -> None:
        chain = server.node.chain
        async with following(server, with_runtime=False) as follower:
            await follower.call("unpin", to_hex(chain.genesis.hash))
            for _ in range(PIN_AGE_MAX + 5):
                chain.finalize(chain.grow())
                *_, final = await follower.events(3)
                await follower.call("unpin", final["finalizedBlockHashes"])


class TestOperations:
    async def test_a_body_comes_as_an_event_after_the_reply(self, server: Running) -> None:
        block = server.node.chain.grow(body=[bytes.fromhex("10aabbccdd")])
        async with following(server) as follower:
            started = await follower.call("body", to_hex(block.hash))

            assert await follower.event() == {
                "event": "operationBodyDone",
                "operationId": started["operationId"],
                "value": [to_hex(extrinsic) for extrinsic in block.body],
            }

    async def test_trap_at_the_block_asked_a_call_of_a_follower_is_answered(
        self, server: Running
    ) -> None:
        """TRAP: answered at the newest state, PAPI takes an included extrinsic for stale."""
        chain = server.node.chain
        before = chain.grow()
        changed = (8).to_bytes(4, "little") + chain.genesis.state[ALICE_KEY][4:]
        after = chain.grow({ALICE_KEY: changed})
        async with following(server) as follower:
            for block, nonce in ((before, 7), (after, 8)):
                started = await follower.call(
                    "call", to_hex(block.hash), "AccountNonceApi_account_nonce", to_hex(ALICE)
                )

                assert await follower.event() == {
                    "event": "operationCallDone",
                    "operationId": started["operationId"],
                    "output": to_hex(nonce.to_bytes(4, "little")),
                }

    async def test_a_function_that_is_missing_is_an_operation_error(self, server: Running) -> None:
        genesis = to_hex(server.node.chain.genesis.hash)
        async with following(server) as follower:
            await follower.call("call", genesis, "Nothing_here", "")
            event = await follower.event()

        assert event["event"] == "operationError"
        assert "Nothing_here" in event["error"]

    async def test_calls_need_a_subscription_with_runtime(self, server: Running) -> None:
        genesis = to_hex(server.node.chain.genesis.hash)
        async with following(server, with_runtime=False) as follower:
            assert (await follower.error("call", genesis, "Core_version", "0x"))["code"] == -32802

    async def test_values_hashes_and_absent_keys(self, server: Running) -> None:
        genesis = server.node.chain.genesis
        async with following(server) as follower:
            found = await follower.storage(
                to_hex(genesis.hash),
                (ALICE_KEY, "value"),
                (b":code", "hash"),
                (b"absent", "value"),
            )
            nothing = await follower.storage(to_hex(genesis.hash), (b"absent", "hash"))

        assert found == [
            {"key": to_hex(ALICE_KEY), "value": to_hex(genesis.state[ALICE_KEY])},
            {"key": "0x3a636f6465", "hash": to_hex(blake2_256(b"spec"))},
        ]
        assert nothing == []

    async def test_trap_merkle_value_of_a_map_is_real(self, server: Running) -> None:
        """TRAP: without one PAPI's watchEntries silently never updates."""
        chain = server.node.chain
        kind = "closestDescendantMerkleValue"
        blocks = [
            chain.grow({MAP + b"1": b"a"}),
            chain.grow({b"elsewhere": b"b"}),
            chain.grow({MAP + b"2": b"c"}),
        ]
        async with following(server) as follower:
            found = [await follower.storage(to_hex(block.hash), (MAP, kind)) for block in blocks]
            absent = await follower.storage(to_hex(chain.genesis.hash), (MAP, kind))

        assert found[0] == found[1] != found[2]
        assert [entry["key"] for entry in found[0]] == [to_hex(MAP)]
        assert absent == []

    @pytest.mark.parametrize(
        ("kind", "field"), [("descendantsValues", "value"), ("descendantsHashes", "hash")]
    )
    async def test_descendants_come_in_order_and_whole(
        self, server: Running, kind: str, field: str
    ) -> None:
        entries = {MAP + number.to_bytes(4, "big"): bytes([number % 251]) for number in range(700)}
        block = server.node.chain.grow(entries)
        async with following(server) as follower:
            found = await follower.storage(to_hex(block.hash), (MAP, kind))

        expected = [
            {"key": to_hex(key), field: to_hex(value if field == "value" else blake2_256(value))}
            for key, value in entries.items()
        ]
        assert found == expected

    async def test_a_large_map_waits_for_the_client(self, server: Running) -> None:
        entries = {MAP + bytes([number]): bytes(40_000) for number in range(40)}
        block = server.node.chain.grow(entries)
        async with following(server) as follower:
            asked = [{"key": to_hex(MAP), "type": "descendantsValues"}]
            started = await follower.call("storage", to_hex(block.hash), asked, None)
            operation = started["operationId"]
            keys: list[str] = []
            waits = 0
            while True:
                event = await follower.event()
                if event["event"] == "operationStorageDone":
                    break
                if event["event"] == "operationWaitingForContinue":
                    waits += 1
                    assert await follower.call("continue", operation) is None
                    continue
                keys += [item["key"] for item in event["items"]]

        assert waits >= 1
        assert keys == [to_hex(key) for key in entries]

    async def test_continuing_what_does_not_wait_is_an_error(self, server: Running) -> None:
        server.node.state.gate = trio.Event()
        genesis = to_hex(server.node.chain.genesis.hash)
        async with following(server) as follower:
            asked = [{"key": to_hex(NOW_KEY), "type": "value"}]
            started = await follower.call("storage", genesis, asked, None)

            assert (await follower.error("continue", started["operationId"]))["code"] == -32803
            assert await follower.call("continue", "unknown") is None

    async def test_operations_are_limited_and_items_beyond_are_discarded(
        self, server: Running
    ) -> None:
        server.node.state.gate = trio.Event()
        genesis = to_hex(server.node.chain.genesis.hash)
        asked = [{"key": to_hex(NOW_KEY), "type": "value"}] * (OPERATIONS_MAX + 2)
        async with following(server) as follower:
            started = await follower.call("storage", genesis, asked, None)
            refused = [
                await follower.call("storage", genesis, asked, None),
                await follower.call("body", genesis),
            ]
            server.node.state.gate.set()
            items, done = await follower.events(2)
            again = await follower.call("body", genesis)

        assert started["discardedItems"] == 2
        assert refused == [{"result": "limitReached"}] * 2
        assert len(items["items"]) == OPERATIONS_MAX
        assert done["event"] == "operationStorageDone"
        assert again["result"] == "started"

    async def test_a_stopped_operation_says_nothing_more(self, server: Running) -> None:
        server.node.state.gate = trio.Event()
        genesis = to_hex(server.node.chain.genesis.hash)
        async with following(server) as follower:
            asked = [{"key": to_hex(NOW_KEY), "type": "value"}]
            started = await follower.call("storage", genesis, asked, None)
            assert await follower.call("stopOperation", started["operationId"]) is None
            server.node.state.gate.set()
            await trio.testing.wait_all_tasks_blocked(0.005)

            assert await follower.call("stopOperation", started["operationId"]) is None
            assert not follower.client.inbox

    async def test_a_state_that_is_gone_is_inaccessible(self, server: Running) -> None:
        chain = server.node.chain
        genesis = to_hex(chain.genesis.hash)
        async with following(server) as follower:
            chain.pruned.add(chain.genesis.hash)
            asked = [{"key": to_hex(NOW_KEY), "type": "value"}]
            started = await follower.call("storage", genesis, asked, None)

            assert await follower.event() == {
                "event": "operationInaccessible",
                "operationId": started["operationId"],
            }

    async def test_a_pinned_fork_that_was_pruned_still_has_its_header(
        self, server: Running
    ) -> None:
        chain = server.node.chain
        fork = chain.grow({b"x": b"y"}, is_best=False)
        best = chain.grow(parent=chain.genesis)
        async with following(server) as follower:
            chain.finalize(best)
            await follower.event()

            assert isinstance(await follower.call("header", to_hex(fork.hash)), str)

    async def test_an_operation_goes_on_when_its_block_is_unpinned(self, server: Running) -> None:
        gate = server.node.state.gate = trio.Event()
        genesis = to_hex(server.node.chain.genesis.hash)
        async with following(server) as follower:
            asked = [{"key": to_hex(NOW_KEY), "type": "value"}]
            await follower.call("storage", genesis, asked, None)
            await follower.call("unpin", genesis)
            gate.set()

            assert [event["event"] for event in await follower.events(2)] == [
                "operationStorageItems",
                "operationStorageDone",
            ]

    async def test_this_chain_has_no_child_tries(self, server: Running) -> None:
        genesis = to_hex(server.node.chain.genesis.hash)
        async with following(server) as follower:
            asked = [{"key": to_hex(NOW_KEY), "type": "value"}]
            await follower.call("storage", genesis, asked, "0x00")

            assert (await follower.event())["event"] == "operationStorageDone"

    @pytest.mark.parametrize(
        ("name", "params"),
        [
            ("chainHead_v1_follow", ["yes"]),
            ("chainHead_v1_header", ["id", "0x00"]),
            ("chainHead_v1_storage", ["id", to_hex(bytes(32)), [{"key": "0x", "type": "all"}]]),
            ("chainHead_v1_storage", ["id", to_hex(bytes(32)), ["0x"]]),
            ("chainHead_v1_unpin", ["id", 7]),
        ],
    )
    async def test_wrong_parameters_are_invalid(
        self, server: Running, name: str, params: list[Any]
    ) -> None:
        async with server.websocket() as client:
            assert (await client.error(name, *params))["code"] == -32602

    async def test_another_connection_does_not_know_the_subscription(self, server: Running) -> None:
        genesis = to_hex(server.node.chain.genesis.hash)
        async with following(server) as follower, server.websocket() as stranger:
            assert await stranger.call("chainHead_v1_header", follower.id, genesis) is None
            limit = await stranger.call("chainHead_v1_body", follower.id, genesis)
            assert limit == {"result": "limitReached"}

    async def test_over_http_there_is_nothing_to_ask(self, server: Running) -> None:
        request = {"jsonrpc": "2.0", "id": 1, "method": "chainHead_v1_body"}
        reply = await server.post({**request, "params": ["id", to_hex(bytes(32))]})

        assert reply["result"] == {"result": "limitReached"}


async def test_trap_code_key_is_readable_by_its_hash(server: Running) -> None:
    """TRAP: without a value under `:code` PAPI crashes; it asks for the hash at the start."""
    genesis = to_hex(server.node.chain.genesis.hash)
    async with following(server) as follower:
        found = await follower.storage(genesis, (b":code", "hash"))

    assert len(found) == 1
    assert found[0]["hash"].startswith("0x")


async def test_a_map_of_accounts_is_read_by_its_prefix(server: Running) -> None:
    genesis = server.node.chain.genesis
    async with following(server) as follower:
        found = await follower.storage(to_hex(genesis.hash), (ACCOUNT_PREFIX, "descendantsValues"))

    assert [entry["key"] for entry in found] == [
        to_hex(key) for key in sorted(genesis.state) if key.startswith(ACCOUNT_PREFIX)
    ]
