"""What the voter keeps on disk, and under which keys of the voter column.

Invariant: a record holds the links between the blocks that its votes point to, so a round can be
rebuilt whatever has been pruned since.
"""

from consensus.grandpa.round import Round
from consensus.grandpa.vote_graph import PRECOMMIT, PREVOTE, BlockRef
from consensus.grandpa.voter_set import VoterSet
from runtime.primitives.grandpa import (
    Message,
    Precommit,
    Prevote,
    PrimaryPropose,
    SignedMessage,
)
from runtime.primitives.scale import U32, U64, Struct
from runtime.primitives.types import Hash

ROUNDS_KEY = b"rounds"
SLOT_KEY = b"slot"
OWN_VOTES_PREFIX = b"v"

PROPOSE = 2
"""The index of PrimaryPropose on the wire, beside PREVOTE and PRECOMMIT."""

VoteRound = Round[SignedMessage]
"""A round that keeps the signed form of its votes."""


class OwnVotes(Struct):
    """What one of our keys has signed in a round. Written before it is sent."""

    propose: SignedMessage | None
    prevote: SignedMessage | None
    precommit: SignedMessage | None


class BlockLink(Struct):
    """A block above a round's base."""

    block_hash: Hash
    number: U32
    parent_hash: Hash


class RoundRecord(Struct):
    """All votes of a round."""

    round: U64
    base_hash: Hash
    base_number: U32
    links: list[BlockLink]
    prevotes: list[SignedMessage]
    precommits: list[SignedMessage]


class VoterRecord(Struct):
    """Where the voter stands: its round and the last two it completed."""

    set_id: U64
    round: U64
    completed: list[RoundRecord]
    """By rising round."""

    current: RoundRecord
    """What had come of `round` when this was written: at its begin and when a block became final.

    After that the blocks of some votes may be gone, and then nobody could count them again.
    """


_VOTES = (Prevote, Precommit, PrimaryPropose)
_STAGES: dict[type, int] = {Prevote: PREVOTE, Precommit: PRECOMMIT, PrimaryPropose: PROPOSE}


def own_votes_key(set_id: int, round_number: int) -> bytes:
    """Keys sort by set and round."""
    return OWN_VOTES_PREFIX + set_id.to_bytes(8, "big") + round_number.to_bytes(8, "big")


def read_own_votes_key(key: bytes) -> tuple[int, int] | None:
    """Set and round of a key of own votes; None for other keys."""
    if len(key) != 17 or not key.startswith(OWN_VOTES_PREFIX):
        return None
    return int.from_bytes(key[1:9], "big"), int.from_bytes(key[9:], "big")


def stage_of(message: Message) -> int:
    """PREVOTE, PRECOMMIT or PROPOSE."""
    return _STAGES[message.__class__]


def target_of(message: Message) -> BlockRef:
    """The block a vote is for."""
    assert isinstance(message, _VOTES), "there are no other votes"
    return BlockRef(message.target_hash, message.target_number)


def record_of(round_: VoteRound) -> RoundRecord:
    """The votes of a round in the form they are stored."""
    return RoundRecord(
        round_.number,
        round_.base.hash,
        round_.base.number,
        [BlockLink(block.hash, block.number, parent) for block, parent in round_.graph.links()],
        [vote.signed for vote in round_.votes(PREVOTE)],
        [vote.signed for vote in round_.votes(PRECOMMIT)],
    )


def round_of(record: RoundRecord, voters: VoterSet) -> VoteRound:
    """The round of a record; votes of strangers cannot occur, for they were checked before."""
    round_ = VoteRound(record.round, voters, BlockRef(record.base_hash, record.base_number))
    parents = {
        link.block_hash: BlockRef(link.parent_hash, link.number - 1) for link in record.links
    }
    for signed in [*record.prevotes, *record.precommits]:
        index = voters.index(signed.id)
        if index is not None:
            stage, target = stage_of(signed.message), target_of(signed.message)
            # What was counted for the base for want of its block has no links.
            round_.import_vote(stage, index, target, signed, parents.get, is_settled=True)
    return round_
