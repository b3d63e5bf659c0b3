"""Authorities: the members of the consortium, what they decide together, and who failed.

Members are legal entities with one vote each, and each runs a validator. They propose and vote;
more than two thirds decide, then a timelock runs in which votes may still change, so that what is
wrong can be stopped; what only stops something (a member's authoring, an upgrade) takes more than
half and no wait. Nobody else can do any of this: there is no root account.

A new member begins as a candidate: only when its node has given a sign of life in some sessions in
a row does it count, so that a dead node cannot cost the chain its quorum. Session then takes it
into the set of validators step by step.

Offences are proved by what a validator signed: two blocks, two votes, or a receipt for an order
that it then left out (`receipts.py`). The offender authors no more blocks in its session
(at most f are so disabled, and its votes still count), and a proposal to remove it opens. Money is
never taken.

Invariant: members are distinct; a candidate is no member; open proposals are those stored.

Left out: changing other constants of the chain than the market's parameters (a new version of the
runtime does that); votes by weight.
"""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from runtime.frame import (
    U32,
    AccountId,
    BlockNumber,
    DispatchError,
    Hash,
    Pallet,
    Pays,
    SetId,
    Signature,
    Signed,
    StorageDoubleMap,
    StorageMap,
    StorageValue,
    Twox64Concat,
    Unsigned,
    api,
    call,
)
from runtime.pallets.authorities.config import Config
from runtime.pallets.authorities.errors import (
    AlreadyMember,
    AlreadySeen,
    DuplicateReport,
    EmergencyLimit,
    InvalidEvidence,
    NotMember,
    NotProposer,
    NoUpgrade,
    ProposalNotFound,
    TooFewMembers,
    TooLong,
    TooManyMembers,
    TooManyProposals,
    UpgradeInPast,
    WrongSession,
    WrongSignature,
)
from runtime.pallets.authorities.events import (
    CandidateAdded,
    CodeUpdated,
    HeartbeatReceived,
    MemberAdded,
    MemberRemoved,
    Offence,
    ProposalApproved,
    ProposalClosed,
    ProposalEnacted,
    ProposalFailed,
    ProposalOpened,
    UpgradeCancelled,
    UpgradeScheduled,
    Voted,
)
from runtime.pallets.authorities.key_ownership import EvidenceApis
from runtime.pallets.authorities.offences import (
    BadProof,
    OffenceKind,
    equivocating_author,
    equivocating_voter,
    offence_key,
)
from runtime.pallets.authorities.proposals import (
    MEMBERS_MAX,
    MEMBERS_MIN,
    Accounts,
    Action,
    AddMember,
    AppointGateway,
    AppointOperator,
    CancelUpgrade,
    DecideOnMarket,
    EmergencyDisable,
    Proposal,
    RemoveMember,
    ReplaceKeys,
    ReplaceMember,
    ScheduleUpgrade,
    ayes_needed,
    count_votes,
    is_urgent,
)
from runtime.pallets.authorities.receipts import Receipts
from runtime.pallets.authorities.records import Candidate, Overview, Upgrade, ValidatorView
from runtime.pallets.authorities.recovery import Recovery
from runtime.pallets.authorities.tags import tag_author_report, tag_heartbeat, tag_vote_report
from runtime.pallets.session import SetRecord
from runtime.pallets.system import account_from_text
from runtime.primitives.crypto import Scheme, verify
from runtime.primitives.grandpa import EquivocationProof
from runtime.primitives.scale import DecodeError
from runtime.primitives.session import heartbeat_payload
from runtime.version import CODE_KEY, SPEC_NAME, CodeInfo

PROPOSALS_MAX = 32  # of members at a time: each is looked at in each block
PROPOSALS_PER_MEMBER = 4
CANDIDATES_MAX = 16
SILENT_SESSIONS = 3  # in a row without a sign of life, then the runtime proposes removal
EMERGENCIES_MAX = 2  # of one member within thirty times the life of an emergency measure
EMERGENCY_WINDOW = 30
PEER_ID_BYTES_MAX = 64
NODE_VERSION_BYTES_MAX = 32

