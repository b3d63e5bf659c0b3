"""Events: all that `Core.handle` can be told. Decoded values, bounded by whoever makes them.

The driver hands over one event at a time and carries out all effects of one event, in their
order, before the next. A peer is named by an opaque byte string (the bytes of its libp2p id).
Nothing here is trusted: the core checks every value that comes from a peer. Each event says who
makes it and when. Hashes of headers are computed by the core.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from consensus.ports import SignerMark
from runtime.primitives.block import Header
from runtime.primitives.grandpa import GossipMessage
from runtime.primitives.types import Hash

PeerId: TypeAlias = bytes


class TimerName(StrEnum):
    """The core's timers. There is one of each name; `SetTimer` replaces the time it was set to."""

    SLOT = "slot"
    ROUND = "round"
    GOSSIP = "gossip"
    COMMIT = "commit"
    SYNC = "sync"
    PARKED = "parked"


class Role(StrEnum):
    """What a peer says it is, in its status. Decides which messages it is sent, nothing else."""

    AUTHORITY = "authority"
    FULL = "full"
    LIGHT = "light"


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """What a peer said when it connected. The driver has checked that its genesis is ours."""

    role: Role
    best_hash: Hash
    best_number: int
    finalized_hash: Hash
    finalized_number: int
    wall_ms: int
    """The peer's clock when it wrote the status; the core measures our offset with it."""


@dataclass(frozen=True, slots=True)
class PeerConnected:
    """The network and a peer have exchanged status. Messages of the peer come only after it."""

    peer: PeerId
    status: PeerStatus


@dataclass(frozen=True, slots=True)
class PeerGone:
    """A peer is disconnected. Its open requests are failed by the core: no `RequestFailed` needed.

    A peer that connects again is told as `PeerConnected` again.
    """

    peer: PeerId


@dataclass(frozen=True, slots=True)
class HeaderSeen:
    """A peer announced a block it has: the network received a block announce.

    Nobody answers the announce: the core asks for the body when it wants it (`RequestBlocks`).
    """

    peer: PeerId
    header: Header
    is_best: bool


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A GRANDPA message arrived on a peer's stream and could be decoded."""

    peer: PeerId
    message: GossipMessage


@dataclass(frozen=True, slots=True)
class SyncBlock:
    """One block of an answer to `RequestBlocks`. Fields that were not asked for are None."""

    header: Header | None
    extrinsics: tuple[bytes, ...] | None
    """Each with its compact length prefix, as everywhere in the node."""

    justification: bytes | None
    """SCALE of a `Justification` of this very block, when the peer has stored one."""


@dataclass(frozen=True, slots=True)
class BlocksReceived:
    """A peer answered `RequestBlocks`. May be empty or short: a peer sends what it has.

    In the order of the request: rising numbers when ascending, falling otherwise.
    """

    request_id: int
    peer: PeerId
    blocks: tuple[SyncBlock, ...]


@dataclass(frozen=True, slots=True)
class RequestFailed:
    """`RequestBlocks` got no usable answer: timeout, refusal, undecodable, over a bound."""

    request_id: int
    peer: PeerId
    reason: str


class Verdict(StrEnum):
    """How the execution of a block ended."""

    VALID = "valid"
    INVALID = "invalid"
    """The block breaks a rule that is a function of the chain alone. It stays bad for ever."""

    TOO_EARLY = "too early"
    """Its timestamp is too far ahead of our clock. Nothing is wrong with it later."""

    REFUSED = "refused"
    """It carries an override that contradicts what is final here. Said by the core alone."""

    FAILED = "failed"
    """We could not execute it (storage, cancelled). The core halts: our own trouble."""


@dataclass(frozen=True, slots=True)
class Executed:
    """Answer to `Execute`, exactly one each.

    With VALID the driver keeps the outcome (state changes, receipts) in memory until a `PutBlock`
    of this hash; it comes among the effects of this very event, or never.
    """

    block_hash: Hash
    verdict: Verdict
    reason: str = ""
    recovery: bytes | None = None
    """The `RecoveryProof` that a valid block carries."""


@dataclass(frozen=True, slots=True)
class Built:
    """Answer to `Build`, exactly one each: an unsealed block with all roots filled in.

    `header` is None when no block could be built; `reason` says why. The header's digest is
    `Build.digest` followed by what the runtime deposited.
    """

    slot: int
    parent_hash: Hash
    header: Header | None
    extrinsics: tuple[bytes, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Committed:
    """The batch of a `Persist(is_synced=True)` is on disk (fsync returned). Exactly one each.

    Told in the order of the batches. When a batch cannot be written this core is told nothing
    more: another one begins from what is stored. Batches that are not synced are not answered.
    """

    batch_id: int
    entropy: int
    """64 random bits drawn by the driver; delays of commits come from them."""


@dataclass(frozen=True, slots=True)
class Signed:
    """Answer to `Sign`, exactly one each. `signature` is None when the signer refused."""

    request_id: int
    signature: bytes | None
    reason: str = ""
    is_lost: bool = False
    """Not refused: nobody answered. The signer may have signed all the same, which its marks tell.

    Nothing more is asked of it until `SignerReached`.
    """


@dataclass(frozen=True, slots=True)
class SignerLost:
    """A signer in another process does not answer any more: we observe."""

    reason: str


@dataclass(frozen=True, slots=True)
class SignerReached:
    """A signer in another process answers, for the first time or again. Its keys may have changed.

    Comes after the answers to all that was asked of it before.
    """

    marks: tuple[SignerMark, ...]


@dataclass(frozen=True, slots=True)
class RecoveryGiven:
    """The operator has an override of the members: to be put into the block after its start.

    Nothing happens before such a block is there, ours or another's, so one that expires leaves no
    trace. Checked as one that comes from the network.
    """

    proof: bytes
    """An encoded `RecoveryProof`."""


@dataclass(frozen=True, slots=True)
class Timer:
    """A timer's time has come (`now_ms` of this call is at or after it). Late is harmless."""

    name: TimerName


Event: TypeAlias = (
    PeerConnected
    | PeerGone
    | HeaderSeen
    | MessageReceived
    | BlocksReceived
    | RequestFailed
    | Executed
    | Built
    | Committed
    | Signed
    | SignerLost
    | SignerReached
    | RecoveryGiven
    | Timer
)
