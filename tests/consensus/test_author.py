"""Slot claims of one node."""

from collections.abc import Iterable

from consensus import aura, events
from consensus.events import PeerStatus, Role, SyncBlock
from consensus.grandpa.records import SLOT_KEY
from runtime.primitives.block import Header
from tests.simulation.disk import key_of
from tests.simulation.driver import Network
from tests.simulation.node import EPOCH_MS, Node, make_block

PEER = b"peer"


def alone(lead_ms: int = 1) -> tuple[Network, Node]:
    """v0 of four with one silent peer, so long before a slot of v0."""
    network = Network()
    node = network["v0"]
    node.start()
    genesis = network.genesis.hash()
    node.handle(events.PeerConnected(PEER, PeerStatus(Role.FULL, genesis, 0, genesis, 0, 0)))
    slot = EPOCH_MS // network.slot_ms + 1
    while slot % 4 != 0:
        slot += 1
    run_to(network, slot, -lead_ms)
    return network, node


def run_to(network: Network, slot: int, offset_ms: int) -> None:
    """Let time pass until so long after the start of a slot."""
    network.at(slot * network.slot_ms + offset_ms - EPOCH_MS - network.now_ms, lambda: None)
    end_ms = slot * network.slot_ms + offset_ms - EPOCH_MS
    network.run(1_000, until=lambda: network.now_ms >= end_ms)


def slot_after(network: Network) -> int:
    return (EPOCH_MS + network.now_ms) // network.slot_ms + 1


def own_blocks(node: Node) -> list[Header]:
    return [
        header
        for header in node.disk.now.headers.values()
        if header.number > 0
        and aura.author_of(aura.slot_of(header) or 0, node.network.authorities) == node.key
    ]


def offer(node: Node, header: Header, body: tuple[bytes, ...], delay_ms: int = 0) -> None:
    """The peer announces a block and answers for it after a while."""
    network = node.network
    network.answers[PEER] = lambda _: [SyncBlock(header, body, None)]
    network.at(delay_ms, lambda: node.handle(events.HeaderSeen(PEER, header, True)))


def test_a_block_is_made_in_our_slot_and_no_other() -> None:
    network, node = alone()

    network.run(17)

    slots = [aura.slot_of(header) for header in own_blocks(node)]
    assert len(slots) == 3
    assert all(slot is not None and slot % 4 == 0 for slot in slots)


def test_the_slot_is_durable_before_the_seal_exists() -> None:
    network, node = alone()
    slot = slot_after(network)

    assert network.run(5, until=lambda: bool(node.builds))

    assert node.disk.durable.voter[SLOT_KEY] == slot.to_bytes(8, "little")
    assert own_blocks(node) == []
    build = node.builds[0]
    assert build.timestamp_ms == node.wall_ms()
    assert build.deadline_ms <= network.now_ms + network.slot_ms // 2


def test_a_slot_is_not_claimed_again_after_a_crash() -> None:
    network, node = alone()
    assert network.run(5, until=lambda: bool(node.builds))

    network.kill("v0")
    node.start()
    genesis = network.genesis.hash()
    node.handle(events.PeerConnected(PEER, PeerStatus(Role.FULL, genesis, 0, genesis, 0, 0)))
    network.run(1)

    assert len(node.builds) == 1
    network.run(9)
    assert len(node.builds) == 2


def test_nothing_is_built_on_a_block_of_this_slot_or_a_later_one() -> None:
    network, node = alone(lead_ms=300)
    slot = slot_after(network)
    # v1 stamps ahead by one slot. It may, and the slot it overtakes is all that is lost.
    ahead = make_block(network.genesis, slot + 1, "v1", (b"x",))
    run_to(network, slot, -200)
    offer(node, ahead, (b"x",))
    node.clock_offset_ms = 200

    network.run(2)
    assert node.best == 1
    assert node.builds == []
    network.run(8)
    assert [aura.slot_of(h) for h in own_blocks(node)] == [slot + 4]


