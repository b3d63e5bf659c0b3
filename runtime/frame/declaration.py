"""What the class of a pallet declares, read once per class.

Everything here follows from annotations and decorators and is the same for all runtimes that hold
the pallet; it never changes once made. A version of the runtime has that part of it whose lifetimes
include the version.
"""

import inspect
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Annotated, Any, Protocol, TypeVar, get_args, get_origin

from runtime.frame.dispatch import CallResult, DispatchClass, OriginKind
from runtime.frame.docs import docs_of
from runtime.frame.lifetime import Lifetime, lifetime_in, lifetime_of
from runtime.frame.pallet import ApiMark, CallMark, Config, Error, Event, Pallet
from runtime.frame.storage import (
    Hasher,
    StorageDoubleMap,
    StorageItem,
    StorageMap,
    StorageValue,
    pascal_case,
)
from runtime.frame.values import Default, codec_of, is_immutable
from runtime.primitives.scale import Codec, DecodeError, Shape, shape_of
from runtime.primitives.scale.annotations import type_name

STORAGE_CLASSES = (StorageValue, StorageMap, StorageDoubleMap)


@dataclass(frozen=True, slots=True)
class StorageSpec:
    """A storage item of a pallet."""

    name: str
    keys: tuple[Shape, ...]
    hashers: tuple[type[Hasher], ...]
    value: object
    """The annotation, with placeholders if it has some."""

    default: Default | None
    lifetime: Lifetime

    @property
    def name_in_metadata(self) -> str:
        """`next_bid_id` is `NextBidId` for clients and in keys."""
        return pascal_case(self.lifetime.name or self.name)

    def make(self, pallet: str) -> StorageItem:
        """The item of one instance of the pallet."""
        name = self.lifetime.name or self.name
        match self.keys, self.hashers:
            case (), ():
                return StorageValue[Any](pallet, name)
            case (key,), (hasher,):
                return StorageMap[Any, Any, Any](pallet, name, key, hasher)
            case (first, second), (one, two):
                keys, hashers = (first, second), (one, two)
                return StorageDoubleMap[Any, Any, Any, Any, Any](pallet, name, keys, hashers)
            case _:
                raise TypeError(f"{self.name}: a map has one or two keys")


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a call or of a runtime API function."""

    name: str
    annotation: object


@dataclass(frozen=True, slots=True)
class CallSpec:
    """A call of a pallet."""

    index: int
    name: str
    arguments: tuple[Argument, ...]
    origin: OriginKind
    function: Callable[..., CallResult]
    weight: int | Callable[..., int]
    dispatch_class: DispatchClass
    is_feeless: bool
    tag: Callable[..., bytes] | None
    docs: tuple[str, ...]
    lifetime: Lifetime


@dataclass(frozen=True, slots=True)
class ApiSpec:
    """A runtime API function."""

    name: str
    """`Trait_function`"""

    method: str
    arguments: tuple[Argument, ...]
    codecs: tuple[Codec[Any], ...]
    result: Codec[Any]
    docs: tuple[str, ...]
    lifetime: Lifetime

    @property
    def api_name(self) -> str:
        """The API it belongs to."""
        return self.name.partition("_")[0]

    @property
    def function_name(self) -> str:
        """Its own name in the API."""
        return self.name.partition("_")[2]

    def decode_arguments(self, data: bytes) -> list[object]:
        """The arguments in `data`; raises `DecodeError`, also when bytes are left over."""
        arguments: list[object] = []
        offset = 0
        for argument in self.codecs:
            value, offset = argument.decode_from(data, offset)
            arguments.append(value)
        if offset != len(data):
            raise DecodeError(f"{len(data) - offset} bytes left over")
        return arguments


@dataclass(frozen=True, slots=True)
class ConstantSpec:
    """A constant: a field of the pallet's `Config` that has a SCALE type."""

    name: str
    codec: Codec[Any]
    type_name: str
    lifetime: Lifetime

    @property
    def name_in_metadata(self) -> str:
        """`bid_max` is `BidMax` for clients."""
        return pascal_case(self.lifetime.name or self.name)


