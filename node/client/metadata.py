"""Metadata V16 as a client reads it: the whole interface of a chain, types included.

Layout: frame-metadata 23 and scale-info 2. Only reading; the runtime writes it
(`runtime.frame.metadata`). Left out: V14 and V15, which nodes of this chain serve for others.
"""

from runtime.primitives.scale import (
    U8,
    U32,
    Compact,
    DecodeError,
    Enum,
    Struct,
    UnitEnum,
    codec,
)

MAGIC = b"meta"
VERSION = 16
TypeId = Compact[U32]
"""Place of a type in the registry."""


# --- types


class Field(Struct):
    """A field; without a name in tuple structs."""

    name: str | None
    type_id: TypeId
    type_name: str | None
    docs: list[str]


class Variant(Struct):
    """One form of an enumeration."""

    name: str
    fields: list[Field]
    index: U8
    docs: list[str]


class Definition(Enum):
    """What a type is made of."""


class Composite(Definition, index=0):
    """A struct."""

    fields: list[Field]


class Variants(Definition, index=1):
    """An enumeration."""

    variants: list[Variant]


class Sequence(Definition, index=2):
    """A length and that many items."""

    item: TypeId


class Array(Definition, index=3):
    """So many items."""

    length: U32
    item: TypeId


class Tuple(Definition, index=4):
    """One value behind the other."""

    items: list[TypeId]


class PrimitiveKind(UnitEnum):
    """Types without parts."""

    BOOL = 0
    CHAR = 1
    STR = 2
    U8 = 3
    U16 = 4
    U32 = 5
    U64 = 6
    U128 = 7
    U256 = 8
    I8 = 9
    I16 = 10
    I32 = 11
    I64 = 12
    I128 = 13
    I256 = 14


class Primitive(Definition, index=5):
    """One of the types without parts."""

    kind: PrimitiveKind


class CompactInteger(Definition, index=6):
    """An integer in the compact form."""

    inner: TypeId


class BitSequence(Definition, index=7):
    """Bits; this chain has none."""

    store: TypeId
    order: TypeId


class TypeParameter(Struct):
    """A parameter of a generic type."""

    name: str
    type_id: TypeId | None


class TypeInfo(Struct):
    """A type."""

    path: list[str]
    params: list[TypeParameter]
    definition: Definition
    docs: list[str]


class NumberedType(Struct):
    """A type and its place."""

    type_id: TypeId
    info: TypeInfo


# --- pallets


class Deprecation(Enum):
    """Whether something should still be used."""


class NotDeprecated(Deprecation, index=0):
    """It should."""


class DeprecatedSilently(Deprecation, index=1):
    """It should not."""


class Deprecated(Deprecation, index=2):
    """It should not, and why."""

    note: str
    since: str | None


class VariantDeprecation(Enum):
    """Of a variant that should not be used."""


class VariantDeprecatedSilently(VariantDeprecation, index=1):
    """Without a reason."""


class VariantDeprecated(VariantDeprecation, index=2):
    """And why."""

    note: str
    since: str | None


class VariantsOf(Struct):
    """The calls, events or errors of a pallet."""

    type_id: TypeId
    deprecated: dict[U8, VariantDeprecation]


class Modifier(UnitEnum):
    """What an entry without a value reads as."""

    OPTIONAL = 0
    DEFAULT = 1


class Hasher(UnitEnum):
    """How a key of a map becomes part of the storage key."""

    BLAKE2_128 = 0
    BLAKE2_256 = 1
    BLAKE2_128_CONCAT = 2
    TWOX_128 = 3
    TWOX_256 = 4
    TWOX_64_CONCAT = 5
    IDENTITY = 6


class StorageKind(Enum):
    """A value or a map."""


class PlainStorage(StorageKind, index=0):
    """One value."""

    value: TypeId


class MapStorage(StorageKind, index=1):
    """Values by keys."""

    hashers: list[Hasher]
    key: TypeId
    value: TypeId


class StorageEntry(Struct):
    """A storage item."""

    name: str
    modifier: Modifier
    kind: StorageKind
    default: bytes
    docs: list[str]
    deprecation: Deprecation


class PalletStorage(Struct):
    """The storage items of a pallet."""

    prefix: str
    entries: list[StorageEntry]


class Constant(Struct):
    """A constant with its value."""

    name: str
    type_id: TypeId
    value: bytes
    docs: list[str]
    deprecation: Deprecation


class Argument(Struct):
    """An argument of a function."""

    name: str
    type_id: TypeId


class AssociatedType(Struct):
    """A type of a pallet's configuration; this chain shows none."""

    name: str
    type_id: TypeId
    docs: list[str]


class ViewFunction(Struct):
    """A function of a pallet; this chain has runtime APIs instead."""

    function_id: list[U8]
    name: str
    inputs: list[Argument]
    output: TypeId
    docs: list[str]
    deprecation: Deprecation


class Pallet(Struct):
    """A pallet."""

    name: str
    storage: PalletStorage | None
    calls: VariantsOf | None
    events: VariantsOf | None
    constants: list[Constant]
    errors: VariantsOf | None
    associated_types: list[AssociatedType]
    view_functions: list[ViewFunction]
    index: U8
    docs: list[str]
    deprecation: Deprecation


# --- extrinsics and runtime APIs


class Extension(Struct):
    """A signed extension."""

    identifier: str
    type_id: TypeId
    implicit: TypeId


class ExtrinsicInfo(Struct):
    """The form of extrinsics."""

    versions: list[U8]
    address: TypeId
    call: TypeId
    signature: TypeId
    extensions_by_version: dict[U8, list[Compact[U32]]]
    extensions: list[Extension]


class ApiFunction(Struct):
    """A function of a runtime API."""

    name: str
    inputs: list[Argument]
    output: TypeId
    docs: list[str]
    deprecation: Deprecation


class Api(Struct):
    """A runtime API."""

    name: str
    functions: list[ApiFunction]
    docs: list[str]
    version: Compact[U32]
    deprecation: Deprecation


class OuterEnums(Struct):
    """The types that hold all pallets' calls, events and errors."""

    call: TypeId
    event: TypeId
    error: TypeId


class Custom(Struct):
    """Something a chain adds; this one adds nothing."""

    type_id: TypeId
    value: bytes


class Metadata(Struct):
    """The whole."""

    types: list[NumberedType]
    pallets: list[Pallet]
    extrinsic: ExtrinsicInfo
    apis: list[Api]
    outer: OuterEnums
    custom: dict[str, Custom]


_METADATA = codec(Metadata)


def decode_metadata(encoded: bytes) -> Metadata:
    """Metadata from the letters `meta` on. Raises `DecodeError`."""
    if encoded[:4] != MAGIC or encoded[4:5] != bytes([VERSION]):
        found = encoded[4] if encoded[:4] == MAGIC and len(encoded) > 4 else encoded[:5].hex()
        raise DecodeError(f"metadata of version {found}, expected {VERSION}")
    metadata = _METADATA.decode(encoded[5:])
    if [entry.type_id for entry in metadata.types] != list(range(len(metadata.types))):
        raise DecodeError("the types of the metadata are not numbered in order")
    return metadata


def note_of(deprecation: Deprecation | VariantDeprecation | None) -> str:
    """What a deprecation tells a reader; empty without one."""
    match deprecation:
        case Deprecated(note) | VariantDeprecated(note):
            return f"deprecated: {note}"
        case DeprecatedSilently() | VariantDeprecatedSilently():
            return "deprecated"
        case _:
            return ""
