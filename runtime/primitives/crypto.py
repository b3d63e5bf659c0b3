"""Key pairs, signatures and SS58 addresses, as Substrate's `subkey` and wallets have them.

A key pair is derived from a secret URI: a mnemonic phrase (or `0x` and a 32-byte seed; the public
development phrase if it is left out), then hard (`//name`) and soft (`/name`) junctions, then an
optional `///password`. The same URI gives the same keys here, in `subkey` and in polkadot.js.

Nothing here draws a secret, and nothing reached from executing a block signs.

An account is the public key itself; that of an ecdsa key, which has 33 bytes, is its hash.

ed25519 verification is libsodium's, which refuses points of small order and non-canonical
encodings; Substrate's (ZIP-215) takes some of them. No honest signer makes them.

Sources: sp-core `crypto.rs`, `sr25519.rs`, `ed25519.rs`, `ecdsa.rs`; substrate-bip39; the SS58
registry.
"""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b

import bip39
import coincurve
import sr25519
from nacl import bindings as sodium
from nacl.exceptions import BadSignatureError

from runtime.primitives.base58 import base58_decode, base58_encode
from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import U64, codec

DEV_PHRASE = "bottom drive obey lake curtain smoke basket hold race lonely fit walk"
"""Known to everybody: the root of //Alice, //Bob and the other development accounts."""

SS58_PREFIX = 42
"""Substrate's generic address format."""

_ADDRESS_TEXT_MAX = 64  # one of 36 bytes has at most 50 letters
_SS58_PREFIX_MAX = 16_383  # the two-byte form holds 14 bits
_SURI = re.compile(r"(?P<root>[^/]*)(?P<path>(?://?[^/]+)*)(?:///(?P<password>.*))?", re.DOTALL)
_JUNCTION = re.compile(r"/(/?)([^/]+)")


class Scheme(StrEnum):
    """The signature schemes an account can have; session keys have one of the first two."""

    SR25519 = "sr25519"
    ED25519 = "ed25519"
    ECDSA = "ecdsa"
    """On secp256k1, as in Ethereum, over the Blake2b-256 of the message."""


SIGNATURE_SIZES = {Scheme.SR25519: 64, Scheme.ED25519: 64, Scheme.ECDSA: 65}


class SecretError(ValueError):
    """A secret URI or a seed cannot be used. The message never repeats the secret."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A secret key, its public key and its scheme."""

    scheme: Scheme
    public: bytes
    """32 bytes; 33 of ecdsa."""
    _secret: bytes = field(repr=False)
    """64 bytes: sr25519's scalar and nonce, or ed25519's seed and public key; ecdsa's 32 bytes."""

    @property
    def account(self) -> bytes:
        """The account that the key signs for."""
        return account_of_key(self.scheme, self.public)

    @staticmethod
    def from_suri(suri: str, scheme: Scheme) -> "KeyPair":
        """The key pair of a secret URI; `SecretError` if it cannot be read."""
        match = _SURI.fullmatch(suri)
        if match is None:
            raise SecretError("a secret URI is PHRASE//hard/soft///password")
        seed = _root_seed(match["root"], match["password"] or "")
        pair = KeyPair.from_seed(seed, scheme)
        for is_hard, text in _JUNCTION.findall(match["path"]):
            pair = pair._derive(bool(is_hard), _chain_code(text))
        return pair

    @staticmethod
    def from_seed(seed: bytes, scheme: Scheme) -> "KeyPair":
        """The key pair of a 32-byte seed (the mini-secret of sr25519)."""
        if len(seed) != 32:
            raise SecretError(f"a seed has 32 bytes, not {len(seed)}")
        if scheme is Scheme.SR25519:
            public, secret = sr25519.pair_from_seed(seed)
        elif scheme is Scheme.ED25519:
            public, secret = sodium.crypto_sign_seed_keypair(seed)
        else:
            try:
                public, secret = coincurve.PrivateKey(seed).public_key.format(), seed
            except ValueError:
                raise SecretError("the seed is no secret key of secp256k1") from None
        return KeyPair(scheme, public, secret)

    def sign(self, message: bytes) -> bytes:
        """A signature of 64 bytes (65 of ecdsa).

        Those of sr25519, made in the context `substrate`, differ from call to call.
        """
        if self.scheme is Scheme.SR25519:
            return sr25519.sign((self.public, self._secret), message)
        if self.scheme is Scheme.ED25519:
            return sodium.crypto_sign(message, self._secret)[:64]
        secret = coincurve.PrivateKey(self._secret)
        return secret.sign_recoverable(blake2_256(message), hasher=None)

    def _derive(self, is_hard: bool, chain_code: bytes) -> "KeyPair":
        if self.scheme is Scheme.SR25519:
            derive = sr25519.hard_derive_keypair if is_hard else sr25519.derive_keypair
            _, public, secret = derive((chain_code, self.public, self._secret), b"")
            return KeyPair(self.scheme, public, secret)
        if not is_hard:
            hint = "has no soft junctions (/name); use hard ones (//name)"
            raise SecretError(f"{self.scheme} {hint}")
        name = "Ed25519HDKD" if self.scheme is Scheme.ED25519 else "Secp256k1HDKD"
        derived = blake2_256(codec(str).encode(name) + self._secret[:32] + chain_code)
        return KeyPair.from_seed(derived, self.scheme)


