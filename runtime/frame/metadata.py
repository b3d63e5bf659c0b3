"""Metadata V14, V15 and V16: all that clients need to read state, to call and to make extrinsics.

They follow from the declarations alone. Without documentation they are a function of what blocks
mean (types, indices, constants) and of what runtime APIs answer; with documentation they are what
clients get. Layouts, and the paths that clients know: SUBSTRATE.md 2.2 and 2.3.

V15 adds the runtime APIs, V16 what is deprecated. Types are numbered in the same order in all of
them. Left out: custom metadata, associated types and view functions, of which there are none.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from runtime.frame.apis import ApiGroup
from runtime.frame.assembly import Assembly
from runtime.frame.declaration import ApiSpec, ConstantSpec, Declaration, StorageSpec, index_of
from runtime.frame.docs import docs_of_type
from runtime.frame.extensions import SIGNED_EXTENSIONS, SignedExtension
from runtime.frame.lifetime import Lifetime, lifetime_of
from runtime.frame.pallet import Pallet
from runtime.frame.registry import Described, TypeRegistry, text, vec
from runtime.frame.storage import StorageItem
from runtime.frame.types import RUNTIME_PATH
from runtime.primitives.block import Extrinsic
from runtime.primitives.extrinsic import MultiAddress, MultiSignature
from runtime.primitives.scale import (
    BytesShape,
    FieldDescription,
    Kind,
    Shape,
    TypeDescription,
    encode_compact,
    shape_of,
)
from runtime.primitives.scale.annotations import type_name
from runtime.primitives.scale.shapes import TupleShape

MAGIC = b"meta"
METADATA_VERSIONS = (14, 15, 16)
EXTRINSIC_VERSION = 4
EXTENSION_VERSION = 0
"""Of the set of signed extensions; not the extrinsic's version, which some clients take it for."""

OPTIONAL, DEFAULT = b"\x00", b"\x01"
NONE, SOME, EMPTY = b"\x00", b"\x01", b"\x00"
NOT_DEPRECATED, DEPRECATED = b"\x00", b"\x02"


def encode_metadata(
    assembly: Assembly, version: int, apis: Sequence[ApiGroup] = (), *, with_docs: bool = True
) -> bytes:
    """The metadata, from the letters `meta` on. `ValueError` for a version that is not served."""
    if version not in METADATA_VERSIONS:
        raise ValueError(f"metadata version {version}, served are {METADATA_VERSIONS}")
    writer = MetadataWriter(assembly, version, apis, with_docs)
    return MAGIC + bytes([version]) + writer.encode()


