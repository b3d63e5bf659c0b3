"""`dret market watch`: the feed as lines for people or for programs."""

import json
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from asyncclick.testing import CliRunner, Result

from node.cli import chain_access
from node.cli.market_watch import drt_per_kwh, watch
from node.errors import NodeUnreachable

HEAD = {"hash": "0x" + "11" * 32, "number": 9}
SNAPSHOT = {
    "kind": "snapshot",
    "best": HEAD,
    "finalized": HEAD,
    "market": {"interval": 7, "totals": {"intervals_settled": 3, "traded_wh": 70}},
}
BLOCK = {
    "number": 10,
    "trades": [
        {"side": "offer", "filled_wh": 40},
        {"side": "offer", "filled_wh": 20},
        {"side": "bid", "filled_wh": 59},
    ],
    "prices": [{"interval": 8, "micro_per_kwh": [90_000, -1_500]}],
    "settlements": [
        {"interval": 5, "times_corrected": 1, "import_wh": 3, "export_wh": 2, "traded_wh": 1}
    ],
}
DELTA = {"kind": "delta", "best": HEAD, "finalized": HEAD, "retracted": ["0xab"], "blocks": [BLOCK]}


class FeedLink:
    """A node whose feed has two messages."""

    is_up = True

    def __init__(self, host: str, port: int) -> None:
        pass

    async def run(self) -> None:
        await trio.sleep_forever()

    @asynccontextmanager
    async def subscribe(
        self, method: str, params: Sequence[Any], unsubscribe: str
    ) -> AsyncGenerator[Any]:
        assert (method, unsubscribe) == ("dret_subscribeMarket", "dret_unsubscribeMarket")
        send, receive = trio.open_memory_channel[Any](2)
        send.send_nowait(SNAPSHOT)
        send.send_nowait(DELTA)
        send.close()
        yield receive


@pytest.fixture(autouse=True)
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(chain_access, "Link", FeedLink)
    yield


async def run(*arguments: str) -> Result:
    result: Result = await CliRunner().invoke(watch, arguments)
    return result


async def test_messages_become_lines_for_people() -> None:
    text = (await run("--messages", "2")).output

    assert text.splitlines() == [
        "Block 9, final 9, interval 7: 3 intervals settled, 70 Wh traded",
        "Block 0xab was left; what it traded does not count.",
        "Block 10, final 9, 3 fills, 60 Wh sold",
        "  interval 8: -0.001500 to 0.090000 DRT/kWh over the buses",
        "  interval 5 settled again: 3 Wh used, 2 Wh made, 1 Wh traded",
    ]


async def test_messages_are_lines_of_json_for_programs() -> None:
    lines = (await run("--messages", "2", "-o", "jsonl")).output.splitlines()

    assert [json.loads(line) for line in lines] == [SNAPSHOT, DELTA]


async def test_a_feed_that_ends_is_told() -> None:
    result = await run()

    assert isinstance(result.exception, NodeUnreachable)


def test_prices_have_six_decimals_and_their_sign() -> None:
    assert [drt_per_kwh(micro) for micro in (0, 1, -1, 1_234_567)] == [
        "0.000000",
        "0.000001",
        "-0.000001",
        "1.234567",
    ]
