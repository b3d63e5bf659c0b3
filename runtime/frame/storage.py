"""Storage items: typed values, maps and double maps over the state.

A pallet annotates them; their keys and codecs follow from the annotation:

    offers: StorageMap[OfferId, Offer | None, Identity]

    key = twox128("Market") ++ twox128("Offers") ++ hasher(SCALE(key))

`Offer | None` says that a value may be absent (and `None` deletes it). Of any other type an absent
value reads as the type's default: zero, empty, or the value of a `Default` marker.

Invariants: what is read is what was last written, in this transaction or before it; reading a value
that can be changed in place (a list) gives a new one each time, so changing it changes nothing
until it is written back.

Left out: hashers without the key behind the hash (such maps cannot be iterated), maps with more
than two keys.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final, Generic, TypeVar

from runtime.frame.state import CACHED_MAX, State
from runtime.frame.values import Default, codec_of, default_of, is_immutable
from runtime.primitives.hashing import blake2_128_concat, identity, twox_64_concat, twox_128
from runtime.primitives.scale import Codec, Shape
from runtime.primitives.scale.shapes import OptionShape, TupleShape

K = TypeVar("K")
K1 = TypeVar("K1")
K2 = TypeVar("K2")
V = TypeVar("V")

RAW_KEYS_MAX = 4_096  # computed keys kept per item: the accounts and intervals in use


class Hasher:
    """How a map's key becomes part of the storage key."""

    index: int
    """In the metadata."""

    size: int
    """Bytes of hash in front of the key."""

    hash: Callable[[bytes], bytes]


class Blake2_128Concat(Hasher):
    """For keys that users choose: nobody can aim at a neighbour in the trie."""

    index, size = 2, 16
    hash = staticmethod(blake2_128_concat)


class Twox64Concat(Hasher):
    """Faster, for keys that users cannot choose freely."""

    index, size = 5, 8
    hash = staticmethod(twox_64_concat)


class Identity(Hasher):
    """For keys that are hashes, or numbers that the pallet gives out; keeps their order."""

    index, size = 6, 0
    hash = staticmethod(identity)


H = TypeVar("H", bound=Hasher)
H1 = TypeVar("H1", bound=Hasher)
H2 = TypeVar("H2", bound=Hasher)

# What the decoded value in a cache cannot be.
_MISSING: Final = object()


class StorageItem:
    """What all storage items share. Made by `Pallet`, bound to a state by the runtime."""

    def __init__(self, pallet: str, name: str) -> None:
        self.prefix: Final = twox_128(pallet.encode()) + twox_128(pascal_case(name).encode())
        """Every key of this item begins so; it is the key of a `StorageValue`."""

        self.codec: Codec[Any] = _UNIT
        """Of the stored value: `X` for an item of `X | None`. Known once the item is bound."""

        self.default_encoded = b""
        """The encoded default, as the metadata gives it."""

        self.is_optional = False
        """Whether it was declared as `X | None`."""

        self._is_cached = False
        self._default: Any = None
        self._state: State = _NO_STATE
        self._cache: dict[Any, Any] = {}
        self._raw_keys: dict[Any, bytes] = {}

    def bind(self, state: State, value: Shape, default: Default | None) -> None:
        """Hold values of a type, and read and write them through `state`, from now on."""
        is_optional = isinstance(value, OptionShape)
        inner = value.inner if isinstance(value, OptionShape) else value
        self.is_optional = is_optional
        self._is_cached = is_immutable(inner)
        self.codec = codec_of(inner)
        self._encode, self._decode = self.codec.encode, self.codec.decode
        if is_optional:
            self.default_encoded = b"\x00"
        else:
            start = default_of(value) if default is None else default.value
            self.default_encoded = self._encode(start)
            self._default = self._decode(self.default_encoded) if self._is_cached else None
        self._state = state
        self._cache = state.new_cache()

    def _read(self, key: Any) -> Any:
        """The value under a key, by the cache; `key` is the map's key, or () of a value."""
        value = self._cache.get(key, _MISSING) if self._is_cached else _MISSING
        if value is not _MISSING:
            return value
        raw = self._state.overlay.get(self._raw_keys.get(key) or self._raw_key(key))
        if raw is not None:
            value = self._decode(raw)
        elif self.is_optional or self._is_cached:
            value = self._default
        else:
            return self._decode(self.default_encoded)
        if self._is_cached:
            if len(self._cache) >= CACHED_MAX:
                self._cache.clear()
            self._cache[key] = value
        return value

    def _write(self, key: Any, value: Any) -> None:
        if value is None and self.is_optional:
            self._remove(key)
            return
        state = self._state
        state.overlay.set(self._raw_keys.get(key) or self._raw_key(key), self._encode(value))
        if self._is_cached:
            self._cache[key] = value
            state.note_written(self._cache, key)

    def _remove(self, key: Any) -> None:
        state = self._state
        state.overlay.delete(self._raw_keys.get(key) or self._raw_key(key))
        if self._is_cached:
            self._cache.pop(key, None)
            state.note_written(self._cache, key)

    def _exists(self, key: Any) -> bool:
        return self._state.overlay.get(self._raw_keys.get(key) or self._raw_key(key)) is not None

    def _raw_key(self, key: Any) -> bytes:
        raw = self.key_of(key)
        if len(self._raw_keys) >= RAW_KEYS_MAX:
            self._raw_keys.clear()
        self._raw_keys[key] = raw
        return raw

    def key_of(self, key: Any) -> bytes:
        """The storage key of a map's key (a pair of a double map's; anything of a value's)."""
        raise NotImplementedError


