"""Extrinsics of format version 4, byte for byte Substrate's: era, address, signature, payload.

    signed = compact(length) 84 address signature era nonce tip mode call
    bare   = compact(length) 04 call

The call stays bytes here: what the pallets are is not known at this level. The signed extensions
of the chain, in the order that every client expects, are CheckNonZeroSender, CheckSpecVersion,
CheckTxVersion, CheckGenesis, CheckMortality, CheckNonce, CheckWeight, ChargeTransactionPayment and
CheckMetadataHash; those with data are the fields of `SignedExtra`.

Leaves out: format version 5.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

import msgspec

from runtime.primitives.block import Extrinsic
from runtime.primitives.crypto import KeyPair, Scheme, account_of_key, recover_ecdsa, verify
from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import (
    U8,
    U32,
    Compact,
    Custom,
    DecodeError,
    EncodeError,
    Enum,
    FieldDescription,
    FixedBytes,
    Kind,
    Named,
    Struct,
    TypeDescription,
    UnitEnum,
    VariantDescription,
    codec,
    decode_compact,
    encode_compact,
    shape_of,
)
from runtime.primitives.scale.shapes import TupleShape
from runtime.primitives.types import AccountId, Balance, Hash, Nonce, Signature

BARE, SIGNED = 0x04, 0x84
"""The first byte behind the length: format version 4, with bit 7 set if signed."""

PAYLOAD_MAX = 256
"""A longer payload is hashed before it is signed."""


# --- era


class Era(msgspec.Struct, frozen=True, gc=False):
    """The blocks in which an extrinsic is valid: `period` blocks from one counted by `phase`.

    The encoding has room for 12 bits of phase, so with a period above 4 096 the phase is a
    multiple of `period >> 12`.
    """

    period: int
    """In blocks, a power of two in 4 .. 65 536; 0 if the extrinsic never dies."""

    phase: int
    """First valid block modulo the period."""

    @staticmethod
    def immortal() -> "Era":
        """Valid for ever."""
        return _IMMORTAL

    @staticmethod
    def mortal(period: int, current: int) -> "Era":
        """Valid for `period` blocks (rounded up to a power of two) from block `current`."""
        period = 1 << (min(max(period, 4), 1 << 16) - 1).bit_length()
        quantum = _quantum(period)
        return Era(period, current % period // quantum * quantum)

    @property
    def is_immortal(self) -> bool:
        """Whether it never dies."""
        return self.period == 0

    def birth(self, current: int) -> int:
        """The first valid block, seen from block `current`; 0 if immortal.

        Its hash is part of the signing payload.
        """
        if self.is_immortal:
            return 0
        return (max(current, self.phase) - self.phase) // self.period * self.period + self.phase

    def death(self, current: int) -> int | None:
        """The first block in which it is no longer valid; None if immortal."""
        return None if self.is_immortal else self.birth(current) + self.period

    def encode(self) -> bytes:
        """One byte 0, or two bytes."""
        return ERA_CODEC.encode(self)


_IMMORTAL = Era(0, 0)


@dataclass(frozen=True, slots=True)
class _EraCodec:
    def encode(self, value: Era) -> bytes:
        if value.is_immortal and value.phase == 0:
            return b"\0"
        period, phase = value.period, value.phase
        is_power = 4 <= period <= 1 << 16 and period & (period - 1) == 0
        if not is_power or not 0 <= phase < period or phase % _quantum(period):
            raise EncodeError(f"no era has period {period} and phase {phase}")
        # The low four bits hold log2(period) - 1, which is 1 .. 15 and so never a zero byte.
        exponent = period.bit_length() - 2
        return (exponent | phase // _quantum(period) << 4).to_bytes(2, "little")

    def decode_from(self, data: bytes, offset: int) -> tuple[Era, int]:
        if data[offset] == 0:
            return _IMMORTAL, offset + 1
        if offset + 2 > len(data):
            raise DecodeError("input ends within an era")
        encoded = int.from_bytes(data[offset : offset + 2], "little")
        period = 2 << (encoded & 15)
        phase = (encoded >> 4) * _quantum(period)
        if period < 4 or phase >= period:
            raise DecodeError(f"era {encoded:#06x} has period {period} and phase {phase}")
        return Era(period, phase), offset + 2

    def describe(self) -> TypeDescription:
        second = FieldDescription(None, shape_of(U8), "u8")
        mortal = (VariantDescription(f"Mortal{n}", n, (second,)) for n in range(1, 256))
        return TypeDescription(
            Kind.VARIANT,
            ("sp_runtime", "generic", "era", "Era"),
            variants=(VariantDescription("Immortal", 0), *mortal),
        )


def _quantum(period: int) -> int:
    return max(period >> 12, 1)


ERA_CODEC = _EraCodec()

EraField = Annotated[Era, Custom(ERA_CODEC), Named("Era")]
"""`Era` as a field of a struct."""


# --- address and signature


class MultiAddress(
    Enum,
    path="sp_runtime::multiaddress::MultiAddress",
    params={"AccountId": AccountId, "AccountIndex": TupleShape()},
):
    """Who is meant; wallets always send `AddressId`."""


class AddressId(MultiAddress, index=0, unnamed=True, name_in_metadata="Id"):
    """The account itself."""

    account: AccountId


class AddressIndex(MultiAddress, index=1, unnamed=True, name_in_metadata="Index"):
    """A short index; this chain has none, so it takes no bytes and names nobody."""

    account_index: Compact[None]


class AddressRaw(MultiAddress, index=2, unnamed=True, name_in_metadata="Raw"):
    """Some bytes; an account if they are 32."""

    data: bytes


class Address32(MultiAddress, index=3, unnamed=True):
    """32 bytes, which are the account."""

    data: Annotated[bytes, FixedBytes(32)]


class Address20(MultiAddress, index=4, unnamed=True):
    """20 bytes as Ethereum has them; names nobody here."""

    data: Annotated[bytes, FixedBytes(20)]


def account_of(address: MultiAddress) -> AccountId | None:
    """The account that an address names, or None if it names none on this chain."""
    match address:
        case AddressId(account):
            return account
        case AddressRaw(data) | Address32(data) if len(data) == 32:
            return data
        case _:
            return None


class MultiSignature(Enum, path="sp_runtime::MultiSignature"):
    """A signature with its scheme."""


class Ed25519Signature(MultiSignature, index=0, unnamed=True, name_in_metadata="Ed25519"):
    """By the ed25519 key that is the account."""

    signature: Signature


class Sr25519Signature(MultiSignature, index=1, unnamed=True, name_in_metadata="Sr25519"):
    """By the sr25519 key that is the account."""

    signature: Signature


class EcdsaSignature(MultiSignature, index=2, unnamed=True, name_in_metadata="Ecdsa"):
    """By a secp256k1 key whose Blake2b-256 is the account."""

    signature: Annotated[bytes, FixedBytes(65)]


SIGNATURE_FORMS: Mapping[Scheme, Callable[[bytes], MultiSignature]] = {
    Scheme.ED25519: Ed25519Signature,
    Scheme.SR25519: Sr25519Signature,
    Scheme.ECDSA: EcdsaSignature,
}


def verify_signature(signature: MultiSignature, message: bytes, account: AccountId) -> bool:
    """Whether `account` signed `message`."""
    match signature:
        case Ed25519Signature(data):
            return verify(Scheme.ED25519, account, message, data)
        case Sr25519Signature(data):
            return verify(Scheme.SR25519, account, message, data)
        case EcdsaSignature(data):
            key = recover_ecdsa(message, data)
            return key is not None and account_of_key(Scheme.ECDSA, key) == account
        case _:
            raise AssertionError("a signature has one of three schemes")


# --- extrinsic


class MetadataHashMode(UnitEnum, path="frame_metadata_hash_extension::Mode"):
    """Whether the signer commits to the metadata it saw."""

    DISABLED = 0
    ENABLED = 1


class SignedExtra(Struct):
    """The data of the signed extensions."""

    era: EraField
    nonce: Compact[Nonce]
    tip: Compact[Balance]
    metadata_hash_mode: MetadataHashMode = MetadataHashMode.DISABLED


class SignedPart(Struct):
    """Who signed an extrinsic, how, and on which terms."""

    address: MultiAddress
    signature: MultiSignature
    extra: SignedExtra


class UncheckedExtrinsic(msgspec.Struct, frozen=True, gc=False):
    """A decoded extrinsic whose signature nobody has checked. Bare if `signed` is None."""

    signed: SignedPart | None
    call: bytes
    """Pallet index, call index, arguments."""

    def encode(self) -> Extrinsic:
        """The bytes, compact length included."""
        if self.signed is None:
            body = bytes([BARE]) + self.call
        else:
            body = bytes([SIGNED]) + self.signed.encode() + self.call
        return encode_compact(len(body)) + body


_SIGNED_PART = codec(SignedPart)


def decode_extrinsic(data: Extrinsic) -> UncheckedExtrinsic:
    """The parts of an extrinsic given with its length; `DecodeError` says what is wrong."""
    length, start = decode_compact(data, 0)
    if length != len(data) - start or length == 0:
        raise DecodeError(f"extrinsic announces {length} bytes and has {len(data) - start}")
    version = data[start]
    if version == BARE:
        return UncheckedExtrinsic(None, data[start + 1 :])
    if version != SIGNED:
        raise DecodeError(f"extrinsic format {version:#04x} is not 0x04 (bare) or 0x84 (signed)")
    signed, end = _SIGNED_PART.decode_from(data, start + 1)
    return UncheckedExtrinsic(signed, data[end:])


def extrinsic_hash(data: Extrinsic) -> Hash:
    """The name of an extrinsic: the hash of its bytes, length included."""
    return blake2_256(data)


# --- signing


class _Implicit(Struct):
    """What is signed without being sent, because both sides know it."""

    spec_version: U32
    tx_version: U32
    genesis_hash: Hash
    mortality_hash: Hash
    metadata_hash: Hash | None


def signing_payload(
    call: bytes,
    extra: SignedExtra,
    spec_version: int,
    tx_version: int,
    genesis_hash: Hash,
    mortality_hash: Hash,
    metadata_hash: Hash | None = None,
) -> bytes:
    """What the signer of an extrinsic signs; already hashed if it is longer than 256 bytes.

    `mortality_hash` is the hash of block `era.birth(current)`, the genesis hash if immortal.
    `metadata_hash` is given exactly if the mode in `extra` is ENABLED.
    """
    is_enabled = extra.metadata_hash_mode is MetadataHashMode.ENABLED
    if is_enabled != (metadata_hash is not None):
        raise ValueError("a metadata hash belongs to mode ENABLED, and only to it")
    implicit = _Implicit(spec_version, tx_version, genesis_hash, mortality_hash, metadata_hash)
    payload = call + extra.encode() + implicit.encode()
    return blake2_256(payload) if len(payload) > PAYLOAD_MAX else payload


def signed_extrinsic(pair: KeyPair, call: bytes, extra: SignedExtra, payload: bytes) -> Extrinsic:
    """The extrinsic of `pair`'s account, with `payload` from `signing_payload` signed."""
    signature = SIGNATURE_FORMS[pair.scheme](pair.sign(payload))
    return UncheckedExtrinsic(SignedPart(AddressId(pair.account), signature, extra), call).encode()
