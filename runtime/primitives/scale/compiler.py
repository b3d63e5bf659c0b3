"""From shapes to Python functions: the source of an encoder and a decoder, compiled once per type.

The decoder of a struct is one function: nested structs are written out in place, and every run of
fields of fixed size, however nested, is unpacked by one `struct.Struct`. Enumerations dispatch
through a table of such functions. The encoder is one expression built the same way.

    class Order(Struct):              def decode(d, o, k):
        owner: AccountId                  v1, v2, = unpack1(d, o); o += 34
        bus: U16                          b = d[o]
        quantity: Compact[U64]            if b & 3: v3, o = compact(d, o, 18446744073709551615)
        memo: str                         else: v3 = b >> 2; o += 1
                                          ...
                                          return (Order(v1, v2, v3, v4), o)

`d` is the input, `o` the offset, `k` the depth: how many types that contain themselves are open.
Only they call functions of their own; the depth is bounded, so that the same input fails at the
same place on every machine whatever its stack.

A decoder checks everything about the bytes. An encoder checks widths, lengths and members, and
trusts the static types for the rest.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from runtime.primitives.scale import primitive
from runtime.primitives.scale.errors import DecodeError
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
    shape_of,
    struct_fields,
    struct_info,
)

DEPTH_MAX = 32
"""How deep a type may contain itself. A batch of batches needs 2; each level costs at most three
Python frames, so that the interpreter's limit of 1 000 stays far away."""

_FORMATS = {
    IntShape(8): "B",
    IntShape(16): "H",
    IntShape(32): "I",
    IntShape(64): "Q",
    IntShape(128): "QQ",
    IntShape(8, True): "b",
    IntShape(16, True): "h",
    IntShape(32, True): "i",
    IntShape(64, True): "q",
    IntShape(128, True): "Qq",
}

_SMALL_COMPACTS = tuple(primitive.encode_compact(value) for value in range(64))


@dataclass(slots=True)
class RawCodec:
    """The two compiled functions of a shape, empty while they are being compiled."""

    encode: Callable[[Any], bytes] | None = None
    decode: Callable[[bytes, int, int], tuple[Any, int]] | None = None
    sources: list[str] = field(default_factory=list[str])


_raw_codecs: dict[Shape, RawCodec] = {}


def raw_codec(shape: Shape) -> RawCodec:
    """The compiled functions of `shape`; unfinished if asked for while they are being compiled."""
    known = _raw_codecs.get(shape)
    if known is not None:
        return known
    raw = _raw_codecs[shape] = RawCodec()
    try:
        if isinstance(shape, EnumShape):
            _build_enum(shape, raw)
        elif isinstance(shape, DeferredShape):
            _build(shape_of(shape.resolve()), raw)
        else:
            _build(shape, raw)
    except BaseException:
        del _raw_codecs[shape]
        raise
    return raw


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


# --- decoding


class _Writer:
    """The source of one function, and the objects its names stand for."""

    def __init__(self, outer: "_Writer | None" = None) -> None:
        self.lines: list[str] = []
        self.indent = outer.indent + 1 if outer else 1
        self.env: dict[str, Any] = outer.env if outer else {}
        self.open: list[Shape] = outer.open if outer else []
        """The structs being written out in place, outermost first."""

    def line(self, text: str) -> None:
        self.lines.append("    " * self.indent + text)

    def bind(self, hint: str, value: object) -> str:
        """A name for `value` inside the function."""
        name = f"{hint}{len(self.env)}"
        self.env[name] = value
        return name

    def fresh(self) -> str:
        """A new local name."""
        return self.bind("v", None)


