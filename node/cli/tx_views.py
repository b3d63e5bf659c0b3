"""What `dret tx` prints: pallets, calls and their arguments, and what became of an extrinsic."""

import json
from collections.abc import Sequence

import asyncclick as click

from node.cli.output import TEXT, emit
from node.cli.transactions import Outcome
from node.client.catalogue import Catalogue
from node.client.metadata import Pallet, Variant
from node.client.plain import Json


def show_pallets(catalogue: Catalogue, output: str) -> None:
    """The pallets that have calls."""
    rows: list[dict[str, Json]] = [
        {
            "pallet": pallet.name,
            "calls": len(catalogue.calls(pallet)),
            "docs": first_line(pallet.docs),
        }
        for pallet in catalogue.metadata.pallets
        if pallet.calls is not None
    ]
    if output != TEXT:
        emit(rows, output)
        return
    for row in rows:
        click.echo(f"{row['pallet']:<22} {row['calls']:>3} calls  {row['docs']}")
    click.echo("\nGo on with: dret tx PALLET")


def show_calls(catalogue: Catalogue, pallet: Pallet, output: str) -> None:
    """The calls of a pallet."""
    calls = catalogue.calls(pallet)
    if output != TEXT:
        emit([call_json(catalogue, pallet, each) for each in calls], output)
        return
    if not calls:
        click.echo(f"{pallet.name} has no calls.")
    for each in calls:
        note = catalogue.call_note(pallet, each)
        click.echo(f"{pallet.name}.{each.name}({catalogue.signature(each.fields)})")
        click.echo(f"    {note + '. ' if note else ''}{first_line(each.docs)}")


def show_call(catalogue: Catalogue, pallet: Pallet, variant: Variant, output: str) -> None:
    """The arguments of a call, with the forms of their types."""
    if output != TEXT:
        emit(call_json(catalogue, pallet, variant), output)
        return
    note = catalogue.call_note(pallet, variant)
    click.echo(f"{pallet.name}.{variant.name}" + (f"  ({note})" if note else ""))
    for line in variant.docs:
        click.echo(f"  {line}")
    for field in variant.fields:
        docs = f"  {' '.join(field.docs)}" if field.docs else ""
        click.echo(f"\n  {field.name}: {catalogue.types.text(field.type_id)}{docs}")
        for form in catalogue.types.forms(field.type_id):
            click.echo(f"      {form}")
    names = " ".join((field.name or "_").upper() for field in variant.fields)
    click.echo(f"\nSend it: dret tx {pallet.name}.{variant.name} {names} --from //Alice")


def call_json(catalogue: Catalogue, pallet: Pallet, variant: Variant) -> dict[str, Json]:
    """A call for other programs."""
    return {
        "call": f"{pallet.name}.{variant.name}",
        "arguments": [
            {
                "name": field.name,
                "type": catalogue.types.text(field.type_id),
                "forms": catalogue.types.forms(field.type_id),
                "docs": " ".join(field.docs),
            }
            for field in variant.fields
        ],
        "deprecation": catalogue.call_note(pallet, variant) or None,
        "docs": " ".join(variant.docs),
    }


def show_encoded(catalogue: Catalogue, encoded: bytes, output: str) -> None:
    """A call that nobody signs."""
    shown = {"encoded": "0x" + encoded.hex(), "call": catalogue.decode_call(encoded)}
    if output != TEXT:
        emit(shown, output)
        return
    click.echo(json.dumps(shown["call"], indent=2))
    click.echo(f"\nEncoded: {shown['encoded']}")
    click.echo("Nothing was sent. Add --from //Alice (or --suri-file FILE) to sign and send it.")


def show_outcome(outcome: Outcome, output: str) -> None:
    """What became of an extrinsic."""
    if output != TEXT:
        emit(outcome.as_json(), output)
        return
    if outcome.block is None:
        click.echo(f"{outcome.hash} is in the pool.")
        return
    place = f"extrinsic {outcome.index} of block {outcome.number} ({outcome.block})"
    click.echo(f"{'Final' if outcome.status == 'final' else 'Included'}: {place}")
    for event in outcome.events:
        click.echo(f"  {event.name} {json.dumps(event.fields) if event.fields else ''}".rstrip())


def first_line(docs: Sequence[str]) -> str:
    """What documentation begins with."""
    return docs[0] if docs else ""
