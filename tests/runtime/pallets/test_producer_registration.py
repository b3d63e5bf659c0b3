"""Connections and sources: proposed by owners, countersigned by the operator."""

from typing import Any

import pytest

from runtime.frame.assembly import Assembly
from runtime.pallets import grid_balancing
from runtime.pallets import producer_registration as registration
from runtime.pallets.producer_registration import ProducerRegistration, SourceStatus, Technology
from runtime.primitives.hashing import blake2_256
from runtime.state.backend import MemoryBackend
from runtime.state.overlay import Overlay
from tests.runtime.pallets.zone import (
    LOSSLESS,
    OPERATOR,
    STRANGER,
    SUPPLIER,
    A,
    B,
    Zone,
    text_of,
)

DEVICE = blake2_256(b"inverter 7")


@pytest.fixture
def zone() -> Zone:
    return Zone()


def propose(zone: Zone, who: bytes = A, point: bytes = b"DE-7", bus: int = 2) -> int:
    """Ask for a connection; the proposal's number."""
    proposal_id = zone.registry.next_proposal_id.get()
    zone.registry.propose_connection(who, point, bus, 4_000, 2_000)
    return proposal_id


def propose_source(zone: Zone, rated_w: int = 5_000, device: bytes = DEVICE) -> int:
    """Declare a source behind connection 1."""
    source_id = zone.registry.next_source_id.get()
    zone.registry.propose_source(A, 1, Technology.SOLAR, rated_w, device)
    return source_id


def test_a_connection_exists_once_the_operator_countersigned(zone: Zone) -> None:
    proposal_id = propose(zone)
    assert zone.registry.count() == 4
    zone.registry.confirm_connection(OPERATOR, proposal_id)

    assert zone.registry.connection(4) == registration.Connection(A, 2, 4_000, 2_000, 0)
    assert zone.registry.connections_of[A] == (1, 4)
    assert zone.assembly.state.events[-1] == registration.ConnectionRegistered(
        4, registration.Connection(A, 2, 4_000, 2_000, 0)
    )
    zone.check()


def test_only_the_operator_countersigns_and_only_once(zone: Zone) -> None:
    proposal_id = propose(zone)

    zone.refuses(registration.NotOperator, lambda: zone.registry.confirm_connection(A, proposal_id))
    zone.refuses(
        registration.ProposalNotFound,
        lambda: zone.registry.confirm_connection(OPERATOR, proposal_id + 1),
    )
    zone.registry.confirm_connection(OPERATOR, proposal_id)
    zone.refuses(
        registration.ProposalNotFound,
        lambda: zone.registry.confirm_connection(OPERATOR, proposal_id),
    )


@pytest.mark.parametrize("who", [A, OPERATOR])
def test_owner_and_operator_end_a_proposal(zone: Zone, who: bytes) -> None:
    proposal_id = propose(zone)
    zone.refuses(registration.NotOwner, lambda: zone.registry.decline_connection(B, proposal_id))
    zone.registry.decline_connection(who, proposal_id)

    assert zone.registry.proposal_count.get() == 0
    zone.refuses(
        registration.ProposalNotFound, lambda: zone.registry.decline_connection(who, proposal_id)
    )
    propose(zone)  # the metering point is free again


@pytest.mark.parametrize(
    ("error", "point", "bus", "capacities"),
    [
        (registration.BusNotFound, b"DE-7", 0, (4_000, 0)),
        (registration.BusNotFound, b"DE-7", 4, (4_000, 0)),
        (registration.CapacityOutOfRange, b"DE-7", 1, (0, 0)),
        (registration.CapacityOutOfRange, b"DE-7", 1, (2**26, 0)),
        (registration.CapacityOutOfRange, b"DE-7", 1, (0, 2**26)),
        (registration.MeteringPointInUse, b"1", 1, (4_000, 0)),
        (registration.MeteringPointInUse, b"", 1, (4_000, 0)),
    ],
)
def test_a_wrong_proposal_is_refused_by_name(
    zone: Zone, error: type[Any], point: bytes, bus: int, capacities: tuple[int, int]
) -> None:
    zone.refuses(error, lambda: zone.registry.propose_connection(A, point, bus, *capacities))


def test_a_proposed_metering_point_is_taken(zone: Zone) -> None:
    propose(zone, A)

    zone.refuses(registration.MeteringPointInUse, lambda: propose(zone, B))


def test_proposals_that_wait_are_bounded(zone: Zone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration, "PROPOSALS_MAX", 2)
    propose(zone, A, b"DE-1")
    first = propose(zone, A, b"DE-2")

    zone.refuses(registration.TooManyProposals, lambda: propose(zone, A, b"DE-3"))
    zone.registry.decline_connection(A, first)
    propose(zone, A, b"DE-3")
    zone.check()


