"""Old blocks below the first state of a node: fetched newest first, believed by their hashes."""

import pytest

from consensus.effects import RequestBlocks
from consensus.events import SyncBlock
from consensus.gap import BLOCKS_PER_REQUEST
from consensus.grandpa.vote_graph import BlockRef
from consensus.requests import REPUTATION_WRONG_ANSWER
from runtime.primitives.block import Header
from tests.consensus.test_sync import BODY, chain, lone_node, meet
from tests.consensus.test_walk import true_answer
from tests.simulation.driver import Network
from tests.simulation.node import Node

LENGTH = 150


def warped(network: Network, node: Node, headers: list[Header]) -> None:
    """Start the node with the last of these as its final block and nothing below it."""
    last = headers[-1]
    store = node.disk.now
    store.headers[last.hash()] = last
    store.bodies[last.hash()] = BODY
    store.canonical[last.number] = store.finals[last.number] = last.hash()
    store.finalized = store.best = last.hash()
    store.gap = BlockRef(last.parent_hash, last.number - 1)
    network.finals.clear()
    node.start()


@pytest.fixture
def made() -> tuple[Network, Node, list[Header]]:
    network, node = lone_node()
    headers = chain(network, LENGTH)
    warped(network, node, headers)
    return network, node, headers


def befriend(network: Network, node: Node, headers: list[Header], *peers: bytes) -> None:
    for peer in peers:
        network.answers[peer] = true_answer(headers)
        meet(network, node, peer, headers[-1])


def stored(node: Node) -> set[int]:
    return set(node.disk.now.canonical)


Made = tuple[Network, Node, list[Header]]


def test_the_gap_is_filled_downwards_to_genesis_and_nothing_is_executed(made: Made) -> None:
    network, node, headers = made
    befriend(network, node, headers, b"a")

    assert network.run(30, until=lambda: node.disk.now.gap is None)

    assert stored(node) == set(range(LENGTH + 1))
    assert [r.blocks_max for r in node.requests] == [BLOCKS_PER_REQUEST] * 3
    assert node.executed == node.reports == node.alarms == []


def test_a_restarted_node_goes_on_where_it_was(made: Made) -> None:
    network, node, headers = made
    befriend(network, node, headers, b"a")
    network.run(30, until=lambda: len(stored(node)) > BLOCKS_PER_REQUEST)
    lowest = node.disk.now.gap
    assert lowest is not None and lowest.number < LENGTH - BLOCKS_PER_REQUEST

    node.start()
    befriend(network, node, headers, b"b")

    assert network.run(30, until=lambda: node.disk.now.gap is None)
    asked = [r.start for r in node.requests if r.peer == b"b"]
    assert asked[0] == lowest.hash


def test_other_blocks_and_other_bodies_are_refused_and_asked_of_somebody_else(made: Made) -> None:
    network, node, headers = made
    honest = true_answer(headers)

    def other_bodies(request: RequestBlocks) -> list[SyncBlock]:
        return [SyncBlock(block.header, (b"forged",), None) for block in honest(request)]

    for peer, answer in (
        (b"a", other_bodies),
        (b"b", lambda _: [SyncBlock(headers[3], BODY, None)]),
    ):
        network.answers[peer] = answer
        meet(network, node, peer, headers[-1])
    network.run(5)
    assert node.disk.now.gap == BlockRef(headers[-1].parent_hash, LENGTH - 1)
    assert {(r.peer, r.delta) for r in node.reports} == {
        (b"a", REPUTATION_WRONG_ANSWER),
        (b"b", REPUTATION_WRONG_ANSWER),
    }

    befriend(network, node, headers, b"c")

    assert network.run(30, until=lambda: node.disk.now.gap is None)


def test_a_past_with_another_genesis_block_is_a_violation(made: Made) -> None:
    network, node, _ = made
    other = Header(bytes(32), 0, bytes([1]) * 32, bytes(32), network.genesis.digest)
    headers = chain(network, 20, parent=other)
    warped(network, node, headers)
    befriend(network, node, headers, b"a")

    network.run(5)

    assert node.live.status.is_disputed
    assert "leads to the genesis block" in node.alarms[0].detail
    assert node.disk.now.gap is not None  # and says so again after a restart


def test_catching_up_goes_before_the_past(made: Made) -> None:
    network, node, headers = made
    longer = [*headers, *chain(network, 100, parent=headers[-1])]
    befriend(network, node, longer, b"a")

    assert network.run(30, until=lambda: node.best == LENGTH + 100)
    assert len(stored(node)) <= 102 + BLOCKS_PER_REQUEST
    assert network.run(30, until=lambda: node.disk.now.gap is None)
