"""From annotations to shapes: what a type looks like in SCALE, as small immutable values.

A shape is what the compiler and the metadata work on. Names given to a type (`EnergyWh`) are not
part of its shape, so types that encode alike have equal shapes. A struct is held by its class and
its fields are looked up when needed, so that types may contain themselves.
"""

import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypeVar

from runtime.primitives.scale.primitive import LENGTH_MAX

if TYPE_CHECKING:
    from runtime.primitives.scale.describe import TypeDescription

T = TypeVar("T")


# --- shapes


@dataclass(frozen=True, slots=True)
class IntShape:
    """An integer of `bits` bits, little-endian, two's complement when signed."""

    bits: int
    is_signed: bool = False

    @property
    def name(self) -> str:
        """Rust's name: u8 … u128, i8 … i128."""
        return f"{'i' if self.is_signed else 'u'}{self.bits}"


@dataclass(frozen=True, slots=True)
class BoolShape:
    """One byte, 0 or 1."""


@dataclass(frozen=True, slots=True)
class FixedShape:
    """Exactly `size` bytes; with a `path` it is a type of its own, such as H256."""

    size: int
    path: str = ""


@dataclass(frozen=True, slots=True)
class BytesShape:
    """Vec<u8> of at most `length_max` bytes."""

    length_max: int = LENGTH_MAX


@dataclass(frozen=True, slots=True)
class TextShape:
    """UTF-8 text of at most `length_max` bytes."""

    length_max: int = LENGTH_MAX


@dataclass(frozen=True, slots=True)
class TupleShape:
    """Several values one behind the other; without any it is the unit, written `None`."""

    items: tuple["Shape", ...] = ()


@dataclass(frozen=True, slots=True)
class CompactShape:
    """A compact integer no wider than `inner`; Compact<()> takes no bytes at all."""

    inner: IntShape | TupleShape


@dataclass(frozen=True, slots=True)
class VecShape:
    """A length and that many elements."""

    element: "Shape"
    length_max: int = LENGTH_MAX
    is_tuple: bool = False


@dataclass(frozen=True, slots=True)
class MapShape:
    """BTreeMap: a length and that many pairs, keys strictly ascending."""

    key: "Shape"
    value: "Shape"
    length_max: int = LENGTH_MAX


@dataclass(frozen=True, slots=True)
class OptionShape:
    """A byte 0, or a byte 1 and the value."""

    inner: "Shape"


@dataclass(frozen=True, slots=True)
class StructShape:
    """The fields of a `Struct` class in order, behind its index if it is a variant."""

    cls: type


@dataclass(frozen=True, slots=True)
class EnumShape:
    """An index byte and the fields of the variant it names."""

    info: "EnumInfo"


@dataclass(frozen=True, slots=True)
class UnitEnumShape:
    """An index byte alone."""

    cls: Any  # a subclass of UnitEnum, whose module imports this one


@dataclass(frozen=True, slots=True)
class CustomShape:
    """A hand-written codec."""

    codec: "CustomCodec[Any]"


@dataclass(frozen=True, slots=True)
class DeferredShape:
    """A type that is known only when the codec is first used."""

    resolve: Callable[[], object]


Shape = (
    IntShape
    | BoolShape
    | FixedShape
    | BytesShape
    | TextShape
    | TupleShape
    | CompactShape
    | VecShape
    | MapShape
    | OptionShape
    | StructShape
    | EnumShape
    | UnitEnumShape
    | CustomShape
    | DeferredShape
)


# --- markers inside Annotated


class CustomCodec(Protocol[T]):
    """A codec written by hand, for the few types that SCALE's rules do not describe."""

    def encode(self, value: T) -> bytes:
        """The bytes of `value`; raises `EncodeError`."""
        ...

    def decode_from(self, data: bytes, offset: int) -> tuple[T, int]:
        """The value at `offset` and the offset behind it; raises `DecodeError`."""
        ...

    def describe(self) -> "TypeDescription":
        """What the metadata says of the type."""
        ...


