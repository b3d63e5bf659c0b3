"""`dret tx` against a chain in memory: browsing, composing, signing, and what comes of it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asyncclick.testing import CliRunner, Result

from node.cli import chain_access
from node.cli.tx import group
from node.errors import CallFailed, NodeError, NotFound, PoolRefused
from node.keystore import Keystore
from runtime.primitives.crypto import ss58_encode
from runtime.primitives.extrinsic import decode_extrinsic
from tests.node.chain_link import ChainLink
from tests.support.accounts import ALICE, BOB
from tests.support.chains import MemoryChain
from tests.support.runtimes import DRT, genesis_sections, new_runtime

TO_BOB = ("balances.transferKeepAlive", ss58_encode(BOB))
SIGNED = ("--from", "//Alice")


@pytest.fixture(autouse=True)
def chain(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryChain]:
    ChainLink.chain = MemoryChain.new(new_runtime(), genesis_sections({ALICE: DRT, BOB: DRT}))
    ChainLink.chain.build()
    monkeypatch.setattr(chain_access, "Link", ChainLink)
    monkeypatch.setattr(ChainLink, "allows_unsafe", True)
    yield ChainLink.chain


async def run(*arguments: str) -> Result:
    result: Result = await CliRunner().invoke(group, arguments)
    return result


async def as_json(*arguments: str) -> Any:
    result = await run(*arguments, "-o", "json")
    assert result.exit_code == 0, result.output + str(result.exception)
    return json.loads(result.stdout)


def refusal(result: Result, kind: type[NodeError]) -> str:
    assert isinstance(result.exception, kind), result.output + str(result.exception)
    return str(result.exception)


async def test_pallets_calls_and_arguments_are_listed_with_types_and_documentation() -> None:
    pallets = await as_json()
    calls = await as_json("trading")
    order = await as_json("trading.placeOrder")
    text = (await run("trading.place_order")).output

    assert {"pallet", "calls", "docs"} == set(pallets[0])
    assert "Trading.place_order" in [call["call"] for call in calls]
    arguments = {each["name"]: each for each in order["arguments"]}
    assert arguments["side"] == {
        "name": "side",
        "type": "Side",
        "forms": ["Offer", "Bid"],
        "docs": "",
    }
    assert arguments["quantity_wh"]["type"] == "Compact<u64>"
    assert order["docs"].startswith("Put an order into the book")
    assert "Fails with" in text and "      Bid\n" in text


async def test_a_call_that_nobody_signs_is_shown_and_not_sent(chain: MemoryChain) -> None:
    shown = await as_json(*TO_BOB, "1_000")

    assert shown["call"] == {
        "Balances": {"transfer_keep_alive": {"dest": {"Id": ss58_encode(BOB)}, "value": 1_000}}
    }
    assert bytes.fromhex(shown["encoded"][2:])[:2] == bytes([6, 3])
    assert len(chain.headers) == 2


async def test_a_call_is_signed_included_and_told_with_its_events(chain: MemoryChain) -> None:
    told = await run(*TO_BOB, "1_000", *SIGNED, "--tip", "7", "--wait", "final")
    shown = await as_json(*TO_BOB, "value=2_000", *SIGNED)

    assert "in the pool" in told.output and "Final: extrinsic 1 of block 2" in told.output
    assert "Balances.Transfer" in told.output
    assert shown["error"] is None
    assert (shown["status"], shown["number"], shown["index"]) == ("block", 3, 1)
    events = {event["event"]: event["fields"] for event in shown["events"]}
    assert events["Balances.Transfer"]["amount"] == 2_000
    assert "System.ExtrinsicSuccess" in events
    part = decode_extrinsic(chain.bodies[1][1]).signed
    assert part is not None
    assert (part.extra.tip, part.extra.nonce, part.extra.era.period) == (7, 0, 64)


async def test_a_call_that_fails_in_its_block_is_told_with_the_errors_name_and_reason() -> None:
    result = await run(*TO_BOB, str(10**18), *SIGNED)

    text = refusal(result, CallFailed)
    assert (
        "Block 2 has the extrinsic, but its call failed with Balances.InsufficientBalance" in text
    )
    assert "free balance is too low" in text
    assert CallFailed.exit_code == 6


async def test_what_the_pool_refuses_is_told_with_advice() -> None:
    await run(*TO_BOB, "5", *SIGNED)

    stale = await run(*TO_BOB, "5", *SIGNED, "--nonce", "0")
    poor = await run(*TO_BOB, "5", "--from", "//Nobody")

    assert "leave out --nonce" in refusal(stale, PoolRefused)
    assert "dret query account" in refusal(poor, PoolRefused)
    assert PoolRefused.exit_code == 5


async def test_a_dry_run_tells_fee_and_result_and_sends_nothing(chain: MemoryChain) -> None:
    fine = await as_json(*TO_BOB, "5", *SIGNED, "--dry-run")
    failing = await run(*TO_BOB, str(10**18), *SIGNED, "--dry-run")

    assert fine["partial_fee"] > 0 and fine["fee_display"].endswith(" DRT")
    assert (fine["is_tried"], fine["error"]) == (True, None)
    assert "would fail with Balances.InsufficientBalance" in refusal(failing, CallFailed)
    assert len(chain.headers) == 2


async def test_a_node_that_does_not_try_for_strangers_still_tells_the_fee(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ChainLink, "allows_unsafe", False)

    shown = await as_json(*TO_BOB, "5", *SIGNED, "--dry-run")

    assert shown["is_tried"] is False
    assert shown["partial_fee"] > 0


async def test_a_signed_extrinsic_is_written_decoded_handed_in_and_found(tmp_path: Path) -> None:
    file = tmp_path / "transfer.hex"

    await run(*TO_BOB, "77", *SIGNED, "--sign-only", str(file), "--era", "0")
    decoded = await as_json("decode", str(file))
    sent = await as_json("submit", str(file))
    found = await as_json("status", sent["hash"])
    missing = await run("status", "0x" + "ab" * 32)

    assert decoded["call"]["Balances"]["transfer_keep_alive"]["value"] == 77
    assert (decoded["account"], decoded["era"]) == (ss58_encode(ALICE), None)
    assert decoded["hash"] == sent["hash"] == found["hash"]
    assert (found["status"], found["number"]) == ("final", 2)
    assert "latest 256 blocks" in refusal(missing, NotFound)


async def test_a_batch_is_one_extrinsic_of_all_calls(tmp_path: Path) -> None:
    file = tmp_path / "batch.json"
    entries = [
        {"call": "balances.transfer_keep_alive", "arguments": [ss58_encode(BOB), 5]},
        {"call": "System.remark", "arguments": {"remark": "hello"}},
    ]
    file.write_text(json.dumps(entries))

    sent = await as_json("batch", str(file), *SIGNED)

    names = [event["event"] for event in sent["events"]]
    assert "Balances.Transfer" in names and "Utility.BatchCompleted" in names


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[]", "found none"),
        ("{}", "no list of calls"),
        ('[{"call": 5}]', "$[0].call"),
        ('[{"call": "System.remark", "args": []}]', "args"),
        ("[", "no list of calls"),
    ],
)
async def test_a_batch_file_that_is_wrong_is_a_usage_error(
    tmp_path: Path, content: str, words: str
) -> None:
    file = tmp_path / "batch.json"
    file.write_text(content)

    result = await run("batch", str(file), *SIGNED)

    assert result.exit_code == 2
    assert words in result.output


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("trading.plase_order",), 2, "Did you mean place_order"),
        (("balances.transfer_keep_alive", "5Fxx", "1"), 2, "argument dest"),
        ((*TO_BOB, "many"), 2, "argument value: expected u128"),
        ((*TO_BOB,), 2, "expected 2 arguments (dest: MultiAddress, value: Compact<u128>), found 1"),
        ((*TO_BOB, "value=1", "value=2"), 2, "expected one value, found two"),
        ((*TO_BOB, "5", *SIGNED, "--era", "100"), 2, "a power of two"),
        ((*TO_BOB, "5", "--from", "//Alice", "--suri-file", "x"), 2, "either"),
        (("decode", "0x99"), 2, "expected an extrinsic or a call"),
        (("submit", "/no/such/file"), 2, "cannot be read"),
    ],
)
async def test_wrong_input_names_what_is_wrong(
    arguments: tuple[str, ...], code: int, words: str
) -> None:
    result = await run(*arguments)

    shown = getattr(result.exception, "exit_code", result.exit_code)
    assert shown == code
    assert words in result.output + str(result.exception)


async def test_a_key_of_a_keystore_signs_a_call(tmp_path: Path, chain: MemoryChain) -> None:
    pair = Keystore(tmp_path / "keystore").insert("gran", "//Alice")
    await run("balances.transfer_keep_alive", "0x" + pair.public.hex(), str(DRT // 4), *SIGNED)

    options = ("--keystore-path", str(tmp_path / "keystore"), "--from", ss58_encode(pair.public))
    sent = await as_json("system.remark", "hello", *options)

    assert sent["error"] is None
    assert "System.ExtrinsicSuccess" in [event["event"] for event in sent["events"]]
