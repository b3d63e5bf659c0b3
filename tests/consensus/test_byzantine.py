"""Peers and authorities that lie: nothing false is taken in, and the honest ones go on."""

from collections.abc import Callable, Iterable

import pytest

from consensus import aura, events
from consensus.effects import (
    AlarmKind,
    Announce,
    AuthorEquivocated,
    RequestBlocks,
    VoterEquivocated,
)
from consensus.events import MessageReceived, PeerStatus, Role, SyncBlock
from consensus.grandpa.gossip import CROSS_CHECK_ROUNDS
from consensus.grandpa.vote_graph import BlockRef
from consensus.pipeline import CANDIDATES_MAX, ORPHANS_PER_PEER_MAX
from runtime.primitives.block import Consensus, Digest, Header, Other, PreRuntime, Seal
from runtime.primitives.grandpa import (
    CatchUp,
    CatchUpResponse,
    Commit,
    CommitMessage,
    CompactCommit,
    GossipMessage,
    Precommit,
    Prevote,
    SignedMessage,
    SignedPrecommit,
    Vote,
    vote_payload,
)
from tests.consensus.test_network import assert_grows
from tests.simulation.disk import key_of, sign
from tests.simulation.driver import Network
from tests.simulation.node import BAD_EXTRINSIC, EPOCH_MS, Node, make_block, serve_blocks

pytestmark = pytest.mark.slow

ZERO = bytes(32)
LIAR = b"liar"


def slot_now(network: Network) -> int:
    return (EPOCH_MS + network.now_ms) // network.slot_ms


def author(network: Network, slot: int) -> str:
    keys = network.authorities
    return next(name for name in network.nodes if key_of(name) == keys[slot % len(keys)])


def best_header(node: Node) -> Header:
    return node.disk.now.headers[node.live.status.best.hash]


def meet(network: Network, node: Node, claims: int = 0, role: Role = Role.FULL) -> None:
    """Connect a liar to a node."""
    best = BlockRef(b"l" * 32, claims) if claims else node.live.status.best
    status = PeerStatus(role, best.hash, best.number, network.genesis.hash(), 0, node.wall_ms())
    node.handle(events.PeerConnected(LIAR, status))


def announce(node: Node, header: Header) -> None:
    node.handle(events.HeaderSeen(LIAR, header, True))


def running(full: int = 0) -> tuple[Network, Node]:
    network = Network(full=full).start()
    network.run(21)
    node = network["v0"]
    meet(network, node)
    return network, node


def is_reported(node: Node, text: str) -> bool:
    return any(r.peer == LIAR and text in r.reason and r.delta < 0 for r in node.reports)


# --- headers


def resealed(header: Header, logs: Iterable[object], name: str) -> Header:
    digest = Digest(list(logs))  # type: ignore[arg-type]
    unsealed = Header(header.parent_hash, header.number, ZERO, ZERO, digest)
    return aura.sealed(unsealed, sign(key_of(name), aura.pre_hash(unsealed)))


def with_logs(*logs: object) -> Callable[[Header, int, str], Header]:
    return lambda parent, slot, name: resealed(
        Header(parent.hash(), parent.number + 1, ZERO, ZERO, Digest([])),
        [*aura.pre_digest(slot).logs, *logs],
        name,
    )


def renumbered(parent: Header, slot: int, name: str) -> Header:
    header = Header(parent.hash(), parent.number + 2, ZERO, ZERO, Digest([]))
    return resealed(header, aura.pre_digest(slot).logs, name)


def seal_first(parent: Header, slot: int, name: str) -> Header:
    block = make_block(parent, slot, name)
    logs = [block.digest.logs[1], block.digest.logs[0]]
    return Header(parent.hash(), parent.number + 1, ZERO, ZERO, Digest(logs))


def no_slot(parent: Header, slot: int, name: str) -> Header:
    header = Header(parent.hash(), parent.number + 1, ZERO, ZERO, Digest([]))
    return resealed(header, [], name)


