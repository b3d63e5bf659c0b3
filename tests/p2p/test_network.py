"""Real hosts on loopback: peers meet, part, misbehave and come back."""

import logging
from collections.abc import AsyncIterator

import pytest
import trio

from p2p.frames import frame
from p2p.host import HostStream
from p2p.identity import peer_id_of, peer_text
from p2p.messages import NOTIFICATION_BYTES_MAX, Ping, Pong, Transactions, protocol_ids
from p2p.network import (
    RESERVED_ADDED_MAX,
    MessageReceived,
    Network,
    PeerConnected,
    PeerDisconnected,
)
from p2p.ports import AddressInvalid, ListenError, PeerError
from p2p.session import Timing
from runtime.primitives.scale import encode_compact
from tests.p2p.nets import (
    OTHER_GENESIS,
    Blocks,
    address_of,
    ask,
    connected,
    drain,
    make_announce,
    make_network,
    make_status,
    next_event,
    peer_of,
    rogue,
    seed,
    until,
)

pytestmark = pytest.mark.slow  # real sockets, real handshakes

PATIENT = Timing()


@pytest.fixture(autouse=True)
def no_courtesy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The greater id dials at once too: the tests need not wait, and links cross more often."""
    monkeypatch.setattr("p2p.dialer.COURTESY_S", 0.0)


@pytest.fixture
async def nursery() -> AsyncIterator[trio.Nursery]:
    """Networks run in it until the test is over, or for 20 s."""
    with trio.fail_after(20.0):
        async with trio.open_nursery() as nursery:
            yield nursery
            nursery.cancel_scope.cancel()


async def run(nursery: trio.Nursery, network: Network) -> trio.CancelScope:
    """Run a network; cancel the scope to stop it."""
    scope = trio.CancelScope()

    async def run_in_scope(task_status: trio.TaskStatus[None]) -> None:
        with scope:
            await network.run(task_status)

    await nursery.start(run_in_scope)
    return scope


async def pair(nursery: trio.Nursery, **settings: object) -> tuple[Network, Network]:
    """Two networks that have met."""
    one = make_network(1, **settings)
    await run(nursery, one)
    other = make_network(2, one, **settings)
    await run(nursery, other)
    await connected(one, other)
    return one, other


async def test_two_nodes_meet_and_know_each_others_status(nursery: trio.Nursery) -> None:
    one = make_network(1)
    await run(nursery, one)
    other = make_network(2, one)
    await run(nursery, other)

    assert await next_event(one, PeerConnected) == PeerConnected(peer_of(2), make_status(2))
    assert await next_event(other, PeerConnected) == PeerConnected(peer_of(1), make_status(1))
    assert [info.peer_id for info in one.peers()] == [other.peer_id]
    assert one.peers()[0].is_inbound
    assert not other.peers()[0].is_inbound
    assert one.counters()["inbound"] == other.counters()["outbound"] == 1


async def test_messages_reach_all_peers_but_the_one_left_out(nursery: trio.Nursery) -> None:
    networks = [make_network(1)]
    await run(nursery, networks[0])
    for number in (2, 3, 4):
        networks.append(make_network(number, networks[0]))
        await run(nursery, networks[-1])
    await until(lambda: len(networks[0].peers()) == 3)

    networks[0].broadcast(make_announce(7), except_peer=peer_of(3))
    networks[0].broadcast(make_announce(8))

    for network in networks[1:]:
        found = await next_event(network, MessageReceived)
        expected = 8 if network is networks[2] else 7
        assert found == MessageReceived(peer_of(1), make_announce(expected))
    assert networks[1].peers()[0].best_number in (7, 8)


async def test_a_node_that_knows_one_peer_learns_of_the_others(nursery: trio.Nursery) -> None:
    first = make_network(1)
    await run(nursery, first)
    later = [
        make_network(number, bootnodes=tuple(first.listen_addresses())) for number in (2, 3, 4)
    ]
    for network in later:
        await run(nursery, network)
        await connected(network)

    await until(lambda: all(len(network.peers()) == 3 for network in (first, *later)))


async def test_blocks_are_asked_for_and_served(nursery: trio.Nursery) -> None:
    _, other = await pair(nursery, provider=Blocks(height=50))

    blocks = await other.request_blocks(peer_of(1), ask(start=10, count=20))

    assert [block.header.number for block in blocks] == list(range(10, 30))


async def test_large_answers_pass_beside_quick_votes(nursery: trio.Nursery) -> None:
    body = encode_compact(1 << 20) + bytes(1 << 20)
    one, other = await pair(nursery, provider=Blocks(height=4, body=body), timing=PATIENT)

    async with trio.open_nursery() as requests:
        for _ in range(4):
            requests.start_soon(other.request_blocks, peer_of(1), ask(1, 4, True))
        for number in range(10):
            one.send(peer_of(2), make_announce(number))
            await next_event(other, MessageReceived)

    assert other.counters()["requests_failed"] == 0


async def test_a_request_to_a_stranger_fails_at_once(nursery: trio.Nursery) -> None:
    network = make_network(1)
    await run(nursery, network)

    with pytest.raises(PeerError, match="not connected"):
        await network.request_blocks(peer_of(9), ask())


async def test_both_dial_at_once_and_one_link_remains(nursery: trio.Nursery) -> None:
    # Each learns the other's address only when both listen, so both dial at once.
    networks = [make_network(1), make_network(2)]
    for network in networks:
        await run(nursery, network)
    one, other = networks
    for network, target in ((one, other), (other, one)):
        assert network._running is not None
        network._running.dialer.add(address_of(target))

    await connected(one, other)
    await trio.sleep(0.5)

    assert len(one.peers()) == len(other.peers()) == 1
    smaller, greater = sorted(networks, key=lambda network: network._own)
    assert not smaller.peers()[0].is_inbound
    assert greater.peers()[0].is_inbound
    assert len(smaller._links) == len(greater._links) == 1
    smaller.send(greater._own, make_announce(1))
    assert (await next_event(greater, MessageReceived)).peer == smaller._own


async def test_a_node_that_was_restarted_is_met_again(nursery: trio.Nursery) -> None:
    one = make_network(1)
    scope = await run(nursery, one)
    other = make_network(2, one)
    await run(nursery, other)
    await connected(one, other)

    scope.cancel()
    lost = await next_event(other, PeerDisconnected)
    again = make_network(1, port=one.port)
    await run(nursery, again)

    assert lost.peer == peer_of(1)
    assert (await next_event(other, PeerConnected)).peer == peer_of(1)
    assert (await next_event(again, PeerConnected)).peer == peer_of(2)


async def test_a_network_whose_host_dies_starts_another(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("p2p.network.RESTART_PAUSE_S", 0.05)
    one, other = await pair(nursery)
    port = one.port

    assert one._running is not None
    one._running.host._swarm.manager.cancel()

    assert (await next_event(one, PeerDisconnected)).peer == peer_of(2)
    assert (await next_event(other, PeerDisconnected)).peer == peer_of(1)
    await connected(one, other)
    assert one.port == port
    assert one.counters()["host_restarts"] == 1
    assert "started again" in caplog.text


async def test_a_port_in_use_is_an_error_at_the_start(nursery: trio.Nursery) -> None:
    one = make_network(1)
    await run(nursery, one)

    with pytest.raises(ListenError, match=f"port {one.port}"):
        await make_network(2, port=one.port).run()


async def test_an_address_of_another_machine_is_an_error_at_the_start() -> None:
    with pytest.raises(ListenError, match="not our address"):
        await make_network(1, listen_address="192.0.2.1").run()


async def test_a_malformed_reserved_address_is_refused() -> None:
    with pytest.raises(AddressInvalid, match="expected /ip4/HOST"):
        make_network(1, "/ip4/127.0.0.1/tcp/1")


async def test_a_peer_reserved_while_we_run_is_met_and_never_banned(nursery: trio.Nursery) -> None:
    one, other = make_network(1), make_network(2)
    await run(nursery, one)
    await run(nursery, other)
    (address,) = other.listen_addresses()

    one.reserve(address)
    await connected(one, other)
    (peer,) = one.peers()
    one.report(peer.peer, -1_000_000, "a test")

    assert one.peers() == [peer]
    assert one.reserved_peers() == [other.peer_id]
    one.release(other.peer_id)
    one.release(other.peer_id)
    assert one.reserved_peers() == []


async def test_reserving_is_bounded_and_refuses_what_is_no_peer() -> None:
    one = make_network(1)
    ids = [peer_id_of(seed(number)) for number in range(2, RESERVED_ADDED_MAX + 3)]

    for peer_id in ids[:-1]:
        one.reserve(f"/ip4/127.0.0.1/tcp/1/p2p/{peer_id}")
    one.reserve(f"/ip4/127.0.0.1/tcp/2/p2p/{ids[0]}")  # the same one, somewhere else

    with pytest.raises(AddressInvalid, match="16 peers are reserved"):
        one.reserve(f"/ip4/127.0.0.1/tcp/1/p2p/{ids[-1]}")
    with pytest.raises(AddressInvalid, match="our own"):
        one.reserve(f"/ip4/127.0.0.1/tcp/1/p2p/{one.peer_id}")
    with pytest.raises(AddressInvalid, match="peer id"):
        one.release("nobody")


# --- other chains


async def test_a_node_of_another_chain_is_told_apart_in_the_log(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    one = make_network(1)
    await run(nursery, one)
    stranger = make_network(2, one, genesis=OTHER_GENESIS)
    await run(nursery, stranger)

    await until(lambda: "genesis" in caplog.text)

    assert one.peers() == stranger.peers() == []
    assert "is on the chain with genesis 0xabab" in caplog.text
    assert "ours is 0xcdcd" in caplog.text


async def test_a_status_of_another_chain_is_refused(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    one = make_network(1)
    await run(nursery, one)
    async with rogue(9) as peer:
        _, stream = await peer.meet(one, make_status(9, OTHER_GENESIS))
        await drain(stream)

    assert one.peers() == []
    assert "genesis 0xcdcd" in caplog.text


def test_the_protocols_carry_the_genesis() -> None:
    assert all(OTHER_GENESIS.hex() in name for name in protocol_ids(OTHER_GENESIS))


# --- peers that misbehave


async def test_a_peer_that_sends_garbage_is_disconnected_and_the_others_stay(
    nursery: trio.Nursery,
) -> None:
    one, other = await pair(nursery)
    async with rogue(9) as peer:
        _, stream = await peer.meet(one)
        await next_event(one, PeerConnected)
        await stream.write(frame(b"\xde\xad\xbe\xef"))
        gone = await next_event(one, PeerDisconnected)
        await drain(stream)

    assert gone.peer == peer_of(9)
    assert one.counters()["bad_messages"] == 1
    one.send(peer_of(2), make_announce(1))
    assert (await next_event(other, MessageReceived)).message == make_announce(1)


async def test_garbage_twice_is_a_ban(nursery: trio.Nursery) -> None:
    one = make_network(1)
    await run(nursery, one)
    async with rogue(9) as peer:
        for _ in range(2):
            _, stream = await peer.meet(one)
            await stream.write(frame(b"\xde\xad\xbe\xef"))
            await next_event(one, PeerDisconnected)
        with pytest.raises(PeerError):
            _, stream = await peer.meet(one)
            while await stream.read():
                pass
            raise PeerError("closed")

        assert one.counters()["bans"] == 1
        assert one.peers() == []


async def test_a_reserved_peer_is_disconnected_for_garbage_but_not_banned(
    nursery: trio.Nursery,
) -> None:
    async with rogue(9) as peer:
        one = make_network(1, f"/ip4/127.0.0.1/tcp/{peer.host.port}/p2p/{peer_text(peer_of(9))}")
        await run(nursery, one)
        for _ in range(3):
            _, stream = await peer.meet(one)
            await stream.write(frame(b"\xde\xad\xbe\xef"))
            await next_event(one, PeerDisconnected)
        await peer.meet(one)
        await connected(one)

    assert one.counters()["bans"] == 0


async def test_an_oversized_frame_is_refused_before_it_arrives(nursery: trio.Nursery) -> None:
    one = make_network(1)
    await run(nursery, one)
    async with rogue(9) as peer:
        _, stream = await peer.meet(one)
        await next_event(one, PeerConnected)
        await stream.write((NOTIFICATION_BYTES_MAX + 1).to_bytes(4, "big"))

        gone = await next_event(one, PeerDisconnected)

    assert str(NOTIFICATION_BYTES_MAX) in gone.reason


async def test_a_peer_that_never_reads_is_disconnected_and_blocks_nobody(
    nursery: trio.Nursery,
) -> None:
    one, other = await pair(nursery, timing=PATIENT)
    async with rogue(9) as peer:
        await peer.meet(one)
        await next_event(one, PeerConnected)
        large = Transactions([encode_compact(500_000) + bytes(500_000)])
        sent = 0
        with trio.fail_after(10.0):
            while peer_of(9) in {info.peer for info in one.peers()}:
                one.broadcast(large)
                sent += 1
                # The honest peer takes everything meanwhile.
                assert (await next_event(other, MessageReceived)).message == large

        assert one.counters()["slow_peers"] == 1
        assert 16 <= sent <= 80  # what the queue and Yamux's first window hold, and sockets


async def test_a_peer_that_stops_answering_is_found_out(nursery: trio.Nursery) -> None:
    one = make_network(1)
    await run(nursery, one)
    async with rogue(9) as peer:
        _, stream = await peer.meet(one)
        await next_event(one, PeerConnected)

        gone = await next_event(one, PeerDisconnected)

        assert "no sign of life" in gone.reason
        assert one.counters()["silent_peers"] == 1
        await drain(stream)


async def test_a_peer_that_answers_pings_is_kept(nursery: trio.Nursery) -> None:
    one, other = await pair(nursery)

    await trio.sleep(1.0)

    assert len(one.peers()) == len(other.peers()) == 1
    assert one.counters()["messages_out"] >= 2


async def test_a_request_that_is_not_answered_times_out_and_costs_reputation(
    nursery: trio.Nursery,
) -> None:
    one = make_network(1)
    await run(nursery, one)
    async with rogue(9) as peer:
        _, stream = await peer.meet(one)
        nursery.start_soon(pong, stream)
        await next_event(one, PeerConnected)

        with pytest.raises(PeerError):
            await one.request_blocks(peer_of(9), ask())

        assert one.reputation(peer_of(9)) < 0
        assert one.counters()["requests_failed"] == 1


async def pong(stream: HostStream) -> None:
    """Answer whatever comes as if it were a ping."""
    try:
        while await stream.read():
            await stream.write(frame(Pong(1).encode()))
    except PeerError:
        pass


async def test_a_peer_that_connects_and_says_nothing_is_dropped(nursery: trio.Nursery) -> None:
    one = make_network(1)
    await run(nursery, one)
    async with rogue(9) as peer:
        link = await peer.dial(one)
        await until(lambda: len(one._links) == 1)
        await until(lambda: len(one._links) == 0)
        with pytest.raises(PeerError):
            await link.open_stream("/nothing/1")


async def test_streams_without_end_do_not_exhaust_us(nursery: trio.Nursery) -> None:
    one = make_network(1)
    await run(nursery, one)
    async with rogue(9) as peer:
        link, _ = await peer.meet(one)
        await next_event(one, PeerConnected)
        refused = 0
        for _ in range(40):
            try:
                await link.open_stream(protocol_ids(bytes([0xAB]) * 32)[1])
            except PeerError:
                refused += 1
        gone = await next_event(one, PeerDisconnected)

    assert refused > 0
    assert "stream" in gone.reason
    await until(lambda: len(one._links) == 0)


# --- bans, partitions, slots


async def test_a_banned_peer_is_disconnected_and_not_let_in_again(nursery: trio.Nursery) -> None:
    one = make_network(1)
    await run(nursery, one)
    other = make_network(2, one)
    await run(nursery, other)
    await connected(one, other)

    one.report(peer_of(2), -20_000, "a test")

    assert (await next_event(one, PeerDisconnected)).reason == "banned: a test"
    await until(lambda: other.counters()["dials"] >= 2)
    assert one.peers() == []


async def test_a_partition_parts_and_heals(nursery: trio.Nursery) -> None:
    one, other = await pair(nursery)

    one.deny([peer_of(2)])
    await next_event(one, PeerDisconnected)
    await next_event(other, PeerDisconnected)
    await until(lambda: other.counters()["dials"] >= 2)
    assert one.peers() == other.peers() == []

    one.deny(())
    await connected(one, other)


async def test_sixty_connections_one_after_the_other_use_three_slots(
    nursery: trio.Nursery,
) -> None:
    one = make_network(1, in_peers=3, out_peers=0, timing=PATIENT)
    await run(nursery, one)

    async def come_and_go(number: int) -> None:
        async with rogue(number) as peer:
            for _ in range(20):
                link, _ = await peer.meet(one)
                await until(lambda: peer.peer in {info.peer for info in one.peers()})
                await link.close()
                await until(lambda: peer.peer not in {link.peer for link in one._links})

    async with trio.open_nursery() as visitors:
        for number in (10, 11, 12):
            visitors.start_soon(come_and_go, number)
        visitors.start_soon(ignore_events, one, visitors.cancel_scope)

    assert one.counters()["peers"] == 0


async def ignore_events(network: Network, scope: trio.CancelScope) -> None:
    """Take 120 events."""
    for _ in range(120):
        await network.events.receive()
    scope.cancel()


async def test_more_peers_than_slots_are_refused_but_a_reserved_one_comes_in(
    nursery: trio.Nursery,
) -> None:
    nobody = f"/ip4/127.0.0.1/tcp/9/p2p/{peer_text(peer_of(50))}"
    one = make_network(1, nobody, in_peers=2, timing=PATIENT)
    await run(nursery, one)

    async with rogue(10) as a, rogue(11) as b, rogue(12) as c, rogue(50) as reserved:
        for peer in (a, b):
            await peer.meet(one)
            await next_event(one, PeerConnected)
        with pytest.raises(PeerError):
            _, stream = await c.meet(one)
            while await stream.read():
                pass
            raise PeerError("closed")
        await reserved.meet(one)

        assert (await next_event(one, PeerConnected)).peer == peer_of(50)
        assert {info.peer for info in one.peers()} == {peer_of(10), peer_of(11), peer_of(50)}


async def test_outbound_slots_are_limited(nursery: trio.Nursery) -> None:
    others = [make_network(number) for number in (2, 3, 4)]
    for network in others:
        await run(nursery, network)
    bootnodes = tuple(network.listen_addresses()[0] for network in others)
    one = make_network(1, bootnodes=bootnodes, out_peers=2)
    await run(nursery, one)
    await until(lambda: len(one.peers()) == 2)

    await trio.sleep(1.3)

    assert one.counters()["outbound"] == 2


async def test_a_busy_node_stops_reading_and_loses_nothing(nursery: trio.Nursery) -> None:
    one, other = await pair(nursery, timing=PATIENT)
    for number in range(900):
        one.send(peer_of(2), make_announce(number))
        if number % 100 == 0:
            await trio.sleep(0.01)
    await trio.sleep(0.2)

    found = [(await next_event(other, MessageReceived)).message for _ in range(900)]

    assert found == [make_announce(number) for number in range(900)]


async def test_libp2p_says_nothing_in_our_log(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    one, _ = await pair(nursery)
    async with rogue(9) as peer:
        link, stream = await peer.meet(one)
        await stream.write(frame(Ping(1).encode()))
        await link.close()
        await next_event(one, PeerDisconnected)

    assert {record.name for record in caplog.records} <= {"p2p"}
