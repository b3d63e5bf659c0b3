"""`archive_v1_*`: any block, and its state, however old.

Served only by a node that keeps all states; clients tell by `rpc_methods`. Blocks that are not
final yet are served too, as long as they are there.

Left out: child tries, which this chain does not have: questions about them have no answer.
Source: the JSON-RPC interface specification of paritytech.
"""

from collections.abc import Awaitable, Callable, Sequence

import trio

from rpc.methods import method, subscription
from rpc.params import (
    BlockHash,
    DiffItem,
    DiffItems,
    HexBytes,
    Number,
    StorageItems,
    Text,
    to_hex,
)
from rpc.ports import CallFailed, Json, Node, StateUnavailable, UnknownBlock
from rpc.storage_items import PAGE_KEYS_MAX, Entry, answer_items
from rpc.subscriptions import Sink
from runtime.primitives.hashing import blake2_256


@method("archive_v1_genesisHash")
def genesis_hash(node: Node) -> Json:
    """Hash of block 0."""
    return to_hex(node.chain.genesis_hash())


@method("archive_v1_finalizedHeight")
def finalized_height(node: Node) -> Json:
    """Height of the last finalized block."""
    return node.chain.finalized().number


@method("archive_v1_hashByHeight")
def hash_by_height(node: Node, height: Number) -> Json:
    """Hashes of the blocks of a height: one when it is final, else one for each branch."""
    if height <= node.chain.finalized().number:
        found = node.chain.hash_at(height)
        return [] if found is None else [to_hex(found)]
    return [
        to_hex(block_hash)
        for block_hash, header in node.chain.unfinalized()
        if header.number == height
    ]


@method("archive_v1_header")
def header(node: Node, hash: BlockHash) -> Json:
    """The SCALE encoded header of a block; null when unknown."""
    found = node.chain.header(hash)
    return None if found is None else to_hex(found.encode())


@method("archive_v1_body")
async def body(node: Node, hash: BlockHash) -> Json:
    """The extrinsics of a block; null when unknown."""
    found = await node.chain.body(hash)
    return None if found is None else [to_hex(extrinsic) for extrinsic in found]


@method("archive_v1_call")
async def runtime_call(
    node: Node, hash: BlockHash, function: Text, call_parameters: HexBytes
) -> Json:
    """The result of a runtime API function on the state of a block; null when unknown."""
    try:
        value = await node.state.call(function, call_parameters, hash)
    except UnknownBlock:
        return None
    except (CallFailed, StateUnavailable) as error:
        return {"success": False, "error": str(error)}
    return {"success": True, "value": to_hex(value)}


@subscription(
    "archive_v1_storage",
    notification="archive_v1_storageEvent",
    unsubscribe=("archive_v1_stopStorage",),
)
def storage(
    node: Node, sink: Sink, hash: BlockHash, items: StorageItems, child_trie: HexBytes | None
) -> None:
    """What the state of a block holds, entry by entry."""

    async def send(page: Sequence[Entry]) -> None:
        for entry in page:
            await sink.deliver({"event": "storage", **entry})

    async def read() -> None:
        asked = items if child_trie is None else []
        await _to_its_end(sink, "storage", lambda: answer_items(node, asked, hash, send))

    sink.run(read)


@subscription(
    "archive_v1_storageDiff",
    notification="archive_v1_storageDiffEvent",
    unsubscribe=("archive_v1_stopStorageDiff",),
)
def storage_diff(
    node: Node,
    sink: Sink,
    hash: BlockHash,
    items: DiffItems | None,
    previous_hash: BlockHash | None,
) -> None:
    """What differs between the state of a block and that of its parent, or of another ancestor."""
    asked = [DiffItem(b"", False, False)] if items is None else items

    async def read() -> None:
        await _to_its_end(
            sink, "storageDiff", lambda: _send_differences(node, sink, hash, asked, previous_hash)
        )

    sink.run(read)


async def _to_its_end(sink: Sink, event: str, read: Callable[[], Awaitable[None]]) -> None:
    try:
        await read()
    except (UnknownBlock, StateUnavailable) as error:
        await sink.deliver({"event": f"{event}Error", "error": str(error) or "unknown block"})
    else:
        await sink.deliver({"event": f"{event}Done"})
    sink.finish()


async def _send_differences(
    node: Node, sink: Sink, block: bytes, items: Sequence[DiffItem], previous: bytes | None
) -> None:
    header = node.chain.header(block)
    if header is None:
        raise UnknownBlock(f"block {to_hex(block)} is unknown")
    if previous is None and header.number == 0:
        raise UnknownBlock("the genesis block has no parent")
    before = header.parent_hash if previous is None else previous
    if not _is_ancestor(node, before, block):
        raise UnknownBlock(f"{to_hex(before)} is no ancestor of {to_hex(block)}")
    for item in items:
        if not item.is_of_child_trie:
            await _send_difference(node, sink, block, before, item)


async def _send_difference(
    node: Node, sink: Sink, block: bytes, before: bytes, item: DiffItem
) -> None:
    """Go through both states at once, in the order of their keys, and compare hashes."""
    old, new = _Keys(node, item.prefix, before), _Keys(node, item.prefix, block)
    old_key, new_key = await old.next(), await new.next()
    while old_key is not None or new_key is not None:
        if new_key is None or (old_key is not None and old_key < new_key):
            assert old_key is not None, "one of the two is left"
            await _send_change(node, sink, "deleted", old_key, before, item)
            old_key = await old.next()
        elif old_key is None or new_key < old_key:
            await _send_change(node, sink, "added", new_key, block, item)
            new_key = await new.next()
        else:
            was = await node.state.storage(old_key, before)
            if was != await node.state.storage(new_key, block):
                await _send_change(node, sink, "modified", new_key, block, item)
            old_key, new_key = await old.next(), await new.next()


async def _send_change(
    node: Node, sink: Sink, kind: str, key: bytes, at: bytes, item: DiffItem
) -> None:
    """Tell a change with the value after it; of what was deleted, with the value it had."""
    value = await node.state.storage(key, at)
    assert value is not None, "a listed key has a value"
    told = ("hash", blake2_256(value)) if item.is_hashed else ("value", value)
    await sink.deliver(
        {"event": "storageDiff", "key": to_hex(key), told[0]: to_hex(told[1]), "type": kind}
    )


class _Keys:
    """The keys of a state under a prefix, a page at a time."""

    def __init__(self, node: Node, prefix: bytes, at: bytes) -> None:
        self._node = node
        self._prefix = prefix
        self._at = at
        self._page: list[bytes] = []
        self._start: bytes | None = None
        self._is_last = False

    async def next(self) -> bytes | None:
        """The next key; None after the last."""
        if not self._page and not self._is_last:
            await trio.lowlevel.checkpoint()
            page = await self._node.state.keys_paged(
                self._prefix, PAGE_KEYS_MAX, self._start, self._at
            )
            self._is_last = len(page) < PAGE_KEYS_MAX
            self._page = list(page)[::-1]
            self._start = page[-1] if page else None
        return self._page.pop() if self._page else None


def _is_ancestor(node: Node, ancestor: bytes, block: bytes) -> bool:
    """Whether a block stands on another; a finalized one is found by its height."""
    found = node.chain.header(ancestor)
    if found is None:
        return False
    while True:
        header = node.chain.header(block)
        if header is None or header.number < found.number:
            return False
        if block == ancestor:
            return True
        if header.number <= node.chain.finalized().number:
            return node.chain.hash_at(found.number) == ancestor
        block = header.parent_hash
