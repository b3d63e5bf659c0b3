"""Names, ports and refusals of a local network's plan."""

from pathlib import Path

import pytest
import trio

from devnet import signers
from devnet.plan import DevnetOptions, check_options, plan_nodes, reserve_nodes
from devnet.supervisor import node_command
from node.errors import ConfigInvalid
from node.keystore import KEY_TYPES, Keystore
from runtime.kernels.bounds import QUANTITY_MAX


def test_the_plan_has_four_validators_and_two_full_nodes_on_known_ports() -> None:
    nodes = plan_nodes()

    assert [node.role for node in nodes] == ["authority"] * 4 + ["full"] * 2
    assert [node.rpc_port for node in nodes] == list(range(9944, 9950))
    assert len({node.node_seed for node in nodes}) == 6


async def test_a_taken_port_moves_the_whole_block() -> None:
    first, guard = reserve_nodes()
    guard.close()
    async with (await trio.open_tcp_listeners(first[2].rpc_port, host="127.0.0.1"))[0]:
        second, guard = reserve_nodes()
        guard.close()

    assert second[0].rpc_port > first[0].rpc_port
    assert {a.p2p_port - b.p2p_port for a, b in zip(second, first, strict=True)} == {
        second[0].rpc_port - first[0].rpc_port
    }


def test_two_networks_that_start_together_get_different_blocks() -> None:
    first, first_guard = reserve_nodes()
    second, second_guard = reserve_nodes()
    first_guard.close()
    second_guard.close()

    assert first[0].rpc_port != second[0].rpc_port


def test_validators_know_each_other_and_full_nodes_know_everybody() -> None:
    nodes = plan_nodes()
    alice = node_command(nodes[0], nodes, Path("x"))
    prosumer = node_command(nodes[5], nodes, Path("x"))

    assert alice.count("--reserved-nodes") == 3
    assert prosumer.count("--reserved-nodes") == 5
    assert "--alice" in alice
    assert "--validator" not in prosumer


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (DevnetOptions(scenario="atlantis"), "no grid 'atlantis'"),
        (DevnetOptions(data=Path("nowhere")), "no grid_NAME.csv at all"),
        (DevnetOptions(window="autumn"), "no window 'autumn'"),
        (DevnetOptions(trader_wh=-1), "--trader-wh is -1"),
        (DevnetOptions(trader_wh=QUANTITY_MAX + 1), f"to {QUANTITY_MAX} Wh"),
    ],
)
def test_options_that_cannot_work_are_refused(options: DevnetOptions, message: str) -> None:
    with pytest.raises(ConfigInvalid, match=message):
        check_options(options)


def test_a_validator_with_a_signer_has_no_key_and_its_signer_has_both(tmp_path: Path) -> None:
    nodes = plan_nodes()
    signers.make_keystores(tmp_path, nodes, ["bob"])

    of_bob, of_dave = (node_command(nodes[i], nodes, tmp_path, ["bob"]) for i in (1, 3))

    socket = str(signers.socket_path(tmp_path, "bob"))
    assert of_bob[-2:] == ["--remote-signer", socket] and "--bob" not in of_bob
    assert of_dave[-2:] == ["--validator", "--dave"]
    command = signers.command(tmp_path, "bob")
    keystore = Keystore(Path(command[command.index("--keystore") + 1]))
    assert command[-1] == socket
    assert all(len(keystore.publics(key_type)) == 1 for key_type in KEY_TYPES)
    assert not (tmp_path / "signers" / "dave").exists()
