"""Contracts that homes of a scenario have from the beginning, and what they leave to trade.

The first homes with a generator sell to the first ones without: one solar shape in a collar, one
share of what is produced at a fixed price, one small baseload at an indexed price, and so on.

Written without the runtime, so that the agents need none of it; a test compares the solar shape.
Energy in Wh, prices in micro-DRT per kWh, money in nano-DRT.
"""

from collections.abc import Sequence
from typing import NamedTuple

MILLION = 1_000_000
SLOTS_PER_DAY = 96
SUNRISE, SUNSET = 24, 72
CONTRACTS_MAX = 6
LAST = 350_399  # ten years, the longest there can be
NOTICE = 96  # a day
TERMINATION_FEE_MAX = 100_000_000_000
SOLAR, AS_PRODUCED, BASELOAD = "solar", "as_produced", "baseload"
PRICES = {
    SOLAR: (20_000, 1_000_000, 60_000, 150_000),
    AS_PRODUCED: (110_000, 0, 0, 110_000),
    BASELOAD: (10_000, 1_000_000, 0, 300_000),
}
"""Base, share of the index in ppm, floor and cap."""

SOLD_PPM = 200_000
"""Of what a generator gives, in its best quarter hour or in each."""

BASELOAD_WH = 20


class Contract(NamedTuple):
    """Who sells to whom, and how much."""

    seller: int
    buyer: int
    shape: str
    volume_wh: int
    share_ppm: int

    def in_genesis(self) -> dict[str, object]:
        """The contract as a chain specification has it."""
        names = ("base_micro", "index_ppm", "floor_micro", "cap_micro")
        return {
            **self._asdict(),
            "price": dict(zip(names, PRICES[self.shape], strict=True)),
            "last": LAST,
            "notice": NOTICE,
            "termination_fee_max": TERMINATION_FEE_MAX,
        }

    def wanted_wh(self, slot_of_day: int, produced_wh: int) -> int:
        """What it wants of an interval in which the seller has `produced_wh` to give."""
        if self.shape == AS_PRODUCED:
            return produced_wh * self.share_ppm // MILLION
        if self.shape == SOLAR:
            return self.volume_wh * solar_ppm(slot_of_day) // MILLION
        return self.volume_wh


class Party(NamedTuple):
    """What a contract needs to know of a home."""

    number: int
    wh_max: int
    generator_w: int
    """Rated power of its generators."""


def contracts_between(homes: Sequence[Party]) -> list[Contract]:
    """The contracts of a scenario."""
    sellers = [home for home in homes if home.generator_w]
    buyers = [home for home in homes if not home.generator_w]
    shapes = [SOLAR, AS_PRODUCED, BASELOAD] * CONTRACTS_MAX
    found: list[Contract] = []
    for seller, buyer, shape in zip(sellers[:CONTRACTS_MAX], buyers, shapes, strict=False):
        most = min(seller.wh_max, buyer.wh_max)
        solar_wh = max(1, min(seller.generator_w // 4 * SOLD_PPM // MILLION, most))
        volume_wh = {SOLAR: solar_wh, AS_PRODUCED: 0, BASELOAD: min(BASELOAD_WH, most)}[shape]
        share_ppm = SOLD_PPM if shape == AS_PRODUCED else 0
        found.append(Contract(seller.number, buyer.number, shape, volume_wh, share_ppm))
    return found


def left_to_trade(
    number: int, slot_of_day: int, forecasts_wh: dict[int, int], contracts: Sequence[Contract]
) -> int:
    """Net energy (positive: lacking) of a home after its contracts, by all parties' forecasts."""
    left = dict(forecasts_wh)
    for contract in contracts:
        given, taken = max(0, -left[contract.seller]), max(0, left[contract.buyer])
        produced_wh = max(0, -forecasts_wh[contract.seller])
        energy_wh = min(contract.wanted_wh(slot_of_day, produced_wh), given, taken)
        left[contract.seller] += energy_wh
        left[contract.buyer] -= energy_wh
    return left[number]


def solar_ppm(slot_of_day: int) -> int:
    """The solar shape: a parabola from 6 to 18 o'clock, in parts of its best quarter hour."""
    if not SUNRISE < slot_of_day < SUNSET:
        return 0
    half = (SUNSET - SUNRISE) // 2
    return MILLION * (slot_of_day - SUNRISE) * (SUNSET - slot_of_day) // (half * half)
