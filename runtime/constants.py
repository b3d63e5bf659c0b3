"""The constants of a chain: chosen in its chain specification, part of its metadata, never changed
but by a new version of the runtime.
"""

from dataclasses import dataclass, fields

PICOSECONDS_PER_MS = 10**9


@dataclass(frozen=True, slots=True)
class Constants:
    """All integers. Raises `TypeError` or `ValueError` that names the constant which is wrong."""

    slot_duration_ms: int
    """Of Aura; a block is authored in each slot."""

    market_interval_ms: int
    """How fast quarter hours pass; a multiple of the slot."""

    call_period_ms: int
    """Between calls of the auction; divides the market interval."""

    gossip_duration_ms: int
    """GRANDPA waits for this long for votes to arrive."""

    block_weight_max: int
    """Picoseconds of work in a block."""

    block_length_max: int
    """Bytes of extrinsics in a block."""

    clearing_weight: int
    """Picoseconds of a block reserved for calls of the auction."""

    settlement_weight: int
    """Picoseconds of a block reserved for settlements."""

    block_hash_count: int
    """Blocks whose hashes are known, so the oldest a mortal extrinsic can be."""

    ss58_prefix: int
    """The network of addresses."""

    session_blocks: int
    """Length of a session; validators change at its end."""

    proposal_blocks: int
    """How long a proposal of the members gathers ayes."""

    timelock_blocks: int
    """Between the approval of a proposal and its effect, so that others can prepare or object."""

    timelock_unanimous_blocks: int
    """The same, when all members approve."""

    emergency_blocks: int
    """How long an emergency measure lasts."""

    heartbeat_sessions: int
    """Sessions in a row in which a candidate shows that it runs before it becomes a member."""

    existential_deposit: int
    """nano-DRT: the least an account has to hold in order to exist."""

    base_fee_nano: int
    """Per extrinsic."""

    length_fee_nano: int
    """Per byte of an extrinsic."""

    weight_fee_nano: int
    """Per microsecond of weight."""

    genesis_interval: int
    """The first market interval; it begins a Monday of the data."""

    supplier_price: int
    """micro-DRT per kWh: the supplier's part of the retail price."""

    network_fee: int
    """micro-DRT per kWh: the operator's part of the retail price."""

    feed_in_price: int
    """micro-DRT per kWh: for export that was not sold."""

    imbalance_price_max: int
    """micro-DRT per kWh: deviations when the zone is short."""

    imbalance_price_min: int
    """micro-DRT per kWh: deviations when the zone is long."""

    dual_imbalance: int
    """1: deviations cost the worse of the two prices above. 0: the zone's one price."""

    loss_price: int
    """micro-DRT per kWh: energy lost beyond what the market booked."""

    pool_fee: int
    """micro-DRT per kWh: for the network, on what neighbours share."""

    price_floor: int
    """micro-DRT per kWh: limits go down to minus this."""

    dispute_intervals: int
    """Intervals after its settlement for which an interval can be corrected."""

    book_orders_max: int
    """Open orders of one interval."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value: object = getattr(self, field.name)
            if not isinstance(value, int) or isinstance(value, bool):
                raise TypeError(f"constant {field.name} is {value!r}, expected an integer")
            low = None if field.name in _SIGNED else 0 if field.name in _ZERO_OR_MORE else 1
            if low is not None and value < low:
                raise ValueError(f"constant {field.name} is {value}, expected at least {low}")
        if self.market_interval_ms % self.slot_duration_ms:
            raise ValueError(
                f"market_interval_ms {self.market_interval_ms} is no multiple of "
                f"slot_duration_ms {self.slot_duration_ms}"
            )
        if self.timelock_unanimous_blocks > self.timelock_blocks:
            raise ValueError(
                f"timelock_unanimous_blocks {self.timelock_unanimous_blocks} is more than "
                f"timelock_blocks {self.timelock_blocks}"
            )
        reserved = self.clearing_weight + self.settlement_weight
        if reserved >= self.block_weight_max:
            raise ValueError(
                f"block_weight_max {self.block_weight_max} leaves nothing beside the "
                f"{reserved} reserved for clearing and settlement"
            )
        if self.block_weight_max > self.slot_duration_ms * PICOSECONDS_PER_MS:
            raise ValueError(
                f"block_weight_max {self.block_weight_max} ps is more than a slot of "
                f"{self.slot_duration_ms} ms"
            )


_SIGNED = ("feed_in_price", "imbalance_price_min")
_ZERO_OR_MORE = (
    "base_fee_nano",
    "length_fee_nano",
    "weight_fee_nano",
    "genesis_interval",
    "supplier_price",
    "network_fee",
    "imbalance_price_max",
    "dual_imbalance",
    "loss_price",
    "pool_fee",
    "price_floor",
    "ss58_prefix",
)
