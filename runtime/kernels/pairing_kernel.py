"""Pairing of sold with bought energy on a tree: the compiled part of `pairing.py`.

The network moves a net flow over each edge, so energy goes from a seller up some edges that carry
energy up and then down some that carry energy down. A table of weights says what each pair is worth
per Wh; -1 marks pairs that the flows rule out. Tables are flat, sellers by rows.

`transport` is exact: successive shortest paths with potentials, one seller after the other
(Ahuja, Magnanti, Orlin: Network Flows, 9.7). `hand_over` is fast: from the leaves to the root each
buyer takes what it likes best of what is at its bus, and only the rest travels on.

Bounds, checked by the caller: weights up to 2**30, quantities together below 2**35.
"""

import numpy as np

from runtime.kernels.arrays import ARRAY, INT, Int64Array
from runtime.kernels.jit import kernel

WEIGHT_MAX = 1 << 30
FAR = 1 << 62
"""Above every distance: a path has at most as many pairs as there are sellers and buyers, 2**13."""

NOBODY = -1

Side = tuple[Int64Array, Int64Array, Int64Array, Int64Array]
"""Of sellers or buyers in a search: potential, distance, from whom it was reached, whether it was
seen."""

SIDE = f"UniTuple({ARRAY}, 4)"


@kernel(f"void({ARRAY}, {ARRAY}, {ARRAY}, {ARRAY}, {ARRAY})")
def forbid(
    parent: Int64Array,
    flow: Int64Array,
    seller_bus: Int64Array,
    buyer_bus: Int64Array,
    weight: Int64Array,
) -> None:
    """Set the weight of pairs to -1 whose energy would have to go against a flow.

    `flow`: by bus, over the edge to its parent; positive up, negative down.
    """
    sellers, buyers = seller_bus.size, buyer_bus.size
    reached = np.zeros(parent.size, np.int64)
    for seller in range(sellers):
        bus = seller_bus[seller]
        reached[bus] = seller + 1
        while bus > 0 and flow[bus] > 0:
            bus = parent[bus]
            reached[bus] = seller + 1
        for buyer in range(buyers):
            bus = buyer_bus[buyer]
            while reached[bus] != seller + 1 and bus > 0 and flow[bus] < 0:
                bus = parent[bus]
            if reached[bus] != seller + 1:
                weight[seller * buyers + buyer] = -1


@kernel(f"{INT}({INT}, {ARRAY}, {ARRAY}, {ARRAY}, {SIDE}, {SIDE}, {ARRAY})")
def search(
    first: int,
    wanted: Int64Array,
    weight: Int64Array,
    pairs: Int64Array,
    sellers: Side,
    buyers: Side,
    queue: Int64Array,
) -> int:
    """Find the way from a seller to the buyer that costs least among those who want more.

    Energy goes from a seller to a buyer, and back from a buyer to one who sells to it already.
    Moves the potentials; gives the buyer, or -1 if there is none. `queue` has room for each seller.
    """
    potential, far, origin, seen = sellers
    potential_b, far_b, origin_b, seen_b = buyers
    count = wanted.size
    far_b[:] = FAR
    seen[:] = 0
    seen_b[:] = 0
    far[first], seen[first], queue[0] = 0, 1, first
    newest, at, nearest = 1, 0, NOBODY
    while True:
        while at < newest:
            seller = queue[at]
            at += 1
            base = far[seller] + potential[seller]
            for buyer in range(count):
                worth = weight[seller * count + buyer]
                if worth >= 0 and seen_b[buyer] == 0:
                    distance = base + WEIGHT_MAX - worth - potential_b[buyer]
                    if distance < far_b[buyer]:
                        far_b[buyer], origin_b[buyer] = distance, seller
        nearest = NOBODY
        for buyer in range(count):
            if seen_b[buyer] == 0 and (nearest == NOBODY or far_b[buyer] < far_b[nearest]):
                nearest = buyer
        if nearest == NOBODY or far_b[nearest] == FAR:
            return NOBODY
        seen_b[nearest] = 1
        if wanted[nearest] > 0:
            break
        for seller in range(potential.size):
            if seen[seller] == 0 and pairs[seller * count + nearest] > 0:
                far[seller], origin[seller], seen[seller] = far_b[nearest], nearest, 1
                queue[newest] = seller
                newest += 1
    length = far_b[nearest]
    for seller in range(potential.size):
        if seen[seller] == 1:
            potential[seller] += far[seller] - length
    for buyer in range(count):
        if seen_b[buyer] == 1:
            potential_b[buyer] += far_b[buyer] - length
    return nearest


