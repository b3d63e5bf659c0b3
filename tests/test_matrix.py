"""The table of clients: every "ok" has a test, and the documentation has this very table."""

import ast
from pathlib import Path

from tests.matrix import CLIENTS, MATRIX, as_markdown

ROOT = Path(__file__).parent.parent


def names_in(path: str) -> set[str]:
    """The tests of a file."""
    tree = ast.parse((ROOT / path).read_text())
    return {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_every_ok_has_tests_that_are_there() -> None:
    tests = {
        test
        for cells in MATRIX.values()
        for cell in cells
        if not isinstance(cell, str)
        for test in cell
    }
    missing = {
        test for test in tests if test.partition("::")[2] not in names_in(test.partition("::")[0])
    }

    assert all(len(cells) == len(CLIENTS) for cells in MATRIX.values())
    assert missing == set()


def test_the_documentation_has_the_table() -> None:
    assert as_markdown() in (ROOT / "docs" / "rpc.md").read_text()
