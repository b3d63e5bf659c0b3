"""Header, digest and block, byte for byte as Substrate's.

The hash of a block is the Blake2b-256 of its whole header, the seal included. An extrinsic is held
as its bytes including the compact length in front, here and everywhere in the node.
"""

from dataclasses import dataclass
from typing import Annotated

from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import (
    BytesShape,
    Compact,
    Custom,
    DecodeError,
    EncodeError,
    Enum,
    FieldDescription,
    Kind,
    Named,
    Struct,
    TypeDescription,
    decode_compact,
)
from runtime.primitives.types import BlockNumber, EngineId, Hash


class DigestItem(Enum, path="sp_runtime::generic::digest::DigestItem"):
    """One entry of a header's digest."""


class Other(DigestItem, index=0, unnamed=True):
    """Anything; consensus ignores it."""

    data: bytes


class Consensus(DigestItem, index=4, unnamed=True):
    """A message of the runtime to the consensus engine, such as a change of authorities."""

    engine: EngineId
    data: bytes


class Seal(DigestItem, index=5, unnamed=True):
    """The author's signature over the header without it; always the last item."""

    engine: EngineId
    data: bytes


class PreRuntime(DigestItem, index=6, unnamed=True):
    """What the runtime must know before it executes the block, such as its slot."""

    engine: EngineId
    data: bytes


class RuntimeEnvironmentUpdated(DigestItem, index=8, unnamed=True):
    """The block changes the version of the runtime."""


class Digest(Struct, path="sp_runtime::generic::digest::Digest"):
    """What consensus has to say about a block."""

    logs: list[DigestItem]


class Header(Struct, path="sp_runtime::generic::header::Header"):
    """A block without its body."""

    parent_hash: Hash
    number: Compact[BlockNumber]
    state_root: Hash
    extrinsics_root: Hash
    digest: Digest

    def hash(self) -> Hash:
        """The hash of the block, which is its name."""
        return blake2_256(self.encode())


@dataclass(frozen=True, slots=True)
class _ExtrinsicCodec:
    """Bytes that already begin with their own compact length."""

    def encode(self, value: bytes) -> bytes:
        length, start = decode_compact(value, 0)
        if length != len(value) - start:
            raise EncodeError(f"extrinsic announces {length} bytes and has {len(value) - start}")
        return value

    def decode_from(self, data: bytes, offset: int) -> tuple[bytes, int]:
        length, start = decode_compact(data, offset)
        end = start + length
        if end > len(data):
            raise DecodeError(f"extrinsic announces {length} bytes, {len(data) - start} remain")
        return data[offset:end], end

    def describe(self) -> TypeDescription:
        inner = FieldDescription(None, BytesShape(), "Vec<u8>")
        return TypeDescription(Kind.COMPOSITE, ("sp_runtime", "OpaqueExtrinsic"), fields=(inner,))


Extrinsic = Annotated[bytes, Custom(_ExtrinsicCodec()), Named("OpaqueExtrinsic")]
"""The bytes of an extrinsic including the compact length in front."""


class Block(Struct, path="sp_runtime::generic::block::Block"):
    """A header and the extrinsics that its extrinsics root commits to."""

    header: Header
    extrinsics: list[Extrinsic]
