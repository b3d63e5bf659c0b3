"""Processes of our own run our modules, wherever they are started."""

import subprocess
from pathlib import Path

import pytest

from node.interpreter import module_command


@pytest.mark.slow
def test_a_package_of_our_name_in_the_current_folder_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "node").mkdir()
    (tmp_path / "node" / "__init__.py").write_text("raise SystemExit('another node ran')")

    ended = subprocess.run(
        module_command("node", "--version"), cwd=tmp_path, capture_output=True, text=True
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("dret, version ")
