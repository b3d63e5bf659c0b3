"""`--output json|jsonl|yaml|csv`: every form carries the same values."""

import csv
import io
import json
import re
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.cli.output import csv_of, emit, yaml_of
from node.client.plain import Json

VALUE: Json = {
    "block": "0xab12",
    "nonce": 7,
    "is_final": True,
    "none": None,
    "words": ["no", "Bid", "two words", 'quoted "so"', "ü", "12", ""],
    "parts": [{"side": "Bid", "wh": 5}, {"side": "Offer", "deep": {"list": [[1, -2], []]}}],
    "empty": {},
}

scalars = st.one_of(st.none(), st.booleans(), st.integers(-(1 << 130), 1 << 130), st.text())
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=20,
)


def scalar(text: str) -> Any:
    """A scalar as YAML's core schema reads it."""
    if text.startswith('"'):
        wide = re.sub(r"\\U([0-9a-f]{8})", lambda found: chr(int(found[1], 16)), text)
        return json.loads(wide, strict=False)
    return {"null": None, "true": True, "false": False, "{}": {}, "[]": []}.get(
        text, int(text) if re.fullmatch(r"-?\d+", text) else text
    )


def read(lines: list[str]) -> Any:
    """A reader of the block style that is written here, after YAML 1.2, chapter 8."""
    if lines[0] == "-" or lines[0].startswith("- "):
        return [read([head, *rest]) for head, rest in split(lines, "- ")]
    key = re.match(r'("(?:[^"\\]|\\.)*"|[^":]+):(?: (.*)|$)', lines[0])
    if key is None:
        assert len(lines) == 1
        return scalar(lines[0])
    found: dict[str, Any] = {}
    for line, rest in split(lines, ""):
        match = re.match(r'("(?:[^"\\]|\\.)*"|[^":]+):(?: (.*)|$)', line)
        assert match is not None
        found[cast(str, scalar(match[1]))] = read(rest) if match[2] is None else scalar(match[2])
    return found


def split(lines: list[str], mark: str) -> list[tuple[str, list[str]]]:
    """Each entry's first line without its mark, and the lines below it without their margin."""
    entries: list[tuple[str, list[str]]] = []
    for line in lines:
        if line.startswith("  "):
            entries[-1][1].append(line[2:])
        else:
            assert line.startswith(mark)
            entries.append((line[len(mark) :], []))
    return entries


def test_yaml_is_plain_where_nothing_can_be_mistaken() -> None:
    assert yaml_of(VALUE).splitlines() == [
        'block: "0xab12"',
        "nonce: 7",
        "is_final: true",
        "none: null",
        "words:",
        '  - "no"',
        "  - Bid",
        '  - "two words"',
        '  - "quoted \\"so\\""',
        '  - "\\u00fc"',
        '  - "12"',
        '  - ""',
        "parts:",
        "  - side: Bid",
        "    wh: 5",
        "  - side: Offer",
        "    deep:",
        "      list:",
        "        - - 1",
        "          - -2",
        "        - []",
        "empty: {}",
    ]


@given(values)
def test_yaml_says_what_json_says(value: Any) -> None:
    text = yaml_of(value)

    assert text.isascii() and "\t" not in text
    assert read(text.split("\n")) == value


def test_csv_has_a_column_for_every_field_of_any_row() -> None:
    rows: list[dict[str, Json]] = [
        {"a": 1, "b": {"c": "x,y", "d": [1, {"e": 2}]}},
        {"a": None, "f": True, "b": {"c": 'say "so"\n'}},
    ]

    found = list(csv.DictReader(io.StringIO(csv_of(rows))))

    assert found == [
        {"a": "1", "b.c": "x,y", "b.d": '[1, {"e": 2}]', "f": ""},
        {"a": "", "b.c": 'say "so"\n', "b.d": "", "f": "true"},
    ]


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("json", '[{"k": 1}, 2]\n'),
        ("jsonl", '{"k": 1}\n{"value": 2}\n'),
        ("yaml", "- k: 1\n- 2\n"),
        ("csv", "k,value\r\n1,\r\n,2\r\n"),
    ],
)
def test_a_list_is_rows(form: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    emit([{"k": 1}, 2], form)

    assert capsys.readouterr().out == expected


def test_nothing_is_an_empty_table(capsys: pytest.CaptureFixture[str]) -> None:
    emit([], "csv")

    assert capsys.readouterr().out == ""
