"""What a node and its signer say to each other over a local socket.

The node asks, the signer answers, one after the other: the n-th answer is to the n-th request. Each
is one frame, four bytes of length (big-endian) and SCALE. The node begins with `Hello`; a signer
that will not serve it says `Refused` and ends the connection. The variants' indices are wire
format: a change of one needs another `PROTOCOL_VERSION`, a new one gets a new index.

Invariant: nothing here is a secret, and no request holds bytes to be signed as they are.
"""

import struct
from typing import Annotated

import trio

from consensus.ports import SignerMark
from node.signing.statements import Heartbeat, Pledge
from runtime.primitives.block import Header
from runtime.primitives.grandpa import Message, SignedMessage
from runtime.primitives.scale import U8, DecodeError, Enum, FixedBytes, MaxLen, Struct
from runtime.primitives.session import PROOF_BYTES, SessionKeys
from runtime.primitives.types import AccountId, AuthorityId, Round, SetId, Signature

PROTOCOL_VERSION = 1

KEYS_MAX = 64
"""Of a type, in one signer: a validator has one, and a few more while it rotates."""

FRAME_BYTES_MAX = 64 << 10
"""The longest is `Welcome`: 64 keys of each type and 64 marks have 33 kB; a header has 8 kB."""

REASON_BYTES_MAX = 512

_LENGTH = struct.Struct(">I")


class Request(Enum):
    """What a node asks of its signer."""


class Hello(Request, index=0):
    """The first request. Answered with `Welcome` or `Refused`."""

    version: U8


class SignVote(Request, index=1):
    """Answered with `Signed`, `Refused` or `Failed`, as the two below."""

    public: AuthorityId
    message: Message
    round: Round
    set_id: SetId


class SignSeal(Request, index=2):
    """The header has no seal yet; the signer hashes it."""

    public: AuthorityId
    header: Header


class SignHeartbeat(Request, index=3):
    """A sign of life."""

    public: AuthorityId
    heartbeat: Heartbeat


class ProveOwnership(Request, index=4):
    """Answered with `Proof` or `Refused`."""

    keys: SessionKeys
    owner: AccountId


class DrawKeys(Request, index=5):
    """New session keys. Answered with `Drawn`, `Refused` or `Failed`."""


class SignPledge(Request, index=6):
    """A promise to include an order. Answered as `SignHeartbeat` is."""

    public: AuthorityId
    pledge: Pledge


class Mark(Struct):
    """The votes of the last round in which a key voted: `consensus.ports.SignerMark`."""

    public: AuthorityId
    set_id: SetId
    round: Round
    propose: SignedMessage | None
    prevote: SignedMessage | None
    precommit: SignedMessage | None

    @staticmethod
    def of(mark: SignerMark) -> "Mark":
        """The wire form of a mark."""
        return Mark(
            mark.public, mark.set_id, mark.round, mark.propose, mark.prevote, mark.precommit
        )

    def told(self) -> SignerMark:
        """As consensus takes it."""
        return SignerMark(
            self.public, self.set_id, self.round, self.propose, self.prevote, self.precommit
        )


class Answer(Enum):
    """What a signer answers."""


class Welcome(Answer, index=0):
    """The keys that the signer holds, sorted, and what they have signed."""

    version: U8
    aura: Annotated[list[AuthorityId], MaxLen(KEYS_MAX)]
    grandpa: Annotated[list[AuthorityId], MaxLen(KEYS_MAX)]
    marks: Annotated[list[Mark], MaxLen(KEYS_MAX)]


class Signed(Answer, index=1):
    """A signature; the mark that it needs is on disk."""

    signature: Signature


class Refused(Answer, index=2):
    """This is never signed."""

    reason: Annotated[str, MaxLen(REASON_BYTES_MAX)]


class Failed(Answer, index=3):
    """Nothing was signed, by the signer's own trouble: the same request may succeed later."""

    reason: Annotated[str, MaxLen(REASON_BYTES_MAX)]


class Proof(Answer, index=4):
    """Of ownership, for `Session.set_keys`."""

    proof: Annotated[bytes, FixedBytes(PROOF_BYTES)]


class Drawn(Answer, index=5):
    """The public keys that were drawn; the signer holds their secrets."""

    keys: SessionKeys


def reason_of(text: object) -> str:
    """A reason as it fits into an answer."""
    return str(text).encode()[:REASON_BYTES_MAX].decode(errors="ignore")


class ConnectionBroken(Exception):
    """The other side is gone, or does not speak the protocol: the message says which."""


class Connection:
    """Frames over a socket."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream

    async def send(self, message: Request | Answer) -> None:
        """Send one message. Raises `ConnectionBroken`."""
        payload = message.encode()
        assert len(payload) <= FRAME_BYTES_MAX, "every field of a message is bounded"
        try:
            await self._stream.send_all(_LENGTH.pack(len(payload)) + payload)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionBroken("the connection was closed") from error

    async def request(self) -> Request:
        """The next request. Raises `ConnectionBroken` and `DecodeError`."""
        return Request.decode(await self._frame())

    async def answer(self) -> Answer:
        """The next answer. Raises `ConnectionBroken`."""
        payload = await self._frame()
        try:
            return Answer.decode(payload)
        except DecodeError as error:
            raise ConnectionBroken(f"it answers what is no answer: {error}") from error

    async def wait_until_readable(self) -> None:
        """Return when the other side has sent something, or has gone."""
        await trio.lowlevel.wait_readable(self._stream.socket)

    async def _frame(self) -> bytes:
        (length,) = _LENGTH.unpack(await self._exactly(_LENGTH.size))
        if length > FRAME_BYTES_MAX:
            raise ConnectionBroken(f"a frame of {length} bytes, at most {FRAME_BYTES_MAX}")
        return await self._exactly(length)

    async def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            try:
                part = await self._stream.receive_some(size - len(data))
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise ConnectionBroken("the connection was closed") from error
            if not part:
                raise ConnectionBroken("the connection was closed")
            data += part
        return bytes(data)
