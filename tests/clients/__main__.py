"""`install` the locked clients beside this file, or `lock` what `package.json` asks for."""

import json
import sys
from pathlib import Path

from tests.clients.node import FOLDER, run_npm

INSTALLED = FOLDER / "node_modules" / ".installed"


def install() -> None:
    """Exactly what is in the lock."""
    run_npm(["ci", "--loglevel=error"])
    INSTALLED.touch()


def lock(folder: Path = FOLDER) -> None:
    """A new lock; what npm writes into it beside hashes (addresses for donations) is left out."""
    run_npm(["install", "--package-lock-only", "--loglevel=error"], folder)
    path = folder / "package-lock.json"
    locked = json.loads(path.read_text())
    for package in locked["packages"].values():
        for word in ("funding", "resolved", "deprecated"):
            package.pop(word, None)
    path.write_text(json.dumps(locked, indent=2) + "\n")


match sys.argv[1:]:
    case ["install"]:
        install()
    case ["lock"]:
        lock()
    case _:
        sys.exit("usage: python -m tests.clients install | lock")
