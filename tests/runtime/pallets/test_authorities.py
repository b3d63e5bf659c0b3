"""Members, their decisions, and candidates on the way to being validators."""

from collections.abc import Sequence

import pytest

from runtime.frame import Struct
from runtime.frame.validity import InvalidTransaction
from runtime.genesis import genesis_storage
from runtime.pallets.authorities import errors
from runtime.pallets.authorities.events import (
    MemberAdded,
    MemberRemoved,
    ProposalApproved,
    ProposalClosed,
    ProposalEnacted,
    ProposalFailed,
    UpgradeScheduled,
)
from runtime.pallets.authorities.proposals import (
    Action,
    AddMember,
    AppointOperator,
    CancelUpgrade,
    EmergencyDisable,
    RemoveMember,
    ReplaceMember,
    ScheduleUpgrade,
)
from runtime.primitives.types import AccountId
from runtime.runtime import CODE_KEY, CodeInfo, Runtime, SignatureCache
from tests.support import (
    ALICE,
    BOB,
    CHARLIE,
    DAVE,
    EVE,
    FERDIE,
    MemoryChain,
    assert_noop,
    build_runtime,
    genesis_sections,
    new_runtime,
)
from tests.support.governance import end_of_session, heartbeat, keys_named, proof_of

TIMELOCK, UNANIMOUS, LIFE = 15, 5, 30


def advance(runtime: Runtime, blocks: int) -> None:
    """Let the members' decisions see later blocks, one after the other."""
    for _ in range(blocks):
        number = runtime.system.number.get() + 1
        runtime.system.number.set(number)
        runtime.authorities.on_initialize(number)


def open_proposal(runtime: Runtime, action: Action, *ayes: AccountId) -> int:
    """A proposal with the ayes of these members."""
    runtime.authorities.propose(ayes[0], action)
    proposal_id: int = runtime.authorities.next_proposal.get() - 1
    for who in ayes[1:]:
        runtime.authorities.vote(who, proposal_id, True)
    return proposal_id


def events_of(runtime: Runtime, kind: type[Struct]) -> list[Struct]:
    return [event for event in runtime.assembly.state.events if isinstance(event, kind)]


# --- votes


def test_a_proposal_takes_effect_when_two_thirds_agree_and_the_wait_is_over() -> None:
    runtime = build_runtime()
    open_proposal(runtime, AddMember(EVE), ALICE, BOB, CHARLIE)

    advance(runtime, TIMELOCK - 1)
    waiting = runtime.authorities.candidates[EVE]
    advance(runtime, 1)

    assert waiting is None
    assert runtime.authorities.candidates[EVE] is not None
    assert events_of(runtime, ProposalApproved)
    assert events_of(runtime, ProposalEnacted)


def test_two_of_four_members_are_not_enough() -> None:
    runtime = build_runtime()
    open_proposal(runtime, AddMember(EVE), ALICE, BOB)

    advance(runtime, LIFE)

    assert runtime.authorities.candidates[EVE] is None
    assert events_of(runtime, ProposalClosed)
    assert runtime.authorities.open_proposals.get() == []


def test_unanimous_members_wait_less() -> None:
    runtime = build_runtime()
    open_proposal(runtime, AddMember(EVE), ALICE, BOB, CHARLIE, DAVE)

    advance(runtime, UNANIMOUS)

    assert runtime.authorities.candidates[EVE] is not None


def test_a_vote_taken_back_while_it_waits_stops_a_proposal() -> None:
    runtime = build_runtime()
    proposal_id = open_proposal(runtime, AddMember(EVE), ALICE, BOB, CHARLIE)
    advance(runtime, TIMELOCK - 1)

    runtime.authorities.vote(CHARLIE, proposal_id, False)
    advance(runtime, 2)

    assert runtime.authorities.candidates[EVE] is None
    assert runtime.authorities.open_proposals.get() == [proposal_id]


def test_enough_nays_close_a_proposal_at_once() -> None:
    runtime = build_runtime()
    proposal_id = open_proposal(runtime, AddMember(EVE), ALICE)

    runtime.authorities.vote(BOB, proposal_id, False)
    runtime.authorities.vote(CHARLIE, proposal_id, False)

    assert events_of(runtime, ProposalClosed) == [ProposalClosed(proposal_id)]


def test_votes_of_those_who_left_do_not_count() -> None:
    runtime = build_runtime()
    runtime.authorities.members.set([ALICE, BOB, CHARLIE, DAVE, EVE, FERDIE])
    open_proposal(runtime, RemoveMember(EVE), ALICE, BOB, CHARLIE, DAVE, FERDIE)
    proposal_id = open_proposal(runtime, AppointOperator(BOB), ALICE, BOB, CHARLIE, EVE)

    advance(runtime, TIMELOCK)
    runtime.authorities.vote(DAVE, proposal_id, False)

    assert EVE not in runtime.authorities.members.get()
    proposal = runtime.authorities.proposals[proposal_id]
    assert proposal is not None
    assert proposal.ayes == [ALICE, BOB, CHARLIE]
    assert proposal.approved_at is None


