"""The range for which clearing is exact in 64 bits, the proof, and the refusal of all else.

Invariant: of trees and books inside these bounds no intermediate of the kernels reaches 2**63. The
module cannot be imported if the products below say otherwise. `ration` alone meets a larger
product, and divides it bit by bit.
"""

import numpy as np

from runtime.kernels.arrays import Int64Array

MILLION = 1_000_000
PRICE_MAX = 2**26 - 1  # 67 DRT/kWh, as raised for negative limits
PRICE_LEVEL_MAX = 2**27 - 1
"""The dearest step after losses and tariffs; as an upper price it means "no further level"."""

QUANTITY_MAX = 2**26 - 1  # 67 MWh per order
TOTAL_MAX = 2**35 - 1  # 34 GWh at or below any bus, counting what losses add on the way
LOSS_PPM_MAX = 500_000  # an edge that loses more than half is a fault, not a line
TARIFF_MAX = 2**24 - 1
CAPACITY_MAX = 2**62  # "unlimited"; no flow comes near
STEPS_MAX = 2**26  # 1 GiB of curves: a million orders, each on 60 buses from its own to the root

KEY_BITS = 28  # twice a price level, plus a side
QUANTITY_BITS = 35
"""A step of a curve is one integer: its key above its energy."""

PROOF = {
    "a step": 2**KEY_BITS * 2**QUANTITY_BITS - 1,
    "a price times a flow": (PRICE_LEVEL_MAX + TARIFF_MAX) * TOTAL_MAX,
    "energy times its loss": 2 * TOTAL_MAX * LOSS_PPM_MAX + MILLION,
    "energy to be sent for": TOTAL_MAX * MILLION + MILLION,
    "a level seen through an edge": PRICE_LEVEL_MAX * MILLION + MILLION,
}

for product, largest in PROOF.items():
    if largest >= 2**63:
        raise AssertionError(f"{product} reaches {largest}, beyond 64 bits")
if 2 * PRICE_LEVEL_MAX + 1 >= 2**KEY_BITS or TOTAL_MAX >= 2**QUANTITY_BITS:
    raise AssertionError("a level or an energy does not fit its bits of a step")


class AuctionBoundsError(ValueError):
    """An entry of a tree or a book is outside the range for which clearing is exact."""

    def __init__(self, name: str, index: int, found: int, limit: str) -> None:
        """`index` is into the array `name`; -1 for a single number."""
        where = name if index < 0 else f"{name}[{index}]"
        super().__init__(f"{where} is {found}, expected {limit}")
        self.name = name
        self.index = index
        self.found = found
        self.limit = limit


def check_range(name: str, values: Int64Array, low: int, high: int) -> None:
    """Refuse the first of `values` outside `low` to `high`."""
    if values.size == 0 or (low <= int(values.min()) and int(values.max()) <= high):
        return
    index = int(np.argmax((values < low) | (values > high)))
    raise AuctionBoundsError(name, index, int(values[index]), f"from {low} to {high}")