class _Decoder(_Writer):
    """Writes a decoder. `value` returns an expression that is valid after the next `flush`."""

    def __init__(self, outer: _Writer | None = None) -> None:
        super().__init__(outer)
        self.formats: list[str] = []  # the open run of fixed-size fields
        self.targets: list[str] = []
        self.checks: list[str] = []

    def flush(self) -> None:
        """Write the open run of fixed-size fields."""
        if self.formats:
            run = struct.Struct("<" + "".join(self.formats))
            name = self.bind("unpack", run.unpack_from)
            self.line(f"{', '.join(self.targets)}, = {name}(d, o); o += {run.size}")
            for check in self.checks:
                self.line(check)
            self.formats, self.targets, self.checks = [], [], []

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
                names = self.fixed(_FORMATS[shape])
                return names[0] if len(names) == 1 else f"({names[0]} | {names[1]} << 64)"
            case FixedShape(size):
                return self.fixed(f"{size}s")[0]
            case BoolShape():
                (name,) = self.fixed("B")
                self.checks.append(f"if {name} > 1: refuse_bool({name})")
                return f"({name} == 1)"
            case UnitEnumShape(cls):
                (name,) = self.fixed("B")
                members = self.bind("members", {int(member): member for member in cls})
                refuse = f"refuse_index({name}, {cls.__name__!r})"
                self.checks.append(f"if {name} not in {members}: {refuse}")
                return f"{members}[{name}]"
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
            (name,) = self.fixed("B")
            self.checks.append(
                f"if {name} != {info.index}: refuse_index({name}, {'variant ' + info.name!r})"
            )
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
                self.length(name, limit, 1)
                self.line(f"{name} = d[o - {name}:o]")
            case TextShape(limit):
                self.length(name, limit, 1)
                self.line(f"{name} = str(d[o - {name}:o], 'utf-8')")
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

    def length(self, name: str, limit: int, size: int) -> None:
        """Decode a length, check it against the bytes that remain and step over the items."""
        self.compact(name, primitive.LENGTH_MAX)
        if size:
            self.line(f"o += {name} * {size}")
        is_bounded = limit < primitive.LENGTH_MAX
        condition = f"o > len(d) or {name} > {limit}" if is_bounded else "o > len(d)"
        offset = f"o - {name} * {size}"
        self.line(f"if {condition}: check_room({name}, {limit}, {size}, {offset}, len(d))")

    def option(self, name: str, inner: Shape) -> None:
        if isinstance(inner, TupleShape) and not inner.items:
            raise TypeError("Option<()> has no Python form: both of its values would be None")
        self.line("b = d[o]; o += 1")
        self.line(f"if b == 0: {name} = None")
        self.line("elif b == 1:")
        body = _Decoder(self)
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
        body = _Decoder(self)
        expression = body.value(shape.element)
        count = self.fresh()
        if body.lines or body.checks:
            body.flush()
            self.length(count, shape.length_max, 0)
            room = f"check_room({count}, {shape.length_max}, {least}, o, len(d))"
            self.line(f"if {count} * {least} > len(d) - o: {room}")
            self.line(f"{name} = []")
            self.line(f"for _ in range({count}):")
            self.lines += body.lines
            body.lines = []
            body.line(f"{name}.append({expression})")
            self.lines += body.lines
        else:
            # Every element has the same size and nothing to check: one call unpacks them all.
            run = struct.Struct("<" + "".join(body.formats))
            self.length(count, shape.length_max, run.size)
            items = f"{self.bind('unpack', run.iter_unpack)}(d[o - {count} * {run.size}:o])"
            self.line(f"{name} = [{expression} for {', '.join(body.targets)}, in {items}]")
        if shape.is_tuple:
            self.line(f"{name} = tuple({name})")

    def call(self, name: str, shape: Shape) -> None:
        """Decode by the function of `shape`: an enumeration, or a type that contains itself."""
        raw = raw_codec(shape)
        if raw.decode is None or isinstance(shape, DeferredShape):
            self.line(f"if k >= {DEPTH_MAX}: refuse_depth({DEPTH_MAX})")
            self.line(f"{name}, o = {self.bind('raw', raw)}.decode(d, o, k + 1)")
        else:
            self.line(f"{name}, o = {self.bind('decode', raw.decode)}(d, o, k)")


# --- encoding


