"""Methods: results as Substrate gives them, parameters as clients send them."""

import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from rpc.config import RpcConfig
from rpc.ports import Refusal, SubmissionRefused
from runtime.primitives.block import Digest, DigestItem, Header
from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import codec
from tests.rpc.client import Running, running
from tests.rpc.fake_node import (
    ACCOUNT_PREFIX,
    ALICE,
    ALICE_ADDRESS,
    ALICE_KEY,
    METADATA,
    NOW_KEY,
)


def to_hex(data: bytes) -> str:
    return "0x" + data.hex()


@pytest.fixture
async def server() -> AsyncIterator[Running]:
    async with running() as server:
        yield server


def call(name: str, *params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": name, "params": list(params)}


async def result(server: Running, name: str, *params: Any) -> Any:
    reply = await server.post(call(name, *params))
    assert "error" not in reply, reply
    return reply["result"]


async def error(server: Running, name: str, *params: Any) -> Any:
    reply = await server.post(call(name, *params))
    assert "result" not in reply, reply
    return reply["error"]


class TestChain:
    async def test_a_header_encodes_back_to_the_block_hash(self, server: Running) -> None:
        block = server.node.chain.grow()

        found = await result(server, "chain_getHeader", to_hex(block.hash))

        items = codec(DigestItem)
        logs = [items.decode(bytes.fromhex(log[2:])) for log in found["digest"]["logs"]]
        header = Header(
            bytes.fromhex(found["parentHash"][2:]),
            int(found["number"], 16),
            bytes.fromhex(found["stateRoot"][2:]),
            bytes.fromhex(found["extrinsicsRoot"][2:]),
            Digest(logs),
        )
        assert blake2_256(header.encode()) == block.hash
        assert found["number"] == "0x1"

    async def test_genesis_is_a_block_like_any_other(self, server: Running) -> None:
        genesis = to_hex(server.node.chain.genesis.hash)

        found = await result(server, "chain_getBlock", genesis)

        assert found["block"]["header"]["number"] == "0x0"
        assert found["block"]["extrinsics"] == []
        assert found["justifications"] is None

    async def test_a_block_carries_extrinsics_and_its_justification(self, server: Running) -> None:
        block = server.node.chain.grow(body=[bytes.fromhex("10aabbccdd")])
        server.node.chain.justifications[block.hash] = b"\x01\x02"

        found = await result(server, "chain_getBlock")

        assert found["block"]["extrinsics"][1] == "0x10aabbccdd"
        assert found["justifications"] == [[[70, 82, 78, 75], [1, 2]]]

    @pytest.mark.parametrize("name", ["chain_getHeader", "chain_getBlock"])
    async def test_an_unknown_block_is_null(self, server: Running, name: str) -> None:
        assert await result(server, name, "0x" + "77" * 32) is None

    async def test_block_hashes_by_number_in_every_form(self, server: Running) -> None:
        chain = server.node.chain
        hashes = [to_hex(chain.genesis.hash), *(to_hex(chain.grow().hash) for _ in range(2))]

        assert await result(server, "chain_getBlockHash", 1) == hashes[1]
        assert await result(server, "chain_getBlockHash", "0x2") == hashes[2]
        assert await result(server, "chain_getBlockHash", [0, "0x1", 9]) == [*hashes[:2], None]
        assert await result(server, "chain_getBlockHash", None) == hashes[2]
        assert await result(server, "chain_getHead") == hashes[2]
        assert await result(server, "chain_getBlockHash", 3) is None
        assert await result(server, "chain_getFinalisedHead") == hashes[0]

    @pytest.mark.parametrize("number", [-1, 2**64, 1.5, True, "0x", "0xzz", "2", "0x" + "f" * 99])
    async def test_what_is_no_block_number_is_refused(self, server: Running, number: Any) -> None:
        assert (await error(server, "chain_getBlockHash", number))["code"] == -32602


class TestState:
    async def test_storage_takes_hex_in_any_form_and_answers_lower_case(
        self, server: Running
    ) -> None:
        value = to_hex(server.node.chain.genesis.state[ALICE_KEY])

        for key in (to_hex(ALICE_KEY), ALICE_KEY.hex(), "0x" + ALICE_KEY.hex().upper()):
            assert await result(server, "state_getStorage", key) == value
            assert await result(server, "state_getStorageAt", key, None) == value

        assert await result(server, "state_getStorage", "0x00") is None
        assert (
            await result(server, "state_getStorageSize", to_hex(ALICE_KEY)) == len(value) // 2 - 1
        )
        assert await result(server, "state_getStorageHash", "0x00") is None
        assert await result(server, "state_getStorageHash", to_hex(b":code")) == to_hex(
            blake2_256(b"spec")
        )

    async def test_keys_are_echoed_in_lower_case(self, server: Running) -> None:
        key = "0x" + ALICE_KEY.hex().upper()

        [changes] = await result(server, "state_queryStorageAt", [key, "0x00"])

        assert [pair[0] for pair in changes["changes"]] == [key.lower(), "0x00"]
        assert changes["changes"][1][1] is None
        assert changes["block"] == to_hex(server.node.chain.genesis.hash)

    async def test_a_key_asked_twice_is_answered_twice(self, server: Running) -> None:
        [changes] = await result(server, "state_queryStorageAt", [to_hex(NOW_KEY)] * 2)

        assert len(changes["changes"]) == 2

    async def test_reads_at_an_old_block_see_its_state(self, server: Running) -> None:
        genesis = to_hex(server.node.chain.genesis.hash)
        server.node.chain.grow()

        assert await result(server, "state_getStorage", to_hex(NOW_KEY), genesis) == "0x" + "00" * 8
        assert await result(server, "state_getStorage", to_hex(NOW_KEY)) == "0xd007000000000000"

    async def test_pages_of_keys_come_in_order_without_repeats(self, server: Running) -> None:
        prefix = to_hex(ACCOUNT_PREFIX)
        seen: list[str] = []
        start = prefix
        while page := await result(server, "state_getKeysPaged", prefix, 4, start):
            seen += page
            start = page[-1]

        assert len(seen) == 10
        assert seen == sorted(set(seen))
        assert await result(server, "state_getKeysPaged", prefix, 3) == seen[:3]
        assert await result(server, "state_getKeysPaged", prefix, 3, None, None) == seen[:3]
        assert len(await result(server, "state_getKeysPaged", None, 1000)) == 12

    async def test_a_page_beyond_the_bound_is_refused(self, server: Running) -> None:
        found = await error(server, "state_getKeysPaged", "0x", 1001)

        assert found == {
            "code": 4002,
            "message": "count exceeds maximum value. value: 1001, max: 1000",
        }

    async def test_unknown_and_pruned_blocks_are_told_apart(self, server: Running) -> None:
        chain = server.node.chain
        chain.grow()
        chain.pruned.add(chain.genesis.hash)
        genesis, unknown = to_hex(chain.genesis.hash), "0x" + "77" * 32

        for name, *params in (
            ("state_getStorage", "0x00"),
            ("state_queryStorageAt", ["0x00"]),
            ("state_getMetadata",),
            ("state_getRuntimeVersion",),
            ("state_getReadProof", ["0x00"]),
            ("state_call", "Core_version", "0x"),
        ):
            pruned = await error(server, name, *params, genesis)
            missing = await error(server, name, *params, unknown)
            assert pruned["code"] == missing["code"] == 4003
            assert pruned["message"] == (
                f"Client error: UnknownBlock: State already discarded for {genesis}"
            )
            assert missing["message"].endswith(f"not found in the database: {unknown}")

    async def test_runtime_calls_take_bare_hex_and_empty_text(self, server: Running) -> None:
        nonce = await result(server, "state_call", "AccountNonceApi_account_nonce", ALICE.hex())
        empty = [
            await result(server, "state_call", "Metadata_metadata_versions", data)
            for data in ("", "0x")
        ]

        assert nonce == "0x07000000"
        assert empty == ["0x040e000000"] * 2

    async def test_a_missing_runtime_function_is_named(self, server: Running) -> None:
        found = await error(server, "state_call", "Foo_bar", "0x")

        assert found == {
            "code": 4003,
            "message": "Client error: Execution failed: Exported method Foo_bar is not found",
        }

    async def test_metadata_is_raw_v14(self, server: Running) -> None:
        found = await result(server, "state_getMetadata")

        assert found == to_hex(METADATA)
        assert found.startswith("0x6d6574610e")

    async def test_the_runtime_version_has_substrates_names(self, server: Running) -> None:
        found = await result(server, "state_getRuntimeVersion", None)

        assert found["apis"] == [["0xdf6acb689907609b", 5], ["0x37e397fc7c91f5e4", 2]]
        assert found["stateVersion"] == found["systemVersion"] == 1
        assert (found["specName"], found["specVersion"]) == ("energy", 100)
        assert found == await result(server, "chain_getRuntimeVersion")

    async def test_a_proof_names_its_block(self, server: Running) -> None:
        found = await result(server, "state_getReadProof", [to_hex(NOW_KEY)])

        assert found["at"] == to_hex(server.node.chain.genesis.hash)
        assert found["proof"] == [to_hex(NOW_KEY + bytes(8))]
        too_many = await error(server, "state_getReadProof", ["0x00"] * 1025)
        assert too_many["code"] == -32602

    async def test_all_keys_and_pairs_under_a_prefix(self, server: Running) -> None:
        state = server.node.chain.genesis.state
        expected = [key for key in sorted(state) if key.startswith(ACCOUNT_PREFIX)]

        keys = await result(server, "state_getKeys", to_hex(ACCOUNT_PREFIX))
        pairs = await result(server, "state_getPairs", to_hex(ACCOUNT_PREFIX))

        assert keys == [to_hex(key) for key in expected]
        assert pairs == [[to_hex(key), to_hex(state[key])] for key in expected]

    async def test_the_changes_of_a_range_of_blocks(self, server: Running) -> None:
        chain = server.node.chain
        first = chain.grow({b"a": b"1"})
        chain.grow()
        third = chain.grow({b"a": None, b"b": b"2"})
        fourth = chain.grow({b"a": b"1"})
        asked = [to_hex(b"a"), to_hex(b"b")]

        found = await result(server, "state_queryStorage", asked, to_hex(first.hash))
        until = await result(
            server, "state_queryStorage", asked, to_hex(first.hash), to_hex(first.hash)
        )

        assert found == [
            {"block": to_hex(first.hash), "changes": [["0x61", "0x31"], ["0x62", None]]},
            {"block": to_hex(third.hash), "changes": [["0x61", None], ["0x62", "0x32"]]},
            {"block": to_hex(fourth.hash), "changes": [["0x61", "0x31"]]},
        ]
        assert until == found[:1]

    async def test_a_range_that_is_none_is_refused(self, server: Running) -> None:
        chain = server.node.chain
        block = chain.grow()
        fork = chain.grow({b"x": b"y"}, parent=chain.genesis, is_best=False)

        for first in (fork.hash, bytes(32)):
            found = await error(
                server, "state_queryStorage", ["0x61"], to_hex(first), to_hex(block.hash)
            )
            assert found["code"] == 4001
            assert found["message"].startswith("Cannot resolve a block range [0x")


class TestAuthor:
    async def test_a_submitted_extrinsic_is_pending_and_raises_the_nonce(
        self, server: Running
    ) -> None:
        digest = await result(server, "author_submitExtrinsic", "0x10aabbccdd")

        assert digest == to_hex(blake2_256(bytes.fromhex("10aabbccdd")))
        assert await result(server, "author_pendingExtrinsics") == ["0x10aabbccdd"]
        for name in ("system_accountNextIndex", "account_nextIndex"):
            assert await result(server, name, ALICE_ADDRESS) == 8
            assert await result(server, name, to_hex(ALICE)) == 8

    @pytest.mark.parametrize(
        ("refusal", "expected"),
        [
            (
                SubmissionRefused(Refusal.INVALID, "Transaction has a bad signature"),
                {
                    "code": 1010,
                    "message": "Invalid Transaction",
                    "data": "Transaction has a bad signature",
                },
            ),
            (
                SubmissionRefused(Refusal.TOO_LOW_PRIORITY, detail="(5 vs 3)"),
                {"code": 1014, "message": "Priority is too low: (5 vs 3)"},
            ),
            (
                SubmissionRefused(Refusal.TEMPORARILY_BANNED),
                {"code": 1012, "message": "Transaction is temporarily banned"},
            ),
        ],
    )
    async def test_refusals_have_substrates_codes(
        self, server: Running, refusal: SubmissionRefused, expected: dict[str, Any]
    ) -> None:
        server.node.pool.refuse_with = refusal

        assert await error(server, "author_submitExtrinsic", "0x00") == expected
        async with server.websocket() as client:
            assert await client.error("author_submitAndWatchExtrinsic", "0x00") == expected

    async def test_the_same_extrinsic_twice_is_already_imported(self, server: Running) -> None:
        await result(server, "author_submitExtrinsic", "0x10aabbccdd")

        found = await error(server, "author_submitExtrinsic", "0x10aabbccdd")

        assert (found["code"], found["message"]) == (1013, "Transaction Already Imported")

    async def test_keys_are_inserted_and_found(self, server: Running) -> None:
        public = to_hex(hashlib.sha256(b"//Alice").digest())

        assert await result(server, "author_hasKey", public, "aura") is False
        assert await result(server, "author_insertKey", "aura", "//Alice", public) is None
        assert await result(server, "author_hasKey", public, "aura") is True
        wrong = await error(server, "author_insertKey", "aura", "//Bob", public)
        assert wrong["code"] == 1040
        assert "does not belong" in wrong["message"]
        assert (await error(server, "author_hasKey", public, "aurae"))["code"] == -32602

    async def test_session_keys_are_rotated_and_found(self, server: Running) -> None:
        keys = await result(server, "author_rotateKeys")

        assert len(keys) == 2 + 128
        assert await result(server, "author_hasSessionKeys", keys) is True
        assert await result(server, "author_hasSessionKeys", "0x" + "00" * 64) is False
        assert (await error(server, "author_hasSessionKeys", "0x00"))["code"] == 1040

    async def test_session_keys_for_an_account_come_with_their_proof(self, server: Running) -> None:
        found = await result(server, "author_rotateKeysWithOwner", "0x" + "11" * 32)

        assert await result(server, "author_hasSessionKeys", found["keys"]) is True
        assert len(found["proof"]) == 2 + 256

    async def test_extrinsics_are_removed_by_bytes_or_hash(self, server: Running) -> None:
        extrinsics = [bytes([4, number]) for number in range(3)]
        for extrinsic in extrinsics:
            await result(server, "author_submitExtrinsic", to_hex(extrinsic))
        hashes = [to_hex(blake2_256(extrinsic)) for extrinsic in extrinsics]
        unknown = {"hash": to_hex(bytes(32))}

        named = [{"extrinsic": to_hex(extrinsics[0])}, {"hash": hashes[1]}, unknown]
        removed = await result(server, "author_removeExtrinsic", named)

        assert removed == hashes[:2]
        assert await result(server, "author_pendingExtrinsics") == [to_hex(extrinsics[2])]


class TestUnsafe:
    async def test_unsafe_methods_are_denied_when_only_safe_ones_are_served(self) -> None:
        async with running(RpcConfig(port=0, methods="safe")) as server:
            for name in ("author_insertKey", "author_hasKey", "system_peers"):
                assert await error(server, name) == {
                    "code": -32601,
                    "message": "RPC call is unsafe to be called externally",
                }
            assert await result(server, "system_chain") == "Energy Spike"

    async def test_auto_denies_them_on_an_exposed_address_only(self) -> None:
        async with running(RpcConfig(port=0, host="0.0.0.0")) as server:
            assert (await error(server, "system_peers"))["code"] == -32601
        async with running() as server:
            [peer] = await result(server, "system_peers")
            assert peer["roles"] == "AUTHORITY"


class TestSystem:
    async def test_the_node_introduces_itself(self, server: Running) -> None:
        assert await result(server, "system_name") == "DRET Node"
        assert await result(server, "system_version") == "0.1.0-test"
        assert await result(server, "system_chainType") == "Development"
        assert (await result(server, "system_properties"))["ss58Format"] == 42
        assert await result(server, "system_nodeRoles") == ["Authority"]
        assert (await result(server, "system_localPeerId")).startswith("12D3")
        assert await result(server, "system_localListenAddresses") != []
        assert await result(server, "system_health") == {
            "peers": 3,
            "isSyncing": False,
            "shouldHavePeers": True,
        }
        server.node.chain.grow()
        assert await result(server, "system_syncState") == {
            "startingBlock": 0,
            "currentBlock": 1,
            "highestBlock": 1,
        }

    async def test_a_custom_chain_type_is_an_object(
        self, server: Running, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(server.node.system, "chain_type", lambda: "Pilot")

        assert await result(server, "system_chainType") == {"Custom": "Pilot"}

    async def test_a_dry_run_gives_the_result_in_scale(self, server: Running) -> None:
        for name in ("system_dryRun", "system_dryRunAt"):
            assert await result(server, name, "0x10aabbccdd") == "0x0000"

    async def test_reserved_peers_are_listed_added_and_removed(self, server: Running) -> None:
        address = "/ip4/127.0.0.1/tcp/30333/p2p/12D3KooWA"

        assert await result(server, "system_addReservedPeer", address) is None
        assert await result(server, "system_reservedPeers") == ["12D3KooWA"]
        wrong = await error(server, "system_addReservedPeer", "12D3KooWA")
        assert (wrong["code"], wrong["message"]) == (2002, "address '12D3KooWA'")
        assert (await error(server, "system_removeReservedPeer", address))["code"] == 2002
        assert await result(server, "system_removeReservedPeer", "12D3KooWA") is None
        assert await result(server, "system_reservedPeers") == []

    async def test_log_filters_are_added_and_reset(self, server: Running) -> None:
        assert await result(server, "system_addLogFilter", "p2p=debug") is None
        assert server.node.system.filters == ["p2p=debug"]
        wrong = await error(server, "system_addLogFilter", "p2p=loud")
        assert (wrong["code"], wrong["data"]) == (-32602, "log filter 'p2p=loud'")
        assert await result(server, "system_resetLogFilter") is None
        assert server.node.system.filters == []

    async def test_dret_status_is_the_nodes_own_object(self, server: Running) -> None:
        server.node.dret.answer = lambda: {"best": 7, "market": {"intervals_settled": 3}}

        assert await result(server, "dret_status") == {
            "best": 7,
            "market": {"intervals_settled": 3},
        }


class TestPayment:
    async def test_fees_in_their_legacy_form(self, server: Running) -> None:
        info = await result(server, "payment_queryInfo", "0x10aabbccdd")
        details = await result(server, "payment_queryFeeDetails", "0x10aabbccdd")
        free = await result(server, "payment_queryFeeDetails", "0x00")

        assert info["partialFee"] == "50"
        assert info["class"] == "normal"
        assert set(info["weight"]) == {"ref_time", "proof_size"}
        assert details["inclusionFee"] == {
            "baseFee": "0x1",
            "lenFee": "0x14",
            "adjustedWeightFee": "0x12c",
        }
        assert free == {"inclusionFee": None}


class TestParameters:
    async def test_an_unknown_method_says_exactly_what_clients_compare(
        self, server: Running
    ) -> None:
        expected = {"code": -32601, "message": "Method not found"}

        assert await error(server, "state_frobnicate") == expected

    @pytest.mark.parametrize(
        ("params", "reason"),
        [
            ([], "parameter 1 (key) is missing"),
            ([None], "parameter 1 (key) is missing"),
            ([5], "parameter 1 (key): expected a hex string"),
            (["0x123"], "parameter 1 (key): hex string with an odd number of digits"),
            (["0xzz"], "parameter 1 (key): not a hex string"),
            (["0x 00"], "parameter 1 (key): not a hex string"),
            (["0x00", "0x00"], "parameter 2 (at): expected a hash of 32 bytes, found 1"),
            (["0x00", 7], "parameter 2 (at): expected a hex string"),
        ],
    )
    async def test_wrong_parameters_are_named(
        self, server: Running, params: list[Any], reason: str
    ) -> None:
        found = await error(server, "state_getStorage", *params)

        assert found == {"code": -32602, "message": "Invalid params", "data": reason}

    async def test_parameters_may_be_named_or_absent(self, server: Running) -> None:
        message = {"jsonrpc": "2.0", "id": 1, "method": "state_getKeysPaged"}
        prefix = to_hex(ACCOUNT_PREFIX)
        params = {"prefix": prefix, "count": 2, "startKey": prefix}

        by_name = await server.post({**message, "params": params})
        by_place = await result(server, "state_getKeysPaged", prefix, 2, prefix)
        absent = await server.post({"jsonrpc": "2.0", "id": 1, "method": "system_chain"})

        assert by_name["result"] == by_place
        assert absent["result"] == "Energy Spike"

    async def test_superfluous_parameters_are_ignored(self, server: Running) -> None:
        assert await result(server, "system_chain", 1, "two") == "Energy Spike"

    async def test_an_address_with_a_wrong_checksum_is_refused(self, server: Running) -> None:
        wrong = ALICE_ADDRESS[:-1] + "Z"

        assert (await error(server, "account_nextIndex", wrong))["code"] == -32602

    async def test_more_keys_than_the_bound_are_refused(self, server: Running) -> None:
        found = await error(server, "state_queryStorageAt", ["0x"] * 16_385)

        assert found["code"] == -32602
        assert "16385 keys" in found["data"]


async def test_rpc_methods_lists_every_alias_and_no_incomplete_group(server: Running) -> None:
    names = (await result(server, "rpc_methods"))["methods"]

    assert names == sorted(set(names))
    for alias in ("chain_subscribeNewHead", "chain_getHead", "account_nextIndex", "state_callAt"):
        assert alias in names
    groups = {name.partition("_")[0] for name in names if "_v1_" in name}
    assert groups == {"chainHead", "chainSpec", "transaction", "transactionWatch"}


async def test_a_failing_method_is_an_internal_error_and_the_server_goes_on(
    server: Running, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> dict[str, Any]:
        raise RuntimeError("a path: /home/secret")

    server.node.dret.answer = fail

    found = await error(server, "dret_status")

    assert found == {"code": -32603, "message": "Internal error"}
    assert "a path" in caplog.text
    assert await result(server, "system_chain") == "Energy Spike"


class TestBills:
    async def test_a_bill_and_the_handoffs_are_the_nodes_own(self, server: Running) -> None:
        bill = await result(server, "dret_bill", ALICE_ADDRESS, 5, 9)
        named = await server.post(
            {
                "jsonrpc": "2.0",
                "id": 1,
                "method": "dret_bill",
                "params": {"account": ALICE_ADDRESS, "from": 5, "to": 9},
            }
        )

        assert (bill["from"], bill["to"]) == (5, 9)
        assert named["result"] == bill
        assert await result(server, "dret_handoffs", 0) == [
            {"header": "0x" + b"header".hex(), "justification": "0x" + b"justification".hex()},
            {"header": "0x" + b"header".hex(), "recovery": "0x" + b"link".hex()},
        ]

    @pytest.mark.parametrize(
        ("first", "last", "words"),
        [(9, 5, "rising"), (0, 672, "673 intervals, at most 672"), (1 << 32, 1 << 32, "rising")],
    )
    async def test_a_range_that_is_too_long_or_none_is_refused(
        self, server: Running, first: int, last: int, words: str
    ) -> None:
        reply = await server.post(
            {
                "jsonrpc": "2.0",
                "id": 1,
                "method": "dret_bill",
                "params": [ALICE_ADDRESS, first, last],
            }
        )

        assert reply["error"]["code"] == -32602
        assert words in reply["error"]["data"]