@dataclass(frozen=True, slots=True)
class FixedBytes:
    """`Annotated[bytes, FixedBytes(n)]` is exactly `n` bytes without a length."""

    size: int


@dataclass(frozen=True, slots=True)
class MaxLen:
    """At most `length` items (bytes of `bytes` and `str`) in the annotated collection."""

    length: int


@dataclass(frozen=True, slots=True)
class Named:
    """The name under which the metadata shows a field of this type; no part of the shape."""

    name: str


@dataclass(frozen=True, slots=True)
class TypePath:
    """The Rust path of a fixed-size byte type, by which clients recognise it."""

    path: str


@dataclass(frozen=True, slots=True)
class Doc:
    """Documentation of one field, for the metadata."""

    text: str


@dataclass(frozen=True, slots=True)
class Custom:
    """`Annotated[X, Custom(codec)]` is encoded by `codec`."""

    codec: "CustomCodec[Any]"


@dataclass(frozen=True, slots=True)
class Deferred:
    """`Annotated[X, Deferred(f)]` is the type that `f()` returns, asked for at the first use.

    For types that are put together after the types that contain them: a batch of runtime calls.
    """

    resolve: Callable[[], object]


@dataclass(frozen=True, slots=True)
class _CompactMarker:
    """Makes the annotated integer compact."""


U8 = Annotated[int, IntShape(8)]
U16 = Annotated[int, IntShape(16)]
U32 = Annotated[int, IntShape(32)]
U64 = Annotated[int, IntShape(64)]
U128 = Annotated[int, IntShape(128)]
I8 = Annotated[int, IntShape(8, True)]
I16 = Annotated[int, IntShape(16, True)]
I32 = Annotated[int, IntShape(32, True)]
I64 = Annotated[int, IntShape(64, True)]
I128 = Annotated[int, IntShape(128, True)]
Compact = Annotated[T, _CompactMarker()]


# --- what a class statement declares


@dataclass(frozen=True, slots=True)
class StructInfo:
    """The keywords of a class statement, kept on the class as `__scale__`."""

    name: str
    path: str = ""
    params: tuple[tuple[str, object], ...] = ()
    index: int | None = None
    is_unnamed: bool = False
    family: "EnumInfo | None" = None
    """The enumeration this class is the root of, or belongs to."""
    is_root: bool = False


