"""Session keys: what a validator signs with, and the proof that they are its own.

The proof is Substrate's: each key signs `POP_` and the account that takes it, and the signatures
stand in the order of the keys. So nobody can register a key that another one holds.

Sources: sp_core::proof_of_possession, RFC-0048 of the Polkadot fellowship.
"""

from runtime.primitives.crypto import KeyPair, Scheme, verify
from runtime.primitives.scale import Struct
from runtime.primitives.types import AccountId, AuthorityId

PROOF_BYTES = 128
_SIGNATURE_BYTES = 64


class SessionKeys(Struct, path="dret_runtime::SessionKeys"):
    """What a validator signs with."""

    aura: AuthorityId
    """sr25519: blocks and heartbeats."""

    grandpa: AuthorityId
    """ed25519: votes on finality."""


def ownership_statement(owner: AccountId) -> bytes:
    """What each key signs for the account that takes it."""
    return b"POP_" + owner


def prove_ownership(owner: AccountId, aura: KeyPair, grandpa: KeyPair) -> bytes:
    """The proof for the keys of two pairs."""
    statement = ownership_statement(owner)
    return aura.sign(statement) + grandpa.sign(statement)


def is_owned(keys: SessionKeys, owner: AccountId, proof: bytes) -> bool:
    """Whether the holder of both keys gives them to an account."""
    if len(proof) != PROOF_BYTES:
        return False
    statement = ownership_statement(owner)
    first, second = proof[:_SIGNATURE_BYTES], proof[_SIGNATURE_BYTES:]
    return verify(Scheme.SR25519, keys.aura, statement, first) and verify(
        Scheme.ED25519, keys.grandpa, statement, second
    )


def heartbeat_payload(
    genesis_hash: bytes, session: int, who: AccountId, finalized: int, version: bytes
) -> bytes:
    """What the Aura key of a validator or candidate signs once a session."""
    return b"".join(
        (
            b"HEART",
            genesis_hash,
            session.to_bytes(4, "little"),
            who,
            finalized.to_bytes(4, "little"),
            version,
        )
    )
