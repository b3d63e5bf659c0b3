"""`dret market contract`: contracts between two connections of a running chain."""

import json
from decimal import Decimal

import asyncclick as click

from devnet import calls
from devnet.rpc_client import Link
from node.cli.amounts import MICRO, NANO, PRICE, Drt
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
)
from runtime.pallets.trading.contract_records import (
    ContractEntry,
    ContractId,
    ContractProposal,
    ContractTerms,
    PriceRule,
    Shape,
)
from runtime.primitives.scale import U32

SLOTS_PER_DAY = 96
AHEAD = 96 + 24  # a day is open; the rest is time for the other party to sign
Proposals = list[tuple[ContractId, ContractProposal]]


@click.group()
def contract() -> None:
    """Contracts between two connections: list, propose, countersign, withdraw, terminate."""


@contract.command(name="list")
@OUTPUT
@rpc_options
async def list_(output: str, node: NodeAddress) -> None:
    """Show the contracts that stand, in their order, and those that wait for a signature."""
    async with node_at(node) as link:
        standing = await ask(link, "Trading_contracts", b"", list[ContractEntry])
        waiting: Proposals = await ask(link, "Trading_contract_proposals", b"", Proposals)
    rows = [
        {
            "contract": entry.contract_id,
            "state": "suspended" if entry.contract.is_suspended else "stands",
            **row_of(entry.contract.terms),
            "delivered_wh": entry.contract.delivered_wh,
            "paid_nano": entry.contract.paid_nano,
        }
        for entry in standing
    ]
    rows += [
        {
            "contract": number,
            "state": "proposed",
            **row_of(proposal.terms),
            "delivered_wh": 0,
            "paid_nano": 0,
        }
        for number, proposal in waiting
    ]
    if output == "json":
        click.echo(json.dumps(rows))
        return
    titles = ["contract", "state", "seller", "buyer", "shape", "volume_wh", "share_ppm"]
    titles += ["first", "last", "delivered_wh"]
    click.echo("".join(f"{title:>13}" for title in [*titles, "paid DRT"]))
    for row in rows:
        paid = Decimal(str(row["paid_nano"])) / NANO
        click.echo("".join(f"{row[title]!s:>13}" for title in titles) + f"{paid:>13.6f}")


def row_of(terms: ContractTerms) -> dict[str, object]:
    """The terms of a contract by their names."""
    return {
        "seller": terms.seller,
        "buyer": terms.buyer,
        "shape": Shape(terms.shape).name.lower(),
        "volume_wh": terms.volume_wh,
        "share_ppm": terms.share_ppm,
        "base_micro": terms.price.base_micro,
        "index_ppm": terms.price.index_ppm,
        "floor_micro": terms.price.floor_micro,
        "cap_micro": terms.price.cap_micro,
        "first": terms.first,
        "last": terms.last,
        "is_firm": terms.is_firm,
        "tolerance_ppm": terms.tolerance_ppm,
        "notice": terms.notice,
        "termination_fee_max": terms.termination_fee_max,
    }


