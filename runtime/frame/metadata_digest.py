"""The digest of the metadata that a signer can commit to (RFC-78), for devices that see little.

It covers what a device needs in order to show an extrinsic: the types that extrinsics are made of,
each a leaf of a Merkle tree (each variant of an enumeration a leaf of its own), how an extrinsic is
put together, and the version, the address format and the token of the chain. With a few leaves and
their proof a device is sure that what it shows is what is signed.

Types are numbered as in metadata V15 and V16, which clients make the same digest from.

Source: RFC-78, "Merkleized Metadata", of the Polkadot fellowship.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from blake3 import blake3

from runtime.frame.apis import ApiGroup
from runtime.frame.assembly import Assembly
from runtime.frame.extensions import SIGNED_EXTENSIONS
from runtime.frame.metadata import EXTRINSIC_VERSION, MetadataWriter, extension_type
from runtime.frame.registry import PRIMITIVES, TypeRegistry, path_of, text, vec
from runtime.primitives.extrinsic import MultiAddress, MultiSignature
from runtime.primitives.scale import (
    FieldDescription,
    Kind,
    Shape,
    TypeDescription,
    describe,
    encode_compact,
    shape_of,
)
from runtime.primitives.types import Hash

NONE, SOME = b"\x00", b"\x01"
DIGEST_V1 = b"\x01"

COMPACTS = ("u8", "u16", "u32", "u64", "u128", "u256")
FIRST_COMPACT = len(PRIMITIVES)
VOID = bytes([FIRST_COMPACT + len(COMPACTS)])
BY_NUMBER = bytes([FIRST_COMPACT + len(COMPACTS) + 1])
"""References to types: primitives, compact primitives, nothing, or the number of a leaf's type."""

COMPOSITE, VARIANT, SEQUENCE, ARRAY, TUPLE = (bytes([tag]) for tag in range(5))


@dataclass(frozen=True, slots=True)
class ChainInfo:
    """What devices show of the chain."""

    spec_name: str
    spec_version: int
    ss58_prefix: int
    token_symbol: str
    token_decimals: int

    def encode(self) -> bytes:
        """In the order of the digest."""
        return b"".join(
            (
                self.spec_version.to_bytes(4, "little"),
                text(self.spec_name),
                self.ss58_prefix.to_bytes(2, "little"),
                bytes([self.token_decimals]),
                text(self.token_symbol),
            )
        )


def metadata_digest(assembly: Assembly, apis: Sequence[ApiGroup], chain: ChainInfo) -> Hash:
    """The digest of an assembly's metadata."""
    writer = MetadataWriter(assembly, 15, apis, with_docs=False)
    writer.encode()  # numbers the types
    return _Digest(assembly, writer.types).compute(chain)


class _Digest:
    def __init__(self, assembly: Assembly, registry: TypeRegistry) -> None:
        self._registry = registry
        self._signed = (
            shape_of(MultiAddress),
            assembly.types.call,
            shape_of(MultiSignature),
        )
        self._extensions = [
            (kind.__name__, extension_type(kind), shape_of(kind.implicit))
            for kind in SIGNED_EXTENSIONS
        ]
        self._described: dict[int, TypeDescription] = {}
        for shape in self._signed:
            self._collect(shape)
        for _, data, implicit in self._extensions:
            self._collect(data)
            self._collect(implicit)
        self._places = {number: place for place, number in enumerate(sorted(self._described))}

    def compute(self, chain: ChainInfo) -> Hash:
        """The digest."""
        root = merkle_root([leaf for number in self._places for leaf in self._leaves(number)])
        return _hash(DIGEST_V1 + root + _hash(self._extrinsic()) + chain.encode())

    def _collect(self, shape: Shape) -> None:
        """Note a type and those inside it, if they have leaves."""
        number = self._registry.number_of(shape)
        found = describe(self._registry.shapes[number])
        if number in self._described or not _has_leaves(found):
            return
        self._described[number] = found
        for variant in found.variants:
            self._collect_fields(variant.fields)
        self._collect_fields(found.fields)
        for item in found.items:
            self._collect(item)

    def _collect_fields(self, fields: Iterable[FieldDescription]) -> None:
        for field in fields:
            self._collect(field.shape)

    def _leaves(self, number: int) -> Iterable[bytes]:
        found = self._described[number]
        path = vec(text(part) for part in path_of(self._registry.shapes[number], found))
        place = encode_compact(self._places[number])
        for definition in self._definitions(found):
            yield path + definition + place

    def _definitions(self, found: TypeDescription) -> Iterable[bytes]:
        match found.kind:
            case Kind.COMPOSITE:
                yield COMPOSITE + self._fields(found.fields)
            case Kind.VARIANT:
                for variant in sorted(found.variants, key=lambda variant: variant.index):
                    name, index = text(variant.name.removesuffix("_")), variant.index
                    yield VARIANT + name + self._fields(variant.fields) + encode_compact(index)
            case Kind.SEQUENCE:
                yield SEQUENCE + self._reference(found.items[0])
            case Kind.ARRAY:
                length = found.length.to_bytes(4, "little")
                yield ARRAY + length + self._reference(found.items[0])
            case Kind.TUPLE:
                yield TUPLE + vec(self._reference(item) for item in found.items)
            case Kind.PRIMITIVE | Kind.COMPACT:
                raise AssertionError("primitive and compact types have no leaves")

    def _fields(self, fields: Iterable[FieldDescription]) -> bytes:
        return vec(
            _optional(field.name) + self._reference(field.shape) + _optional(field.type_name)
            for field in fields
        )

    def _reference(self, shape: Shape) -> bytes:
        number = self._registry.number_of(shape)
        found = describe(self._registry.shapes[number])
        if found.kind is Kind.PRIMITIVE:
            return bytes([PRIMITIVES.index(found.primitive)])
        if found.kind is Kind.COMPACT:
            inner = describe(found.items[0])
            if inner.kind is not Kind.PRIMITIVE:
                return VOID  # Compact<()>
            return bytes([FIRST_COMPACT + COMPACTS.index(inner.primitive)])
        place = self._places.get(number)
        return VOID if place is None else BY_NUMBER + encode_compact(place)

    def _extrinsic(self) -> bytes:
        extensions = vec(
            text(name) + self._reference(data) + self._reference(implicit)
            for name, data, implicit in self._extensions
        )
        signed = b"".join(self._reference(shape) for shape in self._signed)
        return bytes([EXTRINSIC_VERSION]) + signed + extensions


def _has_leaves(found: TypeDescription) -> bool:
    match found.kind:
        case Kind.COMPOSITE:
            return bool(found.fields)
        case Kind.VARIANT:
            return bool(found.variants)
        case Kind.TUPLE:
            return bool(found.items)
        case Kind.SEQUENCE | Kind.ARRAY:
            return True
        case Kind.PRIMITIVE | Kind.COMPACT:
            return False


def merkle_root(leaves: Sequence[bytes]) -> Hash:
    """The root of the complete binary tree over the hashes of the leaves."""
    # As a heap: the parent of nodes 2 i + 1 and 2 i + 2 is node i, the leaves come last.
    count = len(leaves) - 1
    nodes = [b""] * count + [_hash(leaf) for leaf in leaves]
    for parent in reversed(range(count)):
        nodes[parent] = _hash(nodes[2 * parent + 1] + nodes[2 * parent + 2])
    return nodes[0]


def _hash(data: bytes) -> Hash:
    return blake3(data).digest()


def _optional(name: str | None) -> bytes:
    return SOME + text(name) if name else NONE
