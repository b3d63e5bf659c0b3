"""The devnet's commands, and that nothing is left behind, however the supervisor ends."""

import json
import os
import signal
from pathlib import Path

from tests.live.network import (
    CONFIG,
    LIVE,
    Devnet,
    all_gone,
    end,
    eventually,
    is_port_free,
    run_dret,
    start_dret,
)

pytestmark = LIVE

GONE_S = 20.0
EMPTY_S = 150.0  # what waits for a lost predecessor leaves the pool with its era, after 64 blocks
INHERENTS = 1  # the timestamp


def quiet_blocks(devnet: Devnet, count: int) -> bool:
    """Whether the last blocks hold nothing but their time."""
    header = devnet.ask("alice", "chain_getHeader")
    for _ in range(min(count, int(header["number"], 16))):
        block = devnet.ask("alice", "chain_getBlock", header["parentHash"])["block"]
        if len(block["extrinsics"]) > INHERENTS:
            return False
        header = block["header"]
    return True


def test_homes_stop_and_start(devnet: Devnet) -> None:
    eventually(lambda: not quiet_blocks(devnet, 3), 60)

    devnet.dret("devnet", "homes", "stop")
    eventually(lambda: "homes" not in devnet.pids(), GONE_S)
    eventually(lambda: all(node["pool"] == 0 for node in devnet.status()["nodes"]), EMPTY_S)
    best = devnet.best()
    eventually(lambda: devnet.best() >= best + 4, 30)
    assert quiet_blocks(devnet, 3), "without homes the blocks are empty"

    devnet.dret("devnet", "homes", "start")
    eventually(lambda: not quiet_blocks(devnet, 2), 60)


def assert_nothing_left(pids: list[int], ports: list[int]) -> None:
    eventually(lambda: all_gone(pids), GONE_S)
    assert all(is_port_free(port) for port in ports)


def test_nothing_is_left_of_a_network_however_it_ends(devnet: Devnet, tmp_path: Path) -> None:
    genesis, final = devnet.config()["genesis"], devnet.finalized()
    assert final is not None
    pids, ports = devnet.pids(), devnet.ports()

    os.kill(pids["supervisor"], signal.SIGKILL)
    assert_nothing_left(list(pids.values()), ports)

    (devnet.folder / CONFIG).unlink()
    log = tmp_path / "up.log"
    process = start_dret(devnet.folder, log, "devnet", "up", "--no-tui", *devnet.flags())
    try:
        eventually((devnet.folder / CONFIG).exists, 120)
        eventually(lambda: devnet.finalized_number() > final[0], 60)
        assert devnet.config()["genesis"] == genesis
        assert {devnet.hash_at(name, final[0]) for name in devnet.names} == {final[1]}
        pids, ports = devnet.pids(), devnet.ports()
        second = run_dret(devnet.folder, "devnet", "up", "--no-tui", *devnet.flags())
    finally:
        code = end(process, signal.SIGINT)  # Ctrl-C

    assert second.returncode == 9 and "dret devnet down" in second.stderr
    assert code == 0
    assert_nothing_left(list(pids.values()), ports)
    text = log.read_text()
    assert "publicly known" in text and "goes on with the data it kept" in text
    assert "Traceback" not in text


def test_what_a_stopped_node_stored_is_exported_imported_and_checked(
    network: Devnet, tmp_path: Path
) -> None:
    network.ensure_up()
    eventually(lambda: network.finalized_number() >= 5, 60)
    network.down()
    home, spec = network.spec.parent / "nodes" / "alice", str(network.spec)
    file = tmp_path / "blocks"

    export = run_dret(
        tmp_path,
        *("node", "export-blocks", str(file), "--binary", "-d", str(home)),
        "--chain",
        spec,
    )
    imported = run_dret(
        tmp_path,
        *("node", "import-blocks", str(file), "--binary", "-d", str(tmp_path / "new")),
        *("--chain", spec, "--output", "json"),
    )

    assert export.returncode == 0, export.stderr
    assert imported.returncode == 0, imported.stderr
    done = json.loads(imported.stdout)
    assert done["imported"] == done["best"] > 0
    # As far as the stored proofs reach: those of the last final block and of handoffs.
    assert done["best"] - done["finalized"] < 15
    check = run_dret(
        tmp_path, *("node", "check-block", str(done["best"]), "-d", str(home)), "--chain", spec
    )
    assert check.returncode == 0 and "is valid" in check.stdout


def test_a_network_that_is_down_says_so_and_refuses_other_options(network: Devnet) -> None:
    if not network.spec.exists():
        network.up()
    network.down()

    down = run_dret(network.folder, "devnet", "down", "--scenario", network.scenario)
    status = run_dret(network.folder, "devnet", "status", "--scenario", network.scenario)
    other = run_dret(
        network.folder, "devnet", "up", "--no-tui", *network.flags(), "--window", "summer"
    )

    assert down.returncode == 0 and "No devnet runs" in down.stdout
    assert status.returncode == 4 and "dret devnet up" in status.stderr
    assert other.returncode == 8 and "--fresh" in other.stderr


def test_fresh_begins_anew(network: Devnet) -> None:
    genesis = json.loads(network.spec.read_text())["constants"]["genesis_interval"]
    if network.is_running:
        network.down()

    network.up("--fresh")

    assert json.loads(network.spec.read_text())["constants"]["genesis_interval"] > genesis
    assert network.best() < 30
    assert set(network.names) == {node["name"] for node in network.status()["nodes"]}
