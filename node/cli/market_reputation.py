"""`dret market reputation` on a running chain: what a connection has kept of its promises."""

import json

import asyncclick as click

from node.cli.chain_access import OUTPUT, NodeAddress, Refused, ask, node_at, rpc_options, u32
from runtime.pallets.trading.reputation import Scores

PERCENT = 10_000  # parts per million


@click.command()
@click.option("--connection", type=click.IntRange(1, 2**32 - 1), required=True, help="Its number.")
@OUTPUT
@rpc_options
async def reputation(connection: int, output: str, node: NodeAddress) -> None:
    """Show what a connection kept of its promises, and what that costs it in collateral."""
    async with node_at(node) as link:
        scores = await ask(link, "Trading_reputation", u32(connection), Scores | None)
    if scores is None:
        raise Refused(f"There is no connection {connection}.")
    known = scores.reputation
    if output == "json":
        names = ("kept_ppm", "paid_ppm", "read_ppm", "factor_ppm")
        sums = ("sold_wh", "delivered_wh", "bought_wh", "taken_wh")
        content = {name: getattr(scores, name) for name in names}
        content |= {name: getattr(known, name) for name in sums}
        click.echo(json.dumps({"connection": connection, **content}))
        return
    click.echo(f"Connection {connection}, each day worth 2 % less than the day after:")
    click.echo(f"  sold {known.sold_wh} Wh, delivered {known.delivered_wh} Wh of it")
    click.echo(f"  bought {known.bought_wh} Wh, took {known.taken_wh} Wh of it")
    click.echo(
        f"  kept {scores.kept_ppm / PERCENT:.1f} %, paid after {scores.paid_ppm / PERCENT:.1f} % "
        f"of its settlements, {scores.read_ppm / PERCENT:.1f} % of its readings came"
    )
    click.echo(
        f"In two days deviations count {scores.factor_ppm / 1e6:.2f} times for its collateral."
    )
