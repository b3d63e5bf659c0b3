"""What consensus asks of a chain: settings, reads, signature checks, the state at start.

Invariant: everything here answers at once, from memory or from the local database, and has no
outward effect. What takes time or changes something is an effect (`effects.py`).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from consensus.grandpa.vote_graph import BlockRef
from runtime.primitives.block import Header
from runtime.primitives.grandpa import SignedMessage
from runtime.primitives.recovery import RecoveryProof
from runtime.primitives.types import Hash


class ChainReader(Protocol):
    """Headers that are stored. Pure reads, a few microseconds each."""

    def header(self, block_hash: Hash) -> Header | None:
        """The header of an imported block, finalized or not, or None when it is not stored."""
        ...

    def finalized_hash(self, number: int) -> Hash | None:
        """The hash of the finalized block at this height, or None above the finalized block."""
        ...

    def override_fault(self, proof: RecoveryProof) -> str | None:
        """Why states do not allow an override; None when they do.

        The members in the state after the override's final block (or after ours, when that state
        is gone) have to have signed it, and the block after its start has to be able to carry it.
        Both blocks are imported.
        """
        ...


class SignatureVerifier(Protocol):
    """Checks of signatures and bodies; the node has the real ones, the simulator cheap ones."""

    def verify_seal(self, public: bytes, payload: bytes, signature: bytes) -> bool:
        """Whether `signature` is the sr25519 signature of `payload` by an Aura key."""
        ...

    def verify_vote(self, public: bytes, payload: bytes, signature: bytes) -> bool:
        """Whether `signature` is the ed25519 signature of `payload` by a GRANDPA key."""
        ...

    def verify_body(self, root: Hash, extrinsics: Sequence[bytes]) -> bool:
        """Whether `root` is the extrinsics root of this body."""
        ...


@dataclass(frozen=True, slots=True)
class ConsensusConfig:
    """Settings of one node. Those of the chain must be equal on all nodes, the keys are ours."""

    genesis_hash: Hash
    slot_duration_ms: int
    gossip_duration_ms: int
    """T: the time in which a message is expected to reach all voters. slot_duration_ms // 6."""

    aura_keys: Collection[bytes] = ()
    """Public keys the signer holds for seals. Empty on a node that does not author.

    Keys may come while the node runs: they are looked at when a slot begins."""

    grandpa_keys: Collection[bytes] = ()
    """Public keys the signer holds for votes, in an order that does not change. Empty on a node
    that only observes. They are looked at when a set takes over."""

    may_get_keys: bool = False
    """Keys may come although there are none yet, from a signer that is still away: count votes."""

    checkpoint: BlockRef | None = None
    """A block that has to be part of the chain: every other one of its height is bad."""

    is_authoring_forced: bool = False
    """Author although no peer is connected: for a chain of one node, and for recovery."""

    stall_slots: int = 300
    """For so many slots nothing has become final when an override of the members is taken."""

    frozen_set: int = -1
    """Up to this authority set the operator has stopped voting (`dret authority recovery report`).
    """


@dataclass(frozen=True, slots=True)
class SignerMark:
    """The highest votes a signer has ever signed, kept outside the database.

    For one key: the votes of the one (set, round) it signed last. The signer writes it durably
    before it hands out a signature, and refuses any (set_id, round, stage) at or below it unless
    the payload is identical; then it returns the stored signature.
    """

    public: bytes
    set_id: int
    round: int
    propose: SignedMessage | None
    prevote: SignedMessage | None
    precommit: SignedMessage | None


@dataclass(frozen=True, slots=True)
class LoadedState:
    """What the database holds when the node starts. Given to `Core.start`."""

    finalized: Header
    """The last finalized block; the genesis header on a new chain."""

    aura_authorities: tuple[bytes, ...]
    """Aura.Authorities in the state after `finalized`."""

    grandpa_authorities: tuple[bytes, ...]
    """Grandpa authorities (all of weight 1, in the order of the runtime) after `finalized`."""

    set_id: int
    """Grandpa set id after `finalized`: 0 at genesis."""

    unfinalized: tuple[Header, ...]
    """Every imported block above `finalized` whose state can be restored, by rising number."""

    best_hash: Hash
    """The best block when the node stopped (`SetBest`); ignored when it is not among the above."""

    voter: Mapping[bytes, bytes]
    """All keys and values of the voter column, as written by `PutVoter` and `DeleteVoter`."""

    justification: bytes | None
    """The justification of `finalized` (the last `Finalize` carried it), None at genesis."""

    gap: BlockRef | None = None
    """The highest block below `finalized` that is not stored, nor is any below it but genesis."""

    signer_marks: tuple[SignerMark, ...] = ()
    """The marks of our GRANDPA keys, from the signer."""

    is_signer_away: bool = False
    """The signer is another process and has not answered yet: `SignerReached` brings the marks."""

    recovery: bytes | None = None
    """The `RecoveryProof` that starts from `finalized`. The GRANDPA authorities and the set id
    above are the override's then, which the state does not name before the next block."""