PROPOSE_WEIGHT = 150_000_000
VOTE_WEIGHT = 150_000_000
REPORT_WEIGHT = 450_000_000  # two signatures of sr25519 and the hashes of two headers
HEARTBEAT_WEIGHT = 300_000_000  # up to two signatures
HOOKS_WEIGHT = 4_000_000_000  # 100 members and as many proposals at the end of a session


class Authorities(Receipts, EvidenceApis, Recovery, Pallet[Config]):
    members: StorageValue[Accounts]
    """Who decides; each runs a validator."""

    candidates: StorageMap[AccountId, Candidate | None, Twox64Concat]
    """Who will be a member when its node runs."""

    peer_ids: StorageMap[AccountId, bytes | None, Twox64Concat]
    """The network identity of a member's node, for those who connect to it."""

    proposals: StorageMap[U32, Proposal | None, Twox64Concat]
    """Open decisions."""

    open_proposals: StorageValue[list[U32]]
    """Their numbers, rising."""

    next_proposal: StorageValue[U32]
    """The number of the next one."""

    emergencies: StorageMap[AccountId, list[BlockNumber], Twox64Concat]
    """When a member last proposed emergency measures."""

    suspended: StorageMap[AccountId, BlockNumber | None, Twox64Concat]
    """Whose validator authors nothing, and until which block."""

    upgrade: StorageValue[Upgrade | None]
    """The version of the runtime that the chain goes over to."""

    seen: StorageValue[list[AccountId]]
    """Who has authored or given a sign of life in this session."""

    silent: StorageMap[AccountId, U32, Twox64Concat]
    """For how many sessions in a row a validator has not been seen."""

    reports: StorageDoubleMap[SetId, Hash, bool, Twox64Concat, Twox64Concat]
    """Offences that are known, as long as their set is kept."""

    offenders: StorageValue[list[AccountId]]
    """Who was reported in this session: once is enough, and reports cost nothing."""

    # Hooks.

    def genesis(self, config: Mapping[str, Any]) -> None:
        """`members`: accounts (default: the validators).

        `recovery_keys`: member to the account that signs overrides for it (default: itself).
        `upgrade`: `spec_version`, `metadata_hash`, `at_block` (default: none).
        """
        members = [account_from_text(text) for text in config.get("members", [])]
        if not members:
            members = self.config.session.validators.get()
        if len(set(members)) < len(members) or len(members) > MEMBERS_MAX:
            raise ValueError(f"members have to be distinct, and {MEMBERS_MAX} at most")
        self.members.set(members)
        self.begin_recovery_keys(config.get("recovery_keys", {}))
        planned = config.get("upgrade")
        if planned is not None:
            metadata_hash = bytes.fromhex(planned["metadata_hash"].removeprefix("0x"))
            code = CodeInfo(SPEC_NAME, planned["spec_version"], metadata_hash)
            self.upgrade.set(Upgrade(code, planned["at_block"]))

    def reserved_weight(self) -> int:
        """Picoseconds of looking after proposals, and of the end of a session."""
        return HOOKS_WEIGHT

    def on_initialize(self, number: int) -> None:
        """Note the author as seen, and do what members have decided."""
        author = self.config.session.author()
        if author is not None:
            self._note_seen(author)
        for proposal_id in self.open_proposals.get():
            self._advance(proposal_id)

    def on_finalize(self, number: int) -> None:
        """Keep what receipts are judged by; change the version when its time has come; end the
        session with its last block.
        """
        self.note_block(number)
        upgrade = self.upgrade.get()
        if upgrade is not None and upgrade.at_block == number + 1:
            self._state.overlay.set(CODE_KEY, upgrade.code.encode())
            self.upgrade.delete()
            self.deposit_event(CodeUpdated(upgrade.code.spec_version))
        if number % self.config.session_length == 0:
            self._end_session(number)

    # Calls of members.

    @call(0, weight=PROPOSE_WEIGHT)
    def propose(self, who: Signed, action: Action) -> None:
        """Put a decision to the vote; the proposer's aye counts at once.

        Emits `ProposalOpened`, and what `vote` emits. Fails with `NotMember`, `TooManyProposals`,
        `EmergencyLimit`, or as the action itself would fail now.
        """
        self._check_member(who)
        self._check_action(action)
        open_ = self.open_proposals.get()
        own = sum(1 for number in open_ if self._proposal(number).proposer == who)
        if len(open_) >= PROPOSALS_MAX or own >= PROPOSALS_PER_MEMBER:
            raise TooManyProposals
        if isinstance(action, EmergencyDisable):
            self._count_emergency(who)
        self._advance(self._open(action, who))

    @call(1, weight=VOTE_WEIGHT)
    def vote(self, who: Signed, proposal_id: U32, is_aye: bool) -> None:
        """Vote on a proposal, or change one's vote; possible until it takes effect.

        Emits `Voted`, and then `ProposalApproved`, `ProposalEnacted`, `ProposalFailed` or
        `ProposalClosed` as it may be. Fails with `NotMember` or `ProposalNotFound`.
        """
        self._check_member(who)
        proposal = self._proposal(proposal_id)
        ayes = [account for account in proposal.ayes if account != who]
        nays = [account for account in proposal.nays if account != who]
        members = self.members.get()
        side = ayes if is_aye else nays
        side.append(who)
        # Votes of those who have left would only take room.
        self.proposals[proposal_id] = replace(
            proposal,
            ayes=[account for account in ayes if account in members],
            nays=[account for account in nays if account in members],
        )
        self.deposit_event(Voted(proposal_id, who, is_aye))
        self._advance(proposal_id)

    @call(2, weight=VOTE_WEIGHT)
    def withdraw(self, who: Signed, proposal_id: U32) -> None:
        """Take back one's own proposal.

        Emits `ProposalClosed`. Fails with `ProposalNotFound` or `NotProposer`.
        """
        if self._proposal(proposal_id).proposer != who:
            raise NotProposer
        self._close(proposal_id)
        self.deposit_event(ProposalClosed(proposal_id))

    @call(3, weight=VOTE_WEIGHT)
    def set_peer_id(self, who: Signed, peer_id: bytes) -> None:
        """Tell the network identity of one's node. Fails with `NotMember` or `TooLong`."""
        self._check_runs_node(who)
        if len(peer_id) > PEER_ID_BYTES_MAX:
            raise TooLong
        self.peer_ids[who] = peer_id or None

    # Calls of nodes, which prove themselves.

    @call(4, weight=HEARTBEAT_WEIGHT, tag=tag_heartbeat)
    def heartbeat(
        self,
        _: Unsigned,
        session: U32,
        who: AccountId,
        finalized: BlockNumber,
        version: bytes,
        signature: Signature,
    ) -> Pays:
        """Give a sign of life, signed by the Aura key of a member or candidate.

        Emits `HeartbeatReceived`. Fails with `WrongSession`, `NotMember`, `AlreadySeen`, `TooLong`
        or `WrongSignature`.
        """
        if session != self.config.session.session_index():
            raise WrongSession
        self._check_runs_node(who)
        if who in self.seen.get():
            raise AlreadySeen
        if len(version) > NODE_VERSION_BYTES_MAX:
            raise TooLong
        genesis_hash = self.config.chain.block_hash(0) or b""
        payload = heartbeat_payload(genesis_hash, session, who, finalized, version)
        keys = {keys.aura: None for keys in self.config.session.keys_of(who)}
        if not any(verify(Scheme.SR25519, key, payload, signature) for key in keys):
            raise WrongSignature
        self._note_seen(who)
        self.deposit_event(HeartbeatReceived(who, finalized, version))
        return Pays.NO

    @call(5, weight=REPORT_WEIGHT, tag=tag_author_report)
    def report_author(self, _: Unsigned, set_id: SetId, first: bytes, second: bytes) -> Pays:
        """Prove by two sealed headers that a validator authored two blocks of one slot.

        Emits `Offence`. Fails with `InvalidEvidence` or `DuplicateReport`.
        """
        sets = self.config.session.sets
        record = sets[set_id]
        if record is None:
            raise InvalidEvidence
        try:
            who, slot = equivocating_author(record, sets[set_id + 1], first, second)
        except (BadProof, DecodeError) as error:
            raise InvalidEvidence from error
        self.note_offence(set_id, OffenceKind.TWO_BLOCKS, slot, who)
        return Pays.NO

    @call(6, weight=REPORT_WEIGHT, tag=tag_vote_report)
    def report_voter(self, _: Unsigned, proof: bytes) -> Pays:
        """Prove that a validator cast two votes, by Substrate's `EquivocationProof`.

        Emits `Offence`. Fails with `InvalidEvidence` or `DuplicateReport`.
        """
        try:
            found = EquivocationProof.decode(proof)
            record = self.config.session.sets[found.set_id]
            if record is None:
                raise BadProof("the set is not kept")
            who = equivocating_voter(record, found)
        except (BadProof, DecodeError) as error:
            raise InvalidEvidence from error
        self.note_offence(found.set_id, OffenceKind.TWO_VOTES, found.equivocation.round, who)
        return Pays.NO

    @api("AuthoritiesApi_overview")
    def overview(self) -> Overview:
        """Members, validators, candidates and open decisions, for those who look after a node."""
        session, number = self.config.session, self.config.chain.block_number()
        disabled, seen = session.disabled_validators.get(), self.seen.get()
        return Overview(
            number,
            session.session_index(),
            number + self.config.session_length - number % self.config.session_length,
            session.config.grandpa.set_id(),
            session.config.grandpa.is_handing_over(),
            self.members.get(),
            [
                ValidatorView(who, keys, place in disabled, who in seen)
                for place, (who, keys) in enumerate(session.current_set())
            ],
            session.queued_keys.get(),
            self._candidates(),
            [(open_id, self._proposal(open_id)) for open_id in self.open_proposals.get()],
            self.upgrade.get(),
        )

    def kept_set(self, set_id: SetId) -> SetRecord | None:
        """A set of validators that is still in the state."""
        return self.config.session.sets[set_id]

    def check_invariants(self) -> None:
        """Members are distinct and no candidates; open proposals are stored, no others."""
        members = self.members.get()
        assert len(set(members)) == len(members), "a member is listed twice"
        assert not any(who in members for who, _ in self._candidates()), "a candidate is a member"
        stored = sorted(self.proposals.keys())
        assert stored == self.open_proposals.get(), "proposals"
        self.check_recovery_keys()

    # What the recovery asks.

    def members_now(self) -> list[AccountId]:
        """Who decides."""
        return self.members.get()

    def make_members(self, accounts: list[AccountId]) -> None:
        """These are the members; none of them is a candidate any more."""
        self.members.set(accounts)
        for who in accounts:
            if self.candidates[who] is not None:
                del self.candidates[who]

    def forget_reports_of(self, oldest_before: int) -> None:
        """Delete the reports of a set that is not kept any more."""
        if self.config.session.oldest_set.get() != oldest_before:
            self.reports.clear_under(oldest_before)

    # Proposals.

    def _proposal(self, proposal_id: int) -> Proposal:
        proposal = self.proposals[proposal_id]
        if proposal is None:
            raise ProposalNotFound
        return proposal

    def _open(self, action: Action, proposer: AccountId | None) -> int:
        """Store a proposal; its number."""
        number, proposal_id = self.config.chain.block_number(), self.next_proposal.get()
        ayes = [] if proposer is None else [proposer]
        expires_at = number + self.config.proposal_life
        self.proposals[proposal_id] = Proposal(action, proposer, number, expires_at, ayes, [], None)
        self.open_proposals.set([*self.open_proposals.get(), proposal_id])
        self.next_proposal.set(proposal_id + 1)
        self.deposit_event(ProposalOpened(proposal_id, action, proposer))
        return proposal_id

    def _close(self, proposal_id: int) -> None:
        del self.proposals[proposal_id]
        left = [number for number in self.open_proposals.get() if number != proposal_id]
        self.open_proposals.set(left)

    def _advance(self, proposal_id: int) -> None:
        """Do with a proposal what its votes and the time say."""
        proposal, members = self._proposal(proposal_id), self.members.get()
        number = self.config.chain.block_number()
        ayes, nays = count_votes(proposal, members)
        needed = ayes_needed(proposal.action, len(members))
        if ayes >= needed:
            since = proposal.approved_at
            if since is None:
                since = number
                self.proposals[proposal_id] = replace(proposal, approved_at=since)
                self.deposit_event(ProposalApproved(proposal_id))
            is_unanimous = ayes == len(members)
            if number >= since + self._wait(proposal.action, is_unanimous):
                self._close(proposal_id)
                self._enact(proposal_id, proposal.action)
        elif nays > len(members) - needed or number >= proposal.expires_at:
            self._close(proposal_id)
            self.deposit_event(ProposalClosed(proposal_id))
        elif proposal.approved_at is not None:
            self.proposals[proposal_id] = replace(proposal, approved_at=None)

    def _wait(self, action: Action, is_unanimous: bool) -> int:
        """Blocks between approval and effect."""
        if is_urgent(action):
            return 0
        return self.config.timelock_unanimous if is_unanimous else self.config.timelock

    def _enact(self, proposal_id: int, action: Action) -> None:
        try:
            with self.transaction():
                self._check_action(action)
                self._carry_out(action)
        except DispatchError as error:
            self.deposit_event(ProposalFailed(proposal_id, self.dispatcher.failure_of(error)))
        else:
            self.deposit_event(ProposalEnacted(proposal_id, action))

    def _check_action(self, action: Action) -> None:
        """Raise the error with which an action would fail now."""
        match action:
            case AddMember(who):
                self._check_new(who)
            case ReplaceMember(member, successor):
                self._check_member(member)
                self._check_new(successor)
            case RemoveMember(who):
                members = self.members.get()
                if who in members and len(members) <= MEMBERS_MIN:
                    raise TooFewMembers
                self._check_runs_node(who)
            case EmergencyDisable(who):
                self._check_member(who)
            case ScheduleUpgrade(_, _, at_block):
                if at_block <= self.config.chain.block_number() + 1:
                    raise UpgradeInPast
            case CancelUpgrade():
                if self.upgrade.get() is None:
                    raise NoUpgrade
            case DecideOnMarket(decision):
                self.config.market.check_decision(decision)
            case ReplaceKeys(who, keys, proof):
                self._check_runs_node(who)
                self.config.session.check_keys(who, keys, proof)
            case _:
                pass

    def _carry_out(self, action: Action) -> None:
        match action:
            case AddMember(who):
                self._add_candidate(who, None)
            case ReplaceMember(member, successor):
                self._add_candidate(successor, member)
            case RemoveMember(who):
                self._remove(who)
            case EmergencyDisable(who):
                until = self.config.chain.block_number() + self.config.emergency_life
                self.suspended[who] = until
                self.config.session.disable(who)
                self._propose_removal(who)
            case ScheduleUpgrade(spec_version, metadata_hash, at_block):
                code = CodeInfo(SPEC_NAME, spec_version, metadata_hash)
                self.upgrade.set(Upgrade(code, at_block))
                self.deposit_event(UpgradeScheduled(spec_version, at_block))
            case CancelUpgrade():
                self.upgrade.delete()
                self.deposit_event(UpgradeCancelled())
            case AppointOperator(operator):
                self.config.operator_seat.appoint_operator(operator)
            case DecideOnMarket(decision):
                self.config.market.carry_out(decision)
            case AppointGateway(gateway):
                self.config.gateway_seat.appoint_gateway(gateway)
            case ReplaceKeys(who, keys, _):
                self.config.session.register(who, keys)
            case _:
                raise AssertionError(f"no such action: {action}")

    def _count_emergency(self, who: AccountId) -> None:
        number = self.config.chain.block_number()
        window = EMERGENCY_WINDOW * self.config.emergency_life
        recent = [at for at in self.emergencies[who] if at + window > number]
        if len(recent) >= EMERGENCIES_MAX:
            raise EmergencyLimit
        self.emergencies[who] = [*recent, number]

    def _propose_removal(self, who: AccountId) -> None:
        """The runtime proposes to part with a member, unless that is being decided."""
        action = RemoveMember(who)
        is_open = any(self._proposal(n).action == action for n in self.open_proposals.get())
        if who in self.members.get() and not is_open:
            self._open(action, None)

    # Members.

    def _check_member(self, who: AccountId) -> None:
        if who not in self.members.get():
            raise NotMember

    def _check_runs_node(self, who: AccountId) -> None:
        if who not in self.members.get() and self.candidates[who] is None:
            raise NotMember

    def _check_new(self, who: AccountId) -> None:
        if who in self.members.get() or self.candidates[who] is not None:
            raise AlreadyMember
        if len(self.members.get()) >= MEMBERS_MAX or len(self._candidates()) >= CANDIDATES_MAX:
            raise TooManyMembers

    def _candidates(self) -> list[tuple[AccountId, Candidate]]:
        return [(who, entry) for who, entry in self.candidates.items() if entry is not None]

    def _add_candidate(self, who: AccountId, replaces: AccountId | None) -> None:
        self.candidates[who] = Candidate(replaces, 0)
        self.deposit_event(CandidateAdded(who))

    def _remove(self, who: AccountId) -> None:
        if self.candidates[who] is not None:
            del self.candidates[who]
        members = self.members.get()
        if who in members:
            self.members.set([member for member in members if member != who])
            self.forget(who)
            self.deposit_event(MemberRemoved(who))

    def forget(self, who: AccountId) -> None:
        """Delete what is kept of a member."""
        for kept in (self.peer_ids, self.suspended, self.silent, self.emergencies):
            if who in kept:
                del kept[who]
        self.forget_recovery_key(who)

    def _promote(self, who: AccountId, candidate: Candidate) -> None:
        """Make a candidate a member, in the place of the one it replaces."""
        del self.candidates[who]
        members = self.members.get()
        gone = candidate.replaces
        if gone is not None and gone in members:
            self.members.set([who if member == gone else member for member in members])
            self.forget(gone)
            self.deposit_event(MemberRemoved(gone))
        elif len(members) < MEMBERS_MAX:
            self.members.set([*members, who])
        self.deposit_event(MemberAdded(who))

    # Duties.

    def _note_seen(self, who: AccountId) -> None:
        seen = self.seen.get()
        if who not in seen:
            self.seen.set([*seen, who])

    def note_offence(self, set_id: int, kind: OffenceKind, number: int, who: AccountId) -> None:
        """Record a proved offence, once. Raises `DuplicateReport`."""
        key = offence_key(kind, number, who)
        offenders = self.offenders.get()
        if self.reports[set_id, key] or who in offenders:
            raise DuplicateReport
        self.reports[set_id, key] = True
        self.offenders.set([*offenders, who])
        self.deposit_event(Offence(who, kind))
        self.config.session.disable(who)
        self._propose_removal(who)

    def _end_session(self, number: int) -> None:
        """Judge who was there, take in proven candidates, and let the next set take over."""
        session, seen = self.config.session, self.seen.get()
        self.seen.set([])
        self.offenders.set([])
        for who in session.validators.get():
            self._judge(who, who in seen)
        for who, candidate in self._candidates():
            sessions = candidate.sessions_seen + 1 if who in seen else 0
            if sessions >= self.config.heartbeat_sessions:
                self._promote(who, candidate)
            elif sessions != candidate.sessions_seen:
                self.candidates[who] = replace(candidate, sessions_seen=sessions)
        oldest = session.oldest_set.get()
        session.end_session(self.members.get())
        self.forget_reports_of(oldest)
        for who, until in list(self.suspended.items()):
            if until is None or until <= number:
                del self.suspended[who]
            else:
                session.disable(who)

    def _judge(self, who: AccountId, is_seen: bool) -> None:
        """Count the sessions in which a validator gave no sign of life."""
        if is_seen:
            if who in self.silent:
                del self.silent[who]
            return
        sessions = self.silent[who] + 1
        if sessions < SILENT_SESSIONS:
            self.silent[who] = sessions
        else:
            del self.silent[who]
            self.deposit_event(Offence(who, OffenceKind.UNRESPONSIVE))
            self._propose_removal(who)
