"""What homes of a scenario wish of those they trade with, and what they add for green energy.

A third likes the sun and what is near, a sixth likes its neighbour, the others say nothing, so that
the chain serves them from nearby. One in four adds a premium, of 10 000 to 40 000 micro-DRT per
kWh. All draws follow from the number of the connection; a process that is started again declares
the same again, which fills the budget up.
"""

from devnet import right_calls
from node.gateway.strategies import draw

SOLAR = 1
"""The bit of the class."""

SUN_ONE_IN, NEIGHBOUR_ONE_IN, PREMIUM_ONE_IN = 3, 6, 4
PREMIUM_STEP_MICRO = 10_000
PREMIUM_STEPS = 4
BUDGET_NANO = 20_000_000_000
"""20 DRT: more than a home adds in a week."""


def wishes_of(connection: int) -> list[bytes]:
    """The calls by which a home declares its wishes, if it has any."""
    found: list[bytes] = []
    if draw(f"wishes/{connection}/sun", SUN_ONE_IN) == 0:
        found.append(right_calls.declare_preferences(connection, SOLAR, (), (60, 40, 0)))
    elif connection > 1 and draw(f"wishes/{connection}/neighbour", NEIGHBOUR_ONE_IN) == 0:
        neighbour = connection - 1
        found.append(right_calls.declare_preferences(connection, 0, (neighbour,), (0, 50, 50)))
    if draw(f"wishes/{connection}/premium", PREMIUM_ONE_IN) == 0:
        steps = 1 + draw(f"wishes/{connection}/steps", PREMIUM_STEPS)
        found.append(
            right_calls.declare_premium(connection, steps * PREMIUM_STEP_MICRO, BUDGET_NANO)
        )
    return found
