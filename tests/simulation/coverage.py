"""What has to happen in some run, or the simulator does not test what it says.

A fault that is drawn may meet nobody: a loss while nothing is sent, a crash right after a sync. So
what counts is what came of it. Each name below is counted where it happens; the soak prints in how
many runs it did, and a long soak in which one never did has failed.
"""

from collections.abc import Iterable, Mapping, Sequence

SOMETIMES = {
    # faults of the network
    "slow message": "a message takes more than a second",
    "lost message": "a message is lost",
    "second copy": "a message comes twice",
    "overtaken message": "a message comes before one that was sent earlier",
    "swallowed message": "a message vanishes on a cut link that looks sound",
    "broken connection": "a partition breaks a connection",
    # faults of machines
    "lost batches": "a crash loses batches that were not synced",
    "some batches lost": "a crash loses some of them and keeps those before",
    "vote only signed": "after a crash only the signer knows of a vote",
    "slow sync": "a sync takes a second or longer",
    "parked block": "a block waits for its slot, by the clock of who got it",
    "clock alarm": "a node finds that its clock is wrong",
    "rolled back": "a node finds that its database is older than its signer",
    # lies
    "two blocks": "an honest node has evidence of two blocks of an author in one slot",
    "two votes": "an honest node has evidence of two votes of a voter in one stage",
    "withheld vote": "a vote is kept from a peer",
    "withheld block": "a block is announced late",
    "bad block": "a block is found to break a rule",
    "bad commit": "a commit is found to be false",
    "bad justification": "a justification is found to be false",
    "false packet": "a neighbour packet contradicts the one before",
    "forgotten votes": "a validator forgets its votes, and its signer too",
    # what the protocol has for it
    "reorganisation": "another branch becomes best",
    "returned extrinsic": "an extrinsic of a branch that lost goes back to the pool",
    "finality off the best chain": "a block becomes final that was not on the best chain",
    "catch-up": "a voter is given a round that is over",
    "primary's proposal": "a primary repeats an estimate",
    "walk": "a node far behind walks the headers of a peer",
    "justification request": "a node asks for the proof of a block",
    "long stall": "finality stands still for ten slots",
    "handoff": "a set of voters takes over",
    "disabled author": "a validator may author no more in its session, by the evidence of others",
}

REPORTS = (
    ("bad block", ("bad block", "announced a bad block")),
    ("bad commit", ("invalid commit", "malformed commit")),
    ("bad justification", ("justification of block",)),
    ("false packet", ("neighbour packet",)),
)


def told_by(reason: str) -> str | None:
    """What a report of a peer says that happened."""
    for name, beginnings in REPORTS:
        if reason.startswith(beginnings):
            return name
    return None


def never_reached(runs: Iterable[Mapping[str, int]]) -> list[str]:
    """What happened in none of the runs."""
    reached = {name for run in runs for name, times in run.items() if times}
    return [name for name in SOMETIMES if name not in reached]


def table_of(runs: Sequence[Mapping[str, int]]) -> list[str]:
    """In how many runs each thing happened, and how often in all, as rows of a table."""
    rows = ["| what happened | runs | times |", "|---|---|---|"]
    for name, meaning in SOMETIMES.items():
        counts = [run.get(name, 0) for run in runs]
        rows.append(f"| {meaning} | {sum(map(bool, counts))} | {sum(counts)} |")
    return rows
