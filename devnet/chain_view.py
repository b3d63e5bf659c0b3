"""What agents with devices read from the chain before they act: nothing of it is remembered.

Schedules of accepted coupled orders, orders that still wait, and what meters had counted. Written
from the primitives alone, as `devnet.calls`; a test compares them with the runtime's.
"""

from collections.abc import Mapping, Sequence, Set
from typing import NamedTuple

from devnet.rpc_client import Link
from runtime.primitives.hashing import twox_128
from runtime.primitives.scale import I32, Struct, codec
from runtime.primitives.types import (
    AccountId,
    EnergyWh,
    IntervalIndex,
    OrderId,
    SignedEnergyWh,
)

SEQUENCE_BITS, CONNECTION_BITS = 8, 24  # of an order's id, below its first interval


class Schedule(Struct):
    """What a coupled order was accepted with, as the runtime API tells it."""

    order_id: OrderId
    first: IntervalIndex
    energies_wh: tuple[I32, ...]

    @property
    def begin(self) -> int:
        """The first interval that its order named."""
        return self.order_id >> SEQUENCE_BITS + CONNECTION_BITS

    def over(self, first: int, intervals: int) -> list[int]:
        """The energies of so many intervals."""
        numbers = range(first - self.first, first - self.first + intervals)
        known = self.energies_wh
        return [known[number] if 0 <= number < len(known) else 0 for number in numbers]


class AcceptedReading(Struct):
    """A reading that waits for settlement, as the runtime API tells it."""

    interval: IntervalIndex
    import_wh: EnergyWh
    export_wh: EnergyWh
    follows: IntervalIndex
    gap_import_wh: SignedEnergyWh
    gap_export_wh: SignedEnergyWh


class MeterEntry(Struct):
    """A meter, as the runtime API tells it."""

    account: AccountId
    import_register_wh: EnergyWh
    export_register_wh: EnergyWh
    last_interval: IntervalIndex
    is_fresh: bool
    estimated_import_wh: EnergyWh
    estimated_export_wh: EnergyWh
    difference_import_wh: SignedEnergyWh
    difference_export_wh: SignedEnergyWh
    readings: tuple[AcceptedReading, ...]


METERS = codec(list[MeterEntry | None])
SCHEDULES = codec(list[Schedule])
ORDER_IDS = codec(tuple[OrderId, ...])
WAITING_KEY = twox_128(b"Trading") + twox_128(b"CoupledWaiting")


class Counted(NamedTuple):
    """What a meter had counted when an interval ended."""

    interval: int
    import_wh: int
    export_wh: int


class View(NamedTuple):
    """What the chain says now."""

    schedules: Mapping[int, Sequence[Schedule]]
    """By connection, of those that have a device."""

    waiting: Set[tuple[int, int]]
    """First interval and connection of the coupled orders that wait."""

    counted: Mapping[int, Counted]
    """By connection; meters that have not reported yet are not in it."""

    def schedule_of(self, connection: int, first: int) -> Schedule | None:
        """What the order of a session was accepted with; the earliest, if there are two."""
        found = [each for each in self.schedules.get(connection, ()) if each.begin == first]
        return min(found, key=lambda each: each.order_id, default=None)


NOTHING_SEEN = View({}, frozenset(), {})


def waiting_in(order_ids: Sequence[int]) -> frozenset[tuple[int, int]]:
    """Where the orders with these ids begin, and whose they are."""
    return frozenset(
        divmod(order_id >> SEQUENCE_BITS, 1 << CONNECTION_BITS) for order_id in order_ids
    )


def counted_by(meters: Sequence[MeterEntry | None]) -> dict[int, Counted]:
    """What meters had counted, by connection; those that never reported are missing."""
    return {
        number: Counted(meter.last_interval, meter.import_register_wh, meter.export_register_wh)
        for number, meter in enumerate(meters)
        if meter is not None and not meter.is_fresh
    }


async def read(link: Link, connections: Sequence[int]) -> View:
    """What a node says now; the schedules of these connections.

    Raises `RpcFailed` or `NodeUnreachable`.
    """
    if not connections:
        return NOTHING_SEEN
    waiting = await link.call("state_getStorage", ["0x" + WAITING_KEY.hex()])
    meters = await _ask(link, "ConsumptionMetering_meters")
    schedules = {
        number: SCHEDULES.decode(
            await _ask(link, "Trading_coupled_schedules", number.to_bytes(4, "little"))
        )
        for number in connections
    }
    order_ids = () if waiting is None else ORDER_IDS.decode(bytes.fromhex(waiting[2:]))
    return View(schedules, waiting_in(order_ids), counted_by(METERS.decode(meters)))


async def _ask(link: Link, name: str, data: bytes = b"") -> bytes:
    answer = await link.call("state_call", [name, "0x" + data.hex()])
    return bytes.fromhex(answer[2:])
