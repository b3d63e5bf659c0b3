"""The core of a node's consensus: events in, effects out, nothing else. Read this first.

    HeaderSeen, BlocksReceived ──▶ pipeline ──▶ Execute ──▶ Executed ──▶ block tree
                                       ▲                                   │    │
    Timer(SLOT) ──▶ author ──▶ Build ──┘ sealed                best, announce   ▼
    votes, commits, packets ──▶ voter ◀───────────────────────────────── imported
                                  └──▶ finalize: one synced batch ──▶ Committed ──▶ told to others

The parts share the block tree and write their effects into one outbox; this module wires them and
is the only one that finalizes. The driver hands over one event at a time (`events.py`) and carries
out the effects in their order (`effects.py`). There is no clock and no chance in here: the same
events give the same effects.

Invariants: the finalized block only moves to its descendants; nobody outside hears of what is not
durable; after a violation of safety nothing is voted, authored or finalized any more.
"""

from dataclasses import dataclass, replace

from consensus import aura
from consensus.announces import Announces
from consensus.author import Author
from consensus.chain_view import ChainView
from consensus.clock_offset import ClockOffset
from consensus.effects import (
    AlarmKind,
    Effect,
    Finalize,
    Halt,
    NotifyFinalized,
    Operation,
    Recover,
    SetBest,
)
from consensus.events import (
    BlocksReceived,
    Built,
    Committed,
    Event,
    Executed,
    HeaderSeen,
    MessageReceived,
    PeerConnected,
    PeerGone,
    PeerId,
    RecoveryGiven,
    RequestFailed,
    Signed,
    SignerLost,
    SignerReached,
    Timer,
    TimerName,
    Verdict,
)
from consensus.fork_choice import BlockTree, TreeBlock
from consensus.grandpa.context import Surroundings
from consensus.grandpa.gossip import HEARTBEAT_MS, Gossip
from consensus.grandpa.tally import RoundTally
from consensus.grandpa.vote_graph import BlockRef
from consensus.grandpa.voter import Voter
from consensus.outbox import Outbox
from consensus.pipeline import Candidate, Pipeline, Seen, notify_best
from consensus.ports import ChainReader, ConsensusConfig, LoadedState, SignatureVerifier
from consensus.recovery import Fit, Recoveries
from consensus.sync import Sync
from runtime.primitives.block import Header
from runtime.primitives.grandpa import (
    CatchUpRequest,
    CatchUpResponse,
    CommitMessage,
    Justification,
    NeighbourV2,
    Vote,
)
from runtime.primitives.recovery import RecoveryProof, recovery_keys_of
from runtime.primitives.types import Hash

JUSTIFICATION_PERIOD = 128  # blocks; a proof is kept whenever finality crosses a multiple
LIVENESS_SLOTS = 10  # without finality while blocks come: worth a warning
CLOCK_ROUNDS = 4  # of all authors: so long counts what a peer said of its clock; each says it often
EXIT_INTERNAL = 70  # EX_SOFTWARE: the node cannot go on by its own fault


@dataclass(frozen=True, slots=True)
class CoreStatus:
    """Where consensus stands, for people and metrics. All of it is in memory."""

    best: BlockRef
    finalized: BlockRef
    is_major_syncing: bool
    is_voting: bool
    set_id: int
    round: int
    prevoted: int
    precommitted: int
    voters: int
    threshold: int
    clock_offset_ms: int
    is_disputed: bool
    """Safety was violated: what is called final here may be contradicted elsewhere."""


