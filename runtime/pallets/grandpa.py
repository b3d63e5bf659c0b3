"""Grandpa: who votes on finality.

Invariant: the authorities are those of set `current_set_id`, each with weight 1.

Left out: changes of the set (with sessions) and reports of equivocation.
"""

from typing import Annotated

from runtime import frame
from runtime.frame import (
    U32,
    U64,
    AuthorityId,
    BlockNumber,
    Enum,
    MaxLen,
    Pallet,
    SetId,
    StorageValue,
    api,
)
from runtime.primitives.grandpa import VOTERS_MAX

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


class Config(frame.Config):
    max_authorities: U32
    """Most voters a set can have."""


class Grandpa(Pallet[Config]):
    state: StorageValue[StoredState]
    """Always `Live`."""

    current_set_id: StorageValue[SetId]
    """Rises with every change of the authorities."""

    authorities: StorageValue[Annotated[AuthorityList, MaxLen(VOTERS_MAX)]]
    """The voters of the current set."""

    @api("GrandpaApi_grandpa_authorities")
    def read_authorities(self) -> AuthorityList:
        """The voters of the current set with their weights."""
        return self.authorities.get()

    @api("GrandpaApi_current_set_id")
    def read_set_id(self) -> SetId:
        """The number of the current set."""
        return self.current_set_id.get()

    def check_invariants(self) -> None:
        """All weights are 1 and nobody votes twice."""
        voters = self.authorities.get()
        assert all(weight == 1 for _, weight in voters), "a voter's weight is not 1"
        assert len({key for key, _ in voters}) == len(voters), "a voter is listed twice"
