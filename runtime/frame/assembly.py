"""The pallets of one runtime, put together: one state, one set of types, one dispatcher.

Invariant: nothing here changes after it is made but the state that is bound; several assemblies in
one process share only what never changes.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from runtime.frame.declaration import ApiSpec, CallSpec, Declaration
from runtime.frame.dispatch import (
    BadOrigin,
    CallCost,
    DispatchError,
    DispatchFailure,
    LimitReached,
    Origin,
    OriginKind,
    Overflow,
    Pays,
    PostDispatch,
    Privilege,
)
from runtime.frame.pallet import Pallet
from runtime.frame.state import State
from runtime.frame.types import RuntimeTypes, runtime_types
from runtime.primitives.scale import DecodeError, EncodeError, Struct, shape_of
from runtime.state.overlay import Overlay

DISPATCH_DEPTH_MAX = 8  # a batch in a batch needs 3; keeps nested transactions within their bound

_DONE = PostDispatch()
_FREE = PostDispatch(pays=Pays.NO)


class ApiError(Exception):
    """A runtime API function is missing, or cannot be called with these arguments."""


class _Target:
    """A call of one pallet instance, ready to be dispatched."""

    __slots__ = ("cost", "function", "name", "origin", "pallet", "tag", "weigh")

    def __init__(self, pallet: Pallet[Any], spec: CallSpec) -> None:
        self.pallet = pallet
        self.name = spec.name
        self.function = spec.function
        self.origin: OriginKind = spec.origin
        self.tag = spec.tag
        weight = spec.weight
        self.weigh: Callable[..., int] | None = None
        if not isinstance(weight, int):
            self.weigh, weight = weight, 0
        self.cost = CallCost(weight, spec.dispatch_class, Pays.YES, spec.is_feeless)


class Assembly:
    """Pallets bound to one state. `pallets` maps their indices, which are wire format."""

    def __init__(self, pallets: Mapping[int, Pallet[Any]], spec_version: int = 1) -> None:
        self.spec_version = spec_version
        self.state = State()
        self.pallets: Sequence[Pallet[Any]] = tuple(pallets[index] for index in sorted(pallets))
        """By index."""

        self.types: RuntimeTypes = runtime_types(
            tuple((index, type(pallets[index])) for index in sorted(pallets)), spec_version
        )
        self._depth = 0
        self._targets: dict[type, _Target] = {}
        self._apis: dict[str, tuple[Pallet[Any], ApiSpec]] = {}
        for index, pallet in sorted(pallets.items()):
            pallet.bind(index, self.state, self)
            for spec in pallet.declaration.storage:
                value = shape_of(self.types.fill_in(spec.value))
                getattr(pallet, spec.name).bind(self.state, value, spec.default)
            for api in self.declaration_of(pallet).apis:
                self._apis[api.name] = (pallet, api)
        for cls, (index, call) in self.types.calls.items():
            self._targets[cls] = _Target(pallets[index], call)

    def declaration_of(self, pallet: Pallet[Any]) -> Declaration:
        """What this version of the runtime has of a pallet's declaration."""
        return pallet.declaration.at(self.spec_version)

    # --- state

    def bind(self, overlay: Overlay) -> None:
        """Make `overlay` the state that pallets read and write."""
        self.state.bind(overlay)

    # --- calls

    def decode_call(self, data: bytes) -> Struct:
        """The call whose encoding is `data`; raises `DecodeError`."""
        return self.types.call_codec.decode(data)

    def make_call(self, pallet: str, name: str, **arguments: object) -> Struct:
        """A call by the names of its pallet and itself: `make_call("Market", "place_bid", ...)`."""
        outer: Any
        outer, inner = self.types.call_classes[pallet, name]
        made: Struct = outer(inner(**arguments))
        return made

    def encode_call(self, pallet: str, name: str, **arguments: object) -> bytes:
        """The encoding of a call by names."""
        return self.types.call_codec.encode(self.make_call(pallet, name, **arguments))

    def cost_of(self, call: Struct) -> CallCost:
        """What a decoded call may take."""
        inner = _inner(call)
        target = self._targets[inner.__class__]
        if target.weigh is None:
            return target.cost
        cost = target.cost
        weight = target.weigh(target.pallet, *msgspec.structs.astuple(inner))
        return CallCost(weight, cost.dispatch_class, cost.pays, cost.is_feeless)

    def name_of(self, call: Struct) -> tuple[str, str]:
        """The names of a decoded call's pallet and of itself."""
        target = self._targets[_inner(call).__class__]
        return target.pallet.pallet_name, target.name

    def origin_of(self, call: Struct) -> OriginKind:
        """Who may make a decoded call."""
        return self._targets[_inner(call).__class__].origin

    def tag_of(self, call: Struct) -> bytes:
        """What a decoded call that nobody signs is about."""
        inner = _inner(call)
        target = self._targets[inner.__class__]
        assert target.tag is not None, "calls with this origin have a tag"
        return bytes([target.pallet.pallet_index]) + target.tag(*msgspec.structs.astuple(inner))

    def dispatch(self, origin: Origin, call: Struct) -> PostDispatch:
        """Run a decoded call in a transaction. Raises the `DispatchError` it fails with."""
        inner = _inner(call)
        target = self._targets[inner.__class__]
        if self._depth >= DISPATCH_DEPTH_MAX:
            raise LimitReached
        who = _checked(origin, target.origin)
        state = self.state
        self._depth += 1
        state.begin()
        try:
            result = target.function(target.pallet, who, *msgspec.structs.astuple(inner))
        except EncodeError as error:
            # A value beyond its type that the pallet did not foresee. Every node sees the same,
            # so it fails the call; an unforeseen input must not stop the chain.
            state.rollback()
            raise Overflow from error
        except BaseException:
            state.rollback()
            raise
        finally:
            self._depth -= 1
        state.commit()
        if result is None or result is Pays.YES:
            return _DONE
        return _FREE if result is Pays.NO else result

    def failure_of(self, error: DispatchError) -> DispatchFailure:
        """How events show an error."""
        known = self.types.failures.get(type(error))
        return error.failure if known is None else known

    # --- runtime APIs

    @property
    def apis(self) -> tuple[ApiSpec, ...]:
        """The runtime API functions of the pallets."""
        return tuple(spec for _, spec in self._apis.values())

    def call_api(self, overlay: Overlay, name: str, data: bytes) -> bytes:
        """Call a runtime API function on a state, with SCALE arguments; changes are dropped."""
        known = self._apis.get(name)
        if known is None:
            raise ApiError(f"Exported method {name} is not found")
        pallet, spec = known
        arguments = decode_arguments(spec, data)
        self.bind(overlay)
        state = self.state
        state.begin()
        try:
            return spec.result.encode(getattr(pallet, spec.method)(*arguments))
        except DispatchError as error:
            raise ApiError(f"{name} refused its arguments: {type(error).__name__}") from error
        finally:
            state.rollback()


def decode_arguments(spec: ApiSpec, data: bytes) -> list[object]:
    """The arguments of a runtime API function. Raises `ApiError`."""
    try:
        return spec.decode_arguments(data)
    except (DecodeError, IndexError) as error:
        raise ApiError(f"arguments of {spec.name}: {error}") from None


def _inner(call: Any) -> Struct:
    """The pallet's call inside a runtime call, whose class was made at run time."""
    inner: Struct = call.call
    return inner


def _checked(origin: Origin, kind: OriginKind) -> object:
    """The first argument of a call, if the origin may make it."""
    match kind:
        case OriginKind.SIGNED:
            if isinstance(origin, bytes):
                return origin
        case OriginKind.ROOT:
            if origin is Privilege.ROOT:
                return None
        case OriginKind.INHERENT | OriginKind.UNSIGNED:
            if origin is Privilege.NONE:
                return None
        case OriginKind.ANY:
            return origin
    raise BadOrigin
