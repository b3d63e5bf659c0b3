"""`dret query` against a chain in memory: storage, constants, runtime APIs, blocks, events."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from asyncclick.testing import CliRunner, Result

from node.cli import chain_access, query
from node.cli.query import group
from node.errors import NotFound
from tests.golden.script import golden_chain
from tests.node.chain_link import ChainLink
from tests.support.chains import MemoryChain


@pytest.fixture(scope="module")
def history() -> MemoryChain:
    return golden_chain()


@pytest.fixture(autouse=True)
def chain(history: MemoryChain, monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryChain]:
    ChainLink.chain = history
    monkeypatch.setattr(chain_access, "Link", ChainLink)
    yield history


async def run(*arguments: str) -> Result:
    result: Result = await CliRunner().invoke(group, arguments)
    return result


async def as_json(*arguments: str) -> Any:
    result = await run(*arguments, "-o", "json")
    assert result.exit_code == 0, result.output + str(result.exception)
    return json.loads(result.stdout)


async def test_everything_of_the_metadata_is_listed() -> None:
    found = await as_json()
    trading = await as_json("trading")
    text = (await run("trading")).output

    assert {pallet["pallet"] for pallet in found["pallets"]} >= {"System", "Trading"}
    bill = next(each for each in found["functions"] if each["name"] == "Trading_bill")
    assert [each["name"] for each in bill["arguments"]] == ["connection", "first", "last"]
    assert bill["result"] == "Vec<BillLine>"
    holdings = next(each for each in trading["storage"] if each["name"] == "Trading.Holdings")
    assert holdings["keys"] == ["u32", "u32"]
    assert "Trading.Schedule: Schedule\n    Where the market stands in time." in text


async def test_a_value_an_entry_and_a_constant_are_read(history: MemoryChain) -> None:
    settled = history.runtime.constants.genesis_interval

    schedule = await as_json("trading.schedule")
    lines = await as_json("trading.lines", str(settled))
    none = await as_json("trading.lines", "7")
    refused = await run("trading.lines", "7")
    constant = await as_json("balances.existentialDeposit")

    assert schedule["value"]["seen"] > settled
    assert schedule["block"] == "0x" + history.head.hash().hex()
    assert len(lines["value"]) == 2 and "amount_nano" in lines["value"][0]
    assert none["value"] is None
    assert isinstance(refused.exception, NotFound)
    assert constant["value"] == 1_000_000


async def test_a_map_is_read_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query, "PAGE", 2)
    every = await as_json("system.account")

    first = await as_json("system.account", "--limit", "3")
    rest = await as_json("system.account", "--start", first["next"])

    assert every["next"] is None and len(every["entries"]) > 5
    assert first["entries"] + rest["entries"] == every["entries"]
    assert all(len(entry["keys"]) == 1 for entry in every["entries"])


async def test_a_double_map_is_read_under_its_first_key(history: MemoryChain) -> None:
    every = (await as_json("trading.holdings", "--at", "3"))["entries"]
    interval = every[0]["keys"][0]

    under = (await as_json("trading.holdings", str(interval), "--at", "3"))["entries"]
    keys = [str(key) for key in every[0]["keys"]]
    one = await as_json("trading.holdings", *keys, "--at", "3")

    assert len(every[0]["keys"]) == 2
    assert under == [entry for entry in every if entry["keys"][0] == interval]
    assert one["value"] == every[0]["value"]


async def test_a_function_of_the_runtime_is_called_at_a_block(history: MemoryChain) -> None:
    then = await as_json("Trading_current_interval", "--at", "1")
    now = await as_json("trading_currentInterval")
    named = await as_json("Trading_order_book", f"interval={now['value'] + 1}")

    assert then["value"] < now["value"] == history.runtime.constants.genesis_interval + 6
    assert isinstance(named["value"], list)


async def test_accounts_blocks_and_events_are_shown(history: MemoryChain) -> None:
    every = (await as_json("system.account"))["entries"]
    address = next(entry["keys"][0] for entry in every if entry["value"]["nonce"])

    account = await as_json("account", address)
    block = await as_json("block", "2")
    genesis = await as_json("block", "0")
    cleared = [
        number
        for number in range(1, len(history.headers))
        if (await as_json("events", "--at", str(number), "--filter", "trading.*"))["events"]
    ]
    text = (await run("events", "--at", str(cleared[0]))).output

    assert account["account"] == address and account["next_nonce"] == account["nonce"]
    assert account["free_display"].endswith(" DRT")
    assert block["number"] == 2 and "Timestamp" in block["extrinsics"][0]["call"]
    assert block["extrinsics"][1]["account"] in [entry["keys"][0] for entry in every]
    assert genesis["extrinsics"] == []
    assert cleared and "System.ExtrinsicSuccess" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("trading.scheduul",), "Did you mean Schedule"),
        (("Trading_bil", "1"), "Did you mean Trading_bill"),
        (("Trading_bill", "1", "2"), "expected 3 arguments"),
        (("Trading_bill", "x", "1", "2"), "argument connection: expected u32"),
        (("system.account", "5Fxx"), "key 1: expected an address"),
        (("trading.schedule", "5"), "at most 0 keys, found 1"),
        (("trading.schedule", "--at", "yesterday"), "names no block"),
        (("account", "5Fxx"), "no address"),
    ],
)
async def test_wrong_input_is_a_usage_error(arguments: tuple[str, ...], words: str) -> None:
    result = await run(*arguments)

    assert getattr(result.exception, "exit_code", result.exit_code) == 2
    assert words in result.output + str(result.exception)


async def test_a_block_that_is_not_there_yet_is_named() -> None:
    result = await run("trading.schedule", "--at", "9999")

    assert isinstance(result.exception, NotFound)
    assert "no block 9999" in str(result.exception)
