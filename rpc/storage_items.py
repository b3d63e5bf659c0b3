"""Answers to questions about the state, as `chainHead_v1` and `archive_v1` put them.

Single keys are answered first, then descendants page by page, so that neither a large map nor a
slow client makes the node hold more than one page.
"""

from collections.abc import Awaitable, Callable, Sequence

import trio

from rpc.params import StorageItem, StorageKind, to_hex
from rpc.ports import Json, Node

PAGE_KEYS_MAX = 256  # keys listed at once; other tasks get a turn after as many
PAGE_BYTES_MAX = 64 << 10  # of values in one page, and one value more

Entry = dict[str, Json]
Send = Callable[[Sequence[Entry]], Awaitable[None]]

_DESCENDANTS = {
    StorageKind.DESCENDANTS_VALUES: StorageKind.VALUE,
    StorageKind.DESCENDANTS_HASHES: StorageKind.HASH,
}


async def answer_items(node: Node, items: Sequence[StorageItem], at: bytes, send: Send) -> None:
    """Send what the state of block `at` holds; a key without a value gives no entry.

    Raises `UnknownBlock` or `StateUnavailable`.
    """
    found: list[Entry] = []
    for item in items:
        if item.kind not in _DESCENDANTS:
            entry = await _entry(node, item.key, item.kind, at)
            if entry is not None:
                found.append(entry)
    if found:
        await send(found)
    for item in items:
        kind = _DESCENDANTS.get(item.kind)
        if kind is not None:
            await _send_descendants(node, item, kind, at, send)


async def _send_descendants(
    node: Node, item: StorageItem, kind: StorageKind, at: bytes, send: Send
) -> None:
    start = item.start
    while True:
        keys = await node.state.keys_paged(item.key, PAGE_KEYS_MAX, start, at)
        page: list[Entry] = []
        size = 0
        for key in keys:
            entry = await _entry(node, key, kind, at)
            assert entry is not None, "a listed key has a value"
            page.append(entry)
            size += len(str(entry.get(kind.value)))
            if size > PAGE_BYTES_MAX:
                await send(page)
                page, size = [], 0
        if page:
            await send(page)
        if len(keys) < PAGE_KEYS_MAX:
            return
        start = keys[-1]
        await trio.lowlevel.checkpoint()


async def _entry(node: Node, key: bytes, kind: StorageKind, at: bytes) -> Entry | None:
    if kind is StorageKind.VALUE:
        found = await node.state.storage(key, at)
    elif kind is StorageKind.HASH:
        found = await node.state.storage_hash(key, at)
    else:
        found = await node.state.merkle_value(key, at)
    return None if found is None else {"key": to_hex(key), kind.value: to_hex(found)}
