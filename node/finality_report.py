"""What a validator that has stopped says of finality, for those who plan an override.

A report is made from the folder of a node that does not run, and makes it stop voting in its set
first: a vote after the report could make final what the override leaves out. It holds the last
final block with its proof, the best chain above it, and all precommits of the set that the node has
seen or made, and is signed by the validator's GRANDPA key.

Invariant: nobody has the report before the node is bound not to vote in that set any more.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from consensus.grandpa.records import ROUNDS_KEY, OwnVotes, VoterRecord, read_own_votes_key
from consensus.ports import LoadedState, SignerMark
from node.chain import Chain
from node.errors import ConfigInvalid, StorageUnusable
from node.keystore import Keystore, write_private
from runtime.primitives.block import Header
from runtime.primitives.crypto import Scheme, verify
from runtime.primitives.grandpa import Precommit, SignedMessage, vote_payload
from runtime.primitives.recovery import PATH_MAX
from runtime.primitives.scale import DecodeError, MaxLen, Struct
from runtime.primitives.types import AuthorityId, Hash, Round, SetId, Signature

STOPPED_FILE = "voting_stopped.json"  # below the base path
REPORT_DOMAIN = b"DRET finality report\x00"
PRECOMMITS_MAX = 1_024  # three rounds of a hundred voters, with equivocations


class SeenPrecommit(Struct):
    """A precommit and the round it was cast in."""

    round: Round
    vote: SignedMessage


class Report(Struct):
    """Where a validator stood when it stopped."""

    genesis: Hash
    set_id: SetId
    """The set that votes above the final block."""

    finalized: Header
    justification: bytes | None
    """That it is final, by the set that made it so; none for the genesis."""

    chain: Annotated[list[Hash], MaxLen(PATH_MAX)]
    """The blocks of the best chain above it, by rising number."""

    precommits: Annotated[list[SeenPrecommit], MaxLen(PRECOMMITS_MAX)]
    """Of this set, as far as they are stored; those of the node itself are."""

    reporter: AuthorityId
    """The GRANDPA key of the validator."""


class SignedReport(Struct):
    """A report with the validator's signature over `report_payload`."""

    report: Report
    signature: Signature


def report_payload(report: Report) -> bytes:
    """What the validator signs."""
    return REPORT_DOMAIN + report.encode()


def make_report(
    chain: Chain, keystore: Keystore, marks: tuple[SignerMark, ...], folder: Path
) -> SignedReport:
    """Bind the node of a folder not to vote in its set any more, and say where it stands.

    Raises `ConfigInvalid` when it is no validator of the set.
    """
    state = chain.loaded_state(marks)
    voters = state.grandpa_authorities
    pair = next((p for key in voters if (p := keystore.get("gran", key)) is not None), None)
    if pair is None:
        held = len(keystore.publics("gran"))
        raise ConfigInvalid(
            f"The keystore holds {held} keys for votes, none of them of the {len(voters)} voters "
            f"of set {state.set_id}. Only its validators report."
        )
    stop_voting(folder, state.set_id)
    report = Report(
        chain.genesis_hash,
        state.set_id,
        state.finalized,
        state.justification,
        _chain_above(chain),
        _precommits(state),
        pair.public,
    )
    return SignedReport(report, pair.sign(report_payload(report)))


def report_fault(signed: SignedReport, genesis: Hash, set_id: int, voters: Iterable[bytes]) -> str:
    """Why a report counts for nothing; empty when it counts."""
    report = signed.report
    if report.genesis != genesis:
        return f"it is of the chain 0x{report.genesis.hex()}, this one is 0x{genesis.hex()}"
    if report.set_id != set_id:
        return f"it is of set {report.set_id}, here set {set_id} votes"
    if report.reporter not in voters:
        return f"0x{report.reporter.hex()} is no voter of set {set_id}"
    if not verify(Scheme.ED25519, report.reporter, report_payload(report), signed.signature):
        return f"the signature of 0x{report.reporter.hex()} is wrong"
    for seen in report.precommits:
        payload = vote_payload(seen.vote.message, seen.round, set_id)
        if not verify(Scheme.ED25519, seen.vote.id, payload, seen.vote.signature):
            return f"a precommit of 0x{seen.vote.id.hex()} in it is not signed by that voter"
    return ""