def test_only_members_propose_and_vote() -> None:
    runtime = build_runtime()
    proposal_id = open_proposal(runtime, AddMember(EVE), ALICE)
    pallet = runtime.authorities

    assert_noop(runtime, lambda: pallet.propose(EVE, AddMember(EVE)), errors.NotMember)
    assert_noop(runtime, lambda: pallet.vote(EVE, proposal_id, True), errors.NotMember)


def test_only_its_proposer_takes_a_proposal_back() -> None:
    runtime = build_runtime()
    proposal_id = open_proposal(runtime, AddMember(EVE), ALICE)

    assert_noop(runtime, lambda: runtime.authorities.withdraw(BOB, proposal_id), errors.NotProposer)
    runtime.authorities.withdraw(ALICE, proposal_id)

    assert runtime.authorities.open_proposals.get() == []


def test_a_member_has_four_open_proposals_at_most() -> None:
    runtime = build_runtime()
    for _ in range(4):
        open_proposal(runtime, AppointOperator(EVE), ALICE)

    assert_noop(
        runtime,
        lambda: runtime.authorities.propose(ALICE, AppointOperator(EVE)),
        errors.TooManyProposals,
    )


@pytest.mark.parametrize(
    ("action", "error"),
    [
        (AddMember(BOB), errors.AlreadyMember),
        (ReplaceMember(EVE, FERDIE), errors.NotMember),
        (ReplaceMember(BOB, CHARLIE), errors.AlreadyMember),
        (RemoveMember(EVE), errors.NotMember),
        (EmergencyDisable(EVE), errors.NotMember),
        (ScheduleUpgrade(2, bytes(32), 1), errors.UpgradeInPast),
        (CancelUpgrade(), errors.NoUpgrade),
    ],
)
def test_what_would_fail_is_not_proposed(action: Action, error: type[Exception]) -> None:
    runtime = build_runtime()

    assert_noop(runtime, lambda: runtime.authorities.propose(ALICE, action), error)


def test_three_members_remain_whatever_is_decided() -> None:
    runtime = build_runtime()
    open_proposal(runtime, RemoveMember(DAVE), ALICE, BOB, CHARLIE)
    open_proposal(runtime, RemoveMember(CHARLIE), ALICE, BOB, CHARLIE)

    advance(runtime, TIMELOCK)

    assert len(runtime.authorities.members.get()) == 3
    (failed,) = events_of(runtime, ProposalFailed)
    assert failed == ProposalFailed(1, runtime.assembly.failure_of(errors.TooFewMembers()))


def test_an_appointed_operator_countersigns() -> None:
    runtime = build_runtime()
    open_proposal(runtime, AppointOperator(BOB), ALICE, BOB, CHARLIE, DAVE)

    advance(runtime, UNANIMOUS)

    assert runtime.producer_registration.operator_account() == BOB


# --- emergencies


def test_more_than_half_disable_a_member_at_once_for_a_while() -> None:
    runtime = build_runtime()
    open_proposal(runtime, EmergencyDisable(DAVE), ALICE, BOB)
    before = runtime.session.disabled_validators.get()

    runtime.authorities.vote(CHARLIE, 0, True)

    assert (before, runtime.session.disabled_validators.get()) == ([], [3])
    assert DAVE in runtime.authorities.members.get()
    removal = runtime.authorities.proposals[1]
    assert removal is not None
    assert (removal.action, removal.proposer) == (RemoveMember(DAVE), None)


def test_an_emergency_measure_holds_over_sessions_and_passes() -> None:
    chain = MemoryChain.new(new_runtime())
    votes = [call_of(chain, ALICE, "propose", action=EmergencyDisable(DAVE))]
    votes += [call_of(chain, who, "vote", proposal_id=0, is_aye=True) for who in (BOB, CHARLIE)]
    chain.build(votes)
    disabled: list[list[int]] = []
    for _ in range(4):
        while chain.slot % 4 == 2:
            chain.slot += 1
        disabled.append(build_around(chain, DAVE))

    assert disabled == [[3], [3], [], []]


