"""Rules of this code base that no tool knows."""

import ast
import importlib
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("node", "runtime", "consensus", "p2p", "rpc", "devnet", "tests")
FUNCTION_LINES_MAX = 80
FILE_LINES_MAX = 700


def tracked(*suffixes: str) -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    paths = (ROOT / name for name in listing if name)
    return sorted(path for path in paths if path.is_file() and path.suffix in suffixes)


def parsed(*folders: str) -> Iterator[tuple[Path, ast.Module]]:
    for path in tracked(".py"):
        if path.relative_to(ROOT).parts[0] in folders:
            yield path, ast.parse(path.read_text())


@pytest.mark.parametrize("package", PACKAGES)
def test_our_packages_resolve_inside_the_repository(package: str) -> None:
    # libp2p's wheel installs top-level packages of common names.
    origin = importlib.import_module(package).__file__

    assert origin is not None
    assert Path(origin).is_relative_to(ROOT)


def test_runtime_and_consensus_have_no_floats_and_no_true_division() -> None:
    found: list[str] = []
    for path, tree in parsed("runtime", "consensus"):
        for node in ast.walk(tree):
            is_float = isinstance(node, ast.Constant) and isinstance(node.value, float)
            is_division = isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(
                node.op, ast.Div
            )
            is_cast = isinstance(node, ast.Name) and node.id == "float"
            if is_float or is_division or is_cast:
                found.append(f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}")

    assert found == []


def test_runtime_and_consensus_know_no_clock_chance_or_io() -> None:
    banned = {"time", "random", "secrets", "uuid", "socket", "trio", "asyncio", "threading", "os"}
    allowed = {("runtime/kernels/jit.py", "os")}  # says where compiled kernels are kept
    found: list[tuple[str, str]] = []
    for path, tree in parsed("runtime", "consensus"):
        for node in ast.walk(tree):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            found += [
                (str(path.relative_to(ROOT)), name)
                for name in names
                if name.split(".")[0] in banned
            ]

    assert [item for item in found if item not in allowed] == []


def test_every_module_says_what_it_is() -> None:
    missing = [
        str(path.relative_to(ROOT))
        for path, tree in parsed(*PACKAGES)
        if ast.get_docstring(tree) is None
    ]

    assert missing == []


def test_functions_and_files_stay_short() -> None:
    long: list[str] = []
    for path, tree in parsed("node", "runtime", "consensus", "p2p", "rpc", "devnet"):
        lines = path.read_text().count("\n")
        if lines > FILE_LINES_MAX:
            long.append(f"{path.relative_to(ROOT)}: {lines} lines")
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                size = (node.end_lineno or node.lineno) - node.lineno
                if size > FUNCTION_LINES_MAX:
                    long.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {size} lines")

    assert long == []


def test_one_module_each_touches_the_foreign_machinery() -> None:
    homes = {
        "numba": "runtime/kernels/jit.py",
        "plyvel": "node/database.py",
        "libp2p": "p2p/host.py",
    }
    found: list[str] = []
    for path, tree in parsed("node", "runtime", "consensus", "p2p", "rpc", "devnet"):
        name = str(path.relative_to(ROOT))
        for node in ast.walk(tree):
            modules: list[str] = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                modules = [node.module]
            for module in modules:
                library = module.split(".")[0]
                if library in homes and homes[library] != name:
                    found.append(f"{name} imports {module}")

    assert found == []


def test_locks_carry_hashes_and_no_addresses() -> None:
    for lock in sorted((ROOT / "requirements").glob("*.txt")):
        text = lock.read_text()

        assert re.search(r"https?://", text) is None, lock
        assert re.search(r"\w\.(org|com|io)\b", text) is None, lock
        if lock.name != "overrides.txt":
            requirements = [line for line in text.split("\n") if "==" in line]
            assert len(requirements) <= text.count("--hash=sha256:"), lock


def test_the_lock_of_the_javascript_clients_carries_hashes_and_no_addresses() -> None:
    text = (ROOT / "tests" / "clients" / "package-lock.json").read_text()
    packages = json.loads(text)["packages"]

    assert re.search(r"https?://", text) is None
    assert re.search(r"\w\.(org|com|io)\b", text) is None
    assert [name for name, package in packages.items() if name and "integrity" not in package] == []


def test_the_data_is_the_licensed_data() -> None:
    data = ROOT / "devnet" / "data"

    assert "ODbL" in (data / "README.md").read_text()
    subprocess.run(["sha256sum", "--quiet", "--check", "SHA256SUMS"], cwd=data, check=True)