@dataclass(frozen=True, slots=True)
class Declaration:
    """All that a pallet's class declares, or what one version of the runtime has of it."""

    pallet: type[Pallet[Any]]
    config: type[Config]
    storage: tuple[StorageSpec, ...]
    calls: tuple[CallSpec, ...]
    events: tuple[type[Event], ...]
    errors: tuple[type[Error], ...]
    apis: tuple[ApiSpec, ...]
    constants: tuple[ConstantSpec, ...]

    @property
    def module(self) -> str:
        """The pallet's name as a Rust module: `pallet_` and the Python module's name.

        Substrate's own exception is System, whose types clients look up under `frame_system`.
        """
        name = self.pallet.__module__.rsplit(".", 1)[-1]
        return "frame_system" if name == "system" else f"pallet_{name}"

    def at(self, spec_version: int) -> "Declaration":
        """What a version of the runtime has of it."""

        def having(specs: tuple[SpecT, ...]) -> tuple[SpecT, ...]:
            return tuple(spec for spec in specs if spec.lifetime.includes(spec_version))

        def having_classes(classes: tuple[type[T], ...]) -> tuple[type[T], ...]:
            return tuple(cls for cls in classes if lifetime_of(cls).includes(spec_version))

        return replace(
            self,
            storage=having(self.storage),
            calls=having(self.calls),
            events=having_classes(self.events),
            errors=having_classes(self.errors),
            apis=having(self.apis),
            constants=having(self.constants),
        )


class _Spec(Protocol):
    @property
    def lifetime(self) -> Lifetime: ...


T = TypeVar("T")
SpecT = TypeVar("SpecT", bound=_Spec)


_declarations: dict[type, Declaration] = {}


def declaration_of(pallet: type[Pallet[Any]]) -> Declaration:
    """What a pallet's class declares; `TypeError` says what is wrong with it."""
    known = _declarations.get(pallet)
    if known is None:
        known = _declarations[pallet] = _read_declaration(pallet)
    return known


def _read_declaration(pallet: type[Pallet[Any]]) -> Declaration:
    config = _config_of(pallet)
    return Declaration(
        pallet=pallet,
        config=config,
        storage=_storage_of(pallet),
        calls=_calls_of(pallet),
        events=_members(Event, pallet),
        errors=_members(Error, pallet),
        apis=apis_of(pallet),
        constants=_constants_of(config),
    )


# --- storage


def _storage_of(pallet: type[Pallet[Any]]) -> tuple[StorageSpec, ...]:
    hints = typing.get_type_hints(pallet, include_extras=True)
    return tuple(
        _storage_spec(f"{pallet.__name__}.{name}", name, hint)
        for name, hint in hints.items()
        if get_origin(hint) in STORAGE_CLASSES
    )


def _storage_spec(where: str, name: str, hint: object) -> StorageSpec:
    arguments = get_args(hint)
    kind: Any = get_origin(hint)
    count = STORAGE_CLASSES.index(kind)  # of its keys
    keys, value, hashers = arguments[:count], arguments[count], arguments[count + 1 :]
    shapes = tuple(shape_of(key) for key in keys)
    for shape in shapes:
        if not is_immutable(shape):
            raise TypeError(f"{where}: a key must be of a type that cannot change in place")
    return StorageSpec(name, shapes, hashers, value, _default_marker(value), lifetime_in(value))


def _default_marker(annotation: object) -> Default | None:
    if get_origin(annotation) is Annotated:
        for marker in get_args(annotation)[1:]:
            if isinstance(marker, Default):
                return marker
    return None


# --- calls and runtime APIs


def _calls_of(pallet: type[Pallet[Any]]) -> tuple[CallSpec, ...]:
    specs = [
        _call_spec(pallet, name, mark) for name, mark in _marked(pallet, "__call_mark__", CallMark)
    ]
    specs.sort(key=lambda spec: (spec.index, spec.lifetime.since))
    _check_indices(pallet, [(spec.index, spec.name, spec.lifetime) for spec in specs])
    return tuple(specs)


def _check_indices(pallet: type, declared: Sequence[tuple[int, str, Lifetime]]) -> None:
    """No version of the runtime has two declarations with one index."""
    for (one, name, lifetime), (other, next_name, next_lifetime) in pairwise(declared):
        if one == other and lifetime.overlaps(next_lifetime):
            raise TypeError(f"{pallet.__name__}: {name} and {next_name} have index {one}")


