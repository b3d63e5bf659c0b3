"""`dret market order`, `curve`, `replace`, `revise`, `cancel` and `orders` on a running chain.

Intervals are typed as everywhere, see `intervals`. What became of a call is told by the events of
its extrinsic; a call that fails names the market's error.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, cast

import asyncclick as click

from devnet import calls
from devnet.rpc_client import Link
from node.cli.amounts import PRICE
from node.cli.chain_access import (
    OUTPUT,
    NodeAddress,
    Signer,
    ask,
    node_at,
    rpc_options,
    signer_options,
    u32,
)
from node.cli.chain_view import catalogue_of
from node.cli.intervals import INTERVAL, INTERVAL_HELP, INTERVAL_MAX, When, number_of
from node.cli.market_chain import CONNECTION
from node.cli.market_receipts import RECEIPT, send_with_receipt
from node.cli.transactions import Outcome, follow, signed
from node.client.signing import ERA_BLOCKS
from node.errors import NotFound
from runtime.pallets.trading.records import (
    ORDERS_PER_HOLDING_MAX,
    EnergyRight,
    OpenOrder,
    Side,
    parts_of,
)

ENERGY_WH_MAX = 2**26 - 1
INCLUDED_S = 60.0  # ten blocks of the slowest chain
ORDER_ID_MAX = 2**64 - 1
MICRO = 10**6


class Step(NamedTuple):
    """A step of a curve."""

    price_micro: int
    quantity_wh: int


class StepType(click.ParamType[Step]):
    """A limit in DRT per kWh and an energy in Wh."""

    name = "DRT:WH"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Step:
        """The step; refused with what is wrong of it."""
        price, colon, wh = str(value).partition(":")
        if not colon or not wh.isascii() or not wh.isdigit() or not 0 < int(wh) <= ENERGY_WH_MAX:
            self.fail(
                f"{value!r} is no step: expected DRT per kWh, a colon and Wh, like 0.12:500",
                param,
                ctx,
            )
        return Step(PRICE.convert(price, param, ctx), int(wh))


AT = click.option("--interval", type=INTERVAL, required=True, help=INTERVAL_HELP)
QUANTITY = click.option(
    "--wh", "quantity_wh", type=click.IntRange(1, ENERGY_WH_MAX), required=True, help="Energy."
)
LIMIT_HELP = "Limit in DRT per kWh."
BUY = click.option("--buy", type=StepType(), multiple=True, help="A bid, like 0.12:500.")
SELL = click.option("--sell", type=StepType(), multiple=True, help="An offer, like 0.05:500.")
ORDER_ID = click.argument("order_id", type=click.IntRange(0, ORDER_ID_MAX))


@click.command()
@click.argument("side", type=click.Choice(["buy", "sell"]))
@CONNECTION
@AT
@QUANTITY
@click.option("--price", type=PRICE, help=f"{LIMIT_HELP} Default: a market order.")
@RECEIPT
@OUTPUT
@signer_options
@rpc_options
async def order(
    side: str,
    connection: int,
    interval: When,
    quantity_wh: int,
    price: int | None,
    receipt: Path | None,
    output: str,
    signer: Signer,
    node: NodeAddress,
) -> None:
    """Buy or sell energy of an interval, good till its gate.

    With --price at that limit or better; without, at the market: whatever its calls give, never
    worse than the tariff.
    """
    number = calls.BID if side == "buy" else calls.OFFER
    async with node_at(node) as link:
        when = await number_of(link, interval)
        if price is None:
            call = calls.place_market_order(connection, when, number, quantity_wh)
        else:
            call = calls.place_orders(connection, when, [calls.Terms(number, price, quantity_wh)])
        show(await send(link, signer, call, receipt), output)


@click.command()
@CONNECTION
@AT
@BUY
@SELL
@RECEIPT
@OUTPUT
@signer_options
@rpc_options
async def curve(
    connection: int,
    interval: When,
    buy: Sequence[Step],
    sell: Sequence[Step],
    receipt: Path | None,
    output: str,
    signer: Signer,
    node: NodeAddress,
) -> None:
    """Place the steps of a price curve, all or none, beside what rests already."""
    terms = terms_of(buy, sell)
    if not terms:
        raise click.UsageError("A curve has at least one step: add --buy or --sell.")
    async with node_at(node) as link:
        when = await number_of(link, interval)
        show(await send(link, signer, calls.place_orders(connection, when, terms), receipt), output)


@click.command()
@ORDER_ID
@QUANTITY
@click.option("--price", type=PRICE, required=True, help=LIMIT_HELP)
@RECEIPT
@OUTPUT
@signer_options
@rpc_options
async def replace(
    order_id: int,
    quantity_wh: int,
    price: int,
    receipt: Path | None,
    output: str,
    signer: Signer,
    node: NodeAddress,
) -> None:
    """Put another limit and quantity in the place of an order."""
    async with node_at(node) as link:
        left_wh = await left_of(link, order_id)
        call = calls.replace_order(order_id, left_wh, price, quantity_wh)
        show(await send(link, signer, call, receipt), output)


@click.command()
@CONNECTION
@AT
@BUY
@SELL
@RECEIPT
@OUTPUT
@signer_options
@rpc_options
async def revise(
    connection: int,
    interval: When,
    buy: Sequence[Step],
    sell: Sequence[Step],
    receipt: Path | None,
    output: str,
    signer: Signer,
    node: NodeAddress,
) -> None:
    """Put a whole curve in the place of everything that rests of a connection.

    Without --buy and --sell all of it is taken back.
    """
    terms = terms_of(buy, sell)
    async with node_at(node) as link:
        when = await number_of(link, interval)
        net_wh = await position_of(link, connection, when)
        call = calls.replace_orders(connection, when, net_wh, terms)
        show(await send(link, signer, call, receipt), output)


@click.command()
@ORDER_ID
@RECEIPT
@OUTPUT
@signer_options
@rpc_options
async def cancel(
    order_id: int, receipt: Path | None, output: str, signer: Signer, node: NodeAddress
) -> None:
    """Take back what is not filled of an order."""
    async with node_at(node) as link:
        show(await send(link, signer, calls.cancel_order(order_id), receipt), output)


@click.command()
@AT
@click.option("--connection", type=click.IntRange(0), help="Only of this one.")
@OUTPUT
@rpc_options
async def orders(interval: When, connection: int | None, output: str, node: NodeAddress) -> None:
    """Show what rests in the book of an interval."""
    async with node_at(node) as link:
        when = await number_of(link, interval)
        book = await ask(link, "Trading_order_book", u32(when), list[OpenOrder])
    found = [each for each in book if connection in (None, each.connection)]
    if output == "json":
        click.echo(json.dumps([row_of(each) for each in found]))
        return
    click.echo(f"Interval {when}: {len(found)} open orders.")
    if found:
        click.echo(
            f"\n{'order':>22}{'connection':>12}{'bus':>6}{'side':>6}{'DRT/kWh':>12}{'Wh':>10}"
        )
    for each in found:
        click.echo(
            f"{each.order_id:>22}{each.connection:>12}{each.bus:>6}{word_of(each.side):>6}"
            f"{each.price_micro / MICRO:>12.6f}{each.quantity_wh:>10}"
        )


# --- the chain


async def left_of(link: Link, order_id: int) -> int:
    """How much of an open order is not filled. Raises `NotFound`."""
    interval = parts_of(order_id)[0] & INTERVAL_MAX
    book = await ask(link, "Trading_order_book", u32(interval), list[OpenOrder])
    for each in book:
        if each.order_id == order_id:
            return each.quantity_wh
    raise NotFound(
        f"No order {order_id} rests in interval {interval}: it was filled, taken back, or expired "
        f"at the gate. What rests: dret market orders --interval {interval}"
    )


async def position_of(link: Link, connection: int, interval: int) -> int:
    """What a connection has bought less sold."""
    rights = await ask(link, "Trading_positions", u32(interval), list[EnergyRight])
    return sum(each.buy_wh - each.sell_wh for each in rights if each.connection == connection)


async def send(link: Link, signer: Signer, call: bytes, receipt: Path | None = None) -> Outcome:
    """Sign a call and wait until a block has it. Raises `NodeError` if it is not done.

    With a file for a receipt, the node has to promise inclusion first.
    """
    catalogue = await catalogue_of(link)
    extrinsic = await signed(link, catalogue, signer.pair(), call, None, 0, ERA_BLOCKS)
    if receipt is None:
        outcome = await follow(link, extrinsic, "block", INCLUDED_S, lambda _: None)
    else:
        outcome = await send_with_receipt(link, extrinsic, receipt)
    outcome.check()
    return outcome


# --- words


def terms_of(buy: Sequence[Step], sell: Sequence[Step]) -> list[calls.Terms]:
    """The orders of a curve."""
    terms = [
        calls.Terms(side, step.price_micro, step.quantity_wh)
        for side, steps in ((calls.BID, buy), (calls.OFFER, sell))
        for step in steps
    ]
    if len(terms) > ORDERS_PER_HOLDING_MAX:
        raise click.UsageError(
            f"{len(terms)} steps: a connection has at most {ORDERS_PER_HOLDING_MAX} open orders."
        )
    return terms


def show(outcome: Outcome, output: str) -> None:
    """What came and went, by the events of the extrinsic."""
    if output == "json":
        click.echo(json.dumps(outcome.as_json()))
        return
    for event in outcome.events:
        if event.name == "Trading.OrderCancelled":
            fields = cast("dict[str, int]", event.fields)
            click.echo(f"Order {fields['order_id']} is taken back: {fields['quantity_wh']} Wh.")
        elif event.name == "Trading.OrderPlaced":
            placed = cast("dict[str, int]", event.fields)
            side = word_of(Side[str(placed["side"]).upper()])
            click.echo(
                f"Order {placed['order_id']} stands: {side} "
                f"{placed['quantity_wh']} Wh at {placed['price_micro'] / MICRO:.6f} DRT/kWh "
                f"in interval {placed['interval']}."
            )
    click.echo(f"In block {outcome.number}.")


def row_of(order: OpenOrder) -> dict[str, object]:
    """An open order by the names of its fields."""
    names = (name for name in order.__struct_fields__ if name != "side")
    return {"side": word_of(order.side), **{name: getattr(order, name) for name in names}}


def word_of(side: int) -> str:
    """A side as it is typed."""
    return "buy" if side == Side.BID else "sell"
