"""The best move of a search for coupled orders, on cost curves of single-bus intervals.

Compiled. A curve is what it costs the divisible orders of an interval to give coupled orders a
quantity: convex, in segments of one price. A state is which alternative of each order is chosen,
what all of them take of each interval (`position`), and what that costs (`current`).

Sums stay below 2**62: a change of at most 2**27 Wh in an interval, at prices below 2**27, or a
position that nobody serves, over 96 intervals. The caller keeps energies and prices within bounds.
"""

import numpy as np

from runtime.kernels.arrays import ARRAY, INT, PAIR, Int64Array, Pair
from runtime.kernels.jit import kernel

Curves = tuple[Int64Array, Int64Array, Int64Array, Int64Array, Int64Array, Int64Array]
"""Per interval, with one entry more: first segment; per interval: least position, its cost; per
segment: last position, price, cost at the last position."""

Alternatives = tuple[Int64Array, Int64Array, Int64Array, Int64Array, Int64Array]
"""Per order, with one entry more: first alternative; per alternative: first entry, end of its
entries, value, whether it may be chosen."""

State = tuple[Int64Array, Int64Array, Int64Array]
"""Per interval: position and its cost; per order: the chosen alternative, or -1."""

Scratch = tuple[Int64Array, Int64Array, Int64Array]
"""Per interval: change of the position (zero between uses), mark (likewise), touched intervals."""

CURVES = f"UniTuple({ARRAY}, 6)"
ALTERNATIVES = f"UniTuple({ARRAY}, 5)"
STATE = f"UniTuple({ARRAY}, 3)"
SCRATCH = f"UniTuple({ARRAY}, 3)"

UNSERVED = 2**54
"""The cost of a position that the divisible orders do not have: more than any that they have could
save, except at prices of whole DRT per Wh. A state with one is repaired by the next moves, or fails
on the tree.
"""


@kernel(f"{INT}({CURVES}, {INT}, {INT})")
def cost_at(curves: Curves, interval: int, position: int) -> int:
    """What a position of an interval costs; UNSERVED outside of its curve."""
    segments, least, least_cost, end, price, cost = curves
    first, last = segments[interval], segments[interval + 1]
    if position == least[interval]:
        return int(least_cost[interval])
    if position < least[interval] or first == last or position > end[last - 1]:
        return UNSERVED
    while first < last - 1:
        middle = (first + last - 1) >> 1
        if end[middle] < position:
            first = middle + 1
        else:
            last = middle + 1
    segment = first
    return int(cost[segment] - price[segment] * (end[segment] - position))


@kernel(f"{INT}({ALTERNATIVES}, {PAIR}, {INT}, {INT}, {SCRATCH}, {INT})")
def add_entries(
    alternatives: Alternatives,
    entries: Pair,
    alternative: int,
    sign: int,
    scratch: Scratch,
    touched_count: int,
) -> int:
    """Add the energies of an alternative to the change; how many intervals are touched then."""
    slot, wh = entries
    change, mark, touched = scratch
    for entry in range(alternatives[1][alternative], alternatives[2][alternative]):
        interval = slot[entry]
        if mark[interval] == 0:
            mark[interval] = 1
            touched[touched_count] = interval
            touched_count += 1
        change[interval] += sign * wh[entry]
    return touched_count


@kernel(
    f"UniTuple({INT}, 2)({CURVES}, {ALTERNATIVES}, {PAIR}, {STATE}, {INT}, {INT}, {INT}, {SCRATCH})"
)
def gain_of(
    curves: Curves,
    alternatives: Alternatives,
    entries: Pair,
    state: State,
    added: int,
    other: int,
    dropped: int,
    scratch: Scratch,
) -> tuple[int, int]:
    """What choosing one or two alternatives and giving up another gains (-1: none), and how many
    curves were looked at.
    """
    position, current, _ = state
    change, mark, touched = scratch
    value = alternatives[3]
    gain, count = 0, 0
    if added >= 0:
        gain += value[added]
        count = add_entries(alternatives, entries, added, 1, scratch, count)
    if other >= 0:
        gain += value[other]
        count = add_entries(alternatives, entries, other, 1, scratch, count)
    if dropped >= 0:
        gain -= value[dropped]
        count = add_entries(alternatives, entries, dropped, -1, scratch, count)
    for i in range(count):
        interval: int = touched[i]
        if change[interval] != 0:
            moved: int = position[interval] + change[interval]
            cost = cost_at(curves, interval, moved)
            before: int = current[interval]
            gain -= cost - before
        change[interval] = 0
        mark[interval] = 0
    return gain, count


