"""Types that depend on which pallets a runtime has: its calls, its events, its errors.

A pallet names them by placeholders (`RuntimeCall` as an argument of a batch, `EventRecords` as the
storage of events); each set of pallets puts its own types in their place. A set of types is made
once per set of pallet classes, never changes, and is shared by all runtimes with these pallets.
"""

import functools
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn, get_args, get_origin

from runtime.frame.declaration import CallSpec, Declaration, declaration_of
from runtime.frame.dispatch import DispatchFailure, ModuleError, ModuleFailure
from runtime.frame.lifetime import lifetime_of
from runtime.frame.pallet import Error, Pallet
from runtime.frame.values import codec_of
from runtime.primitives.scale import (
    U32,
    Codec,
    Deferred,
    Enum,
    Named,
    Shape,
    Struct,
    make_struct,
    one_of,
    shape_of,
)
from runtime.primitives.types import Hash

RUNTIME_PATH = "dret_runtime"


def _runtime_call() -> NoReturn:
    raise TypeError("RuntimeCall stands in a type that is not an argument or a storage item")


def _event_records() -> NoReturn:
    raise TypeError("EventRecords stands in a type that is not a storage item")


RuntimeCall = Annotated[Struct, Deferred(_runtime_call)]
"""Any call of the runtime, decoded."""

EventRecords = Annotated[list[Struct], Deferred(_event_records)]
"""The events of a block: records of `phase`, `event` and `topics`."""


class Phase(Enum, path="frame_system::Phase"):
    """In which part of a block an event happened."""


class ApplyExtrinsic(Phase, index=0, unnamed=True):
    """While the extrinsic at this place was applied."""

    extrinsic_index: U32


class Finalization(Phase, index=1):
    """After the extrinsics."""


class Initialization(Phase, index=2):
    """Before the extrinsics."""


@dataclass(frozen=True, slots=True)
class RuntimeTypes:
    """The types of one set of pallets."""

    call: Shape
    event: Shape
    error: Shape
    call_annotation: object
    """`RuntimeCall` as the type of an argument or a field."""

    event_record: type[Struct]
    call_codec: Codec[Struct]
    calls: dict[type[Struct], tuple[int, CallSpec]]
    """By the class of a decoded call of a pallet: the pallet's index and the declaration."""

    call_classes: dict[tuple[str, str], tuple[type[Struct], type[Struct]]]
    """By pallet and call name: the class of the pallet's variant, and of the call in it."""

    pallet_calls: dict[int, Shape]
    """By pallet index; pallets without calls have none. So the next two."""

    pallet_events: dict[int, Shape]
    pallet_errors: dict[int, Shape]
    failures: dict[type, DispatchFailure]
    """By the class of a pallet's error: how events show it."""

    def fill_in(self, annotation: object) -> object:
        """The annotation with these types in the place of the placeholders."""
        records = types.GenericAlias(list, (self.event_record,))
        return fill_in(annotation, self.call_annotation, records)