@dataclass(eq=False, slots=True)
class EnumInfo:
    """An enumeration; compared by identity, because variants join it after it is made."""

    name: str
    path: str = ""
    params: tuple[tuple[str, object], ...] = ()
    docs: tuple[str, ...] = ()
    variants: dict[int, type] = field(default_factory=dict[int, type])
    is_sealed: bool = False
    """Whether a codec was made of it: a variant that came later would be missing there."""

    def add(self, index: int, variant: type) -> None:
        """Let `variant` join; its index is free and fits in a byte."""
        if self.is_sealed:
            raise TypeError(f"{variant.__name__} joins {self.name} after its codec was made")
        if not 0 <= index <= 255:
            raise TypeError(f"index {index} of {variant.__name__} does not fit in a byte")
        if index in self.variants:
            taken = self.variants[index].__name__
            raise TypeError(f"{variant.__name__} has index {index} of {self.name}, as has {taken}")
        self.variants[index] = variant


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a struct."""

    name: str
    shape: Shape
    type_name: str
    docs: tuple[str, ...]


def one_of(
    name: str,
    variants: Sequence[type],
    *,
    path: str = "",
    params: Mapping[str, object] | None = None,
    docs: tuple[str, ...] = (),
) -> Any:
    """The annotation of an enumeration over struct classes that were declared with an index.

    For variants that lie apart, such as the events of one pallet. The classes tell the value's
    variant, so one class appears in it once.
    """
    info = EnumInfo(name, path, tuple((params or {}).items()), docs)
    for variant in variants:
        index = struct_info(variant).index
        if index is None:
            raise TypeError(f"{variant.__name__} has no index")
        info.add(index, variant)
    return Annotated[object, EnumShape(info)]


# --- from annotation to shape


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


def struct_info(cls: type) -> StructInfo:
    """The declaration of a `Struct` class."""
    info = getattr(cls, "__scale__", None)
    if not isinstance(info, StructInfo):
        raise TypeError(f"{cls!r} is not a Struct")
    return info


def struct_fields(cls: type) -> tuple[Field, ...]:
    """The fields of a `Struct` class, with their annotations resolved."""
    hints = typing.get_type_hints(cls, include_extras=True)
    names: tuple[str, ...] = cls.__struct_fields__  # type: ignore[attr-defined]
    return tuple(
        Field(name, shape_of(hints[name]), type_name(hints[name]), _docs(hints[name]))
        for name in names
    )


def type_name(annotation: object) -> str:
    """How Rust would write the type, with our own names where a type has one."""
    base, markers = _split(annotation)
    names = [marker.name for marker in markers if isinstance(marker, Named)]
    name = names[-1] if names else _shape_name(base, markers)
    return f"Compact<{name}>" if _CompactMarker() in markers else name


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
    is_compact = _CompactMarker() in markers
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


def _generic(origin: object, args: tuple[Any, ...], limit: int) -> Shape:
    if origin is list:
        return VecShape(shape_of(args[0]), limit)
    if origin is dict:
        return MapShape(shape_of(args[0]), shape_of(args[1]), limit)
    if origin is tuple:
        if len(args) == 2 and args[1] is ...:
            return VecShape(shape_of(args[0]), limit, is_tuple=True)
        return TupleShape(tuple(shape_of(item) for item in args))
    if origin in (typing.Union, types.UnionType):
        inner = [item for item in args if item is not type(None)]
        if len(inner) == 1 and len(args) == 2:
            return OptionShape(shape_of(inner[0]))
        raise TypeError(f"only `X | None` is a SCALE type, not a union of {args}")
    raise TypeError(f"{origin} has no SCALE form")


def _class(base: Any) -> Shape:
    info = getattr(base, "__scale__", None)
    if isinstance(info, StructInfo):
        if info.is_root:
            assert info.family is not None, "the root of an enumeration has a family"
            return EnumShape(info.family)
        return StructShape(base)
    if getattr(base, "__scale_unit_enum__", False):
        return UnitEnumShape(base)
    raise TypeError(f"{base!r} has no SCALE form")


def _shape_name(base: Any, markers: tuple[Any, ...]) -> str:
    args = typing.get_args(base)
    if isinstance(base, type) and hasattr(base, "__scale__"):
        return struct_info(base).name
    if args and typing.get_origin(base) in (list, dict, tuple, typing.Union, types.UnionType):
        names = [type_name(item) for item in args if item is not ...]
        if type(None) in args:
            return f"Option<{names[0] if args[0] is not type(None) else names[1]}>"
        if typing.get_origin(base) is dict:
            return f"BTreeMap<{names[0]}, {names[1]}>"
        if typing.get_origin(base) is tuple and ... not in args:
            return f"({', '.join(names)})"
        return f"{'Vec' if _limit(markers) == LENGTH_MAX else 'BoundedVec'}<{names[0]}>"
    if base is bytes:
        sizes = [marker.size for marker in markers if isinstance(marker, FixedBytes)]
        return f"[u8; {sizes[0]}]" if sizes else "Vec<u8>"
    if base is int:
        return next((m.name for m in markers if isinstance(m, IntShape)), "int")
    if base is None or base is type(None):
        return "()"
    enums = [marker.info.name for marker in markers if isinstance(marker, EnumShape)]
    return enums[0] if enums else {str: "String"}.get(base, getattr(base, "__name__", str(base)))
