"""What ConsumptionMetering tells of: meters, their readings, what was corrected."""

from runtime import frame
from runtime.frame import AccountId, ConnectionId, EnergyWh, IntervalIndex, SignedEnergyWh
from runtime.pallets.consumption_metering.records import Correction, MeterProposal


class MeterProposed(frame.Event, index=0):
    """An owner names the meter of its connection."""

    connection: ConnectionId
    proposal: MeterProposal


class MeterBound(frame.Event, index=1):
    """The operator countersigned: readings of this account count for the connection."""

    connection: ConnectionId
    account: AccountId


class ReadingAccepted(frame.Event, index=2):
    """A reading passed all checks."""

    connection: ConnectionId
    interval: IntervalIndex
    import_wh: EnergyWh
    export_wh: EnergyWh


class GapClosed(frame.Event, index=3):
    """A reading after missing ones was settled: what registers counted beyond the estimates."""

    connection: ConnectionId
    interval: IntervalIndex
    import_difference_wh: SignedEnergyWh
    export_difference_wh: SignedEnergyWh


class ReadingCorrected(frame.Event, index=4):
    """The operator corrected what an interval was settled with: it will be settled again."""

    interval: IntervalIndex
    correction: Correction