@contract.command()
@click.option("--seller", type=click.IntRange(1), required=True, help="A connection.")
@click.option("--buyer", type=click.IntRange(1), required=True, help="Another one.")
@click.option(
    "--shape", type=click.Choice(["baseload", "solar", "as-produced"]), default="baseload"
)
@click.option(
    "--volume-wh", type=click.IntRange(0), default=0, help="Per interval; solar: at noon."
)
@click.option(
    "--share-ppm", type=click.IntRange(0, 10**6), default=0, help="As produced: its part."
)
@click.option("--price", type=PRICE, default="0", help="DRT per kWh; added to the index if any.")
@click.option("--index-ppm", type=click.IntRange(0), default=0, help="Share of the root's price.")
@click.option("--floor", type=PRICE, help="Least price; default: --price, or none with an index.")
@click.option("--cap", type=PRICE, help="Greatest price; default: --price, or none with an index.")
@click.option("--days", type=click.IntRange(1, 3_650), default=30, show_default=True)
@click.option("--firm", is_flag=True, help="Who falls short makes the other whole.")
@click.option("--tolerance-ppm", type=click.IntRange(0, 10**6), default=0)
@click.option("--notice", type=click.IntRange(0), default=SLOTS_PER_DAY, show_default=True)
@click.option("--termination-fee-max", type=Drt(NANO), default="0", help="DRT.")
@signer_options
@rpc_options
async def propose(
    seller: int,
    buyer: int,
    shape: str,
    volume_wh: int,
    share_ppm: int,
    price: int,
    index_ppm: int,
    floor: int | None,
    cap: int | None,
    days: int,
    firm: bool,
    tolerance_ppm: int,
    notice: int,
    termination_fee_max: int,
    signer: Signer,
    node: NodeAddress,
) -> None:
    """Propose a contract, as the owner of one of its connections.

    It begins 120 intervals ahead: a day of them is open already, the rest is time to sign.
    """
    least = floor if floor is not None else price if index_ppm == 0 else -int(MICRO)
    most = cap if cap is not None else price if index_ppm == 0 else int(MICRO)
    pair = signer.pair()
    async with node_at(node) as link:
        first = await current_interval(link) + AHEAD
        terms = ContractTerms(
            seller=seller,
            buyer=buyer,
            shape=Shape[shape.upper().replace("-", "_")],
            volume_wh=volume_wh,
            share_ppm=share_ppm,
            price=PriceRule(price, index_ppm, least, most),
            first=first,
            last=first + days * SLOTS_PER_DAY - 1,
            is_firm=firm,
            tolerance_ppm=tolerance_ppm,
            notice=notice,
            termination_fee_max=termination_fee_max,
        )
        await submit(link, pair, calls.propose_contract(terms))
        waiting: Proposals = await ask(link, "Trading_contract_proposals", b"", Proposals)
    numbers = [number for number, proposal in waiting if proposal.terms == terms]
    if not numbers:
        raise Refused("The chain refused: not your connection, or terms nobody could fulfil.")
    click.echo(f"Contract {numbers[-1]} waits for the other party; it begins with {first}.")


async def current_interval(link: Link) -> int:
    """The latest interval in which a block was made."""
    return await ask(link, "Trading_current_interval", b"", U32)


@contract.command()
@click.argument("number", type=click.IntRange(0))
@signer_options
@rpc_options
async def countersign(
    number: int,
    signer: Signer,
    node: NodeAddress,
) -> None:
    """Conclude a contract that the other party proposed."""
    async with node_at(node) as link:
        call = calls.of_contract(calls.COUNTERSIGN_CONTRACT, number)
        await submit(link, signer.pair(), call)
        found = await standing_contract(link, number)
    if found is None:
        raise Refused("The chain refused: not yours to sign, too late, or money is missing.")
    held = Decimal(found.contract.held_seller_nano) / NANO
    click.echo(f"Contract {number} stands; each party keeps {held:.9f} DRT aside.")


@contract.command()
@click.argument("number", type=click.IntRange(0))
@signer_options
@rpc_options
async def withdraw(
    number: int,
    signer: Signer,
    node: NodeAddress,
) -> None:
    """Take back one's proposal, or decline one."""
    async with node_at(node) as link:
        if not await is_waiting(link, number):
            raise Refused(f"There is no proposal {number}.")
        call = calls.of_contract(calls.WITHDRAW_CONTRACT, number)
        await submit(link, signer.pair(), call)
        still_waits = await is_waiting(link, number)
    if still_waits:
        raise Refused("The chain refused: you are no party of this proposal.")
    click.echo(f"Proposal {number} does not wait any more.")


@contract.command()
@click.argument("number", type=click.IntRange(0))
@signer_options
@rpc_options
async def terminate(
    number: int,
    signer: Signer,
    node: NodeAddress,
) -> None:
    """End a contract after its notice; costs at most the agreed fee."""
    async with node_at(node) as link:
        before = await standing_contract(link, number)
        call = calls.of_contract(calls.TERMINATE_CONTRACT, number)
        await submit(link, signer.pair(), call)
        after = await standing_contract(link, number)
    if before is None or after is None:
        raise Refused(f"The chain refused: there is no contract {number}.")
    if after.contract.terms.last == before.contract.terms.last:
        raise Refused("The chain refused: you are no party, it ends anyway, or money is missing.")
    click.echo(f"Contract {number} ends with interval {after.contract.terms.last}.")


async def is_waiting(link: Link, number: int) -> bool:
    """Whether a proposal waits for a signature."""
    waiting: Proposals = await ask(link, "Trading_contract_proposals", b"", Proposals)
    return number in [other for other, _ in waiting]


async def standing_contract(link: Link, number: int) -> ContractEntry | None:
    """A contract that stands."""
    standing = await ask(link, "Trading_contracts", b"", list[ContractEntry])
    return next((entry for entry in standing if entry.contract_id == number), None)
