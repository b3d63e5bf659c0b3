"""`dret market prices`, `tariffs` and `history` on a running chain: what energy costs and why."""

import json
from dataclasses import dataclass

import asyncclick as click

from node.cli.chain_access import OUTPUT, NodeAddress, ask, node_at, rpc_options, u32
from runtime.pallets.trading.parameters import MarketParameters
from runtime.pallets.trading.price_parts import BusPrice, PriceReport, PriceSource
from runtime.pallets.trading.tariffs import Earmarked, NetworkIncome, TariffBook
from runtime.primitives.scale import U32

INTERVALS_MAX = 2**32 - 1
SOURCES = {
    PriceSource.AUCTION: "latest call that traded",
    PriceSource.RATIO: "nothing traded; by what its book offers and wants",
    PriceSource.REFERENCE: "nothing traded; the root's latest price",
}


@click.command()
@click.option("--interval", type=click.IntRange(0, INTERVALS_MAX), help="Default: the present one.")
@OUTPUT
@rpc_options
async def prices(interval: int | None, output: str, node: NodeAddress) -> None:
    """Show the price of each bus and its parts: energy, losses, network tariffs, congestion."""
    async with node_at(node) as link:
        if interval is None:
            interval = await ask(link, "Trading_current_interval", b"", U32)
        report = await ask(link, "Trading_price_report", u32(interval), PriceReport)
        income = await ask(link, "Trading_network_income", u32(interval), NetworkIncome | None)
    if output == "json":
        names = BusPrice.__struct_fields__
        rows = [{name: getattr(bus, name) for name in names} for bus in report.buses]
        source = PriceSource(report.source).name.lower()
        click.echo(json.dumps({"interval": interval, "source": source, "buses": rows}))
        return
    click.echo(f"Interval {interval}: {SOURCES[PriceSource(report.source)]}.\n")
    titles = ("bus", "price", "energy", "losses", "network", "congestion")
    click.echo("".join(f"{title:>12}" for title in titles))
    for number, bus in enumerate(report.buses):
        parts = (bus.energy_micro, bus.loss_micro, bus.network_micro, bus.congestion_micro)
        cells = (bus.price_micro, *parts)
        click.echo(f"{number:>12}" + "".join(f"{cell / 1e6:>12.6f}" for cell in cells))
    click.echo("\nDRT per kWh; a price is the sum of its parts.")
    if income is not None:
        tariff, congestion = income.tariff_nano / 1e9, income.congestion_nano / 1e9
        click.echo(f"Collected: {tariff:.9f} DRT by tariffs, {congestion:.9f} DRT by congestion.")


@dataclass(frozen=True, slots=True)
class Rules:
    """What the market goes by in an interval."""

    tariffs: list[int]
    books: list[TariffBook]
    parameters: MarketParameters
    earmarked: Earmarked


@click.command()
@click.option("--interval", type=click.IntRange(0, INTERVALS_MAX), help="Default: the present one.")
@OUTPUT
@rpc_options
async def rules(interval: int | None, output: str, node: NodeAddress) -> None:
    """Show what an interval goes by: network tariffs, the pool's fee, the dispute window."""
    async with node_at(node) as link:
        if interval is None:
            interval = await ask(link, "Trading_current_interval", b"", U32)
        found = Rules(
            await ask(link, "Trading_tariffs", u32(interval), list[U32]),
            await ask(link, "Trading_tariff_books", b"", list[TariffBook]),
            await ask(link, "Trading_parameters", u32(interval), MarketParameters),
            await ask(link, "Trading_earmarked", b"", Earmarked),
        )
    kept = found.earmarked.collected_nano - found.earmarked.released_nano
    if output == "json":
        content = {
            "interval": interval,
            "tariffs_micro": found.tariffs,
            "announced_from": [book.first for book in found.books],
            "dual_imbalance": found.parameters.dual_imbalance,
            "pool_fee_micro": found.parameters.pool_fee,
            "dispute_intervals": found.parameters.dispute_intervals,
            "congestion_rent_nano": kept,
        }
        click.echo(json.dumps(content))
        return
    parameters = found.parameters
    imbalance = "two prices" if parameters.dual_imbalance else "one price"
    click.echo(f"Interval {interval}: deviations have {imbalance}, the pool's fee is")
    click.echo(f"{parameters.pool_fee / 1e6:.6f} DRT per kWh, corrections are possible for")
    click.echo(f"{parameters.dispute_intervals} intervals. Earmarked: {kept / 1e9:.9f} DRT.\n")
    click.echo(f"{'edge':>8}{'DRT per kWh':>14}")
    for bus, tariff in enumerate(found.tariffs[1:], start=1):
        click.echo(f"{bus:>8}{tariff / 1e6:>14.6f}")
    for book in found.books:
        click.echo(f"\nTariffs by time of use from interval {book.first} on: {describe(book)}")


def describe(book: TariffBook) -> str:
    """The bands of a book and their quarter hours."""
    parts: list[str] = []
    for place, band in enumerate(book.bands):
        slots = sum(1 for slot in book.slots if slot == place)
        own = f", {len(band.edges)} edges of their own" if band.edges else ""
        parts.append(f"{band.factor_ppm / 1e4:g} % for {slots} quarter hours{own}")
    return "; ".join(parts)
