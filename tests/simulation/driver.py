"""A network of cores in virtual time: one heap, one seed, one thread.

Each node has a core, a disk and a signer (`disk.py`), and links with latency, loss and partitions.
Blocks are executed by looking whether they contain `BAD_EXTRINSIC`. After each step the network
checks itself: no two nodes finalize different blocks of one height, nobody casts two votes of one
stage, no vote is sent that is not on disk.
"""

import heapq
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count

from consensus import aura, effects, events
from consensus.core import Core
from consensus.effects import Effect
from consensus.events import Event, PeerStatus, Role, TimerName, Verdict
from consensus.grandpa.records import ROUNDS_KEY, OwnVotes, VoterRecord, own_votes_key, stage_of
from consensus.grandpa.vote_graph import BlockRef
from consensus.ports import ConsensusConfig, LoadedState
from runtime.primitives.block import Digest, DigestItem, Header
from runtime.primitives.grandpa import SignedMessage, Vote
from runtime.primitives.recovery import RecoveryProof
from runtime.primitives.types import Hash
from tests.simulation.disk import (
    CheapKeys,
    KeyRing,
    SimDisk,
    SimSigner,
    Store,
    body_root,
    key_of,
    sign,
)

EPOCH_MS = 1_700_000_000_000 // 6_000 * 6_000
BAD_EXTRINSIC = b"bad"
ZERO = bytes(32)
SYNC_MS, EXECUTE_MS, BUILD_MS = 3, 8, 15
STALL_SLOTS = 7  # half a session of the runtime of tests


def genesis_header() -> Header:
    return Header(ZERO, 0, ZERO, ZERO, Digest([]))


def make_block(
    parent: Header, slot: int, author: str, extrinsics: tuple[bytes, ...] = ()
) -> Header:
    """A sealed block, as `author` makes it."""
    number = parent.number + 1
    root = body_root(extrinsics)
    unsealed = Header(parent.hash(), number, ZERO, root, aura.pre_digest(slot))
    return aura.sealed(unsealed, sign(key_of(author), aura.pre_hash(unsealed)))


# --- a node


class Reader:
    """`ChainReader` of a disk."""

    def __init__(self, disk: SimDisk) -> None:
        self._disk = disk

    def header(self, block_hash: Hash) -> Header | None:
        return self._disk.now.headers.get(block_hash)

    def finalized_hash(self, number: int) -> Hash | None:
        return self._disk.now.finals.get(number)

    def override_fault(self, proof: RecoveryProof) -> str | None:
        return None


