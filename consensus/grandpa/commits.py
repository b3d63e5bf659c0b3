"""Proofs of finality that come from others, and ours for those who lack it.

Invariants: whatever finalizes here has been checked whole, signatures included; what proves a
block that conflicts with finality stops the node's voting and is never ignored.
"""

from dataclasses import dataclass

from consensus.events import PeerId, TimerName
from consensus.fork_choice import TreeBlock
from consensus.grandpa.context import AuthoritySet, Surroundings
from consensus.grandpa.justification import (
    BadJustification,
    UnknownBlock,
    check_commit_form,
    justify,
    verify_justification,
    verify_signatures,
)
from consensus.grandpa.vote_graph import BlockRef
from runtime.primitives.grandpa import Commit, CommitMessage, CompactCommit, Justification
from runtime.primitives.scale import DecodeError
from runtime.primitives.types import Hash

PENDING_MAX = 8  # verified commits for blocks we lack; one is enough, the others are spare

REPUTATION_MALFORMED_COMMIT = -1_000
REPUTATION_INVALID_COMMIT = -5_000


@dataclass(frozen=True, slots=True)
class Pending:
    """A commit with good signatures whose blocks have not all been imported."""

    peer: PeerId
    round: int
    commit: Commit
    missing: Hash


class Commits:
    """Commits and justifications of one authority set."""

    def __init__(self, around: Surroundings, authorities: AuthoritySet) -> None:
        self._around = around
        self._set = authorities
        self._pending: dict[Hash, Pending] = {}
        self._last: CommitMessage | None = None
        self._last_ms = 0

    @property
    def last_round(self) -> int:
        """The round of the last commit of this set, 0 before the first."""
        last = self._last
        return 0 if last is None or last.set_id != self._set.set_id else last.round

    def load(self, justification: bytes | None) -> None:
        """Take in the stored proof of the last finalized block, to pass it on."""
        if justification is None:
            return
        proof = Justification.decode(justification)
        if all(self._set.voters.index(vote.id) is not None for vote in proof.commit.precommits):
            self._last = self._message(proof)

    def succeed(self, before: "Commits") -> None:
        """Pass on the last set's proof of the handoff: who only observes has no other way to it."""
        if self._last is None:
            self._last, self._last_ms = before._last, before._last_ms

    # --- from others

    def receive(self, peer: PeerId, message: CommitMessage) -> None:
        """Take in a commit from a peer."""
        if message.set_id != self._set.set_id:
            return
        view, out = self._around.view, self._around.out
        target = BlockRef(message.commit.target_hash, message.commit.target_number)
        if target.number <= view.finalized.number:
            self._around.gossip.note_commit(peer, target.number)
            if view.final_hash(target.number) in (None, target.hash):
                return
        elif target.hash in self._pending:
            self._around.gossip.note_commit(peer, target.number)
            return
        try:
            commit = message.commit.to_commit()
            check_commit_form(commit, self._set.voters)
        except (ValueError, BadJustification) as error:
            out.report(peer, REPUTATION_MALFORMED_COMMIT, f"malformed commit: {error}")
            return
        try:
            verify_signatures(
                commit.precommits, message.round, self._set.set_id, self._around.verifier
            )
        except BadJustification as error:
            out.report(peer, REPUTATION_INVALID_COMMIT, f"invalid commit: {error}")
            return
        self._around.gossip.note_commit(peer, target.number)
        self._apply(peer, message.round, commit)

    def justified(self, block: TreeBlock, data: bytes, peer: PeerId | None) -> None:
        """Take in a stored justification that came with a block of the tree."""
        if block.ref.number <= self._around.view.finalized.number:
            return
        try:
            proof = Justification.decode(data)
            if BlockRef(proof.commit.target_hash, proof.commit.target_number) != block.ref:
                raise BadJustification(f"it is for block {proof.commit.target_number}")
            verify_justification(proof, self._set.set_id, self._set.voters, self._around.verifier)
            self._check_handoff(block.ref)
        except (DecodeError, BadJustification) as error:
            reason = f"justification of block {block.ref.number}: {error}"
            self._around.out.report(peer, REPUTATION_INVALID_COMMIT, reason)
            return
        self._around.finalize(block.ref, proof)

    def block_imported(self, block_hash: Hash) -> None:
        """Look again at commits that waited for a block."""
        for pending in [p for p in self._pending.values() if p.missing == block_hash]:
            del self._pending[pending.commit.target_hash]
            self._apply(pending.peer, pending.round, pending.commit)

    def _apply(self, peer: PeerId, round_number: int, commit: Commit) -> None:
        """Finalize by a commit whose signatures are good, or keep it until its blocks are here."""
        view = self._around.view
        target = BlockRef(commit.target_hash, commit.target_number)
        if target.number <= view.finalized.number:
            if not view.is_final(target):
                self._conflict(round_number, commit)
            return
        block = view.tree.get(target.hash)
        try:
            if block is None:
                raise UnknownBlock(target.hash)
            if block.ref != target:
                raise BadJustification(f"block {block.ref.number} is called number {target.number}")
            self._check_handoff(target)
            proof = justify(round_number, commit, view.header)
        except UnknownBlock as error:
            self._hold(Pending(peer, round_number, commit, error.block_hash))
            return
        except BadJustification as error:
            self._around.out.report(peer, REPUTATION_INVALID_COMMIT, f"invalid commit: {error}")
            return
        self._around.finalize(target, proof)
        # Who depends on us for commits gets it now; the voters have seen the votes.
        self._around.gossip.send_commit(self._message(proof), list(self._around.gossip.peers))

    def _hold(self, pending: Pending) -> None:
        self._pending[pending.commit.target_hash] = pending
        if len(self._pending) > PENDING_MAX:
            # A commit covers all below it, so the lowest is the least use.
            del self._pending[
                min(self._pending, key=lambda key: self._pending[key].commit.target_number)
            ]
        self._around.want(pending.missing, pending.peer)

    def _check_handoff(self, target: BlockRef) -> None:
        """A set may not finalize beyond the block that hands over to the next."""
        tree = self._around.view.tree
        for block in tree.path(tree.finalized, target.hash)[:-1]:
            if block.has_scheduled_change:
                raise BadJustification(f"block {block.ref.number} hands over to another set")

    def _conflict(self, round_number: int, commit: Commit) -> None:
        own = self._around.view.final_hash(commit.target_number)
        self._around.stop(
            f"a commit of set {self._set.set_id} round {round_number} finalizes "
            f"0x{commit.target_hash.hex()} at height {commit.target_number}, where "
            f"0x{b''.hex() if own is None else own.hex()} is final here: 0x{commit.encode().hex()}"
        )

    # --- to others

    def finalized(self, proof: Justification, entropy: int) -> None:
        """A block is final and this is durable; say it after a random while, within 2T.

        Voters see it by the votes themselves, at about the same time. Whoever has not said by
        then that it has finalized the block is sent the commit.
        """
        view = self._around.view
        self._last = self._message(proof)
        self._last_ms = self._around.out.now_ms
        self._pending = {
            key: pending
            for key, pending in self._pending.items()
            if pending.commit.target_number > view.finalized.number
        }
        delay_ms = entropy % (2 * self._around.config.gossip_duration_ms or 1)
        self._around.out.set_timer(TimerName.COMMIT, self._last_ms + delay_ms)

    def timer(self) -> None:
        """Send the last commit to those who seem to lack it."""
        if self._last is not None:
            self._around.gossip.send_commit(self._last, list(self._around.gossip.peers))

    def offer(self, peer: PeerId) -> None:
        """A peer says that it has finalized less than we; help it, unless it is just behind."""
        recent_ms = 2 * self._around.config.gossip_duration_ms
        if self._last is not None and self._around.out.now_ms - self._last_ms >= recent_ms:
            self._around.gossip.send_commit(self._last, [peer])

    def _message(self, proof: Justification) -> CommitMessage:
        return CommitMessage(proof.round, self._set.set_id, CompactCommit.from_commit(proof.commit))
