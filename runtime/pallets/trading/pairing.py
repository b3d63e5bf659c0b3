"""Who bought from whom: the pairs of a call, fitted to its fills and flows.

After each call for an interval, what the call filled is paired so that declared preferences are
satisfied as far as the flows allow (`runtime.kernels.pairing`); quantities and prices stay as they
are. What an edge lost is bought by the network where the energy entered the edge, so that the rest
travels without a loss and every Wh that was sold ends in exactly one pair.

The weight of a pair is the premium the buyer adds for green energy, and below that, as premiums
decide first, the points of both sides' wishes: sources, locality, partners. Between equals decides
the hash of the call block's parent and the connection's number, as it does in the auction.

Invariants: the pairs of a seller add up to what it sold, those of a buyer to what it bought, those
of the network to the booked loss; no premium is promised that its buyer's budget does not cover.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from msgspec.structs import replace

from runtime.kernels.arrays import Int64Array
from runtime.kernels.auction import as_array
from runtime.kernels.pairing import CELLS_MAX, EXACT_CELLS_MAX, Pairing, Parties, pair
from runtime.pallets.grid_balancing import BUSES_MAX, EdgeFlows
from runtime.pallets.trading.records import Holding
from runtime.pallets.trading.right_records import (
    GREEN,
    MIX,
    NETWORK,
    PREMIUM_MICRO_MAX,
    EnergyClass,
    FillsPaired,
    Pair,
    Preferences,
)
from runtime.primitives.hashing import blake2_256

if TYPE_CHECKING:
    from runtime.pallets.trading import Trading

PAIRS_MAX = 1_024
"""Pairs of an interval; calls that would add more are mixed. Bounds what each call reads again."""

PAIRS_PER_PARTY_MAX = 4  # usual pairings have hardly more than one for each

PAIRING_WEIGHT = 3_000_000_000  # 3 ms: reading and writing that many pairs; of few orders:
FEW_WEIGHT = 300_000_000  # 300 us: parties, weights and the table of few orders
PAIR_WEIGHT = 3_000_000  # 3 us: reading, merging and writing a pair
CELL_WEIGHT = 500_000  # 0.5 us: a cell of a table that is solved exactly
MIXED_PAIR_WEIGHT = 3_000_000  # 3 us: one of those beyond, with the mix
PAIRED_ORDER_WEIGHT = 25_000_000  # 25 us: its connection's wishes, its part of the table

POINTS_SCALE = 4
"""Points are quartered for the zone, so a point counts four."""

PREMIUM_SCALE = 1_024
"""Above all points of both sides: 100 each, times four."""

assert 2 * 100 * POINTS_SCALE < PREMIUM_SCALE and PREMIUM_MICRO_MAX * PREMIUM_SCALE < 2**30

FEEDER_DEPTH = 2
"""Buses this far from the root begin feeders: the root is outside, its child is the busbar."""

NO_FEEDER = -1


class Party(NamedTuple):
    """A seller, a buyer, or a place where the network lost energy."""

    number: int
    bus: int
    wh: int
    energy_class: EnergyClass = EnergyClass.UNSPECIFIED
    """Of a seller."""

    premium_micro: int = 0
    """Of a buyer; one that cannot pay it for everything stands here twice."""


def pair_fills(
    market: "Trading",
    salt: bytes,
    interval: int,
    before: Mapping[int, Holding],
    after: Mapping[int, Holding],
    flows_before: EdgeFlows,
) -> None:
    """Pair what a call filled: the difference of holdings and flows. `after`: those that changed.

    `salt` is the hash of the call block's parent.
    """
    sold, bought = fills_of(before, after)
    if not sold:
        return
    grid = market.config.grid
    parent = grid.parents()
    flow, lost = travelling(parent, flows_before, grid.flows_of(interval))
    sellers = [
        Party(number, market.connection_at(number).bus, sold[number], market.class_of(number))
        for number in in_canonical_order(salt, interval, sold)
    ]
    takers = [
        part
        for number in in_canonical_order(salt, interval, bought)
        for part in buyer_parts(market, number, bought[number])
    ]
    takers.sort(key=lambda party: -party.premium_micro)  # the others stay in their order
    takers += [Party(NETWORK, bus, wh) for bus, wh in enumerate(lost) if wh]
    stored = market.pairs[interval] or ()
    room = PAIRS_MAX - named_pairs(stored)
    is_exact = False
    if len(sellers) * len(takers) > CELLS_MAX or len(sellers) + len(takers) > room:
        found = mixed(sellers, takers)
    else:
        pairing = pair_parties(market, parent, flow, sellers, takers)
        is_exact = pairing.is_exact
        found = pairs_of(market, pairing, sellers, takers)
        if len(found) > min(room, PAIRS_PER_PARTY_MAX * (len(sellers) + len(takers))):
            found, is_exact = mixed(sellers, takers), False
    reserve_premiums(market, found)
    market.pairs[interval] = merged([*stored, *found])
    green_wh = sum(
        each.wh for each in found if each.energy_class in GREEN and each.buyer not in (MIX, NETWORK)
    )
    market.deposit_event(FillsPaired(interval, sum(bought.values()), green_wh, is_exact))


def pairing_weight(orders: int, stored: int, buses: int = BUSES_MAX) -> int:
    """What pairing a call of so many orders takes at most beside the pairs of earlier calls, in
    picoseconds. A buyer may stand in two parts, and each bus take what is lost there.
    """
    parties = 2 * orders + buses
    pairs = min(stored, PAIRS_MAX) + PAIRS_PER_PARTY_MAX * parties
    cells = min(orders * parties, EXACT_CELLS_MAX)
    few = FEW_WEIGHT + PAIR_WEIGHT * pairs + CELL_WEIGHT * cells
    beyond = MIXED_PAIR_WEIGHT * max(0, stored - PAIRS_MAX)
    return min(few, PAIRING_WEIGHT) + beyond + PAIRED_ORDER_WEIGHT * orders


def stored_pairs(market: "Trading", interval: int) -> int:
    """How many pairs earlier calls made; whoever asks has the call read them next."""
    return len(market.pairs[interval] or ())


def fills_of(
    before: Mapping[int, Holding], after: Mapping[int, Holding]
) -> tuple[dict[int, int], dict[int, int]]:
    """What each connection sold and bought, if anything."""
    sold = {n: h.sell_wh - before[n].sell_wh for n, h in after.items()}
    bought = {n: h.buy_wh - before[n].buy_wh for n, h in after.items()}
    return (
        {number: wh for number, wh in sold.items() if wh},
        {number: wh for number, wh in bought.items() if wh},
    )


def travelling(
    parent: Sequence[int], before: EdgeFlows, after: EdgeFlows
) -> tuple[list[int], list[int]]:
    """What a call moved over each edge and brought to its end, up positive, and what was lost at
    each bus: where the energy that does not arrive entered the edge.
    """
    flow, lost = [0] * len(parent), [0] * len(parent)
    for bus in range(1, len(parent)):
        left = after.net_export[bus] - before.net_export[bus]
        got = after.received[bus] - before.received[bus]
        up, down = max(got, 0), max(-left, 0)
        flow[bus] = up - down
        lost[bus] += max(left, 0) - up
        lost[parent[bus]] += max(-got, 0) - down
    return flow, lost


def in_canonical_order(salt: bytes, interval: int, numbers: Mapping[int, int]) -> list[int]:
    """Connections by a hash that nobody knew when orders were signed."""

    def rank(number: int) -> bytes:
        return blake2_256(salt + interval.to_bytes(4, "little") + number.to_bytes(4, "little"))

    return sorted(numbers, key=rank)


def buyer_parts(market: "Trading", number: int, wh: int) -> list[Party]:
    """A buyer, or its two parts if its budget covers the premium of one only."""
    bus = market.connection_at(number).bus
    premium = market.premiums[number]
    if premium is None or premium.premium_micro == 0:
        return [Party(number, bus, wh)]
    rate = premium.premium_micro
    paid_wh = min(wh, (premium.budget_nano - premium.reserved_nano) // rate)
    parts = [Party(number, bus, paid_wh, premium_micro=rate), Party(number, bus, wh - paid_wh)]
    return [part for part in parts if part.wh]


def pair_parties(
    market: "Trading",
    parent: Sequence[int],
    flow: Sequence[int],
    sellers: Sequence[Party],
    takers: Sequence[Party],
) -> Pairing:
    """The pairing of a call with the weights of everyone's wishes."""
    return pair(
        as_array(parent),
        as_array(flow),
        Parties(as_array([s.bus for s in sellers]), as_array([s.wh for s in sellers])),
        Parties(as_array([t.bus for t in takers]), as_array([t.wh for t in takers])),
        weights(market, parent, sellers, takers),
    )


