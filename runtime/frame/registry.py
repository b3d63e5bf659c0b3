"""The portable type registry of the metadata: types by number, each described once.

A type gets its number when it is first asked for; the types inside it follow. Layout:
`scale_info::PortableRegistry`.

A struct or enumeration without a Rust path gets one from its Python module, so that two pallets can
use one name: `runtime.pallets.trading.records.Order` is `pallet_trading::records::Order`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NoReturn

from runtime.frame.docs import NO_DOCS, Docs, docs_of_fields
from runtime.primitives.scale import (
    DecodeError,
    EncodeError,
    FieldDescription,
    Kind,
    Shape,
    TypeDescription,
    VariantDescription,
    codec,
    describe,
    encode_compact,
    shape_of,
)
from runtime.primitives.scale.shapes import (
    CustomShape,
    DeferredShape,
    EnumShape,
    StructShape,
    UnitEnumShape,
)

PRIMITIVES = (
    *("bool", "char", "str"),
    *("u8", "u16", "u32", "u64", "u128", "u256"),
    *("i8", "i16", "i32", "i64", "i128", "i256"),
)
"""By their numbers in the metadata."""

PRELUDE = ("Option", "Result", "BTreeMap")
"""Types of Rust itself, which clients know without a module."""

_TEXT = codec(str)


class TypeRegistry:
    """Types by number. With `with_docs` false, nothing in it depends on documentation.

    `replaced` are types that clients are shown others for.
    """

    def __init__(self, with_docs: bool, replaced: Mapping[Shape, Shape] | None = None) -> None:
        self.with_docs = with_docs
        self._replaced: Mapping[Shape, Shape] = {} if replaced is None else replaced
        self._numbers: dict[Shape, int] = {}
        self._shapes: list[Shape] = []

    def number_of(self, shape: Shape) -> int:
        """The number of a type, given one if it has none."""
        while isinstance(shape, DeferredShape):
            shape = shape_of(shape.resolve())
        shape = self._replaced.get(shape, shape)
        number = self._numbers.get(shape)
        if number is None:
            number = self._numbers[shape] = len(self._shapes)
            self._shapes.append(shape)
        return number

    @property
    def shapes(self) -> Sequence[Shape]:
        """The types by number; complete once they were encoded."""
        return self._shapes

    def reference(self, shape: Shape) -> bytes:
        """The encoded number of a type."""
        return encode_compact(self.number_of(shape))

    def encode(self) -> bytes:
        """All types asked for so far, and those inside them."""
        types: list[bytes] = []
        # Describing a type may add others behind it.
        for number, shape in enumerate(self._shapes):
            types.append(encode_compact(number) + self._encode_type(shape))
        return vec(types)

    def docs(self, lines: Iterable[str]) -> bytes:
        """Encoded documentation, or none."""
        return vec(text(line) for line in lines) if self.with_docs else b"\x00"

    def docs_of_fields(self, cls: type) -> Docs:
        """The documentation of a class's fields, or none."""
        return docs_of_fields(cls) if self.with_docs else NO_DOCS

    def _encode_type(self, shape: Shape) -> bytes:
        found = describe(shape)
        params = (
            text(name) + (b"\x00" if of is None else b"\x01" + self.reference(of))
            for name, of in found.params
        )
        return b"".join(
            (
                vec(text(part) for part in path_of(shape, found)),
                vec(params),
                bytes([found.kind.value]),
                self._encode_definition(shape, found),
                self.docs(found.docs),
            )
        )

    def _encode_definition(self, shape: Shape, found: TypeDescription) -> bytes:
        match found.kind:
            case Kind.COMPOSITE:
                cls = shape.cls if isinstance(shape, StructShape) else None
                return self._encode_fields(found.fields, cls)
            case Kind.VARIANT:
                return vec(self._encode_variant(shape, variant) for variant in found.variants)
            case Kind.SEQUENCE | Kind.COMPACT:
                return self.reference(found.items[0])
            case Kind.ARRAY:
                return found.length.to_bytes(4, "little") + self.reference(found.items[0])
            case Kind.TUPLE:
                return vec(self.reference(item) for item in found.items)
            case Kind.PRIMITIVE:
                return bytes([PRIMITIVES.index(found.primitive)])

    def _encode_variant(self, shape: Shape, variant: VariantDescription) -> bytes:
        cls = shape.info.variants.get(variant.index) if isinstance(shape, EnumShape) else None
        fields = self._encode_fields(variant.fields, cls)
        docs = self.docs(variant.docs)
        return text(variant.name.removesuffix("_")) + fields + bytes([variant.index]) + docs

    def _encode_fields(self, fields: tuple[FieldDescription, ...], cls: type | None) -> bytes:
        attribute_docs = NO_DOCS if cls is None else self.docs_of_fields(cls)
        return vec(
            (b"\x00" if field.name is None else b"\x01" + text(field.name))
            + self.reference(field.shape)
            + (b"\x01" + text(field.type_name) if field.type_name else b"\x00")
            + self.docs(field.docs or attribute_docs.get(field.name or "", ()))
            for field in fields
        )


class Described:
    """A type that only the metadata knows: it has a description and no values."""

    def __init__(self, description: TypeDescription) -> None:
        self._description = description

    @property
    def shape(self) -> Shape:
        """The type."""
        return CustomShape(self)

    def describe(self) -> TypeDescription:
        """What the metadata says of it."""
        return self._description

    def encode(self, value: object) -> NoReturn:
        """There are no values."""
        raise EncodeError("a type of the metadata only")

    def decode_from(self, data: bytes, offset: int) -> NoReturn:
        """There are no values."""
        raise DecodeError("a type of the metadata only")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Described) and self._description == other._description

    def __hash__(self) -> int:
        return hash(self._description)


def path_of(shape: Shape, found: TypeDescription) -> tuple[str, ...]:
    """The Rust path of a type: its own, or one made of its Python module."""
    if len(found.path) != 1 or found.path[0] in PRELUDE:
        return found.path
    match shape:
        case StructShape(cls) | UnitEnumShape(cls):
            module = cls.__module__
        case EnumShape(info):
            module = info.variants[min(info.variants)].__module__
        case _:
            return found.path
    top, *parts = module.split(".")
    if top == "runtime" and parts[:1] == ["pallets"]:
        _, pallet, *rest = parts
        return (f"pallet_{pallet}", *(rest or ["types"]), *found.path)
    return ("dret", *parts, *found.path)


def text(value: str) -> bytes:
    """An encoded text."""
    return _TEXT.encode(value)


def vec(items: Iterable[bytes]) -> bytes:
    """An encoded list of encoded items."""
    encoded = list(items)
    return encode_compact(len(encoded)) + b"".join(encoded)