AURA_CHANGE = b"\1\4" + b"k" * 32
BAD_HEADERS: dict[str, tuple[Callable[[Header, int, str], Header], str]] = {
    "no slot": (no_slot, "pre-digest"),
    "two slots": (with_logs(*aura.pre_digest(1).logs), "pre-digest"),
    "short slot": (with_logs(PreRuntime(b"aura", b"\0" * 7)), ""),
    "seal first": (seal_first, "exactly one, last"),
    "two seals": (with_logs(Seal(b"aura", b"s" * 64)), "2 seals"),
    "seal of another engine": (with_logs(Seal(b"babe", b"s" * 64)), "2 seals"),
    "author of another slot": (lambda p, s, n: make_block(p, s + 1, n), "seal is not by"),
    "slot of the parent": (
        lambda p, s, n: make_block(p, aura.slot_of(p) or 0, n),
        "parent's slot",
    ),
    "number": (renumbered, "number"),
    "too many items": (with_logs(*(Other(b"") for _ in range(16))), "digest items"),
    "too large": (with_logs(Other(b"x" * 9_000)), "header of"),
    "pause": (with_logs(Consensus(b"FRNK", b"\4\0\0\0\0")), "not used"),
    "forced change": (with_logs(Consensus(b"FRNK", b"\2")), "not used"),
    "empty consensus log": (with_logs(Consensus(b"FRNK", b"")), "empty"),
    "broken scheduled change": (with_logs(Consensus(b"FRNK", b"\1\7")), "ScheduledChange"),
    "delayed scheduled change": (
        with_logs(Consensus(b"FRNK", b"\1\4" + b"k" * 32 + b"\1" + bytes(7) + b"\1\0\0\0")),
        "delay",
    ),
    "weighted scheduled change": (
        with_logs(Consensus(b"FRNK", b"\1\4" + b"k" * 32 + b"\2" + bytes(7) + bytes(4))),
        "weights",
    ),
    "scheduled change to nobody": (
        with_logs(Consensus(b"FRNK", b"\1\0" + bytes(4))),
        "nobody",
    ),
    "two changes of authors": (
        with_logs(Consensus(b"aura", AURA_CHANGE), Consensus(b"aura", AURA_CHANGE)),
        "at most one",
    ),
    "broken change of authors": (with_logs(Consensus(b"aura", b"\1\4x")), "decoded"),
    "change of authors to nobody": (with_logs(Consensus(b"aura", b"\1\0")), "nobody"),
}


@pytest.mark.parametrize("name", [n for n, (_, text) in BAD_HEADERS.items() if text])
def test_a_bad_header_costs_its_sender_and_is_never_imported(name: str) -> None:
    make, text = BAD_HEADERS[name]
    network, node = running()
    parent, slot = best_header(node), slot_now(network)
    bad = make(parent, slot, author(network, slot))

    announce(node, bad)
    network.run(4)

    assert is_reported(node, text), [r.reason for r in node.reports]
    assert bad.hash() not in node.disk.now.headers
    assert not any(r.start == bad.hash() for r in node.requests)
    announce(node, bad)
    assert is_reported(node, "announced a bad block")
    assert_grows(network)


def test_a_child_of_a_bad_block_is_bad() -> None:
    network, node = running()
    parent, slot = best_header(node), slot_now(network)
    bad = make_block(parent, slot, author(network, slot + 1))
    announce(node, bad)

    announce(node, make_block(bad, slot + 1, author(network, slot + 1)))

    assert is_reported(node, "its parent is bad")


def test_a_header_of_the_future_waits_for_its_slot_and_is_not_bad() -> None:
    network, node = running()
    parent, slot = best_header(node), slot_now(network) + 2
    body = (b"early",)
    early = make_block(parent, slot, author(network, slot), body)
    network.answers[LIAR] = lambda _: [SyncBlock(early, body, None)]

    announce(node, early)
    network.now_ms += 900
    network.run(0)
    assert early.hash() not in node.disk.now.headers
    network.run(1)

    assert early.hash() in node.disk.now.headers
    assert not any(r.peer == LIAR for r in node.reports)
    assert_grows(network)


