"""What the codec accepts and refuses, for chosen types and for random ones."""

import sys
import tracemalloc
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from runtime.primitives.scale import (
    DEPTH_MAX,
    I64,
    U8,
    U16,
    U32,
    U64,
    U128,
    Compact,
    Custom,
    DecodeError,
    Deferred,
    EncodeError,
    Enum,
    FixedBytes,
    Kind,
    MaxLen,
    Struct,
    TypeDescription,
    UnitEnum,
    codec,
    decode_compact,
    encode_compact,
    make_struct,
    one_of,
)
from tests.runtime.primitives.types import (
    Colour,
    Event,
    Moved,
    Nothing,
    Point,
    Said,
    Tree,
    Typed,
    generic,
    typed,
)

# --- properties of every type


@settings(deadline=None)  # types are compiled inside
@given(st.data(), typed())
def test_decoding_gives_back_what_was_encoded(data: st.DataObject, a_type: Typed) -> None:
    tp, values = a_type
    value = data.draw(values)

    encoded = codec(tp).encode(value)

    assert codec(tp).decode(encoded) == value
    assert codec(tp).decode_from(b"ab" + encoded + b"c", 2) == (value, 2 + len(encoded))


@settings(deadline=None)  # types are compiled inside
@given(st.data(), typed(), st.binary(max_size=60))
def test_what_decodes_encodes_to_the_same_bytes(
    data: st.DataObject, a_type: Typed, noise: bytes
) -> None:
    tp, values = a_type
    encoded = codec(tp).encode(data.draw(values))
    place = data.draw(st.integers(0, len(encoded)))
    width = data.draw(st.integers(0, 2))

    for candidate in (noise, encoded[:place] + noise[:2] + encoded[place + width :]):
        try:
            value = codec(tp).decode(candidate)
        except DecodeError:
            continue
        assert codec(tp).encode(value) == candidate


@settings(deadline=None)  # types are compiled inside
@given(st.data(), typed())
def test_every_true_prefix_of_an_encoding_is_refused(data: st.DataObject, a_type: Typed) -> None:
    tp, values = a_type
    encoded = codec(tp).encode(data.draw(values))

    for length in range(len(encoded)):
        with pytest.raises(DecodeError):
            codec(tp).decode(encoded[:length])


# --- compact integers


@given(st.integers(0, 2**536 - 1))
@example(0)
@example(63)
@example(64)
@example(2**14 - 1)
@example(2**14)
@example(2**30 - 1)
@example(2**30)
@example(2**536 - 1)
def test_compact_integers_round_trip_in_their_shortest_form(value: int) -> None:
    encoded = encode_compact(value)

    assert decode_compact(encoded, 0) == (value, len(encoded))
    assert len(encoded) == (
        1 if value < 2**6 else 2 if value < 2**14 else 4 if value < 2**30
        else 1 + (value.bit_length() + 7) // 8
    )  # fmt: skip


@pytest.mark.parametrize(
    "too_long",
    ["0100", "fd00", "02000000", "feff0000", "0300000000", "03ffffff3f", "07ffffffff00"],
)
def test_compact_integers_in_a_longer_form_than_needed_are_refused(too_long: str) -> None:
    with pytest.raises(DecodeError, match="shortest form"):
        codec(Compact[U128]).decode(bytes.fromhex(too_long))


@pytest.mark.parametrize(("tp", "bits"), [(Compact[U8], 8), (Compact[U32], 32), (Compact[U64], 64)])
def test_compact_integers_wider_than_their_type_are_refused(tp: Any, bits: int) -> None:
    assert codec(tp).decode(encode_compact(2**bits - 1)) == 2**bits - 1

    with pytest.raises(DecodeError, match="is above"):
        codec(tp).decode(encode_compact(2**bits))
    with pytest.raises(EncodeError):
        codec(tp).encode(2**bits)
    with pytest.raises(EncodeError):
        codec(tp).encode(-1)


