"""From the reports of those who are left to an override that they can sign.

Run on the node whose final block is the highest. The start is the highest block that all reports
have on their best chains, so that as little as possible of what was traded is lost; it has to lie
on top of the last precommit of everybody who reports. Why that is enough: docs/consensus.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from consensus.grandpa.records import target_of
from consensus.grandpa.voter_set import VoterSet
from node.chain import Chain
from node.errors import NodeError
from node.finality_report import SeenPrecommit, SignedReport, report_fault
from runtime.primitives.recovery import Block, Override, RecoveryProof
from runtime.primitives.session import SessionKeys
from runtime.primitives.types import AccountId
from runtime.state.overlay import Overlay

MS_PER_HOUR = 3_600_000


class NoPlan(NodeError):
    """The reports do not allow an override; the message says what stands against it."""


@dataclass(frozen=True, slots=True)
class NewValidator:
    """Who takes part with keys that the chain does not know."""

    account: AccountId
    keys: SessionKeys


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the operators decide."""

    kept: Sequence[AccountId]
    """Validators with the keys that the chain knows of."""

    new: Sequence[NewValidator]
    reason: str
    now_ms: int
    valid_hours: int
    start: int | None = None
    """The number of the block to start from; None chooses the highest that all have."""

    accepts_unseen: bool = False
    """Too few report to exclude that the lost ones made more final; that was looked into."""


def plan(chain: Chain, reports: Sequence[SignedReport], wanted: Wanted) -> RecoveryProof:
    """An override that nobody has signed yet. Raises `NoPlan`."""
    state = chain.loaded_state(())
    _check_reports(chain, reports, state.set_id, VoterSet(state.grandpa_authorities), wanted)
    start = _start(chain, reports, wanted)
    start_state = chain.state_at(start.hash)
    runtime, overlay = chain.runtime_of(start_state), Overlay(start_state)
    override = Override(
        chain.genesis_hash,
        Block(chain.finalized_hash_now, chain.finalized.number),
        start,
        state.set_id,
        runtime.grandpa_set_id(overlay) + 1,
        _validators(chain, start, wanted),
        wanted.now_ms,
        wanted.now_ms + wanted.valid_hours * MS_PER_HOUR,
        wanted.reason,
    )
    return RecoveryProof(override, chain.finalized, state.justification, [])


def _check_reports(
    chain: Chain, reports: Sequence[SignedReport], set_id: int, voters: VoterSet, wanted: Wanted
) -> None:
    reporters: set[bytes] = set()
    for signed in reports:
        report = signed.report
        fault = report_fault(signed, chain.genesis_hash, set_id, voters.keys)
        name = f"The report of 0x{report.reporter.hex()}"
        if fault:
            raise NoPlan(f"{name} does not count: {fault}.")
        number, block_hash = report.finalized.number, report.finalized.hash()
        if number > chain.finalized.number:
            raise NoPlan(
                f"{name} has block {number} final, this node {chain.finalized.number}. Run this "
                "on the node whose final block is the highest."
            )
        if chain.finalized_hash(number) not in (None, block_hash):
            raise NoPlan(
                f"{name} has 0x{block_hash.hex()} final at height {number}, this node another "
                "block. Two final blocks at one height are a safety fault, not a standstill: more "
                "than f validators signed both. Do not override; keep the reports and both "
                "databases as evidence."
            )
        reporters.add(report.reporter)
    if not reporters:
        raise NoPlan("No report was given. dret authority recovery report makes them.")
    needed = voters.faults_max + 1
    if len(reporters) < needed and not wanted.accepts_unseen:
        raise NoPlan(
            f"{len(reporters)} of {len(voters)} validators report, expected {needed} at least: the "
            f"{len(voters) - len(reporters)} others could have made blocks final that nobody here "
            "has seen. Ask full nodes, light clients and auditors for later proofs of finality for "
            "a day; then pass --accept-unseen-finality."
        )


def _start(chain: Chain, reports: Sequence[SignedReport], wanted: Wanted) -> Block:
    """The block from which the new validators go on."""
    final = chain.finalized
    chains = [
        dict(enumerate(signed.report.chain, signed.report.finalized.number + 1))
        for signed in reports
    ]
    highest = final.number
    while highest < chain.best.number:
        block_hash = chain.hash_at(highest + 1)
        if any(each.get(highest + 1) != block_hash for each in chains):
            break
        highest += 1
    number = highest if wanted.start is None else wanted.start
    if not final.number <= number <= highest:
        raise NoPlan(
            f"--start {number}: expected {final.number} (the last final block) to {highest} (the "
            "last one that all reports have)."
        )
    _check_precommits(chain, reports, number)
    block_hash = chain.hash_at(number)
    assert block_hash is not None, "it is on the best chain"
    return Block(block_hash, number)


def _check_precommits(chain: Chain, reports: Sequence[SignedReport], start: int) -> None:
    """The start lies on top of what might be final.

    That is the last precommit of every validator that reports: whatever became final without being
    seen, one of them has precommitted to it or, in a later round, to something above it. Of the
    others count those that they cast in the last round of those who report, or later.
    """
    reporters = {signed.report.reporter for signed in reports}
    last: dict[bytes, SeenPrecommit] = {}
    for entry in (entry for signed in reports for entry in signed.report.precommits):
        known = last.get(entry.vote.id)
        if known is None or (known.round, target_of(known.vote.message).number) < (
            entry.round,
            target_of(entry.vote.message).number,
        ):
            last[entry.vote.id] = entry
    newest = max((last[key].round for key in reporters if key in last), default=0)
    for voter, entry in sorted(last.items()):
        target = target_of(entry.vote.message)
        is_below = target.number <= start and chain.hash_at(target.number) == target.hash
        is_past = target.number <= chain.finalized.number
        counts = voter in reporters or entry.round >= newest
        if counts and not is_below and not is_past:
            raise NoPlan(
                f"0x{voter.hex()} precommitted to block {target.number}, "
                f"0x{target.hash.hex()}, in round {entry.round}: it may be final, and block "
                f"{start} does not contain it. Start from a block above it, on a node whose best "
                "chain has it."
            )


def _validators(chain: Chain, start: Block, wanted: Wanted) -> list[tuple[AccountId, SessionKeys]]:
    state = chain.state_at(start.hash)
    runtime = chain.runtime_of(state)
    runtime.bind(Overlay(state))
    found: list[tuple[AccountId, SessionKeys]] = []
    for account in wanted.kept:
        in_use = [keys for who, keys in runtime.session.current_set() if who == account]
        keys = in_use[0] if in_use else runtime.session.next_keys[account]
        if keys is None:
            raise NoPlan(
                f"0x{account.hex()} has no session keys on the chain. Give it by --new-validator, "
                "with a file of dret authority recovery new-keys."
            )
        found.append((account, keys))
    return [*found, *((new.account, new.keys) for new in wanted.new)]
