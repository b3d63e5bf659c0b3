"""Requests for blocks, and what waits for what in the pipeline, of one node."""

import pytest

from consensus import events, pipeline
from consensus.effects import RequestBlocks
from consensus.events import PeerStatus, Role, SyncBlock, Verdict
from consensus.pipeline import ORPHAN_LIFE_MS, PARKED_MAX
from consensus.requests import COOLDOWN_MS, REQUEST_TIMEOUT_MS
from consensus.sync import HEDGE_MS, WANT_LIFE_MS, WANTS_MAX
from runtime.primitives.block import Header
from runtime.primitives.grandpa import CommitMessage
from runtime.primitives.types import Hash
from tests.simulation.driver import Network
from tests.simulation.node import EPOCH_MS, Node, make_block

BODY = (b"body",)


def lone_node(*peers: bytes) -> tuple[Network, Node]:
    """A full node with peers that never answer."""
    network = Network(full=1)
    node = network["f0"]
    node.start()
    for peer in peers:
        meet(network, node, peer)
    return network, node


def meet(network: Network, node: Node, peer: bytes, best: Header | None = None) -> None:
    genesis = network.genesis.hash()
    best = best or network.genesis
    status = PeerStatus(Role.FULL, best.hash(), best.number, genesis, 0, node.wall_ms())
    node.handle(events.PeerConnected(peer, status))


def chain(
    network: Network, length: int, parent: Header | None = None, mark: int = 0
) -> list[Header]:
    """Blocks of past slots, by the right authors."""
    header, found = parent or network.genesis, list[Header]()
    slot = EPOCH_MS // network.slot_ms - 1_000 + header.number * 2
    for _ in range(length):
        slot += 1 + mark
        header = make_block(header, slot, f"v{slot % 4}", BODY)
        found.append(header)
    return found


def announce(node: Node, peer: bytes, header: Header) -> None:
    node.handle(events.HeaderSeen(peer, header, True))


def answer(node: Node, request: RequestBlocks, *headers: Header) -> None:
    blocks = tuple(SyncBlock(header, BODY, None) for header in headers)
    node.handle(events.BlocksReceived(request.request_id, request.peer, blocks))


def asked(node: Node, block_hash: Hash) -> list[bytes]:
    return [request.peer for request in node.requests if request.start == block_hash]


def candidates(node: Node) -> int:
    return len(list(node.live._pipeline.candidates()))