class Node:
    """One core and what carries out its effects."""

    def __init__(self, network: "Network", name: str, is_authority: bool, key: bytes = b"") -> None:
        self.network = network
        self.name = name
        self.id = name.encode()
        self.is_authority = is_authority
        self.key = key or network.ring.seal_key(name)
        self.vote_key = key or network.ring.vote_key(name)
        self.more_keys: tuple[tuple[bytes, bytes], ...] = ()
        """Further pairs of a seal key and a vote key that the signer holds."""

        self.is_honest = not key
        self.has_lost_disk = False
        self.disk = SimDisk(network.genesis)
        self.signer = SimSigner(frozenset({self.key, self.vote_key}), network.ring)
        self.is_signer_away = False
        """The signer is a process of its own, and not there."""

        self.answers_lost = 0
        """How many of the next requests the signer carries out, and dies before it answers."""

        self._rings: tuple[list[bytes], list[bytes]] = ([], [])
        self.sync_ms = SYNC_MS
        self._synced_at_ms = 0
        self.clock_offset_ms = 0
        self.is_forced = False
        self.frozen_set = -1
        self.checkpoint: BlockRef | None = None
        self.core: Core | None = None
        self.run = 0
        self.peers: set[str] = set()
        self.alarms: list[effects.Alarm] = []
        self.offences: list[effects.Offence] = []
        self.reports: list[effects.Report] = []
        self.halts: list[effects.Halt] = []
        self.events_handled = 0
        self.requests: list[effects.RequestBlocks] = []
        self.builds: list[effects.Build] = []
        self.executed: list[Hash] = []
        self.verdicts: dict[Hash, list[Verdict]] = {}
        """What executions of a block say before the usual, in this order."""

        self.build_delay_ms = BUILD_MS
        self._timers: dict[TimerName, int] = {}

    @property
    def live(self) -> Core:
        """The core of a running node."""
        assert self.core is not None, f"{self.name} does not run"
        return self.core

    @property
    def finalized(self) -> int:
        """Number of the last finalized block, in memory when it runs, else on disk."""
        if self.core is not None:
            return self.core.status.finalized.number
        return self.disk.durable.headers[self.disk.durable.finalized].number

    @property
    def best(self) -> int:
        return self.live.status.best.number

    def start(self) -> None:
        network, store = self.network, self.disk.now
        self._rings = ([], [])
        if not self.is_signer_away:
            self._learn_keys()
        config = ConsensusConfig(
            genesis_hash=network.genesis.hash(),
            slot_duration_ms=network.slot_ms,
            gossip_duration_ms=network.slot_ms // 6,
            aura_keys=self._rings[0],
            grandpa_keys=self._rings[1],
            may_get_keys=self.is_authority and self.is_signer_away,
            is_authoring_forced=self.is_forced,
            checkpoint=self.checkpoint,
            stall_slots=STALL_SLOTS,
            frozen_set=self.frozen_set,
        )
        self.core = Core(config, self.reader(), network.ring.verifier)
        self.run += 1
        self._timers = {}
        self._synced_at_ms = network.now_ms
        finalized = store.headers[store.finalized]
        authors, voters, set_id = network.authorities_after(store)
        unfinalized = [h for h in store.headers.values() if h.number > finalized.number]
        override = store.override
        if override is not None:
            set_id = override.set_id
            voters = tuple(keys.grandpa for _, keys in override.validators)
        state = LoadedState(
            finalized=finalized,
            aura_authorities=authors,
            grandpa_authorities=voters,
            set_id=set_id,
            unfinalized=tuple(sorted(unfinalized, key=lambda h: h.number)),
            best_hash=store.best,
            voter=dict(store.voter),
            justification=store.justification,
            gap=store.gap,
            signer_marks=() if self.is_signer_away else tuple(self.signer.marks.values()),
            is_signer_away=self.is_signer_away,
            recovery=store.recovery.encode() if store.recovery and override else None,
        )
        self._perform(self.core.start(network.now_ms, self.wall_ms(), state))

    def reader(self) -> Reader:
        """What the core reads."""
        return Reader(self.disk)

    @property
    def seal_keys(self) -> tuple[bytes, ...]:
        return (self.key, *(seal for seal, _ in self.more_keys))

    @property
    def vote_keys(self) -> tuple[bytes, ...]:
        return (self.vote_key, *(vote for _, vote in self.more_keys))

    @property
    def is_running(self) -> bool:
        return self.core is not None

    def wall_ms(self) -> int:
        return EPOCH_MS + self.network.now_ms + self.clock_offset_ms

    def handle(self, event: Event) -> None:
        if self.core is None or self.halts:
            return
        if isinstance(event, events.Committed):
            self.disk.sync()
        self.events_handled += 1
        self._perform(self.core.handle(self.network.now_ms, self.wall_ms(), event))

    def status(self) -> PeerStatus:
        status = self.live.status
        return PeerStatus(
            Role.AUTHORITY if self.is_authority else Role.FULL,
            status.best.hash,
            status.best.number,
            status.finalized.hash,
            status.finalized.number,
            self.wall_ms(),
        )

    def _later(self, delay_ms: int, event: Event) -> None:
        run = self.run
        self.network.at(delay_ms, lambda: self.handle(event) if self.run == run else None)

    def _perform(self, wanted: Iterable[Effect]) -> None:
        network = self.network
        for effect in wanted:
            match effect:
                case effects.Send():
                    self._check_send(effect)
                    for peer in effect.peers:
                        network.send(self, peer.decode(), effect.message)
                case effects.Persist():
                    self.disk.write(effect)
                    if effect.is_synced:
                        self._sync_later(effect)
                case effects.Sign():
                    self._later(0, self._sign(effect))
                case effects.SetTimer():
                    self._set_timer(effect)
                case effects.Execute():
                    assert effect.header.parent_hash in self.disk.now.headers, "no parent"
                    self.executed.append(effect.block_hash)
                    self._later(EXECUTE_MS, self.execute(effect))
                case effects.Build():
                    self._build(effect)
                case effects.RequestBlocks():
                    self.requests.append(effect)
                    network.request(self, effect)
                case effects.Report():
                    self.reports.append(effect)
                case effects.NotifyFinalized():
                    network.check_finalized(self, effect)
                case effects.Alarm():
                    self.alarms.append(effect)
                case effects.AuthorEquivocated() | effects.VoterEquivocated():
                    self.offences.append(effect)
                case effects.Halt():
                    self.halts.append(effect)
                case effects.NotifyBest():
                    self.best_changed(effect)
                case effects.NotifyImported():
                    pass

    def lose_signer(self) -> None:
        """The signer's process is gone."""
        self.is_signer_away = True
        if self.is_running:
            self.handle(events.SignerLost("gone"))

    def reach_signer(self) -> None:
        """The signer is there, or again."""
        self.is_signer_away = False
        if self.is_running:
            self._learn_keys()
            self._later(0, events.SignerReached(tuple(self.signer.marks.values())))

    def _learn_keys(self) -> None:
        if self.is_authority:
            self._rings[0][:], self._rings[1][:] = self.seal_keys, self.vote_keys

    def _sign(self, request: effects.Sign) -> events.Signed:
        if not self.is_signer_away:
            answer = self.signer.sign(request)
            if self.answers_lost == 0:
                return answer
            self.answers_lost -= 1
            self._later(0, events.SignerLost("died"))
            self.is_signer_away = True
        return events.Signed(request.request_id, None, "away", is_lost=True)

    def execute(self, effect: effects.Execute) -> events.Executed:
        """How the execution of a block ends."""
        is_bad = BAD_EXTRINSIC in effect.extrinsics
        verdict = Verdict.INVALID if is_bad else Verdict.VALID
        if first := self.verdicts.get(effect.block_hash):
            verdict = first.pop(0)
        return events.Executed(effect.block_hash, verdict)

    def build(self, build: effects.Build) -> events.Built:
        """An unsealed block."""
        extrinsics = (build.slot.to_bytes(8, "little"),)
        root = body_root(extrinsics)
        logs = [*build.digest.logs, *self.network.deposits.get(build.number, ())]
        header = Header(build.parent_hash, build.number, ZERO, root, Digest(logs))
        return events.Built(build.slot, build.parent_hash, header, extrinsics)

    def best_changed(self, effect: effects.NotifyBest) -> None:
        """The best block is another one."""

    def serve(self, request: effects.RequestBlocks) -> Iterable[events.SyncBlock]:
        """What it answers to a peer."""
        return serve_blocks(self.disk.now, request)

    def _build(self, build: effects.Build) -> None:
        self.builds.append(build)
        assert build.parent_hash in self.disk.now.headers
        assert build.timestamp_ms // self.network.slot_ms == build.slot
        self._later(self.build_delay_ms, self.build(build))

    def _sync_later(self, batch: effects.Persist) -> None:
        """Batches are on disk in the order in which they were written."""
        at_ms = max(self.network.now_ms + self.sync_ms, self._synced_at_ms)
        self._synced_at_ms = at_ms
        entropy = self.network.rng.getrandbits(64)
        self._later(at_ms - self.network.now_ms, events.Committed(batch.batch_id, entropy))

    def _set_timer(self, effect: effects.SetTimer) -> None:
        self._timers[effect.name] = effect.at_ms
        run = self.run

        def fire() -> None:
            if self.run == run and self._timers.get(effect.name) == effect.at_ms:
                del self._timers[effect.name]
                self.handle(events.Timer(effect.name))

        self.network.at(max(0, effect.at_ms - self.network.now_ms), fire)

    def _check_send(self, effect: effects.Send) -> None:
        """Persist before send, and never two votes of one stage."""
        vote = effect.message
        if (
            not isinstance(vote, Vote)
            or vote.message.id not in self.vote_keys
            or not self.is_honest
        ):
            return
        place = (vote.message.id, vote.set_id, vote.round, stage_of(vote.message.message))
        was_cast = place in self.network.votes
        cast = self.network.votes.setdefault(place, vote.message.message)
        assert cast == vote.message.message, f"{self.name} votes twice in {place[1:]}"
        if was_cast and self.has_lost_disk:
            return  # it passes on what it had from its peers: its own vote of before
        voter = self.disk.durable.voter
        stored: list[SignedMessage | None] = []
        if own := voter.get(own_votes_key(vote.set_id, vote.round)):
            votes = OwnVotes.decode(own)
            stored += [votes.propose, votes.prevote, votes.precommit]
        if rounds := voter.get(ROUNDS_KEY):
            for record in VoterRecord.decode(rounds).completed:
                stored += [*record.prevotes, *record.precommits]
        mark = self.signer.marks.get(vote.message.id)
        assert mark is not None
        assert vote.message in stored, f"{self.name} sends a vote that is not on disk"