class Core:
    """Made once per run. `start` comes first, then `handle` for each event."""

    def __init__(
        self, config: ConsensusConfig, reader: ChainReader, verifier: SignatureVerifier
    ) -> None:
        self._config = config
        self._reader = reader
        self._verifier = verifier
        self._out = Outbox()
        self._gossip = Gossip(self._out, config.gossip_duration_ms)
        self._announces = Announces(self._out)
        self._is_disputed = False
        self._is_clock_wrong = False
        self._final_since_ms = 0
        self._is_lag_told = False
        self.is_started = False
        """Whether it has taken up the stored state; before that it has no status."""

    # --- the two doors

    def start(self, now_ms: int, wall_ms: int, state: LoadedState) -> list[Effect]:
        """Take up the stored state; nothing is handled before."""
        self._out.begin(now_ms, wall_ms)
        self._out.can_sign = not state.is_signer_away
        self._final_since_ms = now_ms
        self._tree = _restored_tree(state)
        authors = max(1, len(state.aura_authorities))
        self._clock = ClockOffset(CLOCK_ROUNDS * authors * self._config.slot_duration_ms)
        self._pipeline = Pipeline(
            self._config, self._verifier, self._out, self._tree, self._imported
        )
        self._sync = Sync(
            self._config, self._verifier, self._out, self._tree, self._pipeline, self._dispute
        )
        self._sync.gap.next = state.gap
        view = ChainView(self._tree, self._reader)
        self._recoveries = Recoveries(
            self._config,
            self._out,
            view,
            self._reader,
            self._verifier,
            lambda: self._voter.authorities,
        )
        self._recoveries.load(state.recovery)
        self._author = Author(self._config, self._out, self._tree, self._pipeline, self._recoveries)
        self._around = Surroundings(
            self._config,
            self._out,
            view,
            self._verifier,
            self._gossip,
            self._want,
            self._finalize,
            self._dispute,
        )
        finalized = self._tree.finalized
        self._voter = Voter(self._around, state.set_id, state.grandpa_authorities, finalized)
        self._author.load(state.voter)
        self._voter.load(state.voter, state.signer_marks, state.justification)
        self._voter.step()
        self.is_started = True
        return self._out.drain()

    def handle(self, now_ms: int, wall_ms: int, event: Event) -> list[Effect]:
        """Take in one event; the effects are to be carried out in their order."""
        self._out.begin(now_ms, wall_ms)
        self._dispatch(event)
        self._voter.step()
        self._sync.check_bodies()
        self._sync.step()
        return self._out.drain()

    @property
    def status(self) -> CoreStatus:
        """Where we stand now."""
        prevoted, precommitted = self._voter.tally
        voters = self._voter.authorities.voters
        return CoreStatus(
            self._tree.best.ref,
            self._tree.finalized,
            self._sync.is_major,
            self._voter.is_voting,
            self._voter.authorities.set_id,
            self._voter.round_number,
            prevoted,
            precommitted,
            len(voters),
            voters.threshold,
            self._clock.offset_ms(self._out.now_ms, self._out.wall_ms),
            self._is_disputed,
        )

    @property
    def rounds(self) -> tuple[RoundTally, ...]:
        """The rounds of GRANDPA that this voter takes part in, latest first."""
        return self._voter.rounds

    def _dispatch(self, event: Event) -> None:
        match event:
            case MessageReceived():
                self._message(event)
            case HeaderSeen():
                self._header_seen(event)
            case Executed():
                self._executed(event)
            case Committed():
                self._out.committed(event)
            case Signed():
                self._out.signed(event)
            case SignerLost():
                self._out.can_sign = False
            case SignerReached():
                self._out.can_sign = True
                self._voter.signer_reached(event.marks)
                self._author.signer_reached()
            case Timer():
                self._out.timer_fired(event.name)
                self._timer(event.name)
            case Built():
                self._author.built(event)
            case BlocksReceived():
                self._blocks_received(event)
            case RequestFailed():
                self._sync.failed(event.request_id, event.reason)
            case RecoveryGiven():
                self._recoveries.give(event.proof)
            case PeerConnected():
                self._connected(event)
            case PeerGone():
                self._gone(event.peer)

    # --- peers

    def _connected(self, event: PeerConnected) -> None:
        status = event.status
        self._gossip.connected(event.peer, status.role, status.finalized_number)
        self._announces.connected(event.peer, status.best_hash)
        self._clock.connected(event.peer, status.wall_ms, self._out.now_ms)
        self._sync.connected(event)
        self._gossip.send_neighbour(self._voter.packet(), [event.peer])
        if len(self._announces) == 1:
            self._out.set_timer(TimerName.GOSSIP, self._out.now_ms + HEARTBEAT_MS)

    def _gone(self, peer: PeerId) -> None:
        self._gossip.gone(peer)
        self._announces.gone(peer)
        self._clock.gone(peer)
        self._sync.gone(peer)
        self._voter.gone(peer)

    def _message(self, event: MessageReceived) -> None:
        peer = event.peer
        if peer not in self._gossip.peers:
            return
        match event.message:
            case Vote() as vote:
                self._voter.vote(peer, vote)
            case CommitMessage() as commit:
                self._voter.commits.receive(peer, commit)
            case NeighbourV2() as packet:
                self._sync.has_finalized(
                    peer, BlockRef(packet.finalized_hash, packet.commit_finalized)
                )
                self._voter.neighbour(peer, packet)
            case CatchUpRequest() as request:
                self._voter.catch_up_request(peer, request)
            case CatchUpResponse() as response:
                self._voter.catch_up_response(peer, response)
            case _:
                raise AssertionError(f"no such message: {event.message}")

    def _header_seen(self, event: HeaderSeen) -> None:
        peer, header = event.peer, event.header
        if peer not in self._gossip.peers:
            return
        block_hash = header.hash()
        self._announces.note(peer, block_hash)
        seen = self._pipeline.header_seen(peer, header, block_hash, is_announced=True)
        if seen in (Seen.BAD, Seen.REFUSED):
            return
        if event.is_best:
            self._sync.has_best(peer, BlockRef(block_hash, header.number))
        candidate = self._pipeline.get(block_hash)
        if candidate is None:
            return
        if candidate.is_checked:
            start_ms = candidate.digest.slot * self._config.slot_duration_ms
            self._clock.announced(peer, start_ms, self._out.now_ms)
        elif seen is Seen.ORPHAN and not self._sync.is_major:
            root = self._pipeline.root_of(candidate)
            below = root.header.number - 1
            self._sync.want(root.header.parent_hash, peer, self._sync.depth(below))

    def _blocks_received(self, event: BlocksReceived) -> None:
        wanted = self._sync.justification_of(event.request_id)
        block = None if wanted is None else self._tree.get(wanted)
        self._sync.received(event)
        if block is not None and event.blocks and event.blocks[0].justification is not None:
            self._voter.commits.justified(block, event.blocks[0].justification, event.peer)

    def _want(self, block_hash: Hash, peer: PeerId | None) -> None:
        candidate = self._pipeline.get(block_hash)
        if candidate is None or candidate.extrinsics is None:
            self._sync.want(block_hash, peer)

    # --- blocks

    def _executed(self, event: Executed) -> None:
        if event.verdict is Verdict.FAILED:
            reason = f"block 0x{event.block_hash.hex()} could not be executed: {event.reason}"
            self._out.emit(Halt(EXIT_INTERNAL, reason))
            return
        self._pipeline.executed(self._recovering(event))

    def _imported(self, block: TreeBlock, candidate: Candidate) -> None:
        """A block is in the tree: say it, count what waited for it, and author on it."""
        is_best = block is self._tree.best
        is_news = candidate.is_own or candidate.is_announced
        # Of the blocks of a branch that was fetched, only the last is worth an announce.
        is_last = is_best and self._pipeline.backlog == 0
        if (is_news or is_last) and not self._sync.is_major:
            self._announces.announce(block.ref.hash, block.header, is_best)
        if candidate.justification is not None:
            source = candidate.sources[0] if candidate.sources else None
            self._voter.commits.justified(block, candidate.justification, source)
        self._voter.block_imported(block.ref.hash)
        self._author.block_imported(self._may_author())

    def _may_author(self) -> bool:
        """Whether we are in a state to author: connected, able to sign, in sync, on time,
        undisputed.
        """
        is_alone = len(self._announces) == 0 and len(self._tree.best.aura_authorities) > 1
        is_connected = self._config.is_authoring_forced or not is_alone
        return (
            is_connected
            and self._out.can_sign
            and not self._is_disputed
            and not self._sync.is_major
            and not self._has_wrong_clock()
        )

    def _has_wrong_clock(self) -> bool:
        """Our clock is off by more than half a slot: our blocks would disturb the others'."""
        offset_ms = self._clock.offset_ms(self._out.now_ms, self._out.wall_ms)
        is_wrong = 2 * abs(offset_ms) > self._config.slot_duration_ms
        if is_wrong and not self._is_clock_wrong:
            detail = f"the peers' clocks are {offset_ms} ms ahead of ours: we do not author"
            self._out.alarm(AlarmKind.CLOCK, detail)
        self._is_clock_wrong = is_wrong
        return is_wrong

    # --- finality

    def _finalize(self, target: BlockRef, proof: Justification) -> None:
        """Make a block of the tree final, at once in memory, and tell it when it is durable."""
        if self._is_disputed:
            return
        block = self._tree.get(target.hash)
        assert block is not None, "only blocks of the tree are finalized"
        before = self._tree.finalized.number
        change = self._tree.finalize(target.hash)
        is_kept = before // JUSTIFICATION_PERIOD != target.number // JUSTIFICATION_PERIOD
        route = tuple(final.ref.hash for final in change.route)

        operations: list[Operation] = []
        if change.reorg is not None:
            best = self._tree.best.ref.hash
            operations.append(SetBest(best, change.reorg.retracted, change.reorg.enacted))
        operations.append(
            Finalize(
                target.hash,
                target.number,
                route,
                change.pruned,
                proof.encode(),
                is_kept or block.has_scheduled_change,
            )
        )
        commits = self._voter.commits
        if block.has_scheduled_change:
            operations += self._hand_over(block)

        def durable(entropy: int) -> None:
            commits.finalized(proof, entropy)
            self._voter.commits.succeed(commits)
            self._out.emit(NotifyFinalized(target.hash, block.header, route, change.pruned))

        self._out.persist_synced(operations, durable)
        if change.reorg is not None:
            notify_best(self._out, self._tree, change.reorg)
        self._final_since_ms, self._is_lag_told = self._out.now_ms, False
        self._pipeline.finalized()
        self._voter.finalized()

    def _recovering(self, event: Executed) -> Executed:
        """Take the override that a valid block carries, if it can be; what becomes of the block.

        Its signatures were checked by the runtime; the rest is what only this node knows.
        """
        candidate = self._pipeline.get(event.block_hash)
        if candidate is None or event.verdict is not Verdict.VALID:
            return event
        override = candidate.digest.recovery
        if override is None or self._recoveries.is_taken(override):
            return event
        proof = RecoveryProof.decode(event.recovery or b"")
        assert proof.override.digest() == override, "the runtime put it into the digest"
        fit, reason = self._recoveries.judge(proof, candidate.digest.slot)
        if fit is Fit.LATER:
            return replace(event, verdict=Verdict.TOO_EARLY, reason=reason)
        number = candidate.header.number
        if fit is Fit.NEVER:
            detail = f"block {number} carries an override that is refused: {reason}"
            self._out.alarm(AlarmKind.RECOVERY, detail)
            return replace(event, verdict=Verdict.REFUSED, reason=detail)
        self._recover(proof)
        return event

    def _recover(self, proof: RecoveryProof) -> None:
        """The start of an override is final, and its voters vote on what follows."""
        override = proof.override
        change = self._tree.recover(override.start.hash, override.digest())
        start, route = self._tree.root, tuple(final.ref.hash for final in change.route)
        operations: list[Operation] = []
        if change.reorg is not None:
            retracted, enacted = change.reorg.retracted, change.reorg.enacted
            operations.append(SetBest(start.ref.hash, retracted, enacted))
        operations.append(
            Recover(start.ref.hash, start.ref.number, route, change.pruned, proof.encode())
        )
        operations += self._voter.clearing()
        self._voter.stop()
        self._voter = Voter(self._around, override.set_id, recovery_keys_of(proof), start.ref)

        def durable(_: int) -> None:
            if route:
                block_hash = start.ref.hash
                self._out.emit(NotifyFinalized(block_hash, start.header, route, change.pruned))

        self._out.persist_synced(operations, durable)
        if change.reorg is not None:
            notify_best(self._out, self._tree, change.reorg)
        self._recoveries.take(proof)
        self._final_since_ms, self._is_lag_told = self._out.now_ms, False
        self._pipeline.finalized()
        self._voter.finalized()
        self._out.alarm(
            AlarmKind.RECOVERY,
            f"by the members' override block {start.ref.number} is final and set "
            f"{override.set_id} of {len(override.validators)} validators votes: {override.reason}",
        )

    def _hand_over(self, block: TreeBlock) -> list[Operation]:
        """The next authority set takes over at a final block; the last set's votes are done."""
        keys = aura.read_header(block.header).scheduled_change
        assert keys is not None, "the block was found to hand over when it was imported"
        operations = self._voter.clearing()
        self._voter.stop()
        set_id = self._voter.authorities.set_id + 1
        self._voter = Voter(self._around, set_id, keys, block.ref)
        return operations

    def _dispute(self, evidence: str) -> None:
        """More faults than tolerated: stop all that could make it worse."""
        if not self._is_disputed:
            self._is_disputed = True
            self._voter.stop()
            self._author.stop()
            self._out.alarm(AlarmKind.SAFETY, evidence)

    # --- time

    def _timer(self, name: TimerName) -> None:
        match name:
            case TimerName.SLOT:
                self._author.timer(self._may_author())
            case TimerName.ROUND:
                self._voter.timer()
            case TimerName.GOSSIP:
                self._say()
            case TimerName.COMMIT:
                self._voter.commits.timer()
            case TimerName.SYNC:
                self._sync.timer()
            case TimerName.PARKED:
                self._pipeline.parked_timer()

    def _say(self) -> None:
        """Tell all peers where we stand, and look after what takes long."""
        self._voter.heartbeat()
        self._warn_of_lag()
        if len(self._announces) > 0:
            self._gossip.send_neighbour(self._voter.packet(), list(self._gossip.peers))
            self._sync.ask_justifications(self._final_since_ms)
            self._out.set_timer(TimerName.GOSSIP, self._out.now_ms + HEARTBEAT_MS)

    def _warn_of_lag(self) -> None:
        lag = self._tree.best.ref.number - self._tree.finalized.number
        since_ms = self._out.now_ms - self._final_since_ms
        is_long = since_ms > LIVENESS_SLOTS * self._config.slot_duration_ms
        if is_long and lag > LIVENESS_SLOTS and not self._is_lag_told:
            self._is_lag_told = True
            self._out.alarm(
                AlarmKind.LIVENESS,
                f"block {self._tree.finalized.number} is the last final one since "
                f"{since_ms // 1_000} s; the best is {self._tree.best.ref.number}",
            )


def _restored_tree(state: LoadedState) -> BlockTree:
    """The tree of the stored blocks, as it was when the node stopped."""
    finalized = state.finalized
    root = TreeBlock(
        BlockRef(finalized.hash(), finalized.number),
        finalized,
        aura.slot_of(finalized) or 0,
        state.aura_authorities,
    )
    tree = BlockTree(root)
    for header in state.unfinalized:
        parent = tree.get(header.parent_hash)
        if parent is not None:
            tree.insert(_restored(header, parent))
    tree.set_best(state.best_hash)
    return tree


def _restored(header: Header, parent: TreeBlock) -> TreeBlock:
    digest = aura.read_header(header)
    return TreeBlock(
        BlockRef(header.hash(), header.number),
        header,
        digest.slot,
        digest.authorities_change or parent.aura_authorities,
        has_scheduled_change=digest.scheduled_change is not None,
    )