class StorageValue(StorageItem, Generic[V]):
    """One value."""

    def get(self) -> V:
        """The value, or the default."""
        value: V = self._read(())
        return value

    def set(self, value: V) -> None:
        """Write the value."""
        self._write((), value)

    def delete(self) -> None:
        """Remove the value: it reads as the default from now on."""
        self._remove(())

    def exists(self) -> bool:
        """Whether a value is stored, be it the default."""
        return self._exists(())

    def set_encoded(self, encoded: bytes) -> None:
        """Write a value that is encoded already."""
        state = self._state
        state.overlay.set(self.prefix, encoded)
        self._cache.pop((), None)
        state.note_written(self._cache, ())

    def key_of(self, key: Any = None) -> bytes:
        """The storage key."""
        return self.prefix


class StorageMap(StorageItem, Generic[K, V, H]):
    """Values by key."""

    def __init__(self, pallet: str, name: str, key: Shape, hasher: type[H]) -> None:
        super().__init__(pallet, name)
        self.hasher: Final = hasher
        self.key_codec: Final[Codec[Any]] = codec_of(key)

    def __getitem__(self, key: K) -> V:
        found = self._cache.get(key, _MISSING)
        value: V = self._read(key) if found is _MISSING else found
        return value

    def __setitem__(self, key: K, value: V) -> None:
        self._write(key, value)

    def __delitem__(self, key: K) -> None:
        """Remove a value; removing an absent one changes nothing."""
        self._remove(key)

    def __contains__(self, key: K) -> bool:
        return self._exists(key)

    def __iter__(self) -> Iterator[K]:
        return self.keys()

    def keys(self) -> Iterator[K]:
        """The keys, in the order of their storage keys. Changes made meanwhile are not seen."""
        start = len(self.prefix) + self.hasher.size
        decode = self.key_codec.decode
        for raw in list(self._state.overlay.keys(self.prefix)):
            yield decode(raw[start:])

    def items(self) -> Iterator[tuple[K, V]]:
        """Keys and values, in the order of their storage keys."""
        for key in self.keys():
            yield key, self[key]

    def clear(self) -> None:
        """Remove all values."""
        for key in self.keys():
            self._remove(key)

    def key_of(self, key: Any) -> bytes:
        """The storage key of a key."""
        return self.prefix + self.hasher.hash(self.key_codec.encode(key))


class StorageDoubleMap(StorageItem, Generic[K1, K2, V, H1, H2]):
    """Values by two keys: all values under a first key can be visited, or removed, together."""

    def __init__(
        self,
        pallet: str,
        name: str,
        keys: tuple[Shape, Shape],
        hashers: tuple[type[H1], type[H2]],
    ) -> None:
        super().__init__(pallet, name)
        self.hashers: Final = hashers
        self.key_codecs: Final[tuple[Codec[Any], Codec[Any]]] = (
            codec_of(keys[0]),
            codec_of(keys[1]),
        )

    def __getitem__(self, key: tuple[K1, K2]) -> V:
        value: V = self._read(key)
        return value

    def __setitem__(self, key: tuple[K1, K2], value: V) -> None:
        self._write(key, value)

    def __delitem__(self, key: tuple[K1, K2]) -> None:
        """Remove a value; removing an absent one changes nothing."""
        self._remove(key)

    def __contains__(self, key: tuple[K1, K2]) -> bool:
        return self._exists(key)

    def __iter__(self) -> Iterator[tuple[K1, K2]]:
        return self.keys()

    def keys(self) -> Iterator[tuple[K1, K2]]:
        """Both keys of all values, in the order of their storage keys."""
        return self._keys_of(list(self._state.overlay.keys(self.prefix)))

    def changed_keys(self) -> Iterator[tuple[K1, K2]]:
        """Both keys of all entries that the block so far has written or removed."""
        return self._keys_of(self._state.overlay.changed_keys(self.prefix))

    def _keys_of(self, storage_keys: list[bytes]) -> Iterator[tuple[K1, K2]]:
        first, second = self.hashers
        start = len(self.prefix) + first.size
        for raw in storage_keys:
            key, end = self.key_codecs[0].decode_from(raw, start)
            yield key, self.key_codecs[1].decode(raw[end + second.size :])

    def items(self) -> Iterator[tuple[tuple[K1, K2], V]]:
        """Both keys and the value of all entries, in the order of their storage keys."""
        for key in self.keys():
            yield key, self[key]

    def keys_under(self, first: K1) -> Iterator[K2]:
        """The second keys under a first one, in the order of their storage keys."""
        prefix = self.prefix_of(first)
        start = len(prefix) + self.hashers[1].size
        decode = self.key_codecs[1].decode
        for raw in list(self._state.overlay.keys(prefix)):
            yield decode(raw[start:])

    def items_under(self, first: K1) -> Iterator[tuple[K2, V]]:
        """Second keys and values under a first key, in the order of their storage keys."""
        for second in self.keys_under(first):
            yield second, self[first, second]

    def clear_under(self, first: K1) -> None:
        """Remove all values under a first key."""
        for second in self.keys_under(first):
            self._remove((first, second))

    def prefix_of(self, first: K1) -> bytes:
        """What the storage keys under a first key begin with."""
        return self.prefix + self.hashers[0].hash(self.key_codecs[0].encode(first))

    def key_of(self, key: Any) -> bytes:
        """The storage key of a pair of keys."""
        first, second = key
        return self.prefix_of(first) + self.hashers[1].hash(self.key_codecs[1].encode(second))


def pascal_case(name: str) -> str:
    """`next_bid_id` as clients know it: `NextBidId`."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


_NO_STATE = State()
_UNIT: Codec[Any] = codec_of(TupleShape())