def weights(
    market: "Trading", parent: Sequence[int], sellers: Sequence[Party], takers: Sequence[Party]
) -> Int64Array:
    """What a Wh is worth to each pair, sellers by rows. The network wishes nothing."""
    seller_bus, taker_bus = (as_array([each.bus for each in side]) for side in (sellers, takers))
    seller_number, taker_number = (
        as_array([each.number for each in side]) for side in (sellers, takers)
    )
    wishes = [
        None if taker.number == NETWORK else market.preferences_of(taker.number) for taker in takers
    ]
    classes = as_array([seller.energy_class for seller in sellers])
    green = as_array([seller.energy_class in GREEN for seller in sellers])
    masks = as_array([wish.sources if wish else 0 for wish in wishes])
    points = np.array(
        [(w.source_points, w.locality_points) if w else (0, 0) for w in wishes], np.int64
    )
    feeder = as_array(feeders(parent))
    same_bus = seller_bus[:, None] == taker_bus
    same_feeder = (feeder[seller_bus][:, None] == feeder[taker_bus]) & (feeder[taker_bus] >= 0)
    same_zone = (seller_bus[:, None] != 0) & (taker_bus != 0)
    quarters = np.where(same_bus, 4, np.where(same_feeder, 2, same_zone.astype(np.int64)))
    is_liked = (masks >> classes[:, None]) & 1
    table = (POINTS_SCALE * is_liked * points[:, 0] + quarters * points[:, 1]).astype(np.int64)
    add_partners(market, table, sellers, takers, wishes)
    table += PREMIUM_SCALE * green[:, None] * as_array([taker.premium_micro for taker in takers])
    table[seller_number[:, None] == taker_number] = 0  # a round trip is nobody's wish
    return np.ascontiguousarray(table)