def _call_spec(pallet: type[Pallet[Any]], name: str, mark: CallMark) -> CallSpec:
    hints = typing.get_type_hints(mark.function, include_extras=True)
    _, first, *rest = inspect.signature(mark.function).parameters
    origin = _origin_of(hints[first])
    if origin is None:
        raise TypeError(f"{pallet.__name__}.{name}: its first parameter must say who may call")
    if (origin is OriginKind.UNSIGNED) != (mark.tag is not None):
        raise TypeError(
            f"{pallet.__name__}.{name}: a tag belongs to unsigned calls, and they need it"
        )
    dispatch_class = mark.dispatch_class
    if dispatch_class is None:
        is_inherent = origin is OriginKind.INHERENT
        dispatch_class = DispatchClass.MANDATORY if is_inherent else DispatchClass.NORMAL
    lifetime = lifetime_of(getattr(pallet, name))
    return CallSpec(
        mark.index,
        lifetime.name or name,
        tuple(Argument(argument, hints[argument]) for argument in rest),
        origin,
        mark.function,
        mark.weight,
        dispatch_class,
        mark.is_feeless,
        mark.tag,
        docs_of(mark.function),
        lifetime,
    )


def _origin_of(annotation: object) -> OriginKind | None:
    if get_origin(annotation) is Annotated:
        for marker in get_args(annotation)[1:]:
            if isinstance(marker, OriginKind):
                return marker
    return None


def apis_of(cls: type, skipped: int = 1) -> tuple[ApiSpec, ...]:
    """The runtime API functions of a class; the first `skipped` parameters are no arguments."""
    specs: list[ApiSpec] = []
    for method, mark in _marked(cls, "__api_mark__", ApiMark):
        function = getattr(cls, method)
        hints = typing.get_type_hints(function, include_extras=True)
        names = list(inspect.signature(function).parameters)[skipped:]
        arguments = tuple(Argument(name.removesuffix("_"), hints[name]) for name in names)
        codecs = tuple(codec_of(shape_of(argument.annotation)) for argument in arguments)
        result = codec_of(shape_of(hints["return"] if mark.result is None else mark.result))
        docs, lifetime = docs_of(function), lifetime_of(function)
        specs.append(ApiSpec(mark.name, method, arguments, codecs, result, docs, lifetime))
    return tuple(specs)


def _marked(pallet: type, mark_name: str, kind: type[Any]) -> list[tuple[str, Any]]:
    """Methods with a mark, in the order of their definition, those of base classes first."""
    found: dict[str, Any] = {}
    for cls in reversed(pallet.__mro__):
        for name, member in vars(cls).items():
            mark = getattr(member, mark_name, None)
            if isinstance(mark, kind):
                found[name] = mark
    return list(found.items())


# --- constants, events and errors


def _config_of(pallet: type[Pallet[Any]]) -> type[Config]:
    for base in getattr(pallet, "__orig_bases__", ()):
        if get_origin(base) is Pallet:
            (config,) = get_args(base)
            if isinstance(config, type) and issubclass(config, Config):
                return config
    raise TypeError(f"{pallet.__name__} must be declared as Pallet[Config]")


def _constants_of(config: type[Config]) -> tuple[ConstantSpec, ...]:
    specs: list[ConstantSpec] = []
    for name, hint in typing.get_type_hints(config, include_extras=True).items():
        try:
            shape = shape_of(hint)
        except TypeError:
            continue  # a protocol that another pallet fulfils
        specs.append(ConstantSpec(name, codec_of(shape), type_name(hint), lifetime_in(hint)))
    return tuple(specs)


def _members(base: type[Any], pallet: type) -> tuple[Any, ...]:
    """The direct subclasses of `base` in the pallet's module or package, by index."""
    module = pallet.__module__
    members = [
        cls
        for cls in base.__subclasses__()
        if cls.__module__ == module or cls.__module__.startswith(module + ".")
    ]
    members.sort(key=lambda cls: (index_of(cls), lifetime_of(cls).since))
    _check_indices(pallet, [(index_of(cls), cls.__name__, lifetime_of(cls)) for cls in members])
    return tuple(members)


def index_of(cls: Any) -> int:
    """The number of an event or an error in its pallet."""
    index: int | None = cls.index if issubclass(cls, Error) else cls.__scale__.index
    if index is None:
        raise TypeError(f"{cls.__name__} needs an index")
    return index
