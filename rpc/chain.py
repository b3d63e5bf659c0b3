"""`chain_*`: headers, blocks and heads.

A heads subscription begins with the current head; then comes every head. Finalized heads come
without gaps.
"""

from collections.abc import Callable

from rpc.encoding import block_json, header_json
from rpc.methods import method, subscription
from rpc.params import BlockHash, Numbers, to_hex, to_hex_or_none
from rpc.ports import Head, Json, Node
from rpc.subscriptions import Sink


@method("chain_getBlockHash", aliases=("chain_getHead",))
def block_hash(node: Node, number: Numbers | None) -> Json:
    """Hash of the best block, or of a height, or of each of a list of heights."""
    if number is None:
        return to_hex(node.chain.best().hash)
    if isinstance(number, list):
        return [to_hex_or_none(node.chain.hash_at(item)) for item in number]
    return to_hex_or_none(node.chain.hash_at(number))


@method("chain_getFinalizedHead", aliases=("chain_getFinalisedHead",))
def finalized_head(node: Node) -> Json:
    """Hash of the last finalized block."""
    return to_hex(node.chain.finalized().hash)


@method("chain_getHeader")
def header(node: Node, at: BlockHash | None) -> Json:
    """Header of a block, or of the best one; null when unknown."""
    found = node.chain.header(at or node.chain.best().hash)
    return None if found is None else header_json(found)


@method("chain_getBlock")
async def block(node: Node, at: BlockHash | None) -> Json:
    """Header, body and stored justification; null when unknown."""
    block_hash = at or node.chain.best().hash
    found = node.chain.header(block_hash)
    if found is None:
        return None
    body = await node.chain.body(block_hash)
    if body is None:
        return None
    return block_json(found, body, await node.chain.justification(block_hash))


@subscription(
    "chain_subscribeNewHeads",
    aliases=("chain_subscribeNewHead", "subscribe_newHead"),
    notification="chain_newHead",
    unsubscribe=("chain_unsubscribeNewHeads", "chain_unsubscribeNewHead", "unsubscribe_newHead"),
)
def new_heads(node: Node, sink: Sink) -> None:
    """Every new best block."""
    _follow(node, sink, "best", node.chain.best)


@subscription(
    "chain_subscribeAllHeads",
    notification="chain_allHead",
    unsubscribe=("chain_unsubscribeAllHeads",),
)
def all_heads(node: Node, sink: Sink) -> None:
    """Every imported block, on any branch."""
    _follow(node, sink, "all", node.chain.best)


@subscription(
    "chain_subscribeFinalizedHeads",
    aliases=("chain_subscribeFinalisedHeads",),
    notification="chain_finalizedHead",
    unsubscribe=("chain_unsubscribeFinalizedHeads", "chain_unsubscribeFinalisedHeads"),
)
def finalized_heads(node: Node, sink: Sink) -> None:
    """Every finalized block."""
    _follow(node, sink, "finalized", node.chain.finalized)


def _follow(node: Node, sink: Sink, topic: str, current: Callable[[], Head]) -> None:
    first = node.chain.header(current().hash)
    if first is not None:
        sink.send(header_json(first))
    sink.on_close(sink.feed.subscribe(topic, sink.send_notice))
