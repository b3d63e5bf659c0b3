"""What a round has heard so far, for people who want to know whom finality waits for."""

from dataclasses import dataclass
from typing import TypeVar

from consensus.grandpa.round import Round
from consensus.grandpa.vote_graph import PRECOMMIT, PREVOTE
from runtime.primitives.types import AuthorityId

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class RoundTally:
    """The voters of a round whose votes we do not have, by rising key."""

    number: int
    voters: int
    threshold: int
    missing_prevotes: tuple[AuthorityId, ...]
    missing_precommits: tuple[AuthorityId, ...]


def tally_of(round_: Round[S]) -> RoundTally:
    """Who has not voted in a round."""
    voters = round_.voters
    prevotes, precommits = round_.voted(PREVOTE), round_.voted(PRECOMMIT)
    return RoundTally(
        round_.number,
        len(voters),
        voters.threshold,
        tuple(key for bit, key in enumerate(voters.keys) if not prevotes >> bit & 1),
        tuple(key for bit, key in enumerate(voters.keys) if not precommits >> bit & 1),
    )
