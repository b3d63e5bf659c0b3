"""What the metadata says of a type: kind, path, parameters, fields, variants and documentation.

A description names other types by their shapes, which `describe` takes as well; shapes are
hashable and equal for equal types, so a registry numbers shapes and describes each once.
"""

import enum
from dataclasses import dataclass

from runtime.primitives.scale.annotations import docs_of, shape_of, struct_fields, struct_info
from runtime.primitives.scale.primitive import LENGTH_MAX
from runtime.primitives.scale.shapes import (
    BoolShape,
    BytesShape,
    CompactShape,
    CustomShape,
    DeferredShape,
    EnumShape,
    FixedShape,
    IntShape,
    MapShape,
    OptionShape,
    Shape,
    StructShape,
    TextShape,
    TupleShape,
    UnitEnumShape,
    VecShape,
)


class Kind(enum.Enum):
    """The kinds of type definition in the metadata, in the order of their indices there."""

    COMPOSITE = 0
    VARIANT = 1
    SEQUENCE = 2
    ARRAY = 3
    TUPLE = 4
    PRIMITIVE = 5
    COMPACT = 6


@dataclass(frozen=True, slots=True)
class FieldDescription:
    """A field of a composite or of a variant; `name` is None in tuple structs."""

    name: str | None
    shape: Shape
    type_name: str
    docs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VariantDescription:
    """One variant of an enumeration."""

    name: str
    index: int
    fields: tuple[FieldDescription, ...] = ()
    docs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TypeDescription:
    """One type. Which members are set depends on `kind`."""

    kind: Kind
    path: tuple[str, ...] = ()
    params: tuple[tuple[str, Shape | None], ...] = ()
    docs: tuple[str, ...] = ()
    fields: tuple[FieldDescription, ...] = ()
    """COMPOSITE"""
    variants: tuple[VariantDescription, ...] = ()
    """VARIANT, by index"""
    items: tuple[Shape, ...] = ()
    """TUPLE: all; SEQUENCE, ARRAY and COMPACT: the one inside"""
    length: int = 0
    """ARRAY"""
    primitive: str = ""
    """PRIMITIVE: bool, str, u8 … u128, i8 … i128"""


def describe(tp: object) -> TypeDescription:
    """The description of an annotation or of a shape."""
    shape = shape_of(tp)
    match shape:
        case IntShape():
            return TypeDescription(Kind.PRIMITIVE, primitive=shape.name)
        case BoolShape():
            return TypeDescription(Kind.PRIMITIVE, primitive="bool")
        case TextShape():
            return TypeDescription(Kind.PRIMITIVE, primitive="str")
        case FixedShape(size, ""):
            return TypeDescription(Kind.ARRAY, items=(IntShape(8),), length=size)
        case FixedShape(size, path):
            inner = FieldDescription(None, FixedShape(size), f"[u8; {size}]")
            return TypeDescription(Kind.COMPOSITE, tuple(path.split("::")), fields=(inner,))
        case TupleShape(items):
            return TypeDescription(Kind.TUPLE, items=items)
        case CompactShape(inner):
            return TypeDescription(Kind.COMPACT, items=(inner,))
        case BytesShape(limit):
            return _sequence(IntShape(8), BytesShape(), limit)
        case VecShape(element, limit, is_tuple):
            return _sequence(element, VecShape(element, is_tuple=is_tuple), limit)
        case MapShape(key, value):
            pairs = FieldDescription(None, VecShape(TupleShape((key, value))), "Vec<(K, V)>")
            params = (("K", key), ("V", value))
            return TypeDescription(Kind.COMPOSITE, ("BTreeMap",), params, fields=(pairs,))
        case OptionShape(inner):
            some = VariantDescription("Some", 1, (FieldDescription(None, inner, "T"),))
            variants = (VariantDescription("None", 0), some)
            return TypeDescription(Kind.VARIANT, ("Option",), (("T", inner),), variants=variants)
        case StructShape(cls):
            return _struct(cls)
        case EnumShape(info):
            return TypeDescription(
                Kind.VARIANT,
                _path(info.path, info.name),
                _params(info.params),
                info.docs,
                variants=tuple(
                    VariantDescription(struct_info(cls).name, index, _fields(cls), docs_of(cls))
                    for index, cls in sorted(info.variants.items())
                ),
            )
        case UnitEnumShape(cls):
            return _unit_enum(cls)
        case CustomShape(codec):
            return codec.describe()
        case DeferredShape(resolve):
            return describe(resolve())


def _sequence(element: Shape, unbounded: Shape, limit: int) -> TypeDescription:
    if limit == LENGTH_MAX:
        return TypeDescription(Kind.SEQUENCE, items=(element,))
    path = ("bounded_collections", "bounded_vec", "BoundedVec")
    inner = FieldDescription(None, unbounded, "Vec<T>")
    return TypeDescription(Kind.COMPOSITE, path, (("T", element), ("S", None)), fields=(inner,))


def _struct(cls: type) -> TypeDescription:
    info = struct_info(cls)
    if info.index is None:
        path, params = _path(info.path, info.name), _params(info.params)
        return TypeDescription(Kind.COMPOSITE, path, params, docs_of(cls), _fields(cls))
    if info.family is not None:
        return describe(EnumShape(info.family))
    only = VariantDescription(info.name, info.index, _fields(cls), docs_of(cls))
    return TypeDescription(Kind.VARIANT, _path(info.path, info.name), variants=(only,))


def _unit_enum(cls: type[enum.IntEnum]) -> TypeDescription:
    info = struct_info(cls)
    members = sorted(cls, key=int)
    variants = tuple(VariantDescription(_camel(member.name), int(member)) for member in members)
    path = _path(info.path, info.name)
    return TypeDescription(Kind.VARIANT, path, docs=docs_of(cls), variants=variants)


def _path(path: str, name: str) -> tuple[str, ...]:
    return tuple((path or name).split("::"))


def _params(params: tuple[tuple[str, object], ...]) -> tuple[tuple[str, Shape | None], ...]:
    return tuple((name, None if tp is None else shape_of(tp)) for name, tp in params)


def _fields(cls: type) -> tuple[FieldDescription, ...]:
    is_unnamed = struct_info(cls).is_unnamed
    return tuple(
        FieldDescription(
            # `from_` is a field that Python cannot call `from`.
            None if is_unnamed else item.name.removesuffix("_"),
            item.shape,
            item.type_name,
            item.docs,
        )
        for item in struct_fields(cls)
    )


def _camel(name: str) -> str:
    """`DEMAND_RESPONSE` as clients expect a variant: `DemandResponse`."""
    return "".join(part.title() for part in name.split("_")) if name.isupper() else name
