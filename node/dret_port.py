"""`rpc.ports.DretPort`: what this chain's own tools ask of a node."""

import os
from collections.abc import Mapping, Sequence

from node.bills import bill_of
from node.chain import Chain
from node.handoffs import Handoffs
from node.market_feed import MarketFeed
from node.market_view import MarketView
from node.pool import Pool, PoolError
from node.receipts import ReceiptRefused, Receipts
from node.rpc_ports import NetworkView, refused
from rpc.ports import Json, PortError
from runtime.primitives.types import Hash
from runtime.state.overlay import Overlay


class DretAdapter:
    """The node in one object, bills, and the way from the voters of the genesis to those of now."""

    def __init__(
        self,
        chain: Chain,
        pool: Pool,
        name: str,
        is_authority: bool,
        network: NetworkView,
        market: MarketView,
        receipts: Receipts,
    ) -> None:
        self._chain = chain
        self._pool = pool
        self._name = name
        self._is_authority = is_authority
        self._network = network
        self._market = market
        self._receipts = receipts
        self._feed = MarketFeed(chain, market)
        self._handoffs = Handoffs(chain, self._set_id_now)

    async def status(self) -> Mapping[str, Json]:
        """Heads, peers, pool, process id and the totals of settlement."""
        chain = self._chain
        return {
            "name": self._name,
            "role": "authority" if self._is_authority else "full",
            "best": chain.best.number,
            "best_hash": "0x" + chain.best_hash.hex(),
            "finalized": chain.finalized.number,
            "finalized_hash": "0x" + chain.finalized_hash_now.hex(),
            "peers": len(self._network.peers()),
            "pool": len(self._pool),
            "pid": os.getpid(),
            "receipts": self._receipts.count(),
            "market": self._market.status(),
        }

    async def submit_with_receipt(self, extrinsic: bytes, blocks: int) -> Mapping[str, Json]:
        """Take an order in and promise to include it."""
        try:
            receipt = await self._receipts.give(extrinsic, blocks)
        except PoolError as error:
            raise refused(error, extrinsic) from error
        except ReceiptRefused as error:
            raise PortError(str(error)) from error
        promise = receipt.promise
        return {
            "order": "0x" + promise.order.hex(),
            "head": {"number": promise.head_number, "hash": "0x" + promise.head_hash.hex()},
            "blocks": promise.blocks,
            "afterSlot": promise.after_slot,
            "validator": "0x" + receipt.validator.hex(),
            "signature": "0x" + receipt.signature.hex(),
            "receipt": "0x" + receipt.encode().hex(),
        }

    async def bill(self, account: bytes, first: int, last: int) -> Mapping[str, Json]:
        """Settled intervals of an account, with the storage keys that prove them."""
        return bill_of(self._chain, account, first, last)

    def market_snapshot(self) -> bytes:
        """The market after the best block, as JSON."""
        return self._feed.snapshot()

    def market_block(self, block_hash: Hash) -> bytes | None:
        """What a block did to the market, as JSON."""
        return self._feed.block(block_hash)

    async def handoffs(self, set_id: int, count: int) -> Sequence[tuple[bytes, bytes, bool]]:
        """Encoded headers and proofs of the handoffs from that of set `set_id` on.

        Whether a proof is that of an override, a `RecoveryLink`, comes third.
        """
        found = self._handoffs.after(set_id, count)
        return [(header.encode(), proof, is_recovery) for header, proof, is_recovery in found]

    def _set_id_now(self) -> int:
        state = self._chain.state_at(self._chain.finalized_hash_now)
        return self._chain.runtime_of(state).grandpa_set_id(Overlay(state))
