"""Eras as polkadot.js writes them."""

from typing import Any

import pytest

from runtime.primitives.extrinsic import Era, EraField
from runtime.primitives.scale import codec
from tests.vectors.load import load, unhex


@pytest.mark.parametrize("case", load("substrate/client_vectors.json")["eras"])
def test_eras_are_those_of_polkadot_js(case: dict[str, Any]) -> None:
    era = Era.mortal(case["period"], case["current"])

    assert era.encode() == unhex(case["hex"])
    assert codec(EraField).decode(unhex(case["hex"])) == era
    assert era.birth(case["current"]) == case["birth"]
    assert era.death(case["current"]) == case["death"]


# sp-runtime, generic/era.rs: mortal_codec_works, long_period_mortal_codec_works,
# era_initialization_works, quantized_clamped_era_initialization_works.


@pytest.mark.parametrize(
    ("period", "current", "encoded"), [(64, 42, "a502"), (32_768, 20_000, "4e9c")]
)
def test_eras_are_encoded_as_by_sp_runtime(period: int, current: int, encoded: str) -> None:
    assert Era.mortal(period, current).encode() == unhex(encoded)


@pytest.mark.parametrize(
    ("period", "current", "expected"),
    [
        (64, 42, Era(64, 42)),
        (32_768, 20_000, Era(32_768, 20_000)),
        (200, 513, Era(256, 1)),
        (2, 1, Era(4, 1)),
        (4, 5, Era(4, 1)),
        (1_000_000, 1_000_001, Era(65_536, 16_960)),
    ],
)
def test_eras_are_rounded_as_by_sp_runtime(period: int, current: int, expected: Era) -> None:
    assert Era.mortal(period, current) == expected


def test_births_and_deaths_are_those_of_sp_runtime() -> None:
    # mortal_birth_death_works and current_less_than_phase.
    era = Era.mortal(4, 6)

    for current in range(6, 10):
        assert (era.birth(current), era.death(current)) == (6, 10)
    assert era.birth(10) != 6
    assert era.birth(5) != 6
    assert Era.mortal(4, 3).birth(1) == 3
