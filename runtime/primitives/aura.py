"""The digest items of Aura: which slot a block is for, and who may author from the next on.

Byte for byte sp-consensus-aura's, so explorers show the author. Who signs and who may is decided
in consensus.
"""

from runtime.primitives.scale import U32, Enum, Struct
from runtime.primitives.types import AuthorityId, Slot

ENGINE_ID = b"aura"
"""Addresses digest items to Aura."""


class PreDigest(Struct):
    """The data of the `PreRuntime` item: the slot the block was authored for."""

    slot: Slot


class AuraLog(Enum):
    """The data of a `Consensus` item, from the runtime to Aura."""


class AuthoritiesChange(AuraLog, index=1, unnamed=True):
    """From the next block on these authorities take turns, in this order."""

    authorities: list[AuthorityId]


class AuthorityDisabled(AuraLog, index=2, unnamed=True, name_in_metadata="OnDisabled"):
    """The authority at this place of the list is passed over."""

    authority_index: U32
