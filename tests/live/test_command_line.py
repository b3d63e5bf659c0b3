"""The command line as its pages describe it, and data folders that cannot be used."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncclick as click
import pytest

from node.cli import root
from node.cli.chain_names import NameGroup
from tests.live.network import LIVE, ROOT, run_dret

pytestmark = LIVE

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
COMMAND = re.compile(r"(?:^|[\s/`])dret((?: [^\s`#|\\&]+)+)", re.MULTILINE)
CONFIG_INVALID = 8
GRID = "rural1"


def commands_of(text: str) -> Iterator[list[str]]:
    """The words behind each `dret` in the code of a page."""
    for code in CODE.findall(text):
        for match in COMMAND.findall(code):
            yield [word.strip("[]()") for word in match.split()]


async def documented() -> dict[tuple[str, ...], set[str]]:
    """Each command that a page names, with the flags the pages give it."""
    found: dict[tuple[str, ...], set[str]] = {}
    for page in PAGES:
        for words in commands_of(page.read_text()):
            path = await resolve(words, page.name)
            flags = {word for word in words if word.startswith("--")}
            found.setdefault(path, set()).update(flags)
    return found


async def resolve(words: list[str], page: str) -> tuple[str, ...]:
    """The part of the words that names a command."""
    command: click.Command = root
    path: list[str] = []
    for word in words:
        if not isinstance(command, click.Group) or word.startswith("-"):
            break
        context = click.Context(command)
        following = command.get_command(context, word)
        if following is None and isinstance(command, NameGroup):
            return (*path, command.default)  # a name of the chain's own, which no page can check
        assert following is not None, f"{page}: there is no command dret {' '.join([*path, word])}"
        path.append(word)
        command = following
    return tuple(path)


async def test_the_pages_name_commands_and_flags_that_are_there(tmp_path: Path) -> None:
    commands = await documented()

    assert ("devnet", "up") in commands
    for path, flags in commands.items():
        shown = run_dret(tmp_path, *path, "--help")
        assert shown.returncode == 0, f"dret {' '.join(path)} --help: {shown.stderr}"
        missing = {flag for flag in flags if flag not in shown.stdout}
        assert not missing, f"dret {' '.join(path)} has no {missing}"


def test_make_has_the_targets_that_the_pages_name() -> None:
    makefile = (ROOT / "Makefile").read_text()
    named = {
        target
        for page in PAGES
        for code in CODE.findall(page.read_text())
        for target in re.findall(r"(?m)(?:^|`)make ([a-z][a-z-]*)", code)
    }

    assert "devnet" in named
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in named)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A copy of one grid's data."""
    folder = tmp_path / "data"
    folder.mkdir()
    for path in (ROOT / "devnet" / "data").glob("*"):
        if GRID in path.name or path.name.startswith("market_"):
            shutil.copy(path, folder)
    return folder


def without_column(folder: Path) -> None:
    """A grid whose file has no column of resistances."""
    path = folder / f"grid_{GRID}.csv"
    lines = [line.split(",") for line in path.read_text().splitlines()]
    place = lines[0].index("r_uohm")
    path.write_text("\n".join(",".join(w[:place] + w[place + 1 :]) for w in lines) + "\n")


def with_loop(folder: Path) -> None:
    """A grid in which two nodes are each other's parents."""
    path = folder / f"grid_{GRID}.csv"
    lines = [line.split(",") for line in path.read_text().splitlines()]
    place = lines[0].index("parent")
    lines[3][place], lines[4][place] = lines[4][0], lines[3][0]
    path.write_text("\n".join(map(",".join, lines)) + "\n")


def without_profiles(folder: Path) -> None:
    """A grid nobody was measured on."""
    (folder / f"profiles_{GRID}_spring.csv").unlink()


def with_words_for_numbers(folder: Path) -> None:
    """A profile with a word in it."""
    path = folder / f"profiles_{GRID}_spring.csv"
    head, first, rest = path.read_text().split("\n", 2)
    path.write_text("\n".join([head, first.rpartition(",")[0] + ",many", rest]))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (without_column, ("r_uohm", f"grid_{GRID}.csv")),
        (with_loop, ("tree", "parent")),
        (without_profiles, (f"profiles_{GRID}_spring.csv",)),
        (with_words_for_numbers, ("many", f"profiles_{GRID}_spring.csv")),
    ],
)
def test_a_data_folder_that_cannot_be_used_is_refused(
    data: Path, tmp_path: Path, spoil: Callable[[Path], None], words: tuple[str, ...]
) -> None:
    spoil(data)
    options = ("--scenario", GRID, "--data", str(data))

    devnet = run_dret(tmp_path, "devnet", "up", "--no-tui", *options)
    replay = run_dret(tmp_path, "replay", "--window", "spring", "--days", "1", *options)

    for done in (devnet, replay):
        assert done.returncode == CONFIG_INVALID
        assert any(word in done.stderr for word in words), done.stderr
        assert "Traceback" not in done.stderr


def test_a_grid_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    done = run_dret(tmp_path, "devnet", "up", "--no-tui", "--scenario", "metropolis")

    assert done.returncode == CONFIG_INVALID
    assert "metropolis" in done.stderr and GRID in done.stderr


def test_a_detached_network_that_cannot_start_says_why(data: Path, tmp_path: Path) -> None:
    with_loop(data)

    done = run_dret(tmp_path, "devnet", "up", "--detach", "--scenario", GRID, "--data", str(data))

    assert done.returncode == CONFIG_INVALID
    assert "tree" in done.stderr or "parent" in done.stderr


def test_an_unknown_command_is_a_usage_error(tmp_path: Path) -> None:
    done = run_dret(tmp_path, "devnet", "explode")

    assert done.returncode == 2
    assert "explode" in done.stderr
