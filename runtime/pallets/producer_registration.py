"""ProducerRegistration: grid connections and the energy sources behind them.

Owners propose, the grid operator countersigns; a genesis may register connections directly and
passes the same checks. Connection 0 is the transformer: it belongs to the supplier of record, who
trades at bus 0 with it. Connections are numbered without gaps, so that a settlement can visit them
all by number.

Invariants: the metering points of registered connections, and the devices of sources, are unique;
the rated power of the sources of a connection does not exceed its export capacity.

Left out: certificates of equipment, changes of capacity, inspections, closing of connections.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from runtime import frame
from runtime.frame import (
    U32,
    AccountId,
    Blake2_128Concat,
    BusIndex,
    Compact,
    ConnectionId,
    EnergyWh,
    Hash,
    Identity,
    MaxLen,
    Pallet,
    PowerW,
    Signed,
    StorageMap,
    StorageValue,
    Struct,
    UnitEnum,
    api,
    call,
)
from runtime.frame.traits import Topology
from runtime.pallets.system import account_from_text
from runtime.primitives.hashing import blake2_256

SourceId = U32
MeteringPoint = Annotated[bytes, MaxLen(33)]
"""33 characters: the longest metering point code in use (Germany's)."""

TRANSFORMER: ConnectionId = 0
"""The connection of the supplier of record: the zone's side of the transformer."""

CONNECTIONS_MAX = 10_000  # every settlement visits each: up to a second of work
PROPOSALS_MAX = 256  # what an operator can be expected to look through
CONNECTIONS_PER_ACCOUNT_MAX = 64  # read as one list
SOURCES_PER_CONNECTION_MAX = 16  # read as one list
CAPACITY_WH_MAX = 2**26 - 1  # the largest order; 268 MW
QUARTERS_PER_HOUR = 4


class Technology(UnitEnum):
    """What a source makes electricity from."""

    SOLAR = 0
    WIND = 1
    HYDRO = 2
    BIOMASS = 3
    BIOGAS = 4
    GEOTHERMAL = 5
    TIDAL = 6
    RENEWABLE_CHP = 7
    STORAGE = 8
    VEHICLE_TO_GRID = 9


class SourceStatus(UnitEnum):
    """Where a source stands; further states of certification come between the first two."""

    SUBMITTED = 0
    ACTIVE = 1
    RETIRED = 2


class Connection(Struct):
    """A registered grid connection."""

    account: AccountId
    """Who trades with it, pays for it and is paid."""

    bus: BusIndex
    import_wh_max: EnergyWh
    """Most energy it can take in one interval."""

    export_wh_max: EnergyWh
    """Most energy it can give in one interval."""

    source_w: PowerW
    """Rated power of its active sources together."""


class ConnectionProposal(Struct):
    """A connection its owner asks for."""

    account: AccountId
    metering_point: MeteringPoint
    bus: BusIndex
    import_wh_max: EnergyWh
    export_wh_max: EnergyWh


class Source(Struct):
    """A physical unit that makes or stores electricity."""

    connection: ConnectionId
    technology: Technology
    rated_w: PowerW
    device: Hash
    """Hash of manufacturer and serial number: one unit is registered once."""

    status: SourceStatus


class ConnectionProposed(frame.Event, index=0):
    """An owner asks for a connection."""

    proposal_id: U32
    proposal: ConnectionProposal


class ConnectionDeclined(frame.Event, index=1):
    """A proposal was taken back by its owner or declined by the operator."""

    proposal_id: U32


class ConnectionRegistered(frame.Event, index=2):
    """The operator countersigned: the connection may trade and is settled from now on."""

    connection_id: ConnectionId
    connection: Connection


class SourceProposed(frame.Event, index=3):
    """An owner declares a source behind its connection."""

    source_id: SourceId
    source: Source


class SourceRegistered(frame.Event, index=4):
    """The operator countersigned the source."""

    source_id: SourceId


class SourceRetired(frame.Event, index=5):
    """The source is gone: its rated power and its device are free again."""

    source_id: SourceId


class NotOperator(frame.Error, index=0):
    """Only the grid operator countersigns."""


class NotOwner(frame.Error, index=1):
    """Only the owner of the connection, or the operator where it says so, may do this."""


class ConnectionNotFound(frame.Error, index=2):
    """No connection has this number."""


class ProposalNotFound(frame.Error, index=3):
    """No open proposal has this number: it was countersigned, declined or never made."""


class SourceNotFound(frame.Error, index=4):
    """No source has this number."""


class BusNotFound(frame.Error, index=5):
    """The grid has no such bus, or it is bus 0, which is the supplier's."""


class CapacityOutOfRange(frame.Error, index=6):
    """A capacity is above 2**26 - 1 Wh per interval, or both are zero."""


class MeteringPointInUse(frame.Error, index=7):
    """The metering point belongs to another connection or proposal, or is empty."""


class DeviceInUse(frame.Error, index=8):
    """The device is registered or proposed already."""


class RatedPowerTooHigh(frame.Error, index=9):
    """Zero, or more than the export capacity leaves beside the connection's other sources."""


class SourceNotProposed(frame.Error, index=10):
    """The source was countersigned already, or is retired."""


class TooManyProposals(frame.Error, index=11):
    """256 proposals wait for the operator; it has to answer some first."""


class TooManyConnections(frame.Error, index=12):
    """The zone, or the account, has as many connections as it can have."""


class TooManySources(frame.Error, index=13):
    """The connection has 16 sources; retire one first."""


class Config(frame.Config):
    topology: Topology
    """Says which buses there are."""


class ProducerRegistration(Pallet[Config]):
    operator: StorageValue[AccountId]
    """The grid operator: it countersigns, meters the transformer, and gets rents and fees."""

    supplier: StorageValue[AccountId]
    """The supplier of record: it serves what the market does not cover."""

    connection_count: StorageValue[U32]
    """Connections have the numbers below it."""

    connections: StorageMap[ConnectionId, Connection | None, Identity]
    """Registered connections. Identity hasher: the pallet gives out the numbers."""

    connections_of: StorageMap[
        AccountId, Annotated[tuple[ConnectionId, ...], MaxLen(64)], Blake2_128Concat
    ]
    """The connections of an account, in the order of registration."""

    metering_points: StorageMap[MeteringPoint, bool, Blake2_128Concat]
    """Metering points of connections and proposals, to keep them unique."""

    next_proposal_id: StorageValue[U32]
    proposal_count: StorageValue[U32]
    proposals: StorageMap[U32, ConnectionProposal | None, Identity]
    """Connections that wait for the operator."""

    next_source_id: StorageValue[SourceId]
    sources: StorageMap[SourceId, Source | None, Identity]
    sources_of: StorageMap[ConnectionId, Annotated[tuple[SourceId, ...], MaxLen(16)], Identity]
    """Proposed and active sources behind a connection."""

    devices: StorageMap[Hash, bool, Identity]
    """Devices of proposed and active sources. Identity hasher: the keys are hashes."""

    def genesis(self, config: Mapping[str, Any]) -> None:
        """`operator`, `supplier`: accounts. `transformer_wh_max`: capacity of connection 0 (default
        2**26 - 1). `connections`: objects `id` (1, 2, ... in order), `account`, `bus`,
        `import_wh_max`, `export_wh_max`, optionally `metering_point` (text, default the id) and
        `sources`: objects `technology` (as in `Technology`, lower case), `rated_w`, optionally
        `device` (text, default from metering point and position).
        """
        self.operator.set(account_from_text(config["operator"]))
        self.supplier.set(account_from_text(config["supplier"]))
        capacity = config.get("transformer_wh_max", CAPACITY_WH_MAX)
        self.add_connection(Connection(self.supplier.get(), 0, capacity, capacity, 0))
        for entry in config.get("connections", []):
            self.genesis_connection(entry)

    def genesis_connection(self, entry: Mapping[str, Any]) -> None:
        """Register one connection and its sources, with the checks of the calls."""
        if entry["id"] != self.connection_count.get():
            expected = self.connection_count.get()
            raise ValueError(f"connection id {entry['id']} in the genesis, expected {expected}")
        point = str(entry.get("metering_point", entry["id"])).encode()
        proposal = ConnectionProposal(
            account_from_text(entry["account"]),
            point,
            entry["bus"],
            entry["import_wh_max"],
            entry["export_wh_max"],
        )
        try:
            self.check_proposal(proposal)
            self.metering_points[point] = True
            connection_id = self.register(proposal)
            for position, unit in enumerate(entry.get("sources", [])):
                device = unit.get("device", f"{point.decode()}/{position}")
                source_id = self.add_source(
                    connection_id,
                    technology_of(unit["technology"]),
                    unit["rated_w"],
                    blake2_256(str(device).encode()),
                )
                self.activate(source_id)
        except frame.DispatchError as error:
            name = type(error).__name__
            raise ValueError(f"connection {entry['id']}: {name}. {error.__doc__}") from error

    @call(0, weight=150_000_000)
    def propose_connection(
        self,
        who: Signed,
        metering_point: MeteringPoint,
        bus: Compact[BusIndex],
        import_wh_max: Compact[EnergyWh],
        export_wh_max: Compact[EnergyWh],
    ) -> None:
        """Ask for a connection at `bus`. The operator has to countersign it.

        Emits `ConnectionProposed`. Fails with `BusNotFound`, `CapacityOutOfRange`,
        `MeteringPointInUse` or `TooManyProposals`.
        """
        proposal = ConnectionProposal(who, metering_point, bus, import_wh_max, export_wh_max)
        self.check_proposal(proposal)
        waiting = self.proposal_count.get()
        if waiting >= PROPOSALS_MAX:
            raise TooManyProposals
        proposal_id = self.next_proposal_id.get()

        self.metering_points[metering_point] = True
        self.proposals[proposal_id] = proposal
        self.next_proposal_id.set(proposal_id + 1)
        self.proposal_count.set(waiting + 1)
        self.deposit_event(ConnectionProposed(proposal_id, proposal))

    @call(1, weight=200_000_000)
    def confirm_connection(self, who: Signed, proposal_id: Compact[U32]) -> None:
        """Countersign a connection, as the operator.

        Emits `ConnectionRegistered`. Fails with `NotOperator`, `ProposalNotFound` or
        `TooManyConnections`.
        """
        self.check_operator(who)
        proposal = self.take_proposal(proposal_id)
        connection_id = self.register(proposal)

        connection = self.connection(connection_id)
        assert connection is not None, "it was just registered"
        self.deposit_event(ConnectionRegistered(connection_id, connection))

    @call(2, weight=100_000_000)
    def decline_connection(self, who: Signed, proposal_id: Compact[U32]) -> None:
        """Take back one's own proposal, or decline one as the operator.

        Emits `ConnectionDeclined`. Fails with `ProposalNotFound` or `NotOwner`.
        """
        proposal = self.take_proposal(proposal_id)
        if who not in (proposal.account, self.operator.get()):
            raise NotOwner

        del self.metering_points[proposal.metering_point]
        self.deposit_event(ConnectionDeclined(proposal_id))

    @call(3, weight=150_000_000)
    def propose_source(
        self,
        who: Signed,
        connection: Compact[ConnectionId],
        technology: Technology,
        rated_w: Compact[PowerW],
        device: Hash,
    ) -> None:
        """Declare a source behind one's connection. The operator has to countersign it.

        Emits `SourceProposed`. Fails with `ConnectionNotFound`, `NotOwner`, `DeviceInUse`,
        `RatedPowerTooHigh` or `TooManySources`.
        """
        if self.registered(connection).account != who:
            raise NotOwner
        source_id = self.add_source(connection, technology, rated_w, device)

        self.deposit_event(SourceProposed(source_id, self.source(source_id)))

    @call(4, weight=150_000_000)
    def confirm_source(self, who: Signed, source_id: Compact[SourceId]) -> None:
        """Countersign a source, as the operator.

        Emits `SourceRegistered`. Fails with `NotOperator`, `SourceNotFound`, `SourceNotProposed`
        or `RatedPowerTooHigh` (others were countersigned in the meantime).
        """
        self.check_operator(who)
        self.activate(source_id)

        self.deposit_event(SourceRegistered(source_id))

    @call(5, weight=150_000_000)
    def retire_source(self, who: Signed, source_id: Compact[SourceId]) -> None:
        """Take a source away, as the owner of its connection or as the operator.

        Emits `SourceRetired`. Fails with `SourceNotFound` (also for a retired one) or `NotOwner`.
        """
        source = self.source(source_id)
        if source.status == SourceStatus.RETIRED:
            raise SourceNotFound
        connection = self.registered(source.connection)
        if who not in (connection.account, self.operator.get()):
            raise NotOwner

        if source.status == SourceStatus.ACTIVE:
            self.set_source_power(source.connection, connection.source_w - source.rated_w)
        others = self.sources_of[source.connection]
        self.sources_of[source.connection] = tuple(each for each in others if each != source_id)
        self.sources[source_id] = with_status(source, SourceStatus.RETIRED)
        del self.devices[source.device]
        self.deposit_event(SourceRetired(source_id))

    @api("ProducerRegistration_connections")
    def list_connections(self) -> list[Connection]:
        """All connections; the position is the number, 0 the transformer."""
        return [self.registered(number) for number in range(self.connection_count.get())]

    @api("ProducerRegistration_sources")
    def list_sources(self, connection: ConnectionId) -> list[Source]:
        """Proposed and active sources behind a connection."""
        return [self.source(source_id) for source_id in self.sources_of[connection]]

    def check_invariants(self) -> None:
        """The sums of rated power agree and fit the capacities."""
        assert self.proposal_count.get() == len(list(self.proposals.keys())), "proposal count"
        for number in range(self.connection_count.get()):
            connection = self.registered(number)
            sources = self.list_sources(number)
            rated = sum(s.rated_w for s in sources if s.status == SourceStatus.ACTIVE)
            assert rated == connection.source_w, f"rated power of connection {number}"
            assert rated <= export_capacity_w(connection), f"capacity of connection {number}"

    # What other pallets ask.

    def count(self) -> int:
        """Connections have the numbers below it."""
        return self.connection_count.get()

    def operator_account(self) -> AccountId:
        """The grid operator."""
        return self.operator.get()

    def supplier_account(self) -> AccountId:
        """The supplier of record."""
        return self.supplier.get()

    def connection(self, number: int) -> Connection | None:
        """A connection by its number."""
        return self.connections[number]

    def source_power(self, number: int) -> dict[Technology, int]:
        """Rated power of the active sources of a connection, by technology."""
        power: dict[Technology, int] = {}
        for source in self.list_sources(number):
            if source.status == SourceStatus.ACTIVE:
                technology = Technology(source.technology)
                power[technology] = power.get(technology, 0) + source.rated_w
        return power

    def registered(self, number: int) -> Connection:
        """A connection that has to be there."""
        connection = self.connections[number]
        if connection is None:
            raise ConnectionNotFound
        return connection

    def appoint_operator(self, who: AccountId) -> None:
        """Make another account the grid operator; what waits is now its to countersign."""
        self.operator.set(who)

    def check_operator(self, who: AccountId) -> None:
        """Refuse everyone but the grid operator."""
        if who != self.operator.get():
            raise NotOperator

    # Functions of the calls.

    def check_proposal(self, proposal: ConnectionProposal) -> None:
        """Refuse a connection that could not be registered."""
        if proposal.bus == 0 or not self.config.topology.has_bus(proposal.bus):
            raise BusNotFound
        capacities = (proposal.import_wh_max, proposal.export_wh_max)
        if not 0 <= min(capacities) <= max(capacities) <= CAPACITY_WH_MAX or not any(capacities):
            raise CapacityOutOfRange
        if not proposal.metering_point or self.metering_points[proposal.metering_point]:
            raise MeteringPointInUse

    def take_proposal(self, proposal_id: int) -> ConnectionProposal:
        """Remove a proposal from those that wait."""
        proposal = self.proposals[proposal_id]
        if proposal is None:
            raise ProposalNotFound
        del self.proposals[proposal_id]
        self.proposal_count.set(self.proposal_count.get() - 1)
        return proposal

    def register(self, proposal: ConnectionProposal) -> ConnectionId:
        """Give a checked proposal the next number."""
        return self.add_connection(
            Connection(
                proposal.account, proposal.bus, proposal.import_wh_max, proposal.export_wh_max, 0
            )
        )

    def add_connection(self, connection: Connection) -> ConnectionId:
        """Store a connection under the next number."""
        number = self.connection_count.get()
        own = self.connections_of[connection.account]
        if number >= CONNECTIONS_MAX or len(own) >= CONNECTIONS_PER_ACCOUNT_MAX:
            raise TooManyConnections
        self.connections[number] = connection
        self.connections_of[connection.account] = (*own, number)
        self.connection_count.set(number + 1)
        return number

    def source(self, source_id: int) -> Source:
        """A source that has to be there."""
        source = self.sources[source_id]
        if source is None:
            raise SourceNotFound
        return source

    def add_source(
        self, connection_id: int, technology: Technology, rated_w: int, device: bytes
    ) -> SourceId:
        """Store a submitted source; its power counts once it is active."""
        own = self.sources_of[connection_id]
        if len(own) >= SOURCES_PER_CONNECTION_MAX:
            raise TooManySources
        if self.devices[device]:
            raise DeviceInUse
        self.check_power(self.registered(connection_id), rated_w)
        source_id = self.next_source_id.get()
        self.sources[source_id] = Source(
            connection_id, technology, rated_w, device, SourceStatus.SUBMITTED
        )
        self.sources_of[connection_id] = (*own, source_id)
        self.devices[device] = True
        self.next_source_id.set(source_id + 1)
        return source_id

    def activate(self, source_id: int) -> None:
        """Let a submitted source count."""
        source = self.source(source_id)
        if source.status != SourceStatus.SUBMITTED:
            raise SourceNotProposed
        connection = self.registered(source.connection)
        self.check_power(connection, source.rated_w)
        self.set_source_power(source.connection, connection.source_w + source.rated_w)
        self.sources[source_id] = with_status(source, SourceStatus.ACTIVE)

    def check_power(self, connection: Connection, rated_w: int) -> None:
        """Refuse a source that the connection cannot carry beside its active ones."""
        if not 0 < rated_w <= export_capacity_w(connection) - connection.source_w:
            raise RatedPowerTooHigh

    def set_source_power(self, number: int, source_w: int) -> None:
        """Store a connection with another sum of rated power."""
        old = self.registered(number)
        self.connections[number] = Connection(
            old.account, old.bus, old.import_wh_max, old.export_wh_max, source_w
        )


def export_capacity_w(connection: Connection) -> PowerW:
    """Power at which the export capacity is reached in one interval."""
    return connection.export_wh_max * QUARTERS_PER_HOUR


def with_status(source: Source, status: SourceStatus) -> Source:
    """The same source in another state."""
    return Source(source.connection, source.technology, source.rated_w, source.device, status)


def technology_of(name: str) -> Technology:
    """A technology as a genesis writes it: its name in lower case."""
    names = [technology.name.lower() for technology in Technology]
    if name not in names:
        raise ValueError(f"technology is {name!r}, expected one of {names}")
    return Technology(names.index(name))
