"""Random books and coupled orders for a zone, and what an acceptance has to keep."""

from collections.abc import Sequence
from functools import partial
from random import Random

from runtime.kernels.auction import deliver, send_for
from runtime.pallets.trading.coupled_records import (
    Battery,
    Block,
    Blocks,
    CoupledAccepted,
    CoupledTerms,
    Flexible,
    Vehicle,
)
from runtime.pallets.trading.coupled_terms import executions_of, loss_of, power_wh
from tests.runtime.pallets.zone import BID, CONSTANTS, K0, OFFER, Zone

K = K0 + 5
INTERVALS = 10
ALL = 1_000_000
FEED_IN = CONSTANTS["feed_in_price"]
RETAIL = CONSTANTS["supplier_price"] + CONSTANTS["network_fee"]


def random_terms(random: Random, first: int = K, intervals: int = INTERVALS) -> CoupledTerms:
    """One of the four kinds, within a window."""
    kind, last = random.randrange(4), first + intervals - 1
    side = random.choice((BID, OFFER))
    price = random.randrange(FEED_IN, RETAIL + 1)
    if kind == 0:
        return Blocks(
            tuple(random_block(random, first, intervals) for _ in range(random.randrange(1, 4)))
        )
    if kind == 1:
        duration = random.randrange(1, min(4, intervals + 1))
        return Flexible(side, price, random.randrange(50, 900), duration, first, last)
    if kind == 2:
        return Vehicle(
            price, random.randrange(100, 2_000), random.randrange(900, 4_000), first, last
        )
    capacity_wh = random.randrange(500, 3_000)
    return Battery(
        first,
        last,
        capacity_wh,
        random.randrange(capacity_wh),
        random.randrange(capacity_wh // 2),
        random.randrange(1_000, 4_000),
        random.randrange(400, 4_000),
        random.choice((ALL, 950_000, 800_000)),
        random.choice((0, 0, 5_000, 50_000)),
    )


def random_block(random: Random, first: int, intervals: int) -> Block:
    """Up to five intervals, all or none or half of it."""
    offset = random.randrange(intervals)
    length = random.randrange(1, min(5, intervals - offset) + 1)
    return Block(
        random.choice((BID, OFFER)),
        random.randrange(FEED_IN, RETAIL + 1),
        first + offset,
        tuple(random.randrange(40, 400) for _ in range(length)),
        random.choice((ALL, 500_000)),
    )


def place_books(zone: Zone, random: Random, connections: int, each: int) -> None:
    """Ordinary orders in every interval, of the supplier as well; some may be refused."""
    for interval in range(K, K + INTERVALS):
        for number in range(connections + 1):
            for _ in range(random.randrange(each + 1)):
                side, price = random.choice((BID, OFFER)), random.randrange(FEED_IN, RETAIL + 1)
                wh = random.randrange(10, 500)
                zone.tries(partial(zone.order, number, interval, side, price, wh))


def check_acceptance(terms: CoupledTerms, accepted: CoupledAccepted) -> None:
    """Assert that an order was accepted as a whole, within its limits, and not at a loss."""
    energies = [(fill.interval, fill.buy_wh - fill.sell_wh) for fill in accepted.fills]
    value = check_whole(terms, energies)
    cost = sum((fill.buy_wh - fill.sell_wh) * fill.price_micro for fill in accepted.fills)
    assert accepted.surplus_nano == value - cost >= 0
    assert all(FEED_IN <= fill.price_micro <= RETAIL for fill in accepted.fills)
    assert all(min(fill.buy_wh, fill.sell_wh) == 0 for fill in accepted.fills)


def check_whole(terms: CoupledTerms, energies: Sequence[tuple[int, int]]) -> int:
    """Assert that energies are an execution of an order; what it may cost at most."""
    if isinstance(terms, Vehicle):
        assert sum(wh for _, wh in energies) == terms.energy_wh
        assert all(0 < wh <= power_wh(terms.power_w) for _, wh in energies)
        assert all(terms.first <= interval <= terms.last for interval, _ in energies)
        return terms.price_micro * terms.energy_wh
    if isinstance(terms, Battery):
        check_battery(terms, dict(energies))
        return -terms.wear_micro * sum(max(-wh, 0) for _, wh in energies)
    (found,) = {each for each in executions_of(terms) if list(each.energies) == list(energies)}
    return found.value_nano


def check_battery(terms: Battery, energies: dict[int, int]) -> None:
    """Follow a battery through its window: the store may round against its owner, 1 Wh a time."""
    loss_ppm = loss_of(terms)
    most = least = terms.stored_wh
    for interval in range(terms.first, terms.last + 1):
        wh = energies.pop(interval, 0)
        assert -power_wh(terms.discharge_w) <= wh <= power_wh(terms.charge_w)
        change = deliver(wh, loss_ppm) if wh >= 0 else -send_for(-wh, loss_ppm)
        most, least = most + change, least + change - (wh != 0)
        assert most >= 0, f"more is sold than was stored in {interval}"
        assert least <= terms.capacity_wh, f"more is stored than fits in {interval}"
    assert not energies, "it trades within its window"
    assert most >= terms.stored_end_wh