def fill_in(annotation: object, call: object, event_records: object) -> Any:
    """Replace the placeholders in an annotation; they cannot be inside structs."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        base, *markers = arguments
        for marker in markers:
            if isinstance(marker, Deferred) and marker.resolve is _runtime_call:
                return call
            if isinstance(marker, Deferred) and marker.resolve is _event_records:
                return event_records
        return Annotated[(fill_in(base, call, event_records), *markers)]
    inner = tuple(fill_in(argument, call, event_records) for argument in arguments)
    if inner == arguments:
        return annotation
    if origin in (typing.Union, types.UnionType):
        return typing.Union[inner]  # noqa: UP007 - the members are known only now
    assert origin in (list, dict, tuple), "no other annotation has arguments"
    return types.GenericAlias(origin, inner)


@functools.lru_cache(maxsize=16)
def runtime_types(
    pallets: tuple[tuple[int, type[Pallet[Any]]], ...], spec_version: int = 1
) -> RuntimeTypes:
    """The types of pallets given with their indices, in a version of the runtime."""
    maker = _Maker()
    for index, pallet in pallets:
        maker.add(index, pallet.__name__, declaration_of(pallet).at(spec_version))
    return maker.types()


class _Maker:
    """Puts the types together, pallet by pallet."""

    def __init__(self) -> None:
        self.calls: dict[type[Struct], tuple[int, CallSpec]] = {}
        self.call_classes: dict[tuple[str, str], tuple[type[Struct], type[Struct]]] = {}
        self.pallet_calls: dict[int, Shape] = {}
        self.pallet_events: dict[int, Shape] = {}
        self.pallet_errors: dict[int, Shape] = {}
        self.failures: dict[type, DispatchFailure] = {}
        self.outer_calls: list[type[Struct]] = []
        self.outer_events: list[type[Struct]] = []
        self.outer_errors: list[type[Struct]] = []
        self.call: Shape | None = None
        # A call may hold calls, so the whole is known only after its parts: it is looked up when
        # a codec is first made.
        deferred = Deferred(self._whole_call)
        self.call_annotation: object = Annotated[Struct, deferred, Named("RuntimeCall")]

    def _whole_call(self) -> Shape:
        assert self.call is not None, "the codec of calls is made after the types"
        return self.call

    def add(self, index: int, name: str, declaration: Declaration) -> None:
        """Take in a pallet."""
        path = f"{declaration.module}::pallet::"
        if declaration.calls:
            inner = [self._call_class(spec) for spec in declaration.calls]
            call = one_of("Call", inner, path=path + "Call")
            outer = _variant(name, index, {"call": call})
            for spec, cls in zip(declaration.calls, inner, strict=True):
                self.calls[cls] = (index, spec)
                self.call_classes[name, spec.name] = (outer, cls)
            self.outer_calls.append(outer)
            self.pallet_calls[index] = shape_of(call)
        if declaration.events:
            event = one_of("Event", declaration.events, path=path + "Event")
            self.outer_events.append(_variant(name, index, {"event": event}))
            self.pallet_events[index] = shape_of(event)
        if declaration.errors:
            errors = one_of("Error", _error_variants(declaration.errors), path=path + "Error")
            self.outer_errors.append(_variant(name, index, {"error": errors}))
            self.pallet_errors[index] = shape_of(errors)
            for refusal in declaration.errors:
                module = ModuleError(index, bytes((refusal.index, 0, 0, 0)))
                self.failures[refusal] = ModuleFailure(module)

    def _call_class(self, spec: CallSpec) -> type[Struct]:
        fields = {
            argument.name: fill_in(argument.annotation, self.call_annotation, None)
            for argument in spec.arguments
        }
        return make_struct(spec.name, fields, index=spec.index, docs="\n".join(spec.docs))

    def types(self) -> RuntimeTypes:
        """The finished types."""
        call = one_of("RuntimeCall", self.outer_calls, path=f"{RUNTIME_PATH}::RuntimeCall")
        event = one_of("RuntimeEvent", self.outer_events, path=f"{RUNTIME_PATH}::RuntimeEvent")
        error = one_of("RuntimeError", self.outer_errors, path=f"{RUNTIME_PATH}::RuntimeError")
        self.call = shape_of(call)
        return RuntimeTypes(
            call=self.call,
            event=shape_of(event),
            error=shape_of(error),
            call_annotation=self.call_annotation,
            event_record=_event_record(event),
            call_codec=codec_of(self.call),
            calls=self.calls,
            call_classes=self.call_classes,
            pallet_calls=self.pallet_calls,
            pallet_events=self.pallet_events,
            pallet_errors=self.pallet_errors,
            failures=self.failures,
        )


def _error_variants(errors: Sequence[type[Error]]) -> list[type[Struct]]:
    """The errors of a pallet as variants, without gaps: substrate-interface looks an error up by
    its position, not by its index, so a number that no error has gets a variant nobody uses.
    """
    by_index = {error.index: error for error in errors}
    return [
        make_struct(
            lifetime_of(by_index[index]).name or by_index[index].__name__,
            {},
            index=index,
            docs=by_index[index].__doc__ or "",
        )
        if index in by_index
        else make_struct(f"Unused{index}", {}, index=index, docs="No error has this number.")
        for index in range(max(by_index) + 1)
    ]


def _variant(name: str, index: int, fields: dict[str, object]) -> type[Struct]:
    """A pallet's variant of an outer enumeration: one unnamed field."""
    return make_struct(name, fields, index=index, unnamed=True)


def _event_record(event: Any) -> type[Struct]:
    """`EventRecord<RuntimeEvent, Hash>`."""
    meta: Any = type(Struct)  # its arguments are not those of `type`
    made: Any = meta(
        "EventRecord",
        (Struct,),
        {
            "__annotations__": {"phase": Phase, "event": event, "topics": list[Hash]},
            "__module__": __name__,
            "__doc__": None,
        },
        path="frame_system::EventRecord",
        params={"E": event, "T": Hash},
    )
    cls: type[Struct] = made
    return cls
