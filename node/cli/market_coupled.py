"""`dret market block|flexible|ev|battery|coupled`: orders over several intervals.

Intervals are typed as everywhere, see `intervals`.
"""

import json
import re
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation

import asyncclick as click

from devnet import calls
from devnet.rpc_client import Link
from node.cli.amounts import MICRO, NANO, PRICE
from node.cli.chain_access import (
    OUTPUT,
    NodeAddress,
    Refused,
    Signer,
    ask,
    node_at,
    rpc_options,
    signer_options,
    submit,
    u32,
)
from node.cli.intervals import INTERVAL, SLOTS_PER_DAY, When, numbers_of
from runtime.pallets.trading.coupled_accepted import CoupledSchedule
from runtime.pallets.trading.coupled_records import (
    BLOCKS_MAX,
    Battery,
    Block,
    Blocks,
    CoupledEntry,
    CoupledTerms,
    Flexible,
    Vehicle,
)
from runtime.pallets.trading.coupled_terms import intervals_of
from runtime.pallets.trading.records import Side
from runtime.primitives.scale import codec

ENERGY = click.IntRange(0, 2**32 - 1)
CONNECTION = click.option("--connection", type=click.IntRange(1), required=True, help="Its number.")
SIDE = click.option("--side", type=click.Choice(["bid", "offer"]), default="bid", show_default=True)


class BlockText(click.ParamType[tuple[When, tuple[int, ...], int]]):
    """A block: where it begins, its energies, its limit."""

    name = "FIRST=WH,WH,...@PRICE"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[When, tuple[int, ...], int]:
        """The three parts of a block."""
        match = re.fullmatch(r"([^=@]+)=(\d{1,9}(?:,\d{1,9})*)@(.+)", str(value), re.ASCII)
        if not match:
            self.fail(f"{value!r} is no block: write for example +4=200,200,0,300@0.12", param, ctx)
        energies = tuple(int(wh) for wh in match[2].split(","))
        first = INTERVAL.convert(match[1], param, ctx)
        return first, energies, PRICE.convert(match[3], param, ctx)


class Ratio(click.ParamType[int]):
    """A ratio from 0 to 1, in ppm."""

    name = "ratio"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """The ratio in ppm; one that is finer is refused."""
        try:
            ratio = Decimal(str(value)) * MICRO
        except InvalidOperation:
            self.fail(f"{value!r} is no number", param, ctx)
        if not ratio.is_finite() or not 0 < ratio <= MICRO or ratio != int(ratio):
            self.fail(f"{value!r}: expected above 0, at most 1, six decimals", param, ctx)
        return int(ratio)


BLOCK, RATIO = BlockText(), Ratio()
FIRST = click.option("--first", type=INTERVAL, required=True, help="4711, +4 or 22:00.")
LAST = click.option("--last", type=INTERVAL, required=True, help="Included.")


@click.command()
@CONNECTION
@SIDE
@click.argument("blocks", type=BLOCK, nargs=-1, required=True)
@click.option("--part", type=RATIO, default="1", help="The least part to accept; 1: all or none.")
@signer_options
@rpc_options
async def block(
    connection: int,
    side: str,
    blocks: tuple[tuple[When, tuple[int, ...], int], ...],
    part: int,
    signer: Signer,
    node: NodeAddress,
) -> None:
    """Place a block over linked intervals, or several of which at most one is accepted.

    A block is FIRST=WH,WH,...@PRICE, such as +4=200,200,0,300@0.12: from four intervals ahead on,
    pausing in the third, for at most (an offer: at least) 0.12 DRT per kWh over all of it.
    """
    if len(blocks) > BLOCKS_MAX:
        raise click.UsageError(f"{len(blocks)} blocks; a group has at most {BLOCKS_MAX}.")

    def terms(numbers: Sequence[int]) -> CoupledTerms:
        return Blocks(
            tuple(
                Block(Side[side.upper()], price, first, energies, part)
                for first, (_, energies, price) in zip(numbers, blocks, strict=True)
            )
        )

    firsts = [first for first, _, _ in blocks]
    await place(connection, firsts, terms, signer, node, is_window=False)


@click.command()
@CONNECTION
@SIDE
@click.option("--price", type=PRICE, required=True, help="DRT per kWh.")
@click.option("--energy-wh", type=ENERGY, required=True)
@click.option("--duration", type=click.IntRange(1, SLOTS_PER_DAY), default=1, show_default=True)
@FIRST
@LAST
@signer_options
@rpc_options
async def flexible(
    connection: int,
    side: str,
    price: int,
    energy_wh: int,
    duration: int,
    first: When,
    last: When,
    signer: Signer,
    node: NodeAddress,
) -> None:
    """Place energy in DURATION intervals on end, whenever it suits between FIRST and LAST."""

    def terms(numbers: Sequence[int]) -> CoupledTerms:
        return Flexible(Side[side.upper()], price, energy_wh, duration, *numbers)

    await place(connection, [first, last], terms, signer, node)


@click.command()
@CONNECTION
@click.option("--price", type=PRICE, required=True, help="At most, over all of it, DRT per kWh.")
@click.option("--energy-wh", type=ENERGY, required=True, help="What the car needs.")
@click.option("--power-w", type=ENERGY, required=True, help="What the charger can.")
@FIRST
@LAST
@signer_options
@rpc_options
async def ev(
    connection: int,
    price: int,
    energy_wh: int,
    power_w: int,
    first: When,
    last: When,
    signer: Signer,
    node: NodeAddress,
) -> None:
    """Charge a car between FIRST and the end of LAST, its deadline, when energy is cheapest."""

    def terms(numbers: Sequence[int]) -> CoupledTerms:
        return Vehicle(price, energy_wh, power_w, *numbers)

    await place(connection, [first, last], terms, signer, node)


