"""Values of a chain's types as JSON, by the registry of its metadata: decoding, encoding, naming.

| type                                | JSON                                                    |
|-------------------------------------|---------------------------------------------------------|
| integers, also compact              | number                                                  |
| `bool`, `str`                       | `true`, text                                            |
| `Vec<u8>`, `[u8; n]`, hashes        | `"0x…"`; given: also text for `Vec<u8>`                 |
| account                             | address; given: also `"0x…"` of 32 bytes                |
| address (`MultiAddress`)            | `{"Id": address}`; given: also the address alone        |
| struct                              | object by field names; its only unnamed field alone     |
| enumeration                         | `"Variant"`, or `{"Variant": fields}`                   |
| `Option<X>`                         | `null`, or the value (`{"Some": …}` around another one) |
| `Vec`, tuple, array                 | list                                                    |

Invariants: what `decode` gives, `encode` takes and gives the same bytes. Decoding allocates no more
than a small multiple of its input; both stop at `DEPTH_MAX`. Names of variants and fields may be
given in any case, with or without underscores.

Left out: bit sequences, which this chain does not have.
"""

from collections.abc import Mapping, Sequence
from typing import cast

from node.client import metadata
from node.client.metadata import PrimitiveKind, TypeInfo, Variant
from node.client.names import ADDRESS, find, is_account, is_option, last, loose, name_of, near
from node.client.plain import (
    Json,
    ValueRefused,
    account_from,
    bytes_from,
    decode_primitive,
    encode_primitive,
    integer_from,
    list_from,
    take,
    variant_from,
)
from runtime.primitives.crypto import ss58_encode
from runtime.primitives.scale import DecodeError, decode_compact, encode_compact

GENERIC = ("Option", "Result", "BTreeMap", "BoundedVec")
"""Types that say nothing without their parameters."""

TEXT_DEPTH_MAX = 8  # of types inside of types; deeper, nobody reads on
DEPTH_MAX = 64  # twice what the runtime decodes: an outer enumeration takes two levels here


