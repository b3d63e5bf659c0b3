"""Settlement on chain: the worked example, who pays whom, arrears, standstills, history."""

from functools import partial
from typing import Any

import pytest

from runtime.pallets.balances import Withdraw
from runtime.pallets.consumption_metering.records import Method, Status
from runtime.pallets.system import HOUSE
from runtime.pallets.trading import events, finality
from runtime.pallets.trading.records import SettlementLine
from tests.runtime.pallets.zone import (
    BID,
    EXISTENTIAL_DEPOSIT,
    K0,
    LOSSLESS,
    LOSSY,
    OFFER,
    OPERATOR,
    SLOT_MS,
    SUPPLIER,
    WEALTH,
    A,
    B,
    C,
    Zone,
)

K = K0 + 3
RETAIL, FEED_IN = 300_000, 20_000

EXAMPLE = {
    "parent": [0, 0, 0],
    "cap_up": [0, 4_000, 4_000],
    "cap_down": [0, 4_000, 4_000],
    "loss_ppm": [0, 10_000, 10_000],
    "tariff": [0, 10_000, 10_000],
}
EXAMPLE_PRICES: dict[str, Any] = {
    "feed_in_price": 80_000,
    "imbalance_price_min": 80_000,
    "loss_price": 90_000,
}


def settle_k(zone: Zone, *readings: tuple[int, int, int]) -> None:
    """Report `readings` (connection, import, export) of interval K and let it be settled."""

    def report() -> None:
        for number, imported, exported in readings:
            zone.read(number, K, imported, exported)

    zone.block(K + 1, SLOT_MS, report)
    zone.block(K + 3)


def test_the_worked_example_is_exact_to_the_nano() -> None:
    zone = Zone(EXAMPLE, buses=(1, 2, 2), has_pool=False, **EXAMPLE_PRICES)
    zone.block(K0)
    rest = zone.order(1, K, OFFER, 80_000, 1_000)
    zone.order(2, K, BID, 300_000, 900)
    zone.block(K0 + 1)

    assert (zone.position(K, 1), zone.position(K, 2)) == ((0, 920), (900, 0))
    assert zone.trading.read_prices(K)[1:] == [80_000, 101_930]
    left = [(edge.left_up, edge.left_down) for edge in zone.grid.read_edges(K)]
    assert left[1:] == [(3_080, 4_930), (4_900, 3_091)]
    zone.trading.cancel_order(A, rest)
    zone.order(2, K, OFFER, 120_000, 200)
    zone.order(1, K, BID, 280_000, 150)
    zone.block(K0 + 2)

    assert (zone.position(K, 1), zone.position(K, 2)) == ((150, 920), (900, 154))
    assert zone.trading.read_prices(K)[1:] == [143_096, 120_000]
    flows = zone.grid.flows_of(K)
    assert (flows.net_export, flows.received) == ((0, 770, -746), (0, 758, -758))
    assert zone.holding(K, 1).payable_nano == -52_135_600
    assert zone.holding(K, 2).payable_nano == 73_257_000
    book = zone.trading.books[K]
    assert book is not None
    assert (book.rent_nano, book.booked_loss_wh) == (21_121_400, 24)
    zone.run(K0 + 3, K + 1)
    before = {who: zone.free(who) for who in (SUPPLIER, OPERATOR, C)}
    settle_k(zone, (1, 0, 700), (2, 1_000, 0), (3, 400, 50), (0, 675, 0))

    lines = zone.trading.read_lines(K)
    assert [line.amount_nano for line in lines] == [31_135_600, -149_457_000, -116_000_000]
    record = zone.trading.read_settlement(K)
    assert record is not None
    assert (record.supplier_nano, record.operator_nano) == (147_890_000, 86_431_400)
    assert (record.imbalance_price, record.measured_loss_wh) == (300_000, 25)
    assert record.energy_residual_wh == 0
    assert zone.free(A) == WEALTH + 31_135_600
    assert zone.free(B) == WEALTH - 149_457_000
    assert zone.free(SUPPLIER) == before[SUPPLIER] + 147_890_000
    assert zone.free(OPERATOR) == before[OPERATOR] + 86_431_400
    assert zone.free(HOUSE) == 0
    assert (zone.held(A), zone.held(B)) == (0, 0)


