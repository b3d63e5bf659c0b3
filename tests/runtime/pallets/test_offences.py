"""Offences: what proves them, what follows, and what proves nothing."""

import pytest

from consensus.aura import pre_hash, sealed
from runtime.frame.validity import InvalidTransaction
from runtime.pallets.authorities.events import Offence
from runtime.pallets.authorities.offences import OffenceKind
from runtime.pallets.authorities.proposals import RemoveMember
from runtime.primitives.block import Header
from runtime.primitives.crypto import Scheme
from runtime.primitives.extrinsic import UncheckedExtrinsic
from runtime.primitives.grandpa import (
    EquivocatedVote,
    EquivocationProof,
    Precommit,
    PrecommitEquivocation,
    Prevote,
    PrevoteEquivocation,
    vote_payload,
)
from runtime.runtime import SignatureCache
from tests.support import ALICE, BOB, CHARLIE, DAVE, MemoryChain, new_runtime
from tests.support.accounts import pair_named

NAMES = ("Alice", "Bob", "Charlie", "Dave")
ACCOUNTS = (ALICE, BOB, CHARLIE, DAVE)


def two_blocks(chain: MemoryChain, name: str, slot: int) -> tuple[bytes, bytes]:
    """Two headers of a slot with different states, sealed by somebody."""
    one = chain.draft(slot)
    other = Header(one.parent_hash, one.number, bytes([1]) * 32, one.extrinsics_root, one.digest)
    pair = pair_named(name)
    first, second = (sealed(header, pair.sign(pre_hash(header))) for header in (one, other))
    return first.encode(), second.encode()


def author_report(chain: MemoryChain, first: bytes, second: bytes, set_id: int = 0) -> bytes:
    call = chain.call("Authorities", "report_author", set_id=set_id, first=first, second=second)
    return UncheckedExtrinsic(None, call).encode()


def vote_report(
    chain: MemoryChain,
    name: str = "Dave",
    *,
    second: bytes = bytes(32),
    set_id: int = 0,
    round_number: int = 9,
) -> bytes:
    """A report of two precommits in a round."""
    pair = pair_named(name, Scheme.ED25519)
    votes: list[EquivocatedVote] = []
    for target in (bytes([5]) * 32, second):
        payload = vote_payload(Precommit(target, 4), round_number, set_id)
        votes.append(EquivocatedVote(target, 4, pair.sign(payload)))
    proof = EquivocationProof(
        set_id, PrecommitEquivocation(round_number, pair.public, votes[0], votes[1])
    )
    call = chain.call("Authorities", "report_voter", proof=proof.encode())
    return UncheckedExtrinsic(None, call).encode()


def refusal(chain: MemoryChain, extrinsic: bytes) -> str:
    with pytest.raises(InvalidTransaction) as found:
        chain.build([extrinsic])
    return found.value.detail


def a_chain() -> MemoryChain:
    chain = MemoryChain.new(new_runtime())
    chain.build()
    return chain


def test_two_blocks_of_a_slot_disable_their_author_and_open_its_removal() -> None:
    chain = a_chain()
    slot = chain.slot + 3
    place = slot % 4
    report = author_report(chain, *two_blocks(chain, NAMES[place], slot))

    chain.build([report])

    runtime = chain.runtime
    runtime.bind(chain.overlay())
    assert runtime.session.disabled_validators.get() == [place]
    proposal = runtime.authorities.proposals[0]
    assert proposal is not None
    assert proposal.action == RemoveMember(ACCOUNTS[place])


def test_two_votes_of_a_round_are_an_offence() -> None:
    chain = a_chain()
    events = chain.runtime.assembly.state

    chain.build([vote_report(chain)])

    assert Offence(DAVE, OffenceKind.TWO_VOTES) in events.events


def test_an_offence_is_punished_once() -> None:
    chain = a_chain()
    chain.build([vote_report(chain)])
    chain.slot += 1  # the next one is Dave's, who is disabled

    assert refusal(chain, vote_report(chain, second=bytes([9]) * 32)) == "DuplicateReport"


def test_an_offence_does_not_count_again_in_another_session() -> None:
    chain = a_chain()
    report = vote_report(chain)
    chain.build([report])
    while chain.head.number < 15:
        chain.slot += (chain.slot + 1) % 4 == 3  # Dave's slots
        chain.build()

    assert refusal(chain, report) == "DuplicateReport"
    other = vote_report(chain, second=bytes([9]) * 32, round_number=10)
    chain.slot += (chain.slot + 1) % 4 == 3
    chain.build([other])
    assert chain.runtime.session.disabled_validators.get() == [3]


