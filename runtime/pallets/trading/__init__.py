"""Trading: orders for market intervals, their clearing, and the settlement of what was metered.

An order belongs to a connection and an interval, and rests until it is filled, cancelled, or the
gate passes. Calls of the auction fill orders at one price per bus (`clearing.py`); fills are firm
and leave the connection with energy rights, to take and to deliver. After delivery the interval is
settled against the meters (`accounting.py`), and all collateral is given back; what nobody traded,
members of the pool share (`pool.py`). Before all of that, contracts between two connections
(`contracts.py`) reserve capacity when an interval opens (`opening.py`) and are delivered first.

Invariants, checked by `check_invariants`: what this pallet keeps aside of an account is the sum of
its holdings' collateral, each exactly what `hold_of` says; payables of an interval sum to its rent
and sold less bought energy to its booked loss, at every bus; the house is empty; a settlement
creates no money and no energy, also when it is made again after corrections (`finality.py`). What
is final is proved by the root of its day (`history.py`). Orders over several intervals are accepted
whole (`coupled.py`). Sealed ones can be read by nobody before the gate is near (`sealed.py`).

Rules and reasons: docs/market.md and docs/settlement.md.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from runtime.frame import (
    U32,
    AccountId,
    Blake2_128Concat,
    Compact,
    ConnectionId,
    Identity,
    IntervalIndex,
    MaxLen,
    Pallet,
    PricePerKwh,
    Signed,
    SignedBalance,
    StorageDoubleMap,
    StorageMap,
    StorageValue,
    api,
    call,
)
from runtime.pallets.consumption_metering.records import Metered, Method, Status
from runtime.pallets.grid_balancing import BUSES_MAX
from runtime.pallets.producer_registration import CONNECTIONS_MAX, TRANSFORMER, Connection
from runtime.pallets.trading.accounting import (
    SETTLEMENT_INTERVALS,
    note_time,
    settle_due,
    settlements_fitting,
)
from runtime.pallets.trading.audit import Audit
from runtime.pallets.trading.clearing import run_calls
from runtime.pallets.trading.config import Config
from runtime.pallets.trading.contract_records import (
    CONTRACTS_MAX,
    Contract,
    ContractEntry,
    ContractId,
    ContractProposal,
    ContractTerms,
    IntervalDeal,
    IntervalDeals,
)
from runtime.pallets.trading.contracts import countersign, propose, terminate, withdraw
from runtime.pallets.trading.coupled import Coupled
from runtime.pallets.trading.deals import SLOTS_PER_DAY
from runtime.pallets.trading.decisions import MarketDecision, carry_out, check_decision
from runtime.pallets.trading.finality import make_final, settle_corrected
from runtime.pallets.trading.fund import LiquidityFund, genesis_fund
from runtime.pallets.trading.fund_shares import FundShares, genesis_shares, pay_redemptions
from runtime.pallets.trading.genesis import genesis_contract
from runtime.pallets.trading.history import History
from runtime.pallets.trading.invariants import check_market
from runtime.pallets.trading.kept_books import KeptBooks
from runtime.pallets.trading.membership import MEMBER_FROM_THE_BEGINNING, choose
from runtime.pallets.trading.opening import open_intervals
from runtime.pallets.trading.order_calls import OrderCalls
from runtime.pallets.trading.parameters import Parameters, zone_prices_at
from runtime.pallets.trading.price_parts import LocationalPrices, PriceReport, report_prices
from runtime.pallets.trading.records import (
    BillLine,
    Book,
    EnergyRight,
    Holding,
    OpenOrder,
    PoolChoice,
    Schedule,
    SettlementLine,
    SettlementRecord,
    Totals,
    order_id_of,
)
from runtime.pallets.trading.reputation import Reputations, with_surcharge
from runtime.pallets.trading.rights import Rights
from runtime.pallets.trading.sealed import SEALED_WEIGHT, Sealed
from runtime.pallets.trading.sealed_orders import go_on_with_sealed
from runtime.pallets.trading.settlement import ZonePrices
from runtime.pallets.trading.tariffs import NetworkTariffs, genesis_tariffs

BILL_LINES_MAX = 672  # a week; what one answer should carry
RECENT_MAX = 64

POOL_CALL_WEIGHT = 100_000_000  # 100 us: the connection, its choice
CONTRACT_CALL_WEIGHT = 200_000_000  # 200 us: parties, path, collateral of both

Prices = Annotated[tuple[PricePerKwh, ...], MaxLen(BUSES_MAX)]
Lines = Annotated[tuple[SettlementLine, ...], MaxLen(CONNECTIONS_MAX)]


class Trading(
    Coupled,
    Sealed,
    OrderCalls,
    Rights,
    Parameters,
    NetworkTariffs,
    LocationalPrices,
    History,
    Reputations,
    LiquidityFund,
    FundShares,
    Audit,
    Pallet[Config],
):
    schedule: StorageValue[Schedule]
    """Where the market stands in time."""

    books: StorageMap[IntervalIndex, Book | None, Identity]
    """Books of intervals that wait for settlement and had an order. Identity: time numbers them."""

    holdings: StorageDoubleMap[IntervalIndex, ConnectionId, Holding, Identity, Identity]
    """Orders and energy rights of a connection for an interval, until it is settled."""

    prices: StorageMap[IntervalIndex, Prices | None, Identity]
    """Per bus, the price of the latest call of an interval in which something traded."""

    reference_price: StorageValue[PricePerKwh]
    """Price of the root in the latest call that traded: what a root without orders is worth."""

    settlements: StorageMap[IntervalIndex, SettlementRecord | None, Identity]
    """Figures of the latest settled intervals."""

    lines: StorageMap[IntervalIndex, Lines | None, Identity]
    """Per settled interval and connection; the connection's number is the position plus one."""

    settled_at: StorageMap[U32, IntervalIndex | None, Identity]
    """Settled intervals in the order of their settlement, those whose records are still kept. Those
    from `totals.intervals_final` on are provisional."""

    history_begin: StorageValue[U32]
    """The first settlement, in that order, whose records are still kept."""

    totals: StorageValue[Totals]
    """Sums over all settled intervals."""

    contract_proposals: StorageMap[ContractId, ContractProposal | None, Identity]
    """Contracts that wait for the other party. Identity: the pallet gives out the numbers."""

    proposal_count: StorageValue[U32]
    next_contract_id: StorageValue[ContractId]
    contracts: StorageMap[ContractId, Contract | None, Identity]
    """Countersigned contracts, until their last interval is settled."""

    contract_order: StorageValue[Annotated[tuple[ContractId, ...], MaxLen(CONTRACTS_MAX)]]
    """They, in the order of countersignature: who comes first reserves and is delivered first."""

    deals: StorageMap[IntervalIndex, IntervalDeals | None, Identity]
    """Contracts of each interval from its opening on, with figures from its settlement on."""

    pool_choices: StorageMap[ConnectionId, PoolChoice | None, Identity]
    """Of connections that left the pool once; all others are members."""

    arrears: StorageMap[AccountId, SignedBalance, Blake2_128Concat]
    """What an account owes the supplier for settled energy; negative: what it is still owed."""

    receivables: StorageValue[SignedBalance]
    """Sum of all arrears."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.kept_books = KeptBooks()
        """Books that calls made, beside the state."""

    def genesis(self, config: Mapping[str, Any]) -> None:
        """`reference_price` (default 0): micro-DRT per kWh at the root before the first trade.
        `outside_pool`: numbers of connections that do not share their residuals. `contracts`: a
        list of contracts that stand from the beginning, objects as `genesis_contract` reads them.
        `tariffs`: network tariffs by time of use, as `genesis_tariffs` reads them. `fund`: the
        liquidity fund, as `genesis_fund` and `genesis_shares` read it.
        """
        self.config.integrity()
        self.reference_price.set(int(config.get("reference_price", 0)))
        for number in config.get("outside_pool", []):
            if self.config.registry.connection(number) is None:
                raise ValueError(f"connection {number} outside the pool, which is not there")
            self.pool_choices[number] = PoolChoice(False, self.config.genesis_interval)
        if "tariffs" in config:
            genesis_tariffs(self, config["tariffs"])
        if "fund" in config:
            genesis_fund(self, config["fund"])
            genesis_shares(self, config["fund"])
        for entry in config.get("contracts", []):
            genesis_contract(self, entry)

    def reserved_weight(self) -> int:
        """The work of `on_finalize`."""
        return self.config.clearing_weight + self.config.settlement_weight + SEALED_WEIGHT

    def on_finalize(self, number: int) -> None:
        """Open intervals, settle what is due and what was corrected, pay who leaves the fund, go on
        with the auction.
        """
        now_ms = self.config.clock.now()
        note_time(self, now_ms)
        open_intervals(self, now_ms)
        go_on_with_sealed(self, now_ms)
        settled = settle_due(self, now_ms)
        settle_corrected(self, settlements_fitting(self) - settled)
        make_final(self, now_ms)
        pay_redemptions(self)
        run_calls(self, now_ms)

    @call(3, weight=POOL_CALL_WEIGHT)
    def choose_pool(self, who: Signed, connection: Compact[ConnectionId], is_member: bool) -> None:
        """Share the residuals of one's connection with neighbours, or stop sharing them. Holds for
        the intervals that begin after this one; everyone is a member at first.

        Emits `PoolChoiceMade`. Fails with `ConnectionNotFound`, `NotConnectionOwner`,
        `PoolChoiceUnchanged` or `PoolChoiceTooSoon`.
        """
        choose(self, who, connection, is_member)

    @call(4, weight=CONTRACT_CALL_WEIGHT)
    def propose_contract(self, who: Signed, terms: ContractTerms) -> None:
        """Propose a contract between one's own connection and another one. It begins with an
        interval that is not open yet, more than 96 ahead.

        Emits `ContractProposed`. Fails with `ConnectionNotFound`, `NotConnectionOwner`,
        `ContractTermsInvalid` or `TooManyContracts`.
        """
        propose(self, who, terms)

    @call(5, weight=CONTRACT_CALL_WEIGHT)
    def countersign_contract(self, who: Signed, contract_id: Compact[ContractId]) -> None:
        """Conclude a contract that the other party proposed. Both keep one day of its value aside.

        Emits `ContractCountersigned`. Fails with `ContractNotFound`, `NotContractParty`,
        `ContractTermsInvalid` (its first interval has been opened), `TooManyContracts`, or the
        currency's error when a collateral is not there.
        """
        countersign(self, who, contract_id)

    @call(6, weight=CONTRACT_CALL_WEIGHT)
    def withdraw_contract(self, who: Signed, contract_id: Compact[ContractId]) -> None:
        """Take back a proposal, or decline one as the other party.

        Emits `ContractWithdrawn`. Fails with `ContractNotFound` or `NotContractParty`.
        """
        withdraw(self, who, contract_id)

    @call(7, weight=CONTRACT_CALL_WEIGHT)
    def terminate_contract(self, who: Signed, contract_id: Compact[ContractId]) -> None:
        """End a contract after its notice and pay the other party the agreed fee.

        Emits `ContractTerminated`. Fails with `ContractNotFound`, `NotContractParty`,
        `ContractOver`, or the currency's error when the fee is not there.
        """
        terminate(self, who, contract_id)

    @api("Trading_contracts")
    def list_contracts(self) -> list[ContractEntry]:
        """The standing contracts in the order of countersignature."""
        found: list[ContractEntry] = []
        for contract_id in self.contract_order.get():
            contract = self.contracts[contract_id]
            assert contract is not None, "what stands in the order is there"
            found.append(ContractEntry(contract_id, contract))
        return found

    @api("Trading_contract_proposals")
    def list_contract_proposals(self) -> list[tuple[ContractId, ContractProposal]]:
        """The contracts that wait for a signature, by number."""
        waiting = [(number, each) for number, each in self.contract_proposals.items() if each]
        return sorted(waiting, key=lambda entry: entry[0])

    @api("Trading_deals")
    def read_deals(self, interval: IntervalIndex) -> list[IntervalDeal]:
        """The contracts of an interval that is open or remembered, and what came of them."""
        return list(self.deals[interval] or ())

    @api("Trading_pool_choice")
    def read_pool_choice(self, connection: ConnectionId) -> PoolChoice:
        """Whether a connection is in the pool, and since when."""
        return self.pool_choices[connection] or MEMBER_FROM_THE_BEGINNING

    @api("Trading_order_book")
    def read_order_book(self, interval: IntervalIndex) -> list[OpenOrder]:
        """The open orders of an interval, by connection and sequence."""
        found: list[OpenOrder] = []
        for number, holding in sorted(self.holdings.items_under(interval)):
            bus = self.connection_at(number).bus
            found += [
                OpenOrder(
                    order_id_of(interval, number, order.sequence),
                    number,
                    bus,
                    order.side,
                    order.price_micro,
                    order.quantity_wh,
                )
                for order in holding.orders
            ]
        return found

    @api("Trading_positions")
    def read_positions(self, interval: IntervalIndex) -> list[EnergyRight]:
        """The energy rights of an interval by connection, until it is settled."""
        return [
            EnergyRight(
                number, holding.buy_wh, holding.sell_wh, holding.payable_nano, holding.held_nano
            )
            for number, holding in sorted(self.holdings.items_under(interval))
        ]

    @api("Trading_prices")
    def read_prices(self, interval: IntervalIndex) -> list[PricePerKwh]:
        """Per bus, the price of the latest call that traded; empty if nothing did."""
        return list(self.prices[interval] or ())

    @api("Trading_price_report")
    def read_price_report(self, interval: IntervalIndex) -> PriceReport:
        """Per bus, the price with its parts; the reference price if nothing traded."""
        return report_prices(self, interval)

    @api("Trading_book")
    def read_book(self, interval: IntervalIndex) -> Book | None:
        """What is open and what the calls decided, in sums; until the interval is settled."""
        return self.books[interval]

    @api("Trading_settlement")
    def read_settlement(self, interval: IntervalIndex) -> SettlementRecord | None:
        """The figures of a settled interval."""
        return self.settlements[interval]

    @api("Trading_lines")
    def read_lines(self, interval: IntervalIndex) -> list[SettlementLine]:
        """A settled interval, connection 1 first."""
        return list(self.lines[interval] or ())

    @api("Trading_status")
    def read_status(self, connection: ConnectionId, interval: IntervalIndex) -> Status | None:
        """How far the energy of a connection in an interval has come.

        None when nothing is known: no reading yet, or settled so long ago that it is forgotten.
        """
        lines = self.lines[interval]
        if lines is None:
            has_reading = self.config.metering.has_reading(connection, interval)
            return Status.RAW if has_reading else None
        if not 0 < connection <= len(lines):
            return None
        if self.is_final(interval):
            return Status.FINAL
        method = lines[connection - 1].method
        return {Method.METERED: Status.VALID, Method.EDITED: Status.EDITED}.get(
            Method(method), Status.ESTIMATED
        )

    @api("Trading_bill")
    def read_bill(
        self, connection: ConnectionId, first: IntervalIndex, last: IntervalIndex
    ) -> list[BillLine]:
        """The settled intervals of a connection from `first` to `last`, at most a week of them."""
        bill: list[BillLine] = []
        for interval in range(first, min(last, first + BILL_LINES_MAX - 1) + 1):
            lines = self.lines[interval]
            if lines is not None and 0 < connection <= len(lines):
                bill.append(BillLine(interval, self.is_final(interval), lines[connection - 1]))
        return bill

    @api("Trading_current_interval")
    def read_current_interval(self) -> IntervalIndex:
        """The latest interval in which a block was made."""
        return self.schedule.get().seen

    @api("Trading_totals")
    def read_totals(self) -> Totals:
        """Sums over all settled intervals."""
        return self.totals.get()

    @api("Trading_recent")
    def read_recent(self, count: U32) -> list[IntervalIndex]:
        """The latest settled intervals, at most 64, oldest first."""
        return self.recent(min(count, RECENT_MAX))

    def check_invariants(self) -> None:
        """Everything the docstring above promises."""
        check_market(self)

    # What the functions beside this file ask.

    def is_gate_passed(self, interval: int, now_ms: int) -> bool:
        """Whether orders for an interval are refused: one interval before it begins."""
        return now_ms >= (interval - 1) * self.config.market_interval_ms

    def is_settlement_due(self, interval: int, now_ms: int) -> bool:
        """Whether no more readings of an interval are taken."""
        return now_ms >= (interval + SETTLEMENT_INTERVALS) * self.config.market_interval_ms

    def contracted(self, interval: int, number: int) -> tuple[int, int]:
        """Import and export of a connection that contracts reserved for an interval."""
        deals = self.deals[interval] or ()
        return (
            sum(deal.volume_wh for deal in deals if deal.buyer == number),
            sum(deal.volume_wh for deal in deals if deal.seller == number),
        )

    def slot_of_day(self, interval: int) -> int:
        """Which quarter hour of its day an interval is."""
        return (interval - self.config.genesis_interval) % SLOTS_PER_DAY

    def is_final(self, interval: int) -> bool:
        """Whether the settlement of an interval will not change any more."""
        record = self.settlements[interval]
        return record is not None and record.is_final

    def record_balance(self, interval: int, metered: Sequence[Metered]) -> None:
        """Let the grid judge what was metered."""
        transformer = metered[TRANSFORMER]
        self.config.grid.record_balance(
            interval,
            (transformer.import_wh, transformer.export_wh),
            [
                (self.connection_at(number).bus, energy.import_wh, energy.export_wh)
                for number, energy in enumerate(metered)
                if number != TRANSFORMER
            ],
        )

    def connection_at(self, number: int) -> Connection:
        """A connection that has a holding."""
        connection = self.config.registry.connection(number)
        assert connection is not None, "connections are never removed"
        return connection

    def account_of(self, number: int) -> AccountId:
        """Who trades with a connection."""
        return self.connection_at(number).account

    def check_decision(self, decision: MarketDecision) -> None:
        """Raise the error with which a decision of the members would fail now."""
        check_decision(self, decision)

    def carry_out(self, decision: MarketDecision) -> None:
        """Do what the members decided."""
        carry_out(self, decision)

    def zone_prices(self, interval: int) -> ZonePrices:
        """Prices by which an interval is settled."""
        return zone_prices_at(self, interval)

    def hold_prices(self, interval: int, number: int) -> ZonePrices:
        """Prices by which a connection keeps collateral for an interval."""
        return with_surcharge(self, interval, number, zone_prices_at(self, interval))

    def release(self, account: AccountId, amount_nano: int) -> None:
        """Give back collateral."""
        self.config.currency.release(account, amount_nano)

    def recent(self, count: int) -> list[int]:
        """The latest settled intervals, oldest first."""
        settled = self.totals.get().intervals_settled
        found = [self.settled_at[ordinal] for ordinal in range(max(0, settled - count), settled)]
        return [interval for interval in found if interval is not None]
