"""A scenario: a grid of a data folder as a chain, with an account for everyone on it.

Bus i + 1 of the chain is node i of the grid, bus 0 the medium-voltage side of the transformer. Each
node with assets has one connection, numbered from 1 in the order of nodes; connection 0 is the
transformer, the supplier's. Every key follows from a public development phrase: a chain with them
is worth nothing.

Source of the figures: docs/replay.md. Money in nano-DRT, prices in micro-DRT per kWh.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from devnet.contracts import Contract, Party, contracts_between
from devnet.dataset import (
    BATTERY,
    GENERATION,
    Asset,
    DataInvalid,
    Grid,
    Window,
    load_grid,
    load_window,
)
from devnet.fund_homes import is_holder
from devnet.plan import VALIDATORS, Account
from node.chain_spec import ChainSpec
from node.clock import SystemClock
from runtime.kernels.tree_flow import (
    Feeder,
    SweepBoundsError,
    no_load_loss_mw,
    rated_current_ma,
)
from runtime.primitives.crypto import SS58_PREFIX, KeyPair, Scheme, ss58_encode
from runtime.version import TOKEN_DECIMALS, TOKEN_SYMBOL

DRT = 1_000_000_000
HOME_NANO = 1_000_000 * DRT
METER_NANO = DRT
SUPPLIER_NANO = OPERATOR_NANO = 100_000_000 * DRT
GATEWAY_NANO = 1_000 * DRT
VALIDATOR_NANO = 1_000 * DRT

SUPPLIER_PRICE, NETWORK_FEE = 200_000, 100_000
RETAIL_PRICE = SUPPLIER_PRICE + NETWORK_FEE
FEED_IN_PRICE = 20_000
LOSS_PRICE = 40_000
POOL_FEE = 50_000
PRICE_FLOOR = 100_000
TRANSFORMER_TARIFF = 5_000

FUND_NANO = 10_000 * DRT
FUND_CAP_WH = 400
"""A tenth of what neighbours trade in a quarter hour of spring."""

FUND_SPREAD = 20_000
FUND_ACCOUNT = "0x" + (b"modl" + b"dr/fund ").ljust(32, b"\0").hex()
"""The account of the market's liquidity fund, which no key belongs to."""

NIGHT_PPM, DAY_PPM, EVENING_PPM = 500_000, 1_000_000, 1_600_000
"""Network tariffs by time of use, of those in the tree: cheap from 22 to 6, dear from 17 to 21."""

CAPACITY_PERCENT = 95
"""Of a rating; the sweep's figures may be some points too low."""

NOMINAL_V_SQUARED = 160_000
"""400 V: resistance times half the rated power over it is the loss ratio at half load."""

DISPUTE_INTERVALS = 672
"""A week."""

MILLION = 1_000_000
PICOSECONDS_PER_MS = 1_000_000_000
ROOT_BUS, TRANSFORMER_BUS = 0, 1


class Utility(NamedTuple):
    """A validator: who it is and its development key."""

    name: str
    suri: str


class Timing(NamedTuple):
    """How fast the chain's time passes."""

    slot_ms: int
    interval_ms: int
    """Of a market interval; it always means a quarter hour of energy."""

    call_ms: int
    """Between calls of the auction."""

    block_share: int
    """A block's work may take this fraction of a slot."""

    session_blocks: int
    proposal_blocks: int
    timelock_blocks: int
    timelock_unanimous_blocks: int
    emergency_blocks: int


DEVNET = Timing(2_000, 6_000, 6_000, 10, 15, 30, 15, 8, 30)
PRODUCTION = Timing(6_000, 900_000, 300_000, 3, 600, 100_800, 100_800, 14_400, 14_400)
"""Sessions of an hour; proposals live for a week and wait for another; a day in emergencies."""

HEARTBEAT_SESSIONS = 2  # in which a candidate shows that its node runs
UTILITIES = tuple(Utility(title, suri) for _, title, suri in VALIDATORS)