def test_a_block_that_breaks_the_runtimes_rules_is_bad_for_ever() -> None:
    network, node = running()
    parent, slot = best_header(node), slot_now(network) + 1
    bad = make_block(parent, slot, author(network, slot), (BAD_EXTRINSIC,))
    network.answers[LIAR] = lambda _: [SyncBlock(bad, (BAD_EXTRINSIC,), None)]

    announce(node, bad)
    network.run(2)

    assert is_reported(node, "bad block: ")
    assert not is_reported(node, "slot")
    assert bad.hash() not in node.disk.now.headers
    requests = len(node.requests)
    announce(node, bad)
    network.run(1)
    assert not any(r.start == bad.hash() for r in node.requests[requests:])
    assert_grows(network)


def test_both_blocks_of_an_equivocating_author_can_be_imported_and_finalized() -> None:
    network = Network(full=1)
    network.start("v0", "v1", "v2", "f0")
    network.run(17)
    slot = slot_now(network) + 1
    while author(network, slot) != "v3":
        slot += 1
    network.run(0)
    network.now_ms = slot * network.slot_ms - EPOCH_MS + 10
    network.run(0)
    parent = best_header(network["v0"])
    pair = [make_block(parent, slot, "v3", (mark,)) for mark in (b"left", b"right", b"third")]
    bodies = {
        h.hash(): SyncBlock(h, (m,), None)
        for h, m in zip(pair, (b"left", b"right", b"third"), strict=True)
    }

    def answer(request: RequestBlocks) -> list[SyncBlock]:
        assert isinstance(request.start, bytes)
        return [bodies[request.start]] if request.start in bodies else []

    network.answers[LIAR] = answer
    for node in network.running:
        meet(network, node, role=Role.AUTHORITY)
    announce(network["v0"], pair[0])
    announce(network["v1"], pair[0])
    announce(network["v2"], pair[1])
    announce(network["v2"], pair[0])
    announce(network["v2"], pair[2])
    network.run(2)

    v2 = network["v2"]
    assert {h.hash() for h in pair[:2]} <= set(v2.disk.now.headers)
    assert pair[2].hash() not in v2.disk.now.headers
    assert [a.kind for a in v2.alarms] == [AlarmKind.EQUIVOCATION]
    (offence,) = v2.offences
    assert isinstance(offence, AuthorEquivocated)
    assert offence.slot == slot
    assert {offence.first.hash(), offence.second.hash()} == {h.hash() for h in pair[:2]}
    assert not any("bad" in r.reason for r in v2.reports)
    assert_grows(network)
    assert network.finals[pair[0].number] in {h.hash() for h in pair}


# --- sync


def test_s13_ten_thousand_orphans_of_one_peer_take_little_room() -> None:
    network, node = running()
    slot = slot_now(network)
    header = Header(b"?" * 32, 50, ZERO, ZERO, Digest([]))
    for _ in range(10_000):
        header = make_block(header, slot, "v1")
        announce(node, header)

    pipeline = node.live._pipeline
    assert len(list(pipeline.candidates())) <= ORPHANS_PER_PEER_MAX + 2
    assert len(list(pipeline.candidates())) < CANDIDATES_MAX
    assert_grows(network)


def test_a_claim_of_a_long_chain_that_is_not_delivered_stops_nobody_for_long() -> None:
    network = Network().start()
    network.run(20)
    for node in network.running:
        meet(network, node, claims=1_000_000)
    before = network["v0"].best

    network.run(20)
    assert network["v0"].live.status.is_major_syncing is False
    for _ in range(20):
        for node in network.running:
            announce(node, make_block(Header(b"?" * 32, 10**6, ZERO, ZERO, Digest([])), 1, "v1"))
        network.run(5)

    # It took one timeout; after that its claims do not count for authoring.
    assert network["v0"].best >= before + 40
    assert_grows(network)


def test_an_answer_that_is_not_what_was_asked_for_is_cut_off() -> None:
    network, node = running()
    parent, slot = best_header(node), slot_now(network) + 1
    header = make_block(parent, slot, author(network, slot), (b"body",))
    stranger = make_block(parent, slot + 1, author(network, slot + 1), (b"x",))
    network.answers[LIAR] = lambda _: [SyncBlock(stranger, (b"x",), None)]

    announce(node, header)
    network.run(2)

    assert is_reported(node, "not asked for")
    assert stranger.hash() not in node.disk.now.headers


