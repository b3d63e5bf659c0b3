"""The best execution of a vehicle or a battery against the curves of its intervals.

A store over T intervals is a caterpillar tree, so the auction's own kernel plans it exactly: a
chain of T nodes, each handing what is stored to the next one (at most the capacity, never back),
and at each node the interval's bus (limits: the power; loss: the efficiency; tariff: half the wear
each way). What was stored at the beginning is an offer at the first node, what has to be stored at
the end a bid at the last one; both come before everything else.

Invariant: whatever is planned is checked by following the store through its window in integers; a
plan that would not work out is none.
"""

from collections.abc import Sequence
from typing import NamedTuple

from runtime.kernels.auction import (
    OrderArrays,
    TreeArrays,
    clear_signed,
    deliver,
    send_for,
)
from runtime.kernels.bounds import PRICE_MAX, TARIFF_MAX
from runtime.kernels.coupled import Curve
from runtime.pallets.trading.coupled_records import Battery, CoupledTerms, Vehicle
from runtime.pallets.trading.coupled_terms import loss_of, power_wh

STEPS_MAX = 64  # of an interval, each way: orders that one store could match in it; bounds a plan


class Store(NamedTuple):
    """A vehicle or a battery as a plan sees it."""

    capacity_wh: int
    stored_wh: int
    stored_end_wh: int
    charge_wh: int
    """Per interval, at the meter."""

    discharge_wh: int
    loss_ppm: int
    """Each way."""

    wear_micro: int


class Node(NamedTuple):
    """One interval of a window."""

    curve: Curve
    position_wh: int
    """What others take of it."""

    is_closed: bool
    """The store has to pause."""


def store_of(terms: CoupledTerms) -> Store:
    """The store that a vehicle or a battery is. A vehicle's own losses are its own."""
    if isinstance(terms, Vehicle):
        energy_wh = terms.energy_wh
        power = min(power_wh(terms.power_w), energy_wh)
        return Store(energy_wh, 0, energy_wh, power, 0, 0, 0)
    assert isinstance(terms, Battery), "only these two are planned"
    return Store(
        terms.capacity_wh,
        terms.stored_wh,
        terms.stored_end_wh,
        power_wh(terms.charge_w),
        power_wh(terms.discharge_w),
        loss_of(terms),
        terms.wear_micro,
    )


def value_of(terms: CoupledTerms, energies: Sequence[tuple[int, int]]) -> int:
    """What a plan may cost at most: a vehicle's limit, or less than nothing for wear."""
    if isinstance(terms, Vehicle):
        return terms.price_micro * sum(wh for _, wh in energies)
    assert isinstance(terms, Battery), "only these two are planned"
    return -terms.wear_micro * sum(-wh for _, wh in energies if wh < 0)


def plan(store: Store, window: Sequence[Node], hurdle: int, price_floor: int) -> list[int] | None:
    """What a store buys (negative: sells) in each interval of its window; None: it cannot, or does
    nothing. `hurdle`: what each Wh has to bring besides, on its way in and on its way out.
    """
    intervals = len(window)
    tree = caterpillar(store, window, hurdle)
    top = PRICE_MAX - price_floor - 1
    orders: list[tuple[int, int, int, int]] = []  # bus, price, quantity, is it a bid
    if store.stored_end_wh:
        orders.append((intervals - 1, top, store.stored_end_wh, 1))
    for number, node in enumerate(window):
        if not node.is_closed:
            up = node.curve.steps_up(node.position_wh, store.charge_wh, STEPS_MAX)
            down = node.curve.steps_down(node.position_wh, store.discharge_wh, STEPS_MAX)
            orders += [(intervals + number, step.price, step.quantity_wh, 0) for step in up]
            orders += [(intervals + number, step.price, step.quantity_wh, 1) for step in down]
    least = min((price for _, price, _, _ in orders), default=1)
    nothing = 1 if least >= 1 else -price_floor  # below 1 all prices are raised
    if store.stored_wh:
        orders.append((0, nothing, store.stored_wh, 0))
    spare_wh = store.capacity_wh - store.stored_end_wh
    if spare_wh:
        orders.append((intervals - 1, nothing, spare_wh, 1))
    bus, price, quantity, isbid = zip(*orders, strict=True)
    # Within the auction's bounds: 96 nodes of at most 2**26 Wh each way, 64 steps each way.
    cleared = clear_signed(tree, OrderArrays.of(bus, price, quantity, isbid), 0, price_floor)
    energies: list[int] = cleared.net_export[intervals:].tolist()
    contents: list[int] = cleared.received_parent[intervals:].tolist()
    if not any(energies) or not is_possible(store, energies, contents):
        return None
    return energies


def caterpillar(store: Store, window: Sequence[Node], hurdle: int) -> TreeArrays:
    """The chain of a store's nodes, and at each of them its interval's bus."""
    intervals = len(window)
    chain = [0] * intervals
    tariff = min(store.wear_micro // 2 + hurdle, TARIFF_MAX)
    return TreeArrays.of(
        [0, *range(intervals - 1), *range(intervals)],
        [*chain, *([store.charge_wh] * intervals)],
        [
            *([store.capacity_wh] * intervals),
            *(send_for(store.discharge_wh, store.loss_ppm) for _ in window),
        ],
        [*chain, *([store.loss_ppm] * intervals)],
        [*chain, *([tariff] * intervals)],
    )


def is_possible(store: Store, energies: Sequence[int], contents: Sequence[int]) -> bool:
    """Whether a store can do that: what it buys or sells, and how its content changes by it."""
    stored_wh = store.stored_wh
    for wh, change_wh in zip(energies, contents, strict=True):
        if not -store.discharge_wh <= wh <= store.charge_wh:
            return False
        if wh >= 0 and deliver(wh, store.loss_ppm) < change_wh:
            return False
        if wh < 0 and deliver(-change_wh, store.loss_ppm) < -wh:
            return False
        stored_wh += change_wh
        if not 0 <= stored_wh <= store.capacity_wh:
            return False
    return stored_wh >= store.stored_end_wh
