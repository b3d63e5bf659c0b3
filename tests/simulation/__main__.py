"""`python -m tests.simulation`: many seeds, resumable."""

import argparse
import sys

from tests.simulation.report import has_failed, summary
from tests.simulation.soak import soak


def main() -> int:
    """Exit 1 when a seed fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=100, help="how many")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seconds", type=int, default=900, help="virtual seconds of each run")
    parser.add_argument("--validators", type=int, nargs="+", default=[4, 7])
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.seeds)
    results = soak(seeds, options.jobs, tuple(options.validators), options.seconds)
    print(summary(results))
    return 1 if has_failed(results) else 0


if __name__ == "__main__":
    sys.exit(main())
