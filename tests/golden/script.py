"""A short history of a small market, the same in every run: blocks with a bit of everything.

All keys are ed25519, whose signatures are the same each time.
"""

from typing import Any

from runtime.primitives.crypto import KeyPair, Scheme
from tests.support.accounts import pair_named
from tests.support.chains import MemoryChain, to
from tests.support.runtimes import DRT, genesis_sections, hex_of, new_runtime

SLOTS_PER_INTERVAL = 3
BLOCKS = 20
OFFER, BID = 0, 1


def key(name: str) -> KeyPair:
    """A key that signs alike each time."""
    return pair_named(name, Scheme.ED25519)


def sections() -> dict[str, Any]:
    """The genesis: two homes, their meters, operator, supplier."""
    names = ("Alice", "Bob", "Charlie", "Dave", "Eve", "Ferdie", "MeterA", "MeterB")
    made = genesis_sections({key(name).public: 1_000 * DRT for name in names})
    registration = made["producer_registration"]
    registration["operator"] = hex_of(key("Eve").public)
    registration["supplier"] = hex_of(key("Ferdie").public)
    for connection, name in zip(registration["connections"], ("Alice", "Bob"), strict=True):
        connection["account"] = hex_of(key(name).public)
    registration["connections"][0]["sources"] = [{"technology": "solar", "rated_w": 9_000}]
    made["consumption_metering"] = {
        "operator_meter": hex_of(key("Eve").public),
        "meters": [
            {"connection": number, "account": hex_of(key(name).public)}
            for number, name in enumerate(("MeterA", "MeterB"), start=1)
        ],
    }
    return made


def golden_chain() -> MemoryChain:
    """The chain after all blocks of the script."""
    chain = MemoryChain.new(new_runtime(), sections())
    for number in range(1, BLOCKS + 1):
        chain.build(extrinsics_of(chain, number))
    return chain


def extrinsics_of(chain: MemoryChain, number: int) -> list[bytes]:
    """What is signed in a block: money, a batch, orders, and readings in each interval."""
    interval = chain.runtime.constants.genesis_interval + (number - 1) // SLOTS_PER_INTERVAL
    if number == 1:
        return [*money(chain), order(chain, "Alice", OFFER, interval + 3, 60_000, 900)]
    if number == 2:
        return [
            order(chain, "Bob", BID, interval + 3, 250_000, 700),
            order(chain, "Ferdie", BID, interval + 3, 90_000, 5_000),
        ]
    if number % SLOTS_PER_INTERVAL == 2:
        return readings(chain, interval - 1)
    return []


def money(chain: MemoryChain) -> list[bytes]:
    """A transfer, a batch of two, and one that fails."""
    dest = to(key("Dave").public)
    transfers = [
        chain.runtime.assembly.make_call(
            "Balances", "transfer_allow_death", dest=dest, value=amount
        )
        for amount in (DRT, 2 * DRT)
    ]
    calls = (
        chain.call("Balances", "transfer_keep_alive", dest=dest, value=5 * DRT),
        chain.call("Utility", "batch", calls=transfers),
        chain.call("Balances", "transfer_keep_alive", dest=dest, value=10**6 * DRT),
    )
    return [chain.sign(key("Charlie"), call, nonce) for nonce, call in enumerate(calls)]


def order(
    chain: MemoryChain, name: str, side: int, interval: int, price_micro: int, quantity_wh: int
) -> bytes:
    """An order of a home or of the supplier."""
    call = chain.call(
        "Trading",
        "place_order",
        connection={"Alice": 1, "Bob": 2, "Ferdie": 0}[name],
        interval=interval,
        side=side,
        price_micro=price_micro,
        quantity_wh=quantity_wh,
    )
    return chain.sign(key(name), call)


def readings(chain: MemoryChain, interval: int) -> list[bytes]:
    """Each meter's report: 300 Wh drawn or 250 Wh fed in per interval."""
    count = interval - chain.runtime.constants.genesis_interval + 1
    if count < 1:
        return []
    energies = {"MeterA": (0, 250), "MeterB": (300, 0), "Eve": (60, 0)}
    return [
        chain.sign(
            key(name),
            chain.call(
                "ConsumptionMetering",
                "submit_reading",
                interval=interval,
                import_register_wh=count * import_wh,
                export_register_wh=count * export_wh,
                import_wh=import_wh,
                export_wh=export_wh,
            ),
        )
        for name, (import_wh, export_wh) in energies.items()
    ]


def metadata_hex(chain: MemoryChain, version: int) -> str:
    """The metadata of a version without documentation, 64 bytes a line."""
    text = chain.runtime.metadata_without_docs(version).hex()
    return "\n".join(text[start : start + 128] for start in range(0, len(text), 128)) + "\n"


def history(chain: MemoryChain) -> dict[str, Any]:
    """The hashes by which a chain can be told from another."""
    genesis = chain.headers[0]
    return {
        "code": chain.runtime.code().hex(),
        "genesis_root": genesis.state_root.hex(),
        "genesis_hash": genesis.hash().hex(),
        "blocks": [
            {"hash": header.hash().hex(), "state_root": header.state_root.hex()}
            for header in chain.headers[1:]
        ],
    }
