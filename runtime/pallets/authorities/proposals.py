"""What members can decide, by which majority and after which wait."""

from typing import Annotated

from runtime.frame import U32, AccountId, BlockNumber, Enum, Hash, MaxLen, Struct
from runtime.pallets.trading.decisions import MarketDecision
from runtime.primitives.session import PROOF_BYTES, SessionKeys

MEMBERS_MAX = 100  # what the gossip of votes and a header of 8 KiB are made for
MEMBERS_MIN = 3
"""Nobody is removed below this; a chain that begins with fewer stays a chain for development."""

Accounts = Annotated[list[AccountId], MaxLen(MEMBERS_MAX)]


class Action(Enum):
    """A decision of the members."""


class AddMember(Action, index=0):
    """Take in a member, once it has shown as a candidate that its node runs."""

    member: AccountId


class RemoveMember(Action, index=1):
    """Part with a member, or with a candidate."""

    member: AccountId


class ReplaceMember(Action, index=2):
    """Take in a member in the place of another, once its node runs; never fewer in between."""

    member: AccountId
    successor: AccountId


class EmergencyDisable(Action, index=3):
    """Let a member's validator author nothing for a while, at once.

    It moves no money and changes no rule, it passes by itself, and a proposal to remove the member
    opens with it.
    """

    member: AccountId


class ScheduleUpgrade(Action, index=4):
    """From a block on, blocks run under another version of the runtime."""

    spec_version: U32
    metadata_hash: Hash
    """blake2-256 of its metadata without documentation: which program of this version is meant."""

    at_block: BlockNumber
    """The first block under it."""


class CancelUpgrade(Action, index=5):
    """Stay with the version that runs."""


class AppointOperator(Action, index=6):
    """Make an account the grid operator, who countersigns connections and sources."""

    operator: AccountId


class DecideOnMarket(Action, index=7):
    """Change what the market goes by, or what it does with its own money."""

    decision: MarketDecision


class AppointGateway(Action, index=8):
    """Make an account the payment gateway, which mints what reaches the bank and burns payouts."""

    gateway: AccountId


class ReplaceKeys(Action, index=9):
    """Register other session keys for a member whose account cannot do so: its key is lost, or
    those who have it are out of reach. As after `Session.set_keys` they come into use step by step.
    """

    member: AccountId
    keys: SessionKeys
    proof: Annotated[bytes, MaxLen(PROOF_BYTES)]
    """That who holds the keys gives them to the member."""


class Proposal(Struct):
    """A decision that is open."""

    action: Action
    proposer: AccountId | None
    """None: the runtime itself, after an offence."""

    opened_at: BlockNumber
    expires_at: BlockNumber
    ayes: Accounts
    nays: Accounts
    approved_at: BlockNumber | None
    """Since when there are enough ayes without a break."""


def is_urgent(action: Action) -> bool:
    """Whether more than half decide at once: what only stops something, and passes or is undone."""
    return isinstance(action, EmergencyDisable | CancelUpgrade)


def ayes_needed(action: Action, members: int) -> int:
    """How many of so many members decide: more than two thirds, or more than half."""
    return members // 2 + 1 if is_urgent(action) else 2 * members // 3 + 1


def count_votes(proposal: Proposal, members: list[AccountId]) -> tuple[int, int]:
    """Ayes and nays of those who are members now."""
    ayes = sum(1 for who in proposal.ayes if who in members)
    return ayes, sum(1 for who in proposal.nays if who in members)