def test_a_chain_that_conflicts_with_finality_is_given_up() -> None:
    network, node = running()
    fork: list[SyncBlock] = []
    header = network.genesis
    for i in range(1, 41):
        slot = EPOCH_MS // network.slot_ms - 100 + i
        header = make_block(header, slot, author(network, slot), (b"f",))
        fork.append(SyncBlock(header, (b"f",), None))

    def answer(request: RequestBlocks) -> list[SyncBlock]:
        if isinstance(request.start, int):
            return fork[request.start - 1 : request.start - 1 + request.blocks_max]
        hashes = [b.header.hash() for b in fork if b.header is not None]
        if request.start not in hashes:
            return []
        end = hashes.index(request.start) + 1
        return list(reversed(fork[max(0, end - request.blocks_max) : end]))

    network.answers[LIAR] = answer
    announce(node, header)
    network.run(20)

    assert is_reported(node, "conflicts")
    assert not any(b.header is not None and b.header.hash() in node.disk.now.headers for b in fork)
    assert_grows(network)


# --- votes


def signed(name: str, message: Prevote | Precommit, round_number: int, set_id: int = 0) -> Vote:
    key = key_of(name)
    signature = sign(key, vote_payload(message, round_number, set_id))
    return Vote(round_number, set_id, SignedMessage(message, signature, key))


def tell(node: Node, message: GossipMessage) -> None:
    node.handle(MessageReceived(LIAR, message))


def test_false_votes_cost_their_sender_and_count_for_nothing() -> None:
    network, node = running()
    status = node.live.status
    target = Prevote(status.best.hash, status.best.number)
    good = signed("v1", target, status.round)
    forged = SignedMessage(target, b"\0" * 64, good.message.id)

    tell(node, Vote(status.round, 0, forged))
    assert is_reported(node, "bad signature")
    tell(node, signed("stranger", target, status.round))
    assert is_reported(node, "is no voter")
    tell(node, signed("v1", target, status.round + 5))
    assert is_reported(node, f"vote of round {status.round + 5}")
    reports = len(node.reports)
    tell(node, signed("v1", target, status.round, set_id=7))
    tell(node, signed("v1", target, max(0, status.round - 5)))

    assert len(node.reports) == reports
    assert node.live.status.prevoted == status.prevoted
    assert_grows(network)


def test_votes_for_blocks_that_do_not_exist_are_bounded_and_harmless() -> None:
    network = Network()
    network.start("v0", "v1", "v2")
    network.run(21)
    node = network["v0"]
    meet(network, node, role=Role.AUTHORITY)
    for i in range(500):
        target = Prevote(i.to_bytes(32, "big"), 1_000 + i)
        for ahead in (0, 1):
            tell(node, signed("v3", target, node.live.status.round + ahead))

    voter = node.live._voter
    assert len(voter._parked) <= 2
    assert len(voter._next_votes) <= 2
    assert_grows(network)


def two_faced(network: Network) -> Callable[[str, str, object], bool]:
    """A filter: v3 tells v1 of another vote than the others."""
    network["v3"].is_honest = False  # it passes on what it is shown of its other votes

    def is_replaced(sender: str, to: str, message: object) -> bool:
        if sender != "v3" or to != "v1" or not isinstance(message, Vote):
            return False
        vote = message.message.message
        header = network["v3"].disk.now.headers.get(getattr(vote, "target_hash", b""))
        if not isinstance(vote, Prevote | Precommit) or header is None or header.number == 0:
            return False
        other = type(vote)(header.parent_hash, header.number - 1)
        forged = signed("v3", other, message.round)
        network.at(20, lambda: network["v1"].handle(MessageReceived(b"v3", forged)))
        return True

    return is_replaced


