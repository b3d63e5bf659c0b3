"""`dret query events`: what happened in a block, and with `--follow` in each one that comes.

What follows is a chain: a block whose parent was not shown is preceded by the blocks in between,
and blocks that the best chain leaves are told, so that whoever adds up events can take them back.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import asyncclick as click
import trio

from devnet.rpc_client import Link, Notifications
from node.cli.chain_access import NodeAddress, Refused, node_at, rpc_options
from node.cli.chain_view import Event, block_named, catalogue_of, events_of
from node.cli.output import FORM, TEXT, csv_of, emit
from node.client.catalogue import Catalogue
from node.client.finality import header_from
from node.client.names import loose
from node.client.plain import Json
from node.errors import NodeUnreachable, NotFound
from runtime.primitives.block import Header

BEHIND_MAX = 4_096
"""Blocks shown at most before the first new one, and between two: hours of them."""

KEPT = 512
"""Shown blocks that are remembered, to find where a branch was left; more are never unfinalized."""

BEST = ("chain_subscribeNewHeads", (), "chain_unsubscribeNewHeads")
FINAL = ("chain_subscribeFinalizedHeads", (), "chain_unsubscribeFinalizedHeads")
COLUMNS = ("block", "number", "extrinsic", "event", "fields")
RETRACTED = "(retracted)"
"""In the place of an event: the block is not on the best chain any more."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A block with its wanted events; without any, one that was left."""

    hash: str
    number: int
    events: Sequence[Event] | None

    def as_json(self) -> Mapping[str, Json]:
        """For other programs."""
        head: dict[str, Json] = {"block": self.hash, "number": self.number}
        if self.events is None:
            return {**head, "retracted": True}
        return {**head, "events": [event.as_json() for event in self.events]}

    def rows(self) -> list[Mapping[str, Json]]:
        """One for each event."""
        head: dict[str, Json] = {"block": self.hash, "number": self.number}
        if self.events is None:
            return [{**head, "event": RETRACTED}]
        return [{**head, **event.as_json()} for event in self.events]

    def as_csv(self) -> str:
        """The rows; fields, which differ from event to event, as JSON."""
        rows = [{**row, "fields": json.dumps(row.get("fields"))} for row in self.rows()]
        return csv_of(rows, COLUMNS)


@click.command()
@click.option("--at", default="latest", show_default=True, help="Block: number or hash.")
@click.option("--filter", "wanted", help="Only of this pallet, or of this name: trading.*")
@click.option(
    "--follow", "-f", "is_following", is_flag=True, help="Go on with each block that comes."
)
@click.option("--blocks", type=click.IntRange(1), help="With --follow: end after so many.")
@FORM
@rpc_options
async def events(
    at: str,
    wanted: str | None,
    is_following: bool,
    blocks: int | None,
    output: str,
    node: NodeAddress,
) -> None:
    """Show the events of a block.

    With --follow those of all later ones too, as they become best; after --at finalized, as they
    become final. Blocks without an event that fits --filter are left out then.
    """
    if blocks is not None and not is_following:
        raise click.UsageError("--blocks counts what --follow shows: add --follow.")
    async with node_at(node) as link:
        block = await block_named(link, at)
        reader = EventReader(link, wanted)
        if not is_following:
            show(await reader.read(block, await header_of(link, block)), output)
            return
        subscription = FINAL if at == "finalized" else BEST
        async with link.subscribe(*subscription) as heads:
            await show_following(reader, block, heads, blocks, output)


async def show_following(
    reader: "EventReader", first: str, heads: Notifications, blocks: int | None, output: str
) -> None:
    """Print a block and those that follow it, `blocks` of them; ends with the connection."""
    header = await header_of(reader.link, first)
    walk = Walk(reader.link, first, header)
    begin_stream(output)
    steps = [Step(first, header, is_left=False)]
    count = 0
    while True:
        for step in steps:
            found = Shown(step.block, step.header.number, None)
            if not step.is_left:
                found = await reader.read(step.block, step.header)
                count += 1
            if found.events is None or found.events:
                show_in_stream(found, output)
            if count == blocks:
                return
        try:
            content = await heads.receive()
        except trio.EndOfChannel:
            break
        steps = await walk.to(header_from(content, "A new block"))
    raise NodeUnreachable("The connection ended: the node stopped, or we did not keep up.")


