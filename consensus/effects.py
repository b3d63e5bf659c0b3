"""Effects: all that the core can ask for. The driver carries them out in the order of the list.

Invariant (persist before send): whatever must be durable before others may see it is asked for
in answer to `Committed`, never in the same list as its `Persist`. So the driver needs no rule of
its own: it writes, syncs, and only then tells the core.

Effects that are answered: `Execute` by `Executed`, `Build` by `Built`, `Sign` by `Signed`,
`RequestBlocks` by `BlocksReceived` or `RequestFailed`, a synced `Persist` by `Committed`,
`SetTimer` by `Timer`. The answer is a new event, after all effects of the list are under way.
The others are not answered.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from consensus.events import PeerId, TimerName
from consensus.grandpa.vote_graph import BlockRef
from runtime.primitives.block import Digest, Header
from runtime.primitives.grandpa import GossipMessage, SignedMessage
from runtime.primitives.types import Hash

# --- blocks ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Execute:
    """Check and execute a block on its parent's state; answer with `Executed`.

    To be checked: the extrinsics root, all rules of the runtime, the state root. The header
    (seal, slot, digest) has been checked, and the parent is imported. One at a time. When it is
    the block that the driver has just built, sealed, the outcome of the build may be taken.
    """

    block_hash: Hash
    header: Header
    extrinsics: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Build:
    """Build a block on `parent_hash`; answer with `Built`. One at a time.

    Initialize with `digest`, apply the inherents with `timestamp_ms`, then transactions from the
    pool until `deadline_ms` or the block is full; at the deadline give what there is.
    """

    slot: int
    parent_hash: Hash
    number: int
    digest: Digest
    """The pre-digest alone; the seal comes later and is put there by the core."""

    timestamp_ms: int
    """Unix time for the timestamp inherent; lies within the slot."""

    deadline_ms: int
    """On the clock of `now_ms`."""

    recovery: bytes | None = None
    """The encoded `RecoveryProof` that the block has to carry: its parent is where it starts."""


# --- storage --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PutBlock:
    """Store an executed block: header, body, state changes, child and height indices."""

    block_hash: Hash
    header: Header
    extrinsics: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class SetBest:
    """Store which block is best, and rewrite the canonical hashes of the heights on its route."""

    block_hash: Hash
    retracted: tuple[Hash, ...]
    """No longer canonical, by falling number."""

    enacted: tuple[Hash, ...]
    """Newly canonical, by rising number; the last is `block_hash`."""


@dataclass(frozen=True, slots=True)
class Finalize:
    """Make `route` final: fold its state changes in, drop those of `pruned`, prune old states.

    A `SetBest` stands before it in the same batch when the best chain did not contain the block.
    The justification is stored as that of the last finalized block (`LoadedState.justification`;
    it replaces the one before), and under the block's hash for ever when `is_kept`.
    """

    block_hash: Hash
    number: int
    route: tuple[Hash, ...]
    """Newly finalized blocks by rising number; the last is `block_hash`."""

    pruned: tuple[Hash, ...]
    """All stored blocks that can never be final now."""

    justification: bytes
    is_kept: bool


@dataclass(frozen=True, slots=True)
class Recover:
    """Make `route` final by the members' override; nothing that was stored above it is kept.

    As `Finalize`, but for the proof: `proof` (an encoded `RecoveryProof`) is kept for ever, under
    the block it starts from, and so is the justification of the block that was final before. No
    justification is that of the last finalized block then (`LoadedState.recovery` is instead).
    """

    block_hash: Hash
    number: int
    route: tuple[Hash, ...]
    """Empty when the override starts from the block that was the last final one."""

    pruned: tuple[Hash, ...]
    proof: bytes


@dataclass(frozen=True, slots=True)
class PutAncestor:
    """Store a block far below the finalized one, which the node has never executed.

    It is final: a child that is stored names it. Header, body and the hash of its height are kept.
    """

    block_hash: Hash
    header: Header
    extrinsics: tuple[bytes, ...]
    gap: BlockRef | None
    """The next one that is missing below it; None when nothing is (`LoadedState.gap`)."""


@dataclass(frozen=True, slots=True)
class PutVoter:
    """Store a value of consensus' own (votes, rounds, last authored slot): bytes to bytes."""

    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class DeleteVoter:
    """Remove a key of consensus' own; absent is no error."""

    key: bytes


Operation: TypeAlias = (
    PutBlock | SetBest | Finalize | Recover | PutAncestor | PutVoter | DeleteVoter
)


@dataclass(frozen=True, slots=True)
class Persist:
    """Write all operations in one atomic batch. When synced, answer with `Committed`.

    Batches are written in the order asked for, into one database, so that a synced batch makes
    all earlier ones durable. An unsynced batch may be lost in a crash, with all after it.
    """

    batch_id: int
    operations: tuple[Operation, ...]
    is_synced: bool


# --- signatures -----------------------------------------------------------------------------