@kernel(f"{INT}({ARRAY}, {ARRAY}, {ARRAY}, {INT}, {ARRAY})")
def transport(
    sold: Int64Array,
    bought: Int64Array,
    weight: Int64Array,
    paths_max: int,
    pairs: Int64Array,
) -> int:
    """Pair all that was sold with all that was bought so that the sum of weights is greatest.

    Writes Wh into `pairs`; gives the number of paths it took, or -1 when it gave up: after
    `paths_max` of them, or because pairs that are allowed cannot carry all of it.
    """
    count = bought.size
    pairs[:] = 0
    left, wanted = sold.copy(), bought.copy()
    table = np.zeros((4, sold.size), np.int64)
    sellers = (table[0], table[1], table[2], table[3])
    table_b = np.zeros((4, count), np.int64)
    buyers = (table_b[0], table_b[1], table_b[2], table_b[3])
    origin, origin_b = sellers[2], buyers[2]
    queue = np.empty(sold.size, np.int64)
    paths = 0
    for first in range(sold.size):
        while left[first] > 0:
            if paths >= paths_max:
                return -1
            paths += 1
            end = search(first, wanted, weight, pairs, sellers, buyers, queue)
            if end == NOBODY:
                return -1
            moved = min(left[first], wanted[end])
            seller = origin_b[end]
            while seller != first:
                moved = min(moved, pairs[seller * count + origin[seller]])
                seller = origin_b[origin[seller]]
            left[first] -= moved
            wanted[end] -= moved
            buyer, seller = end, origin_b[end]
            pairs[seller * count + buyer] += moved
            while seller != first:
                buyer = origin[seller]
                pairs[seller * count + buyer] -= moved
                seller = origin_b[buyer]
                pairs[seller * count + buyer] += moved
    return paths


@kernel(f"{INT}({ARRAY}, {ARRAY}, {ARRAY}, {ARRAY}, {ARRAY}, {ARRAY}, {ARRAY})")
def hand_over(
    parent: Int64Array,
    seller_bus: Int64Array,
    sold: Int64Array,
    buyer_bus: Int64Array,
    bought: Int64Array,
    weight: Int64Array,
    pairs: Int64Array,
) -> int:
    """Pair from the leaves to the root, local energy first; what is not paired at a bus goes on.

    At a bus buyers choose in their order, each the seller with the greatest weight, among equals
    the first. Writes Wh into `pairs`; gives what is left over at the root: zero when sold and
    bought energy fit the flows.
    """
    count = bought.size
    pairs[:] = 0
    left, wanted = sold.copy(), bought.copy()
    at_seller, at_buyer = seller_bus.copy(), buyer_bus.copy()
    here = np.empty(sold.size, np.int64)
    for bus in range(parent.size - 1, -1, -1):
        present = 0
        for seller in range(sold.size):
            if at_seller[seller] == bus and left[seller] > 0:
                here[present] = seller
                present += 1
                at_seller[seller] = parent[bus]
        for buyer in range(count):
            if at_buyer[buyer] != bus:
                continue
            at_buyer[buyer] = parent[bus]
            while wanted[buyer] > 0:
                best = NOBODY
                for place in range(present):
                    seller = here[place]
                    if left[seller] > 0 and (
                        best == NOBODY
                        or weight[seller * count + buyer] > weight[best * count + buyer]
                    ):
                        best = seller
                if best == NOBODY:
                    break
                moved = min(left[best], wanted[buyer])
                pairs[best * count + buyer] += moved
                left[best] -= moved
                wanted[buyer] -= moved
    rest = 0
    for seller in range(sold.size):
        rest += left[seller]
    for buyer in range(count):
        rest += wanted[buyer]
    return rest
