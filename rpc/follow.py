"""One `chainHead_v1_follow`: the chain's head as one client sees it, its pins and its operations.

The task `run` tells the events in order and waits for a slow client; if more than `EVENTS_MAX`
pile up meanwhile, or an event is missing, the client gets `stop` and begins anew.

Invariant: a hash that is told was told with its parent before it, and is pinned until the client
unpins it. A pin does not extend what the node keeps: a subscription whose oldest pin is
`PIN_AGE_MAX` finalized blocks old is stopped, before the state of that block is discarded.

Source: the JSON-RPC interface specification of paritytech, chainHead_v1_follow.
"""

import logging
from collections import deque
from collections.abc import Awaitable, Callable

import trio

from rpc.encoding import runtime_json
from rpc.ports import (
    BestChanged,
    BlockImported,
    BlocksFinalized,
    ChainEvent,
    Json,
    Node,
    RuntimeVersion,
    StateUnavailable,
    UnknownBlock,
)
from rpc.subscriptions import Sink
from runtime.primitives.block import Header

FINALIZED_TOLD_MAX = 16  # finalized blocks at the beginning, as in polkadot-sdk: about a minute
PIN_AGE_MAX = 240  # finalized blocks; states are kept for 256
PINS_MAX = 2_048  # the finalized ones of that age, those not final, and forks never unpinned
EVENTS_MAX = 1_024  # as many as the feed keeps
OPERATIONS_MAX = 16  # at once; the specification's least, and polkadot-sdk's bound

OperationJob = Callable[["Operation"], Awaitable[None]]

logger = logging.getLogger("rpc")


