"""`dret node export-blocks`, `import-blocks`, `revert`, `check-block`, `repair`: on a stopped node.

Names, arguments and flags are Substrate's where Substrate has them.
"""

import json
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import asyncclick as click

PROGRESS_BLOCKS = 1_000  # a line for so many


def _where(command: Any) -> Any:
    path = click.Path(path_type=Path)
    command = click.option(
        "--base-path", "-d", type=path, required=True, help="The node's folder; it must not run."
    )(command)
    return click.option(
        "--chain", type=path, help="The chain specification; default: chain-spec.json below -d."
    )(command)


def _format(command: Any) -> Any:
    return click.option(
        "--output", "output_format", type=click.Choice(["text", "json"]), default="text"
    )(command)


@click.command("export-blocks")
@click.argument("output", required=False, type=click.Path(path_type=Path))
@_where
@click.option("--from", "first", type=click.IntRange(0), default=1, show_default=True)
@click.option("--to", "last", type=click.IntRange(0), help="The best block by default.")
@click.option("--binary", is_flag=True, help="SCALE instead of JSON.")
async def export_blocks(
    output: Path | None,
    chain: Path | None,
    base_path: Path,
    first: int,
    last: int | None,
    binary: bool,
) -> None:
    """Write blocks to OUTPUT, or to standard output, with the proofs of their finality."""
    from node import maintenance

    with (
        maintenance.open_chain(spec_path(chain, base_path), base_path) as opened,
        _written(output) as file,
    ):
        count = maintenance.export_blocks(opened, first, last, file, binary, _progress("Exported"))
    click.echo(f"Exported {count} blocks.", err=True)


@click.command("import-blocks")
@click.argument("input", required=False, type=click.Path(path_type=Path))
@_where
@click.option("--binary", is_flag=True, help="The file is SCALE, not JSON.")
@_format
async def import_blocks(
    input: Path | None, chain: Path | None, base_path: Path, binary: bool, output_format: str
) -> None:
    """Import blocks from INPUT, or from standard input, checking each as if a peer had sent it.

    May be interrupted and repeated: blocks that are here already are passed over.
    """
    from node import maintenance
    from node.block_file import BlockFile
    from node.clock import SystemClock
    from node.offline import FileImport

    with (
        BlockFile.open(input, sys.stdin.buffer, binary) as blocks,
        maintenance.open_chain(spec_path(chain, base_path), base_path) as opened,
    ):
        done = FileImport(opened, blocks, SystemClock(), _progress("Imported")).run()
    for fault in done.refused:
        click.echo(f"Refused: {fault}", err=True)
    fields = {"imported": done.blocks, "best": done.best, "finalized": done.finalized}
    _tell(
        output_format,
        fields,
        f"Imported {done.blocks} blocks: best block {done.best}, final block {done.finalized}.",
    )


@click.command()
@click.argument("number", type=click.IntRange(1), default=256)
@_where
@_format
async def revert(number: int, chain: Path | None, base_path: Path, output_format: str) -> None:
    """Take back the newest NUMBER blocks (256 by default). Final blocks are never taken back."""
    from node import maintenance

    with maintenance.open_chain(spec_path(chain, base_path), base_path) as opened:
        gone, best = maintenance.revert(opened, number)
        final = opened.finalized.number
    text = f"Took back {gone} blocks: best block {best}, final block {final}."
    if gone == 0:
        text = f"Nothing to take back: block {best} is the best one and final."
    _tell(output_format, {"reverted": gone, "best": best, "finalized": final}, text)


@click.command("check-block")
@click.argument("block", metavar="HASH|NUMBER")
@_where
@_format
async def check_block(block: str, chain: Path | None, base_path: Path, output_format: str) -> None:
    """Execute a stored block again, and check its seal, its body and its roots."""
    from node import maintenance
    from node.clock import SystemClock

    with maintenance.open_chain(spec_path(chain, base_path), base_path) as opened:
        found = maintenance.find_block(opened, block)
        checked = maintenance.check_block(opened, found, SystemClock())
    fields = {
        "number": checked.number,
        "hash": "0x" + checked.block_hash.hex(),
        "extrinsics": checked.extrinsics,
        "milliseconds": checked.milliseconds,
    }
    _tell(
        output_format,
        fields,
        f"Block {checked.number} (0x{checked.block_hash.hex()}) is valid: "
        f"{checked.extrinsics} extrinsics, executed in {checked.milliseconds} ms.",
    )


@click.command()
@_where
@_format
async def repair(chain: Path | None, base_path: Path, output_format: str) -> None:
    """Make a damaged database whole again from what can still be read.

    Works on a copy; the damaged folder stays. What is lost is fetched from the peers again.
    """
    from node.chain_spec import load_chain_spec
    from node.repair import repair as run_repair
    from node.signing.marks import FILE_NAME

    spec = load_chain_spec(spec_path(chain, base_path))
    done = run_repair(base_path, spec)
    has_votes = any((base_path / "keystore").glob("6772616e*"))  # hex of "gran", the key type
    fields = {
        "finalizedBefore": done.final_before,
        "finalized": done.final,
        "lowest": done.lowest,
        "dropped": done.dropped,
        "damaged": str(done.damaged),
    }
    lines = [f"The database is whole again: final block {done.final}."]
    if done.is_set_back:
        before = "an unknown block" if done.final_before is None else f"block {done.final_before}"
        lines.append(f"Before it was {before}; the blocks in between are fetched again.")
    if done.lowest > 1:
        lines.append(f"Blocks 1 to {done.lowest - 1} are missing and fetched while the node runs.")
    lines.append(f"The damaged database is kept in {done.damaged}; remove it when all is well.")
    if has_votes:
        state = base_path / FILE_NAME
        lines.append(
            f"A validator: {state} decides whether it may vote at once or observes until the next "
            "set."
            if state.exists()
            else f"A validator without {state}: it could vote twice. Give it new session keys "
            "(dret authority rotate-keys) before you start it with --validator."
        )
    _tell(output_format, fields, "\n".join(lines))


COMMANDS: tuple[click.Command, ...] = (
    export_blocks,
    import_blocks,
    revert,
    check_block,
    repair,
)


def spec_path(chain: Path | None, base_path: Path) -> Path:
    """The chain specification that was given, or the one a node with --dev made."""
    if chain is not None:
        return chain
    own = base_path / "chain-spec.json"
    if not own.exists():
        raise click.UsageError(f"Pass --chain FILE: there is no {own}.")
    return own


def _progress(verb: str) -> Callable[[int], None]:
    def tell(number: int) -> None:
        if number % PROGRESS_BLOCKS == 0:
            click.echo(f"{verb} up to block {number}", err=True)

    return tell


@contextmanager
def _written(path: Path | None) -> Generator[BinaryIO]:
    """The file at `path`, which is whole or absent afterwards; standard output for None."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    unfinished = path.with_name(path.name + ".part")
    try:
        with unfinished.open("wb") as file:
            yield file
        unfinished.replace(path)
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        unfinished.unlink(missing_ok=True)


def _tell(output_format: str, fields: Mapping[str, object], text: str) -> None:
    click.echo(json.dumps(fields) if output_format == "json" else text)
