"""What a SCALE type says about its values: the default, and whether they can change in place."""

from dataclasses import dataclass
from typing import Any

from runtime.primitives.scale import Codec, DecodeError, Shape, codec, shape_of
from runtime.primitives.scale.annotations import struct_fields
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
    StructShape,
    TextShape,
    TupleShape,
    UnitEnumShape,
    VecShape,
)


@dataclass(frozen=True, slots=True)
class Default:
    """`StorageValue[Annotated[U32, Default(5)]]` reads as 5 while nothing is stored."""

    value: object


def codec_of(shape: Shape) -> Codec[Any]:
    """The codec of a shape. What its values are in Python only the annotation knew."""
    make: Any = codec  # typed for annotations; it takes shapes as well
    made: Codec[Any] = make(shape)
    return made


def default_of(shape: Shape) -> Any:
    """Zero, empty, the first variant, or a struct of such; `TypeError` for a custom codec."""
    match shape:
        case IntShape():
            return 0
        case BoolShape():
            return False
        case FixedShape(size):
            return bytes(size)
        case BytesShape():
            return b""
        case TextShape():
            return ""
        case CompactShape(inner):
            return default_of(inner)
        case TupleShape(items):
            return tuple(default_of(item) for item in items) if items else None
        case VecShape():
            return () if shape.is_tuple else []
        case MapShape():
            return {}
        case OptionShape():
            return None
        case StructShape(cls):
            return cls(*(default_of(field.shape) for field in struct_fields(cls)))
        case EnumShape(info):
            return default_of(StructShape(info.variants[min(info.variants)]))
        case UnitEnumShape(cls):
            return min(cls)
        case DeferredShape(resolve):
            return default_of(shape_of(resolve()))
        case CustomShape(custom):
            return _custom_default(custom)


def _custom_default(custom: Any) -> Any:
    """A custom codec has a default if a zero byte is the encoding of a value."""
    try:
        value, _ = custom.decode_from(b"\x00", 0)
    except DecodeError:
        raise TypeError(f"{custom!r} has no default value") from None
    return value


def is_immutable(shape: Shape) -> bool:
    """Whether nothing can change a value of the type in place, so that one can be shared."""
    return _is_immutable(shape, frozenset())


def _is_immutable(shape: Shape, outer: frozenset[Shape]) -> bool:
    inner = outer | {shape}
    match shape:
        case _ if shape in outer:
            return True
        case VecShape(element, _, is_tuple):
            return is_tuple and _is_immutable(element, inner)
        case MapShape() | CustomShape() | DeferredShape():
            return False
        case OptionShape(value):
            return _is_immutable(value, inner)
        case TupleShape(items):
            return all(_is_immutable(item, inner) for item in items)
        case StructShape(cls):
            return all(_is_immutable(field.shape, inner) for field in struct_fields(cls))
        case EnumShape(info):
            variants = (StructShape(cls) for cls in info.variants.values())
            return all(_is_immutable(variant, inner) for variant in variants)
        case _:
            return True
