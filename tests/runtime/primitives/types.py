"""Random SCALE types with values of theirs, for properties that hold of every type."""

from typing import Annotated, Any

from hypothesis import strategies as st

from runtime.primitives.scale import (
    I8,
    I16,
    I32,
    I64,
    I128,
    U8,
    U16,
    U32,
    U64,
    U128,
    Compact,
    Enum,
    FixedBytes,
    MaxLen,
    Struct,
    UnitEnum,
    make_struct,
)

Typed = tuple[Any, st.SearchStrategy[Any]]
"""An annotation and a strategy of its values."""


class Colour(UnitEnum):
    RED = 0
    GREEN = 7
    BLUE = 255


class Point(Struct):
    x: I16
    y: Compact[U64]


class Event(Enum):
    """One of three things."""


class Nothing(Event, index=0):
    pass


class Moved(Event, index=3):
    start: Point
    end: Point


class Said(Event, index=200, unnamed=True):
    text: str
    loud: bool


class Tree(Struct):
    value: U8
    children: "list[Tree]"


POINTS = st.builds(Point, st.integers(-(2**15), 2**15 - 1), st.integers(0, 2**64 - 1))

LEAVES: list[Typed] = [
    *((width, st.integers(0, 2**bits - 1)) for width, bits in (
        (U8, 8), (U16, 16), (U32, 32), (U64, 64), (U128, 128),
        (Compact[U8], 8), (Compact[U16], 16), (Compact[U32], 32), (Compact[U64], 64),
        (Compact[U128], 128),
    )),
    *((width, st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)) for width, bits in (
        (I8, 8), (I16, 16), (I32, 32), (I64, 64), (I128, 128),
    )),
    (bool, st.booleans()),
    (bytes, st.binary(max_size=80)),
    (str, st.text(max_size=40)),
    (Annotated[bytes, FixedBytes(3)], st.binary(min_size=3, max_size=3)),
    (Annotated[bytes, MaxLen(5)], st.binary(max_size=5)),
    (Colour, st.sampled_from(Colour)),
    (Point, POINTS),
    (Event, st.one_of(
        st.just(Nothing()),
        st.builds(Moved, POINTS, POINTS),
        st.builds(Said, st.text(max_size=9), st.booleans()),
    )),
    (Moved, st.builds(Moved, POINTS, POINTS)),
    (Tree, st.recursive(
        st.builds(Tree, st.integers(0, 255), st.just([])),
        lambda inner: st.builds(Tree, st.integers(0, 255), st.lists(inner, max_size=3)),
        max_leaves=6,
    )),
]  # fmt: skip

KEYS = [
    (U16, st.integers(0, 2**16 - 1)),
    (str, st.text(max_size=4)),
    (bytes, st.binary(max_size=4)),
    (tuple[U8, bool], st.tuples(st.integers(0, 255), st.booleans())),
]


def generic(origin: Any, *arguments: Any) -> Any:
    """`origin[arguments]`, made while the test runs."""
    return origin[arguments if len(arguments) > 1 else arguments[0]]


_names = iter(f"Struct{number}" for number in range(1 << 30))


@st.composite
def typed(draw: st.DrawFn, depth: int = 3) -> Typed:
    """A type of at most `depth` levels, and its values."""
    if depth == 0 or draw(st.booleans()):
        return draw(st.sampled_from(LEAVES))
    inner = typed(depth - 1)
    match draw(st.sampled_from(["list", "tuple of one", "option", "tuple", "dict", "struct"])):
        case "list":
            tp, values = draw(inner)
            return generic(list, tp), st.lists(values, max_size=4)
        case "tuple of one":
            tp, values = draw(inner)
            return generic(tuple, tp, ...), st.lists(values, max_size=4).map(tuple)
        case "option":
            tp, values = draw(st.sampled_from(LEAVES))
            return tp | None, st.none() | values
        case "tuple":
            parts = draw(st.lists(inner, min_size=1, max_size=4))
            return generic(tuple, *(tp for tp, _ in parts)), st.tuples(
                *(values for _, values in parts)
            )
        case "dict":
            (key, keys), (tp, values) = draw(st.sampled_from(KEYS)), draw(inner)
            return generic(dict, key, tp), st.dictionaries(keys, values, max_size=4)
        case _:
            parts = draw(st.lists(inner, min_size=1, max_size=5))
            fields = {f"field{position}": tp for position, (tp, _) in enumerate(parts)}
            cls = make_struct(next(_names), fields)
            return cls, st.builds(cls, *(values for _, values in parts))
