"""`dret market` on a running chain: reads a node's state, and signs calls and hands them in.

A call is waited for until a block has it; then the state tells whether it did what was asked.
"""

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import asyncclick as click
import trio

from devnet import calls
from devnet.rpc_client import Link, RpcFailed
from devnet.wallet import Account, Wallet
from node.cli.key import read_suri
from node.errors import NodeError, NodeUnreachable, TimedOut
from runtime.pallets.consumption_metering.records import Correction, Method
from runtime.pallets.trading.records import BillLine, PoolChoice
from runtime.primitives.crypto import KeyPair, Scheme
from runtime.primitives.scale import U32, codec

if TYPE_CHECKING:
    from typing_extensions import TypeForm

CONNECT_S = 5.0
INCLUDED_S = 60.0  # ten blocks of the slowest chain
POLL_S = 0.5
OUTPUT = click.option("--output", "-o", type=click.Choice(["text", "json"]), default="text")
CONNECTION = click.option("--connection", type=click.IntRange(0), required=True, help="Its number.")

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


def rpc_options(function: F) -> F:
    """Where the node is."""
    options = [
        click.option("--rpc-host", default="127.0.0.1", show_default=True),
        click.option("--rpc-port", type=click.IntRange(1, 65_535), default=9944, show_default=True),
    ]
    return reduce(lambda decorated, option: option(decorated), options, function)


def signer_options(function: F) -> F:
    """Who signs."""
    options = [
        click.option("--suri", help="The secret that signs; on a shared machine use --suri-file."),
        click.option(
            "--suri-file", type=click.Path(path_type=Path), help="A file with the secret."
        ),
        click.option(
            "--scheme",
            type=click.Choice([scheme.value for scheme in Scheme]),
            default="sr25519",
            show_default=True,
        ),
    ]
    return reduce(lambda decorated, option: option(decorated), options, function)


class Refused(NodeError):
    """The chain has the call, but it did not do what was asked."""


@click.command()
@click.argument("choice", type=click.Choice(["join", "leave", "show"]))
@CONNECTION
@signer_options
@rpc_options
async def pool(
    choice: str,
    connection: int,
    suri: str | None,
    suri_file: Path | None,
    scheme: str,
    rpc_host: str,
    rpc_port: int,
) -> None:
    """Join or leave the pool of residuals with a connection, or show whether it is a member."""
    async with node_at(rpc_host, rpc_port) as link:
        if choice != "show":
            wants_in = choice == "join"
            pair = key_of(suri, suri_file, scheme)
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
    suri: str | None,
    suri_file: Path | None,
    scheme: str,
    rpc_host: str,
    rpc_port: int,
) -> None:
    """Correct, as the grid operator, what a connection was settled with in an interval."""
    wanted = (connection, import_wh, export_wh, reason)
    async with node_at(rpc_host, rpc_port) as link:
        call = calls.correct_reading(connection, interval, import_wh, export_wh, reason)
        await submit(link, key_of(suri, suri_file, scheme), call)
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
async def bill(
    connection: int, first: int, last: int, output: str, rpc_host: str, rpc_port: int
) -> None:
    """Show the settled intervals of a connection: energy, where it came from, and money."""
    data = u32(connection) + u32(first) + u32(last)
    async with node_at(rpc_host, rpc_port) as link:
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


# The node.


@asynccontextmanager
async def node_at(host: str, port: int) -> AsyncGenerator[Link]:
    """A connection to a node. Raises `NodeUnreachable`."""
    link = Link(host, port)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.run)
        with trio.move_on_after(CONNECT_S):
            while not link.is_up:
                await trio.sleep(0.05)
        failure: NodeError | None = None
        try:
            if not link.is_up:
                raise NodeUnreachable(f"No node answers at {host}:{port}. Is it running?")
            yield link
        except RpcFailed as error:
            failure = Refused(f"The node refused: {error.reason}")
        except NodeError as error:
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def ask(link: Link, name: str, data: bytes, form: "TypeForm[T]") -> T:
    """What a function of the runtime answers."""
    answer = await link.call("state_call", [name, "0x" + data.hex()])
    return codec(form).decode(bytes.fromhex(answer[2:]))


async def submit(link: Link, pair: KeyPair, call: bytes) -> None:
    """Sign a call, hand it in, and wait until a block has it. Raises `NodeError`."""
    wallet, account = Wallet(link), Account(pair)
    if not await wallet.look():
        raise NodeUnreachable("The node does not answer what is needed for signing.")
    await wallet.hand_in(account, call)
    nonce = account.nonce
    assert nonce is not None, "it was just used"
    with trio.move_on_after(INCLUDED_S):
        while await ask(link, "AccountNonceApi_account_nonce", pair.public, U32) < nonce:
            await trio.sleep(POLL_S)
        return
    raise TimedOut(f"No block has taken the call within {INCLUDED_S:.0f} s; it may still come.")


def key_of(suri: str | None, suri_file: Path | None, scheme: str) -> KeyPair:
    """The key of a secret from the command line."""
    try:
        secret = read_suri(suri, suri_file)
        return KeyPair.from_suri(secret, Scheme(scheme))
    except ValueError as error:
        raise click.UsageError(f"The secret cannot be used: {error}") from error


def u32(number: int) -> bytes:
    """An argument of a runtime function."""
    return number.to_bytes(4, "little")
