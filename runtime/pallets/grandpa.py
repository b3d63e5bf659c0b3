"""Grandpa: who votes on finality, and the handoff from one set of voters to the next.

The set changes at the end of a session: the block says so in its digest, and the new voters take
over when the old ones have made that block final. A runtime cannot see finality, so the author of
a later block brings the old set's proof of it, which is verified here; until then no other change
begins. So at most one handoff is ever open, and every node sees the same one.

Invariant: the authorities are those of set `current_set_id`, each with weight 1; an open handoff is
the one from the set before.

When the voters that are left cannot make the handoff final any more, the members override them
(`runtime.primitives.recovery`): the block tells of the next voters as any other does, and its
digest names the override, which proves the change in the place of the old voters.

Left out: pauses and forced changes, which light clients cannot follow; delays of a change.
"""

from typing import Annotated, Any, Protocol

from runtime import frame
from runtime.frame import (
    U32,
    U64,
    AuthorityId,
    BlockNumber,
    Enum,
    Hash,
    Inherent,
    MaxLen,
    Pallet,
    SetId,
    StorageValue,
    Struct,
    api,
    call,
)
from runtime.primitives.block import Consensus, DigestItem
from runtime.primitives.finality import BadJustification, check_justification
from runtime.primitives.grandpa import ENGINE_ID, VOTERS_MAX, Justification, ScheduledChange
from runtime.primitives.scale import DecodeError

AuthorityList = list[tuple[AuthorityId, U64]]
"""ed25519 keys with their weights, which are all 1 on this chain."""


class StoredState(Enum, path="pallet_grandpa::StoredState"):
    """Whether the voters vote."""


class Live(StoredState, index=0):
    """They do."""


class PendingPause(StoredState, index=1):
    """They stop soon; this chain never does so."""

    scheduled_at: BlockNumber
    delay: BlockNumber


class Paused(StoredState, index=2):
    """They have stopped; this chain never does so."""


class PendingResume(StoredState, index=3):
    """They go on soon; this chain never does so."""

    scheduled_at: BlockNumber
    delay: BlockNumber


class Handoff(Struct):
    """A change of voters that is not known to be final."""

    set_id: SetId
    """Of the set that hands over."""

    number: BlockNumber
    """The block that says so."""

    voters: Annotated[list[AuthorityId], MaxLen(VOTERS_MAX)]
    """Of the set that hands over."""


class NewAuthorities(frame.Event, index=0):
    """Another set votes from the finality of this block on."""

    authority_set: AuthorityList


class HandedOver(frame.Event, index=3):
    """The handoff to this set is final, which the block's author proved."""

    set_id: SetId


class NoHandoff(frame.Error, index=0):
    """No change of voters waits for a proof."""


class WrongJustification(frame.Error, index=1):
    """It does not prove that the voters who hand over have made the handoff final."""


class BlockLog(Protocol):
    """What this pallet asks about blocks."""

    def block_number(self) -> BlockNumber:
        """The number of the block."""
        ...

    def block_hash(self, number: BlockNumber) -> Hash | None:
        """The hash of a block before it."""
        ...

    def deposit_log(self, item: DigestItem) -> None:
        """Add something to the block's digest."""
        ...


class Config(frame.Config):
    chain: BlockLog
    """The block under execution."""

    max_authorities: U32
    """Most voters a set can have."""


HANDOFF_WEIGHT = 100_000_000
HANDOFF_BYTE_WEIGHT = 500_000  # 66 us for the 132 bytes of a vote


def weigh_handoff(pallet: Pallet[Any], justification: bytes) -> int:
    """Picoseconds of verifying a proof."""
    return HANDOFF_WEIGHT + HANDOFF_BYTE_WEIGHT * len(justification)


class Grandpa(Pallet[Config]):
    state: StorageValue[StoredState]
    """Always `Live`."""

    current_set_id: StorageValue[SetId]
    """Rises with every change of the authorities."""

    authorities: StorageValue[Annotated[AuthorityList, MaxLen(VOTERS_MAX)]]
    """The voters of the current set."""

    open_handoff: StorageValue[Handoff | None]
    """The change that is not known to be final."""

    @call(3, weight=weigh_handoff)
    def note_handoff(self, _: Inherent, justification: bytes) -> None:
        """Bring the proof that the open handoff is final. Emits `HandedOver`.

        Put into a block by its author. Fails with `NoHandoff` or `WrongJustification`, and such a
        block is invalid.
        """
        handoff = self.open_handoff.get()
        if handoff is None:
            raise NoHandoff
        try:
            proof = Justification.decode(justification)
            check_justification(proof, handoff.set_id, handoff.voters)
        except (DecodeError, BadJustification) as error:
            raise WrongJustification from error
        if proof.commit.target_hash != self.config.chain.block_hash(handoff.number):
            raise WrongJustification
        self.open_handoff.delete()
        self.deposit_event(HandedOver(handoff.set_id + 1))

    @api("GrandpaApi_grandpa_authorities")
    def read_authorities(self) -> AuthorityList:
        """The voters of the current set with their weights."""
        return self.authorities.get()

    @api("GrandpaApi_current_set_id")
    def read_set_id(self) -> SetId:
        """The number of the current set."""
        return self.current_set_id.get()

    # What other pallets ask.

    def change_authorities(self, keys: list[AuthorityId]) -> None:
        """Hand over to other voters with this block; only when no handoff is open."""
        assert self.open_handoff.get() is None, "one handoff at a time"
        before = [key for key, _ in self.authorities.get()]
        set_id, number = self.current_set_id.get(), self.config.chain.block_number()
        self.open_handoff.set(Handoff(set_id, number, before))
        self._change(keys)

    def recover(self, keys: list[AuthorityId]) -> None:
        """Other voters take over by the members' override; no proof of the old ones is awaited."""
        self.open_handoff.delete()
        self._change(keys)

    def _change(self, keys: list[AuthorityId]) -> None:
        voters = [(key, 1) for key in keys]
        self.authorities.set(voters)
        self.current_set_id.set(self.current_set_id.get() + 1)
        change = ScheduledChange(voters, delay=0)
        self.config.chain.deposit_log(Consensus(ENGINE_ID, change.encode()))
        self.deposit_event(NewAuthorities(voters))

    def set_id(self) -> SetId:
        """The number of the current set."""
        return self.current_set_id.get()

    def is_handing_over(self) -> bool:
        """Whether a change of voters is not known to be final yet."""
        return self.open_handoff.get() is not None

    def check_invariants(self) -> None:
        """All weights are 1 and nobody votes twice."""
        voters = self.authorities.get()
        assert all(weight == 1 for _, weight in voters), "a voter's weight is not 1"
        assert len({key for key, _ in voters}) == len(voters), "a voter is listed twice"
        handoff = self.open_handoff.get()
        if handoff is not None:
            assert handoff.set_id + 1 == self.current_set_id.get(), "a handoff from another set"
