"""Money and prices as people type them, in whole numbers of their small units."""

from decimal import Decimal, InvalidOperation

import asyncclick as click

MICRO = Decimal(10**6)
NANO = Decimal(10**9)
AMOUNT_MAX = 10**38
"""Of the small unit: what fits the chain's numbers."""


class Drt(click.ParamType[int]):
    """An amount of DRT, or a price in DRT per kWh, as a whole number of its small unit."""

    name = "DRT"

    def __init__(self, unit: Decimal) -> None:
        self.unit = unit

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """The amount in the small unit; one that is finer, or beyond all bounds, is refused."""
        try:
            amount = Decimal(str(value)) * self.unit
        except InvalidOperation:
            self.fail(f"{value!r} is no number", param, ctx)
        if not amount.is_finite() or abs(amount) > AMOUNT_MAX:
            self.fail(f"{value!r} is no amount of DRT", param, ctx)
        if amount != int(amount):
            self.fail(f"{value!r} is finer than 1/{self.unit}", param, ctx)
        return int(amount)


PRICE = Drt(MICRO)
MONEY = Drt(NANO)
