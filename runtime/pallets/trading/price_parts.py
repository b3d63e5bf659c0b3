"""What the price of a bus is made of: energy, losses, the network's tariffs, congestion.

The energy part is the price of the root. On the way from the root to a bus each edge adds what its
tariff and its losses explain of the difference between its ends; what they do not explain, of an
edge that carries all it can, is congestion. Energy is whole Wh, so losses are too: where an edge
has room left, the difference beyond its tariff is counted as losses.

Invariant: the four parts of a bus sum to its price, exactly.

While nothing trades for an interval, its reference price says what energy there is worth: by the
ratio of what is offered and wanted in its book, or, of an empty book, the root's latest price. It
is told, and never decides a clearing. Prices in micro-DRT per kWh.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, NamedTuple

from runtime.frame import (
    Identity,
    IntervalIndex,
    MaxLen,
    Pallet,
    PricePerKwh,
    StorageMap,
    Struct,
    UnitEnum,
)
from runtime.kernels.auction import Clearing, TreeArrays, deliver
from runtime.pallets.grid_balancing import BUSES_MAX
from runtime.pallets.trading.config import Config
from runtime.pallets.trading.deals import MILLION
from runtime.pallets.trading.pool import supply_demand_price
from runtime.pallets.trading.records import Side
from runtime.pallets.trading.tariffs import note_income

if TYPE_CHECKING:
    from runtime.pallets.trading import Trading

ByBus = Annotated[tuple[PricePerKwh, ...], MaxLen(BUSES_MAX)]


class PriceParts(Struct):
    """By bus, what makes its price differ from the root's."""

    loss: ByBus
    network: ByBus
    """Tariffs."""

    congestion: ByBus


class BusPrice(Struct):
    """The price of a bus: the sum of its parts."""

    price_micro: PricePerKwh
    energy_micro: PricePerKwh
    loss_micro: PricePerKwh
    network_micro: PricePerKwh
    congestion_micro: PricePerKwh


class PriceSource(UnitEnum):
    """Where a price comes from."""

    AUCTION = 0
    """The latest call that traded."""

    RATIO = 1
    """Nothing traded; by the ratio of what the book offers and wants."""

    REFERENCE = 2
    """Nothing traded and nothing is wanted; the root's price of the latest call that traded."""


class PriceReport(Struct):
    """The prices of an interval."""

    source: PriceSource
    buses: Annotated[tuple[BusPrice, ...], MaxLen(BUSES_MAX)]


class LocationalPrices(Pallet[Config]):
    """The part of Trading that keeps what prices are made of."""

    price_parts: StorageMap[IntervalIndex, PriceParts | None, Identity]
    """Of the latest call of open and recent intervals in which something traded."""


class Edge(NamedTuple):
    """An edge in a clearing. Prices are raised as they were to clear, so none is below zero."""

    price: int
    parent_price: int
    tariff: int
    loss_ppm: int
    net_export: int
    """At the lower end; negative: import."""

    received: int
    """At the upper end; negative: what it sends down."""

    cap_up: int
    cap_down: int


class Step(NamedTuple):
    """What an edge adds to the price on the way down."""

    loss: int
    network: int
    congestion: int


