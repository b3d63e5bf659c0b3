"""What RPC methods ask of the node.

The node implements these protocols and hands them over in one `Node` record. Rules for all of them:

* Methods are called in the trio task of a connection, in the node's own thread. Plain methods are
  cheap (memory only) and never wait; `async` methods may wait for disk or, on a light node, for
  a peer. They may be cancelled at any await.
* `at` is a block hash; None means the best block at the moment of the call.
* None as a result means that the thing does not exist (no such block, no value under the key).
  A block that is known but whose state cannot be read raises `StateUnavailable`; an unknown
  block given as `at` raises `UnknownBlock`. Nothing else is expected to be raised: another
  exception is answered as an internal error and logged.
* Listeners are plain callbacks, called in the node's thread after the block and its state can be
  read through these ports. They return at once, never raise and never call back into the node:
  the RPC server only puts the event into a bounded queue. So a slow client never holds the node.
  The returned `Unsubscribe` stops the calls; calling it twice is harmless.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeAlias

from runtime.primitives.block import Header
from runtime.primitives.types import Hash

Unsubscribe: TypeAlias = Callable[[], None]
# What a reply is made of.
Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"


class PortError(Exception):
    """A question the node cannot answer; the message goes to the client as it is."""


class UnknownBlock(PortError):
    """No block of this hash is known."""


class StateUnavailable(PortError):
    """The block is known, but its state was pruned or not executed here."""


class CallFailed(PortError):
    """A runtime API function is missing, or refused its arguments."""


class Refusal(Enum):
    """Why an extrinsic was not taken: Substrate's author error code and its text."""

    BAD_FORMAT = 1001, "Extrinsic has invalid format"
    INVALID = 1010, "Invalid Transaction"
    UNKNOWN_VALIDITY = 1011, "Unknown Transaction Validity"
    TEMPORARILY_BANNED = 1012, "Transaction is temporarily banned"
    ALREADY_IMPORTED = 1013, "Transaction Already Imported"
    TOO_LOW_PRIORITY = 1014, "Priority is too low"
    CYCLE_DETECTED = 1015, "Cycle Detected"
    IMMEDIATELY_DROPPED = 1016, "Immediately Dropped"
    UNACTIONABLE = 1018, "Unactionable"
    NO_TAGS = 1019, "No tags provided"
    FUTURE = 1021, "The pool is not accepting future transactions"

    def __init__(self, code: int, text: str) -> None:
        self.code = code
        self.text = text


class SubmissionRefused(PortError):
    """The pool does not take an extrinsic.

    `data` is the error's `data`: for INVALID Substrate's sentence ("Transaction is outdated",
    "Custom error: 7" …), for ALREADY_IMPORTED the extrinsic's hash in hex, else what helps.
    `detail` is added to the message after a colon ("Priority is too low: (5 vs 3)").
    """

    def __init__(self, reason: Refusal, data: Json = None, detail: str | None = None) -> None:
        super().__init__(reason.text if detail is None else f"{reason.text}: {detail}")
        self.reason = reason
        self.data = data


@dataclass(frozen=True, slots=True)
class Head:
    """A block's hash and number."""

    hash: Hash
    number: int


@dataclass(frozen=True, slots=True)
class BlockImported:
    """A block and its state were committed."""

    hash: Hash
    header: Header
    is_best: bool
    """Whether it is the best block from now on."""


@dataclass(frozen=True, slots=True)
class BestChanged:
    """A block that was imported before is the best one now, since finality left the old best."""

    hash: Hash
    header: Header


@dataclass(frozen=True, slots=True)
class BlocksFinalized:
    """The chain up to the last of these blocks is final.

    `blocks` are all newly final ones, oldest first, without gaps: a subscriber to finalized heads
    sees each height once.
    """

    blocks: Sequence[tuple[Hash, Header]]
    pruned: Sequence[Hash] = ()
    """Imported blocks that can never be final now."""
    justification: bytes | None = None
    """The encoded GRANDPA justification of the last of the blocks."""


