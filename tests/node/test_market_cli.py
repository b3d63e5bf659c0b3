"""`dret market clear`: the result of a book from a file, and what it says about a bad one."""

import json
from pathlib import Path
from random import Random
from typing import Any

import asyncclick as click
import pytest
from asyncclick.testing import CliRunner, Result

from node.cli.market import PRICE_FLOOR, group
from tests.oracles import auction_reference as reference
from tests.runtime.kernels.books import random_book, random_tree

# The worked example of docs/settlement.md: A sells to B over two lossy edges.
EXAMPLE: dict[str, Any] = {
    "parent": [-1, 0, 0],
    "cap_up": [0, 4_000, 4_000],
    "cap_down": [0, 4_000, 4_000],
    "loss_ppm": [0, 10_000, 10_000],
    "tariff": [0, 10_000, 10_000],
    "bus": [1, 2],
    "price": [80_000, 300_000],
    "qty": [1_000, 900],
    "isbid": [0, 1],
    "reference_price": 0,
}


async def run(folder: Path, content: object, *options: str) -> Result:
    path = folder / "book.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    result: Result = await CliRunner().invoke(group, ["clear", str(path), *options])
    return result


async def test_the_worked_example_clears_as_documented(tmp_path: Path) -> None:
    result = await run(tmp_path, EXAMPLE, "--output", "json")

    assert result.exit_code == 0
    assert json.loads(result.output) == {
        "fill": [920, 900],
        "price": [90_809, 80_000, 101_930],
        "net_export": [0, 920, -900],
        "sent": [0, 920, 910],
    }


async def test_the_table_says_the_same(tmp_path: Path) -> None:
    result = await run(tmp_path, EXAMPLE)

    assert "       0      1  offer          920" in result.output
    assert "       2       101930         -900          910" in result.output


async def test_a_book_with_negative_limits_is_raised_with_its_reference_price(
    tmp_path: Path,
) -> None:
    for seed in range(20):
        random = Random(seed)
        tree = random_tree(random)
        book = random_book(random, tree, price_min=-PRICE_FLOOR)
        content = vars(tree) | vars(book) | {"reference_price": -5}

        result = await run(tmp_path, content, "-o", "json")

        offset = PRICE_FLOOR + 1 if min(book.price, default=1) < 1 else 0
        book.price = [price + offset for price in book.price]
        expected = reference.clear(tree, book, offset - 5)
        assert json.loads(result.output) == {
            "fill": expected.fill,
            "price": [price - offset for price in expected.price],
            "net_export": expected.net_export,
            "sent": expected.sent,
        }, f"seed {seed}"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"price": [80_000, 1.5]}, "price[1] is 1.5, expected an integer"),
        ({"price": [80_000, True]}, "price[1] is true, expected an integer"),
        ({"price": [80_000, None]}, "price[1] is null, expected an integer"),
        ({"price": [80_000, -100_001]}, "price[1] is -100001, expected from -100000"),
        ({"qty": [0, 900]}, "qty[0] is 0, expected from 1"),
        ({"qty": [2**70, 900]}, f"qty[0] is {2**70}, expected an integer of 64 bits"),
        ({"qty": [1_000]}, "length of qty is 1, expected 2"),
        ({"bus": [1, 3]}, "bus[1] is 3, expected from 0 to 2"),
        ({"isbid": [0, 2]}, "isbid[1] is 2, expected from 0 to 1"),
        ({"parent": [0, 0, 2]}, "parent[2] is 2, expected a bus before it"),
        ({"loss_ppm": [0, 10_000, 600_000]}, "loss_ppm[2] is 600000"),
        ({"tariff": "none"}, 'tariff is "none", expected an array of integers'),
        ({"reference_price": "0"}, 'reference_price is "0", expected an integer'),
        ({"reference_price": -100_001}, "reference_price is -100001"),
    ],
)
async def test_a_bad_entry_is_named_with_its_value(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    result = await run(tmp_path, EXAMPLE | changes)

    assert result.exit_code == 2
    assert message in result.output


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ([1], "expected an object, found list"),
        ({"parent": [0]}, "cap_up, cap_down, loss_ppm, tariff, bus, price"),
    ],
)
async def test_a_file_that_is_no_book_is_refused(
    tmp_path: Path, content: object, message: str
) -> None:
    result = await run(tmp_path, content)

    assert result.exit_code == 2
    assert message in result.output


async def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    result = await CliRunner().invoke(group, ["clear", str(tmp_path / "none.json")])

    assert result.exit_code == 2
    assert "cannot be read: No such file" in result.output


def test_the_group_is_what_the_command_line_imports() -> None:
    assert isinstance(group, click.Group)
