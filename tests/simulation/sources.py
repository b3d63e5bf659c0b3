"""Which files decide what a seed does: the modules that the simulation imports, and theirs.

Followed through the import statements of the sources themselves, so that it is the same whatever
else a process has loaded.
"""

import ast
import functools
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
ENTRY = "tests.simulation.runs"


@functools.cache
def fingerprint() -> str:
    """Changes with each of the sources, and with Python's version."""
    digest = hashlib.blake2b(f"{sys.version_info[:2]}".encode(), digest_size=6)
    for file in source_files():
        name = file.relative_to(ROOT).as_posix()
        digest.update(name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


@functools.cache
def source_files() -> tuple[Path, ...]:
    """The files of this repository that the simulation consists of, sorted."""
    found: set[Path] = set()
    wanted = [ENTRY]
    while wanted:
        module = wanted.pop()
        file = _file_of(module)
        if file is not None and file not in found:
            found.add(file)
            # Importing a module runs the packages it lies in.
            wanted += [module.rpartition(".")[0], *_imports(file)]
    return tuple(sorted(found))


def _file_of(module: str) -> Path | None:
    """The file of a module of ours; None of what is not a module, or not ours."""
    if not module:
        return None
    place = ROOT.joinpath(*module.split("."))
    for file in (place.with_suffix(".py"), place / "__init__.py"):
        if file.is_file():
            return file
    return None


def _imports(file: Path) -> Iterator[str]:
    """What a file imports: modules, and names that may be modules."""
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module is not None, f"{file} imports relatively"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
