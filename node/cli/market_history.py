"""`dret market history`, `proof` and `verify`: prices of the past, and what proves them.

A proof is a file of JSON that its owner keeps. Verifying it needs no chain but the root of its day,
which stays on chain for ever.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import asyncclick as click

from node.cli.chain_access import OUTPUT, NodeAddress, Refused, ask, node_at, rpc_options, u32
from node.errors import ConfigInvalid
from runtime.pallets.trading.history import (
    CANDLES_MAX,
    Candle,
    Day,
    LineProof,
    RecordProof,
    root_by_line,
    root_by_record,
)
from runtime.primitives.scale import U32, DecodeError
from runtime.primitives.types import IntervalIndex

FILE_BYTES_MAX = 1 << 20  # a proof has some hundred bytes; its record some hundred more
NUMBER_MAX = 2**32 - 1
KINDS = ("record", "line")
Candles = list[tuple[IntervalIndex, Candle]]
Days = list[tuple[U32, Day]]
Rows = list[tuple[int, Candle | None, dict[str, object]]]


@click.command()
@click.option("--first", type=click.IntRange(0, NUMBER_MAX), help="Default: a week back.")
@click.option("--last", type=click.IntRange(0, NUMBER_MAX), help="Default: the present interval.")
@click.option("--days", is_flag=True, help="By day since genesis; --first, --last are days.")
@OUTPUT
@rpc_options
async def history(
    first: int | None, last: int | None, days: bool, output: str, node: NodeAddress
) -> None:
    """Show the prices of intervals that traded, or of days with their roots."""
    rows: Rows
    async with node_at(node) as link:
        if days:
            span = u32(first or 0) + u32(NUMBER_MAX if last is None else last)
            kept: Days = await ask(link, "Trading_days", span, Days)
            rows = [(number, day.candle, row_of_day(day)) for number, day in kept]
        else:
            if last is None:
                last = await ask(link, "Trading_current_interval", b"", U32)
            begin = max(0, last - CANDLES_MAX + 1) if first is None else first
            found: Candles = await ask(link, "Trading_candles", u32(begin) + u32(last), Candles)
            rows = [(interval, candle, {}) for interval, candle in found]
    name = "day" if days else "interval"
    if output == "json":
        click.echo(json.dumps([{name: n, **as_json(candle), **more} for n, candle, more in rows]))
        return
    titles = (name, "open", "high", "low", "close", "mean", "kWh")
    click.echo("".join(f"{title:>11}" for title in titles) + ("  root" if days else ""))
    for number, candle, more in rows:
        state = f"  {more['root']}{'' if more['is_closed'] else ' (goes on)'}" if more else ""
        click.echo(f"{number:>11}{cells_of(candle)}{state}")
    click.echo("\nPrices of the root in DRT per kWh; mean: of all bids at their buses.")


def row_of_day(day: Day) -> dict[str, object]:
    """What a day has beside its candle."""
    return {"root": "0x" + day.root.hex(), "records": day.records, "is_closed": day.is_closed}


def as_json(candle: Candle | None) -> dict[str, object]:
    """A candle by the names of its fields; nulls if nothing traded."""
    return {name: getattr(candle, name, None) for name in Candle.__struct_fields__}


def cells_of(candle: Candle | None) -> str:
    """A candle as a part of a line."""
    if candle is None:
        return "".join(f"{'-':>11}" for _ in range(6))
    prices = (candle.open_micro, candle.high_micro, candle.low_micro, candle.close_micro)
    mean = candle.value_nano / candle.volume_wh
    cells = [f"{price / 1e6:>11.6f}" for price in (*prices, mean)]
    return "".join(cells) + f"{candle.volume_wh / 1000:>11.3f}"


@click.command()
@click.option("--interval", type=click.IntRange(0, NUMBER_MAX), required=True)
@click.option("--connection", type=click.IntRange(1, NUMBER_MAX), help="Prove its line of a bill.")
@rpc_options
async def proof(interval: int, connection: int | None, node: NodeAddress) -> None:
    """Print the proof of a final interval, or of a connection's line in it: keep it in a file.

    The chain forgets records after 768 intervals; with its proof a record can be shown to anybody.
    """
    async with node_at(node) as link:
        found: RecordProof | LineProof | None
        if connection is None:
            name = "Trading_record_proof"
            found = await ask(link, name, u32(interval), RecordProof | None)
        else:
            arguments = u32(connection) + u32(interval)
            found = await ask(link, "Trading_line_proof", arguments, LineProof | None)
    if found is None:
        what = f"interval {interval}" if connection is None else f"line of connection {connection}"
        raise Refused(f"There is no final {what}: not settled for good yet, or forgotten.")
    kind = KINDS[connection is not None]
    click.echo(json.dumps({"kind": kind, "proof": "0x" + found.encode().hex()}))


@dataclass(frozen=True, slots=True)
class Shown:
    """What a file claims: what it proves in words, for which day, by which root."""

    text: str
    day: int
    root: bytes | None


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--root", help="The day's root, if it is known; otherwise a node is asked for it.")
@rpc_options
async def verify(file: Path, root: str | None, node: NodeAddress) -> None:
    """Verify a proof in FILE against the root of its day, and print what it proves."""
    shown = read_proof(file)
    if root is not None:
        expected = root.removeprefix("0x").lower()
        if len(expected) != 64 or any(letter not in "0123456789abcdef" for letter in expected):
            raise click.UsageError(f"--root {root} is no hash: expected 32 bytes in hexadecimal.")
    else:
        async with node_at(node) as link:
            days: Days = await ask(link, "Trading_days", u32(shown.day) * 2, Days)
        if not days:
            raise Refused(f"The chain has no day {shown.day}, which the proof is of.")
        expected = days[0][1].root.hex()
    if shown.root is None or shown.root.hex() != expected:
        found = "nothing" if shown.root is None else f"0x{shown.root.hex()}"
        raise Refused(f"Not proved: day {shown.day} has the root 0x{expected}, found {found}.")
    click.echo(f"Proved by the root of day {shown.day}, 0x{expected}:\n{shown.text}")


def read_proof(file: Path) -> Shown:
    """What a file claims. Raises `ConfigInvalid`."""
    try:
        if file.stat().st_size > FILE_BYTES_MAX:
            raise ConfigInvalid(f"{file} is larger than {FILE_BYTES_MAX} bytes.")
        content: object = json.loads(file.read_bytes())
    except OSError as error:
        raise ConfigInvalid(f"{file} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise ConfigInvalid(f"{file} is not JSON: {error}") from error
    fields: Mapping[str, object] = {}
    if isinstance(content, dict):
        fields = cast(Mapping[str, object], content)  # JSON's keys are strings
    kind, text = fields.get("kind"), fields.get("proof")
    if kind not in KINDS or not isinstance(text, str):
        raise ConfigInvalid(f"{file} is no proof: expected `kind` (record, line) and `proof`.")
    try:
        data = bytes.fromhex(text.removeprefix("0x"))
        if kind == "record":
            of_record = RecordProof.decode(data)
            return Shown(text_of(of_record), of_record.day, root_by_record(of_record))
        of_line = LineProof.decode(data)
    except (ValueError, DecodeError) as error:
        raise ConfigInvalid(f"{file} is no proof: {error}") from error
    line = of_line.line
    words = (
        f"connection {of_line.connection} took {line.import_wh} Wh, gave {line.export_wh} Wh and "
        f"received {line.amount_nano / 1e9:.9f} DRT (negative: paid)"
    )
    return Shown(
        f"{text_of(of_line.of_record)}\n{words}", of_line.of_record.day, root_by_line(of_line)
    )


def text_of(proof: RecordProof) -> str:
    """A record in words."""
    record = proof.record
    traded = "nothing traded"
    if record.candle is not None:
        price = record.candle.close_micro / 1e6
        traded = f"{record.candle.volume_wh} Wh traded, last at {price:.6f}"
    return f"interval {record.interval}: {traded}; {record.settlement.import_wh} Wh were taken"
