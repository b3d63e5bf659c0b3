"""A runtime with the constants of the devnet over a grid of a transformer and two homes."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from runtime.constants import Constants
from runtime.genesis import genesis_storage
from runtime.primitives.crypto import Scheme
from runtime.primitives.types import AccountId
from runtime.runtime import Runtime
from runtime.state.backend import MemoryBackend
from runtime.state.overlay import Overlay
from tests.support.accounts import ALICE, BOB, CHARLIE, DAVE, EVE, FERDIE, NAMES, pair_named

DRT = 10**9
"""In nano-DRT."""

CONSTANTS = Constants(
    slot_duration_ms=2_000,
    market_interval_ms=6_000,
    call_period_ms=6_000,
    gossip_duration_ms=333,
    block_weight_max=1_000 * 10**9,
    block_length_max=1 << 20,
    clearing_weight=200 * 10**9,
    settlement_weight=200 * 10**9,
    block_hash_count=4_096,
    ss58_prefix=42,
    session_blocks=15,
    proposal_blocks=30,
    timelock_blocks=15,
    timelock_unanimous_blocks=5,
    emergency_blocks=30,
    heartbeat_sessions=2,
    existential_deposit=1_000_000,
    base_fee_nano=100_000,
    length_fee_nano=1_000,
    weight_fee_nano=100,
    genesis_interval=1_000,
    supplier_price=200_000,
    network_fee=100_000,
    feed_in_price=20_000,
    imbalance_price_max=300_000,
    imbalance_price_min=20_000,
    dual_imbalance=0,
    loss_price=40_000,
    pool_fee=50_000,
    price_floor=100_000,
    dispute_intervals=672,
    book_orders_max=4_096,
)

VALIDATORS = NAMES[:4]
OPERATOR, SUPPLIER, GATEWAY = EVE, FERDIE, DAVE


def hex_of(account: AccountId) -> str:
    """An account as a genesis may write it."""
    return "0x" + account.hex()


def genesis_sections(balances: Mapping[AccountId, int] | None = None) -> dict[str, Any]:
    """Sections of a genesis: four validators, two homes, `balances` (default 1 000 DRT each)."""
    if balances is None:
        balances = dict.fromkeys((ALICE, BOB, CHARLIE, DAVE, EVE, FERDIE), 1_000 * DRT)
    return {
        "session": {
            "validators": [
                {
                    "account": hex_of(pair_named(name).public),
                    "aura": hex_of(pair_named(name).public),
                    "grandpa": hex_of(pair_named(name, Scheme.ED25519).public),
                }
                for name in VALIDATORS
            ]
        },
        "payments": {"gateway": hex_of(GATEWAY)},
        "balances": {"accounts": {hex_of(who): amount for who, amount in balances.items()}},
        "grid_balancing": {
            "topology": {
                "parent": [0, 0, 1, 1],
                "cap_up": [0, 25_000, 10_000, 10_000],
                "cap_down": [0, 25_000, 10_000, 10_000],
                "loss_ppm": [0, 1_000, 5_000, 7_000],
                "tariff": [0, 5_000, 1_000, 2_000],
            }
        },
        "producer_registration": {
            "operator": hex_of(OPERATOR),
            "supplier": hex_of(SUPPLIER),
            "connections": [
                {
                    "id": number,
                    "account": hex_of(account),
                    "bus": number + 1,
                    "import_wh_max": 5_000,
                    "export_wh_max": 5_000,
                }
                for number, account in enumerate((ALICE, BOB), start=1)
            ],
        },
    }


def new_runtime(invariants: bool = True, **constants: int) -> Runtime:
    """A runtime with changed constants, on no state yet."""
    return Runtime(replace(CONSTANTS, **constants), invariants=invariants)


def build_runtime(balances: Mapping[AccountId, int] | None = None, **constants: int) -> Runtime:
    """A runtime bound to a genesis state of its own, so that its pallets can be called directly."""
    runtime = Runtime(replace(CONSTANTS, **constants), invariants=True)
    state = genesis_storage(runtime, genesis_sections(balances))
    runtime.bind(Overlay(MemoryBackend(state)))
    return runtime


def assert_noop(runtime: Runtime, action: Callable[[], object], error: type[Exception]) -> None:
    """Assert that an action fails with an error and changes neither state nor events."""
    state = runtime.assembly.state
    changes, events = state.overlay.changes(), state.events

    with pytest.raises(error):
        action()

    assert state.overlay.changes() == changes, "the state changed"
    assert state.events == events, "events were left"
