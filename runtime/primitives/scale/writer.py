"""What the writers of decoders and encoders share: source lines, and names for objects in them."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from runtime.primitives.scale.shapes import IntShape, Shape

FORMATS = {
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
"""Integers in the language of the `struct` module; 128 bits are a low and a high half."""


@dataclass(slots=True)
class RawCodec:
    """The two compiled functions of a shape; None while they are being compiled."""

    encode: Callable[[Any], bytes] | None = None
    """Value to bytes."""
    decode: Callable[[bytes, int, int], tuple[Any, int]] | None = None
    """Input, offset and depth to value and the offset behind it."""
    encoders: dict[type, Any] = field(default_factory=dict[type, Any])
    """Of an enumeration: for each class of a variant its `encode`."""
    decoders: list[Any] = field(default_factory=list[Any])
    """Of an enumeration: for each index byte the `decode` of the fields behind it."""
    sources: list[str] = field(default_factory=list[str])


class Writer:
    """The source of one function. A nested writer writes an indented block of the same function."""

    def __init__(
        self, raw_codec: Callable[[Shape], RawCodec], outer: "Writer | None" = None
    ) -> None:
        self.raw_codec = raw_codec
        """Gives the functions of another shape, to be called."""
        self.lines: list[str] = []
        self.indent: int = outer.indent + 1 if outer else 1
        self.env: dict[str, Any] = outer.env if outer else {}
        """The objects that names in the source stand for."""
        self.open: list[Shape] = outer.open if outer else []
        """The structs being written out in place, outermost first."""
        self.numbers: Iterator[int] = outer.numbers if outer else itertools.count()

    def line(self, text: str) -> None:
        """Write one line at the current depth."""
        self.lines.append("    " * self.indent + text)

    def bind(self, hint: str, value: object) -> str:
        """A name for `value` inside the function."""
        name = f"{hint}{next(self.numbers)}"
        self.env[name] = value
        return name

    def fresh(self) -> str:
        """The name of a new local variable."""
        return f"v{next(self.numbers)}"
