"""Rounds in sequence: votes, neighbour packets and ticks in; votes and finality out.

The names are those of the GRANDPA paper: T is the time a message is expected to take, the
estimate of a round is the highest block that anyone might see finalized in it. In each round a
voter prevotes for the best chain on top of the last round's estimate at 2T, or as soon as the
round is decided; precommits the prevotes' GHOST at 4T, or as soon as the round is decided; and
goes on when the round is decided and the last round's estimate is final.

A round is not begun while there is nothing to vote about: no block above the finalized one and no
open estimate. As soon as there is, the prevote goes out at once and the precommit 2T later. So one
round follows each block, and an idle network is silent. Whoever sees a vote of others joins in
after T, in which their block should have come, so nobody waits for us in vain.

Invariants: a vote is counted and sent only after it is durable; no vote of a round is signed
before the votes of the round before it are durable; votes are never dropped because their block
is not best. Leaves out: who the voters are after a handoff, which the core decides.
"""

from collections.abc import Iterable, Mapping

from consensus.effects import AlarmKind, DeleteVoter, Operation, PutVoter, VoterEquivocated
from consensus.events import PeerId, TimerName
from consensus.grandpa.catch_up import CatchUps
from consensus.grandpa.commits import Commits
from consensus.grandpa.context import AuthoritySet, Surroundings
from consensus.grandpa.gossip import COALESCE_DIVISOR, round_votes
from consensus.grandpa.justification import build_justification
from consensus.grandpa.own_key import OwnKey
from consensus.grandpa.own_votes import OwnVoteBook
from consensus.grandpa.parking import HeldVote, HeldVotes
from consensus.grandpa.records import (
    PROPOSE,
    ROUNDS_KEY,
    VoteRound,
    VoterRecord,
    record_of,
    round_of,
)
from consensus.grandpa.round import VOTES_PER_VOTER_MAX, Imported, RoundState
from consensus.grandpa.rules import prevote_target
from consensus.grandpa.tally import RoundTally, tally_of
from consensus.grandpa.vote_graph import PRECOMMIT, PREVOTE, BlockRef
from consensus.grandpa.voter_set import VoterSet
from consensus.ports import SignerMark
from runtime.primitives.grandpa import (
    CatchUpRequest,
    CatchUpResponse,
    NeighbourV2,
    SignedMessage,
    Vote,
    vote_payload,
)
from runtime.primitives.types import Hash

ROUNDS_KEPT = 2  # completed ones, with all votes: a peer one round behind needs both
PREVOTE_DURATIONS = 2  # of T
PRECOMMIT_DURATIONS = 4
STUCK_DURATIONS = 2  # after the precommit was due: say what we have, so that peers repair it
STUCK_TIMES = 3  # each after twice the time of the one before; then the heartbeat is as frequent

REPUTATION_BAD_SIGNATURE = -100
REPUTATION_UNKNOWN_VOTER = -150
REPUTATION_FUTURE_MESSAGE = -500


