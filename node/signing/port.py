"""What a node asks of whoever holds its session keys: itself, or a signer in another process."""

from collections.abc import Callable, Collection
from typing import Protocol

from consensus.effects import Sign
from consensus.events import Event
from consensus.ports import SignerMark
from node.signing.statements import Heartbeat, Pledge
from runtime.primitives.session import SessionKeys
from runtime.primitives.types import AccountId

Tell = Callable[[Event], None]
"""Hands an event to the core. Never refused."""


class KeysUnusable(Exception):
    """The keys cannot be used for this, or not now: the message says why and what to do."""


class SessionSigner(Protocol):
    """Session keys at work."""

    def ring(self, key_type: str) -> Collection[bytes]:
        """The public keys of a type, sorted, as they are at the moment; none of another type."""
        ...

    @property
    def is_away(self) -> bool:
        """Whether nobody would sign now."""
        ...

    def marks(self) -> tuple[SignerMark, ...]:
        """What the keys have signed; nothing while the signer is away."""
        ...

    def sign(self, request: Sign, tell: Tell) -> None:
        """Answer with one `Signed`, at once or later. Raises `DiskFailed`, only at once."""
        ...

    def sign_heartbeat(
        self, public: bytes, heartbeat: Heartbeat, then: Callable[[bytes], None]
    ) -> None:
        """Hand the signature to `then`, at once or later; to nobody when it cannot be had."""
        ...

    async def sign_pledge(self, public: bytes, pledge: Pledge) -> bytes:
        """The signature of a promise. Raises `KeysUnusable`."""
        ...

    def insert(self, key_type: str, suri: str, public: bytes) -> None:
        """Store the secret of a public key. Raises `KeysUnusable`."""
        ...

    async def draw(self) -> SessionKeys:
        """Draw and store new keys. Raises `KeysUnusable`."""
        ...

    async def prove_ownership(self, keys: SessionKeys, owner: AccountId) -> bytes:
        """The proof that keys of ours go to an account. Raises `KeysUnusable`."""
        ...

    async def run(self, tell: Tell) -> None:
        """Keep in touch with the signer, and tell the core when it is lost and reached."""
        ...
