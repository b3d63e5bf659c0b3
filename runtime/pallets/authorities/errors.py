"""Why Authorities refuses."""

from runtime import frame


class NotMember(frame.Error, index=0):
    """Only members propose and vote, and only they and candidates have nodes to speak for."""


class AlreadyMember(frame.Error, index=1):
    """The account is a member or a candidate already."""


class ProposalNotFound(frame.Error, index=2):
    """No proposal with this number is open."""


class TooManyProposals(frame.Error, index=3):
    """32 proposals are open, or 4 of this member: some have to be closed first."""


class TooManyMembers(frame.Error, index=4):
    """There are 100 members, or 16 candidates."""


class TooFewMembers(frame.Error, index=5):
    """Three members have to remain."""


class UpgradeInPast(frame.Error, index=6):
    """The block from which the version would run is not far enough ahead."""


class NoUpgrade(frame.Error, index=7):
    """No upgrade is scheduled."""


class EmergencyLimit(frame.Error, index=8):
    """This member has proposed two emergency measures lately."""


class NotProposer(frame.Error, index=9):
    """Only the member that made a proposal takes it back."""


class WrongSession(frame.Error, index=10):
    """The sign of life is for another session."""


class AlreadySeen(frame.Error, index=11):
    """The account has given a sign of life in this session."""


class WrongSignature(frame.Error, index=12):
    """It is not signed by the account's Aura key."""


class InvalidEvidence(frame.Error, index=13):
    """It does not prove an offence."""


class DuplicateReport(frame.Error, index=14):
    """This offence is known, or the offender was reported in this session already."""


class TooLong(frame.Error, index=15):
    """A name of a peer or of a version is longer than any real one."""


class InvalidOverride(frame.Error, index=16):
    """The override cannot be read, or contradicts itself."""


class TooFewSignatures(frame.Error, index=17):
    """Not more than two thirds of the members have signed the override, or a signature is wrong."""


class WrongStart(frame.Error, index=18):
    """The override is for another chain, another block or another set than this block's parent."""


class WrongTime(frame.Error, index=19):
    """The override is not valid yet, or not any more."""


class NotStalled(frame.Error, index=20):
    """A block has become final within half a session: the chain does not stand still."""


class KeyTaken(frame.Error, index=21):
    """A key of the override belongs to another account, or was replaced before."""


class WrongRecoveryKey(frame.Error, index=22):
    """The change is not signed by the recovery key that the member has now."""


class PromiseVoid(frame.Error, index=23):
    """The receipt binds nobody here: its head is no recent block of this chain, or it is for no
    block or for more than 64.
    """


class PromiseOpen(frame.Error, index=24):
    """The last block of the promise has not been made: the order may still come."""


class NotInBlocksOfPromise(frame.Error, index=25):
    """The block does not count: it is outside of those of the promise, of the receipt's slot or an
    earlier one, or too old.
    """


class NotPromisedByAuthor(frame.Error, index=26):
    """The receipt is not signed by the key that made the block."""


class OrderNotValidThen(frame.Error, index=27):
    """In that block the order could not have been, or it came too late for its gate."""


class PromiseKept(frame.Error, index=28):
    """After the last block of the promise the sender's nonce was used: the order is in, or another
    extrinsic is in its place.
    """


class NoRoomForOrder(frame.Error, index=29):
    """The block was too full for the order."""
