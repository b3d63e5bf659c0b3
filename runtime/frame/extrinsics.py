"""From the bytes of an extrinsic to what the executive applies: decoded, and signed by its account.

The signing payload is put together from the bytes that came, not encoded again; the codecs take
canonical encodings only, so both are the same.
"""

from collections.abc import Callable
from dataclasses import dataclass

from runtime.frame.assembly import Assembly
from runtime.frame.dispatch import CallCost
from runtime.frame.extensions import Checked
from runtime.frame.signatures import SignatureCache
from runtime.frame.traits import SystemPallet
from runtime.frame.validity import (
    AncientBirthBlock,
    BadProof,
    Call,
    CannotLookup,
    InvalidTransaction,
)
from runtime.primitives.extrinsic import (
    BARE,
    PAYLOAD_MAX,
    SIGNED,
    AddressId,
    MetadataHashMode,
    MultiAddress,
    MultiSignature,
    SignedExtra,
    account_of,
)
from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import DecodeError, Struct, codec, decode_compact
from runtime.primitives.types import AccountId, Hash

_ADDRESS = codec(MultiAddress)
_SIGNATURE = codec(MultiSignature)
_EXTRA = codec(SignedExtra)


@dataclass(frozen=True, slots=True)
class Versions:
    """What a signer commits to beside the genesis hash."""

    spec_version: int
    transaction_version: int


@dataclass(slots=True)
class Decoded:
    """An extrinsic in its parts; `signed` is None if it is bare."""

    call: Struct
    cost: CallCost
    signed: "SignedParts | None"


@dataclass(slots=True)
class SignedParts:
    """The parts of a signed extrinsic that its signature is about."""

    address: MultiAddress
    signature: MultiSignature
    encoded_signature: bytes
    extra: SignedExtra
    payload: bytes
    """Call and extra; what is implicit comes behind."""


class ExtrinsicChecker:
    """Decodes extrinsics and checks their signatures against the current state."""

    def __init__(
        self,
        assembly: Assembly,
        system: SystemPallet,
        versions: Versions,
        metadata_digest: Callable[[], Hash],
    ) -> None:
        self._metadata_digest = metadata_digest
        self._assembly = assembly
        self._system = system
        self._versions = b"".join(
            version.to_bytes(4, "little")
            for version in (versions.spec_version, versions.transaction_version)
        )

    def decode(self, extrinsic: bytes) -> Decoded:
        """The parts. Raises `InvalidTransaction` when the bytes are no extrinsic of this chain."""
        try:
            return self._decode(extrinsic)
        except DecodeError as error:
            raise InvalidTransaction(Call(), str(error), is_malformed=True) from None

    def _decode(self, data: bytes) -> Decoded:
        length, start = decode_compact(data, 0)
        if length != len(data) - start or length == 0:
            raise DecodeError(f"extrinsic announces {length} bytes and has {len(data) - start}")
        version, signed, call_start = data[start], None, start + 1
        if version == SIGNED:
            address, middle = _ADDRESS.decode_from(data, start + 1)
            signature, end = _SIGNATURE.decode_from(data, middle)
            extra, call_start = _EXTRA.decode_from(data, end)
            payload = data[call_start:] + data[end:call_start]
            signed = SignedParts(address, signature, data[middle:end], extra, payload)
        elif version != BARE:
            raise DecodeError(f"extrinsic format {version:#04x}, expected 0x04 or 0x84")
        call = self._assembly.decode_call(data[call_start:])
        return Decoded(call, self._assembly.cost_of(call), signed)

    def check_signature(
        self,
        decoded: Decoded,
        signed: SignedParts,
        length: int,
        signatures: SignatureCache,
        number: int | None = None,
    ) -> Checked:
        """The extrinsic with its signer. Raises `InvalidTransaction`.

        `number` is that of the block it is judged for, the current one by default.
        """
        extra = signed.extra
        who = self._lookup(signed.address)
        current = self._system.block_number() if number is None else number
        payload = signed.payload + self._implicit(extra, current)
        if len(payload) > PAYLOAD_MAX:
            payload = blake2_256(payload)
        if not signatures.is_valid(signed.signature, signed.encoded_signature, payload, who):
            raise InvalidTransaction(BadProof())
        return Checked(who, extra, decoded.call, decoded.cost, length)

    def _lookup(self, address: MultiAddress) -> AccountId:
        if isinstance(address, AddressId):
            return address.account
        who = account_of(address)
        if who is None:
            raise InvalidTransaction(CannotLookup(), "the address names no account")
        return who

    def _implicit(self, extra: SignedExtra, current: int) -> bytes:
        """Versions, genesis hash, hash of the era's first block, digest of the metadata or none."""
        era, genesis = extra.era, self._block_hash(0)
        digest = b"\x00"
        if extra.metadata_hash_mode is MetadataHashMode.ENABLED:
            digest = b"\x01" + self._metadata_digest()
        if era.is_immortal:
            return b"%b%b%b%b" % (self._versions, genesis, genesis, digest)
        birth = era.birth(current)
        return b"%b%b%b%b" % (self._versions, genesis, self._block_hash(birth), digest)

    def _block_hash(self, number: int) -> Hash:
        found = self._system.block_hash(number)
        if found is None:
            raise InvalidTransaction(AncientBirthBlock(), f"the hash of block {number} is gone")
        return found
