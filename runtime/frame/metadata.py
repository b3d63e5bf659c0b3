"""Metadata V14 of an assembly: all that clients need to read its state and to make extrinsics.

It follows from the declarations alone. Without documentation it is a function of what blocks mean
(types, indices, constants), and its hash names the runtime; with documentation it is what clients
get. Layout: frame-metadata, V14; the paths that clients know are those of Substrate's types.

Left out: versions 15 and 16.
"""

from typing import Any

from runtime.frame.assembly import Assembly
from runtime.frame.declaration import ConstantSpec, StorageSpec
from runtime.frame.extensions import SIGNED_EXTENSIONS, SignedExtension
from runtime.frame.pallet import Pallet
from runtime.frame.registry import Described, TypeRegistry, text, vec
from runtime.frame.storage import StorageItem
from runtime.frame.types import RUNTIME_PATH
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
EXTRINSIC_VERSION = 4
OPTIONAL, DEFAULT = b"\x00", b"\x01"


def encode_metadata(assembly: Assembly, version: int = 14, *, with_docs: bool = True) -> bytes:
    """The metadata, from the letters `meta` on. `ValueError` for a version that is not served."""
    if version != 14:
        raise ValueError(f"metadata version {version}, served is 14")
    return MAGIC + bytes([version]) + _Metadata(assembly, with_docs).encode()


class _Metadata:
    def __init__(self, assembly: Assembly, with_docs: bool) -> None:
        self._assembly = assembly
        self._types = TypeRegistry(with_docs)

    def encode(self) -> bytes:
        # The registry goes first and is complete only when all else has been put together.
        self._types.number_of(self._assembly.types.error)
        rest = b"".join(
            (
                vec(self._pallet(pallet) for pallet in self._assembly.pallets),
                self._extrinsic(),
                self._types.reference(_runtime_type()),
            )
        )
        return self._types.encode() + rest

    def _pallet(self, pallet: Pallet[Any]) -> bytes:
        index, types = pallet.pallet_index, self._assembly.types
        docs = self._types.docs_of_fields(pallet.declaration.config)
        constants = (
            self._constant(pallet, constant, docs.get(constant.name, ()))
            for constant in pallet.declaration.constants
        )
        return b"".join(
            (
                text(pallet.pallet_name),
                self._storage(pallet),
                self._optional(types.pallet_calls.get(index)),
                self._optional(types.pallet_events.get(index)),
                vec(constants),
                self._optional(types.pallet_errors.get(index)),
                bytes([index]),
            )
        )

    def _optional(self, shape: Shape | None) -> bytes:
        return b"\x00" if shape is None else b"\x01" + self._types.reference(shape)

    def _storage(self, pallet: Pallet[Any]) -> bytes:
        specs = pallet.declaration.storage
        if not specs:
            return b"\x00"
        docs = self._types.docs_of_fields(type(pallet))
        entries = (
            self._storage_entry(
                spec, getattr(pallet, spec.name), docs.get(spec.name.removesuffix("_"), ())
            )
            for spec in specs
        )
        return b"\x01" + text(pallet.pallet_name) + vec(entries)

    def _storage_entry(self, spec: StorageSpec, item: StorageItem, docs: tuple[str, ...]) -> bytes:
        value = self._types.reference(item.codec.shape)
        if not spec.keys:
            kind = b"\x00" + value
        else:
            key = spec.keys[0] if len(spec.keys) == 1 else TupleShape(spec.keys)
            hashers = vec(bytes([hasher.index]) for hasher in spec.hashers)
            kind = b"\x01" + hashers + self._types.reference(key) + value
        default = item.default_encoded
        return b"".join(
            (
                text(spec.name_in_metadata),
                OPTIONAL if item.is_optional else DEFAULT,
                kind,
                encode_compact(len(default)) + default,
                self._types.docs(docs),
            )
        )

    def _constant(
        self, pallet: Pallet[Any], constant: ConstantSpec, docs: tuple[str, ...]
    ) -> bytes:
        value = constant.codec.encode(getattr(pallet.config, constant.name))
        return b"".join(
            (
                text(constant.name_in_metadata),
                self._types.reference(constant.codec.shape),
                encode_compact(len(value)) + value,
                self._types.docs(docs),
            )
        )

    def _extrinsic(self) -> bytes:
        extra = TupleShape(tuple(_extension_type(kind) for kind in SIGNED_EXTENSIONS))
        extrinsic = TypeDescription(
            Kind.COMPOSITE,
            ("sp_runtime", "generic", "unchecked_extrinsic", "UncheckedExtrinsic"),
            params=(
                ("Address", shape_of(MultiAddress)),
                ("Call", self._assembly.types.call),
                ("Signature", shape_of(MultiSignature)),
                ("Extra", extra),
            ),
            fields=(FieldDescription(None, BytesShape(), ""),),
        )
        extensions = (
            text(kind.__name__)
            + self._types.reference(_extension_type(kind))
            + self._types.reference(shape_of(kind.implicit))
            for kind in SIGNED_EXTENSIONS
        )
        types = self._types.reference(Described(extrinsic).shape)
        return types + bytes([EXTRINSIC_VERSION]) + vec(extensions)


def _extension_type(kind: type[SignedExtension]) -> Shape:
    """A composite under the path by which clients know the extension."""
    fields: tuple[FieldDescription, ...] = ()
    if kind.data is not None:
        field = FieldDescription(kind.field_name, shape_of(kind.data), type_name(kind.data))
        fields = (field,)
    path = tuple(kind.path.split("::"))
    return Described(TypeDescription(Kind.COMPOSITE, path, fields=fields)).shape


def _runtime_type() -> Shape:
    return Described(TypeDescription(Kind.COMPOSITE, (RUNTIME_PATH, "Runtime"))).shape