# --- what is refused


@pytest.mark.parametrize(
    ("tp", "data", "reason"),
    [
        (bool, "02", "bool has no variant 2"),
        (U32 | None, "02", "not an Option"),
        (bool | None, "0102", "bool has no variant 2"),
        (str, "08c328", "utf-8"),
        (str, "0ceda080", "utf-8"),
        (Colour, "01", "Colour has no variant 1"),
        (Event, "01", "Event has no variant 1"),
        (Moved, "00", "expected Moved"),
        (bytes, "0c6162", "3 items announced, 2 bytes remain"),
        (list[U32], "0801000000020000", "2 items announced, 7 bytes remain"),
        (Annotated[bytes, MaxLen(2)], "0c616263", "at most 2"),
        (Annotated[list[str], MaxLen(1)], "080000", "at most 1"),
        (dict[U8, U8], "0801000100", "ascending"),
        (dict[U8, U8], "0802000100", "ascending"),
        (U16, "010203", "1 bytes left over of 3"),
        (U16, "01", "ends early"),
        (U16, "", "ends early"),
        (Compact[U32], "", "ends early"),
        (Point, "01", "Point: input of 1 bytes ends early"),
    ],
)
def test_bytes_that_are_no_encoding_are_refused_with_the_reason(
    tp: Any, data: str, reason: str
) -> None:
    with pytest.raises(DecodeError, match=reason):
        codec(tp).decode(bytes.fromhex(data))


@pytest.mark.parametrize(
    ("tp", "value"),
    [
        (U8, 256),
        (U8, -1),
        (U128, 2**128),
        (U128, -1),
        (I64, 2**63),
        (U32, "1"),
        (U32, None),
        (U32, 1.5),
        (Annotated[bytes, FixedBytes(4)], b"abc"),
        (Annotated[bytes, FixedBytes(4)], b"abcde"),
        (Annotated[bytes, MaxLen(2)], b"abc"),
        (Annotated[str, MaxLen(2)], "é" * 2),
        (Annotated[list[U8], MaxLen(2)], [1, 2, 3]),
        (str, "\ud800"),
        (str, b"abc"),
        (bytes, "abc"),
        (Colour, 3),
        (Event, Point(1, 2)),
        (tuple[U8, U8], (1,)),
        (dict[U8, U8], [(1, 2)]),
        (Point, Point(1, 2**64)),
        (Point, Nothing()),
    ],
)
def test_values_outside_their_type_are_not_encoded(tp: Any, value: object) -> None:
    with pytest.raises(EncodeError):
        codec(tp).encode(value)


