"""A network's folder between runs: what is gone on with, and what is refused."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from devnet import network
from devnet.network import SPEC_FILE, homes_command, prepare, run_network, wait_until_ready
from devnet.plan import DevnetOptions, plan_nodes
from devnet.status import Board
from node.errors import ConfigInvalid, NodeError


@pytest.fixture
def options(tmp_path: Path) -> DevnetOptions:
    return DevnetOptions(root=tmp_path / ".devnet")


def test_a_second_run_goes_on_with_the_chain_of_the_first(options: DevnetOptions) -> None:
    first = prepare(options)
    text = (options.folder / SPEC_FILE).read_bytes()

    second = prepare(options)

    assert not first.is_resumed and second.is_resumed
    assert (options.folder / SPEC_FILE).read_bytes() == text
    assert first.genesis_interval == second.genesis_interval
    assert [account.suri for account in first.accounts[:2]] == ["//Alice", "//Bob"]


def test_another_trader_is_no_other_chain(options: DevnetOptions) -> None:
    prepare(options)

    assert prepare(replace(options, trader_wh=0)).is_resumed


def test_another_window_is_refused_and_the_way_out_named(options: DevnetOptions) -> None:
    prepare(options)

    with pytest.raises(ConfigInvalid, match=r"--window spring \(now winter\).*--fresh"):
        prepare(replace(options, window="winter"))


def test_a_kept_chain_goes_on_with_the_same_signers_only(options: DevnetOptions) -> None:
    prepare(options)

    with pytest.raises(ConfigInvalid, match="--remote-signer for nobody"):
        prepare(replace(options, remote_signers=("alice",)))
    again = replace(options, remote_signers=("alice", "dave"), fresh=True)
    prepare(again)
    assert prepare(replace(again, fresh=False)).is_resumed
    with pytest.raises(ConfigInvalid, match="--remote-signer alice dave"):
        prepare(options)


def test_the_data_may_move_but_not_change(options: DevnetOptions, tmp_path: Path) -> None:
    prepare(options)
    moved = tmp_path / "elsewhere"
    shutil.copytree(options.data, moved)

    assert prepare(replace(options, data=moved)).is_resumed

    with (moved / "market_spring.csv").open("a") as file:
        file.write("\n")
    with pytest.raises(ConfigInvalid, match="other data of the same names"):
        prepare(replace(options, data=moved))


def test_a_fresh_start_with_bad_data_keeps_the_chain_of_before(
    options: DevnetOptions, tmp_path: Path
) -> None:
    prepare(options)
    text = (options.folder / SPEC_FILE).read_bytes()
    damaged = tmp_path / "damaged"
    shutil.copytree(options.data, damaged)
    (damaged / "market_spring.csv").write_text("slot\n")

    with pytest.raises(ConfigInvalid, match="column price_ueur_kwh missing"):
        prepare(replace(options, data=damaged, fresh=True))
    assert (options.folder / SPEC_FILE).read_bytes() == text
    assert not prepare(replace(options, fresh=True)).is_resumed


async def test_a_config_file_without_a_folder_is_refused_before_anything_starts(
    options: DevnetOptions, tmp_path: Path
) -> None:
    with pytest.raises(ConfigInvalid, match="there is no folder of this file"):
        await run_network(options, tmp_path / "no" / "config.json", Console(), is_live=False)


def test_the_homes_talk_to_the_prosumers_nodes(options: DevnetOptions) -> None:
    nodes = plan_nodes()
    command = homes_command(options, nodes)

    ports = [command[at + 1] for at, part in enumerate(command) if part == "--rpc-port"]
    assert ports == [str(node.rpc_port) for node in nodes if node.role == "full"]


async def test_a_node_that_never_answers_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "READY_S", 0.05)

    with pytest.raises(NodeError, match="do not answer: alice, bob"):
        await wait_until_ready(Board.of(plan_nodes()))
