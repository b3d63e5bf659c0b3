"""Books to measure clearing on: a region of homes, congested trees, one bus. All from a seed.

The region is the project's own generator of instances: a root, regions, substations of 100 feeders,
feeders of 50 to 200 homes; household load by the hour, photovoltaics in clusters, electric cars,
heat pumps, batteries, wind and hydro at the substations and a supplier at the root. Integers and
splitmix64 only, so it is the same on every machine (tested by digest). The market's tick and least
quantity are ignored.
"""

from typing import NamedTuple

import numpy as np

from runtime.kernels.arrays import Int64Array
from runtime.kernels.auction import OrderArrays, TreeArrays
from runtime.kernels.bounds import QUANTITY_MAX

U64 = np.uint64

# Mean load of a home in a quarter of an hour (Wh), and a clear sky's yield of 1 kWp, by hour.
LOAD = np.array([
    45, 38, 35, 34, 35, 42, 70, 95, 100, 95, 92, 98,
    115, 110, 95, 92, 105, 150, 190, 200, 180, 145, 105, 65,
])  # fmt: skip
YIELD = np.array([
    0, 0, 0, 0, 0, 4, 18, 45, 85, 125, 160, 185,
    195, 190, 172, 145, 110, 70, 35, 12, 2, 0, 0, 0,
])  # fmt: skip
RETAIL, FEED_IN = 300_000, 80_000
FEEDERS_PER_SUBSTATION, SUBSTATIONS_PER_REGION = 100, 100
HOMES_PER_FEEDER = (50, 201)
PV_PPM, CAR_PPM, HEAT_PUMP_PPM = 400_000, 150_000, 100_000
BATTERY_WH = 1_250


class Instance(NamedTuple):
    """A tree and a book on it."""

    tree: TreeArrays
    orders: OrderArrays


def random_words(seed: int, count: int, stream: int) -> np.ndarray:
    """Splitmix64: `count` words of 64 bits."""
    with np.errstate(over="ignore"):
        start = U64(seed) * U64(0x9E3779B97F4A7C15) + U64(stream) * U64(0xD1B54A32D192ED03)
        z: np.ndarray = start + np.arange(1, count + 1, dtype=U64) * U64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> U64(30))) * U64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> U64(27))) * U64(0x94D049BB133111EB)
        return z ^ (z >> U64(31))


def uniform(seed: int, count: int, stream: int, low: int, high: int) -> Int64Array:
    """`count` integers from `low` to below `high`."""
    words = (random_words(seed, count, stream) >> U64(33)).astype(np.int64)
    return (words * (high - low) >> 31) + low


class Grid(NamedTuple):
    """The tree of a region; feeders are the buses from `feeder` on, substations those before."""

    tree: TreeArrays
    homes: Int64Array
    """How many each feeder has."""
    substation: int
    feeder: int


