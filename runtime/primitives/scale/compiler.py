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

from typing import Any

from runtime.primitives.scale import primitive
from runtime.primitives.scale.annotations import shape_of
from runtime.primitives.scale.decoder import Decoder
from runtime.primitives.scale.encoder import Encoder
from runtime.primitives.scale.errors import DecodeError
from runtime.primitives.scale.shapes import DeferredShape, EnumShape, Shape, StructShape
from runtime.primitives.scale.writer import RawCodec, Writer

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


# --- putting functions together


def _encode_length(length: int, limit: int) -> bytes:
    if length > limit:
        primitive.refuse_length(length, limit)
    return primitive.encode_compact(length)


_HELPERS: dict[str, Any] = {
    "booleans": primitive.Members("bool", {0: False, 1: True}),
    "check_map": primitive.check_map,
    "compact": primitive.decode_compact,
    "encode_compact": primitive.encode_compact,
    "encode_length": _encode_length,
    "join": b"".join,
    "refuse_depth": primitive.refuse_depth,
    "refuse_index": primitive.refuse_index,
    "refuse_member": primitive.refuse_member,
    "refuse_option": primitive.refuse_option,
    "refuse_room": primitive.refuse_room,
    "refuse_size": primitive.refuse_size,
    "small": tuple(primitive.encode_compact(value) for value in range(64)),
}


def _function(head: str, writer: Writer, raw: RawCodec) -> Any:
    source = "\n".join([head, *writer.lines])
    raw.sources.append(source)
    env = {**_HELPERS, **writer.env}
    exec(compile(source, "<scale>", "exec"), env)
    return env["function"]


def _finish_decoder(writer: Decoder, expression: str, raw: RawCodec) -> Any:
    writer.flush()
    writer.line(f"return {expression}, o")
    return _function("def function(d, o, k):", writer, raw)


def _build(shape: Shape, raw: RawCodec) -> None:
    """Compile the two functions of a shape that is no enumeration."""
    decoder = Decoder(raw_codec)
    decode = _finish_decoder(decoder, decoder.value(shape), raw)
    encoder = Encoder(raw_codec)
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
        decoder = Decoder(raw_codec)
        decoders[index] = _finish_decoder(decoder, decoder.fields(cls), raw)
        encoder = Encoder(raw_codec)
        encoder.value(StructShape(cls), "v")
        encoder.line(f"return {encoder.expression()}")
        encoders[cls] = _function("def function(v):", encoder, raw)

    def decode(data: bytes, offset: int, depth: int) -> tuple[Any, int]:
        decoded: tuple[Any, int] = decoders[data[offset]](data, offset + 1, depth)
        return decoded

    def encode(value: Any) -> bytes:
        encoder = encoders.get(value.__class__)
        if encoder is None:
            primitive.refuse_member(value, info.name)
        encoded: bytes = encoder(value)
        return encoded

    raw.encode, raw.decode = encode, decode
    raw.encoders, raw.decoders = encoders, decoders
