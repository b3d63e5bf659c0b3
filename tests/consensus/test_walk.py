"""Far behind: headers along one peer's chain, bodies from several, whatever some of them do."""

from collections.abc import Callable

import pytest

from consensus import effects, events, walk
from consensus.effects import RequestBlocks
from consensus.events import SyncBlock
from consensus.grandpa.vote_graph import BlockRef
from consensus.pipeline import REPUTATION_FORGED_BODY
from consensus.requests import REQUEST_TIMEOUT_MS
from consensus.walk import (
    BODIES_AHEAD_MAX,
    BODIES_PER_REQUEST,
    BODY_PEERS_MAX,
    HEADERS_AHEAD_MAX,
    HEDGE_MS,
)
from runtime.primitives.block import Header
from tests.consensus.test_sync import BODY, chain, lone_node, meet
from tests.simulation.driver import Network
from tests.simulation.node import Node

Answer = Callable[[RequestBlocks], list[SyncBlock]]


def true_answer(headers: list[Header]) -> Answer:
    """What a peer that has these blocks answers."""
    places = {header.hash(): place for place, header in enumerate(headers)}

    def answer(request: RequestBlocks) -> list[SyncBlock]:
        start = request.start
        place = start - 1 if isinstance(start, int) else places.get(start)
        if place is None:
            return []
        stop = place + request.blocks_max if request.is_ascending else place - request.blocks_max
        asked = (
            headers[place:stop]
            if request.is_ascending
            else headers[max(0, stop + 1) : place + 1][::-1]
        )
        body = BODY if request.with_bodies else None
        return [SyncBlock(header, body, None) for header in asked]

    return answer


def network_of(headers: list[Header], network: Network, node: Node, *peers: bytes) -> None:
    """Let peers that have all these blocks meet the node."""
    for peer in peers:
        network.answers[peer] = true_answer(headers)
        meet(network, node, peer, headers[-1])


def bodies(node: Node) -> list[RequestBlocks]:
    return [request for request in node.requests if request.with_bodies]


def test_headers_come_from_one_peer_and_bodies_from_several_at_once() -> None:
    network, node = lone_node()
    headers = chain(network, 300)
    network_of(headers, network, node, b"a", b"b", b"c")

    assert network.run(30, until=lambda: node.best == 300)

    walked = {request.peer for request in node.requests if not request.with_bodies}
    assert len(walked) == 1
    assert {request.peer for request in bodies(node)} == {b"a", b"b", b"c"}
    assert max(request.blocks_max for request in bodies(node)) == BODIES_PER_REQUEST
    assert node.executed == [header.hash() for header in headers]
    assert node.reports == []
    # Every body was asked for once.
    assert sum(request.blocks_max for request in bodies(node)) == 300


@pytest.mark.slow
def test_what_waits_is_bounded_however_fast_the_peers_are() -> None:
    network, node = lone_node()
    headers = chain(network, 700)
    network_of(headers, network, node, *(bytes([97 + peer]) for peer in range(8)))
    most = [0, 0, 0]

    def look() -> bool:
        waiting = list(node.live._pipeline.candidates())
        with_body = sum(candidate.extrinsics is not None for candidate in waiting)
        asked = [r for r in node.live._sync._requests.open.values() if r.bodies_of is not None]
        most[0] = max(most[0], len(waiting))
        most[1] = max(most[1], with_body + sum(request.blocks_max for request in asked))
        most[2] = max(most[2], len(asked))
        return node.best == 700

    assert network.run(60, until=look)
    assert most[0] <= HEADERS_AHEAD_MAX
    assert most[1] <= BODIES_AHEAD_MAX
    assert most[2] == BODY_PEERS_MAX


def test_a_forged_body_costs_its_sender_and_not_the_block() -> None:
    network, node = lone_node()
    headers = chain(network, 40)
    network_of(headers, network, node, b"a", b"b")
    honest = true_answer(headers)

    def forge(request: RequestBlocks) -> list[SyncBlock]:
        forged = (b"other",) if request.with_bodies else None
        return [SyncBlock(block.header, forged, None) for block in honest(request)]

    network.answers[b"b"] = forge

    assert network.run(30, until=lambda: node.best == 40)
    assert {(r.peer, r.delta) for r in node.reports} == {(b"b", REPUTATION_FORGED_BODY)}