def test_votes_that_differ_between_peers_are_proved_although_no_round_is_held_up() -> None:
    network = Network()
    network.filters.append(two_faced(network))
    network.start()
    rounds = 2 * len(network.voters) * CROSS_CHECK_ROUNDS

    network.run(rounds * network.slot_ms // 1_000)

    assert network.lag() <= 3
    offences = [offence for node in network.running for offence in node.offences]
    assert offences
    for offence in offences:
        assert isinstance(offence, VoterEquivocated)
        assert offence.first.id == offence.second.id == key_of("v3")
        assert offence.first.message != offence.second.message


@pytest.mark.parametrize("seed", range(4))
def test_a_voter_with_two_faces_does_not_stop_finality(seed: int) -> None:
    network = Network(seed, full=1)
    network.filters.append(two_faced(network))
    network.start()
    network.run(60)

    assert network.lag() <= 5
    seen = {a.kind for node in network.running for a in node.alarms}
    assert AlarmKind.SAFETY not in seen
    network.kill("v2")
    network.start("v2")
    assert_grows(network)


def test_s11_one_key_in_both_halves_of_a_partition_finalizes_nothing_twice() -> None:
    network = Network()
    network.nodes["clone"] = Node(network, "clone", True, key=key_of("v3"))
    network.part("v0 v1 v3", "v2 clone")
    network.start()
    network.run(60)

    # The clone makes a majority nowhere that the original did not make.
    assert network["v0"].finalized >= 20
    assert network["v2"].finalized == 0
    network.heal()
    assert_grows(network, 60)


# --- commits and catch-ups


def commit_of(
    names: str, target: BlockRef, round_number: int, spoil: bool = False
) -> CommitMessage:
    precommits: list[SignedPrecommit] = []
    for name in sorted(names.split(), key=key_of):
        vote = signed(name, Precommit(target.hash, target.number), round_number).message
        signature = b"\0" * 64 if spoil else vote.signature
        precommits.append(SignedPrecommit(target.hash, target.number, signature, vote.id))
    commit = Commit(target.hash, target.number, precommits)
    return CommitMessage(round_number, 0, CompactCommit.from_commit(commit))


def test_garbage_commits_cost_their_sender_and_finalize_nothing() -> None:
    network, node = running()
    status = node.live.status
    before, best = status.finalized, status.best
    good = commit_of("v0 v1 v2", best, 99)
    uneven = CompactCommit(best.hash, best.number, good.commit.precommits, [])

    for message, text in (
        (CommitMessage(99, 0, uneven), "malformed"),
        (commit_of("v0 v1", best, 99), "malformed"),
        (commit_of("v0 v1 v2 v3", best, 99), "malformed"),
        (commit_of("v0 v1 x", best, 99), "malformed"),
        (commit_of("v0 v1 v2", best, 99, spoil=True), "invalid"),
        (commit_of("v0 v1 v2", BlockRef(best.hash, best.number + 1), 99), "invalid"),
    ):
        node.reports.clear()
        tell(node, message)
        assert is_reported(node, text), text

    tell(node, CommitMessage(99, 3, good.commit))
    assert node.live.status.finalized == before
    assert_grows(network)


def test_a_commit_for_a_block_we_lack_fetches_it_and_then_counts() -> None:
    network = Network(full=1)
    network.start()
    network.run(20)
    network.part("v0 v1 v2 v3", "f0")
    network.run(10)
    f0, v0 = network["f0"], network["v0"]
    final = v0.live.status.finalized
    justified = v0.disk.now
    network.answers[LIAR] = lambda request: list(serve_blocks(justified, request))
    meet(network, f0)

    tell(f0, commit_of("v0 v1 v2", final, 99))
    network.run(2)

    assert f0.live.status.finalized == final
    assert not any("wrong" in r.reason for r in f0.reports)


def test_a_proof_of_a_conflicting_block_stops_voting_and_authoring() -> None:
    network, node = running()
    number = node.finalized - 2
    fork = make_block(network.genesis, 5, "v1")

    tell(node, commit_of("v1 v2 v3", BlockRef(fork.hash(), number), 99))

    assert [a.kind for a in node.alarms] == [AlarmKind.SAFETY]
    assert node.live.status.is_disputed
    assert not node.live.status.is_voting
    cast = {place for place in network.votes if place[0] == key_of("v0")}
    before = node.finalized
    network.run(20)
    assert cast == {place for place in network.votes if place[0] == key_of("v0")}
    assert node.finalized == before
    assert not any(
        aura.author_of(aura.slot_of(h) or 0, network.authorities) == key_of("v0")
        for h in network["v1"].disk.now.headers.values()
        if h.number > before + 2
    )


def test_two_equivocators_of_four_stop_all_conclusions() -> None:
    network, node = running()
    status = node.live.status
    parent = node.disk.now.headers[status.best.hash].parent_hash
    blocks = (status.best, BlockRef(parent, status.best.number - 1))

    for name in ("v1", "v2"):
        for block in blocks:
            tell(node, signed(name, Prevote(block.hash, block.number), status.round))
    network.run(0)

    assert AlarmKind.SAFETY in {a.kind for a in node.alarms}
    assert node.live.status.is_disputed


def test_a_catch_up_that_was_not_asked_for_or_is_false_is_refused() -> None:
    network, node = running()
    final = node.live.status.finalized
    round_number = node.live.status.round + 3
    empty = CatchUp(round_number, [], [], final.hash, final.number)

    tell(node, CatchUpResponse(0, empty))

    assert is_reported(node, "not asked for")
    assert node.live.status.round < round_number
    assert_grows(network)


def corrupt(network: Network, name: str, victims: tuple[str, ...]) -> None:
    """Make a validator author and vote differently towards some of the others."""
    culprit = network[name]
    culprit.is_honest = False

    def other_block(header: Header) -> Header:
        slot = aura.slot_of(header) or 0
        parent = culprit.disk.now.headers[header.parent_hash]
        twin = make_block(parent, slot, name, (b"twin",))
        culprit.disk.now.headers[twin.hash()] = twin
        culprit.disk.now.bodies[twin.hash()] = (b"twin",)
        return twin

    def two_faced(sender: str, to: str, message: object) -> bool:
        if sender != name or to not in victims:
            return False
        event: events.Event
        if isinstance(message, Announce):
            slot = aura.slot_of(message.header) or 0
            if aura.author_of(slot, network.authorities) != culprit.key:
                return False
            event = events.HeaderSeen(culprit.id, other_block(message.header), True)
        elif isinstance(message, Vote) and message.message.id == culprit.key:
            vote = message.message.message
            header = culprit.disk.now.headers.get(getattr(vote, "target_hash", b""))
            if not isinstance(vote, Prevote | Precommit) or not header or header.number == 0:
                return False
            siblings = [
                h
                for h in culprit.disk.now.headers.values()
                if h.parent_hash == header.parent_hash and h != header
            ]
            target = siblings[0] if siblings else culprit.disk.now.headers[header.parent_hash]
            other = type(vote)(target.hash(), target.number)
            event = MessageReceived(culprit.id, signed(name, other, message.round))
        else:
            return False
        network.at(20, lambda: network[to].handle(event))
        return True

    network.filters.append(two_faced)


@pytest.mark.parametrize("seed", range(4))
def test_a_validator_that_doubles_blocks_and_votes_does_not_stop_finality(seed: int) -> None:
    network = Network(seed, full=1)
    for a in network.nodes:
        for b in network.nodes:
            network.link(a, b).loss_percent = 2 * (seed % 2)
    corrupt(network, "v3", ("v1",) if seed < 2 else ("v0", "v2"))
    network.start()

    network.run(120)

    honest = [node for node in network.running if node.name != "v3"]
    assert min(node.finalized for node in honest) >= 35
    alarms = {a.kind for node in honest for a in node.alarms}
    assert AlarmKind.EQUIVOCATION in alarms
    offences = [offence for node in honest for offence in node.offences]
    assert all(
        offence.first.id == offence.second.id == network["v3"].key
        for offence in offences
        if isinstance(offence, VoterEquivocated)
    )
    assert len(offences) == sum(
        a.kind is AlarmKind.EQUIVOCATION for node in honest for a in node.alarms
    )
    assert AlarmKind.SAFETY not in alarms
    network.kill("v0", "v1", "v2")
    network.start("v0", "v1", "v2")
    before = min(node.finalized for node in honest)
    network.run(30)
    assert min(node.finalized for node in honest) >= before + 5