# --- the network


@dataclass
class Link:
    """One direction between two nodes."""

    latency_ms: tuple[int, int] = (5, 25)
    loss_percent: int = 0
    """Of messages. A request that is lost fails after a second; on a cut link it hangs."""

    is_ordered: bool = True
    is_cut: bool = False
    last_ms: int = 0


class Network:
    """Nodes, links and the clock."""

    def __init__(
        self,
        seed: int = 1,
        validators: int = 4,
        full: int = 0,
        slot_ms: int = 2_000,
        names: tuple[str, ...] = (),
        ring: KeyRing | None = None,
    ) -> None:
        self.rng = random.Random(seed)
        self.now_ms = 0
        self.slot_ms = slot_ms
        self.ring = ring or CheapKeys()
        voters = names or tuple(f"v{i}" for i in range(validators))
        self.authorities = tuple(self.ring.seal_key(name) for name in voters)
        self.voters = tuple(self.ring.vote_key(name) for name in voters)
        self.genesis = self.make_genesis(voters)
        self.nodes = {name: self.make_node(name, True) for name in voters}
        for i in range(full):
            self.nodes[f"f{i}"] = self.make_node(f"f{i}", False)
        self.links: dict[tuple[str, str], Link] = {}
        self.finals: dict[int, Hash] = {0: self.genesis.hash()}
        self.votes: dict[tuple[bytes, int, int, int], object] = {}
        self.sent: dict[str, int] = {}
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()
        self.deposits: dict[int, list[DigestItem]] = {}
        """What the runtime deposits in the digest of blocks of these heights."""

        self.is_parted: Callable[[str, str], bool] = lambda a, b: False
        self.filters: list[Callable[[str, str, object], bool]] = []
        """Sender, receiver, message: True when it is not to be delivered."""

        self.answers: dict[bytes, Callable[[effects.RequestBlocks], list[events.SyncBlock]]] = {}
        """What peers that are no nodes answer; who is not here never answers."""

    def make_genesis(self, validators: tuple[str, ...]) -> Header:
        """The header of block 0."""
        return genesis_header()

    def make_node(self, name: str, is_authority: bool) -> Node:
        """A node on an empty disk."""
        return Node(self, name, is_authority)

    # --- time

    def at(self, delay_ms: int, action: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (self.now_ms + delay_ms, next(self._order), action))

    def run(self, seconds: int, until: Callable[[], bool] | None = None) -> bool:
        """Let time pass; True as soon as `until` holds (looked at after each step)."""
        end_ms = self.now_ms + seconds * 1_000
        while self._heap and self._heap[0][0] <= end_ms:
            at_ms, _, action = heapq.heappop(self._heap)
            # A test may move the clock by itself: then all that is overdue comes at once.
            self.now_ms = max(self.now_ms, at_ms)
            action()
            if until is not None and until():
                return True
        self.now_ms = end_ms
        return until is not None and until()

    # --- nodes

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    def start(self, *names: str) -> "Network":
        """Start nodes (all when none is named) and connect them to all that run."""
        for name in names or tuple(self.nodes):
            self.nodes[name].start()
            for other in self.nodes.values():
                self.connect(name, other.name)
        return self

    def kill(self, *names: str, kept: int = 0) -> None:
        """A crash: what is not synced is lost, peers see the connection break."""
        for name in names:
            node = self.nodes[name]
            for peer in sorted(node.peers):
                self.disconnect(name, peer)
            node.core = None
            node.run += 1
            node.disk.crash(kept)

    def connect(self, a: str, b: str) -> None:
        left, right = self.nodes[a], self.nodes[b]
        both_run = left.is_running and right.is_running
        if a == b or not both_run or b in left.peers or self.is_parted(a, b):
            return
        left.peers.add(b)
        right.peers.add(a)
        left.handle(events.PeerConnected(right.id, right.status()))
        right.handle(events.PeerConnected(left.id, left.status()))

    def disconnect(self, a: str, b: str) -> None:
        for x, y in ((a, b), (b, a)):
            if y in self.nodes[x].peers:
                self.nodes[x].peers.discard(y)
                self.nodes[x].handle(events.PeerGone(y.encode()))

    def part(self, *groups: str) -> None:
        """Cut the network into groups of names separated by blanks."""
        group_of = {name: i for i, group in enumerate(groups) for name in group.split()}
        self.is_parted = lambda a, b: group_of.get(a) != group_of.get(b)
        for a in self.nodes:
            for b in sorted(self.nodes[a].peers):
                if self.is_parted(a, b):
                    self.disconnect(a, b)

    def heal(self) -> None:
        self.is_parted = lambda a, b: False
        for a in self.nodes:
            for b in self.nodes:
                self.connect(a, b)

    def authorities_after(self, store: Store) -> tuple[tuple[bytes, ...], tuple[bytes, ...], int]:
        """Authors, voters and the set id in the state after the finalized block."""
        authors, voters, set_id = self.authorities, self.voters, 0
        for number in sorted(self.deposits):
            final = store.finals.get(number)
            if final is None:
                continue
            digest = aura.read_header(store.headers[final])
            if digest.authorities_change is not None:
                authors = digest.authorities_change
            if digest.scheduled_change is not None:
                voters, set_id = digest.scheduled_change, set_id + 1
        return authors, voters, set_id

    @property
    def running(self) -> list[Node]:
        return [node for node in self.nodes.values() if node.is_running]

    def lag(self) -> int:
        """Blocks between the highest best and the lowest finalized block of running nodes."""
        return max(n.best for n in self.running) - min(n.finalized for n in self.running)

    # --- messages

    def link(self, a: str, b: str) -> Link:
        return self.links.setdefault((a, b), Link())

    def arrival_ms(self, a: str, b: str) -> int | None:
        """The delay of a message now, or None when it is lost."""
        link = self.link(a, b)
        if link.is_cut or self.rng.randrange(100) < link.loss_percent:
            return None
        at_ms = self.now_ms + self.rng.randint(*link.latency_ms)
        if link.is_ordered:
            at_ms = link.last_ms = max(at_ms, link.last_ms)
        return at_ms - self.now_ms

    def send(self, sender: Node, to: str, message: object) -> None:
        self.sent[type(message).__name__] = self.sent.get(type(message).__name__, 0) + 1
        if to not in sender.peers or any(f(sender.name, to, message) for f in self.filters):
            return
        delay_ms = self.arrival_ms(sender.name, to)
        if delay_ms is not None:
            self.deliver(sender, to, message, delay_ms)

    def deliver(self, sender: Node, to: str, message: object, delay_ms: int) -> None:
        """Hand a message over after a while, if both are still connected then."""
        receiver = self.nodes[to]
        runs = (sender.run, receiver.run)

        def arrive() -> None:
            if runs == (sender.run, receiver.run) and to in sender.peers:
                self.hand_over(sender, receiver, message)

        self.at(delay_ms, arrive)

    def hand_over(self, sender: Node, receiver: Node, message: object) -> None:
        """A message has arrived."""
        if isinstance(message, effects.Announce):
            receiver.handle(events.HeaderSeen(sender.id, message.header, message.is_best))
        else:
            receiver.handle(events.MessageReceived(sender.id, message))  # type: ignore[arg-type]

    def request(self, asker: Node, request: effects.RequestBlocks) -> None:
        """Carry a request to a peer and its answer back."""
        if answer_of := self.answers.get(request.peer):
            blocks = tuple(answer_of(request))
            answer = events.BlocksReceived(request.request_id, request.peer, blocks)
            self.at(20, lambda: asker.handle(answer))
        server = self.nodes.get(request.peer.decode())
        if server is None or server.name not in asker.peers:
            return
        there = self.arrival_ms(asker.name, server.name)
        back = self.arrival_ms(server.name, asker.name)
        run = asker.run
        if self.link(asker.name, server.name).is_cut or self.link(server.name, asker.name).is_cut:
            return
        if there is None or back is None:
            failed = events.RequestFailed(request.request_id, request.peer, "lost")
            self.at(1_000, lambda: asker.handle(failed) if asker.run == run else None)
            return

        def serve() -> None:
            if not server.is_running:
                return
            blocks = tuple(server.serve(request))
            self.served(server, asker, blocks)
            answer = events.BlocksReceived(request.request_id, request.peer, blocks)
            self.at(back, lambda: asker.handle(answer) if asker.run == run else None)

        self.at(there, serve)

    def served(self, server: Node, asker: Node, blocks: tuple[events.SyncBlock, ...]) -> None:
        """A node has answered a request."""

    # --- invariants

    def check_finalized(self, node: Node, effect: effects.NotifyFinalized) -> None:
        assert node.disk.durable.finals.get(effect.header.number) == effect.block_hash
        number = effect.header.number - len(effect.route) + 1
        for block_hash in effect.route:
            known = self.finals.setdefault(number, block_hash)
            assert known == block_hash, f"two final blocks at {number}, the second at {node.name}"
            number += 1


def serve_blocks(store: Store, request: effects.RequestBlocks) -> Iterable[events.SyncBlock]:
    """What a node answers from its disk."""
    start = (
        request.start if isinstance(request.start, bytes) else store.canonical.get(request.start)
    )
    for _ in range(request.blocks_max):
        header = store.headers.get(start) if start is not None else None
        if start is None or header is None:
            return
        justification = store.kept.get(start)
        if start == store.finalized:
            justification = store.justification
        body = store.bodies[start] if request.with_bodies else None
        yield events.SyncBlock(header, body, justification)
        if request.is_ascending:
            start = store.canonical.get(header.number + 1)
        else:
            start = header.parent_hash if header.number > 0 else None
