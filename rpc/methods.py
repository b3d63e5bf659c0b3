"""The method registry: names, aliases, parameters from signatures, errors.

A method is a function `(node, parameters…)`, one that keeps something for its connection
`(node, call, parameters…)`, a subscription `(node, sink, parameters…)`; the annotations of the
parameters (see `rpc.params`) say how each is decoded, `| None` that it may be left out. Parameters
come by position, or by name in an object; a missing trailing parameter and `null` mean the same,
and superfluous ones are ignored, as in jsonrpsee.

Unsafe methods are listed but answer as polkadot-sdk does when they are denied.
"""

import inspect
import types
import typing
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeAlias, cast

from rpc.connection import Call
from rpc.jsonrpc import INVALID_PARAMS, METHOD_NOT_FOUND, RpcError
from rpc.params import as_list
from rpc.ports import Json, Node
from rpc.subscriptions import Sink

Handler: TypeAlias = "Callable[..., Json | Coroutine[Any, Any, Json]]"
SubscriptionHandler = Callable[..., Awaitable[None] | None]
Decoder = Callable[[object], object]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a method."""

    name: str
    decode: Decoder
    is_optional: bool

    @property
    def json_name(self) -> str:
        """As Substrate spells it in an object of parameters."""
        return _camel(self.name)


@dataclass(frozen=True, slots=True)
class Method:
    """A method that answers once."""

    name: str
    aliases: Sequence[str]
    is_unsafe: bool
    handler: Handler
    parameters: Sequence[Parameter]
    is_of_connection: bool = False
    """Whether the handler takes the `Call` after the node."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """A method that answers with a subscription id and then notifies."""

    name: str
    aliases: Sequence[str]
    notification: str
    unsubscribe: Sequence[str]
    handler: SubscriptionHandler
    parameters: Sequence[Parameter]


@dataclass(frozen=True, slots=True)
class Unsubscription:
    """Ends subscriptions of one kind."""

    name: str
    notification: str

    @property
    def gives_null(self) -> bool:
        """Whether nothing is told of the outcome: so in the new groups, unlike in the old ones."""
        return "_v1_" in self.name

    @property
    def refuses_unknown(self) -> bool:
        """Whether ending what is not there is an error: so only for a watched transaction."""
        return self.name == "transactionWatch_v1_unwatch"


Entry = Method | Subscription | Unsubscription


class Registry:
    """Every name the server answers to."""

    def __init__(self, modules: Iterable[ModuleType]) -> None:
        self._entries: dict[str, Entry] = {}
        self.add(Method("rpc_methods", (), False, self._methods, ()))
        for module in modules:
            for value in vars(module).values():
                if isinstance(value, Method | Subscription):
                    self.add(value)

    def add(self, entry: Method | Subscription) -> None:
        """Register an entry under its name and aliases, and what ends a subscription."""
        for name in (entry.name, *entry.aliases):
            self._put(name, entry)
        if isinstance(entry, Subscription):
            for name in entry.unsubscribe:
                self._put(name, Unsubscription(entry.unsubscribe[0], entry.notification))

    def find(self, name: str) -> Entry:
        """The entry of a name. Raises `RpcError` with the text that clients compare."""
        entry = self._entries.get(name)
        if entry is None:
            raise RpcError(METHOD_NOT_FOUND, "Method not found")
        return entry

    def names(self) -> list[str]:
        """All names, sorted; clients choose their way of working by this list."""
        return sorted(self._entries)

    def entries(self) -> list[tuple[str, Entry]]:
        """All entries with each of their names, sorted."""
        return sorted(self._entries.items())

    def _methods(self, _node: Node) -> Json:
        """The names of all methods."""
        return {"methods": self.names()}

    def _put(self, name: str, entry: Entry) -> None:
        if name in self._entries:
            raise ValueError(f"two RPC methods are named {name}")
        self._entries[name] = entry


def method(
    name: str, *, aliases: Sequence[str] = (), unsafe: bool = False
) -> Callable[[Handler], Method]:
    """Make a function the method `name`."""

    def register(handler: Handler) -> Method:
        return Method(name, aliases, unsafe, handler, _parameters(handler, skip=1))

    return register


def connection_method(name: str) -> Callable[[Handler], Method]:
    """Make a function a method that keeps something for its connection: it takes the `Call`."""

    def register(handler: Handler) -> Method:
        return Method(name, (), False, handler, _parameters(handler, skip=2), True)

    return register


def subscription(
    name: str,
    *,
    notification: str,
    unsubscribe: Sequence[str],
    aliases: Sequence[str] = (),
) -> Callable[[SubscriptionHandler], Subscription]:
    """Make a function the subscription `name`.

    It returns once it has arranged that `sink` will be sent values; what it sends before the
    reply is held back until the reply is out.
    """

    def register(handler: SubscriptionHandler) -> Subscription:
        parameters = _parameters(handler, skip=2)
        return Subscription(name, aliases, notification, unsubscribe, handler, parameters)

    return register


def call_method(
    entry: Method, node: Node, call: Call | None, params: object
) -> "Json | Coroutine[Any, Any, Json]":
    """Decode the parameters and run a method; one that may wait gives a coroutine.

    `call` is for methods that keep something for their connection.
    """
    values = decode_parameters(entry.parameters, params)
    if call is not None:
        return entry.handler(node, call, *values)
    return entry.handler(node, *values)


async def call_subscription(entry: Subscription, node: Node, sink: Sink, params: object) -> None:
    """Decode the parameters and start a subscription."""
    pending = entry.handler(node, sink, *decode_parameters(entry.parameters, params))
    if pending is not None:
        await pending


def decode_parameters(parameters: Sequence[Parameter], params: object) -> list[object]:
    """Values for the parameters. Raises `RpcError` that names the wrong one."""
    if not parameters:
        return []
    given = _by_position(parameters, params)
    values: list[object] = []
    for position, parameter in enumerate(parameters):
        raw = given[position] if position < len(given) else None
        if raw is None:
            if not parameter.is_optional:
                raise invalid_params(f"parameter {position + 1} ({parameter.name}) is missing")
            values.append(None)
            continue
        try:
            values.append(parameter.decode(raw))
        except ValueError as error:
            reason = f"parameter {position + 1} ({parameter.name}): {error}"
            raise invalid_params(reason) from None
    return values


def invalid_params(reason: str) -> RpcError:
    """The error for a parameter that cannot be used."""
    return RpcError(INVALID_PARAMS, "Invalid params", reason)


def _by_position(parameters: Sequence[Parameter], params: object) -> Sequence[object]:
    if params is None:
        return ()
    items = as_list(params)
    if items is not None:
        return items
    if not isinstance(params, Mapping):
        raise invalid_params("expected an array or an object")
    named = cast("Mapping[str, object]", params)  # decoded JSON: names are strings
    return [named.get(parameter.name, named.get(parameter.json_name)) for parameter in parameters]


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _parameters(handler: Callable[..., object], skip: int) -> list[Parameter]:
    parameters = list(inspect.signature(handler).parameters.values())[skip:]
    return [_parameter(parameter.name, parameter.annotation) for parameter in parameters]


def _parameter(name: str, hint: object) -> Parameter:
    is_optional = False
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        inner = [part for part in typing.get_args(hint) if part is not types.NoneType]
        if len(inner) != 1:
            raise TypeError(f"RPC parameter {name}: only `X | None` may be a union")
        is_optional, hint = True, inner[0]
    if typing.get_origin(hint) is not typing.Annotated:
        raise TypeError(f"RPC parameter {name}: {hint!r} is not a type of rpc.params")
    decode: Decoder = typing.get_args(hint)[1]
    return Parameter(name, decode, is_optional)
