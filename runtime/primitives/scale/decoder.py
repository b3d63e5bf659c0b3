"""Writes decoders: statements that read fields one after the other, and one expression at the end.

Everything about the bytes is checked; what the checks call is in `primitive.py`.
"""

import struct
from collections.abc import Callable

from runtime.primitives.scale import primitive
from runtime.primitives.scale.annotations import shape_of, struct_fields, struct_info
from runtime.primitives.scale.shapes import (
    BoolShape,
    BytesShape,
    CompactShape,
    CustomShape,
    DeferredShape,
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

DEPTH_MAX = 32
"""How deep a type may contain itself. A batch of batches needs 2; each level costs at most three
Python frames, so that the interpreter's limit of 1 000 stays far away."""


class Decoder(Writer):
    """Writes a decoder. `value` returns an expression that is valid after the next `flush`."""

    def __init__(self, raw_codec: Callable[[Shape], RawCodec], outer: Writer | None = None) -> None:
        super().__init__(raw_codec, outer)
        self.formats: list[str] = []  # the open run of fixed-size fields
        self.targets: list[str] = []

    def flush(self) -> None:
        """Write the open run of fixed-size fields."""
        if self.formats:
            run = struct.Struct("<" + "".join(self.formats))
            name = self.bind("unpack", run.unpack_from)
            self.line(f"{', '.join(self.targets)}, = {name}(d, o); o += {run.size}")
            self.formats, self.targets = [], []

    def fixed(self, formats: str) -> list[str]:
        """Add a fixed-size field to the run: one local per value of its format."""
        count = 2 if len(formats) == 2 and formats[0] == "Q" else 1
        names = [self.fresh() for _ in range(count)]
        self.formats.append(formats)
        self.targets += names
        return names

    def value(self, shape: Shape) -> str:
        match shape:
            case IntShape():
                names = self.fixed(FORMATS[shape])
                return names[0] if len(names) == 1 else f"({names[0]} | {names[1]} << 64)"
            case FixedShape(size):
                return self.fixed(f"{size}s")[0]
            case BoolShape():
                return f"booleans[{self.fixed('B')[0]}]"
            case UnitEnumShape(cls):
                table = primitive.Members(cls.__name__, {int(member): member for member in cls})
                return f"{self.bind('members', table)}[{self.fixed('B')[0]}]"
            case TupleShape(()):
                return "None"
            case TupleShape(items):
                return f"({''.join(self.value(item) + ', ' for item in items)})"
            case StructShape() if shape not in self.open:
                return self.struct(shape)
            case _:
                self.flush()
                return self.sized(shape)

    def struct(self, shape: StructShape) -> str:
        self.open.append(shape)
        info = struct_info(shape.cls)
        if info.index is not None:
            self.flush()
            self.line(f"if d[o] != {info.index}: refuse_index(d[o], {info.name!r}, {info.index})")
            self.line("o += 1")
        fields = self.fields(shape.cls)
        self.open.pop()
        return fields

    def fields(self, cls: type) -> str:
        values = [self.value(item.shape) for item in struct_fields(cls)]
        return f"{self.bind('Class', cls)}({', '.join(values)})"

    def sized(self, shape: Shape) -> str:
        """A value of variable size, written at once."""
        name = self.fresh()
        match shape:
            case CompactShape(IntShape(bits)):
                self.compact(name, (1 << bits) - 1)
            case CompactShape():
                return "None"
            case BytesShape(limit):
                self.span(name, limit)
                self.line(f"{name} = d[s:o]")
            case TextShape(limit):
                self.span(name, limit)
                self.line(f"{name} = str(d[s:o], 'utf-8')")
            case OptionShape(inner):
                self.option(name, inner)
            case VecShape():
                self.vec(name, shape)
            case MapShape(key, value, limit):
                self.vec(name, VecShape(TupleShape((key, value)), limit))
                self.line(f"{name}, keys = dict({name}), [pair[0] for pair in {name}]")
                self.line(f"check_map({name}, keys)")
            case CustomShape(codec):
                self.line(f"{name}, o = {self.bind('custom', codec)}.decode_from(d, o)")
            case _:
                self.call(name, shape)
        return name

    def compact(self, name: str, limit: int) -> None:
        self.line("b = d[o]")
        self.line(f"if b & 3: {name}, o = compact(d, o, {limit})")
        self.line(f"else: {name} = b >> 2; o += 1")

    def span(self, name: str, limit: int, size: int = 1) -> None:
        """Decode a length and step over its items of `size` bytes, which then are `d[s:o]`."""
        self.compact(name, primitive.LENGTH_MAX)
        self.line(f"s = o; o += {name} * {size}" if size > 1 else f"s = o; o += {name}")
        is_bounded = limit < primitive.LENGTH_MAX
        condition = f"o > len(d) or {name} > {limit}" if is_bounded else "o > len(d)"
        self.line(f"if {condition}: refuse_room({name}, {limit}, len(d) - s)")

    def option(self, name: str, inner: Shape) -> None:
        if isinstance(inner, TupleShape) and not inner.items:
            raise TypeError("Option<()> has no Python form: both of its values would be None")
        self.line("b = d[o]; o += 1")
        self.line(f"if b == 0: {name} = None")
        self.line("elif b == 1:")
        body = Decoder(self.raw_codec, self)
        expression = body.value(inner)
        body.flush()
        body.line(f"{name} = {expression}")
        self.lines += body.lines
        self.line("else: refuse_option(b)")

    def vec(self, name: str, shape: VecShape) -> None:
        least = min_size(shape.element)
        if least == 0:
            raise TypeError(
                f"{shape.element} may take no bytes, so a few bytes could announce 2^32"
            )
        body = Decoder(self.raw_codec, self)
        expression = body.value(shape.element)
        count = self.fresh()
        if body.lines:
            body.flush()
            body.line(f"{name}.append({expression})")
            self.compact(count, primitive.LENGTH_MAX)
            condition = f"{count} > {shape.length_max} or {count} * {least} > len(d) - o"
            self.line(f"if {condition}: refuse_room({count}, {shape.length_max}, len(d) - o)")
            self.line(f"{name} = []")
            self.line(f"for _ in range({count}):")
            self.lines += body.lines
        else:
            # Every element has the same size: one call unpacks them all.
            run = struct.Struct("<" + "".join(body.formats))
            self.span(count, shape.length_max, run.size)
            items = f"{self.bind('unpack', run.iter_unpack)}(d[s:o])"
            self.line(f"{name} = [{expression} for {', '.join(body.targets)}, in {items}]")
        if shape.is_tuple:
            self.line(f"{name} = tuple({name})")

    def call(self, name: str, shape: Shape) -> None:
        """Decode by the function of `shape`: an enumeration, or a type that contains itself."""
        raw = self.raw_codec(shape)
        if raw.decode is None or isinstance(shape, DeferredShape):
            self.line(f"if k >= {DEPTH_MAX}: refuse_depth({DEPTH_MAX})")
            self.line(f"{name}, o = {self.bind('raw', raw)}.decode(d, o, k + 1)")
        elif raw.decoders:
            self.line(f"{name}, o = {self.bind('decoders', raw.decoders)}[d[o]](d, o + 1, k)")
        else:
            self.line(f"{name}, o = {self.bind('decode', raw.decode)}(d, o, k)")


def min_size(shape: Shape) -> int:
    """The fewest bytes a value can take (for types that contain themselves a lower bound)."""
    return _min_size(shape, ())


def _min_size(shape: Shape, outer: tuple[Shape, ...]) -> int:
    inner = (*outer, shape)
    match shape:
        case _ if shape in outer:
            return 0
        case IntShape(bits):
            return bits >> 3
        case FixedShape(size):
            return size
        case CompactShape(TupleShape()):
            return 0
        case TupleShape(items):
            return sum(_min_size(item, inner) for item in items)
        case StructShape(cls):
            fields = sum(_min_size(item.shape, inner) for item in struct_fields(cls))
            return fields + (struct_info(cls).index is not None)
        case DeferredShape(resolve):
            return _min_size(shape_of(resolve()), inner)
        case _:
            return 1  # a length, an index; a custom codec promises at least one byte
