"""Replays whose last state root is written down: every machine and Python comes to the same."""

from pathlib import Path

from devnet.dataset import BUNDLED
from devnet.replay import Replay
from devnet.scenario import load_scenario
from tests.devnet.small_data import write_data

LINE, RURAL = "line, spring, 1 day", "rural1, spring, 7 days"


def replay_of_line(data: Path) -> Replay:
    """A day of three homes; their data is written into `data`."""
    return Replay(load_scenario(write_data(data), "line", "spring"), 1, 60_000)


def replay_of_rural() -> Replay:
    """The week in which the transformer of the rural grid is congested."""
    return Replay(load_scenario(BUNDLED, "rural1", "spring"), 7, 60_000)


def replay_roots(data: Path) -> dict[str, str]:
    """The state root at the end of each replay."""
    replays = {LINE: replay_of_line(data), RURAL: replay_of_rural()}
    return {name: replay.run().state_root for name, replay in replays.items()}
