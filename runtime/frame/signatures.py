"""Signatures that were found right are not verified again.

An extrinsic is judged when it enters the pool and once more in each block that holds it. The cache
belongs to the node and outlives blocks; what it says follows from its input alone, so it cannot
change what a block means.
"""

from hashlib import blake2b

from runtime.primitives.extrinsic import MultiSignature, verify_signature
from runtime.primitives.types import AccountId

SIGNATURES_MAX = 32_768  # four pools full; about 5 MB


class SignatureCache:
    """A bounded set of signatures that were verified; the oldest ones are forgotten first."""

    def __init__(self, size_max: int = SIGNATURES_MAX) -> None:
        self._size_max = size_max
        self._verified: dict[bytes, None] = {}

    def is_valid(
        self, signature: MultiSignature, encoded: bytes, payload: bytes, account: AccountId
    ) -> bool:
        """Whether `account` signed `payload`. `encoded` are the bytes of `signature`."""
        # An account has 32 bytes and a signature tells its length, so no two inputs run together.
        digest = blake2b(account + encoded + payload, digest_size=32).digest()
        if digest in self._verified:
            return True
        if not verify_signature(signature, payload, account):
            return False
        if len(self._verified) >= self._size_max:
            del self._verified[next(iter(self._verified))]
        self._verified[digest] = None
        return True

    def __len__(self) -> int:
        return len(self._verified)
