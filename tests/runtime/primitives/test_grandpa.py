"""Votes and gossip have the sizes and indices that light clients and peers expect."""

import pytest

from runtime.primitives.aura import ENGINE_ID as AURA_ENGINE_ID
from runtime.primitives.aura import AuraLog, AuthoritiesChange, AuthorityDisabled, PreDigest
from runtime.primitives.block import PreRuntime
from runtime.primitives.grandpa import (
    CatchUp,
    CatchUpRequest,
    CatchUpResponse,
    Commit,
    CommitMessage,
    CommitTarget,
    CompactCommit,
    ForcedChange,
    GossipMessage,
    GrandpaLog,
    Justification,
    Message,
    NeighbourV2,
    Pause,
    Precommit,
    Prevote,
    PrimaryPropose,
    Resume,
    RoundVotes,
    ScheduledChange,
    SignedMessage,
    SignedPrecommit,
    SignedPrevote,
    Vote,
    VoterDisabled,
    vote_payload,
)
from runtime.primitives.scale import DecodeError

HASH, SIGNATURE, VOTER = b"h" * 32, b"s" * 64, b"v" * 32


@pytest.mark.parametrize(
    ("message", "index"),
    [(Prevote(HASH, 7), 0), (Precommit(HASH, 7), 1), (PrimaryPropose(HASH, 7), 2)],
)
def test_a_vote_is_signed_with_its_round_and_set(message: Message, index: int) -> None:
    head = bytes([index]) + HASH + (7).to_bytes(4, "little")

    assert message.encode() == head
    assert vote_payload(message, 3, 4) == head + (3).to_bytes(8, "little") + (4).to_bytes(
        8, "little"
    )
    assert Message.decode(head) == message


def test_votes_of_different_kinds_are_different() -> None:
    assert Prevote(HASH, 7) != Precommit(HASH, 7)


def test_signed_votes_have_the_sizes_that_other_implementations_count_on() -> None:
    assert len(SignedMessage(Prevote(HASH, 1), SIGNATURE, VOTER).encode()) == 133
    assert len(SignedPrecommit(HASH, 1, SIGNATURE, VOTER).encode()) == 132
    assert SignedPrecommit(HASH, 1, SIGNATURE, VOTER).message == Precommit(HASH, 1)
    assert SignedPrevote(HASH, 1, SIGNATURE, VOTER).message == Prevote(HASH, 1)


def test_a_commit_and_its_compact_form_say_the_same() -> None:
    commit = Commit(
        HASH,
        5,
        [
            SignedPrecommit(HASH, 5, SIGNATURE, VOTER),
            SignedPrecommit(b"g" * 32, 6, SIGNATURE, VOTER),
        ],
    )

    assert CompactCommit.from_commit(commit).to_commit() == commit


def test_a_compact_commit_with_a_signature_missing_is_refused() -> None:
    compact = CompactCommit(HASH, 5, [CommitTarget(HASH, 5)], [])

    with pytest.raises(ValueError, match="1 precommits and 0 signatures"):
        compact.to_commit()


VOTES = RoundVotes(b"\1", b"\0", b"\3", b"\0")
GOSSIP: list[GossipMessage] = [
    Vote(1, 2, SignedMessage(Precommit(HASH, 3), SIGNATURE, VOTER)),
    CommitMessage(1, 2, CompactCommit(HASH, 3, [CommitTarget(HASH, 3)], [(SIGNATURE, VOTER)])),
    NeighbourV2(1, 2, 3, HASH, VOTES, VOTES),
    CatchUpRequest(1, 2),
    CatchUpResponse(2, CatchUp(1, [SignedPrevote(HASH, 3, SIGNATURE, VOTER)], [], HASH, 3)),
]


def test_gossip_messages_keep_their_order_on_the_wire() -> None:
    assert [message.encode()[0] for message in GOSSIP] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("message", GOSSIP)
def test_gossip_messages_round_trip(message: GossipMessage) -> None:
    assert GossipMessage.decode(message.encode()) == message
    with pytest.raises(DecodeError):
        GossipMessage.decode(message.encode()[:-1])


def test_the_bitmaps_of_a_neighbour_are_bounded() -> None:
    votes = RoundVotes(bytes(128), b"", b"", b"")
    assert RoundVotes.decode(votes.encode()) == votes

    too_long = b"\x05\x02" + bytes(129) + b"\0\0\0"
    with pytest.raises(DecodeError, match="at most 128"):
        RoundVotes.decode(too_long)


def test_a_justification_round_trips() -> None:
    justification = Justification(
        9, Commit(HASH, 5, [SignedPrecommit(HASH, 5, SIGNATURE, VOTER)]), []
    )

    assert len(justification.encode()) == 8 + 36 + 1 + 132 + 1
    assert Justification.decode(justification.encode()) == justification


@pytest.mark.parametrize(
    ("log", "encoded"),
    [
        (
            ScheduledChange([(VOTER, 1)], 2),
            "01" + "04" + VOTER.hex() + "0100000000000000" + "02000000",
        ),
        (ForcedChange(9, [], 2), "02" + "09000000" + "00" + "02000000"),
        (VoterDisabled(3), "03" + "0300000000000000"),
        (Pause(1), "04" + "01000000"),
        (Resume(1), "05" + "01000000"),
    ],
)
def test_messages_of_the_runtime_to_grandpa_have_the_bytes_of_substrate(
    log: GrandpaLog, encoded: str
) -> None:
    assert log.encode().hex() == encoded
    assert GrandpaLog.decode(bytes.fromhex(encoded)) == log


@pytest.mark.parametrize(
    ("log", "encoded"),
    [
        (AuthoritiesChange([VOTER, HASH]), "01" + "08" + VOTER.hex() + HASH.hex()),
        (AuthorityDisabled(3), "02" + "03000000"),
    ],
)
def test_messages_of_the_runtime_to_aura_have_the_bytes_of_substrate(
    log: AuraLog, encoded: str
) -> None:
    assert log.encode().hex() == encoded
    assert AuraLog.decode(bytes.fromhex(encoded)) == log


def test_the_slot_of_a_block_is_its_pre_runtime_digest() -> None:
    item = PreRuntime(AURA_ENGINE_ID, PreDigest(290_000_000).encode())

    assert item.encode().hex() == "066175726120800c491100000000"
