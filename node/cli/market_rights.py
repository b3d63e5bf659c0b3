"""`dret market right`, `prefer`, `premium`, `pairs` and `provenance` on a running chain: where
energy comes from, and handing it on to neighbours.

A call is waited for until a block has it; then the state tells whether it did what was asked.
"""

import json

import asyncclick as click

from devnet import right_calls
from devnet.rpc_client import Link
from node.cli.amounts import MONEY, PRICE
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
from node.cli.market_chain import CONNECTION
from runtime.pallets.trading.records import Side
from runtime.pallets.trading.right_records import (
    MIX,
    NETWORK,
    PARTNERS_MAX,
    POINTS_MAX,
    ClassedRight,
    EnergyClass,
    Origin,
    OriginKind,
    Pair,
    Preferences,
    Premium,
    RightOffer,
)
from runtime.primitives.types import ConnectionId

NUMBER_MAX = 2**32 - 1
WH_MAX = 2**26 - 1
SIDES = {"deliver": Side.OFFER, "take": Side.BID}
CLASSES = [each.name.lower() for each in EnergyClass]
INTERVAL = click.option("--interval", type=click.IntRange(0, NUMBER_MAX), required=True)
SIDE = click.option(
    "--side",
    type=click.Choice(list(SIDES)),
    required=True,
    help="The duty to deliver what was sold, or the right to take what was bought.",
)
CLASS = click.option("--class", "energy_class", type=click.Choice(CLASSES), required=True)
Offers = list[tuple[ConnectionId, RightOffer]]


@click.group()
def right() -> None:
    """Energy rights: list, offer, take, withdraw."""


@right.command(name="list")
@INTERVAL
@OUTPUT
@rpc_options
async def list_(interval: int, output: str, node: NodeAddress) -> None:
    """Show what connections have to deliver and may take of an interval, and what is offered."""
    async with node_at(node) as link:
        rights = await ask(link, "Trading_rights", u32(interval), list[ClassedRight])
        offers = await offers_of(link, interval)
    if output == "json":
        rows = [
            {
                "connection": each.connection,
                "bus": each.bus,
                "side": name_of(each.side),
                "class": class_name(each.energy_class),
                "wh": each.wh,
            }
            for each in rights
        ]
        offered = [{"connection": number, **row_of(offer)} for number, offer in offers.items()]
        click.echo(json.dumps({"rights": rows, "offers": offered}))
        return
    click.echo("".join(f"{title:>15}" for title in ("connection", "bus", "side", "class", "Wh")))
    for each in rights:
        cells = (each.connection, each.bus, name_of(each.side), class_name(each.energy_class))
        click.echo("".join(f"{cell!s:>15}" for cell in (*cells, each.wh)))
    for number, offer in offers.items():
        click.echo(f"Connection {number} offers {described(offer)}.")


@right.command(name="offer")
@CONNECTION
@INTERVAL
@SIDE
@CLASS
@click.option("--wh", type=click.IntRange(1, WH_MAX), required=True)
@click.option("--price", type=MONEY, default="0", help="DRT the taker pays; negative: is paid.")
@click.option("--to", type=click.IntRange(1, NUMBER_MAX), help="Who may take it; default: anyone.")
@signer_options
@rpc_options
async def offer_(
    connection: int,
    interval: int,
    side: str,
    energy_class: str,
    wh: int,
    price: int,
    to: int | None,
    signer: Signer,
    node: NodeAddress,
) -> None:
    """Offer a right to others at the same bus, in the place of an earlier offer."""
    kind = EnergyClass(CLASSES.index(energy_class))
    wanted = RightOffer(SIDES[side], kind, wh, price, to)
    async with node_at(node) as link:
        call = right_calls.offer_right(connection, interval, wanted)
        await submit(link, signer.pair(), call)
        found = (await offers_of(link, interval)).get(connection)
    if found != wanted:
        raise Refused(
            "The chain refused: the gate has passed, or the connection is not yours, holds less of "
            "this class, or the other one is not at its bus. See dret market right list."
        )
    click.echo(f"Connection {connection} offers {described(wanted)}.")


@right.command()
@CONNECTION
@INTERVAL
@signer_options
@rpc_options
async def withdraw(connection: int, interval: int, signer: Signer, node: NodeAddress) -> None:
    """Take one's offer of an interval back."""
    nothing = RightOffer(Side.OFFER, EnergyClass.UNSPECIFIED, 0, 0, None)
    async with node_at(node) as link:
        if connection not in await offers_of(link, interval):
            raise Refused(f"Connection {connection} offers nothing of interval {interval}.")
        call = right_calls.offer_right(connection, interval, nothing)
        await submit(link, signer.pair(), call)
        if connection in await offers_of(link, interval):
            raise Refused("The chain refused: not your connection, or the gate has passed.")
    click.echo(f"Connection {connection} offers nothing of interval {interval} any more.")


