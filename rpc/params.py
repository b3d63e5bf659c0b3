"""How parameters of calls are read: the types that method signatures use.

A parameter's annotation is `Annotated[python type, decoder]`; a decoder takes decoded JSON and
returns the value or raises ValueError with the reason. Hex may come with or without `0x`, in
either case of letters, and empty; numbers as JSON integers or hex strings: unmodified clients
send all of these.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, TypeVar, cast

from runtime.primitives.crypto import ss58_decode
from runtime.primitives.hashing import blake2_256

KEYS_MAX = 16_384  # keys in one call; a 15 MiB reply holds about that many account records
ITEMS_MAX = 1_024  # questions about the state in one call; PAPI asks for some dozens at once
NUMBER_MAX = 2**64 - 1  # the largest block number or count any Substrate chain can mean

Kind = TypeVar("Kind", bound=StrEnum)


def decode_hex(value: object) -> bytes:
    """Bytes from hex."""
    if not isinstance(value, str):
        raise ValueError("expected a hex string")
    digits = value[2:] if value[:2] in ("0x", "0X") else value
    # `fromhex` alone would skip white space.
    if not (digits.isascii() and digits.isalnum()) and digits:
        raise ValueError("not a hex string")
    if len(digits) % 2:
        raise ValueError("hex string with an odd number of digits")
    try:
        return bytes.fromhex(digits)
    except ValueError:
        raise ValueError("not a hex string") from None


def decode_hash(value: object) -> bytes:
    """32 bytes from hex."""
    data = decode_hex(value)
    if len(data) != 32:
        raise ValueError(f"expected a hash of 32 bytes, found {len(data)}")
    return data


def decode_hex_list(value: object) -> list[bytes]:
    """A bounded list of bytes from hex."""
    items = as_list(value)
    if items is None:
        raise ValueError("expected a list of hex strings")
    if len(items) > KEYS_MAX:
        raise ValueError(f"{len(items)} keys, at most {KEYS_MAX} are answered at once")
    return [decode_hex(item) for item in items]


def decode_number(value: object) -> int:
    """A whole number from a JSON integer or a hex string."""
    if isinstance(value, str) and value[:2] in ("0x", "0X") and value[2:].isalnum():
        number = _from_hex_digits(value[2:])
    elif isinstance(value, int) and not isinstance(value, bool):
        number = value
    else:
        raise ValueError("expected a number or a hex string")
    if not 0 <= number <= NUMBER_MAX:
        raise ValueError(f"number outside 0 … {NUMBER_MAX}")
    return number


def decode_numbers(value: object) -> int | list[int]:
    """A number, or a bounded list of numbers."""
    items = as_list(value)
    if items is None:
        return decode_number(value)
    if len(items) > KEYS_MAX:
        raise ValueError(f"{len(items)} numbers, at most {KEYS_MAX} are answered at once")
    return [decode_number(item) for item in items]


def decode_text(value: object) -> str:
    """A string."""
    if not isinstance(value, str):
        raise ValueError("expected a string")
    return value


def decode_account(value: object) -> bytes:
    """An account id from an SS58 address of any prefix, or from hex."""
    text = decode_text(value)
    if text[:2] in ("0x", "0X"):
        return decode_hash(text)
    return ss58_decode(text)


def decode_subscription_id(value: object) -> str:
    """A subscription id; ours are strings, and a number can only be somebody else's."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return decode_text(value)


def decode_flag(value: object) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError("expected true or false")
    return value


def decode_hashes(value: object) -> list[bytes]:
    """One block hash, or a bounded list of them."""
    items = as_list(value)
    if items is None:
        return [decode_hash(value)]
    if len(items) > KEYS_MAX:
        raise ValueError(f"{len(items)} hashes, at most {KEYS_MAX} are taken at once")
    return [decode_hash(item) for item in items]


class StorageKind(StrEnum):
    """What to tell of a key."""

    VALUE = "value"
    HASH = "hash"
    CLOSEST_DESCENDANT_MERKLE_VALUE = "closestDescendantMerkleValue"
    DESCENDANTS_VALUES = "descendantsValues"
    DESCENDANTS_HASHES = "descendantsHashes"


@dataclass(frozen=True, slots=True)
class StorageItem:
    """One question about the state, as `chainHead_v1` and `archive_v1` ask it."""

    key: bytes
    kind: StorageKind
    start: bytes | None
    """Descendants come strictly after this key; None: from the first."""


