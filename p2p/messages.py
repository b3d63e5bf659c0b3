"""Wire messages of our two protocols, in SCALE.

`Message` travels on the notification stream, `SyncMessage` on a request stream; each is one frame
(`frames.py`). A decoded message is bounded: every list and text says how long it may be, and a
frame's size bounds the rest. The variants' indices are wire format; a new variant gets a new one,
a change of an old one needs a new protocol id (`protocol_ids`).
"""

from typing import Annotated

from runtime.primitives.block import Extrinsic, Header
from runtime.primitives.grandpa import GossipMessage
from runtime.primitives.scale import U32, Enum, MaxLen, Struct, UnitEnum
from runtime.primitives.types import BlockNumber, Hash, Moment

NOTIFICATION_BYTES_MAX = 1 << 20
"""One frame of notifications. A catch-up of 1 024 voters with equivocations has 540 kB."""

TRANSACTIONS_MAX = 1_024
"""In one message; a full pool is passed on in eight."""

BLOCKS_MAX = 128
"""In one answer; a node of this program serves up to 64."""

KEY_BYTES_MAX = 512
"""A storage key in a request; those of this chain have some 130 at most."""

REQUEST_BYTES_MAX = 1_024
"""One request: two dozen bytes, a hash, and perhaps a key."""

ANSWER_BYTES_MAX = 8 << 20
"""One answer: 4 MiB of blocks, or a single block that is larger."""

ADDRESSES_MAX = 32
"""Peers that a node tells another when they meet."""

ADDRESS_BYTES_MAX = 128
"""/ip6/<39>/tcp/<5>/p2p/<52> has 111; a DNS name may be a little shorter than that."""

REASON_BYTES_MAX = 128


def protocol_ids(genesis: Hash) -> tuple[str, str]:
    """The names of the notification and the request protocol on the chain of `genesis`.

    Nodes of different chains have no protocol in common, so nothing of one reaches the other.
    """
    return f"/{genesis.hex()}/dret/notify/1", f"/{genesis.hex()}/dret/sync/1"


class Role(UnitEnum):
    """What a node says it is."""

    AUTHORITY = 0
    FULL = 1
    LIGHT = 2


class Message(Enum):
    """What travels on the notification stream, in both directions."""


class Status(Message, index=0):
    """Where a node stands: the first message each side sends, and never sent again.

    What changes afterwards is told by announces (the best block) and GRANDPA's neighbour packets
    (finality).
    """

    genesis: Hash
    best_hash: Hash
    best_number: BlockNumber
    finalized_hash: Hash
    finalized_number: BlockNumber
    role: Role
    wall_ms: Moment
    """The sender's clock, Unix time in milliseconds."""


class BlockAnnounce(Message, index=1):
    """The sender has this block and checked its header."""

    header: Header
    is_best: bool


class Transactions(Message, index=2):
    """Extrinsics from the sender's pool."""

    extrinsics: Annotated[list[Extrinsic], MaxLen(TRANSACTIONS_MAX)]


class Grandpa(Message, index=3):
    """A vote, a commit, a neighbour packet, or a catch-up."""

    message: GossipMessage


class Ping(Message, index=4):
    """Asks for a `Pong` with the same number: is anyone there?"""

    number: U32


class Pong(Message, index=5):
    """Answers a `Ping`."""

    number: U32


Address = Annotated[str, MaxLen(ADDRESS_BYTES_MAX)]
"""A multiaddress with the peer id at its end."""


class Addresses(Message, index=6):
    """Sent once, after the status: where the sender listens, and other peers it is connected to."""

    listening: Annotated[list[Address], MaxLen(4)]
    known: Annotated[list[Address], MaxLen(ADDRESSES_MAX)]


class BlockRequest(Struct):
    """Asks for blocks from a start on, which is part of the answer."""

    start_hash: Hash | None
    """When None, the start is the peer's best-chain block at `start_number`."""

    start_number: BlockNumber
    is_ascending: bool
    """Towards greater numbers on the peer's best chain; otherwise from parent to parent."""

    blocks_max: U32
    with_bodies: bool


class BlockData(Struct):
    """One block of an answer."""

    header: Header
    extrinsics: list[Extrinsic] | None
    """None when no bodies were asked for."""

    justification: bytes | None
    """SCALE of a GRANDPA justification of this block, when the peer has stored one."""


class SyncMessage(Enum):
    """What travels on a request stream: requests one way, answers the other."""


class Request(SyncMessage, index=0):
    """A request with the number its answer will have; the opener of the stream counts."""

    number: U32
    blocks: BlockRequest


class Answer(SyncMessage, index=1):
    """The blocks a request asked for; fewer, or none, when the peer does not have them."""

    number: U32
    blocks: Annotated[list[BlockData], MaxLen(BLOCKS_MAX)]


class Refusal(SyncMessage, index=2):
    """The request cannot be served."""

    number: U32
    reason: Annotated[str, MaxLen(REASON_BYTES_MAX)]


class WarpRequest(SyncMessage, index=3):
    """Asks for the proof that leads from a final block to the last one, from handoff to handoff."""

    number: U32
    begin: Hash


class WarpAnswer(SyncMessage, index=4):
    """The proof, as far as it has room."""

    number: U32
    proof: bytes
    """SCALE of Substrate's `WarpSyncProof`."""


class StateRequest(SyncMessage, index=5):
    """Asks for the part of a block's state behind a key; None asks for the first."""

    number: U32
    block_hash: Hash
    after: Annotated[bytes, MaxLen(KEY_BYTES_MAX)] | None


class StateAnswer(SyncMessage, index=6):
    """A part of a state: trie nodes and long values, which prove themselves."""

    number: U32
    items: list[bytes]
