"""Flexible devices of homes: a car, a load that may run at any time of a window, a battery.

A device lives in sessions: a part of each day in which it may run, and which leaves it as it began.
It follows the schedule with which the auction accepted the session's coupled order, as far as its
power, its content and its losses allow; without one it follows a rule of its own: a car is charged
at once, a load runs when its window begins, a battery stores what its home has left over and gives
what it lacks. A car always has its energy by the deadline.

What it takes in an interval follows from the session, the schedule and the home's profile alone: a
process that is started again goes on in the middle of a session, whoever asks gets the same answer.

Energies in Wh per interval, at the meter, positive when taken. Figures of cars and loads are usual
ones: wallboxes of 3.7, 7.4 and 11 kW, 25 to 60 km a day at 180 Wh per km, boilers of 2 kW.
Batteries are those of the data: power as rated, two hours of it as capacity, 95 % each way.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from devnet.dataset import BATTERY
from devnet.scenario import Home
from node.gateway.strategies import draw

SLOTS_PER_DAY = 96
INTERVALS_PER_HOUR = 4
MILLION = 1_000_000

DEVICE_ONE_IN = 2
"""Of the homes without a battery: the first half of these has a car, the other one a load."""

WALLBOXES_W = (3_700, 7_400, 11_000)
CAR_LOSS_PPM = 100_000  # of a wallbox and the charger in the car
CAR_CAPACITIES_WH = (40_000, 52_000, 60_000)
KM_MIN, KM_END = 25, 61
WH_PER_KM = 180
AT_HOME_BY_DAY_ONE_IN = 2

BOILER_W = 2_000
BOILER_INTERVALS = (8, 10)  # 4 and 5 kWh

BATTERY_HOURS = 2
BATTERY_WH_MAX = 30_000
"""Of a larger one only this is used: what a home has at most, and its neighbours can fill."""

BATTERY_LOSS_PPM = 50_000

POWER_WH_MIN = 500
"""Less room on a connection than 2 kW is not worth a device."""

ASK_AHEAD = 8
"""Two hours before a session its order begins to wait: for eight calls, or so."""

ASK_TRIES = 3


class Window(NamedTuple):
    """A part of each day."""

    begin_slot: int
    intervals: int


BY_DAY = Window(36, 28)
"""From 9 to 16 o'clock, when the sun shines."""

BY_NIGHT = Window(88, 28)
"""From 22 to 5 o'clock, when the network tariff is low."""

BATTERY_DAY = Window(40, 44)
"""From 10 to 21 o'clock: it is filled by the sun and empty by night."""


class Session(NamedTuple):
    """One use of a device."""

    first: int
    last: int
    energy_wh: int
    """What it takes; 0: a battery gives all back."""

    @property
    def intervals(self) -> int:
        """How many there are."""
        return self.last - self.first + 1


NetOf = Callable[[int], int]
"""What a home takes less gives in an interval, without its device."""


class Device(Protocol):
    """Something that may run earlier or later."""

    @property
    def window(self) -> Window:
        """The part of each day in which it is there."""
        ...

    def session(self, first: int, day: int) -> Session:
        """The session of a day."""
        ...

    def by_itself(self, session: Session, net_of: NetOf) -> Sequence[int]:
        """What it takes in each interval when it follows its own rule."""
        ...

    def by_schedule(self, session: Session, schedule: Sequence[int]) -> Sequence[int]:
        """What it takes in each interval when it follows a schedule."""
        ...


@dataclass(frozen=True)
class Car:
    """Charged while it stands at home; it leaves with what it had before the last drive."""

    name: str
    window: Window
    power_wh: int
    """Of the wallbox, at the meter."""

    capacity_wh: int

    def session(self, first: int, day: int) -> Session:
        """Of a day's drive, at the meter: more than the car stores, by the losses."""
        km = KM_MIN + draw(f"{self.name}/drive/{day}", KM_END - KM_MIN)
        driven_wh = min(km * WH_PER_KM, self.capacity_wh)
        most_wh = self.power_wh * self.window.intervals
        energy_wh = min(send_for(driven_wh, CAR_LOSS_PPM), most_wh)
        return Session(first, first + self.window.intervals - 1, energy_wh)

    def by_itself(self, session: Session, net_of: NetOf) -> Sequence[int]:
        """At once, at full power."""
        return self.by_schedule(session, [self.power_wh] * session.intervals)

    def by_schedule(self, session: Session, schedule: Sequence[int]) -> Sequence[int]:
        """As planned, within its power; what would be missing at the end is charged at last."""
        left_wh = session.energy_wh
        taken: list[int] = []
        for number, planned_wh in enumerate(schedule):
            later_wh = self.power_wh * (session.intervals - number - 1)
            wh = min(self.power_wh, left_wh, max(0, planned_wh, left_wh - later_wh))
            taken.append(wh)
            left_wh -= wh
        return taken


@dataclass(frozen=True)
class Load:
    """Runs once a day, in so many intervals on end, and cannot be stopped once it runs."""

    window: Window
    power_wh: int
    duration: int

    def session(self, first: int, day: int) -> Session:
        """The same every day."""
        last = first + self.window.intervals - 1
        return Session(first, last, self.power_wh * self.duration)

    def by_itself(self, session: Session, net_of: NetOf) -> Sequence[int]:
        """When its window begins."""
        return self._from(session, 0)

    def by_schedule(self, session: Session, schedule: Sequence[int]) -> Sequence[int]:
        """When the schedule begins, or when it is high time."""
        latest = session.intervals - self.duration
        begin = next((number for number, wh in enumerate(schedule) if wh > 0), latest)
        return self._from(session, min(begin, latest))

    def _from(self, session: Session, begin: int) -> Sequence[int]:
        running = range(begin, begin + self.duration)
        return [self.power_wh if number in running else 0 for number in range(session.intervals)]


