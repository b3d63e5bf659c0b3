"""`dret tx`: every call of the chain, from its metadata: browse, compose, sign, follow.

    dret tx                                       pallets
    dret tx trading                               calls of a pallet
    dret tx trading.place_order                   its arguments (without --from nothing is sent)
    dret tx trading.place_order 3 1200 bid 250000 700 --from //Alice
    dret tx balances.transfer_keep_alive dest=5F… value=1_000 --from //Alice --wait final

Arguments come by position or as `name=value`; what is no plain value is JSON.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import asyncclick as click
import msgspec

from devnet.rpc_client import Link, RpcFailed
from node.cli.chain_access import (
    NodeAddress,
    Signer,
    node_at,
    rpc_options,
    signer_options,
)
from node.cli.chain_names import ANY_OPTION, NameGroup
from node.cli.chain_view import arguments_from, catalogue_of, decoded, drt
from node.cli.output import FORM, TEXT, emit
from node.cli.transactions import (
    Outcome,
    dry_run,
    dry_run_failure,
    fee_of,
    find,
    follow,
    hand_in,
    signed,
)
from node.cli.tx_views import (
    show_call,
    show_calls,
    show_encoded,
    show_outcome,
    show_pallets,
)
from node.client.catalogue import Catalogue
from node.client.plain import Json, ValueRefused
from node.client.signing import ERA_BLOCKS, IMMORTAL
from node.errors import CallFailed, ConfigInvalid, NotFound
from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import DecodeError

WAIT_S = 120.0  # twenty blocks of the slowest chain
ERA_MAX = 4_096
FILE_BYTES_MAX = 16 << 20  # the largest request a node takes
WAIT = click.option(
    "--wait",
    type=click.Choice(["none", "pool", "block", "final"]),
    default="block",
    show_default=True,
    help="How far to follow it.",
)
TIMEOUT = click.option("--timeout", type=click.FloatRange(1), default=WAIT_S, show_default=True)


class Entry(msgspec.Struct, forbid_unknown_fields=True):
    """A call of a batch: its name, and its arguments by position or by name."""

    call: str
    arguments: list[Any] | dict[str, Any] = msgspec.field(default_factory=list[Any])


class CallGroup(NameGroup):
    """Commands, and beside them every pallet and every call of the chain."""

    default = "call"


@click.group(cls=CallGroup, context_settings=ANY_OPTION)
async def group() -> None:
    """Every call of the chain: list, compose, sign, submit, follow.

    \b
    dret tx                        the pallets
    dret tx PALLET                 the calls of a pallet
    dret tx PALLET.CALL            the arguments of a call
    dret tx PALLET.CALL ARG… --from //Alice

    Arguments come by position or as name=value; lists and structs are JSON. All options:
    dret tx call --help
    """


@group.command("call")
@click.argument("name", required=False)
@click.argument("arguments", nargs=-1)
@signer_options
@click.option("--tip", type=click.IntRange(0), default=0, help="Nano-DRT for the block's author.")
@click.option("--nonce", type=click.IntRange(0), help="Default: the account's next one.")
@click.option(
    "--era",
    type=click.IntRange(0, ERA_MAX),
    default=ERA_BLOCKS,
    show_default=True,
    help="For how many blocks it is valid; 0: for ever.",
)
@click.option("--dry-run", "is_dry", is_flag=True, help="Only tell fee and result.")
@click.option("--sign-only", type=click.Path(path_type=Path), help="Write it there; - prints it.")
@WAIT
@TIMEOUT
@FORM
@rpc_options
async def call(
    name: str | None,
    arguments: Sequence[str],
    signer: Signer,
    tip: int,
    nonce: int | None,
    era: int,
    is_dry: bool,
    sign_only: Path | None,
    wait: str,
    timeout: float,
    output: str,
    node: NodeAddress,
) -> None:
    """Compose the call NAME and, with --from or --suri-file, sign it and hand it in.

    The word call may be left out.
    """
    check_era(era)
    async with node_at(node) as link:
        catalogue = await catalogue_of(link)
        if name is None:
            show_pallets(catalogue, output)
            return
        if "." not in name:
            show_calls(catalogue, catalogue.pallet(name), output)
            return
        pallet, variant = catalogue.call(name)
        is_signing = signer.suri is not None or signer.suri_file is not None
        if not arguments and not (is_signing and not variant.fields):
            show_call(catalogue, pallet, variant, output)
            return
        what = f"{pallet.name}.{variant.name}"
        values = arguments_from(catalogue.types, variant.fields, arguments, what)
        encoded = catalogue.encode_call(pallet, variant, values)
        if not is_signing:
            show_encoded(catalogue, encoded, output)
            return
        extrinsic = await signed(link, catalogue, signer.pair(), encoded, nonce, tip, era)
        await use(link, catalogue, extrinsic, is_dry, sign_only, wait, timeout, output)


@group.command()
@click.argument("extrinsic")
@WAIT
@TIMEOUT
@FORM
@rpc_options
async def submit(extrinsic: str, wait: str, timeout: float, output: str, node: NodeAddress) -> None:
    """Hand in a signed EXTRINSIC: 0x…, or a file with it."""
    raw = bytes_of(extrinsic)
    async with node_at(node) as link:
        catalogue = await catalogue_of(link)
        await use(link, catalogue, raw, False, None, wait, timeout, output)


@group.command()
@click.argument("data")
@FORM
@rpc_options
async def decode(data: str, output: str, node: NodeAddress) -> None:
    """Show what an extrinsic, or a call, says: 0x…, or a file with it."""
    raw = bytes_of(data)
    async with node_at(node) as link:
        catalogue = await catalogue_of(link)
    try:
        shown = decoded(catalogue, raw)
    except DecodeError as error:
        raise ValueRefused("DATA", f"an extrinsic or a call ({error})", data) from error
    if output != TEXT:
        emit(shown, output)
    else:
        click.echo(json.dumps(shown, indent=2))


@group.command()
@click.argument("digest", metavar="HASH")
@FORM
@rpc_options
async def status(digest: str, output: str, node: NodeAddress) -> None:
    """Tell where the extrinsic of a HASH is: in the pool, or in one of the latest 256 blocks."""
    async with node_at(node) as link:
        outcome = await find(link, "0x" + digest.removeprefix("0x").lower())
    if outcome is None:
        raise NotFound(f"{digest} is neither in the pool nor in one of the latest 256 blocks.")
    show_outcome(outcome, output)


@group.command()
@click.argument("file", type=click.Path(path_type=Path))
@signer_options
@click.option("--tip", type=click.IntRange(0), default=0)
@click.option("--nonce", type=click.IntRange(0))
@click.option("--dry-run", "is_dry", is_flag=True, help="Only tell fee and result.")
@WAIT
@TIMEOUT
@FORM
@rpc_options
async def batch(
    file: Path,
    signer: Signer,
    tip: int,
    nonce: int | None,
    is_dry: bool,
    wait: str,
    timeout: float,
    output: str,
    node: NodeAddress,
) -> None:
    """Sign the calls of a FILE as one extrinsic: all are done, or none.

    The file is JSON: [{"call": "Pallet.call", "arguments": [...]}, ...]; arguments by position, or
    an object by name.
    """
    entries = read_batch(file)
    async with node_at(node) as link:
        catalogue = await catalogue_of(link)
        calls = [catalogue.decode_call(batched(catalogue, entry)) for entry in entries]
        pallet, variant = catalogue.call("Utility.batch_all")
        encoded = catalogue.encode_call(pallet, variant, [calls])
        extrinsic = await signed(link, catalogue, signer.pair(), encoded, nonce, tip, ERA_BLOCKS)
        await use(link, catalogue, extrinsic, is_dry, None, wait, timeout, output)


# --- doing


async def use(
    link: Link,
    catalogue: Catalogue,
    extrinsic: bytes,
    is_dry: bool,
    sign_only: Path | None,
    wait: str,
    timeout: float,
    output: str,
) -> None:
    """Write, try, or hand in a signed extrinsic, as the options say."""
    if sign_only is not None:
        write(sign_only, extrinsic)
        return
    if is_dry:
        await show_dry_run(link, catalogue, extrinsic, output)
        return

    def tell(text: str) -> None:
        if output == TEXT:
            click.echo(text)

    if wait == "none":
        outcome = Outcome(await hand_in(link, extrinsic), "pool")
    else:
        tell("0x" + blake2_256(extrinsic).hex())
        outcome = await follow(link, extrinsic, wait, timeout, tell)
    show_outcome(outcome, output)
    outcome.check()


def write(path: Path, extrinsic: bytes) -> None:
    """Write an extrinsic as hex; `-` prints it."""
    text = "0x" + extrinsic.hex()
    if str(path) == "-":
        click.echo(text)
        return
    try:
        path.write_text(text + "\n")
    except OSError as error:
        raise ConfigInvalid(f"--sign-only {path}: {error.strerror}.") from error
    click.echo(f"Written to {path}; hand it in with: dret tx submit {path}")


async def show_dry_run(link: Link, catalogue: Catalogue, extrinsic: bytes, output: str) -> None:
    """Tell what an extrinsic costs and comes to. Raises `CallFailed` when it would fail."""
    info = await fee_of(link, catalogue, extrinsic)
    failure: tuple[str, str] | None = None
    is_tried = True
    try:
        result = await dry_run(link, catalogue, extrinsic)
        failure = dry_run_failure(catalogue, result)
    except RpcFailed as error:
        if "unsafe" not in str(error):
            raise
        is_tried = False  # the node does so for its own operator only
    fee = cast(int, info["partial_fee"])
    if output != TEXT:
        shown: dict[str, Json] = {
            **info,
            "fee_display": drt(fee),
            "is_tried": is_tried,
            "error": failure[0] if failure else None,
            "error_docs": failure[1] if failure else "",
        }
        emit(shown, output)
    else:
        click.echo(f"Fee {drt(fee)}, weight {json.dumps(info['weight'])}")
        if not is_tried:
            click.echo("Not tried: the node serves system_dryRun to its own operator only.")
        elif failure is None:
            click.echo("It would succeed.")
    if failure is not None:
        raise CallFailed(f"It would fail with {failure[0]}{': ' if failure[1] else ''}{failure[1]}")


def batched(catalogue: Catalogue, entry: Entry) -> bytes:
    """The call of an entry of a batch."""
    pallet, variant = catalogue.call(entry.call)
    given = entry.arguments
    if not isinstance(given, dict):
        return catalogue.encode_call(pallet, variant, given)
    names = [field.name or "" for field in variant.fields]
    unknown = [each for each in given if each not in names]
    missing = [each for each in names if each not in given]
    if unknown or missing:
        found = f"unknown {unknown}, missing {missing}"
        raise ValueRefused(entry.call, f"the arguments {', '.join(names)}", found)
    return catalogue.encode_call(pallet, variant, [given[each] for each in names])


# --- reading what is given


def check_era(era: int) -> None:
    """Refuse an era that does not exist. Raises `click.UsageError`."""
    if era != IMMORTAL and (era < 4 or era & (era - 1)):
        raise click.UsageError(f"--era {era}: expected a power of two from 4 to {ERA_MAX}, or 0.")


def bytes_of(text: str) -> bytes:
    """Bytes from hex, or from a file with hex. Raises `click.UsageError`."""
    if not text.startswith("0x"):
        text = read_text(Path(text)).strip()
    try:
        return bytes.fromhex(text.removeprefix("0x"))
    except ValueError as error:
        raise click.UsageError(f"Expected 0x… and hex digits: {error}.") from error


def read_text(path: Path) -> str:
    """The text of a file. Raises `click.UsageError`."""
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
        if len(content) > FILE_BYTES_MAX:
            raise click.UsageError(f"{path} has more than {FILE_BYTES_MAX} bytes.")
        return content.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{path} cannot be read: {error}.") from error


def read_batch(path: Path) -> list[Entry]:
    """The entries of a batch. Raises `click.UsageError` naming the one that is wrong."""
    try:
        entries = msgspec.json.decode(read_text(path), type=list[Entry])
    except (msgspec.DecodeError, RecursionError) as error:
        raise click.UsageError(f"{path} is no list of calls: {error}.") from error
    if not entries:
        raise click.UsageError(f"{path}: expected a list of calls, found none.")
    return entries
