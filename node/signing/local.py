"""Session keys in the node's own process: everything is answered at once."""

from collections.abc import Callable, Collection

from consensus.effects import Sign, SignKind
from consensus.events import Signed
from consensus.ports import SignerMark
from node.errors import StorageUnusable
from node.keystore import Keystore
from node.signing.marks import MESSAGE_BYTES
from node.signing.port import KeysUnusable, Tell
from node.signing.signer import Signer, SigningRefused
from node.signing.statements import Heartbeat, Pledge
from runtime.primitives.grandpa import Message
from runtime.primitives.session import SessionKeys
from runtime.primitives.types import AccountId


class LocalSigner:
    """`SessionSigner` over a keystore and its marks."""

    is_away = False

    def __init__(self, keystore: Keystore, signer: Signer) -> None:
        self._keystore = keystore
        self._signer = signer

    def ring(self, key_type: str) -> Collection[bytes]:
        """The public keys of a type."""
        return self._keystore.ring(key_type)

    def marks(self) -> tuple[SignerMark, ...]:
        """What the keys have signed."""
        return self._signer.marks()

    def sign(self, request: Sign, tell: Tell) -> None:
        """Sign, or say why not. Raises `DiskFailed` when the mark cannot be written."""
        try:
            signature = self._signature(request)
        except SigningRefused as error:
            tell(Signed(request.request_id, None, str(error)))
        else:
            tell(Signed(request.request_id, signature))

    def sign_heartbeat(
        self, public: bytes, heartbeat: Heartbeat, then: Callable[[bytes], None]
    ) -> None:
        """Sign a sign of life."""
        then(self._signer.sign_heartbeat(public, heartbeat))

    async def sign_pledge(self, public: bytes, pledge: Pledge) -> bytes:
        """The signature of a promise. Raises `KeysUnusable`."""
        try:
            return self._signer.sign_pledge(public, pledge)
        except SigningRefused as error:
            raise KeysUnusable(str(error)) from error

    def insert(self, key_type: str, suri: str, public: bytes) -> None:
        """Store a session key. Raises `KeysUnusable`."""
        try:
            held = self._keystore.inspect(key_type, suri)
            if held != public:
                raise KeysUnusable(
                    f"The secret belongs to 0x{held.hex()}, not to 0x{public.hex()}."
                )
            self._keystore.insert(key_type, suri)
        except (ValueError, OSError, StorageUnusable) as error:
            raise KeysUnusable(str(error)) from error

    async def draw(self) -> SessionKeys:
        """Draw new session keys. Raises `KeysUnusable`."""
        try:
            return SessionKeys.decode(self._keystore.rotate())
        except (OSError, StorageUnusable) as error:
            raise KeysUnusable(str(error)) from error

    async def prove_ownership(self, keys: SessionKeys, owner: AccountId) -> bytes:
        """The proof that keys of ours go to an account. Raises `KeysUnusable`."""
        try:
            return self._signer.prove_ownership(keys, owner)
        except SigningRefused as error:
            raise KeysUnusable(str(error)) from error

    async def run(self, tell: Tell) -> None:
        """Nothing is to be done: the keys are here."""

    def _signature(self, request: Sign) -> bytes:
        if request.kind is SignKind.SEAL:
            assert request.header is not None, "a seal is asked for with its header"
            return self._signer.sign_seal(request.public, request.header)
        message = Message.decode(request.payload[:MESSAGE_BYTES])
        return self._signer.sign_vote(request.public, message, request.round, request.set_id)
