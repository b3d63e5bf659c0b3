"""What the terms of a coupled order come to: executions, energies at most, money at most.

Invariant: whatever execution is accepted, at prices from feed-in to retail and with a surplus of at
least zero, the holds of the positions it becomes need no more than `hold_of_terms`. Bought energy
costs its price and may be left over at a negative imbalance price; sold energy may have to be
bought back at the dearest one; the prices of all of it together are bounded by the value. So one
sum covers an order whose single intervals could each cost more.

Pure functions. Energies are Wh, positive when bought; values are what an execution may cost at
most, negative when it has to earn something.
"""

from typing import NamedTuple

from runtime.kernels.auction import deliver
from runtime.kernels.bounds import LOSS_PPM_MAX, MILLION, QUANTITY_MAX
from runtime.pallets.trading.coupled_records import (
    WINDOW_MAX,
    Battery,
    Block,
    Blocks,
    CoupledOutOfReach,
    CoupledQuantityInvalid,
    CoupledTerms,
    CoupledTermsInvalid,
    CoupledWindowInvalid,
    Flexible,
    Vehicle,
)
from runtime.pallets.trading.orders import QUANTITY_WH_MIN
from runtime.pallets.trading.records import Side
from runtime.pallets.trading.settlement import ZonePrices

INTERVALS_PER_HOUR = 4  # a market interval always means a quarter hour
ACCEPTANCE_STEPS = 4
"""Besides all of it, a block may be accepted at so many smaller ratios, the least one included."""


class Execution(NamedTuple):
    """One way to accept an order."""

    energies: tuple[tuple[int, int], ...]
    """Per interval, rising, what is bought (negative: sold); none is zero."""

    value_nano: int
    """What it may cost at most."""


class Reach(NamedTuple):
    """The most that an order may take and give in an interval."""

    import_wh: int
    export_wh: int


NOTHING = Reach(0, 0)


def executions_of(terms: CoupledTerms) -> list[Execution]:
    """The executions of an order that has finitely many. A vehicle's and a battery's follow from
    the books (`coupled_schedule.py`).
    """
    if isinstance(terms, Blocks):
        return [each for block in terms.blocks for each in executions_of_block(block)]
    if isinstance(terms, Flexible):
        last_start = terms.last - terms.duration + 1
        return [execution_at(terms, start) for start in range(terms.first, last_start + 1)]
    return []