class MetadataWriter:
    """Writes metadata of one version and keeps the types that it has numbered."""

    def __init__(
        self, assembly: Assembly, version: int, apis: Sequence[ApiGroup], with_docs: bool
    ) -> None:
        self._assembly = assembly
        self._version = version
        self._apis = apis
        self._extrinsic_type = _extrinsic_type(assembly)
        # The types of runtime APIs name extrinsics as opaque bytes; clients know them by this type.
        self.types = TypeRegistry(with_docs, {shape_of(Extrinsic): self._extrinsic_type})

    def encode(self) -> bytes:
        """All behind the version."""
        # The registry goes first and is complete only when all else has been put together.
        self.types.number_of(self._assembly.types.error)
        parts = [
            vec(self._pallet(pallet) for pallet in self._assembly.pallets),
            self._extrinsic(),
        ]
        if self._version < 16:
            parts.append(self.types.reference(_runtime_type()))
        if self._version >= 15:
            parts += [vec(self._api(group) for group in self._apis), self._outer_enums(), EMPTY]
        return self.types.encode() + b"".join(parts)

    # --- pallets

    def _pallet(self, pallet: Pallet[Any]) -> bytes:
        index, types = pallet.pallet_index, self._assembly.types
        declaration = self._assembly.declaration_of(pallet)
        calls = ((spec.index, spec.lifetime) for spec in declaration.calls)
        events = ((index_of(cls), lifetime_of(cls)) for cls in declaration.events)
        errors = ((index_of(cls), lifetime_of(cls)) for cls in declaration.errors)
        parts = [
            text(pallet.pallet_name),
            self._storage(pallet, declaration),
            self._variants(types.pallet_calls.get(index), calls),
            self._variants(types.pallet_events.get(index), events),
            self._constants(pallet, declaration),
            self._variants(types.pallet_errors.get(index), errors),
        ]
        if self._version >= 16:
            parts += [EMPTY, EMPTY]  # associated types, view functions
        parts.append(bytes([index]))
        if self._version >= 15:
            parts.append(self.types.docs(docs_of_type(type(pallet))))
        if self._version >= 16:
            parts.append(self._deprecation(lifetime_of(type(pallet))))
        return b"".join(parts)

    def _variants(self, shape: Shape | None, lifetimes: Iterable[tuple[int, Lifetime]]) -> bytes:
        """The type of a pallet's calls, events or errors, and which of them are deprecated."""
        if shape is None:
            return NONE
        encoded = SOME + self.types.reference(shape)
        if self._version < 16:
            return encoded
        deprecated = (
            bytes([index]) + self._deprecation(lifetime)
            for index, lifetime in sorted(lifetimes, key=lambda item: item[0])
            if lifetime.deprecated and self.types.with_docs
        )
        return encoded + vec(deprecated)

    def _deprecation(self, lifetime: Lifetime) -> bytes:
        """Of one item, from V16 on. It tells people what to use, so it counts as documentation."""
        if self._version < 16:
            return b""
        if not lifetime.deprecated or not self.types.with_docs:
            return NOT_DEPRECATED
        return DEPRECATED + text(lifetime.deprecated) + NONE

    def _storage(self, pallet: Pallet[Any], declaration: Declaration) -> bytes:
        specs = declaration.storage
        if not specs:
            return NONE
        docs = self.types.docs_of_fields(type(pallet))
        entries = (
            self._storage_entry(
                spec, getattr(pallet, spec.name), docs.get(spec.name.removesuffix("_"), ())
            )
            for spec in specs
        )
        return SOME + text(pallet.pallet_name) + vec(entries)

    def _storage_entry(self, spec: StorageSpec, item: StorageItem, docs: tuple[str, ...]) -> bytes:
        value = self.types.reference(item.codec.shape)
        if not spec.keys:
            kind = b"\x00" + value
        else:
            key = spec.keys[0] if len(spec.keys) == 1 else TupleShape(spec.keys)
            hashers = vec(bytes([hasher.index]) for hasher in spec.hashers)
            kind = b"\x01" + hashers + self.types.reference(key) + value
        default = item.default_encoded
        return b"".join(
            (
                text(spec.name_in_metadata),
                OPTIONAL if item.is_optional else DEFAULT,
                kind,
                encode_compact(len(default)) + default,
                self.types.docs(docs),
                self._deprecation(spec.lifetime),
            )
        )

    def _constants(self, pallet: Pallet[Any], declaration: Declaration) -> bytes:
        docs = self.types.docs_of_fields(declaration.config)
        return vec(
            self._constant(pallet, constant, docs.get(constant.name, ()))
            for constant in declaration.constants
        )

    def _constant(
        self, pallet: Pallet[Any], constant: ConstantSpec, docs: tuple[str, ...]
    ) -> bytes:
        value = constant.codec.encode(getattr(pallet.config, constant.name))
        return b"".join(
            (
                text(constant.name_in_metadata),
                self.types.reference(constant.codec.shape),
                encode_compact(len(value)) + value,
                self.types.docs(docs),
                self._deprecation(constant.lifetime),
            )
        )

    # --- extrinsics

    def _extrinsic(self) -> bytes:
        # Its parameters are what V15 and V16 name, so all versions number them in one order.
        whole = self.types.reference(self._extrinsic_type)
        parts = (shape_of(MultiAddress), self._assembly.types.call, shape_of(MultiSignature))
        extensions = vec(
            text(kind.__name__)
            + self.types.reference(extension_type(kind))
            + self.types.reference(shape_of(kind.implicit))
            for kind in SIGNED_EXTENSIONS
        )
        if self._version == 14:
            return whole + bytes([EXTRINSIC_VERSION]) + extensions
        named = b"".join(self.types.reference(part) for part in parts)
        if self._version == 15:
            extra = self.types.reference(extra_type())
            return bytes([EXTRINSIC_VERSION]) + named + extra + extensions
        every = vec(encode_compact(place) for place in range(len(SIGNED_EXTENSIONS)))
        by_version = vec([bytes([EXTENSION_VERSION]) + every])
        return vec([bytes([EXTRINSIC_VERSION])]) + named + by_version + extensions

    # --- runtime APIs

    def _api(self, group: ApiGroup) -> bytes:
        parts = [
            text(group.name),
            vec(self._function(function) for function in group.functions),
            self.types.docs(group.docs),
        ]
        if self._version >= 16:
            parts += [encode_compact(group.version), NOT_DEPRECATED]
        return b"".join(parts)

    def _function(self, function: ApiSpec) -> bytes:
        inputs = (
            text(argument.name) + self.types.reference(codec.shape)
            for argument, codec in zip(function.arguments, function.codecs, strict=True)
        )
        return b"".join(
            (
                text(function.function_name),
                vec(inputs),
                self.types.reference(function.result.shape),
                self.types.docs(function.docs),
                self._deprecation(function.lifetime),
            )
        )

    def _outer_enums(self) -> bytes:
        types = self._assembly.types
        return b"".join(self.types.reference(t) for t in (types.call, types.event, types.error))


def extension_type(kind: type[SignedExtension]) -> Shape:
    """A composite under the path by which clients know the extension."""
    fields: tuple[FieldDescription, ...] = ()
    if kind.data is not None:
        field = FieldDescription(kind.field_name, shape_of(kind.data), type_name(kind.data))
        fields = (field,)
    path = tuple(kind.path.split("::"))
    return Described(TypeDescription(Kind.COMPOSITE, path, fields=fields)).shape


def extra_type() -> Shape:
    """The data of all signed extensions."""
    return TupleShape(tuple(extension_type(kind) for kind in SIGNED_EXTENSIONS))


def _extrinsic_type(assembly: Assembly) -> Shape:
    params = (
        ("Address", shape_of(MultiAddress)),
        ("Call", assembly.types.call),
        ("Signature", shape_of(MultiSignature)),
        ("Extra", extra_type()),
    )
    path = ("sp_runtime", "generic", "unchecked_extrinsic", "UncheckedExtrinsic")
    fields = (FieldDescription(None, BytesShape(), ""),)
    return Described(TypeDescription(Kind.COMPOSITE, path, params, fields=fields)).shape


def _runtime_type() -> Shape:
    return Described(TypeDescription(Kind.COMPOSITE, (RUNTIME_PATH, "Runtime"))).shape
