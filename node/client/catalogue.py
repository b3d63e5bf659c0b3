"""What a chain offers, by names: pallets with calls, storage and constants, and runtime APIs.

Names may be given in any case, with or without underscores (`trading.placeOrder`). A name that is
not there is refused with those that are near.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from node.client import metadata
from node.client.metadata import (
    ApiFunction,
    Constant,
    Metadata,
    Pallet,
    StorageEntry,
    Variant,
    note_of,
)
from node.client.names import loose, near
from node.client.plain import Json, ValueRefused
from node.client.values import Types
from node.errors import NodeError
from runtime.primitives.hashing import (
    blake2_128,
    blake2_256,
    twox_64,
    twox_128,
)
from runtime.primitives.scale import DecodeError

SS58_PREFIX_DEFAULT = 42

T = TypeVar("T")


class NameUnknown(NodeError):
    """The chain has nothing of this name; tells what is near, or how to list all."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class FunctionOf:
    """A function of a runtime API."""

    api: metadata.Api
    function: ApiFunction

    @property
    def name(self) -> str:
        """By which it is called."""
        return f"{self.api.name}_{self.function.name}"


class Catalogue:
    """The interface of a chain at one block."""

    def __init__(self, source: Metadata) -> None:
        self.metadata = source
        self.types = Types(source.types, SS58_PREFIX_DEFAULT)
        prefix = self._number_of_constant("System", "SS58Prefix")
        if prefix is not None:
            self.types = Types(source.types, prefix)

    # --- finding

    def pallet(self, name: str) -> Pallet:
        """A pallet. Raises `NameUnknown`."""
        names = {pallet.name: pallet for pallet in self.metadata.pallets}
        return _named(name, names, "pallet", "dret query")

    def pallet_at(self, index: int) -> Pallet | None:
        """The pallet of an index."""
        return next((each for each in self.metadata.pallets if each.index == index), None)

    def call(self, name: str) -> tuple[Pallet, Variant]:
        """A call by `Pallet.call`. Raises `NameUnknown`."""
        pallet_name, _, call_name = name.partition(".")
        pallet = self.pallet(pallet_name)
        calls = {variant.name: variant for variant in self.calls(pallet)}
        hint = f"dret tx {loose(pallet.name)}"
        return pallet, _named(call_name, calls, f"call of {pallet.name}", hint)

    def calls(self, pallet: Pallet) -> Sequence[Variant]:
        """The calls of a pallet."""
        return self.types.variants(pallet.calls.type_id) if pallet.calls is not None else ()

    def errors(self, pallet: Pallet) -> Sequence[Variant]:
        """The errors of a pallet."""
        return self.types.variants(pallet.errors.type_id) if pallet.errors is not None else ()

    def events(self, pallet: Pallet) -> Sequence[Variant]:
        """The events of a pallet."""
        return self.types.variants(pallet.events.type_id) if pallet.events is not None else ()

    def item(self, name: str) -> tuple[Pallet, StorageEntry | Constant]:
        """A storage item or a constant by `Pallet.Item`. Raises `NameUnknown`."""
        pallet_name, _, item_name = name.partition(".")
        pallet = self.pallet(pallet_name)
        entries = pallet.storage.entries if pallet.storage is not None else []
        items: dict[str, StorageEntry | Constant] = {each.name: each for each in pallet.constants}
        items.update((each.name, each) for each in entries)
        what = f"storage item or constant of {pallet.name}"
        hint = f"dret query {loose(pallet.name)}"
        return pallet, _named(item_name, items, what, hint)

    def function(self, name: str) -> FunctionOf:
        """A function of a runtime API by `Api_function`. Raises `NameUnknown`."""
        functions = {each.name: each for each in self.functions()}
        return _named(name, functions, "runtime API function", "dret query")

    def functions(self) -> list[FunctionOf]:
        """All functions of all runtime APIs."""
        return [
            FunctionOf(api, function) for api in self.metadata.apis for function in api.functions
        ]

    # --- using

    def encode_call(self, pallet: Pallet, call: Variant, arguments: Sequence[Json]) -> bytes:
        """The bytes of a call: pallet index, call index, arguments. Raises `ValueRefused`."""
        names = [field.name or str(index) for index, field in enumerate(call.fields)]
        if len(arguments) != len(names):
            expected = f"{len(names)} arguments ({', '.join(names) or 'none'})"
            raise ValueRefused(f"{pallet.name}.{call.name}", expected, f"{len(arguments)}")
        encoded = [
            self.types.encode(field.type_id, value, f"argument {name}")
            for field, name, value in zip(call.fields, names, arguments, strict=True)
        ]
        return bytes([pallet.index, call.index]) + b"".join(encoded)

    def decode_call(self, call: bytes) -> Json:
        """A call as `{"Pallet": {"call": arguments}}`. Raises `DecodeError`."""
        return self.types.decode(self.metadata.extrinsic.call, call)

    def storage_prefix(self, pallet: Pallet, entry: StorageEntry) -> bytes:
        """What all keys of a storage item begin with."""
        assert pallet.storage is not None, "it has the entry"
        return twox_128(pallet.storage.prefix.encode()) + twox_128(entry.name.encode())

    def storage_key(self, pallet: Pallet, entry: StorageEntry, keys: Sequence[Json]) -> bytes:
        """The storage key of an entry, or the prefix under the first keys of a map."""
        kinds = self.key_types(entry)
        if len(keys) > len(kinds):
            where = f"{pallet.name}.{entry.name}"
            raise ValueRefused(where, f"at most {len(kinds)} keys", f"{len(keys)}")
        parts = [self.storage_prefix(pallet, entry)]
        for index, (value, type_id, hasher) in enumerate(
            zip(keys, kinds, hashers_of(entry), strict=False)
        ):
            encoded = self.types.encode(type_id, value, f"key {index + 1}")
            parts.append(hashed(hasher, encoded))
        return b"".join(parts)

    def key_types(self, entry: StorageEntry) -> Sequence[int]:
        """The types of a map's keys; none for a value."""
        if not isinstance(entry.kind, metadata.MapStorage):
            return ()
        if len(entry.kind.hashers) == 1:
            return (entry.kind.key,)
        definition = self.types[entry.kind.key].definition
        if not isinstance(definition, metadata.Tuple):
            raise DecodeError(f"{entry.name} has several hashers and one key")
        return definition.items

    def keys_of(self, entry: StorageEntry, storage_key: bytes) -> list[Json]:
        """The keys of a map from a storage key; a hash alone where the key is not behind it."""
        found: list[Json] = []
        offset = 32  # behind pallet and item
        for type_id, hasher in zip(self.key_types(entry), hashers_of(entry), strict=True):
            size = HASH_BYTES[hasher]
            if hasher in CONCATENATED:
                value, offset = self.types.decode_from(type_id, storage_key, offset + size)
            else:
                value = "0x" + storage_key[offset : offset + size].hex()
                offset += size
            found.append(value)
        return found

    def decode_value(self, entry: StorageEntry, value: bytes | None) -> Json:
        """A stored value; the default, or null, when there is none."""
        type_id = value_type(entry)
        if value is None:
            if entry.modifier is metadata.Modifier.OPTIONAL:
                return None
            value = entry.default
        return self.types.decode(type_id, value)

    def module_error(self, index: int, error: int) -> tuple[str, Sequence[str]] | None:
        """Name and documentation of a pallet's error."""
        pallet = self.pallet_at(index)
        if pallet is None:
            return None
        for variant in self.errors(pallet):
            if variant.index == error:
                return f"{pallet.name}.{variant.name}", variant.docs
        return None

    def call_note(self, pallet: Pallet, call: Variant) -> str:
        """What the metadata say about using a call no more; mostly nothing."""
        deprecated = pallet.calls.deprecated if pallet.calls is not None else {}
        return note_of(deprecated.get(call.index))

    def signature(self, fields: Sequence[metadata.Field | metadata.Argument]) -> str:
        """Arguments with their types."""
        return ", ".join(f"{each.name or '_'}: {self.types.text(each.type_id)}" for each in fields)

    def _number_of_constant(self, pallet_name: str, name: str) -> int | None:
        for pallet in self.metadata.pallets:
            for constant in pallet.constants:
                if (pallet.name, constant.name) == (pallet_name, name):
                    value = self.types.decode(constant.type_id, constant.value)
                    return value if isinstance(value, int) else None
        return None


