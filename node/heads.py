"""Tells many listeners of imported and finalized blocks.

Listeners are plain callbacks that return at once (see `rpc.ports`); one that raises is a bug and is
logged, the others still hear.
"""

import logging
from collections.abc import Callable

from consensus import effects
from node.chain import Chain
from node.pool import Pool
from rpc.ports import BestChanged, BlockImported, BlocksFinalized, ChainEvent, ChainListener
from runtime.primitives.block import Header
from runtime.primitives.types import Hash

log = logging.getLogger("heads")


class Heads:
    """Follows the engine's notifications: first the pool, then whoever subscribed."""

    def __init__(self, chain: Chain, pool: Pool) -> None:
        self._chain = chain
        self._pool = pool
        self._listeners: dict[int, ChainListener] = {}
        self._next = 0
        self._last_best: Hash = chain.best_hash
        """The best block that listeners know; another one without an import comes by finality."""

    def subscribe(self, listener: ChainListener) -> Callable[[], None]:
        """Call `listener` for each event from now on, until the result is called."""
        self._next += 1
        token = self._next
        self._listeners[token] = listener
        return lambda: self._listeners.pop(token, None) and None

    def imported(self, effect: effects.NotifyImported) -> None:
        """A block was stored."""
        log.info(
            "Imported #%d 0x%s%s",
            effect.header.number,
            effect.block_hash.hex()[:12],
            " (best)" if effect.is_best else "",
        )
        if effect.is_best:
            self._last_best = effect.block_hash
        self._tell(BlockImported(effect.block_hash, effect.header, effect.is_best))

    def best(self, effect: effects.NotifyBest) -> None:
        """The best block changed; the pool follows."""
        if effect.retracted:
            log.info("Reorganized: %d retracted", len(effect.retracted))
        if effect.block_hash != self._last_best:
            self._last_best = effect.block_hash
            self._tell(BestChanged(effect.block_hash, effect.header))
        self._pool.new_best(
            effect.header.number,
            self._bodies(effect.enacted),
            self._bodies(effect.retracted),
        )

    def finalized(self, effect: effects.NotifyFinalized) -> None:
        """Blocks became final."""
        blocks: list[tuple[Hash, Header]] = []
        for block_hash in effect.route:
            header = self._chain.header(block_hash)
            assert header is not None, "a finalized block is stored"
            blocks.append((block_hash, header))
            self._pool.finalized(block_hash)
        log.info("Finalized #%d 0x%s", effect.header.number, effect.block_hash.hex()[:12])
        justification = self._chain.justification(effect.block_hash)
        self._tell(BlocksFinalized(blocks, effect.pruned, justification))

    def _bodies(self, hashes: tuple[Hash, ...]) -> list[tuple[Hash, list[bytes]]]:
        return [(block_hash, self._body(block_hash)) for block_hash in hashes]

    def _body(self, block_hash: Hash) -> list[bytes]:
        body = self._chain.body(block_hash)
        if body is None:
            # Finality chose another branch, and this block was deleted in the same batch.
            retired = self._chain.retired(block_hash)
            body = [] if retired is None else retired.extrinsics
        return body

    def _tell(self, event: ChainEvent) -> None:
        for listener in list(self._listeners.values()):
            try:
                listener(event)
            except Exception:
                log.exception("A listener failed on %s", type(event).__name__)
