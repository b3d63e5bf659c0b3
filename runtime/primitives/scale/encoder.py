"""Writes encoders: one expression per type, made of fixed-size runs and variable parts.

Widths, lengths and members are checked; for the rest the static types are trusted.
"""

import struct
from collections.abc import Callable

from runtime.primitives.scale.annotations import struct_fields, struct_info
from runtime.primitives.scale.shapes import (
    BoolShape,
    BytesShape,
    CompactShape,
    CustomShape,
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
from runtime.primitives.scale.writer import FORMATS, RawCodec, Writer


class Encoder(Writer):
    """Writes an encoder as one expression: fixed-size runs and variable parts, joined."""

    def __init__(self, raw_codec: Callable[[Shape], RawCodec], outer: Writer | None = None) -> None:
        super().__init__(raw_codec, outer)
        self.parts: list[str] = []
        self.formats: list[str] = []
        self.arguments: list[str] = []

    def flush(self) -> None:
        if self.formats:
            pack = self.bind("pack", struct.Struct("<" + "".join(self.formats)).pack)
            self.parts.append(f"{pack}({', '.join(self.arguments)})")
            self.formats, self.arguments = [], []

    def fixed(self, formats: str, *arguments: str) -> None:
        self.formats.append(formats)
        self.arguments += arguments

    def expression(self) -> str:
        self.flush()
        if not self.parts:
            return "b''"
        return self.parts[0] if len(self.parts) == 1 else f"join(({', '.join(self.parts)}))"

    def nested(self, shape: Shape, value: str) -> str:
        """The expression of one value on its own, for loops and conditions."""
        inner = Encoder(self.raw_codec, self)
        inner.value(shape, value)
        return inner.expression()

    def value(self, shape: Shape, value: str) -> None:
        match shape:
            case IntShape(128):
                self.fixed(FORMATS[shape], f"{value} & {(1 << 64) - 1}", f"{value} >> 64")
            case IntShape():
                self.fixed(FORMATS[shape], value)
            case FixedShape(size):
                name = self.fresh()
                check = f"len({name} := {value}) == {size} else refuse_size({name}, {size})"
                self.fixed(f"{size}s", f"({name} if {check})")
            case BoolShape():
                self.fixed("?", value)
            case UnitEnumShape(cls):
                name, members = self.fresh(), self.bind("members", frozenset(cls))
                refuse = f"refuse_member({name}, {cls.__name__!r})"
                self.fixed("B", f"({name} if ({name} := {value}) in {members} else {refuse})")
            case TupleShape(items):
                for position, item in enumerate(items):
                    self.value(item, f"{value}[{position}]")
            case StructShape() if shape not in self.open:
                self.open.append(shape)
                index = struct_info(shape.cls).index
                if index is not None:
                    self.fixed("B", str(index))
                for member in struct_fields(shape.cls):
                    self.value(member.shape, f"{value}.{member.name}")
                self.open.pop()
            case _:
                self.flush()
                self.sized(shape, value)

    def sized(self, shape: Shape, value: str) -> None:
        name = self.fresh()
        match shape:
            case CompactShape(IntShape(bits)):
                large = f"encode_compact({name}, {(1 << bits) - 1})"
                small = f"small[{name}] if 0 <= ({name} := {value}) < 64"
                self.parts.append(f"({small} else {large})")
            case CompactShape():
                pass
            case BytesShape(limit):
                self.items(f"({name} := {value})", limit)
                self.parts.append(name)
            case TextShape(limit):
                self.items(f"({name} := {value}.encode())", limit)
                self.parts.append(name)
            case OptionShape(inner):
                some = f"b'\\1' + {self.nested(inner, name)}"
                self.parts.append(f"(b'\\0' if ({name} := {value}) is None else {some})")
            case VecShape(element, limit):
                item = self.fresh()
                self.items(f"({name} := {value})", limit)
                self.parts.append(f"join([{self.nested(element, item)} for {item} in {name}])")
            case MapShape(key, of, limit):
                item = self.fresh()
                self.items(f"({name} := sorted({value}.items()))", limit)
                pair = self.nested(TupleShape((key, of)), item)
                self.parts.append(f"join([{pair} for {item} in {name}])")
            case CustomShape(codec):
                self.parts.append(f"{self.bind('custom', codec)}.encode({value})")
            case _:
                self.call(name, shape, value)

    def call(self, name: str, shape: Shape, value: str) -> None:
        """Encode by the function of `shape`: an enumeration, or a type that contains itself."""
        raw = self.raw_codec(shape)
        if raw.encoders:
            encoders = self.bind("encoders", raw.encoders)
            self.parts.append(f"{encoders}[({name} := {value}).__class__]({name})")
        else:
            self.parts.append(f"{self.bind('raw', raw)}.encode({value})")

    def items(self, collection: str, limit: int) -> None:
        """The length of a collection."""
        name = self.fresh()
        large = f"encode_length({name}, {limit})"
        small = f"small[{name}] if ({name} := len({collection})) < {min(64, limit + 1)}"
        self.parts.append(f"({small} else {large})")
