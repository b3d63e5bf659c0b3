"""`dret market seal`, `reveal`, `unseal` and `sealed`: orders that nobody can read before the gate.

`seal` draws a salt, writes the order with it into a file of its owner's, and sends the commitment.
`reveal` needs that file and nothing else. An order that is not revealed in the two intervals before
its gate costs its deposit, so `seal` first checks all that a reveal could fail of.
"""

import json
import secrets
from pathlib import Path
from typing import cast

import asyncclick as click
import trio

from devnet import sealed_calls
from devnet.calls import BID, OFFER
from devnet.rpc_client import Link
from node.cli.amounts import PRICE
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
)
from node.cli.chain_view import catalogue_of
from node.cli.intervals import When, number_of
from node.cli.market_chain import CONNECTION
from node.cli.market_orders import (
    AT,
    ENERGY_WH_MAX,
    LIMIT_HELP,
    MICRO,
    ORDER_ID,
    QUANTITY,
    send,
    show,
    word_of,
)
from node.cli.sealed_file import Secret, read_secret, write_secret
from node.client.catalogue import Catalogue
from node.client.metadata import Constant
from node.errors import CallFailed, NotFound, PoolRefused
from runtime.pallets.producer_registration import Connection
from runtime.pallets.trading.orders import QUANTITY_WH_MIN, QUANTITY_WH_MIN_NEGATIVE
from runtime.pallets.trading.quiet_periods import CLOSED_AHEAD
from runtime.pallets.trading.sealed_records import SealedEntry, SealedInterval
from runtime.primitives.scale import U32
from runtime.primitives.sealed_order import SALT_BYTES
from runtime.primitives.types import IntervalIndex

POLL_S = 1.0
NANO = 10**9
PATH = click.Path(path_type=Path, dir_okay=False)
FILE = click.option("--file", "path", type=PATH, required=True, help="New file for the secret.")


@click.command()
@click.argument("side", type=click.Choice(["buy", "sell"]))
@CONNECTION
@AT
@QUANTITY
@click.option("--price", type=PRICE, required=True, help=LIMIT_HELP)
@click.option(
    "--wh-most",
    type=click.IntRange(QUANTITY_WH_MIN, ENERGY_WH_MAX),
    help="What others see of the quantity, and the deposit covers. Default: the quantity.",
)
@FILE
@OUTPUT
@signer_options
@rpc_options
async def seal(
    side: str,
    connection: int,
    interval: When,
    quantity_wh: int,
    price: int,
    wh_most: int | None,
    path: Path,
    output: str,
    signer: Signer,
    node: NodeAddress,
) -> None:
    """Commit to an order that nobody can read until it is revealed.

    Its interval has to be at least 4 ahead. What it could need at its dearest limit is kept aside,
    and 0.01 DRT are paid to the grid operator. Limit, quantity and salt are written to FILE before
    anything is sent.

    Keep FILE, and show it to nobody. Reveal the order (dret market reveal FILE) in the two
    intervals before its gate, from 3 intervals ahead until 1 ahead. If you do not, or have lost
    FILE, the whole deposit goes to the grid operator: nobody can open the order without it.
    """
    most = quantity_wh if wh_most is None else wh_most
    if quantity_wh > most:
        raise click.UsageError(f"--wh {quantity_wh} is more than --wh-most {most}.")
    least = QUANTITY_WH_MIN if price >= 0 else QUANTITY_WH_MIN_NEGATIVE
    if quantity_wh < least:
        raise click.UsageError(f"--wh {quantity_wh}: such an order has at least {least} Wh.")
    number = BID if side == "buy" else OFFER
    account = signer.pair().account
    async with node_at(node) as link:
        when = await number_of(link, interval)
        await check_price(link, price)
        secret = Secret(
            chain=await link.call("chain_getBlockHash", [0]),
            account="0x" + account.hex(),
            connection=connection,
            interval=when,
            bus=await bus_of(link, connection, account),
            side=number,
            price_micro=price,
            quantity_wh=quantity_wh,
            salt="0x" + secrets.token_bytes(SALT_BYTES).hex(),
        )
        call = sealed_calls.seal_order(connection, when, number, most, secret.commitment())
        write_secret(path, secret)
        try:
            outcome = await send(link, signer, call)
        except (CallFailed, PoolRefused):
            path.unlink()  # nothing on the chain needs it
            raise
    if output == "json":
        click.echo(json.dumps(outcome.as_json()))
        return
    sealed_event = next(event for event in outcome.events if event.name == "Trading.OrderSealed")
    fields = cast("dict[str, int]", sealed_event.fields)
    deposit = cast("dict[str, int]", fields["order"])["deposit_nano"]
    first = when - CLOSED_AHEAD
    click.echo(
        f"Order {fields['order_id']} is sealed for interval {when}; {deposit / NANO:.9f} DRT are "
        f"kept aside, {fields['fee_nano'] / NANO:.9f} DRT are paid.\n"
        f"Reveal it in interval {first} or {first + 1}: dret market reveal {path}\n"
        f"In block {outcome.number}."
    )


