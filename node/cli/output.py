"""Answers for other programs: `--output json`, `jsonl`, `yaml` and `csv`.

Each form carries the same values. Numbers are those of the chain, whole; in JSON and YAML text is
ASCII with escapes, so that nothing in it can be taken for something else. `jsonl` and `csv` have
one row for each entry of a list; in csv fields of fields are named with dots, and lists are JSON.
"""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import asyncclick as click

from node.client.plain import Json

if TYPE_CHECKING:
    from typing_extensions import TypeIs

TEXT = "text"
FORM = click.option(
    "--output",
    "-o",
    type=click.Choice([TEXT, "json", "jsonl", "yaml", "csv"]),
    default=TEXT,
    show_default=True,
)

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*", re.ASCII)
_RESERVED = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}
"""Words that YAML 1.1 does not take for text."""

Row = Mapping[str, Json]


def emit(value: Json, form: str, rows: Sequence[Row] | None = None) -> None:
    """Print a value. `rows` are what `jsonl` and `csv` print of it: by default the entries of a
    list, or the value as one row.
    """
    if form == "json":
        click.echo(json.dumps(value))
        return
    if form == "yaml":
        click.echo(yaml_of(value))
        return
    found = rows_of(value) if rows is None else rows
    if form == "jsonl":
        for row in found:
            click.echo(json.dumps(row))
        return
    click.echo(csv_of(found), nl=False)


def rows_of(value: Json) -> list[Row]:
    """A value as rows."""
    entries = value if _is_list(value) else [value]
    return [entry if isinstance(entry, Mapping) else {"value": entry} for entry in entries]


def csv_of(rows: Sequence[Row], columns: Sequence[str] | None = None) -> str:
    """Rows as csv (RFC 4180) with a heading; `columns`: their names, and no heading."""
    flat = [dict(_cells("", row)) for row in rows]
    names = columns or list(dict.fromkeys(name for row in flat for name in row))
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\r\n")
    if columns is None and names:
        writer.writerow(names)
    writer.writerows([[row.get(name, "") for name in names] for row in flat])
    return written.getvalue()


def _cells(name: str, value: Json) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and (value or not name):
        for key, inner in value.items():
            yield from _cells(f"{name}.{key}" if name else key, inner)
    elif isinstance(value, str):
        yield name, value
    else:
        yield name, "" if value is None else json.dumps(value)


def yaml_of(value: Json) -> str:
    """A value as a document of YAML 1.2 that readers of 1.1 understand alike."""
    return "\n".join(_lines(value))


def _lines(value: Json) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _under(f"{_scalar(key)}:", inner, is_item=False)
    elif _is_list(value) and value:
        for inner in value:
            yield from _under("-", inner, is_item=True)
    else:
        yield _scalar(value)


def _under(head: str, value: Json, *, is_item: bool) -> Iterator[str]:
    """A part below its key or dash: a list's parts begin beside the dash."""
    lines = _lines(value)
    is_block = (isinstance(value, Mapping) or _is_list(value)) and bool(value)
    if not is_block or is_item:
        yield f"{head} {next(lines)}"
    else:
        yield head
    for line in lines:
        yield f"  {line}"


def _scalar(value: Json) -> str:
    if isinstance(value, str):
        if _PLAIN.fullmatch(value) and value.lower() not in _RESERVED:
            return value
        return f'"{"".join(map(_escaped, value))}"'
    if isinstance(value, Mapping):
        return "{}"
    if _is_list(value):
        return "[]"
    return json.dumps(value)


def _escaped(letter: str) -> str:
    if letter in '"\\':
        return f"\\{letter}"
    if " " <= letter <= "~":
        return letter
    code = ord(letter)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _is_list(value: Json) -> "TypeIs[Sequence[Json]]":
    return isinstance(value, Sequence) and not isinstance(value, str)