def test_a_body_that_does_not_come_is_asked_of_another_peer_soon() -> None:
    network, node = lone_node(b"a", b"b")
    (block,) = chain(network, 1)
    announce(node, b"a", block)
    announce(node, b"b", block)

    assert asked(node, block.hash()) == [b"a"]
    network.run(HEDGE_MS // 1_000 + 1)
    assert asked(node, block.hash()) == [b"a", b"b"]
    answer(node, node.requests[1], block)
    network.run(1)

    assert node.best == 1
    # The first answer still counts as one, although nobody needs it.
    answer(node, node.requests[0], block)
    assert node.reports == []


def test_an_overdue_request_costs_reputation_and_its_answer_comes_too_late() -> None:
    network, node = lone_node(b"a")
    (block,) = chain(network, 1)
    announce(node, b"a", block)

    network.run(REQUEST_TIMEOUT_MS // 1_000 + 1)
    answer(node, node.requests[0], block)

    assert [(r.peer, r.delta) for r in node.reports] == [(b"a", -100)]
    assert node.best == 0
    # After a rest, and when the want has been forgotten, it is asked once more.
    network.run((WANT_LIFE_MS + COOLDOWN_MS) // 1_000)
    assert asked(node, block.hash()) == [b"a", b"a"]


def test_a_failed_request_goes_to_the_next_peer_at_once() -> None:
    network, node = lone_node(b"a", b"b")
    (block,) = chain(network, 1)
    announce(node, b"a", block)
    announce(node, b"b", block)
    first = node.requests[0]

    node.handle(events.RequestFailed(first.request_id, b"a", "refused"))
    node.handle(events.RequestFailed(first.request_id, b"a", "refused"))

    assert asked(node, block.hash()) == [b"a", b"b"]
    assert len(node.reports) == 1


def test_a_peer_that_leaves_is_replaced_at_once() -> None:
    network, node = lone_node(b"a", b"b")
    (block,) = chain(network, 1)
    announce(node, b"a", block)
    announce(node, b"b", block)

    node.handle(events.PeerGone(b"a"))

    assert asked(node, block.hash()) == [b"a", b"b"]
    assert node.reports == []


def test_a_peer_has_one_request_open_at_a_time() -> None:
    network, node = lone_node(b"a")
    left, right = chain(network, 1)[0], chain(network, 1, mark=1)[0]
    announce(node, b"a", left)
    announce(node, b"a", right)
    assert len(node.requests) == 1

    answer(node, node.requests[0], left)

    assert asked(node, right.hash()) == [b"a"]


def test_the_parents_of_an_announced_block_are_fetched_downwards() -> None:
    network, node = lone_node(b"a")
    blocks = chain(network, 6)
    announce(node, b"a", blocks[-1])

    request = node.requests[0]
    assert (request.start, request.is_ascending) == (blocks[-2].hash(), False)
    assert request.blocks_max == 5
    answer(node, request, *reversed(blocks[:-1]))
    answer(node, node.requests[1], blocks[-1])
    network.run(1)

    assert node.best == 6


def test_a_range_goes_back_to_where_the_chains_part() -> None:
    network, node = lone_node()
    ours = chain(network, 30)
    meet(network, node, b"a", ours[-1])
    answer(node, node.requests[0], *ours)
    network.run(1)
    assert node.best == 30
    theirs = [*ours[:10], *chain(network, 50, parent=ours[9], mark=1)]
    meet(network, node, b"b", theirs[-1])

    for _ in range(12):
        request = node.requests[-1]
        if request.peer == b"b" and isinstance(request.start, int):
            answer(node, request, *theirs[request.start - 1 : request.start + 63])
        network.run(1)

    assert node.best == 60
    assert node.reports == []


def test_a_peer_whose_range_is_empty_is_not_believed_any_more() -> None:
    network, node = lone_node()
    meet(network, node, b"a", chain(network, 100)[-1])
    assert node.live.status.is_major_syncing
    request = node.requests[0]

    answer(node, request)

    assert not node.live.status.is_major_syncing
    network.run(30)
    assert len(node.requests) == 1


def test_a_peer_that_delivers_less_than_it_claimed_is_not_believed_any_more() -> None:
    network, node = lone_node()
    blocks = chain(network, 100)
    meet(network, node, b"a", blocks[-1])
    answer(node, node.requests[0], *blocks[:5])
    network.run(1)

    answer(node, node.requests[1])

    assert node.best == 5
    assert not node.live.status.is_major_syncing


def test_an_answer_without_a_header_or_out_of_order_is_cut_off() -> None:
    network, node = lone_node()
    blocks = chain(network, 20)
    meet(network, node, b"a", blocks[-1])
    request = node.requests[0]
    broken = (
        SyncBlock(blocks[0], BODY, None),
        SyncBlock(None, BODY, None),
        SyncBlock(blocks[1], BODY, None),
    )

    node.handle(events.BlocksReceived(request.request_id, b"b", broken))
    assert candidates(node) == 0
    node.handle(events.BlocksReceived(request.request_id, b"a", broken))
    network.run(1)

    assert node.best == 1
    assert "2 blocks that were not asked for" in node.reports[0].reason


def test_a_block_that_no_peer_gives_is_forgotten() -> None:
    network, node = lone_node(b"a")
    blocks = chain(network, 3)
    announce(node, b"a", blocks[-1])
    answer(node, node.requests[0])

    network.run(ORPHAN_LIFE_MS // 1_000 + 100)
    node.handle(events.PeerGone(b"a"))
    meet(network, node, b"a")
    announce(node, b"a", blocks[0])
    network.run(WANT_LIFE_MS // 1_000 + 10)

    assert candidates(node) == 1


def test_wants_are_bounded_and_new_ones_replace_those_nobody_satisfies() -> None:
    _, node = lone_node()
    sync = node.live._sync
    for i in range(WANTS_MAX + 50):
        sync.want(i.to_bytes(32, "big"), None)
    assert len(sync._wants) == WANTS_MAX
    assert WANTS_MAX.to_bytes(32, "big") in sync._wants

    for i in range(WANTS_MAX):
        sync.want(i.to_bytes(32, "big"), b"a")
    sync.want(b"n" * 32, None)

    assert len(sync._wants) == WANTS_MAX


def test_headers_of_the_future_are_parked_up_to_a_bound_nearest_first() -> None:
    network, node = lone_node(*(str(i).encode() for i in range(10)))
    slot = EPOCH_MS // network.slot_ms
    for i in range(2 * PARKED_MAX):
        ahead = slot + 2 * PARKED_MAX + 10 - i
        announce(
            node, str(i % 10).encode(), make_block(network.genesis, ahead, f"v{ahead % 4}", BODY)
        )

    assert candidates(node) == PARKED_MAX
    slots = [c.digest.slot for c in node.live._pipeline.candidates()]
    assert max(slots) - slot <= PARKED_MAX + 10


def test_a_block_whose_time_has_not_come_is_executed_again_later() -> None:
    network, node = lone_node(b"a")
    (block,) = chain(network, 1)
    node.verdicts[block.hash()] = [Verdict.TOO_EARLY, Verdict.TOO_EARLY]
    announce(node, b"a", block)
    answer(node, node.requests[0], block)

    network.run(1)
    assert node.best == 0
    network.run(3)

    assert node.best == 1
    assert node.reports == []


def test_an_invalid_block_takes_its_descendants_with_it() -> None:
    network, node = lone_node(b"a")
    blocks = chain(network, 3)
    node.verdicts[blocks[0].hash()] = [Verdict.INVALID]
    announce(node, b"a", blocks[2])

    answer(node, node.requests[0], blocks[1], blocks[0])
    answer(node, node.requests[1], blocks[2])
    network.run(1)

    assert node.best == 0
    assert candidates(node) == 0
    announce(node, b"a", blocks[1])
    assert "its parent is bad" in node.reports[-1].reason


def test_bodies_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "BODY_BYTES_MAX", 10)
    network, node = lone_node()
    blocks = chain(network, 20)
    meet(network, node, b"a", blocks[-1])

    answer(node, node.requests[0], *blocks)

    held = [c for c in node.live._pipeline.candidates() if c.extrinsics]
    assert len(held) == 2
    network.run(1)
    assert node.best == 2


def test_what_claims_another_height_than_its_relatives_is_bad() -> None:
    network, node = lone_node(b"a")
    blocks = chain(network, 3)
    skewed = Header(
        blocks[1].hash(),
        7,
        blocks[2].state_root,
        blocks[2].extrinsics_root,
        blocks[2].digest,
    )

    announce(node, b"a", skewed)
    announce(node, b"a", blocks[1])
    assert "number 7 above 2" in node.reports[-1].reason
    announce(node, b"a", skewed)
    assert "announced a bad block" in node.reports[-1].reason
    last = blocks[2]
    other = Header(last.parent_hash, 9, last.state_root, last.extrinsics_root, last.digest)
    announce(node, b"a", other)
    assert "number 9 above 2" in node.reports[-1].reason


def test_a_block_is_taken_once_however_many_announce_it() -> None:
    network, node = lone_node(b"a", b"b", b"c")
    (block,) = chain(network, 1)
    for peer in (b"a", b"b", b"c", b"a"):
        announce(node, peer, block)
    answer(node, node.requests[0], block)
    network.run(1)
    announce(node, b"b", block)

    assert node.best == 1
    assert node.reports == []
    announce(node, b"nobody", block)


def test_messages_of_peers_we_have_not_met_are_ignored() -> None:
    network, node = lone_node()
    (block,) = chain(network, 1)

    announce(node, b"nobody", block)
    node.handle(events.PeerGone(b"nobody"))

    assert candidates(node) == 0


def test_without_commits_a_justification_is_asked_for() -> None:
    network = Network(full=1)
    network.filters.append(lambda _, to, message: to == "f0" and isinstance(message, CommitMessage))
    network.start()

    network.run(40)

    f0 = network["f0"]
    assert f0.finalized >= 10
    assert any(not request.with_bodies for request in f0.requests)


def test_a_false_justification_costs_its_sender_and_finalizes_nothing() -> None:
    network, node = lone_node()
    blocks = chain(network, 20)
    meet(network, node, b"a", blocks[-1])
    request = node.requests[0]
    spoilt = [SyncBlock(header, BODY, b"\7" * 40) for header in blocks]

    node.handle(events.BlocksReceived(request.request_id, b"a", tuple(spoilt)))
    network.run(1)

    assert node.best == 20
    assert node.finalized == 0
    assert all(r.delta == -5_000 and "justification of block" in r.reason for r in node.reports)
    assert len(node.reports) == 20


def test_a_block_whose_parent_was_pruned_is_not_executed() -> None:
    network, node = lone_node(b"a", b"b")
    (left,), (right,) = chain(network, 1), chain(network, 1, mark=1)
    slow = chain(network, 1, parent=left)[0]
    waiting = chain(network, 1, parent=right, mark=1)[0]
    for peer, header in ((b"a", left), (b"b", right)):
        announce(node, peer, header)
        answer(node, node.requests[-1], header)
        network.run(1)
    for peer, header in ((b"a", slow), (b"b", waiting)):
        announce(node, peer, header)
        answer(node, node.requests[-1], header)
    core = node.live

    core._tree.finalize(left.hash())
    core._pipeline.finalized()
    core._out.drain()
    network.run(1)

    assert node.best == 2
    assert node.executed == [left.hash(), right.hash(), slow.hash()]
    assert candidates(node) == 0
