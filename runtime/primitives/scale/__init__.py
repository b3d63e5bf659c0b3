"""SCALE, the codec of everything that is hashed, signed, stored or sent, derived from annotations.

    class Transfer(Struct):
        to: AccountId
        amount: Compact[Balance]

    Transfer(BOB, 5).encode()
    Transfer.decode(data)
    codec(list[Transfer]).decode(data)

| annotation                         | SCALE                   | Python value            |
|------------------------------------|-------------------------|-------------------------|
| `U8` … `U128`, `I8` … `I128`       | little-endian integer   | `int`                   |
| `Compact[U32]`                     | Compact<u32>            | `int`                   |
| `bool`                             | bool                    | `bool`                  |
| `Annotated[bytes, FixedBytes(32)]` | [u8; 32]                | `bytes`                 |
| `bytes`, `str`                     | Vec<u8>, String         | `bytes`, `str`          |
| `list[X]`, `tuple[X, ...]`         | Vec<X>                  | `list`, `tuple`         |
| `Annotated[list[X], MaxLen(9)]`    | BoundedVec<X>           | `list`                  |
| `dict[K, V]`                       | BTreeMap<K, V>          | `dict`, in key order    |
| `X | None`                         | Option<X>               | the value or `None`     |
| `tuple[A, B]`, `None`              | (A, B), ()              | `tuple`, `None`         |
| `class A(Struct)`                  | struct                  | frozen, slotted object  |
| `class A(Enum)`                    | enum with payloads      | an object of a variant  |
| `class A(UnitEnum)`                | enum without payloads   | `enum.IntEnum` member   |

Invariants: `decode` accepts exactly what `encode` writes (canonical compacts, booleans 0 and 1,
ascending map keys, no byte left over), so equal values have equal bytes and the reverse; it raises
`DecodeError` and nothing else whatever the bytes; and it allocates no more than a small multiple of
the input's length, because lengths are compared with the bytes that remain first.

Leaves out: floats and `char` (never used on chain), arrays of anything but bytes, bit sequences.

Source: the SCALE encoding as parity-scale-codec 3 implements it.
"""

from runtime.primitives.scale.annotations import one_of, shape_of
from runtime.primitives.scale.codec import Codec, codec
from runtime.primitives.scale.decoder import DEPTH_MAX
from runtime.primitives.scale.describe import (
    FieldDescription,
    Kind,
    TypeDescription,
    VariantDescription,
    describe,
)
from runtime.primitives.scale.errors import DecodeError, EncodeError
from runtime.primitives.scale.primitive import decode_compact, encode_compact
from runtime.primitives.scale.shapes import (
    I8,
    I16,
    I32,
    I64,
    I128,
    U8,
    U16,
    U32,
    U64,
    U128,
    BytesShape,
    Compact,
    Custom,
    CustomCodec,
    Deferred,
    Doc,
    FixedBytes,
    MaxLen,
    Named,
    Shape,
    TypePath,
)
from runtime.primitives.scale.structs import Enum, Struct, UnitEnum, make_struct

__all__ = [
    "DEPTH_MAX",
    "I8",
    "I16",
    "I32",
    "I64",
    "I128",
    "U8",
    "U16",
    "U32",
    "U64",
    "U128",
    "BytesShape",
    "Codec",
    "Compact",
    "Custom",
    "CustomCodec",
    "DecodeError",
    "Deferred",
    "Doc",
    "EncodeError",
    "Enum",
    "FieldDescription",
    "FixedBytes",
    "Kind",
    "MaxLen",
    "Named",
    "Shape",
    "Struct",
    "TypeDescription",
    "TypePath",
    "UnitEnum",
    "VariantDescription",
    "codec",
    "decode_compact",
    "describe",
    "encode_compact",
    "make_struct",
    "one_of",
    "shape_of",
]