def step_of(edge: Edge) -> Step:
    """The parts of the difference between the ends of an edge; they sum to it."""
    difference = edge.price - edge.parent_price
    if edge.net_export == 0:
        return idle_step(edge, difference)
    is_up = edge.net_export > 0
    network = -edge.tariff if is_up else edge.tariff
    net_of_tariff = edge.parent_price + network
    if is_up:
        is_full = edge.received == deliver(edge.cap_up, edge.loss_ppm)
    else:
        is_full = -edge.net_export == deliver(edge.cap_down, edge.loss_ppm)
    if not is_full:
        return Step(difference - network, network, 0)
    # The ratio that energy really had on this edge, as the clearing prices it.
    if is_up:
        uncongested = net_of_tariff * edge.received // edge.net_export
    else:
        uncongested = -(net_of_tariff * edge.received // -edge.net_export)
    return Step(uncongested - net_of_tariff, network, edge.price - uncongested)


def idle_step(edge: Edge, difference: int) -> Step:
    """Of an edge without flow: its tariff explains a difference first, then its losses."""
    factor = MILLION - edge.loss_ppm
    if difference < 0:
        network = max(difference, -edge.tariff)
        net_of_tariff = max(0, edge.parent_price - edge.tariff)
        room = net_of_tariff * factor // MILLION - net_of_tariff
        loss, is_full = max(difference - network, room), edge.cap_up == 0
    else:
        network = min(difference, edge.tariff)
        net_of_tariff = edge.parent_price + edge.tariff
        room = -(-net_of_tariff * MILLION // factor) - net_of_tariff
        loss, is_full = min(difference - network, room), edge.cap_down == 0
    rest = difference - network - loss
    return Step(loss, network, rest) if is_full else Step(loss + rest, network, 0)


def parts_of_prices(tree: TreeArrays, clearing: Clearing) -> PriceParts:
    """What the prices of a clearing on a tree are made of."""
    parent: list[int] = tree.parent.tolist()
    tariff = tree.tariff.tolist()
    loss_ppm, net_export = tree.loss_ppm.tolist(), clearing.net_export.tolist()
    received = clearing.received_parent.tolist()
    cap_up, cap_down = tree.cap_up.tolist(), tree.cap_down.tolist()
    prices: list[int] = [price + clearing.price_offset for price in clearing.price.tolist()]
    sums: list[Step] = [Step(0, 0, 0)]
    for bus in range(1, len(parent)):
        above = sums[parent[bus]]
        step = step_of(
            Edge(
                prices[bus],
                prices[parent[bus]],
                tariff[bus],
                loss_ppm[bus],
                net_export[bus],
                received[bus],
                cap_up[bus],
                cap_down[bus],
            )
        )
        sums.append(Step(*(a + b for a, b in zip(above, step, strict=True))))
    loss, network, congestion = zip(*sums, strict=True)
    return PriceParts(loss, network, congestion)


def note_clearing(
    market: "Trading", interval: int, tree: TreeArrays, clearing: Clearing, rent_nano: int
) -> None:
    """Keep what a call that traded says of prices and of the network's income."""
    market.price_parts[interval] = parts_of_prices(tree, clearing)
    received = clearing.received_parent.tolist()
    tariffs = zip(tree.tariff.tolist(), received, strict=True)
    tariff_nano = sum(tariff * abs(energy_wh) for tariff, energy_wh in tariffs)
    note_income(market, interval, tariff_nano, rent_nano)


def report_prices(market: "Trading", interval: int) -> PriceReport:
    """The prices of an interval by bus, or its reference price at all of them."""
    prices, parts = market.prices[interval], market.price_parts[interval]
    if prices is None or parts is None:
        source, price = reference_price(market, interval)
        buses = len(market.config.grid.base_tariffs())
        return PriceReport(source, (BusPrice(price, price, 0, 0, 0),) * buses)
    rows = zip(prices, parts.loss, parts.network, parts.congestion, strict=True)
    return PriceReport(
        PriceSource.AUCTION,
        tuple(
            BusPrice(price, prices[0], loss, network, congestion)
            for price, loss, network, congestion in rows
        ),
    )


def reference_price(market: "Trading", interval: int) -> tuple[PriceSource, int]:
    """What energy of an interval is worth while nothing has traded."""
    orders = market.read_order_book(interval)
    wanted = sum(order.quantity_wh for order in orders if order.side == Side.BID)
    offered = sum(order.quantity_wh for order in orders if order.side == Side.OFFER)
    if wanted == 0:
        return PriceSource.REFERENCE, market.reference_price.get()
    retail = market.config.supplier_price + market.config.network_fee
    price = supply_demand_price(offered, wanted, retail, market.config.feed_in_price)
    return PriceSource.RATIO, price


def check_price_parts(market: "Trading", intervals: Sequence[int]) -> None:
    """Assert that the parts sum to the prices, and income to the rent of what is not settled."""
    for interval in intervals:
        for bus in report_prices(market, interval).buses:
            parts = (bus.energy_micro, bus.loss_micro, bus.network_micro, bus.congestion_micro)
            assert sum(parts) == bus.price_micro, f"parts of a price in {interval}"
        book, income = market.books[interval], market.network_income[interval]
        if book is not None and income is not None:
            found = income.tariff_nano + income.congestion_nano
            assert found == book.rent_nano, f"income of {interval}: {found}, {book.rent_nano}"