ChainEvent: TypeAlias = BlockImported | BestChanged | BlocksFinalized
ChainListener: TypeAlias = Callable[[ChainEvent], None]


@dataclass(frozen=True, slots=True)
class RoundVotes:
    """A round of GRANDPA: whose votes are missing, by their addresses."""

    number: int
    voters: int
    threshold: int
    missing_prevotes: Sequence[str]
    missing_precommits: Sequence[str]


@dataclass(frozen=True, slots=True)
class FinalityRounds:
    """The round under way, and earlier ones that are still kept, latest first."""

    set_id: int
    best: RoundVotes
    background: Sequence[RoundVotes]


class ChainPort(Protocol):
    """Headers, bodies and heads."""

    def genesis_hash(self) -> Hash:
        """Hash of block 0."""
        ...

    def best(self) -> Head:
        """The block the node builds on."""
        ...

    def finalized(self) -> Head:
        """The last finalized block."""
        ...

    def header(self, at: Hash) -> Header | None:
        """Header of a block on any branch, genesis included (parent hash of 32 zero bytes)."""
        ...

    def hash_at(self, number: int) -> Hash | None:
        """Hash of the block of this height on the best chain; None above the best block."""
        ...

    def unfinalized(self) -> Sequence[tuple[Hash, Header]]:
        """All blocks above the last finalized one, on every branch, parents before children."""
        ...

    async def body(self, at: Hash) -> Sequence[bytes] | None:
        """Extrinsics of a block, each with its length prefix; empty for genesis.

        None when the block is unknown or its body was pruned.
        """
        ...

    async def justification(self, at: Hash) -> bytes | None:
        """The encoded GRANDPA justification stored with this very block, if there is one."""
        ...

    async def finality_proof(self, number: int) -> bytes | None:
        """Substrate's encoded `FinalityProof` of the block of this height; None: not final yet.

        Raises `PortError` when it cannot be given.
        """
        ...

    def finality_rounds(self) -> "FinalityRounds | None":
        """The rounds of GRANDPA; None on a node that does not take part in them."""
        ...

    def subscribe(self, listener: ChainListener) -> Unsubscribe:
        """Call `listener` for each import and each finalization, in the order they happen.

        May leave out blocks imported during the initial synchronization.
        """
        ...


@dataclass(frozen=True, slots=True)
class RuntimeVersion:
    """`Core_version` of a block's runtime."""

    spec_name: str
    impl_name: str
    authoring_version: int
    spec_version: int
    impl_version: int
    apis: Sequence[tuple[bytes, int]]
    """Pairs of 8-byte api id and api version."""
    transaction_version: int
    system_version: int


class StatePort(Protocol):
    """State and runtime of a block. All raise `UnknownBlock` or `StateUnavailable`."""

    async def storage(self, key: bytes, at: Hash | None) -> bytes | None:
        """The value under a raw key."""
        ...

    async def storage_hash(self, key: bytes, at: Hash | None) -> Hash | None:
        """blake2-256 of the value under a raw key."""
        ...

    async def storage_size(self, key: bytes, at: Hash | None) -> int | None:
        """Length of the value under a raw key."""
        ...

    async def keys_paged(
        self, prefix: bytes, count: int, start: bytes | None, at: Hash | None
    ) -> Sequence[bytes]:
        """Up to `count` keys with `prefix`, ascending, strictly after `start` (None: from first).

        `start` need not exist nor begin with the prefix. RPC keeps `count` within its bound.
        """
        ...

    async def merkle_value(self, prefix: bytes, at: Hash | None) -> bytes | None:
        """Merkle value of the trie node over exactly the keys with `prefix`; None without any."""
        ...

    async def read_proof(self, keys: Sequence[bytes], at: Hash | None) -> Sequence[bytes]:
        """Trie nodes, and values stored apart, that prove the keys' presence or absence."""
        ...

    async def call(self, name: str, data: bytes, at: Hash | None) -> bytes:
        """SCALE result of a runtime API function (`Metadata_metadata`, `AccountNonceApi_…`).

        Raises `CallFailed` when there is no such function or it cannot decode `data`.
        """
        ...

    async def dry_run(self, extrinsic: bytes, at: Hash | None) -> bytes:
        """What an extrinsic would come to in a block on this one: `ApplyExtrinsicResult`.

        Raises `CallFailed` when the bytes are no extrinsic of this runtime.
        """
        ...

    async def metadata(self, at: Hash | None) -> bytes:
        """Raw metadata V14 (magic first, no length prefix) of the block's runtime."""
        ...

    async def runtime_version(self, at: Hash | None) -> RuntimeVersion:
        """The version of the block's runtime."""
        ...

    def changed_keys(self, at: Hash) -> Collection[bytes] | None:
        """Raw keys that executing this block wrote; a set, or a sorted sequence.

        None when it is no longer known; RPC then reads the subscribed keys and compares.
        """
        ...


