"""Flexible devices of homes: what they can do, what they do by themselves, and what is asked."""

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devnet import devices
from devnet.chain_view import (
    METERS,
    NOTHING_SEEN,
    SCHEDULES,
    Counted,
    Schedule,
    View,
    counted_by,
    waiting_in,
)
from devnet.coupled_homes import CAR_LIMIT, LOAD_LIMIT, WEAR_MICRO, coupled_orders_of
from devnet.dataset import BUNDLED
from devnet.devices import (
    ASK_AHEAD,
    ASK_TRIES,
    BATTERY_LOSS_PPM,
    BY_DAY,
    BY_NIGHT,
    Car,
    Device,
    HomeBattery,
    Load,
    Session,
    deliver,
    device_of,
    send_for,
    session_at,
    session_to_ask_for,
)
from devnet.homes import NOTHING, Agents, HomeAgent, Standing, has_session
from devnet.meters import net_profile, reading_after
from devnet.plan import DEVICES_ALONE, DEVICES_IN_MARKET
from devnet.scenario import Scenario, load_scenario
from node.gateway.strategies import Automatic
from runtime.kernels import auction
from runtime.pallets.consumption_metering.records import Meter
from runtime.pallets.consumption_metering.records import Reading as AcceptedReading
from runtime.pallets.trading.coupled_accepted import CoupledSchedule
from runtime.pallets.trading.coupled_records import Battery, CoupledTerms, Flexible, Vehicle
from runtime.pallets.trading.records import Side, order_id_of
from runtime.primitives.scale import codec
from tests.support.runtimes import build_runtime

K0 = 1_000
CAR = Car("test", BY_DAY, 1_850, 52_000)
LOAD = Load(BY_NIGHT, 500, 8)
BATTERY = HomeBattery(devices.BATTERY_DAY, 10_000, 1_250, 1_000)
DEVICES: list[Device] = [CAR, LOAD, BATTERY]

energies = st.lists(st.integers(-5_000, 5_000), min_size=44, max_size=44)


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return load_scenario(BUNDLED, "semiurb4", "spring")


@pytest.fixture(scope="module")
def homes(scenario: Scenario) -> list[HomeAgent]:
    return Agents.of(scenario, K0, trader_wh=0, devices=DEVICES_IN_MARKET).with_devices


def session_of(device: Device, day: int = 0) -> Session:
    return device.session(K0 + day * 96 + device.window.begin_slot, day)


def asking(homes: Sequence[HomeAgent], kind: type[Device]) -> HomeAgent:
    return next(home for home in homes if isinstance(home.device, kind) and home.asks_for_device)


@given(energies)
def test_a_car_has_its_energy_by_the_deadline_whatever_its_schedule(schedule: list[int]) -> None:
    session = session_of(CAR)

    taken = CAR.by_schedule(session, schedule[: session.intervals])

    assert sum(taken) == session.energy_wh
    assert all(0 <= wh <= CAR.power_wh for wh in taken)


