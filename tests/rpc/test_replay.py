"""Recorded conversations of the real clients: every call answers, with the recorded kind of result.

Source of the logs: `tests/vectors/substrate/README.md`. Long texts are shortened in them, so the
parameters get values of our own where they name a block, a key or an extrinsic.
"""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.rpc.client import Running, WsClient, running
from tests.rpc.fake_node import ACCOUNT_PREFIX, ALICE, ALICE_KEY, NOW_KEY, VECTORS, FakeNode

LOGS = sorted(VECTORS.glob("rpclog_*.jsonl"))
XT = "0x10aabbccdd"
CODE = "0x3a636f6465"
ANSWERED = (
    "Metadata_metadata_versions",
    "AccountNonceApi_account_nonce",
    "TransactionPaymentApi_query_info",
)


@pytest.fixture
async def server() -> AsyncIterator[Running]:
    async with running(node=FakeNode(is_archive=True)) as server:
        yield server


def recorded(log: Path) -> list[dict[str, Any]]:
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    return [entry for entry in entries if "m" in entry]


class Conversation:
    """A connection that says what a recorded client said, about our blocks."""

    def __init__(self, server: Running, client: WsClient) -> None:
        self.node = server.node
        self.client = client
        self.block = to_hex(server.node.chain.best_block.hash)
        self.pinned = [to_hex(block) for block in server.node.chain.blocks][:-1]
        self.follow = ""
        self.broadcast = ""

    async def say(self, name: str, given: list[Any]) -> Any:
        """Call a method as recorded, and return its result."""
        self.node.pool.extrinsics.clear()  # the clients submit more than one extrinsic
        params = self.with_our_values(name, given)
        reply = await self.client.ask(name, *params)
        self.client.inbox.clear()
        assert "error" not in reply, (name, params, reply)
        if name == "chainHead_v1_follow":
            self.follow = reply["result"]
        elif name == "transaction_v1_broadcast":
            self.broadcast = reply["result"]
        return reply["result"]

    def with_our_values(self, name: str, given: list[Any]) -> list[Any]:
        key, at = to_hex(ALICE_KEY), self.block
        if name.startswith("chainHead_v1") and name != "chainHead_v1_follow":
            return self.about_pinned(name, given)
        match name:
            case "author_submitExtrinsic" | "author_submitAndWatchExtrinsic":
                return [XT]
            case "transaction_v1_broadcast":
                return [XT]
            case "transaction_v1_stop":
                return [self.broadcast]
            case "state_queryStorageAt":
                return [[key], *([at] if len(given) > 1 and given[1] else [])]
            case "state_getReadProof":
                return [[key], at]
            case "state_getKeysPaged":
                start = None if given[2:3] in ([], [None]) else to_hex(ACCOUNT_PREFIX)
                return [to_hex(ACCOUNT_PREFIX), given[1], start, *([at] if given[3:] else [])]
            case "state_getStorage" | "state_getStorageAt" | "state_getStorageHash":
                return [given[0] if given[0] == CODE else key, *([at] if given[1:] else [])]
            case "state_subscribeStorage":
                return [[to_hex(NOW_KEY)]]
            case "state_call":
                return [given[0], argument(*given[:2]), *([at] if given[2:] else [])]
            case "chain_getBlockHash":
                number = given[0] if given else None
                return [number if isinstance(number, str | None) else min(number, 1)]
            case "chain_getHeader" | "chain_getBlock" | "state_getRuntimeVersion":
                return [at] if given else []
            case "state_getMetadata":
                return [at]
            case _:
                return given

    def about_pinned(self, name: str, given: list[Any]) -> list[Any]:
        if name == "chainHead_v1_storage":
            kinds = ("descendantsValues", "closestDescendantMerkleValue", "hash", "value")
            kind = next((kind for kind in kinds if kind in str(given[2])), "value")
            return [self.follow, self.block, [{"key": to_hex(ALICE_KEY), "type": kind}], None]
        if name == "chainHead_v1_call":
            return [self.follow, self.block, given[2], argument(*given[2:4])]
        if name == "chainHead_v1_unpin":
            return [self.follow, self.pinned.pop()]
        return [self.follow, *([self.block] if given[1:] else [])]


def argument(function: str, given: str) -> str:
    """The recorded argument, or ours where the log shortens it."""
    if "nonce" in function:
        return to_hex(ALICE)
    return given if len(given) <= 10 else f"{XT}05000000"


def to_hex(data: bytes) -> str:
    return "0x" + data.hex()


def recorded_value(entry: dict[str, Any]) -> Any:
    text = entry["r"]
    if text in ("True", "False"):
        return text == "True"
    if text == "None":
        return None
    if text.isdecimal() and entry["m"].endswith("ndex"):
        return int(text)
    if text[:1] == "{":
        return {}
    return [] if text[:1] == "[" else text


def kind_of(value: Any) -> str:
    if isinstance(value, str):
        return "hex" if value.startswith("0x") else "text"
    return type(value).__name__


def test_there_is_a_log_of_every_client() -> None:
    assert len(LOGS) == 5


@pytest.mark.parametrize("log", LOGS, ids=lambda log: log.stem.removeprefix("rpclog_"))
class TestLogs:
    async def test_the_log_names_only_methods_we_serve(self, server: Running, log: Path) -> None:
        request = {"jsonrpc": "2.0", "id": 1, "method": "rpc_methods"}
        served = (await server.post(request))["result"]["methods"]

        assert {entry["m"] for entry in recorded(log)} <= set(served)

    async def test_each_call_gives_the_recorded_kind_of_result(
        self, server: Running, log: Path
    ) -> None:
        for _ in range(20):
            server.node.chain.grow(body=[bytes.fromhex(XT[2:])])
        async with server.websocket() as client:
            conversation = Conversation(server, client)
            for entry in recorded(log):
                name, given = entry["m"], list(entry["p"])
                if name == "state_call" and given[0] not in ANSWERED:
                    continue  # the runtime of the tests is not the recorded one
                result = await conversation.say(name, given)
                assert kind_of(result) == kind_of(recorded_value(entry)), (name, result)
