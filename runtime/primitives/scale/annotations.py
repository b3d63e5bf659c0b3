"""From annotations to shapes."""

import enum
import functools
import inspect
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from runtime.primitives.scale.primitive import LENGTH_MAX
from runtime.primitives.scale.shapes import (
    BoolShape,
    BytesShape,
    CompactMarker,
    CompactShape,
    Custom,
    CustomShape,
    Deferred,
    DeferredShape,
    Doc,
    EnumInfo,
    EnumShape,
    FixedBytes,
    FixedShape,
    IntShape,
    MapShape,
    MaxLen,
    Named,
    OptionShape,
    Shape,
    StructInfo,
    StructShape,
    TextShape,
    TupleShape,
    TypePath,
    UnitEnumShape,
    VecShape,
)


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a struct."""

    name: str
    shape: Shape
    type_name: str
    docs: tuple[str, ...]


def shape_of(annotation: object) -> Shape:
    """The shape of an annotation (or of a shape: itself); `TypeError` if it has none."""
    if isinstance(annotation, Shape):
        return annotation
    base, markers = _split(annotation)
    for marker in markers:
        match marker:
            case Custom(codec):
                return CustomShape(codec)
            case Deferred(resolve):
                return DeferredShape(resolve)
            case EnumShape():
                return marker
            case _:
                pass
    if base in (int, bytes, str, bool, None, type(None)):
        return _plain(base, markers)
    origin = typing.get_origin(base)
    if origin is not None:
        return _generic(origin, typing.get_args(base), _limit(markers))
    return _class(base)


def struct_info(cls: object) -> StructInfo:
    """The declaration of a `Struct` or `UnitEnum` class."""
    info = getattr(cls, "__scale__", None)
    if not isinstance(info, StructInfo):
        raise TypeError(f"{cls!r} is not a Struct")
    return info


@functools.cache
def struct_fields(cls: type) -> tuple[Field, ...]:
    """The fields of a `Struct` class, with their annotations resolved."""
    hints = typing.get_type_hints(cls, include_extras=True)
    names: tuple[str, ...] = getattr(cls, "__struct_fields__", ())
    return tuple(
        Field(name, shape_of(hints[name]), type_name(hints[name]), _docs(hints[name]))
        for name in names
    )


def type_name(annotation: object) -> str:
    """How Rust would write the type, with our own names where a type has one."""
    base, markers = _split(annotation)
    names = [marker.name for marker in markers if isinstance(marker, Named)]
    name = names[-1] if names else _rust_name(base, markers)
    return f"Compact<{name}>" if CompactMarker() in markers else name


def docs_of(cls: type) -> tuple[str, ...]:
    """The lines of a class's own docstring."""
    text: str | None = cls.__dict__.get("__doc__")
    return tuple(inspect.cleandoc(text).split("\n")) if text else ()


def _split(annotation: object) -> tuple[Any, tuple[Any, ...]]:
    if typing.get_origin(annotation) is Annotated:
        base, *markers = typing.get_args(annotation)
        return base, tuple(markers)
    return annotation, ()


def _docs(annotation: object) -> tuple[str, ...]:
    return tuple(marker.text for marker in _split(annotation)[1] if isinstance(marker, Doc))


def _limit(markers: tuple[Any, ...]) -> int:
    return min((m.length for m in markers if isinstance(m, MaxLen)), default=LENGTH_MAX)


def _plain(base: object, markers: tuple[Any, ...]) -> Shape:
    is_compact = CompactMarker() in markers
    if base is int:
        widths = [marker for marker in markers if isinstance(marker, IntShape)]
        if len(widths) != 1:
            raise TypeError("int needs one width: U8 … U128 or I8 … I128")
        if is_compact and widths[0].is_signed:
            raise TypeError("SCALE has no compact form of signed integers")
        return CompactShape(widths[0]) if is_compact else widths[0]
    if base is None or base is type(None):
        return CompactShape(TupleShape()) if is_compact else TupleShape()
    if is_compact:
        raise TypeError(f"{base} has no compact form")
    if base is bool:
        return BoolShape()
    if base is str:
        return TextShape(_limit(markers))
    sizes = [marker.size for marker in markers if isinstance(marker, FixedBytes)]
    paths = [marker.path for marker in markers if isinstance(marker, TypePath)]
    if sizes:
        return FixedShape(sizes[0], paths[-1] if paths else "")
    return BytesShape(_limit(markers))


