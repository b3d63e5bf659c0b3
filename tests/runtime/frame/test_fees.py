"""Fees, to the last nano as Substrate computes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.frame import Pays
from runtime.frame.fees import FeeSchedule, InclusionFee

SCHEDULE = FeeSchedule(base=5_000, per_byte=100, per_microsecond=30)


def test_a_fee_is_base_and_length_and_weight_and_tip() -> None:
    fee = SCHEDULE.compute_fee(length=142, weight=200_000_000, pays=Pays.YES, tip=7)

    assert fee == 5_000 + 142 * 100 + 200 * 30 + 7
    assert SCHEDULE.inclusion_fee(142, 200_000_000) == InclusionFee(5_000, 14_200, 6_000)


def test_what_pays_nothing_still_pays_its_tip() -> None:
    assert SCHEDULE.compute_fee(length=142, weight=200_000_000, pays=Pays.NO, tip=7) == 7


@pytest.mark.parametrize(
    ("weight", "fee"),
    [
        (0, 0),
        (16_666, 0),  # 0.49998
        (500_000, 15),
        (516_666, 15),  # 15.49998
        (516_667, 16),  # 15.50001
    ],
)
def test_weight_fees_are_rounded_to_the_nearest(weight: int, fee: int) -> None:
    assert SCHEDULE.weight_fee(weight) == fee


def test_halves_are_rounded_down() -> None:
    schedule = FeeSchedule(0, 0, 1)

    assert schedule.weight_fee(500_000) == 0
    assert schedule.weight_fee(1_500_000) == 1
    assert schedule.weight_fee(500_001) == 1


@given(st.integers(0, 10**12), st.integers(0, 10**6 - 1))
def test_weight_fees_are_products_with_a_perbill(weight: int, per_microsecond: int) -> None:
    # sp-arithmetic: whole parts first, then the rest with `Rounding::NearestPrefDown`.
    parts, accuracy = per_microsecond * 1_000, 10**9
    whole, rest = divmod(weight, accuracy)
    product = rest * parts
    expected = whole * parts + product // accuracy + (product % accuracy > accuracy // 2)

    assert FeeSchedule(0, 0, per_microsecond).weight_fee(weight) == expected