class SignKind(StrEnum):
    """What is signed decides the key's type and the signer's rule."""

    SEAL = "seal"
    """A block, sr25519, context "substrate". At most one for each slot."""

    VOTE = "vote"
    """A GRANDPA message, ed25519. Under the rule of `SignerMark`."""


@dataclass(frozen=True, slots=True)
class Sign:
    """Sign `payload` with the key `public`; answer with `Signed`.

    `payload` is the pre-hash of a header, or `vote_payload(message, round, set_id)`. For a vote
    the signer stores its mark (this set, round, stage, payload and signature) durably before it
    answers, and refuses what `SignerMark` forbids; for a seal likewise the slot and the pre-hash:
    never two headers of one slot.
    """

    request_id: int
    kind: SignKind
    public: bytes
    payload: bytes
    slot: int = 0
    """Of a seal."""

    header: Header | None = None
    """Of a seal: what `payload` is the hash of, for a signer that signs no hash unseen."""

    set_id: int = 0
    round: int = 0
    stage: int = 0
    """Of a vote: 0 prevote, 1 precommit, 2 primary propose (the index of the message on the wire).

    Their order in time is propose, prevote, precommit.
    """


# --- network --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Announce:
    """The block announce message."""

    header: Header
    is_best: bool


@dataclass(frozen=True, slots=True)
class Send:
    """Send one message to each of these peers. Not answered; a lost one is repaired by gossip."""

    peers: tuple[PeerId, ...]
    message: GossipMessage | Announce


@dataclass(frozen=True, slots=True)
class RequestBlocks:
    """Ask a peer for up to `blocks_max` blocks from `start`; answer when it has come or failed.

    The core has at most one request open per peer and forgets it after 20 s by its own timer;
    answers after that are ignored.
    """

    request_id: int
    peer: PeerId
    start: Hash | int
    """A block by hash, or the peer's best-chain block by number; it is part of the answer."""

    is_ascending: bool
    """Towards greater numbers on the peer's best chain; otherwise from parent to parent."""

    blocks_max: int
    with_bodies: bool
    """Headers and justifications are always asked for."""


@dataclass(frozen=True, slots=True)
class Report:
    """Change a peer's reputation by `delta`. The network decides on bans."""

    peer: PeerId
    delta: int
    reason: str


# --- time -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Tell `Timer(name)` once at `at_ms` (clock of `now_ms`); replaces an earlier setting."""

    name: TimerName
    at_ms: int


# --- notifications to the rest of the node ----------------------------------------------------


@dataclass(frozen=True, slots=True)
class NotifyImported:
    """A block was imported; its `PutBlock` stands before this in the list."""

    block_hash: Hash
    header: Header
    is_best: bool


@dataclass(frozen=True, slots=True)
class NotifyBest:
    """The best block changed. Subscribers hear of `retracted` before the new best.

    Transactions of `retracted` that are not in `enacted` go back to the pool.
    """

    block_hash: Hash
    header: Header
    retracted: tuple[Hash, ...]
    enacted: tuple[Hash, ...]


@dataclass(frozen=True, slots=True)
class NotifyFinalized:
    """Blocks became final and this is durable. Only now may anything outside be affected."""

    block_hash: Hash
    header: Header
    route: tuple[Hash, ...]
    pruned: tuple[Hash, ...]


class AlarmKind(StrEnum):
    """What is worth waking an operator."""

    SAFETY = "safety"
    """More faults than the protocol tolerates. The core has stopped voting and authoring."""

    ROLLED_BACK = "rolled back"
    """The database is older than the signer's mark: no votes until the next authority set."""

    EQUIVOCATION = "equivocation"
    """An authority signed two blocks of one slot or two votes of one stage."""

    CLOCK = "clock"
    """Our clock differs from our peers' by more than half a slot: we do not author."""

    LIVENESS = "liveness"
    """No block has become final for long."""

    RECOVERY = "recovery"
    """The members have overridden the authority set, or tried to and this node refuses."""

    DISK = "disk"
    """The disk takes no writes: the node is read-only. Raised by the node, not by the core."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """To be logged loudly and counted. `detail` is one line with the evidence in hex."""

    kind: AlarmKind
    detail: str


@dataclass(frozen=True, slots=True)
class AuthorEquivocated:
    """An author has sealed two blocks of one slot: to be reported to the chain."""

    slot: int
    first: Header
    second: Header


@dataclass(frozen=True, slots=True)
class VoterEquivocated:
    """A voter has cast two votes of one stage of a round: to be reported to the chain."""

    set_id: int
    round: int
    first: SignedMessage
    second: SignedMessage


Offence: TypeAlias = AuthorEquivocated | VoterEquivocated


@dataclass(frozen=True, slots=True)
class Halt:
    """Stop the node in order, now. No further event may be handed to the core."""

    code: int
    reason: str


Effect: TypeAlias = (
    Execute
    | Build
    | Persist
    | Sign
    | Send
    | RequestBlocks
    | Report
    | SetTimer
    | NotifyImported
    | NotifyBest
    | NotifyFinalized
    | Alarm
    | AuthorEquivocated
    | VoterEquivocated
    | Halt
)