class Operation:
    """Something asked of a pinned block that answers by events. Counts as `cost` operations."""

    def __init__(self, follow: "Follow", operation_id: str, cost: int) -> None:
        self.id = operation_id
        self.cost = cost
        self._follow = follow
        self._scope = trio.CancelScope()
        self._continued: trio.Event | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether the client has to say that it goes on."""
        return self._continued is not None

    async def tell(self, event: str, **fields: Json) -> None:
        """Send an event of this operation."""
        await self._follow.sink.deliver({"event": event, "operationId": self.id, **fields})

    async def wait_for_continue(self) -> None:
        """Tell the client that it has to ask for more, and wait until it does."""
        self._continued = trio.Event()
        await self.tell("operationWaitingForContinue")
        await self._continued.wait()
        self._continued = None

    def go_on(self) -> None:
        """The client asks for more."""
        assert self._continued is not None, "only a waiting operation is continued"
        self._continued.set()

    def cancel(self) -> None:
        """Stop; nothing is told any more."""
        self._scope.cancel()

    async def run(self, job: OperationJob) -> None:
        """Do the work, then free the place."""
        try:
            with self._scope:
                try:
                    await job(self)
                except (UnknownBlock, StateUnavailable):
                    await self.tell("operationInaccessible")
                except Exception:
                    # What fails for one client must not end its connection; it learns no internals.
                    logger.exception("an operation of chainHead_v1 failed")
                    await self.tell("operationError", error="Internal error")
        finally:
            self._follow.end(self)


class Follow:
    """The chain as it was when this was made, and the events since."""

    def __init__(self, node: Node, sink: Sink, with_runtime: bool) -> None:
        self.sink = sink
        self.with_runtime = with_runtime
        self.pinned: dict[bytes, Header] = {}
        self._node = node
        self._operations: dict[str, Operation] = {}
        self._operations_begun = 0
        self._events: deque[ChainEvent] = deque()
        self._has_lost = False
        self._wake = trio.Event()
        # Taken at one moment: what comes later is an event, what came before is in here.
        self._finalized = node.chain.finalized()
        self._best = node.chain.best().hash
        self._first = _latest_finalized(node, self._finalized.hash)
        self._unfinalized = list(node.chain.unfinalized())
        self._told = {self._finalized.hash: self._finalized.number}
        sink.on_close(sink.feed.follow(self._note))
        sink.on_close(self._cancel)

    async def run(self) -> None:
        """Tell the client of the chain until it unfollows, or has to be stopped."""
        await self._initialize()
        while not self._has_lost:
            await self._wake.wait()
            self._wake = trio.Event()
            while self._events and not self._has_lost:
                if not await self._tell(self._events.popleft()):
                    self._has_lost = True
        self._cancel()
        self.pinned.clear()
        await self.sink.deliver({"event": "stop"})
        self.sink.finish()

    def begin(self, cost: int) -> Operation | None:
        """A new operation of up to `cost`, its `cost` what there is room for; None: no room."""
        room = OPERATIONS_MAX - sum(operation.cost for operation in self._operations.values())
        if room <= 0:
            return None
        operation = Operation(self, str(self._operations_begun), min(cost, room))
        self._operations_begun += 1
        self._operations[operation.id] = operation
        return operation

    def end(self, operation: Operation) -> None:
        """The operation is over."""
        self._operations.pop(operation.id, None)

    def operation(self, operation_id: str) -> Operation | None:
        """An operation that goes on."""
        return self._operations.get(operation_id)

    def _note(self, event: ChainEvent) -> None:
        if len(self._events) >= EVENTS_MAX:
            self._has_lost = True
            self._events.clear()
        elif not self._has_lost:
            self._events.append(event)
        self._wake.set()

    def _cancel(self) -> None:
        for operation in list(self._operations.values()):
            operation.cancel()

    async def _initialize(self) -> None:
        for block_hash, header in self._first:
            self.pinned[block_hash] = header
        event: dict[str, Json] = {
            "event": "initialized",
            "finalizedBlockHashes": [_hex(block_hash) for block_hash, _ in self._first],
        }
        if self.with_runtime:
            event["finalizedBlockRuntime"] = _runtime(await self._version(self._finalized.hash))
        await self.sink.deliver(event)
        for block_hash, header in self._unfinalized:
            await self._tell_new(block_hash, header)
        await self._tell_best(self._best)
        self._first, self._unfinalized = [], []

    async def _tell(self, event: ChainEvent) -> bool:
        """Pass an event on; False when it does not follow from those before."""
        if isinstance(event, BlocksFinalized):
            return await self._tell_finalized(event)
        if isinstance(event, BlockImported) and event.hash not in self._told:
            if event.header.parent_hash not in self._told:
                # Below or beside the last finalized block nothing is told; else a block is missing.
                return event.header.number <= self._finalized.number
            await self._tell_new(event.hash, event.header)
        if isinstance(event, BestChanged) or event.is_best:
            if event.hash not in self._told:
                return event.header.number <= self._finalized.number
            await self._tell_best(event.hash)
        return len(self.pinned) <= PINS_MAX

    async def _tell_new(self, block_hash: bytes, header: Header) -> None:
        self.pinned[block_hash] = header
        self._told[block_hash] = header.number
        event: dict[str, Json] = {
            "event": "newBlock",
            "blockHash": _hex(block_hash),
            "parentBlockHash": _hex(header.parent_hash),
        }
        if self.with_runtime:
            event["newRuntime"] = await self._new_runtime(block_hash, header)
        await self.sink.deliver(event)

    async def _tell_best(self, block_hash: bytes) -> None:
        await self.sink.deliver({"event": "bestBlockChanged", "bestBlockHash": _hex(block_hash)})

    async def _tell_finalized(self, event: BlocksFinalized) -> bool:
        blocks = [block for block in event.blocks if block[1].number > self._finalized.number]
        if not blocks:
            return True  # it was part of what the subscription began with
        if any(block_hash not in self._told for block_hash, _ in blocks):
            return False
        pruned = [block_hash for block_hash in event.pruned if block_hash in self._told]
        last, header = blocks[-1]
        await self.sink.deliver(
            {
                "event": "finalized",
                "finalizedBlockHashes": [_hex(block_hash) for block_hash, _ in blocks],
                "prunedBlockHashes": [_hex(block_hash) for block_hash in pruned],
            }
        )
        gone = {self._finalized.hash, *pruned, *(block_hash for block_hash, _ in blocks[:-1])}
        self._told = {key: number for key, number in self._told.items() if key not in gone}
        self._finalized = type(self._finalized)(last, header.number)
        oldest = min((pin.number for pin in self.pinned.values()), default=header.number)
        return header.number - oldest < PIN_AGE_MAX

    async def _new_runtime(self, block_hash: bytes, header: Header) -> Json:
        version = await self._version(block_hash)
        if version == await self._version(header.parent_hash):
            return None
        return _runtime(version)

    async def _version(self, block_hash: bytes) -> RuntimeVersion | str:
        try:
            return await self._node.state.runtime_version(block_hash)
        except (UnknownBlock, StateUnavailable) as error:
            return str(error)


def _latest_finalized(node: Node, block_hash: bytes) -> list[tuple[bytes, Header]]:
    """The last finalized block and some before it, oldest first."""
    blocks: list[tuple[bytes, Header]] = []
    while len(blocks) < FINALIZED_TOLD_MAX:
        header = node.chain.header(block_hash)
        if header is None:
            break
        blocks.append((block_hash, header))
        if header.number == 0:
            break
        block_hash = header.parent_hash
    return blocks[::-1]


def _runtime(version: RuntimeVersion | str) -> Json:
    if isinstance(version, str):
        return {"type": "invalid", "error": version}
    return {"type": "valid", "spec": runtime_json(version)}


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


class Follows:
    """The subscriptions of one connection, by their ids."""

    def __init__(self) -> None:
        self._follows: dict[str, Follow] = {}

    def __len__(self) -> int:
        return len(self._follows)

    def add(self, follow: Follow) -> None:
        """Keep a subscription for as long as it lives."""
        self._follows[follow.sink.id] = follow

        def forget() -> None:
            self._follows.pop(follow.sink.id, None)

        follow.sink.on_close(forget)

    def get(self, follow_id: str) -> Follow | None:
        """The subscription of an id; None when it ended or never was."""
        return self._follows.get(follow_id)

    def close(self) -> None:
        """The connection ended, and its subscriptions with it."""
        self._follows.clear()