def stop_voting(folder: Path, set_id: int) -> None:
    """Let the node of a folder never vote in sets up to this one again."""
    try:
        write_private(folder / STOPPED_FILE, json.dumps({"set_id": set_id}).encode())
    except OSError as error:
        raise StorageUnusable(
            f"{folder / STOPPED_FILE} cannot be written: {error.strerror}. Without it the node "
            "could vote after its report."
        ) from error


def resume_voting(folder: Path) -> int | None:
    """Let it vote again; the set up to which it did not, None if it did."""
    stopped = stopped_set(folder)
    (folder / STOPPED_FILE).unlink(missing_ok=True)
    return None if stopped < 0 else stopped


def stopped_set(folder: Path) -> int:
    """The set up to which the node of a folder does not vote; -1 when it votes in all."""
    path = folder / STOPPED_FILE
    if not path.exists():
        return -1
    try:
        return int(json.loads(path.read_bytes())["set_id"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageUnusable(
            f"{path} cannot be read: {error}. It says in which set the node has stopped voting; "
            "restore it, or run dret authority recovery report again."
        ) from error


def read_report(path: Path) -> SignedReport:
    """A report from its file. Raises `ConfigInvalid`."""
    try:
        return SignedReport.decode(bytes.fromhex(json.loads(path.read_bytes())["report"][2:]))
    except (OSError, ValueError, KeyError, TypeError, DecodeError) as error:
        raise ConfigInvalid(
            f"{path} is no report of a validator: {error}. dret authority recovery report makes "
            "one."
        ) from error


def report_text(signed: SignedReport) -> str:
    """The content of a report's file; what stands beside the report itself is for people."""
    report = signed.report
    content = {
        "reporter": "0x" + report.reporter.hex(),
        "set_id": report.set_id,
        "finalized": {
            "number": report.finalized.number,
            "hash": "0x" + report.finalized.hash().hex(),
        },
        "best": report.finalized.number + len(report.chain),
        "precommits": len(report.precommits),
        "report": "0x" + signed.encode().hex(),
    }
    return json.dumps(content, indent=1) + "\n"


def _chain_above(chain: Chain) -> list[Hash]:
    numbers = range(chain.finalized.number + 1, chain.best.number + 1)
    hashes = [chain.hash_at(number) for number in numbers]
    return [block_hash for block_hash in hashes if block_hash is not None][:PATH_MAX]


def _precommits(state: LoadedState) -> list[SeenPrecommit]:
    """All that are stored of the set, each once."""
    found: dict[tuple[int, bytes, bytes], SeenPrecommit] = {}

    def note(round_number: int, vote: SignedMessage | None) -> None:
        if vote is not None and isinstance(vote.message, Precommit):
            key = (round_number, vote.id, vote.message.target_hash)
            found.setdefault(key, SeenPrecommit(round_number, vote))

    stored = state.voter.get(ROUNDS_KEY)
    record = None if stored is None else VoterRecord.decode(stored)
    if record is not None and record.set_id == state.set_id:
        for round_ in (*record.completed, record.current):
            for vote in round_.precommits:
                note(round_.round, vote)
    for key, value in state.voter.items():
        position = read_own_votes_key(key)
        if position is not None and position[0] == state.set_id:
            note(position[1], OwnVotes.decode(value).precommit)
    for mark in state.signer_marks:
        if mark.set_id == state.set_id:
            note(mark.round, mark.precommit)
    return [found[key] for key in sorted(found)][-PRECOMMITS_MAX:]
