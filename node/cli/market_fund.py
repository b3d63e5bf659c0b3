"""`dret market fund` on a running chain: the liquidity fund, its quotes, and shares in it."""

import json
from decimal import Decimal

import asyncclick as click

from devnet import calls
from devnet.rpc_client import Link
from node.cli.amounts import MONEY, NANO
from node.cli.chain_access import (
    OUTPUT,
    NodeAddress,
    Refused,
    Signer,
    account_of_text,
    ask,
    node_at,
    rpc_options,
    signer_options,
    submit,
    u32,
)
from runtime.pallets.trading.fund import FundView
from runtime.pallets.trading.fund_shares import FundHolding, FundValue
from runtime.pallets.trading.records import Side
from runtime.primitives.scale import U32
from runtime.primitives.types import AccountId

AHEAD = 2  # the next interval whose gate is open
SHARES_END = 1 << 96


@click.group(invoke_without_command=True)
@click.option("--interval", type=click.IntRange(0, 2**32 - 1), help="Default: the next open one.")
@OUTPUT
@rpc_options
@click.pass_context
async def fund(
    context: click.Context, interval: int | None, output: str, node: NodeAddress
) -> None:
    """Show the liquidity fund: its money, its bounds, and its quotes for an interval; or buy shares
    in it and give them back.
    """
    if context.invoked_subcommand is None:
        await show(interval, output, node)


async def show(interval: int | None, output: str, node: NodeAddress) -> None:
    """The fund itself."""
    async with node_at(node) as link:
        if interval is None:
            interval = AHEAD + await ask(link, "Trading_current_interval", b"", U32)
        view = await ask(link, "Trading_fund", u32(interval), FundView | None)
        value = await ask(link, "Trading_fund_value", b"", FundValue | None)
    if view is None or value is None:
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
            "shares_issued": value.issued,
            "redeemed_nano": value.redeemed_nano,
            "sold_nano": value.sold_nano,
            "redemptions_waiting": value.waiting,
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
    click.echo(
        f"{value.issued:,} shares: {drt(value.redeemed_nano)} for who leaves, "
        f"{drt(value.sold_nano)} for who comes; {value.waiting} requests wait."
    )
    click.echo(f"\nInterval {interval}:")
    for quote in quotes:
        price = int(quote["price_micro"]) / 1e6
        click.echo(f"{quote['side']:>8}{quote['quantity_wh']:>8} Wh at {price:.6f} DRT per kWh")


@fund.command()
@click.option("--amount", type=MONEY, required=True, help="DRT to put in; at least 1.")
@click.option(
    "--shares-min",
    type=click.IntRange(0, SHARES_END - 1),
    default=0,
    help="Refused if it buys fewer.",
)
@signer_options
@rpc_options
async def buy(amount: int, shares_min: int, signer: Signer, node: NodeAddress) -> None:
    """Buy shares in the fund, at the price of who comes."""
    if amount <= 0:
        raise click.UsageError(f"--amount is {amount} nano-DRT; it must be above 0.")
    pair = signer.pair()
    async with node_at(node) as link:
        before = await holding_of(link, pair.account)
        await submit(link, pair, calls.buy_fund_shares(amount, shares_min))
        after = await holding_of(link, pair.account)
    bought = after.shares - before.shares
    if bought <= 0:
        raise Refused(
            "The chain refused: less than 1 DRT, fewer shares than --shares-min, not enough money, "
            "or there is no fund. `dret market fund` shows its price."
        )
    click.echo(f"Bought {bought:,} shares for {drt(amount)}; {after.shares:,} in all.")


@fund.command()
@click.option("--shares", type=click.IntRange(1, SHARES_END - 1), help="How many.")
@click.option("--all", "is_all", is_flag=True, help="All of them.")
@signer_options
@rpc_options
async def redeem(shares: int | None, is_all: bool, signer: Signer, node: NodeAddress) -> None:
    """Leave the fund with shares: they are paid when all that is open now is settled."""
    if (shares is None) == (not is_all):
        raise click.UsageError("Give either --shares N or --all.")
    pair = signer.pair()
    async with node_at(node) as link:
        before = await holding_of(link, pair.account)
        wanted = before.shares if shares is None else shares
        if before.leaving is not None:
            raise Refused(
                f"{before.leaving.shares:,} shares of this account wait to be paid already; one "
                "request at a time."
            )
        if not 0 < wanted <= before.shares:
            raise Refused(f"The account has {before.shares:,} shares, not {wanted:,}.")
        await submit(link, pair, calls.redeem_fund_shares(wanted))
        after = await holding_of(link, pair.account)
    if after.shares != before.shares - wanted:
        raise Refused(
            "The chain refused: a rest of fewer than 1 000 000 shares, or a full queue; try --all, "
            "or later."
        )
    until = f"interval {after.leaving.until} is settled" if after.leaving else "now"
    click.echo(f"{wanted:,} shares leave the fund; they are paid when {until}.")


@fund.command()
@click.option("--account", required=True, help="An address.")
@OUTPUT
@rpc_options
async def holding(account: str, output: str, node: NodeAddress) -> None:
    """Show what somebody has in the fund."""
    who = account_of_text(account)
    async with node_at(node) as link:
        found = await holding_of(link, who)
    leaving = found.leaving
    if output == "json":
        content = {
            "shares": found.shares,
            "value_nano": found.value_nano,
            "leaving": leaving and {"shares": leaving.shares, "until": leaving.until},
        }
        click.echo(json.dumps(content))
        return
    click.echo(f"{found.shares:,} shares, with what leaves worth {drt(found.value_nano)}.")
    if leaving is not None:
        click.echo(f"{leaving.shares:,} more leave when interval {leaving.until} is settled.")


async def holding_of(link: Link, account: AccountId) -> FundHolding:
    """What an account has in the fund."""
    return await ask(link, "Trading_fund_holding", account, FundHolding)


def drt(nano: int) -> str:
    """Money for people."""
    return f"{Decimal(nano) / NANO:,.9f} DRT"