class Voter:
    """The finality gadget of one authority set."""

    def __init__(
        self,
        around: Surroundings,
        set_id: int,
        keys: Iterable[bytes],
        base: BlockRef,
    ) -> None:
        voters = VoterSet(tuple(keys))
        self.authorities = AuthoritySet(set_id, voters)
        self.commits = Commits(around, self.authorities)
        self._around = around
        self._out = around.out
        self._duration_ms = around.config.gossip_duration_ms
        self._catch_ups = CatchUps(around, self.authorities)
        self._is_tracking = bool(around.config.grandpa_keys) or around.config.may_get_keys
        self._own = OwnKey(around, self.authorities, self._import_own)
        self._is_stopped = False

        self._first = RoundState.first(base)
        self._completed: list[VoteRound] = []
        self._round = VoteRound(1, voters, base)
        self._since_ms = around.out.now_ms
        self._prevoted_ms: int | None = None
        self._heard_ms: int | None = None
        """When the first vote of this round came."""

        self._hint: BlockRef | None = None
        self._is_stored = True
        self._is_record_old = False
        self._stuck_at_ms: int | None = None
        self._stuck_times = 0
        self._next_votes = HeldVotes()
        self._parked = HeldVotes()

        # A step follows every event, and few events change what it looks at.
        self._changes = 0
        """Counts what changes our rounds."""

        self._concluded_at = -1
        """The changes of our rounds and of the tree when conclusions were drawn last."""

        self._aim: tuple[int, RoundState, BlockRef | None, BlockRef] | None = None

    # --- start and stop

    def load(
        self,
        column: Mapping[bytes, bytes],
        marks: Iterable[SignerMark],
        justification: bytes | None,
    ) -> None:
        """Go on where the database and the signer say that we were."""
        self.commits.load(justification)
        stored = column.get(ROUNDS_KEY)
        record = None if stored is None else VoterRecord.decode(stored)
        if record is not None and record.set_id == self.authorities.set_id:
            voters = self.authorities.voters
            self._completed = [round_of(completed, voters) for completed in record.completed]
            self._round = round_of(record.current, voters)
            self._heard_ms = self._since_ms if self._round.voted(PREVOTE) else None
        self._own.load(column)
        self._own.heed(marks, self._round.number)

    def signer_reached(self, marks: Iterable[SignerMark]) -> None:
        """The signer is there, perhaps with other keys, and tells what it has signed."""
        if not self._is_stopped:
            self._own.heed(marks, self._round.number)

    @property
    def _book(self) -> OwnVoteBook | None:
        return self._own.book

    def _import_own(self, book: OwnVoteBook, number: int) -> None:
        """Count our votes of a round as they are stored."""
        if not self._is_stopped:
            for signed in book.of(number):
                self._import(self._held(number, signed), None)

    def stop(self) -> None:
        """Never vote nor conclude anything again."""
        self._is_stopped = True

    def clearing(self) -> list[Operation]:
        """What removes this set's votes from the disk, when the next set takes over."""
        if self._book is None:
            return []
        return [DeleteVoter(key) for key in self._book.forget_before(self._round.number + 1)]

    @property
    def round_number(self) -> int:
        """The round we are in; on a node that only observes the round of the last commit."""
        return self._round.number if self._is_tracking else self.commits.last_round

    @property
    def is_voting(self) -> bool:
        """Whether our key is one of the set's and may vote."""
        return self._book is not None and not self._is_stopped and self._out.can_sign

    @property
    def tally(self) -> tuple[int, int]:
        """How many have prevoted and precommitted in this round."""
        votes = (self._round.voted(PREVOTE), self._round.voted(PRECOMMIT))
        return votes[0].bit_count(), votes[1].bit_count()

    @property
    def rounds(self) -> tuple[RoundTally, ...]:
        """This round and the ones before it that are kept, latest first; none while we observe."""
        if not self._is_tracking:
            return ()
        return tuple(tally_of(each) for each in (self._round, *reversed(self._completed)))

    # --- what peers say

    def vote(self, peer: PeerId, message: Vote) -> None:
        """Take in a vote: the cheap checks first, the signature last."""
        if not self._is_tracking or message.set_id != self.authorities.set_id:
            return
        current, number, signed = self._round.number, message.round, message.message
        if number > current + 1:
            self._out.report(peer, REPUTATION_FUTURE_MESSAGE, f"vote of round {number}")
            return
        if number < current - 1:
            return
        voter = self.authorities.voters.index(signed.id)
        if voter is None:
            reason = f"vote of 0x{signed.id.hex()}, who is no voter"
            self._out.report(peer, REPUTATION_UNKNOWN_VOTER, reason)
            return
        vote = HeldVote.of(number, voter, signed)
        if not self._is_new(vote):
            self._note_sender(peer, vote)
            return
        payload = vote_payload(signed.message, number, self.authorities.set_id)
        if not self._around.verifier.verify_vote(signed.id, payload, signed.signature):
            reason = f"bad signature of 0x{signed.id.hex()}"
            self._out.report(peer, REPUTATION_BAD_SIGNATURE, reason)
            return
        if number == current + 1:
            self._next_votes.add(vote)
        else:
            self._import(vote, peer)
            self._adopt_own(vote)
        self._note_sender(peer, vote)

    def neighbour(self, peer: PeerId, packet: NeighbourV2) -> None:
        """A peer says where it stands: send what it lacks, ask when we are behind."""
        self._around.gossip.note_neighbour(peer, packet)
        if packet.commit_finalized < self._around.view.finalized.number:
            self.commits.offer(peer)
        if not self._is_tracking or packet.set_id != self.authorities.set_id:
            return
        rounds = (*self._completed, self._round)
        self._around.gossip.repair(peer, self.authorities.set_id, rounds)
        age_ms = self._out.now_ms - self._since_ms
        self._catch_ups.consider(peer, packet, self._round.number, age_ms)

    def catch_up_request(self, peer: PeerId, request: CatchUpRequest) -> None:
        """A peer is behind: give it the last round that is decided."""
        if self._round.state.is_completable:
            self._catch_ups.answer(peer, request, self._round)
        elif self._completed:
            self._catch_ups.answer(peer, request, self._completed[-1])

    def catch_up_response(self, peer: PeerId, response: CatchUpResponse) -> None:
        """The votes of a round that is over, which we asked for."""
        if self._is_tracking and not self._is_stopped:
            self._caught_up(self._catch_ups.receive(peer, response, self._round.number))

    def gone(self, peer: PeerId) -> None:
        """A peer has left."""
        self._catch_ups.gone(peer)

    # --- what the chain says

    def block_imported(self, block_hash: Hash) -> None:
        """A block is in the tree: count what waited for it."""
        for vote in self._parked.take_target(block_hash):
            self._import(vote, None)
        self.commits.block_imported(block_hash)
        self._caught_up(self._catch_ups.block_imported(block_hash, self._round.number))

    def finalized(self) -> None:
        """The finalized block is another one."""
        if self._is_tracking:
            for vote in self._parked.take_settled(self._around.view.finalized):
                self._import(vote, None)
            # In one batch with the finality that makes blocks of some votes disappear.
            self._out.persist_synced([self._record()], lambda _: None)
        self._say_soon()

    # --- saying where we stand

    def packet(self) -> NeighbourV2:
        """Our neighbour packet."""
        finalized = self._around.view.finalized
        size = len(self.authorities.voters) if self._is_tracking else 0
        before = self._completed[-1] if self._completed else None
        return NeighbourV2(
            self.round_number,
            self.authorities.set_id,
            finalized.number,
            finalized.hash,
            round_votes(self._round, size),
            round_votes(before, size),
        )

    def heartbeat(self) -> None:
        """Store votes that came after their round was stored, and ask again for blocks."""
        for target in self._parked.targets():
            self._around.want(target.hash, None)
        if self._is_record_old:
            self._is_record_old = False
            self._out.persist([self._record()])

    def _say_soon(self) -> None:
        """A round change and finality come together; a moment later both are said at once."""
        if self._around.gossip.peers:
            at_ms = self._out.now_ms + self._duration_ms // COALESCE_DIVISOR
            self._out.set_timer(TimerName.GOSSIP, at_ms)

    # --- the protocol

    def step(self) -> None:
        """Conclude and do what the votes and the time allow. Called after every event."""
        if not self._is_tracking or self._is_stopped:
            return
        self._conclude()
        while not self._is_stopped and not self._cast() and self._go_on():
            self._conclude()
        self._set_timer()

    def _conclude(self) -> None:
        """Finalize what the votes of a round prove."""
        changes = self._changes + self._around.view.tree.version  # either only goes up
        if changes == self._concluded_at:
            return
        self._concluded_at = changes
        for round_ in (*self._completed, self._round):
            if self._is_stopped:
                return
            if round_.has_too_many_equivocators:
                self._around.stop(self._equivocators(round_))
                return
            view = self._around.view
            found = round_.state.finalized
            if found is None or found.number <= view.finalized.number:
                continue
            proof = build_justification(round_, view.finalized, view.header)
            if proof is None:
                continue
            target = BlockRef(proof.commit.target_hash, proof.commit.target_number)
            if not view.is_ancestor(view.finalized, target):
                self._around.stop(
                    f"round {round_.number} of set {self.authorities.set_id} finalizes "
                    f"0x{target.hash.hex()}, which is not above 0x{view.finalized.hash.hex()}: "
                    f"0x{proof.encode().hex()}"
                )
                return
            self._around.finalize(target, proof)

    def _cast(self) -> bool:
        """Vote when it is time; True while a vote is on its way to the disk."""
        book = self._book
        if book is None:
            return False
        if book.is_busy or not self._is_stored:
            return True
        if not self._out.can_sign:
            return False
        number, now_ms = self._round.number, self._out.now_ms
        is_decided = self._round.state.is_completable
        if not book.has(number, PREVOTE):
            if self._is_proposal_due(book):
                estimate = self._before.estimate
                assert estimate is not None, "it is above what is final"
                book.cast(number, PROPOSE, estimate, self._cast_done)
                return True
            due_ms = self._prevote_due_ms()
            if is_decided or (due_ms is not None and due_ms <= now_ms):
                self._prevoted_ms = now_ms
                book.cast(number, PREVOTE, self._prevote_target(), self._cast_done)
                return True
        elif not book.has(number, PRECOMMIT):
            target = self._precommit_target()
            if target is not None and (is_decided or self._precommit_due_ms() <= now_ms):
                book.cast(number, PRECOMMIT, target, self._cast_done)
                return True
        return False

    def _cast_done(self, number: int, signed: SignedMessage) -> None:
        """Our vote is durable: count it and send it."""
        if number != self._round.number or self._is_stopped:
            # The round, or the set, ended without it, and its record is stored without it.
            return
        vote = self._held(number, signed)
        self._import(vote, None)
        message = Vote(number, self.authorities.set_id, signed)
        self._around.gossip.push(message, vote.stage, vote.voter)

    def _go_on(self) -> bool:
        """Enter the next round when this one is decided and the one before is settled."""
        state = self._round.state
        if not state.is_completable:
            return False
        estimate = self._before.estimate
        settled = (self._before.finalized, state.finalized, self._around.view.finalized)
        if estimate is None or not any(
            block is not None and self._around.view.is_ancestor(estimate, block)
            for block in settled
        ):
            return False
        self._enter_after(self._round)
        return True

    def _enter_after(self, completed: VoteRound) -> None:
        """Begin the round after a completed one."""
        kept = [r for r in self._completed if r.number == completed.number - 1]
        self._completed = [*kept, completed][-ROUNDS_KEPT:]
        number = completed.number + 1
        self._round = VoteRound(number, self.authorities.voters, _base_after(completed))
        self._changes += 1
        self._since_ms = self._out.now_ms
        self._prevoted_ms, self._heard_ms = None, None
        self._hint, self._stuck_at_ms, self._stuck_times = None, None, 0

        self._is_stored, self._is_record_old = False, False
        operations: list[Operation] = [self._record()]
        if self._book is not None:
            operations += [DeleteVoter(key) for key in self._book.forget_before(number)]

        def stored(_: int) -> None:
            # The record of a later round, if there is one by now, is on its way as well.
            self._is_stored = self._is_stored or self._round.number == number

        self._out.persist_synced(operations, stored)
        self._parked.drop_before(number - 1)
        for vote in self._next_votes.take_round(number):
            self._import(vote, None)
            self._adopt_own(vote)
        self._next_votes.drop_before(number + 1)
        own = None if self._book is None else self.authorities.voters.index(self._book.public)
        self._around.gossip.cross_check(self.authorities.set_id, completed, own)
        self._say_soon()

    def _caught_up(self, completed: VoteRound | None) -> None:
        """Go on after a round that we did not take part in to its end."""
        if completed is None or completed.number < self._round.number:
            return
        if completed.number == self._round.number:
            # What only we have seen of it counts too.
            for stage in (PREVOTE, PRECOMMIT):
                for vote in self._round.votes(stage):
                    completed.import_vote(
                        stage, vote.voter, vote.target, vote.signed, self._around.view.parent_of
                    )
        self._enter_after(completed)

    # --- votes: when and for what

    @property
    def _before(self) -> RoundState:
        """What the votes of the round before say."""
        return self._completed[-1].state if self._completed else self._first

    def _is_proposal_due(self, book: OwnVoteBook) -> bool:
        """The primary repeats an estimate that is not final yet, so that all vote on top of it."""
        voters = self.authorities.voters
        number, estimate = self._round.number, self._before.estimate
        return (
            voters.primary(number) == voters.index(book.public)
            and estimate is not None
            and not self._around.view.is_final(estimate)
            and estimate != self._before.finalized
            and not book.has(number, PROPOSE)
        )

    def _prevote_target(self) -> BlockRef:
        tree, before, hint = self._around.view.tree, self._before, self._hint
        aim = self._aim
        if aim is None or aim[0] != tree.version or aim[1] is not before or aim[2] is not hint:
            aim = self._aim = (tree.version, before, hint, self._find_target(before, hint))
        return aim[3]

    def _find_target(self, before: RoundState, hint: BlockRef | None) -> BlockRef:
        base, view = before.estimate, self._around.view
        assert base is not None, "a round is entered after one that is decided"
        if (
            hint is not None
            and hint != base
            and before.ghost is not None
            and view.is_ancestor(base, hint)
            and view.is_ancestor(hint, before.ghost)
        ):
            base = hint
        return prevote_target(view.tree, base)

    def _prevote_due_ms(self) -> int | None:
        """When to prevote; None while there is nothing to vote about."""
        finalized = self._around.view.finalized
        estimate = self._before.estimate
        due_ms = self._since_ms + PREVOTE_DURATIONS * self._duration_ms
        is_open = estimate is not None and estimate.number > finalized.number
        if is_open or self._prevote_target().number > finalized.number:
            return due_ms
        if self._heard_ms is None:
            return None
        return max(due_ms, self._heard_ms + self._duration_ms)

    def _precommit_due_ms(self) -> int:
        """2T after our prevote, so that the others' have come."""
        due_ms = self._since_ms + PRECOMMIT_DURATIONS * self._duration_ms
        if self._prevoted_ms is None:
            return due_ms
        between_ms = (PRECOMMIT_DURATIONS - PREVOTE_DURATIONS) * self._duration_ms
        return max(due_ms, self._prevoted_ms + between_ms)

    def _precommit_target(self) -> BlockRef | None:
        """The GHOST of the prevotes, once it is not below the last round's estimate."""
        ghost, estimate = self._round.state.ghost, self._before.estimate
        if ghost is None or estimate is None:
            return None
        return ghost if self._around.view.is_ancestor(estimate, ghost) else None

    def _set_timer(self) -> None:
        """Wake up when the next vote is due, or when a round lasts so long that votes are lost."""
        now_ms, book, number = self._out.now_ms, self._book, self._round.number
        if book is not None and book.has(number, PREVOTE):
            due_ms: int | None = self._precommit_due_ms()
        else:
            due_ms = self._prevote_due_ms()
        if due_ms is None:
            return
        if due_ms > now_ms:
            self._out.set_timer(TimerName.ROUND, due_ms)
            return
        # A vote is due and waits for others', or it is made: peers repair what we say we lack.
        if self._stuck_at_ms is None:
            self._stuck_at_ms = max(now_ms, self._precommit_due_ms())
            self._stuck_at_ms += STUCK_DURATIONS * self._duration_ms
        if now_ms < self._stuck_at_ms:
            self._out.set_timer(TimerName.ROUND, self._stuck_at_ms)

    def timer(self) -> None:
        """The time of a vote has come, or of saying that we lack votes."""
        if self._stuck_at_ms is None or self._out.now_ms < self._stuck_at_ms:
            return
        if self._stuck_times < STUCK_TIMES:
            if self._stuck_times > 0:
                # Repair did not help: perhaps a voter shows different votes to different peers.
                self._around.gossip.flood(self.authorities.set_id, self._round)
            self._stuck_times += 1
            pause_ms = (STUCK_DURATIONS * self._duration_ms) << self._stuck_times
            self._stuck_at_ms = self._out.now_ms + pause_ms
            self._say_soon()

    # --- counting

    def _held(self, number: int, signed: SignedMessage) -> HeldVote:
        voter = self.authorities.voters.index(signed.id)
        assert voter is not None, "our own key is in the set"
        return HeldVote.of(number, voter, signed)

    def _round_numbered(self, number: int) -> VoteRound | None:
        if number == self._round.number:
            return self._round
        for completed in self._completed:
            if completed.number == number:
                return completed
        return None

    def _is_new(self, vote: HeldVote) -> bool:
        """Whether a vote is not here yet and has room, so that its signature is worth a check."""
        place = (vote.round, vote.stage, vote.voter)
        if vote.stage == PROPOSE:
            is_primary = self.authorities.voters.primary(vote.round) == vote.voter
            if vote.round == self._round.number:
                return is_primary and self._hint is None
            is_held = self._next_votes.has(*place, vote.target)
            return is_primary and not is_held and vote.round > self._round.number
        for held in (self._next_votes, self._parked):
            if held and (held.has(*place, vote.target) or held.is_full(*place)):
                return False
        round_ = self._round_numbered(vote.round)
        if round_ is None:
            return vote.round == self._round.number + 1
        return len(
            round_.votes_of(vote.stage, vote.voter)
        ) < VOTES_PER_VOTER_MAX and not round_.has_vote(vote.stage, vote.voter, vote.target)

    def _import(self, vote: HeldVote, peer: PeerId | None) -> None:
        """Count a vote whose signature is good, or park it until its block is here."""
        if vote.stage == PROPOSE:
            if vote.round == self._round.number:
                self._hint = vote.target
            return
        round_ = self._round_numbered(vote.round)
        if round_ is None:
            return
        is_settled = vote.target.number <= self._around.view.finalized.number
        outcome = self._count(round_, vote, is_settled)
        place = (vote.round, vote.stage, vote.voter)
        if outcome is Imported.UNKNOWN_BLOCK:
            if self._parked.add(vote):
                self._around.want(vote.target.hash, peer)
            if not self._parked.is_full(*place):
                return
        if outcome in (Imported.UNKNOWN_BLOCK, Imported.COUNTED):
            # With two votes of a voter in hand, their blocks need not be known.
            for parked in self._parked.take_voter(*place):
                self._count(round_, parked, is_settled=True)
        if round_ is not self._round:
            self._is_record_old = True
        elif self._heard_ms is None:
            self._heard_ms = self._out.now_ms

    def _count(self, round_: VoteRound, vote: HeldVote, is_settled: bool) -> Imported:
        """Count a vote in its round; an equivocation is told."""
        outcome = round_.import_vote(
            vote.stage,
            vote.voter,
            vote.target,
            vote.signed,
            self._around.view.parent_of,
            is_settled,
        )
        self._changes += 1
        if outcome is Imported.EQUIVOCATION:
            first, second = round_.votes_of(vote.stage, vote.voter)
            self._out.alarm(
                AlarmKind.EQUIVOCATION,
                f"voter 0x{vote.signed.id.hex()} cast two votes of stage {vote.stage} in round "
                f"{vote.round} of set {self.authorities.set_id}: "
                f"0x{first.signed.encode().hex()} and 0x{second.signed.encode().hex()}",
            )
            set_id = self.authorities.set_id
            self._out.emit(VoterEquivocated(set_id, vote.round, first.signed, second.signed))
        return outcome

    def _adopt_own(self, vote: HeldVote) -> None:
        """A vote of our own key that we do not know of: made before our database was lost.

        It is ours now, so that we do not make another one.
        """
        book = self._book
        if book is None or vote.signed.id != book.public or book.is_busy:
            return
        if not book.has(vote.round, vote.stage):
            signed = vote.signed
            mark = SignerMark(
                book.public,
                self.authorities.set_id,
                vote.round,
                signed if vote.stage == PROPOSE else None,
                signed if vote.stage == PREVOTE else None,
                signed if vote.stage == PRECOMMIT else None,
            )
            operation = book.adopt(mark)
            if operation is not None:
                self._out.persist_synced([operation], lambda _: None)

    def _note_sender(self, peer: PeerId, vote: HeldVote) -> None:
        if vote.stage == PROPOSE:
            return
        round_ = self._round_numbered(vote.round)
        votes = () if round_ is None else round_.votes_of(vote.stage, vote.voter)
        is_second = len(votes) > 1 and votes[1].target == vote.target
        self._around.gossip.note_vote(peer, vote.round, vote.stage, vote.voter, is_second)

    # --- records

    def _record(self) -> PutVoter:
        record = VoterRecord(
            self.authorities.set_id,
            self._round.number,
            [record_of(completed) for completed in self._completed],
            record_of(self._round),
        )
        return PutVoter(ROUNDS_KEY, record.encode())

    def _equivocators(self, round_: VoteRound) -> str:
        """The evidence that more than f voters broke the protocol."""
        votes = [
            f"0x{vote.signed.encode().hex()}"
            for stage in (PREVOTE, PRECOMMIT)
            for voter in range(len(self.authorities.voters))
            if round_.equivocated(stage) >> voter & 1
            for vote in round_.votes_of(stage, voter)
        ]
        return (
            f"more than {self.authorities.voters.faults_max} voters equivocated in round "
            f"{round_.number} of set {self.authorities.set_id}: {' '.join(votes)}"
        )


def _base_after(completed: VoteRound) -> BlockRef:
    """What all honest votes of the next round are on top of."""
    return completed.state.finalized or completed.base
