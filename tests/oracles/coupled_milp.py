"""The welfare of intervals coupled by orders that are all or none, as a mixed-integer program.

A tree of buses for each interval, losses as factors; solved by HiGHS. Orders may be accepted at a
loss here, so the optimum bounds from above what a market without such acceptances can reach.
"""

from collections.abc import Sequence
from typing import NamedTuple

import highspy
import numpy as np

from runtime.kernels.auction import OrderArrays, TreeArrays

SECONDS_MAX = 8.0


class Alternative(NamedTuple):
    """One way to accept an order: (interval's index, Wh bought or, negative, sold), and its
    value.
    """

    energies: Sequence[tuple[int, int]]
    value: int
    bus: int = 0


def optimum(
    tree: TreeArrays, books: Sequence[OrderArrays], orders: Sequence[Sequence[Alternative]]
) -> float:
    """Greatest welfare in nano, or a bound above it if the time does not suffice; of each order at
    most one alternative is accepted.
    """
    buses = tree.parent.size
    balances = buses * len(books)  # of the bus of each interval
    gain: list[float] = []
    upper: list[float] = []
    rows: list[dict[int, float]] = [{} for _ in range(balances + len(orders))]
    for interval, book in enumerate(books):
        for bus, price, quantity, isbid in zip(
            *(part.tolist() for part in (book.bus, book.price, book.qty, book.isbid)), strict=True
        ):
            rows[interval * buses + bus][len(gain)] = -1.0 if isbid else 1.0
            gain.append(price if isbid else -price)
            upper.append(quantity)
        for edge in range(1, buses):
            above, below = interval * buses + int(tree.parent[edge]), interval * buses + edge
            kept, tariff = 1 - int(tree.loss_ppm[edge]) / 1e6, int(tree.tariff[edge])
            rows[below][len(gain)], rows[above][len(gain)] = -1.0, kept  # sent up
            gain.append(-tariff * kept)
            upper.append(int(tree.cap_up[edge]))
            rows[above][len(gain)], rows[below][len(gain)] = -1.0, kept  # sent down
            gain.append(-tariff)
            upper.append(int(tree.cap_down[edge]))
    first_binary = len(gain)
    for number, alternatives in enumerate(orders):
        for alternative in alternatives:
            for interval, wh in alternative.energies:
                rows[interval * buses + alternative.bus][len(gain)] = -float(wh)
            rows[balances + number][len(gain)] = 1.0
            gain.append(alternative.value)
            upper.append(1.0)
    return solve(gain, upper, rows, balances, first_binary)


def solve(
    gain: list[float],
    upper: list[float],
    rows: list[dict[int, float]],
    balances: int,
    first_binary: int,
) -> float:
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("time_limit", SECONDS_MAX)
    solver.setOptionValue("mip_rel_gap", 1e-6)
    program = highspy.HighsLp()
    program.num_col_, program.num_row_ = len(gain), len(rows)
    program.col_cost_, program.col_upper_ = np.array(gain), np.array(upper)
    program.col_lower_ = np.zeros(len(gain))
    program.row_lower_ = np.array([0.0] * len(rows))
    program.row_upper_ = np.array([0.0] * balances + [1.0] * (len(rows) - balances))
    program.sense_ = highspy.ObjSense.kMaximize
    program.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    program.a_matrix_.start_ = np.cumsum([0, *(len(row) for row in rows)])
    program.a_matrix_.index_ = np.array([column for row in rows for column in row], np.int32)
    program.a_matrix_.value_ = np.array([value for row in rows for value in row.values()])
    kinds = [highspy.HighsVarType.kContinuous] * first_binary
    kinds += [highspy.HighsVarType.kInteger] * (len(gain) - first_binary)
    program.integrality_ = kinds
    solver.passModel(program)
    status = solver.run()
    assert status != highspy.HighsStatus.kError, "the program was not solved"
    info = solver.getInfo()
    is_linear = first_binary == len(gain)
    return float(info.objective_function_value if is_linear else info.mip_dual_bound)
