"""Cost curves of intervals, and the moves of a search for coupled orders, as a typed door.

The curve of an interval is the lossless single-bus relaxation of its book: what giving coupled
orders a position (Wh, negative: taking from them) costs the divisible orders, in nano-DRT. It is
convex, zero at zero, and its slope is a price. Rules: docs/auction.md.

The compiled part is loaded by the first search, or by `warm_up()`.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from runtime.kernels.arrays import Int64Array
from runtime.kernels.auction import OrderArrays, as_array

UNSERVED = 2**54
"""The cost of a position that the divisible orders do not have (`coupled_kernel.py` says why)."""


class Step(NamedTuple):
    """Energy at one price, on the way along a curve."""

    price: int
    quantity_wh: int


class Curve(NamedTuple):
    """The curve of one interval. Segments by rising price; the first begins at `least_wh`."""

    least_wh: int
    """All bids unserved: what the divisible orders could take, negative."""

    least_cost: int
    end_wh: Sequence[int]
    """Per segment, the position at its end."""

    price: Sequence[int]
    cost: Sequence[int]
    """At the end of each segment."""

    def cost_at(self, position_wh: int) -> int:
        """What a position costs; UNSERVED when the orders do not have it."""
        if position_wh == self.least_wh:
            return self.least_cost
        if position_wh < self.least_wh or not self.end_wh or position_wh > self.end_wh[-1]:
            return UNSERVED
        segment = bisect_left(self.end_wh, position_wh)
        return self.cost[segment] - self.price[segment] * (self.end_wh[segment] - position_wh)

    def steps_up(self, position_wh: int, energy_wh: int, count: int) -> list[Step]:
        """What the next `energy_wh` cost, dearer and dearer: at most `count` steps, and no more
        energy than there is. What others give beyond the curve costs its first price.
        """
        steps: list[Step] = []
        segment = bisect_right(self.end_wh, position_wh)
        while energy_wh > 0 and len(steps) < count and segment < len(self.end_wh):
            quantity_wh = min(self.end_wh[segment] - position_wh, energy_wh)
            steps.append(Step(self.price[segment], quantity_wh))
            position_wh += quantity_wh
            energy_wh -= quantity_wh
            segment += 1
        return steps

    def steps_down(self, position_wh: int, energy_wh: int, count: int) -> list[Step]:
        """What `energy_wh` given back bring, less and less: at most `count` steps, and no more
        energy than somebody takes. What others take beyond the curve is wanted at its last price.
        """
        steps: list[Step] = []
        if not self.end_wh:
            return steps
        segment = min(bisect_left(self.end_wh, position_wh), len(self.end_wh) - 1)
        while energy_wh > 0 and len(steps) < count and position_wh > self.least_wh:
            begin_wh = self.end_wh[segment - 1] if segment else self.least_wh
            quantity_wh = min(position_wh - begin_wh, energy_wh)
            steps.append(Step(self.price[segment], quantity_wh))
            position_wh -= quantity_wh
            energy_wh -= quantity_wh
            segment -= 1
        return steps


def curve_of(orders: OrderArrays) -> Curve:
    """The curve of a book, as if all of it were at one bus."""
    ranked = np.argsort(orders.price, kind="stable")
    price, quantity = orders.price[ranked], orders.qty[ranked]
    least_wh = -int((orders.qty * orders.isbid).sum())
    end = least_wh + np.cumsum(quantity)
    cost = np.cumsum(price * quantity)
    curve = Curve(least_wh, 0, end.tolist(), price.tolist(), cost.tolist())
    at_zero = curve.cost_at(0)
    assert at_zero != UNSERVED, "with all bids and no offers served, or less, it is zero"
    return curve._replace(least_cost=-at_zero, cost=(cost - at_zero).tolist())


class Move(NamedTuple):
    """A change of a search's state."""

    gain: int
    """0: nothing gains."""

    added: int
    """The alternative to choose; -1: none."""

    dropped: int
    """The order whose alternative is given up; -1: none."""

    curves: int
    """How many curves were looked at to find it."""


