"""A node that begins with the last final state of a chain with fifty handoffs."""

import random
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from consensus import aura, effects
from consensus.grandpa.vote_graph import BlockRef
from consensus.warp import BadWarpProof, WarpPosition, WarpProof, follow
from node import warp as warping
from node.chain import Chain
from node.checks import NativeChecks
from node.clock import SystemClock
from node.config import NodeConfig
from node.database import Database
from node.service import NodeParts, run_node
from node.state_store import StateDiscarded
from node.sync_server import SyncServer
from node.wire import make_status
from p2p.messages import BlockData, BlockRequest
from p2p.network import Network, NetworkConfig
from runtime.primitives.grandpa import Justification
from runtime.primitives.types import Hash
from runtime.state.backend import MemoryBackend
from runtime.state.overlay import Overlay
from tests.live.network import RpcFailed, ask, ask_or_none, free_port
from tests.support.accounts import BOB
from tests.support.runtimes import VALIDATORS
from tests.support.sealed_chain import SealedChain, small_spec

pytestmark = pytest.mark.slow

HANDOFFS = 50
SESSION = 2
SPEC = small_spec(session_blocks=SESSION)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SealedChain]:
    """A chain on which a validator takes new keys in each session; its head is not final."""
    chain = SealedChain(tmp_path_factory.mktemp("source") / "db", SPEC)
    handoffs, turn = 0, 0
    while handoffs < HANDOFFS:
        rotated = []
        if chain.chain.best.number % SESSION == 0:
            owner, turn = VALIDATORS[turn % 4], turn + 1
            rotated.append(chain.rotate(owner, f"{owner}-{turn}"))
        header = chain.add(rotated)
        if aura.scheduled_change_of(header) is not None:
            handoffs += 1
            chain.finalize()
    chain.add()
    chain.finalize()
    chain.add([chain.transfer("Alice", BOB, 7)])
    yield chain
    chain.close()


def start(chain: Chain) -> WarpPosition:
    """The voters of block 0."""
    runtime = SPEC.runtime()
    state = Overlay(MemoryBackend(SPEC.genesis_storage(runtime)))
    voters = tuple(key for key, _ in runtime.grandpa_authorities(state))
    return WarpPosition(BlockRef(chain.genesis_hash, 0), 0, voters)


def proof_of(chain: Chain) -> WarpProof:
    data = SyncServer(chain).warp_proof(chain.genesis_hash)
    assert data is not None
    return WarpProof.decode(data)


def test_fifty_handoffs_lead_to_the_last_final_block_and_its_voters(source: SealedChain) -> None:
    chain = source.chain

    position = follow(start(chain), proof_of(chain), NativeChecks())

    assert position.block == BlockRef(chain.finalized_hash_now, chain.finalized.number)
    assert (position.set_id, len(position.handoffs)) == (HANDOFFS, HANDOFFS)
    state = Overlay(chain.state_at(chain.finalized_hash_now))
    voters = [key for key, _ in source.runtime.grandpa_authorities(state)]
    assert list(position.voters) == voters


