"""Why an order or a cancel is refused."""

from runtime import frame


class ConnectionNotFound(frame.Error, index=0):
    """No connection has this number."""


class NotConnectionOwner(frame.Error, index=1):
    """Only the account of a connection trades with it."""


class IntervalClosed(frame.Error, index=2):
    """The gate of the interval has passed: it closes one interval before delivery begins."""


class IntervalNotOpen(frame.Error, index=3):
    """Orders are taken for at most 96 intervals ahead, and while settlements keep up."""


class PriceOutOfBounds(frame.Error, index=4):
    """A connection's limit lies from feed-in to retail; the supplier's from the price floor on."""


class QuantityOutOfBounds(frame.Error, index=5):
    """Below 10 Wh (1 000 Wh with a negative limit) or above 2**26 - 1 Wh."""


class AboveCapacity(frame.Error, index=6):
    """With all its open orders of this side filled and its contracts delivered, the connection
    could not carry the energy.
    """


class RateExceeded(frame.Error, index=7):
    """A connection has 16 calls that place, replace or cancel orders, and 8 open orders at a time,
    per interval.
    """


class BookFull(frame.Error, index=8):
    """The book of the interval takes no more orders, or no more energy."""


class OrderNotFound(frame.Error, index=9):
    """No open order has this id: it was never placed, or it was filled, cancelled or expired."""


class NotOrderOwner(frame.Error, index=10):
    """Only the account that placed an order may cancel it."""


class CallInProgress(frame.Error, index=11):
    """The order takes part in a call that has begun and is not done with the interval."""


class NoOrders(frame.Error, index=12):
    """A list of orders has to hold at least one."""


class PoolChoiceUnchanged(frame.Error, index=13):
    """The connection is in the pool, or outside of it, already."""


class PoolChoiceTooSoon(frame.Error, index=14):
    """The interval in which the connection chose last is not settled yet."""


class ContractNotFound(frame.Error, index=15):
    """No contract, or no proposal, has this number."""


class NotContractParty(frame.Error, index=16):
    """Only the other party countersigns, only a party withdraws or terminates."""


class ContractTermsInvalid(frame.Error, index=17):
    """Nobody could fulfil these terms: one connection twice, a volume and a share, more than the
    connections carry, a price out of range or without room between feed-in and retail, or a
    beginning in an interval that is open already (96 ahead) or more than a year away.
    """


class TooManyContracts(frame.Error, index=18):
    """256 contracts stand, or as many proposals wait."""


class ContractOver(frame.Error, index=19):
    """The contract ends before a notice could end it."""


class NoTariff(frame.Error, index=23):
    """The transformer has no tariff that could bound a market order: its orders name a limit."""
