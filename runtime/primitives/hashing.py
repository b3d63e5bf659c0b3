"""Hashes and storage hashers, as Substrate defines them.

`twox` is XXH64 with seeds 0, 1, …, little-endian, side by side: fast, and not secure against chosen
input. The `concat` hashers keep the key behind its hash so that maps can be iterated.
"""

from hashlib import blake2b

import xxhash


def blake2_256(data: bytes) -> bytes:
    """BLAKE2b with 32 bytes of output: the hash of blocks, extrinsics and trie nodes."""
    return blake2b(data, digest_size=32).digest()


def blake2_128(data: bytes) -> bytes:
    """BLAKE2b with 16 bytes of output."""
    return blake2b(data, digest_size=16).digest()


def twox_64(data: bytes) -> bytes:
    """XXH64 with seed 0."""
    return xxhash.xxh64_intdigest(data).to_bytes(8, "little")


def twox_128(data: bytes) -> bytes:
    """XXH64 with seeds 0 and 1: the prefixes of pallets and storage items."""
    second = xxhash.xxh64_intdigest(data, 1)
    return (xxhash.xxh64_intdigest(data) | second << 64).to_bytes(16, "little")


def blake2_128_concat(key: bytes) -> bytes:
    """Hasher for keys that users choose: nobody can aim at a neighbour in the trie."""
    return blake2_128(key) + key


def twox_64_concat(key: bytes) -> bytes:
    """Hasher for keys that users cannot choose freely."""
    return twox_64(key) + key


def identity(key: bytes) -> bytes:
    """Hasher for keys that the chain itself gives out; keeps their order."""
    return key