def test_a_car_follows_a_schedule_that_is_possible_and_is_charged_at_once_without_one() -> None:
    session = session_of(CAR)
    planned = [0] * session.intervals
    planned[3] = 1_000
    planned[9:13] = [1_850] * 4
    planned[13] = 1_850
    planned[20] = session.energy_wh - sum(planned)
    assert 0 < planned[20] < 1_850

    assert CAR.by_schedule(session, planned) == planned
    by_itself = CAR.by_itself(session, lambda _: 0)
    assert by_itself[: session.energy_wh // 1_850] == [1_850] * (session.energy_wh // 1_850)
    assert by_itself[-1] == 0


def test_a_car_needs_what_it_drove_and_what_its_charger_loses() -> None:
    needs = [session_of(CAR, day).energy_wh for day in range(40)]

    assert len(set(needs)) > 10
    assert min(needs) >= 25 * 180 * 10 // 9
    assert max(needs) <= 60 * 180 * 10 // 9 + 1


@given(st.integers(0, 27))
def test_a_load_runs_once_and_without_a_break(begin: int) -> None:
    session = session_of(LOAD)
    schedule = [0] * session.intervals
    for number in range(begin, min(begin + 8, session.intervals)):
        schedule[number] = 500

    taken = LOAD.by_schedule(session, schedule)

    latest = session.intervals - 8
    assert taken == [500 if min(begin, latest) <= n < min(begin, latest) + 8 else 0
                     for n in range(session.intervals)]  # fmt: skip
    assert LOAD.by_itself(session, lambda _: 0)[:8] == [500] * 8


@given(energies)
def test_a_battery_never_holds_more_than_it_can_nor_gives_what_it_has_not(
    schedule: list[int],
) -> None:
    session = session_of(BATTERY)

    for taken in (
        BATTERY.by_schedule(session, schedule),
        BATTERY.by_itself(session, lambda k: schedule[k - session.first]),
    ):
        stored = 0
        for wh in taken:
            assert -BATTERY.discharge_wh <= wh <= BATTERY.charge_wh
            stored += deliver(wh, BATTERY_LOSS_PPM) if wh >= 0 else -send_for(-wh, BATTERY_LOSS_PPM)
            assert 0 <= stored <= BATTERY.capacity_wh
        assert stored < 2


def test_a_battery_by_itself_stores_what_its_home_has_left_over_and_gives_what_it_lacks() -> None:
    session = session_of(BATTERY)
    sunny, dark = session.first + 2, session.first + 20

    taken = BATTERY.by_itself(session, lambda k: {sunny: -800, dark: 500}.get(k, 0))

    assert taken[2] == 800
    assert taken[20] == -500
    assert sum(1 for wh in taken if wh) == 3  # the rest of 760 Wh, at the very end
    assert taken[-1] == -221


def test_losses_are_those_of_the_auction() -> None:
    random = Random(5)
    for _ in range(200):
        wh, loss = random.randrange(1 << 26), random.randrange(500_000)
        assert deliver(wh, loss) == auction.deliver(wh, loss)
        assert send_for(wh, loss) == auction.send_for(wh, loss)


def test_devices_and_profiles_together_never_exceed_the_connection(scenario: Scenario) -> None:
    for home in scenario.homes:
        net = net_profile(scenario, home)
        device = device_of(home, net)
        if isinstance(device, HomeBattery):
            most, least = device.charge_wh, -device.discharge_wh
        elif device is not None:
            most, least = device.power_wh, 0  # type: ignore[attr-defined]
        else:
            continue
        assert max(net) + most <= home.wh_max
        assert min(net) + least >= -home.wh_max


def test_some_homes_have_a_car_some_a_load_and_some_a_battery(homes: list[HomeAgent]) -> None:
    kinds = [type(home.device) for home in homes]

    assert [kinds.count(kind) for kind in (Car, Load, HomeBattery)] == [8, 11, 4]
    assert not any(home.has_session for home in homes)
    drawn = [home for home in homes if not isinstance(home.device, HomeBattery)]
    assert not any(has_session(home.connection) for home in drawn)
    assert {home.asks_for_device for home in homes} == {True, False}
    for home in homes:
        assert home.asks_for_device == isinstance(home.strategy, Automatic)


@pytest.mark.parametrize("device", DEVICES)
def test_sessions_come_daily_from_the_first_that_begins_on_the_chain(device: Device) -> None:
    begin, intervals = device.window
    for k in range(K0 - 96, K0 + 300):
        session = session_at(device, k, K0)
        day, slot = divmod(k - K0 - begin, 96)
        assert (session is not None) == (day >= 0 and slot < intervals)
        if session is not None:
            assert session == session_of(device, day)
            assert session.first <= k <= session.last
    asked = [k for k in range(K0, K0 + 96) if session_to_ask_for(device, k, K0)]
    assert asked == [K0 + begin - ASK_AHEAD + number for number in range(ASK_TRIES)]


def test_a_home_asks_for_the_next_session_of_its_device(homes: list[HomeAgent]) -> None:
    runtime = build_runtime()
    for kind in (Car, Load, HomeBattery):
        home = asking(homes, kind)
        assert home.device is not None
        begin = K0 + home.device.window.begin_slot
        session = home.device.session(begin, 0)

        (call,) = coupled_orders_of(home, begin - ASK_AHEAD, NOTHING_SEEN)

        assert call == runtime.assembly.encode_call(
            "Trading",
            "place_coupled",
            connection=home.connection,
            terms=expected_terms(home.device, session),
        )
        assert coupled_orders_of(home, begin - ASK_AHEAD, NOTHING_SEEN, session.last) == []
        assert coupled_orders_of(home, begin - ASK_AHEAD - 1, NOTHING_SEEN) == []


def expected_terms(device: Device, session: Session) -> CoupledTerms:
    if isinstance(device, Car):
        power = 4 * device.power_wh
        return Vehicle(CAR_LIMIT, session.energy_wh, power, session.first, session.last)
    if isinstance(device, Load):
        load = (LOAD_LIMIT, session.energy_wh, device.duration, session.first, session.last)
        return Flexible(Side.BID, *load)
    assert isinstance(device, HomeBattery)
    powers = (4 * device.charge_wh, 4 * device.discharge_wh)
    stored = (device.capacity_wh, 0, 0)
    return Battery(session.first, session.last, *stored, *powers, 950_000, WEAR_MICRO)


def test_what_waits_or_was_accepted_is_not_asked_for_again(homes: list[HomeAgent]) -> None:
    home = asking(homes, Car)
    assert home.device is not None
    first = K0 + home.device.window.begin_slot
    order_id = order_id_of(first, home.connection, 3)
    waits = View({}, waiting_in([order_id]), {})
    accepted = View({home.connection: [Schedule(order_id, first, (1,))]}, frozenset(), {})
    other = View({}, waiting_in([order_id_of(first, home.connection + 1, 3)]), {})

    asked = [coupled_orders_of(home, first - 7, seen) for seen in (waits, accepted, other)]

    assert [len(calls) for calls in asked] == [0, 0, 1]


def test_a_device_does_what_its_order_was_accepted_with(homes: list[HomeAgent]) -> None:
    home = asking(homes, Load)
    assert isinstance(home.device, Load)
    first = K0 + home.device.window.begin_slot
    late = (500,) * home.device.duration
    schedule = Schedule(order_id_of(first, home.connection, 0), first + 11, late)
    seen = View({home.connection: [schedule]}, frozenset(), {})
    window = range(first, first + 28)

    runs = [k - first for k in window if home.device_wh(k, seen)]
    alone = [k - first for k in window if home.device_wh(k, NOTHING_SEEN)]

    assert runs == list(range(11, 11 + home.device.duration))
    assert alone == list(range(home.device.duration))


def test_a_home_trades_its_profile_beside_what_its_device_has_bought(
    homes: list[HomeAgent],
) -> None:
    home = asking(homes, Load)
    assert isinstance(home.device, Load)
    first = K0 + home.device.window.begin_slot
    schedule = Schedule(order_id_of(first, home.connection, 0), first, (500,) * 8)
    seen = View({home.connection: [schedule]}, frozenset(), {})
    of_profile = home.to_trade_wh(first + 2)

    quote = home.decide(first + 2, 2, Standing(500, ()), seen)

    assert quote is not None
    assert quote.position_wh == 500  # what the chain has to find
    assert sum(order.quantity_wh for order in quote.orders) == of_profile


@pytest.mark.parametrize(
    ("now", "is_waiting", "trades_device"),
    [(-4, False, False), (-1, True, False), (-1, False, True)],
)
def test_what_no_order_can_bring_any_more_is_traded_as_usual(
    homes: list[HomeAgent], now: int, is_waiting: bool, trades_device: bool
) -> None:
    home = asking(homes, Load)
    assert isinstance(home.device, Load)
    first = K0 + home.device.window.begin_slot
    ids = [order_id_of(first, home.connection, 0)] if is_waiting else []
    k = first + now + 3

    quote = home.decide(k, 3, NOTHING, View({}, waiting_in(ids), {}))

    assert quote is not None
    runs_wh = 500 if trades_device else 0
    quoted_wh = sum(order.quantity_wh for order in quote.orders)
    assert quoted_wh == home.to_trade_wh(k) + runs_wh


def test_without_coupled_orders_a_device_is_part_of_the_forecast(scenario: Scenario) -> None:
    alone = Agents.of(scenario, K0, trader_wh=0, devices=DEVICES_ALONE)
    home = next(
        home
        for home in alone.with_devices
        if isinstance(home.device, Load) and isinstance(home.strategy, Automatic)
    )
    assert isinstance(home.device, Load)
    first = K0 + home.device.window.begin_slot

    quote = home.decide(first, 95, NOTHING)

    assert quote is not None
    assert sum(order.quantity_wh for order in quote.orders) == home.to_trade_wh(first) + 500
    assert coupled_orders_of(home, first - ASK_AHEAD, NOTHING_SEEN) == []


def test_registers_behind_a_device_count_on_from_what_the_chain_has(scenario: Scenario) -> None:
    agents = Agents.of(scenario, K0, trader_wh=0, devices=DEVICES_IN_MARKET)
    home = asking(agents.with_devices, Load)
    meter = agents.meters[home.connection]
    assert isinstance(home.device, Load)
    first = K0 + home.device.window.begin_slot
    seen = View({}, frozenset(), {home.connection: Counted(first - 1, 7_000, 70)})

    reading = agents.reading(meter, first + 1, seen)

    nets = [meter.net_in(k) + 500 for k in (first, first + 1)]
    assert reading is not None
    assert reading.import_register_wh == 7_000 + sum(max(net, 0) for net in nets)
    assert reading.export_register_wh == 70 + sum(max(-net, 0) for net in nets)
    assert (reading.import_wh, reading.export_wh) == (max(nets[1], 0), max(-nets[1], 0))
    assert agents.reading(meter, first - 1, seen) is None  # the chain has it
    assert reading_after(Counted(5, 1, 2), []) is None


def test_the_operator_measures_devices_as_well(scenario: Scenario) -> None:
    agents = Agents.of(scenario, K0, trader_wh=0, devices=DEVICES_IN_MARKET)
    k = K0 + BY_NIGHT.begin_slot
    devices_wh = agents.devices_wh(k, NOTHING_SEEN)

    with_devices = agents.net_wh(agents.operator, k, NOTHING_SEEN)

    more = with_devices - agents.operator.net_in(k)
    assert sum(devices_wh.values()) > 5_000
    assert 0 < more - sum(devices_wh.values()) < 1_000  # losses


def test_what_is_read_of_the_chain_has_the_form_of_the_runtime() -> None:
    schedule = CoupledSchedule(order_id_of(70_000, 12, 5), 70_004, (5, 0, -7))
    encoded = codec(list[CoupledSchedule]).encode([schedule])
    meter = Meter(bytes(32), 11, 22, 33, False, 1, 2, -3, 4, (AcceptedReading(1, 2, 3, 4, 5, 6),))
    meters = METERS.decode(codec(list[Meter | None]).encode([None, meter]))

    (found,) = SCHEDULES.decode(encoded)

    assert found.begin == 70_000
    assert found.over(70_002, 6) == [0, 0, 5, 0, -7, 0]
    assert waiting_in([schedule.order_id]) == {(70_000, 12)}
    assert counted_by(meters) == {1: Counted(33, 11, 22)}