class Problem:
    """Curves, orders with alternatives, and which of them are chosen: none at first."""

    def __init__(self, curves: Sequence[Curve], orders: Sequence[Sequence[int]]) -> None:
        """`orders`: per order, how many entries each of its alternatives may have."""
        counts = [len(curve.end_wh) for curve in curves]
        self.curves = curves
        self._curves = (
            as_array([0, *np.cumsum(counts).tolist()]),
            as_array([curve.least_wh for curve in curves]),
            as_array([curve.least_cost for curve in curves]),
            as_array([end for curve in curves for end in curve.end_wh]),
            as_array([price for curve in curves for price in curve.price]),
            as_array([cost for curve in curves for cost in curve.cost]),
        )
        sizes = [size for order in orders for size in order]
        starts = [0, *np.cumsum([len(order) for order in orders]).tolist()]
        first = [0, *np.cumsum(sizes).tolist()]
        self.order_start: Sequence[int] = starts
        self.order_of = [n for n, order in enumerate(orders) for _ in order]
        self._alternatives = (
            as_array(starts),
            as_array(first[:-1]),
            as_array(first[:-1]),
            np.zeros(len(sizes), np.int64),
            np.zeros(len(sizes), np.int64),
        )
        self._entries = (np.zeros(first[-1], np.int64), np.zeros(first[-1], np.int64))
        self._state = (
            np.zeros(len(curves), np.int64),
            np.zeros(len(curves), np.int64),
            np.full(len(orders), -1, np.int64),
        )

    def offer(self, alternative: int, energies: Sequence[tuple[int, int]], value: int) -> None:
        """Let an alternative be chosen: (interval's index, Wh) rising, and what it is worth."""
        _, first, end, values, is_open = self._alternatives
        slot, wh = self._entries
        assert self.chosen(self.order_of[alternative]) != alternative, "it would change the state"
        end[alternative] = first[alternative] + len(energies)
        for number, (interval, energy) in enumerate(energies, start=int(first[alternative])):
            slot[number], wh[number] = interval, energy
        values[alternative] = value
        is_open[alternative] = 1

    def close(self, alternative: int) -> None:
        """Let an alternative be chosen no more; give it up if it is."""
        self._alternatives[4][alternative] = 0
        order = self.order_of[alternative]
        if self.chosen(order) == alternative:
            self.give_up(order)

    def chosen(self, order: int) -> int:
        """The alternative of an order that is chosen; -1: none."""
        return int(self._state[2][order])

    def energies(self, alternative: int) -> list[tuple[int, int]]:
        """The entries of an alternative."""
        first, end = self._alternatives[1][alternative], self._alternatives[2][alternative]
        slot, wh = self._entries
        return list(zip(slot[first:end].tolist(), wh[first:end].tolist(), strict=True))

    def value(self, alternative: int) -> int:
        """What an alternative is worth."""
        return int(self._alternatives[3][alternative])

    def position(self, interval: int) -> int:
        """What all chosen alternatives together take of an interval."""
        return int(self._state[0][interval])

    def size(self) -> int:
        """Curves that one round of moves looks at, at most."""
        chosen = int((self._state[2] >= 0).sum())
        return int(self._entries[0].size) * (1 + 2 * chosen)

    def choose(self, alternative: int) -> None:
        """Choose an alternative instead of the one of its order that was, if any."""
        order = self.order_of[alternative]
        if self.chosen(order) >= 0:
            self.give_up(order)
        self._state[2][order] = alternative
        self._shift(alternative, 1)

    def give_up(self, order: int) -> None:
        """Choose no alternative of an order."""
        self._shift(self.chosen(order), -1)
        self._state[2][order] = -1

    def _shift(self, alternative: int, sign: int) -> None:
        position, current, _ = self._state
        for interval, energy in self.energies(alternative):
            position[interval] += sign * energy
            current[interval] = self.curves[interval].cost_at(int(position[interval]))

    def best_move(self) -> Move:
        """The move that gains most."""
        from runtime.kernels import coupled_kernel  # numba: only when something is searched

        found: Int64Array = np.zeros(4, np.int64)
        coupled_kernel.best_move(
            self._curves, self._alternatives, self._entries, self._state, found
        )
        return Move(*found.tolist())

    def pairs_size(self) -> int:
        """Curves that a look at all pairs takes, at most."""
        closed = self._state[2].size - int((self._state[2] >= 0).sum())
        return int(self._entries[0].size) * int(self._alternatives[4].sum()) if closed > 1 else 0

    def best_pair(self) -> tuple[int, int, int, int]:
        """The gain of the best pair of alternatives, both of them, and the curves looked at."""
        from runtime.kernels import coupled_kernel  # numba: only when something is searched

        found: Int64Array = np.zeros(4, np.int64)
        coupled_kernel.best_pair(
            self._curves, self._alternatives, self._entries, self._state, found
        )
        gain, one, other, curves = found.tolist()
        return gain, one, other, curves

    def apply(self, move: Move) -> None:
        """Make a move."""
        if move.dropped >= 0:
            self.give_up(move.dropped)
        if move.added >= 0:
            self.choose(move.added)

    def welfare(self) -> int:
        """What the chosen alternatives are worth beyond their cost."""
        value = sum(self.value(int(chosen)) for chosen in self._state[2] if chosen >= 0)
        return value - int(self._state[1].sum())


def warm_up() -> None:
    """Load the kernels and look for a move among two orders."""
    curve = curve_of(OrderArrays.of([0, 0], [10, 20], [50, 50], [0, 1]))
    problem = Problem([curve], [[1], [1]])
    problem.offer(0, [(0, 10)], 500)
    problem.best_move()
