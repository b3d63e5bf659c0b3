"""What the market keeps: books, holdings, calls and settlements, one record per interval or pair.

Few and packed on purpose: placing an order touches one `Book` and one `Holding`, a clearing the
book and the holdings of those who trade, a settlement writes one `SettlementRecord` and one list of
`SettlementLine`.
"""

from typing import Annotated

from runtime.frame import (
    U8,
    U32,
    U64,
    Balance,
    BusIndex,
    Compact,
    ConnectionId,
    EnergyWh,
    Hash,
    IntervalIndex,
    MaxLen,
    Moment,
    OrderId,
    PricePerKwh,
    SignedBalance,
    SignedEnergyWh,
    Struct,
    UnitEnum,
)

ORDERS_PER_HOLDING_MAX = 8  # steps of a curve that one connection needs; bounds a holding
CALLS_PER_HOLDING_MAX = (
    16  # a curve a day ahead and many revisions; what free calls may cost others
)
CONNECTION_BITS = 24  # of an order id
SEQUENCE_BITS = 8  # of an order id
if CALLS_PER_HOLDING_MAX * ORDERS_PER_HOLDING_MAX > 1 << SEQUENCE_BITS:
    raise AssertionError("every order of an interval needs a sequence of its own")


class Side(UnitEnum):
    """Which side of the market an order is on."""

    OFFER = 0
    BID = 1


class Order(Struct):
    """An open order, inside its holding."""

    sequence: U8
    side: Side
    price_micro: PricePerKwh
    """Limit: a bid pays at most this, an offer gets at least this."""

    quantity_wh: U32
    """What is not filled yet."""

    placed_ms: Moment
    """Timestamp of the block that included it."""


class Terms(Struct):
    """What an order says, in a list of orders."""

    side: Side
    price_micro: PricePerKwh
    """Limit: a bid pays at most this, an offer gets at least this."""

    quantity_wh: Compact[EnergyWh]


class Holding(Struct):
    """What a connection has in the market for one interval."""

    calls: U8
    """Calls so far that placed, replaced or cancelled orders."""

    next_sequence: U8
    """The sequence of the next order."""

    held_nano: Balance
    """Collateral kept aside for the orders and the position together."""

    payable_nano: SignedBalance
    """Cost of its purchases less proceeds of its sales."""

    buy_wh: EnergyWh
    sell_wh: EnergyWh
    orders: Annotated[tuple[Order, ...], MaxLen(ORDERS_PER_HOLDING_MAX)]


class Book(Struct):
    """The book of an interval: bounds and what its calls decided."""

    orders: U32
    """Open orders."""

    quantity_wh: EnergyWh
    """Their quantities together."""

    changed_ms: Moment
    """Latest block with an order or a cancel."""

    cleared_ms: Moment
    """Latest call that cleared it."""

    negative_ms: Moment
    """First block with a limit below 1: later calls raise all prices. 0: none so far."""

    is_closed: bool
    """Its gate has passed and its last call is done."""

    rent_nano: SignedBalance
    """What the calls collected for the network."""

    booked_loss_wh: SignedEnergyWh
    """Energy sold beyond what was bought: lost on the way."""

    traded_wh: EnergyWh
    """Filled quantity of all bids."""

    bid_value_nano: SignedBalance
    """Filled quantity of all bids at their prices."""


class Call(Struct):
    """A call of the auction in progress."""

    moment_ms: Moment
    """Timestamp of its block: orders of earlier blocks take part."""

    parent_hash: Hash
    """Salt of the canonical order, unknown when the orders were signed."""

    pending: tuple[IntervalIndex, ...]
    """Intervals still to clear, nearest delivery first."""


class Schedule(Struct):
    """Where the market stands in time."""

    seen: IntervalIndex
    """Latest interval in which a block was made."""

    call_period: U64
    """Latest period whose call has begun."""

    opened: IntervalIndex
    """Latest interval that is open: contracts have reserved what they want of it."""

    stored: tuple[IntervalIndex, ...]
    """Intervals that wait for settlement, rising."""

    call: Call | None
    """The call in progress."""


class PoolChoice(Struct):
    """Whether a connection shares its residuals."""

    is_member: bool
    since: IntervalIndex
    """The first interval for which it holds; before it, the opposite does."""


