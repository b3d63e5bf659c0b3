"""What a session key is asked to state, beside votes and seals."""

from typing import Annotated

from runtime.primitives.receipts import Promise
from runtime.primitives.scale import U32, MaxLen, Struct
from runtime.primitives.session import heartbeat_payload
from runtime.primitives.types import AccountId, BlockNumber, Hash

VERSION_BYTES_MAX = 32
"""Of a node's version in a heartbeat: what the runtime takes."""


class Pledge(Struct):
    """A validator promises to include an order: signed with its Aura key."""

    genesis_hash: Hash
    promise: Promise

    def payload(self) -> bytes:
        """What is signed."""
        return self.promise.payload(self.genesis_hash)


class Heartbeat(Struct):
    """A validator's or candidate's node is alive: signed once a session with its Aura key."""

    genesis_hash: Hash
    session: U32
    who: AccountId
    finalized: BlockNumber
    version: Annotated[bytes, MaxLen(VERSION_BYTES_MAX)]

    def payload(self) -> bytes:
        """What is signed."""
        return heartbeat_payload(
            self.genesis_hash, self.session, self.who, self.finalized, self.version
        )
