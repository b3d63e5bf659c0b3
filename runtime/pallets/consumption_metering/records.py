"""What the chain keeps about meters: readings, registers and the history estimates are made of."""

from typing import Annotated

from runtime.frame import (
    U8,
    U32,
    AccountId,
    ConnectionId,
    EnergyWh,
    IntervalIndex,
    MaxLen,
    Moment,
    SignedEnergyWh,
    Struct,
    UnitEnum,
)

REASON_BYTES_MAX = 128  # a sentence
READINGS_KEPT_MAX = (
    64  # at most two come per interval; settlement lags by some tens after an outage
)


class Method(UnitEnum):
    """Where the energy of a settled interval comes from."""

    METERED = 0
    INTERPOLATED = 1
    """Shared out of what the register counted in a short gap."""

    SAME_SLOT = 2
    """Mean of the same quarter hour on the latest days of the same type."""

    LAST_VALID = 3
    """The latest reading before."""

    PROFILE = 4
    """The meter never reported: its share in what the others metered."""

    BALANCE = 5
    """Transformer only: what the connections and the booked losses leave."""

    NO_HISTORY = 6
    """There is no meter yet, or nobody metered anything: zero."""

    EDITED = 7
    """Corrected by the operator after settlement."""


class Status(UnitEnum):
    """How far the energy of an interval has come. 2 (suspect) is not told yet."""

    RAW = 0
    """A reading was accepted and waits for settlement."""

    VALID = 1
    """Settled provisionally with the reading."""

    ESTIMATED = 3
    """Settled provisionally without one."""

    EDITED = 4
    """Settled provisionally, and again with what the operator corrected."""

    FINAL = 5
    """Settled, and the dispute window is over."""


class Reading(Struct):
    """An accepted reading."""

    interval: IntervalIndex
    import_wh: EnergyWh
    export_wh: EnergyWh
    follows: IntervalIndex
    """The reading before it, by the same registers; the interval itself if there is none."""

    gap_import_wh: SignedEnergyWh
    """What the register moved beyond the interval's energy, since the reading before."""

    gap_export_wh: SignedEnergyWh


class Meter(Struct):
    """A bound meter."""

    account: AccountId
    import_register_wh: EnergyWh
    """At the last accepted reading, or at binding."""

    export_register_wh: EnergyWh
    last_interval: IntervalIndex
    """Of the last accepted reading; 0 before the first."""

    is_fresh: bool
    """No reading since it was bound: its first one says nothing about the time before."""

    estimated_import_wh: EnergyWh
    """Estimates settled since the latest settled reading."""

    estimated_export_wh: EnergyWh
    difference_import_wh: SignedEnergyWh
    """All that the register counted less all that was settled, over closed gaps."""

    difference_export_wh: SignedEnergyWh
    readings: Annotated[tuple[Reading, ...], MaxLen(READINGS_KEPT_MAX)]
    """Those not settled yet, rising, behind the latest settled one."""


class MeterProposal(Struct):
    """A meter that its owner wants bound to a connection."""

    account: AccountId
    import_register_wh: EnergyWh
    export_register_wh: EnergyWh


class SlotHistory(Struct):
    """Metered energy of one connection in one quarter hour of a day type, latest day first."""

    days: U8
    import_1_wh: U32
    import_2_wh: U32
    import_3_wh: U32
    export_1_wh: U32
    export_2_wh: U32
    export_3_wh: U32


NO_DAYS = SlotHistory(0, 0, 0, 0, 0, 0, 0)


class Metered(Struct):
    """What a connection is settled with."""

    import_wh: EnergyWh
    export_wh: EnergyWh
    method: Method


class Correction(Struct):
    """An edit of the operator, and what stood there before."""

    connection: ConnectionId
    before: Metered
    import_wh: EnergyWh
    export_wh: EnergyWh
    reason: Annotated[str, MaxLen(REASON_BYTES_MAX)]
    made_ms: Moment
    """Timestamp of its block."""


NOTHING = Metered(0, 0, Method.NO_HISTORY)