@pytest.mark.parametrize(
    "tp",
    [
        list[U8], list[U128], list[str], list[Point], list[list[U8]], list[Event], list[U8 | None],
        dict[U32, str], tuple[str, ...], bytes, str, list[Tree],
    ],
)  # fmt: skip
@pytest.mark.parametrize("length", [2**16, 2**30, 2**32 - 1])
def test_an_announced_length_allocates_nothing_before_it_is_checked(tp: Any, length: int) -> None:
    bomb = encode_compact(length) + b"\0" * 64
    with pytest.raises(DecodeError):
        codec(tp).decode(bomb)  # compiles

    tracemalloc.start()
    with pytest.raises(DecodeError):
        codec(tp).decode(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 16_384


class Endless(Struct):
    """A type without values: each would contain another."""

    inner: "Endless"


def test_types_whose_values_may_take_no_bytes_cannot_be_repeated() -> None:
    nothings = (type(None), tuple[()], generic(Compact, None), make_struct("Empty", {}), Endless)
    for tp in (generic(list, element) for element in nothings):
        with pytest.raises(TypeError, match="no bytes"):
            codec(tp)


def test_a_type_without_values_decodes_from_nothing() -> None:
    with pytest.raises(DecodeError, match="nested deeper"):
        Endless.decode(b"")


def test_the_unit_takes_no_bytes() -> None:
    assert codec(None).encode(None) == b""
    assert codec(None).decode(b"") is None
    assert codec(tuple[U8, None, Compact[None], U8]).encode((1, None, None, 2)) == b"\1\2"
    assert codec(tuple[U8, None, Compact[None], U8]).decode(b"\1\2") == (1, None, None, 2)


def test_an_option_of_the_unit_is_refused_because_none_would_have_two_meanings() -> None:
    with pytest.raises(TypeError, match="both of its values would be None"):
        codec(tuple[()] | None)


def test_maps_are_written_in_the_order_of_their_keys() -> None:
    colours = codec(dict[Colour, U8])

    assert colours.encode({Colour.BLUE: 1, Colour.RED: 2}).hex() == "080002ff01"
    assert colours.decode(bytes.fromhex("080002ff01")) == {Colour.RED: 2, Colour.BLUE: 1}


# --- types that contain themselves


def nested(depth: int) -> Tree:
    tree = Tree(0, [])
    for _ in range(depth):
        tree = Tree(0, [tree])
    return tree


def test_nesting_is_decoded_up_to_its_limit_and_refused_beyond() -> None:
    assert Tree.decode(nested(DEPTH_MAX).encode()) == nested(DEPTH_MAX)

    with pytest.raises(DecodeError, match="nested deeper than 32"):
        Tree.decode(nested(DEPTH_MAX + 1).encode())


def test_the_nesting_limit_does_not_depend_on_the_stack_that_is_left() -> None:
    data = nested(DEPTH_MAX).encode()
    nested_too_deep = nested(DEPTH_MAX + 1).encode()

    def below(frames: int) -> None:
        if frames:
            below(frames - 1)
            return
        assert Tree.decode(data) == nested(DEPTH_MAX)
        with pytest.raises(DecodeError, match="nested deeper"):
            Tree.decode(nested_too_deep)

    below((sys.getrecursionlimit() - 400) // 2)


class Node(Enum):
    """An enumeration that contains itself."""


class Leaf(Node, index=0):
    pass


class Branch(Node, index=1):
    children: list[Node]


def test_an_enumeration_may_contain_itself() -> None:
    node: Node = Branch([Branch([Leaf(), Leaf()]), Leaf()])

    assert node.encode().hex() == "010801080000" + "00"
    assert Node.decode(node.encode()) == node
    with pytest.raises(DecodeError, match="nested deeper"):
        Node.decode(b"\1\4" * (DEPTH_MAX + 2) + b"\0")


Later = Annotated[object, Deferred(lambda: COMMAND)]


class Batch(Struct, index=0):
    commands: list[Later]


class Stop(Struct, index=4):
    after: U8


COMMAND = one_of("Command", [Batch, Stop], path="test::Command")


def test_a_type_may_be_completed_after_the_types_that_contain_it() -> None:
    batch = Batch([Stop(1), Batch([Stop(2)])])

    assert codec(COMMAND).encode(batch).hex() == "0008" + "0401" + "0004" + "0402"
    assert codec(COMMAND).decode(codec(COMMAND).encode(batch)) == batch
    with pytest.raises(DecodeError, match="nested deeper"):
        codec(COMMAND).decode(b"\0\4" * (DEPTH_MAX + 2) + b"\4\0")


# --- custom codecs


@dataclass(frozen=True)
class BigEndian:
    """Two bytes, high byte first."""

    def encode(self, value: int) -> bytes:
        return value.to_bytes(2, "big")

    def decode_from(self, data: bytes, offset: int) -> tuple[int, int]:
        if offset + 2 > len(data):
            raise DecodeError("too short")
        return int.from_bytes(data[offset : offset + 2], "big"), offset + 2

    def describe(self) -> TypeDescription:
        return TypeDescription(Kind.PRIMITIVE, primitive="u16")


class Mixed(Struct):
    before: U16
    middle: Annotated[int, Custom(BigEndian())]
    after: U16


def test_a_custom_codec_stands_between_ordinary_fields() -> None:
    value = Mixed(1, 2, 3)

    assert value.encode().hex() == "010000020300"
    assert Mixed.decode(value.encode()) == value
    with pytest.raises(EncodeError):
        Mixed(1, 1 << 16, 3).encode()


# --- struct classes


def test_a_struct_is_frozen_and_equal_by_class_and_value() -> None:
    point = Point(1, 2)

    assert point == Point(1, 2)
    assert hash(point) == hash(Point(1, 2))
    assert point != make_struct("Point", {"x": U8, "y": U8})(1, 2)
    with pytest.raises(AttributeError):
        point.x = 5  # type: ignore[misc, unused-ignore]
    with pytest.raises(AttributeError):
        point.z = 5  # type: ignore[attr-defined]


def test_a_subclass_of_a_struct_has_a_codec_of_its_own() -> None:
    class Wide(Point):
        z: U8

    assert Point(1, 2).encode().hex() == "010008"
    assert Wide(1, 2, 3).encode().hex() == "01000803"
    assert Wide.decode(bytes.fromhex("01000803")) == Wide(1, 2, 3)
    assert Point.decode(bytes.fromhex("010008")) == Point(1, 2)


def test_a_check_of_the_constructor_refuses_bytes_too() -> None:
    class Even(Struct):
        value: U8

        def __post_init__(self) -> None:
            if self.value % 2:
                raise ValueError(f"{self.value} is odd")

    assert Even.decode(b"\2") == Even(2)
    with pytest.raises(DecodeError, match="3 is odd"):
        Even.decode(b"\3")


def test_the_root_of_an_enumeration_decodes_to_the_variants() -> None:
    events: list[Event] = [Nothing(), Moved(Point(1, 2), Point(3, 4)), Said("hi", True)]

    assert [event.encode().hex() for event in events] == ["00", "03010008030010", "c808686901"]
    assert [Event.decode(event.encode()) for event in events] == events


def test_variants_need_an_index_of_their_own_that_fits_in_a_byte() -> None:
    class Family(Enum):
        pass

    class First(Family, index=0):
        pass

    with pytest.raises(TypeError, match="needs an index"):

        class NoIndex(Family):
            pass

    with pytest.raises(TypeError, match="index 0 of Family, as has First"):

        class Same(Family, index=0):
            pass

    with pytest.raises(TypeError, match="does not fit"):

        class TooLarge(Family, index=256):
            pass


def test_an_enumeration_is_made_of_structs_with_an_index() -> None:
    with pytest.raises(TypeError, match="Point has no index"):
        one_of("Wrong", [Point])
    with pytest.raises(TypeError, match="is not a Struct"):
        one_of("Wrong", [int])


def test_a_variant_cannot_join_after_the_codec_was_made() -> None:
    class Family(Enum):
        pass

    class First(Family, index=0):
        pass

    assert Family.decode(b"\0") == First()
    with pytest.raises(TypeError, match="after its codec was made"):

        class Second(Family, index=1):
            pass


@pytest.mark.parametrize(
    "tp",
    [
        int, float, object, Compact[I64], Compact[bytes], U8 | U16, set[U8], dict[Point, U8],
        Annotated[int, "no width"], U8 | U16 | None,
    ],
)  # fmt: skip
def test_annotations_without_a_scale_form_are_refused(tp: Any) -> None:
    with pytest.raises(TypeError):
        codec(tp)


def test_unit_enumerations_are_plain_integers_with_names() -> None:
    class Status(UnitEnum, path="test::Status"):
        OPEN = 0
        CLOSED = 4

    assert codec(list[Status]).decode(b"\x08\x04\x00") == [Status.CLOSED, Status.OPEN]
    assert codec(Status).decode(b"\4") is Status.CLOSED


def test_a_codec_is_compiled_once() -> None:
    assert codec(list[Point]) is codec(list[Point])
    assert "def function" in codec(Point).source
