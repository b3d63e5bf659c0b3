"""The base classes whose annotations are the format: `Struct`, `Enum` and `UnitEnum`."""

import enum
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self, dataclass_transform

import msgspec

from runtime.primitives.scale.annotations import docs_of
from runtime.primitives.scale.codec import codec
from runtime.primitives.scale.shapes import EnumInfo, StructInfo


@dataclass_transform(frozen_default=True)
class StructMeta(msgspec.StructMeta):
    """Makes a class statement into a frozen, slotted value type and keeps what it declares."""

    def __new__(
        mcls,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        *,
        path: str = "",
        params: Mapping[str, object] | None = None,
        index: int | None = None,
        name_in_metadata: str = "",
        unnamed: bool = False,
    ) -> "StructMeta":
        """Build the class; `Struct` explains the keywords."""
        # Values cannot form cycles, so the garbage collector need not look at them.
        cls: Any = super().__new__(mcls, name, bases, namespace, frozen=True, gc=False)
        shown = name_in_metadata or name
        bound = tuple((params or {}).items())
        is_root = namespace.get("__is_enum__", False) or any(
            base.__dict__.get("__is_enum__", False) for base in bases
        )
        family: EnumInfo | None = None
        if is_root:
            family = EnumInfo(shown, path, bound, docs_of(cls))
        else:
            outer = getattr(cls, "__scale__", None)
            family = outer.family if isinstance(outer, StructInfo) else None
        cls.__scale__ = StructInfo(shown, path, bound, index, unnamed, family, is_root)
        if family is not None and not is_root:
            if index is None:
                raise TypeError(f"{name} is a variant of {family.name} and needs an index")
            family.add(index, cls)
        # Each class gets its own: the first call replaces them by the compiled functions.
        cls.encode = _first_encode
        cls.decode = classmethod(_first_decode)
        made: StructMeta = cls
        return made


def _first_encode(self: Any) -> bytes:
    cls = self.__class__
    cls.encode = codec(cls).encode
    encoded: bytes = self.encode()
    return encoded


def _first_decode(cls: Any, data: bytes) -> Any:
    decode = codec(cls).decode
    cls.decode = staticmethod(decode)
    return decode(data)


class Struct(msgspec.Struct, metaclass=StructMeta):
    """A frozen value with named fields, encoded in the order of their annotations.

    Keywords of a class statement:

    - `path` is the Rust path by which clients recognise the type in the metadata;
    - `params` are its type parameters, name to type, or `None` for one without a type;
    - `index` makes it a variant: its encoding starts with this byte;
    - `unnamed` hides the fields' names in the metadata, as Rust's tuple structs do;
    - `name_in_metadata` is its name there if it cannot be the class's.
    """

    if TYPE_CHECKING:

        def __init_subclass__(
            cls,
            *,
            path: str = "",
            params: Mapping[str, object] | None = None,
            index: int | None = None,
            name_in_metadata: str = "",
            unnamed: bool = False,
        ) -> None: ...

        def encode(self) -> bytes:
            """The SCALE encoding; raises `EncodeError`."""
            ...

        @classmethod
        def decode(cls, data: bytes) -> Self:
            """The value whose encoding is the whole of `data`; raises `DecodeError`."""
            ...


class Enum(Struct):
    """A value that is one of several structs. A direct subclass is the enumeration:

    class Vote(Enum): ...
    class Yes(Vote, index=0): weight: U32
    class No(Vote, index=1): ...

    `Vote.decode` gives a `Yes` or a `No`; a variant's own `decode` takes nothing but itself.
    """

    __is_enum__ = True


class UnitEnum(enum.IntEnum):
    """An enumeration whose variants carry nothing; the values are the indices on the wire.

    `DEMAND_RESPONSE` is shown as `DemandResponse` in the metadata.
    """

    __scale__: ClassVar[StructInfo]

    def __init_subclass__(cls, *, path: str = "") -> None:
        """`path` is the Rust path in the metadata."""
        cls.__scale__ = StructInfo(cls.__name__, path)


def make_struct(
    name: str,
    fields: Mapping[str, object],
    *,
    path: str = "",
    index: int | None = None,
    unnamed: bool = False,
    docs: str = "",
) -> type[Struct]:
    """A `Struct` class from data: name, field annotations in order, and a docstring."""
    namespace = {"__annotations__": dict(fields), "__doc__": docs or None, "__module__": __name__}
    made: Any = StructMeta(name, (Struct,), namespace, path=path, index=index, unnamed=unnamed)
    cls: type[Struct] = made
    return cls
