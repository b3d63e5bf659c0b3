"""What the terminal shows, from answers of nodes that are not there."""

from collections.abc import Mapping
from typing import Any

import pytest
from rich.console import Console, RenderableType

from devnet import display
from devnet.plan import Account, DevnetOptions, plan_nodes
from devnet.rpc_client import Link
from devnet.status import Board, Finding, ask_audit, status_json
from node.cli.devnet import report_invariants
from node.errors import NodeError, NodeUnreachable
from runtime.primitives.scale import codec

MARKET = {
    "intervals_settled": 3,
    "traded_wh": 12_500,
    "money_residual_nano": 0,
    "energy_residual_wh": 0,
    "recent": [
        {
            "interval": 1_000 + 96 + 5,
            "volume_wh": 4_200,
            "price_mean_micro": 212_345,
            "price_min_micro": 200_000,
            "price_max_micro": 220_000,
            "local_share_ppm": 625_000,
        }
    ],
}


def answer(best: int, finalized: int, market: Mapping[str, Any] = MARKET) -> dict[str, Any]:
    return {"best": best, "finalized": finalized, "peers": 5, "pool": 7, "market": market}


class AnsweringLink(Link):
    """A node that answers one thing, or fails."""

    def __init__(self, answer: str | Exception) -> None:
        super().__init__("nowhere", 0)
        self.answer, self.asked = answer, ("", [""])

    async def call(self, method: str, params: Any = ()) -> Any:
        self.asked = (method, params)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def make_board(*answers: Mapping[str, Any] | None) -> Board:
    board = Board.of(plan_nodes())
    for view, said in zip(board.views, answers, strict=False):
        view.answer = said
    return board


def shown(what: RenderableType, width: int = 120) -> str:
    console = Console(width=width, force_terminal=False, color_system=None)
    with console.capture() as capture:
        console.print(what)
    return capture.get()


def test_the_banner_lists_ports_and_accounts_and_warns_of_the_keys() -> None:
    accounts = [Account(f"home {n}", f"5Home{n}", f"//Home//{n}") for n in range(10)]

    text = shown(display.banner(DevnetOptions(), plan_nodes(), accounts, 2), width=80)

    assert "ws://127.0.0.1:9944  30333  9615" in text
    assert "Sunny Street (sunny-street)" in text
    assert "//Home//1" in text and "//Home//2" not in text
    assert "and 8 more" in text
    assert "publicly known" in text


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_shows_nodes_and_intervals_without_cutting_a_number(width: int) -> None:
    board = make_board(answer(120, 118), answer(121, 118))

    text = shown(
        display.render(board, {"alice": "up", "bob": "up", "homes": "stopped"}, 1_000), width
    )

    for part in ("Utility North", "9944", "121", "118", "stopped", "4.2", "0.2123", "62.5 %"):
        assert part in text
    assert "Tue 01:15" in text


def test_the_line_says_how_far_the_network_is() -> None:
    line = display.status_line(make_board(answer(120, 118), None, answer(121, 117)))

    assert line == (
        "2/6 nodes · best #121 · finalized #118 · lag 4 · 3 intervals settled · 12.5 kWh traded"
    )


def test_a_residual_is_shouted() -> None:
    board = make_board(answer(1, 1, {**MARKET, "money_residual_nano": 5}))

    assert "RESIDUAL 5 nano" in display.status_line(board)


def test_status_has_the_fields_for_scripts_with_none_for_a_node_that_is_down() -> None:
    content = status_json(make_board(answer(9, 8)), {"alice": None, "bob": None})

    assert set(content) == {
        "nodes",
        "finality_lag_blocks",
        "intervals_settled",
        "traded_wh",
        "money_residual_nano",
        "energy_residual_wh",
        "invariants",
    }
    assert content["invariants"] is None
    nodes = content["nodes"]
    assert isinstance(nodes, list)
    assert nodes[0]["best"] == 9 and nodes[0]["name"] == "alice"
    assert nodes[1]["best"] is None and nodes[1]["rss_bytes"] is None
    assert content["finality_lag_blocks"] == 1


async def test_the_node_that_is_furthest_is_asked_whether_promises_are_kept() -> None:
    findings = [Finding("every bus is balanced", False, ["interval 7"])]
    board = make_board(answer(9, 8))
    link = AnsweringLink("0x" + codec(list[Finding]).encode(findings).hex())
    board.views[0].link = link

    found = await ask_audit(board)

    assert found == findings
    assert link.asked == ("state_call", ["Trading_audit", "0x"])
    assert status_json(board, {}, found)["invariants"] == [
        {"promise": "every bus is balanced", "is_kept": False, "details": ["interval 7"]}
    ]


async def test_without_a_node_nobody_knows_whether_promises_are_kept() -> None:
    board = make_board(answer(9, 8))
    board.views[0].link = AnsweringLink(NodeUnreachable("gone"))

    assert await ask_audit(board) is None
    assert await ask_audit(Board()) is None


def test_broken_promises_are_told_and_fail_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    kept: dict[str, Any] = {"promise": "payables sum", "is_kept": True, "details": []}
    broken = {"promise": "every bus is balanced", "is_kept": False, "details": ["interval 7"]}

    report_invariants([kept])
    report_invariants(None)
    with pytest.raises(NodeError, match="breaks promises"):
        report_invariants([kept, broken])

    output = capsys.readouterr().out
    assert "1 of 1 kept" in output
    assert "unknown: no node answers" in output
    assert "BROKEN         every bus is balanced: interval 7" in output
