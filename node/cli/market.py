"""`dret market`: the market of a running chain, and for auditors its rules applied to a file.

A file holds one tree and one book as arrays of integers:

    {"parent": […], "cap_up": […], "cap_down": […], "loss_ppm": […], "tariff": […],
     "bus": […], "price": […], "qty": […], "isbid": […], "reference_price": …}

Entry 0 of the tree is the root. Orders stand in canonical order, which decides who gets the last Wh
of a shared price level; the chain's own order follows from hashes (docs/auction.md).
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import asyncclick as click

from node.cli import (
    market_chain,
    market_contracts,
    market_coupled,
    market_fund,
    market_history,
    market_orders,
    market_prices,
    market_receipts,
    market_reputation,
    market_rights,
    market_sealed,
    market_watch,
)
from runtime.kernels.auction import Clearing, OrderArrays, TreeArrays, clear_signed
from runtime.kernels.bounds import AuctionBoundsError

PRICE_FLOOR = 100_000
TREE = ("parent", "cap_up", "cap_down", "loss_ppm", "tariff")
BOOK = ("bus", "price", "qty", "isbid")
FILE_BYTES_MAX = 1 << 30  # a book of ten million orders
INT64_END = 1 << 63


class BookError(click.ClickException):
    """A file that is no book the market could clear."""

    exit_code = 2


@click.group()
def group() -> None:
    """The market: orders, prices, bills, where energy comes from, the pool, contracts,
    corrections; clear a book from a file.
    """


for command in (
    market_orders.order,
    market_orders.curve,
    market_orders.replace,
    market_orders.revise,
    market_orders.cancel,
    market_orders.orders,
    market_chain.bill,
    market_chain.pool,
    market_chain.correct,
    market_contracts.contract,
    market_prices.prices,
    market_prices.rules,
    market_history.history,
    market_history.proof,
    market_history.verify,
    market_reputation.reputation,
    market_fund.fund,
    market_coupled.block,
    market_coupled.flexible,
    market_coupled.ev,
    market_coupled.battery,
    market_coupled.coupled,
    market_sealed.seal,
    market_sealed.reveal,
    market_sealed.unseal,
    market_sealed.sealed,
    market_rights.right,
    market_rights.prefer,
    market_rights.premium,
    market_rights.pairs,
    market_rights.provenance,
    market_watch.watch,
    market_receipts.receipt_group,
):
    group.add_command(command)


@group.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--output", "-o", type=click.Choice(["text", "json"]), default="text")
def clear(file: Path, output: str) -> None:
    """Clear a book from a JSON file exactly as the chain would, and print the result."""
    content = read_book(file)
    tree = TreeArrays.of(*(integers(content, name) for name in TREE))
    orders = OrderArrays.of(*(integers(content, name) for name in BOOK))
    try:
        clearing = clear_signed(
            tree,
            orders,
            integer(content.get("reference_price"), "reference_price"),
            PRICE_FLOOR,
        )
    except AuctionBoundsError as error:
        raise BookError(f"{file}: {error}") from error
    if output == "json":
        click.echo(json.dumps(as_json(clearing)))
    else:
        show(clearing, integers(content, "bus"), integers(content, "isbid"))


def as_json(clearing: Clearing) -> dict[str, list[int]]:
    """The result's arrays: `fill` in the file's order, the rest by bus."""
    return {
        "fill": clearing.fill.tolist(),
        "price": clearing.price.tolist(),
        "net_export": clearing.net_export.tolist(),
        "sent": clearing.sent.tolist(),
    }


def show(clearing: Clearing, bus: Sequence[int], isbid: Sequence[int]) -> None:
    """Print the result as two tables."""
    result = as_json(clearing)
    click.echo(f"{'order':>8} {'bus':>6} {'side':>6} {'fill':>12}")
    for order, fill in enumerate(result["fill"]):
        side = "bid" if isbid[order] else "offer"
        click.echo(f"{order:>8} {bus[order]:>6} {side:>6} {fill:>12}")
    click.echo(f"\n{'bus':>8} {'price':>12} {'net_export':>12} {'sent':>12}")
    by_bus = zip(result["price"], result["net_export"], result["sent"], strict=True)
    for number, (price, net_export, sent) in enumerate(by_bus):
        click.echo(f"{number:>8} {price:>12} {net_export:>12} {sent:>12}")
    click.echo("\nEnergy in Wh, prices in micro-DRT per kWh.")


def read_book(file: Path) -> Mapping[str, object]:
    """The object in a file. Raises `BookError`."""
    try:
        if file.stat().st_size > FILE_BYTES_MAX:
            size = file.stat().st_size
            raise BookError(f"{file} has {size} bytes; a book has at most {FILE_BYTES_MAX}.")
        content = json.loads(file.read_bytes())
    except OSError as error:
        raise BookError(f"{file} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise BookError(f"{file} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise BookError(f"{file}: expected an object, found {type(content).__name__}.")
    book = cast(Mapping[str, object], content)  # JSON's keys are strings
    missing = [name for name in (*TREE, *BOOK, "reference_price") if name not in book]
    if missing:
        raise BookError(f"{file}: {', '.join(missing)} missing.")
    return book


def integers(content: Mapping[str, object], name: str) -> list[int]:
    """An array of integers. Raises `BookError` naming the first entry that is none."""
    values = content[name]
    if not isinstance(values, list):
        raise BookError(f"{name} is {text_of(values)}, expected an array of integers")
    entries = cast(list[object], values)
    return [integer(value, f"{name}[{index}]") for index, value in enumerate(entries)]


def integer(value: object, where: str) -> int:
    """A 64-bit integer; true and false are none. Raises `BookError`."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise BookError(f"{where} is {text_of(value)}, expected an integer")
    if not -INT64_END <= value < INT64_END:
        raise BookError(f"{where} is {value}, expected an integer of 64 bits")
    return value


def text_of(value: object) -> str:
    """A value as the file has it, shortened."""
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
