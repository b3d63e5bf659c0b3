"""`dret market watch`: the market feed of a node as it comes."""

import json
from typing import Any

import asyncclick as click

from node.cli.chain_access import NodeAddress, node_at, rpc_options
from node.errors import NodeUnreachable

MICRO = 1_000_000


@click.command()
@click.option("--messages", type=click.IntRange(1), help="End after so many. Default: never.")
@click.option("--output", "-o", type=click.Choice(["text", "jsonl"]), default="text")
@rpc_options
async def watch(messages: int | None, output: str, node: NodeAddress) -> None:
    """Follow the market: blocks, trades, prices and settlements, at most once a second.

    With -o jsonl each message of dret_subscribeMarket is a line.
    """
    names = ("dret_subscribeMarket", (), "dret_unsubscribeMarket")
    count = 0
    async with node_at(node) as link, link.subscribe(*names) as feed:
        async for message in feed:
            if output == "jsonl":
                click.echo(json.dumps(message))
            else:
                show(message)
            count += 1
            if count == messages:
                return
    raise NodeUnreachable("The connection ended: the node stopped, or we did not keep up.")


def show(message: dict[str, Any]) -> None:
    """Print a message in a few lines."""
    best, finalized = message["best"], message["finalized"]
    if message["kind"] == "snapshot":
        market = message["market"]
        totals = market["totals"]
        click.echo(
            f"Block {best['number']}, final {finalized['number']}, interval {market['interval']}: "
            f"{totals['intervals_settled']} intervals settled, {totals['traded_wh']} Wh traded"
        )
        return
    for block_hash in message["retracted"]:
        click.echo(f"Block {block_hash} was left; what it traded does not count.")
    for block in message["blocks"]:
        sold = sum(trade["filled_wh"] for trade in block["trades"] if trade["side"] == "offer")
        fills = f", {len(block['trades'])} fills, {sold} Wh sold" if block["trades"] else ""
        click.echo(f"Block {block['number']}, final {finalized['number']}{fills}")
        for each in block["prices"]:
            prices = each["micro_per_kwh"]
            low, high = drt_per_kwh(min(prices)), drt_per_kwh(max(prices))
            click.echo(f"  interval {each['interval']}: {low} to {high} DRT/kWh over the buses")
        for each in block["settlements"]:
            again = " again" if each["times_corrected"] else ""
            click.echo(
                f"  interval {each['interval']} settled{again}: {each['import_wh']} Wh used, "
                f"{each['export_wh']} Wh made, {each['traded_wh']} Wh traded"
            )


def drt_per_kwh(micro: int) -> str:
    """A price for people."""
    sign, whole = ("-" if micro < 0 else ""), abs(micro)
    return f"{sign}{whole // MICRO}.{whole % MICRO:06d}"