HASH_BYTES: Mapping[metadata.Hasher, int] = {
    metadata.Hasher.BLAKE2_128: 16,
    metadata.Hasher.BLAKE2_256: 32,
    metadata.Hasher.BLAKE2_128_CONCAT: 16,
    metadata.Hasher.TWOX_128: 16,
    metadata.Hasher.TWOX_256: 32,
    metadata.Hasher.TWOX_64_CONCAT: 8,
    metadata.Hasher.IDENTITY: 0,
}
CONCATENATED = frozenset(
    {
        metadata.Hasher.BLAKE2_128_CONCAT,
        metadata.Hasher.TWOX_64_CONCAT,
        metadata.Hasher.IDENTITY,
    }
)


def hashed(hasher: metadata.Hasher, key: bytes) -> bytes:
    """A key as it stands in a storage key. Raises `DecodeError` for a hasher that is not read."""
    match hasher:
        case metadata.Hasher.BLAKE2_128:
            return blake2_128(key)
        case metadata.Hasher.BLAKE2_256:
            return blake2_256(key)
        case metadata.Hasher.BLAKE2_128_CONCAT:
            return blake2_128(key) + key
        case metadata.Hasher.TWOX_128:
            return twox_128(key)
        case metadata.Hasher.TWOX_64_CONCAT:
            return twox_64(key) + key
        case metadata.Hasher.IDENTITY:
            return key
        case _:
            raise DecodeError(f"the hasher {hasher.name} is not known here")


def hashers_of(entry: StorageEntry) -> Sequence[metadata.Hasher]:
    """The hashers of a map's keys."""
    return entry.kind.hashers if isinstance(entry.kind, metadata.MapStorage) else ()


def value_type(entry: StorageEntry) -> int:
    """The type of what is stored."""
    kind = entry.kind
    assert isinstance(kind, metadata.PlainStorage | metadata.MapStorage), "there are two kinds"
    return kind.value


def _named(name: str, things: Mapping[str, T], what: str, hint: str) -> T:
    exact = things.get(name)
    if exact is not None:
        return exact
    found = [thing for each, thing in things.items() if loose(each) == loose(name)]
    if len(found) == 1:
        return found[0]
    meant = near(name, list(things))
    advice = f"Did you mean {meant}?" if meant else f"List them with: {hint}"
    shown_name = name or "(no name)"
    raise NameUnknown(f"There is no {what} {shown_name}. {advice}")
