"""`dret_submitWithReceipt`: what is asked of the node, and how its refusals are told."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from rpc.ports import PortError, Refusal, SubmissionRefused
from tests.rpc.client import Running, running
from tests.rpc.fake_node import FakeNode

ORDER = "0x10aabbccdd"


@pytest.fixture
async def server() -> AsyncIterator[Running]:
    async with running(node=FakeNode()) as server:
        yield server


async def call(server: Running, *request: object) -> Any:
    method, *params = request
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return (await server.post(body))["result"]


async def error_of(server: Running, *request: object) -> Any:
    method, *params = request
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return (await server.post(body))["error"]


async def test_an_order_is_promised_for_sixteen_blocks_or_as_many_as_are_asked_for(
    server: Running,
) -> None:
    usual = await call(server, "dret_submitWithReceipt", ORDER)
    longer = await call(server, "dret_submitWithReceipt", ORDER, 64)

    assert (usual["blocks"], longer["blocks"]) == (16, 64)
    assert usual["order"] == longer["order"]


@pytest.mark.parametrize("blocks", [0, 65])
async def test_no_node_is_asked_for_no_block_or_for_too_many(server: Running, blocks: int) -> None:
    error = await error_of(server, "dret_submitWithReceipt", ORDER, blocks)

    assert error["code"] == -32602
    assert f"{blocks} blocks: expected 1 to 64" in str(error)


async def test_a_node_that_promises_nothing_says_why(server: Running) -> None:
    server.node.dret.no_receipts = PortError("This node makes no blocks.")

    error = await error_of(server, "dret_submitWithReceipt", ORDER)

    assert (error["code"], error["message"]) == (1041, "This node makes no blocks.")


async def test_the_pools_refusals_are_those_of_every_submission(server: Running) -> None:
    server.node.dret.no_receipts = SubmissionRefused(Refusal.INVALID, "Transaction is outdated")

    error = await error_of(server, "dret_submitWithReceipt", ORDER)

    assert (error["code"], error["data"]) == (1010, "Transaction is outdated")
