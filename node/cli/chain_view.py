"""A chain through the eyes of its metadata: the catalogue at a block, events, and arguments.

What `dret tx` and `dret query` share. Everything is asked over the same RPC that others use.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import asyncclick as click

from devnet.rpc_client import Link
from node.cli.chain_access import Refused
from node.client.catalogue import Catalogue
from node.client.metadata import VERSION, Argument, Field, decode_metadata
from node.client.names import loose
from node.client.plain import Json, ValueRefused
from node.client.values import Types
from node.errors import NotFound
from runtime.primitives.crypto import ss58_encode
from runtime.primitives.extrinsic import account_of, decode_extrinsic
from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import DecodeError, decode_compact

NAMED = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
EVENTS = ("System", "Events")
APPLY = "ApplyExtrinsic"
NANO = 10**9


@dataclass(frozen=True, slots=True)
class Event:
    """An event of a block: `Pallet.Name`, its fields, and the extrinsic it belongs to."""

    name: str
    fields: Json
    extrinsic: int | None

    def as_json(self) -> dict[str, Json]:
        """For other programs."""
        return {"event": self.name, "extrinsic": self.extrinsic, "fields": self.fields}


async def catalogue_of(link: Link, at: str | None = None) -> Catalogue:
    """The interface of the chain at a block (None: the best one)."""
    data = "0x" + VERSION.to_bytes(4, "little").hex()
    params = ["Metadata_metadata_at_version", data] + ([at] if at is not None else [])
    answer = bytes.fromhex((await link.call("state_call", params))[2:])
    if answer[:1] != b"\x01":
        raise Refused(f"The node serves no metadata of version {VERSION}; it is too old for this.")
    _, start = decode_compact(answer, 1)
    try:
        return Catalogue(decode_metadata(answer[start:]))
    except DecodeError as error:
        raise Refused(f"The node's metadata cannot be read: {error}.") from error


async def block_named(link: Link, name: str) -> str:
    """The hash of a block by number, hash, `best`, `latest` or `finalized`. Raises `NotFound`."""
    if name in ("best", "latest"):
        return cast(str, await link.call("chain_getBlockHash"))
    if name == "finalized":
        return cast(str, await link.call("chain_getFinalizedHead"))
    if re.fullmatch(r"0[xX][0-9a-fA-F]{64}", name):
        return name.lower()
    if not name.isdecimal() or len(name) > 10:
        raise click.UsageError(
            f"{name} names no block: expected a number, a hash of 32 bytes, latest or finalized."
        )
    found = await link.call("chain_getBlockHash", [int(name)])
    if found is None:
        raise NotFound(f"There is no block {name} yet.")
    return cast(str, found)


async def events_of(link: Link, catalogue: Catalogue, block: str) -> list[Event]:
    """The events of a block, in order."""
    pallet, entry = catalogue.item(".".join(EVENTS))
    key = catalogue.storage_prefix(pallet, cast(Any, entry))
    raw = await link.call("state_getStorage", ["0x" + key.hex(), block])
    value = None if raw is None else bytes.fromhex(raw[2:])
    records = cast("list[Any]", catalogue.decode_value(cast(Any, entry), value))
    return [event_from(record) for record in records]


def event_from(record: Mapping[str, Any]) -> Event:
    """An event from its record."""
    ((pallet, event),) = record["event"].items()
    name, fields = (event, None) if isinstance(event, str) else next(iter(event.items()))
    phase = record["phase"]
    extrinsic = cast("dict[str, int]", phase)[APPLY] if isinstance(phase, dict) else None
    return Event(f"{pallet}.{name}", fields, extrinsic)


def failure_of(catalogue: Catalogue, error: Json) -> tuple[str, str]:
    """Name and explanation of a dispatch error."""
    if isinstance(error, Mapping) and isinstance(module := error.get("Module"), Mapping):
        index, code = module["index"], module["error"]
        assert isinstance(index, int) and isinstance(code, str), "their types are the chain's"
        number = int(code[2:4], 16)
        found = catalogue.module_error(index, number)
        if found is not None:
            return found[0], " ".join(found[1])
        return f"error {number} of pallet {index}", ""
    return f"{error if isinstance(error, str) else json.dumps(error)}", ""


def arguments_from(
    types: Types, fields: Sequence[Field | Argument], given: Sequence[str], what: str
) -> list[Json]:
    """Values for the fields from the command line: by position, or by name as `name=value`.

    Raises `ValueRefused`.
    """
    names = [field.name or str(index) for index, field in enumerate(fields)]
    by_name = {loose(name): index for index, name in enumerate(names)}
    texts: dict[int, str] = {}
    position = 0
    for text in given:
        match = NAMED.fullmatch(text)
        index = by_name.get(loose(match[1])) if match is not None else None
        if match is not None and index is not None:
            text = match[2]
        else:
            while position in texts:
                position += 1
            index = position
        if index in texts:
            raise ValueRefused(f"argument {names[index]}", "one value", "two")
        texts[index] = text
    if len(texts) != len(names) or (texts and max(texts) >= len(names)):
        signature = ", ".join(
            f"{name}: {types.text(field.type_id)}"
            for name, field in zip(names, fields, strict=True)
        )
        expected = f"{len(names)} arguments ({signature or 'none'})"
        raise ValueRefused(what, expected, str(len(given)))
    return [value_from(types, field.type_id, texts[index]) for index, field in enumerate(fields)]


def value_from(types: Types, type_id: int, text: str) -> Json:
    """A value from one argument: JSON where it is JSON, text else and where text is meant."""
    if not types.is_textual(type_id):
        try:
            return cast(Json, json.loads(text))
        except (ValueError, RecursionError):
            pass  # a name, an address, hex
    return text


def decoded(catalogue: Catalogue, raw: bytes) -> dict[str, Json]:
    """An extrinsic, or else a call, as JSON. Raises `DecodeError`."""
    try:
        extrinsic = decode_extrinsic(raw)
    except DecodeError:
        return {"call": catalogue.decode_call(raw)}
    shown: dict[str, Json] = {"hash": "0x" + blake2_256(raw).hex()}
    if extrinsic.signed is not None:
        extra, account = extrinsic.signed.extra, account_of(extrinsic.signed.address)
        shown |= {
            "account": None if account is None else ss58_encode(account),
            "nonce": extra.nonce,
            "tip": extra.tip,
            "era": None
            if extra.era.is_immortal
            else {"period": extra.era.period, "phase": extra.era.phase},
        }
    return {**shown, "call": catalogue.decode_call(extrinsic.call)}


def drt(nano: int) -> str:
    """An amount for people."""
    whole, rest = divmod(abs(nano), NANO)
    return f"{'−' if nano < 0 else ''}{whole:,}.{rest:09d} DRT"