@pytest.mark.parametrize("bound", ["CONNECTIONS_MAX", "CONNECTIONS_PER_ACCOUNT_MAX"])
def test_connections_are_bounded(zone: Zone, monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    monkeypatch.setattr(registration, bound, 1)
    proposal_id = propose(zone)

    zone.refuses(
        registration.TooManyConnections,
        lambda: zone.registry.confirm_connection(OPERATOR, proposal_id),
    )


def test_a_source_counts_once_it_is_countersigned(zone: Zone) -> None:
    source_id = propose_source(zone)
    assert zone.registry.registered(1).source_w == 0
    zone.registry.confirm_source(OPERATOR, source_id)

    assert zone.registry.registered(1).source_w == 5_000
    (source,) = zone.registry.list_sources(1)
    assert source == registration.Source(1, Technology.SOLAR, 5_000, DEVICE, SourceStatus.ACTIVE)
    zone.check()


def test_a_wrong_source_is_refused_by_name(zone: Zone) -> None:
    register = zone.registry
    solar = Technology.SOLAR
    propose_source(zone)

    zone.refuses(
        registration.ConnectionNotFound,
        lambda: register.propose_source(A, 9, solar, 1_000, bytes(32)),
    )
    zone.refuses(
        registration.NotOwner, lambda: register.propose_source(B, 1, solar, 1_000, bytes(32))
    )
    zone.refuses(registration.DeviceInUse, lambda: propose_source(zone))
    zone.refuses(registration.RatedPowerTooHigh, lambda: propose_source(zone, 20_001, bytes(32)))
    zone.refuses(registration.RatedPowerTooHigh, lambda: propose_source(zone, 0, bytes(32)))


def test_countersigning_a_source_is_checked(zone: Zone) -> None:
    first = propose_source(zone, 15_000)
    second = propose_source(zone, 15_000, bytes(32))
    confirm = zone.registry.confirm_source

    zone.refuses(registration.NotOperator, lambda: confirm(A, first))
    zone.refuses(registration.SourceNotFound, lambda: confirm(OPERATOR, second + 1))
    confirm(OPERATOR, first)
    zone.refuses(registration.SourceNotProposed, lambda: confirm(OPERATOR, first))
    zone.refuses(registration.RatedPowerTooHigh, lambda: confirm(OPERATOR, second))


@pytest.mark.parametrize("who", [A, OPERATOR])
def test_a_retired_source_frees_its_power_and_its_device(zone: Zone, who: bytes) -> None:
    source_id = propose_source(zone)
    zone.registry.confirm_source(OPERATOR, source_id)
    zone.refuses(registration.NotOwner, lambda: zone.registry.retire_source(STRANGER, source_id))
    zone.registry.retire_source(who, source_id)

    assert zone.registry.registered(1).source_w == 0
    assert zone.registry.list_sources(1) == []
    zone.refuses(registration.SourceNotFound, lambda: zone.registry.retire_source(who, source_id))
    zone.refuses(registration.SourceNotFound, lambda: zone.registry.retire_source(who, 99))
    propose_source(zone)
    zone.check()


def test_a_source_that_was_never_countersigned_can_be_retired(zone: Zone) -> None:
    zone.registry.retire_source(A, propose_source(zone))

    assert zone.registry.registered(1).source_w == 0
    zone.check()


def test_sources_behind_a_connection_are_bounded(
    zone: Zone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registration, "SOURCES_PER_CONNECTION_MAX", 1)
    propose_source(zone)

    zone.refuses(registration.TooManySources, lambda: propose_source(zone, 1_000, bytes(32)))


def made(connections: list[dict[str, Any]]) -> ProducerRegistration:
    """The pallet with connections from a genesis."""
    grid = grid_balancing.GridBalancing(grid_balancing.Config())
    registry = ProducerRegistration(registration.Config(grid))
    Assembly({20: registry, 23: grid}).bind(Overlay(MemoryBackend()))
    grid.genesis({"topology": LOSSLESS})
    accounts = {"operator": text_of(OPERATOR), "supplier": text_of(SUPPLIER)}
    registry.genesis(accounts | {"connections": connections})
    return registry


CONNECTION = {
    "id": 1,
    "account": text_of(A),
    "bus": 1,
    "import_wh_max": 4_000,
    "export_wh_max": 4_000,
}


def test_a_genesis_registers_connections_with_their_sources() -> None:
    sources = [{"technology": "solar", "rated_w": 9_000}, {"technology": "storage", "rated_w": 1}]
    registry = made([CONNECTION | {"sources": sources}])

    assert registry.supplier_account() == SUPPLIER
    assert registry.registered(0).account == SUPPLIER
    assert registry.registered(1).source_w == 9_001
    assert registry.metering_points[b"1"]
    registry.check_invariants()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": 2}, "id 2 in the genesis, expected 1"),
        ({"account": "0x1234"}, "2 bytes"),
        ({"bus": 9}, "connection 1: BusNotFound"),
        (
            {"sources": [{"technology": "solar", "rated_w": 16_001}]},
            "connection 1: RatedPowerTooHigh",
        ),
        ({"sources": [{"technology": "coal", "rated_w": 1}]}, "technology is 'coal'"),
    ],
)
def test_a_wrong_genesis_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made([CONNECTION | change])
