"""The real checks that consensus asks for: sr25519 seals, ed25519 votes, bodies by the trie."""

from collections.abc import Sequence

from runtime.primitives.crypto import Scheme, verify
from runtime.primitives.types import Hash
from runtime.state.trie import extrinsics_root


class NativeChecks:
    """`consensus.ports.SignatureVerifier` by the runtime's cryptography and trie."""

    def verify_seal(self, public: bytes, payload: bytes, signature: bytes) -> bool:
        """sr25519 over the pre-hash, context "substrate"."""
        return verify(Scheme.SR25519, public, payload, signature)

    def verify_vote(self, public: bytes, payload: bytes, signature: bytes) -> bool:
        """ed25519 over the message, round and set id."""
        return verify(Scheme.ED25519, public, payload, signature)

    def verify_body(self, root: Hash, extrinsics: Sequence[bytes]) -> bool:
        """Whether a header commits to these extrinsics."""
        return extrinsics_root(extrinsics) == root