def _generic(origin: Any, args: tuple[Any, ...], limit: int) -> Shape:
    if origin is list:
        return VecShape(shape_of(args[0]), limit)
    if origin is dict:
        key = shape_of(args[0])
        if not _is_ordered(key):
            raise TypeError(f"map keys of {args[0]} have no order that Python and Rust agree on")
        return MapShape(key, shape_of(args[1]), limit)
    if origin is tuple:
        if len(args) == 2 and args[1] is ...:
            return VecShape(shape_of(args[0]), limit, is_tuple=True)
        return TupleShape(tuple(shape_of(item) for item in args))
    if origin in _UNIONS:
        inner = [item for item in args if item is not type(None)]
        if len(inner) == 1 and len(args) == 2:
            return OptionShape(shape_of(inner[0]))
        raise TypeError(f"only `X | None` is a SCALE type, not a union of {args}")
    raise TypeError(f"{origin} has no SCALE form")


def _is_ordered(key: Shape) -> bool:
    match key:
        case IntShape() | BoolShape() | FixedShape() | BytesShape() | TextShape():
            return True
        case UnitEnumShape() | CompactShape(IntShape()):
            return True
        case TupleShape(items):
            return all(_is_ordered(item) for item in items)
        case _:
            return False


def _class(base: Any) -> Shape:
    info: object = getattr(base, "__scale__", None)
    if not isinstance(info, StructInfo):
        raise TypeError(f"{base!r} has no SCALE form")
    if issubclass(base, enum.IntEnum):
        return UnitEnumShape(base)
    if info.is_root:
        assert info.family is not None, "the root of an enumeration has a family"
        return EnumShape(info.family)
    return StructShape(base)


def _rust_name(base: Any, markers: tuple[Any, ...]) -> str:
    origin, args = typing.get_origin(base), typing.get_args(base)
    if origin is not None:
        return _rust_generic(origin, args, _limit(markers))
    for marker in markers:
        match marker:
            case IntShape():
                return marker.name
            case FixedBytes(size):
                return f"[u8; {size}]"
            case EnumShape(info):
                return info.name
            case _:
                pass
    declared: object = getattr(base, "__scale__", None)
    if isinstance(declared, StructInfo):
        return declared.name
    return _RUST_NAMES.get(base, getattr(base, "__name__", str(base)))


_UNIONS = (typing.Union, types.UnionType)
_RUST_NAMES: dict[object, str] = {str: "String", bytes: "Vec<u8>", None: "()", type(None): "()"}


def _rust_generic(origin: Any, args: tuple[Any, ...], limit: int) -> str:
    if origin in _UNIONS:
        return f"Option<{type_name(next(item for item in args if item is not type(None)))}>"
    names = [type_name(item) for item in args if item is not ...]
    if origin is dict:
        return f"BTreeMap<{', '.join(names)}>"
    if origin is tuple and ... not in args:
        return f"({', '.join(names)})"
    return f"{'Vec' if limit == LENGTH_MAX else 'BoundedVec'}<{names[0]}>"


def one_of(
    name: str,
    variants: Sequence[type],
    *,
    path: str = "",
    params: Mapping[str, object] | None = None,
    docs: tuple[str, ...] = (),
) -> Any:
    """The annotation of an enumeration over struct classes that were declared with an index.

    For variants that lie apart, such as the events of one pallet. Each result is a type of its
    own, so make it once and keep it.
    """
    info = EnumInfo(name, path, tuple((params or {}).items()), docs)
    for variant in variants:
        index = struct_info(variant).index
        if index is None:
            raise TypeError(f"{variant.__name__} has no index")
        info.add(index, variant)
    return Annotated[object, EnumShape(info)]
