"""`rpc.discover`: every method with its parameters and result, as an OpenRPC document.

Made from the registry, so it cannot name what is not there; descriptions are the docstrings.
Subscriptions say in `x-notification` what they send. Source: https://spec.open-rpc.org, 1.3.
"""

from collections.abc import Iterable

from rpc.methods import Entry, Method, Parameter, Subscription, Unsubscription
from rpc.ports import Json
from rpc.schemas import COMPONENTS, FLAG, NULL, PARAMETERS, RESULTS, TEXT, maybe

OPENRPC_VERSION = "1.3.2"


def describe(entries: Iterable[tuple[str, Entry]], version: str) -> Json:
    """The document for entries under their names and aliases."""
    return {
        "openrpc": OPENRPC_VERSION,
        "info": {
            "title": "DRET node",
            "description": "Substrate's JSON-RPC methods, and those of this chain (dret_*).",
            "version": version,
            "license": {"name": "Apache-2.0"},
        },
        "methods": [_method(name, entry) for name, entry in entries],
        "components": {"schemas": dict(COMPONENTS)},
    }


def _method(name: str, entry: Entry) -> Json:
    if isinstance(entry, Unsubscription):
        return {
            "name": name,
            "summary": f"End a subscription that sends {entry.notification}.",
            "params": [{"name": "subscription", "required": True, "schema": TEXT}],
            "result": {"name": "ended", "schema": NULL if entry.gives_null else FLAG},
            "paramStructure": "by-position",
        }
    # By position nothing can be left out before what is required; it may be null.
    required = [not parameter.is_optional for parameter in entry.parameters]
    described: dict[str, Json] = {
        "name": name,
        "summary": _summary(entry),
        "params": [
            _parameter(parameter, any(required[place:]))
            for place, parameter in enumerate(entry.parameters)
        ],
        "paramStructure": "either",
    }
    schema = RESULTS[entry.name]
    if name != entry.name:
        described["x-alias-of"] = entry.name
    if isinstance(entry, Subscription):
        described["result"] = {"name": "subscription", "schema": TEXT}
        described["x-notification"] = {"method": entry.notification, "schema": schema}
        described["x-unsubscribe"] = entry.unsubscribe[0]
    else:
        described["result"] = {"name": "result", "schema": schema}
        described["x-unsafe"] = entry.is_unsafe
    return described


def _summary(entry: Method | Subscription) -> str:
    return (entry.handler.__doc__ or "").partition("\n")[0]


def _parameter(parameter: Parameter, is_required: bool) -> Json:
    schema = PARAMETERS[parameter.decode]
    return {
        "name": parameter.json_name,
        "required": is_required,
        "schema": maybe(schema) if parameter.is_optional else schema,
    }