@click.command()
@CONNECTION
@FIRST
@LAST
@click.option("--capacity-wh", type=ENERGY, required=True)
@click.option("--stored-wh", type=ENERGY, required=True, help="When FIRST begins.")
@click.option("--stored-end-wh", type=ENERGY, help="When LAST ends; default: as at the beginning.")
@click.option("--charge-w", type=ENERGY, required=True)
@click.option("--discharge-w", type=ENERGY, required=True)
@click.option("--efficiency", type=RATIO, default="0.95", show_default=True, help="Each way.")
@click.option("--wear", type=PRICE, default="0", help="DRT per kWh that it gives.")
@signer_options
@rpc_options
async def battery(
    connection: int,
    first: When,
    last: When,
    capacity_wh: int,
    stored_wh: int,
    stored_end_wh: int | None,
    charge_w: int,
    discharge_w: int,
    efficiency: int,
    wear: int,
    signer: Signer,
    node: NodeAddress,
) -> None:
    """Let a battery buy and sell between FIRST and LAST if that pays for losses and wear."""
    end_wh = stored_wh if stored_end_wh is None else stored_end_wh

    def terms(numbers: Sequence[int]) -> CoupledTerms:
        return Battery(
            numbers[0],
            numbers[1],
            capacity_wh,
            stored_wh,
            end_wh,
            charge_w,
            discharge_w,
            efficiency,
            wear,
        )

    await place(connection, [first, last], terms, signer, node)


@click.group()
def coupled() -> None:
    """Orders over several intervals that wait: list them, take one back."""


@coupled.command(name="list")
@OUTPUT
@rpc_options
async def list_(output: str, node: NodeAddress) -> None:
    """Show the coupled orders that no call has accepted yet."""
    async with node_at(node) as link:
        entries = await ask(link, "Trading_coupled_orders", b"", list[CoupledEntry])
    rows = [row_of(entry) for entry in entries]
    if output == "json":
        click.echo(json.dumps(rows))
        return
    click.echo(f"{'order':>20} {'connection':>10} {'kind':<9} {'first':>10} {'last':>10}  held DRT")
    for row in rows:
        held = Decimal(str(row["held_nano"])) / NANO
        click.echo(
            f"{row['order']:>20} {row['connection']:>10} {row['kind']:<9} "
            f"{row['first']:>10} {row['last']:>10}  {held:.9f}"
        )


def row_of(entry: CoupledEntry) -> dict[str, object]:
    """A waiting order by its names."""
    terms = entry.order.terms
    named = intervals_of(terms)
    return {
        "order": entry.order_id,
        "connection": entry.order.connection,
        "kind": type(terms).__name__.lower(),
        "first": named[0],
        "last": named[-1],
        "held_nano": entry.order.held_nano,
    }


@coupled.command()
@CONNECTION
@OUTPUT
@rpc_options
async def schedule(connection: int, output: str, node: NodeAddress) -> None:
    """Show what coupled orders of a connection were accepted with: what its devices do."""
    async with node_at(node) as link:
        found = await ask(link, "Trading_coupled_schedules", u32(connection), list[CoupledSchedule])
    if output == "json":
        rows = [
            {"order": each.order_id, "first": each.first, "energies_wh": list(each.energies_wh)}
            for each in found
        ]
        click.echo(json.dumps(rows))
        return
    click.echo(f"{'order':>20} {'interval':>10} {'Wh':>8}")
    for each in found:
        for number, wh in enumerate(each.energies_wh):
            if wh:
                click.echo(f"{each.order_id:>20} {each.first + number:>10} {wh:>8}")


@coupled.command()
@click.argument("order", type=click.IntRange(0, 2**64 - 1))
@signer_options
@rpc_options
async def cancel(order: int, signer: Signer, node: NodeAddress) -> None:
    """Take back a coupled order that waits."""
    async with node_at(node) as link:
        before = await waiting(link)
        if order not in [entry.order_id for entry in before]:
            raise Refused(f"No coupled order {order} waits: it was accepted, taken back, or late.")
        await submit(link, signer.pair(), calls.cancel_coupled(order))
        after = await waiting(link)
    if order in [entry.order_id for entry in after]:
        raise Refused("The chain refused: not your connection, or too many calls this interval.")
    click.echo(f"Coupled order {order} does not wait any more.")


async def waiting(link: Link) -> list[CoupledEntry]:
    """The coupled orders that wait."""
    return await ask(link, "Trading_coupled_orders", b"", list[CoupledEntry])


async def place(
    connection: int,
    written: list[When],
    terms_of: Callable[[Sequence[int]], CoupledTerms],
    signer: Signer,
    node: NodeAddress,
    *,
    is_window: bool = True,
) -> None:
    """Place a coupled order and say what became of it. `written`: the intervals it says; of a
    window the end comes after the beginning.
    """
    pair = signer.pair()
    async with node_at(node) as link:
        numbers = await numbers_of(link, written, is_window=is_window)
        terms = terms_of(numbers)
        await submit(link, pair, calls.place_coupled(connection, codec(CoupledTerms).encode(terms)))
        entries = await waiting(link)
    for entry in entries:
        if entry.order.connection == connection and entry.order.terms == terms:
            held = Decimal(entry.order.held_nano) / NANO
            named = intervals_of(terms)
            click.echo(
                f"Coupled order {entry.order_id} waits for the calls until the gate of interval "
                f"{named[0]}; {held:.9f} DRT are kept aside."
            )
            return
    raise Refused(
        "The order does not wait: the chain refused it (not your connection, the terms, the "
        "capacity, the money), or a call has accepted it already; `dret market bill` and "
        "`dret query` show fills."
    )
