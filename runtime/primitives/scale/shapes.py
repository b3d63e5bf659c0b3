"""Shapes, small values that say how a type looks in SCALE, and the markers that annotations use.

A shape is what the compiler and the metadata work on. Names given to a type (`EnergyWh`) are not
part of its shape, so types that encode alike have equal shapes. A struct is held by its class and
its fields are looked up when needed, so that types may contain themselves.
"""

import enum
from collections.abc import Callable
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

    cls: type[enum.IntEnum]


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
class CompactMarker:
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
Compact = Annotated[T, CompactMarker()]


# --- what a class statement declares


@dataclass(frozen=True, slots=True)
class StructInfo:
    """What the class statement of a `Struct` or a `UnitEnum` declares, kept as its `__scale__`."""

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