@right.command()
@CONNECTION
@click.option("--giver", type=click.IntRange(1, NUMBER_MAX), required=True, help="Who offers it.")
@INTERVAL
@click.option("--most", type=MONEY, help="The highest price in DRT; default: what is asked.")
@signer_options
@rpc_options
async def take(
    connection: int,
    giver: int,
    interval: int,
    most: int | None,
    signer: Signer,
    node: NodeAddress,
) -> None:
    """Take over what another connection offers, with a connection of one's own at its bus."""
    async with node_at(node) as link:
        offer = (await offers_of(link, interval)).get(giver)
        if offer is None:
            raise Refused(f"Connection {giver} offers nothing of interval {interval}.")
        if most is not None and offer.price_nano > most:
            raise Refused(f"It costs {offer.price_nano / 1e9:.9f} DRT, above {most / 1e9:.9f}.")
        before = await held_wh(link, connection, interval, offer)
        call = right_calls.take_right(connection, giver, interval, offer)
        await submit(link, signer.pair(), call)
        after = await held_wh(link, connection, interval, offer)
    if after < before + offer.wh:
        raise Refused(
            "The chain refused: the gate has passed, or the offer is for another one or gone, or "
            "your connection is elsewhere, has no such source, or too little capacity or money."
        )
    click.echo(f"Connection {connection} took over {described(offer)}.")


@click.command()
@CONNECTION
@click.option("--source", "sources", type=click.Choice(CLASSES), multiple=True, help="It likes.")
@click.option("--partner", "partners", type=click.IntRange(0, NUMBER_MAX), multiple=True)
@click.option(
    "--points",
    type=(
        click.IntRange(0, POINTS_MAX),
        click.IntRange(0, POINTS_MAX),
        click.IntRange(0, POINTS_MAX),
    ),
    help="For sources, locality and partners; 100 together. Without it: show.",
)
@signer_options
@rpc_options
async def prefer(
    connection: int,
    sources: tuple[str, ...],
    partners: tuple[int, ...],
    points: tuple[int, int, int] | None,
    signer: Signer,
    node: NodeAddress,
) -> None:
    """Declare what a connection wishes of those it trades with, or show it."""
    if points is None and (sources or partners):
        raise click.UsageError("What is it worth? Distribute --points, as in --points 60 40 0.")
    if points is not None and sum(points) > POINTS_MAX:
        raise click.UsageError(f"--points: {sum(points)} together, expected {POINTS_MAX} at most.")
    if len(partners) > PARTNERS_MAX:
        raise click.UsageError(f"--partner: {len(partners)}, expected {PARTNERS_MAX} at most.")
    async with node_at(node) as link:
        mask = sum(1 << CLASSES.index(source) for source in set(sources))
        if points is not None:
            call = right_calls.declare_preferences(connection, mask, partners, points)
            await submit(link, signer.pair(), call)
        found = await ask(link, "Trading_preferences", u32(connection), Preferences)
    if points is not None and found != Preferences(mask, partners, *points):
        raise Refused("The chain refused: not your connection, or a partner is not there.")
    liked = [name for bit, name in enumerate(CLASSES) if found.sources >> bit & 1]
    named = [str(partner) for partner in found.partners]
    click.echo(f"Connection {connection} wishes, in points:")
    click.echo(f"{found.source_points:>5} for its sources: {', '.join(liked) or 'none'}")
    click.echo(f"{found.locality_points:>5} for energy from nearby")
    click.echo(f"{found.partner_points:>5} for its partners: {', '.join(named) or 'none'}")


@click.command()
@click.argument("choice", type=click.Choice(["set", "end", "show"]))
@CONNECTION
@click.option("--per-kwh", type=PRICE, help="What is added, in DRT per kWh.")
@click.option("--budget", type=MONEY, help="What is kept aside for it, in DRT.")
@signer_options
@rpc_options
async def premium(
    choice: str,
    connection: int,
    per_kwh: int | None,
    budget: int | None,
    signer: Signer,
    node: NodeAddress,
) -> None:
    """Add to the price of green energy that is delivered, end that, or show it."""
    if choice == "set" and (per_kwh is None or budget is None):
        raise click.UsageError("A premium needs --per-kwh and --budget.")
    if choice != "set" and (per_kwh is not None or budget is not None):
        raise click.UsageError("--per-kwh and --budget belong to set.")
    wanted = (per_kwh or 0, budget or 0)
    if min(wanted) < 0 or (choice == "set" and not all(wanted)):
        raise click.UsageError("--per-kwh and --budget have to be above zero.")
    async with node_at(node) as link:
        if choice != "show":
            call = right_calls.declare_premium(connection, *wanted)
            await submit(link, signer.pair(), call)
        found = await ask(link, "Trading_premium", u32(connection), Premium)
    # Some of a new budget may be paid already.
    is_kept = choice == "end" or 0 < found.budget_nano <= wanted[1]
    if choice != "show" and (found.premium_micro != wanted[0] or not is_kept):
        raise Refused(
            "The chain refused: not your connection, more than 1 DRT per kWh, or a budget below "
            "what is promised or above what the wallet has."
        )
    click.echo(
        f"Connection {connection} adds {found.premium_micro / 1e6:.6f} DRT per kWh of green "
        f"energy; {found.budget_nano / 1e9:.9f} DRT are kept aside for it, "
        f"{found.reserved_nano / 1e9:.9f} of them promised."
    )


