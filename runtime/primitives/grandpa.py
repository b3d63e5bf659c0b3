"""The wire types of GRANDPA finality: votes, commits, justifications and gossip.

Votes, commits, justifications and catch-ups are byte for byte Substrate's (sp-consensus-grandpa,
finality-grandpa), so light clients and bridges of others can check our finality. The gossip
envelope has Substrate's order too; its neighbour packet is our own and says who voted in the last
two rounds, so that a peer sends exactly what is missing.

Leaves out: whether a signature or a justification is valid, which consensus decides.
"""

import struct
from typing import Annotated

from runtime.primitives.block import Header
from runtime.primitives.scale import U64, Enum, MaxLen, Struct
from runtime.primitives.types import AuthorityId, BlockNumber, Hash, Round, SetId, Signature

ENGINE_ID = b"FRNK"
"""Under this id justifications are stored and digest items addressed."""

VOTERS_MAX = 1_024
"""Far above the 100 validators the gossip is made for; bounds the bitmaps of a neighbour packet."""


# --- votes


class Message(Enum):
    """A vote for a block, not yet signed."""


class Prevote(Message, index=0):
    """First vote of a round: the best chain the voter sees."""

    target_hash: Hash
    target_number: BlockNumber


class Precommit(Message, index=1):
    """Second vote of a round: what more than two thirds of the prevotes agree on."""

    target_hash: Hash
    target_number: BlockNumber


class PrimaryPropose(Message, index=2):
    """The round's primary repeats what the last round may have finalized."""

    target_hash: Hash
    target_number: BlockNumber


class SignedMessage(Struct):
    """A vote with its signature over `vote_payload` and its voter."""

    message: Message
    signature: Signature
    id: AuthorityId


def vote_payload(message: Message, round_number: int, set_id: int) -> bytes:
    """What a voter signs: the vote, the round and the authority set (53 bytes)."""
    return message.encode() + _ROUND_AND_SET.pack(round_number, set_id)


_ROUND_AND_SET = struct.Struct("<QQ")


# --- commits and justifications


class SignedPrevote(Struct):
    """A prevote in a catch-up, which says itself that these are prevotes."""

    target_hash: Hash
    target_number: BlockNumber
    signature: Signature
    id: AuthorityId

    @property
    def message(self) -> Prevote:
        """The vote that was signed."""
        return Prevote(self.target_hash, self.target_number)


class SignedPrecommit(Struct):
    """A precommit in a commit or a catch-up."""

    target_hash: Hash
    target_number: BlockNumber
    signature: Signature
    id: AuthorityId

    @property
    def message(self) -> Precommit:
        """The vote that was signed."""
        return Precommit(self.target_hash, self.target_number)


class Commit(Struct):
    """The precommits that finalize a block."""

    target_hash: Hash
    target_number: BlockNumber
    precommits: list[SignedPrecommit]


class CommitTarget(Struct):
    """What one precommit of a compact commit votes for."""

    target_hash: Hash
    target_number: BlockNumber


class CompactCommit(Struct):
    """A commit as it is gossiped: targets and signatures in two lists of equal length."""

    target_hash: Hash
    target_number: BlockNumber
    precommits: list[CommitTarget]
    auth_data: list[tuple[Signature, AuthorityId]]

    def to_commit(self) -> Commit:
        """The same commit, each precommit with its signature; ValueError if lists differ."""
        if len(self.precommits) != len(self.auth_data):
            raise ValueError(
                f"{len(self.precommits)} precommits and {len(self.auth_data)} signatures"
            )
        pairs = zip(self.precommits, self.auth_data, strict=True)
        precommits = [
            SignedPrecommit(vote.target_hash, vote.target_number, signature, voter)
            for vote, (signature, voter) in pairs
        ]
        return Commit(self.target_hash, self.target_number, precommits)

    @staticmethod
    def from_commit(commit: Commit) -> "CompactCommit":
        """The gossiped form of `commit`."""
        votes = [CommitTarget(vote.target_hash, vote.target_number) for vote in commit.precommits]
        signatures = [(vote.signature, vote.id) for vote in commit.precommits]
        return CompactCommit(commit.target_hash, commit.target_number, votes, signatures)


class Justification(Struct):
    """A proof of finality that needs nothing but the authority set to be checked."""

    round: Round
    commit: Commit
    votes_ancestries: list[Header]
    """The headers between the commit's target and the blocks its precommits voted for."""


