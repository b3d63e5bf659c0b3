"""What the parts of the finality gadget share: one authority set and what surrounds it."""

from collections.abc import Callable
from dataclasses import dataclass

from consensus.chain_view import ChainView
from consensus.events import PeerId
from consensus.grandpa.gossip import Gossip
from consensus.grandpa.vote_graph import BlockRef
from consensus.grandpa.voter_set import VoterSet
from consensus.outbox import Outbox
from consensus.ports import ConsensusConfig, SignatureVerifier
from runtime.primitives.grandpa import Justification
from runtime.primitives.types import Hash


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What finality reads and whom it tells. Lives as long as the core."""

    config: ConsensusConfig
    out: Outbox
    view: ChainView
    verifier: SignatureVerifier
    gossip: Gossip

    want: Callable[[Hash, PeerId | None], None]
    """A vote or commit is for a block we do not have; the peer seems to have it."""

    finalize: Callable[[BlockRef, Justification], None]
    """A block above the finalized one has a proof."""

    stop: Callable[[str], None]
    """More faults than the protocol tolerates: the line is the evidence."""


@dataclass(frozen=True, slots=True)
class AuthoritySet:
    """Who votes now."""

    set_id: int
    voters: VoterSet
