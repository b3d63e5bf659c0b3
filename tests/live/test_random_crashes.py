"""Some rounds of what `make soak-crash` runs 200 of."""

from pathlib import Path

from tests.live.crash_soak import run
from tests.live.network import LIVE

pytestmark = LIVE

ROUNDS = 5


def test_validators_killed_at_random_moments_lose_nothing_and_never_vote_twice(
    tmp_path: Path,
) -> None:
    report = run(tmp_path, ROUNDS, random_seed=1)

    assert report.rounds == ROUNDS
    assert report.votes > ROUNDS, "the witness hears the votes"