def build_around(chain: MemoryChain, who: AccountId) -> list[int]:
    """Build a session's blocks, leaving out the slots of a validator; who is disabled after it."""
    runtime, length = chain.runtime, chain.runtime.constants.session_blocks
    while True:
        runtime.bind(chain.overlay())
        accounts = runtime.session.validators.get()
        slot = chain.slot + 1
        block = chain.build(slot=slot + 1 if accounts[slot % len(accounts)] == who else slot)
        if block.header.number % length == 0:
            runtime.bind(chain.overlay())
            return runtime.session.disabled_validators.get()


def test_a_member_proposes_two_emergency_measures_at_most() -> None:
    runtime = build_runtime()
    for _ in range(2):
        open_proposal(runtime, EmergencyDisable(DAVE), ALICE)

    assert_noop(
        runtime,
        lambda: runtime.authorities.propose(ALICE, EmergencyDisable(BOB)),
        errors.EmergencyLimit,
    )


def test_an_emergency_measure_touches_no_money() -> None:
    runtime = build_runtime()
    before = dict(runtime.system.account.items())

    open_proposal(runtime, EmergencyDisable(DAVE), ALICE, BOB, CHARLIE)

    assert dict(runtime.system.account.items()) == before


# --- upgrades


def test_an_upgrade_changes_the_code_in_the_block_before_it() -> None:
    chain = MemoryChain.new(new_runtime())
    upgrade = ScheduleUpgrade(2, bytes([7]) * 32, 12)
    extrinsics = [call_of(chain, ALICE, "propose", action=upgrade)]
    extrinsics += [
        call_of(chain, who, "vote", proposal_id=0, is_aye=True) for who in (BOB, CHARLIE, DAVE)
    ]
    chain.build(extrinsics)

    before: list[bytes | None] = []
    while chain.head.number < 11:
        before.append(chain.overlay().get(CODE_KEY))
        chain.build()

    assert set(before) == {chain.runtime.code()}
    assert chain.overlay().get(CODE_KEY) == CodeInfo("dret", 2, bytes([7]) * 32).encode()


def test_more_than_half_cancel_an_upgrade_at_once() -> None:
    runtime = build_runtime()
    open_proposal(runtime, ScheduleUpgrade(2, bytes(32), 100), ALICE, BOB, CHARLIE, DAVE)
    advance(runtime, UNANIMOUS)
    planned = runtime.authorities.upgrade.get()

    open_proposal(runtime, CancelUpgrade(), ALICE, BOB, CHARLIE)

    assert planned is not None
    assert events_of(runtime, UpgradeScheduled) == [UpgradeScheduled(2, 100)]
    assert runtime.authorities.upgrade.get() is None


def test_a_genesis_may_name_members_and_an_upgrade() -> None:
    runtime = new_runtime()
    sections = genesis_sections()
    sections["authorities"] = {
        "members": ["0x" + who.hex() for who in (ALICE, BOB, CHARLIE)],
        "upgrade": {"spec_version": 2, "metadata_hash": "0x" + "ab" * 32, "at_block": 9},
    }
    chain = MemoryChain.new(runtime, sections)

    for _ in range(8):
        chain.build()

    assert chain.overlay().get(CODE_KEY) == CodeInfo("dret", 2, b"\xab" * 32).encode()


def test_a_genesis_with_a_member_listed_twice_is_refused() -> None:
    sections = genesis_sections()
    sections["authorities"] = {"members": ["0x" + ALICE.hex()] * 2}

    with pytest.raises(ValueError, match="section 'authorities'"):
        genesis_storage(new_runtime(), sections)


# --- candidates


def call_of(chain: MemoryChain, who: AccountId, name: str, **arguments: object) -> bytes:
    return chain.sign(who, chain.call("Authorities", name, **arguments))


def chain_with_candidate(action: Action) -> MemoryChain:
    """A chain whose members have just decided to take Eve in, who has registered keys."""
    chain = MemoryChain.new(new_runtime())
    keys = chain.call("Session", "set_keys", keys=keys_named("Eve"), proof=proof_of("Eve", EVE))
    extrinsics = [chain.sign(EVE, keys), call_of(chain, ALICE, "propose", action=action)]
    extrinsics += [
        call_of(chain, who, "vote", proposal_id=0, is_aye=True) for who in (BOB, CHARLIE, DAVE)
    ]
    chain.build(extrinsics)
    while not chain.runtime.authorities.candidates.items():
        chain.build()
    for _ in range(UNANIMOUS):
        chain.build()
    return chain


def sessions(chain: MemoryChain, *is_alive: bool) -> Sequence[list[AccountId]]:
    """Members after each of some sessions, in which Eve's node gives a sign of life or not."""
    found: list[list[AccountId]] = []
    for is_seen in is_alive:
        chain.runtime.bind(chain.overlay())
        index = chain.runtime.session.session_index()
        end_of_session(chain, [heartbeat(chain, "Eve", EVE, index)] if is_seen else [])
        chain.runtime.bind(chain.overlay())
        found.append(chain.runtime.authorities.members.get())
    return found