@click.command()
@click.argument("path", metavar="FILE", type=PATH)
@click.option("--wait", is_flag=True, help="Wait until reveals begin.")
@OUTPUT
@signer_options
@rpc_options
async def reveal(path: Path, wait: bool, output: str, signer: Signer, node: NodeAddress) -> None:
    """Reveal the sealed order whose secret is in FILE.

    Possible from 3 intervals before its own until its gate, 1 before; not earlier, for it would be
    known to all. It stands in the book then, and the call of the gate clears it.
    """
    secret = read_secret(path)
    if "0x" + signer.pair().account.hex() != secret.account:
        raise click.UsageError(f"{path} is for the account {secret.account}, not for the signer's.")
    async with node_at(node) as link:
        await check_chain(link, path, secret)
        order_id = await order_of(link, secret)
        await wait_for_reveals(link, secret, is_patient=wait)
        call = sealed_calls.reveal_order(
            order_id, secret.price_micro, secret.quantity_wh, bytes.fromhex(secret.salt[2:])
        )
        show(await send(link, signer, call), output)


@click.command()
@ORDER_ID
@OUTPUT
@signer_options
@rpc_options
async def unseal(order_id: int, output: str, signer: Signer, node: NodeAddress) -> None:
    """Take a commitment back while its interval is at least 4 ahead. The fee is not given back."""
    async with node_at(node) as link:
        outcome = await send(link, signer, sealed_calls.withdraw_sealed_order(order_id))
    if output == "json":
        click.echo(json.dumps(outcome.as_json()))
        return
    click.echo(f"Sealed order {order_id} is taken back, its deposit is free.")
    click.echo(f"In block {outcome.number}.")


@click.command()
@click.option("--account", help="Show the sealed orders of this address.")
@OUTPUT
@rpc_options
async def sealed(account: str | None, output: str, node: NodeAddress) -> None:
    """Show which intervals carry sealed orders, or the ones of an account that wait."""
    async with node_at(node) as link:
        now = await ask(link, "Trading_current_interval", b"", U32)
        if account is None:
            intervals = await ask(
                link, "Trading_sealed_intervals", b"", list[tuple[IntervalIndex, SealedInterval]]
            )
            rows = [row_of_interval(now, *each) for each in intervals]
        else:
            owner = account_of_text(account)
            entries = await ask(link, "Trading_sealed_orders", owner, list[SealedEntry])
            rows = [row_of_order(now, entry) for entry in entries]
    if output == "json":
        click.echo(json.dumps(rows))
        return
    if not rows:
        click.echo("No sealed orders wait." if account else "No interval carries sealed orders.")
        return
    widths = {name: max(len(name), *(len(str(row[name])) for row in rows)) + 2 for name in rows[0]}
    click.echo("".join(f"{name:>{width}}" for name, width in widths.items()))
    for row in rows:
        click.echo("".join(f"{row[name]!s:>{width}}" for name, width in widths.items()))
    click.echo(f"\nThe present interval is {now}. Energy in Wh, money in nano-DRT.")


# --- the chain


