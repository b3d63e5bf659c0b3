"""Errors of a pallet are numbered from 0 without gaps."""

from devnet.scenario import dev_chain_spec


def test_an_errors_index_is_its_position() -> None:
    # substrate-interface looks an error up by its position in the metadata, not by its index.
    for pallet in dev_chain_spec().runtime().assembly.pallets:
        indices = [error.index for error in pallet.declaration.errors]

        assert indices == list(range(len(indices))), pallet.pallet_name
