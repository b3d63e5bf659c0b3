"""What Authorities announces."""

from runtime import frame
from runtime.frame import U32, AccountId, BlockNumber, Hash, SetId
from runtime.frame.dispatch import DispatchFailure
from runtime.pallets.authorities.offences import OffenceKind
from runtime.pallets.authorities.proposals import Action


class ProposalOpened(frame.Event, index=0):
    """Members can vote on a proposal; its proposer has."""

    id: U32
    action: Action
    proposer: AccountId | None


class Voted(frame.Event, index=1):
    """A member has voted, or changed its vote."""

    id: U32
    who: AccountId
    is_aye: bool


class ProposalApproved(frame.Event, index=2):
    """There are enough ayes; without a change the proposal takes effect when the wait is over."""

    id: U32


class ProposalEnacted(frame.Event, index=3):
    """A proposal has taken effect."""

    id: U32
    action: Action


class ProposalFailed(frame.Event, index=4):
    """A proposal was approved and could not take effect."""

    id: U32
    error: DispatchFailure


class ProposalClosed(frame.Event, index=5):
    """A proposal was turned down, taken back, or found too few ayes in its time."""

    id: U32


class CandidateAdded(frame.Event, index=6):
    """An account has to show that its node runs."""

    who: AccountId


class MemberAdded(frame.Event, index=7):
    """An account has become a member."""

    who: AccountId


class MemberRemoved(frame.Event, index=8):
    """An account is no member any more."""

    who: AccountId


class Offence(frame.Event, index=9):
    """A validator broke its duties, which is proved."""

    who: AccountId
    kind: OffenceKind


class HeartbeatReceived(frame.Event, index=10):
    """A node has given a sign of life."""

    who: AccountId
    finalized: BlockNumber
    version: bytes


class UpgradeScheduled(frame.Event, index=11):
    """From a block on, blocks run under another version of the runtime."""

    spec_version: U32
    at_block: BlockNumber


class UpgradeCancelled(frame.Event, index=12):
    """The chain stays with its version."""


class CodeUpdated(frame.Event, index=13):
    """The next block runs under another version of the runtime."""

    spec_version: U32


class Recovered(frame.Event, index=14):
    """The members have put other validators in the place of those who could not go on."""

    set_id: SetId
    start: BlockNumber
    """Final by the members' decision, with all below it."""


class RecoveryKeySet(frame.Event, index=15):
    """Another key signs overrides for a member."""

    member: AccountId
    key: AccountId


class ReceiptBroken(frame.Event, index=18):
    """An order was left out of a block by the validator that had promised to include it."""

    who: AccountId
    order: Hash
    """The order's extrinsic."""

    block: BlockNumber
