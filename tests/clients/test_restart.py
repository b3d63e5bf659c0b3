"""A node that is stopped and started again while polkadot.js and PAPI are connected."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.clients.conftest import free_ports, run_node
from tests.clients.node import FOLDER, answer_of, environment, script_command
from tests.live.network import eventually

pytestmark = pytest.mark.slow

HEARD_S = 60


def test_clients_go_on_by_themselves_when_their_node_comes_back(tmp_path: Path) -> None:
    marker = tmp_path / "heard"
    ports = free_ports(2)
    with run_node(tmp_path, ["--dev"], "Finalized #1 ", ports=ports) as node:
        script = subprocess.Popen(
            script_command("restart"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
            cwd=FOLDER,
        )
        try:
            assert script.stdin is not None
            script.stdin.write(json.dumps({"url": node.url, "marker": str(marker)}))
            script.stdin.close()
            script.stdin = None
            eventually(lambda: marker.exists() or script.poll() is not None, HEARD_S)
        except BaseException:
            script.kill()
            raise
    try:
        with run_node(tmp_path, ["--dev"], " runs: RPC ", ports=ports):
            output, errors = script.communicate(timeout=2 * HEARD_S)
    finally:
        script.kill()

    seen = answer_of("restart.mjs", script.returncode, output, errors)
    assert seen["lost"] > 0
    for number in seen["after"].values():
        assert number > max(seen["before"].values())
    assert seen["byJs"] and seen["byPapi"]
