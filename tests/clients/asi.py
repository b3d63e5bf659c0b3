"""async-substrate-interface against a live node, without options: read, subscribe, sign, submit."""

import asyncio
import json
import sys
from typing import Any

from async_substrate_interface import AsyncSubstrateInterface  # type: ignore[import-not-found]
from scalecodec.utils.ss58 import ss58_encode

ALICE = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"
DRT = 1_000_000_000


class Ed25519:
    """A key as this client wants it; the account is paid by whoever starts this script."""

    crypto_type = 0

    def __init__(self, seed: str, packages: str) -> None:
        sys.path.append(packages)  # this environment has no library that signs
        from nacl.signing import SigningKey

        self._key = SigningKey(bytes.fromhex(seed))
        self.public_key = bytes(self._key.verify_key)
        self.ss58_format = 42
        self.ss58_address = ss58_encode(self.public_key, 42)

    def sign(self, data: Any) -> bytes:
        """Sign bytes, or what the client calls data."""
        return bytes(self._key.sign(bytes(data)).signature)


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


async def heads(client: Any) -> list[int]:
    """Numbers of three new heads."""
    numbers: list[int] = []

    async def note(message: Any) -> bool | None:
        numbers.append(message["header"]["number"])
        return True if len(numbers) == 3 else None

    await client.subscribe_block_headers(note)
    return numbers


async def submit(client: Any, key: Ed25519, name: str, params: Any, **options: Any) -> Any:
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


async def main(url: str, seed: str, packages: str) -> dict[str, Any]:
    """Everything, one after the other: the client caches nonces."""
    key = Ed25519(seed, packages)
    transfer = {"dest": ALICE, "value": DRT}
    async with AsyncSubstrateInterface(url) as client:
        found: dict[str, Any] = {"read": await read(client), "heads": await heads(client)}
        call = await client.compose_call("Balances", "transfer_keep_alive", transfer)
        found["fee"] = str((await client.get_payment_info(call, key))["partial_fee"])
        name = "Balances.transfer_keep_alive"
        found["plain"] = await submit(client, key, name, transfer)
        found["mortal"] = await submit(client, key, name, transfer, era={"period": 64}, tip=5)
        remark = {"remark": "0x" + "42" * 400}
        found["long"] = await submit(client, key, "System.remark_with_event", remark)
        too_much = {"dest": ALICE, "value": 1_000 * DRT}
        found["failed"] = await submit(client, key, name, too_much)
    return found


if __name__ == "__main__":
    print("\n" + json.dumps(asyncio.run(main(**json.load(sys.stdin)))))
