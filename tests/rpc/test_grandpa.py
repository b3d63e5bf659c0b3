"""`grandpa_*` and `chainSpec_v1_*`."""

from collections.abc import AsyncIterator

import pytest

from tests.rpc.client import Running, running


@pytest.fixture
async def server() -> AsyncIterator[Running]:
    async with running() as server:
        yield server


async def test_a_proof_of_finality_is_hex_and_null_for_what_is_not_final(server: Running) -> None:
    chain = server.node.chain
    chain.finalize(chain.grow())
    async with server.websocket() as client:
        assert await client.call("grandpa_proveFinality", 1) == "0x" + b"proof\x01".hex()
        assert await client.call("grandpa_proveFinality", 2) is None
        assert await client.error("grandpa_proveFinality", 0) == {
            "code": 2,
            "message": "Prove finality rpc failed: no justification",
        }


async def test_justifications_come_as_finality_goes_on(server: Running) -> None:
    chain = server.node.chain
    async with server.websocket() as client:
        subscription = await client.call("grandpa_subscribeJustifications")
        chain.finalize(chain.grow(), b"first")
        chain.finalize(chain.grow())
        chain.finalize(chain.grow(), b"third")

        for expected in (b"first", b"third"):
            assert await client.receive() == {
                "jsonrpc": "2.0",
                "method": "grandpa_justifications",
                "params": {"subscription": subscription, "result": "0x" + expected.hex()},
            }
        assert await client.call("grandpa_unsubscribeJustifications", subscription) is True


async def test_the_chain_specification_in_the_new_names(server: Running) -> None:
    async with server.websocket() as client:
        assert await client.call("chainSpec_v1_chainName") == "Energy Spike"
        genesis = await client.call("chainSpec_v1_genesisHash")
        assert genesis == "0x" + server.node.chain.genesis.hash.hex()
        assert await client.call("chainSpec_v1_properties") == await client.call(
            "system_properties"
        )


async def test_the_state_of_the_round_names_the_voters_it_waits_for(server: Running) -> None:
    async with server.websocket() as client:
        assert await client.call("grandpa_roundState") == {
            "setId": 2,
            "best": {
                "round": 7,
                "totalWeight": 4,
                "thresholdWeight": 3,
                "prevotes": {"currentWeight": 3, "missing": ["Dave"]},
                "precommits": {"currentWeight": 2, "missing": ["Charlie", "Dave"]},
            },
            "background": [],
        }
        server.node.chain.rounds = None
        assert await client.error("grandpa_roundState") == {
            "code": 1,
            "message": "GRANDPA RPC endpoint not ready",
        }
