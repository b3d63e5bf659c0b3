"""A node of the simulated network: a core, a disk, a signer, and what carries out the effects.

Blocks are executed by looking whether they contain `BAD_EXTRINSIC`; `world.py` has nodes with the
real runtime. Looked at with each vote it sends: that it is on disk, and the only one of its stage.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, get_args

from consensus import aura, effects, events
from consensus.core import Core
from consensus.effects import AlarmKind, Effect
from consensus.events import Event, PeerStatus, Role, TimerName, Verdict
from consensus.grandpa.own_votes import NO_VOTES
from consensus.grandpa.records import (
    PROPOSE,
    ROUNDS_KEY,
    OwnVotes,
    VoterRecord,
    own_votes_key,
    stage_of,
)
from consensus.grandpa.vote_graph import BlockRef
from consensus.ports import ChainReader, ConsensusConfig, LoadedState, SignerMark
from runtime.primitives.block import Digest, Header
from runtime.primitives.grandpa import CatchUpResponse, SignedMessage, Vote
from runtime.primitives.recovery import RecoveryProof
from runtime.primitives.types import Hash
from tests.simulation import coverage
from tests.simulation.disk import SimDisk, SimSigner, Store, body_root, key_of, sign

if TYPE_CHECKING:
    from tests.simulation.driver import Network


EPOCH_MS = 1_700_000_000_000 // 6_000 * 6_000
BAD_EXTRINSIC = b"bad"
ZERO = bytes(32)
ALARMS = {
    AlarmKind.CLOCK: "clock alarm",
    AlarmKind.ROLLED_BACK: "rolled back",
    AlarmKind.LIVENESS: "long stall",
}
"""What alarms say that has happened."""

SYNC_MS, EXECUTE_MS, BUILD_MS = 3, 8, 15
STALL_SLOTS = 7  # half a session of the runtime of tests
KINDS = {kind: place for place, kind in enumerate(get_args(Event))}
"""The classes of events by a number, for the trace."""


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
        self.place = len(network.nodes)
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

        self.execute_ms, self.build_delay_ms = EXECUTE_MS, BUILD_MS
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
        network = self.network
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
        if any(self._is_only_signed(mark) for mark in self.signer.marks.values()):
            network.reached["vote only signed"] += 1
        self._perform(self.core.start(network.now_ms, self.wall_ms(), self.load()))

    def reader(self) -> ChainReader:
        """Where the core reads headers."""
        return Reader(self.disk)

    def load(self) -> LoadedState:
        """What the core starts from."""
        store = self.disk.now
        finalized = store.headers[store.finalized]
        authors, voters, set_id = self.network.authorities_after(store)
        override = store.override
        if override is not None:
            set_id = override.set_id
            voters = tuple(keys.grandpa for _, keys in override.validators)
        unfinalized = [h for h in store.headers.values() if h.number > finalized.number]
        return LoadedState(
            finalized=finalized,
            aura_authorities=authors,
            grandpa_authorities=voters,
            set_id=set_id,
            unfinalized=tuple(sorted(unfinalized, key=lambda h: h.number)),
            best_hash=store.best,
            voter=dict(store.voter),
            justification=store.justification,
            gap=store.gap,
            recovery=store.recovery.encode() if store.recovery and override else None,
            signer_marks=self.marks,
            is_signer_away=self.is_signer_away,
        )

    @property
    def marks(self) -> tuple[SignerMark, ...]:
        """What the signer tells at the start."""
        return () if self.is_signer_away else tuple(self.signer.marks.values())

    def write(self, batch: effects.Persist) -> None:
        """Put a batch into the database."""
        self.disk.write(batch)
        kinds = {operation.__class__ for operation in batch.operations}
        if effects.Finalize in kinds and effects.SetBest in kinds:
            self.network.reached["finality off the best chain"] += 1

    def sync(self) -> None:
        """All that was written is on disk."""
        self.disk.sync()

    def crash(self, kept: int) -> int:
        """Lose what was not synced, but for the first batches; how many are lost."""
        return self.disk.crash(kept)

    @property
    def seal_keys(self) -> tuple[bytes, ...]:
        return (self.key, *(seal for seal, _ in self.more_keys))

    @property
    def vote_keys(self) -> tuple[bytes, ...]:
        return (self.vote_key, *(vote for _, vote in self.more_keys))

    @property
    def is_running(self) -> bool:
        return self.core is not None

    def _is_only_signed(self, mark: SignerMark) -> bool:
        """Whether the signer has signed a vote that the database does not hold."""
        stored = self.disk.now.voter.get(own_votes_key(mark.set_id, mark.round))
        votes = NO_VOTES if stored is None else OwnVotes.decode(stored)
        return any(
            signed is not None and signed != kept
            for signed, kept in (
                (mark.propose, votes.propose),
                (mark.prevote, votes.prevote),
                (mark.precommit, votes.precommit),
            )
        )

    def wall_ms(self) -> int:
        return EPOCH_MS + self.network.now_ms + self.clock_offset_ms

    def handle(self, event: Event) -> None:
        if self.core is None or self.halts:
            return
        if isinstance(event, events.Committed):
            self.sync()
        self.events_handled += 1
        network = self.network
        # Of integers alone: Python gives them the same hash in each process.
        step = (network.trace, network.now_ms, self.place, KINDS[event.__class__])
        network.trace = hash(step)
        self._perform(self.core.handle(network.now_ms, self.wall_ms(), event))

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
                    self.check_send(effect)
                    for peer in effect.peers:
                        network.send(self, peer.decode(), effect.message)
                case effects.Persist():
                    self.write(effect)
                    if effect.is_synced:
                        self._sync_later(effect)
                case effects.Sign():
                    self._later(0, self._sign(effect))
                case effects.SetTimer():
                    self._set_timer(effect)
                case effects.Execute():
                    assert effect.header.parent_hash in self.disk.now.headers, "no parent"
                    self.executed.append(effect.block_hash)
                    self._later(self.execute_ms, self.execute(effect))
                case effects.Build():
                    self._build(effect)
                case effects.RequestBlocks():
                    self.requests.append(effect)
                    if not effect.with_bodies:
                        kind = "walk" if effect.is_ascending else "justification request"
                        network.reached[kind] += 1
                    network.request(self, effect)
                case effects.Report():
                    self.reports.append(effect)
                    if name := coverage.told_by(effect.reason):
                        network.reached[name] += 1
                case effects.NotifyFinalized():
                    network.check_finalized(self, effect)
                case effects.Alarm():
                    self.alarms.append(effect)
                    if name := ALARMS.get(effect.kind):
                        network.reached[name] += 1
                case effects.AuthorEquivocated() | effects.VoterEquivocated():
                    self.offences.append(effect)
                    self.offended(effect)
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

    def offended(self, effect: effects.Offence) -> None:
        """It has evidence against somebody."""

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
        if at_ms - self.network.now_ms >= 1_000:
            self.network.reached["slow sync"] += 1
        entropy = self.network.rng.getrandbits(64)
        self._later(at_ms - self.network.now_ms, events.Committed(batch.batch_id, entropy))

    def _set_timer(self, effect: effects.SetTimer) -> None:
        self._timers[effect.name] = effect.at_ms
        if effect.name is TimerName.PARKED:
            self.network.reached["parked block"] += 1
        run = self.run

        def fire() -> None:
            if self.run == run and self._timers.get(effect.name) == effect.at_ms:
                del self._timers[effect.name]
                self.handle(events.Timer(effect.name))

        self.network.at(max(0, effect.at_ms - self.network.now_ms), fire)

    def check_send(self, effect: effects.Send) -> None:
        """Persist before send, and never two votes of one stage."""
        vote = effect.message
        if not isinstance(vote, Vote):
            if isinstance(vote, CatchUpResponse):
                self.network.reached["catch-up"] += 1
            return
        if not self.is_honest or vote.message.id not in self.vote_keys:
            return
        place = (vote.message.id, vote.set_id, vote.round, stage_of(vote.message.message))
        if place[3] == PROPOSE:
            self.network.reached["primary's proposal"] += 1
        was_cast = place in self.network.votes
        cast = self.network.votes.setdefault(place, vote.message.message)
        assert cast == vote.message.message, f"{self.name} votes twice in {place[1:]}"
        if was_cast and self.has_lost_disk:
            return  # it passes on what it had from its peers: its own vote of before
        assert vote.message.id in self.signer.marks, "it never signed anything"
        is_stored = vote.message in self._stored_votes(vote)
        assert is_stored, f"{self.name} sends a vote that is not on disk"

    def _stored_votes(self, vote: Vote) -> Iterator[SignedMessage | None]:
        """The votes of our own that are on disk: those of the round first."""
        voter = self.disk.durable.voter
        if own := voter.get(own_votes_key(vote.set_id, vote.round)):
            votes = OwnVotes.decode(own)
            yield from (votes.propose, votes.prevote, votes.precommit)
        if rounds := voter.get(ROUNDS_KEY):
            for record in VoterRecord.decode(rounds).completed:
                yield from (*record.prevotes, *record.precommits)


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
