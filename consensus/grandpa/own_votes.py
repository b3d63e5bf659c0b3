"""Our own votes: signed, made durable, and only then counted and sent.

Invariant: for a set, round and stage at most one vote ever gets out, over all crashes. What is on
disk is sent again after a restart; nothing else is created. The signer keeps its own mark and
refuses whatever would break this (`SignerMark`).
"""

from collections.abc import Callable, Mapping

from consensus.effects import AlarmKind, PutVoter
from consensus.events import Signed
from consensus.grandpa.records import (
    PROPOSE,
    OwnVotes,
    own_votes_key,
    read_own_votes_key,
    stage_of,
)
from consensus.grandpa.vote_graph import PRECOMMIT, PREVOTE, BlockRef
from consensus.outbox import Outbox
from consensus.ports import SignerMark
from runtime.primitives.grandpa import (
    Message,
    Precommit,
    Prevote,
    PrimaryPropose,
    SignedMessage,
    vote_payload,
)

NO_VOTES = OwnVotes(None, None, None)


class OwnVoteBook:
    """The votes of our key in one set, by round."""

    def __init__(self, outbox: Outbox, public: bytes, set_id: int) -> None:
        self._out = outbox
        self.public = public
        self._set_id = set_id
        self._votes: dict[int, OwnVotes] = {}
        self.is_busy = False
        """A vote is being signed or written; only one at a time."""

        self._refused: set[tuple[int, int]] = set()

    def load(self, column: Mapping[bytes, bytes]) -> None:
        """Take in what is stored for our set."""
        for key, value in column.items():
            position = read_own_votes_key(key)
            if position is not None and position[0] == self._set_id:
                self._votes[position[1]] = OwnVotes.decode(value)

    def of(self, round_number: int) -> list[SignedMessage]:
        """Our votes of a round, in the order they were made."""
        votes = self._votes.get(round_number, NO_VOTES)
        made = (votes.propose, votes.prevote, votes.precommit)
        return [signed for signed in made if signed is not None]

    def has(self, round_number: int, stage: int) -> bool:
        """Whether we voted, or may not vote any more because the signer refused."""
        votes = self._votes.get(round_number, NO_VOTES)
        # In the order of the stages' numbers.
        cast = (votes.prevote, votes.precommit, votes.propose)[stage]
        return cast is not None or (round_number, stage) in self._refused

    def adopt(self, mark: SignerMark) -> PutVoter | None:
        """Take the signer's votes of a round as ours, when we lack one of them."""
        ours = self._votes.get(mark.round, NO_VOTES)
        merged = OwnVotes(
            ours.propose or mark.propose,
            ours.prevote or mark.prevote,
            ours.precommit or mark.precommit,
        )
        if merged == ours:
            return None
        self._votes[mark.round] = merged
        return PutVoter(own_votes_key(self._set_id, mark.round), merged.encode())

    def cast(
        self,
        round_number: int,
        stage: int,
        target: BlockRef,
        then: Callable[[int, SignedMessage], None],
    ) -> None:
        """Sign a vote, write it, and when that is done hand it to `then`."""
        message = _message(stage, target)
        self.is_busy = True

        def signed(answer: Signed) -> None:
            signature = answer.signature
            if answer.is_lost:
                # It is asked for again when the signer is back, unless its mark tells the vote.
                self.is_busy = False
                return
            if signature is None:
                self.is_busy = False
                self._refused.add((round_number, stage))
                self._out.alarm(
                    AlarmKind.SAFETY,
                    f"the signer refused our vote of round {round_number}, stage {stage}: "
                    f"{answer.reason}",
                )
                return
            self._write(round_number, SignedMessage(message, signature, self.public), then)

        payload = vote_payload(message, round_number, self._set_id)
        self._out.sign_vote(self.public, payload, (self._set_id, round_number, stage), signed)

    def _write(
        self, round_number: int, vote: SignedMessage, then: Callable[[int, SignedMessage], None]
    ) -> None:
        votes = self._votes.get(round_number, NO_VOTES)
        match stage_of(vote.message):
            case 0:
                votes = OwnVotes(votes.propose, vote, votes.precommit)
            case 1:
                votes = OwnVotes(votes.propose, votes.prevote, vote)
            case _:
                votes = OwnVotes(vote, votes.prevote, votes.precommit)
        self._votes[round_number] = votes

        def committed(entropy: int) -> None:
            self.is_busy = False
            then(round_number, vote)

        key = own_votes_key(self._set_id, round_number)
        self._out.persist_synced([PutVoter(key, votes.encode())], committed)

    def forget_before(self, round_number: int) -> list[bytes]:
        """Drop rounds that nobody needs any more; the keys to delete."""
        old = [number for number in self._votes if number < round_number]
        for number in old:
            del self._votes[number]
        self._refused = {item for item in self._refused if item[0] >= round_number}
        return [own_votes_key(self._set_id, number) for number in sorted(old)]


def _message(stage: int, target: BlockRef) -> Message:
    if stage == PREVOTE:
        return Prevote(target.hash, target.number)
    if stage == PRECOMMIT:
        return Precommit(target.hash, target.number)
    assert stage == PROPOSE, f"there is no stage {stage}"
    return PrimaryPropose(target.hash, target.number)
