"""`--receipt FILE` of the order commands, and `dret market receipt`: promises to include orders.

A receipt binds the validator whose node is asked. Check and report it at another node: its own
could keep quiet about it.
"""

import json
from pathlib import Path

import asyncclick as click
import trio

from devnet.rpc_client import Link, RpcFailed
from node.cli.chain_access import OUTPUT, NodeAddress, Refused, node_at, rpc_options
from node.cli.transactions import Outcome, find, refused
from node.client.receipts import Fate, Found, Kept, ask_receipt, fate_of, load, report, store
from node.errors import ConfigInvalid, NodeError, TimedOut

INCLUDED_S = 60.0  # ten blocks of the slowest chain
POLL_S = 0.5
FILE = click.argument("file", type=click.Path(path_type=Path))
RECEIPT = click.option(
    "--receipt",
    type=click.Path(path_type=Path),
    help="Ask the node, a validator's, to promise inclusion, and keep its receipt in this file.",
)


class PromiseBroken(NodeError):
    """A validator did not include what it had promised."""

    exit_code = 11


@click.group("receipt")
def receipt_group() -> None:
    """Promises of validators to include an order: what became of one, and reporting a broken one.

    Get one with --receipt FILE of order, curve, replace, revise or cancel, at a validator's node.
    """


@receipt_group.command()
@FILE
@OUTPUT
@rpc_options
async def check(file: Path, output: str, node: NodeAddress) -> None:
    """Tell what became of the promise in FILE. Exit code 11: it was broken."""
    kept = load(file)
    async with node_at(node) as link:
        found = await fate_of(link, kept)
    if output == "json":
        click.echo(json.dumps(row_of(kept, found)))
    else:
        click.echo(words_of(kept, found))
    if found.fate is Fate.BROKEN:
        raise PromiseBroken(
            f"Validator 0x{kept.receipt.validator.hex()} broke its promise. Report it: "
            f"dret market receipt report {file}"
        )


@receipt_group.command("report")
@FILE
@rpc_options
async def report_file(file: Path, node: NodeAddress) -> None:
    """Submit the evidence that the promise in FILE was broken; whoever does it pays nothing."""
    kept = load(file)
    async with node_at(node) as link:
        found = await fate_of(link, kept)
        if found.evidence is None:
            raise Refused(f"There is nothing to report. {words_of(kept, found)}")
        try:
            digest = await report(link, found.evidence)
        except RpcFailed as error:
            raise refused(error) from error
    click.echo(f"Reported in extrinsic {digest}: block {found.block} left the order out.")


async def send_with_receipt(link: Link, extrinsic: bytes, file: Path) -> Outcome:
    """Hand an order in for a promise, keep the receipt, and wait until a block has the order."""
    if file.exists():
        raise ConfigInvalid(f"{file} exists: a receipt in it would be lost. Name another file.")
    try:
        kept = await ask_receipt(link, extrinsic, None)
    except RpcFailed as error:
        raise refused(error) from error
    store(file, kept)
    promise = kept.receipt.promise
    digest = "0x" + promise.order.hex()
    click.echo(f"Promised until block {promise.last}; the receipt is in {file}.", err=True)
    with trio.move_on_after(INCLUDED_S):
        while True:
            outcome = await find(link, digest)
            if outcome is not None and outcome.block is not None:
                return outcome
            await trio.sleep(POLL_S)
    raise TimedOut(
        f"The order {digest} was in no block within {INCLUDED_S:.0f} s. Once block {promise.last} "
        f"is final: dret market receipt check {file}"
    )


def words_of(kept: Kept, found: Found) -> str:
    """A fate in words."""
    promise = kept.receipt.promise
    match found.fate:
        case Fate.OPEN:
            text = f"The promise is open until block {promise.last}: {found.reason}."
        case Fate.KEPT:
            text = f"The promise was kept: block {found.block} has the order."
        case Fate.BROKEN:
            text = f"The promise was broken: block {found.block} had room and left the order out."
        case Fate.VOID:
            text = f"The receipt is void on this chain: {found.reason}."
        case Fate.EXCUSED:
            text = (
                f"The order is not in, and no block of the validator's proves why: {found.reason}."
            )
    return text


def row_of(kept: Kept, found: Found) -> dict[str, object]:
    """A fate for other programs."""
    promise = kept.receipt.promise
    return {
        "fate": found.fate.value,
        "block": found.block,
        "reason": found.reason,
        "order": "0x" + promise.order.hex(),
        "head": promise.head_number,
        "last": promise.last,
        "validator": "0x" + kept.receipt.validator.hex(),
    }
