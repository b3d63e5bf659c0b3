"""substrate-interface, unmodified and without options, and what tests do with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from substrateinterface import ExtrinsicReceipt, Keypair, SubstrateInterface

from runtime.primitives.crypto import KeyPair, Scheme, ss58_encode
from tests.live.network import INTERVAL_MS, eventually

DRT = 1_000_000_000
BUS = 2
WH_MAX = 5_000
REGISTERS = (1_000, 500)  # what the meter of a household shows when it is bound
BLOCKS_BACK_MAX = 8  # how far back a submitted extrinsic is looked for

Call = tuple[str, str, dict[str, Any]]


@dataclass(frozen=True)
class Household:
    """A connection with its owner and its meter."""

    owner: Keypair
    meter: Keypair
    connection: int
    point: str


@dataclass(frozen=True)
class Bid:
    """An order that was matched."""

    interval: int
    quantity_wh: int
    receipt: Any
    fills: list[dict[str, Any]]

    @property
    def cost_nano(self) -> int:
        """What the fills cost together."""
        return sum(fill["filled_wh"] * fill["price_micro"] for fill in self.fills)


def connect(url: str) -> Any:
    return SubstrateInterface(url=url)


class EcdsaPair(Keypair):
    """An ecdsa key as substrate-interface takes it of an external signer.

    Its own `Keypair` of this kind is Ethereum's: accounts of 20 bytes, messages hashed by keccak. A
    `MultiSignature` of Substrate is over blake2-256, and its account is the hash of the key.
    """

    crypto_type = 2

    def __init__(self, suri: str) -> None:
        # Not the base's: it takes no public key but one of 20 bytes.
        self._pair = KeyPair.from_suri(suri, Scheme.ECDSA)
        self.public_key = self._pair.account
        self.ss58_format = 42
        self.ss58_address = ss58_encode(self.public_key)

    def sign(self, payload: Any) -> bytes:
        """The signature of what the client wants signed."""
        return self._pair.sign(bytes(payload.data))


def pair(suri: str, crypto_type: int = 1) -> Any:
    """A development key; 0 is ed25519, 1 sr25519, 2 ecdsa."""
    if crypto_type == 1:
        return Keypair.create_from_uri(suri)
    if crypto_type == EcdsaPair.crypto_type:
        return EcdsaPair(suri)
    # substrate-interface derives no ed25519 keys from paths.
    seed = suri.encode().hex().rjust(64, "0")
    return Keypair.create_from_seed(f"0x{seed}", crypto_type=crypto_type)


def submit(client: Any, signer: Any, call: Call, is_final: bool = False) -> Any:
    """Compose, sign and submit, and wait until it is in a block (or final)."""
    extrinsic = client.create_signed_extrinsic(client.compose_call(*call), signer)
    return client.submit_extrinsic(
        extrinsic, wait_for_inclusion=not is_final, wait_for_finalization=is_final
    )


def succeed(client: Any, signer: Any, call: Call) -> Any:
    """As `submit`; the call has to succeed."""
    receipt = submit(client, signer, call)
    assert receipt.is_success, f"{call}: {receipt.error_message}"
    return receipt


def submit_all(client: Any, signer: Any, calls: Sequence[Call]) -> list[Any]:
    """Submit calls of one signer in a row and wait for the last; a receipt for each."""
    nonce = client.get_account_nonce(signer.ss58_address)
    hashes: list[str] = []
    receipt: Any = None
    for position, call in enumerate(calls):
        extrinsic = client.create_signed_extrinsic(
            client.compose_call(*call), signer, nonce=nonce + position
        )
        is_last = position == len(calls) - 1
        receipt = client.submit_extrinsic(extrinsic, wait_for_inclusion=is_last)
        hashes.append(receipt.extrinsic_hash)
    return [find_receipt(client, each, receipt.block_hash) for each in hashes]


def find_receipt(client: Any, extrinsic_hash: str, newest_block: str) -> Any:
    """The receipt of an extrinsic in a block or one of those before it."""
    block_hash = newest_block
    for _ in range(BLOCKS_BACK_MAX):
        block = client.get_block(block_hash)
        for extrinsic in block["extrinsics"]:
            if extrinsic.extrinsic_hash and "0x" + extrinsic.extrinsic_hash.hex() == extrinsic_hash:
                return ExtrinsicReceipt(client, extrinsic_hash, block_hash)
        block_hash = block["header"]["parentHash"]
    raise AssertionError(f"{extrinsic_hash} is in none of {BLOCKS_BACK_MAX} blocks")


def error_of(receipt: Any) -> str:
    """The name of the error a call failed with; empty when it succeeded."""
    return "" if receipt.is_success else str(receipt.error_message["name"])


def names_of(events: Sequence[Any]) -> list[str]:
    return [f"{event.value['module_id']}.{event.value['event_id']}" for event in events]


def attributes(events: Sequence[Any], name: str) -> list[Any]:
    """The attributes of all events of a name."""
    module, _, event_name = name.partition(".")
    return [
        event.value["attributes"]
        for event in events
        if (event.value["module_id"], event.value["event_id"]) == (module, event_name)
    ]


def interval_now(client: Any) -> int:
    """The market interval of the best block."""
    return int(client.query("Timestamp", "Now").value) // INTERVAL_MS


def transfer(receiver: Any, value: int) -> Call:
    return "Balances", "transfer_keep_alive", {"dest": receiver.ss58_address, "value": value}


def place_order(connection: int, interval: int, **terms: Any) -> Call:
    """A bid at the highest price for 100 Wh, or what `terms` say."""
    usual = {"side": "Bid", "price_micro": 300_000, "quantity_wh": 100}
    return (
        "Trading",
        "place_order",
        {"connection": connection, "interval": interval, **usual, **terms},
    )


def submit_reading(interval: int, registers: tuple[int, int], energies: tuple[int, int]) -> Call:
    return (
        "ConsumptionMetering",
        "submit_reading",
        {
            "interval": interval,
            "import_register_wh": registers[0],
            "export_register_wh": registers[1],
            "import_wh": energies[0],
            "export_wh": energies[1],
        },
    )


def settle_in(client: Any, name: str) -> Household:
    """Fund a household and its meter, register a connection and bind the meter."""
    operator, owner, meter = pair("//Operator"), pair(f"//{name}"), pair(f"//{name}//meter")
    gifts = [
        client.compose_call(*transfer(owner, 1_000 * DRT)),
        client.compose_call(*transfer(meter, DRT)),
    ]
    succeed(client, operator, ("Utility", "batch_all", {"calls": gifts}))
    proposal = {
        "metering_point": name,
        "bus": BUS,
        "import_wh_max": WH_MAX,
        "export_wh_max": WH_MAX,
    }
    receipt = succeed(client, owner, ("ProducerRegistration", "propose_connection", proposal))
    (proposed,) = attributes(receipt.triggered_events, "ProducerRegistration.ConnectionProposed")
    confirmation = {"proposal_id": proposed["proposal_id"]}
    receipt = succeed(
        client, operator, ("ProducerRegistration", "confirm_connection", confirmation)
    )
    (registered,) = attributes(
        receipt.triggered_events, "ProducerRegistration.ConnectionRegistered"
    )
    connection = registered["connection_id"]
    binding = {
        "connection": connection,
        "meter": meter.ss58_address,
        "import_register_wh": REGISTERS[0],
        "export_register_wh": REGISTERS[1],
    }
    succeed(client, owner, ("ConsumptionMetering", "propose_meter", binding))
    succeed(client, operator, ("ConsumptionMetering", "confirm_meter", {"connection": connection}))
    return Household(owner, meter, connection, name)


def bid_until_matched(client: Any, household: Household) -> Bid:
    """Bid the retail price for the next interval that the trader quotes, and wait for the fill."""
    quantity_wh = 300
    interval, receipt = bid_in_time(client, household, quantity_wh)
    (placed,) = attributes(receipt.triggered_events, "Trading.OrderPlaced")
    fills = eventually(lambda: fills_of(client, placed["order_id"], receipt), 30)
    return Bid(interval, quantity_wh, receipt, fills)


def bid_in_time(
    client: Any, household: Household, quantity_wh: int, tries: int = 6
) -> tuple[int, Any]:
    """A bid that was included before its gate, and its interval. A busy machine may be late, and
    an interval for which homes have sealed orders takes none.
    """
    interval = interval_now(client) + 3
    order = place_order(household.connection, interval, quantity_wh=quantity_wh)
    receipt = submit(client, household.owner, order)
    if error_of(receipt) in ("IntervalClosed", "IntervalSealed") and tries > 1:
        return bid_in_time(client, household, quantity_wh, tries - 1)
    assert receipt.is_success, f"{order}: {receipt.error_message}"
    return interval, receipt


def fills_of(client: Any, order_id: int, receipt: Any) -> list[Any]:
    """All fills of an order since it was placed, once it is filled."""
    first = client.get_block_number(receipt.block_hash)
    found = [
        fill
        for number in range(first, client.get_block_number(None) + 1)
        for fill in attributes(
            client.get_events(client.get_block_hash(number)), "Trading.OrderFilled"
        )
        if fill["order_id"] == order_id
    ]
    return found if found and found[-1]["left_wh"] == 0 else []
