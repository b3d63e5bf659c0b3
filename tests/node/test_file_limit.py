"""The soft limit of open files is raised when a node starts, in a process of its own here."""

import subprocess
import sys

SCRIPT = """
import logging, resource, sys
from node.file_limit import raise_file_limit
logging.basicConfig(format="%(message)s", stream=sys.stdout)
soft, hard, connections = (int(text) for text in sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(raise_file_limit(connections), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def limits_after(soft: int, hard: int, connections: int) -> str:
    arguments = [str(soft), str(hard), str(connections)]
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, check=True
    ).stdout


def test_the_soft_limit_becomes_the_hard_one() -> None:
    assert limits_after(256, 2_048, 100) == "2048 2048 2048\n"


def test_a_hard_limit_that_is_too_low_is_told_with_what_to_do() -> None:
    warning, last = limits_after(256, 1_000, 10_000).splitlines()

    assert last == "1000 1000 1000"
    assert warning == (
        "This process may have 1000 files open, but --rpc-max-connections 10000 needs about "
        "10512. Raise the hard limit (ulimit -Hn 10512) or pass a lower --rpc-max-connections."
    )
