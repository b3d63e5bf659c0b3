"""What can happen to the files of a database while its node is down."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path


def half(pattern: str, database: Path) -> None:
    """Cut the files in half."""
    for path in found(pattern, database):
        os.truncate(path, path.stat().st_size // 2)


def flip(pattern: str, database: Path) -> None:
    """Change a byte here and there, from the middle on."""
    for path in found(pattern, database):
        content = bytearray(path.read_bytes())
        for position in range(len(content) // 2, len(content), 997):
            content[position] ^= 0xFF
        path.write_bytes(content)


def empty(pattern: str, database: Path) -> None:
    """Leave nothing in the files."""
    for path in found(pattern, database):
        os.truncate(path, 0)


def remove(pattern: str, database: Path) -> None:
    """Delete the files."""
    for path in found(pattern, database):
        path.unlink()


def found(pattern: str, database: Path) -> list[Path]:
    """The files to be damaged."""
    paths = [path for path in database.glob(pattern) if path.stat().st_size > 0]
    assert paths, f"no {pattern} in {database}"
    return paths


DAMAGES: dict[str, Callable[[Path], None]] = {
    "log cut": partial(half, "*.log"),
    "log flipped": partial(flip, "*.log"),
    "tables flipped": partial(flip, "*.ldb"),
    "tables cut": partial(half, "*.ldb"),
    "a table gone": partial(remove, "*.ldb"),
    "CURRENT gone": partial(remove, "CURRENT"),
    "CURRENT empty": partial(empty, "CURRENT"),
    "MANIFEST gone": partial(remove, "MANIFEST-*"),
    "MANIFEST flipped": partial(flip, "MANIFEST-*"),
}
HARMLESS = {"log cut"}
"""As after a power cut: what was written last is not there, and all before it is."""