def test_a_proof_in_parts_leads_to_the_same(
    source: SealedChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.sync_server.PROOF_BYTES_MAX", 5_000)
    server, position = SyncServer(source.chain), start(source.chain)
    parts, is_finished = 0, False
    while not is_finished:
        data = server.warp_proof(position.block.hash)
        assert data is not None and len(data) < 6_500
        proof = WarpProof.decode(data)
        position = follow(position, proof, NativeChecks())
        parts, is_finished = parts + 1, proof.is_finished

    assert position.block.hash == source.chain.finalized_hash_now
    assert parts > 5


def test_a_proof_from_the_last_final_block_is_empty_and_from_others_is_none(
    source: SealedChain,
) -> None:
    server, chain = SyncServer(source.chain), source.chain

    last = server.warp_proof(chain.finalized_hash_now)

    assert last is not None
    assert WarpProof.decode(last) == WarpProof([], True)
    assert server.warp_proof(chain.best_hash) is None  # not final
    assert server.warp_proof(bytes(32)) is None


Forge = Callable[[WarpProof], None]


def drop(proof: WarpProof) -> None:
    del proof.proofs[20]


def swap(proof: WarpProof) -> None:
    proof.proofs[20], proof.proofs[21] = proof.proofs[21], proof.proofs[20]


def repeat(proof: WarpProof) -> None:
    proof.proofs.insert(21, proof.proofs[20])


def change_header(proof: WarpProof) -> None:
    fragment = proof.proofs[20]
    header = fragment.header
    forged = type(header)(
        header.parent_hash, header.number, bytes(32), header.extrinsics_root, header.digest
    )
    proof.proofs[20] = type(fragment)(forged, fragment.justification)


def change_signature(proof: WarpProof) -> None:
    fragment = proof.proofs[20]
    data = bytearray(fragment.justification.encode())
    data[-40] ^= 1  # the last precommit's signature or key
    proof.proofs[20] = type(fragment)(fragment.header, Justification.decode(bytes(data)))


def end_early(proof: WarpProof) -> None:
    """The block before the last is one that hands over to nobody, and is not the last."""
    proof.proofs.insert(0, proof.proofs[-1])


@pytest.mark.parametrize("forge", [drop, swap, repeat, change_header, change_signature, end_early])
def test_a_tampered_proof_leads_nowhere(source: SealedChain, forge: Forge) -> None:
    proof = proof_of(source.chain)
    forge(proof)

    with pytest.raises(BadWarpProof, match=r"fragment \d+ of \d+, block \d+: "):
        follow(start(source.chain), proof, NativeChecks())


# --- over the network -----------------------------------------------------------------------------


class Tampered(SyncServer):
    """Serves a proof with a wrong signature."""

    asked = 0

    def warp_proof(self, begin: Hash) -> bytes | None:
        data = super().warp_proof(begin)
        assert data is not None
        proof = WarpProof.decode(data)
        change_signature(proof)
        self.asked += 1
        return proof.encode()


class Forgetful(SyncServer):
    """Leaves all but the root out of the second part of the state, once."""

    parts = 0

    def state_range(self, block_hash: Hash, after: bytes | None) -> list[bytes] | None:
        items = super().state_range(block_hash, after)
        assert items is not None
        self.parts += 1
        return items[:1] if self.parts == 2 else items


class Headless(SyncServer):
    """Gives no old blocks but the one that is asked for alone."""

    def blocks(self, request: BlockRequest) -> list[BlockData]:
        return super().blocks(request) if request.blocks_max == 1 else []


class Counting(SyncServer):
    """Counts what it is asked for."""

    def __init__(self, chain: Chain) -> None:
        super().__init__(chain)
        self.parts = 0
        self.blocks_served = 0

    def state_range(self, block_hash: Hash, after: bytes | None) -> list[bytes] | None:
        self.parts += 1
        return super().state_range(block_hash, after)

    def blocks(self, request: BlockRequest) -> list[BlockData]:
        found = super().blocks(request)
        self.blocks_served += len(found)
        return found


@asynccontextmanager
async def served(*servers: SyncServer) -> AsyncIterator[tuple[str, ...]]:
    """Peers with these; their addresses."""
    async with trio.open_nursery() as nursery:
        addresses: list[str] = []
        for number, server in enumerate(servers, start=1):
            chain = server._chain
            network = Network(
                NetworkConfig(bytes([number]) * 32, chain.genesis_hash, port=0),
                server,
                lambda chain=chain: make_status(chain, SystemClock(), True),  # type: ignore[misc]
                random.Random(number),
            )
            await nursery.start(network.run)
            nursery.start_soon(ignore_all, network)
            addresses.append(network.listen_addresses()[0])
        yield tuple(addresses)
        nursery.cancel_scope.cancel()


async def ignore_all(network: Network) -> None:
    async for _ in network.events:
        pass


@pytest.fixture
def config(tmp_path: Path) -> NodeConfig:
    path = tmp_path / "chain.json"
    path.write_text(SPEC.encode())
    return NodeConfig(
        chain=path,
        base_path=tmp_path / "node",
        port=0,
        rpc_port=0,
        prometheus_port=None,
        sync="warp",
        node_key=bytes([99]) * 32,
    )


@asynccontextmanager
async def running(config: NodeConfig, peers: Sequence[str]) -> AsyncIterator[NodeParts]:
    async with trio.open_nursery() as nursery:
        with trio.fail_after(150):  # a cold machine compiles kernels first
            node = await nursery.start(run_node, replace(config, reserved_nodes=tuple(peers)))
        yield node
        nursery.cancel_scope.cancel()


async def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    with trio.fail_after(seconds):
        while not condition():
            await trio.sleep(0.02)


async def test_a_warped_node_reaches_the_head_and_fills_the_gap(
    source: SealedChain, config: NodeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.sync_server.STATE_BYTES_MAX", 16_000)
    chain, server = source.chain, Counting(source.chain)

    async with served(server) as peers, running(config, peers) as node:
        assert node.chain.finalized.number == chain.finalized.number
        assert server.parts > 3
        await until(lambda: node.chain.best_hash == chain.best_hash)
        await until(lambda: node.chain.gap is None)

        # Every old block is there; none was executed, so no old state is.
        for number in range(chain.best.number + 1):
            block_hash = node.chain.hash_at(number)
            assert block_hash == chain.hash_at(number)
            assert block_hash is not None
            assert node.chain.body(block_hash) == chain.body(block_hash)
        with pytest.raises(StateDiscarded):
            node.chain.state_at(node.chain.genesis_hash)
        state = node.chain.best_state()
        assert list(state.keys(b"")) == list(chain.best_state().keys(b""))

    # It serves the same proof to others.
    database = Database.open(config.base_path / "db")
    runtime = SPEC.runtime()
    again = Chain.open(database, runtime, SPEC.genesis_storage(runtime), 256)
    assert proof_of(again) == proof_of(chain)
    database.close()
    assert not (config.base_path / warping.FOLDER).exists()


async def test_a_node_does_not_begin_with_a_tampered_proof(
    source: SealedChain, config: NodeConfig, caplog: pytest.LogCaptureFixture
) -> None:
    liar = Tampered(source.chain)

    async with served(liar) as peers, trio.open_nursery() as nursery:
        nursery.start_soon(run_node, replace(config, bootnodes=tuple(peers)))
        await until(lambda: "a peer's proof is wrong: fragment 20 of 51" in caplog.text)
        nursery.cancel_scope.cancel()

    assert liar.asked >= 1
    assert not (config.base_path / warping.FOLDER).exists()
    database = Database.open(config.base_path / "db")
    runtime = SPEC.runtime()
    assert Chain.open(database, runtime, SPEC.genesis_storage(runtime), 256).best.number == 0
    database.close()


async def test_a_part_of_the_state_with_a_hole_is_asked_for_again(
    source: SealedChain,
    config: NodeConfig,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("node.sync_server.STATE_BYTES_MAX", 16_000)
    server = Forgetful(source.chain)

    async with served(server) as peers, running(config, peers) as node:
        assert "a part of the state did not come: no key behind" in caplog.text
        assert list(node.chain.state_at(node.chain.finalized_hash_now).keys(b"")) == list(
            source.chain.state_at(source.chain.finalized_hash_now).keys(b"")
        )


async def test_a_node_that_has_blocks_goes_on_from_them(
    source: SealedChain, config: NodeConfig
) -> None:
    honest = Counting(source.chain)
    async with served(honest) as peers:
        async with running(config, peers) as node:
            await until(lambda: node.chain.gap is None)
        parts = honest.parts
        async with running(config, peers) as node:
            assert node.chain.finalized.number == source.chain.finalized.number

    assert honest.parts == parts


async def test_an_author_that_warped_past_a_handoff_can_prove_it(
    tmp_path: Path, config: NodeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warping, "WORTH_BLOCKS", 1)
    chain = SealedChain(tmp_path / "source", SPEC)
    handoff = chain.add([chain.rotate("Alice", "Alice-1")])
    while aura.scheduled_change_of(handoff) is None:
        handoff = chain.add()
    # Its child was made before it was final, and is itself made final by the next voters.
    above = chain.add()
    chain.finalize(header=handoff)
    chain.finalize(header=above)
    server = Headless(chain.chain)

    async with served(server) as peers, running(config, peers) as node:
        assert node.chain.finalized.number == handoff.number + 1
        assert node.chain.gap is not None
        data = SyncServer(node.chain).warp_proof(handoff.hash())
        slot = (aura.slot_of(above) or 0) + 1
        time_ms = slot * chain.slot_ms
        build = effects.Build(
            slot, above.hash(), above.number + 1, aura.pre_digest(slot), time_ms, 1
        )
        built = node.chain.build(build, iter(()), lambda _: None, lambda: 0)

    chain.close()
    assert built.header is not None, built.reason
    assert len(built.extrinsics) == 2  # the time, and the proof of the handoff
    assert data is not None and len(WarpProof.decode(data).proofs) == 1


async def test_a_past_without_the_checkpoint_is_found_out_when_the_gap_is_filled(
    source: SealedChain, config: NodeConfig
) -> None:
    forged = replace(config, checkpoint=(5, bytes(32)))

    async with served(SyncServer(source.chain)) as peers, running(forged, peers) as node:
        await until(lambda: node.engine.core.status.is_disputed)


async def test_full_sync_takes_every_block_and_comes_to_the_same_head(
    source: SealedChain, config: NodeConfig
) -> None:
    full = replace(config, sync="full")

    async with served(SyncServer(source.chain)) as peers, running(full, peers) as node:
        await until(lambda: node.chain.best_hash == source.chain.best_hash)

        assert node.chain.finalized.number == source.chain.finalized.number
        assert node.chain.gap is None


async def test_a_node_that_warps_answers_for_health_and_how_far_the_others_are(
    source: SealedChain, config: NodeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_go_on = trio.Event(), trio.Event()
    fetch = warping.Warper._copy_state

    async def held_up(*arguments: Any) -> int:
        begun.set()
        await may_go_on.wait()
        return await fetch(*arguments)

    monkeypatch.setattr(warping.Warper, "_copy_state", held_up)
    port, metrics_port = free_port(), free_port()
    config = replace(config, rpc_port=port, prometheus_port=metrics_port)
    async with served(Counting(source.chain)) as peers, trio.open_nursery() as nursery:
        nursery.start_soon(run_node, replace(config, reserved_nodes=tuple(peers)))
        with trio.fail_after(60):
            await begun.wait()

        health, state, refused = await trio.to_thread.run_sync(ask_all, port)
        metrics = await trio.to_thread.run_sync(scrape, metrics_port)
        may_go_on.set()
        with trio.fail_after(60):
            while await trio.to_thread.run_sync(best_at, port) < source.chain.best.number:
                await trio.sleep(0.05)
        nursery.cancel_scope.cancel()

    assert health["isSyncing"] and health["peers"] == 1
    assert (state["startingBlock"], state["currentBlock"]) == (0, 0)
    assert state["highestBlock"] == source.chain.best.number
    assert refused.code == 1016 and "--sync warp" in str(refused.data)
    assert "substrate_sub_libp2p_is_major_syncing 1.0" in metrics


def ask_all(port: int) -> tuple[Any, Any, RpcFailed]:
    """Health, how far it is, and what becomes of a transaction."""
    with pytest.raises(RpcFailed) as refused:
        ask(port, "author_submitExtrinsic", "0x00")
    return ask(port, "system_health"), ask(port, "system_syncState"), refused.value


def scrape(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
    return text


def best_at(port: int) -> int:
    """-1 while nobody answers: between the warp and the node."""
    header = ask_or_none(port, "chain_getHeader")
    return int(header["number"], 16) if header else -1
