"""Values without parts as JSON: integers, bytes, text, accounts; and how a wrong one is refused."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from node.client.metadata import PrimitiveKind
from node.errors import NodeError
from runtime.primitives.crypto import ss58_decode
from runtime.primitives.scale import DecodeError, decode_compact, encode_compact

Json: TypeAlias = "bool | int | str | Sequence[Json] | Mapping[str, Json] | None"

SIZES = {
    PrimitiveKind.U8: 1,
    PrimitiveKind.U16: 2,
    PrimitiveKind.U32: 4,
    PrimitiveKind.U64: 8,
    PrimitiveKind.U128: 16,
    PrimitiveKind.U256: 32,
    PrimitiveKind.I8: 1,
    PrimitiveKind.I16: 2,
    PrimitiveKind.I32: 4,
    PrimitiveKind.I64: 8,
    PrimitiveKind.I128: 16,
    PrimitiveKind.I256: 32,
}


class ValueRefused(NodeError):
    """A value does not fit its type; names the place, what was expected and what was found."""

    exit_code = 2

    def __init__(self, where: str, expected: str, found: object) -> None:
        super().__init__(f"{where}: expected {expected}, found {shown(found)}.")


def decode_primitive(kind: PrimitiveKind, data: bytes, offset: int) -> tuple[Json, int]:
    """A value without parts."""
    match kind:
        case PrimitiveKind.BOOL:
            raw, offset = take(data, offset, 1)
            if raw[0] > 1:
                raise DecodeError(f"boolean {raw[0]}")
            return raw[0] == 1, offset
        case PrimitiveKind.STR:
            count, offset = decode_compact(data, offset)
            raw, offset = take(data, offset, count)
            try:
                return raw.decode(), offset
            except UnicodeDecodeError as error:
                raise DecodeError(f"text is not UTF-8: {error.reason}") from error
        case PrimitiveKind.CHAR:
            raw, offset = take(data, offset, 4)
            return chr(int.from_bytes(raw, "little") % 0x110000), offset
        case _:
            raw, offset = take(data, offset, SIZES[kind])
            return int.from_bytes(raw, "little", signed=is_signed(kind)), offset


def encode_primitive(kind: PrimitiveKind, value: Json, where: str) -> bytes:
    """The bytes of a value without parts. Raises `ValueRefused`."""
    match kind:
        case PrimitiveKind.BOOL:
            if not isinstance(value, bool):
                raise ValueRefused(where, "true or false", value)
            return bytes([value])
        case PrimitiveKind.STR:
            if not isinstance(value, str):
                raise ValueRefused(where, "text", value)
            raw = value.encode()
            return encode_compact(len(raw)) + raw
        case PrimitiveKind.CHAR:
            if not isinstance(value, str) or len(value) != 1:
                raise ValueRefused(where, "one character", value)
            return ord(value).to_bytes(4, "little")
        case _:
            number = integer_from(value, kind, where)
            return number.to_bytes(SIZES[kind], "little", signed=is_signed(kind))


def integer_from(value: Json, kind: PrimitiveKind, where: str) -> int:
    """An integer within its type. Raises `ValueRefused`."""
    bits = 8 * SIZES[kind]
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if is_signed(kind) else (0, (1 << bits) - 1)
    expected = f"{kind.name.lower()}, {low} to {high}"
    number = value
    if isinstance(value, str) and len(value) <= 80:
        try:
            number = int(value.replace("_", ""), 0)
        except ValueError:
            raise ValueRefused(where, expected, value) from None
    if not isinstance(number, int) or isinstance(number, bool) or not low <= number <= high:
        raise ValueRefused(where, expected, value)
    return number


def bytes_from(value: Json, where: str, length: int | None = None) -> bytes:
    """Bytes from hex, from text (of a variable length), or from a list of numbers."""
    expected = "0x… or text" if length is None else f"{length} bytes as 0x…"
    raw: bytes | None = None
    if isinstance(value, str):
        if value[:2].lower() == "0x":
            try:
                raw = bytes.fromhex(value[2:])
            except ValueError:
                raise ValueRefused(where, expected, value) from None
        elif length is None:
            raw = value.encode()
    elif isinstance(value, Sequence):
        numbers = [each for each in value if isinstance(each, int) and 0 <= each < 256]
        raw = bytes(numbers) if len(numbers) == len(value) else None
    if raw is None:
        raise ValueRefused(where, expected, value)
    if length is not None and len(raw) != length:
        raise ValueRefused(where, expected, f"{len(raw)} bytes")
    return raw


def account_from(value: Json, where: str) -> bytes:
    """An account from its address or 32 bytes in hex. Raises `ValueRefused`."""
    if isinstance(value, str) and value[:2].lower() != "0x":
        try:
            return ss58_decode(value)
        except ValueError as error:
            raise ValueRefused(where, f"an address ({error})", value) from None
    if not isinstance(value, str):
        raise ValueRefused(where, "an address", value)
    return bytes_from(value, where, 32)


def list_from(value: Json, expected: str, where: str) -> Sequence[Json]:
    """A list. Raises `ValueRefused`."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ValueRefused(where, f"a list, {expected}", value)
    return value


def variant_from(value: Json, expected: str, where: str) -> tuple[str, Json]:
    """Name and content of a variant. Raises `ValueRefused`."""
    if isinstance(value, str):
        return value, None
    if isinstance(value, Mapping) and len(value) == 1:
        return next(iter(value.items()))
    raise ValueRefused(where, f'{expected} as "Variant" or {{"Variant": …}}', value)


def is_signed(kind: PrimitiveKind) -> bool:
    """Whether an integer may be negative."""
    return kind >= PrimitiveKind.I8


def take(data: bytes, offset: int, count: int) -> tuple[bytes, int]:
    """So many bytes, and the offset behind them. Raises `DecodeError`."""
    end = offset + count
    if end > len(data):
        raise DecodeError(f"input of {len(data)} bytes ends early")
    return data[offset:end], end


def shown(value: object) -> str:
    """A value in a message, shortened."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
