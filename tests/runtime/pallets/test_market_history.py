"""Candles, days and their roots: what is kept, what is proved, also after it is forgotten."""

from functools import partial

import pytest
from msgspec.structs import replace

from runtime.pallets.trading import finality, history
from runtime.pallets.trading.history import (
    Candle,
    DayClosed,
    HistoryRecord,
    LineProof,
    RecordProof,
    merged,
    root_by_line,
    root_by_record,
)
from tests.runtime.pallets.zone import BID, K0, OFFER, SLOT_MS, Zone

K = K0 + 5


def traded(zone: Zone, now: int, interval: int, price: int, wh: int) -> None:
    """A sells to B for an interval in the call after `now`."""
    zone.block(now, SLOT_MS, lambda: zone.order(1, interval, OFFER, price, wh))
    zone.block(now, 2 * SLOT_MS, lambda: zone.order(2, interval, BID, price, wh))
    zone.block(now + 1)


def test_a_candle_has_the_prices_of_its_calls_in_their_order() -> None:
    zone = Zone()
    traded(zone, K0, K, 90_000, 100)
    traded(zone, K0 + 1, K, 120_000, 50)
    traded(zone, K0 + 2, K, 80_000, 20)
    traded(zone, K0 + 3, K, 100_000, 10)

    value = 100 * 90_000 + 50 * 120_000 + 20 * 80_000 + 10 * 100_000
    expected = Candle(90_000, 120_000, 80_000, 100_000, 180, value, calls=4)
    assert zone.trading.read_candles(K0, K) == [(K, expected)]
    assert zone.trading.read_day_so_far(0) == expected
    assert zone.trading.read_day_so_far(1) is None


def test_candles_that_follow_one_another_are_one() -> None:
    first, second = Candle(5, 9, 4, 6, 10, 60, 2), Candle(6, 7, 1, 3, 5, 20, 1)

    assert merged([None, first, None, second]) == Candle(5, 9, 1, 3, 15, 80, 3)
    assert merged([]) is None


def zone_through(last: int) -> Zone:
    """A zone whose settlements are final at once, with a trade, up to an interval."""
    zone = Zone(dispute_intervals=0)
    traded(zone, K0, K0 + 3, 100_000, 100)
    for interval in range(K0 + 2, last + 1):
        reads = [partial(zone.read, 1, interval - 1, 0, 100)] if interval == K0 + 4 else []
        zone.block(interval, 0, *reads)
    return zone


def test_a_final_interval_is_proved_with_each_of_its_lines() -> None:
    zone = zone_through(K0 + 10)

    proof = zone.trading.read_record_proof(K0 + 3)

    assert proof is not None
    assert (proof.day, proof.index, proof.records) == (0, 3, 8)
    assert proof.record.candle == zone.trading.candles[K0 + 3]
    ((number, day),) = zone.trading.read_days(0, 0)
    assert number == 0 and not day.is_closed
    assert root_by_record(proof) == day.root
    for connection in (1, 2, 3):
        of_line = zone.trading.read_line_proof(connection, K0 + 3)
        assert of_line is not None
        assert of_line.line == zone.trading.read_lines(K0 + 3)[connection - 1]
        assert root_by_line(of_line) == day.root


def test_what_is_not_final_or_not_there_has_no_proof() -> None:
    zone = zone_through(K0 + 10)

    assert zone.trading.read_record_proof(K0 + 9) is None
    assert zone.trading.read_line_proof(1, K0 + 9) is None
    assert zone.trading.read_line_proof(0, K0 + 3) is None
    assert zone.trading.read_line_proof(4, K0 + 3) is None


def test_nothing_else_is_proved_by_a_proof() -> None:
    zone = zone_through(K0 + 10)
    proof = zone.trading.read_line_proof(1, K0 + 3)
    assert proof is not None
    root = root_by_line(proof)
    assert root == zone.trading.read_days(0, 0)[0][1].root

    def changed_record(record: HistoryRecord) -> LineProof:
        return replace(proof, of_record=replace(proof.of_record, record=record))

    record = proof.of_record.record
    richer = replace(proof, line=replace(proof.line, amount_nano=proof.line.amount_nano + 1))
    assert root_by_line(richer) is None
    assert root_by_line(replace(proof, connection=2)) is None
    assert root_by_line(changed_record(replace(record, lines_root=bytes(32)))) is None
    settlement = replace(record.settlement, traded_wh=0)
    assert root_by_line(changed_record(replace(record, settlement=settlement))) != root


def test_a_line_is_the_one_of_no_other_connection() -> None:
    zone = zone_through(K0 + 10)
    proofs = [zone.trading.read_line_proof(connection, K0 + 3) for connection in (1, 2, 3)]

    for claimed in range(7):
        for proof in proofs:
            assert proof is not None and proof.of_record.record.lines == 3
            is_right = root_by_line(replace(proof, connection=claimed)) is not None
            assert is_right == (claimed == proof.connection)


def test_proofs_survive_their_encoding() -> None:
    zone = zone_through(K0 + 10)
    line, record = zone.trading.read_line_proof(1, K0 + 3), zone.trading.read_record_proof(K0 + 3)

    assert line is not None and LineProof.decode(line.encode()) == line
    assert record is not None and RecordProof.decode(record.encode()) == record


@pytest.mark.slow
def test_a_day_is_closed_with_the_next_one_and_outlives_its_records(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(finality, "HISTORY_INTERVALS", 100)
    zone = zone_through(K0 + 90)
    kept = zone.trading.read_line_proof(1, K0 + 3)
    zone.run(K0 + 91, K0 + 210)

    closed = zone.events_of(DayClosed, zone.assembly.state.events)
    (_, day), _, (_, latest) = zone.trading.read_days(0, 5)
    assert [event.day for event in closed] == [0, 1]
    assert day.is_closed and day.records == 96 and not latest.is_closed
    assert day.candle is not None and day.candle.volume_wh == 100
    assert zone.trading.read_record_proof(K0 + 3) is None
    assert zone.trading.read_candles(K0, K0 + 95) == []
    assert zone.trading.day_leaves[0] == ()
    # Whoever kept a proof while the day went on, needs the later one; it still is one of the day.
    assert kept is not None and root_by_line(kept) != day.root


@pytest.mark.slow
def test_a_kept_proof_of_a_closed_day_is_good_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finality, "HISTORY_INTERVALS", 150)
    zone = zone_through(K0 + 105)
    kept = zone.trading.read_line_proof(2, K0 + 3)
    assert kept is not None
    zone.run(K0 + 106, K0 + 160)

    assert zone.trading.read_line_proof(2, K0 + 3) is None
    assert root_by_line(LineProof.decode(kept.encode())) == zone.trading.read_days(0, 0)[0][1].root


def test_a_day_without_blocks_is_left_out() -> None:
    zone = zone_through(K0 + 10)
    zone.run(K0 + 250, K0 + 256)

    found = zone.trading.read_days(0, 9)

    assert [number for number, _ in found] == [0, 2]
    assert found[0][1].is_closed
    assert history.day_of(zone.trading, K0 + 250) == 2