async def check_price(link: Link, price_micro: int) -> None:
    """Refuse a limit that no connection's order may have: it could never be revealed."""
    catalogue = await catalogue_of(link)
    names = ("feed_in_price", "supplier_price", "network_fee")
    low, supplier, network = [constant_of(catalogue, f"Trading.{name}") for name in names]
    if not low <= price_micro <= supplier + network:
        raise click.UsageError(
            f"--price {price_micro / MICRO:.6f}: expected {low / MICRO:.6f} to "
            f"{(supplier + network) / MICRO:.6f} DRT per kWh, feed-in to retail. Such an order "
            "could never be revealed."
        )


async def bus_of(link: Link, connection: int, account: bytes) -> int:
    """The bus of a connection that belongs to an account. Raises `Refused`."""
    connections = await ask(link, "ProducerRegistration_connections", b"", list[Connection])
    if connection >= len(connections):
        raise NotFound(f"There is no connection {connection}: the chain has {len(connections)}.")
    found = connections[connection]
    if found.account != account:
        raise Refused(f"Connection {connection} is not the signer's.")
    return found.bus


async def check_chain(link: Link, path: Path, secret: Secret) -> None:
    """Refuse a secret of another chain, to which it must not be told."""
    found = await link.call("chain_getBlockHash", [0])
    if found != secret.chain:
        raise Refused(
            f"{path} is for the chain {secret.chain}, the node is on {found}. Name a node of the "
            "former with --rpc-host and --rpc-port."
        )


async def order_of(link: Link, secret: Secret) -> int:
    """The sealed order that a secret opens. Raises `NotFound`."""
    owner = bytes.fromhex(secret.account[2:])
    entries = await ask(link, "Trading_sealed_orders", owner, list[SealedEntry])
    for entry in entries:
        is_place = (entry.connection, entry.interval) == (secret.connection, secret.interval)
        if is_place and entry.order.commitment == secret.commitment():
            return entry.order_id
    raise NotFound(
        f"No sealed order for interval {secret.interval} waits that this secret opens: it was "
        "revealed already, taken back, forfeited at its gate, or no block has taken it yet."
    )


async def wait_for_reveals(link: Link, secret: Secret, *, is_patient: bool) -> None:
    """Return when the chain takes the reveal. Raises `Refused` if that is later, or past."""
    first = secret.interval - CLOSED_AHEAD
    while True:
        now = await ask(link, "Trading_current_interval", b"", U32)
        if now >= secret.interval - 1:
            raise Refused(f"The gate of interval {secret.interval} has passed: it is too late.")
        if now >= first:
            return
        if not is_patient:
            raise Refused(
                f"Reveals begin with interval {first}, {first - now} from now: sent earlier, the "
                "order would be known before others have placed theirs. Come back then, or add "
                "--wait."
            )
        await trio.sleep(POLL_S)


def constant_of(catalogue: Catalogue, name: str) -> int:
    """A constant of the chain."""
    _, found = catalogue.item(name)
    assert isinstance(found, Constant), f"{name} is a constant"
    return cast(int, catalogue.types.decode(found.type_id, found.value))


def row_of_interval(now: int, interval: int, known: SealedInterval) -> dict[str, object]:
    """An interval by the names of its sums."""
    return {
        "interval": interval,
        "state": state_of(now, interval),
        "waiting": known.waiting,
        "waiting_wh": known.waiting_wh,
        "revealed": known.revealed,
    }


def row_of_order(now: int, entry: SealedEntry) -> dict[str, object]:
    """A sealed order by the names of its fields."""
    return {
        "order_id": entry.order_id,
        "connection": entry.connection,
        "interval": entry.interval,
        "state": state_of(now, entry.interval),
        "side": word_of(entry.order.side),
        "quantity_wh_most": entry.order.quantity_wh,
        "deposit_nano": entry.order.deposit_nano,
        "commitment": "0x" + entry.order.commitment.hex(),
    }


def state_of(now: int, interval: int) -> str:
    """Where the time of an interval stands."""
    if now >= interval - 1:
        return "gate passed"
    return "reveals" if now >= interval - CLOSED_AHEAD else "commitments"
