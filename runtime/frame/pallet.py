"""Pallets: classes whose annotations are storage, and whose methods are calls and runtime APIs.

    class Market(Pallet[Config]):
        next_bid_id: StorageValue[BidId]

        @call(0, weight=40_000)
        def place_bid(self, who: Signed, quantity_wh: Compact[EnergyWh]) -> None: ...

Events and errors of a pallet are the subclasses of `Event` and `Error` in its module, and in the
modules of its package. Hooks are methods with the names below; a pallet overrides what it needs.

A call made directly, as tests and other pallets do, runs in a transaction of its own, as a
dispatched one does: when it raises, nothing has changed.
"""

import functools
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import (
    Any,
    ClassVar,
    Concatenate,
    Generic,
    ParamSpec,
    Protocol,
    TypeVar,
    cast,
    dataclass_transform,
)

from runtime.frame.dispatch import (
    CallCost,
    CallResult,
    DispatchClass,
    DispatchError,
    DispatchFailure,
    Origin,
    PostDispatch,
)
from runtime.frame.state import State
from runtime.primitives.scale import Struct
from runtime.state.overlay import Overlay

P = ParamSpec("P")
R = TypeVar("R")


class Event(Struct):
    """Something a pallet announces. `class BidPlaced(frame.Event, index=0)`."""


class Error(DispatchError):
    """A reason of a pallet to refuse a call. `class NotOwner(frame.Error, index=1)`."""

    index: ClassVar[int]

    def __init_subclass__(cls, *, index: int) -> None:
        """`index` is its number in the pallet."""
        super().__init_subclass__()
        if not 0 <= index <= 255:
            raise TypeError(f"index {index} of {cls.__name__} does not fit in a byte")
        cls.index = index


@dataclass_transform(frozen_default=True)
class Config:
    """What a pallet is given when it is made: constants and other pallets.

    Fields with a SCALE type are the pallet's constants, which the metadata shows; the others are
    protocols that other pallets fulfil.
    """

    def __init_subclass__(cls) -> None:
        """Make the class a frozen record."""
        super().__init_subclass__()
        dataclass(frozen=True)(cls)


C = TypeVar("C", bound=Config)


class Dispatcher(Protocol):
    """What the runtime offers to pallets that handle calls."""

    def dispatch(self, origin: Origin, call: Struct) -> PostDispatch:
        """Run a decoded call in a transaction. Raises the `DispatchError` it fails with."""
        ...

    def cost_of(self, call: Struct) -> CallCost:
        """What a decoded call may take."""
        ...

    def failure_of(self, error: DispatchError) -> DispatchFailure:
        """How events show an error."""
        ...


class Pallet(Generic[C]):
    """A part of the runtime, with a storage of its own."""

    config: C
    pallet_index: int
    """In the runtime; 255 before the pallet is part of one."""

    dispatcher: "Dispatcher"
    """Dispatches other calls, for pallets that take calls as arguments."""

    def __init__(self, config: C) -> None:
        # Imported here because the declaration is made of these very classes.
        from runtime.frame.declaration import declaration_of

        self.config = config
        self.pallet_index = 255
        self._state = State()
        self.declaration = declaration_of(type(self))
        for spec in self.declaration.storage:
            setattr(self, spec.name, spec.make(self.pallet_name))

    @property
    def pallet_name(self) -> str:
        """Its name in storage keys and metadata: the name of the class."""
        return type(self).__name__

    def bind(self, index: int, state: State, dispatcher: "Dispatcher") -> None:
        """Become pallet `index` of a runtime that works on `state`."""
        self.pallet_index, self._state, self.dispatcher = index, state, dispatcher

    @property
    def overlay(self) -> Overlay:
        """The state under change, for what a pallet keeps beside it."""
        return self._state.overlay

    def transaction(self) -> AbstractContextManager[None]:
        """A block of code that is undone when it raises."""
        return self._state.transaction()

    def deposit_event(self, event: Event) -> None:
        """Announce an event; it is dropped when the call around it is rolled back."""
        self._state.deposit(self.pallet_index, event)

    # Hooks.

    def genesis(self, config: Mapping[str, Any]) -> None:
        """Write the state of block 0 from the pallet's section of the chain specification."""

    def on_initialize(self, number: int) -> None:
        """Before the extrinsics of block `number`."""

    def on_finalize(self, number: int) -> None:
        """After the extrinsics of block `number`."""

    def reserved_weight(self) -> int:
        """Picoseconds that both hooks of the next block may take; kept free of extrinsics."""
        return 0

    def on_runtime_upgrade(self) -> None:
        """In the first block under a new version, before everything else."""

    def check_invariants(self) -> None:
        """Assert what the pallet promises about its state; between blocks, under test."""


# --- calls and runtime APIs


@dataclass(frozen=True, slots=True)
class CallMark:
    """What `@call` says, kept at the function until the declaration is read."""

    index: int
    function: Callable[..., CallResult]
    """Without a transaction of its own."""

    weight: int | Callable[..., int]
    dispatch_class: DispatchClass | None
    is_feeless: bool
    tag: Callable[..., bytes] | None
    """Of an unsigned call: what it is about, by its arguments."""


@dataclass(frozen=True, slots=True)
class ApiMark:
    """What `@api` says."""

    name: str
    result: object


PalletT = TypeVar("PalletT", bound="Pallet[Any]")


def call(
    index: int,
    *,
    weight: int | Callable[..., int],
    feeless: bool = False,
    dispatch_class: DispatchClass | None = None,
    tag: Callable[..., bytes] | None = None,
) -> Callable[[Callable[Concatenate[PalletT, P], R]], Callable[Concatenate[PalletT, P], R]]:
    """Make a method a call: its parameters are the arguments, its first one says who may call.

    `weight` in picoseconds, or a function of the pallet and the arguments (without the origin).
    The fee of a `feeless` call is withdrawn and given back when the call succeeds. The class is
    NORMAL, or MANDATORY for an inherent, unless it is given.

    A call that is `Unsigned` pays no fee, so it must fail unless its arguments prove that it is
    worth its place; failing, it is not included. Its `tag`, a function of the arguments, says what
    it is about: the pool keeps one call for each tag.
    """

    def decorate(
        function: Callable[Concatenate[PalletT, P], R],
    ) -> Callable[Concatenate[PalletT, P], R]:
        @functools.wraps(function)
        def in_transaction(self: PalletT, *args: P.args, **kwargs: P.kwargs) -> R:
            with self.transaction():
                return function(self, *args, **kwargs)

        # The dispatcher checks what a call returns by its type.
        raw = cast(Callable[..., CallResult], function)
        mark = CallMark(index, raw, weight, dispatch_class, feeless, tag)
        in_transaction.__dict__["__call_mark__"] = mark
        return cast(Callable[Concatenate[PalletT, P], R], in_transaction)  # `wraps` hides it

    return decorate


def api(name: str, *, result: object = None) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a method a runtime API function, `Trait_function`, with SCALE arguments and result.

    `result` is the annotation of the result where Python's type checkers cannot read it.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        function.__dict__["__api_mark__"] = ApiMark(name, result)
        return function

    return decorate
