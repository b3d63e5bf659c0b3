"""Sorting and selecting steps: pairs of a key and a quantity, one array for each.

Compiled. A step's key is a price level or, above it, its bus; the quantity is at least 1. Keys are
non-negative. Equal keys may end up in any order: who uses the steps merges them.
"""

import numpy as np

from runtime.kernels.arrays import ARRAY, INT, PAIR, Int64Array, Pair
from runtime.kernels.jit import kernel

DIGIT_BITS = 11
BINS = 1 << DIGIT_BITS
"""2 048 counters of 8 bytes stay in the first-level cache while orders stream past."""

RUNS_MERGED_MAX = 2
"""Of more than a few thousand steps, so many runs are merged; more are sorted by digits sooner."""

KEY_END = 2**62
"""Above every key."""


@kernel(f"{INT}({ARRAY}, {INT}, {INT}, {INT})")
def first_at_least(values: Int64Array, start: int, end: int, wanted: int) -> int:
    """Index of the first of the rising `values[start:end]` that is at least `wanted`, or `end`."""
    while start < end:
        middle = (start + end) >> 1
        if values[middle] < wanted:
            start = middle + 1
        else:
            end = middle
    return start


@kernel(f"boolean({PAIR}, {INT}, {PAIR})")
def sort_by_digits(steps: Pair, count: int, spare: Pair) -> bool:
    """Sort (key, quantity) by key, least digit first; True when the result is in `spare`."""
    key, qty = steps
    out_key, out_qty = spare
    low, high = key[0], key[0]
    for i in range(count):
        low = min(low, key[i])
        high = max(high, key[i])
    position = np.empty(BINS + 1, np.int64)
    swapped = False
    shift = 0
    while (high - low) >> shift > 0:
        position[:] = 0
        for i in range(count):
            position[(((key[i] - low) >> shift) & (BINS - 1)) + 1] += 1
        for digit in range(BINS):
            position[digit + 1] += position[digit]
        for i in range(count):
            digit = ((key[i] - low) >> shift) & (BINS - 1)
            out_key[position[digit]] = key[i]
            out_qty[position[digit]] = qty[i]
            position[digit] += 1
        key, qty, out_key, out_qty = out_key, out_qty, key, qty
        swapped = not swapped
        shift += DIGIT_BITS
    return swapped


@kernel(f"{INT}({PAIR}, {ARRAY}, {INT}, {PAIR})")
def merge_pairs(steps: Pair, run_end: Int64Array, runs: int, spare: Pair) -> int:
    """Merge each two neighbouring sorted runs into `spare`; returns how many runs are left."""
    key, qty = steps
    out_key, out_qty = spare
    start, merged = 0, 0
    for run in range(0, runs, 2):
        middle = run_end[run]
        end = run_end[run + 1] if run + 1 < runs else middle
        left, right = start, middle
        out = start
        while left < middle and right < end:
            # Without a branch: which run is next cannot be predicted.
            from_left = key[left] <= key[right]
            source = left if from_left else right
            out_key[out] = key[source]
            out_qty[out] = qty[source]
            left += 1 if from_left else 0
            right += 0 if from_left else 1
            out += 1
        source = left if left < middle else right
        for i in range(end - out):
            out_key[out + i] = key[source + i]
            out_qty[out + i] = qty[source + i]
        run_end[merged] = end
        merged += 1
        start = end
    return merged


@kernel(f"boolean({PAIR}, {ARRAY}, {INT}, {PAIR})")
def sort_runs(steps: Pair, run_end: Int64Array, runs: int, spare: Pair) -> bool:
    """Sort steps that stand in `runs` sorted runs; True when the result is in `spare`."""
    if runs > RUNS_MERGED_MAX and run_end[runs - 1] > BINS:
        return sort_by_digits(steps, run_end[runs - 1], spare)
    swapped = False
    while runs > 1:
        runs = merge_pairs(steps, run_end, runs, spare)
        steps, spare = spare, steps
        swapped = not swapped
    return swapped


@kernel(f"{INT}({INT}, {INT})")
def bin_shift(low: int, high: int) -> int:
    """By how many bits keys from `low` to `high` are shifted to fit the bins."""
    shift = 0
    while (high - low) >> shift >= BINS:
        shift += 1
    return shift


@kernel(f"UniTuple({INT}, 2)({ARRAY}, {INT})")
def reach_bin(histogram: Int64Array, target: int) -> tuple[int, int]:
    """The bin in which the running sum reaches `target` >= 1, and what of it lies in that bin.

    The bin is BINS when all of them do not reach it.
    """
    found = 0
    while found < BINS and histogram[found] < target:
        target -= histogram[found]
        found += 1
    return found, target


@kernel(f"UniTuple({INT}, 2)({PAIR}, {INT}, {INT}, {INT}, {INT})")
def keep_range(steps: Pair, count: int, low: int, high: int, above: int) -> tuple[int, int]:
    """Keep the steps with keys in the range; returns their number and the least key above it.

    `above` is the least one known before. A function of its own: inside the loop of `select_level`
    numba 0.68 lost the assignments to `above`, without a word.
    """
    key, qty = steps
    kept = 0
    for i in range(count):
        k, q = key[i], qty[i]
        above = min(above, k if k > high else KEY_END)
        key[kept] = k
        qty[kept] = q
        kept += 1 if low <= k <= high else 0
    return kept, above


@kernel(f"UniTuple({INT}, 4)({PAIR}, {INT}, {INT}, {INT}, {INT}, {INT}, {ARRAY})")
def select_level(
    steps: Pair,
    count: int,
    target: int,
    low: int,
    high: int,
    above: int,
    histogram: Int64Array,
) -> tuple[int, int, int, int]:
    """The least key whose cumulative quantity reaches `target`, without sorting.

    The keys of the first `count` steps are within `low` and `high`, `above` is the least key known
    beyond them. Returns the key, how much of its level is accepted, the level's quantity and the
    next key. Each round keeps one bin in 2 048 of the key range; the steps are overwritten.
    """
    key, qty = steps
    while high - low >= BINS:
        shift = bin_shift(low, high)
        histogram[:] = 0
        for i in range(count):
            histogram[(key[i] - low) >> shift] += qty[i]
        found, target = reach_bin(histogram, target)
        low += found << shift
        high = min(high, low + (1 << shift) - 1)
        count, above = keep_range(steps, count, low, high, above)
    histogram[:] = 0
    for i in range(count):
        histogram[key[i] - low] += qty[i]
    found, target = reach_bin(histogram, target)
    following = found + 1
    while following <= high - low and histogram[following] == 0:
        following += 1
    if following <= high - low:
        above = low + following
    return low + found, target, histogram[found], above
