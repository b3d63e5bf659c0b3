"""Errors of a pallet stand in the metadata at the position of their index."""

from devnet.scenario import dev_chain_spec
from runtime import frame
from runtime.frame.types import runtime_types
from runtime.primitives.scale.shapes import EnumShape, Shape


class Late(frame.Error, index=2):
    """It has two numbers before it."""


class SparseConfig(frame.Config):
    """Nothing."""


class Sparse(frame.Pallet[SparseConfig]):
    """A pallet whose errors leave numbers out."""


def names_by_position(errors: Shape) -> list[str]:
    """The variants of an error type in their order, which is that of their indices."""
    assert isinstance(errors, EnumShape)
    variants = errors.info.variants
    assert list(variants) == list(range(len(variants)))
    return [variant.__name__ for variant in variants.values()]


def test_an_errors_index_is_its_position() -> None:
    # substrate-interface looks an error up by its position in the metadata, not by its index.
    assembly = dev_chain_spec().runtime().assembly
    for pallet in assembly.pallets:
        if pallet.declaration.errors:
            names = names_by_position(assembly.types.pallet_errors[pallet.pallet_index])

            for error in pallet.declaration.errors:
                assert names[error.index] == error.__name__, pallet.pallet_name


def test_numbers_without_an_error_are_filled_in() -> None:
    types = runtime_types(((7, Sparse),))

    assert names_by_position(types.pallet_errors[7]) == ["Unused0", "Unused1", "Late"]
