"""A validator's promises to include orders: given over RPC, on disk before they leave, kept.

A promise outlives everything that may happen to a node: it is in a file of its own outside the
database, beside the signing state, and what is promised goes first into every block that this node
builds (`Chain.build`), whatever the pool has done with it. So it holds over restarts, over a
database that was removed or restored, over reorganisations and over a full pool. Rules and
evidence: `runtime.primitives.receipts` and `runtime.pallets.authorities.receipts`.

Invariant: of two promises whose blocks overlap, no two are for one nonce of one account: keeping
the one would break the other.

Left out: promises of nodes that share keys, which no node can keep for another.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from consensus import aura
from node.chain import Chain, UnknownBlock
from node.clock import Clock
from node.errors import StorageUnusable
from node.keystore import write_private
from node.pool import AlreadyImported, Pool
from node.signing.port import KeysUnusable, SessionSigner
from node.signing.statements import Pledge
from node.state_store import StateDiscarded
from runtime.primitives.hashing import blake2_256
from runtime.primitives.receipts import Promise, Receipt
from runtime.primitives.scale import DecodeError, Struct, codec
from runtime.primitives.types import AccountId, AuthorityId, Hash, Nonce
from runtime.runtime import Runtime, UnknownVersion
from runtime.state.overlay import Overlay

FILE_NAME = "receipts"
RECEIPTS_MAX = 256  # open at a time; each is tried in each block, 40 ms of work if all are valid
PER_SENDER_MAX = 8  # one account cannot take all of them
STALE_SLOTS = 16  # a head older than this says that the node has not caught up

log = logging.getLogger("receipts")


class ReceiptRefused(Exception):
    """This node does not promise it; the message says why, and what to do."""


class Given(Struct):
    """A promise that was given, or is being signed."""

    promise: Promise
    validator: AuthorityId
    order: bytes
    who: AccountId
    nonce: Nonce


_FILE = codec(list[Given])


class Receipts:
    """The promises of one node. `signer` is None if it makes no blocks; `sent` passes orders on.

    Raises `StorageUnusable` when the file of promises is damaged.
    """

    def __init__(
        self,
        chain: Chain,
        pool: Pool,
        signer: SessionSigner | None,
        clock: Clock,
        folder: Path,
        sent: Callable[[Hash, bytes], None],
    ) -> None:
        self._chain = chain
        self._pool = pool
        self._signer = signer
        self._clock = clock
        self._path = folder / FILE_NAME
        self._sent = sent
        self._given: list[Given] = self._load()
        self._count = 0

    def count(self) -> dict[str, int]:
        """How many promises were given since the start, and how many are open."""
        return {"given": self._count, "open": len(self._open())}

    def due(self, number: int) -> Sequence[tuple[Hash, bytes]]:
        """What was promised for block `number`, the oldest promise first."""
        return [
            (given.promise.order, given.order)
            for given in self._given
            if given.promise.head_number < number <= given.promise.last
        ]

    async def give(self, extrinsic: bytes, blocks: int) -> Receipt:
        """Take an order into the pool and promise that it is in within `blocks` blocks.

        Raises `PoolError` or `ReceiptRefused`. Asked again for an open promise it is the same one.
        """
        signer, given = self._promise(extrinsic, blocks)
        # Whatever happens while somebody else signs, the promise is on disk and is kept.
        pledge = Pledge(self._chain.genesis_hash, given.promise)
        try:
            signature = await signer.sign_pledge(given.validator, pledge)
        except KeysUnusable as error:
            raise ReceiptRefused(f"The promise cannot be signed: {error} Ask again.") from error
        return Receipt(given.promise, given.validator, signature)

    def _promise(self, extrinsic: bytes, blocks: int) -> tuple[SessionSigner, Given]:
        """Decide on a promise and write it down."""
        signer, runtime, validator = self._ready_to_promise()
        best = self._chain.best
        order = runtime.orders.order_at(extrinsic, best.number + 1)
        if order is None:
            raise ReceiptRefused(
                "Receipts are for orders: calls of the market that place, replace, take back or "
                "reveal, signed for this chain and for its next block. Submit anything else "
                "without one."
            )
        digest = blake2_256(extrinsic)
        open_ = self._open()
        for given in open_:
            if given.promise.order == digest and given.validator == validator:
                return signer, given
            if (given.who, given.nonce) == (order.who, order.nonce):
                raise ReceiptRefused(
                    f"Another order with nonce {order.nonce} of this account is promised until "
                    f"block {given.promise.last}. Use the next nonce, or wait."
                )
        senders = sum(given.who == order.who for given in open_)
        if len(open_) >= RECEIPTS_MAX or senders >= PER_SENDER_MAX:
            raise ReceiptRefused(
                f"{len(open_)} orders are promised, {senders} of them of this account; at most "
                f"{RECEIPTS_MAX} and {PER_SENDER_MAX} are at a time. Ask another validator, or "
                "wait for a block."
            )
        self._hand_in(digest, extrinsic)
        promise = Promise(
            digest, best.number, self._chain.best_hash, blocks, self._slots_begun(runtime)
        )
        given = Given(promise, validator, extrinsic, order.who, order.nonce)
        kept = [*open_, given]
        self._store(kept)
        self._given = kept
        self._count += 1
        return signer, given

    def _ready_to_promise(self) -> tuple[SessionSigner, Runtime, AuthorityId]:
        """Who signs, the runtime on the best state, and the key that makes blocks for it."""
        if self._signer is None:
            raise ReceiptRefused(
                "This node makes no blocks, so it cannot promise one. Ask the node of a validator; "
                "dret authority show names them."
            )
        try:
            state = self._chain.best_state()
            runtime = self._chain.runtime_of(state)
        except (UnknownBlock, StateDiscarded, UnknownVersion) as error:
            raise ReceiptRefused(f"This node cannot read its best state: {error}.") from error
        ring = self._signer.ring("aura")
        for key in runtime.aura_authorities(Overlay(state)):
            if key in ring:
                behind = self._slot_now(runtime) - (aura.slot_of(self._chain.best) or 0)
                if self._chain.best.number > 0 and behind > STALE_SLOTS:
                    raise ReceiptRefused(
                        f"This node's best block is {behind} slots old: it has not caught up, or "
                        "the chain stands still. Ask again later, or another validator."
                    )
                return self._signer, runtime, key
        raise ReceiptRefused(
            "None of this node's keys is an authority's now, so it makes no blocks. Ask a "
            "validator that does; dret authority show names them."
        )

    def _hand_in(self, digest: Hash, extrinsic: bytes) -> None:
        """Put an order into the pool, and see that nothing is missing before it."""
        try:
            self._pool.submit(extrinsic)
        except AlreadyImported:
            pass  # handed in before without a receipt, or by a peer
        else:
            self._sent(digest, extrinsic)
        if not self._pool.is_ready(digest):
            raise ReceiptRefused(
                "The order is in the pool, but an earlier extrinsic of its account is missing, so "
                "there is nothing to promise. Submit that one first, then ask again."
            )

    def _slots_begun(self, runtime: Runtime) -> int:
        """The last slot of which we may have made a block already."""
        return max(self._slot_now(runtime), self._chain.last_authored_slot())

    def _slot_now(self, runtime: Runtime) -> int:
        return aura.slot_at(self._clock.wall_ms(), runtime.constants.slot_duration_ms)

    def _open(self) -> list[Given]:
        """Promises that a block above the last final one can still keep."""
        final = self._chain.finalized.number
        return [given for given in self._given if given.promise.last > final]

    def _store(self, given: Sequence[Given]) -> None:
        try:
            write_private(self._path, _FILE.encode(list(given)))
        except OSError as error:
            raise ReceiptRefused(
                f"The promise cannot be written to {self._path}: {error.strerror}. Ask another "
                "validator."
            ) from error

    def _load(self) -> list[Given]:
        try:
            return _FILE.decode(self._path.read_bytes())
        except FileNotFoundError:
            return []
        except (OSError, DecodeError) as error:
            raise StorageUnusable(
                f"The promises in {self._path} cannot be read: {error}. Without them this "
                "validator could leave out what it promised. Restore the file; or, once "
                "64 blocks have been made since the node stopped, remove it."
            ) from error