def region_grid(homes: int, seed: int) -> Grid:
    """As many feeders as the homes need; each edge built for the middle of what is below it."""
    sizes: list[int] = []
    left = homes
    for size in uniform(seed, homes // HOMES_PER_FEEDER[0] + 2, 1, *HOMES_PER_FEEDER).tolist():
        if left > 0:
            sizes.append(min(left, size))
            left -= size
    feeders = len(sizes)
    substations = -(-feeders // FEEDERS_PER_SUBSTATION)
    regions = -(-substations // SUBSTATIONS_PER_REGION)
    first_substation, first_feeder = 1 + regions, 1 + regions + substations
    parent = np.concatenate(
        (
            np.zeros(1 + regions, np.int64),
            1 + np.arange(substations) // SUBSTATIONS_PER_REGION,
            first_substation + np.arange(feeders) // FEEDERS_PER_SUBSTATION,
        )
    )
    buses = parent.size
    loss, tariff, cap_up = (np.zeros(buses, np.int64) for _ in range(3))
    loss[1:first_substation] = uniform(seed, regions, 2, 3_000, 8_000)
    loss[first_substation:first_feeder] = uniform(seed, substations, 3, 6_000, 15_000)
    loss[first_feeder:] = uniform(seed, feeders, 4, 15_000, 45_000)
    tariff[1:first_substation] = 10_000
    tariff[first_substation:first_feeder] = 20_000
    tariff[first_feeder:] = 30_000
    cap_up[first_feeder:] = np.array(sizes) * uniform(seed, feeders, 5, 300, 700)
    for v in range(first_feeder - 1, 0, -1):
        cap_up[v] = int(cap_up[parent == v].sum()) * 7 // 10
    cap_down = cap_up.copy()
    cap_down[first_feeder:] = cap_up[first_feeder:] * 12 // 10
    tree = TreeArrays(parent, cap_up, cap_down, loss, tariff)
    return Grid(tree, np.array(sizes), first_substation, first_feeder)


def region(homes: int, interval: int, seed: int = 1) -> Instance:
    """A summer day's book of quarter-hour `interval` (0 to 95)."""
    grid = region_grid(homes, seed)
    hour, then = interval // 4, seed + interval
    home_bus = np.repeat(np.arange(grid.feeder, grid.tree.parent.size), grid.homes)

    def share(stream: int, ppm: int | Int64Array) -> np.ndarray:
        return uniform(seed, homes, stream, 0, 1_000_000) < ppm

    load = LOAD[hour] * uniform(seed, homes, 6, 300, 2_000) // 1_000 + uniform(
        then, homes, 7, 0, 60
    )
    has_car, has_heat_pump = share(8, CAR_PPM), share(9, HEAT_PUMP_PPM)
    charging = 450 if hour >= 17 or hour < 6 else 120
    car = np.where(has_car & (uniform(then, homes, 10, 0, 1_000) < charging), 1_850, 0)
    load = load + np.where(has_heat_pump, 150, 0)
    clustered = np.repeat(uniform(seed, grid.homes.size, 11, 0, 2 * PV_PPM), grid.homes)
    kilowatts = np.where(share(12, clustered), uniform(seed, homes, 13, 3, 12), 0)
    sky = np.repeat(uniform(then, grid.homes.size, 14, 500, 1_000), grid.homes)
    net = YIELD[hour] * kilowatts * sky // 1_000 - load
    green = np.where(uniform(seed, homes, 16, 0, 10) == 0, 20_000, 0)
    has_battery = share(19, PV_PPM // 3)
    battery = np.full(homes, BATTERY_WH)
    is_evening = hour >= 17
    rows = [
        (net < 0, 1, uniform(then, homes, 15, 240_000, RETAIL) + green, -net),
        (net > 0, 0, uniform(then, homes, 17, FEED_IN, 180_000), net),
        (car > 0, 1, uniform(then, homes, 18, 90_000, 260_000), car),
        (has_battery & is_evening, 0, uniform(then, homes, 20, 180_000, 280_000), battery),
        (has_battery & (not is_evening), 1, uniform(then, homes, 21, 70_000, 150_000), battery),
    ]
    chosen = [
        (np.nonzero(mask & (qty > 0))[0], side, price, qty) for mask, side, price, qty in rows
    ]
    bus = np.concatenate([home_bus[at] for at, _, _, _ in chosen])
    price = np.concatenate([price[at] for at, _, price, _ in chosen])
    qty = np.concatenate([qty[at] for at, _, _, qty in chosen])
    isbid = np.concatenate([np.full(at.size, side) for at, side, _, _ in chosen])
    # The supplier sells at retail and buys at feed-in whatever there is; parks at the substations.
    parks = np.arange(grid.substation, grid.feeder)
    supply = int(qty.sum()) + 1
    bus = np.concatenate((bus, [0, 0], parks))
    price = np.concatenate(
        (price, [RETAIL, FEED_IN], uniform(then, parks.size, 23, 40_000, 90_000))
    )
    qty = np.concatenate((qty, [supply, supply], uniform(then, parks.size, 22, 0, 20_000)))
    isbid = np.concatenate((isbid, [0, 1], np.zeros(parks.size, np.int64)))
    some = qty > 0
    return Instance(grid.tree, OrderArrays(bus[some], price[some], qty[some], isbid[some]))


def split_large(instance: Instance) -> Instance:
    """The same book with orders above the greatest quantity cut into several."""
    orders = instance.orders
    parts = -(-orders.qty // QUANTITY_MAX)
    at = np.repeat(np.arange(parts.size), parts)
    nth = np.arange(at.size) - np.repeat(np.cumsum(parts) - parts, parts)
    qty = np.minimum(orders.qty[at] - nth * QUANTITY_MAX, QUANTITY_MAX)
    return Instance(
        instance.tree, OrderArrays(orders.bus[at], orders.price[at], qty, orders.isbid[at])
    )


def congested(orders: int, leaves: int, middles: int, seed: int = 1) -> Instance:
    """A tree of three levels, orders at the leaves in no order; half of the leaves at capacity.

    Every other leaf has more offers than bids, the rest the reverse.
    """
    buses = 1 + middles + leaves
    number = np.arange(buses)
    parent = np.where(number <= middles, 0, 1 + (number - 1 - middles) * middles // leaves)
    is_leaf = number > middles
    bus = uniform(seed, orders, 1, 1 + middles, buses)
    isbid = (uniform(seed, orders, 2, 0, 10) < np.where(bus % 2 == 0, 3, 7)).astype(np.int64)
    price = np.where(
        isbid == 1,
        uniform(seed, orders, 3, FEED_IN, RETAIL),
        uniform(seed, orders, 4, 50_000, 200_000),
    )
    mean_wh = orders // leaves * 1_000
    capacity = np.where(number // 2 % 2 == 0, mean_wh // 40, mean_wh * 10)
    capacity = np.where(is_leaf, capacity, mean_wh * leaves)
    tree = TreeArrays(
        parent,
        capacity,
        capacity,
        np.where(is_leaf, 25_000, 8_000),
        np.where(is_leaf, 30_000, 20_000),
    )
    return Instance(tree, OrderArrays(bus, price, uniform(seed, orders, 5, 10, 2_000), isbid))


def on_one_bus(instance: Instance) -> Instance:
    """The same book without a grid."""
    zeros = np.zeros_like(instance.orders.bus)
    book = OrderArrays(zeros, instance.orders.price, instance.orders.qty, instance.orders.isbid)
    return Instance(TreeArrays.of([0], [0], [0], [0], [0]), book)
