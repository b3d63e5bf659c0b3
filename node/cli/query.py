"""`dret query`: everything a chain knows, from its metadata: storage, constants, runtime APIs.

dret query                                    pallets and runtime APIs
dret query trading                            storage items and constants of a pallet
dret query trading.schedule                   a value
dret query trading.lines 1200                 an entry of a map
dret query trading.holdings 1200 --limit 20   the entries under the first keys of a map
dret query balances.ExistentialDeposit        a constant
dret query Trading_bill 3 1200 1210           a function of a runtime API
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

import asyncclick as click

from devnet.rpc_client import Link
from node.cli.chain_access import (
    NodeAddress,
    account_of_text,
    node_at,
    rpc_options,
)
from node.cli.chain_names import ANY_OPTION, NameGroup
from node.cli.chain_view import (
    arguments_from,
    block_named,
    catalogue_of,
    decoded,
    drt,
    value_from,
)
from node.cli.output import FORM, TEXT, emit
from node.cli.query_events import events
from node.cli.query_views import show_all, show_constant, show_pallet
from node.client.catalogue import Catalogue, FunctionOf
from node.client.metadata import Constant, Modifier, Pallet, StorageEntry
from node.client.names import loose
from node.client.plain import Json
from node.errors import NotFound
from runtime.primitives.crypto import ss58_encode

LIMIT = 100  # entries of a map that a person looks at
LIMIT_MAX = 100_000
PAGE = 500  # entries read at once; a node gives at most 1 000 keys
AT = click.option("--at", default="latest", show_default=True, help="Block: number or hash.")


class ItemGroup(NameGroup):
    """Commands, and beside them every name of the chain's metadata."""

    default = "item"


@click.group(cls=ItemGroup, context_settings=ANY_OPTION)
async def group() -> None:
    """Everything a chain knows: storage, constants, runtime APIs, blocks, events.

    \b
    dret query                     pallets and runtime APIs
    dret query PALLET              what a pallet stores
    dret query PALLET.ITEM KEY…    a value, an entry, or the entries of a map
    dret query API_FUNCTION ARG…   what the runtime answers

    All options: dret query item --help
    """


@group.command("item")
@click.argument("name", required=False)
@click.argument("keys", nargs=-1)
@AT
@click.option("--limit", type=click.IntRange(1, LIMIT_MAX), default=LIMIT, show_default=True)
@click.option("--start", help="Go on behind this storage key: the next of an earlier answer.")
@FORM
@rpc_options
async def item(
    name: str | None,
    keys: Sequence[str],
    at: str,
    limit: int,
    start: str | None,
    output: str,
    node: NodeAddress,
) -> None:
    """Read NAME: a value, entries of a map, a constant, or a runtime API function.

    The word item may be left out.
    """
    async with node_at(node) as link:
        block = await block_named(link, at)
        catalogue = await catalogue_of(link, block)
        if name is None:
            show_all(catalogue, output)
        elif "." in name:
            pallet, found = catalogue.item(name)
            if isinstance(found, Constant):
                show_constant(catalogue, pallet, found, output)
            else:
                reader = Reader(link, catalogue, block, output)
                await reader.entry(pallet, found, keys, limit, start)
        elif is_function(catalogue, name):
            await call_function(link, catalogue, catalogue.function(name), keys, block, output)
        else:
            show_pallet(catalogue, catalogue.pallet(name), output)


@group.command()
@click.argument("address")
@AT
@FORM
@rpc_options
async def account(address: str, at: str, output: str, node: NodeAddress) -> None:
    """Show money and nonce of an ADDRESS."""
    who = ss58_encode(account_of_text(address))
    async with node_at(node) as link:
        block = await block_named(link, at)
        catalogue = await catalogue_of(link, block)
        pallet, entry = catalogue.item("System.Account")
        assert isinstance(entry, StorageEntry), "every Substrate chain has it"
        value = await Reader(link, catalogue, block, output).value(pallet, entry, [who])
        pending = await link.call("system_accountNextIndex", [who])
    info = cast("dict[str, Any]", value)
    data = cast("dict[str, int]", info["data"])
    shown = {"account": who, "block": block, **info, "next_nonce": pending}
    if output != TEXT:
        emit({**shown, "free_display": drt(data["free"])}, output)
        return
    click.echo(
        f"{who}\n  free      {drt(data['free']):>28}\n  set aside {drt(data['reserved']):>28}"
    )
    click.echo(f"  frozen    {drt(data['frozen']):>28}\n  nonce     {info['nonce']}")
    if pending != info["nonce"]:
        click.echo(f"  next nonce {pending}: extrinsics wait in the pool")


