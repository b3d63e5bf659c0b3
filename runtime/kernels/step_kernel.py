"""Steps of supply curves as single integers: sorting, merging and selecting them, compiled.

A step is a price level's key above the energy it adds: `key << QUANTITY_BITS | quantity`. So one
array holds a curve, and sorting steps by key is sorting integers. Equal keys may end up in any
order: whoever uses the steps adds them up.

Invariant: keys and quantities fit their bits (`bounds.py`); the caller checks it.
"""

from runtime.kernels.arrays import ARRAY, INT, Int64Array
from runtime.kernels.bounds import QUANTITY_BITS
from runtime.kernels.jit import kernel

QUANTITY_MASK = 2**QUANTITY_BITS - 1

DIGIT_BITS = 11
BINS = 1 << DIGIT_BITS
"""2 048 counters of 8 bytes stay in the first-level cache while steps stream past."""

INSERTED_MAX = 20
"""So few steps are sorted by insertion: counting digits would cost more than comparing."""

KEY_END = 2**62
"""Above every key."""


@kernel(f"void({ARRAY})")
def sort_by_insertion(steps: Int64Array) -> None:
    """Sort a few steps in place."""
    for i in range(1, steps.size):
        step = steps[i]
        place = i
        while place > 0 and steps[place - 1] > step:
            steps[place] = steps[place - 1]
            place -= 1
        steps[place] = step


@kernel(f"void({ARRAY}, {ARRAY}, {INT}, {INT}, {INT}, {ARRAY})")
def sort_by_digit(
    source: Int64Array, target: Int64Array, low: int, shift: int, bins: int, position: Int64Array
) -> None:
    """Write `source` to `target` in order of one digit of its words less `low`, ties as they are.

    The digit is above `shift` bits and has `bins` values, a power of two.
    """
    position[:bins] = 0
    mask = bins - 1
    for i in range(source.size):
        position[((source[i] - low) >> shift) & mask] += 1
    start = 0
    for digit in range(bins):
        found = position[digit]
        position[digit] = start
        start += found
    for i in range(source.size):
        word = source[i]
        digit = ((word - low) >> shift) & mask
        target[position[digit]] = word
        position[digit] += 1


@kernel(f"void({ARRAY}, {ARRAY}, {ARRAY})")
def sort_steps(steps: Int64Array, spare: Int64Array, position: Int64Array) -> None:
    """Sort steps by key in place, with as much working memory and BINS counters.

    By digits of the keys' range, least first: in two rounds, or four when two would have more
    counters to clear than steps to move.
    """
    count = steps.size
    if count <= INSERTED_MAX:
        sort_by_insertion(steps)
        return
    low = steps[0]
    high = steps[0]
    for i in range(count):
        low = min(low, steps[i])
        high = max(high, steps[i])
    low = low >> QUANTITY_BITS << QUANTITY_BITS
    bits = 0
    while (high - low) >> QUANTITY_BITS >> bits > 0:
        bits += 1
    half = (bits + 1) >> 1
    rounds = 2 if half <= DIGIT_BITS and count >= 1 << half >> 2 else 4
    digit_bits = (bits + rounds - 1) // rounds
    shift = QUANTITY_BITS
    for _ in range(rounds >> 1):
        sort_by_digit(steps, spare[:count], low, shift, 1 << digit_bits, position)
        sort_by_digit(spare[:count], steps, low, shift + digit_bits, 1 << digit_bits, position)
        shift += 2 * digit_bits


@kernel(f"void({ARRAY}, {INT}, {ARRAY})")
def merge_steps(steps: Int64Array, middle: int, spare: Int64Array) -> None:
    """Merge in place what is sorted before `middle` with what is sorted from there on."""
    spare[:middle] = steps[:middle]
    left, right, out = 0, middle, 0
    end = steps.size
    while left < middle and right < end:
        # Without a branch: which one is next cannot be predicted. Writing never overtakes `right`.
        first, second = spare[left], steps[right]
        is_left = first <= second
        steps[out] = first if is_left else second
        left += 1 if is_left else 0
        right += 0 if is_left else 1
        out += 1
    steps[out : out + middle - left] = spare[left:middle]