@kernel(f"boolean({ALTERNATIVES}, {PAIR}, {INT}, {INT})")
def overlap(alternatives: Alternatives, entries: Pair, one: int, other: int) -> bool:
    """Whether two alternatives could meet in an interval: only then is a swap more than its parts.

    Entries rise, so the first and the last of them say enough.
    """
    slot = entries[0]
    first, end = alternatives[1], alternatives[2]
    if first[one] == end[one] or first[other] == end[other]:
        return False
    starts_before = slot[first[one]] <= slot[end[other] - 1]
    return bool(starts_before and slot[first[other]] <= slot[end[one] - 1])


@kernel(f"void({CURVES}, {ALTERNATIVES}, {PAIR}, {STATE}, {ARRAY})")
def best_move(
    curves: Curves, alternatives: Alternatives, entries: Pair, state: State, found: Int64Array
) -> None:
    """The move that gains most: another alternative of an order, none of them, or one instead of
    another order's. Equal gains: the first order, its first alternative.

    Writes into `found`: the gain, the alternative to choose, the order to give up (-1: none), and
    how many curves were looked at. A gain of 0 says that no move gains.
    """
    order_start, _, _, _, is_open = alternatives
    chosen = state[2]
    intervals = state[0].size
    scratch = (
        np.zeros(intervals, np.int64),
        np.zeros(intervals, np.int64),
        np.zeros(intervals, np.int64),
    )
    best, best_added, best_dropped, looked = 0, -1, -1, 0
    for order in range(chosen.size):
        own = chosen[order]
        if own >= 0:
            gain, count = gain_of(curves, alternatives, entries, state, -1, -1, own, scratch)
            looked += count
            if gain > best:
                best, best_added, best_dropped = gain, -1, order
        for added in range(order_start[order], order_start[order + 1]):
            if is_open[added] == 0 or added == own:
                continue
            gain, count = gain_of(curves, alternatives, entries, state, added, -1, own, scratch)
            looked += count
            if gain > best:
                best, best_added, best_dropped = gain, added, order if own >= 0 else -1
            if own >= 0:
                continue
            for other in range(chosen.size):
                dropped = chosen[other]
                if dropped >= 0 and overlap(alternatives, entries, added, dropped):
                    gain, count = gain_of(
                        curves, alternatives, entries, state, added, -1, dropped, scratch
                    )
                    looked += count
                    if gain > best:
                        best, best_added, best_dropped = gain, added, other
    found[0], found[1], found[2], found[3] = best, best_added, best_dropped, looked


@kernel(f"void({CURVES}, {ALTERNATIVES}, {PAIR}, {STATE}, {ARRAY})")
def best_pair(
    curves: Curves, alternatives: Alternatives, entries: Pair, state: State, found: Int64Array
) -> None:
    """Two alternatives, of orders of which none is chosen, that gain most together: one takes what
    the other gives. Equal gains: the first of each.

    Writes into `found`: the gain, both alternatives (-1: no pair gains), and how many curves were
    looked at.
    """
    order_start, first, _, _, is_open = alternatives
    chosen = state[2]
    wh = entries[1]
    intervals = state[0].size
    scratch = (
        np.zeros(intervals, np.int64),
        np.zeros(intervals, np.int64),
        np.zeros(intervals, np.int64),
    )
    best, best_one, best_other, looked = 0, -1, -1, 0
    for order in range(chosen.size):
        for one in range(order_start[order], order_start[order + 1]):
            if chosen[order] >= 0 or is_open[one] == 0:
                continue
            for partner in range(order + 1, chosen.size):
                for other in range(order_start[partner], order_start[partner + 1]):
                    if chosen[partner] >= 0 or is_open[other] == 0:
                        continue
                    if (wh[first[one]] > 0) == (wh[first[other]] > 0):
                        continue
                    if not overlap(alternatives, entries, one, other):
                        continue
                    gain, count = gain_of(
                        curves, alternatives, entries, state, one, other, -1, scratch
                    )
                    looked += count
                    if gain > best:
                        best, best_one, best_other = gain, one, other
    found[0], found[1], found[2], found[3] = best, best_one, best_other, looked