def executions_of_block(block: Block) -> list[Execution]:
    """A block as a whole, and at the smaller ratios that it allows."""
    spare_ppm = MILLION - block.acceptance_min_ppm
    steps = sizes_of(block) - 1
    found: list[Execution] = []
    for step in range(steps + 1):
        ratio_ppm = MILLION - (spare_ppm * step // steps if step else 0)
        parts = [quantity * ratio_ppm // MILLION for quantity in block.quantities_wh]
        found.append(execution(block.side, block.price_micro, block.first, parts))
    return found


def sizes_of(block: Block) -> int:
    """In how many sizes a block may be accepted."""
    return 1 + (ACCEPTANCE_STEPS if block.acceptance_min_ppm < MILLION else 0)


def whole(block: Block) -> Execution:
    """All of a block."""
    return execution(block.side, block.price_micro, block.first, list(block.quantities_wh))


def execution_at(terms: Flexible, start: int) -> Execution:
    """A flexible order that begins with an interval; equal parts, the first ones 1 Wh larger."""
    part, larger = divmod(terms.energy_wh, terms.duration)
    parts = [part + (number < larger) for number in range(terms.duration)]
    return execution(terms.side, terms.price_micro, start, parts)


def execution(side: Side, price_micro: int, first: int, quantities_wh: list[int]) -> Execution:
    """Quantities from an interval on, at one limit for all of them."""
    sign = 1 if side == Side.BID else -1
    energies = tuple(
        (first + number, sign * wh) for number, wh in enumerate(quantities_wh) if wh > 0
    )
    return Execution(energies, sign * price_micro * sum(quantities_wh))


def power_wh(power_w: int) -> int:
    """What a power limit lets through in an interval."""
    return power_w // INTERVALS_PER_HOUR


def named_count(terms: CoupledTerms) -> int:
    """How many intervals unchecked terms name at most, for their weight: cheap in any case."""
    if isinstance(terms, Blocks):
        return sum(len(block.quantities_wh) for block in terms.blocks)
    first, last = window_of(terms)
    return min(max(last - first + 1, 0), WINDOW_MAX)


def entries_of(terms: CoupledTerms) -> int:
    """How many intervals all executions of checked terms have together; a vehicle and a battery
    have one execution at a time.
    """
    if isinstance(terms, Blocks):
        return sum(
            sizes_of(block) * sum(wh > 0 for wh in block.quantities_wh) for block in terms.blocks
        )
    first, last = window_of(terms)
    if isinstance(terms, Flexible):
        return (last - first + 2 - terms.duration) * terms.duration
    return last - first + 1


def window_of(terms: CoupledTerms) -> tuple[int, int]:
    """The first and the last interval of terms that are no blocks."""
    assert isinstance(terms, Flexible | Vehicle | Battery), "there are four kinds"
    return terms.first, terms.last


def intervals_of(terms: CoupledTerms) -> list[int]:
    """The intervals that an order names, rising."""
    if isinstance(terms, Blocks):
        named = {
            block.first + number
            for block in terms.blocks
            for number, wh in enumerate(block.quantities_wh)
            if wh > 0
        }
        return sorted(named)
    first, last = window_of(terms)
    return list(range(first, last + 1))


def reach_at(terms: CoupledTerms, interval: int) -> Reach:
    """The most that an order may take and give in an interval."""
    if isinstance(terms, Blocks):
        reaches = [reach_of_block(block, interval) for block in terms.blocks]
        return Reach(max(r.import_wh for r in reaches), max(r.export_wh for r in reaches))
    first, last = window_of(terms)
    if not first <= interval <= last:
        return NOTHING
    if isinstance(terms, Vehicle):
        return Reach(min(power_wh(terms.power_w), terms.energy_wh), 0)
    if isinstance(terms, Flexible):
        part = -(-terms.energy_wh // terms.duration)
        return Reach(part, 0) if terms.side == Side.BID else Reach(0, part)
    assert isinstance(terms, Battery), "there are four kinds"
    return Reach(power_wh(terms.charge_w), power_wh(terms.discharge_w))


def reach_of_block(block: Block, interval: int) -> Reach:
    """What a whole block takes or gives in an interval."""
    number = interval - block.first
    wh = block.quantities_wh[number] if 0 <= number < len(block.quantities_wh) else 0
    return Reach(wh, 0) if block.side == Side.BID else Reach(0, wh)


def limits_of(terms: CoupledTerms) -> list[int]:
    """The limits that an order names, in micro-DRT per kWh."""
    if isinstance(terms, Blocks):
        return [block.price_micro for block in terms.blocks]
    if isinstance(terms, Flexible | Vehicle):
        return [terms.price_micro]
    return []


def hold_of_terms(terms: CoupledTerms, prices: ZonePrices) -> int:
    """The most that the positions of an accepted execution need to keep aside."""
    if isinstance(terms, Vehicle):
        return worst_case(terms.price_micro * terms.energy_wh, terms.energy_wh, 0, prices)
    if isinstance(terms, Battery):
        intervals = terms.last - terms.first + 1
        sold_wh = delivered_max(terms)
        bought_wh = intervals * power_wh(terms.charge_w)
        with_all_sold = worst_case(-terms.wear_micro * sold_wh, bought_wh, sold_wh, prices)
        return max(with_all_sold, worst_case(0, bought_wh, 0, prices))
    # Parts of a block need less than the block; a flexible order needs the same at any time.
    wholes = (
        [whole(block) for block in terms.blocks]
        if isinstance(terms, Blocks)
        else executions_of(terms)[:1]
    )
    return max(worst_case_of(each, prices) for each in wholes)


def worst_case_of(each: Execution, prices: ZonePrices) -> int:
    """What an execution needs at most."""
    bought_wh = sum(max(wh, 0) for _, wh in each.energies)
    sold_wh = sum(max(-wh, 0) for _, wh in each.energies)
    return worst_case(each.value_nano, bought_wh, sold_wh, prices)


def worst_case(value_nano: int, bought_wh: int, sold_wh: int, prices: ZonePrices) -> int:
    """What an execution of a value needs at most, with prices between feed-in and retail."""
    left_over = max(0, -prices.imbalance_price_min)
    return max(0, value_nano + left_over * bought_wh + prices.imbalance_price_max * sold_wh)


def split_of_hold(wh: int, price_micro: int, prices: ZonePrices) -> int:
    """What one interval of an accepted execution needs of the order's hold."""
    if wh >= 0:
        return wh * max(0, price_micro - min(0, prices.imbalance_price_min))
    return -wh * max(0, prices.imbalance_price_max - price_micro)


def delivered_max(terms: Battery) -> int:
    """The most that a battery can give back within its window, charging in the other intervals."""
    intervals = terms.last - terms.first + 1
    loss_ppm = loss_of(terms)
    stored_wh = deliver(power_wh(terms.charge_w), loss_ppm)
    return max(
        min(
            (intervals - charging) * power_wh(terms.discharge_w),
            deliver(terms.stored_wh + charging * stored_wh, loss_ppm),
        )
        for charging in range(intervals + 1)
    )


def loss_of(terms: Battery) -> int:
    """What a battery loses each way."""
    return MILLION - terms.efficiency_ppm


def check_terms(terms: CoupledTerms) -> None:
    """Refuse terms that nobody could execute."""
    if isinstance(terms, Blocks):
        if not terms.blocks:
            raise CoupledTermsInvalid
        for block in terms.blocks:
            check_block(block)
    elif isinstance(terms, Flexible):
        check_flexible(terms)
    elif isinstance(terms, Vehicle):
        check_vehicle(terms)
    else:
        assert isinstance(terms, Battery), "there are four kinds"
        check_battery(terms)


def check_block(block: Block) -> None:
    """Refuse a block without energy, with one that is out of bounds, or with odd parts."""
    quantities = block.quantities_wh
    if not quantities or 0 in (quantities[0], quantities[-1]):
        raise CoupledWindowInvalid
    if not 0 < block.acceptance_min_ppm <= MILLION:
        raise CoupledTermsInvalid
    for quantity in quantities:
        if quantity:
            check_bounds(quantity, quantity * block.acceptance_min_ppm // MILLION)


def check_flexible(terms: Flexible) -> None:
    """Refuse a window or a duration out of bounds."""
    intervals = check_window(terms.first, terms.last)
    if not 0 < terms.duration <= intervals:
        raise CoupledTermsInvalid
    check_bounds(terms.energy_wh, terms.energy_wh // terms.duration)


def check_vehicle(terms: Vehicle) -> None:
    """Refuse a charge that does not fit its window."""
    intervals = check_window(terms.first, terms.last)
    check_bounds(terms.energy_wh)
    if power_wh(terms.power_w) * intervals < terms.energy_wh:
        raise CoupledOutOfReach


def check_battery(terms: Battery) -> None:
    """Refuse a battery that contradicts itself."""
    intervals = check_window(terms.first, terms.last)
    check_bounds(terms.capacity_wh)
    check_bounds(power_wh(terms.charge_w))
    check_bounds(power_wh(terms.discharge_w))
    if not MILLION - LOSS_PPM_MAX <= terms.efficiency_ppm <= MILLION:
        raise CoupledTermsInvalid
    if max(terms.stored_wh, terms.stored_end_wh) > terms.capacity_wh:
        raise CoupledTermsInvalid
    per_interval = deliver(power_wh(terms.charge_w), loss_of(terms))
    if terms.stored_wh + per_interval * intervals < terms.stored_end_wh:
        raise CoupledOutOfReach


def check_window(first: int, last: int) -> int:
    """Refuse a window that is empty or too long; how many intervals it has."""
    intervals = last - first + 1
    if not 0 < intervals <= WINDOW_MAX:
        raise CoupledWindowInvalid
    return intervals


def check_bounds(most_wh: int, least_wh: int | None = None) -> None:
    """Refuse an energy for which clearing is not exact, or that costs others more than it is."""
    least_wh = most_wh if least_wh is None else least_wh
    if least_wh < QUANTITY_WH_MIN or most_wh > QUANTITY_MAX:
        raise CoupledQuantityInvalid
