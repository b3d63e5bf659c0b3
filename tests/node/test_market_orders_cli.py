"""`dret market order` and its kin on a chain in memory: what stands afterwards, what is told."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from asyncclick.testing import CliRunner, Result

from node.cli import chain_access
from node.cli.market import group
from node.errors import CallFailed, NotFound
from runtime.pallets.trading.records import order_id_of
from tests.node.chain_link import ChainLink
from tests.support.chains import MemoryChain
from tests.support.runtimes import genesis_sections, new_runtime

K = 1_004
ALICE, BOB = ("--from", "//Alice"), ("--from", "//Bob")
AT_1, AT_2 = ("--connection", "1", "--interval", str(K)), ("--connection", "2", "--interval", "+4")
FIRST = str(order_id_of(K, 1, 0))


@pytest.fixture(autouse=True)
def chain(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryChain]:
    ChainLink.chain = MemoryChain.new(new_runtime(), genesis_sections())
    ChainLink.chain.build()
    monkeypatch.setattr(chain_access, "Link", ChainLink)
    yield ChainLink.chain


async def market(*arguments: str) -> Result:
    result: Result = await CliRunner().invoke(group, arguments)
    return result


async def done(*arguments: str) -> str:
    result = await market(*arguments)
    assert result.exit_code == 0, result.output + str(result.exception)
    return result.output


async def resting(*options: str) -> list[tuple[Any, ...]]:
    rows = json.loads(await done("orders", "--interval", str(K), *options, "-o", "json"))
    return [(r["connection"], r["side"], r["price_micro"], r["quantity_wh"]) for r in rows]


async def test_a_limit_and_a_market_order_stand_in_the_book() -> None:
    told = await done("order", "buy", *AT_1, "--wh", "500", "--price", "0.12", *ALICE)
    await done("order", "sell", *AT_1, "--wh", "40", *ALICE)
    await done("order", "buy", *AT_1, "--wh", "60", *ALICE)

    assert f"Order {FIRST} stands: buy 500 Wh at 0.120000 DRT/kWh in interval {K}." in told
    assert await resting() == [
        (1, "buy", 120_000, 500),
        (1, "sell", 20_000, 40),
        (1, "buy", 300_000, 60),
    ]


async def test_an_interval_can_be_told_from_the_present_one() -> None:
    await done("order", "buy", *AT_2, "--wh", "500", *BOB)

    assert await resting() == [(2, "buy", 300_000, 500)]
    assert await resting("--connection", "1") == []


async def test_an_interval_can_be_told_by_the_time_of_day(chain: MemoryChain) -> None:
    answer = ChainLink("", 0).state_call(
        "Trading_slot_of_day", f"0x{K.to_bytes(4, 'little').hex()}"
    )
    slot = int.from_bytes(bytes.fromhex(answer[2:]), "little")

    told = await done("orders", "--interval", f"{slot // 4}:{slot % 4 * 15:02}")

    assert told.startswith(f"Interval {K}: 0 open orders.")


async def test_a_curve_is_placed_revised_and_taken_back() -> None:
    steps = ("--buy", "0.12:200", "--buy", "0.1:300", "--sell", "0.25:50")
    await done("curve", *AT_1, *steps, *ALICE)
    placed = await resting()
    told = await done("revise", *AT_1, "--sell", "0.2:70", *ALICE)
    revised = await resting()
    await done("revise", *AT_1, *ALICE)

    assert placed == [(1, "buy", 120_000, 200), (1, "buy", 100_000, 300), (1, "sell", 250_000, 50)]
    assert told.count("is taken back") == 3
    assert revised == [(1, "sell", 200_000, 70)]
    assert await resting() == []


async def test_an_order_is_replaced_and_cancelled() -> None:
    await done("order", "buy", *AT_1, "--wh", "500", "--price", "0.12", *ALICE)
    told = await done("replace", FIRST, "--price", "0.13", "--wh", "400", *ALICE)

    assert f"Order {FIRST} is taken back: 500 Wh." in told
    assert await resting() == [(1, "buy", 130_000, 400)]
    told = await done("cancel", str(order_id_of(K, 1, 1)), *ALICE)
    assert "is taken back: 400 Wh." in told
    assert "0 open orders" in await done("orders", "--interval", str(K))


async def test_a_position_goes_with_what_is_revised(chain: MemoryChain) -> None:
    await done("order", "buy", *AT_1, "--wh", "100", *ALICE)
    await done("order", "sell", "--connection", "2", "--interval", str(K), "--wh", "60", *BOB)
    for _ in range(3):  # into the next interval, whose first block calls
        chain.build()

    left = await resting()
    await done("revise", *AT_1, "--buy", "0.2:30", *ALICE)

    assert left == [(1, "buy", 300_000, 42)]  # two Wh of 60 are lost on the way
    assert await resting() == [(1, "buy", 200_000, 30)]


async def test_what_the_market_refuses_is_told_by_its_name() -> None:
    wrong = await market("order", "buy", *AT_1, "--wh", "500", "--price", "0.31", *ALICE)
    other = await market("order", "buy", *AT_1, "--wh", "500", *BOB)

    assert isinstance(wrong.exception, CallFailed) and "PriceOutOfBounds" in str(wrong.exception)
    assert isinstance(other.exception, CallFailed) and "NotConnectionOwner" in str(other.exception)


async def test_replacing_what_does_not_rest_says_so() -> None:
    result = await market("replace", FIRST, "--price", "0.13", "--wh", "400", *ALICE)

    assert isinstance(result.exception, NotFound)
    assert f"dret market orders --interval {K}" in str(result.exception)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("order", "hold", *AT_1, "--wh", "5"), "hold"),
        (("order", "buy", *AT_1), "--wh"),
        (("order", "buy", *AT_1, "--wh", "0"), "0"),
        (("order", "buy", *AT_1, "--wh", "500", "--price", "0.1234567"), "finer"),
        (("orders", "--interval", "soon"), "no interval"),
        (("orders", "--interval", "+97"), "+0 to +96"),
        (("orders", "--interval", "24:00"), "a quarter hour such as 22:15"),
        (("orders", "--interval", "-1"), "no interval"),
        (("orders", "--interval", str(2**32)), "no interval"),
        (("curve", *AT_1, *ALICE), "at least one step"),
        (("curve", *AT_1, "--buy", "0.12", *ALICE), "no step"),
        (("curve", *AT_1, "--buy", "0.12:0", *ALICE), "no step"),
        (("curve", *AT_1, "--buy", "x:10", *ALICE), "no number"),
        (("revise", *AT_1, *("--buy", "0.1:10") * 9, *ALICE), "9 steps"),
        (("replace", "x", "--price", "0.1", "--wh", "5"), "x"),
        (("cancel", str(2**64)), str(2**64)),
    ],
)
async def test_wrong_input_is_a_usage_error(arguments: tuple[str, ...], text: str) -> None:
    result = await market(*arguments)

    assert result.exit_code == 2
    assert text in result.output