def feeders(parent: Sequence[int]) -> list[int]:
    """By bus, the first bus of its feeder; the root and the busbars below it have none."""
    depth, feeder = [0] * len(parent), [NO_FEEDER] * len(parent)
    for bus in range(1, len(parent)):
        depth[bus] = depth[parent[bus]] + 1
        if depth[bus] == FEEDER_DEPTH:
            feeder[bus] = bus
        elif depth[bus] > FEEDER_DEPTH:
            feeder[bus] = feeder[parent[bus]]
    return feeder


def add_partners(
    market: "Trading",
    table: Int64Array,
    sellers: Sequence[Party],
    takers: Sequence[Party],
    wishes: Sequence[Preferences | None],
) -> None:
    """Add the points of those who like each other, or one the other, by name."""
    rows = {seller.number: row for row, seller in enumerate(sellers)}
    columns: dict[int, list[int]] = {}
    for column, (taker, wish) in enumerate(zip(takers, wishes, strict=True)):
        if wish is not None:
            columns.setdefault(taker.number, []).append(column)
            for partner in wish.partners:
                if partner in rows:
                    table[rows[partner], column] += POINTS_SCALE * wish.partner_points
    for row, seller in enumerate(sellers):
        wish = market.preferences_of(seller.number)
        for partner in wish.partners:
            for column in columns.get(partner, ()):
                table[row, column] += POINTS_SCALE * wish.partner_points


def pairs_of(
    market: "Trading", pairing: Pairing, sellers: Sequence[Party], takers: Sequence[Party]
) -> list[Pair]:
    """The pairs of a pairing, as they are kept."""
    table = pairing.pairs_wh
    return [
        pair_between(market, sellers[row], takers[column], int(table[row, column]))
        for row, column in np.argwhere(table).tolist()
    ]


def pair_between(market: "Trading", seller: Party, taker: Party, wh: int) -> Pair:
    """A pair; a premium is promised for green energy, to someone else."""
    rate = taker.premium_micro if seller.energy_class in GREEN else 0
    if rate and market.account_of(seller.number) == market.account_of(taker.number):
        rate = 0
    return Pair(seller.number, taker.number, seller.energy_class, rate, wh, 0, 0)


def mixed(sellers: Sequence[Party], takers: Sequence[Party]) -> list[Pair]:
    """What a call that is too large comes to: everyone sells to the mix and buys from it."""
    sold = [Pair(seller.number, MIX, seller.energy_class, 0, seller.wh, 0, 0) for seller in sellers]
    unspecified = EnergyClass.UNSPECIFIED
    return sold + [Pair(MIX, taker.number, unspecified, 0, taker.wh, 0, 0) for taker in takers]


def named_pairs(pairs: Sequence[Pair]) -> int:
    """How many pairs are not with the mix, which no connection has more than a dozen of."""
    return sum(MIX not in (each.seller, each.buyer) for each in pairs)


def merged(pairs: Sequence[Pair]) -> tuple[Pair, ...]:
    """Pairs of the same parties, class and premium made one; by seller, buyer, class, premium."""
    sums: dict[tuple[int, int, EnergyClass, int], int] = {}
    for each in pairs:
        key = (each.seller, each.buyer, each.energy_class, each.premium_micro)
        sums[key] = sums.get(key, 0) + each.wh
    return tuple(Pair(*key, sums[key], 0, 0) for key in sorted(sums) if sums[key])


def reserve_premiums(market: "Trading", found: Sequence[Pair], sign: int = 1) -> None:
    """Set budgets aside for what pairs can cost, or with -1 give it back: of premiums that were
    ended, to the account.
    """
    amounts: dict[int, int] = {}
    for each in found:
        if each.premium_micro:
            amount = each.premium_micro * each.wh
            amounts[each.buyer] = amounts.get(each.buyer, 0) + amount
    for number, amount in amounts.items():
        premium = market.premiums[number]
        assert premium is not None, "a premium that is promised was declared"
        reserved, budget = premium.reserved_nano + sign * amount, premium.budget_nano
        if premium.premium_micro == 0:  # it was ended; nothing but promises is kept aside
            market.release(market.account_of(number), budget - reserved)
            budget = reserved
        if premium.premium_micro or budget:
            market.premiums[number] = replace(premium, budget_nano=budget, reserved_nano=reserved)
        else:
            del market.premiums[number]
