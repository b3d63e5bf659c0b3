"""The moves of a search for coupled orders, tried one by one: costs by filling orders in turn.

Slow and obvious; the kernel has to find the same move.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

UNSERVED = 2**54

Book = Sequence[tuple[int, int, int]]
"""Orders: price, quantity, whether it is a bid."""


class Alternative(NamedTuple):
    """Energies by interval (bought; negative: sold) and what they are worth."""

    energies: dict[int, int]
    value: int
    is_open: bool = True


class Found(NamedTuple):
    """A move: its gain, the alternative that is added, the order that gives up its own."""

    gain: int
    added: int
    dropped: int


def cost_of(book: Book, position: int) -> int:
    """What it costs the orders of a book to give a position, against giving none."""
    total = filled(book, position)
    alone = filled(book, 0)
    return UNSERVED if total is None or alone is None else total - alone


def filled(book: Book, position: int) -> int | None:
    """The least cost of giving a position: offers accepted, bids unserved, cheapest first."""
    served = sum(quantity for _, quantity, isbid in book if isbid)
    missing = position + served
    cost = -sum(price * quantity for price, quantity, isbid in book if isbid)
    for price, quantity, _ in sorted(book):
        taken = min(max(missing, 0), quantity)
        cost += price * taken
        missing -= taken
    return cost if missing == 0 else None


def best_move(
    books: Sequence[Book], orders: Sequence[Sequence[Alternative]], chosen: Sequence[int | None]
) -> Found:
    """The best of all moves; `chosen` is the place of an alternative in its order. Of orders whose
    windows do not meet, one instead of the other is two moves.
    """
    starts = [sum(map(len, orders[:number])) for number in range(len(orders))]
    now = welfare(books, orders, chosen)
    best = Found(0, -1, -1)
    for number, alternatives in enumerate(orders):
        own = chosen[number]
        options: list[int | None] = [None] if own is not None else []
        options += [place for place, each in enumerate(alternatives) if each.is_open]
        for option in options:
            if option == own:
                continue
            added = -1 if option is None else starts[number] + option
            trials = [(number if own is not None else -1, with_one(chosen, number, option))]
            if own is None:
                trials += [
                    (other, with_one(with_one(chosen, number, option), other, None))
                    for other, taken in enumerate(chosen)
                    if taken is not None
                    and option is not None
                    and meet(alternatives[option], orders[other][taken])
                ]
            for dropped, trial in trials:
                gain = welfare(books, orders, trial) - now
                if gain > best.gain:
                    best = Found(gain, added, dropped)
    return best


def meet(one: Alternative, other: Alternative) -> bool:
    """Whether two alternatives have windows that overlap."""
    begins_before = min(one.energies) <= max(other.energies)
    return begins_before and min(other.energies) <= max(one.energies)


def best_pair(
    books: Sequence[Book], orders: Sequence[Sequence[Alternative]], chosen: Sequence[int | None]
) -> int:
    """The gain of the best two alternatives of orders without one, on opposite sides."""
    now = welfare(books, orders, chosen)
    best = 0
    free = [number for number, taken in enumerate(chosen) if taken is None]
    for one, other in combinations(free, 2):
        for first in range(len(orders[one])):
            for second in range(len(orders[other])):
                pair = orders[one][first], orders[other][second]
                signs = {next(iter(each.energies.values())) > 0 for each in pair}
                if all(each.is_open for each in pair) and len(signs) == 2:
                    trial = with_one(with_one(chosen, one, first), other, second)
                    best = max(best, welfare(books, orders, trial) - now)
    return best


def with_one(chosen: Sequence[int | None], number: int, option: int | None) -> list[int | None]:
    """A choice with another alternative of one order."""
    return [option if other == number else taken for other, taken in enumerate(chosen)]


def welfare(
    books: Sequence[Book], orders: Sequence[Sequence[Alternative]], chosen: Sequence[int | None]
) -> int:
    """What the chosen alternatives are worth beyond what they cost the books."""
    positions = [0] * len(books)
    total = 0
    for alternatives, taken in zip(orders, chosen, strict=True):
        if taken is not None:
            total += alternatives[taken].value
            for interval, wh in alternatives[taken].energies.items():
                positions[interval] += wh
    return total - sum(map(cost_of, books, positions))
