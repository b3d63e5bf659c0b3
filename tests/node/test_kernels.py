"""Kernels are compiled once per version, by one process, and a node goes on when that fails."""

import subprocess
import sys
from pathlib import Path

import pytest

from devnet.scenario import dev_chain_spec
from node.config import NodeConfig
from node.kernels import ensure_compiled
from node.service import run_node

COUNT = "import sys; open(sys.argv[1], 'a').write('x')"


def counting(counted: Path) -> list[str]:
    return [sys.executable, "-c", COUNT, str(counted)]


@pytest.mark.slow
def test_kernels_are_compiled_once(tmp_path: Path) -> None:
    folder, counted = tmp_path / "cache" / "digest", tmp_path / "counted"

    ensure_compiled(folder, counting(counted))
    ensure_compiled(folder, counting(counted))

    assert counted.read_text() == "x"


@pytest.mark.slow
def test_processes_that_start_at_once_compile_once(tmp_path: Path) -> None:
    folder, counted = tmp_path / "cache", tmp_path / "counted"
    code = (
        "import sys, pathlib\n"
        "from node.kernels import ensure_compiled\n"
        f"ensure_compiled(pathlib.Path({str(folder)!r}), {counting(counted)!r})\n"
    )

    nodes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    codes = [node.wait(timeout=60) for node in nodes]

    assert codes == [0, 0, 0]
    assert counted.read_text() == "x"


def test_a_failed_compilation_is_told_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, counted = tmp_path / "cache", tmp_path / "counted"

    ensure_compiled(folder, ["/bin/false"])
    ensure_compiled(folder, counting(counted))

    assert "could not be compiled ahead" in caplog.text
    assert counted.read_text() == "x"


async def test_a_node_has_its_kernels_before_it_opens_its_chain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Prepared(Exception):
        pass

    spec_path, base_path = tmp_path / "spec.json", tmp_path / "node"
    spec_path.write_text(dev_chain_spec().encode())

    def prepare() -> None:
        raise Prepared

    monkeypatch.setattr("node.service.prepare_kernels", prepare)

    with pytest.raises(Prepared):
        await run_node(NodeConfig(chain=spec_path, base_path=base_path))

    assert list(base_path.iterdir()) == []