@dataclass(frozen=True, slots=True)
class TransactionStatus:
    """A step in the life of a watched extrinsic, named as `author_extrinsicUpdate` names it."""

    kind: str
    """future, ready, broadcast, inBlock, retracted, finalityTimeout, finalized, usurped, dropped
    or invalid. After one of the last five nothing follows."""
    hash: Hash | None = None
    """The block of inBlock, retracted, finalityTimeout and finalized; the usurper of usurped."""
    peers: Sequence[str] = ()
    """Whom a broadcast went to."""


StatusListener: TypeAlias = Callable[[TransactionStatus], None]


class PoolPort(Protocol):
    """The transaction pool."""

    async def submit(self, extrinsic: bytes) -> Hash:
        """Validate at the best block and take in; blake2-256 of the full bytes.

        Raises `SubmissionRefused`; then nothing has changed.
        """
        ...

    async def submit_and_watch(
        self, extrinsic: bytes, listener: StatusListener
    ) -> tuple[Hash, Unsubscribe]:
        """As `submit`, and call `listener` for each step from the first (`ready` or `future`) on.

        `listener` may be called before this returns.
        """
        ...

    def pending(self) -> Sequence[bytes]:
        """Ready extrinsics in the order a block would take them."""
        ...

    def remove(self, digest: Hash) -> bool:
        """Drop the extrinsic of this hash, and what depends on it; whether it was here."""
        ...

    async def next_nonce(self, account: bytes) -> int:
        """The account's nonce at the best block plus its ready extrinsics that follow on it."""
        ...

    def status(self) -> tuple[int, int]:
        """How many extrinsics are ready, and how many wait for an earlier one."""
        ...


@dataclass(frozen=True, slots=True)
class Health:
    """`system_health`."""

    peers: int
    is_syncing: bool
    should_have_peers: bool
    has_signer: bool | None = None
    """Whether the process that signs for this validator is there; None when there is none."""


@dataclass(frozen=True, slots=True)
class SyncState:
    """`system_syncState`, as block numbers."""

    starting_block: int
    current_block: int
    highest_block: int


@dataclass(frozen=True, slots=True)
class PeerInfo:
    """A connected peer. `roles` is Substrate's word: FULL, LIGHT or AUTHORITY."""

    peer_id: str
    roles: str
    best_hash: Hash
    best_number: int


