"""Whether an override of the members is taken, and on which block to author for it.

An override takes effect with the block that carries it: when that block is imported, its start
becomes final and the voters it names take over, in one batch. Until then it is only armed: nodes
that were given it, and could take it now, author nothing but such a block. So an override that no
block has carried before it expires leaves no trace.

Invariants, whoever signed: what is final here stays final (the start lies at or above it); the
voters who are overridden are those who vote now, and nothing of theirs has become final here for
`stall_slots`; from one start only one override goes on. The signatures, and whether the next state
can take the override, are judged by states, which the node has (`ChainReader.override_fault`).
"""

from collections.abc import Callable
from enum import Enum, auto

from consensus import aura
from consensus.chain_view import ChainView
from consensus.effects import AlarmKind
from consensus.fork_choice import TreeBlock
from consensus.grandpa.context import AuthoritySet
from consensus.grandpa.justification import BadJustification, verify_justification
from consensus.grandpa.vote_graph import BlockRef
from consensus.outbox import Outbox
from consensus.ports import ChainReader, ConsensusConfig, SignatureVerifier
from runtime.primitives.grandpa import Justification
from runtime.primitives.recovery import BadOverride, Override, RecoveryProof, check_form
from runtime.primitives.scale import DecodeError
from runtime.primitives.types import Hash


class Fit(Enum):
    """Whether an override can be taken."""

    NOW = auto()
    LATER = auto()
    """Something it names is not known here yet, or the chain has not stood still for long enough.
    """

    NEVER = auto()


Judgement = tuple[Fit, str]


