"""A fork that real validators make, as polkadot.js and PAPI see it from both of its sides.

Four validators fall apart into two and two, so that neither side finalizes; each client submits on
its side; then the sides meet again and one branch is given up.
"""

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from devnet.dataset import BUNDLED
from devnet.scenario import load_scenario
from node.config import NodeConfig
from node.service import NodeParts, run_node
from runtime.state.overlay import Overlay
from tests.clients.node import FOLDER, answer_of, environment, script_command
from tests.support.accounts import pair_named

pytestmark = pytest.mark.slow

NAMES = ("Alice", "Bob", "Charlie", "Dave")
SEEN_S = 4  # two slots: what a client needs to hear of the block that its side made


@asynccontextmanager
async def validators(folder: Path) -> AsyncGenerator[list[NodeParts]]:
    """Four validators in this process, connected and finalizing."""
    spec = folder / "spec.json"
    spec.write_text(load_scenario(BUNDLED, "semiurb4", "spring").chain_spec().encode())
    nodes: list[NodeParts] = []
    async with trio.open_nursery() as nursery:
        for name in NAMES:
            known = tuple(node.network.listen_addresses()[0] for node in nodes)
            config = NodeConfig(
                chain=spec,
                base_path=folder / name,
                name=name,
                is_validator=True,
                dev_key=f"//{name}",
                port=0,
                rpc_port=0,
                prometheus_port=None,
                reserved_nodes=known,
            )
            nodes.append(await nursery.start(run_node, config))
        with trio.fail_after(60):
            while any(
                node.chain.finalized.number < 1 or len(node.network.peers()) < len(NAMES) - 1
                for node in nodes
            ):
                await trio.sleep(0.1)
        yield nodes
        nursery.cancel_scope.cancel()


def set_apart(one: list[NodeParts], other: list[NodeParts]) -> None:
    """Nobody of one side has anything to do with the other."""
    for side, rest in ((one, other), (other, one)):
        strangers = {node.network.peer_id for node in rest}
        for node in side:
            peers = node.network.peers()
            node.network.deny([peer.peer for peer in peers if peer.peer_id in strangers])


def heal(nodes: list[NodeParts]) -> None:
    """All may meet again."""
    for node in nodes:
        node.network.deny(())


async def included(node: NodeParts, names: Sequence[str]) -> None:
    """Until the best block of a node has an extrinsic of each of these accounts."""
    accounts = [pair_named(name).account for name in names]
    with trio.fail_after(90):
        while True:
            state = node.chain.best_state()
            runtime = node.chain.runtime_of(state)
            if all(runtime.account_nonce(Overlay(state), account) for account in accounts):
                return
            await trio.sleep(0.2)


async def run(request: dict[str, Any], into: dict[str, Any]) -> None:
    """A client's script; its answer under the name of its account."""
    with trio.fail_after(120):
        done = await trio.run_process(
            script_command("forks"),
            stdin=json.dumps(request).encode(),
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            env=environment(),
            cwd=FOLDER,
        )
    into[request["uri"]] = answer_of(
        "forks", done.returncode, done.stdout.decode(), done.stderr.decode()
    )


async def test_a_retracted_block_is_seen_as_such_and_the_extrinsic_ends_final(
    tmp_path: Path,
) -> None:
    seen: dict[str, Any] = {}
    async with validators(tmp_path) as nodes:
        one, other = nodes[:2], nodes[2:]
        set_apart(one, other)
        async with trio.open_nursery() as clients:
            for side, (first, second) in ((one, NAMES[:2]), (other, NAMES[2:])):
                url = f"ws://127.0.0.1:{side[0].server.port}"
                for client, name in (("polkadotjs", first), ("papi", second)):
                    request = {"url": url, "client": client, "uri": f"//{name}"}
                    clients.start_soon(run, request, seen)
            await included(one[0], NAMES[:2])
            await included(other[0], NAMES[2:])
            await trio.sleep(SEEN_S)
            assert one[0].chain.best_hash != other[0].chain.best_hash
            heal(nodes)
        final = {node.chain.hash_at(1) for node in nodes}

    assert len(final) == 1
    sides = [[seen[f"//{name}"] for name in names] for names in (NAMES[:2], NAMES[2:])]
    for polkadotjs, papi in sides:
        assert polkadotjs["statuses"][-1] == papi["types"][-1] == "finalized"
    retracted = ["retracted" in polkadotjs["statuses"] for polkadotjs, _ in sides]
    moved = [len(papi["blocks"]) > 1 for _, papi in sides]
    assert any(retracted)
    assert retracted == moved
