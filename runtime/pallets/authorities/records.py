"""What Authorities stores beside proposals, and what it tells of itself."""

from runtime.frame import U32, AccountId, BlockNumber, SetId, Struct
from runtime.pallets.authorities.proposals import Proposal
from runtime.primitives.session import SessionKeys
from runtime.version import CodeInfo


class Candidate(Struct):
    """Who becomes a member when its node has shown that it runs."""

    replaces: AccountId | None
    sessions_seen: U32
    """In a row."""


class Upgrade(Struct):
    """A version of the runtime that the chain goes over to."""

    code: CodeInfo
    at_block: BlockNumber
    """The first block under it."""


class ValidatorView(Struct):
    """A validator as `AuthoritiesApi_overview` tells it."""

    who: AccountId
    keys: SessionKeys
    is_disabled: bool
    is_seen: bool
    """Whether it has authored or given a sign of life in this session."""


class Overview(Struct):
    """Where the governance of a chain stands."""

    block: BlockNumber
    session: U32
    session_ends_at: BlockNumber
    set_id: SetId
    is_handing_over: bool
    members: list[AccountId]
    validators: list[ValidatorView]
    queued: list[tuple[AccountId, SessionKeys]]
    candidates: list[tuple[AccountId, Candidate]]
    proposals: list[tuple[U32, Proposal]]
    upgrade: Upgrade | None
