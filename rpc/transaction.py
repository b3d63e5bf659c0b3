"""`transaction_v1_*` and `transactionWatch_v1_*`: extrinsics, sent for as long as the client wants.

A broadcast tells the client nothing: it reads the blocks itself. The node puts the extrinsic into
its pool, which passes it on, and again with each best block for as long as the pool refuses it for
a reason that may pass.
"""

from collections import deque
from dataclasses import dataclass, field
from functools import partial

import trio

from rpc.author import FINAL_KINDS
from rpc.connection import Call, Connection
from rpc.jsonrpc import INVALID_PARAMS, RpcError
from rpc.methods import connection_method, subscription
from rpc.params import HexBytes, SubscriptionId, to_hex
from rpc.ports import (
    ChainEvent,
    Json,
    Node,
    Refusal,
    SubmissionRefused,
    TransactionStatus,
    Unsubscribe,
)
from rpc.subscriptions import Sink
from runtime.primitives.hashing import blake2_256

BROADCASTS_MAX = 16  # of one connection, as in polkadot-sdk
STATUSES_MAX = 64  # not yet told; an extrinsic has about five

PASSING = frozenset(
    {
        Refusal.UNKNOWN_VALIDITY,
        Refusal.TEMPORARILY_BANNED,
        Refusal.TOO_LOW_PRIORITY,
        Refusal.IMMEDIATELY_DROPPED,
        Refusal.FUTURE,
    }
)
"""Refusals that a later block may lift."""

SERVER_REFUSALS = frozenset({Refusal.IMMEDIATELY_DROPPED, Refusal.TEMPORARILY_BANNED})
"""Refusals that say nothing of the extrinsic itself."""


@dataclass(slots=True)
class Broadcasts:
    """The broadcasts of one connection."""

    running: dict[str, trio.CancelScope] = field(default_factory=dict[str, trio.CancelScope])
    begun: int = 0

    def begin(self) -> tuple[str, trio.CancelScope]:
        """A new id, and what stops the broadcast."""
        self.begun += 1
        name = str(self.begun)
        scope = self.running[name] = trio.CancelScope()
        return name, scope

    def close(self) -> None:
        """The connection ended."""
        for scope in self.running.values():
            scope.cancel()
        self.running.clear()


@connection_method("transaction_v1_broadcast")
async def broadcast(node: Node, call: Call, transaction: HexBytes) -> Json:
    """Try to bring an extrinsic into a block until told to stop; null when too many are tried."""
    connection = call.connection
    broadcasts = connection.of(Broadcasts)
    if len(broadcasts.running) >= BROADCASTS_MAX:
        return None
    name, scope = broadcasts.begin()
    if connection.can_wait:
        call.after_reply(partial(_broadcast, node, connection, scope, transaction))
    else:
        # A connection of one request: what the pool takes it passes on, there is no second try.
        await _Attempt().submit(node, transaction)
    return name


@connection_method("transaction_v1_stop")
def stop(_node: Node, call: Call, operation_id: SubscriptionId) -> Json:
    """Try no longer; what peers and the pool have they keep."""
    scope = call.connection.of(Broadcasts).running.pop(operation_id, None)
    if scope is None:
        raise RpcError(INVALID_PARAMS, "Invalid operation id")
    scope.cancel()
    return None


async def _broadcast(
    node: Node, connection: Connection, scope: trio.CancelScope, extrinsic: bytes
) -> None:
    heads = _Heads(connection)
    attempt = _Attempt()
    try:
        with scope:
            while True:
                attempt = _Attempt()
                await attempt.submit(node, extrinsic)
                await attempt.failed.wait()
                await heads.next()
    finally:
        attempt.unsubscribe()
        heads.close()


