"""The codec of a type: compiled at the first use, kept for ever."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from runtime.primitives.scale.annotations import shape_of, type_name
from runtime.primitives.scale.compiler import raw_codec
from runtime.primitives.scale.errors import DecodeError, EncodeError
from runtime.primitives.scale.shapes import Shape

if TYPE_CHECKING:
    from typing_extensions import TypeForm

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Codec(Generic[T]):
    """Encodes and decodes the values of one type."""

    encode: Callable[[T], bytes]
    """The bytes of a value; raises `EncodeError`."""

    decode: Callable[[bytes], T]
    """The value whose encoding is the whole input; raises `DecodeError`."""

    decode_from: Callable[[bytes, int], tuple[T, int]]
    """The value at an offset, and the offset behind it; raises `DecodeError`."""

    shape: Shape
    source: str
    """The generated functions, for people."""


_codecs: dict[object, Codec[Any]] = {}


def codec(tp: "TypeForm[T]") -> Codec[T]:
    """The codec of an annotation: `codec(list[Hash])`. Raises `TypeError` if it has none."""
    known = _codecs.get(tp)
    if known is None:
        known = _codecs[tp] = _make(shape_of(tp), type_name(tp))
    return known


def _make(shape: Shape, name: str) -> Codec[Any]:
    raw = raw_codec(shape)
    assert raw.encode is not None and raw.decode is not None, "compiled outside of a compilation"
    raw_encode, raw_decode = raw.encode, raw.decode

    def encode(value: Any) -> bytes:
        try:
            return raw_encode(value)
        except EncodeError as error:
            raise EncodeError(f"{name}: {error}") from None
        except _ENCODE_FAULTS as error:
            raise EncodeError(f"{name}: {error} in {value!r}") from error

    def decode(data: bytes) -> Any:
        try:
            value, end = raw_decode(data, 0, 0)
        except _DECODE_FAULTS as error:
            raise _decode_error(name, data, error) from None
        if end != len(data):
            raise DecodeError(f"{name}: {len(data) - end} bytes left over of {len(data)}")
        return value

    def decode_from(data: bytes, offset: int) -> tuple[Any, int]:
        try:
            return raw_decode(data, offset, 0)
        except _DECODE_FAULTS as error:
            raise _decode_error(name, data, error) from None

    return Codec(encode, decode, decode_from, shape, "\n\n".join(raw.sources))


# What the generated functions raise by themselves: reading past the end, text that is not UTF-8,
# and whatever a struct's own `__post_init__` refuses.
_DECODE_FAULTS = (struct.error, IndexError, ValueError)

# A value of another type or width than its annotation.
_ENCODE_FAULTS = (
    struct.error,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


def _decode_error(name: str, data: bytes, error: Exception) -> DecodeError:
    if isinstance(error, struct.error | IndexError):
        return DecodeError(f"{name}: input of {len(data)} bytes ends early")
    return DecodeError(f"{name}: {error}")