@dataclass(frozen=True, slots=True)
class Home:
    """A grid connection with what is behind it."""

    number: int
    """Of its connection, from 1 on."""

    node: int
    assets: Sequence[Asset]
    wh_max: int

    @property
    def name(self) -> str:
        """What people call it."""
        return f"Home {self.number}"

    @property
    def suri(self) -> str:
        """Secret of the account that trades and pays."""
        return f"//Home//{self.number}"

    @property
    def meter_suri(self) -> str:
        """Secret of its meter."""
        return f"//Meter//{self.number}"

    @property
    def bus(self) -> int:
        """Where it is in the chain's tree."""
        return self.node + 1


SUPPLIER = Utility("Supplier", "//Supplier")
OPERATOR = Utility("Grid operator", "//Operator")
GATEWAY = Utility("Payment gateway", "//Gateway")
OPERATOR_METER = Utility("Transformer meter", "//Meter//0")


@dataclass(frozen=True)
class Scenario:
    """A grid, three weeks on it, and its homes."""

    grid: Grid
    window: Window
    homes: Sequence[Home]

    @cached_property
    def feeder(self) -> Feeder:
        """The grid as the power-flow sweep needs it. Raises `DataInvalid`."""
        transformer, cables = self.grid.transformer, self.grid.nodes[1:]
        source_ppm = transformer.v_lv_noload_ppm
        try:
            return Feeder.of(
                parents(self.grid),
                [0, transformer.r_uohm_lv, *(cable.r_uohm for cable in cables)],
                [0, transformer.x_uohm_lv, *(cable.x_uohm for cable in cables)],
                [
                    1,
                    rated_current_ma(transformer.s_rated_va, transformer.v_lv_mv),
                    *(cable.i_max_ma for cable in cables),
                ],
                transformer.v_lv_mv * source_ppm // MILLION,
                no_load_loss_mw(transformer.no_load_loss_w, source_ppm),
            )
        except SweepBoundsError as error:
            raise DataInvalid(f"The grid {self.grid.name!r} cannot be computed: {error}") from error

    @cached_property
    def contracts(self) -> Sequence[Contract]:
        """What homes have agreed on before the chain begins."""
        return contracts_between(
            [
                Party(
                    home.number,
                    home.wh_max,
                    sum(asset.p_rated_w for asset in home.assets if asset.kind == GENERATION),
                )
                for home in self.homes
            ]
        )

    def accounts(self, utilities: Sequence[Utility] = UTILITIES) -> list[Account]:
        """Everyone with money at the beginning, in the order people look for them."""
        people = [
            *utilities,
            SUPPLIER,
            OPERATOR,
            GATEWAY,
            *(Utility(home.name, home.suri) for home in self.homes),
            OPERATOR_METER,
            *(Utility(f"Meter of {home.name}", home.meter_suri) for home in self.homes),
        ]
        return [Account(name, address_of(suri), suri) for name, suri in people]

    def chain_spec(
        self,
        genesis_interval: int | None = None,
        utilities: Sequence[Utility] = UTILITIES,
        timing: Timing = DEVNET,
        scheme: Scheme = Scheme.SR25519,
    ) -> ChainSpec:
        """The chain of this scenario. It begins with the interval in which it is made, or a given
        one, with the first data of the traded week. `scheme` is that of all accounts.
        """
        if genesis_interval is None:
            genesis_interval = SystemClock().wall_ms() // timing.interval_ms
        homes = self.homes
        return ChainSpec(
            name=f"DRET devnet {self.grid.name}",
            id=f"dret-dev-{self.grid.name}",
            chain_type="Development",
            boot_nodes=(),
            properties={
                "ss58Format": SS58_PREFIX,
                "tokenDecimals": TOKEN_DECIMALS,
                "tokenSymbol": TOKEN_SYMBOL,
            },
            constants=constants(genesis_interval, timing),
            genesis={
                "session": {"validators": [session_keys(utility) for utility in utilities]},
                "balances": {"accounts": self.balances(utilities, scheme)},
                "payments": {"gateway": address_of(GATEWAY.suri, scheme)},
                "producer_registration": {
                    "operator": address_of(OPERATOR.suri, scheme),
                    "supplier": address_of(SUPPLIER.suri, scheme),
                    "connections": [
                        *(connection(home, scheme) for home in homes),
                        fund_connection(self.fund_number),
                    ],
                },
                "consumption_metering": {
                    "operator_meter": address_of(OPERATOR_METER.suri, scheme),
                    "meters": [
                        {"connection": home.number, "account": address_of(home.meter_suri, scheme)}
                        for home in homes
                    ],
                },
                "trading": {
                    "reference_price": FEED_IN_PRICE,
                    "contracts": [contract.in_genesis() for contract in self.contracts],
                    "tariffs": tariffs_by_time(),
                    "fund": {
                        "connection": self.fund_number,
                        "cap_wh": FUND_CAP_WH,
                        "spread_micro": FUND_SPREAD,
                        "holders": [
                            address_of(home.suri, scheme)
                            for home in homes
                            if is_holder(home.number)
                        ],
                    },
                },
                "grid_balancing": {"topology": self.topology()},
            },
        )

    @property
    def fund_number(self) -> int:
        """The connection of the liquidity fund, behind those of the homes."""
        return len(self.homes) + 1

    def balances(self, utilities: Sequence[Utility], scheme: Scheme) -> dict[str, int]:
        """Who has how much at the beginning."""
        money = {address_of(suri, scheme): amount for suri, amount in self.money(utilities)}
        return money | {FUND_ACCOUNT: FUND_NANO}

    def money(self, utilities: Sequence[Utility] = UTILITIES) -> list[tuple[str, int]]:
        """The secrets of all who have money at the beginning, and how much."""
        money = [
            *((suri, VALIDATOR_NANO) for _, suri in utilities),
            (SUPPLIER.suri, SUPPLIER_NANO),
            (OPERATOR.suri, OPERATOR_NANO),
            (GATEWAY.suri, GATEWAY_NANO),
            (OPERATOR_METER.suri, METER_NANO),
        ]
        for home in self.homes:
            money += [(home.suri, HOME_NANO), (home.meter_suri, METER_NANO)]
        return money

    def topology(self) -> dict[str, object]:
        """The chain's tree: limits, losses and tariffs for the market, impedances for the sweep."""
        transformer, cables = self.grid.transformer, self.grid.nodes[1:]
        capacity = [0, *(capacity_wh(node.p_max_w) for node in self.grid.nodes)]
        power_w = self.grid.nodes[0].p_max_w
        feeder = self.feeder
        return {
            "parent": parents(self.grid),
            "cap_up": capacity,
            "cap_down": capacity,
            "loss_ppm": [
                0,
                loss_ppm(transformer.r_uohm_lv, power_w),
                *(loss_ppm(cable.r_uohm, cable.p_max_w) for cable in cables),
            ],
            "tariff": [0, TRANSFORMER_TARIFF, *(cable.length_mm // 10 for cable in cables)],
            "r_uohm": feeder.r_uohm.tolist(),
            "x_uohm": feeder.x_uohm.tolist(),
            "i_max_ma": feeder.i_max_ma.tolist(),
            "source_mv": feeder.source_mv,
            "no_load_mw": feeder.no_load_mw,
        }


def load_scenario(data: Path, grid_name: str, window_name: str) -> Scenario:
    """Read a scenario from a data folder. Raises `DataInvalid`."""
    grid = load_grid(data, grid_name)
    homes = homes_of(grid)
    if not homes:
        raise DataInvalid(f"The grid {grid_name!r} has no assets: nobody lives there.")
    return Scenario(grid, load_window(data, grid, window_name), homes)


def dev_chain_spec() -> ChainSpec:
    """A chain that one node makes alone: the bundled grid with Alice as its only validator."""
    from devnet.dataset import BUNDLED

    scenario = load_scenario(BUNDLED, "semiurb4", "spring")
    spec = scenario.chain_spec(utilities=UTILITIES[:1])
    return replace(spec, name="DRET development", id="dret-dev")


def homes_of(grid: Grid) -> list[Home]:
    """One home for each node with assets."""
    by_node: dict[int, list[Asset]] = {}
    for asset in grid.assets:
        by_node.setdefault(asset.node, []).append(asset)
    return [
        Home(number, node, tuple(by_node[node]), grid.nodes[node].wh_max)
        for number, node in enumerate(sorted(by_node), start=1)
    ]


def parents(grid: Grid) -> list[int]:
    """The parent of each bus: 0 of the root and of the busbar."""
    return [ROOT_BUS, *(node.parent + 1 for node in grid.nodes)]


def capacity_wh(power_w: int) -> int:
    """What may be sent over an edge in a quarter hour."""
    return power_w * CAPACITY_PERCENT // 100 // 4


def loss_ppm(r_uohm: int, power_w: int) -> int:
    """The loss ratio of an edge at half its rated power."""
    return r_uohm * (power_w // 2) // NOMINAL_V_SQUARED


def constants(genesis_interval: int, timing: Timing) -> dict[str, int]:
    """The chain's constants."""
    block_weight = timing.slot_ms * PICOSECONDS_PER_MS // timing.block_share
    return {
        "slot_duration_ms": timing.slot_ms,
        "market_interval_ms": timing.interval_ms,
        "call_period_ms": timing.call_ms,
        "gossip_duration_ms": timing.slot_ms // 6,
        "block_weight_max": block_weight,
        "block_length_max": 1 << 20,
        "clearing_weight": block_weight * 3 // 8,
        "settlement_weight": block_weight // 4,
        "block_hash_count": 4_096,
        "ss58_prefix": SS58_PREFIX,
        "session_blocks": timing.session_blocks,
        "proposal_blocks": timing.proposal_blocks,
        "timelock_blocks": timing.timelock_blocks,
        "timelock_unanimous_blocks": timing.timelock_unanimous_blocks,
        "emergency_blocks": timing.emergency_blocks,
        "heartbeat_sessions": HEARTBEAT_SESSIONS,
        "existential_deposit": 1_000_000,
        "base_fee_nano": 100_000,
        "length_fee_nano": 1_000,
        "weight_fee_nano": 100,
        "genesis_interval": genesis_interval,
        "supplier_price": SUPPLIER_PRICE,
        "network_fee": NETWORK_FEE,
        "feed_in_price": FEED_IN_PRICE,
        "imbalance_price_max": RETAIL_PRICE,
        "imbalance_price_min": FEED_IN_PRICE,
        "dual_imbalance": 0,
        "loss_price": LOSS_PRICE,
        "pool_fee": POOL_FEE,
        "price_floor": PRICE_FLOOR,
        "dispute_intervals": DISPUTE_INTERVALS,
        "book_orders_max": 4_096,
    }


def tariffs_by_time() -> dict[str, object]:
    """Network tariffs by the quarter hour of the day."""
    night, evening = {*range(24), *range(88, 96)}, range(68, 84)
    bands = [{"factor_ppm": factor} for factor in (NIGHT_PPM, DAY_PPM, EVENING_PPM)]
    slots = [0 if slot in night else 2 if slot in evening else 1 for slot in range(96)]
    return {"bands": bands, "slots": slots}


def connection(home: Home, scheme: Scheme) -> dict[str, object]:
    """A home's connection in the genesis, with its sources."""
    technologies = {GENERATION: "solar", BATTERY: "storage"}
    return {
        "id": home.number,
        "account": address_of(home.suri, scheme),
        "bus": home.bus,
        "import_wh_max": home.wh_max,
        "export_wh_max": home.wh_max,
        "metering_point": f"DEV{home.number:05}",
        "sources": [
            {
                "technology": technologies[asset.kind],
                "rated_w": asset.p_rated_w,
                "device": f"dev/{asset.name}",
            }
            for asset in home.assets
            if asset.kind in technologies
        ],
    }


def fund_connection(number: int) -> dict[str, object]:
    """The connection of the liquidity fund, at the busbar."""
    return {
        "id": number,
        "account": FUND_ACCOUNT,
        "bus": TRANSFORMER_BUS,
        "import_wh_max": FUND_CAP_WH,
        "export_wh_max": FUND_CAP_WH,
    }


def session_keys(utility: Utility) -> dict[str, str]:
    """A validator's account and its keys for blocks and finality."""
    account = address_of(utility.suri)
    finality = KeyPair.from_suri(utility.suri, Scheme.ED25519)
    return {"account": account, "aura": account, "grandpa": "0x" + finality.public.hex()}


def address_of(suri: str, scheme: Scheme = Scheme.SR25519) -> str:
    """The address of a development key."""
    return ss58_encode(KeyPair.from_suri(suri, scheme).public)
