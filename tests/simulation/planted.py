"""Bugs that consensus must not have, to be planted: those that broke other chains or our first try.

`python -m tests.simulation.planted --seeds 20` plants each and counts how many random seeds catch
it. Directed scenarios catch all of them: `test_planted_bugs.py`.
"""

import argparse
import sys
from collections.abc import Callable

import pytest

from consensus.grandpa import rules, voter
from consensus.grandpa.own_votes import NO_VOTES, OwnVoteBook
from consensus.grandpa.records import OwnVotes, stage_of
from consensus.grandpa.vote_graph import PREVOTE, BlockRef
from consensus.grandpa.voter_set import VoterSet
from runtime.primitives.grandpa import SignedMessage
from tests.simulation.plan import draw_plan
from tests.simulation.runs import run_plan
from tests.simulation.workers import run_jobs


def forget_votes(patch: pytest.MonkeyPatch) -> None:
    """A vote goes out before it is on disk."""

    def write(
        self: OwnVoteBook,
        round_number: int,
        vote: SignedMessage,
        then: Callable[[int, SignedMessage], None],
    ) -> None:
        votes = self._votes.get(round_number, NO_VOTES)
        is_prevote = stage_of(vote.message) == PREVOTE
        self._votes[round_number] = OwnVotes(
            votes.propose,
            vote if is_prevote else votes.prevote,
            votes.precommit if is_prevote else vote,
        )
        self.is_busy = False
        then(round_number, vote)

    patch.setattr(OwnVoteBook, "_write", write)


def half_is_enough(patch: pytest.MonkeyPatch) -> None:
    """The threshold is a half."""
    init = VoterSet.__init__

    def lenient(self: VoterSet, keys: tuple[bytes, ...]) -> None:
        init(self, keys)
        self.threshold = len(self.keys) // 2

    patch.setattr(VoterSet, "__init__", lenient)


def keep_one_round(patch: pytest.MonkeyPatch) -> None:
    """Only the last completed round is stored, as in our first version."""
    patch.setattr(voter, "ROUNDS_KEPT", 1)


def no_vote_off_the_best_chain(patch: pytest.MonkeyPatch) -> None:
    """polkadot-sdk #3487: no prevote when the estimate is not on the best chain."""
    cast = voter.Voter._cast

    def faint_hearted(self: voter.Voter) -> bool:
        estimate: BlockRef | None = self._before.estimate
        tree = self._around.view.tree
        is_off = estimate is not None and not tree.is_ancestor(estimate, tree.best.ref)
        if is_off and self._book is not None and not self._book.has(self._round.number, PREVOTE):
            return False
        return cast(self)

    patch.setattr(voter.Voter, "_cast", faint_hearted)


def vote_above_a_handoff(patch: pytest.MonkeyPatch) -> None:
    """Votes do not stop at the block that hands over to the next set."""
    patch.setattr(rules, "_first_change", lambda tree, leaf: leaf.ref.number)


PLANTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "vote persistence": forget_votes,
    "threshold": half_is_enough,
    "two rounds": keep_one_round,
    "handoff rule": vote_above_a_handoff,
    "#3487": no_vote_off_the_best_chain,
}
"""By what they break."""

Job = tuple[str, int, int, int]
"""Bug, seed, validators, seconds."""


def run_with(job: Job) -> str:
    """What a seed finds with a bug planted; empty when nothing."""
    name, seed, validators, seconds = job
    with pytest.MonkeyPatch.context() as patch:
        PLANTS[name](patch)
        return run_plan(draw_plan(seed, validators, seconds)).error


def main() -> int:
    """Print which bugs were caught by how many seeds, and by what."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seconds", type=int, default=900)
    parser.add_argument("--validators", type=int, default=4)
    options = parser.parse_args()
    print("| bug | caught by | first finding |\n|---|---|---|")
    for name in PLANTS:
        jobs = [(name, seed, options.validators, options.seconds) for seed in range(options.seeds)]
        found = [error for _, error in run_jobs(run_with, jobs, options.jobs) if error]
        first = found[0].replace("|", "/")[:120] if found else ""
        print(f"| {name} | {len(found)} of {len(jobs)} seeds | {first} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