def decode_storage_items(value: object) -> list[StorageItem]:
    """A bounded list of questions about the state."""
    items = _objects(value, ITEMS_MAX)
    return [
        StorageItem(
            decode_hex(item.get("key")),
            _one_of(StorageKind, item.get("type")),
            _optional(decode_hex, item.get("paginationStartKey")),
        )
        for item in items
    ]


@dataclass(frozen=True, slots=True)
class DiffItem:
    """Keys whose changes are asked for, and whether their values or the hashes of them."""

    prefix: bytes
    is_hashed: bool
    is_of_child_trie: bool


def decode_diff_items(value: object) -> list[DiffItem]:
    """A bounded list of questions about changes."""
    items = _objects(value, ITEMS_MAX)
    return [
        DiffItem(
            _optional(decode_hex, item.get("key")) or b"",
            _one_of(ReturnKind, item.get("returnType")) is ReturnKind.HASH,
            _optional(decode_hex, item.get("childTrieKey")) is not None,
        )
        for item in items
    ]


class ReturnKind(StrEnum):
    """What a difference tells of a key."""

    VALUE = "value"
    HASH = "hash"


@dataclass(frozen=True, slots=True)
class ExtrinsicRef:
    """An extrinsic, named by its bytes or by its hash."""

    hash: bytes


def decode_extrinsic_refs(value: object) -> list[ExtrinsicRef]:
    """A bounded list of `{"hash": …}` or `{"extrinsic": …}`."""
    found: list[ExtrinsicRef] = []
    for item in _objects(value, KEYS_MAX):
        if "hash" in item:
            found.append(ExtrinsicRef(decode_hash(item["hash"])))
        else:
            found.append(ExtrinsicRef(blake2_256(decode_hex(item.get("extrinsic")))))
    return found


HexBytes = Annotated[bytes, decode_hex]
HexList = Annotated[list[bytes], decode_hex_list]
BlockHash = Annotated[bytes, decode_hash]
Number = Annotated[int, decode_number]
Numbers = Annotated[int | list[int], decode_numbers]
Text = Annotated[str, decode_text]
Account = Annotated[bytes, decode_account]
SubscriptionId = Annotated[str, decode_subscription_id]
Flag = Annotated[bool, decode_flag]
BlockHashes = Annotated[list[bytes], decode_hashes]
StorageItems = Annotated[list[StorageItem], decode_storage_items]
DiffItems = Annotated[list[DiffItem], decode_diff_items]
ExtrinsicRefs = Annotated[list[ExtrinsicRef], decode_extrinsic_refs]


def as_list(value: object) -> list[object] | None:
    """The value when it is a JSON array."""
    # isinstance alone leaves the element type open; decoded JSON holds any object.
    return cast("list[object]", value) if isinstance(value, list) else None


def to_hex(data: bytes) -> str:
    """Lower-case hex with 0x: clients compare returned keys with their own lower-case text."""
    return "0x" + data.hex()


def to_hex_or_none(data: bytes | None) -> str | None:
    """As `to_hex`; None stays None."""
    return None if data is None else "0x" + data.hex()


def _objects(value: object, items_max: int) -> list[Mapping[str, object]]:
    items = as_list(value)
    if items is None:
        raise ValueError("expected a list of objects")
    if len(items) > items_max:
        raise ValueError(f"{len(items)} items, at most {items_max} are answered at once")
    found: list[Mapping[str, object]] = []
    for item in items:
        if not isinstance(item, dict):
            raise ValueError("expected a list of objects")
        found.append(cast("Mapping[str, object]", item))  # decoded JSON: names are strings
    return found


def _one_of(kind: type[Kind], value: object) -> Kind:
    try:
        return kind(decode_text(value))
    except ValueError:
        raise ValueError(f"expected one of {', '.join(kind)}") from None


def _optional(decode: Callable[[object], bytes], value: object) -> bytes | None:
    return None if value is None else decode(value)


def _from_hex_digits(digits: str) -> int:
    # A 64-bit number has at most 16 digits; int() of a megabyte would take seconds.
    if len(digits) > 16:
        raise ValueError(f"number outside 0 … {NUMBER_MAX}")
    try:
        return int(digits, 16)
    except ValueError:
        raise ValueError("not a hex number") from None
