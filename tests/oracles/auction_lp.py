"""The welfare problem of docs/auction.md as a linear program, solved by HiGHS.

Losses are factors and everything is real-valued: the relaxation whose optimum bounds the exact
clearing from above (up to rounding), and equals it where nothing is lost on the way.
"""

from typing import NamedTuple

import highspy
import numpy as np

from tests.oracles.auction_reference import MILLION, Book, Result, Tree


class Optimum(NamedTuple):
    """The best that real-valued quantities allow."""

    welfare: float
    flows: float
    """All fills and all that is sent over edges, summed."""


Solver = highspy.Highs


def optimum(tree: Tree, book: Book) -> Optimum:
    """Greatest welfare in nano: value to bidders, less cost to offerers, less tariffs."""
    if not book.bus and len(tree.parent) == 1:
        return Optimum(0.0, 0.0)  # HiGHS calls a program without columns empty, not optimal
    solver = program(tree, book)
    solver.run()
    assert solver.getModelStatus() == highspy.HighsModelStatus.kOptimal
    flows = float(sum(solver.getSolution().col_value))
    return Optimum(float(solver.getInfo().objective_function_value), flows)


def program(tree: Tree, book: Book) -> Solver:
    """The program, ready to be solved."""
    orders, buses = len(book.bus), len(tree.parent)
    edges = range(1, buses)
    columns = orders + 2 * (buses - 1)  # fills, then per edge: sent up, sent down
    gain = np.zeros(columns)
    upper = np.zeros(columns)
    entries: list[tuple[int, int, float]] = []  # (bus, column, coefficient) of the balances
    for o in range(orders):
        gain[o] = book.price[o] if book.isbid[o] else -book.price[o]
        upper[o] = book.qty[o]
        entries.append((book.bus[o], o, -1.0 if book.isbid[o] else 1.0))
    for e in edges:
        up, down = orders + 2 * (e - 1), orders + 2 * (e - 1) + 1
        kept = 1 - tree.loss_ppm[e] / MILLION
        gain[up], gain[down] = -tree.tariff[e] * kept, -tree.tariff[e]
        upper[up], upper[down] = tree.cap_up[e], tree.cap_down[e]
        entries += [(e, up, -1.0), (e, down, kept)]
        entries += [(tree.parent[e], up, kept), (tree.parent[e], down, -1.0)]
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = gain.size, buses
    model.col_cost_, model.col_lower_, model.col_upper_ = gain, np.zeros(gain.size), upper
    model.row_lower_ = model.row_upper_ = np.zeros(buses)
    model.sense_ = highspy.ObjSense.kMaximize
    entries.sort()
    starts = np.searchsorted([row for row, _, _ in entries], range(buses + 1))
    model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    model.a_matrix_.start_ = starts
    model.a_matrix_.index_ = np.array([column for _, column, _ in entries], dtype=np.int32)
    model.a_matrix_.value_ = np.array([value for _, _, value in entries])
    solver.passModel(model)
    return solver


def welfare(tree: Tree, book: Book, result: Result) -> int:
    """The welfare of an exact clearing, in nano."""
    value = sum(
        (1 if isbid else -1) * price * fill
        for price, isbid, fill in zip(book.price, book.isbid, result.fill, strict=True)
    )
    return value - sum(
        tariff * abs(y) for tariff, y in zip(tree.tariff, result.received_parent, strict=True)
    )


def rounding_bound(tree: Tree, book: Book, best: Optimum) -> float:
    """How far the exact clearing may stay below the optimum, in nano.

    Per edge 1 Wh at the dearest price that can appear, and 1 micro per kWh of rounded level prices
    on everything that flows. The flows are the optimum's: rounded prices may keep a trade of 1
    micro per kWh from happening at all.
    """
    factor = [1.0] * len(tree.parent)
    for e in range(1, len(tree.parent)):
        factor[e] = factor[tree.parent[e]] / (1 - tree.loss_ppm[e] / MILLION)
    a = max(factor)
    dearest = max(book.price, default=0)
    edges = len(tree.parent) - 1
    return edges * (dearest * a + 1) * a + best.flows * a