class Types:
    """The types of a chain."""

    def __init__(self, types: Sequence[metadata.NumberedType], ss58_prefix: int) -> None:
        self._types = [entry.info for entry in types]
        self._prefix = ss58_prefix

    def __getitem__(self, type_id: int) -> TypeInfo:
        """A type. Raises `DecodeError` when there is none of this number."""
        if not 0 <= type_id < len(self._types):
            raise DecodeError(f"type {type_id} of {len(self._types)}")
        return self._types[type_id]

    def variants(self, type_id: int) -> Sequence[Variant]:
        """The forms of an enumeration."""
        definition = self[type_id].definition
        if not isinstance(definition, metadata.Variants):
            raise DecodeError(f"type {type_id} is no enumeration")
        return definition.variants

    # --- decoding

    def decode(self, type_id: int, data: bytes) -> Json:
        """The value whose encoding is the whole input. Raises `DecodeError`."""
        value, end = self.decode_from(type_id, data, 0)
        if end != len(data):
            raise DecodeError(f"{len(data) - end} bytes left over of {len(data)}")
        return value

    def decode_from(
        self, type_id: int, data: bytes, offset: int, depth: int = 0
    ) -> tuple[Json, int]:
        """The value at an offset, and the offset behind it. Raises `DecodeError`."""
        if depth > DEPTH_MAX:
            raise DecodeError(f"nested deeper than {DEPTH_MAX}")
        info = self[type_id]
        match info.definition:
            case metadata.Composite(fields):
                if is_account(info):
                    raw, offset = take(data, offset, 32)
                    return ss58_encode(raw, self._prefix), offset
                return self._decode_fields(fields, data, offset, depth)
            case metadata.Variants(variants):
                return self._decode_variant(info, variants, data, offset, depth)
            case metadata.Sequence(item):
                count, offset = decode_compact(data, offset)
                return self._decode_items(item, count, data, offset, depth)
            case metadata.Array(length, item):
                return self._decode_items(item, length, data, offset, depth)
            case metadata.Tuple(items):
                if not items:
                    return None, offset
                values: list[Json] = []
                for item in items:
                    value, offset = self.decode_from(item, data, offset, depth + 1)
                    values.append(value)
                return values, offset
            case metadata.Primitive(kind):
                return decode_primitive(kind, data, offset)
            case metadata.CompactInteger(inner):
                return (None, offset) if self.is_unit(inner) else decode_compact(data, offset)
            case _:
                raise DecodeError("bit sequences are not read")

    def _decode_fields(
        self, fields: Sequence[metadata.Field], data: bytes, offset: int, depth: int
    ) -> tuple[Json, int]:
        values: list[Json] = []
        for field in fields:
            value, offset = self.decode_from(field.type_id, data, offset, depth + 1)
            values.append(value)
        if not fields:
            return None, offset
        names = [field.name for field in fields]
        if None not in names:
            named = cast("list[str]", names)
            return dict(zip(named, values, strict=True)), offset
        return (values[0] if len(values) == 1 else values), offset

    def _decode_variant(
        self, info: TypeInfo, variants: Sequence[Variant], data: bytes, offset: int, depth: int
    ) -> tuple[Json, int]:
        index, offset = take(data, offset, 1)
        variant = next((each for each in variants if each.index == index[0]), None)
        if variant is None:
            raise DecodeError(f"{name_of(info)} has no variant {index[0]}")
        value, offset = self._decode_fields(variant.fields, data, offset, depth)
        if is_option(info):
            nested = bool(variant.fields) and self._is_optional(variant.fields[0].type_id)
            return ({"Some": value} if nested else value), offset
        return (variant.name if not variant.fields else {variant.name: value}), offset

    def _decode_items(
        self, item: int, count: int, data: bytes, offset: int, depth: int
    ) -> tuple[Json, int]:
        if self.is_byte(item):
            raw, offset = take(data, offset, count)
            return "0x" + raw.hex(), offset
        if count > len(data) - offset:
            # Items take a byte at least on this chain; what takes none would cost time for nothing.
            raise DecodeError(f"{count} items announced in {len(data) - offset} bytes")
        values: list[Json] = []
        for _ in range(count):
            value, offset = self.decode_from(item, data, offset, depth + 1)
            values.append(value)
        return values, offset

    # --- encoding

    def encode(self, type_id: int, value: Json, where: str, depth: int = 0) -> bytes:
        """The bytes of a value; `where` names it for people. Raises `ValueRefused`."""
        if depth > DEPTH_MAX:
            raise ValueRefused(where, f"at most {DEPTH_MAX} levels", "more")
        info = self[type_id]
        match info.definition:
            case metadata.Composite(fields):
                if is_account(info):
                    return account_from(value, where)
                return self._encode_fields(fields, value, where, depth)
            case metadata.Variants(variants):
                return self._encode_variant(type_id, info, variants, value, where, depth)
            case metadata.Sequence(item):
                if self.is_byte(item):
                    raw = bytes_from(value, where)
                    return encode_compact(len(raw)) + raw
                items = list_from(value, self.text(type_id), where)
                return encode_compact(len(items)) + self._encode_items(item, items, where, depth)
            case metadata.Array(length, item):
                if self.is_byte(item):
                    return bytes_from(value, where, length)
                items = list_from(value, self.text(type_id), where)
                if len(items) != length:
                    raise ValueRefused(where, f"{length} items", f"{len(items)}")
                return self._encode_items(item, items, where, depth)
            case metadata.Tuple(types):
                return self._encode_tuple(type_id, types, value, where, depth)
            case metadata.Primitive(kind):
                return encode_primitive(kind, value, where)
            case metadata.CompactInteger(inner):
                if self.is_unit(inner):
                    return b""
                kind = self._integer_kind(inner)
                return encode_compact(integer_from(value, kind, where))
            case _:
                raise ValueRefused(where, "a type without bit sequences", value)

    def _encode_items(self, item: int, values: Sequence[Json], where: str, depth: int) -> bytes:
        return b"".join(
            self.encode(item, value, f"{where}[{index}]", depth + 1)
            for index, value in enumerate(values)
        )

    def _encode_tuple(
        self, type_id: int, types: Sequence[int], value: Json, where: str, depth: int
    ) -> bytes:
        if not types:
            if value is not None:
                raise ValueRefused(where, "null", value)
            return b""
        items = list_from(value, self.text(type_id), where)
        if len(items) != len(types):
            raise ValueRefused(where, f"{len(types)} items", f"{len(items)}")
        return b"".join(
            self.encode(item_type, item, f"{where}[{index}]", depth + 1)
            for index, (item_type, item) in enumerate(zip(types, items, strict=True))
        )

    def _encode_fields(
        self, fields: Sequence[metadata.Field], value: Json, where: str, depth: int
    ) -> bytes:
        if not fields:
            if value is not None:
                raise ValueRefused(where, "null", value)
            return b""
        if any(field.name is None for field in fields):
            values = [value] if len(fields) == 1 else list_from(value, "a list", where)
            if len(values) != len(fields):
                raise ValueRefused(where, f"{len(fields)} items", f"{len(values)}")
            return b"".join(
                self.encode(field.type_id, each, where, depth + 1)
                for field, each in zip(fields, values, strict=True)
            )
        names = [field.name or "" for field in fields]
        if not isinstance(value, Mapping):
            raise ValueRefused(where, f"an object with {', '.join(names)}", value)
        given = {loose(name): (name, each) for name, each in value.items()}
        unknown = [name for key, (name, _) in given.items() if key not in map(loose, names)]
        if unknown:
            hint = near(unknown[0], names) or ", ".join(names)
            raise ValueRefused(where, f"a field such as {hint}", unknown[0])
        missing = [name for name in names if loose(name) not in given]
        optional = {field.name for field in fields if self._is_optional(field.type_id)}
        absent = [name for name in missing if name not in optional]
        if absent:
            raise ValueRefused(where, f"the fields {', '.join(names)}", f"no {absent[0]}")
        return b"".join(
            self.encode(
                field.type_id,
                given.get(loose(name), (name, None))[1],
                f"{where}.{name}",
                depth + 1,
            )
            for field, name in zip(fields, names, strict=True)
        )

    def _encode_variant(
        self,
        type_id: int,
        info: TypeInfo,
        variants: Sequence[Variant],
        value: Json,
        where: str,
        depth: int,
    ) -> bytes:
        if is_option(info):
            return self._encode_option(variants, value, where, depth)
        if last(info) == ADDRESS and isinstance(value, str):
            value = {"Id": value}
        name, content = variant_from(value, self.text(type_id), where)
        variant = find(variants, name)
        if variant is None:
            names = [each.name for each in variants]
            expected = near(name, names) or f"one of {', '.join(names[:16])}"
            raise ValueRefused(where, expected, name)
        inner = f"{where}.{variant.name}"
        fields = self._encode_fields(variant.fields, content, inner, depth)
        return bytes([variant.index]) + fields

    def _encode_option(
        self, variants: Sequence[Variant], value: Json, where: str, depth: int
    ) -> bytes:
        if value is None:
            return b"\x00"
        some = next(each for each in variants if each.fields)
        inner = some.fields[0].type_id
        if self._is_optional(inner):
            if not isinstance(value, Mapping) or set(value) != {"Some"}:
                raise ValueRefused(where, 'null or {"Some": …}', value)
            value = value["Some"]
        return b"\x01" + self.encode(inner, value, where, depth + 1)

    # --- what types are

    def is_byte(self, type_id: int) -> bool:
        """Whether it is `u8`."""
        return self[type_id].definition == metadata.Primitive(PrimitiveKind.U8)

    def is_unit(self, type_id: int) -> bool:
        """Whether it is `()`."""
        return self[type_id].definition == metadata.Tuple([])

    def is_textual(self, type_id: int) -> bool:
        """Whether its values are written as text: numbers among arguments are meant as such."""
        info = self[type_id]
        match info.definition:
            case metadata.Primitive(kind):
                return kind in (PrimitiveKind.STR, PrimitiveKind.CHAR)
            case metadata.Sequence(item) | metadata.Array(_, item):
                return self.is_byte(item)
            case metadata.Composite([field]) if field.name is None:
                return self.is_textual(field.type_id)
            case _:
                return last(info) == ADDRESS

    def text(self, type_id: int, depth: int = 0) -> str:
        """The type as Rust writes it, shortened to the last names of paths."""
        info = self[type_id]
        match info.definition:
            case metadata.Primitive(kind):
                return kind.name.lower()
            case metadata.Sequence(item):
                return f"Vec<{self.text(item, depth + 1)}>"
            case metadata.Array(length, item):
                return f"[{self.text(item, depth + 1)}; {length}]"
            case metadata.Tuple(items):
                return "(" + ", ".join(self.text(item, depth + 1) for item in items) + ")"
            case metadata.CompactInteger(inner):
                return f"Compact<{self.text(inner, depth + 1)}>"
            case _:
                if last(info) not in GENERIC or depth > TEXT_DEPTH_MAX:
                    return name_of(info)
                kinds = [param.type_id for param in info.params if param.type_id is not None]
                params = ", ".join(self.text(each, depth + 1) for each in kinds)
                return f"{name_of(info)}<{params}>"

    def forms(self, type_id: int) -> list[str]:
        """For people: the variants or fields of a type, one a line; empty for plain types."""
        info = self[type_id]
        match info.definition:
            case metadata.Composite(fields) if not is_account(info):
                if all(field.name is not None for field in fields):
                    return [f"{field.name}: {self.text(field.type_id)}" for field in fields]
                return [] if len(fields) != 1 else self.forms(fields[0].type_id)
            case metadata.Variants(variants) if not is_option(info) and last(info) != ADDRESS:
                return [self._form(variant) for variant in variants[:64]]
            case metadata.Variants(variants) if is_option(info):
                return self.forms(variants[-1].fields[0].type_id)
            case metadata.Sequence(item) | metadata.Array(_, item):
                return self.forms(item)
            case _:
                return []

    def _form(self, variant: Variant) -> str:
        if not variant.fields:
            return variant.name
        fields = ", ".join(
            f"{field.name}: {self.text(field.type_id)}"
            if field.name is not None
            else self.text(field.type_id)
            for field in variant.fields
        )
        return f"{variant.name}({fields})"

    def _is_optional(self, type_id: int) -> bool:
        return is_option(self[type_id])

    def _integer_kind(self, type_id: int) -> PrimitiveKind:
        match self[type_id].definition:
            case metadata.Primitive(kind):
                return kind
            case metadata.Composite([field]) | metadata.Tuple([field]):
                inner = field if isinstance(field, int) else field.type_id
                return self._integer_kind(inner)
            case _:
                raise DecodeError(f"type {type_id} is compact and no integer")
