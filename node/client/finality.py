"""Finality checked without trusting the node that tells of it.

Who knows the voters of the genesis (from the chain specification) follows the handoffs, each proved
final by the set that hands over (or overridden by the members in a state that it made final), to
the set that voted for a block; and checks that block's proof.
Nothing else is believed: a node can withhold a proof, not forge one.

Invariant: `voters` are those of set `set_id`, which votes for the blocks above `since`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from node.client.signing import Caller
from node.errors import NodeError
from node.recoveries import read_signers
from runtime.primitives.block import Consensus, Digest, DigestItem, Header
from runtime.primitives.finality import BadJustification, check_justification
from runtime.primitives.grandpa import (
    ENGINE_ID,
    FinalityProof,
    GrandpaLog,
    Justification,
    ScheduledChange,
)
from runtime.primitives.recovery import (
    BadOverride,
    RecoveryLink,
    check_link,
    recovery_keys_of,
)
from runtime.primitives.scale import DecodeError, codec
from runtime.primitives.types import AuthorityId, Hash

HANDOFFS_MAX = 1 << 20  # two lifetimes of a set that changes every hour

_LOG = codec(GrandpaLog)
_ITEM = codec(DigestItem)


class ProofRefused(NodeError):
    """What a node gave as a proof proves nothing; it lies, or it is damaged."""

    exit_code = 11


@dataclass(slots=True)
class Voters:
    """The set that votes above a block."""

    set_id: int
    voters: tuple[AuthorityId, ...]
    since: int = 0
    genesis: Hash = b""
    last: Hash = b""
    """The block `since`; that of the genesis before the first handoff."""

    def __post_init__(self) -> None:
        self.last = self.last or self.genesis

    def check(self, encoded: bytes, target: Hash, what: str) -> None:
        """Check that this set has made a block final. Raises `ProofRefused`."""
        try:
            justification = Justification.decode(encoded)
            check_justification(justification, self.set_id, self.voters)
        except (DecodeError, BadJustification) as error:
            raise ProofRefused(f"{what}, set {self.set_id}: {error}.") from error
        if justification.commit.target_hash != target:
            raise ProofRefused(
                f"{what}: the proof is for 0x{justification.commit.target_hash.hex()}, "
                f"not for 0x{target.hex()}."
            )

    def hand_over(self, header: Header, justification: bytes) -> None:
        """Go over to the next set by its handoff. Raises `ProofRefused`."""
        what = f"The handoff in block {header.number}"
        if header.number <= self.since:
            raise ProofRefused(f"{what}: the one before it was in block {self.since}.")
        self.check(justification, header.hash(), what)
        self.voters = next_voters(header)
        self.set_id += 1
        self.since, self.last = header.number, header.hash()

    def recover(self, link: RecoveryLink) -> None:
        """Go over to the voters of an override by the members. Raises `ProofRefused`."""
        override = link.proof.override
        final, start = override.finalized, override.start
        what = f"The override that starts from block {start.number}"
        if final.number < self.since or (final.number == self.since and final.hash != self.last):
            raise ProofRefused(f"{what}: block {self.since} is final, above what it calls so.")
        if final.hash != self.last:
            self.check(link.proof.justification or b"", final.hash, what)
        try:
            check_link(link, self.genesis, self.set_id, read_signers)
        except BadOverride as error:
            raise ProofRefused(f"{what}: {error}.") from error
        self.voters, self.set_id = recovery_keys_of(link.proof), override.set_id
        self.since, self.last = start.number, start.hash


def next_voters(header: Header) -> tuple[AuthorityId, ...]:
    """The set that takes over with a header. Raises `ProofRefused` when it names none."""
    what = f"Block {header.number}"
    found: list[tuple[AuthorityId, ...]] = []
    for item in header.digest.logs:
        if not isinstance(item, Consensus) or item.engine != ENGINE_ID:
            continue
        try:
            log = _LOG.decode(item.data)
        except DecodeError as error:
            raise ProofRefused(f"{what} tells GRANDPA something unknown: {error}.") from error
        if isinstance(log, ScheduledChange):
            if log.delay or any(weight != 1 for _, weight in log.next_authorities):
                raise ProofRefused(f"{what} hands over later, or to voters of unequal weight.")
            found.append(tuple(key for key, _ in log.next_authorities))
    if len(found) != 1 or not found[0] or len(set(found[0])) != len(found[0]):
        raise ProofRefused(f"{what} was given as a handoff, but hands over to nobody.")
    return found[0]


async def final_header(node: Caller, voters: Voters, block: Hash, number: int) -> Header:
    """The header of a block, proved final; `voters` are then those who made it so.

    Raises `ProofRefused`.
    """
    await follow_handoffs(node, voters, number)
    what = f"Block {number}"
    header = header_from(await node.call("chain_getHeader", [_hex(block)]), what)
    if header.hash() != block or header.number != number:
        raise ProofRefused(f"{what}: the header has the hash 0x{header.hash().hex()}.")
    encoded = await node.call("grandpa_proveFinality", [number])
    if encoded is None:
        raise ProofRefused(f"{what}: the node has no proof that it is final.")
    try:
        proof = FinalityProof.decode(bytes.fromhex(encoded[2:]))
    except (DecodeError, ValueError) as error:
        raise ProofRefused(f"{what}: the proof of its finality cannot be read: {error}.") from error
    voters.check(proof.justification, proof.block, what)
    check_chain(block, proof.unknown_headers, proof.block)
    return header


async def follow_handoffs(node: Caller, voters: Voters, number: int) -> None:
    """Go over to the set that votes for the block of a number. Raises `ProofRefused`."""
    while voters.set_id < HANDOFFS_MAX:
        found = await node.call("dret_handoffs", [voters.set_id])
        for entry in found:
            if not _follow_one(voters, entry, number):
                return
        if not found:
            return


def _follow_one(voters: Voters, entry: Any, number: int) -> bool:
    """Go over by a handoff, if it lies below the block of a number. Raises `ProofRefused`."""
    try:
        if "recovery" in entry:
            link = RecoveryLink.decode(bytes.fromhex(entry["recovery"][2:]))
            if link.proof.override.finalized.number >= number:
                return False
            voters.recover(link)
            return True
        header = Header.decode(bytes.fromhex(entry["header"][2:]))
        justification = bytes.fromhex(entry["justification"][2:])
    except (DecodeError, ValueError, KeyError, TypeError) as error:
        raise ProofRefused(f"A handoff cannot be read: {error}.") from error
    if header.number >= number:
        return False  # the set before it votes for this very block too
    voters.hand_over(header, justification)
    return True


def check_chain(block: Hash, headers: Sequence[Header], last: Hash) -> None:
    """Check that headers lead from a block to another one. Raises `ProofRefused`."""
    tip = block
    for header in headers:
        if header.parent_hash != tip:
            raise ProofRefused(f"Block {header.number} of the proof is no child of the one before.")
        tip = header.hash()
    if tip != last:
        raise ProofRefused("The headers of the proof do not lead to the block that is final.")


def header_from(content: Any, what: str) -> Header:
    """A header from its JSON. Raises `ProofRefused`."""
    if content is None:
        raise ProofRefused(f"{what}: the node does not have its header.")
    try:
        logs = [bytes.fromhex(log[2:]) for log in content["digest"]["logs"]]
        return Header(
            bytes.fromhex(content["parentHash"][2:]),
            int(content["number"], 16),
            bytes.fromhex(content["stateRoot"][2:]),
            bytes.fromhex(content["extrinsicsRoot"][2:]),
            digest_from(logs),
        )
    except (KeyError, TypeError, ValueError, DecodeError) as error:
        raise ProofRefused(f"{what}: its header cannot be read: {error}.") from error


def digest_from(logs: Sequence[bytes]) -> Digest:
    """The digest of encoded items. Raises `DecodeError`."""
    return Digest([_ITEM.decode(log) for log in logs])


def _hex(data: bytes) -> str:
    return "0x" + data.hex()
