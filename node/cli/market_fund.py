"""`dret market fund` on a running chain: the liquidity fund and what it quotes."""

import json

import asyncclick as click

from node.cli.chain_access import OUTPUT, NodeAddress, Refused, ask, node_at, rpc_options, u32
from runtime.pallets.trading.fund import FundView
from runtime.pallets.trading.records import Side
from runtime.primitives.scale import U32

AHEAD = 2  # the next interval whose gate is open


@click.command()
@click.option("--interval", type=click.IntRange(0, 2**32 - 1), help="Default: the next open one.")
@OUTPUT
@rpc_options
async def fund(interval: int | None, output: str, node: NodeAddress) -> None:
    """Show the liquidity fund: its money, its bounds, and its quotes for an interval."""
    async with node_at(node) as link:
        if interval is None:
            interval = AHEAD + await ask(link, "Trading_current_interval", b"", U32)
        view = await ask(link, "Trading_fund", u32(interval), FundView | None)
    if view is None:
        raise Refused("This chain has no liquidity fund.")
    terms = view.fund.terms
    quotes = [
        {
            "side": "offer" if quote.side == Side.OFFER else "bid",
            "price_micro": quote.price_micro,
            "quantity_wh": quote.quantity_wh,
        }
        for quote in view.quotes
    ]
    if output == "json":
        content = {
            "connection": view.fund.connection,
            "cap_wh": terms.cap_wh,
            "spread_micro": terms.spread_micro,
            "free_nano": view.free_nano,
            "held_nano": view.held_nano,
            "interval": interval,
            "quotes": quotes,
        }
        click.echo(json.dumps(content))
        return
    click.echo(
        f"Connection {view.fund.connection}: {view.free_nano / 1e9:,.9f} DRT free, "
        f"{view.held_nano / 1e9:,.9f} DRT aside. At most {terms.cap_wh} Wh per interval, "
        f"a spread of {terms.spread_micro / 1e6:.6f} DRT per kWh."
    )
    click.echo(f"\nInterval {interval}:")
    for quote in quotes:
        price = int(quote["price_micro"]) / 1e6
        click.echo(f"{quote['side']:>8}{quote['quantity_wh']:>8} Wh at {price:.6f} DRT per kWh")