@group.command()
@click.argument("name", default="latest")
@FORM
@rpc_options
async def block(name: str, output: str, node: NodeAddress) -> None:
    """Show a block: NAME is a number, a hash, latest or finalized."""
    async with node_at(node) as link:
        block_hash = await block_named(link, name)
        content = await link.call("chain_getBlock", [block_hash])
        if content is None:
            raise NotFound(f"The node does not have block {name}.")
        header = content["block"]["header"]
        number = int(header["number"], 16)
        catalogue = await catalogue_of(link, header["parentHash"] if number else block_hash)
    extrinsics = [
        decoded(catalogue, bytes.fromhex(raw[2:])) for raw in content["block"]["extrinsics"]
    ]
    shown = {"hash": block_hash, **header, "number": number, "extrinsics": extrinsics}
    if output != TEXT:
        rows = [{"number": number, "index": at, **each} for at, each in enumerate(extrinsics)]
        emit(shown, output, rows)
        return
    click.echo(f"Block {number}  {block_hash}")
    for title, field in (("parent", "parentHash"), ("state", "stateRoot")):
        click.echo(f"  {title:<7} {header[field]}")
    for place, extrinsic in enumerate(extrinsics):
        click.echo(f"  {place}: {json.dumps(extrinsic)}")


group.add_command(events)


# --- reading


class Reader:
    """Reads the state after a block and prints it."""

    def __init__(self, link: Link, catalogue: Catalogue, block: str, output: str) -> None:
        self._link = link
        self._catalogue = catalogue
        self._block = block
        self._output = output

    async def entry(
        self,
        pallet: Pallet,
        entry: StorageEntry,
        texts: Sequence[str],
        limit: int,
        start: str | None,
    ) -> None:
        """Print a value, an entry of a map, or the entries under its first keys."""
        catalogue = self._catalogue
        kinds = catalogue.key_types(entry)
        keys = [
            value_from(catalogue.types, kind, text)
            for kind, text in zip(kinds, texts, strict=False)
        ]
        keys += texts[len(kinds) :]  # refused below, by their number
        if len(keys) < len(kinds):
            await self._entries(pallet, entry, keys, limit, start)
            return
        storage_key = "0x" + catalogue.storage_key(pallet, entry, keys).hex()
        value = await self.value(pallet, entry, keys)
        if self._output != TEXT:
            emit({"block": self._block, "key": storage_key, "value": value}, self._output)
        elif value is None and entry.modifier is Modifier.OPTIONAL:
            raise NotFound(f"{pallet.name}.{entry.name} has no such entry in block {self._block}.")
        else:
            click.echo(json.dumps(value, indent=2))

    async def value(self, pallet: Pallet, entry: StorageEntry, keys: Sequence[Json]) -> Json:
        """A value of the state."""
        key = self._catalogue.storage_key(pallet, entry, keys)
        raw = await self._link.call("state_getStorage", ["0x" + key.hex(), self._block])
        return self._catalogue.decode_value(entry, None if raw is None else bytes.fromhex(raw[2:]))

    async def _entries(
        self,
        pallet: Pallet,
        entry: StorageEntry,
        keys: Sequence[Json],
        limit: int,
        start: str | None,
    ) -> None:
        prefix = "0x" + self._catalogue.storage_key(pallet, entry, keys).hex()
        shown: list[Mapping[str, Json]] = []
        last = start
        while len(shown) < limit:
            count = min(PAGE, limit - len(shown))
            found = await self._link.call("state_getKeysPaged", [prefix, count, last, self._block])
            if found:
                shown += await self._values(entry, found)
                last = found[-1]
            if len(found) < count:
                last = None
                break
        if self._output != TEXT:
            found = {"block": self._block, "entries": shown, "next": last}
            emit(found, self._output, shown)
            return
        for each in shown:
            click.echo(f"{json.dumps(each['keys'])[1:-1]}: {json.dumps(each['value'])}")
        if not shown:
            click.echo(f"{pallet.name}.{entry.name} has no entries here.")
        if last is not None:
            click.echo(f"There may be more: add --start {last}")

    async def _values(self, entry: StorageEntry, keys: Sequence[str]) -> list[Mapping[str, Json]]:
        sets = await self._link.call("state_queryStorageAt", [keys, self._block])
        return [
            {
                "keys": self._catalogue.keys_of(entry, bytes.fromhex(key[2:])),
                "key": key,
                "value": self._catalogue.decode_value(
                    entry, None if raw is None else bytes.fromhex(raw[2:])
                ),
            }
            for key, raw in sets[0]["changes"]
        ]


async def call_function(
    link: Link,
    catalogue: Catalogue,
    found: FunctionOf,
    texts: Sequence[str],
    block: str,
    output: str,
) -> None:
    """Call a function of a runtime API and print its answer."""
    function = found.function
    values = arguments_from(catalogue.types, function.inputs, texts, found.name)
    data = b"".join(
        catalogue.types.encode(each.type_id, value, f"argument {each.name}")
        for each, value in zip(function.inputs, values, strict=True)
    )
    answer = await link.call("state_call", [found.name, "0x" + data.hex(), block])
    value = catalogue.types.decode(function.output, bytes.fromhex(answer[2:]))
    if output != TEXT:
        emit({"block": block, "value": value}, output)
    else:
        click.echo(json.dumps(value, indent=2))


def is_function(catalogue: Catalogue, name: str) -> bool:
    """Whether a name is meant as a function of a runtime API: not the name of a pallet."""
    pallets = {loose(pallet.name) for pallet in catalogue.metadata.pallets}
    return "_" in name and loose(name) not in pallets