class SettlementRecord(Struct):
    """The figures of a settled interval."""

    imbalance_price: PricePerKwh
    imbalance_wh: SignedEnergyWh
    """Sold but not delivered less bought but not used."""

    traded_wh: EnergyWh
    """Filled quantity of all bids."""

    bid_value_nano: SignedBalance
    """Filled quantity of all bids at their prices; over `traded_wh` it is the mean price."""

    connections_buy_wh: EnergyWh
    """Filled quantity of the connections' bids."""

    local_wh: SignedEnergyWh
    """It less what came through the transformer by contract, some of which is lost on the way."""

    price_min_micro: PricePerKwh
    """Lowest and highest price of a bus in the latest call; zero if nothing traded."""

    price_max_micro: PricePerKwh
    import_wh: EnergyWh
    """Metered or estimated, over all connections."""

    export_wh: EnergyWh
    transformer_import_wh: EnergyWh
    transformer_export_wh: EnergyWh
    measured_loss_wh: SignedEnergyWh
    booked_loss_wh: SignedEnergyWh
    energy_residual_wh: EnergyWh
    """Energy the supplier's balance does not account for: zero."""

    rent_nano: SignedBalance
    supplier_nano: SignedBalance
    """What the supplier received (negative: paid)."""

    operator_nano: SignedBalance
    connections_nano: SignedBalance
    tariff_nano: SignedBalance
    """What the connections would have received on the tariff alone."""

    estimated: U32
    """How many connections were settled with an estimate."""

    pool_wh: EnergyWh
    """What members of the pool had of each other."""

    pool_price_micro: PricePerKwh
    """Zero if that is nothing."""

    contract_wh: EnergyWh
    """Delivered by contracts."""

    supplier_payable_nano: SignedBalance
    supplier_buy_wh: EnergyWh
    supplier_sell_wh: EnergyWh
    """The position of the supplier."""

    settled_in: IntervalIndex
    """The interval whose block settled it: the dispute window begins with it."""

    times_corrected: U32
    """How often it was settled again."""

    is_final: bool


class Totals(Struct):
    """Sums over all settled intervals."""

    intervals_settled: U32
    traded_wh: EnergyWh
    bid_value_nano: SignedBalance
    connections_buy_wh: EnergyWh
    local_wh: SignedEnergyWh
    import_wh: EnergyWh
    export_wh: EnergyWh
    energy_residual_wh: EnergyWh
    connections_nano: SignedBalance
    tariff_nano: SignedBalance
    estimated: U64
    pool_wh: EnergyWh
    contract_wh: EnergyWh
    times_corrected: U32
    """Settlements made again."""

    intervals_final: U32


class SettlementLine(Struct):
    """One connection in a settled interval."""

    import_wh: EnergyWh
    export_wh: EnergyWh
    method: U8
    """Where the energies come from: `Method` of ConsumptionMetering; 0 is metered."""

    payable_nano: SignedBalance
    buy_wh: EnergyWh
    sell_wh: EnergyWh
    contract_import_wh: EnergyWh
    """What it had by contracts."""

    contract_export_wh: EnergyWh
    """What it gave by contracts."""

    is_pooled: bool
    """Whether it is a member of the pool."""

    pool_import_wh: EnergyWh
    """What it had of the pool."""

    pool_export_wh: EnergyWh
    """What it gave to the pool."""

    amount_nano: SignedBalance
    """What the connection received (negative: paid)."""


class BillLine(Struct):
    """One settled interval of a connection."""

    interval: IntervalIndex
    is_final: bool
    line: SettlementLine


class OpenOrder(Struct):
    """An open order as readers see it."""

    order_id: OrderId
    connection: ConnectionId
    bus: BusIndex
    side: Side
    price_micro: PricePerKwh
    quantity_wh: EnergyWh


class EnergyRight(Struct):
    """What the fills of an interval gave a connection: energy to take and to deliver."""

    connection: ConnectionId
    buy_wh: EnergyWh
    sell_wh: EnergyWh
    payable_nano: SignedBalance
    held_nano: Balance


NOTHING_SETTLED = SettlementRecord(
    imbalance_price=0,
    imbalance_wh=0,
    traded_wh=0,
    bid_value_nano=0,
    connections_buy_wh=0,
    local_wh=0,
    price_min_micro=0,
    price_max_micro=0,
    import_wh=0,
    export_wh=0,
    transformer_import_wh=0,
    transformer_export_wh=0,
    measured_loss_wh=0,
    booked_loss_wh=0,
    energy_residual_wh=0,
    rent_nano=0,
    supplier_nano=0,
    operator_nano=0,
    connections_nano=0,
    tariff_nano=0,
    estimated=0,
    pool_wh=0,
    pool_price_micro=0,
    contract_wh=0,
    supplier_payable_nano=0,
    supplier_buy_wh=0,
    supplier_sell_wh=0,
    settled_in=0,
    times_corrected=0,
    is_final=False,
)
NO_HOLDING = Holding(0, 0, 0, 0, 0, 0, ())
NO_BOOK = Book(0, 0, 0, 0, 0, False, 0, 0, 0, 0)


def order_id_of(interval: int, connection: int, sequence: int) -> OrderId:
    """The id of an order says where it stands, so finding it takes one read."""
    return (interval << CONNECTION_BITS | connection) << SEQUENCE_BITS | sequence


def parts_of(order_id: int) -> tuple[IntervalIndex, ConnectionId, int]:
    """Interval, connection and sequence of an order id."""
    rest, sequence = divmod(order_id, 1 << SEQUENCE_BITS)
    interval, connection = divmod(rest, 1 << CONNECTION_BITS)
    return interval, connection, sequence
