"""Why ConsumptionMetering refuses a call."""

from runtime import frame


class UnknownMeter(frame.Error, index=0):
    """The signer is not bound to a connection as its meter."""


class ReadingExists(frame.Error, index=1):
    """The meter has reported this interval already."""


class ReadingOutOfSequence(frame.Error, index=2):
    """The meter has reported a later interval already."""


class ReadingTooEarly(frame.Error, index=3):
    """The interval is not over yet."""


class ReadingTooLate(frame.Error, index=4):
    """Settlement of the interval is due: it goes on with an estimate."""


class RegisterBackwards(frame.Error, index=5):
    """A register is below its last accepted value."""


class RegisterMismatch(frame.Error, index=6):
    """A register did not move by the interval's energy within 1 Wh. Across missing readings it may
    gain as much as the connection can carry.
    """


class ReadingAboveCapacity(frame.Error, index=7):
    """More energy than the connection can carry in one interval."""


class MeterInUse(frame.Error, index=8):
    """The account is bound to a connection already."""


class MeterProposalNotFound(frame.Error, index=9):
    """No meter is proposed for this connection."""


class NotConnectionOwner(frame.Error, index=10):
    """Only the owner of a connection names its meter (for the transformer: the operator)."""


class TooManyReadings(frame.Error, index=11):
    """64 readings of this meter wait for settlement; it catches up with eight in each block."""


class IntervalNotProvisional(frame.Error, index=12):
    """Only what was settled and is not final yet can be corrected."""


class ConnectionNotSettled(frame.Error, index=13):
    """The interval was settled without such a connection."""


class ReasonMissing(frame.Error, index=14):
    """A correction has to say why it is made."""


class NothingToCorrect(frame.Error, index=15):
    """The interval is settled with these very energies, and they are no estimate."""


class TooManyCorrections(frame.Error, index=16):
    """256 corrections of this interval were made."""