class _Attempt:
    """One submission to the pool. An invalid extrinsic is not tried again, nor the client told."""

    def __init__(self) -> None:
        self.failed = trio.Event()
        """Set when another attempt, after another block, may succeed."""
        self.unsubscribe: Unsubscribe = _nothing

    async def submit(self, node: Node, extrinsic: bytes) -> None:
        """Put the extrinsic into the pool, and follow it there."""
        try:
            _, self.unsubscribe = await node.pool.submit_and_watch(extrinsic, self._note)
        except SubmissionRefused as refused:
            if refused.reason in PASSING:
                self.failed.set()

    def _note(self, status: TransactionStatus) -> None:
        if status.kind == "dropped":
            self.failed.set()


def _nothing() -> None:
    """Nothing was subscribed."""


class _Heads:
    """Best blocks, for a task that only wants to know that there is a new one."""

    def __init__(self, connection: Connection) -> None:
        self._event = trio.Event()
        self.close = connection.feed.follow(self._note)

    async def next(self) -> None:
        """Wait for the next event of the chain."""
        self._event = trio.Event()
        await self._event.wait()

    def _note(self, _event: ChainEvent) -> None:
        self._event.set()


@subscription(
    "transactionWatch_v1_submitAndWatch",
    notification="transactionWatch_v1_watchEvent",
    unsubscribe=("transactionWatch_v1_unwatch",),
)
async def submit_and_watch(node: Node, sink: Sink, transaction: HexBytes) -> None:
    """Put an extrinsic into the pool and tell what becomes of it; refusals are events too."""
    watch = _Watch(node, sink, transaction)
    try:
        _, unsubscribe = await node.pool.submit_and_watch(transaction, watch.note)
    except SubmissionRefused as refused:
        sink.send(_refusal_event(refused))
        sink.finish()
        return
    sink.on_close(unsubscribe)
    sink.run(watch.run)


class _Watch:
    """Turns the pool's statuses into events, in their order."""

    def __init__(self, node: Node, sink: Sink, extrinsic: bytes) -> None:
        self._node = node
        self._sink = sink
        self._hash = blake2_256(extrinsic)
        self._statuses: deque[TransactionStatus] = deque(maxlen=STATUSES_MAX)
        self._wake = trio.Event()

    def note(self, status: TransactionStatus) -> None:
        """A step in the life of the extrinsic."""
        self._statuses.append(status)
        self._wake.set()

    async def run(self) -> None:
        """Tell each step, until one is the last."""
        while True:
            while self._statuses:
                status = self._statuses.popleft()
                event = await self._event(status)
                if event is not None:
                    await self._sink.deliver(event)
                if status.kind in FINAL_KINDS:
                    self._sink.finish()
                    return
            self._wake = trio.Event()
            await self._wake.wait()

    async def _event(self, status: TransactionStatus) -> Json:
        match status.kind:
            case "ready" | "future":
                return {"event": "validated"}
            case "inBlock":
                block = await self._block(status.hash)
                return {"event": "bestChainBlockIncluded", "block": block}
            case "retracted":
                return {"event": "bestChainBlockIncluded", "block": None}
            case "finalized":
                return {"event": "finalized", "block": await self._block(status.hash)}
            case "usurped":
                error = "The extrinsic was usurped by another one with the same nonce."
                return {"event": "invalid", "error": error}
            case "invalid":
                return {"event": "invalid", "error": "The extrinsic became invalid."}
            case "dropped":
                return {"event": "dropped", "error": "The pool had no room for the extrinsic."}
            case "finalityTimeout":
                return {"event": "dropped", "error": "Its block was not finalized for too long."}
            case _:
                return None

    async def _block(self, block_hash: bytes | None) -> Json:
        if block_hash is None:
            return None
        body = await self._node.chain.body(block_hash) or ()
        hashes = [blake2_256(extrinsic) for extrinsic in body]
        if self._hash not in hashes:
            return None
        return {"hash": to_hex(block_hash), "index": hashes.index(self._hash)}


def _refusal_event(refused: SubmissionRefused) -> Json:
    reason = refused.data if isinstance(refused.data, str) else None
    error = f"{refused}: {reason}" if reason else str(refused)
    event = "dropped" if refused.reason in SERVER_REFUSALS else "invalid"
    return {"event": event, "error": error}
