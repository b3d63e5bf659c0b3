"""`dret_subscribeMarket`: the market as it is, and then what changes it, at most once a second.

The first message is a snapshot. Each delta has the blocks that joined the best chain since the
message before, oldest first, and the hashes of those that left it; a client drops these. A client
for whom the node cannot tell all blocks in between (it synchronizes, or the branch is gone) gets
another snapshot.

Bounded per client: a message a second, the connection's outbox for those that do not read.
"""

import trio

from rpc.jsonrpc import encode_value
from rpc.methods import subscription
from rpc.params import to_hex
from rpc.ports import ChainEvent, Head, Json, Node
from rpc.subscriptions import Sink

PERIOD_S = 1.0  # a person sees no more, and a phone should not compute more
DELTA_BLOCKS_MAX = 32  # more of them are longer than a snapshot


@subscription(
    "dret_subscribeMarket",
    notification="dret_market",
    unsubscribe=("dret_unsubscribeMarket",),
)
def market(node: Node, sink: Sink) -> None:
    """Prices, flows, trades and settlements: a snapshot, then at most one delta a second."""
    follower = _Follower(node)
    sink.send_encoded(follower.snapshot())
    sink.on_close(sink.feed.follow(follower.wake))
    sink.run(lambda: _follow(follower, sink))


async def _follow(follower: "_Follower", sink: Sink) -> None:
    while True:
        await follower.woken()
        message = follower.delta()
        if message is not None:
            sink.send_encoded(message)
        await trio.sleep(PERIOD_S)


class _Follower:
    """What one client was told last."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._woken = trio.Event()
        self._best = node.chain.best()
        self._finalized = node.chain.finalized()

    def wake(self, _: ChainEvent) -> None:
        """The chain has moved."""
        self._woken.set()

    async def woken(self) -> None:
        """Wait until the chain has moved since the last time."""
        await self._woken.wait()
        self._woken = trio.Event()

    def snapshot(self) -> bytes:
        """The market after the best block."""
        self._best, self._finalized = self._node.chain.best(), self._node.chain.finalized()
        return _joined(self._head("snapshot"), b"market", self._node.dret.market_snapshot())

    def delta(self) -> bytes | None:
        """What happened since the last message; None if nothing did."""
        best, finalized = self._node.chain.best(), self._node.chain.finalized()
        if (best, finalized) == (self._best, self._finalized):
            return None
        route = self._route(self._best, best)
        if route is None:
            return self.snapshot()
        retracted, enacted = route
        blocks = [self._node.dret.market_block(block_hash) for block_hash in enacted]
        told = [block for block in blocks if block is not None]
        if len(told) < len(blocks):
            return self.snapshot()
        self._best, self._finalized = best, finalized
        head = {**self._head("delta"), "retracted": [to_hex(each) for each in retracted]}
        return _joined(head, b"blocks", b"[%b]" % b",".join(told))

    def _head(self, kind: str) -> dict[str, Json]:
        return {
            "kind": kind,
            "best": _head_json(self._best),
            "finalized": _head_json(self._finalized),
        }

    def _route(self, old: Head, new: Head) -> tuple[list[bytes], list[bytes]] | None:
        """Blocks that were left, newest first, and those that joined, oldest first."""
        retracted: list[bytes] = []
        enacted: list[bytes] = []
        while old.hash != new.hash:
            if len(retracted) + len(enacted) >= DELTA_BLOCKS_MAX:
                return None
            is_above = new.number > old.number
            step = self._parent(new if is_above else old)
            if step is None:
                return None
            if is_above:
                enacted.append(new.hash)
                new = step
            else:
                retracted.append(old.hash)
                old = step
        return retracted, enacted[::-1]

    def _parent(self, head: Head) -> Head | None:
        header = self._node.chain.header(head.hash)
        if header is None or header.number == 0:
            return None
        return Head(header.parent_hash, header.number - 1)


def _head_json(head: Head) -> Json:
    return {"hash": to_hex(head.hash), "number": head.number}


def _joined(head: Json, name: bytes, value: bytes) -> bytes:
    """An object with one more field, whose value is JSON already."""
    return b'%b,"%b":%b}' % (encode_value(head)[:-1], name, value)
