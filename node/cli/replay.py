"""`dret replay`: a scenario without a network."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import asyncclick as click

from devnet.plan import DEVICES, NO_DEVICES, TRADER_WH_MAX, WINDOWS

if TYPE_CHECKING:
    from devnet.replay import ReplayResult

DAYS_MAX = 366


@click.command()
@click.option("--scenario", required=True, help="A grid of the data.")
@click.option("--window", type=click.Choice(WINDOWS), required=True)
@click.option("--days", type=click.IntRange(1, DAYS_MAX), default=7, show_default=True)
@click.option("--data", type=click.Path(path_type=Path), help="A data folder; default: bundled.")
@click.option(
    "--trader-wh",
    type=click.IntRange(0, TRADER_WH_MAX),
    default=60_000,
    show_default=True,
    help="What the wholesale trader buys and sells per interval at most; 0 switches it off.",
)
@click.option(
    "--devices",
    type=click.Choice(DEVICES),
    default=NO_DEVICES,
    show_default=True,
    help="Cars, loads and batteries of homes: none, on their own, or with coupled orders.",
)
@click.option("--output", "-o", type=click.Choice(["text", "json"]), default="text")
def command(
    scenario: str,
    window: str,
    days: int,
    data: Path | None,
    trader_wh: int,
    devices: str,
    output: str,
) -> None:
    """Run a scenario without a network, as fast as it can, and print what came of it.

    The week repeats after seven days. Equal options give equal state roots on every machine.
    """
    from devnet.dataset import BUNDLED
    from devnet.replay import Replay
    from devnet.scenario import load_scenario

    found = load_scenario(data or BUNDLED, scenario, window)
    replay = Replay(found, days, trader_wh, devices=devices)
    if output == "json":
        click.echo(json.dumps(replay.run().as_json()))
        return
    total = replay.end - replay.first

    def show_progress(done: int) -> None:
        if sys.stderr.isatty() and done % 16 == 0:
            click.echo(f"\r{min(done, total)} of {total} intervals", err=True, nl=False)

    result = replay.run(show_progress)
    if sys.stderr.isatty():
        click.echo("\r" + " " * 40 + "\r", err=True, nl=False)
    show(result, replay.chain.failed)


def show(result: "ReplayResult", failed: int) -> None:
    """Print the result for people."""
    saved = result.bill_tariff_only_nano - result.bill_with_market_nano
    gains = (result.gain_least_nano, result.gain_median_nano, result.gain_most_nano)
    lines = [
        ("scenario", f"{result.scenario}, {result.window}, {result.days} day(s)"),
        ("intervals settled", f"{result.intervals_settled:,}"),
        ("blocks", f"{result.blocks:,}"),
        ("calls that failed", f"{failed:,}"),
        ("traded", f"{result.traded_wh:,} Wh"),
        ("tradable between homes", f"{result.tradable_wh:,} Wh"),
        ("of it settled locally", f"{result.local_wh:,} Wh"),
        ("of that by the auction", f"{result.local_by_auction_wh:,} Wh"),
        ("delivered by contracts", f"{result.contract_wh:,} Wh"),
        ("shared by the pool", f"{result.pool_wh:,} Wh"),
        ("bought of named sellers", f"{result.paired_wh:,} Wh"),
        ("of that delivered", f"{result.paired_delivered_wh:,} Wh"),
        ("of that green", f"{result.green_wh:,} Wh"),
        ("premiums for it", drt(result.premium_nano)),
        ("settled again", f"{result.times_corrected:,} intervals"),
        ("local share", f"{result.local_share_ppm / 10_000:.1f} %"),
        ("mean price", f"{result.mean_price_micro / 1e6:.4f} DRT/kWh"),
        ("bills with the market", drt(result.bill_with_market_nano)),
        ("bills on the tariff alone", drt(result.bill_tariff_only_nano)),
        ("saved", drt(saved)),
        ("homes worse off", f"{result.homes_worse_off:,}"),
        ("a home saved", " / ".join(drt(gain) for gain in gains)),
        ("edges over capacity", f"{result.edges_over_capacity:,}"),
        ("edges binding", f"{result.edges_binding:,}"),
        ("overloads by the meters", f"{result.metered_overloads:,}"),
        ("devices took / gave", f"{result.devices_taken_wh:,} / {result.devices_given_wh:,} Wh"),
        ("their orders", f"{result.sessions_ordered:,}, {result.sessions_accepted:,} accepted"),
        ("money residual", f"{result.money_residual_nano} nano-DRT"),
        ("energy residual", f"{result.energy_residual_wh} Wh"),
        ("state root", result.state_root),
        ("seconds", f"{result.seconds:.1f}"),
    ]
    for name, value in lines:
        click.echo(f"{name + ':':<27} {value}")


def drt(nano: int) -> str:
    """Money for people."""
    return f"{nano / 1e9:,.2f} DRT"