@click.command()
@INTERVAL
@click.option("--connection", type=click.IntRange(0, NUMBER_MAX), help="Only its pairs.")
@OUTPUT
@rpc_options
async def pairs(interval: int, connection: int | None, output: str, node: NodeAddress) -> None:
    """Show who bought from whom in an interval, and what of it was given and delivered."""
    async with node_at(node) as link:
        found = await ask(link, "Trading_pairs", u32(interval), list[Pair])
    chosen = [each for each in found if connection in (None, each.seller, each.buyer)]
    rows = [
        {
            "seller": party_name(each.seller),
            "buyer": party_name(each.buyer),
            "class": class_name(each.energy_class),
            "wh": each.wh,
            "given_wh": each.given_wh,
            "delivered_wh": each.delivered_wh,
            "premium_micro": each.premium_micro,
        }
        for each in chosen
    ]
    if output == "json":
        click.echo(json.dumps(rows))
        return
    titles = ("seller", "buyer", "class", "Wh", "given", "delivered", "premium")
    click.echo("".join(f"{title:>15}" for title in titles))
    for row in rows:
        click.echo("".join(f"{cell!s:>15}" for cell in row.values()))
    click.echo("\nPremium in micro-DRT per kWh. Given, delivered: zero until it is settled.")


@click.command()
@CONNECTION
@INTERVAL
@OUTPUT
@rpc_options
async def provenance(connection: int, interval: int, output: str, node: NodeAddress) -> None:
    """Show where the import of a connection in a settled interval came from: all of it."""
    async with node_at(node) as link:
        data = u32(connection) + u32(interval)
        found = await ask(link, "Trading_provenance", data, list[Origin])
    rows = [
        {
            "from": OriginKind(origin.kind).name.lower(),
            "seller": origin.seller,
            "class": class_name(origin.energy_class),
            "wh": origin.wh,
            "premium_nano": origin.premium_nano,
        }
        for origin in found
    ]
    if output == "json":
        click.echo(json.dumps(rows))
        return
    if not rows:
        click.echo("Nothing was taken, or the interval is not settled, or forgotten.")
        return
    total = sum(origin.wh for origin in found)
    click.echo("".join(f"{title:>15}" for title in ("from", "seller", "class", "Wh", "%")))
    for row, origin in zip(rows, found, strict=True):
        cells = (row["from"], row["seller"] or "", row["class"], origin.wh)
        click.echo("".join(f"{cell!s:>15}" for cell in cells) + f"{100 * origin.wh / total:>15.1f}")
    added = sum(origin.premium_nano for origin in found)
    click.echo(f"\n{total} Wh; {added / 1e9:.9f} DRT were added for green energy.")


async def offers_of(link: Link, interval: int) -> dict[int, RightOffer]:
    """The offers of an interval by connection."""
    offers: Offers = await ask(link, "Trading_right_offers", u32(interval), Offers)
    return dict(offers)


async def held_wh(link: Link, connection: int, interval: int, offer: RightOffer) -> int:
    """What a connection has of the side and class of an offer."""
    rights = await ask(link, "Trading_rights", u32(interval), list[ClassedRight])
    kind = (connection, offer.side, offer.energy_class)
    return sum(
        each.wh for each in rights if (each.connection, each.side, each.energy_class) == kind
    )


def row_of(offer: RightOffer) -> dict[str, object]:
    """An offer by the names of its terms."""
    return {
        "side": name_of(offer.side),
        "class": class_name(offer.energy_class),
        "wh": offer.wh,
        "price_nano": offer.price_nano,
        "to": offer.taker,
    }


def described(offer: RightOffer) -> str:
    """An offer in words."""
    whom = "anyone at its bus" if offer.taker is None else f"connection {offer.taker}"
    energy = f"{offer.wh} Wh {class_name(offer.energy_class)} to {name_of(offer.side)}"
    return f"{energy}, for {offer.price_nano / 1e9:.9f} DRT, to {whom}"


def name_of(side: int) -> str:
    """Of a side, what its right is about."""
    return "deliver" if side == Side.OFFER else "take"


def class_name(energy_class: int) -> str:
    """A class as it is typed."""
    return CLASSES[energy_class]


def party_name(number: int) -> str:
    """A party of a pair."""
    return {NETWORK: "network", MIX: "mix"}.get(number, str(number))
