"""`archive_v1`: only with every state kept; blocks, states and their differences."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

from runtime.primitives.block import Header
from runtime.primitives.hashing import blake2_256
from tests.rpc.client import Running, WsClient, running
from tests.rpc.fake_node import ALICE, ALICE_KEY, NOW_KEY, Block, FakeNode

GROUP = {
    f"archive_v1_{name}"
    for name in (
        "body",
        "call",
        "finalizedHeight",
        "genesisHash",
        "hashByHeight",
        "header",
        "storage",
        "stopStorage",
        "storageDiff",
        "stopStorageDiff",
    )
}
MAP = b"map" * 8


def to_hex(data: bytes) -> str:
    return "0x" + data.hex()


@pytest.fixture
async def server() -> AsyncIterator[Running]:
    async with running(node=FakeNode(is_archive=True)) as server:
        yield server


async def events(client: WsClient, name: str, *params: Any) -> list[Any]:
    """All events of a subscription that ends by itself."""
    subscription = await client.call(f"archive_v1_{name}", *params)
    found: list[Any] = []
    while not found or not found[-1]["event"].endswith(("Done", "Error")):
        with trio.fail_after(5):
            message = await client.receive()
        assert message["method"] == f"archive_v1_{name}Event"
        assert message["params"]["subscription"] == subscription
        found.append(message["params"]["result"])
    return found


async def names(server: Running) -> set[str]:
    reply = await server.post({"jsonrpc": "2.0", "id": 1, "method": "rpc_methods"})
    return {name for name in reply["result"]["methods"] if name.startswith("archive")}


async def test_the_group_is_whole_with_archive_pruning(server: Running) -> None:
    assert await names(server) == GROUP


async def test_the_group_is_absent_when_states_are_pruned() -> None:
    async with running() as server:
        assert await names(server) == set()


class TestBlocks:
    async def test_heights_hashes_headers_and_bodies(self, server: Running) -> None:
        chain = server.node.chain
        final = chain.grow(body=[bytes.fromhex("10aabbccdd")])
        chain.finalize(final)
        best, fork = chain.grow(), chain.grow({b"x": b"y"}, parent=final, is_best=False)
        async with server.websocket() as client:
            genesis = to_hex(chain.genesis.hash)
            assert await client.call("archive_v1_genesisHash") == genesis
            assert await client.call("archive_v1_finalizedHeight") == 1
            assert await client.call("archive_v1_hashByHeight", 0) == [genesis]
            assert await client.call("archive_v1_hashByHeight", 1) == [to_hex(final.hash)]
            above = await client.call("archive_v1_hashByHeight", 2)
            assert set(above) == {to_hex(best.hash), to_hex(fork.hash)}
            assert await client.call("archive_v1_hashByHeight", 3) == []
            header = await client.call("archive_v1_header", to_hex(final.hash))
            assert Header.decode(bytes.fromhex(header[2:])) == final.header
            body = await client.call("archive_v1_body", to_hex(final.hash))
            assert body == [to_hex(extrinsic) for extrinsic in final.body]

    async def test_an_unknown_block_is_null(self, server: Running) -> None:
        unknown = to_hex(bytes(32))
        async with server.websocket() as client:
            assert await client.call("archive_v1_header", unknown) is None
            assert await client.call("archive_v1_body", unknown) is None
            assert await client.call("archive_v1_call", unknown, "Core_version", "0x") is None

    async def test_a_call_succeeds_or_says_why_not(self, server: Running) -> None:
        genesis = to_hex(server.node.chain.genesis.hash)
        async with server.websocket() as client:
            name = "AccountNonceApi_account_nonce"
            found = await client.call("archive_v1_call", genesis, name, to_hex(ALICE))
            failed = await client.call("archive_v1_call", genesis, "Nothing_here", "0x")

        assert found == {"success": True, "value": "0x07000000"}
        assert failed["success"] is False
        assert "Nothing_here" in failed["error"]


class TestStorage:
    async def test_each_kind_of_question(self, server: Running) -> None:
        block = server.node.chain.grow({MAP + b"1": b"a", MAP + b"2": b"b"})
        items = [
            {"key": to_hex(ALICE_KEY), "type": "value"},
            {"key": "0x3a636f6465", "type": "hash"},
            {"key": to_hex(MAP), "type": "closestDescendantMerkleValue"},
            {"key": to_hex(MAP), "type": "descendantsValues"},
            {
                "key": to_hex(MAP),
                "type": "descendantsHashes",
                "paginationStartKey": to_hex(MAP + b"1"),
            },
        ]
        async with server.websocket() as client:
            *found, last = await events(client, "storage", to_hex(block.hash), items, None)

        merkle = found.pop(2)
        assert set(merkle) == {"event", "key", "closestDescendantMerkleValue"}
        assert [(entry["key"], entry.get("value"), entry.get("hash")) for entry in found] == [
            (to_hex(ALICE_KEY), to_hex(block.state[ALICE_KEY]), None),
            ("0x3a636f6465", None, to_hex(blake2_256(b"spec"))),
            (to_hex(MAP + b"1"), to_hex(b"a"), None),
            (to_hex(MAP + b"2"), to_hex(b"b"), None),
            (to_hex(MAP + b"2"), None, to_hex(blake2_256(b"b"))),
        ]
        assert last == {"event": "storageDone"}

    async def test_an_unknown_block_is_an_error_event(self, server: Running) -> None:
        items = [{"key": "0x", "type": "value"}]
        async with server.websocket() as client:
            found = await events(client, "storage", to_hex(bytes(32)), items, None)

            differences = await events(client, "storageDiff", to_hex(bytes(32)))

        assert [event["event"] for event in found] == ["storageError"]
        assert [event["event"] for event in differences] == ["storageDiffError"]

    async def test_many_entries_do_not_cut_the_client(self, server: Running) -> None:
        block = server.node.chain.grow(
            {MAP + number.to_bytes(2, "big"): b"v" for number in range(600)}
        )
        items = [{"key": to_hex(MAP), "type": "descendantsValues"}]
        async with server.websocket() as client:
            found = await events(client, "storage", to_hex(block.hash), items)

        assert len(found) == 601


class TestDifferences:
    def grown(self, server: Running) -> tuple[Block, Block]:
        chain = server.node.chain
        first = chain.grow({MAP + b"1": b"a", MAP + b"2": b"b", MAP + b"3": b"c"})
        return first, chain.grow({MAP + b"1": None, MAP + b"2": b"B", MAP + b"4": b"d"})

    async def test_what_a_block_changed(self, server: Running) -> None:
        _, block = self.grown(server)
        async with server.websocket() as client:
            *found, last = await events(client, "storageDiff", to_hex(block.hash))

        assert [(entry["key"], entry["value"], entry["type"]) for entry in found] == [
            (to_hex(MAP + b"1"), to_hex(b"a"), "deleted"),
            (to_hex(MAP + b"2"), to_hex(b"B"), "modified"),
            (to_hex(MAP + b"4"), to_hex(b"d"), "added"),
            (to_hex(NOW_KEY), to_hex(block.state[NOW_KEY]), "modified"),
        ]
        assert last == {"event": "storageDiffDone"}

    async def test_since_an_ancestor_under_a_prefix_by_hash(self, server: Running) -> None:
        _, block = self.grown(server)
        items = [
            {"key": to_hex(MAP), "returnType": "hash"},
            {"returnType": "value", "childTrieKey": "0x00"},
        ]
        genesis = to_hex(server.node.chain.genesis.hash)
        async with server.websocket() as client:
            *found, _ = await events(client, "storageDiff", to_hex(block.hash), items, genesis)

        assert [(entry["key"], entry["hash"], entry["type"]) for entry in found] == [
            (to_hex(MAP + bytes([key])), to_hex(blake2_256(value)), "added")
            for key, value in ((0x32, b"B"), (0x33, b"c"), (0x34, b"d"))
        ]

    async def test_a_block_that_is_no_ancestor_is_refused(self, server: Running) -> None:
        chain = server.node.chain
        _, block = self.grown(server)
        fork = chain.grow(parent=chain.genesis, is_best=False)
        async with server.websocket() as client:
            for wrong in (fork.hash, bytes(32)):
                found = await events(client, "storageDiff", to_hex(block.hash), None, to_hex(wrong))

                assert [event["event"] for event in found] == ["storageDiffError"]
                assert "no ancestor" in found[0]["error"]

    async def test_the_genesis_block_differs_from_nothing(self, server: Running) -> None:
        genesis = to_hex(server.node.chain.genesis.hash)
        async with server.websocket() as client:
            found = await events(client, "storageDiff", genesis)

        assert [event["event"] for event in found] == ["storageDiffError"]
