"""Every directed scenario of the plan has a test that bears its number."""

import re

from tests.simulation.sources import ROOT

SCENARIOS = 18


def test_each_scenario_has_a_test_of_its_number() -> None:
    found = {
        int(number)
        for folder in ("tests/simulation", "tests/consensus")
        for file in (ROOT / folder).rglob("test_*.py")
        for number in re.findall(r"^def test_s(\d+)_", file.read_text(), re.MULTILINE)
    }

    assert found == set(range(1, SCENARIOS + 1))
