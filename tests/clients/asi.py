"""async-substrate-interface against a live node, without options: read, subscribe, sign, submit."""

import asyncio
import hashlib
import json
import sys
from typing import Any

from async_substrate_interface import AsyncSubstrateInterface  # type: ignore[import-not-found]
from scalecodec.utils.ss58 import ss58_encode

ALICE = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"
DRT = 1_000_000_000
SCHEMES = ("ed25519", "sr25519", "ecdsa")  # by the number of their signatures


class Key:
    """A key as this client wants it; the account is paid by whoever starts this script."""

    def __init__(self, scheme: str, seed: bytes) -> None:
        self.crypto_type = SCHEMES.index(scheme)
        if scheme == "ed25519":
            from nacl.signing import SigningKey

            ed25519 = SigningKey(seed)
            self.public_key = bytes(ed25519.verify_key)
            self._sign = lambda data: bytes(ed25519.sign(data).signature)
        elif scheme == "sr25519":
            import sr25519

            public, secret = sr25519.pair_from_seed(seed)
            self.public_key = public
            self._sign = lambda data: sr25519.sign((public, secret), data)
        else:
            from coincurve import PrivateKey

            ecdsa = PrivateKey(seed)
            self.public_key = blake2_256(ecdsa.public_key.format())  # the account's, here
            self._sign = lambda data: ecdsa.sign_recoverable(blake2_256(data), hasher=None)
        self.ss58_format = 42
        self.ss58_address = ss58_encode(self.public_key, 42)

    def sign(self, data: Any) -> bytes:
        """Sign bytes, or what the client calls data."""
        return self._sign(bytes(data))


def blake2_256(data: bytes) -> bytes:
    """The hash of Substrate."""
    return hashlib.blake2b(data, digest_size=32).digest()


async def read(client: Any) -> dict[str, Any]:
    """Queries, iteration, constants, runtime APIs alone and in a batch."""
    head = await client.get_chain_head()
    account = await client.query("System", "Account", [ALICE])
    accounts = [key async for key, _ in await client.query_map("System", "Account")]
    nonces = [("AccountNonceApi", "account_nonce", [ALICE])] * 3
    block = await client.get_block(head)
    return {
        "chain": await client.rpc_request("system_chain", []),
        "free": str(account["data"]["free"]),
        "accounts": len(accounts),
        "deposit": int((await client.get_constant("Balances", "ExistentialDeposit")).value),
        "nonce": await client.runtime_call("AccountNonceApi", "account_nonce", [ALICE]),
        "batch": await client.runtime_calls(nonces),
        "extrinsics": len(block["extrinsics"]),
    }


async def custom(client: Any, interval: int) -> dict[str, Any]:
    """A pallet of this chain: a map, a double map, a constant, and a function of the runtime."""
    registered = await client.query_map("ProducerRegistration", "Connections", page_size=7)
    numbers = [key async for key, _ in registered]
    one = await client.query("ProducerRegistration", "Connections", [1])
    holding = await client.query("Trading", "Holdings", [interval, 1])
    under = [key async for key, _ in await client.query_map("Trading", "Holdings", [interval])]
    book = await client.runtime_call("Trading", "order_book", [interval])
    return {
        "connections": sorted(map(int, numbers)),
        "owner": one.value["account"],
        "orders": len(holding.value["orders"]),
        "under": [[interval, int(connection)] for connection in under],
        "constant": int((await client.get_constant("Trading", "MarketIntervalMs")).value),
        "book": [[e["connection"], e["price_micro"], e["quantity_wh"]] for e in book],
    }


async def heads(client: Any) -> list[int]:
    """Numbers of three new heads."""
    numbers: list[int] = []

    async def note(message: Any) -> bool | None:
        numbers.append(message["header"]["number"])
        return True if len(numbers) == 3 else None

    await client.subscribe_block_headers(note)
    return numbers


async def submit(client: Any, key: Key, name: str, params: Any, **options: Any) -> Any:
    """Sign, submit and wait until it is final."""
    module, function = name.split(".")
    call = await client.compose_call(module, function, params)
    extrinsic = await client.create_signed_extrinsic(call, key, **options)
    receipt = await client.submit_extrinsic(extrinsic, wait_for_finalization=True)
    events = await receipt.triggered_events
    return {
        "ok": await receipt.is_success,
        "error": await receipt.error_message,
        "events": [
            f"{event['event']['module_id']}.{event['event']['event_id']}" for event in events
        ],
    }


async def main(url: str, seed: str, packages: str, interval: int) -> dict[str, Any]:
    """Everything of a key one after the other: the client caches nonces."""
    sys.path.append(packages)  # this environment has no library that signs
    keys = {scheme: Key(scheme, bytes.fromhex(seed)) for scheme in SCHEMES}
    key = keys["ed25519"]
    transfer = {"dest": ALICE, "value": DRT}
    async with AsyncSubstrateInterface(url) as client:
        found: dict[str, Any] = {"read": await read(client), "heads": await heads(client)}
        found["custom"] = await custom(client, interval)
        call = await client.compose_call("Balances", "transfer_keep_alive", transfer)
        found["fee"] = str((await client.get_payment_info(call, key))["partial_fee"])
        name = "Balances.transfer_keep_alive"
        signing = [submit(client, each, name, transfer) for each in keys.values()]
        found["plain"] = await asyncio.gather(*signing)
        found["mortal"] = await submit(client, key, name, transfer, era={"period": 64}, tip=5)
        remark = {"remark": "0x" + "42" * 400}
        name_of_long = "System.remark_with_event"
        signing = [submit(client, each, name_of_long, remark) for each in keys.values()]
        found["long"] = await asyncio.gather(*signing)
        too_much = {"dest": ALICE, "value": 1_000 * DRT}
        found["failed"] = await submit(client, key, name, too_much)
    return found


if __name__ == "__main__":
    print("\n" + json.dumps(asyncio.run(main(**json.load(sys.stdin)))))
