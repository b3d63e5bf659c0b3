"""What a search for coupled orders may take: weights of its steps, in picoseconds, and their count.

Work is counted before it is done, so a search ends where it has to on every machine.
"""

CLEARINGS_MAX = 4_000  # of a call, on the tree

CURVE_WEIGHT = 150_000  # 150 ns: one look at a curve
PLAN_WEIGHT = 100_000_000  # 100 us: a plan, and per interval, and per step that it could trade:
PLAN_INTERVAL_WEIGHT = 5_000_000  # 5 us
PLAN_STEP_WEIGHT = 1_000_000  # 1 us
CLEARING_WEIGHT = 60_000_000  # 60 us: one clearing, and per order and bus:
CLEARING_PART_WEIGHT = 500_000  # 0.5 us
BOOK_INTERVAL_WEIGHT = 300_000_000  # 300 us: writing book, flows and prices
BOOK_ORDER_WEIGHT = 6_000_000  # 6 us: an order's fill and its holding
CURVE_ORDER_WEIGHT = 1_000_000  # 1 us: an order's place in its curve


class WorkExhausted(Exception):
    """The search has spent its work."""


class Work:
    """How much a search may still do."""

    def __init__(self, weight: int) -> None:
        self.weight = weight
        self.spent = 0
        self.clearings = 0

    def spend(self, weight: int) -> None:
        """Count some work before it is done. Raises `WorkExhausted` if there is no more."""
        if self.spent + weight > self.weight:
            raise WorkExhausted
        self.spent += weight

    def count_clearing(self, orders: int, buses: int) -> None:
        """Count a clearing on the tree before it is done."""
        if self.clearings >= CLEARINGS_MAX:
            raise WorkExhausted
        self.spend(CLEARING_WEIGHT + CLEARING_PART_WEIGHT * (orders + buses))
        self.clearings += 1

    @property
    def is_half_spent(self) -> bool:
        """Whether the search had better come to an end."""
        return 2 * self.spent > self.weight or 2 * self.clearings > CLEARINGS_MAX
