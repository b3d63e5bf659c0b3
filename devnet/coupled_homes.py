"""What homes order over several intervals at once: an evening as a block, and for their devices.

Some homes ask at noon for the quarter hours from 18 o'clock on together, at one limit, and do not
order them one by one; what is not accepted by the gate, the supplier delivers. Energies are the
forecast, so that the meter shows what was bought.

A home with a device asks two hours before each of its sessions (`devnet.devices`): for a car's
charge by its deadline, a load at any time of its window, or a battery's day. What was accepted, the
device follows; if nothing was, its own rule.

Terms are written from the primitives alone, as in `devnet.calls`; a test compares them with the
runtime's.
"""

from devnet import calls
from devnet.chain_view import View
from devnet.devices import (
    BATTERY_LOSS_PPM,
    INTERVALS_PER_HOUR,
    MILLION,
    Car,
    Device,
    HomeBattery,
    Load,
    Session,
    session_to_ask_for,
)
from devnet.homes import SESSION, SLOTS_PER_DAY, HomeAgent
from runtime.primitives.scale import U8, U32, Compact, Struct, codec
from runtime.primitives.types import EnergyWh, IntervalIndex, PowerW, PricePerKwh

ASKED_AT = 48
"""Noon: a car is plugged in at six, and many calls come before."""

SESSION_AHEAD = SESSION.stop - 1 - ASKED_AT
"""How far the end of a session is ahead when it is asked for."""

LIMIT = 200_000
PART_MIN_PPM = 500_000
QUANTITY_WH_MIN = 20
"""Half of it is the least order."""


INTERVAL_END = 1 << 32
CAR_LIMIT, LOAD_LIMIT = 260_000, 220_000
"""Per kWh, all in: below retail, at which both would run anyway."""

WEAR_MICRO = 40_000
"""Of a battery, per kWh delivered: some 240 DRT per kWh of capacity over 6 000 cycles."""


class _Block(Struct):
    side: U8
    price_micro: PricePerKwh
    first: IntervalIndex
    quantities_wh: tuple[U32, ...]
    acceptance_min_ppm: U32


class _Flexible(Struct):
    side: U8
    price_micro: PricePerKwh
    energy_wh: Compact[EnergyWh]
    duration: U8
    first: IntervalIndex
    last: IntervalIndex


class _Vehicle(Struct):
    price_micro: PricePerKwh
    energy_wh: Compact[EnergyWh]
    power_w: PowerW
    first: IntervalIndex
    last: IntervalIndex


class _Battery(Struct):
    first: IntervalIndex
    last: IntervalIndex
    capacity_wh: U32
    stored_wh: U32
    stored_end_wh: U32
    charge_w: PowerW
    discharge_w: PowerW
    efficiency_ppm: U32
    wear_micro: PricePerKwh


_BLOCKS = codec(tuple[_Block, ...])
BLOCKS_KIND, FLEXIBLE_KIND, VEHICLE_KIND, BATTERY_KIND = (bytes([kind]) for kind in range(4))


def coupled_orders_of(
    home: HomeAgent, interval: int, view: View, end: int = INTERVAL_END
) -> list[bytes]:
    """The calls that place what a home orders over several intervals before `end`, in the interval
    in which it does. An order for a device that waits or was accepted is not placed again.
    """
    asked = [
        session_of(home, interval) if interval + SESSION_AHEAD < end else None,
        device_order_of(home, interval, view, end),
    ]
    return [call for call in asked if call is not None]


def device_order_of(home: HomeAgent, interval: int, view: View, end: int) -> bytes | None:
    """The call that asks for the next session of a home's device, if it is time for it."""
    if home.device is None or not home.asks_for_device:
        return None
    session = session_to_ask_for(home.device, interval, home.genesis_interval)
    if session is None or session.last >= end or not home.is_unasked(session, view):
        return None
    return calls.place_coupled(home.connection, terms_of(home.device, session))


def terms_of(device: Device, session: Session) -> bytes:
    """What a coupled order for a session says, in the form of the runtime."""
    first, last, energy_wh = session
    if isinstance(device, Car):
        power_w = device.power_wh * INTERVALS_PER_HOUR
        return VEHICLE_KIND + _Vehicle(CAR_LIMIT, energy_wh, power_w, first, last).encode()
    if isinstance(device, Load):
        load = _Flexible(calls.BID, LOAD_LIMIT, energy_wh, device.duration, first, last)
        return FLEXIBLE_KIND + load.encode()
    assert isinstance(device, HomeBattery), "there are three kinds"
    battery = _Battery(
        first,
        last,
        device.capacity_wh,
        0,
        0,
        device.charge_wh * INTERVALS_PER_HOUR,
        device.discharge_wh * INTERVALS_PER_HOUR,
        MILLION - BATTERY_LOSS_PPM,
        WEAR_MICRO,
    )
    return BATTERY_KIND + battery.encode()


def session_of(home: HomeAgent, interval: int) -> bytes | None:
    """The call that asks for a home's next session, in the interval in which it asks."""
    if not home.has_session:
        return None
    slot = (interval - home.genesis_interval) % SLOTS_PER_DAY
    if slot != ASKED_AT:
        return None
    first = interval + SESSION.start - slot
    wanted = [home.to_trade_wh(first + number) for number in range(len(SESSION))]
    energies = [wh if wh >= QUANTITY_WH_MIN else 0 for wh in wanted]
    while energies and energies[-1] == 0:
        energies.pop()
    while energies and energies[0] == 0:
        del energies[0]
        first += 1
    if not energies:
        return None
    block = _Block(calls.BID, LIMIT, first, tuple(energies), PART_MIN_PPM)
    return calls.place_coupled(home.connection, BLOCKS_KIND + _BLOCKS.encode((block,)))