class FinalityProof(Struct):
    """A proof that a block is final, for who knows the authority set that made it so."""

    block: Hash
    """The block that the justification is for: the one asked for, or a descendant."""

    justification: bytes
    unknown_headers: list[Header]
    """The headers above the block asked for, up to `block`."""


class CatchUp(Struct):
    """All votes of a round that is over, for a voter that fell behind."""

    round: Round
    prevotes: list[SignedPrevote]
    precommits: list[SignedPrecommit]
    base_hash: Hash
    base_number: BlockNumber


# --- equivocations


class EquivocatedVote(Struct):
    """One of the two votes."""

    target_hash: Hash
    target_number: BlockNumber
    signature: Signature

    @property
    def target(self) -> tuple[Hash, BlockNumber]:
        """The block it is for."""
        return self.target_hash, self.target_number


class Equivocation(Enum):
    """Two votes of one voter in one stage of a round."""

    round: Round
    identity: AuthorityId
    first: EquivocatedVote
    second: EquivocatedVote

    def message_of(self, vote: EquivocatedVote) -> Message:
        """One of the votes as it was signed."""
        raise NotImplementedError


class PrevoteEquivocation(Equivocation, index=0, name_in_metadata="Prevote"):
    """Two prevotes."""

    round: Round
    identity: AuthorityId
    first: EquivocatedVote
    second: EquivocatedVote

    def message_of(self, vote: EquivocatedVote) -> Message:
        """One of the prevotes."""
        return Prevote(vote.target_hash, vote.target_number)


class PrecommitEquivocation(Equivocation, index=1, name_in_metadata="Precommit"):
    """Two precommits."""

    round: Round
    identity: AuthorityId
    first: EquivocatedVote
    second: EquivocatedVote

    def message_of(self, vote: EquivocatedVote) -> Message:
        """One of the precommits."""
        return Precommit(vote.target_hash, vote.target_number)


class EquivocationProof(Struct):
    """What proves that a voter of a set equivocated; Substrate's bytes."""

    set_id: SetId
    equivocation: Equivocation


# --- digest items


class GrandpaLog(Enum):
    """The data of a `Consensus` digest item, from the runtime to GRANDPA."""


class ScheduledChange(GrandpaLog, index=1):
    """When this block and `delay` more are finalized, the next set votes."""

    next_authorities: list[tuple[AuthorityId, U64]]
    """With their weights, which are all 1 on this chain."""
    delay: BlockNumber


class ForcedChange(GrandpaLog, index=2):
    """As a scheduled change, but without waiting for finality, which has stalled."""

    best_finalized: BlockNumber
    next_authorities: list[tuple[AuthorityId, U64]]
    delay: BlockNumber


class VoterDisabled(GrandpaLog, index=3, unnamed=True, name_in_metadata="OnDisabled"):
    """The voter at this place of the set is passed over."""

    authority_index: U64


class Pause(GrandpaLog, index=4, unnamed=True):
    """Stop voting after this many blocks; this chain never says so."""

    delay: BlockNumber


class Resume(GrandpaLog, index=5, unnamed=True):
    """Vote again after this many blocks; this chain never says so."""

    delay: BlockNumber


# --- gossip

Bitmap = Annotated[bytes, MaxLen(VOTERS_MAX // 8)]
"""One bit per voter in the order of the authority set, lowest bit first, ceil(n / 8) bytes."""


class RoundVotes(Struct):
    """Whose votes of one round a node has; an equivocator's bit is set when it has both votes."""

    prevoted: Bitmap
    prevote_equivocated: Bitmap
    precommitted: Bitmap
    precommit_equivocated: Bitmap


class GossipMessage(Enum):
    """What validators tell each other about finality."""


class Vote(GossipMessage, index=0):
    """One signed vote."""

    round: Round
    set_id: SetId
    message: SignedMessage


class CommitMessage(GossipMessage, index=1):
    """A block was finalized, and the proof."""

    round: Round
    set_id: SetId
    commit: CompactCommit


class NeighbourV2(GossipMessage, index=2):
    """Where the sender stands: its round, what it finalized, and which votes it has."""

    round: Round
    set_id: SetId
    commit_finalized: BlockNumber
    finalized_hash: Hash
    votes: RoundVotes
    """Of `round`."""
    votes_before: RoundVotes
    """Of `round - 1`."""


class CatchUpRequest(GossipMessage, index=3):
    """Asks for the votes of a round that is over."""

    round: Round
    set_id: SetId


class CatchUpResponse(GossipMessage, index=4):
    """The answer to a `CatchUpRequest`."""

    set_id: SetId
    catch_up: CatchUp
