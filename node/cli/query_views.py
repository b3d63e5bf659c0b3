"""What `dret query` prints of the metadata: pallets, their storage and constants, runtime APIs."""

import json
from collections.abc import Mapping, Sequence
from typing import cast

import asyncclick as click

from node.cli.output import TEXT, emit
from node.client.catalogue import Catalogue, FunctionOf, value_type
from node.client.metadata import Constant, Pallet, note_of
from node.client.plain import Json


def show_all(catalogue: Catalogue, output: str) -> None:
    """The pallets and the functions of runtime APIs."""
    functions = catalogue.functions()
    if output != TEXT:
        pallets = [pallet_json(catalogue, each) for each in catalogue.metadata.pallets]
        answers = [function_json(catalogue, each) for each in functions]
        rows = [row for pallet in pallets for row in rows_of_pallet(pallet)]
        rows += [{"kind": "function", **each} for each in answers]
        emit({"pallets": pallets, "functions": answers}, output, rows)
        return
    for pallet in catalogue.metadata.pallets:
        stored = len(pallet.storage.entries) if pallet.storage is not None else 0
        constants = len(pallet.constants)
        click.echo(f"{pallet.name:<22} {stored:>3} storage items {constants:>3} constants")
    click.echo("\nRuntime API functions:")
    for each in functions:
        arguments = catalogue.signature(each.function.inputs)
        result = catalogue.types.text(each.function.output)
        click.echo(f"  {each.name}({arguments}) -> {result}")
    click.echo("\nGo on with: dret query PALLET, or dret query FUNCTION ARGUMENT…")


def show_pallet(catalogue: Catalogue, pallet: Pallet, output: str) -> None:
    """What a pallet stores, and its constants."""
    if output != TEXT:
        described = pallet_json(catalogue, pallet)
        emit(described, output, rows_of_pallet(described))
        return
    for entry in pallet.storage.entries if pallet.storage is not None else ():
        kinds = catalogue.key_types(entry)
        keys = "".join(f" {catalogue.types.text(kind)}" for kind in kinds)
        click.echo(f"{pallet.name}.{entry.name}{keys}: {catalogue.types.text(value_type(entry))}")
        show_docs(entry.docs, note_of(entry.deprecation))
    for constant in pallet.constants:
        value = catalogue.types.decode(constant.type_id, constant.value)
        click.echo(f"{pallet.name}.{constant.name} = {json.dumps(value)}")
        show_docs(constant.docs, note_of(constant.deprecation))


def show_docs(docs: Sequence[str], note: str) -> None:
    """Documentation, indented; a deprecation first."""
    text = " ".join([f"({note})", *docs] if note else docs)
    if text:
        click.echo(f"    {text}")


def show_constant(catalogue: Catalogue, pallet: Pallet, constant: Constant, output: str) -> None:
    """A constant."""
    value = catalogue.types.decode(constant.type_id, constant.value)
    if output != TEXT:
        emit({"constant": f"{pallet.name}.{constant.name}", "value": value}, output)
    else:
        click.echo(json.dumps(value, indent=2))


def pallet_json(catalogue: Catalogue, pallet: Pallet) -> Mapping[str, Json]:
    """A pallet for other programs."""
    types = catalogue.types
    return {
        "pallet": pallet.name,
        "docs": " ".join(pallet.docs),
        "storage": [
            {
                "name": f"{pallet.name}.{entry.name}",
                "keys": [types.text(kind) for kind in catalogue.key_types(entry)],
                "value": types.text(value_type(entry)),
                "docs": " ".join(entry.docs),
            }
            for entry in (pallet.storage.entries if pallet.storage is not None else ())
        ],
        "constants": [
            {
                "name": f"{pallet.name}.{constant.name}",
                "type": types.text(constant.type_id),
                "value": types.decode(constant.type_id, constant.value),
                "docs": " ".join(constant.docs),
            }
            for constant in pallet.constants
        ],
    }


def rows_of_pallet(pallet: Mapping[str, Json]) -> list[Mapping[str, Json]]:
    """What a pallet stores and its constants, one row each."""
    rows: list[Mapping[str, Json]] = []
    for kind, field in (("storage", "storage"), ("constant", "constants")):
        entries = cast("Sequence[Mapping[str, Json]]", pallet[field])
        rows += [{"kind": kind, **entry} for entry in entries]
    return rows


def function_json(catalogue: Catalogue, found: FunctionOf) -> Mapping[str, Json]:
    """A function of a runtime API for other programs."""
    return {
        "name": found.name,
        "arguments": [
            {"name": each.name, "type": catalogue.types.text(each.type_id)}
            for each in found.function.inputs
        ],
        "result": catalogue.types.text(found.function.output),
        "docs": " ".join(found.function.docs),
    }