def test_an_offender_is_reported_once_a_session_whatever_it_signs_against_itself() -> None:
    chain = a_chain()
    runtime = chain.runtime
    reports = [vote_report(chain, round_number=number) for number in (9, 10)]
    tags = [
        runtime.validate_transaction(
            chain.overlay(), report, SignatureCache(), chain.head.hash()
        ).provides
        for report in reports
    ]
    chain.build(reports[:1])
    chain.slot += 1

    assert tags[0] == tags[1]
    assert refusal(chain, reports[1]) == "DuplicateReport"


def test_more_than_f_offenders_are_recorded_and_not_disabled() -> None:
    chain = a_chain()

    chain.build([vote_report(chain, "Dave"), vote_report(chain, "Charlie")])

    runtime = chain.runtime
    runtime.bind(chain.overlay())
    assert runtime.session.disabled_validators.get() == [3]
    assert len(runtime.authorities.open_proposals.get()) == 2


def test_blocks_that_prove_nothing_are_refused() -> None:
    chain = a_chain()
    slot = chain.slot + 3
    first, second = two_blocks(chain, NAMES[slot % 4], slot)
    other_slot, _ = two_blocks(chain, NAMES[slot % 4], slot + 4)
    forged = two_blocks(chain, NAMES[(slot + 1) % 4], slot)
    early = two_blocks(chain, NAMES[0], 0)
    resealed = two_blocks(chain, NAMES[slot % 4], slot)[0]

    reasons = {
        refusal(chain, author_report(chain, *pair))
        for pair in [
            (first, first),
            (first, resealed),
            (first, other_slot),
            forged,
            early,
            (first, second[:-1]),
            (first, bytes(9_000)),
        ]
    }

    assert reasons == {"InvalidEvidence"}
    assert refusal(chain, author_report(chain, first, second, set_id=7)) == "InvalidEvidence"


def test_votes_that_prove_nothing_are_refused() -> None:
    chain = a_chain()
    pair = pair_named("Dave", Scheme.ED25519)
    target = bytes([5]) * 32
    vote = EquivocatedVote(target, 4, pair.sign(vote_payload(Precommit(target, 4), 9, 0)))
    other = bytes([6]) * 32
    prevote = EquivocatedVote(other, 4, pair.sign(vote_payload(Prevote(other, 4), 9, 0)))
    mixed = EquivocationProof(0, PrevoteEquivocation(9, pair.public, vote, prevote)).encode()
    call = chain.call("Authorities", "report_voter", proof=mixed)

    reasons = [
        refusal(chain, vote_report(chain, second=bytes([5]) * 32)),
        refusal(chain, vote_report(chain, "Eve")),
        refusal(chain, vote_report(chain, set_id=3)),
        refusal(chain, UncheckedExtrinsic(None, call).encode()),
    ]

    assert set(reasons) == {"InvalidEvidence"}


def test_a_report_needs_room_in_the_block_and_may_follow_signed_calls() -> None:
    chain = a_chain()
    report = vote_report(chain)
    runtime = new_runtime(block_length_max=len(report) + 20)
    small = MemoryChain.new(runtime)

    with pytest.raises(InvalidTransaction) as refused:
        small.build([report])
    block = chain.build([chain.transfer(ALICE, BOB, 5), report])

    assert refused.value.exhausts_resources
    assert len(block.extrinsics) == 3


def test_nothing_but_a_report_goes_in_unsigned() -> None:
    chain = a_chain()
    call = chain.call("Authorities", "withdraw", proposal_id=0)

    with pytest.raises(InvalidTransaction) as refused:
        chain.runtime.validate_transaction(
            chain.overlay(),
            UncheckedExtrinsic(None, call).encode(),
            SignatureCache(),
            chain.head.hash(),
        )

    assert refused.value.is_unknown


def test_an_unsigned_report_cannot_be_wrapped_in_a_batch() -> None:
    chain = a_chain()
    proof = vote_report(chain)
    inner = chain.runtime.assembly.decode_call(proof[proof.index(b"\x04") + 1 :])
    batch = chain.call("Utility", "batch_all", calls=[inner])

    block = chain.build([chain.sign(ALICE, batch)])

    chain.runtime.bind(chain.overlay())
    assert len(block.extrinsics) == 2
    assert chain.runtime.session.disabled_validators.get() == []