def verify(scheme: Scheme, public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` is one of `message` by the holder of `public`; never raises on bytes."""
    if scheme is Scheme.ECDSA:
        return recover_ecdsa(message, signature) == public
    if len(public) != 32 or len(signature) != 64:
        return False
    try:
        if scheme is Scheme.SR25519:
            return sr25519.verify(signature, message, public)
        sodium.crypto_sign_open(signature + message, public)
    except (ValueError, BadSignatureError):
        return False
    return True


def recover_ecdsa(message: bytes, signature: bytes) -> bytes | None:
    """The compressed public key whose holder signed `message`; None if there is none.

    The last byte of the signature, which tells the key, may be counted from 27, as Ethereum does.
    """
    if len(signature) != SIGNATURE_SIZES[Scheme.ECDSA]:
        return None
    recovery = signature[64]
    canonical = signature[:64] + bytes([recovery - 27 if recovery > 26 else recovery])
    try:
        key = coincurve.PublicKey.from_signature_and_message(
            canonical, blake2_256(message), hasher=None
        )
    except Exception:  # the library's own errors are bare `Exception`s
        return None
    return key.format()


def account_of_key(scheme: Scheme, public: bytes) -> bytes:
    """The account of a public key."""
    return blake2_256(public) if scheme is Scheme.ECDSA else public


def ss58_encode(account: bytes, prefix: int = SS58_PREFIX) -> str:
    """The address of a 32-byte account for a network's prefix."""
    if len(account) != 32:
        raise ValueError(f"an account has 32 bytes, not {len(account)}")
    if not 0 <= prefix <= _SS58_PREFIX_MAX or prefix in (46, 47):
        raise ValueError(f"SS58 prefix {prefix} is reserved or outside 0 .. {_SS58_PREFIX_MAX}")
    if prefix < 64:
        head = bytes([prefix])
    else:
        head = bytes([(prefix & 0xFC) >> 2 | 0x40, prefix >> 8 | (prefix & 3) << 6])
    return base58_encode(head + account + _ss58_checksum(head + account))


def ss58_decode(text: str, prefix: int | None = None) -> bytes:
    """The account of an address, of any network or of the one with `prefix`; else ValueError."""
    if len(text) > _ADDRESS_TEXT_MAX:
        raise ValueError(f"an address of {len(text)} letters is too long")
    try:
        data = base58_decode(text)
    except ValueError as error:
        raise ValueError(f"address {error}") from None
    head = 2 if data and data[0] & 0x40 else 1
    if len(data) != head + 34 or data[0] & 0x80:
        raise ValueError(f"address {text!r} does not hold a 32-byte account")
    if data[-2:] != _ss58_checksum(data[:-2]):
        raise ValueError(f"address {text!r} has a wrong checksum: a letter is mistyped")
    found = data[0]
    if head == 2:
        found = (data[0] & 0x3F) << 2 | data[1] >> 6 | (data[1] & 0x3F) << 8
    if prefix is not None and found != prefix:
        raise ValueError(f"address {text!r} is for network {found}, expected {prefix}")
    return data[head:-2]


# --- secret URIs


def _root_seed(root: str, password: str) -> bytes:
    if root.startswith("0x"):
        try:
            seed = bytes.fromhex(root[2:])
        except ValueError:
            raise SecretError("the seed behind 0x is not hexadecimal") from None
        if len(seed) != 32:
            raise SecretError(f"a seed has 32 bytes, not {len(seed)}")
        return seed
    try:
        # Substrate stretches the entropy itself, not the text of the phrase as BIP39 would.
        return bytes(bip39.bip39_to_mini_secret(root or DEV_PHRASE, password))
    except ValueError:
        raise SecretError("the phrase is not a valid English BIP39 mnemonic") from None


def _chain_code(text: str) -> bytes:
    """The 32 bytes of a junction: a number or a text in SCALE, padded or hashed."""
    is_number = re.fullmatch(r"[0-9]+", text, re.ASCII) and int(text) < 1 << 64
    data = codec(U64).encode(int(text)) if is_number else codec(str).encode(text)
    return blake2_256(data) if len(data) > 32 else data.ljust(32, b"\0")


# --- SS58


def _ss58_checksum(data: bytes) -> bytes:
    return blake2b(b"SS58PRE" + data, digest_size=64).digest()[:2]
