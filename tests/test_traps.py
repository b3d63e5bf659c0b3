"""Each trap of `tests/traps.py` has its tests, and each test that is named after one is listed."""

import ast
from itertools import chain
from pathlib import Path

from tests.traps import FURTHER, TRAPS

TESTS = Path(__file__).parent
MARK = "test_trap_"


def written() -> set[str]:
    """Every test of the code base that is named after a trap, as `path::name`."""
    return {
        f"{path.relative_to(TESTS.parent)}::{node.name}"
        for path in sorted(TESTS.rglob("test_*.py"))
        if "node_modules" not in path.parts
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith(MARK)
    }


def test_each_trap_has_a_test_that_is_named_after_it() -> None:
    for title, tests in (*TRAPS.items(), *FURTHER.items()):
        slug = title.partition(":")[0].lower().replace(" ", "_")

        assert tests, title
        for name in tests:
            assert name.partition("::")[2].startswith(f"{MARK}{slug}"), f"{name} for {title}"


def test_the_list_and_the_tests_are_the_same() -> None:
    listed = list(chain.from_iterable((*TRAPS.values(), *FURTHER.values())))

    assert len(listed) == len(set(listed))
    assert set(listed) == written()


def test_the_traps_are_all_those_that_were_found() -> None:
    assert len(TRAPS) == 12