def test_a_home_without_trade_and_pool_pays_the_tariff() -> None:
    zone = Zone(has_pool=False)
    zone.run(K0, K)
    settle_k(zone, (1, 700, 30), (2, 0, 0), (3, 0, 0), (0, 670, 0))

    assert zone.free(A) == WEALTH - RETAIL * 700 + FEED_IN * 30
    record = zone.trading.read_settlement(K)
    assert record is not None
    assert record.connections_nano == record.tariff_nano == FEED_IN * 30 - RETAIL * 700
    assert record.estimated == 0


def test_amounts_are_netted_over_the_connections_of_an_account() -> None:
    zone = Zone(owners=(A,), has_pool=False)
    zone.run(K0, K)
    zone.block(
        K + 1,
        SLOT_MS,
        lambda: zone.read(1, K, 100, 0),
        lambda: zone.read(2, K, 0, 400),
        lambda: zone.read(3, K, 0, 0),
        lambda: zone.read(0, K, 0, 300),
    )
    announced = zone.block(K + 3)

    assert zone.free(A) == WEALTH - RETAIL * 100 + FEED_IN * 400
    paid = [event for event in zone.events_of(Withdraw, announced) if event.who == A]
    assert [event.amount for event in paid] == [RETAIL * 100 - FEED_IN * 400]


def test_an_interval_is_settled_in_the_first_block_three_intervals_later() -> None:
    zone = Zone()
    zone.run(K0, K0 + 2)
    assert zone.trading.totals.get().intervals_settled == 0
    zone.block(K0 + 3, -1)
    assert zone.trading.totals.get().intervals_settled == 0
    announced = zone.block(K0 + 3)

    settled = zone.events_of(events.IntervalSettled, announced)
    assert [event.interval for event in settled] == [K0]
    assert zone.trading.read_totals().intervals_settled == 1


def test_what_a_wallet_cannot_pay_becomes_a_receivable_of_the_supplier() -> None:
    zone = Zone(wealth=EXISTENTIAL_DEPOSIT + 50_000_000)
    zone.run(K0, K)
    before = zone.free(SUPPLIER)
    zone.block(K + 1, SLOT_MS, lambda: zone.read(1, K, 1_000, 0), lambda: zone.read(0, K, 1_000, 0))
    announced = zone.block(K + 3)

    arrears = RETAIL * 1_000 - 50_000_000
    others = [zone.trading.arrears[who] for who in (B, C)]  # estimated: their share of the profile
    assert zone.free(A) == EXISTENTIAL_DEPOSIT
    assert zone.trading.arrears[A] == arrears
    assert zone.trading.receivables.get() == arrears + sum(others)
    assert events.ArrearsChanged(A, arrears) in announced
    record = zone.trading.read_settlement(K)
    assert record is not None
    assert zone.free(SUPPLIER) == before + record.supplier_nano - arrears - sum(others)
    assert zone.free(OPERATOR) == WEALTH + record.operator_nano


def test_arrears_are_asked_for_again_and_end() -> None:
    zone = Zone(wealth=EXISTENTIAL_DEPOSIT + 50_000_000, without_meter=(2, 3))
    zone.run(K0, K)
    settle_k(zone, (1, 1_000, 0), (0, 1_000, 0))
    arrears = zone.trading.arrears[A]
    zone.balances.transfer(SUPPLIER, A, arrears + 7_000_000)
    zone.block(K + 3, SLOT_MS, lambda: zone.read(1, K + 2, 0, 0), lambda: zone.read(0, K + 2, 0, 0))
    zone.run(K + 4, K + 5)

    assert arrears > 0
    estimated = zone.trading.read_lines(K + 1)[0]
    assert estimated.method == Method.INTERPOLATED
    assert zone.trading.arrears[A] == 0
    assert zone.trading.receivables.get() == 0
    assert zone.free(A) == EXISTENTIAL_DEPOSIT + 7_000_000 + estimated.amount_nano


