"""`state_*`: storage, proofs, runtime calls, metadata, and what changes.

Without a block hash the best block at the moment of the call answers. A storage subscription
first sends all its keys, then only keys whose value differs from what it sent last, and nothing
for blocks that change none: polkadot.js takes a change set without the one subscribed key as
"the value is gone".

Left out: subscribing to all keys, child tries, traces.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import trio

from rpc.encoding import runtime_version_json
from rpc.jsonrpc import RpcError
from rpc.methods import invalid_params, method, subscription
from rpc.params import BlockHash, HexBytes, HexList, Number, Text, to_hex, to_hex_or_none
from rpc.ports import (
    CallFailed,
    Json,
    Node,
    RuntimeVersion,
    StateUnavailable,
    UnknownBlock,
)
from rpc.subscriptions import Notice, Sink

KEYS_PAGE_MAX = 1_000  # polkadot-sdk's bound
ALL_KEYS_MAX = 16_384  # a reply of 15 MiB holds about as many account records
RANGE_BLOCKS_MAX = 256  # as many states as are kept
PROOF_KEYS_MAX = 1_024  # a proof of more is larger than a reply may be
SUBSCRIBED_KEYS_MAX = 1_024  # each is read again when a branch changes
CHECKPOINT_EVERY = 256  # reads before other tasks get a turn

INVALID_BLOCK_RANGE = 4001
INVALID_COUNT = 4002
STATE_ERROR = 4003

T = TypeVar("T")


async def answer(pending: Awaitable[T], at: bytes | None) -> T:
    """Await a port, turning its errors into Substrate's words."""
    try:
        return await pending
    except UnknownBlock:
        where = to_hex(at or b"")
        text = f"UnknownBlock: Header was not found in the database: {where}"
    except StateUnavailable:
        text = f"UnknownBlock: State already discarded for {to_hex(at or b'')}"
    except CallFailed as error:
        text = f"Execution failed: {error}"
    raise RpcError(STATE_ERROR, f"Client error: {text}")


@method("state_getStorage", aliases=("state_getStorageAt",))
async def storage(node: Node, key: HexBytes, at: BlockHash | None) -> Json:
    """The value under a key."""
    return to_hex_or_none(await answer(node.state.storage(key, at), at))


@method("state_getStorageHash", aliases=("state_getStorageHashAt",))
async def storage_hash(node: Node, key: HexBytes, at: BlockHash | None) -> Json:
    """blake2-256 of the value under a key."""
    return to_hex_or_none(await answer(node.state.storage_hash(key, at), at))


@method("state_getStorageSize", aliases=("state_getStorageSizeAt",))
async def storage_size(node: Node, key: HexBytes, at: BlockHash | None) -> Json:
    """Length of the value under a key."""
    return await answer(node.state.storage_size(key, at), at)


@method("state_getKeysPaged", aliases=("state_getKeysPagedAt",))
async def keys_paged(
    node: Node,
    prefix: HexBytes | None,
    count: Number,
    start_key: HexBytes | None,
    at: BlockHash | None,
) -> Json:
    """Keys under a prefix, strictly after `start_key`; a start that is the prefix means all."""
    if count > KEYS_PAGE_MAX:
        text = f"count exceeds maximum value. value: {count}, max: {KEYS_PAGE_MAX}"
        raise RpcError(INVALID_COUNT, text)
    keys = node.state.keys_paged(prefix or b"", count, start_key, at)
    return [to_hex(key) for key in await answer(keys, at)]


@method("state_getKeys", unsafe=True)
async def keys(node: Node, prefix: HexBytes, at: BlockHash | None) -> Json:
    """All keys under a prefix. Deprecated in favour of pages."""
    return [to_hex(key) for key in await _all_keys(node, prefix, at)]