def test_a_candidate_becomes_a_member_after_two_sessions_of_life_and_then_a_validator() -> None:
    chain = chain_with_candidate(AddMember(EVE))

    first, second = sessions(chain, True, True)
    queued = chain.runtime.session.queued_keys.get()
    sessions(chain, False)

    assert EVE not in first
    assert second == [ALICE, BOB, CHARLIE, DAVE, EVE]
    assert dict(queued)[EVE] == keys_named("Eve")
    assert chain.runtime.session.validators.get() == [ALICE, BOB, CHARLIE, DAVE, EVE]


def test_a_candidate_that_falls_silent_begins_anew() -> None:
    chain = chain_with_candidate(AddMember(EVE))

    members = sessions(chain, True, False, True, True)

    assert [EVE in found for found in members] == [False, False, False, True]


def test_a_replacement_takes_the_place_of_the_member_and_two_sessions_as_validator() -> None:
    chain = chain_with_candidate(ReplaceMember(DAVE, EVE))

    (_, members) = sessions(chain, True, True)
    queued = [who for who, _ in chain.runtime.session.queued_keys.get()]
    sessions(chain, False)

    assert members == [ALICE, BOB, CHARLIE, EVE]
    assert queued == [ALICE, BOB, CHARLIE, DAVE, EVE]
    assert [who for who, _ in chain.runtime.session.queued_keys.get()] == [
        ALICE,
        BOB,
        CHARLIE,
        EVE,
    ]
    kinds = [record.event for record in chain.runtime.assembly.state.progress.events]
    assert not any(isinstance(event, MemberAdded | MemberRemoved) for event in kinds)


def test_a_sign_of_life_is_taken_once_in_its_session_and_from_its_key() -> None:
    chain = chain_with_candidate(AddMember(EVE))
    good = heartbeat(chain, "Eve", EVE, 0)

    wrong = [
        heartbeat(chain, "Eve", EVE, 1),
        heartbeat(chain, "Ferdie", EVE, 0),
        heartbeat(chain, "Ferdie", FERDIE, 0),
    ]
    reasons = [refusal(chain, extrinsic) for extrinsic in wrong]
    chain.build([good])

    assert reasons == ["WrongSession", "WrongSignature", "NotMember"]
    assert refusal(chain, good) == "AlreadySeen"


def refusal(chain: MemoryChain, extrinsic: bytes) -> str:
    with pytest.raises(InvalidTransaction) as found:
        chain.build([extrinsic])
    return found.value.detail


def test_the_pool_keeps_one_sign_of_life_of_an_account_and_session() -> None:
    chain = chain_with_candidate(AddMember(EVE))
    runtime = chain.runtime
    one, other = (heartbeat(chain, "Eve", EVE, 0) for _ in range(2))

    tags = [
        runtime.validate_transaction(
            chain.overlay(), extrinsic, SignatureCache(), chain.head.hash()
        ).provides
        for extrinsic in (one, other)
    ]

    assert one != other
    assert tags[0] == tags[1] == runtime.tags_of(one)


def test_a_validator_not_seen_for_three_sessions_is_proposed_for_removal() -> None:
    chain = MemoryChain.new(new_runtime())

    for _ in range(3):
        build_around(chain, DAVE)

    proposal = chain.runtime.authorities.proposals[0]
    assert proposal is not None
    assert proposal.action == RemoveMember(DAVE)
    assert chain.runtime.authorities.members.get() == [ALICE, BOB, CHARLIE, DAVE]


def test_members_tell_the_identity_of_their_nodes() -> None:
    runtime = build_runtime()

    runtime.authorities.set_peer_id(ALICE, b"12D3KooW")

    assert runtime.authorities.peer_ids[ALICE] == b"12D3KooW"
    assert_noop(runtime, lambda: runtime.authorities.set_peer_id(EVE, b"12D3"), errors.NotMember)
    assert_noop(runtime, lambda: runtime.authorities.set_peer_id(ALICE, bytes(65)), errors.TooLong)


def test_the_overview_tells_where_the_governance_stands() -> None:
    chain = chain_with_candidate(AddMember(EVE))
    codec = type(chain.runtime.authorities.overview())

    data = chain.runtime.call_api(chain.overlay(), "AuthoritiesApi_overview", b"")
    view = codec.decode(data)

    assert (view.session, view.session_ends_at, view.set_id) == (0, 15, 0)
    assert view.members == [ALICE, BOB, CHARLIE, DAVE]
    assert [entry.who for entry in view.validators] == view.members
    assert [who for who, _ in view.candidates] == [EVE]
