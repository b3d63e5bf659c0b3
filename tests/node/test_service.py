"""A whole node in this process: it starts, authors, stops in order, and refuses what it must."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from devnet.scenario import dev_chain_spec
from node.config import NodeConfig
from node.errors import ConfigInvalid, NodeError, PortTaken, StorageUnusable
from node.service import NodeParts, run_node

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def spec_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("spec") / "spec.json"
    path.write_text(dev_chain_spec().encode())
    return path


@pytest.fixture
def config(tmp_path: Path, spec_path: Path) -> NodeConfig:
    return NodeConfig(
        chain=spec_path,
        base_path=tmp_path / "node",
        is_validator=True,
        dev_key="//Alice",
        force_authoring=True,
        port=0,
        rpc_port=0,
        prometheus_port=0,
    )


@asynccontextmanager
async def running(config: NodeConfig) -> AsyncIterator[NodeParts]:
    async with trio.open_nursery() as nursery:
        yield await nursery.start(run_node, config)
        nursery.cancel_scope.cancel()


async def failure_of(config: NodeConfig) -> NodeError:
    with trio.fail_after(20), pytest.raises(NodeError) as failure:
        await run_node(config)
    return failure.value


async def test_a_node_authors_finalizes_and_goes_on_after_a_restart(config: NodeConfig) -> None:
    async with running(config) as node:
        with trio.fail_after(15):
            while node.chain.finalized.number < 1:
                await trio.sleep(0.05)
        best, genesis = node.chain.best_hash, node.chain.genesis_hash

    async with running(config) as node:
        assert node.chain.genesis_hash == genesis
        assert node.chain.finalized.number >= 1
        header = node.chain.header(best)
        assert header is not None
        assert node.chain.best.number >= header.number


async def test_the_end_of_the_lifeline_ends_the_node(config: NodeConfig) -> None:
    read_fd, write_fd = os.pipe()
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(run_node, replace(config, parent_fd=read_fd))
            os.close(write_fd)


async def test_a_port_in_use_is_told_with_its_holder(config: NodeConfig) -> None:
    async with (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0] as listener:
        port = listener.socket.getsockname()[1]

        for name, flag in (
            ("rpc_port", "--rpc-port"),
            ("prometheus_port", "--prometheus-port"),
            ("port", "--port"),
        ):
            error = await failure_of(replace(config, **{name: port}))

            assert isinstance(error, PortTaken)
            assert error.exit_code == 10
            assert f"in use by pid {os.getpid()}" in str(error)
            assert f"pass {flag} {port + 1}" in str(error)


async def test_a_database_of_another_chain_is_refused(config: NodeConfig, tmp_path: Path) -> None:
    async with running(config):
        pass
    other = tmp_path / "other.json"
    other.write_text(
        dev_chain_spec().encode().replace('"slot_duration_ms": 2000', '"slot_duration_ms": 3000')
    )

    error = await failure_of(replace(config, chain=other))

    assert isinstance(error, StorageUnusable)
    assert error.exit_code == 9
    assert "0x" in str(error)


async def test_a_database_in_use_is_refused(config: NodeConfig) -> None:
    async with running(config):
        error = await failure_of(config)

    assert isinstance(error, StorageUnusable)


async def test_a_damaged_database_is_refused_with_advice(config: NodeConfig) -> None:
    async with running(config):
        pass
    for file in (config.base_path / "db").glob("MANIFEST-*"):
        file.write_bytes(b"rubbish")

    error = await failure_of(config)

    assert isinstance(error, StorageUnusable)
    assert error.exit_code == 9


async def test_a_validator_without_keys_is_refused(config: NodeConfig) -> None:
    error = await failure_of(replace(config, dev_key=None))

    assert isinstance(error, ConfigInvalid)
    assert "dret key insert" in str(error)


async def test_a_peers_address_that_is_none_is_refused(config: NodeConfig) -> None:
    error = await failure_of(replace(config, reserved_nodes=("/ip4/1.2.3.4",)))

    assert isinstance(error, ConfigInvalid)
    assert "/ip4/1.2.3.4" in str(error)


async def test_metrics_and_status_are_of_the_running_node(config: NodeConfig) -> None:
    async with running(config) as node:
        text = node.metrics.render().decode()

        assert f'substrate_build_info{{chain="{node.spec.id}"' in text
        assert "dret_is_voting 1.0" in text
        assert node.server.port != 0 and node.prometheus_port