@dataclass(frozen=True)
class HomeBattery:
    """Begins each session empty, and is empty when it ends."""

    window: Window
    capacity_wh: int
    charge_wh: int
    discharge_wh: int

    def session(self, first: int, day: int) -> Session:
        """All of its window."""
        return Session(first, first + self.window.intervals - 1, 0)

    def by_itself(self, session: Session, net_of: NetOf) -> Sequence[int]:
        """Stores what the home has left over and gives what it lacks."""
        return self._run(session, lambda number: -net_of(session.first + number))

    def by_schedule(self, session: Session, schedule: Sequence[int]) -> Sequence[int]:
        """As planned, as far as that is possible."""
        return self._run(session, lambda number: schedule[number])

    def _run(self, session: Session, wanted_of: Callable[[int], int]) -> Sequence[int]:
        """Follow what is wanted in each interval within power and content; whatever could not be
        given back later is given back now, or not stored. Less than 2 Wh stay, of roundings.
        """
        stored_wh = 0
        taken: list[int] = []
        for number in range(session.intervals):
            later_wh = self.discharge_wh * (session.intervals - number - 1)
            most_wh = min(self.capacity_wh, send_for(later_wh, BATTERY_LOSS_PPM))
            wanted_wh = wanted_of(number)
            if stored_wh <= most_wh and wanted_wh >= 0:
                # The most that may be taken so that no more than the rest of it is stored.
                fitting_wh = send_for(most_wh - stored_wh + 1, BATTERY_LOSS_PPM) - 1
                wh = min(wanted_wh, self.charge_wh, fitting_wh)
                stored_wh += deliver(wh, BATTERY_LOSS_PPM)
            else:
                stored_there_wh = deliver(stored_wh, BATTERY_LOSS_PPM)
                given_wh = max(-wanted_wh, stored_there_wh - later_wh)
                given_wh = min(given_wh, self.discharge_wh, stored_there_wh)
                stored_wh -= send_for(given_wh, BATTERY_LOSS_PPM)
                wh = -given_wh
            taken.append(wh)
        return taken


def device_of(home: Home, history_wh: Sequence[int], *, may_draw: bool = True) -> Device | None:
    """The device of a home, if it has one: a battery of the data, or what is drawn for it, if that
    may be.

    `history_wh`: what the home took less gave, of all the data; the device takes what that leaves
    of its connection, so that both together never carry more.
    """
    taking_wh = home.wh_max - max(0, *history_wh)
    giving_wh = home.wh_max - max(0, *(-wh for wh in history_wh))
    battery_w = sum(asset.p_rated_w for asset in home.assets if asset.kind == BATTERY)
    if battery_w:
        battery_w = min(battery_w, BATTERY_WH_MAX // BATTERY_HOURS)
        charge_wh = min(battery_w // INTERVALS_PER_HOUR, taking_wh)
        discharge_wh = min(battery_w // INTERVALS_PER_HOUR, giving_wh)
        if min(charge_wh, discharge_wh) < POWER_WH_MIN:
            return None
        return HomeBattery(BATTERY_DAY, BATTERY_HOURS * battery_w, charge_wh, discharge_wh)
    name = f"devices/{home.number}"
    if not may_draw or draw(name, DEVICE_ONE_IN) or taking_wh < POWER_WH_MIN:
        return None
    if draw(f"{name}/car", 2):
        intervals = BOILER_INTERVALS[draw(f"{name}/boiler", len(BOILER_INTERVALS))]
        return Load(window_of(name), BOILER_W // INTERVALS_PER_HOUR, intervals)
    wallbox_w = WALLBOXES_W[draw(f"{name}/wallbox", len(WALLBOXES_W))]
    capacity_wh = CAR_CAPACITIES_WH[draw(f"{name}/capacity", len(CAR_CAPACITIES_WH))]
    power_wh = min(wallbox_w // INTERVALS_PER_HOUR, taking_wh)
    return Car(name, window_of(name), power_wh, capacity_wh)


def window_of(name: str) -> Window:
    """When something drawn is at home."""
    return BY_NIGHT if draw(f"{name}/at home", AT_HOME_BY_DAY_ONE_IN) else BY_DAY


def session_at(device: Device, interval: int, genesis_interval: int) -> Session | None:
    """The session in which an interval is, from the first one that begins on the chain."""
    begin = genesis_interval + device.window.begin_slot
    day, slot = divmod(interval - begin, SLOTS_PER_DAY)
    if day < 0 or slot >= device.window.intervals:
        return None
    return device.session(begin + day * SLOTS_PER_DAY, day)


def session_to_ask_for(device: Device, now: int, genesis_interval: int) -> Session | None:
    """The session whose order is placed now, if there is one: in time, and some intervals later if
    it could not be placed.
    """
    for ahead in range(ASK_AHEAD, ASK_AHEAD - ASK_TRIES, -1):
        session = session_at(device, now + ahead, genesis_interval)
        if session is not None and session.first == now + ahead:
            return session
    return None


def deliver(sent: int, loss_ppm: int) -> int:
    """What arrives; as `runtime.kernels.auction` has it, which agents do not load."""
    return sent - (sent * loss_ppm + MILLION - 1) // MILLION


def send_for(wanted: int, loss_ppm: int) -> int:
    """The least that must be sent for so much to arrive."""
    return -(-wanted * MILLION // (MILLION - loss_ppm))
