"""`dret bill`: what an account was billed for settled intervals, checked by proofs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import asyncclick as click

from devnet.rpc_client import Link
from node.bills import bill_in, keys_of_begin, keys_of_bill
from node.chain_spec import ChainSpec, load_chain_spec
from node.cli.chain_access import (
    OUTPUT,
    NodeAddress,
    account_of_text,
    ask,
    node_at,
    rpc_options,
)
from node.cli.chain_view import drt
from node.client.claimed_days import ClaimedDays
from node.client.finality import ProofRefused, Voters, final_header
from node.client.proven import ProvenState
from node.errors import ConfigInvalid, NotFound
from rpc.dret import BILL_INTERVALS_MAX
from rpc.ports import Head
from runtime.genesis import genesis_header
from runtime.primitives.scale import U32
from runtime.primitives.types import AccountId
from runtime.runtime import CODE_KEY, Runtime, UnknownVersion
from runtime.state.backend import MemoryBackend
from runtime.state.overlay import Overlay

DAY = 96  # intervals

Bill = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Trust:
    """What a verifier starts from: the chain specification, and what follows from it."""

    runtime: Runtime
    genesis_hash: bytes
    voters: tuple[bytes, ...]
    """Set 0."""

    @staticmethod
    def of(spec: ChainSpec) -> "Trust":
        """Compute the genesis of a specification."""
        runtime = spec.runtime()
        state = MemoryBackend(spec.genesis_storage(runtime))
        voters = runtime.grandpa_authorities(Overlay(state))
        return Trust(runtime, genesis_header(state.root).hash(), tuple(key for key, _ in voters))


@click.command()
@click.argument("account")
@click.option("--first", type=click.IntRange(0), help="First interval. Default: a day of them.")
@click.option("--last", type=click.IntRange(0), help="Last one. Default: the latest.")
@click.option("--verify", is_flag=True, help="Check every line by proofs, trusting no node.")
@click.option(
    "--chain", type=click.Path(path_type=Path), help="The chain specification to check by."
)
@OUTPUT
@rpc_options
async def command(
    account: str,
    first: int | None,
    last: int | None,
    verify: bool,
    chain: Path | None,
    output: str,
    node: NodeAddress,
) -> None:
    """Show what ACCOUNT (an address) was billed, interval by interval.

    With --verify nothing is believed but the chain specification: the voters of its genesis prove
    the later ones, they prove a block final, and read proofs of that block prove every line, and
    that no other is there. Lines that its state has forgotten are proved by the root of their day.
    """
    who = account_of_text(account)
    if verify and chain is None:
        raise click.UsageError("--verify needs --chain FILE: what the check starts from.")
    trust = Trust.of(load_chain_spec(chain)) if verify and chain is not None else None
    async with node_at(node) as link:
        end = last if last is not None else await ask(link, "Trading_current_interval", b"", U32)
        begin = first if first is not None else max(0, end - DAY + 1)
        if begin > end:
            raise click.UsageError(f"--first {begin} is behind --last {end}.")
        bills: list[Bill] = []
        for at in range(begin, end + 1, BILL_INTERVALS_MAX):
            part_end = min(end, at + BILL_INTERVALS_MAX - 1)
            claimed: Bill = await link.call("dret_bill", [account, at, part_end])
            checked = (
                {} if trust is None else await verified(link, trust, who, at, part_end, claimed)
            )
            bills.append({**claimed, **checked})
    show(bills, output)
    refused = [entry for bill in bills for entry in bill["refused"]]
    if refused:
        named = ", ".join(f"{entry['from']} to {entry['to']}" for entry in refused)
        raise NotFound(f"Not in this bill are the intervals {named}: {refused[0]['reason']}.")


async def verified(
    link: Link, trust: Trust, account: AccountId, first: int, last: int, claimed: Bill
) -> dict[str, Any]:
    """Make a bill again from proved values, and compare. Raises `ProofRefused`.

    Tells by which set of voters its block is final.
    """
    found = await link.call("chain_getBlockHash", [0])
    if found != "0x" + trust.genesis_hash.hex():
        raise ConfigInvalid(
            f"The node is on the chain {found}, the specification describes "
            f"0x{trust.genesis_hash.hex()}. Pass the right --chain."
        )
    block, number = block_of(claimed)
    voters = Voters(0, trust.voters, genesis=trust.genesis_hash)
    header = await final_header(link, voters, block, number)
    state = ProvenState(header.state_root, block)
    await state.prove(link, [CODE_KEY])
    try:
        runtime = trust.runtime.of_code(state.get(CODE_KEY))
    except UnknownVersion as error:
        raise ConfigInvalid(f"This program cannot read the state: {error}.") from error
    runtime.bind(Overlay(state))
    history = runtime.trading.history_begin
    await state.prove(link, [history.key_of()])
    await state.prove(link, keys_of_begin(runtime, history.get()))
    keys = keys_of_bill(runtime, history.get(), account, first, last)
    await state.prove(link, keys)
    old_days = ClaimedDays(runtime.trading, claimed)
    made = bill_in(runtime, old_days, Head(block, number), account, first, last)
    # Through JSON: what the node said has come that way.
    made = cast("dict[str, Any]", json.loads(json.dumps(made)))
    for field, value in made.items():
        if claimed.get(field) != value:
            raise ProofRefused(
                f"The node's bill is wrong in {field!r}: the chain says {shortened(value)}, the "
                f"node {shortened(claimed.get(field))}."
            )
    return {"verified": {"set_id": voters.set_id, "voters": len(voters.voters), "keys": len(keys)}}


def block_of(claimed: Bill) -> tuple[bytes, int]:
    """The block that a bill names. Raises `ProofRefused`."""
    try:
        block, number = bytes.fromhex(claimed["block"][2:]), int(claimed["number"])
    except (KeyError, TypeError, ValueError) as error:
        raise ProofRefused(f"The node's bill names no block: {error}.") from error
    return block, number


def shortened(value: object) -> str:
    """A part of a bill for a message."""
    text = json.dumps(value)
    return text if len(text) <= 200 else f"{text[:197]}..."


def show(bills: list[Bill], output: str) -> None:
    """Print bills as one."""
    if output == "json":
        click.echo(json.dumps(bills))
        return
    titles = ("interval", "connection", "import", "export", "bought", "sold")
    click.echo("".join(f"{title:>12}" for title in titles) + f"{'DRT':>14}  state")
    for line in (line for bill in bills for line in bill["lines"]):
        fields = ("interval", "connection", "import_wh", "export_wh", "buy_wh", "sell_wh")
        money = drt(line["amount_nano"]).removesuffix(" DRT")
        state = f"{line['method']}, {'final' if line['is_final'] else 'provisional'}"
        click.echo("".join(f"{line[field]:>12}" for field in fields) + f"{money:>14}  {state}")
    total = sum(bill["amount_nano"] for bill in bills)
    click.echo(f"\nEnergy in Wh. To receive (negative: to pay): {drt(total)}")
    for bill in bills:
        for entry in bill["not_settled"]:
            click.echo(f"Intervals {entry['from']} to {entry['to']}: {entry['reason']}.")
        if "verified" in bill:
            by = bill["verified"]
            click.echo(
                f"Verified: {by['keys']} entries of the state of block {bill['number']}, which "
                f"voters of set {by['set_id']} made final ({by['voters']} of them)."
            )
