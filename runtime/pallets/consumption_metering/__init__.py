"""ConsumptionMetering: meters, their readings, and what stands in for missing ones.

A meter is an account of its own, bound to a connection by the owner and the operator. After each
market interval it reports both registers and the interval's energies; a reading is accepted when
it passes the checks below, in this order:

1. the signer is a bound meter, and the interval is later than the last one it reported;
2. the interval is over, and its settlement is not due yet;
3. no register ran backwards, and each moved by the interval's energy within 1 Wh (more if readings
   before it are missing, but no more than the connection can carry);
4. nothing is negative (by type);
5. the energies fit the connection.

The transformer (connection 0) is metered by the operator in the same way.

Invariants: accepted intervals of a meter rise; over any stretch of time the registers moved by what
was accepted or estimated plus the recorded differences.

What an interval was settled with is kept until the settlement is final, and until then the operator
may correct it, with a reason; the value before is kept. Corrected intervals are settled again.

Left out: the rules that only mark a reading as suspect (spikes, runs of zeros, high-low).
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from msgspec.structs import replace

from runtime.frame import (
    U16,
    AccountId,
    Blake2_128Concat,
    Compact,
    ConnectionId,
    EnergyWh,
    Identity,
    IntervalIndex,
    MaxLen,
    Pallet,
    Pays,
    Signed,
    StorageMap,
    StorageValue,
    api,
    call,
)
from runtime.pallets.consumption_metering.config import Config
from runtime.pallets.consumption_metering.errors import (
    ConnectionNotSettled,
    IntervalNotProvisional,
    MeterInUse,
    MeterProposalNotFound,
    NotConnectionOwner,
    NothingToCorrect,
    ReadingAboveCapacity,
    ReadingExists,
    ReadingOutOfSequence,
    ReadingTooEarly,
    ReadingTooLate,
    ReasonMissing,
    RegisterBackwards,
    RegisterMismatch,
    TooManyCorrections,
    TooManyReadings,
    UnknownMeter,
)
from runtime.pallets.consumption_metering.estimation import Shares, estimate, with_day
from runtime.pallets.consumption_metering.events import (
    GapClosed,
    MeterBound,
    MeterProposed,
    ReadingAccepted,
    ReadingCorrected,
)
from runtime.pallets.consumption_metering.records import (
    NO_DAYS,
    NOTHING,
    READINGS_KEPT_MAX,
    REASON_BYTES_MAX,
    Correction,
    Meter,
    Metered,
    MeterProposal,
    Method,
    Reading,
    SlotHistory,
)
from runtime.pallets.producer_registration import (
    CONNECTIONS_MAX,
    TRANSFORMER,
    Connection,
)
from runtime.pallets.system import account_from_text

READING_INTERVALS = 3
"""A reading of interval k is accepted until interval k + 3 starts; then k is settled."""

REGISTER_TOLERANCE_WH = 1  # registers round down on their own
SLOTS_PER_DAY = 96
DAYS_PER_WEEK = 7
WORKING_DAYS = 5
PROVISIONAL_MAX = 2_048  # settlements that can wait to be final: the window, and outages' remains
CORRECTIONS_PER_INTERVAL_MAX = 256  # read as one list


class ConsumptionMetering(Pallet[Config]):
    meters: StorageMap[ConnectionId, Meter | None, Identity]
    """The meter of each connection. Identity hasher: connections are numbered by the chain."""

    connection_of: StorageMap[AccountId, ConnectionId | None, Blake2_128Concat]
    """The connection of each bound meter."""

    proposals: StorageMap[ConnectionId, MeterProposal | None, Identity]
    """Meters that wait for the operator; a later proposal replaces an earlier one."""

    settled_through: StorageValue[IntervalIndex]
    """The latest settled interval."""

    same_slot: StorageMap[
        U16, Annotated[tuple[SlotHistory, ...], MaxLen(CONNECTIONS_MAX)], Identity
    ]
    """Per quarter hour of working days (0-95) and weekends (96-191): history by connection."""

    provisional: StorageMap[
        IntervalIndex, Annotated[tuple[Metered, ...], MaxLen(CONNECTIONS_MAX)] | None, Identity
    ]
    """What settled intervals were settled with, by connection, until they are final."""

    corrections: StorageMap[
        IntervalIndex,
        Annotated[tuple[Correction, ...], MaxLen(CORRECTIONS_PER_INTERVAL_MAX)],
        Identity,
    ]
    """What the operator corrected of an interval, in that order, as long as it is remembered."""

    corrected: StorageValue[Annotated[tuple[IntervalIndex, ...], MaxLen(PROVISIONAL_MAX)]]
    """Intervals to settle again, in the order of their first correction."""

    def genesis(self, config: Mapping[str, Any]) -> None:
        """`operator_meter`: account that meters the transformer. `meters`: objects `connection`,
        `account`, optionally `import_register_wh` and `export_register_wh` (default 0).
        """
        if "operator_meter" in config:
            self.genesis_meter(TRANSFORMER, {"account": config["operator_meter"]})
        for entry in config.get("meters", []):
            if self.config.registry.connection(entry["connection"]) is None:
                raise ValueError(f"meter of connection {entry['connection']}, which is not there")
            self.genesis_meter(entry["connection"], entry)

    def genesis_meter(self, connection: int, entry: Mapping[str, Any]) -> None:
        """Bind one meter, with the check of the calls."""
        account = account_from_text(entry["account"])
        registers = (entry.get("import_register_wh", 0), entry.get("export_register_wh", 0))
        if self.connection_of[account] is not None:
            raise ValueError(f"meter {entry['account']} is bound twice")
        self.bind_meter(connection, MeterProposal(account, *registers))

    @call(0, weight=100_000_000)
    def propose_meter(
        self,
        who: Signed,
        connection: Compact[ConnectionId],
        meter: AccountId,
        import_register_wh: Compact[EnergyWh],
        export_register_wh: Compact[EnergyWh],
    ) -> None:
        """Name the account that will report for one's connection, with what its registers show.

        Emits `MeterProposed`. Fails with `NotConnectionOwner` or `MeterInUse`.
        """
        if who != self.owner_of_meter(connection):
            raise NotConnectionOwner
        if self.connection_of[meter] is not None:
            raise MeterInUse
        proposal = MeterProposal(meter, import_register_wh, export_register_wh)

        self.proposals[connection] = proposal
        self.deposit_event(MeterProposed(connection, proposal))

    @call(1, weight=100_000_000)
    def confirm_meter(self, who: Signed, connection: Compact[ConnectionId]) -> None:
        """Bind the proposed meter, as the operator. It replaces the one before.

        Emits `MeterBound`. Fails with the registry's `NotOperator`, `MeterProposalNotFound` or
        `MeterInUse`.
        """
        self.config.registry.check_operator(who)
        proposal = self.proposals[connection]
        if proposal is None:
            raise MeterProposalNotFound

        del self.proposals[connection]
        self.bind_meter(connection, proposal)
        self.deposit_event(MeterBound(connection, proposal.account))

    @call(2, weight=100_000_000, feeless=True)
    def submit_reading(
        self,
        who: Signed,
        interval: Compact[IntervalIndex],
        import_register_wh: Compact[EnergyWh],
        export_register_wh: Compact[EnergyWh],
        import_wh: Compact[EnergyWh],
        export_wh: Compact[EnergyWh],
    ) -> Pays:
        """Report an interval: both registers at its end and its energies. Signed by the meter.

        Free when it is accepted: a meter has one accepted reading per interval. Emits
        `ReadingAccepted`. Fails, in this order, with `UnknownMeter`, `ReadingExists`,
        `ReadingOutOfSequence`, `ReadingTooEarly`, `ReadingTooLate`, `RegisterBackwards`,
        `RegisterMismatch`, `ReadingAboveCapacity`, `TooManyReadings`.
        """
        connection = self.connection_of[who]
        meter = None if connection is None else self.meters[connection]
        if connection is None or meter is None:
            raise UnknownMeter
        self.check_sequence(meter, interval)
        self.check_window(interval)
        import_gap = register_gap(meter.import_register_wh, import_register_wh, import_wh)
        export_gap = register_gap(meter.export_register_wh, export_register_wh, export_wh)
        self.check_gaps(connection, meter, interval, import_gap, export_gap)
        self.check_capacity(connection, import_wh, export_wh)
        follows = interval if meter.is_fresh else meter.last_interval
        reading = Reading(interval, import_wh, export_wh, follows, import_gap, export_gap)

        self.meters[connection] = replace(
            meter,
            import_register_wh=import_register_wh,
            export_register_wh=export_register_wh,
            last_interval=interval,
            is_fresh=False,
            readings=self.with_reading(meter.readings, reading),
        )
        self.deposit_event(ReadingAccepted(connection, interval, import_wh, export_wh))
        return Pays.NO

    @call(3, weight=150_000_000)
    def correct_reading(
        self,
        who: Signed,
        connection: Compact[ConnectionId],
        interval: Compact[IntervalIndex],
        import_wh: Compact[EnergyWh],
        export_wh: Compact[EnergyWh],
        reason: Annotated[str, MaxLen(REASON_BYTES_MAX)],
    ) -> None:
        """Replace what a connection was settled with in an interval, as the operator, until the
        settlement is final. Confirms an estimate when the energies are the same.

        Emits `ReadingCorrected`. Fails with the registry's `NotOperator`, `ReasonMissing`,
        `IntervalNotProvisional`, `ConnectionNotSettled`, `ReadingAboveCapacity`,
        `NothingToCorrect` or `TooManyCorrections`.
        """
        self.config.registry.check_operator(who)
        if not reason:
            raise ReasonMissing
        self.correct(connection, interval, Metered(import_wh, export_wh, Method.EDITED), reason)

    @api("ConsumptionMetering_corrections")
    def list_corrections(self, interval: IntervalIndex) -> list[Correction]:
        """What the operator corrected of an interval, in that order."""
        return list(self.corrections[interval])

    @api("ConsumptionMetering_meters")
    def list_meters(self) -> list[Meter | None]:
        """The meter of each connection, by its number."""
        return [self.meters[number] for number in range(self.config.registry.count())]

    # Checks of a reading.

    def check_sequence(self, meter: Meter, interval: int) -> None:
        """Refuse an interval the meter has passed."""
        if interval == meter.last_interval:
            raise ReadingExists
        if interval < meter.last_interval:
            raise ReadingOutOfSequence

    def check_window(self, interval: int) -> None:
        """Refuse an interval that is not over, whose settlement is due, or before the chain."""
        now_ms, length_ms = self.config.clock.now(), self.config.market_interval_ms
        if now_ms < (interval + 1) * length_ms:
            raise ReadingTooEarly
        is_due = now_ms >= (interval + READING_INTERVALS) * length_ms
        if is_due or interval < self.config.genesis_interval:
            raise ReadingTooLate

    def check_gaps(
        self, number: int, meter: Meter, interval: int, import_gap: int, export_gap: int
    ) -> None:
        """Refuse registers that do not fit the interval. Across missing readings they may gain, but
        no more than the connection can carry.
        """
        before = self.config.genesis_interval - 1 if meter.is_fresh else meter.last_interval
        missing = max(0, interval - before - 1)
        connection = self.registered(number)
        for gap, capacity_wh in (
            (import_gap, connection.import_wh_max),
            (export_gap, connection.export_wh_max),
        ):
            if not -REGISTER_TOLERANCE_WH <= gap <= missing * capacity_wh + REGISTER_TOLERANCE_WH:
                raise RegisterMismatch

    def check_capacity(self, number: int, import_wh: int, export_wh: int) -> None:
        """Refuse more energy than the connection can carry."""
        connection = self.registered(number)
        if import_wh > connection.import_wh_max or export_wh > connection.export_wh_max:
            raise ReadingAboveCapacity

    def with_reading(self, readings: tuple[Reading, ...], new: Reading) -> tuple[Reading, ...]:
        """The readings to keep: those not settled, behind the latest settled one, and `new`."""
        settled = self.settled_through.get()
        first = 0
        while first + 1 < len(readings) and readings[first + 1].interval <= settled:
            first += 1
        if len(readings) - first >= READINGS_KEPT_MAX:
            raise TooManyReadings
        return (*readings[first:], new)

    # Binding.

    def owner_of_meter(self, connection: int) -> AccountId | None:
        """Who names the meter of a connection; None if there is no such connection."""
        if connection == TRANSFORMER:
            return self.config.registry.operator_account()
        registered = self.config.registry.connection(connection)
        return None if registered is None else registered.account

    def bind_meter(self, connection: int, proposal: MeterProposal) -> None:
        """Let a meter report for a connection from now on."""
        if self.connection_of[proposal.account] is not None:
            raise MeterInUse
        registers = (proposal.import_register_wh, proposal.export_register_wh)
        old = self.meters[connection]
        if old is None:
            meter = Meter(proposal.account, *registers, 0, True, 0, 0, 0, 0, ())
        else:
            del self.connection_of[old.account]
            meter = replace(
                old,
                account=proposal.account,
                import_register_wh=registers[0],
                export_register_wh=registers[1],
                is_fresh=True,
            )
        self.meters[connection] = meter
        self.connection_of[proposal.account] = connection

    # Settlement.

    def has_reading(self, connection: int, interval: int) -> bool:
        """Whether a reading of an interval that is not settled was accepted."""
        meter = self.meters[connection]
        is_open = interval > self.settled_through.get()
        return meter is not None and is_open and reading_of(meter, interval) is not None

    def close_interval(self, interval: int, booked_loss_wh: int) -> list[Metered]:
        """What each connection, by its number, is settled with; missing readings are estimated.

        Intervals have to come in rising order, each once.
        """
        slot = self.slot_of(interval)
        count = self.config.registry.count()
        history = list(self.same_slot[slot])
        history += [NO_DAYS] * (count - len(history))
        metered = [NOTHING] * count
        unknown: list[int] = []
        shares = Shares()
        for number in range(1, count):
            connection = self.registered(number)
            energy = self.close_meter(number, connection, interval, history[number])
            if energy is None:
                unknown.append(number)
                continue
            metered[number] = energy
            if energy.method == Method.METERED:
                history[number] = with_day(history[number], energy)
                shares.add(connection, energy)
        for number in unknown:
            energy = shares.share_of(self.registered(number))
            metered[number] = energy
            self.note_estimate(number, energy)
        metered[TRANSFORMER] = self.close_transformer(interval, metered, booked_loss_wh)
        self.same_slot[slot] = tuple(history)
        self.settled_through.set(interval)
        self.provisional[interval] = tuple(metered)
        return metered

    def close_transformer(
        self, interval: int, metered: list[Metered], booked_loss_wh: int
    ) -> Metered:
        """The transformer's reading; if it is missing, what balances the zone."""
        meter = self.meters[TRANSFORMER]
        if meter is not None:
            reading = reading_of(meter, interval)
            if reading is not None:
                self.close_gap(TRANSFORMER, meter, reading)
                return Metered(reading.import_wh, reading.export_wh, Method.METERED)
        energy = balance_of(metered, booked_loss_wh)
        if meter is not None:
            self.note_estimate(TRANSFORMER, energy)
        return energy

    def close_meter(
        self, number: int, connection: Connection, interval: int, history: SlotHistory
    ) -> Metered | None:
        """The reading of a connection for an interval, or its estimate; None: nothing is known."""
        meter = self.meters[number]
        if meter is None:
            return NOTHING
        reading = reading_of(meter, interval)
        if reading is not None:
            self.close_gap(number, meter, reading)
            return Metered(reading.import_wh, reading.export_wh, Method.METERED)
        energy = estimate(meter, interval, history)
        if energy is None:
            return None
        capped = Metered(
            min(energy.import_wh, connection.import_wh_max),
            min(energy.export_wh, connection.export_wh_max),
            energy.method,
        )
        self.note_estimate(number, capped)
        return capped

    def note_estimate(self, number: int, energy: Metered) -> None:
        """Remember what was settled without a reading, until a register tells the truth."""
        meter = self.meters[number]
        assert meter is not None, "only bound meters are estimated"
        self.meters[number] = replace(
            meter,
            estimated_import_wh=meter.estimated_import_wh + energy.import_wh,
            estimated_export_wh=meter.estimated_export_wh + energy.export_wh,
        )

    def registered(self, number: int) -> Connection:
        """A connection below the count."""
        connection = self.config.registry.connection(number)
        assert connection is not None, "connections are numbered without gaps"
        return connection

    def close_gap(self, number: int, meter: Meter, reading: Reading) -> None:
        """Record what the registers counted beyond what was settled, up to a reading."""
        estimated = (meter.estimated_import_wh, meter.estimated_export_wh)
        import_wh, export_wh = reading.gap_import_wh, reading.gap_export_wh
        if reading.follows == reading.interval:
            import_wh, export_wh = estimated  # an exchanged meter does not know
        import_wh -= estimated[0]
        export_wh -= estimated[1]
        if not (import_wh or export_wh or any(estimated)):
            return
        self.meters[number] = replace(
            meter,
            estimated_import_wh=0,
            estimated_export_wh=0,
            difference_import_wh=meter.difference_import_wh + import_wh,
            difference_export_wh=meter.difference_export_wh + export_wh,
        )
        if reading.interval - reading.follows > 1:
            self.deposit_event(GapClosed(number, reading.interval, import_wh, export_wh))

    # Corrections.

    def correct(self, number: int, interval: int, energy: Metered, reason: str) -> None:
        """Keep a correction, and what stood there before."""
        metered = self.provisional[interval]
        if metered is None:
            raise IntervalNotProvisional
        if number >= len(metered):
            raise ConnectionNotSettled
        self.check_capacity(number, energy.import_wh, energy.export_wh)
        before = metered[number]
        is_known = before.method in (Method.METERED, Method.EDITED)
        energies = (energy.import_wh, energy.export_wh)
        if is_known and (before.import_wh, before.export_wh) == energies:
            raise NothingToCorrect
        earlier = self.corrections[interval]
        if len(earlier) >= CORRECTIONS_PER_INTERVAL_MAX:
            raise TooManyCorrections
        correction = Correction(number, before, *energies, reason, self.config.clock.now())

        self.provisional[interval] = (*metered[:number], energy, *metered[number + 1 :])
        self.corrections[interval] = (*earlier, correction)
        self.note_difference(number, before, energy)
        waiting = self.corrected.get()
        if interval not in waiting:
            self.corrected.set((*waiting, interval))
        self.deposit_event(ReadingCorrected(interval, correction))

    def note_difference(self, number: int, before: Metered, after: Metered) -> None:
        """What a correction adds to settled energy, the registers have not counted beyond it."""
        meter = self.meters[number]
        if meter is not None:
            self.meters[number] = replace(
                meter,
                difference_import_wh=meter.difference_import_wh
                + before.import_wh
                - after.import_wh,
                difference_export_wh=meter.difference_export_wh
                + before.export_wh
                - after.export_wh,
            )

    def take_corrected(self, count: int) -> list[int]:
        """Up to `count` intervals that have to be settled again; they wait no longer."""
        waiting = self.corrected.get()
        if count > 0 and waiting:
            self.corrected.set(waiting[count:])
        return list(waiting[:count])

    def is_corrected(self, interval: int) -> bool:
        """Whether an interval waits to be settled again."""
        return interval in self.corrected.get()

    def energies_of(self, interval: int, booked_loss_wh: int) -> list[Metered]:
        """What an interval that is not final is settled with, by connection.

        A transformer that was not metered follows the corrections of the others.
        """
        metered = self.provisional[interval]
        assert metered is not None, "only provisional settlements are made again"
        if metered[TRANSFORMER].method == Method.BALANCE:
            metered = (balance_of(metered, booked_loss_wh), *metered[1:])
            self.provisional[interval] = metered
        return list(metered)

    def make_final(self, interval: int) -> None:
        """Take no more corrections of an interval."""
        del self.provisional[interval]

    def forget(self, interval: int) -> None:
        """Drop what is older than the history."""
        del self.corrections[interval]

    def slot_of(self, interval: int) -> int:
        """Quarter hour of the day type: 0-95 for working days, 96-191 for weekends."""
        day, slot = divmod(interval - self.config.genesis_interval, SLOTS_PER_DAY)
        return slot if day % DAYS_PER_WEEK < WORKING_DAYS else SLOTS_PER_DAY + slot


def balance_of(metered: Sequence[Metered], booked_loss_wh: int) -> Metered:
    """What a transformer that nobody metered passed on: what connections and losses leave."""
    net_wh = booked_loss_wh + sum(m.import_wh - m.export_wh for m in metered[TRANSFORMER + 1 :])
    return Metered(max(net_wh, 0), max(-net_wh, 0), Method.BALANCE)


def reading_of(meter: Meter, interval: int) -> Reading | None:
    """The accepted reading of an interval."""
    for reading in meter.readings:
        if reading.interval == interval:
            return reading
    return None


def register_gap(before_wh: int, after_wh: int, energy_wh: int) -> int:
    """What a register moved beyond an interval's energy."""
    if after_wh < before_wh:
        raise RegisterBackwards
    return after_wh - before_wh - energy_wh
