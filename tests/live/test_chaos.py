"""Some of what `make chaos` does to real validators, each for some seconds."""

import subprocess
import sys

from tests.live.chaos import NOT_PERMITTED
from tests.live.network import LIVE, ROOT, environment

pytestmark = LIVE

SCENARIOS = ("halves", "clocks", "refused", "backup")
PATIENCE_S = 900.0  # on a machine that does much else


def chaos(*flags: str) -> subprocess.CompletedProcess[str]:
    """The program in a process of its own, which enters namespaces."""
    return subprocess.run(
        [sys.executable, "-m", "tests.live.chaos", "--short", *flags, *SCENARIOS],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def test_validators_survive_networks_clocks_disks_and_processes_that_fail() -> None:
    done = chaos()
    if done.returncode == NOT_PERMITTED:
        print(done.stdout)
        done = chaos("--gate")

    print(done.stdout)
    assert done.returncode == 0, done.stdout
    told = [line.split()[0] for line in done.stdout.splitlines() if " s  " in line]
    assert told == list(SCENARIOS)
    assert "NOT RUN" not in done.stdout and ", 0 double" in done.stdout