def test_a_supplier_without_money_owes_what_it_cannot_pay() -> None:
    zone = Zone(supplier_wealth=EXISTENTIAL_DEPOSIT + 1_000_000)
    zone.run(K0, K)
    settle_k(zone, (1, 0, 1_000), (2, 0, 0), (3, 0, 0), (0, 0, 1_000))

    assert zone.free(A) == WEALTH + 1_000_000
    assert zone.trading.arrears[A] == 1_000_000 - FEED_IN * 1_000
    assert zone.free(SUPPLIER) == EXISTENTIAL_DEPOSIT
    zone.balances.transfer(OPERATOR, SUPPLIER, 10**12)
    zone.block(K + 4)
    assert zone.trading.arrears[A] == 0


def test_an_amount_too_small_to_found_an_account_is_owed_until_it_is_not() -> None:
    zone = Zone(without_meter=(2, 3))
    zone.balances.transfer(A, B, zone.free(A), keep_alive=False)
    assert zone.free(A) == 0
    zone.run(K0, K)
    settle_k(zone, (1, 0, 30), (0, 0, 30))

    assert zone.free(A) == 0
    assert zone.trading.arrears[A] == -30 * FEED_IN
    zone.block(
        K + 3, SLOT_MS, lambda: zone.read(1, K + 2, 0, 30), lambda: zone.read(0, K + 2, 0, 30)
    )
    zone.run(K + 4, K + 5)
    assert zone.free(A) == sum(
        line.line.amount_nano for line in zone.trading.read_bill(1, K, K + 2)
    )
    assert zone.trading.arrears[A] == 0


def test_missing_readings_are_estimated_and_flagged() -> None:
    zone = Zone()
    zone.run(K0, K)
    settle_k(zone, (1, 700, 30))

    record, lines = zone.trading.read_settlement(K), zone.trading.read_lines(K)
    assert record is not None
    assert record.estimated == 2
    assert [line.method for line in lines] == [Method.METERED, Method.PROFILE, Method.PROFILE]
    assert lines[1].import_wh == 700
    assert record.transformer_import_wh == 3 * 700 - 30


def test_the_status_of_a_reading_follows_its_interval() -> None:
    zone = Zone(dispute_intervals=2)
    zone.run(K0, K)
    statuses = [zone.trading.read_status(1, K)]
    zone.block(K + 1, SLOT_MS, lambda: zone.read(1, K, 700, 30))
    statuses.append(zone.trading.read_status(1, K))
    zone.block(K + 3)
    statuses += [zone.trading.read_status(number, K) for number in (1, 2, 9)]
    zone.block(K + 4)
    statuses.append(zone.trading.read_status(2, K))
    zone.block(K + 5)
    statuses.append(zone.trading.read_status(2, K))

    assert statuses == [
        None,
        Status.RAW,
        Status.VALID,
        Status.ESTIMATED,
        None,
        Status.ESTIMATED,
        Status.FINAL,
    ]


def test_after_a_standstill_only_stored_intervals_are_visited_eight_per_block() -> None:
    zone = Zone()
    zone.block(K0)
    zone.block(K0, SLOT_MS, *(partial(place_pair, zone, k) for k in range(K0 + 10, K0 + 30)))
    held = zone.held(A)
    later = K0 + 3 * 96
    zone.block(later)

    assert held > 0
    assert zone.trading.totals.get().intervals_settled == 8
    assert zone.trading.schedule.get().stored[-3:] == (later - 2, later - 1, later)
    zone.block(later, SLOT_MS)
    zone.block(later, 2 * SLOT_MS)
    assert zone.trading.totals.get().intervals_settled == 21  # K0 and the twenty with orders
    assert zone.trading.schedule.get().stored == (later - 2, later - 1, later)
    assert (zone.held(A), zone.held(B)) == (0, 0)
    assert zone.trading.totals.get().traded_wh == 0


def place_pair(zone: Zone, interval: int) -> None:
    zone.order(1, interval, OFFER, 100_000, 50)
    zone.order(2, interval, BID, 100_000, 50)


def test_a_zone_too_large_for_its_weight_settles_one_interval_per_block() -> None:
    zone = Zone(settlement_weight=1)
    zone.block(K0)
    zone.block(K0 + 1)
    zone.block(K0 + 5)

    assert zone.trading.totals.get().intervals_settled == 1
    zone.block(K0 + 5, SLOT_MS)
    assert zone.trading.totals.get().intervals_settled == 2


