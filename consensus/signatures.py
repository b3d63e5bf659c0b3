"""The real signature checks of consensus: sr25519 for seals, ed25519 for votes."""

from runtime.primitives.crypto import Scheme, verify


class NativeSignatures:
    """`SignatureVerifier` by the primitives' cryptography."""

    def verify_seal(self, public: bytes, payload: bytes, signature: bytes) -> bool:
        """sr25519 over the pre-hash, context "substrate"."""
        return verify(Scheme.SR25519, public, payload, signature)

    def verify_vote(self, public: bytes, payload: bytes, signature: bytes) -> bool:
        """ed25519 over the message, round and set id."""
        return verify(Scheme.ED25519, public, payload, signature)
