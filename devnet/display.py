"""What a local network looks like in a terminal: a banner, a live table, or lines of text.

Everything here turns a `Board` into text and reads nothing else. Columns have priorities: a narrow
terminal loses the least useful ones, never a digit of a port.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import trio
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from devnet.plan import Account, DevnetOptions, NodePlan
from devnet.status import Board, NodeView

REFRESH_S = 1.0
LINE_S = 10.0
INTERVALS_SHOWN = 6
WARNING = (
    "These are publicly known development keys: anybody can sign with them. "
    "Never use them where anything has value."
)


def banner(
    options: DevnetOptions, nodes: Sequence[NodePlan], accounts: Sequence[Account], shown: int
) -> RenderableType:
    """Ports, accounts and the warning. `shown` is how many of the accounts are listed."""
    ports = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("node", "role", "RPC", "p2p", "metrics"):
        ports.add_column(name, no_wrap=True)
    for node in nodes:
        name = f"{node.title} ({node.name})"
        ports.add_row(name, node.role, node.rpc_url, str(node.p2p_port), str(node.metrics_port))
    keys = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("account", "address", "secret"):
        keys.add_column(name, no_wrap=True)
    for account in accounts[:shown]:
        keys.add_row(account.name, account.address, account.suri)
    more = len(accounts) - shown
    rest = f"and {more} more: --config-out FILE lists them all" if more > 0 else ""
    return Group(
        Text(f"DRET devnet: grid {options.scenario}, {options.window} week", style="bold"),
        Text(f"Data and logs: {options.folder}. Ctrl-C stops everything; the next start resumes."),
        Text(),
        ports,
        Text(),
        keys,
        Text(rest, style="dim"),
        Text(WARNING, style="bold yellow"),
        Text(),
    )


def render(board: Board, states: Mapping[str, str], genesis_interval: int) -> RenderableType:
    """The live view. `states` says of each process what its keeper knows (up, down, stopped)."""
    market = market_table(board.market, genesis_interval)
    return Group(node_table(board, states), Text(), market, Text(status_line(board), style="dim"))


def node_table(board: Board, states: Mapping[str, str]) -> Table:
    """One row per node, one for the homes."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("node", no_wrap=True)
    for name in ("RPC", "best", "finalized", "peers", "pool"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for view in board.views:
        state = states.get(view.plan.name, "")
        table.add_row(
            view.plan.title,
            str(view.plan.rpc_port),
            *(_number(view, name) for name in ("best", "finalized", "peers", "pool")),
            state if view.answer is not None or state != "up" else "starting",
            style="" if view.answer is not None else "dim",
        )
    for name, state in states.items():
        if all(view.plan.name != name for view in board.views):
            table.add_row(name, "", "", "", "", "", state, style="" if state == "up" else "dim")
    return table


def market_table(market: Mapping[str, Any], genesis_interval: int) -> Table:
    """The latest settled intervals: volume, prices, local share."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("interval", justify="right", no_wrap=True)
    table.add_column("data", no_wrap=True)
    for name in ("traded kWh", "mean DRT/kWh", "lowest", "highest", "local share"):
        table.add_column(name, justify="right", no_wrap=True)
    for entry in list(market.get("recent", ()))[-INTERVALS_SHOWN:]:
        passed = entry["interval"] - genesis_interval
        table.add_row(
            str(passed),
            data_time(passed),
            f"{entry['volume_wh'] / 1_000:,.1f}",
            *(
                _price(entry.get(f"price_{name}_micro"), entry["volume_wh"])
                for name in ("mean", "min", "max")
            ),
            _share(entry.get("local_share_ppm")),
        )
    return table


def data_time(intervals_passed: int) -> str:
    """Weekday and time of the data that an interval replays; the week begins anew after 672."""
    days, quarter = divmod(intervals_passed % 672, 96)
    name = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[days]
    return f"{name} {quarter // 4:02}:{quarter % 4 * 15:02}"


def status_line(board: Board) -> str:
    """Everything in one line, for a terminal that is none."""
    up = sum(view.answer is not None for view in board.views)
    finalized = max((view.number("finalized") or 0 for view in board.views), default=0)
    market = board.market
    lag = board.finality_lag
    parts = [
        f"{up}/{len(board.views)} nodes",
        f"best #{board.best}",
        f"finalized #{finalized}",
        f"lag {lag if lag is not None else '-'}",
        f"{market.get('intervals_settled', 0)} intervals settled",
        f"{market.get('traded_wh', 0) / 1_000:,.1f} kWh traded",
    ]
    for name, unit in (("money_residual_nano", "nano"), ("energy_residual_wh", "Wh")):
        if market.get(name):
            parts.append(f"RESIDUAL {market[name]} {unit}")
    return " · ".join(parts)


async def show_live(
    console: Console, board: Board, states: Callable[[], Mapping[str, str]], genesis_interval: int
) -> None:
    """Redraw the table every second until cancelled; the terminal is restored in any case."""
    with Live(console=console, auto_refresh=False, transient=False) as live:
        while True:
            await board.refresh()
            live.update(render(board, states(), genesis_interval), refresh=True)
            await trio.sleep(REFRESH_S)


async def show_lines(write: Callable[[str], None], board: Board) -> None:
    """Write a line every ten seconds until cancelled."""
    while True:
        await trio.sleep(LINE_S)
        await board.refresh()
        write(status_line(board))


def _number(view: NodeView, name: str) -> str:
    value = view.number(name)
    return str(value) if value is not None else "-"


def _price(micro: int | None, volume_wh: int) -> str:
    return f"{micro / 1_000_000:.4f}" if micro is not None and volume_wh else "-"


def _share(ppm: int | None) -> str:
    # What is lost on the way is imported too, so with no local yield the share is just below zero.
    return f"{max(ppm, 0) / 10_000:.1f} %" if ppm is not None else "-"
