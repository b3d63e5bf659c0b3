"""A network of cores in virtual time: one heap, one seed, one thread.

Links have latency, loss and partitions. After each step the network checks itself: no two nodes
finalize different blocks of one height.
"""

import heapq
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from consensus import effects, events
from runtime.primitives.aura import ENGINE_ID as AURA_ENGINE
from runtime.primitives.aura import AuthoritiesChange
from runtime.primitives.block import Consensus, DigestItem, Header
from runtime.primitives.grandpa import ScheduledChange
from runtime.primitives.hashing import blake2_256
from runtime.primitives.types import Hash
from tests.simulation.disk import CheapKeys, KeyRing, Store
from tests.simulation.node import Node, genesis_header


@dataclass
class Link:
    """One direction between two nodes."""

    latency_ms: tuple[int, int] = (5, 25)
    loss_percent: int = 0
    """Of messages. A request that is lost fails after a second; on a cut link it hangs."""

    is_ordered: bool = True
    is_cut: bool = False
    last_ms: int = 0
    """When the last message arrives that keeps its place."""

    newest_ms: int = 0
    """When the latest of all arrives."""


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
        self.trace = 0
        """Of all events that were handled: when, by whom, of which class."""

        self.nodes: dict[str, Node] = {}
        for name in voters:
            self.nodes[name] = self.make_node(name, True)
        for i in range(full):
            self.nodes[f"f{i}"] = self.make_node(f"f{i}", False)
        self.links: dict[tuple[str, str], Link] = {}
        self.finals: dict[int, Hash] = {0: self.genesis.hash()}
        self.votes: dict[tuple[bytes, int, int, int], object] = {}
        self.sent: dict[str, int] = {}
        self.reached: Counter[str] = Counter()
        """What has happened, by the names of `coverage`."""

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
            if node.crash(kept):
                self.reached["some batches lost" if kept else "lost batches"] += 1

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
                    self.reached["broken connection"] += 1

    def heal(self) -> None:
        self.is_parted = lambda a, b: False
        for a in self.nodes:
            for b in self.nodes:
                self.connect(a, b)

    def authorities_after(self, store: Store) -> tuple[tuple[bytes, ...], tuple[bytes, ...], int]:
        """Authors, voters and the set id in the state after the finalized block."""
        authors, voters, set_id = self.authorities, self.voters, 0
        for number in sorted(self.deposits):
            if number > store.headers[store.finalized].number:
                break
            for item in self.deposits[number]:
                if not isinstance(item, Consensus):
                    continue
                if item.engine == AURA_ENGINE:
                    authors = tuple(AuthoritiesChange.decode(item.data).authorities)
                else:
                    next_set = ScheduledChange.decode(item.data).next_authorities
                    voters, set_id = tuple(key for key, _ in next_set), set_id + 1
        return authors, voters, set_id

    @property
    def running(self) -> list[Node]:
        return [node for node in self.nodes.values() if node.is_running]

    def fingerprint(self) -> str:
        """Of all that happened: two runs that agree in it did the same in the same order.

        Seals that are not repeatable make the hashes of blocks others in each run.
        """
        told: list[object] = [self.trace, self.rng.getstate()[1]]
        told += [(node.name, node.finalized) for node in self.nodes.values()]
        if self.ring.is_repeatable:
            told += sorted(self.finals.items())
            told += sorted((place, repr(vote)) for place, vote in self.votes.items())
        return blake2_256(repr(told).encode()).hex()[:16]

    def lag(self) -> int:
        """Blocks between the highest best and the lowest finalized block of running nodes."""
        return max(n.best for n in self.running) - min(n.finalized for n in self.running)

    # --- messages

    def link(self, a: str, b: str) -> Link:
        link = self.links.get((a, b))
        if link is None:
            link = self.links[a, b] = Link()
        return link

    def arrival_ms(self, a: str, b: str) -> int | None:
        """The delay of a message now, or None when it is lost."""
        link = self.link(a, b)
        if link.is_cut:
            self.reached["swallowed message"] += 1
            return None
        if self.rng.randrange(100) < link.loss_percent:
            self.reached["lost message"] += 1
            return None
        at_ms = self.now_ms + self.rng.randint(*link.latency_ms)
        if link.is_ordered:
            at_ms = link.last_ms = max(at_ms, link.last_ms)
        elif at_ms < link.newest_ms:
            self.reached["overtaken message"] += 1
        link.newest_ms = max(at_ms, link.newest_ms)
        if at_ms - self.now_ms > 1_000:
            self.reached["slow message"] += 1
        return at_ms - self.now_ms

    def send(self, sender: Node, to: str, message: object) -> None:
        name = message.__class__.__name__
        self.sent[name] = self.sent.get(name, 0) + 1
        if to not in sender.peers:
            return
        if self.filters and any(f(sender.name, to, message) for f in self.filters):
            return
        delay_ms = self.arrival_ms(sender.name, to)
        if delay_ms is not None:
            self.deliver(sender, to, message, delay_ms)

    def deliver(self, sender: Node, to: str, message: object, delay_ms: int) -> None:
        """Hand a message over after a while, if both are still connected then."""
        receiver = self.nodes[to]
        sender_run, receiver_run = sender.run, receiver.run

        def arrive() -> None:
            is_same = sender_run == sender.run and receiver_run == receiver.run
            if is_same and to in sender.peers:
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
