"""Clearing of 100 000 orders against np.argsort of their prices."""

import numpy as np

from runtime.kernels.auction import OrderArrays, TreeArrays, clear
from tests.bench.rounds import medians, show

ORDERS = 100_000
FEEDERS, SUBSTATIONS = 800, 8


def single_bus() -> tuple[TreeArrays, OrderArrays]:
    """All orders at one bus, half of them bids."""
    return TreeArrays.of([0], [0], [0], [0], [0]), book(np.zeros(ORDERS, np.int64))


def region(capacity_wh: int) -> tuple[TreeArrays, OrderArrays]:
    """A region of 800 feeders below 8 substations; orders stand at feeders.

    Every other feeder has four times as many bids as offers, the rest the reverse, so that most of
    what is traded crosses the region.
    """
    buses = 1 + SUBSTATIONS + FEEDERS
    number = np.arange(buses, dtype=np.int64)
    parent = np.where(number <= SUBSTATIONS, 0, 1 + number % SUBSTATIONS)
    is_feeder = number > SUBSTATIONS
    capacity = np.where(is_feeder, capacity_wh, 70 * capacity_wh)
    tree = TreeArrays(
        parent,
        capacity,
        capacity,
        np.where(is_feeder, 25_000, 8_000),
        np.where(is_feeder, 30_000, 20_000),
    )
    generator = np.random.default_rng(2)
    bus = generator.integers(1 + SUBSTATIONS, buses, ORDERS)
    return tree, book(bus, bids_in_ten=np.where(bus % 2 == 0, 2, 8))


def book(bus: np.ndarray, bids_in_ten: np.ndarray | int = 5) -> OrderArrays:
    """Bids from 0.08 to 0.30 per kWh, offers from 0.05 to 0.20, up to 2 kWh."""
    generator = np.random.default_rng(1)
    isbid = (generator.integers(0, 10, ORDERS) < bids_in_ten).astype(np.int64)
    price = np.where(
        isbid == 1,
        generator.integers(80_000, 300_000, ORDERS),
        generator.integers(50_000, 200_000, ORDERS),
    )
    return OrderArrays(bus, price, generator.integers(10, 2_000, ORDERS), isbid)


def run() -> None:
    """Measure and print."""
    bus, tight, ample = single_bus(), region(10_000), region(10_000_000)
    prices = bus[1].price
    found = medians(
        {
            "np.argsort": lambda: np.argsort(prices),
            "np.argsort stable": lambda: np.argsort(prices, kind="stable"),
            "clearing, one bus": lambda: clear(*bus, 0),
            "clearing, 809 buses, congested": lambda: clear(*tight, 0),
            "clearing, 809 buses, uncongested": lambda: clear(*ample, 0),
        },
        rounds=31,
    )
    show(f"Clearing of {ORDERS:,} orders", found, "np.argsort")