def test_bodies_that_do_not_come_are_asked_of_another_peer_soon() -> None:
    network, node = lone_node()
    headers = chain(network, 60)
    network_of(headers, network, node, b"a")
    meet(network, node, b"b", headers[-1])  # never answers

    assert network.run(HEDGE_MS * 2 // 1_000, until=lambda: node.best == 60)
    assert REQUEST_TIMEOUT_MS > 2 * HEDGE_MS
    asked = [request.peer for request in bodies(node) if request.start == bodies(node)[0].start]
    assert asked == [b"b", b"a"]


def test_the_others_go_on_when_the_guide_leaves() -> None:
    network, node = lone_node()
    headers = chain(network, 400)
    network_of(headers, network, node, b"a", b"b")
    network.run(5, until=lambda: node.best >= 50)
    guide = next(request.peer for request in node.requests if not request.with_bodies)

    node.handle(events.PeerGone(guide))

    assert network.run(30, until=lambda: node.best == 400)
    assert node.reports == []


def test_large_blocks_come_a_few_at_a_time_from_a_single_peer() -> None:
    network, node = lone_node()
    headers = chain(network, 60)
    network_of(headers, network, node, b"a")
    honest = true_answer(headers)
    network.answers[b"a"] = lambda request: (
        honest(request)[:3] if request.with_bodies else honest(request)
    )

    assert network.run(30, until=lambda: node.best == 60)
    assert node.reports == []


def test_bodies_are_not_asked_for_while_many_bytes_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "BODY_BYTES_AHEAD", 5 * len(BODY[0]))
    network, node = lone_node()
    headers = chain(network, 100)
    network_of(headers, network, node, b"a", b"b")
    most = 0

    def look() -> bool:
        nonlocal most
        most = max(most, node.live._pipeline.body_bytes)
        return node.best == 100

    assert network.run(30, until=look)
    assert most <= (5 + BODY_PEERS_MAX * BODIES_PER_REQUEST) * len(BODY[0])


def test_headers_whose_bodies_nobody_has_are_given_up_with_who_gave_them() -> None:
    network, node = lone_node()
    headers = chain(network, 40)
    network_of(headers, network, node, b"a")
    honest = true_answer(headers)
    network.answers[b"a"] = lambda request: [] if request.with_bodies else honest(request)

    network.run(30)

    assert node.best == 0
    assert not node.live.status.is_major_syncing
    assert len(node.requests) < 6


def test_a_chain_that_grows_while_it_is_fetched_is_fetched_to_its_end() -> None:
    network, node = lone_node()
    headers = chain(network, 130)
    network_of(headers[:100], network, node, b"a", b"b")
    network.run(5, until=lambda: node.best >= 20)
    for peer in (b"a", b"b"):
        network.answers[peer] = true_answer(headers)

    for header in headers[100:]:
        node.handle(events.HeaderSeen(b"a", header, True))

    assert network.run(30, until=lambda: node.best == 130)


def test_a_body_that_makes_its_block_invalid_ends_the_walk_there() -> None:
    network, node = lone_node()
    headers = chain(network, 60)
    network_of(headers, network, node, b"a")
    node.verdicts[headers[30].hash()] = [events.Verdict.INVALID]

    network.run(30)

    assert node.best == 30
    assert not node.live.status.is_major_syncing
    assert any(isinstance(report, effects.Report) for report in node.reports)


def test_a_chain_without_the_checkpoint_leads_nowhere_and_the_right_one_is_taken() -> None:
    network, node = lone_node()
    right = chain(network, 60)
    wrong = [*right[:20], *chain(network, 80, parent=right[19], mark=1)]
    node.checkpoint = BlockRef(right[29].hash(), 30)
    node.start()
    network_of(wrong, network, node, b"b")
    network.run(10)
    network_of(right, network, node, b"a")

    assert network.run(30, until=lambda: node.best == 60)
    assert any("the checkpoint says" in report.reason for report in node.reports)