class _Encoder(_Writer):
    """Writes an encoder as one expression: fixed-size runs and variable parts, joined."""

    def __init__(self, outer: _Writer | None = None) -> None:
        super().__init__(outer)
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
        inner = _Encoder(self)
        inner.value(shape, value)
        return inner.expression()

    def value(self, shape: Shape, value: str) -> None:
        match shape:
            case IntShape(128):
                self.fixed(_FORMATS[shape], f"{value} & {(1 << 64) - 1}", f"{value} >> 64")
            case IntShape():
                self.fixed(_FORMATS[shape], value)
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
                for item in struct_fields(shape.cls):
                    self.value(item.shape, f"{value}.{item.name}")
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
                self.parts.append(f"{self.bind('raw', raw_codec(shape))}.encode({value})")

    def items(self, collection: str, limit: int) -> None:
        """The length of a collection."""
        name = self.fresh()
        large = f"encode_length({name}, {limit})"
        small = f"small[{name}] if ({name} := len({collection})) < {min(64, limit + 1)}"
        self.parts.append(f"({small} else {large})")


# --- putting functions together


def _encode_length(length: int, limit: int) -> bytes:
    if length > limit:
        primitive.refuse_length(length, limit)
    return primitive.encode_compact(length)


_HELPERS: dict[str, Any] = {
    "check_map": primitive.check_map,
    "check_room": primitive.check_room,
    "compact": primitive.decode_compact,
    "encode_compact": primitive.encode_compact,
    "encode_length": _encode_length,
    "join": b"".join,
    "refuse_bool": primitive.refuse_bool,
    "refuse_depth": primitive.refuse_depth,
    "refuse_index": primitive.refuse_index,
    "refuse_member": primitive.refuse_member,
    "refuse_option": primitive.refuse_option,
    "refuse_size": primitive.refuse_size,
    "small": _SMALL_COMPACTS,
}


def _function(head: str, writer: _Writer, raw: RawCodec) -> Any:
    source = "\n".join([head, *writer.lines])
    raw.sources.append(source)
    env = {**_HELPERS, **writer.env}
    exec(compile(source, "<scale>", "exec"), env)
    return env["function"]


def _finish_decoder(writer: _Decoder, expression: str, raw: RawCodec) -> Any:
    writer.flush()
    writer.line(f"return {expression}, o")
    return _function("def function(d, o, k):", writer, raw)


def _build(shape: Shape, raw: RawCodec) -> None:
    """Compile the two functions of a shape that is no enumeration."""
    decoder = _Decoder()
    decode = _finish_decoder(decoder, decoder.value(shape), raw)
    encoder = _Encoder()
    encoder.value(shape, "v")
    encoder.line(f"return {encoder.expression()}")
    raw.encode = _function("def function(v):", encoder, raw)
    raw.decode = decode


def _build_enum(shape: EnumShape, raw: RawCodec) -> None:
    """Compile one pair of functions per variant, and two that choose among them."""
    info = shape.info
    info.is_sealed = True

    def unknown(data: bytes, offset: int, depth: int) -> tuple[Any, int]:
        raise DecodeError(f"{info.name} has no variant {data[offset - 1]}")

    decoders: list[Any] = [unknown] * 256
    encoders: dict[type, Any] = {}
    for index, cls in info.variants.items():
        decoder = _Decoder()
        decoders[index] = _finish_decoder(decoder, decoder.fields(cls), raw)
        encoder = _Encoder()
        encoder.value(StructShape(cls), "v")
        encoder.line(f"return {encoder.expression()}")
        encoders[cls] = _function("def function(v):", encoder, raw)

    def decode(data: bytes, offset: int, depth: int) -> tuple[Any, int]:
        return decoders[data[offset]](data, offset + 1, depth)  # type: ignore[no-any-return]

    def encode(value: Any) -> bytes:
        encoder = encoders.get(type(value))
        if encoder is None:
            primitive.refuse_member(value, info.name)
        return encoder(value)  # type: ignore[no-any-return]

    raw.encode, raw.decode = encode, decode
