"""`dret market` on a running chain: reads a node's state, and signs calls and hands them in.

A call is waited for until a block has it; then the state tells whether it did what was asked.
"""

import json

import asyncclick as click

from devnet import calls
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
from runtime.pallets.consumption_metering.records import Correction, Method
from runtime.pallets.trading.records import BillLine, PoolChoice

CONNECTION = click.option("--connection", type=click.IntRange(0), required=True, help="Its number.")


@click.command()
@click.argument("choice", type=click.Choice(["join", "leave", "show"]))
@CONNECTION
@signer_options
@rpc_options
async def pool(
    choice: str,
    connection: int,
    signer: Signer,
    node: NodeAddress,
) -> None:
    """Join or leave the pool of residuals with a connection, or show whether it is a member."""
    async with node_at(node) as link:
        if choice != "show":
            wants_in = choice == "join"
            pair = signer.pair()
            await submit(link, pair, calls.choose_pool(connection, is_member=wants_in))
        found = await ask(link, "Trading_pool_choice", u32(connection), PoolChoice)
    if choice != "show" and found.is_member != (choice == "join"):
        raise Refused("The chain refused: not your connection, or your last choice is too recent.")
    state = "in" if found.is_member else "outside of"
    click.echo(f"Connection {connection} is {state} the pool since interval {found.since}.")


@click.command()
@CONNECTION
@click.option("--interval", type=click.IntRange(0), required=True)
@click.option("--import-wh", type=click.IntRange(0), required=True)
@click.option("--export-wh", type=click.IntRange(0), required=True)
@click.option("--reason", required=True, help="Why; it is kept with the value before.")
@signer_options
@rpc_options
async def correct(
    connection: int,
    interval: int,
    import_wh: int,
    export_wh: int,
    reason: str,
    signer: Signer,
    node: NodeAddress,
) -> None:
    """Correct, as the grid operator, what a connection was settled with in an interval."""
    wanted = (connection, import_wh, export_wh, reason)
    async with node_at(node) as link:
        call = calls.correct_reading(connection, interval, import_wh, export_wh, reason)
        await submit(link, signer.pair(), call)
        name = "ConsumptionMetering_corrections"
        found: list[Correction] = await ask(link, name, u32(interval), list[Correction])
    made = [(c.connection, c.import_wh, c.export_wh, c.reason) for c in found]
    if wanted not in made:
        raise Refused(
            "The chain refused: only the grid operator corrects, what is settled and not final."
        )
    before = found[made.index(wanted)].before
    click.echo(
        f"Interval {interval}, connection {connection}: {before.import_wh} Wh in and "
        f"{before.export_wh} Wh out became {import_wh} and {export_wh}."
    )


@click.command()
@CONNECTION
@click.option("--first", type=click.IntRange(0), required=True, help="First interval.")
@click.option("--last", type=click.IntRange(0), required=True, help="Last one, a week at most.")
@OUTPUT
@rpc_options
async def bill(connection: int, first: int, last: int, output: str, node: NodeAddress) -> None:
    """Show the settled intervals of a connection: energy, where it came from, and money."""
    data = u32(connection) + u32(first) + u32(last)
    async with node_at(node) as link:
        found: list[BillLine] = await ask(link, "Trading_bill", data, list[BillLine])
    if output == "json":
        click.echo(json.dumps([row_of(entry) for entry in found]))
        return
    titles = ("interval", "import", "export", "contract", "bought", "sold", "pool")
    click.echo("".join(f"{title:>12}" for title in (*titles, "DRT")) + "  state")
    for entry in found:
        line = entry.line
        energies = [entry.interval, line.import_wh, line.export_wh]
        energies += [line.contract_import_wh - line.contract_export_wh]
        energies += [line.buy_wh, line.sell_wh, line.pool_import_wh - line.pool_export_wh]
        state = f"{name_of(line.method)}, {'final' if entry.is_final else 'provisional'}"
        money = line.amount_nano / 1e9
        click.echo("".join(f"{wh:>12}" for wh in energies) + f"{money:>12.6f}  {state}")
    total = sum(entry.line.amount_nano for entry in found)
    click.echo("\nEnergy in Wh; contract and pool: what came from there less what went there.")
    click.echo(f"To receive: {total / 1e9:,.9f} DRT (negative: to pay).")


def row_of(entry: BillLine) -> dict[str, object]:
    """A line of a bill by the names of its fields."""
    line = {name: getattr(entry.line, name) for name in entry.line.__struct_fields__}
    line["method"] = name_of(entry.line.method)
    return {"interval": entry.interval, "is_final": entry.is_final, **line}


def name_of(method: int) -> str:
    """Where a settled energy comes from."""
    return Method(method).name.lower()
