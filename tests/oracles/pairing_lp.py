"""The pairing problem as a linear program, solved by HiGHS: a transportation problem over the pairs
whose energy goes with the flows. Written from the rule alone: a path is walked edge by edge.
"""

from collections.abc import Sequence
from typing import NamedTuple

import highspy
import numpy as np


class Instance(NamedTuple):
    """Who sold and bought how much where, and what pairs are worth."""

    parent: list[int]
    flow: list[int]
    """By bus, over the edge to its parent; positive up."""

    sellers: list[tuple[int, int]]
    """Bus and Wh."""

    buyers: list[tuple[int, int]]
    weight: list[list[int]]


def is_allowed(parent: Sequence[int], flow: Sequence[int], source: int, target: int) -> bool:
    """Whether energy can go from one bus to another with the flows."""

    def to_root(bus: int) -> list[int]:
        path = [bus]
        while path[-1]:
            path.append(parent[path[-1]])
        return path

    up, down = to_root(source), to_root(target)
    while up and down and up[-1] == down[-1]:
        up.pop()
        down.pop()
    return all(flow[bus] > 0 for bus in up) and all(flow[bus] < 0 for bus in down)


def best_weight(instance: Instance) -> int:
    """The greatest sum of weights."""
    pairs = [
        (s, b)
        for s, (source, _) in enumerate(instance.sellers)
        for b, (target, _) in enumerate(instance.buyers)
        if is_allowed(instance.parent, instance.flow, source, target)
    ]
    if not pairs:
        return 0
    rows = [wh for _, wh in (*instance.sellers, *instance.buyers)]
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    program = highspy.HighsLp()
    program.num_col_, program.num_row_ = len(pairs), len(rows)
    program.col_cost_ = np.array([float(instance.weight[s][b]) for s, b in pairs])
    program.col_lower_, program.col_upper_ = np.zeros(len(pairs)), np.full(len(pairs), 1e9)
    program.row_lower_ = program.row_upper_ = np.array(rows, dtype=float)
    program.sense_ = highspy.ObjSense.kMaximize
    program.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    program.a_matrix_.start_ = np.arange(0, 2 * len(pairs) + 1, 2, dtype=np.int32)
    program.a_matrix_.index_ = np.array(
        [row for s, b in pairs for row in (s, len(instance.sellers) + b)], dtype=np.int32
    )
    program.a_matrix_.value_ = np.ones(2 * len(pairs))
    solver.passModel(program)
    solver.run()
    assert solver.getModelStatus() == highspy.HighsModelStatus.kOptimal
    return round(solver.getInfo().objective_function_value)
