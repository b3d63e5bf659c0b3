"""The audit: all is kept where all is well, and each promise that is broken is named."""

from collections.abc import Callable
from functools import partial

import pytest
from msgspec.structs import replace

from runtime.pallets.system import CONGESTION_RENT, HOUSE
from tests.runtime.pallets.zone import BID, K0, LOSSY, OFFER, SLOT_MS, SUPPLIER, Zone

SETTLED, OPEN = K0 + 3, K0 + 20
PROMISES = 11


@pytest.fixture
def zone() -> Zone:
    """Trades in an interval that is settled and in one that is open, over a line that is full."""
    zone = Zone(LOSSY | {"cap_up": [0, 4_000, 200, 4_000]}, has_pool=True)
    for interval in (SETTLED, OPEN):
        zone.block(K0, SLOT_MS, partial(zone.order, 1, interval, OFFER, 50_000, 300))
        zone.block(K0, 2 * SLOT_MS, partial(zone.order, 2, interval, BID, 250_000, 300))
    sealed = partial(zone.trading.seal_order, zone.owner[2], 2, OPEN, BID, 100, bytes(32))
    zone.block(K0, 2 * SLOT_MS, sealed)
    zone.run(K0 + 1, K0 + 3)
    reads = [partial(zone.read, n, SETTLED, *e) for n, e in ((1, (0, 150)), (2, (90, 0)))]
    zone.block(SETTLED + 1, SLOT_MS, *reads)
    zone.run(K0 + 5, K0 + 7)
    return zone


def broken(zone: Zone) -> list[str]:
    return [finding.promise for finding in zone.trading.read_audit() if not finding.is_kept]


def test_all_promises_are_kept(zone: Zone) -> None:
    findings = zone.trading.read_audit()

    assert len(findings) == PROMISES
    assert broken(zone) == []


def change_record(zone: Zone, **fields: int) -> None:
    record = zone.trading.settlements[SETTLED]
    assert record is not None
    zone.trading.settlements[SETTLED] = replace(record, **fields)


def change_line(zone: Zone, number: int, **fields: int) -> None:
    lines = list(zone.trading.read_lines(SETTLED))
    lines[number - 1] = replace(lines[number - 1], **fields)
    zone.trading.lines[SETTLED] = tuple(lines)


def change_holding(zone: Zone, **fields: int) -> None:
    holding = zone.trading.holdings[OPEN, 1]
    zone.trading.holdings[OPEN, 1] = replace(holding, **fields)


def change_sealed(zone: Zone) -> None:
    (order,) = zone.trading.sealed_orders[OPEN, 2]
    zone.trading.sealed_orders[OPEN, 2] = (replace(order, deposit_nano=1),)


def change_flows(zone: Zone) -> None:
    flows = zone.grid.flows_of(OPEN)
    zone.grid.flows[OPEN] = replace(flows, net_export=(0, 0, 4_001, 0))


BREAKS: dict[str, Callable[[Zone], object]] = {
    "every posting has a payer and a payee": lambda zone: change_record(zone, supplier_nano=1),
    "payables sum to the rent": lambda zone: change_holding(zone, payable_nano=0),
    "sold less bought is the booked loss": lambda zone: change_holding(zone, sell_wh=0),
    "net flows respect the capacities": change_flows,
    "every bus is balanced": change_flows,
    "every Wh is sold, bought and labelled once": lambda zone: change_record(
        zone, energy_residual_wh=1
    ),
    "collateral covers what can be owed": lambda zone: change_holding(zone, held_nano=0),
    "sealed orders are covered and find a place": change_sealed,
    "nobody is worse off than agreed": lambda zone: change_line(zone, 3, amount_nano=-(10**12)),
    "tariffs and congestion are the rent": lambda zone: change_record(zone, rent_nano=0),
}


@pytest.mark.parametrize("promise", BREAKS)
def test_a_broken_promise_is_named(zone: Zone, promise: str) -> None:
    BREAKS[promise](zone)

    assert promise in broken(zone)


def test_a_house_that_keeps_money_and_rent_that_is_gone_are_found(zone: Zone) -> None:
    kept = zone.free(CONGESTION_RENT)
    assert kept > 0
    zone.balances.move(CONGESTION_RENT, HOUSE, kept, keep_alive=True)

    details = [detail for finding in zone.trading.read_audit() for detail in finding.details]

    assert f"the house keeps {kept} nano-DRT" in details
    assert f"0 nano-DRT of congestion rent are there, {kept} are earmarked" in details
    zone.trading.receivables.set(5)
    assert broken(zone)[0] == "every posting has a payer and a payee"
    assert zone.free(SUPPLIER) > 0


def test_the_wronged_are_told_with_bound(zone: Zone) -> None:
    change_line(zone, 2, amount_nano=-(10**12))

    (finding,) = [f for f in zone.trading.read_audit() if f.promise.startswith("nobody")]

    assert finding.details == [f"interval {SETTLED}, connection 2: above the bound"]


def test_only_the_first_places_are_told(zone: Zone) -> None:
    zone.run(K0 + 8, K0 + 24)
    for interval in range(K0, K0 + 12):
        record = zone.trading.settlements[interval]
        assert record is not None
        zone.trading.settlements[interval] = replace(record, energy_residual_wh=1)

    (finding,) = [f for f in zone.trading.read_audit() if f.promise.startswith("every Wh")]

    assert len(finding.details) == 8