@kernel(f"{INT}({ARRAY}, {INT})")
def first_at_least(steps: Int64Array, key: int) -> int:
    """Index of the first of rising steps whose key is at least `key`, or their number."""
    start, end = 0, steps.size
    while start < end:
        middle = (start + end) >> 1
        if steps[middle] >> QUANTITY_BITS < key:
            start = middle + 1
        else:
            end = middle
    return start


@kernel(f"{INT}({ARRAY})")
def total_of(steps: Int64Array) -> int:
    """The quantities of all steps together."""
    total = 0
    for i in range(steps.size):
        total += steps[i] & QUANTITY_MASK
    return total


@kernel(f"{INT}({INT}, {INT})")
def bin_shift(low: int, high: int) -> int:
    """By how many bits keys from `low` to `high` are shifted to fit the bins."""
    shift = 0
    while (high - low) >> shift >= BINS:
        shift += 1
    return shift


@kernel(f"void({ARRAY}, {INT}, {INT}, {ARRAY})")
def add_to_bins(steps: Int64Array, low: int, shift: int, histogram: Int64Array) -> None:
    """Add quantities to a histogram of keys from `low` on, 2**`shift` keys to a bin."""
    for i in range(steps.size):
        step = steps[i]
        histogram[((step >> QUANTITY_BITS) - low) >> shift] += step & QUANTITY_MASK


@kernel(f"UniTuple({INT}, 3)({ARRAY}, {INT})")
def reach_bin(histogram: Int64Array, target: int) -> tuple[int, int, int]:
    """The bin in which the running sum reaches `target` >= 1, what of it lies in that bin, and the
    next bin that is not empty. A bin is BINS when there is none.
    """
    found = 0
    while found < BINS and histogram[found] < target:
        target -= histogram[found]
        found += 1
    following = min(found + 1, BINS)
    while following < BINS and histogram[following] == 0:
        following += 1
    return found, target, following


@kernel(f"UniTuple({INT}, 2)({ARRAY}, {INT}, {INT}, {INT}, {INT}, {ARRAY}, {INT})")
def keep_range(
    steps: Int64Array, low: int, high: int, last: int, above: int, kept: Int64Array, count: int
) -> tuple[int, int]:
    """Append steps with keys from `low` to `high` to the `count` in `kept`; returns their number,
    and the least key beyond `high`, looked for up to `last`, or `above` if that is less.

    Nearly all steps are outside both ranges, so branches are well predicted. A function of its own:
    inside the loop of `select_level` numba 0.68 lost the assignments to `above`, without a word.
    """
    for i in range(steps.size):
        step = steps[i]
        key = step >> QUANTITY_BITS
        if low <= key <= last:
            if key <= high:
                kept[count] = step
                count += 1
            else:
                above = min(above, key)
    return count, above


@kernel(f"UniTuple({INT}, 4)({ARRAY}, {INT}, {INT}, {INT}, {INT}, {INT}, {ARRAY})")
def select_level(
    steps: Int64Array,
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
    while high - low >= BINS:
        shift = bin_shift(low, high)
        histogram[:] = 0
        add_to_bins(steps[:count], low, shift, histogram)
        found, target, following = reach_bin(histogram, target)
        last = high if following == BINS else low + ((following + 1) << shift) - 1
        low += found << shift
        high = min(high, low + (1 << shift) - 1)
        count, above = keep_range(steps[:count], low, high, last, above, steps, 0)
    histogram[:] = 0
    add_to_bins(steps[:count], low, 0, histogram)
    found, target, following = reach_bin(histogram, target)
    if following < BINS:
        above = low + following
    return low + found, target, histogram[found], above