def test_orders_whose_gate_passed_in_a_standstill_expire_at_settlement() -> None:
    zone = Zone()
    zone.block(K0)
    place_pair(zone, K)
    zone.block(K + 4)

    assert zone.trading.read_order_book(K) == []
    assert (zone.held(A), zone.held(B)) == (0, 0)
    assert zone.trading.read_book(K) is None


def test_the_history_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finality, "HISTORY_INTERVALS", 5)
    zone = Zone(LOSSY, dispute_intervals=2)
    zone.block(K0)
    for interval in range(K0, K0 + 14):
        zone.block(interval, SLOT_MS, partial(place_pair, zone, interval + 3))
        zone.block(interval + 1)

    settled = zone.trading.totals.get().intervals_settled
    last = K0 + 14 - 3
    assert settled == last - K0 + 1
    assert zone.trading.recent(64) == list(range(last - 4, last + 1))
    for items in (
        zone.trading.settlements,
        zone.trading.lines,
        zone.trading.settled_at,
        zone.grid.balances,
    ):
        assert len(list(items.keys())) == 5
    waiting = set(zone.trading.schedule.get().stored)
    assert set(zone.grid.flows.keys()) <= waiting | set(zone.trading.recent(5))
    assert set(zone.trading.prices.keys()) <= waiting | set(zone.trading.recent(5))


def test_a_bill_lists_the_settled_intervals_of_a_connection() -> None:
    zone = Zone(LOSSLESS)
    zone.run(K0, K)
    settle_k(zone, (1, 700, 0), (0, 700, 0))

    bill = zone.trading.read_bill(1, K0, K0 + 10_000)
    assert [line.interval for line in bill] == [K0, K0 + 1, K0 + 2, K]
    assert bill[-1].line == SettlementLine(
        700, 0, Method.METERED, 0, 0, 0, 0, 0, True, 0, 0, -700 * RETAIL
    )
    assert zone.trading.read_bill(9, K0, K) == []
    assert zone.trading.read_bill(0, K0, K) == []
    assert zone.trading.read_bill(1, K, K0) == []


def test_runtime_apis_answer_what_the_pallet_knows() -> None:
    zone = Zone(LOSSLESS)
    zone.block(K0)
    zone.block(K0, SLOT_MS, lambda: place_pair(zone, K))
    zone.block(K0 + 1)
    of_k = K.to_bytes(4, "little")

    def ask(name: str, data: bytes) -> bytes:
        return zone.assembly.call_api(zone.overlay, name, data)

    assert ask("Trading_positions", of_k)[0] == 2 << 2
    assert ask("Trading_order_book", of_k) == b"\x00"
    assert ask("Trading_prices", of_k)[0] == 4 << 2
    assert ask("Trading_settlement", of_k) == b"\x00"
    assert ask("Trading_book", of_k)[0] == 1
    assert ask("Trading_totals", b"") == zone.trading.totals.get().encode()
    assert ask("Trading_bill", bytes(4) + of_k + of_k) == b"\x00"
    assert ask("Trading_recent", of_k) == b"\x00"
    assert ask("Trading_lines", of_k) == b"\x00"
    assert ask("Trading_status", bytes(4) + of_k) == b"\x00"
    assert ask("GridBalancing_edges", of_k)[0] == 4 << 2
    assert ask("GridBalancing_balance", of_k) == b"\x00"
    assert ask("GridBalancing_circuit", b"") == b"\x00"
    assert ask("GridBalancing_topology", b"")[0] == 4 << 2
    assert ask("ProducerRegistration_connections", b"")[0] == 4 << 2
    assert ask("ProducerRegistration_sources", bytes(4)) == b"\x00"
    assert ask("ConsumptionMetering_meters", b"")[0] == 4 << 2


def test_local_share_counts_what_did_not_come_from_outside() -> None:
    zone = Zone(LOSSLESS)
    zone.block(K0)
    zone.order(0, K, OFFER, 100_000, 60)
    zone.order(1, K, OFFER, 90_000, 40)
    zone.order(2, K, BID, 200_000, 100)
    zone.run(K0 + 1, K + 3)

    record = zone.trading.read_settlement(K)
    assert record is not None
    assert (record.connections_buy_wh, record.local_wh) == (100, 40)
    assert zone.trading.totals.get().local_wh == 40
