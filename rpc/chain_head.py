"""`chainHead_v1_*`: the head of the chain, block by block, and what its blocks hold.

A call about a subscription that ended (or never was) is answered with `limitReached`, null or
nothing, not with an error: the client may not have read its `stop` yet.

Left out: child tries, which this chain does not have: questions about them have no answer items.
Source: the JSON-RPC interface specification of paritytech; texts of errors as in polkadot-sdk.
"""

from collections.abc import Sequence

from rpc.connection import Call
from rpc.follow import Follow, Follows, Operation, OperationJob
from rpc.jsonrpc import RpcError
from rpc.methods import connection_method, subscription
from rpc.params import (
    BlockHash,
    BlockHashes,
    Flag,
    HexBytes,
    StorageItem,
    StorageItems,
    SubscriptionId,
    Text,
    to_hex,
)
from rpc.ports import CallFailed, Json, Node
from rpc.storage_items import Entry, answer_items
from rpc.subscriptions import Sink

FOLLOWS_MAX = 4  # of one connection, as in polkadot-sdk
CONTINUE_BYTES = 1 << 20  # values sent before the client has to ask for more

FOLLOWS_REACHED = -32800
INVALID_BLOCK = -32801
INVALID_RUNTIME_CALL = -32802
INVALID_CONTINUE = -32803
INVALID_DUPLICATES = -32804

LIMIT_REACHED: Json = {"result": "limitReached"}


@subscription(
    "chainHead_v1_follow",
    notification="chainHead_v1_followEvent",
    unsubscribe=("chainHead_v1_unfollow",),
)
def follow(node: Node, sink: Sink, with_runtime: Flag) -> None:
    """The latest finalized blocks, then every new, best and finalized block; all pinned."""
    follows = sink.connection.of(Follows)
    if len(follows) >= FOLLOWS_MAX:
        raise RpcError(FOLLOWS_REACHED, "Maximum number of chainHead_follow has been reached")
    found = Follow(node, sink, with_runtime)
    follows.add(found)
    sink.run(found.run)


@connection_method("chainHead_v1_header")
def header(_node: Node, call: Call, follow_subscription: SubscriptionId, hash: BlockHash) -> Json:
    """The SCALE encoded header of a pinned block."""
    found = _follow(call, follow_subscription)
    if found is None:
        return None
    _check_pinned(found, hash)
    return to_hex(found.pinned[hash].encode())


@connection_method("chainHead_v1_body")
def body(node: Node, call: Call, follow_subscription: SubscriptionId, hash: BlockHash) -> Json:
    """Begin to fetch the extrinsics of a pinned block."""

    async def fetch(operation: Operation) -> None:
        extrinsics = await node.chain.body(hash)
        if extrinsics is None:
            await operation.tell("operationInaccessible")
        else:
            value = [to_hex(extrinsic) for extrinsic in extrinsics]
            await operation.tell("operationBodyDone", value=value)

    return _begin(call, _follow(call, follow_subscription), hash, fetch)


@connection_method("chainHead_v1_call")
def runtime_call(
    node: Node,
    call: Call,
    follow_subscription: SubscriptionId,
    hash: BlockHash,
    function: Text,
    call_parameters: HexBytes,
) -> Json:
    """Begin to run a runtime API function on the state of a pinned block."""
    found = _follow(call, follow_subscription)
    if found is not None:
        _check_pinned(found, hash)
        if not found.with_runtime:
            text = "Invalid runtime call: The runtime updates flag must be set"
            raise RpcError(INVALID_RUNTIME_CALL, text)

    async def run(operation: Operation) -> None:
        try:
            output = await node.state.call(function, call_parameters, hash)
        except CallFailed as error:
            await operation.tell("operationError", error=str(error))
        else:
            await operation.tell("operationCallDone", output=to_hex(output))

    return _begin(call, found, hash, run)


@connection_method("chainHead_v1_storage")
def storage(
    node: Node,
    call: Call,
    follow_subscription: SubscriptionId,
    hash: BlockHash,
    items: StorageItems,
    child_trie: HexBytes | None,
) -> Json:
    """Begin to read the state of a pinned block."""
    found = _follow(call, follow_subscription)
    if found is None:
        return LIMIT_REACHED
    _check_pinned(found, hash)
    operation = found.begin(max(len(items), 1))
    if operation is None:
        return LIMIT_REACHED
    taken = items[: operation.cost] if child_trie is None else []
    call.after_reply(lambda: operation.run(_Storage(node, hash, taken).read))
    discarded = max(len(items) - operation.cost, 0)
    return {"result": "started", "operationId": operation.id, "discardedItems": discarded}


@connection_method("chainHead_v1_continue")
def go_on(
    _node: Node, call: Call, follow_subscription: SubscriptionId, operation_id: SubscriptionId
) -> Json:
    """Ask an operation for more that waits for it."""
    found = _follow(call, follow_subscription)
    operation = found.operation(operation_id) if found is not None else None
    if operation is None:
        return None
    if not operation.is_waiting:
        raise RpcError(INVALID_CONTINUE, "Wait for continue event not generated")
    operation.go_on()
    return None


@connection_method("chainHead_v1_stopOperation")
def stop_operation(
    _node: Node, call: Call, follow_subscription: SubscriptionId, operation_id: SubscriptionId
) -> Json:
    """Stop an operation; nothing happens when it is over."""
    found = _follow(call, follow_subscription)
    operation = found.operation(operation_id) if found is not None else None
    if operation is not None:
        operation.cancel()
    return None


@connection_method("chainHead_v1_unpin")
def unpin(
    _node: Node,
    call: Call,
    follow_subscription: SubscriptionId,
    hash_or_hashes: BlockHashes,
) -> Json:
    """Let go of blocks; of all that are named, or of none when one of them is not pinned."""
    found = _follow(call, follow_subscription)
    if found is None:
        return None
    if len(set(hash_or_hashes)) != len(hash_or_hashes):
        raise RpcError(INVALID_DUPLICATES, "Received duplicate hashes for chainHead_unpin")
    for block_hash in hash_or_hashes:
        _check_pinned(found, block_hash)
    for block_hash in hash_or_hashes:
        del found.pinned[block_hash]
    return None


class _Storage:
    """One reading of the state, which pauses after much was sent."""

    def __init__(self, node: Node, at: bytes, items: Sequence[StorageItem]) -> None:
        self._node = node
        self._at = at
        self._items = items
        self._sent = 0

    async def read(self, operation: Operation) -> None:
        """Send all there is, then that it is done."""

        async def send(page: Sequence[Entry]) -> None:
            if self._sent > CONTINUE_BYTES:
                await operation.wait_for_continue()
                self._sent = 0
            await operation.tell("operationStorageItems", items=page)
            self._sent += sum(len(str(text)) for entry in page for text in entry.values())

        await answer_items(self._node, self._items, self._at, send)
        await operation.tell("operationStorageDone")


def _follow(call: Call, follow_id: str) -> Follow | None:
    return call.connection.of(Follows).get(follow_id)


def _check_pinned(found: Follow, block_hash: bytes) -> None:
    if block_hash not in found.pinned:
        raise RpcError(INVALID_BLOCK, "Invalid block hash")


def _begin(call: Call, found: Follow | None, block_hash: bytes, job: OperationJob) -> Json:
    if found is None:
        return LIMIT_REACHED
    _check_pinned(found, block_hash)
    operation = found.begin(1)
    if operation is None:
        return LIMIT_REACHED
    call.after_reply(lambda: operation.run(job))
    return {"result": "started", "operationId": operation.id}
