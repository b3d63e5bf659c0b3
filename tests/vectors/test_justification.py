"""A justification and a commit of public chains: every signature in them verifies.

This checks the wire types and the signed payload of votes against other people's validators.
"""

from typing import Any

import pytest

from runtime.primitives.crypto import Scheme, verify
from runtime.primitives.grandpa import (
    Commit,
    CommitMessage,
    CompactCommit,
    GossipMessage,
    Justification,
    vote_payload,
)
from tests.vectors.load import load, unhex

VECTORS = load("grandpa/finality.json")


def valid_signatures(commit: Commit, round_number: int, set_id: int) -> int:
    return sum(
        verify(
            Scheme.ED25519,
            vote.id,
            vote_payload(vote.message, round_number, set_id),
            vote.signature,
        )
        for vote in commit.precommits
    )


def test_a_justification_of_a_public_chain_verifies() -> None:
    case: dict[str, Any] = VECTORS["justification"]

    justification = Justification.decode(unhex(case["hex"]))

    assert justification.encode() == unhex(case["hex"])
    assert justification.round == case["round"]
    assert justification.commit.target_number == case["target_number"]
    assert justification.votes_ancestries == []
    voters = [vote.id for vote in justification.commit.precommits]
    assert voters == sorted(set(voters))
    assert len(voters) == case["precommits"] == 5
    assert valid_signatures(justification.commit, justification.round, case["set_id"]) == 5


def test_a_commit_gossiped_on_a_public_chain_verifies() -> None:
    case: dict[str, Any] = VECTORS["commit"]

    message = GossipMessage.decode(b"\1" + unhex(case["hex"]))

    assert isinstance(message, CommitMessage)
    assert message.encode() == b"\1" + unhex(case["hex"])
    assert (message.round, message.set_id) == (case["round"], case["set_id"])
    commit = message.commit.to_commit()
    assert CompactCommit.from_commit(commit) == message.commit
    assert valid_signatures(commit, message.round, message.set_id) == case["precommits"] == 7


@pytest.mark.parametrize(("round_delta", "set_delta"), [(1, 0), (0, 1)])
def test_signatures_of_another_round_or_set_do_not_verify(round_delta: int, set_delta: int) -> None:
    case: dict[str, Any] = VECTORS["justification"]
    justification = Justification.decode(unhex(case["hex"]))

    found = valid_signatures(
        justification.commit, justification.round + round_delta, case["set_id"] + set_delta
    )

    assert found == 0