@method("state_getPairs", unsafe=True)
async def pairs(node: Node, prefix: HexBytes, at: BlockHash | None) -> Json:
    """All keys under a prefix with their values. Deprecated in favour of pages."""
    block = at or node.chain.best().hash
    found: list[Json] = []
    await _read_each(
        node,
        await _all_keys(node, prefix, block),
        block,
        lambda key, value: found.append([to_hex(key), to_hex_or_none(value)]),
    )
    return found


@method("state_queryStorage", unsafe=True)
async def query_storage(
    node: Node, keys: HexList, from_block: BlockHash, to_block: BlockHash | None
) -> Json:
    """The values under keys at a block, and then what each block after it changed."""
    blocks = _range(node, from_block, to_block or node.chain.best().hash)
    sets: list[Json] = []
    before: dict[bytes, bytes | None] = {}
    for block in blocks:
        after: dict[bytes, bytes | None] = {}
        await _read(node, keys, block, after)
        changes = (
            {key: value for key, value in after.items() if before[key] != value} if sets else after
        )
        if changes:
            sets.append(_change_set_json(block, changes))
        before = after
    return sets


@method("state_queryStorageAt")
async def query_storage_at(node: Node, keys: HexList, at: BlockHash | None) -> Json:
    """The values under keys at one block, as a list of one change set."""
    block = at or node.chain.best().hash
    return [await _change_set(node, keys, block)]


@method("state_getReadProof")
async def read_proof(node: Node, keys: HexList, at: BlockHash | None) -> Json:
    """Trie nodes that prove what is, or is not, under the keys."""
    if len(keys) > PROOF_KEYS_MAX:
        raise invalid_params(f"{len(keys)} keys, at most {PROOF_KEYS_MAX} are proved at once")
    block = at or node.chain.best().hash
    proof = await answer(node.state.read_proof(keys, block), block)
    return {"at": to_hex(block), "proof": [to_hex(item) for item in proof]}


@method("state_call", aliases=("state_callAt",))
async def call(node: Node, name: Text, data: HexBytes, at: BlockHash | None) -> Json:
    """The SCALE result of a runtime API function."""
    return to_hex(await answer(node.state.call(name, data, at), at))


@method("state_getMetadata")
async def metadata(node: Node, at: BlockHash | None) -> Json:
    """Metadata V14 of the block's runtime, without a length prefix."""
    return to_hex(await answer(node.state.metadata(at), at))


@method("state_getRuntimeVersion", aliases=("chain_getRuntimeVersion",))
async def runtime_version(node: Node, at: BlockHash | None) -> Json:
    """The version of the block's runtime."""
    return runtime_version_json(await answer(node.state.runtime_version(at), at))


@subscription(
    "state_subscribeRuntimeVersion",
    aliases=("chain_subscribeRuntimeVersion",),
    notification="state_runtimeVersion",
    unsubscribe=("state_unsubscribeRuntimeVersion", "chain_unsubscribeRuntimeVersion"),
)
async def runtime_versions(node: Node, sink: Sink) -> None:
    """The runtime's version now, and again whenever it changes."""
    heads = _Latest(sink)
    last = await answer(node.state.runtime_version(None), None)
    sink.send(runtime_version_json(last))

    async def follow() -> None:
        sent: RuntimeVersion = last
        while True:
            notice = await heads.next()
            try:
                version = await node.state.runtime_version(notice.hash)
            except (UnknownBlock, StateUnavailable):
                continue  # the branch was left before it could be read
            if version != sent:
                sent = version
                sink.send(runtime_version_json(version))

    sink.run(follow)


@subscription(
    "state_subscribeStorage",
    notification="state_storage",
    unsubscribe=("state_unsubscribeStorage",),
)
async def storage_changes(node: Node, sink: Sink, keys: HexList | None) -> None:
    """The values under keys now, and whenever they change."""
    if not keys:
        raise invalid_params("name the keys: subscribing to the whole state is not offered")
    if len(keys) > SUBSCRIBED_KEYS_MAX:
        raise invalid_params(f"{len(keys)} keys, at most {SUBSCRIBED_KEYS_MAX} in a subscription")
    heads = _Latest(sink)
    block = node.chain.best().hash
    values = dict.fromkeys(keys)
    await _read(node, keys, block, values)
    sink.send(_change_set_json(block, values))
    sink.run(lambda: _follow_storage(node, sink, heads, block, values))