class SystemPort(Protocol):
    """The node itself."""

    def name(self) -> str:
        """Name of the implementation."""
        ...

    def version(self) -> str:
        """Version of the implementation."""
        ...

    def chain(self) -> str:
        """Name of the chain, from its specification."""
        ...

    def chain_type(self) -> str:
        """`Development`, `Local`, `Live`, or any other word for a custom type."""
        ...

    def properties(self) -> Mapping[str, Json]:
        """ss58Format, tokenDecimals, tokenSymbol, and whatever else the specification has."""
        ...

    def health(self) -> Health:
        """Peers and whether the node catches up."""
        ...

    def sync_state(self) -> SyncState:
        """Where the node started, stands, and wants to go."""
        ...

    def peers(self) -> Sequence[PeerInfo]:
        """Connected peers."""
        ...

    def node_roles(self) -> Sequence[str]:
        """`Full`, `LightClient`, `Authority`."""
        ...

    def local_peer_id(self) -> str:
        """The node's libp2p peer id, base58."""
        ...

    def local_listen_addresses(self) -> Sequence[str]:
        """Multiaddresses with the peer id at their end."""
        ...

    def reserved_peers(self) -> Sequence[str]:
        """Peer ids of those that are always connected."""
        ...

    def add_reserved_peer(self, address: str) -> None:
        """Keep a peer connected from now on, until the node ends. Raises `PortError`."""
        ...

    def remove_reserved_peer(self, peer_id: str) -> None:
        """Treat a peer like all others again. Raises `PortError`."""
        ...

    def add_log_filter(self, directives: str) -> None:
        """Log more or less of some targets (`debug`, `p2p=debug,rpc=warn`). Raises `PortError`."""
        ...

    def reset_log_filter(self) -> None:
        """Log as the node was told at its start."""
        ...


class KeysPort(Protocol):
    """The node's own keys; reached by unsafe methods only."""

    def insert(self, key_type: str, suri: str, public: bytes) -> None:
        """Store the secret for `key_type` (four letters).

        Raises `PortError` with the reason when the secret does not belong to `public`, the type
        is not used by this node, or the store cannot be written.
        """
        ...

    def has(self, public: bytes, key_type: str) -> bool:
        """Whether the secret of `public` is stored for `key_type`."""
        ...

    def has_session_keys(self, keys: bytes) -> bool:
        """Whether the secret of each of the concatenated session keys is stored.

        Raises `PortError` when `keys` has another length than a set of session keys.
        """
        ...

    async def rotate(self) -> bytes:
        """Draw and store new session keys; their public keys, concatenated. Raises `PortError`."""
        ...

    async def prove_ownership(self, keys: bytes, owner: bytes) -> bytes:
        """What shows that the holder of session keys gives them to an account.

        Raises `PortError` when they are not all here.
        """
        ...


class DretPort(Protocol):
    """What `dret_*` methods report."""

    async def status(self) -> Mapping[str, Json]:
        """The node in one object; see docs/rpc.md for its fields."""
        ...

    async def bill(self, account: bytes, first: int, last: int) -> Mapping[str, Json]:
        """The settled intervals of an account's connections from `first` to `last`.

        Read after the last finalized block; each line with the storage keys that prove it.
        """
        ...

    def market_snapshot(self) -> bytes:
        """The market after the best block, as JSON (`market` of rpc/market_schema.py)."""
        ...

    def market_block(self, block_hash: Hash) -> bytes | None:
        """What a block did to the market, as JSON (`blocks` of rpc/market_schema.py).

        None when the block, or a state it needs, is gone.
        """
        ...

    async def submit_with_receipt(self, extrinsic: bytes, blocks: int) -> Mapping[str, Json]:
        """Take an order into the pool and promise that it will be in within `blocks` blocks.

        Raises `SubmissionRefused`, or `PortError` when this node promises nothing, or not this.
        """
        ...

    async def handoffs(self, set_id: int, count: int) -> Sequence[tuple[bytes, bytes, bool]]:
        """Up to `count` blocks at which a set of voters handed over, from set `set_id` on.

        Encoded headers and justifications, oldest first, without gaps.
        """
        ...


@dataclass(frozen=True, slots=True)
class Node:
    """Everything the methods may ask."""

    chain: ChainPort
    state: StatePort
    pool: PoolPort
    system: SystemPort
    keys: KeysPort
    dret: DretPort
    is_archive: bool = False
    """Whether every state since the genesis can be read."""
