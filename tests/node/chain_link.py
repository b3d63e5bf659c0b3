"""A node for commands: a chain in memory that answers RPC and makes a block of each extrinsic."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any, cast

import trio

from devnet.rpc_client import RpcFailed
from node.bill_archive import HISTORY_BEGIN_KEY, ArchivedDays, forgotten_by
from node.bills import bill_in
from node.dry_run import dry_run
from rpc.encoding import header_json
from rpc.ports import Head
from runtime.frame.assembly import ApiError
from runtime.frame.extensions import InvalidTransaction
from runtime.primitives.block import Header
from runtime.primitives.crypto import ss58_decode
from runtime.primitives.grandpa import FinalityProof
from runtime.primitives.hashing import blake2_256
from runtime.runtime import SignatureCache
from runtime.state.overlay import Overlay
from tests.support.chains import MemoryChain
from tests.support.governance import DEFAULT, prove_final
from tests.support.receipts import author_at, promise_of


class ChainLink:
    """Set `chain` before a command runs; it stands in for `devnet.rpc_client.Link`."""

    chain: MemoryChain
    allows_unsafe = True
    handoffs: Sequence[tuple[Header, bytes]] = ()
    voters: Sequence[str] = DEFAULT[:3]
    proof_keys_max = 1_024
    is_up = True
    promises = True

    def __init__(self, host: str, port: int) -> None:
        pass

    async def run(self) -> None:
        await trio.sleep_forever()

    async def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        if method == "system_dryRun" and not self.allows_unsafe:
            raise RpcFailed(method, -32601, "RPC call is unsafe to be called externally", None)
        return getattr(self, method)(*params)

    @asynccontextmanager
    async def subscribe(
        self, method: str, params: Sequence[Any], unsubscribe: str
    ) -> AsyncGenerator[Any]:
        assert (method, unsubscribe) == (
            "author_submitAndWatchExtrinsic",
            "author_unwatchExtrinsic",
        )
        self.author_submitExtrinsic(params[0])
        send, receive = trio.open_memory_channel[Any](8)
        block = "0x" + self.chain.head.hash().hex()
        for status in ("ready", {"inBlock": block}, {"finalized": block}):
            send.send_nowait(status)
        yield receive

    # --- the methods, by their names

    def dret_bill(self, address: str, first: int, last: int) -> Any:
        head = Head(self.chain.head.hash(), self.chain.head.number)
        runtime = self.chain.runtime
        days = ArchivedDays(forgotten_intervals(self.chain).get, runtime.trading)
        runtime.bind(self._overlay(None))
        return bill_in(runtime, days, head, ss58_decode(address), first, last)

    def dret_handoffs(self, set_id: int) -> Any:
        return [
            {"header": "0x" + header.encode().hex(), "justification": "0x" + proof.hex()}
            for header, proof in self.handoffs[set_id:]
        ]

    def grandpa_proveFinality(self, number: int) -> str:
        head = self.chain.head
        justification = prove_final(head, len(self.handoffs), self.voters).encode()
        unknown = self.chain.headers[number + 1 :]
        return "0x" + FinalityProof(head.hash(), justification, unknown).encode().hex()

    def state_getReadProof(self, keys: Sequence[str], block: str) -> Any:
        if len(keys) > self.proof_keys_max:
            raise RpcFailed("state_getReadProof", -32008, "Response is too big", None)
        state = cast(Any, self.chain.states[self._number(block)])
        proof = state._trie.proof([bytes.fromhex(key[2:]) for key in keys])
        return {"at": block, "proof": ["0x" + item.hex() for item in proof]}

    def state_getRuntimeVersion(self, block: str | None = None) -> Any:
        version = self.chain.runtime.version
        return {
            "specVersion": version.spec_version,
            "transactionVersion": version.transaction_version,
        }

    def chain_getBlockHash(self, number: int | None = None) -> str | None:
        headers = self.chain.headers
        number = len(headers) - 1 if number is None else number
        return "0x" + headers[number].hash().hex() if number < len(headers) else None

    def chain_getFinalizedHead(self) -> str | None:
        return self.chain_getBlockHash()

    def chain_getHeader(self, block: str) -> Any:
        return header_json(self.chain.headers[self._number(block)])

    def chain_getBlock(self, block: str) -> Any:
        number = self._number(block)
        body = self.chain.bodies[number - 1] if number else []
        extrinsics = ["0x" + extrinsic.hex() for extrinsic in body]
        return {"block": {"header": self.chain_getHeader(block), "extrinsics": extrinsics}}

    def state_call(self, name: str, data: str, block: str | None = None) -> str:
        try:
            answer = self.chain.runtime.call_api(
                self._overlay(block), name, bytes.fromhex(data[2:])
            )
        except ApiError as error:
            raise RpcFailed("state_call", 4003, str(error), None) from error
        return "0x" + answer.hex()

    def state_getStorage(self, key: str, block: str | None = None) -> str | None:
        value = self._overlay(block).get(bytes.fromhex(key[2:]))
        return None if value is None else "0x" + value.hex()

    def state_queryStorageAt(self, keys: Sequence[str], block: str | None = None) -> Any:
        return [{"changes": [[key, self.state_getStorage(key, block)] for key in keys]}]

    def state_getKeysPaged(
        self, prefix: str, count: int, start: str | None, block: str | None = None
    ) -> list[str]:
        after = None if start is None else bytes.fromhex(start[2:])
        found = self._overlay(block).keys(bytes.fromhex(prefix[2:]), after)
        return ["0x" + key.hex() for key, _ in zip(found, range(count), strict=False)]

    def system_accountNextIndex(self, address: str) -> int:
        return self.chain.runtime.account_nonce(self._overlay(None), ss58_decode(address))

    def system_dryRun(self, extrinsic: str) -> str:
        raw = bytes.fromhex(extrinsic[2:])
        return "0x" + dry_run(self.chain.runtime, self._overlay(None), self.chain.head, raw).hex()

    def author_pendingExtrinsics(self) -> list[str]:
        return []

    def author_submitExtrinsic(self, extrinsic: str) -> str:
        raw = bytes.fromhex(extrinsic[2:])
        try:
            self.chain.runtime.validate_transaction(
                self._overlay(None), raw, SignatureCache(), self.chain.head.hash()
            )
        except InvalidTransaction as error:
            raise RpcFailed("author", 1010, "Invalid Transaction", error.code_text) from error
        self.chain.build([raw])
        return "0x" + blake2_256(raw).hex()

    def dret_submitWithReceipt(self, extrinsic: str, blocks: int = 16) -> Any:
        """A validator's promise, which the author of the next block keeps."""
        if not self.promises:
            raise RpcFailed("dret", 1041, "This node makes no blocks.", None)
        raw = bytes.fromhex(extrinsic[2:])
        receipt = promise_of(self.chain, author_at(self.chain.slot + 1), raw, blocks)
        self.author_submitExtrinsic(extrinsic)
        return {"receipt": "0x" + receipt.encode().hex()}

    def _number(self, block: str) -> int:
        hashes = ["0x" + header.hash().hex() for header in self.chain.headers]
        return hashes.index(block)

    def _overlay(self, block: str | None) -> Overlay:
        number = -1 if block is None else self._number(block)
        return Overlay(cast(Any, self.chain.states[number]))


def forgotten_intervals(chain: MemoryChain) -> dict[int, bytes]:
    """What a node has kept that followed the chain from its genesis."""
    kept: dict[int, bytes] = {}
    for before, after in pairwise(chain.states):
        begin = after.get(HISTORY_BEGIN_KEY)
        if begin != before.get(HISTORY_BEGIN_KEY):
            kept |= forgotten_by(chain.runtime, before, {HISTORY_BEGIN_KEY: begin})
    return kept