class _Latest:
    """The newest best block; blocks that come while one is being read are passed over."""

    def __init__(self, sink: Sink) -> None:
        self._notice: Notice | None = None
        self._wake = trio.Event()
        sink.on_close(sink.feed.subscribe("best", self._set))

    async def next(self) -> Notice:
        """Wait for a best block not yet given out."""
        await self._wake.wait()
        self._wake = trio.Event()
        assert self._notice is not None, "the event is set after the notice"
        return self._notice

    def _set(self, notice: Notice) -> None:
        self._notice = notice
        self._wake.set()


async def _follow_storage(
    node: Node, sink: Sink, heads: _Latest, block: bytes, values: dict[bytes, bytes | None]
) -> None:
    while True:
        notice = await heads.next()
        candidates: Sequence[bytes] = list(values)
        if notice.header.parent_hash == block:
            # On another branch, or after a gap, every key may differ from what was sent.
            changed = node.state.changed_keys(notice.hash)
            if changed is not None:
                candidates = [key for key in candidates if key in changed]
        found: dict[bytes, bytes | None] = {}
        try:
            await _read(node, candidates, notice.hash, found)
        except RpcError:
            continue  # the branch was left before it could be read
        block = notice.hash
        changes = {key: value for key, value in found.items() if value != values[key]}
        if changes:
            values.update(changes)
            sink.send(_change_set_json(block, changes))


async def _all_keys(node: Node, prefix: bytes, at: bytes | None) -> Sequence[bytes]:
    found = await answer(node.state.keys_paged(prefix, ALL_KEYS_MAX + 1, None, at), at)
    if len(found) > ALL_KEYS_MAX:
        text = f"more than {ALL_KEYS_MAX} keys; use state_getKeysPaged"
        raise RpcError(INVALID_COUNT, text)
    return found


def _range(node: Node, first: bytes, last: bytes) -> list[bytes]:
    """Blocks from `first` to `last`, which has to stand on it."""
    found = [last]
    reason = f"more than {RANGE_BLOCKS_MAX} blocks"
    while len(found) <= RANGE_BLOCKS_MAX:
        if found[-1] == first:
            return found[::-1]
        header = node.chain.header(found[-1])
        if header is None or header.number == 0:
            reason = "the first is not an ancestor of the last" if header else "unknown block"
            break
        found.append(header.parent_hash)
    where = f"[{to_hex(first)} ... {to_hex(last)}]"
    raise RpcError(INVALID_BLOCK_RANGE, f"Cannot resolve a block range {where}. {reason}")


async def _change_set(node: Node, keys: Sequence[bytes], block: bytes) -> Json:
    values: list[Json] = []
    await _read_each(
        node, keys, block, lambda key, value: values.append([to_hex(key), to_hex_or_none(value)])
    )
    return {"block": to_hex(block), "changes": values}


async def _read(
    node: Node, keys: Sequence[bytes], block: bytes, into: dict[bytes, bytes | None]
) -> None:
    await _read_each(node, keys, block, into.__setitem__)


async def _read_each(
    node: Node,
    keys: Sequence[bytes],
    block: bytes,
    found: Callable[[bytes, bytes | None], None],
) -> None:
    for position, key in enumerate(keys, start=1):
        found(key, await answer(node.state.storage(key, block), block))
        if position % CHECKPOINT_EVERY == 0:
            await trio.lowlevel.checkpoint()


def _change_set_json(block: bytes, values: dict[bytes, bytes | None]) -> Json:
    changes: list[Json] = [[to_hex(key), to_hex_or_none(value)] for key, value in values.items()]
    return {"block": to_hex(block), "changes": changes}