@dataclass
class EventReader:
    """Reads the events of blocks by the metadata of the runtime that made them."""

    link: Link
    wanted: str | None
    catalogues: dict[int, Catalogue] = field(default_factory=dict[int, Catalogue])
    """By spec version."""

    async def read(self, block: str, header: Header) -> Shown:
        """The events of a block that are wanted."""
        made_by = "0x" + header.parent_hash.hex() if header.number else block
        version = await self.link.call("state_getRuntimeVersion", [made_by])
        spec = cast(int, version["specVersion"])
        if spec not in self.catalogues:
            self.catalogues[spec] = await catalogue_of(self.link, made_by)
        found = await events_of(self.link, self.catalogues[spec], block)
        chosen = [event for event in found if self.wanted is None or fits(event.name, self.wanted)]
        return Shown(block, header.number, chosen)


@dataclass(frozen=True, slots=True)
class Step:
    """A block that joins the chain, or one that was left."""

    block: str
    header: Header
    is_left: bool


class Walk:
    """A way along the best chain, or the final one, from a block on."""

    def __init__(self, link: Link, first: str, header: Header) -> None:
        self._link = link
        self._chain = [(first, header)]  # what was passed and not left
        self._begin = header.number

    async def to(self, tip: Header) -> list[Step]:
        """The steps to another head: what is left, newest first, then what joins."""
        if tip.number < self._begin:
            return []  # below what was asked for
        known = {block for block, _ in self._chain}
        lowest = self._chain[0][1].number
        route: list[tuple[str, Header]] = []
        block, header = _hex(tip.hash()), tip
        while block not in known and header.number >= lowest:
            if len(route) == BEHIND_MAX:
                raise Refused(
                    f"Block {tip.number} is more than {BEHIND_MAX} blocks ahead: begin later with "
                    "--at."
                )
            route.append((block, header))
            block = _hex(header.parent_hash)
            if header.number == 0:
                break
            header = await header_of(self._link, block)
        steps: list[Step] = []
        while self._chain and self._chain[-1][0] != block:
            steps.append(Step(*self._chain.pop(), is_left=True))
        for found in reversed(route):
            self._chain.append(found)
            steps.append(Step(*found, is_left=False))
        del self._chain[:-KEPT]
        return steps


async def header_of(link: Link, block: str) -> Header:
    """The header of a block. Raises `NotFound`."""
    content = await link.call("chain_getHeader", [block])
    if content is None:
        raise NotFound(f"The node does not have block {block}.")
    return header_from(content, f"Block {block}")


def fits(name: str, wanted: str) -> bool:
    """Whether an event has a name that is wanted: `trading`, `trading.*`, `Trading.OrderPlaced`."""
    pallet, _, rest = loose(wanted).partition(".")
    found_pallet, _, found_name = loose(name).partition(".")
    return pallet in ("*", found_pallet) and rest in ("", "*", found_name)


# --- printing


def show(found: Shown, output: str) -> None:
    """Print the events of one block."""
    if output == TEXT:
        for line in lines_of(found):
            click.echo(line)
    elif output == "csv":
        begin_stream(output)
        click.echo(found.as_csv(), nl=False)
    else:
        emit(found.as_json(), output, found.rows())


def begin_stream(output: str) -> None:
    """Print what stands before all blocks."""
    if output == "csv":
        click.echo(",".join(COLUMNS))


def show_in_stream(found: Shown, output: str) -> None:
    """Print one of several blocks: a line of JSON, a document of YAML, rows, or lines."""
    if output == "csv":
        click.echo(found.as_csv(), nl=False)
    elif output == "yaml":
        click.echo("---")
        emit(found.as_json(), output)
    elif output != TEXT:
        emit(found.as_json(), "json")
    elif found.events is None:
        click.echo(f"Block {found.number} {found.hash} was left; what it did does not count.")
    else:
        click.echo(f"Block {found.number} {found.hash}")
        for line in lines_of(found):
            click.echo(line)


def lines_of(found: Shown) -> list[str]:
    """Events for people."""
    return [
        f"{'–' if event.extrinsic is None else event.extrinsic:>3} {event.name} "
        f"{json.dumps(event.fields) if event.fields else ''}".rstrip()
        for event in found.events or ()
    ]


def _hex(data: bytes) -> str:
    return "0x" + data.hex()