def test_an_announced_block_is_waited_for_a_little() -> None:
    network, node = alone()
    slot = slot_after(network)
    before = make_block(network.genesis, slot - 1, "v3", (b"late",))
    offer(node, before, (b"late",), delay_ms=0)
    network.at(0, lambda: None)

    network.run(1)

    assert [header.parent_hash for header in own_blocks(node)] == [before.hash()]
    assert node.builds[0].parent_hash == before.hash()


def test_a_block_that_does_not_come_is_not_waited_for_long() -> None:
    network, node = alone()
    slot = slot_after(network)
    before = make_block(network.genesis, slot - 1, "v3", (b"never",))
    node.handle(events.HeaderSeen(PEER, before, True))

    network.run(1)

    assert [header.parent_hash for header in own_blocks(node)] == [network.genesis.hash()]
    start_ms = slot * network.slot_ms
    assert start_ms + 500 <= node.builds[0].timestamp_ms <= start_ms + 600


def test_a_late_author_leaves_its_slot_unless_the_chain_has_gaps() -> None:
    for gap, blocks in ((1, 0), (2, 1)):
        network, node = alone(lead_ms=300)
        slot = slot_after(network)
        names = {key: f"v{i}" for i, key in enumerate(network.authorities)}
        earlier = aura.author_of(slot - gap, network.authorities)
        assert earlier is not None
        parent = make_block(network.genesis, slot - gap, names[earlier], (b"p",))
        offer(node, parent, (b"p",))
        run_to(network, slot, -1)
        # Asleep until late in the slot.
        network.now_ms += 1_600
        network.run(0)
        run_to(network, slot, 1_800)

        assert len(node.builds) == blocks


def test_two_blocks_times_lie_half_a_slot_apart_even_when_one_is_late() -> None:
    network, node = alone()
    slot = slot_after(network)
    network.now_ms += 1_700
    network.run(0)
    run_to(network, slot, 1_900)

    assert node.builds[0].timestamp_ms == slot * network.slot_ms + network.slot_ms // 2


def test_a_build_that_fails_or_is_late_costs_one_slot_only() -> None:
    network, node = alone()
    node.build_delay_ms = 100_000
    assert network.run(5, until=lambda: bool(node.builds))
    build = node.builds[0]
    node.handle(events.Built(build.slot, build.parent_hash, None, (), "no inherents"))
    node.build_delay_ms = 15

    network.run(9)

    assert len(node.builds) == 2
    assert len(own_blocks(node)) == 1
    # The answer that nobody waits for any more changes nothing.
    late = events.Built(build.slot, build.parent_hash, own_blocks(node)[0], ())
    node.handle(late)
    assert len(own_blocks(node)) == 1


def test_nobody_authors_without_peers_unless_forced() -> None:
    for is_forced, blocks in ((False, 0), (True, 2)):
        network = Network()
        network["v0"].is_forced = is_forced
        network.start("v0")
        network.run(17)

        assert len(network["v0"].disk.now.headers) - 1 in (blocks, blocks and blocks + 1)


def test_the_chain_stops_growing_at_512_blocks_without_finality() -> None:
    network, node = alone()
    header, slot = network.genesis, EPOCH_MS // network.slot_ms - 10_000
    names = [f"v{i}" for i in range(4)]
    chain: list[tuple[Header, tuple[bytes, ...]]] = []
    for _ in range(512):
        slot += 1
        header = make_block(header, slot, names[slot % 4], (b"x",))
        chain.append((header, (b"x",)))

    def serve(request: object) -> Iterable[SyncBlock]:
        start = getattr(request, "start", 0)
        return [SyncBlock(h, b, None) for h, b in chain[start - 1 : start + 63]]

    network.answers[PEER] = lambda request: list(serve(request))
    node.handle(events.HeaderSeen(PEER, header, True))
    network.run(20)
    assert node.best == 512
    builds = len(node.builds)

    network.run(60)

    assert len(node.builds) == builds
    assert key_of("v0") == node.key