class Recoveries:
    """The override that is armed or has been taken, if any, and the rules for taking one."""

    def __init__(
        self,
        config: ConsensusConfig,
        out: Outbox,
        view: ChainView,
        reader: ChainReader,
        verifier: SignatureVerifier,
        voters: Callable[[], AuthoritySet],
    ) -> None:
        self._config = config
        self._out = out
        self._view = view
        self._reader = reader
        self._verifier = verifier
        self._voters = voters
        self._armed: RecoveryProof | None = None
        self._taken: RecoveryProof | None = None
        self._judged: dict[Hash, str | None] = {}
        """What states say of an override, by its digest; of the last one."""

        self._told = ""

    def load(self, encoded: bytes | None) -> None:
        """Take in the override that starts from the last final block."""
        if encoded is not None:
            self._taken = RecoveryProof.decode(encoded)
            self._view.tree.root.recovery = self._taken.override.digest()

    def give(self, encoded: bytes) -> None:
        """The operator hands an override in: arm it, unless it can never be taken here."""
        try:
            proof = RecoveryProof.decode(encoded)
        except DecodeError as error:
            self._out.alarm(AlarmKind.RECOVERY, f"the override cannot be read: {error}")
            return
        if self.is_taken(proof.override.digest()) or self._is_past(proof.override):
            return
        self._armed = proof
        self._look()

    def is_taken(self, override: Hash) -> bool:
        """Whether this override started from the last final block."""
        return self._view.tree.root.recovery == override

    def take(self, proof: RecoveryProof) -> None:
        """Its start is the last final block now."""
        self._taken, self._armed = proof, None

    # --- authoring

    def base(self) -> TreeBlock:
        """The block to author on: where an armed override starts, else the best one."""
        armed = self._look()
        if armed is not None:
            start = self._view.tree.get(armed.override.start.hash)
            assert start is not None, "it fits, so its start is here"
            return start
        return self._view.tree.best

    def to_carry(self, parent: TreeBlock) -> bytes | None:
        """What a block on this parent has to carry."""
        for proof in (self._armed, self._taken):
            if proof is not None and proof.override.start.hash == parent.ref.hash:
                return proof.encode()
        return None

    def _look(self) -> RecoveryProof | None:
        """The armed override, if it can be taken now; tells once why it cannot."""
        if self._armed is None:
            return None
        slot = aura.slot_at(self._out.wall_ms, self._config.slot_duration_ms)
        fit, reason = self.judge(self._armed, slot, is_armed=True)
        number = self._armed.override.start.number
        if fit is not Fit.NOW and reason != self._told:
            self._told = reason
            verb = "is refused" if fit is Fit.NEVER else "waits"
            text = f"the override that starts from block {number} {verb}: {reason}"
            self._out.alarm(AlarmKind.RECOVERY, text)
        if fit is Fit.NEVER:
            self._armed = None
        return self._armed if fit is Fit.NOW else None

    # --- the rules

    def judge(self, proof: RecoveryProof, slot: int, is_armed: bool = False) -> Judgement:
        """Whether an override can be taken with a block of a slot, and why not.

        `is_armed`: the slot is that of now, and later ones may do.
        """
        override = proof.override
        try:
            check_form(proof, self._config.genesis_hash)
        except BadOverride as error:
            return Fit.NEVER, str(error)
        for rule in (self._judge_place, self._judge_finality):
            fit, reason = rule(proof)
            if fit is not Fit.NOW:
                return fit, reason
        root = self._view.tree.root
        if slot - root.slot < self._config.stall_slots:
            return Fit.LATER if is_armed else Fit.NEVER, (
                f"block {root.ref.number} of slot {root.slot} is final, a chain that stands still "
                f"has none of {self._config.stall_slots} slots before slot {slot}"
            )
        digest = override.digest()
        if digest not in self._judged:
            self._judged = {digest: self._reader.override_fault(proof)}
        fault = self._judged[digest]
        return (Fit.NOW, "") if fault is None else (Fit.NEVER, fault)

    def _judge_place(self, proof: RecoveryProof) -> Judgement:
        """Its start is here, above what is final, and our voters are the ones it overrides."""
        override, tree = proof.override, self._view.tree
        set_id, start = self._voters().set_id, override.start
        if tree.root.recovery is not None and tree.finalized.hash == start.hash:
            return Fit.NEVER, f"another override starts there: 0x{tree.root.recovery.hex()}"
        if start.number < tree.finalized.number:
            return Fit.NEVER, (
                f"block {tree.finalized.number} is final here, above its start {start.number}"
            )
        if set_id > override.old_set_id:
            return Fit.NEVER, f"set {set_id} votes, it overrides set {override.old_set_id}"
        if start.number == tree.finalized.number and start.hash != tree.finalized.hash:
            return Fit.NEVER, (
                f"block 0x{tree.finalized.hash.hex()} is final here, its start at this height is "
                f"0x{start.hash.hex()}"
            )
        if start.hash not in tree:
            return Fit.LATER, f"block {start.number}, 0x{start.hash.hex()}, is not here"
        if set_id < override.old_set_id:
            return Fit.LATER, f"set {set_id} votes, it overrides set {override.old_set_id}"
        return Fit.NOW, ""

    def _judge_finality(self, proof: RecoveryProof) -> Judgement:
        """What it calls final is final here, or proved to be, and its start descends from it."""
        view, final = self._view, proof.override.finalized
        if final.number <= view.finalized.number:
            known = view.final_hash(final.number)
            if known not in (None, final.hash):
                return Fit.NEVER, (
                    f"block {final.number} is 0x{final.hash.hex()} to it, here "
                    f"0x{(known or b'').hex()} is final"
                )
            return Fit.NOW, ""
        start = proof.override.start
        block = view.tree.ancestor_at(start.hash, final.number)
        if block is None or block.ref.hash != final.hash:
            return Fit.NEVER, f"its start does not descend from the final block {final.number}"
        for below in view.tree.path(view.finalized, final.hash):
            if below.has_scheduled_change:
                return Fit.LATER, f"block {below.ref.number} hands over and is not final here"
        return self._judge_justification(proof, block.ref)

    def _judge_justification(self, proof: RecoveryProof, final: BlockRef) -> Judgement:
        voters = self._voters()
        try:
            justification = Justification.decode(proof.justification or b"")
            commit = justification.commit
            if BlockRef(commit.target_hash, commit.target_number) != final:
                raise BadJustification(f"it is for block {commit.target_number}")
            verify_justification(justification, voters.set_id, voters.voters, self._verifier)
        except (DecodeError, BadJustification) as error:
            return Fit.NEVER, f"block {final.number} is not proved final: {error}"
        return Fit.NOW, ""

    def _is_past(self, override: Override) -> bool:
        """Whether it was taken before: its start is final, and its voters or later ones vote."""
        view = self._view
        is_final = view.is_final(BlockRef(override.start.hash, override.start.number))
        return is_final and self._voters().set_id >= override.set_id
