"""How parameters of calls are read: the types that method signatures use.

A parameter's annotation is `Annotated[python type, decoder]`; a decoder takes decoded JSON and
returns the value or raises ValueError with the reason. Hex may come with or without `0x`, in
either case of letters, and empty; numbers as JSON integers or hex strings: unmodified clients
send all of these.
"""

from typing import Annotated, cast

from runtime.primitives.crypto import ss58_decode

KEYS_MAX = 16_384  # keys in one call; a 15 MiB reply holds about that many account records
NUMBER_MAX = 2**64 - 1  # the largest block number or count any Substrate chain can mean


def decode_hex(value: object) -> bytes:
    """Bytes from hex."""
    if not isinstance(value, str):
        raise ValueError("expected a hex string")
    digits = value[2:] if value[:2] in ("0x", "0X") else value
    if not digits.isascii() or any(character.isspace() for character in digits):
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


HexBytes = Annotated[bytes, decode_hex]
HexList = Annotated[list[bytes], decode_hex_list]
BlockHash = Annotated[bytes, decode_hash]
Number = Annotated[int, decode_number]
Numbers = Annotated[int | list[int], decode_numbers]
Text = Annotated[str, decode_text]
Account = Annotated[bytes, decode_account]
SubscriptionId = Annotated[str, decode_subscription_id]


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


def _from_hex_digits(digits: str) -> int:
    # A 64-bit number has at most 16 digits; int() of a megabyte would take seconds.
    if len(digits) > 16:
        raise ValueError(f"number outside 0 … {NUMBER_MAX}")
    try:
        return int(digits, 16)
    except ValueError:
        raise ValueError("not a hex number") from None
