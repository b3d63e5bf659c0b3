"""What Authorities is given: whom it asks, the seats its decisions fill, how long things take."""

from runtime import frame
from runtime.frame import U32, BlockNumber
from runtime.frame.extensions import BlockLimits
from runtime.frame.traits import Clock
from runtime.pallets.authorities.ports import (
    BlockReader,
    GatewaySeat,
    MarketSeat,
    OperatorSeat,
    OrderJudge,
)
from runtime.pallets.session import Session


class Config(frame.Config):
    chain: BlockReader
    """The block under execution."""

    clock: Clock
    """The time of the block."""

    session: Session
    """Validators and their keys."""

    operator_seat: OperatorSeat
    """Takes the operator that the members appoint."""

    market: MarketSeat
    """Does what the members decide about it."""

    gateway_seat: GatewaySeat
    """Takes the payment gateway that the members appoint."""

    orders: OrderJudge
    """Judges orders in blocks of the past."""

    limits: BlockLimits
    """How much a block can hold."""

    session_length: BlockNumber
    """Blocks of a session."""

    proposal_life: BlockNumber
    """Blocks in which a proposal has to find its ayes."""

    timelock: BlockNumber
    """Blocks between approval and effect."""

    timelock_unanimous: BlockNumber
    """The same, when all members approve."""

    emergency_life: BlockNumber
    """Blocks for which an emergency measure holds."""

    heartbeat_sessions: U32
    """Sessions in a row in which a candidate has to be seen."""
